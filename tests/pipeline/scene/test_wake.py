"""Does the wake move as Eq 19 says, and shine where it is?

Oracles: the numbers of reference/science.md section 2.1, the closed form itself.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slopes import assert_slopes

from ard.errors import ArdError
from pipeline.scene import points, wake
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.psf import Gaussian
from pipeline.scene.wake import Wake

VELOCITIES = VelocityGrid(1000.0, 60.0)
PSF = Gaussian.round(0.13)


def published(**changes) -> Wake:
    values = {
        "x_arcsec": 2.0,
        "y_arcsec": 0.0,
        "pa_deg": -90.0,
        "length_kpc": 62.0,
        "fade_kpc": np.inf,
        "width_kpc": 0.3,
        "v_start_kms": -301.0,
        "delay_kpc": 16.0,
        "mixing_kpc": 26.0,
        "dispersion_kms": 31.0,
        "kpc_per_arcsec": 7.937,
    }
    return Wake(**{**values, **changes})


@pytest.mark.parametrize(
    ("distance", "speed"), [(0.0, -301.0), (16.0, -301.0), (42.0, -111.0), (62.0, -51.0)]
)
def test_speeds_are_those_of_the_published_equation(double, distance, speed):
    assert float(wake.speed_behind(published(), distance)) == pytest.approx(speed, abs=0.5)


def test_the_wake_lies_behind_its_tip(precision):
    """The motion runs along +x: everything is at smaller x, down to the wake's end."""
    made = wake.nodes(published(width_kpc=0.0))
    x = np.asarray(made.x_arcsec)
    assert x.max() == pytest.approx(2.0, abs=0.02)
    assert x.min() == pytest.approx(2.0 - 62.0 / 7.937, abs=0.02)
    np.testing.assert_allclose(made.y_arcsec, 0.0, atol=1e-5)
    assert float(made.light.sum()) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("pa", [30.0, 147.8, -60.0])
def test_the_position_angle_runs_from_the_end_to_the_tip(double, pa):
    """From +y over -x; the middle of an even wake lies half of its length behind the tip."""
    made = wake.nodes(published(pa_deg=pa))
    half = 0.5 * 62.0 / 7.937
    x, y = (float((made.light * v).sum()) for v in (made.x_arcsec, made.y_arcsec))
    assert x == pytest.approx(2.0 + half * np.sin(np.deg2rad(pa)), abs=1e-9)
    assert y == pytest.approx(-half * np.cos(np.deg2rad(pa)), abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, 1e-4),
        ({"length_kpc": 100.0, "kpc_per_arcsec": 7.0}, 5e-4),
        ({"length_kpc": 100.0, "fade_kpc": 2.0}, 1e-6),
        ({"width_kpc": 1.0, "kpc_per_arcsec": 7.0}, 7e-3),
    ],
)
def test_the_nodes_along_leave_no_gaps(double, changes, error):
    """Against ten times as many, at the ends of the ranges."""
    sky, values = SkyGrid(41, 60, 0.1), {"pa_deg": -60.0, **changes}
    few, many = (
        np.asarray(points.planes(wake.nodes(published(**values), **n), sky, VELOCITIES, 90.0, PSF))
        for n in ({}, {"along": 2560, "across": 65})
    )
    assert np.abs(few - many).max() < error * many.max()


def test_columns_have_the_light_and_speed_of_their_distance(double):
    """Along the wake: light exp(-d / fade), and Eq 19, through the optics of one column."""
    made = wake.nodes(published(fade_kpc=20.0), along=4096)
    sky = SkyGrid(21, 60, 0.1)
    cube = np.asarray(points.planes(made, sky, VELOCITIES, 90.0, Gaussian.round(0.02))).sum(axis=1)
    light = cube.sum(axis=0)
    with np.errstate(invalid="ignore"):  # columns ahead of the tip have no light
        speed = (cube * VELOCITIES.velocities[:, None]).sum(axis=0) / light
    behind = (2.0 - sky.edges(60)) * 7.937
    inside = (behind[:-1] < 38.0) & (behind[1:] > 2.0)
    share = np.exp(-behind[1:] / 20.0) - np.exp(-behind[:-1] / 20.0)
    share = share / (1.0 - np.exp(-62.0 / 20.0))
    np.testing.assert_allclose(light[inside], share[inside], rtol=2e-3)
    middle = 0.5 * (behind[:-1] + behind[1:])
    expected = np.asarray(wake.speed_behind(published(), middle))
    np.testing.assert_allclose(speed[inside], expected[inside], atol=1.0)


def test_the_width_is_that_of_the_wake_and_the_optics(double):
    made = wake.nodes(published(width_kpc=0.7))
    sky = SkyGrid(61, 60, 0.1)
    image = np.asarray(points.planes(made, sky, VELOCITIES, 90.0, PSF)).sum(axis=(0, 2))
    y = 0.5 * (sky.edges(61)[:-1] + sky.edges(61)[1:])
    found = (image * y**2).sum() / image.sum()
    expected = (0.7 / 7.937) ** 2 + (0.13 / 2.3548) ** 2 + 0.1**2 / 12.0
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("width", "error"), [(0.7, 1e-5), (1.0, 2e-3)])
@pytest.mark.parametrize("pa", [-90.0, -60.0])
def test_the_nodes_across_leave_no_gaps(double, width, error, pa):
    sky = SkyGrid(61, 60, 0.1)

    def image(**number):
        made = wake.nodes(published(width_kpc=width, pa_deg=pa), **number)
        return np.asarray(points.planes(made, sky, VELOCITIES, 90.0, PSF)).sum(axis=0)

    fine = image(across=65)
    np.testing.assert_allclose(image(), fine, atol=error * fine.max())


def test_a_gradient_flows_through_every_parameter(double):
    names = ["x_arcsec", "pa_deg", "length_kpc", "width_kpc", "v_start_kms", "mixing_kpc"]
    weights = np.random.default_rng(3).normal(size=(VELOCITIES.velocities.size, 12, 12))
    start = jnp.array([float(getattr(published(x_arcsec=0.4), name)) for name in names])

    @jax.jit
    def value(vector):
        source = replace(published(), **dict(zip(names, vector, strict=True)))
        made = wake.nodes(source, along=512)
        return jnp.vdot(
            points.planes(made, SkyGrid(12, 12, 0.1), VELOCITIES, 90.0, PSF),
            weights,
        )

    assert_slopes(value, start, names, rel=1e-4, tiny=1e-8)


@pytest.mark.parametrize("row", wake.PARAMETERS, ids=lambda row: row.name)
def test_a_parameter_outside_of_its_range_is_refused(row):
    wake.require_valid(published())
    for value in (row.low - 1.0, np.nan):
        with pytest.raises(ArdError, match=row.name):
            wake.require_valid(published(**{row.name: value}))
