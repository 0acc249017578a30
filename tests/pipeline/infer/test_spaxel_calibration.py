"""Are posteriors of spaxels calibrated, and would we notice if they were not?

Truths from the prior, noise from the noise model, all seeds fixed.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loading import load

from pipeline.infer.calibration import Calibration, Coverage, calibrate
from pipeline.infer.spaxel.posterior import LEVELS, fit
from pipeline.infer.spaxel.settings import Numerics, Prior

cases = load(Path(__file__).with_name("spaxel_cases.py"))
# A prior of faint lines: most are detected at a few errors, where posteriors are least Gaussian.
PRIOR = Prior(flux_snr=12.0, continuum_snr=100.0)
BATCH = 100
SETS = {
    "oiii": (cases.lines.OIII, PRIOR),
    "halpha": (cases.lines.HALPHA, PRIOR),
    "six fluxes": (cases.lines.EVERY, PRIOR),
    "any sign": (cases.lines.HALPHA, replace(PRIOR, non_negative=False)),
    "shift": (cases.lines.OIII, replace(PRIOR, offset_kms=40.0)),
}


def run(line_set, prior, batches, seed, spoil=None):
    """Calibrate; spoil: what is done to the draws of the velocity."""
    response = cases.response_of(line_set)
    # A tied line repeats another, and is no quantity of its own.
    kept = [k for k, row in enumerate(line_set.ratio) if (row == 1.0).any()]
    terms = cases.slow_continuum(response).shape[1]
    chosen = [0, 1, *(2 + k for k in kept)]
    chosen += [2 + len(line_set.names) + t for t in range(terms)]
    names = [f"parameter {k}" for k in chosen]

    def simulate(rng):
        sample = cases.from_prior(rng, response, prior, BATCH)
        return sample.parameters(response)[:, chosen], sample

    def infer(sample, seed):
        numerics = Numerics(n_draw=200, seed=seed)
        found = fit(
            *(sample.spectra, response, prior, numerics), scales=sample.scales, keep_draws=True
        )
        draws = found.draws.copy()
        if spoil:
            middle = draws[:, :, 0].mean(axis=1, keepdims=True)
            draws[:, :, 0] = middle + spoil * (draws[:, :, 0] - middle)
        return draws[:, :, chosen]

    return calibrate(names, simulate, infer, batches=batches, seed=seed)


@pytest.mark.parametrize("name", ["oiii", "halpha"])
def test_truths_lie_anywhere_in_their_posteriors_few(name):
    found = run(*SETS[name], batches=3, seed=700)
    assert found.passes().all(), found


@pytest.mark.long
@pytest.mark.parametrize("name", list(SETS))
def test_truths_lie_anywhere_in_their_posteriors(name):
    # Oracle: simulation-based calibration, 1,200 draws of the prior.
    found = run(*SETS[name], batches=12, seed=701)
    assert found.place.shape[0] == 1200
    assert found.passes().all(), found


def bright_only(line_set, batches, seed, spoil):
    """Calibrate where lines are bright: a width that is wrong shows most there."""
    return run(line_set, replace(PRIOR, flux_snr=60.0), batches, seed, spoil)


@pytest.mark.slow
def test_a_velocity_that_is_too_narrow_is_caught():
    # The defect is planted: draws 15 % nearer to their mean.
    assert bright_only(cases.lines.OIII, 12, 702, 1.0).passes().all()
    spoiled = bright_only(cases.lines.OIII, 12, 702, 0.85)
    assert not spoiled.passes()[0]
    assert spoiled.passes()[1:].all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["oiii", "halpha"])
def test_intervals_hold_what_they_say(name):
    # Oracle: the binomial distribution, 600 cases with truths from the prior.
    line_set, prior = SETS[name]
    response = cases.response_of(line_set)
    sample = cases.from_prior(np.random.default_rng(703), response, prior, 600)
    found = fit(sample.spectra, response, prior, Numerics(n_draw=1000), scales=sample.scales)
    truth = sample.parameters(response)
    low, first, _, last, high = (found.quantiles[:, :, k] for k in range(len(LEVELS)))
    for column in range(truth.shape[1]):
        for ends, stated in (((low, high), 0.95), ((first, last), 0.68)):
            inside = Coverage.of(truth[:, column], *(e[:, column] for e in ends), stated)
            assert inside.p_value > 0.001 / (2 * truth.shape[1]), (column, inside)
    assert (found.ess >= 400).all()
    assert (found.khat < 0.7).all()


def test_uniform_places_pass_and_others_do_not():
    # Oracle: construction. 1,000 places; a share of false alarms of 1 in 1,000 for each quantity.
    rng = np.random.default_rng(704)
    good = rng.random((1000, 5))
    assert Calibration.of(list("abcde"), good).passes().all()
    narrow = np.clip(0.5 + (good - 0.5) * 1.3, 0, 1)
    shifted = good**1.3
    assert not Calibration.of(list("abcde"), narrow).passes().any()
    assert not Calibration.of(list("abcde"), shifted).passes().any()


def test_the_band_holds_as_often_as_it_says():
    # Oracle: the binomial distribution; 400 sets of 200 uniform places, at 90 %.
    from pipeline.infer.calibration import within_band

    rng = np.random.default_rng(705)
    inside = sum(within_band(rng.random(200), 0.9) for _ in range(400))
    assert Coverage(0.9, inside, 400).p_value > 0.001


def test_ranks_of_equal_draws_are_spread():
    # Oracle: construction; a truth that equals all draws may have any rank.
    from pipeline.infer.calibration import place_of

    rng = np.random.default_rng(706)
    place = place_of(np.zeros((2000, 1)), np.zeros((2000, 9, 1)), rng)
    assert Calibration.of(["equal"], place).passes().all()
    assert (
        Calibration.of(
            ["less"], place_of(np.full((50, 1), -1.0), np.zeros((50, 9, 1)), rng)
        ).place.max()
        < 0.1
    )
