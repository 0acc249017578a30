"""Is a message handed out until it is acknowledged, and does a queue keep to its bound?

Oracles: counts; what was put; redis-server, which the server within the process has to be like.
"""

import threading
import time
from contextlib import closing

import pytest

from ard.errors import ArdError
from pipeline.falsify.campaign.broker import BrokerAwayError, Depth, Limits, connect

LIMITS = Limits(bound=20, lease_s=60.0, deliveries=3)
BODIES = [b"%d" % n for n in range(12)]


@pytest.fixture
def queues(broker):
    """A queue, as two workers see it."""
    return [broker.queue("q", LIMITS, name) for name in "ab"]


def bodies(deliveries):
    return [one.body for one in deliveries]


def grow_old(broker, deliveries):
    """Let messages have been in hand for longer than a lease, whatever the clock says."""
    ids = [one.id for one in deliveries]
    broker.client.xclaim("q", "workers", "a", 0, ids, idle=61_000, justid=True)


def test_what_is_put_is_taken_once_and_is_gone_when_it_is_acknowledged(queues):
    a, b = queues
    assert a.put(BODIES) == 12  # before there is a group
    assert a.depth() == Depth(12, 0)
    first, second = a.take(5), b.take(50)
    assert bodies(first) + bodies(second) == BODIES
    assert {one.deliveries for one in first + second} == {1}
    assert (a.take(1), b.take(1)) == ([], [])
    a.ack([one.id for one in first])
    assert a.depth() == Depth(0, 7)
    b.ack([one.id for one in second])
    assert a.depth() == Depth(0, 0)
    a.ack([one.id for one in first])  # again, which changes nothing
    a.ack([])
    assert a.total() == 0


def test_what_is_taken_counts_until_it_is_acknowledged(queues):
    a, b = queues
    assert a.put([b"x"] * 30) == 20
    assert b.put([b"x"]) == 0
    taken = a.take(4)
    assert b.put([b"x"]) == 0
    a.ack([one.id for one in taken])
    assert b.put([b"y"] * 9) == 4
    assert (a.total(), a.deepest, b.deepest) == (20, 20, 20)


def test_messages_of_a_worker_that_says_nothing_go_to_another(broker, queues):
    a, b = queues
    a.put(BODIES[:6])
    held = a.take(6)
    assert b.reclaim(9) == []
    grow_old(broker, held)
    a.renew([one.id for one in held[:2]])
    a.renew([])
    again = b.reclaim(9)
    assert bodies(again) == BODIES[2:6]
    assert {one.deliveries for one in again} == {2}
    a.release([held[0].id])
    assert bodies(b.reclaim(9)) == BODIES[:1]
    # Whoever comes late acknowledges nothing twice.
    b.ack([one.id for one in again])
    a.ack([one.id for one in held])
    assert a.total() == 0


def test_what_may_kill_its_worker_is_handed_out_alone(queues):
    a, _ = queues
    a.put(BODIES[:5])
    found = a.take(5)
    a.release([one.id for one in found])
    assert [one.deliveries for one in a.reclaim(5)] == [2] * 5
    a.release([one.id for one in found])
    alone = [a.reclaim(5) for _ in range(6)]
    assert [len(one) for one in alone] == [1] * 5 + [0]
    assert [one.deliveries for (one,) in alone[:5]] == [3] * 5
    # What was delivered once does not wait behind what was delivered often.
    a.put([b"new"])
    (new,) = a.take(9)
    a.release([new.id, found[4].id])
    assert sorted(bodies(a.reclaim(9) + a.reclaim(9))) == [BODIES[4], b"new"]


def test_what_is_tried_twice_at_most_is_alone_the_second_time(broker):
    """Else the neighbours of a task that kills its workers would be given up with it."""
    queue = broker.queue("q", Limits(bound=20, lease_s=60.0, deliveries=2), "a")
    queue.put(BODIES[:3])
    queue.release([one.id for one in queue.take(3)])
    assert [bodies(queue.reclaim(3)) for _ in range(4)] == [[BODIES[0]], [BODIES[1]],
                                                            [BODIES[2]], []]  # fmt: skip


def test_after_a_flush_the_queue_works_again(broker, queues):
    a, b = queues
    a.put(BODIES)
    held = a.take(3)
    broker.client.flushall()
    assert b.take(3) == []
    broker.client.flushall()
    assert b.reclaim(3) == []
    a.ack([one.id for one in held])
    a.renew([held[0].id])
    broker.client.flushall()
    assert a.depth() == Depth(0, 0)
    a.put(BODIES[:2])
    assert bodies(b.take(5)) == BODIES[:2]
    b.empty()
    assert a.take(5) == []


