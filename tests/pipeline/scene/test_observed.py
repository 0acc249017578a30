"""Does a model say the same as its cube about places, directions, channels and lines?

Oracles: the cube's own WCS, astropy's angles, the manifest of RBH-1, the instrument's declared
curve; a real cube's orientation.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units as u
from builders import make_wcs
from scenes import tanh_disc

import ard
from ard import likelihood
from ard.errors import ArdError
from manifests import load_target
from manifests.instruments import find_instrument
from manifests.target import Position
from pipeline.scene import background, bow, knot, wake
from pipeline.scene.background import Smoothness
from pipeline.scene.cube import Component, Optics, count_disc, line_templates
from pipeline.scene.disc import Sampler
from pipeline.scene.grid import SkyGrid
from pipeline.scene.observed import Settings, angle_of, model_for, place_of
from pipeline.scene.psf import Gaussian
from pipeline.scene.valid import require_computable

RBH1 = load_target("rbh1")
BLOB = knot.Knot(0.1, -0.3, 0.05, 120.0, 30.0)
NIRSPEC = {"INSTRUME": "NIRSPEC", "GRATING": "G140M"}


def cube_of(angle=0.3, *, wave=None, wcs=None, meta=NIRSPEC, lsf=None):
    wave = 0.9703 + 0.000636 * np.arange(1447) if wave is None else wave
    shape = (wave.size, 5, 4)
    wcs = make_wcs(angle) if wcs is None else wcs
    flat = np.ones(shape)
    return ard.Cube(flat, flat, np.zeros(shape, bool), wave, wcs, lsf=lsf, meta=meta)


def test_the_lines_of_the_target_are_the_models():
    found = model_for(cube_of(), RBH1)
    model = found.model
    assert found.line_names[:2] == ("OIII4959", "OIII5007")
    assert len(found.line_names) == 10
    assert found.groups == ("oiii", "oi", "halpha", "sii", "siii")
    assert found.amplitude_names == (
        "OIII4959", "OI6300", "NII6548", "Halpha", "SII6716", "SII6731", "SIII9069",
    )  # fmt: skip
    # [O III] is one amplitude, [N II] one, H alpha, [O I], two of [S II], [S III].
    assert model.ties.shape == (10, 7)
    assert model.ties[1, 0] == 2.984
    np.testing.assert_allclose(model.wave_obs_um[4], 0.6564632 * 1.964)
    # reference/science.md section 5: R = 920 at H alpha, before launch.
    assert model.sigma_lsf_kms[4] == pytest.approx(299792.458 / 920 / 2.3548, rel=2e-3)
    assert found.wave_um[0] == pytest.approx(0.97891, abs=1e-5)
    assert (model.sky.ny, model.sky.nx, model.gain_max) == (5, 4, 1.25)
    assert model.sky.pixel_arcsec == pytest.approx(0.1, rel=1e-6)
    # As coarse as the narrowest line allows, [S III] 9531 at a gain of 1.25.
    assert model.velocities.step == pytest.approx(41.7, abs=0.1)
    with pytest.raises(ArdError, match="too far apart"):
        model_for(cube_of(), RBH1, Settings(step_kms=45.0))


def test_channels_are_those_of_the_cube():
    cube = cube_of()
    found = model_for(cube, RBH1, Settings(half_kms=500.0, v_max_kms=500.0))
    np.testing.assert_allclose(
        found.model.wave_edges.mean(axis=1), cube.wave[found.channels], atol=1e-12
    )
    speed = np.abs(cube.wave[:, None] / found.model.wave_obs_um - 1.0).min(axis=1) * 299792.458
    width = 0.000636 / cube.wave * 299792.458
    assert set(np.flatnonzero(speed < 500.0)) <= set(found.channels)
    assert np.all((speed - width)[found.channels] < 500.0)


def test_lines_outside_of_the_cube_are_left_out():
    found = model_for(cube_of(wave=1.25 + 0.000636 * np.arange(100)), RBH1)
    assert found.groups == ("halpha",)
    assert found.model.groups == ((0, 1, 2),)


@pytest.mark.parametrize("angle", [0.0, 0.3, -2.0])
def test_places_and_directions_are_those_of_the_sky(angle):
    """A step along a position angle ends where the step along the model's direction ends."""
    cube = cube_of(angle)
    middle = cube.wcs.pixel_to_world(1.5, 2.0)
    assert place_of(cube, Position(middle.ra.deg, middle.dec.deg)) == pytest.approx(
        (0.0, 0.0), abs=1e-6
    )
    for pa in (0.0, 36.3, 147.8, 236.3):
        there = middle.directional_offset_by(pa * u.deg, 1.3 * u.arcsec)
        x, y = place_of(cube, Position(there.ra.deg, there.dec.deg))
        turned = np.deg2rad(angle_of(cube, pa))
        assert (x, y) == pytest.approx((-1.3 * np.sin(turned), 1.3 * np.cos(turned)), abs=1e-4)


