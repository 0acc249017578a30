"""What is a request, what is a reply, and how do bodies come and go in blocks?"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from release.testing.model import Refusal
from release.testing.shapes import error_rows

BLOCK: Final = 1 << 20
JSON: Final = "application/json"
RDM: Final = "application/vnd.inveniordm.v1+json"
OCTETS: Final = "application/octet-stream"
UNREADABLE: Final = "Unable to decode JSON data in request body."
BROKEN: Final = (
    "The server encountered an internal error and was unable to complete your request. Either the"
    " server is overloaded or there is an error in the application."
)


class RequestBody:
    """The body of a request, read in blocks, of a given length or in chunks.

    Parameters
    ----------
    stream : binary file
        The connection.
    headers : Message
        Of the request.

    Attributes
    ----------
    length : int or None
        How long it is said to be; None for chunks.
    received : int
        Bytes so far.
    whole : bool
        Whether all of it came.
    lost : bool
        Whether the archive loses it, for reasons of its own.
    stop_at : int or None
        After how many bytes the connection breaks.
    """

    def __init__(self, stream: BufferedIOBase, headers: Message) -> None:
        self._stream = stream
        self.chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self.length = None if self.chunked else int(headers.get("Content-Length") or 0)
        self.received = 0
        self.whole = not self.chunked and self.length == 0
        self.lost = False
        self.stop_at: int | None = None
        self._pause_s, self._step = 0.0, BLOCK
        self._data: bytes | None = None

    def slow_down(self, seconds: float, pieces: int) -> None:
        """Take the body in so many pieces, and so long."""
        length = self.length or BLOCK
        self._step = max(1, -(-length // pieces))
        self._pause_s = seconds / -(-length // self._step)

    def blocks(self) -> Iterator[memoryview]:
        """Give what is left of the body; the memory is used again for the next block."""
        size = min(BLOCK, self._step, BLOCK if self.length is None else self.length)
        buffer = memoryview(bytearray(size))
        while not self.whole:
            left = self._next_chunk() if self.length is None else self.length - self.received
            if left == 0:
                self.whole = True
                return
            end = self.received + left
            if self.stop_at is not None:
                end = min(end, self.stop_at)
            while self.received < end:
                want = min(size, end - self.received)
                # Fills what it is given, however many packets that takes; less is the end.
                count = self._fill(buffer[:want])
                self.received += count
                yield buffer[:count]
                if count < want:
                    return
                time.sleep(self._pause_s)
            if self.received == self.stop_at:
                return
            if self.chunked:
                self._stream.readline()

    def _fill(self, block: memoryview) -> int:
        """Fill a block, and say how far; a connection that breaks is one that ends."""
        try:
            return self._stream.readinto(block)
        except ConnectionError:
            return 0

    def _next_chunk(self) -> int:
        """Read how long the next chunk is; 0 is the end."""
        size = int(self._stream.readline().split(b";")[0] or b"0", 16)
        if size == 0:
            self._stream.readline()
        return size

    def drain(self) -> None:
        """Read what is left, and forget it."""
        for _ in self.blocks():
            pass

    def load(self) -> bytes:
        """Give the whole body, which is kept in memory."""
        if self._data is None:
            self._data = b"".join(bytes(block) for block in self.blocks())
        return self._data

    def digest(self) -> str | None:
        """Give the SHA-256 of a body that was kept in memory."""
        return None if self._data is None else hashlib.sha256(self._data).hexdigest()

    def save(self, path: Path, limit: int, too_big: Refusal) -> str:
        """Write the body into a file as it comes, and give its MD5.

        Raises
        ------
        Refusal
            If it is longer than allowed; nothing is left of it.
        """
        if self.length is not None and self.length > limit:
            raise too_big
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("wb", buffering=0) as file:
            for block in self.blocks():
                if self.received > limit:
                    path.unlink()
                    raise too_big
                digest.update(block)
                file.write(block)
        return digest.hexdigest()


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes
    ----------
    method : str
        GET, POST, ...
    target : str
        Path and query as they came.
    headers : Message
        Without regard to case.
    base : str
        Address of the archive.
    body : RequestBody
        What is sent.
    user : str or None
        Whose token came along.
    """

    method: str
    target: str
    headers: Message
    base: str
    body: RequestBody
    user: str | None = None

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """The last value of each parameter."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def token(self) -> str | None:
        """The token in the header or, where it should not be, in the address."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return token.strip()
        return self.query.get("access_token")

    def by(self, user: str | None) -> "Request":
        """Give the request with the user whose token came along."""
        return replace(self, user=user)

    def without(self, name: str) -> "Request":
        """Give the request without one of its headers."""
        headers = Message()
        for key, value in self.headers.items():
            if key.lower() != name.lower():
                headers[key] = value
        return replace(self, headers=headers)

    def json(self, accepted: tuple[str, ...] = (JSON,)) -> Any:
        """Read the body as JSON; None if there is none.

        Raises
        ------
        Refusal
            If it is something else.
        """
        data = self.body.load()
        kind = self.headers.get("Content-Type", JSON)
        if data and not any(_same_type(kind, one) for one in accepted):
            raise unsupported(accepted)
        if not data.strip():
            return None
        try:
            return json.loads(data)
        except ValueError:
            raise Refusal(400, UNREADABLE) from None


