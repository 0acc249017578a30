"""Oracle: scipy's own least squares between bounds, of functions that are far from parabolas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import x64
from scipy import optimize

from pipeline.falsify.cube.climb import LEFT, SHARE, Height, climb

TIMES = np.linspace(0.0, 3.0, 40)
# Two decays seen through noise that no decay explains: residuals are large at the best.
DATA = 3.0 * np.exp(-1.3 * TIMES) + 40.0 * np.sin(5.0 * TIMES)


def residuals(place):
    return DATA - place[0] * jnp.exp(-place[1] * TIMES) - place[2] * TIMES


def height(place):
    left = residuals(place)
    slopes = -jax.jacfwd(residuals)(place)
    value = -0.5 * jnp.where(place[0] < 90.0, left @ left, jnp.nan)
    return Height(value, slopes.T @ left, slopes.T @ slopes + 1e-9 * jnp.eye(3), left @ left)


# Bounds and number of steps are arguments, so that it is compiled once.
CLIMB = jax.jit(lambda start, low, high, count: climb(height, start, low, high, count))


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ([-80.0, 0.0, -50.0], [80.0, 40.0, 50.0]),
        ([-80.0, 0.0, -50.0], [10.0, 40.0, 50.0]),  # the best is at a bound
        ([-80.0, 4.0, 1.0], [80.0, 40.0, 50.0]),  # at two
        ([-80.0, 0.0, -50.0], [200.0, 40.0, 50.0]),  # some of it has no value
    ],
)
def test_the_top_is_that_of_scipy(low, high):
    low, high = np.array(low), np.array(high)
    start = np.clip([1.0, 6.0, 2.0], low, high)
    with x64(True):
        top = CLIMB(start, low, high, 60)
        expected = optimize.least_squares(
            lambda z: np.asarray(residuals(z)), start, bounds=(low, np.minimum(high, 89.9))
        )
    assert bool(top.reached)
    assert int(top.n_step) < 30
    assert float(top.height.value) >= -(1.0 + SHARE) * expected.cost - LEFT
    assert (np.asarray(top.place) >= low).all()
    assert (np.asarray(top.place) <= high).all()


def test_a_climb_that_is_cut_short_says_so_and_keeps_its_best():
    with x64(True):
        start, far = np.array([1.0, 6.0, 2.0]), np.full(3, 50.0)
        ends = [CLIMB(start, -far, far, count) for count in (1, 2, 4)]
        values = [float(end.height.value) for end in ends]
        assert values == sorted(values)
        assert values[0] == pytest.approx(float(height(start).value), rel=1e-12)
        assert not bool(ends[0].reached)
        assert [int(end.n_step) for end in ends] == [1, 2, 4]
