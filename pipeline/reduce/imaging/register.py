"""By how much do the coordinates of an IFU cube differ from those of an image?

The image, made as blurred as the cube and collected in its spaxels, is moved over the cube's own
image until the two agree best. Scale and level are free, because the two have other passbands.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.wcs import WCS
from scipy.ndimage import convolve, gaussian_filter, map_coordinates

from ard.cube import BoolArray, Cube, FloatArray
from manifests import Target
from pipeline.reduce.imaging.noise import correlation
from pipeline.reduce.imaging.parts import solid_angles
from pipeline.reduce.imaging.ridge import FWHM_PER_SIGMA
from pipeline.reduce.imaging.sphere import Axis
from pipeline.reduce.imaging.strip import Seen
from pipeline.reduce.outliers import MAD_TO_SIGMA, nanmedian, robust_sigma

C_KMS: Final = 299792.458
# Cells a spaxel edge in which the image is sampled: its shifts are whole cells, and the best one is
# found between them.
_CELLS: Final = 5
_REACH: Final = 3  # spaxels over which the noise of the cube's image is followed
_LEAST_SPAXELS: Final = 30
_CLIP_SIGMA: Final = 5.0


@dataclass(frozen=True, eq=False)
class Plane:
    """One image made of a cube.

    Attributes
    ----------
    flux, err : ndarray, shape (ny, nx)
        Mean over the channels used, and its error for independent channels.
    mask : ndarray of bool, shape (ny, nx)
        True: no channel could be used.
    wcs : astropy.wcs.WCS
    fwhm_arcsec : float
        Of a point source in it.
    """

    flux: FloatArray
    err: FloatArray
    mask: BoolArray
    wcs: WCS
    fwhm_arcsec: float


@dataclass(frozen=True)
class Shift:
    """How a cube lies relative to an image.

    Attributes
    ----------
    east_arcsec, north_arcsec : float
        By how much a source appears further to the east and north in the cube than in the image.
    covariance : ndarray, shape (2, 2)
        Of the two, with the correlated noise of the cube's image, arcsec^2.
    chi2_dof : float
        Of the comparison, with the errors scaled to the scatter.
    snr : float
        Of the scale between the two: how well the image is seen in the cube at all.
    spaxels : int
        How many were compared.
    """

    east_arcsec: float
    north_arcsec: float
    covariance: FloatArray
    chi2_dof: float
    snr: float
    spaxels: int


def white_light(cube: Cube, target: Target, line_kms: float) -> Plane:
    """Average a cube over its channels without lines.

    Parameters
    ----------
    cube : Cube
        As ingested, with its masks.
    target : Target
        Its lines are left out.
    line_kms : float
        Half width of what is left out around each line.
    """
    used = ~cube.mask
    for line in target.lines:
        wave = line.wave_obs_um(target.redshift)
        used &= (np.abs(cube.wave / wave - 1.0) * C_KMS > line_kms)[:, None, None]
    # Hits that are wider than one channel are left in an ingested cube; lines are out already.
    level, scatter = _typical(cube, used)
    return _mean(cube, used & (np.abs(cube.flux - level) <= _CLIP_SIGMA * scatter))


def line_light(cube: Cube, wave_um: float, line_kms: float) -> Plane:
    """Average a cube over the channels of one line, less the continuum on both sides of it.

    Parameters
    ----------
    cube : Cube
    wave_um : float
        Observed wavelength of the line.
    line_kms : float
        Half width; the continuum is taken from one to three of it.
    """
    speed = np.abs(cube.wave / wave_um - 1.0) * C_KMS
    beside = ~cube.mask & ((speed > line_kms) & (speed <= 3.0 * line_kms))[:, None, None]
    level, scatter = _typical(cube, beside)
    above = cube.flux - level
    # A line is never clipped: in its channels only what lies far below the continuum is left out.
    within = ~cube.mask & (speed <= line_kms)[:, None, None] & (above >= -_CLIP_SIGMA * scatter)
    line = _mean(cube, within)
    sky = _mean(cube, beside & (np.abs(above) <= _CLIP_SIGMA * scatter))
    mask = line.mask | sky.mask
    flux = np.where(mask, np.nan, line.flux - sky.flux)
    return Plane(flux, np.hypot(line.err, sky.err), mask, line.wcs, line.fwhm_arcsec)


def _typical(cube: Cube, used: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Give level and scatter of the channels used in each spaxel: medians, shape (ny, nx)."""
    values = np.where(used, cube.flux, np.nan)
    level = nanmedian(values, axis=0)
    return level, MAD_TO_SIGMA * nanmedian(np.abs(values - level), axis=0)


