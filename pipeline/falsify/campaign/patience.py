"""How long does a worker wait for what went away, and how is it told to stop?"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from ard.errors import ArdError, RemoteError
from pipeline.falsify.campaign.broker import BrokerAwayError
from pipeline.store.troubles import StoreAwayError

_AWAY: Final = (BrokerAwayError, StoreAwayError)
_LONGEST_S: Final = 10.0

type Say = Callable[[str], None]
type Ask = Callable[[], bool]


@dataclass(frozen=True)
class Pace:
    """How often does a worker look?

    Attributes
    ----------
    patience_s : float
        How long it waits for a broker or database that went away.
    shortest_s, longest_s : float
        Between two looks at a queue that is empty.
    count_s : float
        Between two looks, when there is nothing to do, at what others hold and at the ledger; at
        the latter less and less often. A queue that is empty too early, twice in a row, is filled
        anew.
    beat_s : float
        Between two signs of life.
    """

    patience_s: float = 300.0
    shortest_s: float = 0.01
    longest_s: float = 0.25
    count_s: float = 2.0
    beat_s: float = 15.0


class Patience:
    """Ask broker or database, and go on asking while they are away.

    Parameters
    ----------
    pace : Pace
    stopped : callable
        Says whether it is to stop; nothing is waited for then.
    say : callable
        Told of what is away.
    """

    def __init__(self, pace: Pace, stopped: Ask, say: Say) -> None:
        self._pace, self._stopped, self._say = pace, stopped, say

    def __call__[T](self, ask: Callable[[], T]) -> T:
        """Give the answer.

        Raises
        ------
        BrokerAwayError, StoreAwayError
            If they stay away. Nothing is lost.
        """
        until, wait = time.monotonic() + self._pace.patience_s, self._pace.longest_s
        while True:
            try:
                return ask()
            except _AWAY as error:
                if time.monotonic() > until or self._stopped():
                    raise _still_away(error) from error
                self._say(f"{error.problem}, and is asked again: {error.found}")
                _sleep(min(wait, max(until - time.monotonic(), 0.0)), self._stopped)
                wait = min(2 * wait, _LONGEST_S)


@contextmanager
def stopping() -> Iterator[Ask]:
    """Let the first SIGTERM or Ctrl-C ask a worker to stop, and the second end it at once."""
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def quietly(tell: Callable[[], None]) -> None:
    """Tell, or let it be: the worker itself meets the same trouble, and deals with it."""
    try:
        tell()
    except ArdError:
        return


def _sleep(seconds: float, stopped: Ask) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stopped():
        time.sleep(min(0.1, max(until - time.monotonic(), 0.0)))


def _still_away(error: RemoteError) -> RemoteError:
    return type(error)(
        error.problem,
        expected=error.expected,
        found=error.found,
        action=f"{error.action}: what this worker had in hand goes to another",
    )
