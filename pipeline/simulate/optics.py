"""What do telescope and spectrograph make of emission samples?

Emission is binned in velocity; each velocity plane is integrated over spaxels through the PSF,
and each line over channels through the LSF (differences of the error function, because both
are undersampled). The cube is then one product: planes times response.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.special import ndtr

from pipeline.simulate import geometry, scenes
from pipeline.simulate.lines import LINES, REDSHIFT, Line

FloatArray = NDArray[np.float64]

C_KMS: Final = 299792.458
FWHM_PER_SIGMA: Final = 2.0 * np.sqrt(2.0 * np.log(2.0))
# Resolving power of G140M, pre-launch: quadratic through jwst_nirspec_g140m_disp.fits between
# 0.95 and 1.92 um, off by less than 0.14 everywhere.
_R_COEFFICIENTS: Final = (7.42258996, 696.22666871, 8.90265638)  # of um^0, um^1, um^2
_VELOCITY_STEP: Final = 20.0  # km/s; the width it adds is taken off again
_FINE: Final = 5  # cells a spaxel edge, in which samples are collected
_PAD: Final = 6  # spaxels beyond the field whose light scatters into it
# Nodes of the Gaussian along the major axis of the PSF, in its sigma, and their weights.
_NODES: Final = np.linspace(-2.8, 2.8, 9)
_REACH_UM: Final = 0.02  # no line reaches further: 2000 km/s and 10 sigma of the LSF
_CONTINUUM_UM: Final = 1.3  # where the PSF of the continuum is taken
_AB_MJY: Final = 3631e-6  # MJy, of magnitude 0
_MJY_SR: Final = 1e-17  # erg/s/cm2/Hz/sr


def lsf_fwhm_um(wave: FloatArray, gain: float) -> FloatArray:
    """How wide is an unresolved line, FWHM in um?

    Parameters
    ----------
    wave : ndarray
        Observed wavelength, um.
    gain : float
        Resolving power in flight over the pre-launch curve, 1.0 to 1.25 (Shajib et al. 2025).
    """
    c0, c1, c2 = _R_COEFFICIENTS
    return np.asarray(wave / ((c0 + c1 * wave + c2 * wave**2) * gain))


def psf_fwhm_arcsec(wave: float) -> tuple[float, float]:
    """How wide is a point source, FWHM in arcsec along PA_APER and across it?

    The fit of D'Eugenio et al. for NIRSpec IFU cubes of 0.05 arcsec, quoted in science.md
    section 5, widened by the drizzle kernel of 0.1 arcsec cubes: inside the 0.12 to 0.22 arcsec
    that the same section gives for them.
    """
    major = 0.125 + 1.88 * wave * np.exp(-24.35 / wave)
    minor = 0.094 + 0.20 * wave * np.exp(-12.48 / wave)
    drizzle = geometry.SPAXEL_ARCSEC
    return float(np.hypot(major, drizzle)), float(np.hypot(minor, drizzle))


def flux_per_mjy_sr(wave: FloatArray) -> FloatArray:
    """How much flux, erg/s/cm2, does 1 MJy/sr in one voxel stand for?"""
    solid_angle = np.deg2rad(geometry.SPAXEL_ARCSEC / 3600.0) ** 2
    frequency = C_KMS * 1e9 * geometry.CDELT3 / wave**2  # Hz a channel, from um
    return np.asarray(_MJY_SR * solid_angle * frequency)


def channel_share(
    line: Line, velocity: FloatArray, sigma_kms: float, wave: FloatArray, gain: float
) -> FloatArray:
    """Which share of a line's flux falls into each channel?

    Parameters
    ----------
    line : Line
    velocity : ndarray, shape (n_v,)
        km/s, relative to the redshift of the target.
    sigma_kms : float
        Intrinsic dispersion.
    wave : ndarray, shape (n_wave,)
        Channel centres, um, evenly spaced.
    gain : float
        See `lsf_fwhm_um`.

    Returns
    -------
    ndarray, shape (n_v, n_wave)
        Sums to 1 over channels where the line lies well inside.
    """
    centre = line.rest_um * (1 + REDSHIFT) * (1 + velocity / C_KMS)
    instrument = lsf_fwhm_um(centre, gain) / FWHM_PER_SIGMA
    sigma = np.hypot(instrument, centre * sigma_kms / C_KMS)
    edges = np.append(wave, wave[-1] + geometry.CDELT3) - geometry.CDELT3 / 2
    return np.diff(ndtr((edges - centre[:, None]) / sigma[:, None]), axis=1)


@dataclass(frozen=True)
class Planes:
    """A component seen through the PSF, split by velocity.

    Attributes
    ----------
    velocity : ndarray, shape (n_v,)
        km/s.
    halpha : ndarray, shape (n_v, ny, nx)
        H alpha flux in each spaxel, erg/s/cm2.
    """

    velocity: FloatArray
    halpha: FloatArray


def pixels(wcs: WCS, component: scenes.Component) -> tuple[FloatArray, FloatArray]:
    """Where do the samples of a component fall on a grid, in pixels from 0?"""
    x0, y0 = wcs.wcs_world2pix(*scenes.TIP_DEG, 0)
    pa = np.deg2rad(scenes.WAKE_PA_DEG)
    east = component.along * np.sin(pa) + component.across * np.cos(pa)
    north = component.along * np.cos(pa) - component.across * np.sin(pa)
    scale = wcs.wcs.cdelt[1] * 3600.0
    return x0 - east / scale, y0 + north / scale


def collect(
    x: FloatArray,
    y: FloatArray,
    weight: FloatArray,
    shape: tuple[int, int],
    fwhm_pixels: tuple[float, float],
    plane: NDArray[np.int64] | None = None,
) -> FloatArray:
    """How much light falls into each pixel, plane by plane, after the PSF?

    The integral over pixels of a Gaussian PSF around the samples, collected in fine cells; an
    elongated PSF is a round one smeared along its long axis.

    Parameters
    ----------
    x, y, weight : ndarray, shape (n,)
        Samples, pixels from 0.
    shape : (int, int)
        ny, nx of the result (n_plane, ny, nx).
    fwhm_pixels : (float, float)
        PSF along PA_APER and across it (north up), pixels.
    plane : ndarray of int, shape (n,), optional
        Which plane each sample belongs to; one plane if absent.
    """
    major, minor = (f / FWHM_PER_SIGMA for f in fwhm_pixels)
    plane = np.zeros(x.size, np.int64) if plane is None else plane
    n_plane = int(plane.max(initial=0)) + 1
    angle = np.deg2rad(geometry.PA_APER_DEG)
    ny, nx = ((n + 2 * _PAD) * _FINE for n in shape)
    fine = np.zeros(n_plane * ny * nx)
    for node, share in _nodes(major, minor):
        ix = np.floor((x - node * np.sin(angle) + 0.5 + _PAD) * _FINE).astype(np.int64)
        iy = np.floor((y + node * np.cos(angle) + 0.5 + _PAD) * _FINE).astype(np.int64)
        inside = (ix >= 0) & (ix < nx) & (iy >= 0) & (iy < ny)
        index = ((plane * ny + iy) * nx + ix)[inside]
        fine += np.bincount(index, weights=share * weight[inside], minlength=fine.size)
    # Collecting in cells has already spread the light by the variance of a cell.
    round_sigma = np.sqrt(max(minor**2 - 1 / (12 * _FINE**2), 1e-6))
    rows, columns = (_integrals(n, round_sigma) for n in shape)
    return np.asarray(rows @ fine.reshape(n_plane, ny, nx) @ columns.T)


def _nodes(major: float, minor: float) -> list[tuple[float, float]]:
    """Give offsets along the major axis, pixels, and the share of light each takes."""
    smear = np.sqrt(max(major**2 - minor**2, 0.0))
    if smear == 0.0:
        return [(0.0, 1.0)]
    shares = np.exp(-0.5 * _NODES**2)
    shares /= shares.sum()
    # Scaled so that the few nodes have exactly the variance they stand for.
    offsets = _NODES * smear / np.sqrt((shares * _NODES**2).sum())
    return list(zip(offsets.tolist(), shares.tolist(), strict=True))


def _integrals(n: int, sigma: float) -> FloatArray:
    """Give the share of each fine cell's light in each pixel, shape (n, n_fine)."""
    cells = (np.arange((n + 2 * _PAD) * _FINE) + 0.5) / _FINE - 0.5 - _PAD
    edges = np.arange(n + 1) - 0.5
    return np.diff(ndtr((edges[:, None] - cells) / sigma), axis=0)


