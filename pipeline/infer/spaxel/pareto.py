"""How heavy is the tail of importance weights: can their mean be trusted?

The largest weights are fitted by a generalised Pareto distribution (Zhang & Stephens 2009,
Technometrics 51, 316); its shape k below 0.7 says that the sum is reliable (Vehtari et al. 2024,
JMLR 25, 72). Many sets of weights at a time.
"""

from typing import Final

import numpy as np

from ard.cube import FloatArray

_PRIOR_K: Final = 0.5  # weakly informative, of 10 observations (Vehtari et al. 2024)
_PRIOR_WEIGHT: Final = 10.0
_PRIOR_BS: Final = 3.0
WITHIN: Final = 2.0
_LEAST: Final = 5  # weights that a tail must have


def khat(log_weight: FloatArray) -> FloatArray:
    """Give the shape of the tail of each set of weights.

    Parameters
    ----------
    log_weight : ndarray, shape (n, m)
        Logarithms, up to a constant; -inf counts as a weight of zero.

    Returns
    -------
    ndarray, shape (n,)
        0 where the largest weight is below `WITHIN` means, or the largest are all equal: weights
        that hardly differ have no tail. NaN where a set has no weight at all or is too small.
    """
    count = log_weight.shape[1]
    length = int(np.ceil(min(0.2 * count, 3.0 * np.sqrt(count))))
    if length < _LEAST:
        return np.full(log_weight.shape[0], np.nan)
    top = log_weight.max(axis=1, keepdims=True)
    known = np.isfinite(top[:, 0])
    shifted = log_weight - np.where(np.isfinite(top), top, 0.0)
    ordered = np.exp(np.partition(shifted, count - length - 1, axis=1)[:, count - length - 1 :])
    ordered = np.sort(ordered, axis=1)
    excess = ordered[:, 1:] - ordered[:, :1]
    flat = excess[:, -1] <= 0.0
    mean = np.exp(shifted).mean(axis=1)
    flat |= ordered[:, -1] < WITHIN * mean
    shape = _shape(np.where(flat[:, None], 1.0 + np.arange(length), excess))
    return np.asarray(np.where(known, np.where(flat, 0.0, shape), np.nan))


def _shape(excess: FloatArray) -> FloatArray:
    """Fit the shape k of a generalised Pareto distribution to increasing values, shape (n, m)."""
    length = excess.shape[1]
    trials = 30 + int(np.sqrt(length))
    quarter = excess[:, int(length / 4 + 0.5) - 1, None]
    quarter = np.where(quarter > 0.0, quarter, np.finfo(float).tiny ** 0.5)
    step = 1.0 - np.sqrt(trials / (np.arange(1, trials + 1) - 0.5))
    theta = 1.0 / excess[:, -1:] + step / (_PRIOR_BS * quarter)
    k = np.log1p(-theta[:, :, None] * excess[:, None, :]).mean(axis=2)
    level = length * (np.log(-theta / k) - k - 1.0)
    weight = np.exp(level - level.max(axis=1, keepdims=True))
    theta = (theta * weight).sum(axis=1) / weight.sum(axis=1)
    shape = np.log1p(-theta[:, None] * excess).mean(axis=1)
    return np.asarray((shape * length + _PRIOR_K * _PRIOR_WEIGHT) / (length + _PRIOR_WEIGHT))


def effective(log_weight: FloatArray) -> FloatArray:
    """Give the effective number of each set of weights, (sum w)^2 / sum w^2, shape (n,)."""
    top = log_weight.max(axis=1, keepdims=True)
    weight = np.exp(log_weight - np.where(np.isfinite(top), top, 0.0))
    square = (weight**2).sum(axis=1)
    total: FloatArray = weight.sum(axis=1) ** 2
    number = np.zeros(square.shape)
    np.divide(total, square, out=number, where=square > 0)
    return number
