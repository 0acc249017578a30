"""How are parts of a file read that stays in the archive, all from one version of it?

The first answer says which version the archive has (a strong ETag) and how large it is. Every later
request asks for that version by If-Range, and an answer that is about another one ends the reading:
parts of two versions never come together. So does an archive that answers with the whole file.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import requests
from astropy.io import fits

from ard.errors import FormatError, IntegrityError
from ard.fitsio import BLOCK, HduSpan
from pipeline.acquire.http import (
    BROKEN,
    ArchiveSession,
    TransferError,
    Waiter,
    arriving,
    broken,
    failure,
    given_up,
    is_strong,
    require_success,
)
from pipeline.acquire.reading import DAMAGE, quiet, sentence
from pipeline.acquire.transfer import Wanted

# At the 2.4 MB/s that were measured 64 KiB come in 0.03 s, and a round trip takes about as long.
GAP_BYTES: Final = 1 << 16
READ_AHEAD: Final = 1 << 16  # headers of archive files have 10 to 60 kB
_MOST_IN_ONE: Final = 1 << 25  # bounds the memory that gaps take
_LONGEST_HEADER: Final = 1000 * BLOCK  # as in ard.fitsio
_PROGRESS: Final = 1 << 16
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_PAGES: Final = frozenset({"text/html", "application/json"})
_AGAIN: Final = "run the same command again: it begins anew with what the archive has then"
_WHOLE: Final = "fetch the whole file instead: rbh1 acquire run"
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True)
class Version:
    """Which version of a file is read: its ETag, and its size in bytes."""

    etag: str
    total: int


class RangeReader:
    """Reads parts of one file, all from one version of it.

    Parameters
    ----------
    session : ArchiveSession
    wanted : Wanted
        A size that it lists has to be the archive's.
    waiter : Waiter

    Attributes
    ----------
    requests, received_bytes : int
        What the reading has cost so far.
    """

    def __init__(self, session: ArchiveSession, wanted: Wanted, waiter: Waiter) -> None:
        self.wanted = wanted
        self.requests = 0
        self.received_bytes = 0
        self._session = session
        self._network = session.network
        self._waiter = waiter
        self._version: Version | None = None

    @property
    def version(self) -> Version:
        """The version that is read, known from the first answer on."""
        if self._version is None:
            raise RuntimeError("nothing has been read yet")
        return self._version

    def read(self, start: int, stop: int) -> bytes:
        """Read bytes from start up to stop; fewer only where the file ends before.

        A transfer that breaks off goes on where it broke off.

        Raises
        ------
        TransferError
            If the answer is final, or nothing came any further in several attempts.
        Stopped
            If the user asked to stop.
        """
        got, failed = bytearray(), 0
        while start + len(got) < self._end(stop):
            self._waiter.check()
            before = len(got)
            try:
                self._attempt(start, stop, got)
            except TransferError as error:
                error.file = self.wanted.name
                failed = 1 if len(got) - before >= _PROGRESS else failed + 1
                if not error.transient:
                    raise
                if failed >= self._network.attempts:
                    raise given_up(error, failed) from error
                self._waiter.back_off(self._network, failed, error)
        return bytes(got)

    def read_pieces(self, starts: Sequence[int], width: int) -> bytes:
        """Read pieces of equal width, bytes, and join them; near ones come in one request."""
        joined = bytearray()
        for first, last in grouped(starts, width):
            begin = starts[first]
            view = memoryview(self.read(begin, starts[last] + width))
            for start in starts[first : last + 1]:
                joined += view[start - begin : start - begin + width]
        return bytes(joined)

    def _end(self, stop: int) -> int:
        return stop if self._version is None else min(stop, self._version.total)

    def _attempt(self, start: int, stop: int, got: bytearray) -> None:
        """Make one request for what is missing, and keep what it brings."""
        begin = start + len(got)
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={begin}-{self._end(stop) - 1}"}
        if self._version is not None:
            headers["If-Range"] = self._version.etag
        url = self.wanted.url(self._network.server)
        self.requests += 1
        try:
            # Leaving the block closes the connection, so that what was not asked for never comes.
            with (
                self._session.get(url, headers=headers, stream=True) as reply,
                self._waiter.reading(reply),
            ):
                self._require_part(reply, begin, stop)
                self._receive(reply, self._end(stop) - start, got)
        except BROKEN as error:
            raise broken(error, self.wanted.name, self._network) from error

    def _require_part(self, reply: requests.Response, begin: int, stop: int) -> None:
        """Make sure that a reply is the part that was asked for, of the version being read."""
        require_success(reply, self.wanted.name, self._network)
        kind = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in _PAGES:
            raise self._error("the archive answered with a page, not with the file", "FITS bytes",
                              kind, "run the same command again later", transient=True)  # fmt: skip
        etag = reply.headers.get("ETag")
        if reply.status_code != 206:
            raise self._no_part(reply.status_code, etag)
        coding = reply.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise self._error("the archive sends the file in another coding", "identity", coding,
                              _WHOLE)  # fmt: skip
        text = reply.headers.get("Content-Range", "")
        match = _RANGE.fullmatch(text)
        first, last, total = (int(number) for number in match.groups()) if match else (-1, -1, -1)
        self._require_version(etag, total if match else None)
        length, end = reply.headers.get("Content-Length"), self._end(stop)
        if (first, last) != (begin, end - 1) or length not in (None, str(end - begin)):
            raise self._error(
                "the archive sends another part than was asked for",
                f"bytes {begin}-{end - 1}, which are {end - begin}",
                f"{text or 'no Content-Range'}, Content-Length {length}",
                _WHOLE,
            )

    def _no_part(self, status: int, etag: str | None) -> TransferError:
        found = f"status {status}, the whole file, of which nothing was read"
        if self._version is None or status != 200:
            return self._error("the archive does not send parts of this file", "status 206", found,
                               _WHOLE)  # fmt: skip
        if etag == self._version.etag:
            return self._error("the archive ceased to send parts of this file", "status 206",
                               found, _AGAIN)  # fmt: skip
        return self._changed(f"version {etag}")

    def _require_version(self, etag: str | None, total: int | None) -> None:
        """Learn the version from the first answer, and hold every other to it."""
        if self._version is not None:
            if total not in (None, self._version.total) or etag != self._version.etag:
                raise self._changed(f"version {etag} of {total} bytes")
            return
        if etag is None or not is_strong(etag):
            raise self._error(
                "the archive does not say which version of the file it sends",
                "a strong ETag, by which parts are known to belong together",
                etag or "no ETag",
                _WHOLE,
            )
        if total is None:
            raise self._error("the archive does not say which part it sends, and of how much",
                              "Content-Range with the size of the file", "none that can be read",
                              _WHOLE)  # fmt: skip
        if self.wanted.size not in (None, total):
            raise self._error("the archive has another number of bytes than it lists",
                              f"{self.wanted.size} bytes", f"{total} bytes",
                              "see what the archive lists: rbh1 acquire lock")  # fmt: skip
        self._version = Version(etag, total)

    def _receive(self, reply: requests.Response, want: int, got: bytearray) -> None:
        """Keep bytes until there are as many as wanted."""
        for chunk in arriving(reply, self._waiter, self._network):
            self.received_bytes += len(chunk)
            if len(got) + len(chunk) > want:
                raise self._error("the archive sends more than was asked for", f"{want} bytes",
                                  f"{len(got) + len(chunk)} bytes or more", _WHOLE)  # fmt: skip
            got += chunk
        if len(got) < want:
            raise self._early("the transfer ended early", f"{want} bytes", f"{len(got)} bytes")

    def _error(
        self, problem: str, expected: str, found: object, action: str, *, transient: bool = False
    ) -> TransferError:
        return failure(problem, transient=transient, file=self.wanted.name, expected=expected,
                       found=found, action=action)  # fmt: skip

    def _early(self, problem: str, expected: str, found: str) -> TransferError:
        action = "run the same command again later"
        return self._error(problem, expected, found, action, transient=True)

    def _changed(self, found: str) -> TransferError:
        expected = f"version {self.version.etag} of {self.version.total} bytes"
        problem = "the file was changed in the archive while parts of it were read"
        return self._error(problem, expected, found, _AGAIN)


def grouped(starts: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
    """Say which pieces one request should bring: the first and the last of each group.

    Parameters
    ----------
    starts : sequence of int
        Where pieces begin, ascending, bytes.
    width : int
        Length of each, bytes.
    """
    first = 0
    for here in range(1, len(starts) + 1):
        if here < len(starts):
            gap = starts[here] - starts[here - 1] - width
            if gap < GAP_BYTES and starts[here] + width - starts[first] <= _MOST_IN_ONE:
                continue
        yield first, here - 1
        first = here


class _Ahead:
    """Gives blocks of a file, reading more at a time than was asked for."""

    def __init__(self, reader: RangeReader) -> None:
        self._reader = reader
        self._start, self._bytes = 0, b""

    def block(self, at: int) -> bytes:
        """Give the block that begins at a byte; shorter where the file ends."""
        if not self._start <= at <= at + BLOCK <= self._start + len(self._bytes):
            self._start, self._bytes = at, self._reader.read(at, at + READ_AHEAD)
        return self._bytes[at - self._start : at - self._start + BLOCK]


def walk(reader: RangeReader) -> tuple[HduSpan, ...]:
    """Find every HDU of a file in the archive by its headers alone.

    Raises
    ------
    FormatError
        If it is not FITS, or compressed as a whole.
    IntegrityError
        If the sizes that its headers declare do not sum to the size of the file.
    TransferError
        As `RangeReader.read`.
    """
    ahead, name = _Ahead(reader), reader.wanted.name
    _require_fits(ahead.block(0), name)
    total = reader.version.total
    spans: list[HduSpan] = []
    start = 0
    while start < total:
        text = _header_bytes(ahead, start, name)
        with quiet():
            span = _span(text, start, name)
        if span.end > total:
            raise _broken_structure(name, f"{span.end} bytes at the end of HDU {span.name}",
                                    f"{total} bytes")  # fmt: skip
        spans.append(span)
        start = span.end
    return tuple(spans)


def _require_fits(block: bytes, name: str) -> None:
    if block.startswith(b"SIMPLE  ="):
        return
    zipped = block.startswith(_GZIP)
    raise FormatError(
        "the file is compressed as a whole, so that no part of it can be read by itself"
        if zipped
        else "what the archive sends is not FITS",
        file=name,
        expected="a file that begins with SIMPLE",
        found="a gzip file" if zipped else ascii(block[:40].decode("latin-1")),
        action=_WHOLE,
    )


def _header_bytes(ahead: _Ahead, start: int, name: str) -> bytes:
    """Read blocks up to the one with the END card."""
    text = bytearray()
    while len(text) < _LONGEST_HEADER:
        block = ahead.block(start + len(text))
        if not text and start > 0 and not block.startswith(b"XTENSION="):
            raise _broken_structure(name, f"XTENSION at byte {start}", repr(block[:9]))
        text += block
        if len(block) < BLOCK:
            break
        if any(block[at : at + 8] == b"END     " for at in range(0, BLOCK, 80)):
            return bytes(text)
    raise _broken_structure(name, f"an END card in the header at byte {start}", "none")


def _span(text: bytes, start: int, name: str) -> HduSpan:
    try:
        header = fits.Header.fromstring(text)
        size = header.data_size_padded
        title = str(header.get("EXTNAME", "PRIMARY" if start == 0 else "")).strip()
        if size < 0 or "NAXIS" not in header:
            raise ValueError("NAXIS is missing, or an axis has a negative length")
    except DAMAGE as error:
        expected = f"a header at byte {start} that can be read"
        raise _broken_structure(name, expected, sentence(error)) from error
    return HduSpan(title, start, start + len(text), start + len(text) + int(size), header)


def _broken_structure(name: str, expected: str, found: str) -> IntegrityError:
    return IntegrityError(
        "the headers of the file do not fit its size",
        file=name,
        expected=expected,
        found=found,
        action="run the same command again later, and tell the archive if it stays",
    )
