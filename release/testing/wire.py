"""What is a request, and what is a reply?"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from release.testing.body import RequestBody
from release.testing.model import Refusal
from release.testing.shapes import error_rows

JSON: Final = "application/json"
RDM: Final = "application/vnd.inveniordm.v1+json"
OCTETS: Final = "application/octet-stream"
UNREADABLE: Final = "Unable to decode JSON data in request body."
BROKEN: Final = (
    "The server encountered an internal error and was unable to complete your request. Either the"
    " server is overloaded or there is an error in the application."
)


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
        if self.status != 201 or not isinstance(self.document, dict) or "id" not in self.document:
            return None
        return str(self.document["id"])

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
