"""Is the truth any of the draws of its posterior? Oracle: the ranks of a calibrated sampler.

Many are judged by p > 0.001 / number of quantities, of chi-squared and of Kolmogorov-Smirnov, and
by the band in which the whole empirical distribution of the ranks lies with 99.9 %; a few by
chi-squared alone. The seed was fixed before the first look.
"""

import fits
import numpy as np
import pytest
import targets
from scipy import stats

from ard.errors import ArdError
from ard.likelihood import LinearPrior
from pipeline.infer import ranks
from pipeline.infer.calibration import Calibration, place_of
from pipeline.infer.chain import Settings
from pipeline.infer.sampler import Budget

SEED = 2024
LIMIT = 0.001
SHORT = {"settings": Settings(n_warmup=80), "gate": targets.gate}


def p_values(found, bins=10):
    """Chi-squared of the ranks in bins; ties with the truth, which floats do not have, are none."""
    n_draw = found.draws.shape[1]
    assert (n_draw + 1) % bins == 0
    edges = np.arange(bins + 1) * ((n_draw + 1) // bins) - 0.5
    counts = [np.histogram(column, edges)[0] for column in found.ranks.T]
    return {n: stats.chisquare(c).pvalue for n, c in zip(found.names, counts, strict=True)}


def narrowed(found, share):
    """The same draws, too narrow by a share."""
    middle = found.draws.mean(axis=1, keepdims=True)
    draws = middle + (1.0 - share) * (found.draws - middle)
    return ranks.Simulations(found.names, found.truths, draws, found.n_passed)


def calibrate(count, n_draw, **more):
    budget = Budget(n_first=n_draw, n_most=n_draw)
    return ranks.simulate(fits.knot_posterior(), count, SEED, budget=budget, **SHORT, **more)


def test_a_few_simulations_have_ranks_that_may_be_uniform(double):
    told = []
    found = calibrate(10, 120, say=told.append)
    assert told == list(range(1, 11))
    assert found.names[-2:] == ("amplitude_0", "log_likelihood")
    assert found.draws.shape == (10, 99, 6)
    p = p_values(found, bins=2)
    assert min(p.values()) > LIMIT / len(p), p
    # Ten truths see a posterior of a tenth of its width.
    p = p_values(narrowed(found, 0.97), bins=10)
    assert min(p.values()) < LIMIT / len(p), p


def calibration(found):
    """Try the ranks as those of spaxels are: chi-squared, Kolmogorov-Smirnov, and the band."""
    places = place_of(found.truths, found.draws, np.random.default_rng(SEED))
    return Calibration.of(found.names, places)


@pytest.mark.long
def test_many_simulations_have_uniform_ranks_and_a_defect_is_seen(double):
    # The defect is planted: draws 15 % nearer to their mean.
    found = calibrate(220, 120)
    right = calibration(found)
    assert right.passes(LIMIT).all(), right
    p = p_values(found)
    assert min(p.values()) > LIMIT / len(p), p
    defect = p_values(narrowed(found, 0.15))
    assert min(defect.values()) < LIMIT / len(defect), defect


def test_the_simulations_are_the_same_whatever_their_number(double):
    budget = Budget(n_first=20, n_most=20)
    one, two = (
        ranks.simulate(fits.knot_posterior(), n, SEED, budget=budget, n_kept=9, **SHORT)
        for n in (1, 2)
    )
    assert np.array_equal(one.draws[0], two.draws[0])
    assert np.array_equal(one.truths[0], two.truths[0])
    assert not np.array_equal(two.truths[0], two.truths[1])


def test_amplitudes_that_cannot_be_negative_are_not_simulated(double):
    one = fits.knot_posterior()
    cut = LinearPrior(np.array([8.0]), np.array([4.0]), np.array([True]))
    posterior = type(one)(one.prior, one.templates, one.data, one.noise, cut)
    with pytest.raises(ArdError, match="cannot be simulated"):
        ranks.simulate(posterior, 1, SEED, budget=Budget(), **SHORT)
