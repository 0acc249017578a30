"""Which line ratios has a shock between the models of a grid?

Curves are laid through the models once, when a grid is loaded: Akima's in ln v (Akima 1970, J. ACM
17, 589), then a cubic spline in ln(b + 0.3), the pair that does best on models held out
(reference/shocks.md section 4). They are kept on a lattice that has every model among its nodes;
between its nodes everything is linear. Nothing is filled and nothing extrapolated: where a model is
missing, all cells around it are void. Abundance sets are categories.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.interpolate import Akima1DInterpolator, CubicSpline

from ard.cube import sealed
from ard.errors import ArdError
from pipeline.shocks.grid import HBETA, Abundance, BoolArray, FloatArray, ShockGrid
from pipeline.shocks.hii import HiiGrid
from pipeline.shocks.lattice import F_PRECURSOR, LOG_N, Axis, B, Lattice, V
from pipeline.shocks.toy import B_OFFSET

_TWO: Final = 2


@dataclass(frozen=True)
class Steps:
    """Steps of the lattice from one model to the next.

    Along fields and velocities that is the mean: models stand at uneven distances, and there are
    more steps where these are large. A sum over nodes is best where steps are equal, and a
    posterior as narrow as the longest of them would be off.

    Attributes
    ----------
    b, v, f_precursor : int
        With 8 fields and 37 velocities the defaults make 65 x 177 nodes for each set.
    """

    b: int = 9
    v: int = 5
    f_precursor: int = 2


_FRACTIONS: Final = np.linspace(0.0, 1.0, 11)


def refine(
    grid: ShockGrid,
    lines: Sequence[str],
    steps: Steps | None = None,
    *,
    log_n: float | None = None,
) -> Lattice:
    """Lay curves through the models of a grid.

    Parameters
    ----------
    grid : ShockGrid
        Values of density or field that have no model at all are dropped. Along density all is
        linear: no number says which curve does better.
    lines : sequence of str
    steps : Steps, optional
    log_n : float, optional
        Take models of this density only. Where fields differ from density to density, many cells
        have no model at a corner, and are void: `ShockGrid.block` finds a part without holes.

    Raises
    ------
    ArdError
        If the grid lacks a line or the density, or has fewer than two velocities.
    """
    if log_n is not None:
        grid = _at_density(grid, log_n)
    places = grid.line_index(lines)
    hole = grid.mask[..., places].any(axis=-1)
    part = _without_empty(grid, hole, places)
    return _lattice(part, part.log_ratio, part.mask.any(axis=-1), steps or Steps())


def refine_mixed(
    shock: ShockGrid,
    precursor: ShockGrid,
    lines: Sequence[str],
    steps: Steps | None = None,
    *,
    log_n: float | None = None,
) -> Lattice:
    """Lay curves through shocks of which a part, 0 to 1, of the precursor is seen too.

    F = (F_s Hb_s + f F_p Hb_p) / (Hb_s + f Hb_p) for fluxes over H beta (Allen et al. 2008, ApJS
    178, 20, tables 6 to 8, where f = 1): fluxes add.

    Parameters
    ----------
    shock, precursor : ShockGrid
        Of the same models; with H beta among their lines, and its flux.
    lines : sequence of str
    steps : Steps, optional
    log_n : float, optional
        As of `refine`.

    Raises
    ------
    ArdError
        If they are not of the same models, or a line is missing.
    """
    _require_alike(shock, precursor)
    if log_n is not None:
        shock, precursor = (_at_density(grid, log_n) for grid in (shock, precursor))
    total = [_log_flux(grid, lines) for grid in (shock, precursor)]
    hole = np.isnan(total[0]).any(axis=-1) | np.isnan(total[1]).any(axis=-1)
    part = _without_empty(shock, hole, shock.line_index(lines))
    kept = np.ix_(*_kept(hole))
    fluxes = [10.0 ** flux[kept] for flux in total]
    mixed = [np.log10(fluxes[0] + f * fluxes[1]) for f in _FRACTIONS]
    # The last column is H alpha itself.
    ratio = np.stack([one[..., :-1] - one[..., -1:] for one in mixed], axis=2)
    return _lattice(part, ratio, np.isnan(ratio).any(axis=-1), steps or Steps(), mixed=True)


def refine_hii(grid: HiiGrid, lines: Sequence[str], n_step: int = 4) -> Lattice:
    """Lay lines through models of H II regions: what the ratios are held against besides shocks.

    Parameters
    ----------
    grid : HiiGrid
        Its O/H is a parameter like the others, unlike that of shocks.
    lines : sequence of str
    n_step : int
        Steps of the lattice from one model to the next.

    Raises
    ------
    ArdError
        If the grid lacks a line.
    """
    known = [line.name for line in grid.lines]
    missing = [name for name in lines if name not in known]
    if missing:
        raise ArdError(
            "the grid has no such line",
            expected=", ".join(known),
            found=", ".join(missing),
            action="leave it out",
        )
    at = [known.index(name) for name in lines]
    axes = (
        Axis("log_oh", "1", grid.log_oh, n_step),
        Axis("log_pk", "log10 K cm^-3", grid.log_pk, n_step),
        Axis("log_u", "1", grid.log_u, n_step),
    )
    fine = grid.log_ratio[None][..., at]
    hole = grid.mask[None][..., at].any(axis=-1)
    for place, axis in enumerate(axes):
        fine = _linear(fine, axis, place + 1)
    void = _around(hole, axes) | ~np.isfinite(fine).all(axis=-1)
    sets = (Abundance(grid.source.project, np.nan, np.nan, np.nan),)
    fine = np.where(void[..., None], 0.0, fine)
    chosen = tuple(grid.lines[k] for k in at)
    return Lattice(grid.source, sets, axes, chosen, sealed(fine), sealed(void))


def _lattice(
    grid: ShockGrid, ratio: FloatArray, hole: BoolArray, steps: Steps, mixed: bool = False
) -> Lattice:
    """Refine values of shape (n_set, n_n, [n_f,] n_b, n_v, n_line)."""
    every = [Axis(LOG_N, "log10 cm^-3", grid.log_n)]
    if mixed:
        every.append(Axis(F_PRECURSOR, "1", _FRACTIONS, steps.f_precursor))
    every.append(_even(Axis(B, "uG cm^1.5", grid.b, steps.b, B_OFFSET), steps.b))
    every.append(_even(Axis(V, "km/s", grid.v_kms, steps.v, 0.0), steps.v))
    if grid.v_kms.size < _TWO:
        raise ArdError(
            "nothing can be interpolated in velocity",
            expected="two velocities or more",
            found=f"{grid.v_kms.size}",
            action="take a larger part of the grid",
        )
    fine = _along_b(_along_v(np.where(hole[..., None], np.nan, ratio), every[-1]), every[-2])
    if mixed:
        fine = _linear(fine, every[1], 2)
    void = _around(hole, every) | ~np.isfinite(fine).all(axis=-1)
    fixed = tuple(i + 1 for i, axis in enumerate(every) if axis.size == 1)
    axes = tuple(axis for axis in every if axis.size > 1)
    fine = np.where(void[..., None], 0.0, fine)
    return Lattice(grid.source, grid.abundances, axes, grid.lines,
                   sealed(np.squeeze(fine, fixed)), sealed(np.squeeze(void, fixed)))  # fmt: skip


def _even(axis: Axis, mean: int) -> Axis:
    """Share the steps among the models so that all are about as long in the coordinate."""
    length = np.diff(axis.coordinate(axis.native))
    ideal = mean * len(length) * length / length.sum()
    counts = tuple(int(count) for count in np.maximum(np.rint(ideal), 1))
    return dataclasses.replace(axis, n_step=counts)


def _along_v(ratio: FloatArray, axis: Axis) -> FloatArray:
    """Lay Akima's curve through the velocities of each track, over its holes."""
    x, nodes = axis.coordinate(axis.native), axis.nodes
    made = np.full((*ratio.shape[:-2], axis.size, ratio.shape[-1]), np.nan)
    for track in np.ndindex(ratio.shape[:-2]):
        good = ~np.isnan(ratio[track]).any(axis=-1)
        if good.sum() >= _TWO:
            made[track] = Akima1DInterpolator(x[good], ratio[track][good])(nodes)
            made[track][axis.at_native[good]] = ratio[track][good]
    return made