def velocity_planes(
    component: scenes.Component, wcs: WCS, shape: tuple[int, int], fwhm: tuple[float, float]
) -> Planes:
    """How does a component look through the PSF, velocity by velocity?

    Parameters
    ----------
    component : scenes.Component
    wcs : astropy.wcs.WCS
        Celestial WCS of the grid, north up.
    shape : (int, int)
        ny, nx.
    fwhm : (float, float)
        PSF along PA_APER and across it, arcsec.
    """
    low = np.floor(component.velocity.min() / _VELOCITY_STEP)
    position = component.velocity / _VELOCITY_STEP - low
    index = np.floor(position).astype(np.int64)
    upper = position - index
    x, y = pixels(wcs, component)
    # Shared between the two nearest planes, a sample keeps its mean velocity.
    planes = collect(
        np.tile(x, 2),
        np.tile(y, 2),
        np.concatenate([component.halpha * (1 - upper), component.halpha * upper]),
        shape,
        (fwhm[0] / geometry.SPAXEL_ARCSEC, fwhm[1] / geometry.SPAXEL_ARCSEC),
        np.concatenate([index, index + 1]),
    )
    velocity = (low + np.arange(planes.shape[0])) * _VELOCITY_STEP
    return Planes(velocity, planes)


def sharing_variance(component: scenes.Component) -> float:
    """How much variance, km2/s2, does sharing samples between planes add on average?"""
    upper = (component.velocity / _VELOCITY_STEP) % 1.0
    spread = np.average(upper * (1 - upper), weights=component.halpha)
    return float(spread * _VELOCITY_STEP**2)


