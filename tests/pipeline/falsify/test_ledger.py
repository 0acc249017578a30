"""Is an answer that was given kept to the last bit, once, and never replaced?

Oracles: the answers that were given; counts; both databases behave alike.
"""

import dataclasses
import math
import threading
import tracemalloc

import numpy as np
import pytest
from toy_campaign import Toy, toy_settings

from ard.errors import ArdError, NotFoundError
from pipeline.commands.campaign_science import CampaignScience
from pipeline.falsify.campaign.ledger import open_ledger
from pipeline.falsify.campaign.results import evaluations
from pipeline.falsify.campaign.rows import (
    Death,
    Settled,
    evaluation_of,
    evaluation_row,
    fit_row,
    motion_of,
    motion_row,
)
from pipeline.falsify.campaign.settings import CHAINS, DYNAMICS, LIKELIHOOD, Chains, settings_from
from pipeline.falsify.campaign.supply import Supply, cursor, feed, progress, rewind
from pipeline.falsify.physics.hypothesis import MOST, propose
from pipeline.falsify.tasks import Evaluation, Model, Motion
from pipeline.store.troubles import StoreAwayError


def motions(numbers, seed=1):
    toy = Toy(seed)
    return [motion_row(motion) for motion in toy.motions(toy.propose(numbers))]


def evaluated(numbers):
    toy = Toy()
    found = [m for m in toy.motions(toy.propose(numbers)) if m.curve is not None]
    models = toy.propose([m.number for m in found])
    return [evaluation_row(one) for one in toy.evaluate(models, [m.curve for m in found])]


def take_all(into):
    def put(supplies):
        into.extend(supplies)
        return len(supplies)

    return put


def test_answers_come_back_to_the_last_bit(ledger, campaign_in):
    campaign = campaign_in(ledger)
    odd = {"tiny": 5e-324, "third": 1 / 3, "nan": math.nan, "inf": math.inf, "minus": -math.inf}
    curve = Toy().motion(Model(1, {})).curve
    given = [Motion(3, (), odd, curve), Motion(2, ("disc", "toomre"), {}, None)]
    ledger.settle(campaign, DYNAMICS, [motion_row(one) for one in given], "w")
    two, three = (motion_of(row) for row in ledger.rows(campaign, DYNAMICS))
    assert (two.number, two.reasons, two.curve, two.possible) == (
        2,
        ("disc", "toomre"),
        None,
        False,
    )
    assert three.curve.to_bytes() == curve.to_bytes()
    assert np.array(list(three.facts.values())).tobytes() == np.array(list(odd.values())).tobytes()
    said = [Evaluation(3, -1e300 / 3, math.inf, {"v": 0.1}, True),
            Evaluation(4, math.nan, 7.0, {}, False)]  # fmt: skip
    ledger.settle(campaign, LIKELIHOOD, [evaluation_row(one) for one in said], "w")
    back = [evaluation_of(row) for row in ledger.rows(campaign, LIKELIHOOD)]
    assert back[0] == said[0]
    assert math.isnan(back[1].log_likelihood)
    assert dataclasses.replace(back[1], log_likelihood=0.0) == dataclasses.replace(
        said[1], log_likelihood=0.0
    )


def test_a_second_answer_changes_nothing_and_is_reported_if_it_differs(ledger, campaign_in):
    campaign = campaign_in(ledger)
    first = motions(range(40))
    assert ledger.settle(campaign, DYNAMICS, first, "a") == Settled(40, frozenset(), 0)
    again = ledger.settle(campaign, DYNAMICS, first[::-1], "b")
    assert (again, again.equal) == (Settled(0, frozenset(range(40)), 0), 40)
    assert ledger.settle(campaign, DYNAMICS, [], "b") == Settled(0, frozenset(), 0)
    other = motions(range(38, 42), seed=2)
    for _ in range(2):  # the same rival twice is one conflict
        found = ledger.settle(campaign, DYNAMICS, other, "c")
    assert (found, found.equal) == (Settled(0, frozenset(range(38, 42)), 2), 2)
    assert {r.number: r.sha256 for r in ledger.rows(campaign, DYNAMICS)} == {
        row["number"]: row["sha256"] for row in first + other[2:]
    }
    assert {row.worker for row in ledger.rows(campaign, DYNAMICS)} == {"a", "c"}
    rivals = ledger.conflicts(campaign)
    assert [(r.role, r.number, r.kept_sha256, r.sha256) for r in rivals] == [
        (DYNAMICS, n, first[n]["sha256"], other[n - 38]["sha256"]) for n in (38, 39)
    ]
    assert rivals[0].answer["facts"] == other[0]["facts"]
    assert ledger.known(campaign, DYNAMICS, [1, 41, 42, 4000]) == {1, 41}


