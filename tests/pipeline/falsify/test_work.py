"""Does a worker do every task once, whatever a task, a queue or a signal does to it?

Oracle: the same campaign computed one by one, without any of the machinery, to the last bit.
"""

import errno
import gc
import os
import signal
import threading
import time
import tracemalloc

import pytest
from jax.errors import JaxRuntimeError
from toy_campaign import QUICK, Toy, serial, toy_worker

from ard.errors import ArdError, ExtraMissingError, RemoteError
from pipeline.falsify.campaign.broker import Delivery, WorkQueue, connect
from pipeline.falsify.campaign.patience import Pace, stopping
from pipeline.falsify.campaign.roles import Order, decode, encode
from pipeline.falsify.campaign.rows import evaluation_row, motion_of, motion_row
from pipeline.falsify.campaign.settings import CHAINS, DYNAMICS, LIKELIHOOD, Chains
from pipeline.falsify.campaign.supply import Supply, progress
from pipeline.falsify.tasks import Model, Motion
from pipeline.store.troubles import disk_full

BOTH = (DYNAMICS, LIKELIHOOD)


@pytest.fixture
def embedded():
    return connect("memory://", {})


def digests(ledger, campaign):
    return tuple({r.number: r.sha256 for r in ledger.rows(campaign, role)} for role in BOTH)


def without(expected, numbers):
    return tuple({n: s for n, s in part.items() if n not in numbers} for part in expected)


def test_one_worker_does_all(small_ledger, campaign_in, embedded):
    campaign = campaign_in(small_ledger, chains=(Chains("bow", 1), Chains("bow", 2)))
    toy = Toy()
    tallies = toy_worker(small_ledger, embedded, "toy", (*BOTH, CHAINS), toy).run()
    expected = serial(campaign.settings)
    assert digests(small_ledger, campaign) == expected
    assert sorted(toy.asked) == list(range(300))
    assert (tallies[DYNAMICS].done, tallies[LIKELIHOOD].done) == (300, len(expected[1]))
    assert tallies[DYNAMICS].rejected == 300 - len(expected[1])
    fits = small_ledger.rows(campaign, CHAINS)
    assert [row.report["rhat"] for row in fits] == [1.001, 1.002]
    rows = {row.role: row for row in small_ledger.workers(campaign)}
    assert all(row.ended for row in rows.values())
    assert rows[DYNAMICS].counts["deepest"] <= campaign.settings.bound


def test_who_leaves_renews_no_lease_any_more(small_ledger, campaign_in, embedded, monkeypatch):
    """A message that was renewed in the name of one who has left would belong to nobody."""
    campaign_in(small_ledger, n_model=5)
    before, seen = threading.active_count(), []
    monkeypatch.setattr(WorkQueue, "leave", lambda _: seen.append(threading.active_count()))
    toy_worker(small_ledger, embedded, "toy", BOTH, Toy()).run()
    assert seen == [before] * 2


def test_the_same_again_computes_nothing(small_ledger, campaign_in, embedded):
    campaign = campaign_in(small_ledger, n_model=40)
    toy_worker(small_ledger, embedded, "toy", BOTH, Toy()).run()
    before, again = digests(small_ledger, campaign), Toy()
    toy_worker(small_ledger, connect("memory://", {}), "toy", BOTH, again).run()
    assert again.asked == []
    assert digests(small_ledger, campaign) == before


def test_what_one_process_left_another_goes_on_with(small_ledger, campaign_in, embedded):
    """Its queues are gone with it: the ledger says what is missing."""
    campaign = campaign_in(small_ledger)
    toy = Toy()
    first = toy_worker(
        small_ledger, embedded, "toy", BOTH, toy, stopped=lambda: len(toy.asked) > 100
    )
    first.run()
    assert 100 < len(toy.asked) < 200
    assert not progress(small_ledger, campaign).roles[LIKELIHOOD].complete
    later = Toy()
    toy_worker(small_ledger, connect("memory://", {}), "toy", BOTH, later).run()
    assert not set(later.asked) & set(toy.asked)
    assert digests(small_ledger, campaign) == serial(campaign.settings)


