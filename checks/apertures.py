"""Could the lines of the apertures be those numbers, and do spectra and lines tell one story?"""

from collections import defaultdict
from typing import Any, Final

import numpy as np

from ard import layout
from checks.folder import Product
from checks.load import FloatArray, table_columns
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, compare, failed, passed

FLUXES: Final = of_kind("table", layout.FLUXES)
MEASURED: Final = ("detected", "limit")
REFIT: Final = "correct the stage extract"


class Columns:
    """The columns of a table as arrays; a column that is missing has no values."""

    def __init__(self, product: Product) -> None:
        self._columns, _ = table_columns(product)

    def numbers(self, name: str) -> FloatArray:
        """Give a column of numbers, shape (n_rows,)."""
        return np.array([_number(value) for value in self._columns.get(name, ())], dtype=float)

    def texts(self, name: str) -> list[str]:
        """Give a column of texts."""
        return [str(value) for value in self._columns.get(name, ())]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float | np.number) else float("nan")


@check("physics.fluxes_lines", FLUXES, ("fluxes.missing_lines",))
def fluxes_lines(product: Product, limits: Limits) -> Outcome:
    """Does every aperture say something of every line that was looked for?"""
    lists = product.folder.siblings(None, layout.LINES)
    if not lists or lists[0].facts is None:
        return failed("there is no readable list of lines", "put the list back")
    wanted = set(Columns(lists[0]).texts("name"))
    table = Columns(product)
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    keys = (table.texts("aperture"), table.texts("method"), table.texts("line"))
    for aperture, method, line in zip(*keys, strict=False):
        found[aperture, method].add(line)
    lacking = {key: wanted ^ lines for key, lines in found.items() if wanted ^ lines}
    count = sum(len(lines) for lines in lacking.values())
    where = "; ".join(f"{a} {m}: {', '.join(sorted(n))}" for (a, m), n in lacking.items())
    detail = f"{len(found)} spectra; lacking or unknown: {where or 'none'}"
    return compare(limits["fluxes.missing_lines"], count, detail, REFIT)


@check("physics.fluxes_snr", FLUXES, ("fluxes.snr", "fluxes.detected"))
def fluxes_snr(product: Product, limits: Limits) -> Outcome:
    """Is the signal to noise flux over error, and the state what it says?"""
    table = Columns(product)
    flux, err, snr = (table.numbers(name) for name in ("flux", "flux_err", "snr"))
    states = np.array(table.texts("state"))
    seen = np.isin(states, MEASURED)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = flux / err
        off = np.abs(ratio - snr) / np.maximum(np.abs(snr), 1.0)
    worst = float(np.max(np.where(np.isnan(off[seen]), np.inf, off[seen]), initial=0.0))
    bright = np.array([limits["fluxes.detected"].accepts(float(value)) for value in ratio])
    wrong = seen & (bright != (states == "detected"))
    if wrong.any():
        detail = f"{int(wrong.sum())} lines have a state that flux over error denies"
        return failed(detail, REFIT, measured=int(wrong.sum()), limit="none")
    detail = f"differs from flux over error by up to {worst:.2g}"
    return compare(limits["fluxes.snr"], worst, detail, REFIT)


@check("physics.fluxes_ratio", FLUXES, ("fluxes.ratio",))
def fluxes_ratio(product: Product, limits: Limits) -> Outcome:
    """Do lines whose ratio atomic physics fixes have that ratio in every aperture?"""
    lists = product.folder.siblings(None, layout.LINES)
    if not lists or lists[0].facts is None:
        return failed("there is no readable list of lines", "put the list back")
    lines = Columns(lists[0])
    fixed = zip(lines.texts("name"), lines.texts("ratio_to"), lines.numbers("ratio"), strict=True)
    table = Columns(product)
    keys = (table.texts("aperture"), table.texts("method"), table.texts("line"))
    flux = dict(zip(zip(*keys, strict=True), table.numbers("flux"), strict=True))
    worst = 0.0
    for name, to, ratio in fixed:
        for (aperture, method, line), value in flux.items():
            other = flux.get((aperture, method, to), float("nan"))
            if line == name and np.isfinite(value) and np.isfinite(other) and other != 0.0:
                worst = max(worst, abs(value / (ratio * other) - 1.0))
    detail = f"off by up to {worst:.2g} of the ratio"
    return compare(limits["fluxes.ratio"], worst, detail, "tie the fluxes in the fit")


@check("physics.fluxes_velocity", FLUXES, ("map.velocity_abs",))
def fluxes_velocity(product: Product, limits: Limits) -> Outcome:
    """Are all velocities inside the window in which the lines were looked for?"""
    velocity = Columns(product).numbers("velocity")
    known = velocity[np.isfinite(velocity)]
    worst = float(np.abs(known).max(initial=0.0))
    detail = f"largest speed {worst:.0f} km/s of {known.size} groups and lines"
    return compare(limits["map.velocity_abs"], worst, detail, REFIT)


@check("physics.fluxes_chi2", FLUXES, ("fluxes.chi2_dof", "map.detection_snr"))
def fluxes_chi2(product: Product, limits: Limits) -> Outcome:
    """Do the errors explain what the fits leave over, where noise and not the source decides?

    A bright line that is not quite Gaussian makes chi-square large, however good the errors are:
    asked are lines below the detection limit of maps.
    """
    table = Columns(product)
    chi2, dof, snr = (table.numbers(name) for name in ("chi2", "dof", "snr"))
    measured = np.isfinite(chi2) & (dof > 0)
    if not measured.any():
        states = sorted(set(table.texts("state")))
        return failed(f"no line was measured: {', '.join(states)}", "look at apertures and mask")
    faint = measured & ~np.array([limits["map.detection_snr"].accepts(float(v)) for v in snr])
    if not faint.any():
        return passed(f"all {int(measured.sum())} lines are too bright to judge the noise by")
    middle = float(np.median(chi2[faint] / dof[faint]))
    detail = f"median chi2/dof {middle:.2f} over {int(faint.sum())} faint lines"
    return compare(limits["fluxes.chi2_dof"], middle, detail, "look at the noise of the cube")
