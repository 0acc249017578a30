"""How heavy is the tail of a sample: do its mean and its variance exist?

The largest values of a sample are fitted by a generalised Pareto distribution, whose shape k says
how many moments there are: below 1 the mean exists, below 1/2 the variance. Estimates from a sample
can be trusted up to about 0.7 (Vehtari et al. 2024, JMLR 25(72), arXiv:1507.02646).
"""

import math
from typing import Final

import numpy as np

from ard.cube import FloatArray

# Vehtari et al. 2024, section 2.4 and appendix G: the tail is three times the root of the number of
# draws, a fifth of them where these are few, and five values at least; the shape is drawn to one
# half as if ten more values had been seen.
_FEW: Final = 225
_ROOTS: Final = 3.0
_SHARE: Final = 5
SHORTEST_TAIL: Final = 5
# Of slow and long chains the tail would be millions of draws; so many quantiles of it say the same.
_LONGEST_FIT: Final = 20_000
_PRIOR_SHAPE: Final = 0.5
_PRIOR_WEIGHT: Final = 10
# Zhang & Stephens 2009 (Technometrics 51, 316), section 3: number and range of the trial values.
_TRIALS: Final = 30
_RANGE: Final = 3.0


def tail_length(n_draw: int, efficiency: float = 1.0) -> int:
    """Say how many of the largest values count as the tail.

    Parameters
    ----------
    n_draw : int
        Size of the sample.
    efficiency : float
        Effective over actual size of the sample, in the tail; less than 1 for chains.
    """
    if n_draw * efficiency > _FEW:
        return int(_ROOTS * math.sqrt(n_draw / efficiency))
    return n_draw // _SHARE


def fit_tail(excess: FloatArray) -> tuple[float, float]:
    """Fit a generalised Pareto distribution to what exceeds a threshold.

    Parameters
    ----------
    excess : array, shape (n,)
        Values above the threshold minus the threshold, ascending; `SHORTEST_TAIL` at least.

    Returns
    -------
    shape, scale : float
        k, drawn to 1/2 by a weak prior, and sigma. NaN for values that are no such tail (a quarter
        of them are equal to the smallest); k is infinite where it cannot be computed.

    Notes
    -----
    Zhang & Stephens 2009, with the sign of k as in Vehtari et al. 2024, appendix G.
    """
    n = len(excess)
    quartile = excess[int(n / 4 + 0.5) - 1]
    if not quartile > excess[0]:
        return math.nan, math.nan
    count = _TRIALS + int(math.sqrt(n))
    theta = 1.0 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))
    theta = theta / (_RANGE * quartile) + 1.0 / excess[-1]
    with np.errstate(all="ignore"):
        shapes = _log1p(np.outer(-theta, excess)).mean(axis=1)
        log_like = n * (np.log(-theta / shapes) - shapes - 1.0)
        weight = np.exp(log_like - log_like.max())
        weight /= weight.sum()
        weight[weight < 10.0 * np.finfo(float).eps] = 0.0
        mean = float(weight @ theta / weight.sum())
        shape = float(np.log1p(-mean * excess).mean())
        scale = -shape / mean if mean else math.nan
    if math.isnan(shape):
        return math.inf, math.nan
    return (n * shape + _PRIOR_WEIGHT * _PRIOR_SHAPE) / (n + _PRIOR_WEIGHT), scale


def _log1p(values: FloatArray) -> FloatArray:
    result: FloatArray = np.log1p(values, out=values)
    return result


def tail_quantiles(n: int, shape: float, scale: float) -> FloatArray:
    """Give the expected values of an ordered sample of a generalised Pareto distribution.

    Parameters
    ----------
    n : int
        Size of the sample; its quantiles at (i - 1/2) / n are given.
    shape, scale : float
        As `fit_tail` gives them.

    Returns
    -------
    array, shape (n,)
        Values above the threshold, ascending.
    """
    log_survival = np.log1p(-(np.arange(n) + 0.5) / n)
    if shape == 0.0:
        return -scale * log_survival
    quantiles: FloatArray = scale * np.expm1(-shape * log_survival) / shape
    return quantiles


def tail_shape(ordered: FloatArray, efficiency: float = 1.0) -> float:
    """Say how heavy the heavier of the two tails of a sample is.

    Parameters
    ----------
    ordered : array, shape (n_draw,)
        The sample, ascending.
    efficiency : float
        Effective over actual size of the sample, in the tails.

    Returns
    -------
    float
        The larger k; NaN where there are too few draws, or a tail is all of one value.
    """
    n_draw = len(ordered)
    n_tail = min(max(tail_length(n_draw, efficiency), SHORTEST_TAIL), n_draw // 2)
    if n_tail < SHORTEST_TAIL:
        return math.nan
    upper = ordered[-n_tail:] - ordered[-n_tail - 1]
    lower = ordered[n_tail] - ordered[:n_tail][::-1]
    step = -(-n_tail // _LONGEST_FIT)
    shapes = [fit_tail(excess[::-step][::-1])[0] for excess in (upper, lower)]
    return math.nan if any(map(math.isnan, shapes)) else max(shapes)
