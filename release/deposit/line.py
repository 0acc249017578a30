"""How does an answer stay within bounds, and how is who waits for one woken?

A body that does not end, or unfolds to more than any answer holds, is broken off. A connection
that is cut from another thread ends its request at once, whose outcome is unknown then.
"""

import contextlib
import socket
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

# A page of a hundred drafts with a hundred files each is half as long.
LONGEST: Final = 16 << 20
# What is compressed unfolds to a thousand times of this at most before it is counted.
_CHUNK: Final = 1 << 14


@dataclass(frozen=True)
class Reply:
    """Hold an answer as it came: status, headers, and the bytes of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def receive(response: requests.Response, longest_s: float) -> Reply:
    """Read an answer to its end.

    Parameters
    ----------
    response : requests.Response
        With the body still to come.
    longest_s : float
        After how long a body is broken off that comes drop by drop, in seconds.

    Raises
    ------
    requests.RequestException
        If it breaks off, or is broken off.
    """
    parts: list[bytes] = []
    size, until = 0, time.monotonic() + longest_s
    try:
        # read1 gives what is there, so that drops do not keep us from looking at the clock.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            parts.append(chunk)
            size += len(chunk)
            if size > LONGEST:
                raise requests.ConnectionError(f"the answer is longer than {LONGEST} bytes")
            if time.monotonic() > until:
                raise requests.ConnectionError(f"the answer did not end within {longest_s:g} s")
    except HTTPError as error:
        raise requests.ConnectionError(f"{type(error).__name__}: {error}") from error
    finally:
        response.close()
    return Reply(response.status_code, response.headers, b"".join(parts))


class LineAdapter(HTTPAdapter):
    """Carries requests over connections that can be cut while somebody waits for an answer."""

    def __init__(self) -> None:
        self._lines: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Give the connections to a host, each of which is noted when it is made."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = type(pool).ConnectionCls
        # The pool calls it, and does not mind whether it is a class.
        pool.ConnectionCls = lambda *a, **k: self._noted(kind(*a, **k))
        return pool

    def _noted(self, line: Any) -> Any:
        with self._lock:
            self._lines.add(line)
        return line

    def cut(self) -> None:
        """End all requests that are under way."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            if isinstance(line.sock, socket.socket):
                # One that has ended by itself meanwhile needs no cutting.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(line.sock, socket.SHUT_RDWR)