def test_two_processes_with_queues_of_their_own_share_a_ledger(
    small_ledger, campaign_in, nursery, tmp_path
):
    """As when the command for one machine is typed twice."""
    campaign = campaign_in(small_ledger)
    family = nursery.family(f"sqlite:///{tmp_path}/campaigns.db", "memory://", "toy", 0.004)
    for _ in range(2):
        family.start()
    assert family.wait() == [0, 0]
    assert digests(small_ledger, campaign) == serial(campaign.settings)
    done = [r.counts["done"] for r in small_ledger.workers(campaign) if r.role == DYNAMICS]
    assert sum(done) == 300
    assert min(done) > 0


def test_a_task_that_fails_is_dead_with_its_reason_and_the_others_are_done(
    small_ledger, campaign_in, embedded
):
    campaign = campaign_in(small_ledger)
    toy = Toy(wrong={31: ArdError("this galaxy is a poison"), 46: ZeroDivisionError("no radius")})
    tallies = toy_worker(small_ledger, embedded, "toy", BOTH, toy).run()
    dead = {row.number: row for row in small_ledger.dead(campaign)}
    assert sorted(dead) == [31, 46]
    assert dead[31].reason == "ArdError: this galaxy is a poison"
    assert dead[46].reason == "ZeroDivisionError: no radius"
    assert {row.deliveries for row in dead.values()} == {campaign.settings.deliveries}
    assert digests(small_ledger, campaign) == without(serial(campaign.settings), {31, 46})
    assert tallies[DYNAMICS].dead == 2
    assert progress(small_ledger, campaign).roles[LIKELIHOOD].complete


@pytest.mark.parametrize(
    "body",
    [b"", b"17", b"17::", b"-1:0:", b"9999999:0:", b"x" * 5000, b"9" * 5000, "é:ü:".encode(),
     b"\x00\xff"],
)  # fmt: skip
def test_a_message_that_is_no_task_is_dead_and_harms_nobody(
    small_ledger, campaign_in, embedded, body
):
    campaign = campaign_in(small_ledger, n_model=20)
    worker = toy_worker(small_ledger, embedded, "toy", BOTH, Toy())
    for role in BOTH:
        embedded.queue(campaign.queue(role)).put([body])
    worker.run()
    dead = small_ledger.dead(campaign)
    assert [(row.role, row.number) for row in dead] == [(DYNAMICS, None), (LIKELIHOOD, None)]
    assert all(row.reason.startswith("a message is no task: ") for row in dead)
    assert digests(small_ledger, campaign) == serial(campaign.settings)


def test_a_task_of_another_campaign_and_a_damaged_curve_are_dead(
    small_ledger, campaign_in, embedded
):
    campaign = campaign_in(small_ledger, n_model=20)
    whole = encode(Supply(3, b"curve"))
    assert decode(Delivery("1-0", whole, 2), 20) == Order("1-0", 3, b"curve", 2)
    embedded.queue(campaign.queue(LIKELIHOOD)).put([whole[:-1] + b"X", encode(Supply(20, b"c"))])
    toy_worker(small_ledger, embedded, "toy", BOTH, Toy()).run()
    assert [row.number for row in small_ledger.dead(campaign)] == [None, None]
    assert digests(small_ledger, campaign) == serial(campaign.settings)


def test_a_number_that_is_there_twice_counts_once(small_ledger, campaign_in, embedded):
    campaign = campaign_in(small_ledger, n_model=20)
    embedded.queue(campaign.queue(DYNAMICS)).put([encode(Supply(n % 4)) for n in range(40)])
    toy = Toy()
    toy_worker(small_ledger, embedded, "toy", BOTH, toy).run()
    assert sorted(toy.asked) == list(range(20))
    assert digests(small_ledger, campaign) == serial(campaign.settings)


