"""How are neighbouring voxels correlated, along wavelength and on the sky?

Products of residuals are summed over all pairs of used voxels at each lag, by Fourier transforms of
blocks of channels. The spread between the blocks gives the errors; it knows of tails and of noise
that is not the same everywhere, which a formula would not.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import fft

from ard.cube import FloatArray

_MOST_BLOCKS: Final = 24
_BLOCK_CHANNELS: Final = 8


@dataclass(frozen=True, eq=False)
class Covariance:
    """The covariance of residuals as a function of lag.

    Attributes
    ----------
    value, error : ndarray, shape (2 lw + 1, 2 ly + 1, 2 lx + 1)
        Mean product of residuals at each lag (channels, rows, columns from -l to +l), over the
        mean square, and its standard error.
    variance : float
        The mean square.
    pairs : ndarray, of the same shape
        Number of pairs of voxels.
    """

    value: FloatArray
    error: FloatArray
    variance: float
    pairs: FloatArray

    @property
    def lags(self) -> tuple[int, int, int]:
        """Largest lag along wave, y and x."""
        wave, y, x = (size // 2 for size in self.value.shape)
        return wave, y, x

    def along(self, axis: int) -> tuple[FloatArray, FloatArray]:
        """Give value and error at lags 0, 1, ... along an axis (0 wave, 1 y, 2 x)."""
        at: list[Any] = list(self.lags)
        at[axis] = slice(self.lags[axis], None)
        return self.value[tuple(at)], self.error[tuple(at)]


def measure(values: FloatArray, index: Any, lags: tuple[int, int, int]) -> Covariance:
    """Measure the covariance function.

    Parameters
    ----------
    values : ndarray, shape (n_free, ny, nx)
        Residuals of about unit variance; NaN where not used.
    index : ndarray of int, shape (n_free,)
        Number of each channel; pairs across gaps are at their true lag.
    lags : (int, int, int)
        Largest lag along wave, y and x.

    Returns
    -------
    Covariance
        The error is the larger of that from leaving out one block of channels after the other,
        and that of Gaussian noise of this covariance.
    """
    blocks = _blocks(values, index, lags)
    sums = np.stack([_products(block, lags) for block in blocks])
    products, pairs = sums[:, 0].sum(axis=0), sums[:, 1].sum(axis=0)
    whole, variance = _ratio(products, pairs)
    count = len(blocks)
    each = np.stack([_ratio(products - s[0], pairs - s[1])[0] for s in sums])
    spread = np.sqrt((count - 1) / count * np.sum((each - each.mean(axis=0)) ** 2, axis=0))
    gaussian = np.sqrt(np.sum(whole**2) / np.maximum(pairs, 1.0))
    middle = tuple(lags)
    error = np.maximum(spread, gaussian)
    error[middle] = 0.0
    return Covariance(whole, error, variance, pairs)


def _blocks(values: FloatArray, index: Any, lags: tuple[int, int, int]) -> list[FloatArray]:
    """Cut the channels into blocks of equal number, with empty channels where lines are."""
    count = int(np.clip(values.shape[0] // _BLOCK_CHANNELS, 2, _MOST_BLOCKS))
    blocks = []
    for part in np.array_split(np.arange(values.shape[0]), count):
        places = index[part] - index[part[0]]
        block = np.full((int(places[-1]) + 1, *values.shape[1:]), np.nan)
        block[places] = values[part]
        blocks.append(block)
    return blocks


def _products(block: FloatArray, lags: tuple[int, int, int]) -> FloatArray:
    """Give sums of products, and numbers of pairs, at all lags: shape (2, ...)."""
    used = np.isfinite(block)
    size = [fft.next_fast_len(n + lag, real=True) for n, lag in zip(block.shape, lags, strict=True)]
    out = []
    for field in (np.where(used, block, 0.0), used.astype(np.float64)):
        power = np.abs(fft.rfftn(field, s=size)) ** 2
        full = fft.irfftn(power, s=size)
        for axis, lag in enumerate(lags):
            full = np.take(full, np.arange(-lag, lag + 1), axis=axis)
        out.append(full)
    out[1] = np.rint(out[1])
    return np.stack(out)


def _ratio(products: FloatArray, pairs: FloatArray) -> tuple[FloatArray, float]:
    mean = np.where(pairs > 0, products / np.maximum(pairs, 1.0), 0.0)
    variance = float(mean[tuple(n // 2 for n in mean.shape)])
    return mean / variance, variance


def undo_continuum(found: Covariance, matrix: FloatArray) -> Covariance:
    """Correct a covariance function for the continuum that was taken off.

    Parameters
    ----------
    found : Covariance
    matrix : ndarray, shape (2 lw + 1, 2 lw + 1)
        What `continuum.response` gives, for the lags of `found` along wave.

    Returns
    -------
    Covariance
        With the variance that the noise had before. Errors of lags are taken to be independent.
    """
    inverse = np.linalg.inv(matrix)
    value = np.tensordot(inverse, found.value, axes=([1], [0]))
    spread = np.tensordot(inverse**2, found.error**2, axes=([1], [0]))
    middle = found.lags
    top = float(value[middle])
    ratio = value / top
    # The middle is 1 by division, and hands its own error on to all others; with those along
    # wavelength it shares what it is made of.
    error = np.sqrt(spread + ratio**2 * spread[middle]) / top
    along = (slice(None), *middle[1:])
    shared = inverse - ratio[along][:, None] * inverse[middle[0]]
    error[along] = np.sqrt(shared**2 @ found.error[along] ** 2) / top
    return Covariance(ratio, error, found.variance * top, found.pairs)
