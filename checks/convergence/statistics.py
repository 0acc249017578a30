"""How well have chains mixed, and how many independent draws are they worth?

The estimators of Vehtari et al. 2021 (Bayesian Analysis 16, 667, arXiv:1903.08008) for thousands of
scalars at once: rank-normalised split R-hat, effective sample sizes of bulk, tails and mean, and
the Monte Carlo error of the mean. ArviZ does them one scalar at a time and has holes, which are
closed here: a constant has no effective draws, and scale does not matter (ArviZ calls whatever
spans less than 1e-15 constant, as fluxes in erg/s/cm2 do).

The numbers below are those of the formulas; what is good enough stands in acceptance.toml.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ard.cube import FloatArray
from ard.errors import ArdError, ExtraMissingError
from ard.pareto import tail_shape

# Blom 1958, as used by Vehtari et al. 2021, equation 14.
_BLOM: Final = 3.0 / 8.0
TAIL_PROBABILITIES: Final = (0.05, 0.95)
# Which quantiles are reported: median, and the ends of 68 and 95 %.
QUANTILES: Final = (0.025, 0.16, 0.5, 0.84, 0.975)
_FEWEST_CHAINS: Final = 2
_FEWEST_DRAWS: Final = 8  # four in each half
# How many numbers are worked on at a time, to stay in cache and in bounded memory.
_AT_ONCE: Final = 100_000
# How many are collected before they are worked on.
TOGETHER: Final = 1_000_000


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """What chains say of themselves, scalar by scalar; NaN where it cannot be said.

    All arrays have the shape of the scalars that were given, `quantiles` one axis more.

    Attributes
    ----------
    n_chain, n_draw : int
        Number of chains, and of draws in each.
    bad_draws : array of int
        Draws that are not finite.
    distinct : array
        Smallest share of distinct values among the draws of a chain.
    rhat_bulk, rhat_folded : array
        Rank-normalised split R-hat of the draws, and of their distances from the median.
    ess_bulk, ess_tail, ess_mean : array
        Effective sample size of the rank-normalised draws, the smaller one of the quantiles of 5
        and 95 %, and that of the mean.
    tail_shape : array
        Shape k of the heavier tail: the mean exists below 1, can be estimated below about 0.7.
    mean, sd : array
        Mean and standard deviation of all draws.
    quantiles : array, shape (..., 5)
        Quantiles of all draws at `QUANTILES`.
    """

    n_chain: int
    n_draw: int
    bad_draws: NDArray[np.integer[Any]]
    distinct: FloatArray
    rhat_bulk: FloatArray
    rhat_folded: FloatArray
    ess_bulk: FloatArray
    ess_tail: FloatArray
    ess_mean: FloatArray
    tail_shape: FloatArray
    mean: FloatArray
    sd: FloatArray
    quantiles: FloatArray

    @property
    def rhat(self) -> FloatArray:
        """The larger one of the two R-hat."""
        larger: FloatArray = np.maximum(self.rhat_bulk, self.rhat_folded)  # NaN stays NaN
        return larger

    @property
    def mcse(self) -> FloatArray:
        """Monte Carlo standard error of the mean, in the unit of the scalar."""
        return self.sd * self.mcse_sd

    @property
    def mcse_sd(self) -> FloatArray:
        """Monte Carlo standard error of the mean, in standard deviations."""
        error: FloatArray = self.ess_mean**-0.5
        return error

    def reshape(self, *shape: int) -> "Diagnostics":
        """Give the same for scalars in another arrangement."""
        arrays = {name: getattr(self, name).reshape(shape) for name in ARRAYS[:-1]}
        quantiles = self.quantiles.reshape(*shape, len(QUANTILES))
        return replace(self, **arrays, quantiles=quantiles)


ARRAYS: Final = tuple(field.name for field in fields(Diagnostics))[len(("n_chain", "n_draw")) :]


def joined(parts: Sequence[Diagnostics]) -> Diagnostics:
    """Put diagnostics of the same chains one after the other; each of shape (n_scalar,)."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS
    }
    return replace(parts[0], **arrays)


