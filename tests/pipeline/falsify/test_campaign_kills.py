"""Is every task in the ledger exactly once, whoever is killed, flushed or restarted meanwhile?

Real servers, started here: redis-server and PostgreSQL. Oracle: the same campaign computed one by
one; the bound of the queues, watched from outside.
"""

import os
import random
import signal
import threading
import time

import pgserver
import pytest
from toy_campaign import serial, toy_settings

from pipeline.falsify.campaign.ledger import open_ledger
from pipeline.falsify.campaign.settings import DYNAMICS, LIKELIHOOD, ROLES, Settings
from pipeline.falsify.campaign.supply import progress, rewind

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

ROLES_OF_WORKERS = ("dynamics,likelihood", "dynamics", "likelihood")


class Watch:
    """The deepest that any queue was, asked about every few milliseconds."""

    def __init__(self, client, names):
        self.deepest = 0
        self._client, self._names = client, names
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self):
        while not self._ended.is_set():
            self.deepest = max([self.deepest, *(self._client.xlen(name) for name in self._names)])
            time.sleep(0.004)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


class Scene:
    """A campaign on real servers, with workers that can be killed."""

    def __init__(self, database, server, nursery, folder):
        self.database, self.server = database, server
        self._nursery, self.families = nursery, []
        self.ledger = open_ledger(database, folder=folder)
        server.client.flushall()

    def create(self, settings: Settings):
        campaign, _ = self.ledger.create(settings, "code")
        return campaign

    def family(self, name="toy", sleep_s=0.0):
        made = self._nursery.family(self.database, self.server.url, name, sleep_s)
        self.families.append(made)
        return made

    def said(self):
        return self._nursery.said()

    def dynamics_done(self, campaign):
        return progress(self.ledger, campaign).roles[DYNAMICS].done

    def done(self, campaign):
        return progress(self.ledger, campaign).roles[LIKELIHOOD].complete

    def watch(self, campaign):
        return Watch(self.server.client, [campaign.queue(role) for role in ROLES])

    def require_whole(self, campaign, without=()):
        found = tuple(
            {row.number: row.sha256 for row in self.ledger.rows(campaign, role)}
            for role in (DYNAMICS, LIKELIHOOD)
        )
        expected = tuple(
            {n: digest for n, digest in part.items() if n not in without}
            for part in serial(campaign.settings)
        )
        assert found == expected
        assert self.ledger.conflicts(campaign) == []
        told = max(row.counts["deepest"] for row in self.ledger.workers(campaign))
        assert told <= campaign.settings.bound


@pytest.fixture
def scene(postgres_url, redis_server, nursery, tmp_path):
    made = Scene(postgres_url, redis_server, nursery, tmp_path)
    yield made
    for family in made.families:
        while family.kill():
            time.sleep(0.01)
    made.ledger.close()


def kill_at_random(scene, campaign, family, seed, least):
    """Kill one of three workers after the other, until all is done."""
    rng = random.Random(seed)
    kills = 0
    while not scene.done(campaign):
        while len(family.living) < 3:
            family.start(rng.choice(ROLES_OF_WORKERS))
        time.sleep(rng.uniform(0.02, 0.2))
        if kills < least or rng.random() < 0.1:
            kills += family.kill(rng.randrange(3))


def killed(scene, seed, n_model, least):
    settings = toy_settings(n_model=n_model, deliveries=1000, lease_s=0.2)
    campaign = scene.create(settings)
    family = scene.family(sleep_s=0.003)
    with scene.watch(campaign) as watch:
        kill_at_random(scene, campaign, family, seed, least)
        family.start()
        codes = family.wait()
    assert set(codes) == {0, -signal.SIGKILL}
    # Fewer would say nothing.
    assert codes.count(-signal.SIGKILL) >= least
    scene.require_whole(campaign)
    assert 0 < watch.deepest <= settings.bound
    assert scene.ledger.dead(campaign) == []


def test_workers_are_killed_at_random_and_nothing_is_lost(scene):
    killed(scene, seed=1, n_model=3000, least=25)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_many_more_are_killed(scene, seed):
    killed(scene, seed=100 + seed, n_model=6000, least=50)


def test_flushes_in_the_middle_are_made_good(scene):
    campaign = scene.create(toy_settings(n_model=700))
    family = scene.family(sleep_s=0.0005)
    with scene.watch(campaign) as watch:
        for roles in ("dynamics", "dynamics,likelihood"):
            family.start(roles)
        for part in (150, 300, 450):
            until(scene, campaign, part)
            scene.server.client.flushall()
        # What `rbh1 campaign requeue` does; left alone, workers find out by themselves.
        rewind(scene.ledger, campaign)
        assert set(family.wait()) == {0}
    scene.require_whole(campaign)
    assert watch.deepest <= campaign.settings.bound