def test_a_full_queue_makes_its_producers_wait(small_ledger, campaign_in, embedded):
    """Nobody takes from the likelihood's queue: it fills to its bound, and not beyond."""
    campaign = campaign_in(small_ledger, n_model=300)
    queue = embedded.queue(campaign.queue(LIKELIHOOD), campaign.settings.limits)
    full_at: list[float] = []
    until = time.monotonic() + 60.0

    def stopped():
        """When it has waited before a full queue for half a second."""
        now = time.monotonic()
        if queue.total() >= campaign.settings.bound:
            full_at.append(now)
        return now > until or bool(full_at and now > full_at[0] + 0.5)

    toy = Toy()
    producer = toy_worker(small_ledger, embedded, "toy", (DYNAMICS,), toy, stopped=stopped)
    producer.run()
    assert queue.total() == campaign.settings.bound == 64
    assert 64 < len(toy.asked) < 150
    toy_worker(small_ledger, embedded, "toy", BOTH, Toy()).run()
    assert digests(small_ledger, campaign) == serial(campaign.settings)
    assert max(r.counts["deepest"] for r in small_ledger.workers(campaign)) <= 64


def test_answers_that_differ_are_reported_and_the_first_stays(small_ledger, campaign_in, embedded):
    campaign = campaign_in(small_ledger, n_model=30)
    slow = Toy()

    class Rival(Toy):
        """While it computes, another worker gives other answers."""

        def motions(self, models):
            other = toy_worker(small_ledger, connect("memory://", {}), "toy", (DYNAMICS,), slow)
            other.run()
            return super().motions(models)

    tallies = toy_worker(small_ledger, embedded, "toy", BOTH, Rival(seed=2)).run()
    assert tallies[DYNAMICS].conflicts == 16  # of the batch that it had in hand
    rivals = small_ledger.conflicts(campaign)
    assert [row.number for row in rivals] == list(range(16))
    assert digests(small_ledger, campaign)[0] == serial(campaign.settings)[0]


def test_the_curve_that_is_kept_is_held_against_the_cube(small_ledger, campaign_in, embedded):
    """Meanwhile another worker commits another curve of 3, rejects 6, and allows 5."""
    campaign = campaign_in(small_ledger, n_model=20)
    others = [Toy(seed=2).motion(Model(3, {})), Motion(6, ("toomre",), {"q_min": 0.9}, None),
              Motion(5, (), {}, Toy(seed=2).motion(Model(4, {})).curve)]  # fmt: skip
    theirs = {one.number: one for one in others}

    class Overtaken(Toy):
        def motion(self, model):
            if model.number in theirs:
                row = motion_row(theirs[model.number])
                small_ledger.settle(campaign, DYNAMICS, [row], "another")
            return super().motion(model)

    tallies = toy_worker(small_ledger, embedded, "toy", BOTH, Overtaken()).run()
    assert tallies[DYNAMICS].conflicts == 3
    kept = {row.number: motion_of(row) for row in small_ledger.rows(campaign, DYNAMICS)}
    possible = [number for number, motion in kept.items() if motion.possible]
    assert {3, 5} <= set(possible)
    assert 6 not in possible
    toy = Toy()
    found = toy.evaluate(toy.propose(possible), [kept[n].curve for n in possible])
    expected = {one.number: evaluation_row(one)["sha256"] for one in found}
    assert digests(small_ledger, campaign)[1] == expected
    assert progress(small_ledger, campaign).roles[LIKELIHOOD].complete


def test_answers_to_other_tasks_are_refused(small_ledger, campaign_in, embedded):
    campaign = campaign_in(small_ledger, n_model=2)

    class Wrong(Toy):
        def motions(self, models):
            return [Motion(0, ("disc",), {}, None) for _ in models]

    toy_worker(small_ledger, embedded, "toy", (DYNAMICS,), Wrong()).run()
    (dead,) = small_ledger.dead(campaign)
    assert (dead.number, "answers are not those" in dead.reason) == (1, True)


