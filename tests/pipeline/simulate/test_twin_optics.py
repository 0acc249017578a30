"""Does light survive PSF, LSF, pixels and channels, and are they as wide as they should be?"""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from pipeline.simulate import geometry, optics, scenes
from pipeline.simulate.lines import LINES, REDSHIFT, WAKE

HALPHA = next(line for line in LINES if line.name == "Halpha")
FWHM = 2.3548200450309493


def _point(flux: float, along: float = 0.0, velocity: float = -300.0) -> scenes.Component:
    one = np.ones(1)
    return scenes.Component(
        name="point",
        along=along * one,
        across=0 * one,
        velocity=velocity * one,
        halpha=flux * one,
        continuum=one,
        sigma_kms=50.0,
        ratios=WAKE,
        ab_mag=22.0,
        colour=0.0,
    )


def test_pixel_integration_conserves_flux_and_second_moments() -> None:
    """Oracle: the closed form, over random places of a point source. A pixel adds 1/12 of its
    area to the variance of the PSF; a place is known to a fifth of a pixel."""
    row, column = np.mgrid[0:21, 0:21]
    angle = np.deg2rad(geometry.PA_APER_DEG)
    moments = []
    for x, y in np.random.default_rng(2).uniform(9.5, 10.5, (200, 2)):
        image = optics.collect(np.array([x]), np.array([y]), np.ones(1), (21, 21), (1.9, 1.2))[0]
        assert image.sum() == pytest.approx(1.0, rel=1e-12)
        dx, dy = column - x, row - y
        long_axis = -dx * np.sin(angle) + dy * np.cos(angle)
        short_axis = dx * np.cos(angle) + dy * np.sin(angle)
        moments.append([(image * a).sum() for a in (dx, dy, long_axis**2, short_axis**2)])
    mean = np.mean(moments, axis=0)
    assert mean[:2] == pytest.approx([0.0, 0.0], abs=0.02)
    assert mean[2] == pytest.approx((1.9 / FWHM) ** 2 + 1 / 12, rel=0.01)
    assert mean[3] == pytest.approx((1.2 / FWHM) ** 2 + 1 / 12, rel=0.01)


def test_light_from_outside_scatters_into_the_field() -> None:
    """Oracle: symmetry. A source on the border gives half of its light to the field."""
    image = optics.collect(
        np.array([-0.5 + 1e-9]), np.array([5.0]), np.ones(1), (11, 11), (1.5, 1.5)
    )
    assert image.sum() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("velocity", [-600.0, -37.0, 0.0, 211.0])
def test_channel_integration_conserves_flux_and_moments(velocity: float) -> None:
    """Oracle: the closed form. A channel adds 1/12 of its square to the variance of the line."""
    wave = geometry.window("demo").wave
    share = optics.channel_share(HALPHA, np.array([velocity]), 80.0, wave, 1.1)[0]
    assert share.sum() == pytest.approx(1.0, abs=1e-12)
    centre = HALPHA.rest_um * (1 + REDSHIFT) * (1 + velocity / 299792.458)
    assert (share * wave).sum() == pytest.approx(centre, abs=1e-3 * geometry.CDELT3)
    sigma2 = optics.lsf_fwhm_um(np.array([centre]), 1.1)[0] ** 2 / FWHM**2
    sigma2 += (centre * 80.0 / 299792.458) ** 2 + geometry.CDELT3**2 / 12
    assert (share * (wave - centre) ** 2).sum() == pytest.approx(sigma2, rel=1e-6)


def test_a_point_source_keeps_its_flux_in_the_cube() -> None:
    """Oracle: the flux put in, line by line, from MJy/sr back to erg/s/cm2."""
    cut = geometry.window("tiny")
    cube = optics.render((_point(1e-17, along=-0.5),), cut, 0, 1.1)
    flux = (cube * optics.flux_per_mjy_sr(cut.wave)[:, None, None]).sum()
    inside = ["NII6548", "Halpha", "NII6583", "SII6716", "SII6731"]
    # A voxel's flux goes as 1/wave^2, and a line is narrow, so that nothing is lost by it.
    assert flux == pytest.approx(1e-17 * sum(WAKE[name] for name in inside), rel=2e-3)


@pytest.mark.parametrize(
    ("wave", "flux"), [(0.98362, 4.63e-19), (1.28929, 2.70e-19), (1.78156, 1.41e-19)]
)
def test_flux_of_a_voxel_agrees_with_the_table(wave: float, flux: float) -> None:
    """Oracle: science.md section 5, computed there by other hands."""
    assert optics.flux_per_mjy_sr(np.array([wave]))[0] == pytest.approx(flux, rel=5e-3)


def test_velocity_planes_keep_mean_and_dispersion() -> None:
    """Oracle: moments of the samples before they were shared between planes."""
    component = scenes.bow_ring()
    cut = geometry.window("full")
    planes = optics.velocity_planes(
        component, geometry.sky(cut, 0), cut.shape[1:], optics.psf_fwhm_arcsec(1.29)
    )
    flux = planes.halpha.sum(axis=(1, 2))
    total = component.halpha.sum()
    assert flux.sum() == pytest.approx(total, rel=1e-6)
    mean = np.average(planes.velocity, weights=flux)
    assert mean == pytest.approx(np.average(component.velocity, weights=component.halpha), abs=0.01)
    spread = np.average((planes.velocity - mean) ** 2, weights=flux)
    truth = np.average((component.velocity - mean) ** 2, weights=component.halpha)
    assert spread - optics.sharing_variance(component) == pytest.approx(truth, rel=1e-6)


def test_continuum_has_the_magnitude_of_its_source() -> None:
    """Oracle: the definition of the AB magnitude, 3631 Jy at zero."""
    wcs = geometry.sky(geometry.window("full"), 0)
    image = optics.continuum((_point(1.0),), wcs, (53, 49))
    jansky = image.sum() * 1e6 * (0.1 * np.pi / 180 / 3600) ** 2
    assert -2.5 * np.log10(jansky / 3631) == pytest.approx(22.0, abs=1e-6)


def test_psf_has_the_published_widths() -> None:
    """Oracle: science.md section 5: 0.125 and 0.094 arcsec at 0.98 to 1.3 um in fine cubes."""
    for wave in (0.98, 1.3):
        assert optics.psf_fwhm_arcsec(wave) == pytest.approx(
            (np.hypot(0.125, 0.1), np.hypot(0.094, 0.1)), abs=5e-4
        )
        assert all(0.12 < width < 0.22 for width in optics.psf_fwhm_arcsec(wave))


@pytest.mark.real_data
def test_resolving_power_follows_the_reference_curve(shared_data: Path) -> None:
    """Oracle: the reference file of the grating."""
    with fits.open(shared_data / "reference" / "jwst_nirspec_g140m_disp.fits") as hdus:
        wave = hdus[1].data["WAVELENGTH"].astype(float)
        power = hdus[1].data["R"].astype(float)
    inside = (wave > 0.95) & (wave < 1.92)
    ours = wave[inside] / optics.lsf_fwhm_um(wave[inside], 1.0)
    np.testing.assert_allclose(ours, power[inside], atol=0.15)
