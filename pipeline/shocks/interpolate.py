"""Which line ratios has a shock between the models of a grid?

Curves are laid through the models once, when a grid is loaded: Akima's in ln v (Akima 1970, J. ACM
17, 589), then a cubic spline in ln(b + 0.3), the pair that does best on models held out
(reference/shocks.md section 4). They are kept on a lattice that has every model among its nodes;
between its nodes everything is linear. Nothing is filled and nothing extrapolated: where a model is
missing, all cells around it are void. Abundance sets are categories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from scipy.interpolate import Akima1DInterpolator, CubicSpline

from ard.cube import frozen
from ard.errors import ArdError
from ard.likelihood.arrays import namespace
from pipeline.shocks.grid import (
    HBETA,
    Abundance,
    BoolArray,
    FloatArray,
    GridLine,
    GridSource,
    ShockGrid,
)
from pipeline.shocks.toy import B_OFFSET

B, V, LOG_N, F_PRECURSOR = "b", "v_kms", "log_n", "f_precursor"
_TWO: Final = 2


@dataclass(frozen=True, eq=False)
class Axis:
    """One continuous parameter of a lattice.

    Attributes
    ----------
    name, unit : str
    native : ndarray, shape (n,)
        Values at which there are models.
    n_step : int
        Steps of the lattice from one model to the next, equal in the coordinate.
    offset : float, optional
        The coordinate is ln(value + offset); the value itself if there is none.
    """

    name: str
    unit: str
    native: FloatArray
    n_step: int = 1
    offset: float | None = None

    @property
    def size(self) -> int:
        """How many nodes has the lattice along it?"""
        return (len(self.native) - 1) * self.n_step + 1

    @property
    def nodes(self) -> FloatArray:
        """Coordinates of the nodes, increasing."""
        x = self.coordinate(self.native)
        share = np.arange(self.n_step) / self.n_step
        inner = x[:-1, None] + np.diff(x)[:, None] * share
        return np.append(inner.ravel(), x[-1])

    @property
    def values(self) -> FloatArray:
        """Values at the nodes; those of the models are as they were given."""
        found = np.asarray(self.value(self.nodes))
        found[:: self.n_step] = self.native
        return found

    def coordinate(self, value: Any) -> Any:
        """Give the coordinate in which steps are equal."""
        if self.offset is None:
            return value
        return namespace(value).log(value + self.offset)

    def value(self, x: Any) -> Any:
        """Give the value at a coordinate."""
        if self.offset is None:
            return x
        return namespace(x).exp(x) - self.offset

    def place(self, x: Any) -> tuple[Any, Any, Any]:
        """Find a coordinate on the lattice, in JAX.

        Returns
        -------
        cell : integer
            The node below it.
        share : scalar
            How far from there to the next node, 0 to 1.
        inside : bool
        """
        native = jnp.asarray(self.coordinate(self.native), jnp.result_type(float))
        # A handful of comparisons finds the models on both sides; between them steps are equal.
        below = jnp.sum(x >= native[1:-1], axis=-1)
        along = (x - native[below]) / (native[below + 1] - native[below]) * self.n_step
        step = jnp.clip(jnp.floor(along), 0, self.n_step - 1)
        inside = (x >= native[0]) & (x <= native[-1])
        return below * self.n_step + step.astype(below.dtype), along - step, inside


@dataclass(frozen=True, eq=False)
class Lattice:
    """Line ratios on a regular lattice.

    Attributes
    ----------
    source : GridSource
    sets : tuple of Abundance, length n_set
    axes : tuple of Axis
    lines : tuple of GridLine, length n_line
    log_ratio : ndarray, shape (n_set, ..., n_line)
        log10 of flux over that of H alpha, at the nodes; 0 where void.
    void : ndarray of bool, shape (n_set, ...)
        Nodes around models that are missing.
    """

    source: GridSource
    sets: tuple[Abundance, ...]
    axes: tuple[Axis, ...]
    lines: tuple[GridLine, ...]
    log_ratio: FloatArray
    void: BoolArray

    @property
    def shape(self) -> tuple[int, ...]:
        """Sets, and nodes along each axis."""
        return (len(self.sets), *(axis.size for axis in self.axes))

    @property
    def line_names(self) -> tuple[str, ...]:
        """Names of the lines."""
        return tuple(line.name for line in self.lines)

    def axis(self, name: str) -> Axis:
        """Give an axis by name.

        Raises
        ------
        ArdError
            If this lattice has no such axis.
        """
        for axis in self.axes:
            if axis.name == name:
                return axis
        raise ArdError(
            "the grid does not vary this parameter",
            expected=", ".join(axis.name for axis in self.axes),
            found=name,
            action="ask for a parameter of the grid, or take another grid",
        )

    def select(self, names: Sequence[str]) -> "Lattice":
        """Give the lattice of these lines only, in this order.

        Raises
        ------
        ArdError
            If it lacks one of them.
        """
        missing = [name for name in names if name not in self.line_names]
        if missing or not names:
            raise ArdError(
                "the grid does not have these lines",
                expected=", ".join(self.line_names),
                found=", ".join(missing) or "no line at all",
                action="leave them out, or take a grid that has them",
            )
        at = [self.line_names.index(name) for name in names]
        lines = tuple(self.lines[i] for i in at)
        ratio = frozen(self.log_ratio[..., at])
        return Lattice(self.source, self.sets, self.axes, lines, ratio, self.void)

    def at(self, x: Any) -> tuple[Any, Any]:
        """Interpolate at one place for every set, in JAX.

        Parameters
        ----------
        x : array, shape (n_axis,)
            Coordinates (`Axis.coordinate`).

        Returns
        -------
        log_ratio : array, shape (n_set, n_line)
        inside : array of bool, shape (n_set,)
            False outside of the box, and in void cells: what is given there means nothing.
        """
        dtype = jnp.result_type(float)
        ratio = jnp.asarray(self.log_ratio, dtype)
        good = jnp.asarray(~self.void)
        found = [axis.place(x[..., i]) for i, axis in enumerate(self.axes)]
        total: Any = jnp.zeros((), dtype)
        inside: Any = jnp.ones(len(self.sets), bool)
        for corner in np.ndindex(*(_TWO,) * len(self.axes)):
            index = tuple(cell + up for (cell, _, _), up in zip(found, corner, strict=True))
            shares = [s if up else 1 - s for (_, s, _), up in zip(found, corner, strict=True)]
            weight: Any = jnp.ones((), dtype)
            for share in shares:
                weight = weight * share
            total = total + weight * ratio[(slice(None), *index)]
            # A corner without weight may be void: a model beside a missing one is still a model.
            inside = inside & (good[(slice(None), *index)] | (weight == 0))
        for _, _, within in found:
            inside = inside & within
        return total, inside


@dataclass(frozen=True)
class Steps:
    """Steps of the lattice from one model to the next.

    Attributes
    ----------
    b, v, f_precursor : int
        With 8 fields and 37 velocities the defaults make 64 x 181 nodes for each set.
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
    shock: ShockGrid, precursor: ShockGrid, lines: Sequence[str], steps: Steps | None = None
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

    Raises
    ------
    ArdError
        If they are not of the same models, or a line is missing.
    """
    _require_alike(shock, precursor)
    total = [_log_flux(grid, lines) for grid in (shock, precursor)]
    hole = np.isnan(total[0]).any(axis=-1) | np.isnan(total[1]).any(axis=-1)
    part = _without_empty(shock, hole, shock.line_index(lines))
    kept = np.ix_(*_kept(hole))
    fluxes = [10.0 ** flux[kept] for flux in total]
    mixed = [np.log10(fluxes[0] + f * fluxes[1]) for f in _FRACTIONS]
    # The last column is H alpha itself.
    ratio = np.stack([one[..., :-1] - one[..., -1:] for one in mixed], axis=2)
    return _lattice(part, ratio, np.isnan(ratio).any(axis=-1), steps or Steps(), mixed=True)


def _lattice(
    grid: ShockGrid, ratio: FloatArray, hole: BoolArray, steps: Steps, mixed: bool = False
) -> Lattice:
    """Refine values of shape (n_set, n_n, [n_f,] n_b, n_v, n_line)."""
    every = [Axis(LOG_N, "log10 cm^-3", grid.log_n)]
    if mixed:
        every.append(Axis(F_PRECURSOR, "1", _FRACTIONS, steps.f_precursor))
    every.append(Axis(B, "uG cm^1.5", grid.b, steps.b, B_OFFSET))
    every.append(Axis(V, "km/s", grid.v_kms, steps.v, 0.0))
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
                   frozen(np.squeeze(fine, fixed)), frozen(np.squeeze(void, fixed)))  # fmt: skip


def _along_v(ratio: FloatArray, axis: Axis) -> FloatArray:
    """Lay Akima's curve through the velocities of each track, over its holes."""
    x, nodes = axis.coordinate(axis.native), axis.nodes
    made = np.full((*ratio.shape[:-2], axis.size, ratio.shape[-1]), np.nan)
    for track in np.ndindex(ratio.shape[:-2]):
        good = ~np.isnan(ratio[track]).any(axis=-1)
        if good.sum() >= _TWO:
            made[track] = Akima1DInterpolator(x[good], ratio[track][good])(nodes)
            made[track][:: axis.n_step][good] = ratio[track][good]
    return made


