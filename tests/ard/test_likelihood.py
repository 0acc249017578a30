"""Is the likelihood that of the normal distribution that it stands for?

Oracle: scipy's multivariate normal with the dense covariance of a cube of 60 voxels; jax.numpy for
the same functions; a slow filter in a loop.
"""

import itertools

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from ard import likelihood
from ard.errors import ArdError, FormatError
from ard.likelihood import LinearPrior, Noise

SHAPE = (4, 3, 5)
SIZE = 60


def correlation(n: int, rho: float):
    return rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def kronecker(rng):
    matrices = [correlation(n, rho) for n, rho in zip(SHAPE, (0.2, 0.5, 0.4), strict=True)]
    sigma = rng.uniform(0.5, 2.0, SHAPE)
    factors = tuple(map(likelihood.inverse_cholesky, matrices))
    dense = np.kron(np.kron(*matrices[:2]), matrices[2])
    dense = sigma.ravel()[:, None] * dense * sigma.ravel()
    return Noise(sigma, np.zeros(SHAPE, bool), factors), dense


def filtered(rng):
    taps = np.zeros((2, 2, 3))
    taps[0, 0] = [1.3, -0.4, 0.1]
    taps[0, 1] = [-0.3, 0.05, 0.0]
    taps[1, 0, 0] = -0.2
    sigma = rng.uniform(0.5, 2.0, SHAPE)
    whitener = np.zeros((SIZE, SIZE))
    places = list(itertools.product(*map(range, SHAPE)))
    for row, here in enumerate(places):
        for column, there in enumerate(places):
            lag = tuple(np.subtract(here, there))
            if all(0 <= n < m for n, m in zip(lag, taps.shape, strict=True)):
                whitener[row, column] = taps[lag]
    whitener = whitener / sigma.ravel()
    dense = np.linalg.inv(whitener.T @ whitener)
    return Noise(sigma, np.zeros(SHAPE, bool), taps=taps), dense


def independent(rng):
    sigma = rng.uniform(0.5, 2.0, SHAPE)
    return Noise(sigma, np.zeros(SHAPE, bool)), np.diag(sigma.ravel() ** 2)


NOISES = {"independent": independent, "kronecker": kronecker, "filter": filtered}


@pytest.fixture(params=NOISES)
def noise(request, rng):
    return NOISES[request.param](rng)


def test_every_noise_is_its_dense_matrix(noise, rng):
    noise, dense = noise
    data, model = rng.normal(size=(2, *SHAPE))
    found = likelihood.log_likelihood(data, model, noise)
    expected = multivariate_normal(model.ravel(), dense).logpdf(data.ravel())
    assert found.log_likelihood == pytest.approx(expected, rel=1e-10)
    assert noise.logdet == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-10)
    assert not noise.approximate
    difference = (data - model).ravel()
    assert found.chi2 == pytest.approx(difference @ np.linalg.solve(dense, difference), rel=1e-10)


def test_amplitudes_are_integrated_out(noise, rng):
    """ln N(d; T m, C + T S T'): the sum over all amplitudes, in closed form."""
    noise, dense = noise
    templates = rng.normal(size=(3, *SHAPE))
    prior = LinearPrior(np.array([1.0, -2.0, 0.3]), np.array([0.5, 30.0, 4.0]))
    data, offset = rng.normal(size=(2, *SHAPE))
    found = likelihood.marginal_likelihood(data, templates, noise, prior, offset=offset)
    flat = templates.reshape(3, -1)
    mean = offset.ravel() + prior.mean @ flat
    joint = dense + flat.T @ np.diag(prior.sigma**2) @ flat
    expected = multivariate_normal(mean, joint).logpdf(data.ravel())
    assert found.log_likelihood == pytest.approx(expected, rel=1e-9)
    precision = flat @ np.linalg.solve(dense, flat.T) + np.diag(prior.sigma**-2)
    right = flat @ np.linalg.solve(dense, (data - offset).ravel()) + prior.mean / prior.sigma**2
    np.testing.assert_allclose(found.amplitudes, np.linalg.solve(precision, right), rtol=1e-8)
    spread = np.sqrt(np.diag(np.linalg.inv(precision)))
    np.testing.assert_allclose(found.amplitude_sigma, spread, rtol=1e-8)
    best = likelihood.log_likelihood(
        data, offset + np.tensordot(found.amplitudes, templates, axes=1), noise
    )
    assert found.chi2 == pytest.approx(best.chi2, rel=1e-9)


