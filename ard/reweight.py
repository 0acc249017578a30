"""What would the posterior be under another prior, without sampling it again?

Draws from the posterior under one prior are draws under another once they are weighted by the ratio
of the two. Whether there are enough of them where the new prior wants them, the weights say
themselves: the shape k of the tail of their distribution (`Weights.khat`), by Pareto-smoothed
importance sampling (Vehtari et al. 2024, JMLR 25(72), arXiv:1507.02646).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ard.cube import FloatArray
from ard.errors import ArdError, NotFoundError
from ard.pareto import SHORTEST_TAIL, fit_tail, tail_length, tail_quantiles
from ard.priors import Prior

LogDensity = Callable[[FloatArray], ArrayLike]

# Vehtari et al. 2024, section 3.2.4: with k above this, no feasible number of draws suffices; with
# S draws, k above 1 - 1 / log10(S) is too much already.
KHAT_MAX: Final = 0.7
# How much of the new prior may lie where the old one allowed nothing: there are no draws there, and
# no weight can say so. Our choice: a hundredth moves no interval of 95 %.
OUTSIDE_MAX: Final = 0.01


@dataclass(frozen=True, eq=False)
class Weights:
    """How much does each draw count, and can the weights be trusted?

    Attributes
    ----------
    log_weight : array, shape of the draws
        Log of the weights, which add up to 1.
    khat : float
        Shape of the tail of the weights; minus infinity where the largest weights are all the same
        (a prior that only cuts draws off). Trust the weights below `khat_max` only.
    log_evidence_change : float
        By how much ln of the evidence changes, if both priors are normalised.
    """

    log_weight: FloatArray
    khat: float
    log_evidence_change: float

    @cached_property
    def weight(self) -> FloatArray:
        """The weights, shape of the draws; they add up to 1."""
        weight = np.exp(self.log_weight)
        weight /= weight.sum()
        return weight

    @property
    def khat_max(self) -> float:
        """The largest `khat` that so many draws can bear."""
        return khat_max(self.log_weight.size)

    @property
    def reliable(self) -> bool:
        """Whether the weights can be trusted."""
        return self.khat < self.khat_max

    @property
    def ess(self) -> float:
        """Effective number of draws: as many equal ones would do as well (Kish)."""
        return 1.0 / float(np.square(self.weight).sum())

    def mean(self, values: ArrayLike) -> float:
        """Give the mean of a quantity, one value for each draw."""
        return float((self.weight * self._like(values)).sum())

    def mean_err(self, values: ArrayLike) -> float:
        """Give the Monte Carlo standard error of `mean`, if draws are independent."""
        values = self._like(values)
        return math.sqrt(float(np.square(self.weight * (values - self.mean(values))).sum()))

    def sd(self, values: ArrayLike) -> float:
        """Give the standard deviation of a quantity."""
        values = self._like(values)
        return math.sqrt(float((self.weight * np.square(values - self.mean(values))).sum()))

    def quantile(self, values: ArrayLike, probability: ArrayLike) -> FloatArray:
        """Give quantiles of a quantity.

        Parameters
        ----------
        values : array, shape of the draws
            The quantity.
        probability : float or array
            Which quantiles, from 0 to 1.
        """
        values, weight = self._like(values).ravel(), self.weight.ravel()
        # What has no weight is no quantile; numpy would give it for a probability of 0.
        has = weight > 0
        # The only method that numpy has for weights.
        of = np.asarray(probability, np.float64)
        quantiles = np.quantile(values[has], of, weights=weight[has], method="inverted_cdf")
        return np.asarray(quantiles, np.float64)

    def resample(self, n: int, *, seed: int) -> NDArray[np.intp]:
        """Choose draws that all count the same: draws of the new posterior.

        Parameters
        ----------
        n : int
            How many; more than `ess` of them only repeat one another.
        seed : int
            The same seed gives the same choice.

        Returns
        -------
        array of int, shape (n,)
            Indices into the draws, as one dimension (`numpy.ravel`), in random order.
        """
        rng = np.random.default_rng(seed)
        # Systematic: a draw of weight w is chosen n w times, to the next whole number.
        place = (np.arange(n) + rng.uniform()) / n
        cumulative = np.cumsum(self.weight)
        chosen = np.searchsorted(cumulative / cumulative[-1], place, side="right")
        return rng.permutation(chosen)

    def _like(self, values: ArrayLike) -> FloatArray:
        array = np.asarray(values, np.float64)
        if array.shape != self.log_weight.shape:
            raise _shapes("values", self.log_weight.shape, array.shape)
        return array


def khat_max(n_draw: int) -> float:
    """Give the largest shape of the tail of weights that so many draws can bear.

    Notes
    -----
    min(1 - 1 / log10(S), 0.7): Vehtari et al. 2024, equation 13.
    """
    return min(1.0 - 1.0 / math.log10(n_draw), KHAT_MAX) if n_draw > 1 else -math.inf


def smooth_weights(log_ratio: ArrayLike, *, efficiency: float = 1.0) -> Weights:
    """Make weights from log ratios of densities, new over old, and say whether to trust them.

    Parameters
    ----------
    log_ratio : array, any shape
        Log of what each draw should count; a constant does not matter. Minus infinity: not at all.
        The larger, the more weight (ArviZ' ``psislw`` has the other sign).
    efficiency : float
        Effective over actual number of draws, of chains.

    Returns
    -------
    Weights
        The largest are smoothed by a generalised Pareto distribution.

    Raises
    ------
    ArdError
        If a ratio is not a number or infinite, or no draw counts.
    """
    ratio = np.array(log_ratio, np.float64)
    flat = ratio.reshape(-1)  # a view: smoothing changes both
    n_bad = int(np.count_nonzero(np.isnan(flat) | (flat == np.inf)))
    if n_bad or flat.size == 0 or flat.max() == -np.inf:
        raise ArdError(
            "there are no weights",
            expected="finite log ratios; minus infinity where the new prior excludes a draw",
            found=f"{n_bad} of {flat.size} are none" if n_bad else "no draw counts",
            action="look at the new prior: it has to allow some of the draws, and to be a number "
            "at each of them",
        )
    largest = flat.max()
    flat -= largest
    n_tail = tail_length(flat.size, efficiency)
    khat = math.inf if n_tail < SHORTEST_TAIL or n_tail >= flat.size else _smooth(flat, n_tail)
    log_sum = math.log(float(np.exp(flat).sum()))
    change = float(largest) + log_sum - math.log(flat.size)
    return Weights(ratio - log_sum, khat, change)


def _smooth(flat: FloatArray, n_tail: int) -> float:
    """Replace the largest log weights by what a Pareto tail expects; give its shape.

    `flat` is changed: at most 0, and finite at its largest.
    """
    order = np.argpartition(flat, -n_tail - 1)[-n_tail - 1 :]
    order = order[np.argsort(flat[order], kind="stable")]
    cutoff, tail = flat[order[0]], order[1:]
    if flat[tail[0]] == flat[tail[-1]]:
        return -math.inf
    threshold = math.exp(cutoff)
    shape, scale = fit_tail(np.exp(flat[tail]) - threshold)
    if math.isnan(shape):
        return math.inf
    if math.isfinite(shape) and scale > 0:
        smoothed = np.log(threshold + tail_quantiles(n_tail, shape, scale))
        flat[tail] = np.minimum(smoothed, 0.0)  # 0 is the largest there was
    return shape


def reweight(
    draws: Mapping[str, ArrayLike],
    log_prior: Mapping[str, ArrayLike],
    new: Mapping[str, Prior | LogDensity],
    *,
    old: Mapping[str, Prior] | None = None,
    efficiency: float = 1.0,
) -> Weights:
    """Weigh draws from a posterior as draws from the posterior under other priors.

    Parameters
    ----------
    draws : mapping of str to array, all of one shape
        Draws of each parameter, in the unit of the file.
    log_prior : mapping of str to array, of the same shape
        Log density of the prior that was used, of each parameter at each draw.
    new : mapping of str to Prior or callable
        The new prior of some parameters; the others keep theirs. A callable gets the draws of the
        parameter and gives the log density at each of them.
    old : mapping of str to Prior, optional
        The priors that were used. With them it is refused to go where they allowed nothing, which
        the weights cannot see.
    efficiency : float
        Effective over actual number of draws.

    Returns
    -------
    Weights
        Weights that can be trusted.

    Raises
    ------
    ArdError
        If the draws do not suffice for the new priors, or shapes do not agree.
    NotFoundError
        If a parameter has no draws or no log prior.
    """
    for name in new:
        for what, given in (("draws", draws), ("log_prior", log_prior)):
            if name not in given:
                raise NotFoundError(
                    f"there are no {what} of the parameter '{name}'",
                    expected=", ".join(map(str, given)) or "draws",
                    found=name,
                    action="give the parameter the name that it has in the file",
                )
    total = np.zeros(np.shape(next(iter(draws.values()), ())))
    for name, prior in new.items():
        if old is not None and name in old and not callable(prior):
            _covered(name, prior, old[name])
        total = total + _log_ratio(draws[name], log_prior[name], prior, total.shape)
    weights = smooth_weights(total, efficiency=efficiency)
    if not weights.reliable:
        raise ArdError(
            "the draws do not suffice for the new prior: few of them lie where it wants them",
            expected=f"k-hat below {weights.khat_max:.2f}",
            found=f"k-hat {weights.khat:.2f}, {weights.ess:.0f} effective of {total.size} draws",
            action="take a new prior nearer to the old one, change fewer parameters at once, use "
            "the full chains in place of a thinned table, or sample the posterior again",
        )
    return weights


def _log_ratio(
    draws: ArrayLike, old: ArrayLike, new: Prior | LogDensity, shape: tuple[int, ...]
) -> FloatArray:
    values, before = np.asarray(draws, np.float64), np.asarray(old, np.float64)
    after = np.asarray(new(values) if callable(new) else new.log_density(values), np.float64)
    for what, array in (("draws", values), ("log_prior", before), ("the new prior", after)):
        if array.shape != shape:
            raise _shapes(what, shape, array.shape)
    return after - before


def _covered(name: str, new: Prior, old: Prior) -> None:
    outside = 1.0 - new.probability(old.low, old.high)
    if outside > OUTSIDE_MAX:
        raise ArdError(
            f"the new prior of '{name}' allows what the old one did not: there are no draws there",
            expected=f"at most {OUTSIDE_MAX:g} of it outside of {old.low:g} to {old.high:g}",
            found=f"{outside:.3f} outside",
            action="give it the bounds of the old one, or sample the posterior again",
        )


def _shapes(what: str, expected: tuple[int, ...], found: tuple[int, ...]) -> ArdError:
    return ArdError(
        f"{what}: not one number for each draw",
        expected=f"shape {expected}",
        found=f"shape {found}",
        action="give all for the same draws",
    )
