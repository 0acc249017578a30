"""How does a worker take, compute and give back, so that nothing is lost whatever ends it?

The order is all: compute, commit to the ledger, put what follows into the next queue, acknowledge.
Whoever dies in between leaves tasks that are delivered again, and the ledger knows which of them
have an answer.
"""

import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from ard.errors import ArdError, ExtraMissingError, RemoteError
from pipeline.falsify.campaign.broker import Broker, Delivery, WorkQueue, new_consumer
from pipeline.falsify.campaign.ledger import Ledger
from pipeline.falsify.campaign.patience import Ask, Pace, Patience, Say, quietly
from pipeline.falsify.campaign.roles import NEXT, Order, Role, Row, decode, encode
from pipeline.falsify.campaign.rows import Death
from pipeline.falsify.campaign.settings import DYNAMICS, LIKELIHOOD, Campaign
from pipeline.falsify.campaign.supply import Progress, Supply, feed, progress, rewind
from pipeline.store.troubles import DiskFullError

_MB: Final = 1e6
_LONGEST_COUNTS: Final = 8
# Of ru_maxrss.
_RSS_BYTES: Final = 1 if sys.platform == "darwin" else 1024
# What no task is guilty of, and would kill each that this worker takes: it ends itself instead.
_NOT_ITS_OWN: Final = (
    *(RemoteError, ExtraMissingError, ModuleNotFoundError),
    *(DiskFullError, OSError, MemoryError),
)
# The same of an accelerator: all galaxies ask the same of it. By name, as not every role has JAX.
_OF_DEVICE: Final = ("JaxRuntimeError", "XlaRuntimeError")


@dataclass
class Tally:
    """What a worker has done in a role.

    Attributes
    ----------
    done : int
        Tasks with an answer of its own that is kept.
    again : int
        Tasks whose answer was there already.
    rejected : int
        Of its answers, galaxies that are not possible.
    failed : int
        Tries that ended with an error.
    dead, conflicts : int
    busy_s : float
        Seconds of computing.
    """

    done: int = 0
    again: int = 0
    rejected: int = 0
    failed: int = 0
    dead: int = 0
    conflicts: int = 0
    busy_s: float = 0.0


@dataclass
class _Hand:
    """A role as this worker has it."""

    role: Role
    queue: WorkQueue
    tally: Tally = field(default_factory=Tally)
    ids: tuple[str, ...] = ()
    reclaim_at: float = 0.0
    renew_at: float = 0.0
    told: tuple[float, int] = (0.0, 0)


