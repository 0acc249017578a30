"""How does one request get to the archive, and what may be done when its answer does not come?

A request that reads is repeated. One that writes is repeated only where it certainly had no effect
(it never left, or was refused with 429); whatever else goes wrong with it is an
`UnknownOutcomeError`, and the caller has to look at the state. Redirects are never followed, and
the token goes to one host only.
"""

import random
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, Protocol

import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

import ard
from ard.fileio import parse_json
from ard.sums import quote
from release.deposit.errors import (
    NotReachedError,
    RefusedByArchiveError,
    UnexpectedAnswerError,
    UnknownOutcomeError,
)
from release.deposit.governor import Clock, Governor, SystemClock
from release.deposit.line import LineAdapter, Reply, receive
from release.deposit.messages import messages, shortened
from release.deposit.target import is_loopback
from release.deposit.token import Token

ACCEPT: Final = "application/vnd.inveniordm.v1+json, application/json;q=0.5"
USER_AGENT: Final = f"rbh1-ard/{ard.__version__} (rbh1-release; python-requests)"
_TOO_MANY: Final = 429
_NOT_FOUND: Final = 404
_LATER: Final = "look whether the archive works, then type the same command again"


@dataclass(frozen=True)
class Policy:
    """Say how patient a transport is.

    Attributes
    ----------
    connect_s, read_s : float
        Longest silence while connecting and while waiting for an answer. The body of an
        answer is to end within `read_s` after its headers, too; headers are bounded by their number
        and by the silence between them only.
    slow_s : float
        Longest silence of a request at which the archive computes: uploads, commits, publishing.
    attempts : int
        How often a request that reads is sent, and how often doubt about one that writes is
        cleared up before giving up.
    backoff_s, backoff_limit_s : float
        First and longest pause between attempts; each is twice the one before, within a third.
    settle_s : float
        After how long a record that was made is in the search, and a commit is done, if ever.
    """

    connect_s: float = 15.0
    read_s: float = 60.0
    slow_s: float = 600.0
    attempts: int = 6
    backoff_s: float = 1.0
    backoff_limit_s: float = 30.0
    settle_s: float = 120.0


class Body(Protocol):
    """Bytes that are sent as they are read; `len` says how many."""

    def __len__(self) -> int:
        """Give the number of bytes."""

    def __iter__(self) -> Iterator[bytes]:
        """Read from the beginning."""


@dataclass(frozen=True)
class Answer:
    """Hold one answer of the archive.

    Attributes
    ----------
    status : int
    document : object
        The parsed JSON; None where there was none.
    location : str
        Where a redirect leads; empty if nowhere.
    """

    status: int
    document: Any = None
    location: str = ""


