"""How many requests may still be sent, and how long is to be waited?

The archive says it in X-RateLimit-Remaining and -Reset. It sends Retry-After with every answer,
also with good ones: that one counts with 429 and 503 only.
"""

import email.utils
import threading
import time
from collections.abc import Mapping
from typing import Final, Protocol

from release.deposit.errors import StoppedError, WaitTooLongError

# Windows are minutes and hours; no honest wait is longer.
LONGEST_S: Final = 3700.0
# The archive tells both times in whole seconds.
_SAME_S: Final = 2.0
_WAITING: Final = (429, 503)
_REMAINING: Final = "X-RateLimit-Remaining"
_RESET: Final = "X-RateLimit-Reset"


class Clock(Protocol):
    """What tells the time and waits; tests bring their own."""

    def time(self) -> float:
        """Give the seconds since 1970, which somebody may set."""

    def monotonic(self) -> float:
        """Give the seconds since a moment of this process, which nobody sets."""

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Wait, but not longer than until the event is set."""


class SystemClock:
    """The clock of the machine."""

    def time(self) -> float:
        """Give the seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Give the seconds since a moment of this process."""
        return time.monotonic()

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Wait, but not longer than until the event is set."""
        stop.wait(seconds)


class Governor:
    """Hold requests back before the archive would refuse them; shared by all threads.

    Parameters
    ----------
    clock : Clock
    stop : threading.Event
        Ends every wait.
    """

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._clock = clock
        self._stop = stop
        self._lock = threading.Lock()
        self._remaining: int | None = None
        self._reset = 0.0
        self._not_before = 0.0

    def pause(self, seconds: float) -> None:
        """Wait, and notice that the work was stopped meanwhile.

        Raises
        ------
        StoppedError
            If it was.
        WaitTooLongError
            If the archive asks for a wait longer than any of its windows.
        """
        if seconds > LONGEST_S:
            raise WaitTooLongError(
                "the archive asks for a wait that is too long",
                expected=f"at most {LONGEST_S:.0f} s",
                found=f"{seconds:.0f} s",
                action="type the same command again later",
            )
        if seconds > 0:
            self._clock.wait(seconds, self._stop)
        self.check()

    def check(self) -> None:
        """Raise `StoppedError` if the work was stopped."""
        if self._stop.is_set():
            raise StoppedError("the work was stopped")

    def admit(self) -> None:
        """Wait until one more request may be sent, and count it."""
        while (seconds := self._take()) > 0:
            self.pause(seconds)

    def _take(self) -> float:
        """Take one request of the window, or give the time until one may be taken."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._not_before:
                return self._not_before - now
            if self._remaining is None:
                return 0.0
            wait = self._reset - now
            if wait <= 0:
                self._remaining = None
                return 0.0
            if self._remaining > 0:
                self._remaining -= 1
                return 0.0
            return wait

    def learn(self, status: int, headers: Mapping[str, str]) -> None:
        """Note what an answer says about the window, and about waiting."""
        if status in _WAITING:
            asked = self._asked(headers)
            if asked is not None:
                with self._lock:
                    self._not_before = max(self._not_before, self._clock.monotonic() + asked)
        remaining, reset = _number(headers.get(_REMAINING)), _number(headers.get(_RESET))
        if remaining is None or reset is None:
            return
        # The window ends by the archive's clock, which need not be ours.
        ends = self._clock.monotonic() + (reset - self._their_time(headers))
        with self._lock:
            same = self._remaining is not None and abs(ends - self._reset) < _SAME_S
            left = int(remaining)
            # Answers overtake one another; within a window the number only falls.
            self._remaining = min(left, self._remaining or 0) if same else left
            self._reset = ends

    def _their_time(self, headers: Mapping[str, str]) -> float:
        date = _date(headers.get("Date"))
        return self._clock.time() if date is None else date

    def _asked(self, headers: Mapping[str, str]) -> float | None:
        """Give the wait that a 429 or 503 asks for, in seconds; None if it asks for none."""
        text = headers.get("Retry-After")
        seconds = _number(text)
        if seconds is not None:
            return seconds
        date = _date(text)
        return None if date is None else max(date - self._their_time(headers), 0.0)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e12 else None


def _date(text: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError, OSError):
        # The last two: a date that no clock of this machine can show.
        return None
