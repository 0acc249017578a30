"""Is the posterior of a scene prior times likelihood, and does its precision matter?

Oracles: the Gaussian density of all voxels by scipy, amplitudes in its covariance; float64.
"""

import fits
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import x64
from scipy import stats

from ard.errors import ArdError, FormatError
from ard.likelihood import LinearPrior, Noise
from pipeline.infer.families import Uniform
from pipeline.infer.posterior import Posterior
from pipeline.infer.prior import Parameter, Prior
from pipeline.scene import background

TRUTH = {"x_arcsec": 0.07, "y_arcsec": -0.05, "speed_kms": 60.0, "dispersion_kms": 55.0}


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    with x64(True):
        cube = fits.knot_cube(TRUTH, 6.0)
    return cube + rng.normal(0.0, 0.05, cube.shape)


def place_of(posterior, truth=TRUTH):
    return posterior.prior.unconstrain(np.array([truth[n] for n in posterior.prior.names]))


def test_density_is_prior_times_the_gaussian_of_all_voxels(double, strict, data):
    posterior = fits.knot_posterior(data)
    z = place_of(posterior)
    found = jax.jit(posterior.log_density)(jnp.asarray(z), posterior.target().data)
    template = np.asarray(posterior.templates(TRUTH)).reshape(-1)
    covariance = 0.05**2 * np.eye(template.size) + 16.0 * np.outer(template, template)
    own = stats.multivariate_normal(8.0 * template, covariance).logpdf(data.ravel())
    expected = own - posterior.noise.reference + posterior.prior.log_density(z)
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_amplitudes_are_those_of_the_scene(double, data):
    result = fits.knot_posterior(data).evaluate(TRUTH)
    off = (float(result.amplitudes[0]) - 6.0) / float(result.amplitude_sigma[0])
    assert abs(off) < 4.0  # one number of a fixed seed; 1 in 16,000
    assert 0.0 < float(result.amplitude_sigma[0]) < 1.0


def test_prior_and_likelihood_of_draws_come_apart_again(double, data):
    posterior = fits.knot_posterior(data)
    z = place_of(posterior)
    lp = float(posterior.log_density(jnp.asarray(z), posterior.target().data))
    draws = posterior.prior.constrain(z)[None]
    log_prior, log_likelihood = posterior.split(draws, np.array([lp]))
    assert log_likelihood[0] == pytest.approx(float(posterior.log_likelihood(TRUTH)), abs=1e-8)
    np.testing.assert_allclose(log_prior[0], posterior.prior.log_prior(draws[0]), rtol=1e-12)


def test_scale_of_the_errors_is_a_parameter(double, data):
    one = fits.knot_posterior(data)
    prior = Prior((*one.prior.parameters, Parameter("noise", "1", Uniform(0.5, 2.0))))
    posterior = Posterior(prior, one.templates, data, one.noise, one.amplitudes,
                          scale_name="noise")  # fmt: skip
    template = np.asarray(one.templates(TRUTH)).reshape(-1)
    for scale in (0.9, 1.3):
        covariance = (0.05 * scale) ** 2 * np.eye(template.size)
        covariance += 16.0 * np.outer(template, template)
        own = stats.multivariate_normal(8.0 * template, covariance).logpdf(data.ravel())
        found = posterior.log_likelihood({**TRUTH, "noise": scale})
        assert float(found) == pytest.approx(own - one.noise.reference, abs=1e-6)


def test_backgrounds_have_amplitudes_of_their_own(double, data):
    model = fits.small_model()
    cubes = background.templates(model.sky, model.wave_edges, background.Smoothness(0, 1))
    one = fits.knot_posterior(data)
    wide = LinearPrior(np.array([8.0, 0.0, 0.0]), np.array([4.0, 1.0, 1.0]))
    posterior = Posterior(one.prior, one.templates, data + 0.3, one.noise, wide, cubes)
    result = posterior.evaluate(TRUTH)
    assert result.amplitudes.shape == (3,)
    assert float(result.amplitudes[1]) == pytest.approx(0.3, abs=0.01)


def test_masked_voxels_may_be_nan_and_have_no_part(double, data):
    mask = np.zeros(data.shape, bool)
    mask[3:5, 2, 2] = True
    holed = np.where(mask, np.nan, data)
    posterior = fits.knot_posterior(holed, mask=mask)
    value, slope = jax.jit(jax.value_and_grad(posterior.log_density))(
        jnp.asarray(place_of(posterior)), posterior.target().data
    )
    again = fits.knot_posterior(np.where(mask, 7.0, data), mask=mask)
    other, _ = jax.jit(jax.value_and_grad(again.log_density))(
        jnp.asarray(place_of(posterior)), again.target().data
    )
    assert np.isfinite(slope).all()
    assert float(value) == float(other)


def test_other_data_need_no_other_posterior(double, data):
    posterior = fits.knot_posterior()
    target = posterior.target(data)
    assert target.log_density == posterior.target().log_density
    z = jnp.asarray(place_of(posterior))
    found = target.log_density(z, target.data)
    expected = fits.knot_posterior(data)
    assert float(found) == float(expected.log_density(z, expected.target().data))


@pytest.mark.parametrize("way", ["single", "mixed"])
def test_precision_costs_less_than_two_hundredths(data, way):
    rng = np.random.default_rng(4)
    prior = fits.knot_prior()
    middle = np.array([TRUTH[n] for n in prior.names])
    draws = middle + 0.02 * rng.normal(size=(40, 4)) * np.array([0.3, 0.3, 100.0, 50.0])
    z = prior.unconstrain(draws)

    def values(**more):
        posterior = fits.knot_posterior(data, **more)
        function = jax.jit(posterior.log_density)
        seen = posterior.target().data
        return np.array([float(function(jnp.asarray(p, seen.dtype), seen)) for p in z])

    with x64(True):
        exact = values()
        mixed = values(model_dtype="float32")
    with x64(False):
        single = values()
    off = {"single": single, "mixed": mixed}[way] - exact
    # 1,024 voxels; the allowance is for 37 thousand, and a constant alike at all places is none.
    assert np.ptp(off) < 0.02
    assert np.any(off != 0.0)


def test_mixed_precision_has_derivatives_in_double(double, strict, data):
    posterior = fits.knot_posterior(data, model_dtype="float32")
    exact = fits.knot_posterior(data)
    z = jnp.asarray(place_of(posterior))
    slopes = [jax.jit(jax.grad(p.log_density))(z, p.target().data) for p in (posterior, exact)]
    assert slopes[0].dtype == np.float64
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=2e-3, atol=2e-2)


def test_parts_that_do_not_fit_are_refused(data):
    one = fits.knot_posterior()
    with pytest.raises(FormatError, match="data are on other voxels"):
        fits.knot_posterior(data[:-1])
    with pytest.raises(FormatError, match="background is on other voxels"):
        fits.knot_posterior(data, background=np.zeros((1, 2, 2, 2)))
    with pytest.raises(FormatError, match="no prior"):
        fits.knot_posterior(data, scale_name="noise")
    with pytest.raises(FormatError, match="precision"):
        fits.knot_posterior(data, model_dtype="float16")
    with pytest.raises(ArdError, match="not finite"):
        fits.knot_posterior(np.full(one.data.shape, np.nan))
    small = Noise(np.ones((1, 2, 2)), np.zeros((1, 2, 2), bool))
    with pytest.raises(FormatError, match="other voxels"):
        Posterior(one.prior, one.templates, data, small, one.amplitudes)
