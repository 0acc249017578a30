"""Are posteriors right: do truths lie in them as they should?

Simulation-based calibration (Talts et al. 2018, arXiv:1804.06788): of truths drawn from the prior,
and data drawn given them, the rank of the truth among draws of the posterior is uniform, for any
sampler and any quantity. Tried here: chi-square, Kolmogorov-Smirnov, and a band in which the whole
empirical distribution lies with a stated probability (Sailynoja, Buerkner & Vehtari 2022, Stat.
Comput. 32, 32).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

Simulate = Callable[[np.random.Generator], tuple[FloatArray, Any]]
Infer = Callable[[Any, int], FloatArray]

_BINS: Final = 20
_BAND_SEED: Final = 2022
_BAND_SETS: Final = 20_000
_BAND_POINTS: Final = 100


@dataclass(frozen=True, eq=False)
class Calibration:
    """How truths lie in posteriors, for each quantity.

    Attributes
    ----------
    names : tuple of str
        The quantities.
    place : ndarray, shape (n_sim, n_par)
        Place of each truth within its posterior, 0 to 1, uniform if all is right.
    chi2_p, ks_p : ndarray, shape (n_par,)
        Probability of a place distribution as odd as this or odder.
    in_band : ndarray of bool, shape (n_par,)
        Whether the empirical distribution stays in the simultaneous band.
    """

    names: tuple[str, ...]
    place: FloatArray
    chi2_p: FloatArray
    ks_p: FloatArray
    in_band: BoolArray

    @classmethod
    def of(
        cls, names: Sequence[str], place: FloatArray, probability: float = 0.999
    ) -> "Calibration":
        """Try places, shape (n_sim, n_par), of all quantities for uniformity.

        Parameters
        ----------
        names : sequence of str
        place : ndarray
        probability : float
            With which a right sampler stays in the band.
        """
        columns = list(np.asarray(place, dtype=float).T)
        expected = len(place) / _BINS
        counts = [np.histogram(column, _BINS, (0.0, 1.0))[0] for column in columns]
        chi2 = [float(((count - expected) ** 2 / expected).sum()) for count in counts]
        return cls(
            tuple(names),
            np.asarray(place, dtype=float),
            np.array([stats.chi2.sf(value, _BINS - 1) for value in chi2]),
            np.array([stats.kstest(column, "uniform").pvalue for column in columns]),
            np.array([within_band(column, probability) for column in columns]),
        )

    def passes(self, least: float = 0.001) -> BoolArray:
        """Say which quantities are calibrated: p above `least` over their number, in the band."""
        limit = least / len(self.names)
        passed: BoolArray = (self.chi2_p > limit) & (self.ks_p > limit) & self.in_band
        return passed


def calibrate(
    names: Sequence[str], simulate: Simulate, infer: Infer, *, batches: int, seed: int
) -> Calibration:
    """Simulate, infer, and see where the truths lie.

    Parameters
    ----------
    names : sequence of str
        Quantities.
    simulate : callable
        Called with a generator; gives truths from the prior, shape (m, n_par), and data.
    infer : callable
        Called with the data and a whole number to seed from; gives independent draws, shape
        (m, n_draw, n_par). Of a chain, thin until draws are independent.
    batches : int
        How often both are called.
    seed : int
        Of everything.
    """
    places = []
    for sequence in np.random.SeedSequence(seed).spawn(batches):
        rng = np.random.default_rng(sequence)
        truth, data = simulate(rng)
        draws = infer(data, int(rng.integers(2**31)))
        places.append(place_of(truth, draws, rng))
    return Calibration.of(names, np.concatenate(places))


def place_of(truth: FloatArray, draws: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Give the place of truths among draws, (rank + U) / (n_draw + 1).

    The random part makes it uniform, not only a multiple of 1 / n_draw; equal values are put in
    random order.

    Parameters
    ----------
    truth : ndarray, shape (m, n_par)
    draws : ndarray, shape (m, n_draw, n_par)
    rng : Generator
    """
    below = (draws < truth[:, None]).sum(axis=1)
    equal = (draws == truth[:, None]).sum(axis=1)
    rank = below + np.floor(rng.random(truth.shape) * (equal + 1))
    return np.asarray((rank + rng.random(truth.shape)) / (draws.shape[1] + 1))


def within_band(place: FloatArray, probability: float) -> bool:
    """Say whether the empirical distribution of places stays in the simultaneous band."""
    points = _points()
    low, high = band(place.size, probability)
    count = np.searchsorted(np.sort(place), points, side="right")
    return bool(((count >= low) & (count <= high)).all())


@lru_cache(maxsize=16)
def band(count: int, probability: float) -> tuple[FloatArray, FloatArray]:
    """Give the least and largest number of `count` uniform places below each point of a grid.

    Pointwise binomial intervals, as wide as lets a set of uniform places stay in all of them with
    the probability: found by simulation, with a seed of its own.
    """
    points = _points()
    # The number below each point, of many sets: a random walk of binomial steps.
    rng = np.random.default_rng(_BAND_SEED)
    left = np.full(_BAND_SETS, count)
    tail = np.ones(_BAND_SETS)
    below = np.zeros(_BAND_SETS, dtype=np.int64)
    before = 0.0
    for point in points:
        step = rng.binomial(left, (point - before) / (1.0 - before))
        below, left, before = below + step, left - step, point
        low, high = stats.binom.cdf(below, count, point), stats.binom.sf(below - 1, count, point)
        tail = np.minimum(tail, np.minimum(low, high))
    level = float(np.quantile(tail, 1.0 - probability))
    low = stats.binom.ppf(level, count, points)
    return low, stats.binom.isf(level, count, points)


def _points() -> FloatArray:
    return np.arange(1, _BAND_POINTS) / _BAND_POINTS


@dataclass(frozen=True)
class Coverage:
    """How many truths lie in intervals of a stated probability.

    Attributes
    ----------
    stated : float
        Probability of the intervals.
    inside, count : int
        Truths in them, and all.
    """

    stated: float
    inside: int
    count: int

    @classmethod
    def of(cls, truth: FloatArray, low: FloatArray, high: FloatArray, stated: float) -> "Coverage":
        """Count the truths in [low, high], arrays of one shape."""
        within = (truth >= low) & (truth <= high)
        return cls(stated, int(within.sum()), int(within.size))

    @property
    def share(self) -> float:
        """Give the share of truths inside."""
        return self.inside / self.count

    @property
    def p_value(self) -> float:
        """Give the probability of a count as far off as this, two-sided, by the binomial."""
        return float(stats.binomtest(self.inside, self.count, self.stated).pvalue)
