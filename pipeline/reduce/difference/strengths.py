"""Which strength has the ghost of every line, and of all together, in every difference there is?

Two cubes may have a pointing taken off: the difference that the study makes, in which the strength
is 1 if the offset is right, and the archive's own cube, in which it is 0 if nothing was taken off.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ard.cube import BoolArray, Cube
from manifests import Target
from pipeline.reduce.difference import ghost
from pipeline.reduce.difference.apertures import WAKE, Shapes, apertures
from pipeline.reduce.difference.background import POINTINGS, STANDARD, Background, Filled
from pipeline.reduce.difference.fraction import Ratio
from pipeline.reduce.difference.functional import Functional
from pipeline.reduce.difference.pointing import Pointing
from pipeline.reduce.difference.recovery import SUBTRACTED
from pipeline.reduce.difference.rows import (
    MEASURED,
    NO_INPUT,
    NOTHING,
    UNDETECTED,
    Rules,
    aperture_functionals,
    line_names,
)
from pipeline.reduce.difference.summary import mean

ALL: Final = "all"
DIFFERENCES: Final = (POINTINGS, STANDARD)
Row = dict[str, Any]


def strength_rows(
    pointings: Mapping[str, Pointing],
    blocked: Mapping[str, BoolArray],
    target: Target,
    shapes: Shapes,
    rules: Rules,
) -> list[Row]:
    """Give the strength by difference, pointing and line, and of all pointings and lines.

    Parameters
    ----------
    pointings : mapping of str to Pointing
    blocked : mapping of str to ndarray of bool, shape (n_wave,)
        Channels that lines can reach.
    target : manifests.Target
    shapes : Shapes
        The part ``clear_arcsec``: places of the sky farther from the wake are left out.
    rules : Rules

    Returns
    -------
    list of dict
        One row for each method of `DIFFERENCES`; item (``all`` for one strength of all pointings)
        and line (``all`` for one of all lines). None without a second pointing.
    """
    paired = {item: p for item, p in pointings.items() if p.offset is not None}
    if not paired:
        return []
    # One sum over channels for all pointings: what they share cancels only in the same sum.
    first = next(iter(paired))
    place = next((a for a in apertures(target, shapes) if a.name == WAKE), None)
    place = place or apertures(target, shapes)[0]
    found = {f.line: f for f in aperture_functionals(paired[first], place, target, rules)}
    closed = blocked[first].copy()
    for pointing in paired.values():
        closed |= ~pointing.plain.live
    rows = []
    for method in DIFFERENCES:
        where = {item: _places(p, method, target, shapes) for item, p in paired.items()}
        seen = {
            line: _views(paired, where, method, found.get(line), closed)
            for line in line_names(paired[first], target)
        }
        for item in (*paired, ALL):
            facts = {"method": method, "item": item, "places": _count(where, item)}
            mine = [_row(facts | {"line": line}, views) for line, views in seen.items()]
            rows += [*mine, _pooled(facts | {"line": ALL}, mine)]
    return rows


def _count(where: Mapping[str, ghost.Places | None], item: str) -> int:
    """Say how many places are seen twice, whether a line is bright enough there or not."""
    return sum(
        place.own.shape[0]
        for name, place in where.items()
        if item in (name, ALL) and place is not None
    )


def _taken(pointing: Pointing, method: str) -> tuple[Filled, Filled | Background]:
    """Give own light and what was taken off, on the same voxels."""
    if method == POINTINGS:
        return pointing.plain, pointing.backgrounds[POINTINGS]
    common, standard = pointing.common, pointing.standard
    seen, known = common.seen & standard.seen, common.measured & standard.measured
    flux = common.flux - standard.flux
    return common, Background(flux, common.var, seen, common.live, known)


def _places(pointing: Pointing, method: str, target: Target, shapes: Shapes) -> ghost.Places | None:
    offset = pointing.offset or (0.0, 0.0)
    _, taken = _taken(pointing, method)
    return ghost.places(pointing, taken.seen, target, shapes.clear_arcsec, offset)


def _views(
    pointings: Mapping[str, Pointing],
    where: Mapping[str, ghost.Places | None],
    method: str,
    functional: Functional | None,
    closed: BoolArray,
) -> dict[str, ghost.Views] | None:
    """Give the views of a line by pointing; None where it has no sum, or its sum no error."""
    shifts = None if functional is None else ghost.free_placements(functional, closed)
    if functional is None or shifts is None:
        return None
    return {
        item: ghost.views(pointing, _taken(pointing, method), place, functional, shifts)
        for item, pointing in pointings.items()
        if (place := where[item]) is not None
    }


def _row(facts: Row, views: dict[str, ghost.Views] | None) -> Row:
    if views is None or not facts["places"]:
        return facts | _nothing(NO_INPUT)
    found = ghost.strength([v for name, v in views.items() if facts["item"] in (name, ALL)])
    if found is None:
        return facts | _nothing(UNDETECTED)
    return facts | {
        "status": MEASURED,
        "strength": found.value,
        "strength_err": found.err,
        "misfit": found.misfit,
        "misfit_err": found.misfit_err,
    }


def _pooled(facts: Row, rows: list[Row]) -> Row:
    """Give one strength of all lines: their weighted mean."""
    some = [row for row in rows if row["status"] == MEASURED]
    if not some:
        undetected = any(row["status"] == UNDETECTED for row in rows)
        return facts | _nothing(UNDETECTED if undetected else NO_INPUT)
    over = mean([Ratio(row["strength"], row["strength_err"]) for row in some])
    misfit = _mean_misfit([row for row in some if row["misfit_err"] > 0])
    return facts | {
        "status": MEASURED,
        "strength": over.value,
        "strength_err": over.err,
        "misfit": misfit.value,
        "misfit_err": misfit.err,
    }


def _mean_misfit(rows: list[Row]) -> Ratio:
    """Average by noise alone: a misfit of one line does not make that of another less certain."""
    if not rows:
        return NOTHING
    value, err = (np.array([row[name] for row in rows]) for name in ("misfit", "misfit_err"))
    weight = 1.0 / err**2
    return Ratio(float(weight @ value / weight.sum()), float(weight.sum() ** -0.5))


def _nothing(status: str) -> Row:
    names = ("strength", "strength_err", "misfit", "misfit_err")
    return {"status": status} | dict.fromkeys(names, float("nan"))


def common_strengths(rows: list[Row]) -> dict[str, Ratio]:
    """Give the strength of all pointings and lines by method, where it was measured."""
    return {
        row["method"]: Ratio(row["strength"], row["strength_err"])
        for row in rows
        if (row["item"], row["line"], row["status"]) == (ALL, ALL, MEASURED)
    }


def true_strength(method: str, item: str, standard: Mapping[str, Cube]) -> float:
    """Give the strength that a simulated difference has; NaN where its pointings differ in it."""
    if method == POINTINGS:
        return 1.0
    chosen = [cube for name, cube in standard.items() if item in (name, ALL)]
    known = {str(c.meta.get("S_BKDSUB", "")).strip().upper() == SUBTRACTED for c in chosen}
    return float(np.nan) if len(known) != 1 else float(known.pop())