def test_who_leaves_with_messages_in_hand_loses_none(broker, queues):
    a, b = queues
    a.put(BODIES[:2])
    (held,) = a.take(1)
    a.leave()
    grow_old(broker, [held])
    assert [one.id for one in b.reclaim(5)] == [held.id]
    a.leave()
    assert bodies(b.take(5)) == BODIES[1:2]


def test_two_queues_of_a_broker_know_nothing_of_one_another(broker):
    one, other = (broker.queue(name, LIMITS) for name in ("one", "other"))
    one.put([b"1"])
    assert other.take(3) == []
    other.empty()
    assert bodies(one.take(3)) == [b"1"]


def test_what_is_no_message_of_ours_has_no_body(broker, queues):
    broker.client.xadd("q", {b"something": b"else"})
    (found,) = queues[0].take(3)
    assert found.body == b""


def test_no_number_of_producers_passes_the_bound(broker, queues):
    """XLEN is asked within each transaction that puts: between two of those it can only fall."""
    a, _ = queues
    makers = [broker.queue("q", LIMITS) for _ in range(4)]
    counts = [0] * len(makers)

    def produce(place):
        while counts[place] < 150:
            counts[place] += makers[place].put([b"x"] * min(7, 150 - counts[place]))

    threads = [threading.Thread(target=produce, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    taken, until = 0, time.monotonic() + 30.0
    while taken < 600 and time.monotonic() < until:
        found = a.take(11)
        a.ack([one.id for one in found])
        taken += len(found)
    for thread in threads:
        thread.join()
    assert (taken, counts) == (600, [150] * 4)
    assert max(maker.deepest for maker in makers) <= LIMITS.bound


def test_the_address_is_the_argument_then_the_variable_then_the_process():
    assert connect(None, {}).embedded
    assert connect("memory://", {"RBH1_BROKER_URL": "redis://127.0.0.1:1"}).embedded
    with pytest.raises(BrokerAwayError, match=r"127\.0\.0\.1:1"):
        connect(None, {"RBH1_BROKER_URL": "redis://127.0.0.1:1"})
    # Two calls share nothing.
    one, other = connect(None, {}), connect(None, {})
    one.queue("q").put([b"x"])
    assert other.queue("q").total() == 0


@pytest.mark.parametrize(
    "wrong", ["amqp://me:secret@host", "host:6379", "redis://me:secret@host:port/0"]
)
def test_what_is_no_address_is_refused_without_its_password(wrong):
    with pytest.raises(ArdError, match="not the address of a broker") as told:
        connect(wrong, {})
    assert "secret" not in str(told.value)


def test_a_broker_that_is_not_there_is_said_without_its_password():
    with pytest.raises(BrokerAwayError, match=r"cannot be reached(.|\n)*check the address") as told:
        connect("redis://:s3cret@127.0.0.1:1/0", {})
    assert "s3cret" not in f"{told.value} {told.value.__cause__!r}"


@pytest.mark.broker
def test_a_broker_that_refuses_is_not_one_that_is_away(redis_server):
    redis_server.client.flushall()
    redis_server.client.set("q", "no stream")
    with pytest.raises(ArdError, match=r"refuses(.|\n)*WRONGTYPE") as told:
        connect(redis_server.url).queue("q", LIMITS).put([b"x"])
    assert not isinstance(told.value, BrokerAwayError)


@pytest.mark.broker
def test_a_broker_that_cannot_save_is_one_to_wait_for(redis_server):
    """Oracle: what redis-server says whose last try to save its memory failed."""
    in_the_way = redis_server.folder / "dump.rdb"
    with redis_server.client as client, closing(connect(redis_server.url)) as broker:
        client.flushall()
        client.config_set("save", "3600 1")
        in_the_way.mkdir()  # no file can be put in its place
        try:
            client.bgsave()
            until = time.monotonic() + 30.0
            while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
                assert time.monotonic() < until
                time.sleep(0.02)
            with pytest.raises(BrokerAwayError, match="MISCONF"):
                broker.queue("q", LIMITS).put([b"x"])
        finally:
            client.config_set("save", "")  # which ends that, too
            in_the_way.rmdir()
        assert broker.queue("q", LIMITS).put([b"x"]) == 1


@pytest.mark.broker
def test_a_broker_without_memory_is_one_to_wait_for(redis_server):
    client = redis_server.client
    client.flushall()
    client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(BrokerAwayError, match="maxmemory"):
            connect(redis_server.url).queue("q", LIMITS).put([b"x" * 1000])
    finally:
        client.config_set("maxmemory", "0")
