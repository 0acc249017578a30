"""Is a masked voxel among correlated ones as if it had never been observed?

Oracle: scipy's multivariate normal with the dense covariance of the voxels that are left, which
for a normal distribution is the exact marginal.
"""

import itertools

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from ard import likelihood
from ard.errors import ArdError, FormatError
from ard.likelihood import LinearPrior, Noise, exact_noise, mask_more

SHAPE = (4, 3, 5)
SIZE = 60


def falling(n: int, rho: float):
    return rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


def separate():
    matrices = [falling(n, rho) for n, rho in zip(SHAPE, (0.3, 0.6, 0.4), strict=True)]
    return {"correlations": matrices}, np.kron(np.kron(*matrices[:2]), matrices[2])


def joint():
    """A sky correlation that is no product: of drizzled spaxels in an isotropic distance."""
    wave = falling(4, 0.3)
    place = np.indices(SHAPE[1:]).reshape(2, -1).T
    distance = np.linalg.norm(place[:, None] - place, axis=-1)
    sky = np.exp(-distance)
    return {"correlations": (wave, sky)}, np.kron(wave, sky)


def sky_only():
    matrices = (None, falling(3, 0.6), falling(5, 0.4))
    return {"correlations": matrices}, np.kron(np.eye(4), np.kron(*matrices[1:]))


def filtered():
    taps = np.zeros((2, 2, 3))
    taps[0, 0] = [1.3, -0.4, 0.1]
    taps[0, 1] = [-0.3, 0.05, 0.0]
    taps[1, 0, 0] = -0.2
    whitener = np.zeros((SIZE, SIZE))
    places = list(itertools.product(*map(range, SHAPE)))
    for row, here in enumerate(places):
        for column, there in enumerate(places):
            lag = tuple(np.subtract(here, there))
            if all(0 <= n < m for n, m in zip(lag, taps.shape, strict=True)):
                whitener[row, column] = taps[lag]
    return {"taps": taps}, np.linalg.inv(whitener.T @ whitener)


CORRELATIONS = {"separate": separate, "joint": joint, "sky only": sky_only, "filter": filtered}


def single():
    return np.random.default_rng(11).random(SHAPE) < 0.2


def spaxels():
    mask = np.zeros(SHAPE, bool)
    mask[:, 1, 2] = mask[:, 0, 4] = mask[:, 2, :2] = True
    return mask


def channels():
    mask = np.zeros(SHAPE, bool)
    mask[[0, 2]] = True
    return mask


def mixture():
    return single() | spaxels() | channels()


def neighbours():
    """One voxel between two others, where an approximation is worst."""
    mask = np.zeros(SHAPE, bool)
    mask[1, 1, 1] = mask[2, 1, 3] = True
    return mask


MASKS = [single, spaxels, channels, mixture, neighbours]


CASES = list(itertools.product(CORRELATIONS, MASKS))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].__name__}")
def case(request):
    """Noise, mask, and the dense covariance of the voxels that are left."""
    name, make_mask = request.param
    how, dense = CORRELATIONS[name]()
    mask = make_mask()
    sigma = np.random.default_rng(2).uniform(0.5, 2.0, SHAPE)
    dense = sigma.ravel()[:, None] * dense * sigma.ravel()
    used = ~mask.ravel()
    sigma = np.where(mask, np.nan, sigma)
    return exact_noise(sigma, mask, **how), mask, dense[np.ix_(used, used)]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_the_likelihood_is_that_of_the_voxels_that_are_left(case, rng):
    noise, mask, dense = case
    data = np.where(mask, np.nan, rng.normal(size=SHAPE))
    model = rng.normal(size=SHAPE)
    found = likelihood.log_likelihood(data, model, noise)
    expected = multivariate_normal(model[~mask], dense).logpdf(data[~mask])
    assert found.log_likelihood == pytest.approx(expected, rel=1e-10)
    assert noise.logdet == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-10)
    difference = (data - model)[~mask]
    assert found.chi2 == pytest.approx(difference @ np.linalg.solve(dense, difference), rel=1e-10)
    assert found.log_likelihood == pytest.approx(noise.reference + found.log_ratio, rel=1e-14)
    assert not found.approximate


