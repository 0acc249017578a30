"""Are draws weighed rightly for another prior, and is it refused where they do not suffice?

Oracles: closed forms for normal distributions, ArviZ' PSIS with its sign turned, numpy, scipy.
"""

import math
from pathlib import Path

import numpy as np
import pytest
from stranger import run_python

from ard.errors import ArdError, FormatError, NotFoundError
from ard.priors import (
    HalfNormal,
    Isotropic,
    LogNormal,
    LogUniform,
    Normal,
    Uniform,
    prior_from,
)
from ard.reweight import KHAT_MAX, khat_max, reweight, smooth_weights

N = 100_000
OLD = Normal(0.0, 1.0)


@pytest.fixture(scope="module")
def draws() -> np.ndarray:
    values = np.random.default_rng(1).normal(size=N)
    values.setflags(write=False)
    return values


def swapped(values: np.ndarray, new, **options):
    """The posterior is the old prior itself, so that it becomes the new one."""
    return reweight({"v": values}, {"v": OLD.log_density(values)}, {"v": new}, **options)


# ---- right numbers


def test_a_shift_by_one_moves_the_mean_to_plus_one(draws):
    """The sign: the wrong one gives -1 with the same k-hat, and no warning."""
    weights = swapped(draws, Normal(1.0, 1.0))
    assert weights.mean(draws) == pytest.approx(1.0, abs=4 * weights.mean_err(draws))
    assert weights.mean_err(draws) < 0.01


@pytest.mark.parametrize(
    ("new", "khat", "share"),
    [
        (Normal(0.0, 0.7), (-5.0, 0.0), 0.86),
        (Normal(1.0, 1.0), (0.1, 0.45), math.exp(-1.0)),
        (Normal(2.0, 1.0), (0.45, 0.7), math.exp(-4.0)),
        (Normal(0.0, 1.5), (0.46, 0.66), None),
    ],
    ids=["narrower", "shift by 1", "shift by 2", "wider"],
)
def test_new_priors_within_reach(draws, new, khat, share):
    """k-hat as measured for the study (reference/inference.md 4); of a prior wider by s it is
    1 - 1 / s^2. The share of effective draws is one over the mean square of the weights, which is
    infinite for a prior wider by more than the root of 2."""
    weights = swapped(draws, new)
    assert khat[0] < weights.khat < khat[1]
    assert weights.mean(draws) == pytest.approx(new.mean, abs=5 * weights.mean_err(draws))
    assert weights.sd(draws) == pytest.approx(new.sigma, rel=0.1)
    if share is not None:
        assert weights.ess / N == pytest.approx(share, rel=0.2)


def test_twelve_narrower_priors(draws):
    """Their shares of effective draws multiply: 0.86 to the power of 12."""
    values = np.random.default_rng(2).normal(size=(12, N))
    names = [f"p{i}" for i in range(12)]
    log_prior = {name: OLD.log_density(v) for name, v in zip(names, values, strict=True)}
    new = dict.fromkeys(names, Normal(0.0, 0.7))
    weights = reweight(dict(zip(names, values, strict=True)), log_prior, new)
    assert weights.khat < 0.3
    assert weights.ess / N == pytest.approx(0.164, rel=0.1)


def test_a_posterior_with_data():
    """Conjugate: prior N(0, 3), one datum 1 +- 1, new prior N(2, 1): the posterior is N(1.5, 0.71).

    The evidence changes by the ratio of two normal densities of the datum.
    """
    rng = np.random.default_rng(3)
    values = rng.normal(0.9, math.sqrt(0.9), N)
    old, new = Normal(0.0, 3.0), Normal(2.0, 1.0)
    weights = reweight({"v": values}, {"v": old.log_density(values)}, {"v": new})
    assert weights.mean(values) == pytest.approx(1.5, abs=0.01)
    assert weights.sd(values) == pytest.approx(math.sqrt(0.5), rel=0.02)
    one = np.ones(1)
    expected = Normal(2.0, math.sqrt(2)).log_density(one) - Normal(0, math.sqrt(10)).log_density(
        one
    )
    assert weights.log_evidence_change == pytest.approx(expected.item(), abs=0.01)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0, 3.0])
def test_weights_are_those_of_arviz_with_the_sign_turned(draws, shift):
    array_stats = pytest.importorskip("arviz_stats.base").array_stats
    ratio = Normal(shift, 1.0).log_density(draws) - OLD.log_density(draws)
    weights = smooth_weights(ratio)
    log_weight, khat = array_stats.psislw(-ratio)
    np.testing.assert_allclose(weights.log_weight, log_weight, rtol=1e-10)
    assert weights.khat == pytest.approx(float(khat), rel=1e-9)
    shuffled = np.random.default_rng(4).permutation(N)
    again = smooth_weights(ratio[shuffled] + 1e3)  # a constant does not matter, nor does the order
    np.testing.assert_allclose(again.log_weight, weights.log_weight[shuffled], rtol=1e-9)


