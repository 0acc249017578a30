"""Does the goodness tell a right model from a wrong one?

Oracles: noise of known correlation, and dense matrices.
"""

import noises as cases
import numpy as np
import pytest

from ard.likelihood import Noise, evaluate
from ard.likelihood.factors import inverse_cholesky
from pipeline.reduce.noise import goodness, kernel
from pipeline.reduce.noise.apertures import measure_apertures
from pipeline.reduce.noise.residuals import refit

RHOS = (0.2, 0.5, 0.4)
SHAPE = (160, 20, 18)


def form_of(rhos) -> kernel.Kronecker:
    return kernel.Kronecker(*(rho ** np.arange(8) for rho in rhos))


def test_a_sample_has_the_covariance_of_its_density():
    form = form_of(RHOS)
    drawn = goodness.sample(form.density, (400, 40, 36), np.random.default_rng(1))
    assert drawn.std() == pytest.approx(1.0, abs=0.01)
    for axis, rho in enumerate(RHOS):
        moved = np.moveaxis(drawn, axis, 0)
        assert np.mean(moved[1:] * moved[:-1]) == pytest.approx(rho, abs=0.01)
        # The grid is periodic, its ends do not meet.
        assert abs(np.mean(moved[0] * moved[-1])) < 0.1


def white(values, rhos, *, scale=1.0, holes=0.1):
    rng = np.random.default_rng(3)
    values = np.where(rng.random(SHAPE) < holes, np.nan, values)
    found = cases.residuals_of(values)
    found = cases.residuals_of(refit(found, values))
    factors = tuple(inverse_cholesky(cases.ar1(r, n)) for r, n in zip(rhos, SHAPE, strict=True))
    noise = Noise(np.ones(SHAPE), ~found.used, factors, masks="approximate")
    drawn = goodness.sample(form_of(rhos).density, SHAPE, rng)
    return goodness.whiteness(found, np.full(SHAPE[0], scale), noise, drawn)


def test_the_right_model_whitens_in_spite_of_masks_and_continuum():
    found = white(cases.draw(SHAPE, RHOS, 2), RHOS)
    assert found.variance == pytest.approx(1.0, abs=4 * found.variance_error)
    largest, sigmas, _ = found.worst
    assert sigmas < 4.0
    assert largest < 0.05
    assert found.counts.sum() == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(found.counts, found.expected, atol=0.005)


def test_chi2_per_voxel_is_that_of_the_likelihood_and_of_no_simulation():
    """Oracle: `ard.likelihood.evaluate`. Approximate masks raise it, though the model is right."""
    values, ones = cases.draw(SHAPE, RHOS, 2), np.ones(SHAPE)
    factors = tuple(inverse_cholesky(cases.ar1(r, n)) for r, n in zip(RHOS, SHAPE, strict=True))
    for share, low, high in ((0.0, 0.97, 1.03), (0.1, 1.1, 1.3)):
        mask = np.random.default_rng(3).random(SHAPE) < share
        noise = Noise(ones, mask, factors, masks="approximate")
        found = goodness.chi2_per_voxel(noise, values)
        told = evaluate(np.where(mask, 0.0, values), np.zeros(SHAPE), noise)
        assert found == pytest.approx(float(told.chi2) / (~mask).sum(), rel=1e-12)
        assert low < found < high
    white_ones = white(values, RHOS)
    assert white_ones.chi2 > 1.03
    assert white_ones.variance == pytest.approx(1.0, abs=4 * white_ones.variance_error)


def test_a_wrong_scale_shows_in_the_variance():
    found = white(cases.draw(SHAPE, RHOS, 2), RHOS, scale=0.9)
    assert found.variance == pytest.approx(1 / 0.81, rel=0.04)


def test_a_correlation_that_was_overlooked_is_left():
    found = white(cases.draw(SHAPE, RHOS, 2), (0.2, 0.5, 0.0))
    largest, sigmas, lag = found.worst
    assert largest > 0.3
    assert sigmas > 10
    assert abs(lag[2]) == 1


def test_heavy_tails_show_in_the_histogram():
    rng = np.random.default_rng(5)
    values = cases.draw(SHAPE, RHOS, 2) * np.where(rng.random(SHAPE) < 0.05, 3.0, 0.84)
    found = white(values, RHOS)
    assert found.beyond[1] > 5 * found.beyond_expected[1]


def tiles(values: np.ndarray, side: int):
    _, ny, nx = values.shape
    y0, x0 = (ny % side) // 2, (nx % side) // 2
    for k in range(values.shape[0]):
        for y in range(y0, ny - side + 1, side):
            for x in range(x0, nx - side + 1, side):
                yield values[k, y : y + side, x : x + side].ravel()


def test_apertures_are_held_against_the_dense_prediction():
    """Oracle: s' R s of the voxels that are used, aperture by aperture."""
    rng = np.random.default_rng(6)
    shape = (10, 9, 8)
    residual = rng.standard_normal(shape)
    residual[rng.random(shape) < 0.1] = np.nan
    sigma = np.exp(0.3 * rng.standard_normal(shape))
    lags = kernel.covariance_of(form_of(RHOS).density((32, 32, 32)))[0]
    (found,) = measure_apertures(residual, sigma, (lags,), (1, 2, 3, 20))
    assert [a.side for a in found] == [1, 2, 3]
    for aperture in found:
        n = aperture.side
        matrix = np.kron(cases.ar1(RHOS[1], n), cases.ar1(RHOS[2], n))
        squares, beyond = [], []
        for r, s in zip(tiles(residual, n), tiles(sigma, n), strict=True):
            used = np.isfinite(r)
            if used.mean() >= 0.75:
                weight = np.where(used, s, 0.0)
                total = np.sum(r[used])
                squares.append(total**2 / (weight @ matrix @ weight))
                beyond.append(total**2 / np.sum(weight**2))
        assert aperture.count == len(squares)
        assert aperture.ratio == pytest.approx(np.mean(squares), rel=1e-6)
        assert aperture.beyond_err == pytest.approx(np.sqrt(np.mean(beyond)), rel=1e-10)


def test_apertures_of_correlated_noise_have_the_predicted_variance():
    values = cases.draw((300, 28, 28), RHOS, 7)
    right, wrong = (
        kernel.covariance_of(form_of(r).density((32, 64, 64)))[0] for r in (RHOS, (0.2, 0.0, 0.0))
    )
    good, bad = measure_apertures(values, np.ones(values.shape), (right, wrong), range(1, 8))
    for aperture in good:
        assert aperture.ratio == pytest.approx(1.0, abs=5 * aperture.error)
    assert bad[0].ratio == pytest.approx(1.0, abs=0.05)
    assert bad[2].ratio > 2.5
    # What independent errors leave unsaid is the factor beyond ERR.
    assert bad[2].beyond_err == pytest.approx(np.sqrt(bad[2].ratio), rel=0.01)


def test_correlated_channels_make_the_error_larger():
    values = cases.draw((50, 12, 12), RHOS, 8)
    lags = kernel.covariance_of(form_of(RHOS).density((32, 32, 32)))[0]
    ones = np.ones(values.shape)
    (one,), (other,) = (
        measure_apertures(values, ones, (lags,), (2,), per_channel=p) for p in (1.0, 4.0)
    )
    assert other[0].error == pytest.approx(2 * one[0].error)
