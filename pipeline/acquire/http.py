"""How does one speak with an archive over a network that fails?

Here is what a transfer and a query share: a session with time-outs and a token that stays where it
belongs, the decision whether trying again makes sense, and waits that can be interrupted.
"""

import contextlib
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import requests
import urllib3
from requests.auth import AuthBase

import ard
from ard.errors import ArdError
from pipeline.acquire.settings import TOKEN, Network

# Later, the same request can succeed; so it can after trouble of the server (5xx). Everything else
# from 400 on is an answer.
_TRANSIENT_STATUS: Final = frozenset({408, 425, 429})
_SERVER_TROUBLE: Final = 500
_STRONG: Final = re.compile(r'"[!#-~]+"')
_CHUNK: Final = 1 << 18
_ASKS_TO_WAIT: Final = frozenset({429, 503})
# What requests and urllib3 raise when a connection fails or breaks off.
BROKEN: Final = (requests.RequestException, urllib3.exceptions.HTTPError)


class TransferError(ArdError):
    """The archive could not be read; says whether another attempt makes sense.

    Attributes
    ----------
    transient : bool
        Whether it can be different next time.
    retry_after_s : float or None
        The wait that the archive asks for, s.
    unreachable : bool
        Whether there was no answer at all.
    """

    transient: bool = False
    retry_after_s: float | None = None
    unreachable: bool = False


class Stopped(Exception):
    """The user asked to stop."""


def failure(
    problem: str, *, transient: bool, retry_after_s: float | None = None, **details: Any
) -> TransferError:
    """Make the error of an attempt."""
    error = TransferError(problem, **details)
    error.transient = transient
    error.retry_after_s = retry_after_s
    return error


@dataclass
class Waiter:
    """Waits that end at once when the user asks to stop.

    Attributes
    ----------
    stop : threading.Event
    rng : random.Random
        For the waits between attempts.
    fruitless : int
        How many files in a row, of all workers, were given up because nobody answered.
    not_before : float
        When the archive wants to see any of us again (time.monotonic), s.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    rng: random.Random = field(default_factory=random.Random)
    fruitless: int = 0
    not_before: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _reading: set[requests.Response] = field(default_factory=set, repr=False)

    def end(self) -> None:
        """Ask to stop, and wake whoever waits for bytes."""
        self.stop.set()
        with self._guard:
            for reply in self._reading:
                # A reply that ended by itself meanwhile needs no waking.
                with contextlib.suppress(ValueError, RuntimeError, OSError):
                    reply.raw.shutdown()

    @contextlib.contextmanager
    def reading(self, reply: requests.Response) -> Iterator[None]:
        """Let `end` wake whoever reads a reply."""
        with self._guard:
            self._reading.add(reply)
        try:
            self.check()
            yield
        finally:
            with self._guard:
                self._reading.discard(reply)

    def check(self) -> None:
        """Raise `Stopped` if the user asked to stop."""
        if self.stop.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Wait, or raise `Stopped`."""
        if self.stop.wait(seconds):
            raise Stopped

    def hold(self) -> None:
        """Wait as long as the archive asked any of the workers to."""
        left = self.not_before - time.monotonic()
        if left > 0:
            self.sleep(left)

    def back_off(self, network: Network, attempt: int, error: TransferError) -> None:
        """Wait before another attempt: longer each time, and as long as the archive asks.

        Raises
        ------
        TransferError
            If the archive asks for more patience than there is.
        """
        asked = error.retry_after_s
        if asked is not None and asked > network.retry_after_limit_s:
            error.transient = False
            error.action = f"run the same command again in {asked:.0f} s, as the archive asks"
            raise error
        if asked is not None:
            self.not_before = max(self.not_before, time.monotonic() + asked)
        longest = min(network.backoff_limit_s, network.backoff_s * 2.0 ** (attempt - 1))
        pause = longest * self.rng.uniform(0.5, 1.0)
        self.sleep(pause if asked is None else max(asked, pause))


class _Token(AuthBase):
    """Send the token as a header. With an auth in place, requests asks no .netrc."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"token {self._token}"
        return request


class ArchiveSession(requests.Session):
    """A session in which no connection is waited for, and no silence borne, for ever.

    Parameters
    ----------
    network : Network
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.auth = _Token(network.token)
        self.headers["User-Agent"] = f"rbh1-ard/{ard.__version__} {self.headers['User-Agent']}"

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request with our time-outs, whatever the caller gives."""
        kwargs["timeout"] = (self.network.connect_s, self.network.read_s)
        response: requests.Response = super().request(*args, **kwargs)
        return response

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Take the token off a request that is sent on to another host, and add nothing to it.

        The method of requests would look into .netrc for that host.
        """
        before, after = response.request.url, prepared_request.url
        if before is None or after is None or self.should_strip_auth(before, after):
            prepared_request.headers.pop("Authorization", None)


