"""What does the posterior of a shock say in numbers, and which of them can be trusted?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import FloatArray
from manifests.shocks import ShockAssumptions
from pipeline.shocks.grid import BoolArray, z_over_solar
from pipeline.shocks.lattice import Lattice, V
from pipeline.shocks.likelihood import LineFluxes, errors_for
from pipeline.shocks.nodes import B_PRIORS, priors_for
from pipeline.shocks.posterior import SETS, Posteriors, Quadrature

QUANTILES: Final = (0.025, 0.16, 0.5, 0.84, 0.975)


@dataclass(frozen=True, eq=False)
class Summary:
    """The numbers of each spaxel's posterior under one prior, arrays of shape (n,).

    Attributes
    ----------
    prior : str
        What is believed of b.
    v_kms : ndarray, shape (n, 5)
        Quantiles `QUANTILES` of the shock's velocity.
    information_nat : ndarray
        KL divergence of the posterior from the prior of velocity.
    edge_low, edge_high : ndarray
        Probability within one step of the models from the lowest and highest velocity that the
        prior allows. With steps of 25 km/s up to 1000 the second is P(v > 975 km/s).
    p_metal_poor : ndarray
        Probability of less than `half_solar`, by the convention of `solar`; NaN where the O/H of
        a set is not known.
    p_metal_poor_prior : ndarray
        The same before the data, of the abundance sets that the grid happens to have.
    solar : str
    sets : ndarray, shape (n, n_set)
        Probability of each abundance set.
    metal_poor : tuple of bool or None, length n_set
        Which of them have less than `half_solar`.
    p_virial : ndarray
        Probability of a velocity up to the virial one; NaN where none is declared.
    v_allowed_kms : (float, float)
        The lowest and highest velocity that models have and the prior allows.
    p_predictive, chi2_min, log_evidence : ndarray
        As in `Posteriors`.
    n_line : ndarray of int
    """

    prior: str
    v_kms: FloatArray
    information_nat: FloatArray
    edge_low: FloatArray
    edge_high: FloatArray
    p_metal_poor: FloatArray
    p_metal_poor_prior: FloatArray
    solar: str
    p_predictive: FloatArray
    chi2_min: FloatArray
    log_evidence: FloatArray
    n_line: FloatArray
    sets: FloatArray
    metal_poor: tuple[bool | None, ...]
    p_virial: FloatArray
    v_allowed_kms: tuple[float, float]

    @property
    def width_dex(self) -> FloatArray:
        """Width of the 95 % interval of log10 v."""
        return np.asarray(np.log10(self.v_kms[:, -1] / self.v_kms[:, 0]))

    def edge_limited(self, limit: float) -> BoolArray:
        """Say where the interval of velocity is a one-sided limit."""
        return np.asarray(np.maximum(self.edge_low, self.edge_high) > limit)


def summarise(found: Posteriors, assumed: ShockAssumptions) -> Summary:
    """Give the numbers of posteriors.

    Parameters
    ----------
    found : Posteriors
    assumed : ShockAssumptions
        Its convention of the Sun decides which abundance sets are poor in metals.

    Raises
    ------
    ArdError
        If nobody knows the convention.
    """
    sets = found.lattice.sets
    over = np.array([z_over_solar(one, assumed.solar) for one in sets])
    # A set of unknown O/H is on neither side, and leaves the whole probability unknown.
    poor = np.where(np.isnan(over), np.nan, over < assumed.half_solar)
    before = np.where(np.isnan(found.log_evidence), np.nan, found.prior.marginal(0) @ poor)
    low, high = edges(found, V)
    speeds = found.lattice.axis(V).native
    return Summary(
        found.prior.name, quantiles(found, V, QUANTILES), information(found, V), low, high,
        found.marginal[SETS] @ poor, before, assumed.solar, found.p_predictive,
        found.chi2_min, found.log_evidence, found.n_line,
        found.marginal[SETS], tuple(None if np.isnan(one) else bool(one) for one in poor),
        _below_virial(found, assumed),
        (max(float(speeds[0]), assumed.v_min_kms), float(speeds[-1])),
    )  # fmt: skip


def _below_virial(found: Posteriors, assumed: ShockAssumptions) -> FloatArray:
    if assumed.v_virial_kms is None:
        return np.full(found.log_evidence.shape, np.nan)
    return probability_below(found, V, assumed.v_virial_kms)


def quantiles(found: Posteriors, name: str, levels: Sequence[float]) -> FloatArray:
    """Give quantiles of a parameter, shape (n, n_level)."""
    axis, wanted = found.lattice.axis(name), np.asarray(levels, np.float64)
    below, lower, upper = _halves(found, name)
    made = np.full((len(below), wanted.size), np.nan)
    for row in np.flatnonzero(np.isfinite(below[:, 0])):
        cell = np.searchsorted(below[row], wanted, side="right") - 1
        cell = np.clip(cell, 0, below.shape[1] - 2)
        r, left, rest = lower[row, cell], upper[row, cell], wanted - below[row, cell]
        # Probability grows as the square between nodes, where the density is linear.
        root = r + np.sqrt(np.maximum(r**2 + (left - r) * rest, 0.0))
        share = np.clip(rest / np.where(root > 0, root, np.inf), 0.0, 1.0)
        made[row] = axis.nodes[cell] + share * (axis.nodes[cell + 1] - axis.nodes[cell])
    return np.asarray(axis.value(made))


def probability_below(found: Posteriors, name: str, value: float) -> FloatArray:
    """Give the probability of a parameter below a value, shape (n,)."""
    axis = found.lattice.axis(name)
    x, nodes = float(axis.coordinate(value)), axis.nodes
    below, lower, upper = _halves(found, name)
    cell = int(np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, nodes.size - 2))
    share = float(np.clip((x - nodes[cell]) / (nodes[cell + 1] - nodes[cell]), 0.0, 1.0))
    grown = lower[:, cell] * (1.0 - (1.0 - share) ** 2) + upper[:, cell] * share**2
    return np.asarray(below[:, cell] + grown)


def _halves(found: Posteriors, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the probability below each node, and in each cell of its lower and upper node's hat."""
    mass = found.marginal[name]
    left, right = found.prior.left[name], found.prior.right[name]
    total = left + right
    share = np.where(total > 0, left / np.where(total > 0, total, 1.0), 0.5)
    below = np.cumsum(mass, axis=1) - mass * (1.0 - share)
    return below, (mass * (1.0 - share))[:, :-1], (mass * share)[:, 1:]