def diagnose(draws: FloatArray) -> Diagnostics:
    """Say how well chains have mixed, for any number of scalars.

    Parameters
    ----------
    draws : array, shape (..., n_chain, n_draw)
        Draws of each scalar.

    Returns
    -------
    Diagnostics
        Arrays of shape (...). Where a draw is not finite, or all are the same, or there are fewer
        than two chains or eight draws, what needs more is NaN.

    Raises
    ------
    ArdError
        If there is no axis of chains.
    ExtraMissingError
        If scipy is not installed.
    """
    draws = np.asarray(draws, np.float64)
    if draws.ndim < len(("chain", "draw")):
        problem, action = "chains need two axes", "give (..., n_chain, n_draw)"
        raise ArdError(problem, expected=action, found=str(draws.shape), action=action)
    n_scalar, size = math.prod(draws.shape[:-2]), math.prod(draws.shape[-2:])
    flat = draws.reshape(n_scalar, *draws.shape[-2:])
    step = max(_AT_ONCE // max(size, 1), 1)
    parts = [_diagnose(flat[start : start + step]) for start in range(0, n_scalar, step)]
    return joined(parts or [_unknown(flat)]).reshape(*draws.shape[:-2])


def bfmi(energy: FloatArray) -> FloatArray:
    """Give the Bayesian fraction of missing information of each chain.

    Parameters
    ----------
    energy : array, shape (n_chain, n_draw)
        Energy of each draw of a Hamiltonian sampler.

    Notes
    -----
    Betancourt 2016 (arXiv:1604.00695), equation 4.
    """
    energy = np.asarray(energy, np.float64)
    with np.errstate(all="ignore"):
        steps = np.square(np.diff(energy, axis=1))
        moved = steps.sum(axis=1) / max(steps.shape[1], 1)
        spread = np.square(energy - energy.mean(axis=1, keepdims=True)).sum(axis=1)
        fraction: FloatArray = moved * (energy.shape[1] - 1) / spread
    return fraction


# ---- a batch of scalars


def _diagnose(draws: FloatArray) -> Diagnostics:
    """Diagnose some scalars, shape (n_scalar, n_chain, n_draw)."""
    unknown = _unknown(draws)
    if unknown.n_chain < _FEWEST_CHAINS or unknown.n_draw < _FEWEST_DRAWS:
        return unknown
    good = (unknown.bad_draws == 0) & (draws.min(axis=(1, 2)) < draws.max(axis=(1, 2)))
    if good.any():
        for name, values in _diagnose_good(draws[good]).items():
            getattr(unknown, name)[good] = values
    return unknown


def _unknown(draws: FloatArray) -> Diagnostics:
    """Say what can be said of any draws, and leave the rest open."""
    n_scalar, n_chain, n_draw = draws.shape
    values: dict[str, Any] = {name: np.full(n_scalar, math.nan) for name in ARRAYS}
    values["quantiles"] = np.full((n_scalar, len(QUANTILES)), math.nan)
    values["bad_draws"] = np.count_nonzero(~np.isfinite(draws), axis=(1, 2))
    if n_chain and n_draw:
        ordered = np.sort(draws, axis=2)
        kinds = 1 + np.count_nonzero(ordered[..., 1:] != ordered[..., :-1], axis=2)
        values["distinct"] = kinds.min(axis=1) / n_draw
    return Diagnostics(n_chain, n_draw, **values)


def _diagnose_good(draws: FloatArray) -> dict[str, FloatArray]:
    """Diagnose scalars whose draws are finite and not all the same."""
    n_scalar, n_chain, n_draw = draws.shape
    bulk, folded, ordered = _rank_normalised(_split(draws))
    if ordered.shape[1] != n_chain * n_draw:  # a draw in the middle is in no half
        ordered = np.sort(draws.reshape(n_scalar, -1), axis=1)
    # Of draws in units of their own spread no square can overflow, or vanish.
    centre, scale = _centre(draws)
    draws = (draws - centre[:, None, None]) / scale[:, None, None]
    ordered = (ordered - centre[:, None]) / scale[:, None]
    halves = _split(draws)
    quantiles = _quantiles(ordered, QUANTILES)
    ends = _quantiles(ordered, TAIL_PROBABILITIES)
    inside = [_split((draws <= end[:, None, None]).astype(np.float64)) for end in ends.T]
    with np.errstate(all="ignore"):
        ess_tail = np.minimum(*(_ess(half) for half in inside))
        efficiency = ess_tail / (n_chain * n_draw)
        shape = [tail_shape(*each) for each in zip(ordered, efficiency, strict=True)]
        return {
            "rhat_bulk": _rhat(bulk),
            "rhat_folded": _rhat(folded),
            "ess_bulk": _ess(bulk),
            "ess_tail": ess_tail,
            "ess_mean": _ess(halves),
            "tail_shape": np.where(np.isfinite(efficiency), shape, math.nan),
            "mean": centre + scale * draws.mean(axis=(1, 2)),
            "sd": scale * draws.std(axis=(1, 2), ddof=1),
            "quantiles": centre[:, None] + scale[:, None] * quantiles,
        }


def _centre(draws: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give a value among the draws of each scalar, and how far they reach from it."""
    low, high = draws.min(axis=(1, 2)), draws.max(axis=(1, 2))
    centre = draws[:, 0, 0]
    return centre, np.maximum(high - centre, centre - low)


def _split(draws: FloatArray) -> FloatArray:
    """Cut chains in two halves, which count as chains: (n_scalar, 2 n_chain, n_draw // 2)."""
    half = draws.shape[-1] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=1)


def _rank_normalised(halves: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give normal scores of draws and of their distances from the median, and the draws in order.

    Returns
    -------
    bulk, folded : array, shape of `halves`
        Normal scores.
    ordered : array, shape (n_scalar, n)
        The draws of each scalar, ascending.
    """
    flat = halves.reshape(len(halves), -1)
    order = np.argsort(flat, axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    bulk = _scores(ordered, order)
    # Down to the median and up again: two runs, which a stable sort merges. Which one of the two
    # draws in the middle is nearer is a matter of rounding: the median is that of numpy and ArviZ.
    n = ordered.shape[1]
    median = 0.5 * (ordered[:, (n - 1) // 2] + ordered[:, n // 2])
    distance = np.abs(ordered - median[:, None])
    far = np.argsort(distance, axis=1, kind="stable")
    distance = np.take_along_axis(distance, far, axis=1)
    folded = _scores(distance, np.take_along_axis(order, far, axis=1))
    return bulk.reshape(halves.shape), folded.reshape(halves.shape), ordered


def _scores(ordered: FloatArray, order: NDArray[np.intp]) -> FloatArray:
    """Put the normal score of each rank where the draw of this rank is; ties share their mean."""
    n = ordered.shape[1]
    table = _score_table(n)
    score = np.empty(ordered.shape)
    in_order = np.broadcast_to(table[::2], ordered.shape)
    same = ordered[:, 1:] == ordered[:, :-1]
    tied = np.flatnonzero(same.any(axis=1))
    if tied.size:
        in_order = in_order.copy()
        for row in tied:
            in_order[row] = table[_twice_mean_ranks(same[row])]
    np.put_along_axis(score, order, in_order, axis=1)
    return score


def _twice_mean_ranks(same: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Give twice the rank (from 0) of ordered values, the mean one for equal values."""
    first = np.flatnonzero(np.concatenate([[True], ~same]))
    last = np.concatenate([first[1:], [len(same) + 1]]) - 1
    ranks: NDArray[np.intp] = np.repeat(first + last, last - first + 1)
    return ranks


def _score_table(n: int) -> FloatArray:
    """Give the normal score of each rank among n, in steps of half a rank."""
    try:
        from scipy.special import ndtri
    except ModuleNotFoundError as error:
        raise ExtraMissingError.for_module("scipy", "judging chains") from error
    rank = 1.0 + 0.5 * np.arange(2 * n - 1)
    scores: FloatArray = ndtri((rank - _BLOM) / (n - 2.0 * _BLOM + 1.0))
    return scores


def _quantiles(ordered: FloatArray, probabilities: tuple[float, ...]) -> FloatArray:
    """Interpolate quantiles between ordered draws, as numpy does; shape (n_scalar, n)."""
    place = np.array(probabilities) * (ordered.shape[1] - 1)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, ordered.shape[1] - 1)
    part, low, high = place - below, ordered[:, below], ordered[:, above]
    near_high = high - (high - low) * (1.0 - part)
    quantiles: FloatArray = np.where(part >= 0.5, near_high, low + (high - low) * part)
    return quantiles


# ---- one number for each scalar


def _rhat(halves: FloatArray) -> FloatArray:
    """Give R-hat of normal scores (Vehtari et al. 2021, equations 1-4)."""
    n = halves.shape[2]
    within = halves.var(axis=2, ddof=1).mean(axis=1)
    between = n * halves.mean(axis=2).var(axis=1, ddof=1)
    rhat: FloatArray = np.sqrt((between / within + n - 1.0) / n)
    return rhat


def _ess(halves: FloatArray) -> FloatArray:
    """Give the effective sample size (Vehtari et al. 2021, equations 10-13).

    The sum over autocorrelations ends where a pair of them is negative (Geyer 1992), and pairs
    never grow.
    """
    _, m, n = halves.shape
    mean = halves.mean(axis=2)
    covariance = _autocovariance(halves - mean[:, :, None])
    within = covariance[:, 0] * n / (n - 1.0)
    total = covariance[:, 0] + mean.var(axis=1, ddof=1)
    rho = 1.0 - (within[:, None] - covariance) / total[:, None]
    rho[:, 0] = 1.0
    pairs = rho[:, 0 : n - n % 2 : 2] + rho[:, 1::2]
    last = (n - 3) // 2
    stop = np.concatenate([~(pairs[:, :last] > 0.0), np.ones((len(rho), 1), bool)], axis=1)
    k = stop.argmax(axis=1)
    rows = np.arange(len(rho))
    even, pair = rho[rows, 2 * k], pairs[rows, k]
    # The first lag of the pair that ends the sum still counts, unless it is what makes it negative.
    tail = np.where((even > 0.0) | (pair >= 0.0), even, 0.0)
    falling = np.minimum.accumulate(pairs, axis=1)
    sums = np.concatenate([np.zeros((len(rho), 1)), np.cumsum(falling, axis=1)], axis=1)
    tau = np.maximum(-1.0 + 2.0 * sums[rows, k] + tail, 1.0 / math.log10(m * n))
    ess: FloatArray = m * n / tau
    return ess


def _autocovariance(centred: FloatArray) -> FloatArray:
    """Give the mean over chains of the autocovariance at every lag, shape (n_scalar, n_draw)."""
    from scipy.fft import next_fast_len

    n = centred.shape[2]
    padded = next_fast_len(2 * n, real=True)
    wave = np.fft.rfft(centred, n=padded, axis=2)
    power = np.square(wave.real).mean(axis=1) + np.square(wave.imag).mean(axis=1)
    covariance: FloatArray = np.fft.irfft(power, n=padded, axis=1)[:, :n] / n
    return covariance
