"""Do chains draw from the posterior that is summed?

Oracle: the sum, whose marginals are exact. Agreement: medians within 0.05 standard deviations, and
a Wasserstein distance below that of two sets of as many independent draws, three times over.
"""

import h5netcdf
import numpy as np
import pytest
import targets
from precision import x64
from scipy import stats
from shock_cases import LINES, allen_block

from ard.errors import ArdError
from manifests.shocks import load_shocks
from pipeline.infer.chain import Settings
from pipeline.infer.prior import prior_from
from pipeline.infer.sampler import Budget, sample
from pipeline.shocks.chains import density, run_of, starts_from
from pipeline.shocks.draws import draw
from pipeline.shocks.grid import HALPHA
from pipeline.shocks.interpolate import Steps, refine
from pipeline.shocks.lattice import B, V
from pipeline.shocks.likelihood import LineFluxes, errors_for, log_likelihood, prepare
from pipeline.shocks.nodes import priors_for
from pipeline.shocks.posterior import Quadrature
from pipeline.shocks.summary import quantiles
from pipeline.shocks.toy import TOY_LINES, toy_loglinear
from pipeline.store.blocks import MemoryStore
from pipeline.store.netcdf import export_netcdf

ASSUMED = load_shocks()
NAMES = tuple(toy.line.name for toy in TOY_LINES)
SETTINGS = Settings(n_warmup=300)


@pytest.fixture(autouse=True)
def double():
    with x64(True):
        yield


@pytest.fixture(scope="module")
def fitted():
    lattice = refine(toy_loglinear(), NAMES, Steps(9, 5))
    errors = errors_for(lattice.lines, ASSUMED, 0.03)
    choices = priors_for(lattice, ASSUMED)
    quadrature = Quadrature(lattice, errors, choices)
    model = 10.0 ** lattice.log_ratio[0, 30, 90]
    flux = np.array([[100.0, *(100.0 * model)]])
    error = np.array([[3.0, 3.0, 30.0, 3.0, 3.0]])
    data = LineFluxes.of_errors((HALPHA, *NAMES), flux, error)
    (datum,) = prepare(data, errors)
    assert (len(datum.strong), len(datum.weak)) == (3, 1)
    return lattice, choices, quadrature, data, datum


@pytest.mark.parametrize("place", [0, 2])
def test_the_density_is_that_of_the_sum(fitted, place):
    lattice, choices, _, _, datum = fitted
    chains = density(lattice, choices[place])
    target = chains.target(datum)
    rng = np.random.default_rng(1)
    for _ in range(3):
        z = rng.normal(size=2)
        own = chains.prior.constrain(z)
        named = {name: np.array(value) for name, value in zip(chains.prior.names, own, strict=True)}
        found = chains.values(named)
        x = [axis.coordinate(found[axis.name]) for axis in lattice.axes]
        ratio = np.asarray(lattice.at(np.array(x))[0])
        expected = np.log(np.mean(np.exp(log_likelihood(datum, ratio)[0])))
        expected += chains.prior.log_density(z)
        assert float(target.log_density(z, target.data)) == pytest.approx(expected, rel=1e-9)


