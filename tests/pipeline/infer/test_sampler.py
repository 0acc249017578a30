"""Are the draws those of the target, and the same whatever stops the sampler?

Oracles: Gaussians whose moments are known; the same chain, uninterrupted; ArviZ for the Monte
Carlo error. A statistical test allows 5 such errors in the worst of a few dozen numbers: a false
alarm in less than one of 10,000 seeds.
"""

import os
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
import targets
from arviz_stats.base import array_stats
from precision import x64

from ard.errors import ArdError, FormatError
from pipeline.infer import chain
from pipeline.infer.chain import Settings
from pipeline.infer.fit import Fit
from pipeline.infer.judge import mixing
from pipeline.infer.sampler import Budget, Starts, sample
from pipeline.infer.target import Target
from pipeline.store.blocks import SAMPLE, WARMUP, MemoryStore

QUICK = Settings(n_warmup=100)


def with_errors(draws):
    """Give all draws, and the Monte Carlo errors of each parameter's mean and deviation."""
    every = np.stack(list(draws.values()))
    axes = {"chain_axis": 1, "draw_axis": 2}
    return every, (
        array_stats.mcse(every, method="mean", **axes),
        array_stats.mcse(every, method="sd", **axes),
    )


def fit(target, starts, store=None, *, settings=QUICK, seed=7, gate=targets.gate, **more):
    run = targets.run_of(target, starts, settings, seed=seed)
    store = MemoryStore() if store is None else store
    return sample(target, starts, run, store, settings=settings, gate=gate, **more), store, run


def test_moments_of_a_gaussian(precision):
    mean, covariance = np.array([1.0, -2.0]), np.array([[2.0, 0.9], [0.9, 0.5]])
    target = targets.gaussian(mean, covariance)
    outcome, _, _ = fit(target, targets.starts_of(mean, covariance))
    assert outcome.passed
    assert outcome.status == "passed"
    draws, (of_mean, of_sd) = with_errors(outcome.draws)
    assert np.all(np.abs(draws.mean(axis=(1, 2)) - mean) < 5.0 * of_mean)
    assert np.all(np.abs(draws.std(axis=(1, 2)) - np.sqrt(np.diagonal(covariance))) < 5.0 * of_sd)
    assert 0.7 < outcome.stats["acceptance_rate"].mean() < 0.97
    assert outcome.stats["diverging"].dtype == bool


def test_moments_in_twelve_correlated_dimensions_from_a_poor_metric(double):
    mean, covariance = targets.correlated(12)
    poor = np.diag(np.diagonal(covariance)) * np.logspace(-0.5, 0.5, 12)
    starts = targets.starts_of(mean, covariance, metric=poor)
    outcome, _, _ = fit(targets.gaussian(mean, covariance), starts, settings=Settings(n_warmup=500))
    assert outcome.passed, outcome.sentence
    draws, (of_mean, of_sd) = with_errors(outcome.draws)
    assert np.all(np.abs(draws.mean(axis=(1, 2)) - mean) < 5.0 * of_mean)
    assert np.all(np.abs(draws.std(axis=(1, 2)) - np.sqrt(np.diagonal(covariance))) < 5.0 * of_sd)
    flat = draws.reshape(12, -1)
    # ... and along each axis of the covariance, which see the correlations.
    values, axes = np.linalg.eigh(np.corrcoef(flat))
    spread = np.sqrt(np.diagonal(covariance))
    truth = np.diagonal(axes.T @ (covariance / np.outer(spread, spread)) @ axes)
    assert np.all(np.abs(values / truth - 1.0) < 5.0 * np.sqrt(2.0 / outcome.mixing.ess))


def test_chains_in_one_program_agree_with_the_target(double):
    mean, covariance = targets.correlated(3)
    target = targets.gaussian(mean, covariance)
    starts = targets.starts_of(mean, covariance)
    outcome, store, run = fit(target, starts, together=True)
    draws, (of_mean, _) = with_errors(outcome.draws)
    assert outcome.passed
    assert np.all(np.abs(draws.mean(axis=(1, 2)) - mean) < 5.0 * of_mean)
    _, again, _ = fit(target, starts, together=True, budget=Budget(block=77))
    assert targets.digests(store, run) == targets.digests(again, run)