def test_a_flush_is_found_out_by_the_workers(scene):
    campaign = scene.create(toy_settings(n_model=300))
    family = scene.family(sleep_s=0.001)
    family.start()
    until(scene, campaign, 100)
    scene.server.client.flushall()
    assert family.wait() == [0]
    scene.require_whole(campaign)


def test_the_broker_restarts_empty_in_the_middle(scene):
    campaign = scene.create(toy_settings(n_model=400))
    family = scene.family(sleep_s=0.001)
    for _ in range(2):
        family.start()
    until(scene, campaign, 100)
    scene.server.stop()
    time.sleep(0.3)
    scene.server.start()
    assert family.wait() == [0, 0]
    scene.require_whole(campaign)


def test_the_database_restarts_in_the_middle(scene, request):
    if os.environ.get(pgserver.VARIABLE):
        pytest.skip(f"{pgserver.VARIABLE} names a server that is not ours to stop")
    server = request.getfixturevalue("own_server")
    campaign = scene.create(toy_settings(n_model=400))
    family = scene.family(sleep_s=0.001)
    for _ in range(2):
        family.start()
    for part in (100, 250):
        until(scene, campaign, part)
        server.stop()
        time.sleep(0.2)
        server.start()
    assert family.wait() == [0, 0]
    scene.require_whole(campaign)


def test_a_broker_that_stays_away_ends_workers_with_nothing_lost(scene):
    campaign = scene.create(toy_settings(n_model=300))
    family = scene.family(sleep_s=0.004)
    family.start()
    until(scene, campaign, 100)
    scene.server.stop()
    try:
        family.signal(signal.SIGTERM)  # it waits for the broker no longer
        assert family.wait() == [3]
    finally:
        scene.server.start()
    assert "the broker cannot be reached" in scene.said()
    assert "Nothing is lost" in scene.said()
    family.start()
    assert family.wait() == [3, 0]
    scene.require_whole(campaign)


def test_a_task_that_kills_its_workers_is_dead_and_the_others_are_done(scene):
    campaign = scene.create(toy_settings(n_model=100, lease_s=0.2, deliveries=4))
    family = scene.family()
    while not scene.done(campaign):
        if not family.living:
            family.start(deadly=33)
        time.sleep(0.01)
    assert family.wait().count(-signal.SIGKILL) == 4
    (dead,) = scene.ledger.dead(campaign)
    assert (dead.number, dead.deliveries) == (33, 4)
    assert dead.reason == "delivered 4 times, and its workers died or said nothing"
    scene.require_whole(campaign, without={33})


def test_two_campaigns_side_by_side(scene):
    one = scene.create(toy_settings("one", n_model=300))
    two = scene.create(toy_settings("two", n_model=200, bound=70))
    first, second = scene.family("one"), scene.family("two", sleep_s=0.004)
    with scene.watch(two) as watch:
        first.start()
        for _ in range(2):
            second.start()
        second.kill()
        assert first.wait() == [0]
        assert sorted(second.wait()) == [-signal.SIGKILL, 0]
    scene.require_whole(one)
    scene.require_whole(two)
    assert watch.deepest <= 70


def test_a_signal_lets_a_worker_finish_its_batch(scene):
    campaign = scene.create(toy_settings(n_model=300, lease_s=60.0))
    family = scene.family(sleep_s=0.002)
    family.start()
    until(scene, campaign, 60)
    family.signal(signal.SIGTERM)
    assert family.wait() == [0]
    # Nothing is left in its hands: with a lease of a minute, the next would have to wait.
    client = scene.server.client
    for role in (DYNAMICS, LIKELIHOOD):
        assert client.xpending(campaign.queue(role), "workers")["pending"] == 0
        assert client.xinfo_consumers(campaign.queue(role), "workers") == []
    family.start()
    assert family.wait() == [0, 0]
    scene.require_whole(campaign)


def until(scene, campaign, n_done, seconds=30.0):
    """Wait until so many galaxies have dynamics."""
    end = time.monotonic() + seconds
    while scene.dynamics_done(campaign) <= n_done:
        if time.monotonic() > end:
            raise TimeoutError("it did not come to that")
        time.sleep(0.005)
