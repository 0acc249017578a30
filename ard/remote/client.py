"""How is an archive asked politely: who asks, how often, and where may it send us?

GET only, under a name of our own. The archive's rate limit is kept to before it has to say no;
what fails for the moment is asked again, after growing waits. Redirects are followed to encrypted
addresses only, and bodies are taken as they come, never unpacked.
"""

import email.utils
import http.client
import random
import re
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final, cast
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit

from ard.errors import RemoteError
from ard.remote.address import is_loopback, may_be_asked, origin
from ard.source import Progress, Watcher
from ard.sums import quote

_CHUNK: Final = 1 << 18
_HOPS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
# Zenodo sends Retry-After with every answer; it means something with these.
_RETRY_AFTER: Final = frozenset({429, 503})
# An attempt that brought this much counts as the first of a new row.
_ADVANCE: Final = 1 << 16
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
_BROKEN: Final = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Patience:
    """Say how long to wait for an archive.

    Attributes
    ----------
    attempts : int
        Attempts in a row that bring nothing, before giving up.
    timeout_s : float
        Seconds without a byte that end an attempt.
    first_wait_s, longest_wait_s : float
        Wait after the first failure, which doubles with each, and the longest that is sat out.
    slowest : float
        Bytes per second below which, over `timeout_s`, a connection counts as dead.
    """

    attempts: int = 5
    timeout_s: float = 30.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 120.0
    slowest: float = 100.0


class Setback(Exception):
    """An attempt failed in a way that may pass.

    Parameters
    ----------
    error : RemoteError
        What to say if it does not.
    wait_s : float, optional
        Seconds after which the archive wants to be asked again.
    """

    def __init__(self, error: RemoteError, wait_s: float | None = None) -> None:
        super().__init__(error.problem)
        self.error = error
        self.wait_s = wait_s


class Reply:
    """Read an answer: its status, its headers, and its body as it comes."""

    def __init__(self, response: http.client.HTTPResponse, url: str, patience: Patience) -> None:
        self._response = response
        self._patience = patience
        self.url = url
        self.status = response.status
        self.headers: Message = response.headers

    @property
    def length(self) -> int | None:
        """Number of bytes that the archive announces; None where it does not."""
        return _number(self.headers, "Content-Length")

    def chunks(self, most: int) -> Iterator[bytes]:
        """Give the body as it comes, up to a number of bytes.

        Raises
        ------
        Setback
            If the connection breaks, or brings next to nothing.
        """
        came, since = 0, time.monotonic()
        while most > 0:
            try:
                chunk = self._response.read1(min(most, _CHUNK))
            except _BROKEN as error:
                raise Setback(unreachable(self.url, error)) from error
            if not chunk:
                return
            most -= len(chunk)
            came += len(chunk)
            yield chunk
            passed = time.monotonic() - since
            if passed >= self._patience.timeout_s:
                if came < self._patience.slowest * passed:
                    raise Setback(_stalled(self.url, came, passed))
                came, since = 0, time.monotonic()

    def all(self, most: int) -> bytes:
        """Read the whole body.

        Raises
        ------
        RemoteError
            If it is longer than `most` bytes.
        Setback
            If it breaks off.
        """
        body = b"".join(self.chunks(most + 1))
        if len(body) > most:
            raise RemoteError(
                "the archive sends more than an answer of this kind can hold",
                file=self.url,
                expected=f"{most} bytes at most",
                found=f"{self.length} bytes" if self.length else "no end",
            )
        if self.length is not None and len(body) < self.length:
            raise Setback(
                RemoteError(
                    "the answer of the archive broke off",
                    file=self.url,
                    expected=f"{self.length} bytes",
                    found=f"{len(body)} bytes",
                    action="try again later",
                )
            )
        return body


