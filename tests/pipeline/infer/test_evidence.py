"""Is the evidence right, and its error? Oracle: Gaussians, whose integral is known."""

import numpy as np
import pytest
import targets
from scipy import special, stats

from ard.errors import ArdError
from pipeline.infer import mixture
from pipeline.infer.evidence import bridge


def gaussian_case(rng, n_draw=500, size=6):
    mean, covariance = targets.correlated(size, top=1.0)
    target = targets.gaussian(mean, covariance)
    z = rng.multivariate_normal(mean, covariance, size=(4, n_draw))
    truth = 0.5 * (size * np.log(2.0 * np.pi) + np.linalg.slogdet(covariance)[1])
    lp = stats.multivariate_normal(mean, covariance).logpdf(z) + truth
    return target, z, lp, truth


def bimodal_case(rng, n_draw=500):
    places, sigma, weights = np.array([[-3.0, 0, 0], [3.0, 1, 0]]), 0.4, np.array([0.7, 0.3])
    target = targets.two_modes(places, sigma, weights)
    which = rng.choice(2, size=(4, n_draw), p=weights)
    z = places[which] + sigma * rng.normal(size=(4, n_draw, 3))
    off = np.sum((z[..., None, :] - places) ** 2, axis=-1)
    lp = special.logsumexp(np.log(weights) - 0.5 * off / sigma**2, axis=-1)
    return target, z, lp, 1.5 * np.log(2.0 * np.pi * sigma**2)


@pytest.mark.parametrize("case", [gaussian_case, bimodal_case])
def test_evidence_is_right_within_an_error_that_is_honest(double, case):
    scores, errors = [], []
    for seed in range(12):
        target, z, lp, truth = case(np.random.default_rng(seed))
        found = bridge(target, z, lp, seed)
        scores.append((found.log_evidence - truth) / found.error)
        errors.append(found.error)
    assert max(errors) < 0.05
    # Twelve scores of unit variance, were the error exact: it may be wrong by 1.6.
    squares = np.sum(np.square(scores))
    assert stats.chi2.ppf(1e-4, 12) / 2.6 < squares < 2.6 * stats.chi2.ppf(1.0 - 1e-4, 12)


def test_draws_that_stick_are_worth_less(double):
    target, z, lp, truth = gaussian_case(np.random.default_rng(1), 200)
    free = bridge(target, z, lp, 1)
    stuck = bridge(target, np.repeat(z, 10, axis=1), np.repeat(lp, 10, axis=1), 1)
    many = bridge(*gaussian_case(np.random.default_rng(2), 2000)[:3], 1)
    assert stuck.error > 1.5 * many.error
    assert abs(stuck.log_evidence - truth) < 5.0 * stuck.error
    assert free.halves[0] != free.halves[1]


def test_the_seed_decides_the_mixture(double):
    target, z, lp, _ = gaussian_case(np.random.default_rng(1), 200)
    assert bridge(target, z, lp, 1) == bridge(target, z, lp, 1)
    assert bridge(target, z, lp, 1) != bridge(target, z, lp, 2)


def test_a_mixture_is_normalised_and_draws_what_it_says():
    rng = np.random.default_rng(3)
    draws = np.concatenate([rng.normal(-2, 0.5, (700, 1)), rng.normal(3, 1.0, (300, 1))])
    found = mixture.fit(draws, 4, rng)
    grid = np.linspace(-10.0, 12.0, 20001)[:, None]
    density = np.exp(found.log_density(grid))
    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1.0, abs=1e-6)
    again = found.sample(rng, 4000)[:, 0]
    cdf = np.cumsum(density) * (grid[1, 0] - grid[0, 0])
    assert stats.kstest(again, lambda x: np.interp(x, grid[:, 0], cdf)).pvalue > 1e-4
    assert stats.ks_2samp(again, draws[:, 0]).pvalue > 1e-4


def test_draws_that_are_too_few_or_not_finite_are_refused(double):
    target, z, lp, _ = gaussian_case(np.random.default_rng(1), 200)
    with pytest.raises(ArdError, match="no evidence"):
        bridge(target, z[:, :5], lp[:, :5], 1)
    lp[0, 3] = np.nan
    with pytest.raises(ArdError, match="1 densities not finite"):
        bridge(target, z, lp, 1)


def test_a_density_without_a_value_is_refused(double):
    target, z, lp, _ = gaussian_case(np.random.default_rng(1), 200)
    nowhere = type(target)(target.names, lambda z, data: np.nan * z[0], target.constrain)
    with pytest.raises(ArdError, match="no value where the draws are"):
        bridge(nowhere, z, lp, 1)