def test_a_prior_that_only_cuts_off_needs_no_smoothing(draws):
    """The draws within are those of the truncated distribution."""
    box = Uniform(-10.0, 10.0)
    weights = reweight(
        {"v": draws}, {"v": box.log_density(draws)}, {"v": Uniform(0.0, 10.0)}, old={"v": box}
    )
    assert weights.khat == -math.inf
    assert weights.ess == pytest.approx(np.count_nonzero(draws > 0))
    assert weights.mean(draws) == pytest.approx(math.sqrt(2 / math.pi), abs=0.01)


def test_a_function_can_be_the_new_prior(draws):
    """Its normalisation does not matter; chains keep their shape."""
    chains = draws.reshape(4, -1)
    one = swapped(chains, lambda v: 7.0 - 0.5 * (v - 1.0) ** 2)
    other = swapped(draws, Normal(1.0, 1.0))
    assert one.weight.shape == chains.shape
    np.testing.assert_allclose(one.weight.ravel(), other.weight, rtol=1e-9)


def test_the_same_prior_changes_nothing(draws):
    weights = swapped(draws, OLD)
    np.testing.assert_allclose(weights.weight, 1 / N, rtol=1e-12)
    assert weights.log_evidence_change == pytest.approx(0.0, abs=1e-12)
    assert weights.quantile(draws, 0.5) == pytest.approx(np.median(draws), abs=1e-4)


# ---- what is done with weights


def test_quantiles_are_those_of_repeated_draws():
    """Whole weights are repetitions; the oracle is numpy without weights."""
    values, count = np.random.default_rng(5).normal(size=50), np.arange(50)
    weights = smooth_weights(np.log(count, out=np.full(50, -np.inf), where=count > 0))
    exact = type(weights)(np.log(np.maximum(count, 1e-300) / count.sum()), 0.0, 0.0)
    repeated = np.repeat(values, count)
    for p in (0.0, 0.1, 0.5, 0.9, 1.0):
        expected = np.quantile(repeated, p, method="inverted_cdf")
        assert exact.quantile(values, p) == expected
    assert exact.mean(values) == pytest.approx(repeated.mean())
    assert exact.sd(values) == pytest.approx(repeated.std())


def test_chosen_draws_follow_the_new_posterior(draws):
    weights = swapped(draws, Normal(1.0, 1.0))
    chosen = weights.resample(5000, seed=1)
    assert draws[chosen].mean() == pytest.approx(1.0, abs=4 / math.sqrt(5000))
    assert draws[chosen].std() == pytest.approx(1.0, abs=0.04)
    np.testing.assert_array_equal(chosen, weights.resample(5000, seed=1))
    assert (chosen != weights.resample(5000, seed=2)).any()
    counts = np.bincount(chosen, minlength=N)
    assert (np.abs(counts - 5000 * weights.weight) < 1).all()  # to the next whole number


# ---- refused


def test_too_far_is_refused(draws):
    with pytest.raises(ArdError, match=r"the draws do not suffice(.|\n)*k-hat (0\.[789]|1)"):
        swapped(draws, Normal(3.0, 1.0))


def test_few_draws_bear_less():
    """min(1 - 1 / log10 S, 0.7): Vehtari et al. 2024, equation 13."""
    assert khat_max(100) == 0.5
    assert khat_max(1000) == pytest.approx(2 / 3)
    assert khat_max(100_000) == KHAT_MAX
    values = np.random.default_rng(6).normal(size=20)
    with pytest.raises(ArdError, match="do not suffice"):
        swapped(values, Normal(1.0, 1.0))  # too few for a tail to be seen at all


def test_what_the_old_prior_excluded_is_refused(draws):
    """Weights cannot see it: k-hat is that of a cut, and the answer is wrong by 2."""
    inside = draws[np.abs(draws) < 1]
    old = Uniform(-1.0, 1.0)
    given = {"v": inside}, {"v": old.log_density(inside)}, {"v": Uniform(-1.0, 5.0)}
    assert reweight(*given).reliable
    with pytest.raises(ArdError, match=r"allows what the old one did not(.|\n)*0\.667 outside"):
        reweight(*given, old={"v": old})


@pytest.mark.parametrize(
    ("new", "match"),
    [
        (Uniform(50.0, 60.0), "no draw counts"),
        (lambda v: np.full(v.shape, np.nan), "100000 of 100000 are none"),
        (lambda v: np.where(v > 3, np.inf, 0.0), "there are no weights"),
        (lambda v: 0.0, "the new prior: not one number for each draw"),
    ],
)
def test_priors_that_are_none(draws, new, match):
    with pytest.raises(ArdError, match=match):
        swapped(draws, new)


