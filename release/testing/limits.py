"""How many requests may come in a minute, and what does the archive say of it in every reply?"""

import math
from collections.abc import Callable
from typing import Final

_WINDOW_S: Final = 60


class Governor:
    """Counts the requests of each user, and of guests.

    Parameters
    ----------
    clock : callable
        Seconds since 1970.
    with_token, guest : int
        Requests per minute.
    """

    def __init__(self, clock: Callable[[], float], with_token: int, guest: int) -> None:
        self._clock, self._with_token, self._guest = clock, with_token, guest
        self._windows: dict[str | None, tuple[float, int]] = {}

    def count(self, user: str | None) -> tuple[bool, dict[str, str]]:
        """Count a request; say whether it is within the limit, and give the headers.

        `Retry-After` is in every reply, as recorded: it means something with 429 and 503 only.
        """
        now, limit = self._clock(), self.limit(user)
        start, used = self._windows.get(user, (now, 0))
        if now - start >= _WINDOW_S:
            start, used = now, 0
        self._windows[user] = (start, used + 1)
        return used < limit, {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - used - 1)),
            "X-RateLimit-Reset": str(math.ceil(start + _WINDOW_S)),
            "Retry-After": str(math.ceil(start + _WINDOW_S - now)),
        }

    def limit(self, user: str | None) -> int:
        """How many requests a user has per minute; None is a guest."""
        return self._guest if user is None else self._with_token
