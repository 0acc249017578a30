"""Which bytes go over the wire for one request, and how does the connection end?

A `Reply` is planned first and sent afterwards, so that a fault is a small change of the plan.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

CLOSE: Final = "close"
RESET: Final = "reset"
STALL: Final = "stall"

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_MIB: Final = 1 << 20


@dataclass(frozen=True)
class Content:
    """Bytes to serve: a file or bytes in memory, perhaps cut, perhaps with a few bytes changed.

    Attributes
    ----------
    size : int
        How many bytes are served.
    path : path or None
        The file; None for bytes in memory.
    data : bytes
        The bytes, where there is no file.
    patches : tuple of (int, int)
        Offset, and the byte that is served there instead.
    """

    size: int
    path: Path | None = None
    data: bytes = b""
    patches: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, source: Path | bytes) -> "Content":
        """Serve a file, or these bytes."""
        if isinstance(source, bytes):
            return cls(len(source), data=source)
        return cls(source.stat().st_size, path=source)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Give the bytes from start to stop, exclusive."""
        return b"".join(self.pieces(start, self.size if stop is None else stop, _MIB))

    def pieces(self, start: int, stop: int, step: int) -> Iterator[bytes]:
        """Give these bytes in pieces, in bounded memory."""
        stop = min(stop, self.size)
        if self.path is None:
            for at in range(start, stop, step):
                yield self._patched(at, self.data[at : min(at + step, stop)])
            return
        with self.path.open("rb") as stream:
            stream.seek(start)
            for at in range(start, stop, step):
                yield self._patched(at, stream.read(min(step, stop - at)))

    def _patched(self, start: int, piece: bytes) -> bytes:
        own = [(at - start, byte) for at, byte in self.patches if 0 <= at - start < len(piece)]
        if not own:
            return piece
        changed = bytearray(piece)
        for at, byte in own:
            changed[at] = byte
        return bytes(changed)


@dataclass(frozen=True)
class Reply:
    """The plan of one reply.

    Attributes
    ----------
    status : int
    headers : mapping of str to str
    content : Content
    start, stop : int
        Which bytes of the content the body is meant to be, stop exclusive.
    cut : int or None
        Number of bytes of the body after which something happens.
    then : str
        What: close, reset, or stall (and go on afterwards).
    stall_s : float
        How long the connection is silent then, s.
    delay_s : float
        How long it is silent before the first byte, s.
    rate : float or None
        Bytes per second; None for the server's own.
    """

    status: int
    headers: Mapping[str, str]
    content: Content
    start: int = 0
    stop: int = 0
    cut: int | None = None
    then: str = CLOSE
    stall_s: float = 0.0
    delay_s: float = 0.0
    rate: float | None = None

    @property
    def length(self) -> int:
        """Number of bytes that the body is meant to have."""
        return self.stop - self.start

    def with_headers(self, changes: Mapping[str, str | None]) -> "Reply":
        """Set headers, or take them away with None."""
        merged = {**self.headers, **changes}
        return replace(
            self, headers={key: text for key, text in merged.items() if text is not None}
        )

    def with_part(self, start: int, stop: int) -> "Reply":
        """Send another part of the content, and say so honestly."""
        changes = {"Content-Length": str(stop - start)}
        if self.status == 206:
            changes["Content-Range"] = f"bytes {start}-{stop - 1}/{self.content.size}"
        return replace(self, start=start, stop=stop).with_headers(changes)


def whole(status: int, kind: str, source: Content | bytes, headers: Mapping[str, str]) -> Reply:
    """Plan a reply with all of a content."""
    content = Content.of(source) if isinstance(source, bytes) else source
    base = {"Content-Type": kind, "Content-Length": str(content.size)}
    return Reply(status, {**base, **headers}, content, 0, content.size)


def json_reply(document: Any, status: int = 200) -> Reply:
    """Plan a reply in JSON."""
    return whole(status, "application/json", json.dumps(document).encode(), {})


def text_reply(status: int, text: str, kind: str = "text/plain") -> Reply:
    """Plan a reply in words."""
    return whole(status, f"{kind}; charset=utf-8", text.encode(), {})


@dataclass(frozen=True)
class Version:
    """How the server describes a version of a file: type, ETag, date, whether parts are served."""

    kind: str
    etag: str | None
    modified: str
    ranges: bool = True

    @property
    def headers(self) -> dict[str, str]:
        """The headers that say so."""
        etag = {} if self.etag is None else {"ETag": self.etag}
        ranges = {"Accept-Ranges": "bytes"} if self.ranges else {}
        return {"Last-Modified": self.modified, **etag, **ranges}

    def is_meant_by(self, if_range: str | None) -> bool:
        """Say whether If-Range names this version: strong ETags and dates count."""
        if if_range is None:
            return True
        strong = self.etag is not None and self.etag.startswith('"')
        return (strong and if_range == self.etag) or if_range == self.modified


def file_reply(
    content: Content, version: Version, asked: str | None = None, if_range: str | None = None
) -> Reply:
    """Plan the reply to a request for a file (RFC 9110, sections 13.1.5 and 14).

    Parameters
    ----------
    content : Content
    version : Version
    asked, if_range : str or None
        The headers Range and If-Range. A Range of one part is honoured where there is no
        If-Range, or it names this very version.
    """
    full = whole(200, version.kind, content, version.headers)
    span = _RANGE.fullmatch(asked or "") if version.ranges else None
    if span is None or span.groups() == ("", "") or not version.is_meant_by(if_range):
        return full
    first, last = (int(text) if text else None for text in span.groups())
    if first is not None and last is not None and last < first:
        return full  # no valid range: to be ignored
    start = max(0, content.size - (last or 0)) if first is None else first
    stop = content.size if first is None or last is None else min(last + 1, content.size)
    if start >= content.size:
        refused = whole(416, "text/plain", b"", version.headers)
        return refused.with_headers({"Content-Range": f"bytes */{content.size}"})
    return replace(full, status=206).with_part(start, stop)