def test_more_numbers_than_a_statement_takes(ledger, campaign_in):
    campaign = campaign_in(ledger, n_model=5000)
    rows = [fit_row(n, {"n": n}) for n in range(5000)]
    assert ledger.settle(campaign, CHAINS, rows, "w") == Settled(5000, frozenset(), 0)
    assert ledger.known(campaign, CHAINS, range(6000)) == set(range(5000))
    found = ledger.rows(campaign, CHAINS, range(4990, 6000))
    assert [row.report for row in found] == [{"n": n} for n in range(4990, 5000)]


def test_a_campaign_is_created_once_and_another_of_its_name_is_refused(ledger, campaign_in):
    settings = toy_settings()
    made, new = ledger.create(settings, "code")
    again, newer = ledger.create(settings, "code")
    assert (made, new, newer) == (again, True, False)
    assert ledger.campaign("toy") == made
    assert made.settings == settings
    with pytest.raises(ArdError, match=r"another campaign 'toy'(.|\n)*other n_model"):
        ledger.create(toy_settings(n_model=7), "code")
    with pytest.raises(ArdError, match=r"another campaign 'toy'(.|\n)*other code"):
        ledger.create(settings, "changed")
    other = campaign_in(ledger, "second")
    assert other.uid != made.uid
    with pytest.raises(NotFoundError, match=r"no campaign 'third'(.|\n)*second, toy"):
        ledger.campaign("third")
    ledger.settle(made, DYNAMICS, motions(range(3)), "w")
    ledger.remove(made)
    assert ledger.rows(made, DYNAMICS) == []


def test_the_first_worker_of_a_role_sets_its_versions(ledger, campaign_in):
    campaign = campaign_in(ledger)
    assert ledger.admit(campaign, DYNAMICS, {"galpy": "1"}) == {"galpy": "1"}
    assert ledger.admit(campaign, DYNAMICS, {"galpy": "2"}) == {"galpy": "1"}
    assert ledger.admit(campaign, LIKELIHOOD, {"jax": "3"}) == {"jax": "3"}


def test_queues_get_what_has_no_answer_and_is_not_dead(ledger, campaign_in):
    campaign = campaign_in(ledger, n_model=50, chains=(Chains("bow"), Chains("disc")))
    ledger.settle(campaign, DYNAMICS, motions(range(10, 20)), "w")
    ledger.bury(campaign, DYNAMICS, [Death("3", 3, "bad", 3), Death("message 1-0", None, "?", 1)],
                "w")  # fmt: skip
    found: list[Supply] = []
    while feed(ledger, campaign, DYNAMICS, 8, take_all(found)):
        pass
    assert [one.number for one in found] == [n for n in range(50) if n != 3 and not 10 <= n < 20]
    # What follows the dynamics comes from its workers, until it is asked for.
    assert feed(ledger, campaign, LIKELIHOOD, 8, take_all(found)) == 0
    possible = [row for row in motions(range(10, 20)) if row["possible"]]
    ledger.settle(campaign, LIKELIHOOD, evaluated([possible[1]["number"]]), "w")
    rewind(ledger, campaign, [LIKELIHOOD])
    found.clear()
    while feed(ledger, campaign, LIKELIHOOD, 2, take_all(found)):
        pass
    assert [(one.number, one.content) for one in found] == [
        (row["number"], row["curve"]) for row in possible if row is not possible[1]
    ]
    found.clear()
    assert feed(ledger, campaign, CHAINS, 8, take_all(found)) == 2
    assert [one.number for one in found] == [0, 1]
    rewind(ledger, campaign, dead=True)
    found.clear()
    feed(ledger, campaign, DYNAMICS, 8, take_all(found))
    assert [one.number for one in found] == list(range(8))


