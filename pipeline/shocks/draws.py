"""Which independent draws stand for the posterior of one spaxel?"""

from dataclasses import dataclass

import numpy as np

from ard.cube import FloatArray
from pipeline.shocks.interpolate import Lattice
from pipeline.shocks.nodes import NodePrior


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

    sets: np.ndarray
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
    """
    below = np.cumsum(weight.ravel())
    chosen = np.searchsorted(below, rng.random(count) * below[-1], side="right")
    index = np.unravel_index(np.minimum(chosen, below.size - 1), weight.shape)
    x = np.empty((count, len(lattice.axes)))
    for place, axis in enumerate(lattice.axes):
        at, nodes = index[1 + place], axis.nodes
        left, right = prior.left[axis.name][at], prior.right[axis.name][at]
        down = rng.random(count) * (left + right) < left
        # A parameter that is known has no hat: both neighbours are without prior.
        point = np.count_nonzero(prior.left[axis.name] + prior.right[axis.name]) == 1
        other = np.clip(np.where(down, at - 1, at + 1), 0, nodes.size - 1)
        share = 0.0 if point else 1.0 - np.sqrt(rng.random(count))
        x[:, place] = nodes[at] + share * (nodes[other] - nodes[at])
    values = [axis.value(x[:, i]) for i, axis in enumerate(lattice.axes)]
    return Draws(index[0], x, np.stack(values, axis=-1))