def test_north_up_and_east_left_is_no_turn():
    assert angle_of(cube_of(0.0), 147.8) == pytest.approx(147.8, abs=1e-3)


@pytest.mark.real_data
def test_up_in_a_real_cube_is_no_turn(shared_data):
    """The position angle of its columns, by astropy, is the direction 0 on the grid."""
    cube = ard.read_cube(shared_data / "jwst" / "ngc7469_Level3_ch4-short_s3d.fits.gz")
    _, ny, nx = cube.shape
    middle, above = (
        cube.wcs.pixel_to_world((nx - 1) / 2, (ny - 1) / 2 + step) for step in (0, 0.5)
    )
    pa = middle.position_angle(above).deg
    assert angle_of(cube, pa) == pytest.approx(0.0, abs=0.01)
    assert angle_of(cube, pa + 90.0) == pytest.approx(90.0, abs=0.01)
    x, y = place_of(cube, Position(above.ra.deg, above.dec.deg))
    assert (x, y) == pytest.approx((0.0, 0.5 * np.sqrt(cube.pixel_area_arcsec2)), abs=1e-4)


def test_an_unknown_instrument_needs_a_width():
    wave = 1.25 + 0.000636 * np.arange(100)
    with pytest.raises(ArdError, match="line-spread function of this cube is not known"):
        model_for(cube_of(wave=wave, meta={}), RBH1)
    lsf = ard.Lsf([1.2, 1.4], [1.3e-3, 1.3e-3], "a test")
    found = model_for(cube_of(wave=wave, meta={}, lsf=lsf), RBH1)
    np.testing.assert_allclose(found.model.sigma_lsf_kms, lsf.sigma_kms(found.model.wave_obs_um))
    assert find_instrument(NIRSPEC) is not None


