"""Was a cube combined from the right exposures, without hits, and does the archive's agree?"""

from typing import Any, Final

import numpy as np

from ard import layout
from checks.folder import Product
from checks.load import document, number, table_columns
from checks.registry import Limits, check, of_kind
from checks.result import Outcome, compare, failed, skipped

COMBINATION: Final = of_kind("document", layout.COMBINATION)
RESAMPLING: Final = of_kind("table", layout.RESAMPLING)
SCIENCE: Final = "science"


def _exposures(product: Product) -> list[dict[str, Any]]:
    rows = document(product).get("exposures")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


@check("combine.roles", COMBINATION, ("combine.wrong_role",))
def roles(product: Product, limits: Limits) -> Outcome:
    """Are all combined exposures science exposures, as the exposures table of the run says?"""
    tables = product.folder.siblings(None, layout.EXPOSURES)
    if not tables or tables[0].facts is None:
        return failed("there is no readable table of exposures", "put the table back")
    columns, _ = table_columns(tables[0])
    names, kinds = (columns.get(key, []) for key in ("filename", "role"))
    role = dict(zip(names, kinds, strict=True))
    wrong = [
        f"{row.get('filename')} ({role.get(row.get('filename'), 'not listed')})"
        for row in _exposures(product)
        if role.get(row.get("filename")) != SCIENCE
    ]
    detail = ", ".join(wrong) or f"{len(_exposures(product))} science exposures"
    return compare(limits["combine.wrong_role"], len(wrong), detail, "combine again without them")


@check("combine.exposures", COMBINATION, ("combine.exposures",))
def exposures(product: Product, limits: Limits) -> Outcome:
    """Did enough exposures give usable voxels?"""
    used = [row for row in _exposures(product) if number(row, "good") > 0]
    detail = f"{len(used)} of {len(_exposures(product))} exposures have usable voxels"
    remedy = "fetch the other exposures, or leave fewer out"
    return compare(limits["combine.exposures"], len(used), detail, remedy)


def _against_archive(product: Product, limits: Limits, name: str, field: str) -> Outcome:
    archive = document(product).get("archive")
    archive = archive if isinstance(archive, dict) else {}
    if archive.get("subtracted") is True:
        detail = "the archive's cube has its background subtracted: not comparable"
        return skipped(detail, "waive it for this pointing, if that cube is the only one")
    value = abs(number(archive, field))
    detail = f"{field} {value:.3g} over {number(archive, 'compared'):g} voxels"
    remedy = "compare both cubes by eye: offsets of the exposures, units, background"
    return compare(limits[name], value, detail, remedy)


@check("combine.archive_bias", COMBINATION, ("combine.archive_bias",))
def archive_bias(product: Product, limits: Limits) -> Outcome:
    """Has the combined cube the level of the archive's own?"""
    return _against_archive(product, limits, "combine.archive_bias", "median_err")


@check("combine.archive_scatter", COMBINATION, ("combine.archive_scatter",))
def archive_scatter(product: Product, limits: Limits) -> Outcome:
    """Does the combined cube differ from the archive's own by less than its noise?"""
    return _against_archive(product, limits, "combine.archive_scatter", "scatter_noise")


@check("combine.scatter", COMBINATION, ("combine.scatter",))
def scatter(product: Product, limits: Limits) -> Outcome:
    """Do the dithers scatter about as much as their errors say?"""
    ratio = number(document(product), "scatter_over_err")
    detail = f"scatter between dithers over error is {ratio:.2f}"
    return compare(limits["combine.scatter"], ratio, detail, "look at the errors and the offsets")


@check("combine.tail", COMBINATION, ("combine.tail", "combine.tail_errors"))
def hits_left(product: Product, limits: Limits) -> Outcome:
    """Are there few voxels without a line so far from their spectrum that they must be hits?"""
    found = document(product).get("tail")
    found = found if isinstance(found, dict) else {}
    beyond, compared = number(found, "beyond"), number(found, "compared")
    # What chance makes of a few is not held against a small cube.
    errors = limits["combine.tail_errors"]
    allowed = errors.value[-1] if isinstance(errors.value, tuple) else errors.value
    left = float(np.maximum(beyond - allowed * np.sqrt(beyond), 0.0))  # NaN stays NaN
    share = left / compared if compared > 0 else float("nan")
    sigma = number(found, "n_sigma")
    detail = f"{beyond:g} of {compared:g} voxels without a line are beyond {sigma:g} sigma"
    remedy = "look where in the field they are, and at the rejection of hits"
    return compare(limits["combine.tail"], share, detail, remedy)


@check("combine.agrees", COMBINATION, ("quality.disagreement",))
def agrees(product: Product, limits: Limits) -> Outcome:
    """Is what the document says about a combined cube true of that cube?"""
    cubes = [p for p in product.folder.siblings(product.item, layout.COMBINED) if p.facts]
    if not cubes:
        return skipped("the cube it is about is not there or cannot be read", "see the cube")
    said = number(document(product), "masked_fraction")
    found = number(cubes[0].facts or {}, "masked_fraction")
    detail = f"masked fraction {said:.6f} here, {found:.6f} in the cube"
    return compare(limits["quality.disagreement"], abs(said - found), detail, "combine again")


@check("combine.correlation", RESAMPLING, ("combine.correlation",))
def correlation(product: Product, limits: Limits) -> Outcome:
    """Is the correlation of spaxels possible: 1 with themselves, and no larger with others?"""
    columns, _ = table_columns(product)
    names = ("correlation", "correlation_min", "correlation_max")
    values = np.array([columns.get(name, []) for name in names], dtype=float)
    apart = np.array([columns.get(name, []) for name in ("dx", "dy")], dtype=float)
    itself = ~apart.any(axis=0)
    if not itself.any() or (values[:, itself] != 1).any():
        return failed("a spaxel is not correlated with itself", "combine again", limit="1")
    limit = limits["combine.correlation"]
    outside = [float(value) for value in values.ravel() if not limit.accepts(float(value))]
    others = values[0, ~itself].max(initial=0)
    worst = outside[0] if outside else float(others)
    detail = f"largest correlation of two spaxels {others:.3g}, {len(outside)} values outside"
    return compare(limit, worst, detail, "combine again; overlap areas are never negative")
