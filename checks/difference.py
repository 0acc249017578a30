"""Is what backgrounds take off the wake measured properly, and is it what it should be?"""

from typing import Any, Final

import numpy as np

from ard import layout
from checks.folder import Product
from checks.load import document, number, table_columns
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, compare, passed, skipped

GHOSTS: Final = of_kind("table", layout.GHOSTS)
SUBTRACTION: Final = of_kind("document", layout.SUBTRACTION)
STRENGTHS: Final = of_kind("table", layout.STRENGTHS)
MEASURED: Final = "measured"
NOT_EVALUATED: Final = "not evaluated"
COMBINED: Final = "combined"
POINTINGS: Final = "pointings"
ALL: Final = "all"
EVALUATED: Final = "EVALUATED"
ENOUGH: Final = "recovery.ghosts_compared"
FAINT: Final = "look at masks and apertures; waive it for a scene without lines"
PAIRS: Final = ("ghost_fraction", "relative_flux", "ghost_strength", "model_fraction")
WHOLE: Final = 1.0  # strength of a ghost where the whole of the light was taken off


def _columns(product: Product) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.array(values) for name, values in table_columns(product)[0].items()}


@check("difference.values", GHOSTS, ("difference.bad_values",))
def values(product: Product, limits: Limits) -> Outcome:
    """Has every measured row a flux with a positive error, and every fraction an error?"""
    table = _columns(product)
    measured = table["status"] == MEASURED
    flux, err = table["flux"].astype(float), table["flux_err"].astype(float)
    bad = int((measured & ~(np.isfinite(flux) & np.isfinite(err) & (err > 0))).sum())
    for name in PAIRS:
        value, error = (table[key].astype(float) for key in (name, f"{name}_err"))
        bad += int((np.isfinite(value) & ~(np.isfinite(error) & (error >= 0))).sum())
    detail = f"{bad} values without an error in {int(measured.sum())} measured rows"
    return compare(limits["difference.bad_values"], bad, detail, "correct the stage")


@check("difference.filled", GHOSTS, ("difference.filled",))
def filled(product: Product, limits: Limits) -> Outcome:
    """Is every measured flux a sum over voxels that were measured, most of them?"""
    table = _columns(product)
    measured = table["status"] == MEASURED
    if not measured.any():
        return skipped("no line is bright enough in any aperture", FAINT)
    part = table["filled"].astype(float)[measured]
    worst = float(part.max()) if np.isfinite(part).all() else float("nan")
    detail = f"up to {worst:.3f} of a sum, median {np.median(part):.3f}, was filled from neighbours"
    remedy = "look at the masks of the exposures there, or leave the line out"
    return compare(limits["difference.filled"], worst, detail, remedy)


@check("difference.strength", GHOSTS, ("difference.ghost_strength",))
def strength(product: Product, limits: Limits) -> Outcome:
    """Is there no ghost where nothing has been taken off?"""
    table = _columns(product)
    value, err = (table[key].astype(float) for key in ("ghost_strength", "ghost_strength_err"))
    asked = (table["method"] == COMBINED) & np.isfinite(value) & (err > 0)
    if not asked.any():
        return skipped("no line is bright enough where a ghost would be", FAINT)
    weight = (err[asked] * err[asked]) ** -1
    mean = float((weight * value[asked]).sum() / weight.sum())
    detail = f"flux at the place of a ghost is {mean:.3f} of the wake, over {asked.sum()} lines"
    remedy = "look whether the exposures have their background subtracted already"
    return compare(limits["difference.ghost_strength"], abs(mean), detail, remedy)


@check("difference.model", STRENGTHS, ("difference.model_strength", "difference.model_pull"))
def model(product: Product, limits: Limits) -> Outcome:
    """Is what the difference of the pointings took off the wake's own light, displaced?"""
    table = _columns(product)
    mine = (table["method"] == POINTINGS) & (table["item"] == ALL) & (table["line"] == ALL)
    if not (mine & (table["status"] != NOT_EVALUATED)).any():
        # Nothing rests on a strength that nobody could have measured.
        some = bool((table["places"][mine] > 0).any())
        reason = "too few channels without lines" if some else "no place is seen by both pointings"
        return passed(f"not evaluated: {reason}")
    mine &= table["status"] == MEASURED
    if not mine.any():
        return skipped("no line is bright enough where both pointings look", FAINT)
    value, err = (float(table[name][mine][0]) for name in ("strength", "strength_err"))
    off = abs(value - WHOLE)
    detail = f"strength of the ghosts {value:.4f} +- {err:.4f}"
    if limits["difference.model_pull"].accepts(off / err):
        return passed(f"{detail}: 1 within its error", off)
    remedy = "look at the offset of the pointings (TARG_RA, TARG_DEC), and at their flux scales"
    return compare(limits["difference.model_strength"], off, detail, remedy)


