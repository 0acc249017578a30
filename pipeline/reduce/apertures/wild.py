"""Which voxels of the apertures hold hits that ingestion had to let pass?

Ingestion calls a voxel an outlier only where it stands alone in its spectrum; two hits on adjacent
channels look like a line. Beside the lines of the target nothing needs such care: whatever is far
from the continuum of its spaxel is left out. In the channels of lines nothing is clipped that may
be light: only voxels far below the continuum and below zero are, and not even those where a
subtracted pointing may have left a negative image of the lines.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import BoolArray, Cube, FloatArray
from pipeline.lineprofile import IntArray
from pipeline.reduce.outliers import nanmedian, running_median

_COMPLETE: Final = "COMPLETE"


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
    """

    free: BoolArray
    n_mad: float
    width: int


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
    keeps_ghosts = str(cube.meta.get("S_BKDSUB", "")).upper() == _COMPLETE
    found = np.zeros((n_wave, mask[0].size), dtype=bool)
    found[:, spaxels] = np.where(free, wild, dark & ~np.bool_(keeps_ghosts))
    return found.reshape(mask.shape)