class Client:
    """Ask archives, one question at a time.

    Parameters
    ----------
    patience : Patience
        How long to wait.
    watch : callable, optional
        Told, as a note, of waits that are long enough to be noticed.
    """

    def __init__(self, patience: Patience | None = None, watch: Watcher | None = None) -> None:
        self.patience = patience or Patience()
        self._watch = watch
        self._opener = _opener()
        self._not_before = 0.0

    @contextmanager
    def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, stay: bool = False
    ) -> Iterator[Reply]:
        """Ask once, and lend the answer, whatever its status is.

        Parameters
        ----------
        url : str
            Address.
        headers : mapping of str to str, optional
            What else to say.
        stay : bool
            Refuse redirects to another host.

        Raises
        ------
        Setback
            If there is no answer, or one that says to ask again.
        RemoteError
            If it leads in circles, or to where nothing may be asked.
        """
        given = dict(headers or {})
        for _ in range(_HOPS + 1):
            response = self._send(url, given)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                break
            response.close()
            url = _target(url, location, stay)
        else:
            raise RemoteError(
                "the archive sends us in circles",
                file=url,
                expected=f"{_HOPS} redirects at most",
                action="try again later",
            )
        with response:
            yield Reply(response, url, self.patience)

    def persist[T](
        self, name: str, attempt: Callable[[], T], reached: Callable[[], int] = lambda: 0
    ) -> T:
        """Attempt something until it succeeds, or until nothing comes any further.

        Parameters
        ----------
        name : str
            What it is about, for the notes.
        attempt : callable
            One attempt, which raises `Setback` where another may help.
        reached : callable
            How many bytes are there; gaining some makes an attempt count as the first again.
        """
        failed, farthest = 0, reached()
        while True:
            try:
                return attempt()
            except Setback as setback:
                have = reached()
                failed = 1 if have >= farthest + _ADVANCE else failed + 1
                farthest = max(farthest, have)
                if failed >= self.patience.attempts:
                    raise setback.error from setback
                self._back_off(name, failed, setback)

    def _back_off(self, name: str, failed: int, setback: Setback) -> None:
        longest = self.patience.longest_wait_s
        if setback.wait_s is not None and setback.wait_s > longest:
            raise RemoteError(
                "the archive asks to be left alone for longer than this waits",
                file=setback.error.file,
                expected=f"{longest:.0f} s at most",
                found=f"{setback.wait_s:.0f} s",
                action=f"try again in {setback.wait_s / 60:.0f} minutes; what has come is kept",
            ) from setback
        # Spread, so that many who failed together do not come back together.
        spread = random.uniform(0.75, 1.25)
        own = min(self.patience.first_wait_s * 2 ** (failed - 1) * spread, longest)
        asked = setback.wait_s
        self._wait(name, own if asked is None else max(asked, self.patience.first_wait_s), setback)

    def _wait(self, name: str, seconds: float, reason: object) -> None:
        if self._watch is not None and seconds >= 1:
            self._watch(Progress(name, 0, 0, f"{reason}; waiting {seconds:.0f} s"))
        _pause(seconds)

    def _send(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        wait = self._not_before - time.monotonic()
        if wait > 0:
            self._wait("", wait, "the rate limit of the archive is used up")
        plain = {"User-Agent": user_agent(), "Accept-Encoding": "identity", **headers}
        try:
            request = urllib.request.Request(url, headers=plain)
            opened = self._opener.open(request, timeout=self.patience.timeout_s)
            response = cast(http.client.HTTPResponse, opened)
        except URLError as error:
            reason = error.reason
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise _untrusted(url, reason) from error
            raise Setback(unreachable(url, reason)) from error
        except (*_BROKEN, ValueError) as error:
            raise Setback(unreachable(url, error)) from error
        self._note_limit(response.headers)
        if response.status in _PASSING:
            with response:
                raise Setback(_passing(url, response.status), _retry_after(response))
        return response

    def _note_limit(self, headers: Message) -> None:
        """Remember when to ask next, if this answer used up the archive's limit."""
        reset = _number(headers, "X-RateLimit-Reset")
        if reset is None or _number(headers, "X-RateLimit-Remaining") != 0:
            return
        wait = reset - _server_time(headers)
        # A limit by the hour is not waited for: the archive's own refusal says it best.
        if 0 < wait <= self.patience.longest_wait_s:
            self._not_before = time.monotonic() + wait


def user_agent() -> str:
    """Say who asks; archives throttle programs that do not."""
    from ard import __version__

    return f"rbh1-ard/{__version__} (analysis-ready dataset of RBH-1; python)"


def _pause(seconds: float) -> None:
    time.sleep(seconds)


class _Proxies(urllib.request.ProxyHandler):
    """Use the proxies of the environment, except for this very machine."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        if is_loopback(urlsplit(req.full_url).hostname):
            return None
        return super().proxy_open(req, proxy, type)


def _opener() -> urllib.request.OpenerDirector:
    """Make an opener that knows http and https alone, and leaves redirects to us."""
    opener = urllib.request.OpenerDirector()
    for handler in (_Proxies(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler()):
        opener.add_handler(handler)
    return opener


def _target(url: str, location: str, stay: bool) -> str:
    try:
        target = urljoin(url, location)
    except ValueError:
        target = ""
    refused = not may_be_asked(target)
    if not refused and urlsplit(target).scheme == "http":
        refused = urlsplit(url).scheme != "http"
    if refused or (stay and origin(target) != origin(url)):
        raise RemoteError(
            "the archive sends us where we do not go",
            file=url,
            expected="the same host" if stay else "an address that begins with https",
            found=quote(location),
            action="check the network: a proxy or a login page may be in the way",
        )
    return target


def _server_time(headers: Message) -> float:
    """Give the time by the archive's clock, which its limits go by, in seconds since 1970."""
    return _date(headers.get("Date", "")) or time.time()


def _date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    headers = response.headers
    if response.status not in _RETRY_AFTER:
        return None
    seconds = _number(headers, "Retry-After")
    if seconds is not None:
        return seconds
    moment = _date(headers.get("Retry-After", ""))
    return None if moment is None else max(0.0, moment - _server_time(headers))


def _number(headers: Message, name: str) -> int | None:
    """Read a header that is a number; None where it is missing or something else."""
    text = headers.get(name, "").strip()
    return int(text) if _DIGITS.fullmatch(text) else None


def unreachable(url: str, error: object) -> RemoteError:
    """Make the error for an archive that does not answer, or not to the end."""
    return RemoteError(
        "the archive cannot be reached",
        file=url,
        expected="an answer",
        found=str(error) or type(error).__name__,
        action="check the network and try again; with offline=True the cache alone is used",
    )


def _untrusted(url: str, reason: ssl.SSLCertVerificationError) -> RemoteError:
    return RemoteError(
        "the archive cannot prove who it is",
        file=url,
        expected="a certificate that this machine trusts",
        found=reason.verify_message,
        action="check the clock, the network and the certificates (SSL_CERT_FILE) of this machine",
    )


def _passing(url: str, status: int) -> RemoteError:
    busy = status in _RETRY_AFTER
    return RemoteError(
        "the archive is busy" if busy else "the archive has a fault",
        file=url,
        expected="an answer",
        found=f"HTTP status {status}",
        action="try again later; what has come is kept",
    )


def _stalled(url: str, came: int, passed: float) -> RemoteError:
    return RemoteError(
        "the transfer has stalled",
        file=url,
        found=f"{came} bytes in {passed:.0f} s",
        action="check the network and try again; what has come is kept",
    )
