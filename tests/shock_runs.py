"""What a run would make of shocks: fluxes of a few apertures, and what the stage makes of them."""

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from astropy.table import Table as AstropyTable

from ard.table import Table
from manifests import load_acceptance
from manifests.shocks import load_shocks
from pipeline.shocks import stage
from pipeline.shocks.toy import toy_loglinear

LINES: Final = ("Halpha", "OIII5007", "NII6583", "SII6716", "SII6731", "SIII9069", "SIII9531")
SPEED: Final = 500.0  # km/s, of the shock in "tip/box"
SHOCK, OTHER, FAINT = "tip/box", "tip/optimal", "wake1/box"


def fluxes(*, simulated: bool = True) -> Table:
    """A shock of the toy grid, ratios that no shock makes, and a spectrum without H alpha."""
    grid = toy_loglinear()
    odd = np.array([1.5, -1.5, 1.5, -1.5])
    model = grid.log_ratio[0, 0, 4, list(grid.v_kms).index(SPEED)]
    rows = []
    for name, ratio in ((SHOCK, model), (OTHER, model + odd), (FAINT, model)):
        aperture, _, method = name.partition("/")
        oiii, nii, sii, siii = 100.0 * 10.0**ratio
        values = (0.1 if name == FAINT else 100.0, oiii, nii, *[sii / 2] * 2, *[siii / 2] * 2)
        rows += [(aperture, method, line, v, 0.2) for line, v in zip(LINES, values, strict=True)]
    data = AstropyTable(rows=rows, names=("aperture", "method", "line", "flux", "flux_err"))
    return Table(data, {"SIMULATD": simulated})


def draws(
    low: float, high: float, *, known: bool | None = None, apertures: tuple[str, ...] = ()
) -> Table:
    """A posterior of the geometry's velocity; with its prior, which it repeats or narrows down."""
    data = AstropyTable({"v_shock": np.linspace(low, high, 401)})
    if known is not None:
        data["v_shock_prior"] = np.linspace(*((50.0, 3000.0) if known else (low, high)), 401)
    return Table(data, {"apertures": list(apertures)})


@cache
def made(
    low: float | None = 430.0,
    *,
    simulated: bool = True,
    known: bool | None = None,
    apertures: tuple[str, ...] = (),
    v_virial_kms: float | None = None,
) -> Mapping[str, Any]:
    """What the stage makes of `fluxes`, with the toy grid."""
    return stage.run(
        fluxes={"t001": fluxes(simulated=simulated)},
        grid={},
        geometry=None if low is None else draws(low, low + 140.0, known=known, apertures=apertures),
        assumed=dataclasses.replace(load_shocks(), v_virial_kms=v_virial_kms),
        acceptance=load_acceptance(),
        config=stage.Config(),
    )
