"""Small cubes with known light and known noise, and apertures on them."""

from dataclasses import replace

import numpy as np
from astropy.wcs import WCS
from scipy.linalg import toeplitz

import ard
from ard.likelihood import Noise, inverse_cholesky
from manifests import Aperture, load_target
from pipeline.lineprofile import flux_density_per_mjy_sr
from pipeline.lineset import line_set
from pipeline.reduce.apertures.covariance import GivenNoise
from pipeline.reduce.instruments import lsf_for

RBH1 = load_target("rbh1")
NIRSPEC = {
    "TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP",
    "TARGNAME": "RBH-1", "FILENAME": "small_s3d.fits", "SIMULATD": True,
}  # fmt: skip
WAVE = 0.9703180286 + 0.000636 * np.arange(1447)


def aperture(**changes) -> Aperture:
    """A box of 0.5 by 0.6 arcsec about the tip."""
    box = Aperture(
        name="box", title="box", shape="box", along_arcsec=0.0, across_arcsec=0.0, ra_deg=None,
        dec_deg=None, length_arcsec=0.5, width_arcsec=0.6, radius_arcsec=None, profile="flat",
        velocity_kms=-300.0, source="a test", evidence="choice",
    )  # fmt: skip
    return replace(box, **changes)


def circle(radius: float, ra: float | None = None, dec: float | None = None) -> Aperture:
    where = RBH1.anchor
    return aperture(
        shape="circle", along_arcsec=None, across_arcsec=None, length_arcsec=None,
        width_arcsec=None, radius_arcsec=radius, ra_deg=where.ra_deg if ra is None else ra,
        dec_deg=where.dec_deg if dec is None else dec,
    )  # fmt: skip


def sky(ny: int, nx: int, scale: float = 0.1, angle: float = 0.4) -> WCS:
    """A rotated grid with the tip of RBH-1 a little beside its middle."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = [(nx + 1) / 2 + 0.2, (ny + 1) / 2 - 0.3]
    wcs.wcs.crval = [RBH1.anchor.ra_deg, RBH1.anchor.dec_deg]
    wcs.wcs.cdelt = [scale / 3600, scale / 3600]
    c, s = np.cos(angle), np.sin(angle)
    wcs.wcs.pc = [[-c, s], [s, c]]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def cube(shape, *, wave=None, seed=1, sigma=0.1, flux=None, mask=None, meta=None) -> ard.Cube:
    """Independent noise of sigma MJy/sr on a given flux."""
    rng = np.random.default_rng(seed)
    wave = WAVE[: shape[0]] if wave is None else wave
    mask = np.zeros(shape, bool) if mask is None else mask
    data = rng.normal(0.0, sigma, shape) + (0.0 if flux is None else flux)
    return ard.Cube(
        np.where(mask, np.nan, data), np.full(shape, sigma**2), mask, wave, sky(*shape[1:]),
        lsf=lsf_for(NIRSPEC, WAVE), psf=ard.Psf([0.9, 2.0], [0.15, 0.2], "a test"),
        meta=dict(NIRSPEC) | (meta or {}),
    )  # fmt: skip


def correlations(shape, wave_lag=0.2, sky_lag=0.5):
    """Correlation matrices (wave, y, x): a moving average, and two autoregressions."""
    n_wave, ny, nx = shape
    wave = toeplitz(np.concatenate([[1.0, wave_lag], np.zeros(n_wave - 2)]))
    return wave, toeplitz(sky_lag ** np.arange(ny)), toeplitz(sky_lag ** np.arange(nx))


def kronecker(sigma, mask, **lags) -> Noise:
    factors = tuple(inverse_cholesky(c) for c in correlations(sigma.shape, **lags))
    return Noise(sigma, mask, factors, masks="approximate")


def given(noise: Noise, **changes) -> GivenNoise:
    return GivenNoise(noise, "small_noise.fits", **changes)


def dense(noise: Noise) -> np.ndarray:
    """The covariance of all voxels, from the whitener applied to unit vectors (slow)."""
    size = noise.sigma.size
    unmasked = Noise(
        noise.sigma, np.zeros_like(noise.mask), noise.factors, noise.taps, scale=noise.scale
    )
    whitener = unmasked.whiten(np.eye(size).reshape(size, *noise.sigma.shape)).reshape(size, size)
    return np.linalg.inv(whitener @ whitener.T)


def lines_of(group: str, wave_edges: np.ndarray):
    lsf = lsf_for(NIRSPEC, WAVE)
    return line_set(RBH1.group_lines(group), RBH1.redshift, wave_edges, lsf)


def edges_of(wave: np.ndarray) -> np.ndarray:
    step = wave[1] - wave[0]
    return np.concatenate([[wave[0] - step / 2], wave + step / 2])


def unit(cube_: ard.Cube) -> np.ndarray:
    """erg s-1 cm-2 um-1 of 1 MJy/sr in a spaxel."""
    return flux_density_per_mjy_sr(cube_.wave) * cube_.pixel_area_arcsec2
