"""Is a knot a round Gaussian, and one of no size a point?

Oracle: a Gaussian spread by a Gaussian point-spread function is a wider Gaussian, integrated over
pixels by differences of the error function.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr
from slopes import assert_slopes

from ard.errors import ArdError
from pipeline.scene import knot, optics, points
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.knot import Knot
from pipeline.scene.psf import Gaussian

VELOCITIES = VelocityGrid(1000.0, 60.0)
PSF = Gaussian.round(0.13)
SKY = SkyGrid(25, 31, 0.1)


def make(**changes) -> Knot:
    """Cast to the precision that is switched on."""
    values = {
        "x_arcsec": 0.031,
        "y_arcsec": -0.22,
        "size_arcsec": 0.08,
        "speed_kms": -120.0,
        "dispersion_kms": 25.0,
    }
    dtype = jnp.result_type(float)
    return Knot(**{k: jnp.asarray(v, dtype) for k, v in {**values, **changes}.items()})


def planes(made):
    cube = points.planes(made, SKY, VELOCITIES, 80.0, PSF)
    assert cube.dtype == jnp.result_type(float)
    return np.asarray(cube, np.float64)


def wider_gaussian(size, x=0.031, y=-0.22):
    sigma = np.hypot(size, 0.13 / optics.FWHM_PER_SIGMA)
    up, side = (
        np.diff(ndtr((SKY.edges(count) - place) / sigma)) for count, place in ((25, y), (31, x))
    )
    width = np.hypot(25.0, 80.0)
    moving = np.exp(-0.5 * ((VELOCITIES.velocities + 120.0) / width) ** 2)
    moving = 60.0 * moving / (np.sqrt(2.0 * np.pi) * width)
    return moving[:, None, None] * up[:, None] * side


@pytest.mark.parametrize(
    ("size", "error"),
    [(0.0, 1e-12), (0.01, 6e-5), (0.05, 6e-5), (0.1, 6e-5), (0.16, 6e-5), (0.2, 2e-4)],
)
@pytest.mark.parametrize("x", [0.0, 0.031, 0.05])
def test_it_is_a_wider_gaussian(precision, size, error, x):
    """Within what the docstring of `nodes` states; float32 rounds on top of it."""
    expected = wider_gaussian(size, x)
    found = planes(knot.nodes(make(size_arcsec=size, x_arcsec=x)))
    limit = error + {"float32": 3e-6, "float64": 0.0}[precision]
    assert np.abs(found - expected).max() < limit * expected.max()
    assert found.sum() == pytest.approx(1.0, rel=1e-5)


def test_more_nodes_come_closer(double):
    expected = wider_gaussian(0.2)
    errors = [
        np.abs(planes(knot.nodes(make(size_arcsec=0.2), side=side)) - expected).max()
        / expected.max()
        for side in (13, 21, 27)
    ]
    assert errors[0] > 1e-2 > errors[1] > 1.5 * errors[2]


def test_without_size_it_is_a_point(precision):
    source = make(size_arcsec=0.0)
    one = points.single(source.x_arcsec, source.y_arcsec, source.speed_kms, source.dispersion_kms)
    limit = {"float32": 2e-6, "float64": 1e-14}[precision]
    found, expected = planes(knot.nodes(source)), planes(one)
    assert np.abs(found - expected).max() < limit * expected.max()


def test_gradients_are_those_of_central_differences(double):
    weights = np.random.default_rng(8).normal(size=(VELOCITIES.velocities.size, 25, 31))
    names = [row.name for row in knot.PARAMETERS]
    start = jnp.array([float(getattr(make(), name)) for name in names])

    @jax.jit
    def value(vector):
        made = knot.nodes(Knot(**dict(zip(names, vector, strict=True))))
        return jnp.vdot(points.planes(made, SKY, VELOCITIES, 80.0, PSF), weights)

    assert_slopes(value, start, names, least=0.1)
    # At no size the light is even in the size: the slope is zero, not NaN.
    assert float(jax.grad(value)(start.at[2].set(0.0))[2]) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("row", knot.PARAMETERS, ids=lambda row: row.name)
def test_a_parameter_outside_of_its_range_is_refused(row):
    knot.require_valid(make())
    knot.require_valid(replace(make(), size_arcsec=0.0))
    for value in (row.low - 1.0, row.high + 1.0, np.nan):
        with pytest.raises(ArdError, match=row.name):
            knot.require_valid(make(**{row.name: value}))
