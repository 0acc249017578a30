"""What does the posterior of a shock say in numbers, and which of them can be trusted?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import FloatArray
from manifests.shocks import ShockAssumptions
from pipeline.shocks.grid import BoolArray, z_over_solar
from pipeline.shocks.interpolate import Lattice, V
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
        Probability of less than `half_solar`, by the convention of `solar`.
    solar : str
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
    solar: str
    p_predictive: FloatArray
    chi2_min: FloatArray
    log_evidence: FloatArray
    n_line: FloatArray

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
    poor = np.array([z_over_solar(one, assumed.solar) < assumed.half_solar for one in sets])
    low, high = edges(found, V)
    return Summary(
        found.prior.name, quantiles(found, V, QUANTILES), information(found, V), low, high,
        found.marginal[SETS] @ poor.astype(float), assumed.solar, found.p_predictive,
        found.chi2_min, found.log_evidence, found.n_line,
    )  # fmt: skip


def quantiles(found: Posteriors, name: str, levels: Sequence[float]) -> FloatArray:
    """Give quantiles of a parameter, shape (n, n_level)."""
    axis = found.lattice.axis(name)
    below = cumulative(found, name)
    rows = [np.interp(levels, row, axis.nodes) for row in below]
    return np.asarray(axis.value(np.array(rows)))


def cumulative(found: Posteriors, name: str) -> FloatArray:
    """Give the probability below each node, shape (n, n_node)."""
    mass = found.marginal[name]
    return np.asarray(np.cumsum(mass, axis=1) - mass * (1.0 - _left_share(found, name)))


def information(found: Posteriors, name: str) -> FloatArray:
    """Give the KL divergence of posterior from prior of a parameter, nat."""
    mass = found.marginal[name]
    prior = found.prior.marginal(1 + _place(found.lattice, name))
    kept = prior > 0
    ratio = np.where(mass[:, kept] > 0, mass[:, kept] / prior[kept], 1.0)
    return np.asarray((mass[:, kept] * np.log(ratio)).sum(axis=1))


def edges(found: Posteriors, name: str) -> tuple[FloatArray, FloatArray]:
    """Give the probability within one step of the models from both ends of the prior."""
    axis, below = found.lattice.axis(name), cumulative(found, name)
    allowed = axis.values[found.prior.marginal(1 + _place(found.lattice, name)) > 0]
    native = axis.native
    inner_low = native[min(np.searchsorted(native, allowed[0], side="right"), len(native) - 1)]
    inner_high = native[max(np.searchsorted(native, allowed[-1], side="left") - 1, 0)]
    at = axis.coordinate(np.array([inner_low, inner_high]))
    inside = np.array([np.interp(at, axis.nodes, row) for row in below]).reshape(-1, 2)
    return inside[:, 0], 1.0 - inside[:, 1]


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
        errors = errors_for(lattice.lines, assumed, floor)
        fitted = Quadrature(lattice, errors, priors_for(lattice, assumed, priors)).fit(
            fluxes, workers
        )
        label = "per line" if floor is None else f"{floor:g}"
        made |= {(one.prior.name, label): summarise(one, assumed) for one in fitted}
    return made


def _left_share(found: Posteriors, name: str) -> FloatArray:
    """Give the part of each node's prior that lies below it."""
    left, right = found.prior.left[name], found.prior.right[name]
    total = left + right
    return np.asarray(np.where(total > 0, left / np.where(total > 0, total, 1.0), 0.5))


def _place(lattice: Lattice, name: str) -> int:
    return [axis.name for axis in lattice.axes].index(lattice.axis(name).name)
