"""How do tasks reach workers, so that none is lost and no queue grows without bound?

A stream with one consumer group. A message that is taken stays with its taker until it is
acknowledged; one that is not acknowledged for the length of a lease is handed to another. All that
is asked of the server are commands that Redis, Valkey and DragonflyDB have, and no scripts.
"""

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    WatchError,
)
from redis.retry import Retry

from ard.errors import ArdError, RemoteError
from pipeline.doctor import shown

VARIABLE: Final = "RBH1_BROKER_URL"
MEMORY: Final = "memory://"
_SCHEMES: Final = ("redis://", "rediss://", "unix://")
_GROUP: Final = "workers"
_BODY: Final = b"b"
_TIMEOUT_S: Final = 10.0
# After these the same may succeed.
_PASSING: Final = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
)
# What a server says that cannot save its memory to its disk just now.
_UNSAVED: Final = "MISCONF"
# What a server, and the one within the process, say where there is no group.
_NO_GROUP: Final = ("NOGROUP", "requires the key to exist")
# Up to this delivery, messages are handed out together, if it is not the last; later ones alone, so
# that a task which kills its workers is not counted against its neighbours.
_TOGETHER: Final = 2


class BrokerAwayError(RemoteError):
    """The broker cannot be reached, or takes nothing now; later it may."""


@dataclass(frozen=True)
class Delivery:
    """A message in the hands of a worker.

    Attributes
    ----------
    id : str
        Its place in the queue.
    body : bytes
        What was put; empty if it is no message of ours.
    deliveries : int
        How often it has been handed out, this time included.
    """

    id: str
    body: bytes
    deliveries: int


@dataclass(frozen=True)
class Depth:
    """How full is a queue?

    Attributes
    ----------
    waiting : int
        Messages that nobody has taken.
    held : int
        Messages that were taken and not acknowledged.
    """

    waiting: int
    held: int

    @property
    def total(self) -> int:
        """What counts against the bound."""
        return self.waiting + self.held


@dataclass(frozen=True)
class Limits:
    """What holds for a queue.

    Attributes
    ----------
    bound : int
        Messages that it holds at most, those that were taken included.
    lease_s : float
        How long a message stays with a worker that says nothing.
    deliveries : int
        How often a message is handed out at most.
    """

    bound: int = 4096
    lease_s: float = 600.0
    deliveries: int = 5


def connect(address: str | None = None, environment: Mapping[str, str] = os.environ) -> "Broker":
    """Reach the broker.

    Parameters
    ----------
    address : str, optional
        ``redis://:password@host:port/number``, ``rediss://...``, ``unix://...`` or ``memory://``;
        else RBH1_BROKER_URL; else ``memory://``, a server within this process.
    environment : mapping of str to str
        Usually ``os.environ``.

    Raises
    ------
    ArdError
        If it is no address of a broker.
    BrokerAwayError
        If nobody answers there.
    """
    text = address or environment.get(VARIABLE) or MEMORY
    public = shown(VARIABLE, text)
    if text == MEMORY:
        import fakeredis

        # A server of its own for each call: nothing is shared by accident.
        return Broker(fakeredis.FakeStrictRedis(server=fakeredis.FakeServer()), public)
    if not text.startswith(_SCHEMES):
        raise _wrong(public)
    try:
        client = redis.Redis.from_url(
            text,
            protocol=2,
            socket_timeout=_TIMEOUT_S,  # and, unless the address says so, of the connection
            health_check_interval=30,
            retry=Retry(NoBackoff(), 1),  # of a connection that was idle; workers wait themselves
        )
    except ValueError as error:
        raise _wrong(public) from error
    broker = Broker(client, public)
    with translated(public):
        client.ping()
    return broker


