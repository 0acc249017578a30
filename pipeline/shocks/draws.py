"""Which independent draws stand for the posterior of one spaxel?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError
from pipeline.shocks.grid import BoolArray
from pipeline.shocks.lattice import Lattice
from pipeline.shocks.likelihood import Datum
from pipeline.shocks.nodes import NodePrior

_MANY: Final = 10_000  # draws of which not one was in a whole cell
IntArray = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of the parameters of a shock.

    Attributes
    ----------
    sets : ndarray of int, shape (n,)
        Which abundance set.
    x : ndarray, shape (n, n_axis)
        Coordinates along the axes of the lattice.
    values : ndarray, shape (n, n_axis)
        The parameters themselves.
    """

    sets: IntArray
    x: FloatArray
    values: FloatArray


def draw(
    lattice: Lattice, prior: NodePrior, weight: FloatArray, count: int, rng: np.random.Generator
) -> Draws:
    """Draw from the density between nodes, which is linear there.

    Parameters
    ----------
    lattice : Lattice
    prior : NodePrior
        Whose hats they are.
    weight : ndarray, shape of `NodePrior.weight`
        Probability of each node: `Quadrature.joint`, or the prior's own.
    count : int
    rng : Generator

    Raises
    ------
    ArdError
        If all that is probable lies in cells of which a corner is void.
    """
    below = np.cumsum(weight.ravel())
    parts = []
    missing, in_vain = count, 0
    while missing:
        chosen = np.searchsorted(below, rng.random(missing) * below[-1], side="right")
        index = np.unravel_index(np.minimum(chosen, below.size - 1), weight.shape)
        x, cells = _within_hats(lattice, prior, index[1:], rng)
        # Hats reach into cells where a corner is void: there is no model there.
        good = ~_void_cell(lattice, index[0], cells)
        in_vain = 0 if good.any() else in_vain + len(good)
        if in_vain > _MANY:
            raise ArdError(
                "no cell of the grid is whole where the probability is",
                expected="models beside one another",
                found=f"{in_vain} draws in cells with a missing model",
                action="take a part of the grid without holes (ShockGrid.block)",
            )
        parts.append((index[0][good], x[good]))
        missing -= int(good.sum())
    sets, x = (np.concatenate(part) for part in zip(*parts, strict=True))
    values = [axis.value(x[:, i]) for i, axis in enumerate(lattice.axes)]
    return Draws(sets, x, np.stack(values, axis=-1))


def extinctions(
    lattice: Lattice, datum: Datum, found: Draws, av_mean_mag: float, rng: np.random.Generator
) -> FloatArray:
    """Draw A_V with each draw, as the strong lines have it, from the Gaussian that was integrated.

    Parameters
    ----------
    lattice : Lattice
        Of the lines of the fit.
    datum : Datum
    found : Draws
    av_mean_mag : float
        Mean of the prior of A_V.
    rng : Generator

    Returns
    -------
    ndarray, shape (n,)
        Magnitudes.
    """
    models = lattice.log_ratio[(found.sets, *lattice.nearest(found.x))]
    residual = datum.log_ratio - models[:, datum.strong]
    mean = av_mean_mag + residual @ datum.gain[1]
    return np.asarray(rng.normal(mean, np.sqrt(datum.spread[1, 1])))


def _within_hats(
    lattice: Lattice, prior: NodePrior, nodes: Sequence[IntArray], rng: np.random.Generator
) -> tuple[FloatArray, list[IntArray]]:
    """Draw places from the hats of nodes; and give the lower node of the cell they are in."""
    count = len(nodes[0])
    x, cells = np.empty((count, len(lattice.axes))), []
    for place, (axis, at) in enumerate(zip(lattice.axes, nodes, strict=True)):
        left, right = prior.left[axis.name], prior.right[axis.name]
        down = rng.random(count) * (left + right)[at] < left[at]
        other = np.clip(np.where(down, at - 1, at + 1), 0, axis.size - 1)
        # A parameter that is known is at its node.
        known = np.count_nonzero(left + right) == 1
        share = 0.0 if known else 1.0 - np.sqrt(rng.random(count))
        ends = axis.nodes[at], axis.nodes[other]
        x[:, place] = ends[0] + share * (ends[1] - ends[0])
        cells.append(at if known else np.minimum(at, other))
    return x, cells


def _void_cell(lattice: Lattice, sets: IntArray, cells: Sequence[IntArray]) -> BoolArray:
    void = np.zeros(len(sets), dtype=bool)
    for corner in np.ndindex(*(2,) * len(cells)):
        ends = zip(cells, corner, lattice.axes, strict=True)
        index = tuple(np.minimum(cell + up, axis.size - 1) for cell, up, axis in ends)
        void |= lattice.void[(sets, *index)]
    return void