def test_chains_in_processes_are_those_of_one_process(double):
    mean, covariance = targets.correlated(3)
    target = targets.gaussian(mean, covariance)
    starts = targets.starts_of(mean, covariance)
    budget = Budget(block=60, n_first=60, n_most=60)
    (_, one, run), (_, two, _) = (
        fit(target, starts, budget=budget, gate=targets.never, workers=n) for n in (1, 2)
    )
    assert targets.digests(one, run) == targets.digests(two, run)


def test_chains_go_on_after_a_process_that_computed_them_was_killed(double):
    mean, covariance = targets.correlated(3)
    target = targets.gaussian(mean, covariance)
    starts = targets.starts_of(mean, covariance)
    budget = Budget(block=30, n_first=60, n_most=60)
    _, whole, run = fit(target, starts, budget=budget, gate=targets.never)
    store = MemoryStore()
    killed = []

    def kill(_progress):
        if store.n_draw(run.name, 0, WARMUP) and not killed:
            killed.append(workers_of_chains()[0])
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(ArdError, match="a process that computes chains died") as caught:
        fit(target, starts, budget=budget, gate=targets.never, workers=2, store=store, say=kill)
    assert "go on from there" in caught.value.action
    assert killed
    assert workers_of_chains() == []
    fit(target, starts, budget=budget, gate=targets.never, store=store)
    assert targets.digests(store, run) == targets.digests(whole, run)