def render(
    scene: scenes.Scene,
    cut: geometry.Window,
    pointing: int,
    gain: float,
    shift: tuple[float, float] | None = None,
) -> FloatArray:
    """What is the noiseless line emission of a scene on a grid of a pointing?

    Parameters
    ----------
    scene : tuple of scenes.Component
    cut : geometry.Window
    pointing : int
    gain : float
        See `lsf_fwhm_um`.
    shift : (float, float), optional
        Of the grid of an exposure, spaxels; the grid of the Level-3 cube if absent.

    Returns
    -------
    ndarray, shape (n_wave, ny, nx)
        MJy/sr.
    """
    n_wave, ny, nx = cut.shape if shift is None else cut.exposure_shape
    cube = np.zeros((n_wave, ny * nx))
    wcs = geometry.sky(cut, pointing, shift or (0, 0))
    for component in scene:
        sigma = np.sqrt(max(component.sigma_kms**2 - sharing_variance(component), 0.0))
        for fwhm, group in by_psf(cut).items():
            planes = velocity_planes(component, wcs, (ny, nx), fwhm)
            response = sum(
                component.ratios[line.name]
                * channel_share(line, planes.velocity, sigma, cut.wave, gain)
                for line in group
            )
            cube += np.asarray(response).T @ planes.halpha.reshape(-1, ny * nx)
    cube /= flux_per_mjy_sr(cut.wave)[:, None]
    return cube.reshape(n_wave, ny, nx)


def continuum(scene: scenes.Scene, wcs: WCS, shape: tuple[int, int]) -> FloatArray:
    """What is the noiseless continuum of a scene, MJy/sr, shape (ny, nx), flat in frequency?"""
    total = np.zeros(shape)
    fwhm = psf_fwhm_arcsec(_CONTINUUM_UM)
    pixels_fwhm = (fwhm[0] / geometry.SPAXEL_ARCSEC, fwhm[1] / geometry.SPAXEL_ARCSEC)
    solid_angle = np.deg2rad(geometry.SPAXEL_ARCSEC / 3600.0) ** 2
    for component in scene:
        mjy = _AB_MJY * 10 ** (-0.4 * component.ab_mag)
        x, y = pixels(wcs, component)
        total += collect(x, y, mjy * component.continuum, shape, pixels_fwhm)[0]
    return np.asarray(total / solid_angle)


def by_psf(cut: geometry.Window | None = None) -> dict[tuple[float, float], list[Line]]:
    """Which lines share a PSF, to a ten-thousandth of an arcsec?

    Parameters
    ----------
    cut : geometry.Window, optional
        Leave out the lines that lie far outside of its channels.
    """
    groups: dict[tuple[float, float], list[Line]] = {}
    for line in LINES:
        observed = line.rest_um * (1 + REDSHIFT)
        if cut is None or cut.wave[0] - _REACH_UM < observed < cut.wave[-1] + _REACH_UM:
            major, minor = psf_fwhm_arcsec(observed)
            groups.setdefault((round(major, 4), round(minor, 4)), []).append(line)
    return groups