def test_so_is_the_evidence(case, rng):
    noise, mask, dense = case
    data = np.where(mask, np.nan, rng.normal(size=SHAPE))
    templates = rng.normal(size=(2, *SHAPE))
    prior = LinearPrior(np.array([0.5, -1.0]), np.array([3.0, 20.0]))
    found = likelihood.marginal_likelihood(data, templates, noise, prior)
    flat = templates[:, ~mask]
    covariance = dense + flat.T @ np.diag(prior.sigma**2) @ flat
    expected = multivariate_normal(prior.mean @ flat, covariance).logpdf(data[~mask])
    assert found.log_likelihood == pytest.approx(expected, rel=1e-9)


def test_jax_gives_the_same_and_its_slope(case, rng):
    """Slope of ln L with the model: C^-1 (data - model), 0 in masked voxels."""
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    noise, mask, dense = case
    data = np.where(mask, np.nan, rng.normal(size=SHAPE))
    model = rng.normal(size=SHAPE)
    ours = likelihood.log_likelihood(data, model, noise)
    with x64(True):
        function = jax.jit(
            jax.value_and_grad(
                lambda cube: likelihood.log_likelihood(data, cube, noise).log_likelihood
            )
        )
        theirs, slope = function(jax.numpy.asarray(model))
    assert float(theirs) == pytest.approx(float(ours.log_likelihood), rel=1e-9)
    slope = np.asarray(slope)
    assert np.all(slope[mask] == 0.0)
    expected = np.linalg.solve(dense, (data - model)[~mask])
    np.testing.assert_allclose(slope[~mask], expected, rtol=1e-8, atol=1e-10)


def test_whitened_numbers_have_as_many_degrees_of_freedom_as_voxels(case):
    """Their covariance is a projection of that rank: W C W' for draws of covariance C."""
    noise, mask, dense = case
    unit = np.zeros((noise.count, *SHAPE))
    unit[:, ~mask] = np.linalg.cholesky(dense).T
    white = noise.whiten(unit).reshape(noise.count, -1)
    covariance = white.T @ white
    np.testing.assert_allclose(covariance @ covariance, covariance, atol=1e-10)
    assert np.trace(covariance) == pytest.approx(noise.count, rel=1e-10)


def test_whole_spaxels_leave_the_joint_factor_without_being_filled(rng):
    """With a limit of 0 nothing can be filled, so rows and columns are joined."""
    how, _ = separate()
    mask = spaxels() | channels()
    sigma = rng.uniform(0.5, 2.0, SHAPE)
    noise = exact_noise(sigma, mask, **how, limit=0)
    assert noise.fill is None
    assert len(noise.factors) == 2
    filled = exact_noise(sigma, mask, **how)
    assert filled.fill.shape[0] == noise._holes.size + spaxels()[1].sum() * 2
    data = rng.normal(size=SHAPE)
    one, two = (likelihood.log_likelihood(data, 0.0 * data, n) for n in (noise, filled))
    assert one.log_likelihood == pytest.approx(two.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_masks_can_be_added_to_a_noise(name, rng):
    how, _ = CORRELATIONS[name]()
    sigma = rng.uniform(0.5, 2.0, SHAPE)
    first = exact_noise(sigma, spaxels(), **how).scaled(1.2)
    noise, once = mask_more(first, single()), exact_noise(sigma, single() | spaxels(), **how)
    data = rng.normal(size=SHAPE)
    found = likelihood.log_likelihood(data, 0.0 * data, noise).log_likelihood
    expected = likelihood.log_likelihood(data, 0.0 * data, once.scaled(1.2)).log_likelihood
    assert found == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("scale", [0.7, np.array([0.5, 1.0, 2.0, 1.5])], ids=["one", "each"])
def test_errors_are_scaled(case, scale, rng):
    noise, mask, dense = case
    scaled = noise.scaled(scale)
    factor = np.broadcast_to(np.reshape(scale, (-1, 1, 1)), SHAPE)[~mask]
    dense = factor[:, None] * dense * factor
    data = rng.normal(size=SHAPE)
    found = likelihood.log_likelihood(data, np.zeros(SHAPE), scaled)
    expected = multivariate_normal(np.zeros(noise.count), dense).logpdf(data[~mask])
    assert found.log_likelihood == pytest.approx(expected, rel=1e-10)
    assert scaled.logdet == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-10)