class Transport:
    """Talk to one archive.

    Parameters
    ----------
    target : str
        Address of the archive, as `parse_target` gives it.
    token : Token or None
        None talks as anybody.
    policy : Policy
    clock : Clock
    adapter : callable, optional
        Makes what carries the requests; tests put faults there.
    """

    def __init__(
        self,
        target: str,
        token: Token | None,
        policy: Policy = Policy(),
        *,
        clock: Clock | None = None,
        adapter: Callable[[], BaseAdapter] = LineAdapter,
    ) -> None:
        self.target = target
        self.policy = policy
        self.clock: Clock = SystemClock() if clock is None else clock
        self.stop = threading.Event()
        self._token = token
        self._adapter = adapter
        self._governor = Governor(self.clock, self.stop)
        self._session = _session(target, token, adapter)
        self._others: list[Transport] = []

    def close(self) -> None:
        """Close all connections."""
        for one in (self, *self._others):
            one._session.close()

    def cut(self) -> None:
        """End all requests that are under way; those that write have an unknown outcome then."""
        for one in (self, *self._others):
            for adapter in one._session.adapters.values():
                if isinstance(adapter, LineAdapter):
                    adapter.cut()

    def anonymous(self) -> "Transport":
        """Give a transport to the same archive that knows no token; it is closed with this one."""
        other = Transport(self.target, None, self.policy, clock=self.clock, adapter=self._adapter)
        self._others.append(other)
        return other

    def scrub(self, text: str) -> str:
        """Take the token out of a text."""
        return text if self._token is None else self._token.scrub(text)

    def pause(self, attempt: int) -> None:
        """Wait before an attempt, longer each time, unless the work is stopped."""
        self._governor.pause(self._backoff(attempt))

    def check(self) -> None:
        """Raise `StoppedError` if the work was stopped."""
        self._governor.check()

    def read(self, path: str, *, missing: tuple[int, ...] = (404,)) -> Answer:
        """Ask for something, as often as is needed.

        Parameters
        ----------
        path : str
            Percent-encoded, from the root.
        missing : tuple of int
            Statuses that are an answer and no error, beside 2xx.

        Raises
        ------
        NotReachedError, RefusedByArchiveError, UnexpectedAnswerError
        """
        cause = ""
        for attempt in range(self.policy.attempts):
            if attempt:
                self.pause(attempt)
            try:
                reply = self._send("GET", path, timeout=self.policy.read_s)
            except requests.RequestException as error:
                cause = self._describe(error)
                continue
            if reply.status == _TOO_MANY or reply.status >= 500 or self._is_pages(reply):
                cause = self._describe_status(reply)
                continue
            return self._judge("GET", path, reply, missing)
        raise NotReachedError(
            f"the archive does not answer GET {path}",
            expected=f"an answer within {self.policy.attempts} attempts",
            found=cause,
            action="look whether the archive works, and is at this address; then type the same"
            " command again",
        )

    def write(
        self,
        method: str,
        path: str,
        *,
        document: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        slow: bool = False,
    ) -> Answer:
        """Send what changes something, once.

        Parameters
        ----------
        method, path : str
        document : optional
            Sent as JSON.
        body : Body, optional
            Sent as bytes.
        headers : mapping, optional
        slow : bool
            The archive may take long.

        Raises
        ------
        RefusedByArchiveError, NotReachedError
            If it had no effect.
        UnknownOutcomeError
            If nobody knows.
        """
        request, cause, action = f"{method} {path}", "", _LATER
        timeout = self.policy.slow_s if slow else self.policy.read_s
        for attempt in range(self.policy.attempts):
            if attempt:
                self.pause(attempt)
            try:
                reply = self._send(
                    method, path, timeout, document=document, body=body, headers=headers
                )
            except requests.RequestException as error:
                cause = self._describe(error)
                if _never_left(error):
                    action = _advice(error)
                    continue
                raise UnknownOutcomeError.of(request, cause) from error
            if reply.status == _TOO_MANY:
                cause, action = self._describe_status(reply), _LATER
                continue
            if reply.status >= 500 or reply.status == 408 or self._is_pages(reply):
                cause = self._describe_status(reply)
                raise UnknownOutcomeError.of(request, cause, reply.status)
            return self._judge(method, path, reply, ())
        raise NotReachedError(
            f"{request} could not be delivered",
            expected=f"to be taken within {self.policy.attempts} attempts",
            found=cause,
            action=action,
        )

    def _send(
        self,
        method: str,
        path: str,
        timeout: float,
        *,
        document: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        self._governor.admit()
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = "application/octet-stream"
        response = self._session.request(
            method,
            self.target + path,
            json=document,
            data=body,
            headers=sent,
            timeout=(self.policy.connect_s, timeout),
            allow_redirects=False,
            stream=True,
        )
        reply = receive(response, self.policy.read_s)
        self._governor.learn(reply.status, reply.headers)
        return reply

    def _judge(self, method: str, path: str, reply: Reply, missing: tuple[int, ...]) -> Answer:
        """Turn an answer below 500 into what it says, or raise what is wrong with it."""
        status, request = reply.status, f"{method} {path}"
        if 300 <= status < 400 and status not in missing:
            raise UnexpectedAnswerError(
                f"the archive redirects {request}, and redirects are not followed",
                found=f"{status} to {quote(self.scrub(reply.headers.get('Location', '')))}",
                action="check the address of the archive",
            )
        if status >= 400 and status not in missing:
            raise RefusedByArchiveError.of(status, request, self._message(reply))
        location = self.scrub(reply.headers.get("Location", ""))
        if status == 204 or status >= 300:
            return Answer(status, location=location)
        try:
            return Answer(status, self._document(reply))
        except ValueError as error:
            found = f"{status}, {quote(self._text(reply))}"
            if method != "GET":
                raise UnknownOutcomeError.of(request, f"no JSON: {found}", status) from error
            raise UnexpectedAnswerError(
                f"the answer to {request} is not JSON",
                expected="JSON",
                found=found,
                action="check the address of the archive, and whether it works",
            ) from error

    def _is_pages(self, reply: Reply) -> bool:
        """Tell whether a 404 is not the archive's, which says so in JSON; what is in between not.

        What is believed to be gone is given up, so not everybody is believed.
        """
        if reply.status != _NOT_FOUND:
            return False
        try:
            document = self._document(reply)
        except ValueError:
            return True
        return not isinstance(document, dict) or document.get("status") != _NOT_FOUND

    def _document(self, reply: Reply) -> Any:
        return parse_json(self._text(reply).encode())

    def _text(self, reply: Reply) -> str:
        # Scrubbed before anything is made of it, so that an echo of the token leads nowhere.
        return self.scrub(reply.body.decode("utf-8", errors="replace"))

    def _message(self, reply: Reply) -> str:
        """Say what an error document says; pages of proxies are not documents."""
        try:
            document = self._document(reply)
        except ValueError:
            return f"(a page, no message: {quote(self._text(reply))})"
        if not isinstance(document, dict):
            return quote(document)
        rows = [shortened(document.get("message", "")), *messages(document)]
        return "; ".join(row for row in rows if row)

    def _describe_status(self, reply: Reply) -> str:
        what = ", and not from the archive:" if self._is_pages(reply) else ""
        return f"{reply.status}{what} {self._message(reply)}".strip()

    def _describe(self, error: requests.RequestException) -> str:
        return self.scrub(f"{type(error).__name__}: {error}")

    def _backoff(self, attempt: int) -> float:
        longest = min(self.policy.backoff_limit_s, self.policy.backoff_s * 2.0 ** (attempt - 1))
        return longest * random.uniform(2 / 3, 4 / 3)


def _never_left(error: requests.RequestException) -> bool:
    """Tell whether not even a connection was made that a request could have been sent over."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    reason = _reason(error)
    if isinstance(reason, ProxyError):
        # The request goes through the proxy, which was not reached either.
        return isinstance(reason.original_error, NewConnectionError | ConnectTimeoutError)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError) or _is_untrusted(error)


def _reason(error: requests.RequestException) -> object:
    """Give what the layer below says."""
    cause = error.args[0] if error.args else None
    return cause.reason if isinstance(cause, MaxRetryError) else cause


def _is_untrusted(error: requests.RequestException) -> bool:
    """Tell whether it ended at the certificate, which is looked at before anything is sent."""
    reason = _reason(error)
    told = reason.args[0] if isinstance(reason, SSLError) and reason.args else reason
    return isinstance(told, ssl.SSLCertVerificationError)


def _advice(error: requests.RequestException) -> str:
    """Say what to do where no request got out."""
    if _is_untrusted(error):
        return (
            "the certificate of the archive, or of a proxy before it, is not trusted here: check"
            " the address, or name the right authorities in REQUESTS_CA_BUNDLE"
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached: check HTTPS_PROXY and NO_PROXY, then type it again"
    return _LATER


class _Bearer(AuthBase):
    """Send the token as a header. With an auth in place, requests asks no .netrc."""

    def __init__(self, token: Token | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request


def _session(
    target: str, token: Token | None, adapter: Callable[[], BaseAdapter]
) -> requests.Session:
    session = requests.Session()
    session.auth = _Bearer(token)
    session.headers.update({"Accept": ACCEPT, "User-Agent": USER_AGENT})
    # A session of the website would be a second identity beside the token.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # What stays on this machine is not shown to a proxy.
    session.trust_env = not is_loopback(target)
    session.adapters.clear()
    session.mount(target, adapter())
    return session
