"""Could the lines of the apertures be those numbers, and do spectra and lines tell one story?"""

from collections import defaultdict
from dataclasses import replace
from typing import Any, Final

import numpy as np

from ard import layout
from ard.table import read_ecsv
from checks.folder import Product
from checks.load import FloatArray, table_columns
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, compare, failed, passed, skipped

FLUXES: Final = of_kind("table", layout.FLUXES)
PRODUCT: Final = "noise product"
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
    off = []
    for name, to, ratio in fixed:
        for (aperture, method, line), value in flux.items():
            other = flux.get((aperture, method, to), float("nan"))
            if line == name and np.isfinite(value) and np.isfinite(other) and other != 0.0:
                off.append(abs(value / (ratio * other) - 1.0))
    if not off:
        return passed("nothing to compare: no two lines with a fixed ratio were both measured")
    detail = f"{len(off)} pairs, off by up to {max(off):.2g} of the ratio"
    return compare(limits["fluxes.ratio"], max(off), detail, "tie the fluxes in the fit")


@check("physics.fluxes_velocity", FLUXES, ("map.velocity_abs",))
def fluxes_velocity(product: Product, limits: Limits) -> Outcome:
    """Are all velocities inside the window in which the lines were looked for?"""
    velocity = Columns(product).numbers("velocity")
    known = velocity[np.isfinite(velocity)]
    if not known.size:
        return passed("no velocity is given: every line is a limit, or was not measured")
    worst = float(np.abs(known).max())
    detail = f"largest speed {worst:.0f} km/s of {known.size} groups and lines"
    return compare(limits["map.velocity_abs"], worst, detail, REFIT)


def _groups(table: Columns) -> dict[tuple[str, str, str], list[int]]:
    """Give the rows of every group of lines that was measured: they share a fit."""
    chi2, dof = table.numbers("chi2"), table.numbers("dof")
    keys = (table.texts("aperture"), table.texts("method"), table.texts("group"))
    rows: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for number, key in enumerate(zip(*keys, strict=False)):
        if np.isfinite(chi2[number]) and dof[number] > 0:
            rows[key].append(number)
    return rows


def _faint(product: Product, limits: Limits) -> tuple[dict[tuple[str, str, str], float], int]:
    """Give chi2/dof of the groups without a line bright enough for maps, and how many there are.

    A bright line that is not quite Gaussian makes chi-square large, however good the errors are.
    """
    table = Columns(product)
    chi2, dof, flux, err = (table.numbers(name) for name in ("chi2", "dof", "flux", "flux_err"))
    misfit, profile = table.numbers("misfit"), table.numbers("profile_err")
    # By the noise alone: a bad fit does not make a line faint.
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = flux / (np.sqrt(np.square(err) - np.square(profile * flux)) / misfit)
    groups = _groups(table)
    bright = limits["map.detection_snr"]
    faint = {
        key: float(max(chi2[k] / dof[k] for k in rows))
        for key, rows in groups.items()
        if not any(bright.accepts(float(snr[k])) for k in rows)
    }
    return faint, len(groups)


def _nothing(product: Product, groups: int) -> Outcome:
    if groups:
        # A bright source is no fault; its noise is judged where there are no lines.
        return passed(
            f"not judged by the fits: all {groups} groups have a line too bright for it; "
            "the checks noise.* judge the noise in channels without lines"
        )
    states = sorted(set(Columns(product).texts("state")))
    return failed(f"no line was measured: {', '.join(states)}", "look at apertures and mask")


@check(
    "physics.fluxes_chi2",
    FLUXES,
    ("fluxes.chi2_dof", "fluxes.chi2_dof_err", "fluxes.chi2_compared", "map.detection_snr"),
)
def fluxes_chi2(product: Product, limits: Limits) -> Outcome:
    """Do the errors explain what the fits leave over, where noise and not the source decides?

    More is asked of a noise that was measured than of ERR alone, and of many groups than of few.
    """
    faint, groups = _faint(product, limits)
    if not faint:
        return _nothing(product, groups)
    source = str(read_ecsv(product.path).meta.get("NOISE", ""))
    strict = source.startswith(PRODUCT) and limits["fluxes.chi2_compared"].accepts(len(faint))
    name = "fluxes.chi2_dof" if strict else "fluxes.chi2_dof_err"
    middle = float(np.median(list(faint.values())))
    detail = f"median chi2/dof {middle:.2f} over {len(faint)} faint groups; {source}"
    return compare(limits[name], middle, detail, "look at the noise of the cube")


@check("physics.fluxes_worst", FLUXES, ("fluxes.chi2_worst", "map.detection_snr"))
def fluxes_worst(product: Product, limits: Limits) -> Outcome:
    """Does the worst fit of a faint group leave no more than a hit would?"""
    faint, groups = _faint(product, limits)
    if not faint:
        return _nothing(product, groups)
    worst = max(faint, key=lambda key: faint[key])
    detail = f"largest chi2/dof {faint[worst]:.2f}: {' '.join(worst)}"
    remedy = "look for hits in the channels of this group"
    return compare(limits["fluxes.chi2_worst"], faint[worst], detail, remedy)


def _has_truth(product: Product) -> bool:
    readable = FLUXES(product) and product.facts is not None
    return readable and bool(np.isfinite(Columns(product).numbers("flux_true")).any())


@check(
    "recovery.fluxes",
    _has_truth,
    ("recovery.aperture_pull", "recovery.aperture_scatter", "recovery.aperture_compared",
     "recovery.aperture_inside"),
)  # fmt: skip
def fluxes_recovery(product: Product, limits: Limits) -> Outcome:
    """Are the fluxes of a simulated observation the true ones, within their errors?"""
    table = Columns(product)
    names = ("flux", "flux_err", "flux_true", "inside")
    flux, err, true, inside = (table.numbers(name) for name in names)
    pull = (flux - true) / err
    wanted = limits["recovery.aperture_inside"]
    whole = np.array([wanted.accepts(float(value)) for value in inside])
    known = np.isfinite(pull) & whole
    if not known.any():
        remedy = "look at the apertures of the target; waive it for a scene without lines"
        return skipped("no line of an aperture inside the field was measured", remedy)
    method = np.array(table.texts("method"))
    sizes = {
        name: float(np.sqrt(np.mean(np.square(pull[known & (method == name)]))))
        for name in sorted(set(method[known]))
    }
    largest = float(np.abs(pull[known]).max())
    each = ", ".join(f"{name} {size:.2f}" for name, size in sizes.items())
    detail = (
        f"{int(known.sum())} lines, (measured - true) / error: root mean square {each}, "
        f"largest {largest:.2f}"
    )
    remedy = "look for hits, and at the profile and the noise of the apertures"
    outcome = compare(limits["recovery.aperture_pull"], largest, detail, remedy)
    enough = limits["recovery.aperture_compared"].accepts(float(known.sum()))
    scatter = limits["recovery.aperture_scatter"]
    if not enough:
        few = "too few to judge the root mean square, so that the largest alone counts"
        return replace(outcome, detail=f"{outcome.detail}; {few}")
    if not scatter.accepts(max(sizes.values())):
        return compare(scatter, max(sizes.values()), detail, remedy)
    return outcome
