"""Which way does the feature run, and how wide is it?

The light across the axis is modelled as a Gaussian, integrated over the cells. One line through
all intervals along the axis gives direction and offset; each interval by itself gives a width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import least_squares
from scipy.special import ndtr

from ard.cube import FloatArray
from pipeline.reduce.imaging.strip import Measured

FWHM_PER_SIGMA: Final = float(2.0 * np.sqrt(2.0 * np.log(2.0)))
_MAX_SIGMA_ARCSEC: Final = 2.0
_MIN_SIGMA_ARCSEC: Final = 0.01


@dataclass(frozen=True)
class Line:
    """A straight ridge: offset = start + slope * along, in arcsec, and what it was fitted to.

    Attributes
    ----------
    offset_arcsec, slope : float
        Where the ridge crosses the origin of the axis, and its slope against the axis.
    covariance : ndarray, shape (2, 2)
        Of the two.
    sigma_arcsec : float
        Width that all intervals share.
    chi2_dof : float
        Of the fit; 1 where a straight ridge of one width describes the light.
    intervals : int
        How many intervals along the axis took part.
    """

    offset_arcsec: float
    slope: float
    covariance: FloatArray
    sigma_arcsec: float
    chi2_dof: float
    intervals: int

    def at(self, along_arcsec: float) -> tuple[float, float]:
        """Give the offset of the ridge at a distance along the axis, and its error, arcsec."""
        row = np.array([1.0, along_arcsec])
        variance = float(row @ self.covariance @ row)
        return self.offset_arcsec + self.slope * along_arcsec, float(np.sqrt(variance))


@dataclass(frozen=True)
class Width:
    """The cross-section in one interval: FWHM, centre and peak, with errors.

    Attributes
    ----------
    fwhm_arcsec, fwhm_err : float
        As observed.
    centre_arcsec, centre_err : float
        Across the axis.
    snr : float
        Amplitude over its error.
    chi2_dof : float
        Of the Gaussian.
    """

    fwhm_arcsec: float
    fwhm_err: float
    centre_arcsec: float
    centre_err: float
    snr: float
    chi2_dof: float


def gaussian(edges: FloatArray, centre: float, sigma: float) -> FloatArray:
    """Give the mean of a Gaussian of unit area over each cell, shape (n,)."""
    return np.asarray(np.diff(ndtr((edges - centre) / sigma)) / np.diff(edges))


def fit_line(
    profiles: list[Measured], along: FloatArray, across: FloatArray, sigma_start: float
) -> Line | None:
    """Fit one straight ridge through the profiles of several intervals.

    Parameters
    ----------
    profiles : list of Measured, each shape (n,)
        Surface brightness across the axis in each interval.
    along : ndarray, shape (len(profiles),)
        Middle of each interval, arcsec.
    across : ndarray, shape (n + 1,)
        Edges of the cells across the axis, arcsec.
    sigma_start : float
        Width to begin with, arcsec.

    Returns
    -------
    Line or None
        None where the fit does not converge.
    """
    white = [_whitener(profile) for profile in profiles]
    data = [w(profile.value) for w, profile in zip(white, profiles, strict=True)]
    # About the middle of the intervals, so that offset and slope are hardly correlated.
    pivot = float(along.mean())

    def shapes(p: FloatArray) -> list[FloatArray]:
        centres = p[0] + p[1] * (along - pivot)
        return [w(gaussian(across, c, p[2])) for w, c in zip(white, centres, strict=True)]

    def residual(p: FloatArray) -> FloatArray:
        parts = [
            d - shape * ((shape @ d) / (shape @ shape))
            for shape, d in zip(shapes(p), data, strict=True)
        ]
        return np.concatenate(parts)

    bounds = ([-1.0, -0.2, _MIN_SIGMA_ARCSEC], [1.0, 0.2, _MAX_SIGMA_ARCSEC])
    found = least_squares(
        residual, [0.0, 0.0, sigma_start], bounds=bounds, x_scale=[0.1, 0.02, 0.1]
    )
    if not found.success:
        return None
    inverse = np.linalg.pinv(found.jac.T @ found.jac)
    move = np.array([[1.0, -pivot], [0.0, 1.0]])
    offset, slope, sigma = (float(v) for v in found.x)
    dof = residual(found.x).size - len(profiles) - found.x.size
    return Line(
        offset_arcsec=offset - slope * pivot,
        slope=slope,
        covariance=move @ inverse[:2, :2] @ move.T,
        sigma_arcsec=sigma,
        chi2_dof=float(2.0 * found.cost / dof),
        intervals=len(profiles),
    )


def fit_width(profile: Measured, across: FloatArray, sigma_start: float) -> Width | None:
    """Fit a Gaussian to the cross-section of one interval.

    Parameters
    ----------
    profile : Measured, shape (n,)
    across : ndarray, shape (n + 1,)
        Edges, arcsec.
    sigma_start : float
        Width to begin with, arcsec.

    Returns
    -------
    Width or None
        None where no Gaussian above the background fits, or its width runs to a bound.
    """
    white = _whitener(profile)
    data = white(profile.value)

    def residual(p: FloatArray) -> FloatArray:
        return np.asarray(data - white(p[0] * gaussian(across, p[1], p[2])))

    start = [max(float(np.sum(profile.value * np.diff(across))), 1e-12), 0.0, sigma_start]
    reach = 0.5 * float(across[-1] - across[0])
    bounds = ([0.0, -reach, _MIN_SIGMA_ARCSEC], [np.inf, reach, _MAX_SIGMA_ARCSEC])
    found = least_squares(residual, start, bounds=bounds, x_scale=[start[0], 0.1, 0.1])
    amplitude, centre, sigma = (float(v) for v in found.x)
    inside = _MIN_SIGMA_ARCSEC * 1.01 < sigma < _MAX_SIGMA_ARCSEC * 0.99
    if not found.success or amplitude <= 0 or not inside:
        return None
    err = np.sqrt(np.diag(np.linalg.pinv(found.jac.T @ found.jac)))
    return Width(
        fwhm_arcsec=FWHM_PER_SIGMA * sigma,
        fwhm_err=FWHM_PER_SIGMA * float(err[2]),
        centre_arcsec=centre,
        centre_err=float(err[1]),
        snr=amplitude / float(err[0]),
        chi2_dof=float(2.0 * found.cost / (data.size - 3)),
    )


def deconvolved(fwhm: float, err: float, psf_fwhm: float) -> tuple[float | None, float | None]:
    """Take the width of the PSF off, in quadrature; None where nothing is left.

    Parameters
    ----------
    fwhm, err : float
        As observed, arcsec.
    psf_fwhm : float
        Of a point source, arcsec.
    """
    square = fwhm**2 - psf_fwhm**2
    if square <= 0:
        return None, None
    width = float(np.sqrt(square))
    return width, err * fwhm / width


def _whitener(profile: Measured) -> Callable[[FloatArray], FloatArray]:
    """Give the function that makes the errors of a profile independent and 1."""
    lower = cholesky(profile.covariance, lower=True)

    def white(values: FloatArray) -> FloatArray:
        return np.asarray(solve_triangular(lower, values, lower=True))

    return white