def _mean(cube: Cube, used: BoolArray) -> Plane:
    # Equal weights within a channel: errors that follow the flux would weigh faint values more.
    medians = [np.median(e[u]) if u.any() else np.inf for e, u in zip(cube.err, used, strict=True)]
    typical = np.array(medians)
    weight = np.where(used, typical[:, None, None] ** -2, 0.0)
    total = weight.sum(axis=0)
    mask = total <= 0
    safe = np.where(mask, 1.0, total)
    flux = (weight * np.where(used, cube.flux, 0.0)).sum(axis=0) / safe
    var = (weight**2 * np.where(used, cube.var, 0.0)).sum(axis=0) / safe**2
    channel = int(np.argmax(used.any(axis=(1, 2))))
    last = used.shape[0] - 1 - int(np.argmax(used.any(axis=(1, 2))[::-1]))
    middle = 0.5 * float(cube.wave[channel] + cube.wave[last])
    fwhm = float("nan")
    if cube.psf is not None:
        fwhm = float(cube.psf.fwhm_at(middle))
    return Plane(np.where(mask, np.nan, flux), np.sqrt(var), mask, cube.wcs, fwhm)


def register(plane: Plane, seen: Seen, psf_arcsec: float, search_arcsec: float) -> Shift | None:
    """Find the shift between a plane of a cube and an image.

    Parameters
    ----------
    plane : Plane
    seen : Seen
        The image; neighbours count like everything else, so that only its mask matters.
    psf_arcsec : float
        FWHM of a point source in the image; it is widened to that of the plane.
    search_arcsec : float
        Largest shift that is tried, to either side.

    Returns
    -------
    Shift or None
        None where too few spaxels have data, or the best shift is the largest one.
    """
    pixel = _side(seen.image.wcs, seen.image.shape)
    wider = np.sqrt(max(plane.fwhm_arcsec**2 - psf_arcsec**2, 0.0)) / FWHM_PER_SIGMA
    filled = np.where(seen.image.mask, 0.0, np.nan_to_num(seen.image.flux) - seen.noise.sky)
    smooth = gaussian_filter(filled, wider / pixel)
    spaxel = _side(plane.wcs, plane.flux.shape)
    most = int(np.ceil(search_arcsec / spaxel * _CELLS))
    model, complete = _collected(smooth, seen.image.wcs, plane, most)
    used = ~plane.mask & np.isfinite(plane.flux) & (plane.err > 0) & complete
    if used.sum() < _LEAST_SPAXELS:
        return None
    steps = range(-most, most + 1)
    chi2 = np.array(
        [[_fit(_at(model, dx, dy, most), plane, used)[0] for dx in steps] for dy in steps]
    )
    j, i = np.unravel_index(int(np.argmin(chi2)), chi2.shape)
    if min(i, j) == 0 or max(i, j) == len(steps) - 1:
        return None
    dx, dy = steps[int(i)], steps[int(j)]
    fine = _vertex(chi2[j - 1 : j + 2, i - 1 : i + 2])
    covariance, chi2_dof, snr = _errors(model, (dx, dy), most, plane, used)
    step = np.array([dx + fine[0], dy + fine[1]]) / _CELLS
    to_sky = _jacobian(plane.wcs, plane.flux.shape)
    east, north = (float(v) for v in to_sky @ step)
    return Shift(
        east_arcsec=east,
        north_arcsec=north,
        covariance=to_sky @ covariance @ to_sky.T / _CELLS**2,
        chi2_dof=chi2_dof,
        snr=snr,
        spaxels=int(used.sum()),
    )


def _side(wcs: WCS, shape: tuple[int, ...]) -> float:
    middle = [np.array([(n - 1) / 2]) for n in reversed(shape)]
    return float(np.sqrt(solid_angles(wcs, *middle)[0]))


def _jacobian(wcs: WCS, shape: tuple[int, ...]) -> FloatArray:
    """Give the steps to the east and north, arcsec, for one spaxel in x and in y."""
    y, x = ((n - 1) / 2 for n in shape)
    ra, dec = (float(v) for v in wcs.all_pix2world(x, y, 0))
    north = Axis(ra, dec, 0.0)
    places = wcs.all_pix2world([x + 0.5, x - 0.5, x, x], [y, y, y + 0.5, y - 0.5], 0)
    offsets = np.stack(north.offsets(*places)[::-1])
    return np.stack([offsets[:, 0] - offsets[:, 1], offsets[:, 2] - offsets[:, 3]], axis=1)


