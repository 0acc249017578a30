"""How does one file come over the network, whatever happens on the way?

The bytes go to a partial file with a note beside it (address, ETag, size, how much is safe on
disk). A transfer that broke off is taken up again only if the archive confirms, by If-Range, that
it still has the very same version; otherwise it starts anew. What comes out is complete by the
archive's own account, and not yet trusted: see `pipeline.acquire.verify`.
"""

import errno
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn
from urllib.parse import quote

import requests

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
from pipeline.acquire.partial import Partial
from pipeline.acquire.settings import Network

DOWNLOAD: Final = "/api/v0.1/Download/file?uri="
FITS_START: Final = b"SIMPLE  ="
_PROGRESS: Final = 1 << 16
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class Wanted:
    """A file of the archive: its address there, its name, its size in bytes where listed."""

    uri: str
    name: str
    size: int | None = None

    def url(self, server: str) -> str:
        """Give the address that serves the bytes."""
        return f"{server}{DOWNLOAD}{quote(self.uri, safe=':/')}"


@dataclass
class Received:
    """How a file came.

    Attributes
    ----------
    url : str
        Address.
    etag, last_modified : str or None
        What the archive said about the version.
    size : int
        Bytes in the partial file.
    attempts : int
        Requests that were made.
    resumed_bytes, received_bytes : int
        Bytes that were there from an earlier run, and that came over the network.
    """

    url: str
    etag: str | None = None
    last_modified: str | None = None
    size: int = 0
    attempts: int = 0
    resumed_bytes: int = 0
    received_bytes: int = 0


type OnBytes = Callable[[int], None]


def fetch(
    session: ArchiveSession, wanted: Wanted, part: Path, *, waiter: Waiter, on_bytes: OnBytes
) -> Received:
    """Bring a file into a partial file, taking up what is there, until it is complete.

    Parameters
    ----------
    session : ArchiveSession
        Also says how patient to be (``session.network``).
    wanted : Wanted
        Which file.
    part : path
        The partial file; its note lies beside it.
    waiter : Waiter
        Ends waits when the user asks to stop.
    on_bytes : callable
        Told how many bytes are there; the number falls when a transfer starts anew.

    Raises
    ------
    TransferError
        If the answer is final, or nothing came any further in several attempts.
    Stopped
        If the user asked to stop; the partial file is kept.
    """
    network = session.network
    part.parent.mkdir(parents=True, exist_ok=True)
    partial = Partial.found(part, wanted.uri)
    received = Received(wanted.url(network.server), resumed_bytes=partial.have)
    farthest, failed = partial.have, 0
    while True:
        waiter.check()
        waiter.hold()
        on_bytes(partial.have)
        try:
            _attempt(session, wanted, partial, received, waiter, on_bytes)
            _require_size(wanted, partial)
        except TransferError as error:
            error.file = wanted.name
            # An attempt that gets well beyond any before it counts as the first of a row.
            failed = 1 if partial.have >= farthest + _PROGRESS else failed + 1
            farthest = max(farthest, partial.have)
            if not error.transient:
                raise
            if failed >= network.attempts:
                raise given_up(error, failed) from error
            waiter.back_off(network, failed, error)
            continue
        received.etag, received.last_modified = partial.etag, partial.last_modified
        received.size = partial.have
        return received


def _require_size(wanted: Wanted, partial: Partial) -> None:
    if wanted.size is None or partial.have == wanted.size:
        return
    have = partial.have
    partial.discard()
    raise _other_size(wanted, f"{have} bytes")


def _attempt(
    session: ArchiveSession,
    wanted: Wanted,
    partial: Partial,
    received: Received,
    waiter: Waiter,
    on_bytes: OnBytes,
) -> None:
    """Make one request, and keep what it brings."""
    # Complete since an earlier run: the archive may have another version by now, so it is asked.
    partial.step_back()
    headers = {"Accept-Encoding": "identity"}
    if partial.have and partial.etag is not None and is_strong(partial.etag):
        headers |= {"Range": f"bytes={partial.have}-", "If-Range": partial.etag}
    received.attempts += 1
    try:
        url = wanted.url(session.network.server)
        with session.get(url, headers=headers, stream=True) as reply, waiter.reading(reply):
            anew = _begin(reply, wanted, partial, session.network)
            chunks = arriving(reply, waiter, session.network)
            if anew is not None:
                first = _first_bytes(chunks)
                partial.restart(*anew)
                received.resumed_bytes = 0
                chunks = itertools.chain([first], chunks)
            _keep(chunks, wanted, partial, received, on_bytes, session.network)
    except BROKEN as error:
        raise broken(error, wanted.name, session.network) from error


type Version = tuple[str | None, str | None, int | None]