def test_jax_gives_the_same(noise, rng):
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    noise, _ = noise
    templates, prior = rng.normal(size=(2, *SHAPE)), LinearPrior(np.zeros(2), np.array([3.0, 9.0]))
    data = rng.normal(size=SHAPE)
    ours = likelihood.marginal_likelihood(data, templates, noise, prior)
    with x64(True):
        function = jax.jit(
            lambda cubes: likelihood.marginal_likelihood(data, cubes, noise, prior).log_likelihood
        )
        theirs = float(function(jax.numpy.asarray(templates)))
        slope = jax.grad(function)(jax.numpy.asarray(templates))
    assert theirs == pytest.approx(float(ours.log_likelihood), rel=1e-9)
    step = np.zeros_like(templates)
    step[1, 2, 1, 3] = 1e-5
    above, below = (
        likelihood.marginal_likelihood(data, templates + sign * step, noise, prior).log_likelihood
        for sign in (1.0, -1.0)
    )
    assert float(slope[1, 2, 1, 3]) == pytest.approx((above - below) / 2e-5, rel=1e-5)


def test_masked_voxels_have_no_part(rng):
    """Exact where voxels are independent, whatever stands in them."""
    mask = rng.random(SHAPE) < 0.3
    sigma = np.where(mask, np.nan, rng.uniform(0.5, 2.0, SHAPE))
    data = np.where(mask, np.nan, rng.normal(size=SHAPE))
    model = rng.normal(size=SHAPE)
    found = likelihood.log_likelihood(data, model, Noise(sigma, mask))
    good = ~mask
    expected = multivariate_normal(model[good], np.diag(sigma[good] ** 2)).logpdf(data[good])
    assert found.log_likelihood == pytest.approx(expected, rel=1e-10)
    assert np.all(found.whitened[mask] == 0.0)


def test_masks_among_correlated_voxels_are_said_to_be_approximate(rng):
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, 0] = True
    whole, _ = kronecker(rng)
    noise = Noise(whole.sigma, mask, whole.factors, masks="approximate")
    assert noise.approximate
    data = np.where(mask, np.nan, 0.0)
    found = likelihood.log_likelihood(data, np.zeros(SHAPE), noise)
    assert np.isfinite(found.log_likelihood)
    assert found.approximate


def test_whitened_noise_is_white(rng):
    """Drawn from the dense covariance; 3 of 1000 such tests would fail with another seed."""
    noise, dense = kronecker(rng)
    draws = rng.multivariate_normal(np.zeros(SIZE), dense, size=4000).reshape(-1, *SHAPE)
    white = np.asarray(noise.whiten(draws)).reshape(4000, -1)
    covariance = white.T @ white / 4000
    assert np.abs(np.diag(covariance) - 1.0).max() < 5.0 * np.sqrt(2.0 / 4000)
    off = covariance[~np.eye(SIZE, dtype=bool)]
    assert np.abs(off).max() < 5.0 / np.sqrt(4000)


def test_a_model_is_a_cube_or_a_function(noise, rng):
    noise, _ = noise
    data, cube = rng.normal(size=(2, *SHAPE))
    expected = likelihood.log_likelihood(data, 2.0 * cube, noise)
    for found in (
        likelihood.evaluate(data, 2.0 * cube, noise),
        likelihood.evaluate(data, lambda level: level * cube, noise, 2.0),
    ):
        assert found.log_likelihood == expected.log_likelihood
        assert found.chi2 == expected.chi2
        np.testing.assert_array_equal(found.whitened, expected.whitened)
    prior = LinearPrior(np.zeros(1), np.ones(1))
    expected = likelihood.marginal_likelihood(data, 3.0 * cube[None], noise, prior)
    found = likelihood.evaluate(data, lambda t: t * cube[None], noise, 3.0, prior=prior)
    assert found.log_likelihood == expected.log_likelihood
    with pytest.raises(FormatError, match="takes no parameters"):
        likelihood.evaluate(data, cube, noise, 2.0)