def test_names_and_shapes_have_to_agree(draws):
    with pytest.raises(NotFoundError, match="there are no draws of the parameter 'w'"):
        reweight({"v": draws}, {"v": draws}, {"w": OLD})
    with pytest.raises(NotFoundError, match="there are no log_prior of the parameter 'v'"):
        reweight({"v": draws}, {}, {"v": OLD})
    with pytest.raises(ArdError, match="log_prior: not one number for each draw"):
        reweight({"v": draws}, {"v": draws[:5]}, {"v": OLD})
    with pytest.raises(ArdError, match="values: not one number for each draw"):
        swapped(draws, Normal(1.0, 1.0)).mean(draws[:5])


def test_a_tail_mostly_of_one_value_is_no_tail(draws):
    """Weights that pile up at two values: nothing to smooth, and no reason to trust them."""
    steps = np.where(draws > 2.8, 3.0, np.where(draws > 1.5, 2.0, 0.0))
    assert smooth_weights(steps).khat == math.inf


def test_it_needs_numpy_and_astropy_only(base_environment):
    code = (
        "import numpy as np; from ard.priors import Normal; from ard.reweight import *;"
        "x = np.random.default_rng(1).normal(size=4000);"
        "w = smooth_weights(Normal(1, 1).log_density(x) - Normal(0, 1).log_density(x));"
        "print(w.reliable)"
    )
    root = Path(__file__).resolve().parents[2]
    done = run_python(code, base_environment, root)
    assert done.stdout.strip() == "True", done.stderr


# ---- priors


@pytest.mark.parametrize(
    ("prior", "name", "arguments"),
    [
        (Normal(1.0, 2.0), "norm", {"loc": 1, "scale": 2}),
        (Normal(1.0, 2.0, 0.0, 4.0), "truncnorm", {"a": -0.5, "b": 1.5, "loc": 1, "scale": 2}),
        (Normal(0.0, 1.0, 6.0, 9.0), "truncnorm", {"a": 6, "b": 9}),
        (Uniform(-1.0, 3.0), "uniform", {"loc": -1, "scale": 4}),
        (LogNormal(math.exp(0.5), 0.8), "lognorm", {"s": 0.8, "scale": math.exp(0.5)}),
    ],
)
def test_densities_are_those_of_scipy(prior, name, arguments):
    stats = pytest.importorskip("scipy.stats")
    oracle = getattr(stats, name)(**arguments)
    values = np.linspace(-3.0, 10.0, 200)
    with np.errstate(divide="ignore"):
        expected = oracle.logpdf(values)
    np.testing.assert_allclose(prior.log_density(values), expected, rtol=1e-9, atol=1e-12)
    for low, high in ((-1.0, 1.0), (0.5, 7.0), (2.0, math.inf)):
        expected = oracle.cdf(high) - oracle.cdf(low)
        assert prior.probability(low, high) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    "prior",
    [Normal(0, 1), Uniform(0, 1), LogUniform(1, 2), LogNormal(1, 1), HalfNormal(1), Isotropic()],
)
def test_lists_have_densities_too(prior):
    values = [0.5, 1.5, 100.0]
    expected = prior.log_density(np.array(values)).tolist()
    assert prior.log_density(values).tolist() == expected


def test_a_lognormal_with_bounds_is_normalised():
    prior = LogNormal(math.exp(0.5), 0.8, 1.0, 4.0)
    grid = np.linspace(1.0, 4.0, 20_001)
    assert np.trapezoid(np.exp(prior.log_density(grid)), grid) == pytest.approx(1.0, rel=1e-7)
    assert prior.log_density(np.array([0.9, 4.1, -1.0])).tolist() == [-np.inf] * 3


def test_nan_is_no_value_of_a_prior():
    for prior in (OLD, Uniform(0, 1), LogNormal(1, 1)):
        assert np.isnan(prior.log_density(np.array([np.nan]))).all()


def test_priors_come_from_descriptions():
    assert prior_from(
        {"family": "normal", "mean": 0, "sigma": 2, "low": None, "unit": "km/s"}
    ) == Normal(0, 2)
    assert prior_from({"family": "uniform", "low": 0, "high": 1}) == Uniform(0, 1)
    assert prior_from({"family": "log_normal", "median": 2, "sigma": 1}) == LogNormal(2, 1)


@pytest.mark.parametrize(
    ("description", "match"),
    [
        ({"family": "cauchy"}, "a family that is not known"),
        ({}, "no family"),
        ({"family": "normal", "mean": 0}, "the description of a normal prior is not one"),
        ({"family": "uniform", "low": 0, "high": "wide"}, r"not one(.|\n)*wide"),
    ],
)
def test_descriptions_that_are_none(description, match):
    with pytest.raises(FormatError, match=match):
        prior_from(description)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Uniform(1, 1),
        lambda: Uniform(0, math.inf),
        lambda: Normal(0, 0),
        lambda: Normal(math.nan, 1),
        lambda: Normal(0, 1, 2, 1),
        lambda: Normal(0, 1, 50, 60),
        lambda: LogNormal(1, 1, -1, 2),
        lambda: LogNormal(1, -1),
    ],
)
def test_parameters_that_are_no_prior(make):
    with pytest.raises(ArdError, match="this is no prior"):
        make()
