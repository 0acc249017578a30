"""What can go wrong while one file is sent?

One small class for each fault. Faults of the connection count the bytes of the reply, faults of
the content those of the file; a position given as a float is a fraction of them.
"""

import gzip
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from pipeline.acquire.testing import spans
from pipeline.acquire.testing.wire import CLOSE, RESET, STALL, Content, Reply, text_reply, whole

PAGE: Final = (
    "<!DOCTYPE html>\n<html><head><title>Scheduled maintenance</title></head>"
    "<body><h1>The archive is down for maintenance.</h1></body></html>\n"
)
_HALF: Final = 0.5
type Position = int | float


def place(at: Position, size: int) -> int:
    """Where in so many bytes is this? A float is a fraction; the last byte is never passed."""
    found = int(at * size) if isinstance(at, float) else at
    return max(0, min(found, size - 1))


class Fault:
    """A fault: it changes what is served, how that is described, or how it is sent."""

    words: ClassVar[str] = "no fault"

    @property
    def title(self) -> str:
        """What happens, in a few words for a table."""
        return self.words

    def content(self, content: Content) -> Content:
        """Change the bytes of the file."""
        return content

    def etag(self, etag: str | None) -> str | None:
        """Change the ETag."""
        return etag

    def ranges(self, ranges: bool) -> bool:
        """Say whether Range is honoured."""
        return ranges

    def reply(self, reply: Reply) -> Reply:
        """Change the planned reply."""
        return reply


@dataclass(frozen=True)
class Truncate(Fault):
    """The true Content-Length, and a connection that is closed too early."""

    at: Position = _HALF
    words = "body truncated, true Content-Length"

    def reply(self, reply: Reply) -> Reply:
        """Close the connection early."""
        return replace(reply, cut=place(self.at, reply.length), then=CLOSE)


@dataclass(frozen=True)
class ShortBody(Fault):
    """A body that is too short, with a Content-Length that says so."""

    at: Position = _HALF
    words = "short body, honest length"

    def reply(self, reply: Reply) -> Reply:
        """Send the head of the body only."""
        return reply.with_part(reply.start, reply.start + place(self.at, reply.length))


@dataclass(frozen=True)
class BitFlip(Fault):
    """One bit of the file is another."""

    at: Position = _HALF
    bit: int = 0
    words = "one bit flipped"

    def content(self, content: Content) -> Content:
        """Flip the bit."""
        at = place(self.at, content.size)
        byte = content.read(at, at + 1)[0] ^ (1 << self.bit)
        return replace(content, patches=(*content.patches, (at, byte)))


@dataclass(frozen=True)
class Stall(Fault):
    """The connection is silent in the middle of the body, and goes on after a while."""

    at: Position = _HALF
    seconds: float = 60.0
    words = "stall in mid-body"

    def reply(self, reply: Reply) -> Reply:
        """Pause the body."""
        cut = place(self.at, reply.length)
        return replace(reply, cut=cut, then=STALL, stall_s=self.seconds)


@dataclass(frozen=True)
class Drop(Fault):
    """The connection is reset (RST); a client that reads slowly may lose bytes sent before."""

    at: Position = _HALF
    words = "connection reset"

    def reply(self, reply: Reply) -> Reply:
        """Reset the connection."""
        return replace(reply, cut=place(self.at, reply.length), then=RESET)


@dataclass(frozen=True)
class Drip(Fault):
    """The bytes come very slowly: `rate` a second."""

    rate: float = 100.0
    words = "very slow transfer"

    def reply(self, reply: Reply) -> Reply:
        """Slow the body down."""
        return replace(reply, rate=self.rate)


@dataclass(frozen=True)
class HtmlPage(Fault):
    """Status 200 and a page about maintenance instead of the file."""

    words = "200 and an HTML page"

    def reply(self, reply: Reply) -> Reply:
        """Send the page."""
        return text_reply(200, PAGE, "text/html")


@dataclass(frozen=True)
class Status(Fault):
    """An HTTP status and no file."""

    code: int = 503

    @property
    def title(self) -> str:
        """What happens."""
        return f"status {self.code}"

    def reply(self, reply: Reply) -> Reply:
        """Send the status."""
        return text_reply(self.code, f"status {self.code}\n")


