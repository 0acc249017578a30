"""How do the bytes of one file, or of a range of it, come over the network, whatever happens?

They are added to a partial file, which may be there from an earlier attempt. The entity tag under
which it was begun is kept beside it: by If-Range the archive continues the same version only. The
digests have the last word, so an archive without tags is resumed as well.
"""

import hashlib
import re
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Final

from ard.errors import ArdError, IntegrityError, NotFoundError, RemoteError
from ard.fileio import sha256_file
from ard.remote.client import Client, Reply, Setback
from ard.source import Progress, Watcher
from ard.sums import file_digests, quote

_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_STRONG: Final = re.compile(r'"[\x21\x23-\x7e]*"')
_GONE: Final = frozenset({404, 410})


@dataclass(frozen=True)
class Wanted:
    """Say which bytes are wanted.

    Attributes
    ----------
    url : str
        Address of the file.
    name : str
        What to call them in messages.
    offset, size : int
        Where in the file they begin, and how many they are.
    total : int
        Size of the whole file.
    sha256 : str
        Their digest.
    md5 : str or None
        The archive's own digest, of a whole file.
    """

    url: str
    name: str
    offset: int
    size: int
    total: int
    sha256: str
    md5: str | None = None

    @property
    def whole(self) -> bool:
        """True if the file is wanted from its first byte to its last."""
        return self.size == self.total


class NoRangeError(RemoteError):
    """The archive does not give this part of a file; the whole file may still be had."""


def bring(client: Client, wanted: Wanted, part: Path, watch: Watcher | None) -> None:
    """Bring bytes into a partial file, taking up what is there, until they are the right ones.

    Parameters
    ----------
    client : Client
        Also says how patient to be.
    wanted : Wanted
        Which bytes.
    part : pathlib.Path
        The partial file; the tag of its version lies beside it.
    watch : callable, optional
        Told how far it has come.

    Raises
    ------
    NoRangeError
        If part of a file is wanted, and the archive gives the whole or something else.
    IntegrityError
        If the archive delivers other bytes than were listed.
    RemoteError
        If the transfer fails for good; the partial file is kept.
    """
    partial = _Partial(part)
    second = False
    while True:
        client.persist(
            wanted.name, lambda: _attempt(client, wanted, partial, watch), lambda: partial.have
        )
        wrong = _difference(wanted, part)
        if wrong is None:
            partial.tag.unlink(missing_ok=True)
            return
        pieced = partial.pieced
        partial.discard()
        if not wanted.whole:
            raise NoRangeError(wrong.problem, file=wanted.name, found=wrong.found)
        # Pieces of two versions may have met; what came in one go is what the archive has.
        if second or not pieced:
            raise wrong
        second = True