def _along_b(ratio: FloatArray, axis: Axis) -> FloatArray:
    """Lay a cubic spline through the fields, for each velocity."""
    if axis.size == 1:
        return ratio
    x, nodes = axis.coordinate(axis.native), axis.nodes
    shape = (*ratio.shape[:-3], axis.size, *ratio.shape[-2:])
    made = np.full(shape, np.nan)
    for track in np.ndindex(ratio.shape[:-3]):
        good = np.isfinite(ratio[track]).all(axis=(1, 2))
        if good.sum() >= _TWO:
            curve = CubicSpline(x[good], ratio[track][good], axis=0, extrapolate=False)
            made[track] = curve(nodes)
        known = np.isfinite(ratio[track])
        rows = made[track][:: axis.n_step]
        rows[known] = ratio[track][known]
    return made


def _linear(ratio: FloatArray, axis: Axis, place: int) -> FloatArray:
    """Interpolate linearly along an axis of models, exactly at these."""
    at = np.arange(axis.size) / axis.n_step
    low = np.minimum(at.astype(int), len(axis.native) - _TWO)
    share = (at - low).reshape(-1, *(1,) * (ratio.ndim - place - 1))
    lower, upper = np.take(ratio, low, place), np.take(ratio, low + 1, place)
    return np.asarray((1.0 - share) * lower + share * upper)


def _around(hole: BoolArray, axes: Sequence[Axis]) -> BoolArray:
    """Mark all nodes nearer than one step of the grid to a missing model, along every axis."""
    void = np.zeros((hole.shape[0], *(axis.size for axis in axes)), dtype=bool)
    for index in np.argwhere(hole):
        spans = [
            slice(max((at - 1) * axis.n_step + 1, 0), (at + 1) * axis.n_step)
            for at, axis in zip(index[1:], axes, strict=True)
        ]
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