def require_success(response: requests.Response, file: str, network: Network) -> None:
    """Raise what a bad status means, and whether it can be different next time.

    Raises
    ------
    TransferError
        If the status is 400 or more.
    """
    status = response.status_code
    if status < 400:
        return
    found = network.redact(f"{status} {response.reason or ''}".strip())
    if status == 401:
        raise _unauthorized(file, found, network)
    if status == 403:
        raise failure(
            "the archive forbids this file",
            transient=False,
            file=file,
            expected="access",
            found=found,
            action="check on the archive's page whether the data are public yet",
        )
    if status in (404, 410):
        raise failure(
            "the archive does not have this file",
            transient=False,
            file=file,
            expected="the file of the lock",
            found=found,
            action="see what the archive lists: rbh1 acquire lock",
        )
    transient = status in _TRANSIENT_STATUS or status >= _SERVER_TROUBLE
    raise failure(
        "the archive cannot answer now" if transient else "the archive refuses the request",
        transient=transient,
        retry_after_s=retry_after(response.headers) if status in _ASKS_TO_WAIT else None,
        file=file,
        expected="status 200 or 206",
        found=found,
        action="run the same command again later",
    )


def _unauthorized(file: str, found: str, network: Network) -> TransferError:
    if network.token:
        problem = f"the archive does not accept the token in {TOKEN} for this file"
        action = "it has expired, or gives no right to these data: make a new one"
    else:
        problem, action = "the archive asks who you are", f"set {TOKEN} to your token"
    return failure(problem, transient=False, file=file, expected="access", found=found,
                   action=action)  # fmt: skip


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After: seconds or a date; None where there is nothing sensible."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def broken(error: Exception, file: str, network: Network) -> TransferError:
    """Say what a broken connection means."""
    timeout = isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError)
    tls = isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError)
    if timeout:
        problem = "the archive stopped sending"
    elif tls:
        problem = "the archive's certificate is not accepted"
    else:
        problem = "the connection to the archive broke off"
    found = failure(
        problem,
        transient=not tls,
        file=file,
        expected=f"bytes from {network.server}",
        found=network.redact(f"{type(error).__name__}: {error}"),
        action="check the network; the same command continues",
    )
    found.unreachable = True
    return found


def given_up(error: TransferError, attempts: int) -> TransferError:
    """Say that several attempts in a row ended like this one."""
    last = failure(
        error.problem,
        transient=True,
        file=error.file,
        expected=error.expected,
        found=f"{error.found}; {attempts} attempts in a row came no further",
        action=error.action,
    )
    last.unreachable = error.unreachable
    return last


def arriving(
    reply: requests.Response, waiter: Waiter, network: Network, *, unpack: bool = False
) -> Iterator[bytes]:
    """Give the bytes of a reply as they come, as they are unless they are to be unpacked.

    To be read inside of ``waiter.reading(reply)``, so that a request to stop is heard.

    Raises
    ------
    TransferError
        If they come more slowly than `network` puts up with: a trickle is as bad as silence.
    Stopped
        If the user asked to stop.
    """
    began, count = time.monotonic(), 0
    while True:
        waiter.check()
        # read1 returns what is there, so that a slow server does not keep us from looking up.
        chunk: bytes = reply.raw.read1(_CHUNK, decode_content=unpack)
        # Woken by `end`, a connection may give bytes as they are below TLS: they are no content.
        waiter.check()
        if not chunk:
            return
        count += len(chunk)
        passed = time.monotonic() - began
        if passed >= network.slow_s:
            if count < network.slow_bytes_per_s * passed:
                raise failure(
                    "the archive sends too slowly",
                    transient=True,
                    expected=f"{network.slow_bytes_per_s:g} bytes/s",
                    found=f"{count / passed:.0f} bytes/s",
                    action="run the same command again later",
                )
            began, count = time.monotonic(), 0
        yield chunk


def is_strong(etag: Any) -> bool:
    """Say whether an ETag vouches for bytes; a weak one (W/) does not (RFC 9110, 13.1.5)."""
    return isinstance(etag, str) and _STRONG.fullmatch(etag) is not None
