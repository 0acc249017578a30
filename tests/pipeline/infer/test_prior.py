"""Are priors normalised, drawn as they say, and mapped to the line with the right Jacobian?

Oracles: scipy.stats; the derivative of the map by JAX; quadrature.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import ard.priors
from ard.errors import ArdError
from pipeline.infer import families
from pipeline.infer.families import HalfNormal, Isotropic, LogNormal, LogUniform, Normal, Uniform
from pipeline.infer.prior import Parameter, Prior, prior_from


class Sine(stats.rv_continuous):
    def _pdf(self, x):
        return np.sin(np.radians(x)) * np.pi / 180.0 / (np.cos(np.radians(20.0)) - 0.0)

    def _cdf(self, x):
        return (np.cos(np.radians(20.0)) - np.cos(np.radians(x))) / np.cos(np.radians(20.0))


CASES = {
    "uniform": (Uniform(-3.0, 5.0), stats.uniform(-3.0, 8.0)),
    "log_uniform": (LogUniform(0.01, 30.0), stats.loguniform(0.01, 30.0)),
    "normal": (Normal(2.0, 0.3), stats.norm(2.0, 0.3)),
    "lower": (Normal(2.0, 0.3, low=2.2), stats.truncnorm(2 / 3, np.inf, 2.0, 0.3)),
    "upper": (Normal(2.0, 0.3, high=2.2), stats.truncnorm(-np.inf, 2 / 3, 2.0, 0.3)),
    "between": (Normal(1.0, 2.0, 0.0, 7.0), stats.truncnorm(-0.5, 3.0, 1.0, 2.0)),
    "tail": (Normal(0.0, 1.0, 9.0, 12.0), stats.truncnorm(9.0, 12.0)),
    "half_normal": (HalfNormal(3.0), stats.halfnorm(0.0, 3.0)),
    "log_normal": (LogNormal(40.0, 0.5), stats.lognorm(0.5, 0.0, 40.0)),
    "isotropic": (Isotropic(20.0, 90.0), Sine(a=20.0, b=90.0)()),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def test_density_is_that_of_scipy(case):
    family, oracle = case
    values = oracle.ppf(np.linspace(0.01, 0.99, 25))
    np.testing.assert_allclose(family.log_prior(values), oracle.logpdf(values), rtol=1e-9)
    low, high = family.support
    outside = np.array([v for v in (low - 1.0, high + 1.0) if np.isfinite(v)] + [np.nan])
    assert np.all(family.log_prior(outside) == -np.inf)


def test_draws_are_those_of_scipy(case):
    family, oracle = case
    draws = family.sample(np.random.default_rng(11), 4000)
    # Ten families: a false alarm once in a thousand runs of other seeds.
    assert stats.kstest(draws, oracle.cdf).pvalue > 1e-4


def test_the_map_goes_there_and_back(case):
    family, _ = case
    z = np.linspace(-6.0, 6.0, 41)
    values = family.constrain(z)
    assert np.all(np.diff(values) > 0)
    # The upper tail of a sigmoid keeps 13 digits of exp(-6).
    np.testing.assert_allclose(family.unconstrain(values), z, rtol=1e-9, atol=1e-9)


def test_jacobian_is_the_derivative_of_the_map(case, precision, strict):
    family, _ = case
    rtol = 2e-5 if precision == "float32" else 1e-12
    z = jnp.linspace(-4.0, 4.0, 17)  # zero among them
    slope = jax.vmap(jax.grad(family.constrain))(z)
    np.testing.assert_allclose(family.log_jacobian(z), np.log(slope), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(
        family.log_jacobian(np.asarray(z, np.float64)), np.log(slope), rtol=rtol, atol=rtol
    )


def test_density_on_the_line_integrates_to_one(case):
    family, _ = case
    prior = Prior((Parameter("p", "", family),))

    def density(z):
        return np.exp(prior.log_density(np.array([z])))

    assert integrate.quad(density, -35.0, 35.0, points=[-2.0, 0.0, 2.0])[0] == pytest.approx(
        1.0, abs=1e-6
    )


def test_numpy_and_jax_agree_and_the_gradient_is_finite(precision, strict):
    prior = Prior(tuple(Parameter(n, "", f) for n, (f, _) in CASES.items()))
    z = np.random.default_rng(2).normal(0.0, 2.0, size=len(CASES))
    rtol = 1e-4 if precision == "float32" else 1e-12
    traced = jnp.asarray(z, jnp.result_type(float))
    value, slope = jax.jit(jax.value_and_grad(prior.log_density))(traced)
    assert float(value) == pytest.approx(float(prior.log_density(z)), rel=rtol)
    step = 1e-5
    numeric = [
        (prior.log_density(z + step * e) - prior.log_density(z - step * e)) / (2 * step)
        for e in np.eye(z.size)
    ]
    np.testing.assert_allclose(slope, numeric, rtol=max(10 * rtol, 1e-6), atol=1e-4)
    values = prior.constrain(z)
    own = prior.log_prior(values)
    assert own.shape == z.shape
    assert np.sum(own) + np.sum(prior.log_jacobian(z)) == pytest.approx(prior.log_density(z))


def test_far_from_the_middle_there_is_no_warning_and_no_nan():
    prior = Prior(tuple(Parameter(n, "", f) for n, (f, _) in CASES.items() if n != "log_normal"))
    for far in (-300.0, 300.0):
        values = prior.constrain(np.full(len(prior.names), far))
        assert not np.isnan(values).any()
        assert not np.isnan(prior.log_prior(values)).any()


def test_description_makes_the_same_prior_again():
    prior = Prior(tuple(Parameter(n, "km/s", f, "a paper") for n, (f, _) in CASES.items()))
    text = json.dumps(prior.describe(), allow_nan=False)
    assert prior_from(json.loads(text)) == prior
    assert json.loads(text)["half_normal"]["support"] == [0.0, None]


# As docs/chains.md has them: a value on the line becomes one of the parameter.
MAPS = {
    "affine": lambda z, shift, scale: shift + scale * z,
    "logit": lambda z, low, high: low + (high - low) / (1.0 + np.exp(-z)),
    "log": lambda z, low, scale: low + scale * np.exp(z),
    "log_below": lambda z, high, scale: high - scale * np.exp(-z),
    "log_scaled": lambda z, scale, power: scale * np.exp(power * z),
    "logit_log": lambda z, low, high: low * (high / low) ** (1.0 / (1.0 + np.exp(-z))),
}


def test_the_transform_on_whose_scale_it_is_sampled_is_described(case):
    family, _ = case
    text = json.dumps(Prior((Parameter("a", "km/s", family, "a paper"),)).describe())
    told = json.loads(text)["a"]["transform"]
    z = np.linspace(-4.0, 4.0, 9)
    found = MAPS[told.pop("map")](z, **told)
    np.testing.assert_allclose(found, family.constrain(z), rtol=1e-12)


def test_every_map_is_that_of_a_family():
    assert {family.transform["map"] for family, _ in CASES.values()} == set(MAPS)


def test_a_stranger_reads_the_same_prior_from_its_description(case):
    """Oracle: scipy, for what `ard` makes of the text that goes with every chain."""
    family, oracle = case
    text = json.dumps(Prior((Parameter("a", "km/s", family, "a paper"),)).describe())
    read = ard.priors.prior_from(json.loads(text)["a"])
    values = oracle.ppf(np.linspace(0.01, 0.99, 25))
    np.testing.assert_allclose(read.log_density(values), oracle.logpdf(values), rtol=1e-9)
    assert (read.low, read.high) == family.support
    assert read.probability(values[3], values[20]) == pytest.approx(17 * 0.98 / 24, rel=1e-6)
    outside = [v for v in (read.low - 1.0, read.high + 1.0) if np.isfinite(v)]
    assert np.all(read.log_density(np.array(outside)) == -np.inf)


def test_draws_of_all_parameters_have_their_own_columns():
    prior = Prior((Parameter("a", "", Uniform(0.0, 1.0)), Parameter("b", "", Uniform(5.0, 6.0))))
    draws = prior.sample(np.random.default_rng(0), 7)
    assert draws.shape == (7, 2)
    assert np.all(draws[:, 1] > 5.0)
    assert np.array_equal(prior.named(draws)["b"], draws[:, 1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Uniform(1.0, 1.0),
        lambda: Uniform(0.0, np.inf),
        lambda: LogUniform(0.0, 1.0),
        lambda: Normal(0.0, 0.0),
        lambda: Normal(0.0, 1.0, 2.0, 1.0),
        lambda: Normal(np.nan, 1.0),
        lambda: HalfNormal(-1.0),
        lambda: LogNormal(0.0, 1.0),
        lambda: Isotropic(10.0, 10.0),
    ],
)
def test_an_improper_prior_is_refused(make):
    with pytest.raises(ArdError, match="improper"):
        make()


@pytest.mark.parametrize("row", [{"family": "cauchy"}, {"family": "uniform", "low": 1.0}, {}])
def test_an_unknown_description_is_refused(row):
    with pytest.raises(ArdError, match="no distribution"):
        families.make(row)


def test_two_parameters_of_one_name_are_refused():
    one = Parameter("a", "", Uniform(0.0, 1.0))
    with pytest.raises(ArdError, match="told apart"):
        Prior((one, one))
