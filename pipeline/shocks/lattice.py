"""Where are the models of a grid on a regular lattice, and what lies between its nodes?

Every model is a node. Between nodes all is linear; nothing is given outside of the box, nor in
cells of which a corner is void. Abundance sets are categories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ard.cube import sealed
from ard.errors import ArdError
from ard.likelihood.arrays import namespace
from pipeline.shocks.grid import Abundance, BoolArray, FloatArray, GridLine, GridSource

IntArray = NDArray[np.intp]
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
    n_step : int or tuple of int, length n - 1
        Steps of the lattice from each model to the next, equal in the coordinate.
    offset : float, optional
        The coordinate is ln(value + offset); the value itself if there is none.
    """

    name: str
    unit: str
    native: FloatArray
    n_step: int | tuple[int, ...] = 1
    offset: float | None = None

    @property
    def steps(self) -> IntArray:
        """How many steps are there from each model to the next?"""
        return np.broadcast_to(np.asarray(self.n_step, np.intp), (len(self.native) - 1,))

    @property
    def at_native(self) -> IntArray:
        """Which nodes are models?"""
        return np.append(0, np.cumsum(self.steps))

    @property
    def size(self) -> int:
        """How many nodes has the lattice along it?"""
        return int(self.steps.sum()) + 1

    @property
    def nodes(self) -> FloatArray:
        """Coordinates of the nodes, increasing."""
        x = np.asarray(self.coordinate(self.native))
        below, share = self.shares()
        above = np.minimum(below + 1, len(x) - 1)
        return np.asarray(x[below] + (x[above] - x[below]) * share)

    @property
    def values(self) -> FloatArray:
        """Values at the nodes; those of the models are as they were given."""
        found = np.asarray(self.value(self.nodes))
        found[self.at_native] = self.native
        return found

    def shares(self) -> tuple[IntArray, FloatArray]:
        """Give the model below each node, and the part of the way to the next, below 1."""
        below = np.append(np.repeat(np.arange(len(self.steps)), self.steps), len(self.steps))
        number = np.arange(self.size) - self.at_native[below]
        return below, number / np.append(self.steps, 1)[below]

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
        count = jnp.asarray(self.steps)[below]
        along = (x - native[below]) / (native[below + 1] - native[below]) * count
        step = jnp.clip(jnp.floor(along), 0, count - 1)
        inside = (x >= native[0]) & (x <= native[-1])
        first = jnp.asarray(self.at_native)[below]
        return (first + step).astype(below.dtype), along - step, inside


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
        ratio = sealed(self.log_ratio[..., at])
        return Lattice(self.source, self.sets, self.axes, lines, ratio, self.void)

    def nearest(self, x: FloatArray) -> tuple[Any, ...]:
        """Give the nearest nodes of places, (n, n_axis), as indices along each axis."""
        found = []
        for place, axis in enumerate(self.axes):
            middles = 0.5 * (axis.nodes[1:] + axis.nodes[:-1])
            found.append(np.searchsorted(middles, x[:, place]))
        return tuple(found)

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
