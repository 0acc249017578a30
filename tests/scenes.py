"""Discs and models of the size of NIRSpec's, for tests of synthetic cubes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.scene.cube import disc_cube
from pipeline.scene.disc import Disc, Sampler
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.model import LineModel

FLUX = np.array([1.0])


def tanh_disc(**changes) -> Disc:
    """The edge-on test disc of reference/cubes.md section 0, smaller so that a field holds it."""
    radii = np.linspace(0, 6, 121)
    values = {
        "x_arcsec": 0.05,
        "y_arcsec": -0.08,
        "pa_deg": 34.0,
        "inclination_deg": 88.0,
        "scale_arcsec": 0.25,
        "height_arcsec": 0.08,
        "v_sys_kms": 20.0,
        "rotation_kms": 180.0 * np.tanh(radii / 0.3),
        "dispersion_kms": np.full(radii.size, 40.0),
        "radius_step_arcsec": radii[1],
    }
    return Disc(**{**values, **changes})


def make_model(n=16, *, oversample=2, pad=4, v_max=1000.0, step=60.0, lines=(1.2893,), channels=24):
    """Channels around the lines, of the size and resolution of NIRSpec G140M."""
    middle = float(np.mean(lines))
    width = 0.000636
    starts = middle + width * (np.arange(channels) - channels / 2)
    return LineModel(
        SkyGrid(n, n, 0.1, oversample, pad),
        VelocityGrid(v_max, step),
        np.stack([starts, starts + width], axis=1),
        np.array(lines),
        np.full(len(lines), 127.0),
    )


def tabulated(disc, brightness, end_arcsec, count=481) -> Disc:
    """The disc with its tables on new radii up to an end, and light as a function of radius."""
    radii = np.linspace(0.0, end_arcsec, count)
    old = np.arange(disc.rotation_kms.size) * disc.radius_step_arcsec
    return replace(
        disc,
        rotation_kms=np.interp(radii, old, disc.rotation_kms),
        dispersion_kms=np.interp(radii, old, disc.dispersion_kms),
        radius_step_arcsec=radii[1],
        brightness=brightness(radii),
    )


def cube_of(model, disc, *, fluxes=FLUX, fwhm=0.13, depths=64, law="sech2"):
    """The disc's cube, computed in the precision that is switched on."""
    dtype = jnp.result_type(float)
    cast = jax.tree.map(lambda value: jnp.asarray(value, dtype), disc)
    sampler = Sampler(model.sky, depths, law)
    made = disc_cube(model, sampler, cast, jnp.asarray(fluxes, dtype), fwhm)
    assert made.dtype == dtype
    return np.asarray(made, dtype=np.float64)