def test_a_cube_that_no_model_fits_is_refused():
    with pytest.raises(ArdError, match="no line of the target"):
        model_for(cube_of(wave=1.0 + 0.000636 * np.arange(100)), RBH1)
    mirrored = make_wcs(0.0)
    mirrored.wcs.pc = [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(ArdError, match="as in a mirror"):
        model_for(cube_of(wcs=mirrored), RBH1)
    oblong = make_wcs(0.0)
    oblong.wcs.cdelt = [0.1 / 3600, 0.13 / 3600]
    with pytest.raises(ArdError, match="not square"):
        model_for(cube_of(wcs=oblong), RBH1)


EDGES = np.stack([np.arange(7.0), np.arange(7.0) + 1.0], axis=1)[[0, 1, 2, 5, 6]]
SKY = SkyGrid(4, 6, 0.1)


def test_windows_that_do_not_touch_have_backgrounds_of_their_own():
    assert background.blocks(EDGES) == (slice(0, 3), slice(3, 5))
    cubes = background.templates(SKY, EDGES)
    assert cubes.shape == (2 * 2 * 3, 5, 4, 6)
    assert np.abs(cubes).max() == pytest.approx(1.0)
    assert np.all(cubes[0, :3] == 1.0)
    assert np.all(cubes[0, 3:] == 0.0)


def test_any_plane_is_a_sum_of_templates():
    """Solved for by least squares: a plane over the sky times a line in each window."""
    x, y = np.arange(6.0)[None, None, :], np.arange(4.0)[None, :, None]
    wave = np.array([0.0, 1.0, 2.0, 5.0, 6.0])[:, None, None]
    wanted = (2.0 + 0.3 * x - 0.7 * y) * (1.0 - 0.2 * wave)
    cubes = background.templates(SKY, EDGES).reshape(12, -1)
    _, rest, rank, _ = np.linalg.lstsq(cubes.T, wanted.ravel(), rcond=None)
    assert rank == 12
    assert rest[0] < 1e-20
    curved = (x - 2.5) ** 2 + 0.0 * y + 0.0 * wave
    assert np.linalg.lstsq(cubes.T, curved.ravel(), rcond=None)[1][0] > 1.0
    more = background.templates(SKY, EDGES, Smoothness(2, 0)).reshape(12, -1)
    assert np.linalg.lstsq(more.T, curved.ravel(), rcond=None)[1][0] < 1e-20


@pytest.mark.parametrize(("ny", "nx"), [(1, 6), (2, 2), (1, 1)])
def test_few_spaxels_have_few_templates(ny, nx):
    """All independent, however high the powers that were asked for."""
    cubes = background.templates(SkyGrid(ny, nx, 0.1), EDGES, Smoothness(3, 1))
    flat = cubes.reshape(len(cubes), -1)
    assert np.linalg.matrix_rank(flat) == len(cubes)


def test_a_window_of_one_channel_has_a_level_only():
    cubes = background.templates(SkyGrid(1, 1, 0.1), EDGES[:1], Smoothness(0, 2))
    assert cubes.tolist() == [[[[1.0]]]]


def test_the_published_bow_shock_can_be_computed_by_default():
    """v* = 954 km/s, i = 29: its ring moves up to 700 km/s."""
    seen = model_for(cube_of(), RBH1)
    shock = bow.Bow(0.0, 0.0, -90.0, 29.0, 954.0, 3.0, 0.0, 31.0, 7.937)
    optics = Optics((Gaussian(0.18, 0.14, 28.2),) * len(seen.groups), 1.12)
    require_computable(seen.model, optics, bow.ring(shock, 1.35, 1.5, 55.0), slice_offset=0.5)


def test_channels_that_do_not_hold_the_velocities_are_refused():
    with pytest.raises(ArdError, match="do not hold its velocities"):
        Settings(half_kms=1000.0)


def test_a_whole_scene_is_found_again_in_its_likelihood(double):
    """Disc, ring, wake, knot and background, drawn with noise, fluxes integrated out.

    The truth is the best of speeds 60 km/s to either side, amplitudes come back within five
    standard deviations, and the slope is that of central differences.
    """
    wave = 1.27 + 0.000636 * np.arange(80)
    target = replace(RBH1, lines=RBH1.group_lines("halpha"), groups=(RBH1.group("halpha"),))
    cube = cube_of(0.0, wave=wave)
    seen = model_for(cube, target, Settings(half_kms=1500.0))
    model = replace(seen.model, sky=SkyGrid(14, 16, 0.1))
    optics = Optics((Gaussian(0.18, 0.14, 28.2),), 1.1)
    place = {"x_arcsec": 0.4, "y_arcsec": 0.0, "pa_deg": -90.0, "kpc_per_arcsec": 7.937}
    tail = wake.Wake(length_kpc=62.0, fade_kpc=30.0, width_kpc=0.3, v_start_kms=-301.0,
                     delay_kpc=16.0, mixing_kpc=26.0, dispersion_kms=31.0, **place)  # fmt: skip
    tail = wake.nodes(tail)
    disc = count_disc(model, Sampler(model.sky, 16), tanh_disc(x_arcsec=-0.3, y_arcsec=0.4))
    smooth = background.templates(model.sky, model.wave_edges, Smoothness(0, 1))

    def templates(v_star):
        shock = bow.Bow(inclination_deg=29.0, v_star_kms=v_star, compression=3.0, v_sys_kms=0.0,
                        dispersion_kms=30.0, **place)  # fmt: skip
        ring = bow.ring(shock, 1.35, 1.5, 55.0)
        parts = [Component((ring,)), Component((tail, knot.nodes(BLOB))), Component((disc,))]
        return jnp.concatenate([*(line_templates(model, optics, p) for p in parts), smooth])

    truth = np.array([0.3, 1.0, 0.4, 2.0, 1.5, 3.0, 0.002, -0.001])
    clean = np.einsum("n,ncyx->cyx", truth, templates(954.0))
    sigma = np.full(clean.shape, 2e-3)
    data = clean + sigma * np.random.default_rng(9).normal(size=clean.shape)
    noise = likelihood.Noise(sigma, np.zeros(clean.shape, bool))
    prior = likelihood.LinearPrior(np.zeros(8), np.full(8, 10.0))

    @jax.jit
    def value(v_star):
        found = likelihood.marginal_likelihood(jnp.asarray(data), templates(v_star), noise, prior)
        return found.log_likelihood, found.amplitudes, found.amplitude_sigma

    best, amplitudes, widths = value(954.0)
    assert best > max(value(894.0)[0], value(1014.0)[0])
    assert np.abs((amplitudes - truth) / widths).max() < 5.0
    slope = (value(900.01)[0] - value(899.99)[0]) / 0.02
    assert float(jax.grad(lambda v: value(v)[0])(900.0)) == pytest.approx(float(slope), rel=1e-5)


def test_a_background_that_bends_is_refused():
    with pytest.raises(ArdError, match="not smooth"):
        Smoothness(4, 1)
    with pytest.raises(ArdError, match="not smooth"):
        Smoothness(1, -1)