def _same_type(given: str, accepted: str) -> bool:
    if "profile" in accepted:
        return given.replace(" ", "") == accepted
    return given.split(";")[0].strip().lower() == accepted


def unsupported(accepted: tuple[str, ...]) -> Refusal:
    """Give the refusal of a media type."""
    return Refusal(415, f"Invalid 'Content-Type' header. Expected one of: {', '.join(accepted)}")


@dataclass(frozen=True)
class FileSpan:
    """A part of a file that is the body of a reply."""

    path: Path
    start: int
    length: int


@dataclass(frozen=True)
class Delivery:
    """Say what goes wrong while a body is sent.

    Attributes
    ----------
    cut_after : int or None
        The connection ends after so many bytes.
    reset : bool
        It ends with a reset.
    flip_at : int or None
        The byte that arrives as another.
    seconds : float
        How long the body takes.
    """

    cut_after: int | None = None
    reset: bool = False
    flip_at: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Reply:
    """One reply.

    Attributes
    ----------
    status : int
        Of HTTP.
    body : bytes, FileSpan or iterator of bytes
        What is sent; an iterator for what has no length beforehand.
    headers : mapping
        Without those of the connection.
    document : object, optional
        What `body` is the JSON of.
    applied : bool
        Whether something was changed.
    delivery : Delivery
        What goes wrong on the way.
    at_once : bool
        Whether it is sent before the body of the request has come.
    """

    status: int
    body: bytes | FileSpan | Iterator[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Any = None
    applied: bool = False
    delivery: Delivery = Delivery()
    at_once: bool = False

    @property
    def length(self) -> int:
        """How many bytes the body has, as far as that is known beforehand."""
        if isinstance(self.body, FileSpan):
            return self.body.length
        return len(self.body) if isinstance(self.body, bytes) else 0

    @property
    def complains(self) -> bool:
        """Whether it says success and complains in the same breath."""
        listed = self.document if isinstance(self.document, dict) else {}
        return self.status < 300 and bool(listed.get("errors"))

    @property
    def made(self) -> str | None:
        """Which record has been created?"""
        found = self.status == 201 and isinstance(self.document, dict)
        return str(self.document.get("id")) if found else None

    @property
    def retry_after(self) -> float | None:
        """How long it tells the client to wait, s; said in every reply, meant in few."""
        return float(self.headers["Retry-After"]) if self.status in (429, 503) else None

    def with_headers(self, headers: Mapping[str, str]) -> "Reply":
        """Give the reply with further headers; its own prevail."""
        return replace(self, headers={**headers, **self.headers})

    def but(self, **changes: Any) -> "Reply":
        """Give the reply with something else in it."""
        return replace(self, **changes)


def json_reply(
    status: int, document: Any, *, kind: str = JSON, applied: bool = False, **headers: str
) -> Reply:
    """Make a reply with a document; underscores in names of headers become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps(document).encode()
    return Reply(status, body, {"Content-Type": kind, **named}, document, applied)


def refusal_reply(refusal: Refusal) -> Reply:
    """Make the reply that says no."""
    document: dict[str, Any] = {"status": refusal.status, "message": refusal.message}
    if refusal.errors:
        document["errors"] = error_rows(refusal.errors)
    return json_reply(refusal.status, document | refusal.more)


def empty_reply() -> Reply:
    """Make the reply to a deletion."""
    return Reply(204, headers={"Content-Type": "text/html; charset=utf-8"}, applied=True)
