"""Does the gate stop every bad set of chains, and no good one?

Oracle: the construction. The bad ones are planted, most of them let through or half seen by ArviZ
(reference/inference.md section 4); good ones are independent draws.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from chains import SHAPE, autoregressive, iid, nuts_stats, planted

import schemas
from ard.errors import ArdError
from checks.convergence import accepted, chain_limits, diagnose, gate, measured_from

LIMITS = chain_limits()
# Which limit has to stop each of the planted chains, and in which words.
STOPPED_BY = {
    "constant": ("convergence.distinct", "v: a chain is stuck"),
    "nan": ("convergence.bad_draws", "v: 1 draws are not finite"),
    "inf": ("convergence.bad_draws", "v: 1 draws are not finite"),
    "single": ("convergence.chains", "1 chains are not enough"),
    "stuck": ("convergence.distinct", "v: a chain is stuck"),
    "wide": ("convergence.ess_tail", "v: the tails have"),
    "second mode": ("convergence.rhat", "v: the chains do not agree"),
    "cauchy": ("convergence.tail_shape", "v: a tail is so heavy"),
}


def judged(draws, *, hamiltonian: bool = True, **stats):
    known = nuts_stats(draws.shape[:2]) | stats
    present = {name: value for name, value in known.items() if value is not None}
    return gate({"v": draws}, present, LIMITS, hamiltonian=hamiltonian)


def test_good_chains_pass():
    for draws in (iid(1), autoregressive(0.6, SHAPE, 2), iid(3) * 1e-17, iid(4) + 1e5):
        verdict = judged(draws)
        assert verdict.passed, verdict.reasons


@pytest.mark.parametrize("kind", planted())
def test_planted_chains_are_stopped(kind):
    verdict = judged(planted()[kind])
    limit, words = STOPPED_BY[kind]
    assert not verdict.passed
    assert any(f.limit == limit and f.text.startswith(words) for f in verdict.findings)


def test_every_planted_set_is_stopped_by_a_limit_that_the_others_pass():
    """So that no limit is there in vain: heavy tails are seen by their shape alone."""
    assert {f.limit for f in judged(planted()["cauchy"]).findings} == {"convergence.tail_shape"}
    wide = {f.limit for f in judged(planted()["wide"]).findings}
    assert wide == {"convergence.rhat", "convergence.ess_tail"}
    assert judged(planted()["wide"]).measured.diagnostics.ess_bulk[0] > 3000


def test_false_alarms():
    """500 sets of 4 x 1000 independent normal draws: none, where R-hat < 1.01 alone allows 1e-10.

    Tails of t with three degrees of freedom, which have a mean and a variance, are let through too.
    """
    normal = np.random.default_rng(5).normal(size=(500, *SHAPE))
    assert accepted(diagnose(normal), LIMITS).all()
    heavy = np.random.default_rng(6).standard_t(3, size=(200, *SHAPE))
    assert accepted(diagnose(heavy), LIMITS).all()


def test_no_cauchy_gets_through():
    """Of 500: their shape is 1 +- 0.1, and the larger of two tails counts."""
    draws = np.random.default_rng(7).standard_cauchy(size=(500, *SHAPE))
    assert not accepted(diagnose(draws), LIMITS).any()


def test_slow_chains_have_too_few_effective_draws():
    verdict = judged(autoregressive(0.9, SHAPE, 8))
    assert "convergence.ess_bulk" in {finding.limit for finding in verdict.findings}


def test_a_mean_that_is_known_badly_is_stopped():
    """By a stricter limit than that of the study, which 400 effective draws just keep."""
    limit = replace(LIMITS["convergence.mcse"], value=0.01)
    verdict = gate({"v": iid(9)}, nuts_stats(), {**LIMITS, limit.id: limit})
    assert {finding.limit for finding in verdict.findings} == {"convergence.mcse"}


@pytest.mark.parametrize("element", ["span_kms", "span_kms[1]"])
def test_the_gate_asks_more_of_what_is_quoted(element):
    """Oracle: of draws that correlate by 0.7, 4000 count as 706."""
    slow = autoregressive(0.7, SHAPE, 8)
    draws = np.stack([iid(1), slow], axis=-1) if "[" in element else slow
    verdict = gate({"span_kms": draws, "v": slow}, nuts_stats(), LIMITS)
    assert [(f.limit, f.scalar) for f in verdict.findings] == [
        ("convergence.headline_ess", element)
    ]
    assert 600.0 < verdict.findings[0].measured < 800.0
    assert accepted(diagnose(slow[None]), LIMITS).all()


# ---- the run as a whole


def test_the_log_posterior_is_judged_like_a_parameter():
    stuck = nuts_stats()["lp"].copy()
    stuck[2] -= 20.0
    assert {finding.scalar for finding in judged(iid(1), lp=stuck).findings} == {"lp"}
    missing = judged(iid(1), lp=None)
    assert missing.reasons[0] == "lp: 4000 draws are not finite"


def test_draws_of_lp_are_those_of_the_sampler():
    verdict = gate({"v": iid(1), "lp": np.ones(SHAPE)}, nuts_stats(), LIMITS)
    assert verdict.measured.names == ("v", "lp")
    assert verdict.passed


@pytest.mark.parametrize(
    ("stats", "limit", "words"),
    [
        ({"energy": autoregressive(0.95, SHAPE, 1)}, "convergence.bfmi", "energy explores slowly"),
        ({"energy": np.full(SHAPE, np.nan)}, "convergence.bfmi", "there is no E-BFMI"),
        ({"energy": None}, "convergence.bfmi", "there is no E-BFMI"),
        ({"diverging": np.eye(*SHAPE, dtype=bool)}, "convergence.divergences", "4 trajectories"),
        ({"diverging": None}, "convergence.divergences", "unknown if trajectories diverged"),
        ({"reached_max_treedepth": np.eye(*SHAPE) > 0}, "convergence.depth_hits", "4 trees"),
        ({"reached_max_treedepth": None}, "convergence.depth_hits", "unknown if trees"),
    ],
)
def test_what_a_hamiltonian_sampler_says_is_judged(stats, limit, words):
    verdict = judged(iid(1), **stats)
    assert [finding.limit for finding in verdict.findings] == [limit]
    assert verdict.reasons[0].startswith(words)
    assert verdict.final == (limit != "convergence.bfmi")  # more draws may mend the energy alone


@pytest.mark.parametrize(("n_chain", "final"), [(1, True), (3, True), (4, False)])
def test_chains_that_are_not_there_do_not_come_with_more_draws(n_chain, final):
    chains = autoregressive(0.95, SHAPE, 1)[:n_chain]
    verdict = gate({"v": chains}, nuts_stats(chains.shape), LIMITS)
    assert not verdict.passed
    assert verdict.final == final
    assert not verdict.strayed  # smaller steps would not help


def test_independent_draws_need_no_energy():
    silent = dict.fromkeys(("energy", "diverging", "reached_max_treedepth"))
    assert judged(iid(1), hamiltonian=False, **silent).passed
    assert not judged(iid(1), hamiltonian=True, **silent).passed


def test_nothing_to_judge_is_no_pass():
    verdict = gate({}, {}, LIMITS, hamiltonian=False)
    assert "there is no parameter" in verdict.reasons
    assert not verdict.passed


def test_nothing_is_averaged_over_parameters():
    """One bad element among a hundred is named."""
    many = iid(10, (*SHAPE, 10, 10))
    many[0, :, 3, 7] += 3.0
    verdict = gate({"flux": many, "v": iid(1)}, nuts_stats(), LIMITS)
    assert {finding.scalar for finding in verdict.findings} == {"flux[3,7]"}
    assert len(verdict.measured.names) == 102


def test_chains_of_another_shape_are_an_error():
    with pytest.raises(ArdError, match="'w' does not belong to these chains"):
        gate({"v": iid(1), "w": iid(1)[:, :500]}, {}, LIMITS)
    with pytest.raises(ArdError, match="'energy' does not belong"):
        judged(iid(1), energy=np.ones((4, 10)))
    with pytest.raises(ArdError, match="'v' does not belong"):
        gate({"v": iid(1)}, {"lp": np.ones((3, 1000))}, LIMITS)
    with pytest.raises(ArdError, match="'v' does not belong"):
        gate({"v": np.ones(10)}, {}, LIMITS)


# ---- maps and summaries


def test_the_gate_of_maps_is_the_gate():
    """Spaxels x parameters, of which some are planted: as if each were judged alone."""
    bad = [v for v in planted().values() if v.shape == SHAPE]
    draws = np.stack([*bad, *(iid(20 + i) for i in range(13))]).reshape(5, 4, *SHAPE)
    mask = accepted(diagnose(draws), LIMITS)
    alone = [judged(each).passed for each in draws.reshape(-1, *SHAPE)]
    assert mask.ravel().tolist() == alone
    assert not accepted(diagnose(draws[:, :, :3]), LIMITS).any()  # three chains


@pytest.mark.parametrize("kind", ["good", *planted()])
def test_a_summary_is_judged_like_its_chains(kind):
    draws = iid(1) if kind == "good" else planted()[kind]
    verdict = judged(draws)
    document = json.loads(json.dumps(verdict.to_dict({"v": "km/s"}), allow_nan=False))
    again = measured_from(document).findings(LIMITS)
    assert [f.limit for f in again] == [f.limit for f in verdict.findings]
    assert document["verdict"] == ("PASSED" if kind == "good" else "FAILED")
    whole = {
        **{"schema": "chain-summary", "item": "t001", "model": "bow", "simulated": True},
        **{"provenance": None, **document},
    }
    assert schemas.validate(whole, "chain-summary") == ()


def test_a_summary_without_numbers_fails():
    reasons = {finding.limit for finding in measured_from({}).findings(LIMITS)}
    assert "convergence.chains" in reasons
    row = {"scalars": [{"name": "span_kms", "rhat": None, "ess_bulk": True}], "n_chain": 4}
    assert {f.limit for f in measured_from(row).findings(LIMITS)} == set(LIMITS) - {
        "convergence.chains"
    }
