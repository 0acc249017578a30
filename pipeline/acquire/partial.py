"""What is there of a file that did not come to its end, and can it be continued?"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from ard.errors import ArdError
from ard.fileio import read_json, write_json
from pipeline.acquire.http import is_strong

# The first safe point comes early and the distance doubles: small files resume as well.
_FIRST_CHECKPOINT: Final = 1 << 16


def note_of(part: Path) -> Path:
    """Give the file that says what a partial file is."""
    return part.with_name(f"{part.name}.json")


@dataclass
class Partial:
    """A partial file and its note; what the note calls safe is what counts.

    Attributes
    ----------
    path : path
        The partial file.
    uri : str
        What it is a part of.
    etag, last_modified : str or None
        Its version.
    total : int or None
        Size of the whole, bytes.
    have : int
        Bytes that are safe on disk.
    """

    path: Path
    uri: str
    etag: str | None = None
    last_modified: str | None = None
    total: int | None = None
    have: int = 0
    _next: int = field(default=_FIRST_CHECKPOINT, repr=False)

    @property
    def note(self) -> Path:
        """The file that says what the partial file is."""
        return note_of(self.path)

    @classmethod
    def found(cls, path: Path, uri: str) -> "Partial":
        """Take up what an earlier run left, or begin with nothing if it cannot be used."""
        empty = cls(path, uri)
        try:
            note = read_json(empty.note)
            have = int(note["have"])
            etag, modified, total = note["etag"], note["last_modified"], note["total"]
            usable = (
                note["uri"] == uri
                and is_strong(etag)
                and 0 < have <= path.stat().st_size
                and (total is None or have <= int(total))
            )
        except (ArdError, OSError, KeyError, TypeError, ValueError):
            return empty
        return cls(path, uri, etag, modified, total, have) if usable else empty

    def restart(self, etag: str | None, modified: str | None, total: int | None) -> None:
        """Begin anew with the version that the archive has now.

        The note goes first: were it to outlive its bytes, it would vouch for others.
        """
        self.note.unlink(missing_ok=True)
        self.etag, self.last_modified, self.total, self.have = etag, modified, total, 0
        self._next = _FIRST_CHECKPOINT

    def discard(self) -> None:
        """Remove the file and its note."""
        self.restart(None, None, None)
        self.path.unlink(missing_ok=True)

    def step_back(self) -> None:
        """Give up the last byte of a complete file, so that there is something to ask for."""
        if self.total is not None and self.have == self.total:
            self.have = max(0, self.total - 1)

    def checkpoint(self, stream: BinaryIO, have: int) -> None:
        """Make the bytes so far safe, and say so in the note."""
        stream.flush()
        os.fsync(stream.fileno())
        self.have = have
        document = {
            "uri": self.uri,
            "etag": self.etag,
            "last_modified": self.last_modified,
            "total": self.total,
            "have": have,
        }
        write_json(self.note, document, overwrite=True)

    def due(self, have: int, limit: int) -> bool:
        """Say whether it is time for a checkpoint."""
        if have - self.have < self._next:
            return False
        self._next = min(2 * self._next, limit)
        return True