def _along_b(ratio: FloatArray, axis: Axis) -> FloatArray:
    """Lay a cubic spline through the fields, for each velocity.

    A field whose track ends before a velocity is missing there alone.
    """
    if axis.size == 1:
        return ratio
    x, nodes = axis.coordinate(axis.native), axis.nodes
    shape = (*ratio.shape[:-3], axis.size, *ratio.shape[-2:])
    made = np.full(shape, np.nan)
    for track in np.ndindex(ratio.shape[:-3]):
        known = np.isfinite(ratio[track])
        patterns, which = np.unique(known.all(axis=-1).T, axis=0, return_inverse=True)
        for number, good in enumerate(patterns):
            if good.sum() >= _TWO:
                columns = np.flatnonzero(which == number)
                models = ratio[track][np.ix_(good, columns)]
                curve = CubicSpline(x[good], models, axis=0, extrapolate=False)
                made[track][:, columns] = curve(nodes)
        made[track][axis.at_native] = np.where(known, ratio[track], made[track][axis.at_native])
    return made


def _linear(ratio: FloatArray, axis: Axis, place: int) -> FloatArray:
    """Interpolate linearly along an axis of models, exactly at these."""
    below, share = axis.shares()
    above = np.minimum(below + 1, len(axis.native) - 1)
    share = share.reshape(-1, *(1,) * (ratio.ndim - place - 1))
    lower, upper = np.take(ratio, below, place), np.take(ratio, above, place)
    # A model beside a missing one is still a model.
    return np.where(share == 0.0, lower, (1.0 - share) * lower + share * upper)


