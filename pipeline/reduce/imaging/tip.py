"""Where does the feature end: where it is brightest near its end, and where its light drops?

The two are different places and have different names. The peak is the maximum of the slightly
smoothed profile near the expected end; the edge is where the profile has fallen to half of the
peak beyond it. Their errors are the scatter of the same measurement on profiles that are drawn
about the smoothed one with the covariance of the noise.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ard.cube import FloatArray
from pipeline.reduce.imaging.ridge import FWHM_PER_SIGMA
from pipeline.reduce.imaging.strip import Measured

_HALF: Final = 0.5
# Light beyond the edge is averaged from here to there, arcsec from the edge: clear of the PSF.
_BEYOND_ARCSEC: Final = (0.2, 0.7)
_SIGNIFICANT: Final = 2.0
# Draws that have no edge say that there is none.
_MIN_DRAWS_WITH_EDGE: Final = 0.9


@dataclass(frozen=True)
class Tip:
    """The end of the feature along the axis, arcsec from its origin.

    Attributes
    ----------
    peak_arcsec, peak_err : float
        Where the profile is brightest near its end.
    edge_arcsec, edge_err : float
        Where it has fallen to half of that.
    drop : float
        Peak over the mean brightness beyond the edge; a lower limit where `drop_is_limit`.
    drop_is_limit : bool
        Whether nothing was found beyond the edge (below two sigma, which then stand in for it).
    snr : float
        Peak over its error.
    """

    peak_arcsec: float
    peak_err: float
    edge_arcsec: float
    edge_err: float
    drop: float
    drop_is_limit: bool
    snr: float


@dataclass(frozen=True)
class Search:
    """How the end is looked for.

    Attributes
    ----------
    start_arcsec, stop_arcsec : float
        The peak is looked for between these, along the axis.
    smoothing_arcsec : float
        FWHM of the Gaussian that smooths the profile.
    draws : int
        Profiles that are drawn for the errors.
    """

    start_arcsec: float
    stop_arcsec: float
    smoothing_arcsec: float
    draws: int


def find_tip(
    profile: Measured, along: FloatArray, search: Search, rng: np.random.Generator
) -> Tip | None:
    """Find peak and edge of a profile near its end.

    Parameters
    ----------
    profile : Measured, shape (n,)
        Surface brightness along the axis, evenly spaced.
    along : ndarray, shape (n,)
        Middle of each cell, arcsec.
    search : Search
    rng : numpy.random.Generator
        Draws the profiles from which the errors come.

    Returns
    -------
    Tip or None
        None where there is no edge: the profile never falls to half of its peak, or in too many
        of the draws it does not.
    """
    step = float(along[1] - along[0])
    sigma = search.smoothing_arcsec / FWHM_PER_SIGMA / step

    def both(values: FloatArray) -> tuple[float, float, float]:
        smooth = gaussian_filter1d(values, sigma, mode="nearest")
        peak, height = _peak(smooth, along, search)
        return peak, _falls_to(smooth, along, peak, _HALF * height), height

    peak, edge, height = both(profile.value)
    if not np.isfinite(edge):
        return None
    middle = gaussian_filter1d(profile.value, sigma, mode="nearest")
    drawn = rng.multivariate_normal(middle, profile.covariance, size=search.draws, method="eigh")
    # Drawn about a profile that is smooth already, so that the noise is there once.
    found = np.array([both(values) for values in drawn])
    good = np.isfinite(found[:, 1])
    if good.mean() < _MIN_DRAWS_WITH_EDGE:
        return None
    drop, is_limit = _drop(profile, along, edge, height)
    return Tip(
        peak_arcsec=peak,
        peak_err=float(found[good, 0].std(ddof=1)),
        edge_arcsec=edge,
        edge_err=float(found[good, 1].std(ddof=1)),
        drop=drop,
        drop_is_limit=is_limit,
        snr=height / float(found[good, 2].std(ddof=1)),
    )


def _peak(smooth: FloatArray, along: FloatArray, search: Search) -> tuple[float, float]:
    """Give place and height of the maximum, by a parabola through it and its neighbours."""
    allowed = np.flatnonzero((along >= search.start_arcsec) & (along <= search.stop_arcsec))
    k = int(np.clip(allowed[np.argmax(smooth[allowed])], 1, along.size - 2))
    left, middle, right = (float(v) for v in smooth[k - 1 : k + 2])
    bend = left - 2.0 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    shift = float(np.clip(shift, -0.5, 0.5))
    height = middle - 0.25 * (left - right) * shift
    return float(along[k] + shift * (along[1] - along[0])), height


def _falls_to(smooth: FloatArray, along: FloatArray, peak: float, level: float) -> float:
    """Give where the profile first falls to a level beyond its peak; NaN where it does not."""
    beyond = np.flatnonzero((along[:-1] >= peak) & (smooth[:-1] > level) & (smooth[1:] <= level))
    if not beyond.size or level <= 0:
        return float("nan")
    k = int(beyond[0])
    part = (smooth[k] - level) / (smooth[k] - smooth[k + 1])
    return float(along[k] + part * (along[k + 1] - along[k]))


def _drop(profile: Measured, along: FloatArray, edge: float, height: float) -> tuple[float, bool]:
    low, high = (edge + d for d in _BEYOND_ARCSEC)
    beyond = (along > low) & (along < high)
    if not beyond.any():
        return float("nan"), True
    share = beyond / beyond.sum()
    level = float(share @ profile.value)
    err = float(np.sqrt(share @ profile.covariance @ share))
    is_limit = level < _SIGNIFICANT * err
    # What is not seen may be as bright as two sigma above what was measured, or above nothing.
    return height / (max(level, 0.0) + _SIGNIFICANT * err if is_limit else level), is_limit
