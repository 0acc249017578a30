"""What is the noise of these cubes like, beyond what ERR admits?

Measured on the Level-3 cubes of GO-3149 and on real IFU cubes (archive_and_formats.md 2.2 and
2.3): ERR depends on wavelength; the true scatter is about 1.9 times ERR; neighbours are
correlated; single-exposure hits and the hot pixels of the imprint exposures leave tails that
reach -5e4 MJy/sr at Level 3.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

# Median ERR of the Level-3 cubes against wavelength, MJy/sr, and its two spikes.
_ERR_WAVE: Final = (0.97, 1.20, 1.50, 1.55, 1.89)
_ERR_LEVEL3: Final = (0.057, 0.046, 0.054, 0.100, 0.110)
_ERR_SPIKES: Final = ((1.81, 0.055), (1.875, 0.055))
_SPIKE_SIGMA_UM: Final = 0.004
_ERR_JITTER: Final = 0.2  # scatter of ln ERR from voxel to voxel
_DITHERS: Final = 4  # an exposure is sqrt(4) noisier than the average of four
IMPRINT_ERR: Final = 20.0  # over the ERR of science exposures: its median is 2.36 MJy/sr

LAG_WAVE: Final = 0.2  # correlation of neighbouring channels
LAG_SKY: Final = 0.5  # of neighbouring spaxels; 0.25 at two spaxels and on the diagonal

# Pareto tails, tuned so that the Level-3 cube has the percentiles of the real ones: p1 -241,
# p99 10.3, minimum -5e4, maximum 424 MJy/sr. Sign, share of voxels, smallest, slope, cap.
_HITS: Final = (
    (-1.0, 0.0030, 600.0, 1.857, 4.5e5),
    (+1.0, 0.0017, 40.0, 2.5, 2.0e3),
)
# Hot pixels of the detector: p99 117 and maximum 5.4e4 MJy/sr in the imprint cube.
_HOT: Final = (1.0, 0.010, 60.0, 1.585, 5.4e4)
# A pixel of the detector lands on two spaxels a side when drizzled.
_FOOTPRINT: Final = ((0, 0, 1.0), (0, 1, 0.5), (1, 0, 0.5), (1, 1, 0.25))
_HIT_OVER_ERR: Final = 33.0  # ERR grows with a hit, but far too little: 6.5 at p99


def error_curve(wave: FloatArray) -> FloatArray:
    """What is the median ERR of a fully covered Level-3 spaxel, MJy/sr, at a wavelength in um?"""
    curve = np.interp(wave, _ERR_WAVE, _ERR_LEVEL3)
    for centre, height in _ERR_SPIKES:
        curve = curve + height * np.exp(-0.5 * ((wave - centre) / _SPIKE_SIGMA_UM) ** 2)
    return np.asarray(curve)


def error_cube(
    wave: FloatArray, shape: tuple[int, int, int], rng: np.random.Generator, factor: float = 1.0
) -> Float32Array:
    """What ERR does the pipeline report for an exposure, hits aside?

    Parameters
    ----------
    wave : ndarray, shape (n_wave,)
        um.
    shape : (int, int, int)
    rng : numpy.random.Generator
    factor : float
        Over that of a science exposure.
    """
    jitter = np.exp(_ERR_JITTER * rng.standard_normal(shape, np.float32))
    level = factor * np.sqrt(_DITHERS) * error_curve(wave)
    return np.asarray(level[:, None, None].astype(np.float32) * jitter)


def correlated(shape: tuple[int, int, int], rng: np.random.Generator) -> Float32Array:
    """Give Gaussian noise of unit variance with the measured correlations.

    A first-order autoregression along y and along x (0.5, 0.25, ... with distance), and a
    two-channel moving average along wavelength (0.2, then nothing).
    """
    white = rng.standard_normal((shape[0] + 1, *shape[1:]), np.float32)
    # b / (1 + b^2) is the correlation of a moving average with weights 1 and b.
    b = (1 - np.sqrt(1 - 4 * LAG_WAVE**2)) / (2 * LAG_WAVE)
    channels = (white[1:] + np.float32(b) * white[:-1]) / np.float32(np.sqrt(1 + b**2))
    return _autoregression(_autoregression(channels.astype(np.float32), 1), 2)


def _autoregression(field: Float32Array, axis: int) -> Float32Array:
    from scipy.signal import lfilter  # a third of what a plan would import, and it draws no noise

    innovation = np.sqrt(1 - LAG_SKY**2)
    driver = np.moveaxis(field * np.float32(innovation), axis, -1).copy()
    driver[..., 0] /= np.float32(innovation)  # so that the first sample has the full variance
    b, a = np.array([1.0], np.float32), np.array([1.0, -LAG_SKY], np.float32)
    return np.asarray(np.moveaxis(lfilter(b, a, driver, axis=-1), -1, axis), np.float32)


def _tail(
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    tail: tuple[float, float, float, float, float],
) -> Float32Array:
    sign, share, least, slope, cap = tail
    cube = np.zeros(shape, np.float32)
    count = rng.poisson(share * cube.size)
    k, y, x = (rng.integers(0, n, count) for n in shape)
    size = np.minimum(least * (1.0 - rng.random(count)) ** (-1.0 / slope), cap)
    for dy, dx, weight in _FOOTPRINT:
        inside = (y + dy < shape[1]) & (x + dx < shape[2])
        where = (k[inside], y[inside] + dy, x[inside] + dx)
        np.add.at(cube, where, (sign * weight * size[inside]).astype(np.float32))
    return cube


def hits(shape: tuple[int, int, int], rng: np.random.Generator) -> Float32Array:
    """Which values do outliers of one exposure add, MJy/sr?

    They are in one exposure only, and the outlier step of the real pipeline, which compares
    detector pixels over the stack, is known to miss those.
    """
    cube = np.zeros(shape, np.float32)
    for tail in _HITS:
        cube += _tail(shape, rng, tail)
    return cube


def hot_pixels(shape: tuple[int, int, int], rng: np.random.Generator) -> Float32Array:
    """Which values do the hot pixels of the detector have in every imprint, MJy/sr?

    Subtracting the imprint turns them negative in every science exposure at the same place of
    the detector; the outlier step does find those.
    """
    return _tail(shape, rng, _HOT)


def leakage(shape: tuple[int, int, int], rng: np.random.Generator) -> Float32Array:
    """What light leaks through the closed shutters, MJy/sr: a few bands along the slices?"""
    _, ny, nx = shape
    rows = np.arange(ny)
    bands = np.zeros(ny)
    for centre in rng.uniform(0, ny, 3):
        bands += rng.uniform(0.5, 2.0) * np.exp(-0.5 * ((rows - centre) / 0.8) ** 2)
    return np.broadcast_to((bands[:, None] * np.ones(nx)).astype(np.float32), shape)


@dataclass(frozen=True)
class Noisy:
    """One exposure as recorded: science and error arrays, MJy/sr, shape (n_wave, ny, nx)."""

    sci: Float32Array
    err: Float32Array


def expose(
    sky: Float32Array,
    error: Float32Array,
    outliers: Float32Array,
    scatter_ratio: float,
    rng: np.random.Generator,
) -> Noisy:
    """What does an exposure of a known sky record?

    Parameters
    ----------
    sky, error, outliers : ndarray, shape (n_wave, ny, nx)
        Expected value, reported error, and what outliers add, MJy/sr.
    scatter_ratio : float
        True scatter over the reported error.
    rng : numpy.random.Generator
    """
    sci = sky + np.float32(scatter_ratio) * error * correlated(sky.shape, rng) + outliers
    reported = np.hypot(error, outliers / np.float32(_HIT_OVER_ERR))
    return Noisy(sci.astype(np.float32), reported.astype(np.float32))