class _Partial:
    """The bytes that are there already, and the tag of the version they belong to.

    `pieced` is true once they have come in more than one go.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tag = path.with_name(path.name + ".etag")
        self.pieced = self.have > 0

    @property
    def have(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self) -> str | None:
        try:
            return self.tag.read_text("ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def restart(self, version: str | None) -> None:
        self.discard()
        if version is not None and _STRONG.fullmatch(version):
            self.tag.write_text(version, "ascii")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)
        self.pieced = False


def _attempt(client: Client, wanted: Wanted, partial: _Partial, watch: Watcher | None) -> None:
    """Make one request, and keep what it brings."""
    if partial.have > wanted.size:
        partial.discard()
    have = partial.have
    if have == wanted.size:
        return
    headers = _question(wanted, have, partial.version())
    with client.get(wanted.url, headers) as reply:
        have = _begin(reply, wanted, partial)
        with partial.path.open("ab") as stream:
            _tell(watch, wanted, have)
            for chunk in reply.chunks(wanted.size - have):
                stream.write(chunk)
                have += len(chunk)
                _tell(watch, wanted, have)
    if have < wanted.size:
        raise _setback(wanted, "the transfer ended early", f"{wanted.size} bytes", f"{have} bytes")


def _tell(watch: Watcher | None, wanted: Wanted, have: int) -> None:
    if watch is not None:
        watch(Progress(wanted.name, have, wanted.size))


def _question(wanted: Wanted, have: int, version: str | None) -> dict[str, str]:
    if wanted.whole and have == 0:
        return {}
    first, last = wanted.offset + have, wanted.offset + wanted.size - 1
    headers = {"Range": f"bytes={first}-{last}"}
    return headers | ({"If-Range": version} if have and version else {})


def _begin(reply: Reply, wanted: Wanted, partial: _Partial) -> int:
    """Decide from status and headers where the bytes of this reply belong.

    Returns
    -------
    int
        Number of bytes that are there, behind which they are to be written.
    """
    if reply.status == 206:
        return _continued(reply.headers, wanted, partial)
    if reply.status == 416:
        partial.discard()
        raise _unexpected(wanted, "the archive does not know this part of the file", "status 416")
    if reply.status != 200:
        raise _failure(reply.status, wanted)
    if not wanted.whole:
        raise NoRangeError("the archive does not give parts of files", file=wanted.name)
    if reply.length not in (None, wanted.total):
        sizes = f"{wanted.total} bytes", f"{reply.length} bytes"
        raise _setback(wanted, "the archive sends another number of bytes than it lists", *sizes)
    partial.restart(reply.headers.get("ETag"))
    return 0


def _continued(headers: Message, wanted: Wanted, partial: _Partial) -> int:
    """Make sure that a 206 goes on exactly where we are, with the same version."""
    text = headers.get("Content-Range", "")
    match = _RANGE.fullmatch(text)
    first, last, total = match.groups() if match else ("", "", "")
    have, version = partial.have, partial.version()
    fits = (
        match is not None
        and int(first) == wanted.offset + have
        and int(first) <= int(last) < wanted.offset + wanted.size
        and total in ("*", str(wanted.total))
        and (have == 0 or version is None or headers.get("ETag", version) == version)
    )
    if fits:
        if have == 0:
            partial.restart(headers.get("ETag"))
        partial.pieced = have > 0
        return have
    partial.discard()
    found = quote(text or "no Content-Range")
    raise _unexpected(wanted, "the archive sends another part than was asked for", found)


def _unexpected(wanted: Wanted, problem: str, found: str) -> Setback | NoRangeError:
    """Make the error for an odd answer: ask for the whole file, or ask again."""
    if not wanted.whole:
        return NoRangeError(problem, file=wanted.name, found=found)
    return _setback(wanted, problem, f"bytes 0-{wanted.total - 1}/{wanted.total}", found)


def _setback(wanted: Wanted, problem: str, expected: str, found: str) -> Setback:
    return Setback(
        RemoteError(
            problem,
            file=f"{wanted.name} ({wanted.url})",
            expected=expected,
            found=found,
            action="try again later; what has come is kept",
        )
    )


def _failure(status: int, wanted: Wanted) -> ArdError:
    if status in _GONE:
        return NotFoundError(
            "the archive no longer has the file that its record lists",
            file=wanted.url,
            found=f"HTTP status {status}",
            action="open the DOI again; the record may have been withdrawn",
        )
    return RemoteError(
        "the archive does not give the file",
        file=wanted.url,
        expected="HTTP status 200 or 206",
        found=f"HTTP status {status}",
        action="try again later; the files of the record may have been restricted",
    )


def _difference(wanted: Wanted, part: Path) -> IntegrityError | None:
    """Compare what has come with what was listed."""
    if wanted.md5 is None:
        rows = [("sha256", wanted.sha256, sha256_file(part))]
    else:
        found = file_digests(part)
        rows = [("sha256", wanted.sha256, found.sha256), ("md5", wanted.md5, found.md5)]
    for kind, expected, value in rows:
        if value != expected:
            return IntegrityError(
                "the archive delivers other bytes than were listed",
                file=f"{wanted.name} ({wanted.url})",
                expected=f"{kind} {expected}",
                found=value,
                action="try again; if it stays so, tell the authors of the record",
            )
    return None


def bring_small(client: Client, url: str, name: str, size: int, md5: str) -> bytes:
    """Bring a small file whose sha256 is not known yet, held against the archive's list.

    Raises
    ------
    IntegrityError
        If its bytes are not the listed ones.
    RemoteError, NotFoundError
        If it cannot be had.
    """
    wanted = Wanted(url, name, 0, size, size, "", md5)

    def attempt() -> bytes:
        with client.get(url) as reply:
            if reply.status != 200:
                raise _failure(reply.status, wanted)
            return reply.all(size)

    data = client.persist(name, attempt)
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != md5:
        raise IntegrityError(
            "the archive delivers other bytes than its record lists",
            file=url,
            expected=f"{size} bytes with md5 {md5}",
            found=f"{len(data)} bytes with md5 {found}",
            action="try again; if it stays so, tell the authors of the record",
        )
    return data
