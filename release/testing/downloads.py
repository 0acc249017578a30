"""How are the bytes of a file given away: whole, in part, or not at all?

As production does it: a Range header is honoured although `Accept-Ranges` says none. Without that
(`honour_range=False`) as the application alone does: everything is sent.
"""

import re
import zipfile
from collections.abc import Iterator
from io import RawIOBase
from typing import Final
from urllib.parse import quote

from release.testing.body import BLOCK
from release.testing.model import Blob, Body, Refusal
from release.testing.wire import OCTETS, FileSpan, Reply, Request

# zenodo_rdm, ZENODO_FILES_ARCHIVE size limit.
_ARCHIVE_LIMIT: Final = 300_000_000
_SPAN: Final = re.compile(r"bytes=(\d*)-(\d*)")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def content(request: Request, key: str, blob: Blob, *, honour_range: bool) -> Reply:
    """Answer a GET or HEAD of the content of a file."""
    tag = f'"md5:{blob.md5}"'
    headers = {"Content-Disposition": _disposition(key), "ETag": tag}
    if tag in re.split(r"\s*,\s*", request.headers.get("If-None-Match", "")):
        return Reply(304, headers=headers)
    headers |= {"Content-MD5": blob.md5, "Content-Type": OCTETS, "Accept-Ranges": "none"}
    whole = Reply(200, FileSpan(blob.path, 0, blob.size), headers)
    asked = request.headers.get("Range")
    if asked is None or not honour_range or request.headers.get("If-Range", tag) != tag:
        return whole
    span = _span(asked, blob.size)
    if span is None:
        return whole
    first, last = span
    if first >= blob.size or last < first:
        return Reply(416, b"", {"Content-Range": f"bytes */{blob.size}", "Content-Type": OCTETS})
    headers["Content-Range"] = f"bytes {first}-{last}/{blob.size}"
    return Reply(206, FileSpan(blob.path, first, last - first + 1), headers)


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """Read one range; several at once, and nonsense, are as good as none."""
    found = _SPAN.fullmatch(asked.strip())
    if found is None or found.group() == "bytes=-":
        return None
    start, stop = found.groups()
    if not start:
        return max(0, size - int(stop)), size - 1
    return int(start), min(int(stop), size - 1) if stop else size - 1


def _disposition(name: str) -> str:
    if _TOKEN.fullmatch(name):
        return f"attachment; filename={name}"
    return f"attachment; filename*=UTF-8''{quote(name)}"


class _Outlet(RawIOBase):
    """Takes what a zip writer writes, to be passed on."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []

    def writable(self) -> bool:
        """Say yes; no position is known, so the zip is written in one go."""
        return True

    def write(self, data: object) -> int:
        """Take a copy."""
        self.waiting.append(bytes(data))  # type: ignore[call-overload]
        return len(self.waiting[-1])

    def take(self) -> bytes:
        """Give what was written since the last time."""
        data, self.waiting = b"".join(self.waiting), []
        return data


def archive(ident: str, body: Body) -> Reply:
    """Answer a GET of all files in one zip."""
    blobs = {key: entry.blob for key, entry in body.files.items() if entry.blob is not None}
    if sum(blob.size for blob in blobs.values()) > _ARCHIVE_LIMIT:
        raise Refusal(501, "What the archive says to more than 300 MB was not recorded.")
    headers = {
        "Content-Disposition": f"attachment; filename={ident}.zip",
        "Content-Type": "application/zip",
    }
    return Reply(200, _zipped(blobs), headers)


def _zipped(blobs: dict[str, Blob]) -> Iterator[bytes]:
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as target:
        for key, blob in blobs.items():
            with blob.path.open("rb") as source, target.open(key, "w") as member:
                while block := source.read(BLOCK):
                    member.write(block)
                    yield outlet.take()
    yield outlet.take()
