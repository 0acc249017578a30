"""How many voxels of a combined cube are too far from their spectrum to be noise?

Where no line can be, those are hits that were left in. They are held against what the voxels of the
same spaxel and of the same channel scatter, and not against their errors, which grow with a hit.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import BoolArray, Cube, FloatArray
from pipeline.reduce.outliers import robust_sigma, running_median

# Free channels of the running median that stands for the continuum.
_WIDTH: Final = 25
# Spaxels with fewer good free channels are not looked at: their scatter is hardly known.
_ENOUGH: Final = 20


@dataclass(frozen=True)
class Tail:
    """Voxels without a line, and those beyond what noise explains.

    Attributes
    ----------
    compared, beyond : int
        How many were looked at, and how many of them are farther than the limit.
    """

    compared: int
    beyond: int


def tail(cube: Cube, free: BoolArray, n_sigma: float) -> Tail:
    """Count the voxels that are far from the running median of their spaxel.

    Parameters
    ----------
    cube : Cube
    free : ndarray of bool, shape (n_wave,)
        Channels that no line reaches.
    n_sigma : float
        How far, in robust standard deviations of spaxel and channel.

    Returns
    -------
    Tail
        Nothing compared where no spaxel has enough free channels.
    """
    off = deviations(np.where(cube.mask, np.nan, cube.flux)[free])
    known = np.isfinite(off)
    return Tail(int(known.sum()), int((np.abs(off[known]) > n_sigma).sum()))


def deviations(flux: FloatArray) -> FloatArray:
    """Give voxels less their continuum, over what their spaxel and channel scatter.

    Parameters
    ----------
    flux : ndarray, shape (n_free, ny, nx)
        In channels without lines; NaN where masked.

    Returns
    -------
    ndarray, shape (n_free, ny, nx)
        NaN where masked, in spaxels with too few values and in those that do not scatter.

    Notes
    -----
    The standard deviation is taken as a product of one number a spaxel and one a channel, each from
    medians of absolute deviations: spaxels first, then channels of what is left, then spaxels again
    because those first ones were averages over channels of unlike noise.
    """
    if not flux.size:
        return np.full(flux.shape, np.nan)
    residual = flux - running_median(flux, _WIDTH)
    few = np.isfinite(residual).sum(axis=0) < _ENOUGH
    left = np.where(few, np.nan, residual)
    for axis in ((0,), (1, 2), (0,)):
        scatter = _scatter(left, axis)
        left = left / np.where(scatter > 0, scatter, np.nan)
    return left


def _scatter(values: FloatArray, axis: tuple[int, ...]) -> FloatArray:
    """Give the robust standard deviation along the first axis, or along the two others."""
    if axis == (0,):
        return robust_sigma(values, 0)[None]
    return robust_sigma(values.reshape(values.shape[0], -1), 1)[:, None, None]
