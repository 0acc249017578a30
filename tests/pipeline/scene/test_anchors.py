"""Do discs with a table of brightness reach the closed forms of a slab and of a ring?

Oracles: A5 and A6 of reference/cubes.md section 4, and A9's second half: gradients of float32.
A0 to A4 and A7 to A9 are in test_disc_cube.py, A0 with velocities in test_bow.py.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import x64
from scenes import FLUX, cube_of, make_model, tabulated, tanh_disc
from scipy.integrate import quad
from scipy.special import ndtr

from pipeline.scene import optics
from pipeline.scene.cube import disc_cube
from pipeline.scene.disc import Sampler

C_KMS = 299792.458


def channel_share(model, speed, sigma):
    """Part of a Gaussian line in every channel, shape (n_channel, ...)."""
    edges = (np.asarray(model.wave_edges) / model.wave_obs_um[0] - 1.0) * C_KMS
    low, high = (edges[:, k].reshape(-1, *[1] * np.ndim(speed)) for k in (0, 1))
    return ndtr((high - speed) / sigma) - ndtr((low - speed) / sigma)


@pytest.mark.parametrize("fwhm", [0.1, 0.13, 0.2])
@pytest.mark.parametrize("inclination", [0.0, 45.0])
def test_the_inside_of_a_slab_is_flat(precision, inclination, fwhm):
    """A5: light per area over cos i, times the pixel, times the line; optics change nothing.

    The slab does not rotate. A spaxel is inside if a sight through it, and through all that the
    optics scatter into it, crosses all of the layer within the slab's radius.
    """
    end, height, n = 1.2, 0.02, 24
    tilt = np.deg2rad(inclination)
    disc = tanh_disc(x_arcsec=0.0, y_arcsec=0.0, pa_deg=-90.0, inclination_deg=inclination,
                     height_arcsec=height, rotation_kms=np.zeros(121))  # fmt: skip
    disc = tabulated(disc, np.ones_like, end)
    model = make_model(n)
    cube = cube_of(model, disc, fwhm=fwhm)
    middle = np.abs(model.sky.edges(n)[:-1] + 0.05)
    reach = 0.05 + 6.0 * fwhm / optics.FWHM_PER_SIGMA
    across = (middle[:, None] + reach) / np.cos(tilt) + 7.0 * height * np.tan(tilt)
    inside = np.hypot(middle[None, :] + reach, across) < end
    assert inside.sum() >= 4
    per_spaxel = 0.1**2 / (np.pi * end**2) / np.cos(tilt)
    line = channel_share(model, 20.0, np.hypot(40.0, 127.0))
    # The layer is cut where 1.7e-6 of its light is left, and float32 rounds.
    limit = {"float32": 5e-6, "float64": 1e-6}[precision] * per_spaxel * line.max()
    assert np.abs(cube[:, inside] - per_spaxel * line[:, None]).max() < limit


RADIUS, HALF = 1.0, 0.1


def ring_disc(inclination=60.0):
    """A ring of 600 km/s; a speed of 100 everywhere else would be seen, were light there."""
    disc = tanh_disc(
        x_arcsec=0.0, y_arcsec=0.0, pa_deg=-90.0, inclination_deg=inclination,
        scale_arcsec=0.5, height_arcsec=0.005, v_sys_kms=0.0, dispersion_kms=np.full(121, 10.0),
    )  # fmt: skip
    disc = tabulated(disc, lambda r: np.maximum(0.0, 1.0 - np.abs(r - RADIUS) / HALF), 1.2, 481)
    radii = np.arange(481) * disc.radius_step_arcsec
    return replace(disc, rotation_kms=np.where(np.abs(radii - RADIUS) < 1.2 * HALF, 600.0, 100.0))


def ring_model(oversample=8):
    return make_model(26, pad=0, oversample=oversample, v_max=1200.0, channels=30)


def test_a_ring_has_two_horns(precision):
    """A6: 1 / (pi sqrt(W^2 - v^2)), W = V sin i, convolved with the line's Gaussian."""
    model = ring_model(6)
    profile = cube_of(model, ring_disc()).sum(axis=(1, 2))
    reach, sigma = 600.0 * np.sin(np.deg2rad(60.0)), np.hypot(10.0, 127.0)
    # The weight of `quad` is the horns, with their two poles.
    expected = [
        quad(lambda v, c=c: channel_share(model, v, sigma)[c] / np.pi, -reach, reach,
             weight="alg", wvar=(-0.5, -0.5))[0]
        for c in range(30)
    ]  # fmt: skip
    expected = np.array(expected)
    at_rest, horn = expected[14:16].mean(), expected.max()
    assert horn > 1.3 * at_rest  # the oracle does have horns
    np.testing.assert_allclose(profile, expected, atol=3e-4 * horn)