def information(found: Posteriors, name: str) -> FloatArray:
    """Give the KL divergence of posterior from prior of a parameter, nat."""
    mass = found.marginal[name]
    prior = found.prior.marginal(1 + _place(found.lattice, name))
    kept = prior > 0
    ratio = np.where(mass[:, kept] > 0, mass[:, kept] / prior[kept], 1.0)
    return np.asarray((mass[:, kept] * np.log(ratio)).sum(axis=1))


def edges(found: Posteriors, name: str) -> tuple[FloatArray, FloatArray]:
    """Give the probability within one step of the models from both ends of the prior."""
    axis = found.lattice.axis(name)
    allowed = axis.values[found.prior.marginal(1 + _place(found.lattice, name)) > 0]
    native = axis.native
    low = native[min(np.searchsorted(native, allowed[0], side="right"), len(native) - 1)]
    high = native[max(np.searchsorted(native, allowed[-1], side="left") - 1, 0)]
    return (
        probability_below(found, name, float(low)),
        1.0 - probability_below(found, name, float(high)),
    )


def sensitivity(
    lattice: Lattice,
    fluxes: LineFluxes,
    assumed: ShockAssumptions,
    *,
    priors: tuple[str, ...] = B_PRIORS,
    workers: int = 1,
) -> dict[tuple[str, str], Summary]:
    """Give the numbers for each prior of b and each systematic floor, side by side.

    Parameters
    ----------
    lattice : Lattice
    fluxes : LineFluxes
    assumed : ShockAssumptions
    priors : tuple of str
    workers : int

    Returns
    -------
    dict
        By prior and floor in dex, as text; the floor of each line's own is "per line".
    """
    made: dict[tuple[str, str], Summary] = {}
    for floor in (None, *assumed.floors_dex):
        errors = errors_for(lattice.lines, assumed, floor, rounding=lattice.source.rounding)
        fitted = Quadrature(lattice, errors, priors_for(lattice, assumed, priors)).fit(
            fluxes, workers
        )
        label = "per line" if floor is None else f"{floor:g}"
        made |= {(one.prior.name, label): summarise(one, assumed) for one in fitted}
    return made


def _place(lattice: Lattice, name: str) -> int:
    return [axis.name for axis in lattice.axes].index(lattice.axis(name).name)