class Worker:
    """Work on a campaign until nothing is left, or until it is to stop.

    Parameters
    ----------
    campaign : Campaign
    ledger : Ledger
    broker : Broker
    roles : sequence of Role
        In the order of their turns; see `pipeline.falsify.campaign.roles.roles_of`.
    pace : Pace, optional
    stopped : callable
        Says whether it is to stop; it then finishes its batch.
    say : callable
        Told of progress.
    """

    def __init__(
        self,
        campaign: Campaign,
        ledger: Ledger,
        broker: Broker,
        roles: Sequence[Role],
        *,
        pace: Pace | None = None,
        stopped: Ask = lambda: False,
        say: Say = lambda _: None,
    ) -> None:
        self.name = new_consumer()
        self._campaign, self._ledger, self._broker = campaign, ledger, broker
        self._pace, self._stopped, self._say = pace or Pace(), stopped, say
        self._patiently = Patience(self._pace, stopped, say)
        limits = campaign.settings.limits
        self._queues = {
            name: broker.queue(campaign.queue(name), limits, self.name)
            for name in {DYNAMICS, LIKELIHOOD} | {role.name for role in roles}
        }
        self._hands = {role.name: _Hand(role, self._queues[role.name]) for role in roles}
        self._suspected: frozenset[str] = frozenset()
        self._count_at, self._count_s = 0.0, self._pace.count_s

    def run(self) -> dict[str, Tally]:
        """Work; give what was done in each role.

        Raises
        ------
        BrokerAwayError, StoreAwayError
            If broker or database are away for longer than patience allows. Nothing is lost.
        """
        if self._broker.embedded:  # what an earlier process had in its queues went with it
            self._patiently(lambda: rewind(self._ledger, self._campaign, list(self._hands)))
        pause = self._pace.shortest_s
        with self._living():
            while not self._stopped():
                if self._step():
                    pause, self._count_s = self._pace.shortest_s, self._pace.count_s
                elif self._patiently(self._finished):
                    break
                else:
                    time.sleep(pause)
                    pause = min(2 * pause, self._pace.longest_s)
        # Only when nothing renews a lease any more: what that took from another would go with it.
        for hand in self._hands.values():
            quietly(hand.queue.leave)
        return {name: hand.tally for name, hand in self._hands.items()}

    def _step(self) -> bool:
        """Do one batch, if there is any.

        Of two roles that follow one another, the later has its turn when it has a full batch, or
        when the earlier has nothing.
        """
        for name, hand in self._hands.items():
            if any(NEXT.get(one) == name for one in self._hands):
                full = self._patiently(hand.queue.total) >= hand.role.batch
                if full and self._serve(hand):
                    return True
        return any(self._serve(hand) for hand in self._hands.values())

    def _serve(self, hand: _Hand) -> bool:
        batch = self._patiently(lambda: self._take(hand))
        if not batch:
            return False
        hand.renew_at = time.monotonic() + hand.queue.limits.lease_s / 3
        hand.ids = tuple(delivery.id for delivery in batch)
        try:
            self._do(hand, batch)
        finally:
            hand.ids = ()
        return True

    def _take(self, hand: _Hand) -> list[Delivery]:
        """Take what was left behind, what is new, or what the ledger lacks."""
        queue, count = hand.queue, hand.role.batch
        if time.monotonic() >= hand.reclaim_at:
            if found := queue.reclaim(count):
                return found
            hand.reclaim_at = time.monotonic() + queue.limits.lease_s / 4
        if found := queue.take(count):
            return found
        if feed(self._ledger, self._campaign, hand.role.name, max(queue.limits.bound // 2, 1),
                lambda supplies: queue.put([encode(supply) for supply in supplies])):  # fmt: skip
            return queue.take(count)
        # Nothing is left to take: what others hold may be theirs to the end, or left behind.
        hand.reclaim_at = min(hand.reclaim_at, time.monotonic() + self._pace.count_s)
        return []

    def _do(self, hand: _Hand, batch: Sequence[Delivery]) -> None:
        role, tally = hand.role, hand.tally
        orders, known, deaths = self._sorted_out(hand, batch)
        numbers = {order.number: order for order in orders}  # of two of a number, one is enough
        clock = time.perf_counter()
        rows, failures = _computed(role, [o for n, o in numbers.items() if n not in known])
        tally.busy_s += time.perf_counter() - clock
        settled = self._patiently(
            lambda: self._ledger.settle(self._campaign, role.name, rows, self.name)
        )
        tally.done += settled.new
        tally.again += len(known) + settled.equal
        tally.conflicts += settled.conflicts
        tally.rejected += sum(not row.get("possible", True) for row in rows)
        followed = self._follow(role, rows, known | settled.old)
        retried = self._give_up(hand, failures, deaths)
        open_ = {o.number for o in retried} if followed else set(numbers)
        ids = [o.id for o in orders if o.number not in open_]
        self._patiently(lambda: hand.queue.ack([*ids, *(id_ for id_, _ in deaths)]))
        left = [o.id for o in orders if o.number in open_]
        self._patiently(lambda: hand.queue.release(left))

    def _sorted_out(
        self, hand: _Hand, batch: Sequence[Delivery]
    ) -> tuple[list[Order], set[int], list[tuple[str, Death]]]:
        """Tell tasks, those with an answer, and what is dead: no task, or delivered too often."""
        orders: list[Order] = []
        deaths: list[tuple[str, Death]] = []
        name, limits = hand.role.name, hand.queue.limits
        for delivery in batch:
            try:
                orders.append(decode(delivery, self._campaign.settings.tasks(name)))
            except ArdError as error:
                reason = f"{error.problem}: {error.found}"
                death = Death(f"message {delivery.id}", None, reason, delivery.deliveries)
                deaths.append((delivery.id, death))
        numbers = [order.number for order in orders]
        known = self._patiently(lambda: self._ledger.known(self._campaign, name, numbers))
        for order in orders:
            if order.deliveries > limits.deliveries and order.number not in known:
                count = order.deliveries - 1
                reason = f"delivered {count} times, and its workers died or said nothing"
                death = Death(str(order.number), order.number, reason, count)
                deaths.append((order.id, death))
        dead = {id_ for id_, _ in deaths}
        return [order for order in orders if order.id not in dead], known, deaths

    def _give_up(
        self,
        hand: _Hand,
        failures: Sequence[tuple[Order, Exception]],
        deaths: list[tuple[str, Death]],
    ) -> list[Order]:
        """Note what is dead; give those failures that are tried again."""
        most = hand.queue.limits.deliveries
        retried = [order for order, _ in failures if order.deliveries < most]
        for order, error in failures:
            if order.deliveries >= most:
                reason = f"{type(error).__name__}: {error}"
                death = Death(str(order.number), order.number, reason, order.deliveries)
                deaths.append((order.id, death))
        told = [death for _, death in deaths]
        self._patiently(lambda: self._ledger.bury(self._campaign, hand.role.name, told, self.name))
        hand.tally.failed += len(failures)
        hand.tally.dead += len(deaths)
        for death in told:
            self._say(f"{hand.role.name} {death.task} is dead: {death.reason}")
        return retried

    def _follow(self, role: Role, rows: Sequence[Row], old: set[int]) -> bool:
        """Put what follows into the next queue; False if it had to stop before all was there.

        What the ledger had already is taken from there: another's answer is the one that is kept.
        """
        after = NEXT.get(role.name)
        if after is None:
            return True
        if old:
            stored = self._patiently(
                lambda: self._ledger.rows(self._campaign, role.name, sorted(old))
            )
            own = [row for row in rows if row["number"] not in old]
            rows = [*own, *(row._mapping for row in stored)]
        supplies = role.follow(rows)
        if old:  # whoever had them may have died before this
            done = self._patiently(
                lambda: self._ledger.known(self._campaign, after, [s.number for s in supplies])
            )
            supplies = [supply for supply in supplies if supply.number not in done]
        return self._put_all(after, supplies)

    def _put_all(self, name: str, supplies: Sequence[Supply]) -> bool:
        queue, left = self._queues[name], [encode(supply) for supply in supplies]
        while left:
            count = self._patiently(partial(queue.put, left))
            left = left[count:]
            if left and not (name in self._hands and self._serve(self._hands[name])):
                # Full: somebody else has to make room.
                if self._stopped():
                    return False
                time.sleep(self._pace.longest_s / 5)
        return True

    def _finished(self) -> bool:
        """Say whether nothing is left; have queues filled anew that are empty too early."""
        if time.monotonic() < self._count_at:
            return False
        # To count takes the database a while, and others wait too.
        self._count_at = time.monotonic() + self._count_s
        self._count_s = min(2 * self._count_s, _LONGEST_COUNTS * self._pace.count_s)
        found = progress(self._ledger, self._campaign)
        if all(found.roles[name].complete for name in self._hands):
            return True
        empty = {name for name, queue in self._queues.items() if queue.total() == 0}
        suspects = frozenset(name for name in self._hands if self._is_lost(name, found, empty))
        if lost := sorted(suspects & self._suspected):
            self._say(f"the queue of {', '.join(lost)} is empty too early, and is filled anew")
            rewind(self._ledger, self._campaign, lost)
            self._count_at = 0.0
            suspects -= set(lost)
        self._suspected = suspects
        return False

    def _is_lost(self, name: str, found: Progress, empty: set[str]) -> bool:
        role = found.roles[name]
        fed = role.fed >= self._campaign.settings.tasks(name)
        before = all(one in empty for one, after in NEXT.items() if after == name)
        return fed and role.missing > 0 and name in empty and before

    @contextmanager
    def _living(self) -> Iterator[None]:
        """Renew leases and give signs of life meanwhile, whatever the worker computes."""
        ended = threading.Event()
        heart = threading.Thread(target=self._beat_until, args=(ended,), daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
            self._beat(ended=True)

    def _beat_until(self, ended: threading.Event) -> None:
        beat_at = 0.0
        while True:
            now = time.monotonic()
            for hand in self._hands.values():
                ids = hand.ids
                if ids and now >= hand.renew_at:
                    hand.renew_at = now + hand.queue.limits.lease_s / 3
                    quietly(partial(hand.queue.renew, ids))
            if now >= beat_at:
                beat_at = now + self._pace.beat_s
                self._beat(ended=False)
            lease_s = self._campaign.settings.lease_s
            if ended.wait(min(lease_s / 6, self._pace.beat_s)):
                return

    def _beat(self, *, ended: bool) -> None:
        now = time.monotonic()
        for name, hand in self._hands.items():
            tally, (then, before) = hand.tally, hand.told
            hand.told = (now, tally.done)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_BYTES / _MB
            counts: dict[str, Any] = {
                **vars(tally),
                "busy_s": round(tally.busy_s, 3),
                "rate": round((tally.done - before) / (now - then), 3) if then else 0.0,
                "deepest": max(queue.deepest for queue in self._queues.values()),
                "peak_mb": round(peak),
            }
            quietly(
                partial(self._ledger.beat, self._campaign, self.name, name, counts, ended=ended)
            )
            if tally.done != before and not ended:
                self._say(f"{name}: {tally.done} done, {counts['rate']} a second")


def _computed(
    role: Role, orders: Sequence[Order]
) -> tuple[list[Row], list[tuple[Order, Exception]]]:
    """Compute tasks together; if that fails, each alone, to see whose failure it is."""
    if not orders:
        return [], []
    try:
        return role.compute(orders), []
    except _NOT_ITS_OWN:
        raise
    except Exception as error:
        if any(kind.__name__ in _OF_DEVICE for kind in type(error).__mro__):
            raise
        # Whatever else a task raises is kept as its reason.
        if len(orders) == 1:
            return [], [(orders[0], error)]
    rows: list[Row] = []
    failures: list[tuple[Order, Exception]] = []
    for order in orders:
        found, failed = _computed(role, [order])
        rows += found
        failures += failed
    return rows, failures
