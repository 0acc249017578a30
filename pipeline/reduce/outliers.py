"""Which voxels hold no light from the sky, although the archive offers them?

A resampled cube keeps hits of single detector pixels. They look like a line one channel wide.
Clipping whatever is far from the continuum would remove emission lines as well, and the negative
ghosts of them that a subtracted pointing leaves. So a voxel is called an outlier only if it
stands alone in its spectrum: the line-spread function spreads any light over two channels or
more. (It may be wide on the sky, because drizzling spreads a pixel over spaxels.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ard.cube import BoolArray, FloatArray

MAD_TO_SIGMA = 1.482602218505602  # 1 / Phi^-1(3/4), for a Gaussian


@dataclass(frozen=True)
class Outliers:
    """Outlying voxels of a cube, and the residuals they were found in.

    Attributes
    ----------
    negative, positive : ndarray of bool, shape (n_wave, ny, nx)
        Far below the local continuum and below zero; far above the continuum; both alone in
        wavelength.
    residual : ndarray, shape (n_wave, ny, nx)
        Flux minus the running median along wavelength; NaN where masked.
    """

    negative: BoolArray
    positive: BoolArray
    residual: FloatArray

    @property
    def all(self) -> BoolArray:
        """Give both kinds."""
        return self.negative | self.positive


def running_median(flux: FloatArray, width: int) -> FloatArray:
    """Give the median over a window of channels, NaN ignored.

    Parameters
    ----------
    flux : ndarray, shape (n_wave, ny, nx)
    width : int
        Odd number of channels; the window is cut at the ends of the axis.

    Returns
    -------
    ndarray, shape (n_wave, ny, nx)
        NaN where the window holds no data.
    """
    n_wave, ny, _ = flux.shape
    half = min(width, 2 * n_wave - 1) // 2
    padded = np.pad(flux, ((half, half), (0, 0), (0, 0)), constant_values=np.nan)
    out = np.empty_like(flux)
    for y in range(ny):  # a row at a time bounds the memory to width x n_wave x nx
        windows = sliding_window_view(padded[:, y], 2 * half + 1, axis=0)
        out[:, y] = nanmedian(windows, axis=-1)
    return out


def nanmedian(values: FloatArray, axis: int) -> FloatArray:
    """Give the median along an axis, ignoring NaN; NaN (without warning) where all are.

    Sorting puts NaN last; the middle of the finite part is then picked by its index.
    """
    ordered = np.sort(values, axis=axis)
    count = np.isfinite(ordered).sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0), axis)
    high = np.take_along_axis(
        ordered, np.maximum(count // 2, 0).clip(max=ordered.shape[axis] - 1), axis
    )
    return np.asarray(np.squeeze(0.5 * (low + high), axis))


def robust_sigma(values: FloatArray, axis: int) -> FloatArray:
    """Give 1.48 times the median absolute deviation along an axis, ignoring NaN."""
    centre = np.expand_dims(nanmedian(values, axis), axis)
    return MAD_TO_SIGMA * nanmedian(np.abs(values - centre), axis)


def adjacent_maximum(values: FloatArray) -> FloatArray:
    """Give the larger of the two adjacent channels: inf beside NaN, the other one at an end."""
    filled = np.where(np.isnan(values), np.inf, values)
    end = np.full((1, *values.shape[1:]), -np.inf)
    before = np.concatenate([end, filled[:-1]])
    after = np.concatenate([filled[1:], end])
    return np.asarray(np.maximum(before, after))


def find_outliers(
    flux: FloatArray,
    err: FloatArray,
    mask: BoolArray,
    *,
    width: int,
    n_sigma: float,
    isolation: float,
) -> Outliers:
    """Find voxels that no astronomical source can explain.

    Parameters
    ----------
    flux, err : ndarray, shape (n_wave, ny, nx)
        Flux and its standard deviation.
    mask : ndarray of bool, shape (n_wave, ny, nx)
        True = do not use.
    width : int
        Channels of the running median that stands for the continuum.
    n_sigma : float
        Smallest deviation, in units of the larger of `err` and the robust scatter of the spaxel.
    isolation : float
        An outlier exceeds both adjacent channels by this factor. The centre of an
        unresolved line of FWHM 2 channels exceeds them by less than 2.

    Returns
    -------
    Outliers
    """
    clean = np.where(mask, np.nan, flux)
    residual = clean - running_median(clean, width)
    # The scatter of the spaxel covers fringes and slices that err does not know of.
    sigma = np.maximum(np.where(mask, np.nan, err), robust_sigma(residual, axis=0))
    with np.errstate(invalid="ignore"):
        # A dip in a bright spectrum may be absorption or a fringe; light below zero is neither.
        # But a subtracted pointing leaves a negative image of the lines, as wide as they are.
        low = (residual < -n_sigma * sigma) & (clean < -n_sigma * sigma)
        below = -residual > isolation * np.maximum(adjacent_maximum(-residual), sigma)
        high = residual > n_sigma * sigma
        alone = residual > isolation * np.maximum(adjacent_maximum(residual), sigma)
    return Outliers(low & below & ~mask, high & alone & ~mask, residual)