def test_a_queue_without_room_gets_the_rest_later(ledger, campaign_in):
    campaign = campaign_in(ledger, n_model=10)
    found: list[Supply] = []

    def put(supplies):
        found.extend(supplies[:3])
        return 3 if len(supplies) > 3 else len(supplies)

    while feed(ledger, campaign, DYNAMICS, 5, put):
        pass
    assert [one.number for one in found] == list(range(10))
    assert feed(ledger, campaign, DYNAMICS, 0, put) == 0


def test_a_queue_that_is_filled_just_now_is_filled_anew_all_the_same(ledger, campaign_in):
    """Oracle: the cursor, whoever of the two is first."""
    campaign = campaign_in(ledger, n_model=10)
    other = threading.Thread(target=rewind, args=(ledger, campaign))

    def put(supplies):
        other.start()
        other.join(0.5)  # it cannot end before this does
        return len(supplies)

    assert feed(ledger, campaign, DYNAMICS, 8, put) == 8
    other.join()
    assert cursor(ledger, campaign, DYNAMICS) == 0


def test_progress_counts(ledger, campaign_in):
    campaign = campaign_in(ledger, n_model=20)
    other = campaign_in(ledger, "other", n_model=20)
    ledger.settle(other, DYNAMICS, motions(range(20)), "w")
    ledger.settle(campaign, DYNAMICS, motions(range(15)), "w")
    ledger.settle(campaign, LIKELIHOOD, evaluated(range(5)), "w")
    dead = [Death("16", 16, "bad", 3), Death("2", 2, "answered all the same", 3)]
    ledger.bury(campaign, DYNAMICS, dead, "w")
    found = progress(ledger, campaign)
    # 0, 5, 10 and 0, 7, 14 are rejected.
    assert found.rejected == {"disc": 3, "toomre": 3}
    assert found.n_rejected == 5
    dynamics, likelihood, chains = (found.roles[r] for r in (DYNAMICS, LIKELIHOOD, CHAINS))
    assert (dynamics.done, dynamics.dead, dynamics.missing, dynamics.complete) == (15, 1, 4, False)
    assert (likelihood.planned, likelihood.done, likelihood.missing) == (10, 4, 6)
    assert likelihood.open_ended
    assert chains.complete
    ledger.settle(campaign, DYNAMICS, motions(range(15, 20)), "w")
    ledger.settle(campaign, LIKELIHOOD, evaluated(range(20)), "w")
    assert all(role.complete for role in progress(ledger, campaign).roles.values())


def test_what_nobody_asked_for_hides_nothing_that_is_missing(ledger, campaign_in):
    """Answers to, and deaths of, galaxies that the dynamics reject are not counted."""
    campaign = campaign_in(ledger, n_model=20)
    ledger.settle(campaign, DYNAMICS, motions(range(20)), "w")
    rows = [row for row in evaluated(range(20)) if row["number"] not in (3, 4)]
    rows.append(evaluation_row(Evaluation(5, -1.0, 2.0, {}, True)))
    ledger.settle(campaign, LIKELIHOOD, rows, "w")
    ledger.bury(campaign, LIKELIHOOD, [Death("7", 7, "bad", 3)], "w")
    role = progress(ledger, campaign).roles[LIKELIHOOD]
    assert (role.planned, role.done, role.dead, role.missing) == (14, 12, 0, 2)
    assert not role.complete