def workers_of_chains():
    """The processes that this one has started for chains."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(place.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            command = place.joinpath("cmdline").read_text()
        except OSError:
            continue
        if parent == os.getpid() and "popen_loky" in command:
            found.append(int(place.name))
    return found


def test_divergences_of_a_funnel_are_said(double):
    target = targets.funnel(8)
    starts = targets.starts_of(np.zeros(8), np.eye(8))
    outcome, _, _ = fit(target, starts, budget=Budget(n_first=500, n_most=500))
    assert not outcome.passed
    assert outcome.stats["diverging"].sum() > 0
    assert "divergent" in outcome.sentence
    assert outcome.status == "draws"


def test_chains_in_two_modes_do_not_pass(double):
    places = np.array([[-20.0, 0.0], [20.0, 0.0]])
    target = targets.two_modes(places, 1.0, [0.5, 0.5])
    starts = Starts(np.repeat(places, 2, axis=0), np.eye(2))
    outcome, _, _ = fit(target, starts, budget=Budget(n_first=400, n_most=400))
    assert not outcome.passed
    assert outcome.mixing.rhat > 1.5
    assert "R-hat" in outcome.sentence
    means = outcome.draws["p0"].mean(axis=1)
    assert np.all(np.sign(means) == [-1, -1, 1, 1])


class Dying(MemoryStore):
    """Dies as a block is stored: before it is kept, or after."""

    def __init__(self, after):
        super().__init__()
        self.left, self.keep = after, False

    def append(self, run, block):
        self.left -= 1
        if self.left == 0:
            if self.keep:
                super().append(run, block)
            raise InterruptedError
        super().append(run, block)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_a_run_that_is_stopped_goes_on_bit_for_bit(double, keep, together):
    mean, covariance = targets.correlated(4)
    target = targets.gaussian(mean, covariance)
    starts = targets.starts_of(mean, covariance)
    budget = Budget(block=30, n_first=100, n_most=100)
    more = {"budget": budget, "gate": targets.never, "together": together}
    _, whole, run = fit(target, starts, **more)
    store = Dying(0)
    store.keep = keep
    for after in (1, 2, 7, 5, 3):
        store.left = after
        with pytest.raises(InterruptedError):
            fit(target, starts, store, **more)
    store.left = -1
    fit(target, starts, store, **more)
    assert targets.digests(store, run) == targets.digests(whole, run)
    last = [s.latest(run.name, 2).sha256 for s in (store, whole)]
    assert last[0] == last[1]


def test_block_length_does_not_change_the_draws(precision):
    mean, covariance = targets.correlated(4)
    target = targets.gaussian(mean, covariance)
    starts = targets.starts_of(mean, covariance)
    found = []
    for block in (7, 64, 200):
        budget = Budget(block=block, n_first=90, n_most=90)
        _, store, run = fit(target, starts, budget=budget, gate=targets.never)
        found.append(targets.digests(store, run))
        assert store.latest(run.name, 0).phase == SAMPLE
        warm = list(store.blocks(run.name, 0, WARMUP))
        assert sum(len(b.draws) for b in warm) == QUICK.n_warmup
        firsts = [b.first_draw for b in store.blocks(run.name, 0)]
        assert firsts == list(range(0, 90, block))
    assert found[0] == found[1] == found[2]


def test_seeds_and_chains_have_draws_of_their_own(double):
    target = targets.gaussian(np.zeros(2), np.eye(2))
    starts = Starts(np.zeros((4, 2)), np.eye(2))  # all from one place
    budget = Budget(n_first=20, n_most=20)
    found = set()
    for seed in (7, 8):
        _, store, run = fit(target, starts, seed=seed, budget=budget, gate=targets.never)
        found |= set(targets.digests(store, run))
    assert len(found) == 8


def test_a_finished_run_is_not_sampled_again(double):
    target = targets.gaussian(np.zeros(2), np.eye(2))
    starts = targets.starts_of(np.zeros(2), np.eye(2))
    first, store, run = fit(target, starts)
    before = [store.latest(run.name, c).index for c in range(4)]
    again, _, _ = fit(target, starts, store)
    assert again.passed
    assert [store.latest(run.name, c).index for c in range(4)] == before
    assert np.array_equal(again.draws["p1"], first.draws["p1"])


def test_other_settings_are_another_run(double):
    target = targets.gaussian(np.zeros(2), np.eye(2))
    starts = targets.starts_of(np.zeros(2), np.eye(2))
    budget = Budget(n_first=20, n_most=20)
    _, store, _ = fit(target, starts, budget=budget)
    other = Settings(n_warmup=100, target_acceptance=0.9)
    with pytest.raises(ArdError, match="other settings"):
        fit(target, starts, store, settings=other, budget=budget)


def test_no_time_is_a_status_and_the_chains_go_on_later(double):
    target = targets.gaussian(np.zeros(2), np.eye(2))
    starts = targets.starts_of(np.zeros(2), np.eye(2))
    outcome, store, run = fit(target, starts, budget=Budget(wall_s=0.0))
    assert outcome.status == "wall_clock"
    assert outcome.n_draw == 0
    assert "0 s are over" in outcome.sentence
    assert store.latest(run.name, 0) is None
    # Ended in the middle: chains have blocks of their own, and as many draws as all have count.
    fit(target, starts, store, budget=Budget(n_first=50, n_most=50), gate=targets.never)
    later, _, _ = fit(target, starts, store)
    assert later.passed


def test_draws_and_effective_draws_end_a_run(double):
    target = targets.gaussian(np.zeros(2), np.eye(2))
    starts = targets.starts_of(np.zeros(2), np.eye(2))
    budget = Budget(block=100, n_first=100, n_most=300)
    outcome, _, _ = fit(target, starts, gate=targets.never, budget=budget)
    assert (outcome.status, outcome.n_draw) == ("draws", 300)
    assert "never good enough" in outcome.sentence
    budget = Budget(block=100, n_first=100, n_most=5000, n_effective=500)
    outcome, _, _ = fit(target, starts, gate=targets.never, budget=budget)
    assert outcome.status == "effective"
    assert outcome.mixing.ess >= 500
    assert outcome.n_draw < 1000


def test_what_more_draws_cannot_mend_ends_a_run(double):
    target = targets.gaussian(np.zeros(2), np.eye(2))
    starts = targets.starts_of(np.zeros(2), np.eye(2))
    asked = []

    def gate(draws, stats):
        asked.append(draws["p0"].shape[1])
        return targets.Verdict(False, ("1 trajectories diverged",), final=True)

    budget = Budget(block=100, n_first=200, n_most=1000)
    outcome, _, _ = fit(target, starts, gate=gate, budget=budget)
    assert (outcome.status, outcome.n_draw, asked) == ("final", 200, [200])
    assert "would not mend it" in outcome.sentence
    assert "1 trajectories diverged" in outcome.sentence


def test_progress_is_told(double):
    target = targets.gaussian(np.zeros(2), np.eye(2))
    starts = targets.starts_of(np.zeros(2), np.eye(2))
    said = []
    outcome, _, _ = fit(target, starts, say=said.append, budget=Budget(block=50, n_first=200))
    assert [p.n_draw for p in said[:3]] == [0, 50, 0]
    assert [p.phase for p in said[:3]] == [WARMUP, WARMUP, SAMPLE]
    assert said[-1].n_draw == outcome.n_draw
    assert said[-1].mixing == mixing(outcome.draws)
    assert np.isnan(said[0].eta_s)
    assert all(p.eta_s >= 0.0 for p in said[1:])
    assert np.all(np.diff([p.elapsed_s for p in said]) >= 0.0)


def test_a_start_without_a_value_is_refused(double):
    def log_density(z, data):
        return jax.numpy.log(z[0]) - z[1] ** 2

    target = Target(("speed", "width"), log_density, np.asarray)
    starts = Starts(np.array([[-1.0, 0.5]] * 4), np.eye(2))
    with pytest.raises(ArdError, match=r"cannot start(.|\n)*speed = -1, width = 0.5"):
        fit(target, starts)


def test_a_state_of_another_precision_or_of_something_else_is_refused():
    with x64(True):
        target = targets.gaussian(np.zeros(2), np.eye(2))
        data = chain.pack(chain.start(target, np.zeros(2), np.eye(2), 0.5))
        assert chain.pack(chain.unpack(data)) == data
        for wrong in (b"", data[:-1], data + b"x", data.replace(b"log_step", b"lag_step")):
            with pytest.raises(FormatError, match="no state"):
                chain.unpack(wrong)
    with x64(False), pytest.raises(FormatError, match="another precision"):
        chain.unpack(data)


def test_parts_that_do_not_fit_are_refused(double):
    target = targets.gaussian(np.zeros(2), np.eye(2))
    starts = targets.starts_of(np.zeros(3), np.eye(3))
    with pytest.raises(ArdError, match="belong together"):
        fit(target, starts)


@pytest.mark.parametrize("change", [{"block": 0}, {"n_first": 9, "n_most": 8}, {"wall_s": -1.0}])
def test_impossible_budgets_are_refused(change):
    with pytest.raises(ArdError, match="budget"):
        Budget(**change)


def test_the_sampler_changes_no_dtype_without_being_asked(precision, strict):
    def log_density(z, data):
        return -0.5 * z @ z

    target = Target(("a", "b"), log_density, np.asarray)
    starts = targets.starts_of(np.zeros(2), np.eye(2))
    outcome, _, _ = fit(target, starts, budget=Budget(n_first=40, n_most=40))
    assert outcome.n_draw == 40


@pytest.mark.parametrize("seed", [-1, 2**32, 2**32 + 1, 2**63])
def test_a_seed_that_would_be_another_or_none_is_refused(seed, precision):
    """In single precision, JAX takes 2^32 + 1 for 1, and ends at 2^63 in either."""
    with pytest.raises(ArdError, match="seed of chains cannot be used"):
        chain.key_of(seed, 0)
    with pytest.raises(ArdError, match="seed of chains cannot be used"):
        Fit(seed=seed)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_the_key_of_a_seed_is_that_of_jax_in_either_precision(seed, precision):
    expected = jax.random.fold_in(jax.random.key(seed), 3)
    found = chain.key_of(Fit(seed=seed).seed, 3)
    assert np.array_equal(jax.random.key_data(found), jax.random.key_data(expected))
