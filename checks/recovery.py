"""Does the analysis give back what the simulator put in?

Every group of lines with enough spaxels to take a median over has to; which that are is the
threshold ``recovery.compared``.
"""

import math
from statistics import fmean
from typing import Any, Final

from ard import layout
from checks.folder import Product
from checks.load import document, number
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, compare, passed, skipped

RECOVERY: Final = of_kind("document", layout.RECOVERY)
POSTERIORS: Final = of_kind("document", layout.KINEMATICS_RECOVERY)
ENOUGH: Final = "recovery.compared"
LOOK: Final = "compare the map with the truth by eye, and look at the noise model and the LSF"


def _groups(product: Product) -> list[dict[str, Any]]:
    """Give the rows of the groups, the one with the most spaxels first."""
    rows = document(product).get("groups")
    groups = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return sorted(groups, key=lambda row: number(row, "n_compared"), reverse=True)


def _hold(
    product: Product, limits: Limits, name: str, field: str, *, size: bool = False
) -> Outcome:
    """Hold a field of every group with enough spaxels against a threshold.

    Reported is the first group that misses it; if none does, the group with the most spaxels.
    """
    enough, limit = limits[ENOUGH], limits[name]
    groups = [g for g in _groups(product) if enough.accepts(number(g, "n_compared"))]
    if not groups:
        return skipped("no group has enough spaxels", f"see {ENOUGH}")
    values = {str(group.get("group")): number(group, field) for group in groups}
    if size:
        values = {group: abs(value) for group, value in values.items()}
    misses = [value for value in values.values() if not limit.accepts(value)]
    measured = next(iter([*misses, *values.values()]))
    each = ", ".join(f"{group} {value:.3g}" for group, value in values.items())
    return compare(limit, measured, f"{field}: {each}", LOOK)


@check("recovery.compared", RECOVERY, (ENOUGH,))
def compared(product: Product, limits: Limits) -> Outcome:
    """Were enough spaxels compared with the truth, in at least one group of lines?"""
    groups = _groups(product)
    most = number(groups[0], "n_compared") if groups else float("nan")
    each = ", ".join(f"{group.get('group')} {number(group, 'n_compared'):g}" for group in groups)
    return compare(limits[ENOUGH], most, f"spaxels: {each or 'no group'}", LOOK)


@check("recovery.velocity_bias", RECOVERY, ("recovery.velocity_bias", ENOUGH))
def velocity_bias(product: Product, limits: Limits) -> Outcome:
    """Is the recovered velocity right in the median?"""
    return _hold(product, limits, "recovery.velocity_bias", "velocity_bias_kms", size=True)


@check("recovery.velocity_scatter", RECOVERY, ("recovery.velocity_scatter", ENOUGH))
def velocity_scatter(product: Product, limits: Limits) -> Outcome:
    """Does the recovered velocity scatter little about the truth?"""
    return _hold(product, limits, "recovery.velocity_scatter", "velocity_scatter_kms")


@check("recovery.velocity_pull", RECOVERY, ("recovery.velocity_pull", ENOUGH))
def velocity_pull(product: Product, limits: Limits) -> Outcome:
    """Are the errors of the velocity as large as its deviations from the truth?"""
    return _hold(product, limits, "recovery.velocity_pull", "velocity_pull_scatter")


@check("recovery.flux_ratio", RECOVERY, ("recovery.flux_ratio", ENOUGH))
def flux_ratio(product: Product, limits: Limits) -> Outcome:
    """Is the flux of the brightest line recovered in the median?"""
    return _hold(product, limits, "recovery.flux_ratio", "flux_ratio_median")


@check("recovery.sigma_bias", RECOVERY, ("recovery.sigma_bias", ENOUGH))
def sigma_bias(product: Product, limits: Limits) -> Outcome:
    """Is the intrinsic width recovered in the median?"""
    return _hold(product, limits, "recovery.sigma_bias", "sigma_bias_kms", size=True)


@check("recovery.model_error", POSTERIORS, ("recovery.model_pull", ENOUGH))
def model_error(product: Product, limits: Limits) -> Outcome:
    """How far off, in errors, is the model of spaxels whose light is a blend?"""
    remedy = "model the cube as a whole where errors of the model are larger than those of noise"
    return _largest(product, limits, "recovery.model_pull", "model_pull_rms", remedy)


@check("recovery.posteriors", POSTERIORS, ("recovery.coverage", ENOUGH))
def posteriors(product: Product, limits: Limits) -> Outcome:
    """Do intervals of 68 % hold what the model would give without noise?"""
    remedy = "look at the noise model, and at spaxels with hits"
    return _largest(product, limits, "recovery.coverage", "expected_coverage_68", remedy)


def _largest(product: Product, limits: Limits, limit_id: str, name: str, remedy: str) -> Outcome:
    """Report a field of the bins with enough spaxels that is furthest from what is wanted.

    That is the middle of a limit with two ends, and zero for one with a single end.
    """
    limit = limits[limit_id]
    wanted = fmean(limit.value) if isinstance(limit.value, tuple) else 0.0
    rows = document(product).get("rows")
    some = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    some = [row for row in some if limits[ENOUGH].accepts(number(row, "n_compared"))]
    if not some:
        return passed(f"no bin has enough spaxels to report, see {ENOUGH}")
    values = [number(row, name) for row in some]
    each = ", ".join(
        f"{row.get('line')} {row.get('quantity')} from S/N {number(row, 'snr_min'):g} {value:.3g}"
        for row, value in zip(some, values, strict=True)
    )
    # What is not a number is never nearer than a number is.
    worst = max(values, key=lambda v: math.inf if math.isnan(v) else abs(v - wanted))
    return compare(limit, worst, f"{name}: {each}", remedy)