def _around(hole: BoolArray, axes: Sequence[Axis]) -> BoolArray:
    """Mark all nodes nearer than one step of the grid to a missing model, along every axis."""
    void = np.zeros((hole.shape[0], *(axis.size for axis in axes)), dtype=bool)
    ends = []
    for axis in axes:
        at = axis.at_native
        ends.append((np.append(0, at[:-1] + 1), np.append(at[1:], axis.size)))
    for index in np.argwhere(hole):
        spans = [slice(low[at], high[at]) for at, (low, high) in zip(index[1:], ends, strict=True)]
        void[(index[0], *spans)] = True
    return void


def _kept(hole: BoolArray) -> list[list[int]]:
    """Give, for each axis, the values at which there is any model."""
    kept = []
    for place in range(hole.ndim):
        others = tuple(k for k in range(hole.ndim) if k != place)
        kept.append(np.flatnonzero(~hole.all(axis=others)).tolist())
    return kept


def _at_density(grid: ShockGrid, log_n: float) -> ShockGrid:
    at = int(np.argmin(np.abs(grid.log_n - log_n)))
    if not np.isclose(grid.log_n[at], log_n):
        raise ArdError(
            "the grid has no models of this density",
            expected=", ".join(f"{value:g}" for value in grid.log_n),
            found=f"log n = {log_n:g}",
            action="choose one of them",
        )
    every = [range(size) for size in (*grid.log_hbeta.shape, len(grid.lines))]
    return grid.take(z=every[0], n=[at], b=every[2], v=every[3], lines=every[4])


def _without_empty(grid: ShockGrid, hole: BoolArray, places: list[int]) -> ShockGrid:
    kept = _kept(hole)
    if not all(kept):
        raise ArdError(
            "no model of the grid has all of these lines",
            expected="one model or more",
            found="none",
            action="leave lines out",
        )
    return grid.take(z=kept[0], n=kept[1], b=kept[2], v=kept[3], lines=places)


def _log_flux(grid: ShockGrid, lines: Sequence[str]) -> FloatArray:
    """Give log10 of the fluxes of lines, and of H alpha last, NaN where masked."""
    ratio = np.where(grid.mask, np.nan, grid.log_ratio)
    halpha = grid.log_hbeta - ratio[..., grid.line_index([HBETA])[0]]
    chosen = ratio[..., grid.line_index(lines)] + halpha[..., None]
    return np.concatenate([chosen, halpha[..., None]], axis=-1)


def _require_alike(shock: ShockGrid, precursor: ShockGrid) -> None:
    names = [tuple(a.name for a in grid.abundances) for grid in (shock, precursor)]
    alike = names[0] == names[1] and all(
        np.array_equal(getattr(shock, name), getattr(precursor, name))
        for name in ("log_n", "b", "v_kms")
    )
    if not alike:
        raise ArdError(
            "shock and precursor are not of the same models",
            expected="the same abundances, densities, fields and velocities",
            found=f"{shock.log_hbeta.shape} and {precursor.log_hbeta.shape} models",
            action="take those that both have: ShockGrid.take",
        )