def test_what_was_found_as_arrays(ledger, campaign_in):
    campaign = campaign_in(ledger, n_model=30)
    ledger.settle(campaign, DYNAMICS, motions(range(20)), "w")
    ledger.settle(campaign, LIKELIHOOD, evaluated(range(12)), "w")
    found = evaluations(ledger, campaign, Toy().propose)
    assert found.number.tolist() == list(range(20))  # those that wait as well
    assert found.parameters["x"].tolist() == [np.sin(n + 1) for n in range(20)]
    assert found.reasons[5] == ("disc",)
    assert found.reasons[1] == ()
    assert np.flatnonzero(found.possible & ~found.evaluated).tolist() == [
        n for n in range(12, 20) if n % 5 and n % 7
    ]
    rows = {row["number"]: row for row in evaluated(range(12))}
    for place, number in enumerate(range(20)):
        held = number in rows
        assert held != math.isnan(found.log_likelihood[place])
        if held:
            assert found.chi2[place] == rows[number]["chi2"]
            assert found.nuisances["v_sys"][place] == rows[number]["nuisances"]["v_sys"]
            assert found.converged[place] == rows[number]["converged"]


def test_what_the_dynamics_reject_has_no_likelihood(ledger, campaign_in):
    campaign = campaign_in(ledger, n_model=20)
    ledger.settle(campaign, DYNAMICS, motions(range(20)), "w")
    rows = [evaluation_row(Evaluation(n, -1.0, 2.0, {"v": 1.0}, True)) for n in (4, 5)]
    ledger.settle(campaign, LIKELIHOOD, rows, "w")
    found = evaluations(ledger, campaign, Toy().propose)
    assert np.flatnonzero(np.isfinite(found.log_likelihood)).tolist() == [4]
    assert np.flatnonzero(np.isfinite(found.nuisances["v"])).tolist() == [4]
    assert found.converged.tolist() == [n == 4 for n in range(20)]


def test_a_galaxy_takes_a_kilobyte_at_most(small_ledger, campaign_in):
    """Bytes at the peak, of campaigns of two sizes; rows as long as those of real galaxies."""
    facts = {f"fact_{n}": n / 7 for n in range(11)}
    nuisances = {f"nuisance_{n}": n / 7 for n in range(7)}
    curve = Toy().motion(Model(1, {})).curve
    peaks = []
    for n_model in (2000, 5000):
        campaign = campaign_in(small_ledger, f"of-{n_model}", n_model=n_model)
        told = [Motion(n, ("vertical",) if n % 3 else (), facts, None if n % 3 else curve)
                for n in range(n_model)]  # fmt: skip
        small_ledger.settle(campaign, DYNAMICS, [motion_row(one) for one in told], "host:1")
        seen = [Evaluation(n, -1.0, 2.0, nuisances, True) for n in range(0, n_model, 3)]
        small_ledger.settle(campaign, LIKELIHOOD, [evaluation_row(one) for one in seen], "host:1")
        del told, seen

        def proposed(numbers):
            return [Model(n, {f"p_{k}": n / (k + 1) for k in range(15)}) for n in numbers]

        tracemalloc.start()
        found = evaluations(small_ledger, campaign, proposed)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.parameters["p_2"].tolist() == [n / 3 for n in range(n_model)]
        assert np.count_nonzero(found.evaluated) == len(range(0, n_model, 3))
    assert (peaks[1] - peaks[0]) / 3000 <= 1000


def test_galaxies_that_were_drawn_are_drawn_again(ledger, campaign_in, tmp_path):
    campaign = campaign_in(ledger, n_model=30)
    ledger.settle(campaign, DYNAMICS, motions([20, 5]), "w")
    found = evaluations(ledger, campaign, CampaignScience(campaign, ledger, tmp_path).propose)
    expected = propose([5, 20], campaign.settings.seed, "sobol")
    for place, model in enumerate(expected):
        row = {name: column[place] for name, column in found.parameters.items()}
        assert (found.number[place], row) == (model.number, model.parameters)


