"""How do the dithers of a pointing become its Level-3 cube?

Of whole spaxels, an exact shift and average: no resampling, every exposure has the same weight.
Voxels on hot pixels of the detector are left out; outliers of a single exposure stay in, as they
do in the real cubes.

Of parts of spaxels, every spaxel falls on the four that it overlaps, by area, and errors are added
in quadrature as if neighbours were independent, as the real pipeline does. Only noise is resampled
so: the real Level-3 cube is made from the detector's pixels, so that its scene is as sharp as that
of an exposure.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any, Final

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


# A place on which less area has fallen was not seen.
_SEEN: Final = 0.1


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
        self._shape = shape
        self._sum = np.zeros(shape, np.float32)
        self._variance = np.zeros(shape, np.float32)
        self._wmap = np.zeros(shape, np.float32)
        self._area = np.zeros(shape, np.float32)

    def add(self, exposure: Noisy, good: BoolArray, shift: tuple[float, float]) -> None:
        """Add an exposure where it is good, at its offset (x, y)."""
        _, ny, nx = exposure.sci.shape
        sci = np.where(good, exposure.sci, np.float32(0))
        variance = np.where(good, exposure.err**2, np.float32(0))
        wmap = good * pixel_counts((ny, nx))
        for (dx, part_x), (dy, part_y) in itertools.product(*map(_parts, shift)):
            area = np.float32(part_x * part_y)
            at, own = _overlap(self._shape, good.shape, dx, dy)
            self._sum[at] += area * sci[own]
            self._variance[at] += area**2 * variance[own]
            self._wmap[at] += area * wmap[own]
            self._area[at] += area * good[own]

    def combined(self) -> Combined:
        """Give the average of what was added."""
        seen = self._area >= _SEEN
        total, variance, area = (
            np.where(seen, values, np.float32(0))
            for values in (self._sum, self._variance, self._area)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            sci, err = total / area, np.sqrt(variance) / area
        return Combined(sci.astype(np.float32), err.astype(np.float32), self._wmap)


def _parts(offset: float) -> list[tuple[int, float]]:
    """Split an offset into whole spaxels and the share of the light on each."""
    low = math.floor(offset)
    part = offset - low
    return [(low, 1.0 - part), (low + 1, part)] if part else [(low, 1.0)]


def _overlap(shape: tuple[int, ...], own: tuple[int, ...], dx: int, dy: int) -> tuple[Any, Any]:
    """Give which part of the cube an exposure at an offset covers, and which part of it does."""
    (y0, y1), (x0, x1) = (
        (max(0, step), min(whole, step + size))
        for step, whole, size in zip((dy, dx), shape[1:], own[1:], strict=True)
    )
    return np.s_[:, y0:y1, x0:x1], np.s_[:, y0 - dy : y1 - dy, x0 - dx : x1 - dx]


def subtract(cube: Combined, other: Combined) -> Combined:
    """Give the difference of the two pointings, position of the detector by position.

    The other pointing saw the target elsewhere, so the target appears again, negative, at the
    offset between the pointings.
    """
    sci, err = cube.sci - other.sci, np.hypot(cube.err, other.err)
    return Combined(sci, err, np.where(np.isfinite(sci), cube.wmap, np.float32(0)))
