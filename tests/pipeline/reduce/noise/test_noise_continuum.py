"""The continuum: what it takes off, and what that does to the noise.

Oracles: `numpy.linalg.lstsq` spaxel by spaxel, and the covariance (1 - Q) C (1 - Q) with dense
matrices.
"""

import numpy as np
import pytest
from scipy.linalg import toeplitz

from pipeline.reduce.noise import continuum
from pipeline.reduce.noise.correlation import Covariance, undo_continuum

INDEX = np.r_[0:30, 42:75, 80:100]  # with two windows of lines


def some(seed: int = 1, n_spaxels: int = 5):
    rng = np.random.default_rng(seed)
    basis = continuum.splines(INDEX, 20.0)
    err = np.exp(0.3 * rng.standard_normal((INDEX.size, n_spaxels)))
    weight = (rng.random(err.shape) < 0.9).astype(float)
    return rng, basis, err, weight


def test_the_fit_is_weighted_least_squares():
    rng, basis, err, weight = some()
    flux = rng.standard_normal(err.shape)
    found = continuum.fit(basis, np.where(weight, flux / err, 0.0), weight, err) * err
    matrix = basis.values.toarray()
    for k in range(err.shape[1]):
        used = weight[:, k] > 0
        rows = matrix[used] / err[used, k][:, None]
        best = np.linalg.lstsq(rows, flux[used, k] / err[used, k], rcond=None)[0]
        np.testing.assert_allclose(found[:, k], matrix @ best, atol=1e-6)


def test_a_smooth_continuum_is_removed_exactly():
    _, basis, err, weight = some()
    x = INDEX / 100.0
    flux = (1 + x - 2 * x**2 + 3 * x**3)[:, None] * np.arange(1.0, 6.0)
    found = continuum.fit(basis, np.where(weight, flux / err, 0.0), weight, err) * err
    np.testing.assert_allclose(found, flux, atol=1e-5)


def test_a_knot_without_data_does_not_spoil_the_rest():
    _, basis, err, weight = some()
    weight[25:50, 2] = 0.0
    flux = np.ones(err.shape)
    left = flux - continuum.fit(basis, np.where(weight, flux / err, 0.0), weight, err) * err
    assert np.abs(left[weight > 0]).max() < 1e-4


def test_knots_are_counted_in_free_channels():
    assert continuum.splines(np.arange(100), 25.0).count == 7
    gap = np.r_[0:50, 500:550]
    assert continuum.splines(gap, 25.0).count == 7
    assert continuum.splines(np.arange(12), 25.0).count == 4


@pytest.mark.parametrize("sequence", [(1.0,), (1.0, 0.2), (1.0, 0.5, 0.3)])
def test_the_response_is_that_of_dense_matrices(sequence):
    _, basis, err, weight = some()
    lags = 3
    c = np.pad(np.array(sequence), (0, lags + 1 - len(sequence)))
    both = np.concatenate([c[:0:-1], c])
    used = [weight[:, k] > 0 for k in range(5)]
    bases = [continuum.projector(basis, good, err[:, k]) for k, good in enumerate(used)]
    matrix, diagonal = continuum.response(bases, INDEX, used, lags)

    far = np.abs(np.subtract.outer(INDEX, INDEX))
    correlation = np.where(far <= lags, np.pad(c, (0, 100))[far], 0.0)
    total, pairs = np.zeros(2 * lags + 1), np.zeros(2 * lags + 1)
    own, seen = np.zeros(INDEX.size), np.zeros(INDEX.size)
    for k, good in enumerate(used):
        scaled = basis.values.toarray()[good] / err[good, k][:, None]
        q = np.zeros((INDEX.size, INDEX.size))
        q[np.ix_(good, good)] = scaled @ np.linalg.pinv(scaled)
        left = np.diag(good.astype(float)) - q
        covariance = left @ correlation @ left.T
        own += np.diag(covariance)
        seen += good
        for lag in range(-lags, lags + 1):
            apart = np.subtract.outer(INDEX, INDEX).T
            there = np.equal(apart, lag) & np.outer(good, good)
            total[lag + lags] += covariance[there].sum()
            pairs[lag + lags] += there.sum()
    np.testing.assert_allclose(matrix @ both, total / pairs, atol=1e-10)
    np.testing.assert_allclose(diagonal @ both, own / seen, atol=1e-10)


def test_the_correction_gives_the_covariance_back():
    """Oracle: the covariance function that the forward matrix was applied to."""
    lags = 2
    matrix = toeplitz([0.9, -0.05, -0.04, -0.03, -0.02])
    true = np.zeros((5, 3, 3))
    true[:, 1, 1], true[2, 0, 1] = [0.0, 0.2, 1.0, 0.2, 0.0], 0.4
    observed = np.tensordot(matrix, true, axes=([1], [0]))
    top = observed[2, 1, 1]
    found = Covariance(observed / top, np.full(true.shape, 0.01), 3.0 * top, np.ones(true.shape))
    back = undo_continuum(found, matrix)
    np.testing.assert_allclose(back.value, true, atol=1e-12)
    assert back.variance == pytest.approx(3.0)
    assert back.lags == (lags, 1, 1)


def test_the_correction_takes_errors_through_the_inverse():
    """Oracle: 4000 draws of the observed function, corrected one by one."""
    rng, matrix = np.random.default_rng(8), toeplitz([0.8, -0.3, -0.1, 0.0, 0.0])
    value, error = np.zeros((5, 3, 3)), rng.uniform(0.005, 0.03, (5, 3, 3))
    value[:, 1, 1], value[2, 0, 1], error[2, 1, 1] = [0.0, 0.1, 1.0, 0.1, 0.0], 0.4, 0.0
    ones = np.ones(value.shape)
    stated = undo_continuum(Covariance(value, error, 1.0, ones), matrix).error
    drawn = [
        undo_continuum(
            Covariance(value + error * rng.standard_normal(value.shape), error, 1.0, ones), matrix
        ).value
        for _ in range(4000)
    ]
    spread = np.std(drawn, axis=0)
    assert stated[2, 1, 1] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(stated, spread, rtol=0.06, atol=1e-9)