def test_the_scale_of_the_errors_can_be_inferred(rng):
    """d ln L / d s = (chi2 - n) / s, of one scale; model and data are numpy arrays throughout."""
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    how, _ = separate()
    noise = exact_noise(rng.uniform(0.5, 2.0, SHAPE), single(), **how)
    data, templates = rng.normal(size=SHAPE), rng.normal(size=(1, *SHAPE))
    prior = LinearPrior(np.zeros(1), np.ones(1))

    def plain(scale):
        return likelihood.log_likelihood(data, templates[0], noise.scaled(scale)).log_likelihood

    def marginal(scale):
        scaled = noise.scaled(scale)
        return likelihood.marginal_likelihood(data, templates, scaled, prior).log_likelihood

    with x64(True):
        slope = float(jax.jit(jax.grad(plain))(1.3))
        each = np.asarray(jax.jit(jax.grad(plain))(jax.numpy.full(4, 1.3)))
        evidence = float(jax.jit(marginal)(1.3))
    chi2 = likelihood.log_likelihood(data, templates[0], noise.scaled(1.3)).chi2
    assert slope == pytest.approx((chi2 - noise.count) / 1.3, rel=1e-10)
    assert each.sum() == pytest.approx(slope, rel=1e-10)
    assert evidence == pytest.approx(marginal(1.3), rel=1e-10)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.ones(3), np.ones((4, 1, 1))])
def test_a_scale_that_is_none_is_refused(scale):
    noise = Noise(np.ones(SHAPE), np.zeros(SHAPE, bool))
    with pytest.raises(FormatError, match="scale of the errors"):
        noise.scaled(scale)


def test_an_approximation_has_to_be_asked_for(case, rng):
    noise, mask, _ = case
    parts = {"factors": noise.factors, "taps": noise.taps}
    if noise.fill is not None:
        with pytest.raises(FormatError, match=r"masks='approximate'"):
            Noise(noise.sigma, mask, **parts)
        with pytest.raises(FormatError, match=r"does not say how to be exact"):
            Noise(noise.sigma, mask, **parts, fill=np.eye(noise.fill.shape[0] + 1))
    rough = Noise(noise.sigma, mask, **parts, masks="approximate")
    assert rough.approximate
    result = likelihood.log_likelihood(np.zeros(SHAPE), rng.normal(size=SHAPE), rough)
    assert result.approximate
    assert np.isfinite(result.log_likelihood)


def test_factors_of_the_whole_cube_do_not_pass_as_exact():
    how, _ = separate()
    factors = tuple(map(likelihood.inverse_cholesky, how["correlations"]))
    with pytest.raises(FormatError, match="does not say how to be exact"):
        Noise(np.ones(SHAPE), channels(), factors)


def test_the_approximation_is_one(rng):
    """Next to correlated neighbours it overstates what is known: the reason to be asked for."""
    how, _ = separate()
    exact = exact_noise(np.ones(SHAPE), neighbours(), **how)
    factors = tuple(map(likelihood.inverse_cholesky, how["correlations"]))
    rough = Noise(np.ones(SHAPE), neighbours(), factors, masks="approximate")
    data = rng.normal(size=SHAPE)
    results = [likelihood.log_likelihood(data, 0.0 * data, noise) for noise in (exact, rough)]
    assert results[1].chi2 > results[0].chi2 + 0.1


def test_too_many_single_voxels_are_refused_with_a_way_out():
    how, _ = joint()
    with pytest.raises(ArdError, match=r"(?s)too many voxels.*raise `limit`.*approximat"):
        exact_noise(np.ones(SHAPE), single(), **how, limit=single().sum() - 1)
    with pytest.raises(ArdError, match="too many voxels"):
        exact_noise(np.ones(SHAPE), single(), **filtered()[0], limit=1)