@check("difference.fraction", SUBTRACTION, ("difference.ghost_fraction",))
def fraction(product: Product, limits: Limits) -> Outcome:
    """Does the difference of the pointings take off less than the study allows (criterion C2)?"""
    facts = document(product)
    rows = facts.get("apertures")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    rows = [row for row in rows if isinstance(row.get("artefacts"), dict)]
    if facts.get("status") != EVALUATED or not rows:
        # Criterion C2 is no gate of a release, so neither is its absence.
        return passed(f"not evaluated (which is only reported): {facts.get('sentence')}")
    ends = {
        str(row.get("aperture")): max(abs(number(own, end)) for end in ("p025", "p975"))
        for row in rows
        if (own := row["artefacts"])
    }
    worst = max(ends, key=lambda name: ends[name])
    detail = ", ".join(f"{name} up to {end:.3f}" for name, end in sorted(ends.items()))
    remedy = "fit the ghost with the model, and do not subtract pointings"
    return compare(limits["difference.ghost_fraction"], ends[worst], detail, remedy)


def _has_truth(product: Product) -> bool:
    readable = SUBTRACTION(product) and product.facts is not None
    return readable and isinstance(document(product).get("recovery"), dict)


@check("recovery.ghosts", _has_truth, ("recovery.ghost_pull",))
def ghosts(product: Product, limits: Limits) -> Outcome:
    """Are the fractions of a simulated observation the true ones, within their errors?"""
    found = document(product)["recovery"]
    if number(found, "compared") == 0:
        return skipped("no line is bright enough to be compared with the truth", FAINT)
    worst = number(found, "pull_largest")
    detail = (
        f"{number(found, 'compared'):g} fractions, root mean square of (measured - true) / error "
        f"{number(found, 'pull_scatter'):.2f}, largest {worst:.2f}"
    )
    return compare(limits["recovery.ghost_pull"], worst, detail, "look at masks and errors")


@check("recovery.ghost_scatter", _has_truth, ("recovery.ghost_scatter", ENOUGH))
def ghost_scatter(product: Product, limits: Limits) -> Outcome:
    """Are the errors of such fractions as large as their deviations from the truth?"""
    found = document(product)["recovery"]
    scatter = number(found, "pull_scatter")
    detail = f"root mean square of (measured - true) / error is {scatter:.2f}"
    if (few := _too_few(found, limits)) is not None:
        return few
    return compare(limits["recovery.ghost_scatter"], scatter, detail, "look at errors")


@check("recovery.ghost_bias", _has_truth, ("recovery.ghost_bias", ENOUGH))
def ghost_bias(product: Product, limits: Limits) -> Outcome:
    """Are such fractions neither too large nor too small on the whole?"""
    found = document(product)["recovery"]
    bias = number(found, "pull_mean")
    detail = f"mean of (measured - true) / error is {bias:+.2f}"
    if (few := _too_few(found, limits)) is not None:
        return few
    remedy = "look at offsets, and at what is filled"
    return compare(limits["recovery.ghost_bias"], abs(bias), detail, remedy)


def _too_few(found: Any, limits: Limits) -> Outcome | None:
    """Say that there are too few pulls to judge their sizes; None where there are enough."""
    compared, enough = number(found, "compared"), limits[ENOUGH]
    if enough.accepts(compared):
        return None
    return skipped(f"{compared:g} fractions are too few to judge: {enough} needed", FAINT)


def _of_truth(kind: Any, measured: str, truth: str) -> Any:
    """Mean tables in which something was measured whose truth is known, by simulation."""

    def applies(product: Product) -> bool:
        if not kind(product) or product.facts is None:
            return False
        table = _columns(product)
        pairs = [table[name].astype(float) for name in (measured, truth) if name in table]
        return len(pairs) == 2 and bool(np.isfinite(pairs[0] + pairs[1]).any())

    return applies


def _worst_pull(
    product: Product, limit: Any, names: tuple[str, str, str], chosen: np.ndarray[Any, Any]
) -> Outcome:
    """Compare values with true ones, in their errors."""
    table = _columns(product)
    value, err, truth = (table[name].astype(float) for name in names)
    some = chosen & (table["status"] == MEASURED) & np.isfinite(truth) & np.isfinite(value)
    if not some.any():
        return skipped("no line is bright enough to be compared with the truth", FAINT)
    pulls = (value - truth)[some] / err[some]
    worst = float(np.abs(pulls).max())
    scatter = float(np.sqrt(np.mean(pulls * pulls)))
    detail = f"{some.sum()} values, root mean square of (measured - true) / error {scatter:.2f}"
    return compare(limit, worst, f"{detail}, largest {worst:.2f}", "look at offsets and errors")


@check(
    "recovery.ghost_strength",
    _of_truth(STRENGTHS, "strength", "truth_strength"),
    ("recovery.ghost_pull",),
)
def ghost_strengths(product: Product, limits: Limits) -> Outcome:
    """Are the fitted strengths of ghosts of a simulated observation the true ones?"""
    names = ("strength", "strength_err", "truth_strength")
    everything = np.ones(len(_columns(product)["status"]), bool)
    return _worst_pull(product, limits["recovery.ghost_pull"], names, everything)


@check(
    "recovery.ghost_model",
    _of_truth(GHOSTS, "model_fraction", "truth_fraction"),
    ("recovery.ghost_pull",),
)
def ghost_model(product: Product, limits: Limits) -> Outcome:
    """Are the fractions of the fitted ghost the true ones, within their errors?"""
    names = ("model_fraction", "model_fraction_err", "truth_fraction")
    pointings = _columns(product)["method"] == POINTINGS
    return _worst_pull(product, limits["recovery.ghost_pull"], names, pointings)