def _collected(
    smooth: FloatArray, wcs: WCS, plane: Plane, most: int
) -> tuple[FloatArray, BoolArray]:
    """Sample an image in cells of the plane's spaxels, with a margin of the largest shift.

    Made as blurred as the plane, the image is smooth over its pixels, so that a cubic spline
    through them gives it between them.

    Returns
    -------
    model : ndarray, shape (ny * cells + 2 most, nx * cells + 2 most)
        The image in the middle of each cell, over the number of cells in a spaxel.
    complete : ndarray of bool, shape (ny, nx)
        Which spaxels the image covers at every shift.
    """
    ny, nx = plane.flux.shape
    rows, columns = np.indices((ny * _CELLS + 2 * most, nx * _CELLS + 2 * most))
    x, y = ((k - most + 0.5) / _CELLS - 0.5 for k in (columns, rows))
    u, v = wcs.all_world2pix(*plane.wcs.all_pix2world(x, y, 0), 0, quiet=True)
    inside = (u >= 0) & (u <= smooth.shape[1] - 1) & (v >= 0) & (v <= smooth.shape[0] - 1)
    light = map_coordinates(smooth, [v, u], order=3, mode="constant") / _CELLS**2
    whole = np.ones((ny, nx), dtype=bool)
    for dx in (-most, 0, most):
        for dy in (-most, 0, most):
            whole &= _blocks(inside, dx, dy, most, (ny, nx)).all(axis=(1, 3))
    return np.where(inside, light, 0.0), whole


def _blocks(cells: FloatArray, dx: int, dy: int, most: int, shape: tuple[int, int]) -> FloatArray:
    ny, nx = shape
    cut = cells[most - dy :, most - dx :][: ny * _CELLS, : nx * _CELLS]
    return cut.reshape(ny, _CELLS, nx, _CELLS)


def _at(model: FloatArray, dx: int, dy: int, most: int) -> FloatArray:
    """Give the image in spaxels, moved by some cells in x and y."""
    ny, nx = ((n - 2 * most) // _CELLS for n in model.shape)
    return np.asarray(_blocks(model, dx, dy, most, (ny, nx)).sum(axis=(1, 3)))


def _fit(moved: FloatArray, plane: Plane, used: BoolArray) -> tuple[float, FloatArray]:
    """Fit scale and level; give chi-square and both."""
    err = plane.err[used]
    design = np.stack([moved[used], np.ones(err.size)], axis=1) / err[:, None]
    data = plane.flux[used] / err
    found, *_ = np.linalg.lstsq(design, data, rcond=None)
    return float(((data - design @ found) ** 2).sum()), found


def _vertex(chi2: FloatArray) -> tuple[float, float]:
    """Give the minimum of a paraboloid through 3 x 3 values, in steps from the middle."""
    y, x = np.mgrid[-1:2, -1:2]
    x, y = x.ravel(), y.ravel()
    terms = np.stack([np.ones(9), x, y, x * x, x * y, y * y], axis=1)
    c = np.linalg.lstsq(terms, chi2.ravel() - chi2[1, 1], rcond=None)[0]
    hessian = np.array([[2 * c[3], c[4]], [c[4], 2 * c[5]]])
    if np.linalg.det(hessian) <= 0:
        return 0.0, 0.0
    dx, dy = np.clip(-np.linalg.solve(hessian, c[1:3]), -1.0, 1.0)
    return float(dx), float(dy)


def _errors(
    model: FloatArray, best: tuple[int, int], most: int, plane: Plane, used: BoolArray
) -> tuple[FloatArray, float, float]:
    """Give the covariance of the shift in cells, chi2/dof, and the S/N of the scale.

    Weighted least squares with weights that know nothing of the correlation: H^-1 G H^-1 with
    G = J' W C W J, C the covariance of the residuals (the "sandwich").
    """
    dx, dy = best
    moved = _at(model, dx, dy, most)
    _, (scale, level) = _fit(moved, plane, used)
    slope_x = 0.5 * scale * (_at(model, dx + 1, dy, most) - _at(model, dx - 1, dy, most))
    slope_y = 0.5 * scale * (_at(model, dx, dy + 1, most) - _at(model, dx, dy - 1, most))
    residual = np.where(used, (plane.flux - scale * moved - level) / plane.err, np.nan)
    factor = float(robust_sigma(residual[used], axis=0))
    kernel = correlation(residual / factor, _REACH)
    sigma = np.where(used, factor * plane.err, 1.0)
    columns = np.stack([moved, np.ones_like(moved), slope_x, slope_y])
    weighted = np.where(used, columns / sigma, 0.0)
    spread = np.stack([convolve(column, kernel, mode="constant") for column in weighted])
    flat = weighted.reshape(4, -1)
    inverse = np.linalg.pinv(flat @ flat.T)
    covariance = inverse @ (flat @ spread.reshape(4, -1).T) @ inverse
    dof = int(used.sum()) - 4
    chi2_dof = float(np.nansum((residual / factor) ** 2) / dof)
    return covariance[2:, 2:], chi2_dof, float(scale / np.sqrt(covariance[0, 0]))
