"""How do the dithers of a pointing become its Level-3 cube?

An exact shift and average: no resampling, every exposure has the same weight. Voxels on hot
pixels of the detector are left out; outliers of a single exposure stay in, as they do in the
real cubes. Where dithers are parts of spaxels, that is done to the noise alone, by the nearest
whole spaxels: the real Level-3 cube is made from the detector's pixels, not from the exposures'
cubes, so that neither its scene nor its noise is smoothed twice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.simulate.geometry import BoolArray
from pipeline.simulate.noise import Float32Array, Noisy

# Contributing detector pixels of an exposure: 14 at most, 8 on average, in the real cubes.
_WEIGHT_MEAN: Final = 8.0
_WEIGHT_SWING: Final = 6.0


def pixel_counts(shape: tuple[int, int]) -> Float32Array:
    """How many detector pixels contribute to each spaxel of an exposure, shape (ny, nx)?"""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    swing = np.sin(2.1 * x + 0.7 * y) * np.cos(0.9 * x - 1.3 * y)
    return np.asarray(np.round(_WEIGHT_MEAN + _WEIGHT_SWING * swing), dtype=np.float32)


@dataclass(frozen=True)
class Combined:
    """A Level-3 cube; SCI, ERR and WMAP of shape (n_wave, ny, nx), NaN or 0 where unseen."""

    sci: Float32Array
    err: Float32Array
    wmap: Float32Array


class Stack:
    """The running sum of the dithers of one pointing, on the Level-3 grid.

    Parameters
    ----------
    shape : (int, int, int)
        Of the Level-3 cube.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._sum = np.zeros(shape, np.float32)
        self._variance = np.zeros(shape, np.float32)
        self._wmap = np.zeros(shape, np.float32)
        self._count = np.zeros(shape, np.uint8)

    def add(self, exposure: Noisy, good: BoolArray, shift: tuple[int, int]) -> None:
        """Add an exposure where it is good, at its offset (x, y)."""
        _, ny, nx = exposure.sci.shape
        at = np.s_[:, shift[1] : shift[1] + ny, shift[0] : shift[0] + nx]
        self._sum[at] += np.where(good, exposure.sci, np.float32(0))
        self._variance[at] += np.where(good, exposure.err**2, np.float32(0))
        self._wmap[at] += good * pixel_counts((ny, nx))
        self._count[at] += good

    def combined(self) -> Combined:
        """Give the average of what was added."""
        with np.errstate(divide="ignore", invalid="ignore"):
            count = self._count.astype(np.float32)
            sci, err = self._sum / count, np.sqrt(self._variance) / count
        return Combined(sci.astype(np.float32), err.astype(np.float32), self._wmap)


def subtract(cube: Combined, other: Combined) -> Combined:
    """Give the difference of the two pointings, position of the detector by position.

    The other pointing saw the target elsewhere, so the target appears again, negative, at the
    offset between the pointings.
    """
    sci, err = cube.sci - other.sci, np.hypot(cube.err, other.err)
    return Combined(sci, err, np.where(np.isfinite(sci), cube.wmap, np.float32(0)))