def test_a_possible_galaxy_without_a_curve_is_dead_and_ends_no_worker(
    small_ledger, campaign_in, embedded
):
    campaign = campaign_in(small_ledger, n_model=20)

    class Bare(Toy):
        def motion(self, model):
            found = super().motion(model)
            return Motion(found.number, (), {}, None) if model.number == 3 else found

    toy_worker(small_ledger, embedded, "toy", BOTH, Bare()).run()
    (dead,) = small_ledger.dead(campaign)
    assert (dead.number, "its motion is not told" in dead.reason) == (3, True)
    assert digests(small_ledger, campaign) == without(serial(campaign.settings), {3})


@pytest.mark.parametrize(
    "error",
    [
        RemoteError("the store of chains is away"),
        ExtraMissingError.for_module("galpy", "it"),
        disk_full("the store of chains"),
        OSError(errno.ESTALE, "the run folder has gone"),
        MemoryError("no room for a cube"),
        JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"),
    ],
)
def test_what_is_not_the_fault_of_a_task_ends_the_worker_and_not_the_task(
    small_ledger, campaign_in, embedded, error
):
    campaign = campaign_in(small_ledger, n_model=20)
    worker = toy_worker(small_ledger, embedded, "toy", BOTH, Toy(wrong={7: error}))
    with pytest.raises(type(error)):
        worker.run()
    assert small_ledger.dead(campaign) == []
    assert embedded.queue(campaign.queue(DYNAMICS)).depth().held == 16


def test_a_signal_lets_the_batch_be_finished_and_a_second_does_not():
    with stopping() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_long_task_keeps_its_lease(small_ledger, campaign_in, embedded):
    """The lease is 2.5 s, the batch takes 4 s, and another worker waits for it."""
    campaign = campaign_in(
        small_ledger, n_model=1, lease_s=2.5, deliveries=1, chains=(Chains("bow"),)
    )
    slow = toy_worker(small_ledger, embedded, "toy", (CHAINS,), Toy(sleep_s=4.0))
    thread = threading.Thread(target=slow.run)
    thread.start()
    queue = embedded.queue(campaign.queue(CHAINS), campaign.settings.limits, "thief")
    stolen = []
    while thread.is_alive():
        stolen += queue.reclaim(1)
        time.sleep(0.02)
    thread.join()
    assert stolen == []
    assert len(small_ledger.rows(campaign, CHAINS)) == 1


def test_a_broker_that_stays_away_ends_the_worker_with_nothing_lost(small_ledger, campaign_in):
    campaign_in(small_ledger)
    gone = connect("memory://", {})
    gone.client.connection_pool.connection_kwargs["server"].connected = False
    told = []
    worker = toy_worker(
        small_ledger, gone, "toy", BOTH, Toy(), say=told.append, pace=Pace(patience_s=0.2)
    )
    with pytest.raises(RemoteError, match=r"broker cannot be reached(.|\n)*Nothing is lost"):
        worker.run()
    assert "is asked again" in told[0]


def test_memory_does_not_grow_with_the_number_of_tasks(small_ledger, campaign_in, embedded):
    """Bytes that Python holds after 208 and after 592 tasks.

    They differ by what is in the queue, 64 curves at most; curves that stayed would be 4 times as
    much.
    """
    campaign_in(small_ledger, n_model=600)
    seen = []

    class Watched(Toy):
        def motions(self, models):
            if models[0].number in (208, 592):
                gc.collect()
                seen.append(tracemalloc.get_traced_memory()[0])
            self.asked.clear()
            return super().motions(models)

    tracemalloc.start()
    try:
        toy_worker(small_ledger, embedded, "toy", BOTH, Watched(), pace=QUICK).run()
    finally:
        tracemalloc.stop()
    assert len(seen) == 2
    assert seen[1] - seen[0] < 64 * 2500