@dataclass(frozen=True)
class RetryAfter(Fault):
    """A status that asks to come again later."""

    code: int = 429
    seconds: float = 1.0

    @property
    def title(self) -> str:
        """What happens."""
        return f"status {self.code}, Retry-After"

    def reply(self, reply: Reply) -> Reply:
        """Send the status and Retry-After."""
        return text_reply(self.code, "later\n").with_headers({"Retry-After": f"{self.seconds:g}"})


@dataclass(frozen=True)
class Unauthorized(Fault):
    """Status 401, whoever asks."""

    words = "status 401"

    def reply(self, reply: Reply) -> Reply:
        """Refuse."""
        return text_reply(401, "not authorized\n")


@dataclass(frozen=True)
class NoLength(Fault):
    """No Content-Length: the end of the connection is the end of the file, or is not."""

    cut: Position | None = None

    @property
    def title(self) -> str:
        """What happens."""
        return "no Content-Length" + ("" if self.cut is None else ", truncated")

    def reply(self, reply: Reply) -> Reply:
        """Take the length away, and perhaps the end."""
        length = reply.length if self.cut is None else place(self.cut, reply.length)
        bare = reply.with_headers({"Content-Length": None, "Connection": "close"})
        return replace(bare, stop=reply.start + length)


@dataclass(frozen=True)
class NoRanges(Fault):
    """Range is ignored: the whole file comes with status 200."""

    words = "Range ignored"

    def ranges(self, ranges: bool) -> bool:
        """Say no."""
        return False


@dataclass(frozen=True)
class ChangedETag(Fault):
    """From this request on the file has another ETag, with the same bytes."""

    words = "another ETag, same bytes"


@dataclass(frozen=True)
class WeakETag(Fault):
    """The ETag is a weak one, which says nothing about bytes."""

    words = "weak ETag"

    def etag(self, etag: str | None) -> str | None:
        """Make it weak."""
        return None if etag is None else f"W/{etag}"


@dataclass(frozen=True)
class NoETag(Fault):
    """There is no ETag."""

    words = "no ETag"

    def etag(self, etag: str | None) -> str | None:
        """Take it away."""
        return None


@dataclass(frozen=True)
class WrongRange(Fault):
    """Status 206 with another part than was asked for (a request without Range is unharmed)."""

    shift: int = -512
    words = "206 with another offset"

    def reply(self, reply: Reply) -> Reply:
        """Shift the part."""
        if reply.status != 206:
            return reply
        start = place(reply.start + self.shift, reply.content.size)
        if start == reply.start:  # there is no room to shift it to
            start = place(reply.start + 1, reply.content.size)
        return reply.with_part(start, max(reply.stop, start + 1))


@dataclass(frozen=True)
class OtherContent(Fault):
    """Another content of the same size, which is valid FITS; no header says so."""

    words = "same size, other content"

    def content(self, content: Content) -> Content:
        """Change the lowest bit of some values."""
        changed = [(at, content.read(at, at + 1)[0] ^ 1) for at in spans.value_bytes(content)]
        return replace(content, patches=(*content.patches, *changed))


@dataclass(frozen=True)
class LostExtension(Fault):
    """The last extension is missing, and the Content-Length is that of the rest."""

    words = "last extension lost, honest length"

    def content(self, content: Content) -> Content:
        """Cut where the last extension begins."""
        return replace(content, size=spans.last_start(content))


@dataclass(frozen=True)
class Gzipped(Fault):
    """The body is gzipped, although identity was asked for."""

    words = "gzipped body"

    def reply(self, reply: Reply) -> Reply:
        """Compress the body, with fixed times."""
        packed = gzip.compress(reply.content.read(reply.start, reply.stop), mtime=0)
        kept = {key: value for key, value in reply.headers.items() if key != "Content-Length"}
        kept["Content-Encoding"] = "gzip"
        return whole(reply.status, kept.pop("Content-Type"), packed, kept)


# One of each kind, with its defaults, for tables and for drawing from at random.
ALL_FAULTS: Final[tuple[Fault, ...]] = (
    Truncate(), ShortBody(), LostExtension(), BitFlip(), OtherContent(), Stall(), Drip(), Drop(),
    HtmlPage(), Gzipped(), Status(500), Status(503), Status(404), Status(403), RetryAfter(),
    Unauthorized(), NoLength(), NoLength(_HALF), NoRanges(), NoETag(), WeakETag(), ChangedETag(),
    WrongRange(),
)  # fmt: skip