def test_chains_agree_with_the_sum_and_are_archived(fitted, tmp_path):
    lattice, choices, quadrature, data, datum = fitted
    chains = density(lattice, choices[0])
    starts = starts_from(chains, quadrature, 0, datum, 8, 11)
    run = run_of(chains, starts, SETTINGS, name="shock", seed=12, digests={"data": "d"})
    assert prior_from(run.prior).names == ("ln_b_plus_0.3", "v_kms")
    budget = Budget(block=500, n_first=1000, n_most=1000)
    store = MemoryStore()
    outcome = sample(chains.target(datum), starts, run, store, settings=SETTINGS,
                     budget=budget, gate=targets.gate)  # fmt: skip
    assert outcome.passed, outcome.sentence
    found = quadrature.fit(data)[0]
    made = draw(lattice, quadrature.priors[0], quadrature.joint(datum), 8000,
                np.random.default_rng(13))  # fmt: skip
    values = chains.values(outcome.draws)
    for place, name in enumerate((B, V)):
        own, exact = np.log(values[name].ravel()), quantiles(found, name, (0.16, 0.5, 0.84))[0]
        sigma = 0.5 * (np.log(exact[2]) - np.log(exact[0]))
        assert abs(np.median(own) - np.log(exact[1])) < 0.05 * sigma
        other = np.log(made.values[:, place])
        assert stats.wasserstein_distance(own, other) < 0.06 * sigma

    export_netcdf(store, "shock", tmp_path / "chains.nc", chains.content(datum))
    with h5netcdf.File(tmp_path / "chains.nc", "r") as file:
        groups = {name: file.groups[name].variables for name in file.groups}
        assert groups["posterior"]["b"][...] == pytest.approx(values[B], rel=1e-6)
        # Prior and likelihood add up to what the sampler says, but for the change of scale.
        place = tuple(range(0, 1000, 250))
        kept = np.stack([groups["posterior"][n][0, place] for n in chains.prior.names], axis=-1)
        z = chains.prior.unconstrain(kept.astype(float))
        lines = chains.content(datum).log_likelihood(kept.astype(float))["lines"]
        expected = groups["sample_stats"]["lp"][0, place] - chains.prior.log_density(z)
        assert lines == pytest.approx(expected, abs=1e-2)
        assert "lines" in groups["log_likelihood"]


def assert_as_near_as_asked(lattice, choices, quadrature, data, datum, place):
    """reference/shocks.md section 6: 0.05 and 0.02 sigma, R-hat 1.01, 1000 effective draws."""
    chains = density(lattice, choices[place])
    starts = starts_from(chains, quadrature, place, datum, 8, 31)
    run = run_of(chains, starts, SETTINGS, name="shock", seed=32 + place, digests={"data": "d"})
    budget = Budget(block=1000, n_first=4000, n_most=4000)
    outcome = sample(chains.target(datum), starts, run, MemoryStore(), settings=SETTINGS,
                     budget=budget, gate=targets.gate)  # fmt: skip
    assert outcome.passed, outcome.sentence
    assert outcome.mixing.rhat < 1.01
    assert outcome.mixing.ess > 1000
    found, values = quadrature.fit(data)[place], chains.values(outcome.draws)
    for name in (B, V):
        axis = lattice.axis(name)
        own = np.sort(axis.coordinate(values[name].ravel()))
        # Against the quantile function of the sum itself, not against other draws.
        levels = (np.arange(own.size) + 0.5) / own.size
        exact = axis.coordinate(quantiles(found, name, levels)[0])
        sigma = exact.std()
        assert abs(np.median(own) - np.median(exact)) < 0.05 * sigma
        assert np.abs(own - exact).mean() < 0.02 * sigma


@pytest.mark.long
@pytest.mark.parametrize("place", [0, 1, 2])
def test_many_draws_are_as_near_as_the_study_asks(fitted, place):
    assert_as_near_as_asked(*fitted, place)


@pytest.mark.long
@pytest.mark.real_data
@pytest.mark.parametrize("v", [12, 26])
def test_many_draws_of_the_real_grid_are_as_near(shared_data, v):
    grid = allen_block(shared_data)
    lattice = refine(grid, LINES)
    errors, choices = errors_for(lattice.lines, ASSUMED), priors_for(lattice, ASSUMED)
    quadrature = Quadrature(lattice, errors, choices)
    model = 10.0 ** grid.log_ratio[1, 0, 4, v][grid.line_index(LINES)]
    data = LineFluxes.of_errors((HALPHA, *LINES), [[1.0, *model]], [[0.03, *(0.03 * model)]])
    (datum,) = prepare(data, errors)
    assert_as_near_as_asked(lattice, choices, quadrature, data, datum, 0)


def test_what_is_fixed_has_no_chain(fitted):
    lattice, *_ = fitted
    (choice,) = priors_for(lattice, ASSUMED, ("fixed",))
    with pytest.raises(ArdError, match="fixed has no chain"):
        density(lattice, choice)