def test_a_ring_is_an_arc_in_every_channel(precision):
    """A6, the image: sum over places along and across the ring, each through optics and channels.

    Seen at 60 deg the layer is thin against the optics: its variance is added to theirs.
    """
    model = ring_model()
    cube = cube_of(model, ring_disc())
    tilt, sigma = np.deg2rad(60.0), 0.13 / optics.FWHM_PER_SIGMA
    places, weights = np.polynomial.legendre.leggauss(12)
    offsets = np.concatenate([0.5 * HALF * (places - 1.0), 0.5 * HALF * (places + 1.0)])
    radius = RADIUS + offsets
    light = np.tile(weights, 2) * (1.0 - np.abs(offsets) / HALF) * radius
    phi = (np.arange(400) + 0.5) * 2.0 * np.pi / 400
    x = (radius[:, None] * np.cos(phi)).ravel()
    y = (radius[:, None] * np.sin(phi) * np.cos(tilt)).ravel()
    speed = np.broadcast_to(600.0 * np.sin(tilt) * np.cos(phi), (24, 400)).ravel()
    light = np.repeat(light / light.sum() / 400, 400)
    layer = 0.005 * np.pi / np.sqrt(12.0) * np.sin(tilt)  # of sech2, seen aslant
    edges = model.sky.edges(26)
    side = np.diff(ndtr((edges[:, None] - x) / sigma), axis=0)
    up = np.diff(ndtr((edges[:, None] - y) / np.hypot(sigma, layer)), axis=0)
    moving = channel_share(model, speed, np.hypot(10.0, 127.0)) * light
    expected = np.einsum("cn,yn,xn->cyx", moving, up, side, optimize=True)
    assert np.abs(cube - expected).max() < 3e-4 * expected.max()
    image = cube.sum(axis=0)
    assert image[12:14, 12:14].max() < 1e-6 * image.max()  # nothing in the middle


def test_gradients_of_float32_are_those_of_float64():
    """A9: within 2e-4, of a sum of squares as a likelihood has it."""
    model, disc = make_model(8, pad=1), tanh_disc()
    sampler = Sampler(model.sky, 32)
    names = ["x_arcsec", "y_arcsec", "pa_deg", "inclination_deg", "scale_arcsec", "height_arcsec",
             "v_sys_kms"]  # fmt: skip
    with x64(True):
        data = cube_of(model, replace(disc, x_arcsec=0.07, v_sys_kms=35.0, pa_deg=37.0,
                                      scale_arcsec=0.27, height_arcsec=0.09, y_arcsec=-0.06,
                                      inclination_deg=86.0))  # fmt: skip
    found = {}
    for double in (True, False):
        with x64(double):
            dtype = jnp.result_type(float)
            fixed = jax.tree.map(lambda value, to=dtype: jnp.asarray(value, to), disc)
            seen = jnp.asarray(data / data.max(), dtype)

            def misfit(values, fixed=fixed, seen=seen, dtype=dtype):
                turned = replace(fixed, **dict(zip(names, values, strict=True)))
                made = disc_cube(model, sampler, turned, jnp.asarray(FLUX, dtype), 0.13)
                return jnp.sum((made / data.max() - seen) ** 2)

            start = [getattr(fixed, name) for name in names]
            found[double] = np.array(jax.jit(jax.grad(misfit))(start), dtype=np.float64)
    np.testing.assert_allclose(found[False], found[True], rtol=2e-4)
    assert np.abs(found[True]).min() > 0.0
