"""Two components against one: a dense grid in four dimensions, and what Bayes says of ln B.

Truths from the prior, noise from the noise model, all seeds fixed.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loading import load
from scipy import stats

from ard.maps import Flag
from pipeline.infer.spaxel.pair import fit_pairs
from pipeline.infer.spaxel.posterior import fit
from pipeline.infer.spaxel.settings import Numerics, Prior

cases = load(Path(__file__).with_name("spaxel_cases.py"))
PRIOR = Prior(flux_snr=30.0, continuum_snr=100.0)
SMALL = replace(PRIOR, velocity_max_kms=400.0, sigma_max_kms=300.0)
OIII = cases.lines.OIII


def simulated(rng, response, prior, n, *, two):
    """Spaxels with one component, or two, from the prior; and the second."""
    first = cases.from_prior(rng, response, prior, n)
    if not two:
        return first, None
    second = cases.from_prior(rng, response, prior, n)
    light = np.concatenate(
        [
            cases.slow_templates(response, second.velocity[k : k + 1], second.sigma[k : k + 1])
            @ second.amplitude[k]
            for k in range(n)
        ]
    )
    spectra = replace(first.spectra, flux=first.spectra.flux + light)
    return replace(first, spectra=spectra), second


def inferred(sample, response, prior, **settings):
    numerics = Numerics(n_draw=400, seed=41)
    one = fit(sample.spectra, response, prior, numerics, scales=sample.scales)
    return one, fit_pairs(sample.spectra, response, prior, numerics, one, **settings)


def dense_pairs(sample, row, response, prior, shape=(50, 18)):
    """ln of the evidence of two over none, and means of the pair in order of velocity.

    A regular grid over both components; of two fluxes the probability to be positive is that of a
    bivariate normal, by its distribution function.
    """
    spectra, good = sample.spectra, sample.spectra.good[row]
    y, error = spectra.flux[row, good], spectra.sigma[row, good]
    terms = cases.slow_continuum(response)[good]
    cov = spectra.correlation[np.ix_(good, good)] * np.outer(error, error)
    inverse = np.linalg.inv(cov + sample.scales.continuum**2 * terms @ terms.T)
    top = prior.velocity_max_kms
    v = (np.arange(shape[0]) + 0.5) / shape[0] * 2 * top - top
    s = (np.arange(shape[1]) + 0.5) / shape[1] * prior.sigma_max_kms
    v, s = (axis.ravel() for axis in np.meshgrid(v, s, indexing="ij"))
    light = cases.slow_templates(response, v, s)[:, good, 0] * sample.scales.flux[0]
    normal, pull = light @ inverse @ light.T, light @ (inverse @ y)
    own = np.diag(normal)
    a, b, c = own[:, None] + 1.0, own[None, :] + 1.0, normal
    det = a * b - c**2
    mean_1 = (b * pull[:, None] - c * pull[None, :]) / det
    mean_2 = (a * pull[None, :] - c * pull[:, None]) / det
    gain = 0.5 * (pull[:, None] * mean_1 + pull[None, :] * mean_2) - 0.5 * np.log(det)
    h, k = mean_1 / np.sqrt(b / det), mean_2 / np.sqrt(a / det)
    rho = np.clip(-c / np.sqrt(a * b), -0.999999, 0.999999)
    # P(x > -h, y > -k) = P(x < h, y < k), by Gauss-Legendre over the first.
    nodes, weights = np.polynomial.legendre.leggauss(48)
    low, high = -9.0, np.clip(h, -8.9, 9.0)
    share = np.zeros(h.shape)
    for node, weight in zip(nodes, weights, strict=True):
        x = low + (high - low) * 0.5 * (node + 1.0)
        inner = stats.norm.cdf((k - rho * x) / np.sqrt(1.0 - rho**2))
        share += 0.5 * weight * (high - low) * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi) * inner
    log_prior = stats.halfnorm.logpdf(s, scale=prior.sigma_scale_kms) - np.log(
        stats.halfnorm.cdf(prior.sigma_max_kms, scale=prior.sigma_scale_kms) * 2 * top
    )
    with np.errstate(divide="ignore"):
        density = gain + np.log(4.0 * share) + log_prior[:, None] + log_prior[None, :]
    area = (2 * top / shape[0] * prior.sigma_max_kms / shape[1]) ** 2
    weight = np.exp(density - density.max())
    total = weight.sum()
    lower, upper = np.minimum(v[:, None], v[None]), np.maximum(v[:, None], v[None])
    means = [(weight * each).sum() / total for each in (lower, upper)]
    spread = np.sqrt((weight * lower**2).sum() / total - means[0] ** 2)
    return np.log(total * area) + density.max(), np.array(means), spread


@pytest.mark.parametrize("two", [False, True])
def test_a_dense_grid_agrees(two):
    # Oracle: 900 x 900 places; spaxels so faint that posteriors are wider than its 16 km/s.
    response = cases.response_of(OIII)
    prior = replace(SMALL, flux_snr=10.0)
    sample, _ = simulated(np.random.default_rng(42), response, prior, 8, two=two)
    one, pair = inferred(sample, response, prior, log_bayes_min=8.0)
    tried = np.flatnonzero(np.isfinite(pair.log_bayes) & (pair.flag == 0))[:3]
    assert tried.size >= 2
    for k in tried:
        log_bayes, means, spread = dense_pairs(sample, k, response, prior)
        assert pair.log_bayes[k] + one.log_bayes[k] == pytest.approx(log_bayes, abs=0.15)
        columns = [pair.names.index("velocity_1"), pair.names.index("velocity_2")]
        np.testing.assert_allclose(pair.mean[k, columns], means, atol=0.2 * spread + 2.0)


def mixed(seed, n, line_set, prior):
    """ln B of spaxels with one component and with two, of those that were tried; and flags."""
    response = cases.response_of(line_set)
    found = []
    for two in (False, True):
        sample, _ = simulated(np.random.default_rng([seed, two]), response, prior, n, two=two)
        pair = inferred(sample, response, prior)[1]
        tried = np.isfinite(pair.log_bayes)
        found.append((pair.log_bayes[tried], pair.flag[tried]))
    return found


def bayes_is_kept(found):
    """Hold ln B against the odds that it states, even before the data.

    Of spaxels with one component, ln B > 3 in at most exp(-3) (Markov: the mean of B is 1); the sum
    of the probabilities of two is the number of those with two.
    """
    (one, _), (two, _) = found
    over = int((one > 3.0).sum())
    assert stats.binom.sf(over - 1, one.size, np.exp(-3.0)) > 0.001
    probability = 1.0 / (1.0 + np.exp(-np.concatenate([one, two])))
    spread = np.sqrt((probability * (1.0 - probability)).sum())
    return abs(probability.sum() - two.size) / spread


def test_the_odds_are_what_they_say_few():
    # Oracle: Bayes' theorem; 15 spaxels of either kind.
    found = mixed(43, 15, OIII, PRIOR)
    assert found[0][0].size + found[1][0].size > 20
    assert bayes_is_kept(found) < 3.3
    assert np.mean(np.concatenate([flag for _, flag in found]) != 0) < 0.2


@pytest.mark.long
@pytest.mark.parametrize(("name", "n"), [("OIII", 120), ("HALPHA", 60)])
def test_the_odds_are_what_they_say(name, n):
    # Oracle: Bayes' theorem; n spaxels of either kind. And the defect is planted: ln B that is
    # too large by 3 must be seen.
    found = mixed(44, n, getattr(cases.lines, name), PRIOR)
    assert bayes_is_kept(found) < 3.3
    raised = [(log_bayes + 3.0, flag) for log_bayes, flag in found]
    with pytest.raises(AssertionError):
        assert bayes_is_kept(raised) < 3.3


def test_two_that_are_apart_are_found():
    # Inverse construction: 400 km/s apart, at 60 errors each.
    response = cases.response_of(OIII)
    rng = np.random.default_rng(45)
    truth = (np.full(6, -200.0), np.full(6, 60.0), np.full((6, 1), 60.0))
    sample = cases.observe(rng, response, PRIOR, truth, flux_snr=True)
    other = cases.slow_templates(response, np.full(1, 200.0), np.full(1, 90.0))[0]
    light = other @ sample.amplitude[0]
    spectra = replace(sample.spectra, flux=sample.spectra.flux + light)
    _, pair = inferred(replace(sample, spectra=spectra), response, PRIOR)
    good = pair.flag == 0
    assert good.sum() >= 4
    assert (pair.log_bayes[good] > 5.0).all()
    for name, value in {
        **{"velocity_1": -200.0, "velocity_2": 200.0, "sigma_1": 60.0, "sigma_2": 90.0},
        **{f"flux_oiii4959_{k}": sample.amplitude[0, 0] for k in (1, 2)},
    }.items():
        column = pair.names.index(name)
        off = (pair.mean[good, column] - value) / pair.sd[good, column]
        assert np.abs(off).max() < 4.0, name
    assert (np.diff(pair.quantiles[good], axis=2) >= 0).all()


def test_what_is_not_tried_says_so_and_equal_seeds_give_equal_numbers():
    response = cases.response_of(OIII)
    sample, _ = simulated(np.random.default_rng(46), response, PRIOR, 5, two=True)
    one = inferred(sample, response, PRIOR, log_bayes_min=np.inf)[0]
    least = float(np.median(one.log_bayes))
    one, pair = inferred(sample, response, PRIOR, log_bayes_min=least)
    tried = one.log_bayes >= least
    assert tried.sum() == 3
    np.testing.assert_array_equal(np.isfinite(pair.log_bayes), tried)
    assert np.isnan(pair.mean[~tried]).all()
    again = inferred(sample, response, PRIOR, log_bayes_min=least)[1]
    np.testing.assert_array_equal(again.mean, pair.mean)
    np.testing.assert_array_equal(again.log_bayes, pair.log_bayes)


def test_too_few_samples_are_flagged_and_kept():
    response = cases.response_of(OIII)
    sample, _ = simulated(np.random.default_rng(47), response, PRIOR, 3, two=True)
    _, pair = inferred(sample, response, PRIOR, candidates=(300,))
    tried = np.isfinite(pair.log_bayes)
    assert tried.any()
    assert (pair.flag[tried] == Flag.BELOW_GATE).all()
    assert np.isfinite(pair.mean[tried]).all()


def test_a_shift_is_refused():
    response = cases.response_of(OIII)
    prior = replace(PRIOR, offset_kms=10.0)
    sample, _ = simulated(np.random.default_rng(48), response, prior, 2, two=False)
    with pytest.raises(ValueError, match="shift"):
        inferred(sample, response, prior)