@dataclass(frozen=True, eq=False)
class Broker:
    """A server of queues.

    Attributes
    ----------
    client : redis.Redis
        Or what behaves like one.
    address : str
        How it is shown, without its password.
    """

    client: Any
    address: str

    @property
    def embedded(self) -> bool:
        """Whether it is within this process, and ends with it."""
        return self.address == MEMORY

    def queue(self, name: str, limits: Limits | None = None, consumer: str = "") -> "WorkQueue":
        """Give the queue of a name, as one worker sees it."""
        return WorkQueue(self, name, limits or Limits(), consumer or new_consumer())

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def new_consumer() -> str:
    """Name a worker as nobody else is named."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class WorkQueue:
    """A bounded queue of tasks, as one worker sees it.

    Parameters
    ----------
    broker : Broker
    name : str
        The same for all who share the queue.
    limits : Limits
    consumer : str
        Name of the worker.

    Attributes
    ----------
    deepest : int
        The most messages that the queue held when this worker put something.
    """

    def __init__(self, broker: Broker, name: str, limits: Limits, consumer: str) -> None:
        self._client = broker.client
        self._address = broker.address
        self._stream = name
        self._gate = f"{name}:put"
        self.limits = limits
        self.consumer = consumer
        self.deepest = 0

    def put(self, bodies: Sequence[bytes]) -> int:
        """Put as many as there is room for, the first ones first; say how many that were.

        The bound holds for any number of producers: each puts only if no other did since it
        counted. Who takes can only make room.
        """
        with translated(self._address), self._client.pipeline(transaction=True) as pipe:
            while True:
                try:
                    pipe.watch(self._gate)
                    room = self.limits.bound - pipe.xlen(self._stream)
                    chosen = bodies[: max(room, 0)]
                    if not chosen:
                        return 0
                    pipe.multi()
                    pipe.incr(self._gate)
                    for body in chosen:
                        pipe.xadd(self._stream, {_BODY: body})
                    pipe.xlen(self._stream)
                    self.deepest = max(self.deepest, pipe.execute()[-1])
                except WatchError:
                    continue
                return len(chosen)

    def take(self, count: int) -> list[Delivery]:
        """Take messages that nobody has taken before; none if there are none."""
        found = self._ask(
            lambda: self._client.xreadgroup(_GROUP, self.consumer, {self._stream: ">"}, count=count)
        )
        return [Delivery(_text(id_), _body(row), 1) for _, rows in found or () for id_, row in rows]

    def reclaim(self, count: int) -> list[Delivery]:
        """Take messages whose lease has run out.

        What was delivered once comes in batches; what was delivered more often comes alone.
        XAUTOCLAIM would raise the count of a whole batch, that of neighbours of a task which kills
        its workers too: so the list is looked at first, and then claimed by XCLAIM, which gives a
        message to one asker only.
        """
        idle = round(1000 * self.limits.lease_s)
        rows = self._ask(
            lambda: self._client.xpending_range(self._stream, _GROUP, "-", "+", count, idle=idle)
        )
        if not rows:
            return []
        together = min(_TOGETHER, self.limits.deliveries - 1)
        if rows[0]["times_delivered"] >= together:
            rows = rows[:1]
        counts = {
            _text(row["message_id"]): row["times_delivered"] + 1
            for row in rows
            if len(rows) == 1 or row["times_delivered"] < together
        }
        claimed = self._ask(
            lambda: self._client.xclaim(
                self._stream, _GROUP, self.consumer, min_idle_time=idle, message_ids=list(counts)
            )
        )
        # Servers before 7.0 give nothing for a message that is gone.
        return [Delivery(_text(i), _body(row), counts[_text(i)]) for i, row in claimed if i]

    def renew(self, ids: Sequence[str]) -> None:
        """Begin the lease of messages in hand anew."""
        if ids:
            self._claim(ids)

    def release(self, ids: Sequence[str]) -> None:
        """Give messages back: anybody may reclaim them at once."""
        if ids:
            self._claim(ids, idle=round(2000 * self.limits.lease_s))

    def ack(self, ids: Sequence[str]) -> None:
        """Say that messages are done with; they are gone then."""
        if not ids:
            return
        with translated(self._address), self._client.pipeline(transaction=True) as pipe:
            pipe.xack(self._stream, _GROUP, *ids)
            pipe.xdel(self._stream, *ids)
            pipe.execute()

    def total(self) -> int:
        """Say how many messages there are, those that were taken included."""
        with translated(self._address):
            return int(self._client.xlen(self._stream))

    def depth(self) -> Depth:
        """Say how many messages wait, and how many are held."""
        held = int(self._ask(lambda: self._client.xpending(self._stream, _GROUP))["pending"])
        return Depth(max(self.total() - held, 0), held)

    def empty(self) -> None:
        """Remove all messages."""
        with translated(self._address):
            self._client.delete(self._stream, self._gate)

    def leave(self) -> None:
        """Be forgotten by the group, unless messages are in hand, which would be lost."""
        held = self._ask(
            lambda: self._client.xpending_range(
                self._stream, _GROUP, "-", "+", 1, consumername=self.consumer
            )
        )
        if not held:
            with translated(self._address):
                self._client.xgroup_delconsumer(self._stream, _GROUP, self.consumer)

    def _claim(self, ids: Sequence[str], **more: int) -> None:
        # JUSTID: the count of deliveries stays.
        self._ask(
            lambda: self._client.xclaim(
                self._stream, _GROUP, self.consumer, 0, list(ids), justid=True, **more
            )
        )

    def _ask(self, ask: Callable[[], Any]) -> Any:
        """Ask; make the group where there is none, as in the beginning and after a flush."""
        with translated(self._address):
            try:
                return ask()
            except ResponseError as error:
                if not any(text in str(error) for text in _NO_GROUP):
                    raise
            # From 0: what was put before the group existed is delivered too.
            try:
                self._client.xgroup_create(self._stream, _GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
            return ask()


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn errors of the client into ours.

    Parameters
    ----------
    address : str
        Which broker, without its password.
    """
    try:
        yield
    except RedisError as error:
        text = shown(VARIABLE, str(error).strip().partition("\n")[0])
        found = f"{address}: {text}"
        if isinstance(error, _PASSING) or _UNSAVED in str(error):
            raise BrokerAwayError(
                "the broker cannot be reached",
                expected="a Redis-like server that answers and takes messages",
                found=found,
                action="start it, or check the address and the network; then run again. "
                "Nothing is lost",
            ) from error
        raise ArdError(
            "the broker refuses what it was asked",
            expected="a server with streams (Redis 6.2 or later, Valkey, DragonflyDB)",
            found=found,
            action=f"check its version and {VARIABLE}",
        ) from error


def _wrong(public: str) -> ArdError:
    return ArdError(
        "this is not the address of a broker",
        expected=f"redis://:password@host:port/0, rediss://..., unix://... or {MEMORY}",
        found=public,
        action=f"correct {VARIABLE}, or unset it: the queue is then within the process",
    )


def _text(id_: bytes | str) -> str:
    return id_.decode() if isinstance(id_, bytes) else id_


def _body(row: Mapping[bytes, bytes]) -> bytes:
    return row.get(_BODY, b"")
