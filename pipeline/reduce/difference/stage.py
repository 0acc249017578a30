"""How much of the wake does each background take off, and what does the difference leave?

The wake lies in both pointings, 1.06 arcsec apart on the detector, so one minus the other holds a
negative copy of it. The copy is measured, not denied: its strength where it has to lie, and the
share of the flux of every line that it takes off in every aperture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.cube import Cube
from ard.likelihood.noise import Noise
from ard.maps import Map
from ard.table import Table
from manifests import Target
from pipeline.reduce.difference import recovery, summary
from pipeline.reduce.difference.apertures import WAKE, Aperture, Shapes, apertures
from pipeline.reduce.difference.background import POINTINGS
from pipeline.reduce.difference.fraction import require_noise_of
from pipeline.reduce.difference.functional import line_channels
from pipeline.reduce.difference.pointing import Pointing, partner_of, prepare
from pipeline.reduce.difference.rows import Given, Rules, aperture_functionals, aperture_rows
from pipeline.reduce.difference.strengths import common_strengths, strength_rows, true_strength

_FLUX: Final = u.erg / u.s / u.cm**2
_SURFACE: Final = "erg s-1 cm-2 arcsec-2"
_TEXT: Final = ("item", "aperture", "line", "method", "status", "error_from")
_NUMBERS: Final = (
    *("coverage", "filled", "ghost_fraction", "ghost_fraction_err", "ghost_fraction_limit"),
    *("relative_flux", "relative_flux_err", "ghost_strength", "ghost_strength_err"),
    *("model_fraction", "model_fraction_err", "truth_fraction"),
)
_STRENGTH_TEXT: Final = ("method", "item", "line", "status")
_STRENGTH_NUMBERS: Final = ("strength", "strength_err", "misfit", "misfit_err", "truth_strength")
_FLUXES: Final = ("flux", "flux_err", "flux_limit")


@dataclass(frozen=True)
class Config(Shapes):
    """Settings of the difference stage: the apertures, and how they are measured.

    Attributes
    ----------
    line_low_kms, line_high_kms : float
        Velocities that a line can reach, instrument included: lines of RBH-1 lie between -600 and
        +50 km/s, and three standard deviations of the instrument are 550 km/s at [O III].
    rank : int
        Number of components of the low-rank sky.
    detected_snr, min_coverage, velocity_kms, sigma_kms : float
        See `pipeline.reduce.difference.rows.Rules`.
    criterion : float
        Share of the wake that artefacts have to be below: criterion C2 of the study
        (reference/science.md section 8).
    """

    line_low_kms: float = -1200.0
    line_high_kms: float = 600.0
    rank: int = 3
    detected_snr: float = 3.0
    min_coverage: float = 0.3
    velocity_kms: float = -250.0
    sigma_kms: float = 150.0
    criterion: float = 0.2

    def __post_init__(self) -> None:
        lengths = (self.tip_radius_arcsec, self.wake_half_width_arcsec, self.clear_arcsec)
        if min(lengths) <= 0 or self.wake_from_arcsec >= self.wake_to_arcsec:
            raise ValueError("apertures need sizes above 0, and wake_from below wake_to")
        if self.line_low_kms >= self.line_high_kms or self.rank < 1 or self.sigma_kms < 0:
            raise ValueError("line_low below line_high, rank of 1 or more, sigma of 0 or more")
        if not (0 < self.min_coverage <= 1 and self.detected_snr > 0 and self.criterion > 0):
            raise ValueError("min_coverage, detected_snr and criterion must be positive")


def run(
    *,
    combined: Mapping[str, Cube],
    standard: Mapping[str, Cube],
    truth: recovery.Truth | None,
    target: Target,
    config: Config,
) -> dict[str, Any]:
    """Measure what every background takes off, with errors from channels without lines.

    See `measured`, which may be given noise models of the combined cubes as well.
    """
    return measured(combined=combined, standard=standard, truth=truth, target=target, config=config)


def measured(
    *,
    combined: Mapping[str, Cube],
    standard: Mapping[str, Cube],
    truth: recovery.Truth | None,
    target: Target,
    config: Config,
    noise: Mapping[str, Noise] | None = None,
) -> dict[str, Any]:
    """Measure what every background takes off every line of every aperture.

    Parameters
    ----------
    combined : mapping of str to Cube
        Cubes of the combine stage, by item: nothing is subtracted.
    standard : mapping of str to Cube
        The archive's cubes as ingested, on the same grids.
    truth : mapping, or None
        Of a simulated observation: item to layer to map. Nothing is measured with it; it is held
        against what was.
    target : manifests.Target
    config : Config
    noise : mapping of str to Noise, optional
        Noise models of the combined cubes, by item; without, errors come from channels without
        lines. The model that the noise stage makes is of the archive's cube: its errors know the
        hits that the combination has masked, and are not those of these fluxes.

    Returns
    -------
    dict
        ``ghosts``: a Table, one row for each item, aperture, line and method; ``subtraction``: the
        fraction of the difference of the pointings beside the distribution over methods, and the
        outcome, as a document; ``strengths``: a Table of the fitted strength of the ghosts by
        method, item and line; ``ghostmap``: for each item a Map
        of every line with and without the other pointing taken off.

    Raises
    ------
    ArdError
        If a line-spread function is not known, or cubes do not fit one another; FormatError if a
        noise model is not that of the combined cube.
    """
    for item, model in (noise or {}).items():
        require_noise_of(model, combined[item], item)
    reach = (config.line_low_kms, config.line_high_kms)
    blocked = {
        item: line_channels(cube.wave, target.lines, target.redshift, reach)
        for item, cube in combined.items()
    }
    pointings = prepare(combined, standard, target, blocked, config, config.rank)
    rules = Rules(config.detected_snr, config.min_coverage, config.velocity_kms, config.sigma_kms)
    places = apertures(target, config)
    fitted = strength_rows(pointings, blocked, target, config, rules)
    rows = [
        row
        for item, pointing in pointings.items()
        for aperture in places
        for row in aperture_rows(
            pointing, aperture, target, blocked[item], rules,
            Given((noise or {}).get(item), common_strengths(fitted)),
        )
    ]  # fmt: skip
    if truth is None:
        rows = [row | {"truth_fraction": float("nan")} for row in rows]
    else:
        known = recovery.true_fractions(pointings, standard, truth, places, target, config)
        rows = [row | {"truth_fraction": known.get(_key(row), float("nan"))} for row in rows]
    simulated = any(cube.simulated for cube in combined.values())
    for row in fitted:
        told = true_strength(row["method"], row["item"], standard)
        row["truth_strength"] = float("nan") if truth is None else told
    return {
        "ghosts": _table(rows, simulated=simulated),
        "strengths": _strengths(fitted, simulated=simulated),
        "subtraction": _document(combined, pointings, rows, config)
        | {"recovery": None if truth is None else recovery.recovered(rows)},
        "ghostmap": {
            item: _map(pointing, places, target, rules) for item, pointing in pointings.items()
        },
    }


def _key(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return row["item"], row["aperture"], str(row["line"]).lower(), row["method"]


def _table(rows: list[dict[str, Any]], *, simulated: bool) -> Table:
    columns: dict[str, Any] = {name: [str(row[name]) for row in rows] for name in _TEXT}
    columns |= {name: np.array([row[name] for row in rows], float) for name in _NUMBERS}
    columns |= {name: np.array([row[name] for row in rows], float) * _FLUX for name in _FLUXES}
    return Table(QTable(columns), {"SIMULATD": simulated})


def _strengths(rows: list[dict[str, Any]], *, simulated: bool) -> Table:
    columns: dict[str, Any] = {
        name: np.array([row[name] for row in rows], str) for name in _STRENGTH_TEXT
    }
    columns |= {name: np.array([row[name] for row in rows], float) for name in _STRENGTH_NUMBERS}
    columns["places"] = np.array([row["places"] for row in rows], int)
    return Table(QTable(columns), {"SIMULATD": simulated})


def _document(
    cubes: Mapping[str, Cube],
    pointings: Mapping[str, Pointing],
    rows: list[dict[str, Any]],
    config: Config,
) -> dict[str, Any]:
    missing = [item for item in cubes if partner_of(item, cubes) is None]
    over = summary.pooled(rows, config.criterion)
    done = summary.judged(over) and not missing
    return {
        "schema": "subtraction",
        "simulated": any(cube.simulated for cube in cubes.values()),
        "status": summary.EVALUATED if done else summary.NOT_EVALUATED,
        "sentence": summary.sentence(missing, over, config.criterion),
        "criterion": config.criterion,
        "offsets": [
            {"item": item, "east_arcsec": p.offset[0], "north_arcsec": p.offset[1]}
            for item, p in pointings.items()
            if p.offset is not None
        ],
        "lines": summary.distributions(rows, config.criterion),
        "apertures": over,
        "tension": summary.tension(rows),
    }


def _map(pointing: Pointing, places: tuple[Aperture, ...], target: Target, rules: Rules) -> Map:
    """Give the flux of every line in every spaxel, with the profile that it has in the wake."""
    place = next((a for a in places if a.name == WAKE), places[0])
    layers: dict[str, Any] = {}
    for functional in aperture_functionals(pointing, place, target, rules):
        plain = functional(pointing.plain.flux * _density(pointing))
        name = functional.line.lower()
        layers[f"plain_{name}"] = np.where(pointing.plain.seen, plain, np.nan)
        taken = pointing.backgrounds.get(POINTINGS)
        if taken is not None:
            both = pointing.plain.seen & taken.seen
            less = plain - functional(taken.flux * _density(pointing))
            layers[f"differenced_{name}"] = np.where(both, less, np.nan)
    keep = ("TELESCOP", "INSTRUME", "GRATING", "FILTER", "TARGNAME", "SIMULATD")
    meta = {key: pointing.cube.meta[key] for key in keep if key in pointing.cube.meta}
    return Map(
        layers=layers,
        units=dict.fromkeys(layers, _SURFACE),
        mask=~pointing.plain.seen,
        wcs=pointing.cube.wcs,
        meta=meta | {"SIMULATD": pointing.cube.simulated},
    )


def _density(pointing: Pointing) -> Any:
    return (pointing.unit / pointing.cube.pixel_area_arcsec2)[:, None, None]