def test_galaxies_of_a_file_are_kept_in_the_ledger(ledger):
    settings = toy_settings(kind="table", n_model=3, table_sha256="1")
    models = [Model(n, {"r_d_kpc": 1 / (n + 3), "spin": -0.0}) for n in range(3)]
    campaign, _ = ledger.create(settings, "code", models)
    assert ledger.models(campaign, [2, 0]) == [models[0], models[2]]
    ledger.settle(campaign, DYNAMICS, motions([0]), "w")
    found = evaluations(ledger, campaign, propose=lambda numbers: pytest.fail("not drawn"))
    assert found.parameters["r_d_kpc"].tolist() == [1 / 3]


def test_signs_of_life(ledger, campaign_in):
    campaign = campaign_in(ledger)
    ledger.beat(campaign, "host:1", DYNAMICS, {"done": 1}, ended=False)
    (first,) = ledger.workers(campaign)
    ledger.beat(campaign, "host:1", DYNAMICS, {"done": 5}, ended=True)
    (row,) = ledger.workers(campaign)
    assert (row.counts, row.ended, row.started_s) == ({"done": 5}, True, first.started_s)
    assert row.seen_s >= first.seen_s


def test_the_first_reason_of_a_death_stays(ledger, campaign_in):
    campaign = campaign_in(ledger)
    for reason in ("first", "second"):
        ledger.bury(campaign, LIKELIHOOD, [Death("7", 7, reason, 3)], "w")
    assert [(row.task, row.reason) for row in ledger.dead(campaign)] == [("7", "first")]


def test_a_database_that_is_not_there(tmp_path):
    with pytest.raises(StoreAwayError, match="the database cannot be reached"):
        open_ledger("postgresql://me:s3cret@127.0.0.1:1/db?connect_timeout=2", folder=tmp_path)


def test_settings_are_what_they_were_written_as():
    settings = toy_settings(
        chains=(Chains("bow", 3),), dynamics={"q_least": 1.5}, cut={"half_arcsec": 0.4}
    )
    again = settings_from(settings.to_dict())
    assert again == settings
    assert again.sha256 == settings.sha256
    assert toy_settings(seed=2).sha256 != toy_settings().sha256


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"name": "Two Words"}, "name of a campaign cannot be"),
        ({"n_model": 0}, "'n_model' of a campaign cannot be"),
        ({"bound": 3}, "bound of the queues cannot be"),
        ({"lease_s": 0.0}, "lease of the queues cannot be"),
        ({"deliveries": 0}, "'deliveries' of a campaign cannot be"),
    ],
)
def test_settings_that_cannot_be(wrong, match):
    with pytest.raises(ArdError, match=match):
        toy_settings(**{"name": "toy", "n_model": 3, **wrong})


def test_the_largest_campaign_is_the_largest_that_can_be_drawn():
    """Oracle: what the draws themselves refuse."""
    assert toy_settings(n_model=MOST, seed=2**63 - 1).n_model == MOST
    assert propose([0], 2**63 - 1, "sobol") != propose([0], 1, "sobol")
    with pytest.raises(ArdError, match="seed of a campaign cannot be"):
        toy_settings(seed=2**63)
    with pytest.raises(ArdError, match="the seed cannot be used"):
        propose([0], 2**63, "sobol")
    with pytest.raises(ArdError, match="'n_model' of a campaign cannot be"):
        toy_settings(n_model=MOST + 1)
    with pytest.raises(ArdError, match="there is no such model"):
        propose([MOST], 1, "sobol")


def test_the_last_galaxy_of_the_largest_campaign_has_a_place(ledger, campaign_in):
    campaign = campaign_in(ledger, n_model=2**31 - 1, kind="random", bound=2**31 - 1)
    last = campaign.settings.n_model - 1
    ledger.settle(campaign, DYNAMICS, [motion_row(Motion(last, ("disc",), {}, None))], "w")
    assert ledger.known(campaign, DYNAMICS, [last]) == {last}
    rewind(ledger, campaign, [LIKELIHOOD])
    assert feed(ledger, campaign, LIKELIHOOD, campaign.settings.bound, take_all([])) == 0
    assert cursor(ledger, campaign, LIKELIHOOD) == campaign.settings.n_model