def _begin(
    reply: requests.Response, wanted: Wanted, partial: Partial, network: Network
) -> Version | None:
    """Decide from status and headers where the bytes of this reply belong.

    Returns
    -------
    tuple or None
        ETag, Last-Modified and size of a version that begins anew; None where the reply continues
        what is there.
    """
    if reply.status_code == 416:
        partial.discard()
        raise _odd("the archive does not know the rest of this file", "the rest", "status 416")
    require_success(reply, wanted.name, network)
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/json"):
        raise _odd("the archive answered with a page, not with the file", "FITS bytes", kind)
    coding = reply.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise _odd("the archive sends the file in another coding", "identity", coding)
    etag, modified = reply.headers.get("ETag"), reply.headers.get("Last-Modified")
    length = _length(reply.headers)
    if reply.status_code == 206:
        _require_rest(reply.headers, partial, etag)
        return None
    if reply.status_code != 200:
        raise _odd("the archive gives an unexpected answer", "200 or 206", reply.status_code)
    if None not in (wanted.size, length) and wanted.size != length:
        raise _other_size(wanted, f"{length} bytes")
    return etag, modified, length


def _other_size(wanted: Wanted, found: str) -> TransferError:
    problem = "the archive sends another number of bytes than it lists"
    return _odd(problem, f"{wanted.size} bytes", found)


def _odd(problem: str, expected: object, found: object) -> TransferError:
    action = "run the same command again later"
    return failure(problem, transient=True, expected=expected, found=found, action=action)


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _require_rest(headers: Mapping[str, str], partial: Partial, etag: str | None) -> None:
    """Make sure that a 206 continues exactly what is there."""
    text = headers.get("Content-Range", "")
    match = _RANGE.fullmatch(text)
    first, last, total = match.groups() if match else ("", "", "*")
    fits = (
        match is not None
        and partial.have > 0
        and int(first) == partial.have
        and total != "*"
        and int(last) == int(total) - 1
        and partial.total in (None, int(total))
        and etag == partial.etag
        and is_strong(etag)
    )
    if fits:
        partial.total = int(total)
        return
    expected = f"bytes {partial.have}- of version {partial.etag}"
    partial.discard()
    raise _odd("the archive sends another part than was asked for", expected,
               f"{text or 'no Content-Range'}, version {etag}")  # fmt: skip


def _keep(
    chunks: Iterable[bytes],
    wanted: Wanted,
    partial: Partial,
    received: Received,
    on_bytes: OnBytes,
    network: Network,
) -> None:
    """Write what comes behind what is safe; however it ends, note how far it got."""
    with _opened(partial) as stream:
        have = partial.have
        try:
            for chunk in chunks:
                if wanted.size is not None and have + len(chunk) > wanted.size:
                    raise _other_size(wanted, f"{have + len(chunk)} bytes or more")
                have += _write(stream, chunk, partial.path)
                received.received_bytes += len(chunk)
                on_bytes(have)
                if partial.due(have, network.checkpoint_bytes):
                    _settle(partial, stream, have)
        finally:
            _settle(partial, stream, have)
    if partial.total is not None and have != partial.total:
        _incomplete(partial, have)
    if partial.total is None:
        partial.total = have  # the end of the connection is the only end it has


def _incomplete(partial: Partial, have: int) -> NoReturn:
    if partial.total is not None and have > partial.total:
        partial.discard()
    raise _odd("the transfer ended early", f"{partial.total} bytes", f"{have} bytes")


def _first_bytes(chunks: Iterator[bytes]) -> bytes:
    """Take enough bytes to see that this is FITS: pages come with status 200 as well."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= len(FITS_START):
            break
    if not start.startswith(FITS_START):
        shown = ascii(start[:40].decode("latin-1"))
        raise _odd("what the archive sends is not FITS", repr(FITS_START.decode()), shown)
    return start


def _opened(partial: Partial) -> BinaryIO:
    """Open the partial file behind its safe bytes, and cut off what is not safe."""
    try:
        stream = partial.path.open("r+b" if partial.have else "wb", buffering=0)
        stream.truncate(partial.have)
        stream.seek(partial.have)
    except OSError as error:
        raise _disk(error, partial.path) from error
    return stream


def _write(stream: BinaryIO, chunk: bytes, path: Path) -> int:
    view = memoryview(chunk)
    try:
        while view:
            view = view[stream.write(view) :]
    except OSError as error:
        raise _disk(error, path) from error
    return len(chunk)


def _settle(partial: Partial, stream: BinaryIO, have: int) -> None:
    try:
        partial.checkpoint(stream, have)
    except OSError as error:
        # On a full disk not even the note has room; an older note of this version still holds.
        raise _disk(error, partial.path) from error


def _disk(error: OSError, path: Path) -> TransferError:
    full = error.errno in _FULL
    return failure(
        "the disk is full" if full else "the partial file cannot be written",
        transient=False,
        expected="space for the file" if full else "a folder that can be written",
        found=f"{error.strerror} ({path})",
        action="make room; the same command continues"
        if full
        else "check the folder of the store (--store)",
    )
