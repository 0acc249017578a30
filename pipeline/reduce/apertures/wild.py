"""Which voxels of the apertures hold hits that ingestion had to let pass?

Ingestion calls a voxel an outlier only where it stands alone in its spectrum; two hits on adjacent
channels look like a line. Beside the lines of the target nothing needs such care: whatever is far
from the continuum of its spaxel is left out. In the channels of lines nothing is clipped that may
be light. What is left out there:

- voxels whose ERR is far above that of their neighbours on the sky (`err_excess`): a hit raises the
  ERR of the spaxels it is drizzled to, while the photon noise of a bright line is as smooth as the
  PSF. Against the medians of channel and spaxel alone bright lines of NGC 7469 stand out by 4.4,
  against their neighbours by 1.4;
- voxels far below the continuum and below zero; where a subtracted pointing may have left a
  negative image of the lines only those deeper than the lines of this one are bright;
- voxels far brighter than the profile of the aperture lets them be (`strange_voxels`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import maximum_filter1d

from ard.cube import BoolArray, Cube, FloatArray
from pipeline.lineprofile import IntArray
from pipeline.reduce.outliers import nanmedian, running_median

_COMPLETE: Final = "COMPLETE"
_GHOST_DEPTH: Final = 3.0  # times the brightest line: pointings of one target show the same lines
_BRIGHTEST: Final = 99.0  # percent of the spaxels: hits do not say how bright lines are
_CORE: Final = 0.3  # of the brightest spaxel: fainter ones do not say how bright a channel is
_REACH: Final = 8  # channels over which lines of gas at other velocities may lie


@dataclass(frozen=True, eq=False)
class WildRule:
    """What is wild?

    Attributes
    ----------
    free : ndarray of bool, shape (n_wave,)
        Channels that no line of the target reaches.
    n_mad : float
        Further than this many median absolute deviations from the continuum.
    width : int
        Channels of the running median that stands for the continuum (odd).
    err_excess : float
        An ERR larger by this factor than its neighbours' is that of a hit.
    """

    free: BoolArray
    n_mad: float
    width: int
    err_excess: float


def has_ghosts(cube: Cube) -> bool:
    """Say whether a background was subtracted that may have held lines."""
    return str(cube.meta.get("S_BKDSUB", "")).upper() == _COMPLETE


def wild_voxels(
    cube: Cube, sigma: FloatArray, mask: BoolArray, spaxels: IntArray, rule: WildRule
) -> BoolArray:
    """Find the wild voxels of some spaxels.

    Parameters
    ----------
    cube : Cube
        Its header says whether a background was subtracted (S_BKDSUB).
    sigma : ndarray, shape (n_wave, ny, nx)
        Standard deviations.
    mask : ndarray of bool, shape (n_wave, ny, nx)
        True = do not use.
    spaxels : ndarray of int, shape (m,)
        Flat numbers of the spaxels to look at.
    rule : WildRule

    Returns
    -------
    ndarray of bool, shape (n_wave, ny, nx)
        True only in those spaxels.
    """
    n_wave = cube.shape[0]
    flux = cube.flux.reshape(n_wave, -1)[:, spaxels]
    error = sigma.reshape(n_wave, -1)[:, spaxels]
    bad = mask.reshape(n_wave, -1)[:, spaxels]
    free = rule.free[:, None]
    quiet = np.where(bad | ~free, np.nan, flux)
    level = running_median(quiet[:, :, None], rule.width)[:, :, 0]
    level = np.where(np.isfinite(level), level, nanmedian(quiet, axis=0))
    with np.errstate(invalid="ignore"):
        away = np.where(bad, np.nan, (flux - level) / error)
        limit = rule.n_mad * nanmedian(np.abs(np.where(free, away, np.nan)), axis=0)
        wild = np.abs(away) > limit
        # Light below zero is none, whether or not a line is there.
        dark = (away < -limit) & (flux < -limit * error)
    found = np.zeros((n_wave, mask[0].size), dtype=bool)
    if has_ghosts(cube):
        dark &= flux - level < -_GHOST_DEPTH * _brightest(
            np.where(bad | free, np.nan, flux - level)
        )
    hit = err_excess(cube, mask).reshape(n_wave, -1)[:, spaxels] > rule.err_excess
    found[:, spaxels] = np.where(free, wild, dark) | (hit & ~bad)
    return found.reshape(mask.shape)


def _brightest(lines: FloatArray) -> float:
    """Give the brightness of the brightest line; 0 without any channel of a line."""
    known = lines[np.isfinite(lines).any(axis=1)]
    tops = [float(np.percentile(row[np.isfinite(row)], _BRIGHTEST)) for row in known]
    return max(tops, default=0.0)


def err_excess(cube: Cube, mask: BoolArray) -> FloatArray:
    """Give ERR over that of the neighbours on the sky, 1 where nothing can be said.

    First the medians of channel and spaxel are divided out. The neighbours of a voxel are the
    eight around it, and never count as less than the rest of the cube.

    Parameters
    ----------
    cube : Cube
    mask : ndarray of bool, shape (n_wave, ny, nx)
        True = do not use.

    Returns
    -------
    ndarray, shape (n_wave, ny, nx)
    """
    error = np.where(mask, np.nan, np.sqrt(np.where(mask, 1.0, cube.var)))
    n_wave, ny, nx = error.shape
    error /= nanmedian(error.reshape(n_wave, -1), axis=1)[:, None, None]
    error /= nanmedian(error, axis=0)
    wide = np.pad(error, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    around = [
        wide[:, y : y + ny, x : x + nx] for y in range(3) for x in range(3) if (y, x) != (1, 1)
    ]
    excess = error / np.fmax(1.0, nanmedian(np.stack(around), axis=0))
    return np.asarray(np.where(np.isfinite(excess), excess, 1.0))


def strange_voxels(
    lines: FloatArray,
    sigma: FloatArray,
    used: BoolArray,
    light: FloatArray,
    free: BoolArray,
    *,
    n_sigma: float,
    part: float,
) -> BoolArray:
    """Find voxels of line channels that are far brighter than the profile lets them be.

    As Horne (1986, PASP 98, 609) rejects hits, but with the median of the spaxels for the
    brightness of a channel, and leave to be off by a part of the line: gas of other velocities does
    not have the profile of the whole.

    Parameters
    ----------
    lines : ndarray, shape (n_wave, m)
        Flux above the continuum.
    sigma : ndarray, shape (n_wave, m)
    used : ndarray of bool, shape (n_wave, m)
    light : ndarray, shape (n_wave, m)
        The profile.
    free : ndarray of bool, shape (n_wave,)
        Channels without a line.
    n_sigma : float
    part : float
        A voxel is strange that is brighter than the profile by more than `n_sigma` standard
        deviations and this part of the brightest spaxel of the line.

    Returns
    -------
    ndarray of bool, shape (n_wave, m)
    """
    top = light.max(axis=1, keepdims=True)
    core = used & (light >= _CORE * top)
    scaled = np.divide(lines, light, out=np.full(lines.shape, np.nan), where=core)
    bright = nanmedian(scaled, axis=1)[:, None]
    bright = np.where(np.isfinite(bright), bright, 0.0)
    peak = maximum_filter1d(np.maximum(bright * top, 0.0), 2 * _REACH + 1, axis=0)
    strange = lines - bright * light > n_sigma * sigma + part * peak
    return np.asarray(strange & used & ~free[:, None])
