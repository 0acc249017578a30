"""How much of the prior belongs to each node of a lattice?

A density that is linear between nodes is integrated exactly by the weights of hats: node i has the
integral of prior times the hat that is 1 there and 0 at its neighbours, split at the node into a
part to the left and a part to the right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError
from manifests.shocks import ShockAssumptions
from pipeline.infer.families import Family, LogUniform, Uniform
from pipeline.shocks.lattice import Axis, B, Lattice, V

_PARTS: Final = 64  # of each step, when the prior of a hat is summed
B_PRIORS: Final = ("log_shifted", "flat", "log")
FIXED: Final = "fixed"


@dataclass(frozen=True)
class AxisPrior:
    """The prior of one parameter.

    Attributes
    ----------
    family : Family
        Its bounds are within the grid: nothing is extrapolated.
    of_coordinate : bool
        Whether it is the prior of the coordinate of the lattice, not of the parameter itself.
    """

    family: Family
    of_coordinate: bool = False


@dataclass(frozen=True)
class PointPrior:
    """A parameter that is known; its value must be a node."""

    value: float


@dataclass(frozen=True, eq=False)
class NodePrior:
    """The prior on the nodes of a lattice.

    Attributes
    ----------
    name : str
    left, right : mapping of str to ndarray
        For each axis, the prior of each node's hat below and above it; both add up to 1.
    weight : ndarray, shape (n_set, ...)
        Prior probability of each node, 0 where the lattice is void.
    """

    name: str
    left: Mapping[str, FloatArray]
    right: Mapping[str, FloatArray]
    weight: FloatArray

    def marginal(self, place: int) -> FloatArray:
        """Give the prior along axis `place` of `weight`, holes taken out."""
        others = tuple(k for k in range(self.weight.ndim) if k != place)
        return np.asarray(self.weight.sum(axis=others))


@dataclass(frozen=True)
class PriorChoice:
    """What is believed before the data; abundance sets are equally probable.

    Attributes
    ----------
    name : str
    axes : mapping of str to AxisPrior or PointPrior
        For every axis of the lattice.
    """

    name: str
    axes: Mapping[str, AxisPrior | PointPrior]


def priors_for(
    lattice: Lattice, assumed: ShockAssumptions, names: tuple[str, ...] = B_PRIORS
) -> list[PriorChoice]:
    """Give the priors that are shown side by side.

    Flat in ln v above the velocity from which models are trusted, flat along all other axes but b.
    Of b: flat in ln(b + 0.3), flat in b, flat in ln b from a least value on, or fixed.

    Parameters
    ----------
    lattice : Lattice
    assumed : ShockAssumptions
    names : tuple of str
        Of `B_PRIORS`, and "fixed".
    """
    base: dict[str, AxisPrior | PointPrior] = {}
    for axis in lattice.axes:
        low, high = float(axis.native[0]), float(axis.native[-1])
        if axis.name == V:
            base[V] = AxisPrior(LogUniform(max(low, assumed.v_min_kms), high))
        elif axis.name != B:
            base[axis.name] = AxisPrior(Uniform(low, high))
    if B not in [axis.name for axis in lattice.axes]:
        return [PriorChoice(name, base) for name in names]
    axis = lattice.axis(B)
    low, high = float(axis.native[0]), float(axis.native[-1])
    ends = [float(axis.coordinate(one)) for one in (low, high)]
    of_b: dict[str, AxisPrior | PointPrior] = {
        "log_shifted": AxisPrior(Uniform(ends[0], ends[1]), of_coordinate=True),
        "flat": AxisPrior(Uniform(low, high)),
        "log": AxisPrior(LogUniform(max(low, assumed.log_b_min), high)),
        FIXED: PointPrior(assumed.b_fixed),
    }
    return [PriorChoice(name, {**base, B: of_b[name]}) for name in names]


def on_nodes(lattice: Lattice, choice: PriorChoice) -> NodePrior:
    """Put a prior on the nodes of a lattice.

    Raises
    ------
    ArdError
        If nothing of it is within the grid, or a fixed value is no node.
    """
    left: dict[str, FloatArray] = {}
    right: dict[str, FloatArray] = {}
    weight = np.full(len(lattice.sets), 1.0 / len(lattice.sets))
    for axis in lattice.axes:
        left[axis.name], right[axis.name] = _hats(axis, choice.axes[axis.name])
        weight = weight[..., None] * (left[axis.name] + right[axis.name])
    weight = np.where(lattice.void, 0.0, weight)
    total = weight.sum()
    if not total > 0:
        raise ArdError(
            "no model of the grid is within the prior",
            expected="a prior that overlaps the grid",
            found=choice.name,
            action="widen the prior, or take another grid",
        )
    return NodePrior(choice.name, left, right, weight / total)


def _hats(axis: Axis, prior: AxisPrior | PointPrior) -> tuple[FloatArray, FloatArray]:
    if isinstance(prior, PointPrior):
        return _point(axis, prior.value)
    nodes = axis.nodes
    step = np.diff(nodes)[:, None]
    share = (np.arange(_PARTS) + 0.5) / _PARTS
    x = nodes[:-1, None] + step * share
    if prior.of_coordinate:
        density = np.exp(prior.family.log_prior(x))
    else:
        value = np.asarray(axis.value(x))
        slope = 1.0 if axis.offset is None else value + axis.offset  # d value / d x
        density = np.exp(prior.family.log_prior(value)) * slope
    mass = density * step / _PARTS
    total = float(mass.sum()) or 1.0
    # Of a step, the hat of its lower node has what is near that node.
    right = np.append((mass * (1.0 - share)).sum(axis=1), 0.0) / total
    left = np.append(0.0, (mass * share).sum(axis=1)) / total
    return left, right


def _point(axis: Axis, value: float) -> tuple[FloatArray, FloatArray]:
    values = axis.values
    at = int(np.argmin(np.abs(values - value)))
    if not np.isclose(values[at], value):
        raise ArdError(
            "a parameter is fixed to a value that is no node of the grid",
            expected=f"one of {', '.join(f'{one:g}' for one in axis.native)}",
            found=f"{axis.name} = {value:g}",
            action="fix it to a value of the grid",
        )
    half = np.where(np.arange(values.size) == at, 0.5, 0.0)
    return half, half
