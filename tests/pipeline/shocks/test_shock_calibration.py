"""Do truths lie in the posteriors of shocks as they should?

Oracle: simulation-based calibration (Talts et al. 2018). Truths are drawn from the prior, A_V and
the errors of the models from theirs, and noise is added to fluxes. Seeds were fixed beforehand.
False alarms: 0.1 % shared by all quantities, and 0.1 % for each band.
"""

import functools

import jax
import numpy as np
import pytest
from precision import x64
from shock_cases import LINES, allen_block

from manifests.shocks import load_shocks
from pipeline.infer.calibration import calibrate
from pipeline.shocks.draws import draw
from pipeline.shocks.grid import HALPHA
from pipeline.shocks.interpolate import Steps, refine
from pipeline.shocks.likelihood import LineFluxes, errors_for, log_likelihood, prepare
from pipeline.shocks.nodes import priors_for
from pipeline.shocks.posterior import Quadrature
from pipeline.shocks.toy import TOY_LINES, toy_loglinear

ASSUMED = load_shocks()
NAMES = tuple(toy.line.name for toy in TOY_LINES)
QUANTITIES = ("b", "v_kms", "log_oh", "log_likelihood")
N_DRAW = 199


class Trial:
    """Simulates spaxels of a grid, and fits them."""

    def __init__(self, grid, lines, place, weak=None):
        self.lattice = refine(grid, lines, Steps(9, 5))
        self.errors = errors_for(self.lattice.lines, ASSUMED)
        choices = priors_for(self.lattice, ASSUMED)[place : place + 1]
        self.quadrature = Quadrature(self.lattice, self.errors, choices)
        self.prior, self.weak = self.quadrature.priors[0], weak
        self.oh = np.array([one.log_oh for one in self.lattice.sets])
        self._at = jax.jit(jax.vmap(self.lattice.at))

    def ratios(self, sets, x):
        found, inside = self._at(x)
        found = np.asarray(found)[np.arange(len(x)), sets]
        assert np.asarray(inside)[np.arange(len(x)), sets].all()
        return found

    def rows(self, found, datum):
        """Give the quantities of draws, (n, 4)."""
        models = self.ratios(found.sets, found.x)
        ln = log_likelihood(datum, models)[0]
        return np.column_stack([found.values, self.oh[found.sets], ln])

    def simulate(self, rng, count):
        truth = draw(self.lattice, self.prior, self.prior.weight, count, rng)
        chosen, own = self.errors, self.ratios(truth.sets, truth.x)
        av = rng.normal(chosen.av_mean_mag, chosen.av_sigma_mag, (count, 1))
        error = rng.normal(size=own.shape) * chosen.floor_dex
        flux = 10.0 ** np.column_stack([np.zeros(count), own + av * chosen.reddening + error])
        sigma = flux * 0.03
        if self.weak is not None:
            sigma[:, 1 + self.weak] = np.median(flux[:, 1 + self.weak])
        seen = flux + sigma * rng.normal(size=flux.shape)
        data = LineFluxes.of_errors((HALPHA, *self.errors.lines), seen, sigma)
        ln = [log_likelihood(datum, row)[0] for datum, row in zip(
            prepare(data, chosen), own, strict=True)]  # fmt: skip
        return np.column_stack([truth.values, self.oh[truth.sets], ln]), data

    def infer(self, data, seed):
        rng = np.random.default_rng(seed)
        made = []
        for datum in prepare(data, self.errors):
            weight = self.quadrature.joint(datum)
            found = draw(self.lattice, self.prior, weight, N_DRAW, rng)
            made.append(self.rows(found, datum))
        return np.array(made)


def passes(trial, batches, size, seed):
    with x64(True):
        found = calibrate(QUANTITIES, functools.partial(trial.simulate, count=size), trial.infer,
                          batches=batches, seed=seed)  # fmt: skip
    return found.passes(), (found.chi2_p, found.ks_p, found.in_band)


@pytest.mark.parametrize("weak", [None, 1])
def test_truths_lie_as_they_should(weak):
    good, why = passes(Trial(toy_loglinear(), NAMES, 0, weak), 2, 75, 20260)
    assert good.all(), why


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_thousand_truths_lie_as_they_should(place):
    good, why = passes(Trial(toy_loglinear(), NAMES, place), 10, 100, 20261 + place)
    assert good.all(), why


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("weak", [None, 1])
def test_a_thousand_truths_of_the_real_grid_lie_as_they_should(shared_data, weak):
    trial = Trial(allen_block(shared_data), LINES, 0, weak)
    good, why = passes(trial, 10, 100, 20264)
    assert good.all(), why