def test_what_does_not_fit_is_refused():
    sigma, mask = np.ones(SHAPE), np.zeros(SHAPE, bool)
    with pytest.raises(FormatError, match="two correlations"):
        exact_noise(sigma, mask, **separate()[0], **filtered()[0])
    with pytest.raises(FormatError, match="wrong number of factors"):
        exact_noise(sigma, mask, correlations=[None])
    with pytest.raises(FormatError, match="correlation does not fit"):
        exact_noise(sigma, mask, correlations=(np.eye(4), np.eye(14)))
    with pytest.raises(FormatError, match="causal filter"):
        exact_noise(sigma, mask, taps=-np.ones((1, 1, 1)))
    with pytest.raises(FormatError, match="two ways"):
        Noise(sigma, mask, masks="somehow")
    independent = exact_noise(sigma, mask, correlations=(None, None, None))
    assert independent.factors is None
    assert not independent.correlated


def test_residuals_of_another_cube_are_not_stretched_to_fit():
    noise = Noise(np.ones(SHAPE), np.zeros(SHAPE, bool))
    for shape in ((SHAPE[0], 1, 1), SHAPE[1:], ()):
        with pytest.raises(FormatError, match="not those of the cube"):
            noise.whiten(np.zeros(shape))
    assert noise.whiten(np.zeros((2, *SHAPE))).shape == (2, *SHAPE)


def test_what_was_checked_cannot_be_changed_from_outside():
    sigma, mask, scale = np.ones(SHAPE), np.zeros(SHAPE, bool), np.ones(SHAPE[0])
    factor, mean = np.eye(SHAPE[0]), np.ones(2)
    noise = Noise(sigma, mask, (factor, None, None), scale=scale)
    prior = LinearPrior(mean, np.ones(2))
    again = noise.scaled(scale)
    for array in (sigma, mask, scale, factor, mean):
        array[...] = 0
    mask[...] = True
    assert noise.sigma.all()
    assert not noise.mask.any()
    assert noise.factors[0].sum() == SHAPE[0]
    assert noise.scale.all()
    assert again.scale.all()
    assert prior.mean.all()


def test_large_triangles_are_inverted_by_halves(rng):
    """Oracle: numpy's general inverse, of a matrix above the size that is inverted whole."""
    lower = np.tril(rng.normal(size=(150, 150)) * 0.05) + np.eye(150)
    correlation = lower @ lower.T
    found = likelihood.inverse_cholesky(correlation)
    np.testing.assert_allclose(found, np.linalg.inv(np.linalg.cholesky(correlation)), atol=1e-10)
    assert np.all(np.triu(found, 1) == 0.0)


@pytest.mark.parametrize("kind", CORRELATIONS)
def test_a_block_of_the_precision_is_that_of_the_dense_inverse(kind):
    correlation, dense = CORRELATIONS[kind]()
    rng = np.random.default_rng(4)
    sigma, mask = rng.uniform(0.5, 2.0, SHAPE), rng.uniform(size=SHAPE) < 0.15
    mask[:, 1, 2] = True
    scale = np.array([0.8, 1.0, 1.2, 1.5])
    noise = exact_noise(sigma, mask, **correlation).scaled(scale)
    errors = (sigma * scale[:, None, None]).ravel()
    used = np.flatnonzero(~mask)
    inverse = np.linalg.inv((dense * np.outer(errors, errors))[np.ix_(used, used)])
    chosen = rng.permutation(used.size)[:9]
    found = likelihood.precision_block(noise, used[chosen])
    np.testing.assert_allclose(found, inverse[np.ix_(chosen, chosen)], rtol=1e-9, atol=1e-10)


def test_a_block_of_the_precision_of_independent_voxels_is_diagonal():
    noise = Noise(np.full(SHAPE, 2.0), np.zeros(SHAPE, bool)).scaled(0.5)
    assert np.array_equal(likelihood.precision_block(noise, [3, 7]), np.eye(2))


@pytest.mark.parametrize("voxels", [[0, 5], [3, 3], [-1], [SIZE], [0.5], []])
def test_a_block_of_voxels_that_are_not_used_is_refused(voxels):
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, 0] = True
    noise = Noise(np.ones(SHAPE), mask)
    with pytest.raises(ArdError, match="no voxels that are used"):
        likelihood.precision_block(noise, voxels)
