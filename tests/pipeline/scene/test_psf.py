"""Do the optics put light where their point-spread function says?

Oracles: error functions; an ellipse integrated over pixels by brute force; images summed pixel by
pixel; shifts by whole pixels; central differences.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from ard.errors import ArdError
from pipeline.scene import psf as psfs
from pipeline.scene.grid import SkyGrid
from pipeline.scene.optics import FWHM_PER_SIGMA
from pipeline.scene.psf import (
    Gaussian,
    Ghosts,
    from_image,
    matrices,
    require_margin,
    require_valid,
    spread,
)

SKY = SkyGrid(15, 17, 0.1)
PLACE = 0.037, -0.012  # y, x: between the pixels


def image_of(psf, place=PLACE, sky=SKY):
    rows, columns = matrices(psf, sky, np.array([place[0]]), np.array([place[1]]))
    return np.asarray(jnp.einsum("kyn,kxn->yx", rows, columns))


def slow_ellipse(major, minor, pa_deg, place=PLACE, sky=SKY, fine=12):
    """By the rule of Gauss and Legendre with 12 x 12 points in every pixel."""
    pa = np.deg2rad(pa_deg)
    axis = np.array([-np.sin(pa), np.cos(pa)])  # x, y
    other = np.array([axis[1], -axis[0]])
    widths = (major / FWHM_PER_SIGMA) ** 2, (minor / FWHM_PER_SIGMA) ** 2
    covariance = widths[0] * np.outer(axis, axis) + widths[1] * np.outer(other, other)
    nodes, weights = np.polynomial.legendre.leggauss(fine)
    y, x = (
        (sky.edges(n)[:-1, None] + 0.5 * sky.pixel_arcsec * (nodes + 1.0)).ravel()
        for n in (sky.ny, sky.nx)
    )
    values = multivariate_normal([place[1], place[0]], covariance).pdf(
        np.stack(np.meshgrid(x, y), axis=-1)
    )
    values = values.reshape(sky.ny, fine, sky.nx, fine)
    area = (0.5 * sky.pixel_arcsec) ** 2
    return np.einsum("yixj,i,j->yx", values, weights, weights) * area


@pytest.mark.parametrize("pa", [0.0, 28.22, 45.0, -70.0, 90.0])
@pytest.mark.parametrize(("minor", "error"), [(0.15, 1e-5), (0.12, 6e-4)])
def test_an_ellipse_across_the_pixels(double, pa, minor, error):
    psf = Gaussian(0.2, minor, pa)
    made, slow = image_of(psf), slow_ellipse(0.2, minor, pa)
    assert np.abs(made - slow).max() < error * slow.max()
    assert made.min() >= 0.0
    assert made.sum() == pytest.approx(1.0, rel=1e-9)


def test_more_nodes_are_more_exact(double):
    slow = slow_ellipse(0.2, 0.1, 45.0)
    errors = [np.abs(image_of(Gaussian(0.2, 0.1, 45.0, n)) - slow).max() for n in (3, 7, 15)]
    assert errors[1] < 0.2 * errors[0]
    assert errors[2] < 0.2 * errors[1]


@pytest.mark.parametrize("pa", [0.0, 1e-3, 30.0, -45.0])
def test_second_moments_are_exact(double, pa):
    """Those of the sum of products, from its parts: no pixel has a say."""
    (sigma_y, step_y), (sigma_x, step_x) = Gaussian(0.2, 0.13, pa)._parts()
    sin, cos = np.sin(np.deg2rad(pa)), np.cos(np.deg2rad(pa))
    a, b = (0.2 / FWHM_PER_SIGMA) ** 2, (0.13 / FWHM_PER_SIGMA) ** 2
    found = sigma_x**2 + step_x**2, sigma_y**2 + step_y**2, step_x * step_y
    expected = a * sin**2 + b * cos**2, a * cos**2 + b * sin**2, -(a - b) * sin * cos
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("pa", [0.0, 28.0, 90.0])
def test_gradients_are_those_of_central_differences(double, pa):
    """At 0 and 90 degrees too, where the ellipse begins to lean."""
    weights = np.random.default_rng(4).normal(size=(SKY.ny, SKY.nx))

    @jax.jit
    def value(vector):
        psf = Gaussian(vector[0], vector[1], vector[2])
        rows, columns = matrices(psf, SKY, vector[3:4], vector[4:5])
        return jnp.vdot(jnp.einsum("kyn,kxn->yx", rows, columns), weights)

    start = jnp.array([0.18, 0.13, pa, *PLACE])
    found = jax.grad(value)(start)
    for number in range(5):
        step = 1e-2 if number == 2 else 1e-5
        above, below = (value(start.at[number].add(sign * step)) for sign in (1.0, -1.0))
        slope = float((above - below) / (2 * step))
        assert float(found[number]) == pytest.approx(slope, rel=2e-4, abs=1e-8), number


def test_both_precisions_agree(precision):
    psf = Gaussian(jnp.asarray(0.2, jnp.float32), jnp.asarray(0.15, jnp.float32), 28.0)
    slow = slow_ellipse(0.2, 0.15, 28.0)
    assert np.abs(image_of(psf) - slow).max() < 3e-5 * slow.max()


def test_a_picture_of_a_gaussian_is_a_gaussian(double):
    """Two terms suffice for a circle; pixels of 5 mas are even enough for 1e-3 of the peak."""
    fine = SkyGrid(161, 161, 0.005)
    picture = slow_ellipse(0.2, 0.2, 0.0, place=(0.0, 0.0), sky=fine, fine=1)
    psf = from_image(picture / picture.sum(), 0.005)
    assert len(psf.rows) == 1
    slow = slow_ellipse(0.2, 0.2, 0.0)
    assert np.abs(image_of(psf) - slow).max() < 1e-3 * slow.max()


def test_any_picture_is_put_where_its_pixels_lie(precision):
    """Against the overlap of every pixel of the picture with every spaxel, at full rank."""
    rng = np.random.default_rng(8)
    picture = rng.random((7, 6)) ** 4
    picture /= picture.sum()
    side = 0.043
    psf = from_image(picture, side, tolerance=1e-12)
    expected = np.zeros((SKY.ny, SKY.nx))
    for (row, column), share in np.ndenumerate(picture):
        parts = []
        for number, count, place, edges in (
            (row, 7, PLACE[0], SKY.edges(SKY.ny)), (column, 6, PLACE[1], SKY.edges(SKY.nx)),
        ):  # fmt: skip
            low = place + (number - count / 2) * side
            overlap = np.minimum(edges[1:], low + side) - np.maximum(edges[:-1], low)
            parts.append(np.maximum(overlap, 0.0) / side)
        expected += share * np.outer(*parts)
    np.testing.assert_allclose(image_of(psf), expected, atol=5e-6 * expected.max())


def test_fewer_terms_are_within_the_tolerance(double):
    fine = SkyGrid(61, 61, 0.02)
    picture = slow_ellipse(0.2, 0.13, 40.0, place=(0.0, 0.0), sky=fine, fine=3)
    picture += 0.1 * slow_ellipse(0.3, 0.2, -20.0, place=(0.1, 0.05), sky=fine, fine=3)
    picture /= picture.sum()
    whole, some = (from_image(picture, 0.02, tolerance=limit) for limit in (1e-12, 1e-3))
    assert len(some.rows) < len(whole.rows)
    one, other = image_of(whole), image_of(some)
    assert np.abs(one - other).max() < 2e-3 * one.max()
    assert other.sum() == pytest.approx(1.0, abs=1e-4)


def test_ghosts_are_shifted_shares_taken_away(double):
    """W(x) - [W(x + d) + W(x - d)] / 2, for a shift of whole pixels."""
    psf = Gaussian(0.2, 0.15, 28.0)
    # 5 pixels at an angle with cosine 0.8 and sine 0.6.
    pa = float(np.rad2deg(np.arctan2(0.6, 0.8)))
    made = image_of(Ghosts.of_pointings(psf, 0.5, pa))
    wide = SkyGrid(SKY.ny + 8, SKY.nx + 6, 0.1)
    alone = image_of(psf, sky=wide)
    here, up, down = (
        alone[4 - dy : 4 - dy + SKY.ny, 3 - dx : 3 - dx + SKY.nx]
        for dy, dx in ((0, 0), (4, -3), (-4, 3))
    )
    np.testing.assert_allclose(made, here - 0.5 * (up + down), atol=1e-12)
    none = image_of(Ghosts.of_pointings(psf, 0.5, pa, 0.0))
    np.testing.assert_allclose(none, here, atol=1e-15)


def test_a_fine_grid_is_a_sum_of_points(double):
    grid = SkyGrid(9, 8, 0.1, 2, 3)
    psf = Gaussian(0.2, 0.15, 28.0)
    light = np.random.default_rng(3).random((2, grid.fine(9).size, grid.fine(8).size))
    made = np.asarray(spread(jnp.asarray(light), grid, psf))
    slow = np.zeros((2, 9, 8))
    for i, y in enumerate(grid.fine(9)):
        for j, x in enumerate(grid.fine(8)):
            slow += light[:, i, j, None, None] * image_of(psf, (y, x), grid)
    np.testing.assert_allclose(made, slow, rtol=1e-10)


@pytest.mark.parametrize(
    "change",
    [
        {"fwhm_arcsec": 0.0},
        {"fwhm_arcsec": np.nan},
        {"fwhm_minor_arcsec": 0.3},
        {"fwhm_minor_arcsec": -0.1},
        {"pa_deg": np.inf},
        {"nodes": 1},
    ],
)
def test_an_impossible_ellipse_is_refused(change):
    good = Gaussian(0.2, 0.15, 28.0)
    require_valid(good)
    require_valid(Gaussian.round(0.2))
    with pytest.raises(ArdError, match="point-spread function"):
        require_valid(replace(good, **change))


def test_an_impossible_picture_is_refused():
    even = np.full((5, 5), 1.0 / 25.0)
    from_image(even, 0.02)
    with pytest.raises(ArdError, match="does not sum to one") as error:
        from_image(0.98 * even, 0.02)
    assert "0.98" in (error.value.found or "")
    with pytest.raises(ArdError, match="does not sum to one"):
        from_image(even, 0.0)
    negative = even.copy()
    negative[0, 0] = -0.01
    for bad in (negative, np.where(even > 0, np.nan, 0.0), even[0], np.zeros((0, 3))):
        with pytest.raises(ArdError, match="no point-spread function"):
            from_image(bad, 0.02)


def test_a_margin_that_is_too_narrow_is_refused():
    psf = Gaussian.round(0.2)
    require_margin(SkyGrid(9, 9, 0.1, 2, 3), psf)
    with pytest.raises(ArdError, match="cannot hold the source") as error:
        require_margin(SkyGrid(9, 9, 0.1, 2, 2), psf)
    assert "3 spaxels" in (error.value.expected or "")
    with pytest.raises(ArdError, match="cannot hold the source"):
        require_margin(SkyGrid(9, 9, 0.1, 2, 3), Ghosts.of_pointings(psf, 1.063, 236.3))
    require_margin(SkyGrid(9, 9, 0.1, 2, 12), Ghosts.of_pointings(psf, 1.063, 236.3))


def test_a_picture_reaches_as_far_as_its_light():
    """A wide picture whose outer pixels are dark needs no wide margin."""
    picture = np.zeros((101, 101))
    picture[48:53, 48:53] = 1.0 / 25.0
    assert from_image(picture, 0.02).reach_arcsec() == pytest.approx(0.05)
    assert psfs.from_image(np.full((5, 5), 0.04), 0.02).reach_arcsec() == pytest.approx(0.05)
