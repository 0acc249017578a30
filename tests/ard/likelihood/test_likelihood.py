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
    with pytest.raises(FormatError, match="offset belongs to templates"):
        likelihood.evaluate(data, cube, noise, offset=cube)


def test_noises_are_compared_by_one_reference(rng):
    """Correlations and errors of different size: only `log_likelihood`, or one reference, do."""
    data, model = rng.normal(size=(2, *SHAPE))
    templates, prior = model[None], LinearPrior(np.zeros(1), np.ones(1))
    first, ratios, marginal, expected = None, [], [], []
    for rho, error in itertools.product((0.0, 0.4, 0.8), (0.5, 1.0)):
        matrices = [correlation(n, rho) for n in SHAPE]
        dense = error**2 * np.kron(np.kron(*matrices[:2]), matrices[2])
        noise = likelihood.exact_noise(
            np.full(SHAPE, error), np.zeros(SHAPE, bool), correlations=matrices
        )
        first = first or noise
        for offset in (None, 0.0 * data):
            found = likelihood.evaluate(
                data,
                model if offset is None else templates,
                noise,
                prior=None if offset is None else prior,
                offset=offset,
                reference=first.reference,
            )
            assert found.reference == first.reference
            assert found.log_likelihood == pytest.approx(
                found.log_ratio + first.reference, rel=1e-12
            )
            (ratios if offset is None else marginal).append(found.log_ratio)
        joint = dense + np.outer(model, model)
        expected.append(
            (
                multivariate_normal(model.ravel(), dense).logpdf(data.ravel()),
                multivariate_normal(np.zeros(SIZE), joint).logpdf(data.ravel()),
            )
        )
    found = np.transpose([ratios, marginal])
    np.testing.assert_allclose(found - found[0], np.subtract(expected, expected[0]), atol=1e-9)
    own = likelihood.log_likelihood(data, model, noise)
    assert own.reference == noise.reference
    assert own.log_ratio + own.reference == pytest.approx(expected[-1][0], rel=1e-12)


def test_what_stands_in_masked_voxels_has_no_part_in_derivatives(rng):
    """d ln L / d s = (chi2 - n) / s: NaN of model and templates must not reach it."""
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    mask = rng.random(SHAPE) < 0.3
    noise = Noise(rng.uniform(0.5, 2.0, SHAPE), mask)
    data, model = rng.normal(size=(2, *SHAPE))
    broken = np.where(mask, np.nan, model)
    chi2 = likelihood.log_likelihood(data, model, noise.scaled(1.2)).chi2
    with x64(True):
        slope = jax.grad(
            lambda s: likelihood.log_likelihood(data, broken, noise.scaled(s)).log_likelihood
        )(1.2)
        white = jax.grad(lambda s: jax.numpy.sum(noise.scaled(s).whiten(data - broken) ** 2))(1.2)
    assert float(slope) == pytest.approx((chi2 - noise.count) / 1.2, rel=1e-10)
    assert float(white) == pytest.approx(-2.0 * chi2 / 1.2, rel=1e-10)
    prior = LinearPrior(np.zeros(1), np.ones(1))
    whole, holed = (
        likelihood.marginal_likelihood(data, cube[None], noise, prior) for cube in (model, broken)
    )
    assert holed.log_likelihood == whole.log_likelihood


def test_files_are_big_endian_and_jax_is_not(rng):
    jax = pytest.importorskip("jax")
    data, sigma = rng.normal(size=SHAPE), rng.uniform(0.5, 2.0, SHAPE)
    foreign = likelihood.log_likelihood(
        data.astype(">f4"),
        jax.numpy.zeros(SHAPE),
        Noise(sigma.astype(">f4"), np.zeros(SHAPE, bool)),
    )
    native = likelihood.log_likelihood(data, 0.0 * data, Noise(sigma, np.zeros(SHAPE, bool)))
    assert float(foreign.log_ratio) == pytest.approx(native.log_ratio, rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_that_are_none_have_to_be_masked(bad, rng):
    noise, _ = independent(rng)
    data = rng.normal(size=SHAPE)
    data[1, 2, 3] = bad
    with pytest.raises(FormatError, match=r"(?s)data that are used.*1 voxels.*mask_more"):
        likelihood.log_likelihood(data, np.zeros(SHAPE), noise)
    masked = likelihood.mask_more(noise, ~np.isfinite(data))
    assert np.isfinite(likelihood.log_likelihood(data, np.zeros(SHAPE), masked).chi2)


@pytest.mark.parametrize("cut", [np.s_[:1], np.s_[0], np.s_[0, 0], np.s_[0, 0, 0], np.s_[None]])
def test_nothing_is_broadcast(cut, rng):
    """One spectrum for all spaxels, say, would be another likelihood."""
    noise, _ = independent(rng)
    cube, prior = rng.normal(size=SHAPE), LinearPrior(np.zeros(1), np.ones(1))
    with pytest.raises(FormatError, match="voxels of the data are not"):
        likelihood.log_likelihood(cube[cut], cube, noise)
    with pytest.raises(FormatError, match="voxels of the model are not"):
        likelihood.log_likelihood(cube, cube[cut], noise)
    with pytest.raises(FormatError, match="voxels of the offset are not"):
        likelihood.marginal_likelihood(cube, cube[None], noise, prior, offset=cube[cut])


def test_units_and_masks_of_data_are_not_lost(rng):
    units = pytest.importorskip("astropy.units")
    noise, _ = independent(rng)
    cube = np.ones(SHAPE)
    for data in (cube * units.mJy, np.ma.array(cube, mask=cube > 0.0)):
        with pytest.raises(FormatError, match="the data is more than numbers"):
            likelihood.log_likelihood(data, cube, noise)
        with pytest.raises(FormatError, match="the model is more than numbers"):
            likelihood.log_likelihood(cube, data, noise)


@pytest.mark.parametrize("sigma", [[0.0], [np.inf], [np.nan], [-1.0], [1.0, 2.0]])
def test_an_improper_prior_is_refused(sigma):
    with pytest.raises(ArdError, match="improper"):
        LinearPrior(np.zeros(1), np.array(sigma))


def test_what_does_not_fit_is_refused(rng):
    noise, _ = independent(rng)
    with pytest.raises(FormatError, match="voxels of the model are not"):
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