@pytest.mark.parametrize("quality", [1.0, 1.2], ids=["good", "bad"])
def test_single_precision_is_safe(rng, quality):
    """A window of a real cube, 228 536 voxels; oracle: the same in float64.

    `log_ratio` has to be right to 0.01. `log_likelihood` itself, a number of 4e5 here, is kept to
    a multiple of 1/32 in single precision, so that 1/64 more is lost however well it is summed.
    One error and one factor for all voxels is the worst case: all are rounded the same way.
    """
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    shape = (88, 53, 49)
    factors = tuple(
        likelihood.inverse_cholesky(correlation(n, rho))
        for n, rho in zip(shape, (0.2, 0.5, 0.4), strict=True)
    )
    noise = Noise(np.full(shape, 0.05), np.zeros(shape, bool), factors)
    white = rng.normal(size=shape)
    for axis, factor in enumerate(factors):
        white = np.moveaxis(np.tensordot(np.linalg.inv(factor), white, ([1], [axis])), 0, axis)
    line = np.exp(-0.5 * ((np.arange(88) - 40.0) / 3.0) ** 2)[:, None, None] * np.ones(shape)
    templates = np.stack([line, np.ones(shape)])
    data = 0.05 * quality * white + 2.0 * line + 1.0
    prior = LinearPrior(np.zeros(2), np.full(2, 10.0), np.ones(2, bool), ((0, 1),))
    model = 2.0 * line + 1.0
    ours = likelihood.log_likelihood(data, model, noise)
    marginal = likelihood.marginal_likelihood(data, templates, noise, prior)
    with x64(False):

        def numbers(found):
            return found.log_ratio, found.log_likelihood

        plain = jax.jit(lambda cube: numbers(likelihood.log_likelihood(data, cube, noise)))
        summed = jax.jit(
            lambda cubes: numbers(likelihood.marginal_likelihood(data, cubes, noise, prior))
        )
        single = plain(jax.numpy.asarray(model)), summed(jax.numpy.asarray(templates))
    for (ratio, value), reference in zip(single, (ours, marginal), strict=True):
        assert ratio.dtype == np.float32
        assert abs(float(ratio) - float(reference.log_ratio)) < 0.01
        assert abs(float(reference.log_likelihood)) > 2.0**17
        assert abs(float(value) - float(reference.log_likelihood)) < 0.01 + 1.0 / 64.0


@pytest.mark.parametrize("sigma", [[0.0], [np.inf], [np.nan], [-1.0], [1.0, 2.0]])
def test_an_improper_prior_is_refused(sigma):
    with pytest.raises(ArdError, match="improper"):
        LinearPrior(np.zeros(1), np.array(sigma))


def test_what_does_not_fit_is_refused(rng):
    noise, _ = independent(rng)
    with pytest.raises(FormatError, match="not on the voxels"):
        likelihood.log_likelihood(np.zeros(SHAPE), np.zeros((4, 3, 4)), noise)
    with pytest.raises(FormatError, match="prior does not fit"):
        likelihood.marginal_likelihood(
            np.zeros(SHAPE), np.zeros((2, *SHAPE)), noise, LinearPrior(np.zeros(1), np.ones(1))
        )
    with pytest.raises(FormatError, match="not that of a cube"):
        Noise(np.ones((2, 3)), np.zeros((2, 3), bool))
    with pytest.raises(FormatError, match="does not fit its axis"):
        Noise(np.ones(SHAPE), np.zeros(SHAPE, bool), (np.eye(3), None, None))
    with pytest.raises(FormatError, match="two correlations"):
        Noise(np.ones(SHAPE), np.zeros(SHAPE, bool), (None, None, None), np.ones((1, 1, 1)))
    with pytest.raises(ArdError, match="a correlation is not one"):
        likelihood.inverse_cholesky([[1.0, 2.0], [2.0, 1.0]])
