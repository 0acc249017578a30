"""How is a question put to a catalogue that may be busy, down, or answer with a page?

astroquery knows the questions and the protocol; the session that it speaks through is ours.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import requests

from pipeline.acquire.http import (
    BROKEN,
    ArchiveSession,
    TransferError,
    Waiter,
    arriving,
    broken,
    failure,
    require_success,
)
from pipeline.acquire.settings import Network

CATALOGUE: Final = "the archive's catalogue"  # what errors are about that are about no file
_LONGEST_POLL_S: Final = 10.0
_FIRST_POLL_S: Final = 0.5
_LARGEST_BYTES: Final = 1 << 27  # 50,000 rows, the most of a page, have about 50 MB


@dataclass(frozen=True)
class Query:
    """A question and its answer: the request in JSON, and the sha256 of the reply's bytes."""

    request: Mapping[str, Any]
    reply_sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {"request": dict(self.request), "reply_sha256": self.reply_sha256}


class QuerySession(ArchiveSession):
    """A session for astroquery: it waits, tries again, and lets no page pass for an answer."""

    def __init__(self, network: Network, waiter: Waiter) -> None:
        super().__init__(network)
        self._waiter = waiter
        self.begin()
        self.queries: list[Query] = []

    def begin(self) -> None:
        """Start the clock of a question."""
        self._began, self._waited_s, self._polls = time.monotonic(), 0.0, 0

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request until there is an answer or no hope."""
        data = kwargs.get("data", args[3] if len(args) > 3 else None)
        question = _question(data)
        attempt = 0
        while True:
            attempt += 1
            try:
                reply, document = self._once(*args, **kwargs)
            except TransferError as error:
                if not error.transient or attempt >= self.network.attempts:
                    raise
                self._waiter.back_off(self.network, attempt, error)
                continue
            if isinstance(document, dict) and document.get("status") == "EXECUTING":
                self._poll()
            elif question:
                sha = hashlib.sha256(reply.content).hexdigest()
                self.queries.append(Query(question, sha))
            return reply

    def _once(self, *args: Any, **kwargs: Any) -> tuple[requests.Response, Any]:
        kwargs["stream"] = True
        kwargs["headers"] = {**(kwargs.get("headers") or {}), "Accept-Encoding": "identity"}
        try:
            reply = super().request(*args, **kwargs)
            with reply, self._waiter.reading(reply):
                self._read(reply)
        except BROKEN as error:
            raise broken(error, CATALOGUE, self.network) from error
        require_success(reply, CATALOGUE, self.network)
        try:
            document = reply.json()
        except ValueError as error:
            kind = reply.headers.get("Content-Type", "no type")
            raise failure(
                "the archive answered a question with something else than JSON",
                transient=True,
                file=CATALOGUE,
                expected="JSON",
                found=f"{kind}: {self.network.redact(reply.text)[:60]!a}",
                action="the archive may be under maintenance: run the same command again later",
            ) from error
        if isinstance(document, dict) and document.get("status") == "ERROR":
            raise failure(
                "the archive could not answer a question",
                transient=True,
                file=CATALOGUE,
                expected="status COMPLETE",
                found=self.network.redact(f"status ERROR: {document.get('msg', '')}"),
                action="run the same command again later",
            )
        return reply, document

    def _read(self, reply: requests.Response) -> None:
        """Read an answer with an end to time and size, and leave it where requests looks for it."""
        content, began = bytearray(), time.monotonic()
        for chunk in arriving(reply, self._waiter, self.network, unpack=True):
            content += chunk
            seconds = time.monotonic() - began
            if len(content) > _LARGEST_BYTES or seconds > self.network.query_limit_s:
                raise failure(
                    "the archive's answer to a question does not come to an end",
                    transient=False,
                    file=CATALOGUE,
                    expected=f"{_LARGEST_BYTES} bytes at most, within "
                    f"{self.network.query_limit_s:g} s",
                    found=f"{len(content)} bytes after {seconds:.0f} s",
                    action="run the same command again later",
                )
        reply._content = bytes(content)
        reply._content_consumed = True

    def _poll(self) -> None:
        """Wait before astroquery asks again, which it would do at once and for ever."""
        self._polls += 1
        limit = self.network.query_limit_s
        pause = min(_LONGEST_POLL_S, _FIRST_POLL_S * 1.5 ** (self._polls - 1))
        if max(self._waited_s, time.monotonic() - self._began) + pause > limit:
            raise failure(
                "the archive did not finish a question",
                transient=False,
                file=CATALOGUE,
                expected=f"an answer within {limit:g} s",
                found=f"status EXECUTING after {self._waited_s:.0f} s and {self._polls} questions",
                action="run the same command again later",
            )
        self._waiter.sleep(pause)
        self._waited_s += pause


def _question(data: Any) -> dict[str, Any]:
    """Read the request out of a form, without what differs between equal questions."""
    text = data.decode() if isinstance(data, bytes) else data
    if not isinstance(text, str) or not text.startswith("request="):
        return {}
    question: dict[str, Any] = json.loads(unquote(text.removeprefix("request=")))
    question.pop("cacheBreaker", None)
    return question
