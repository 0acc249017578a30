"""Where are the files of a bundle: in a folder, or in an archive that has to be asked for them?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ard.errors import IntegrityError
from ard.integrity import Level, not_intact, read_manifest, verify
from ard.manifest import Entry, Manifest
from ard.parts import Part
from ard.sums import Finding


@dataclass(frozen=True)
class Progress:
    """Say how far a transfer has come.

    Attributes
    ----------
    name : str
        The file; for a part of it, ``file!part``.
    done, size : int
        Bytes that are here, and bytes in all. `done` falls where a transfer starts anew.
    note : str
        A sentence about something that the bytes do not tell (a wait, a detour); mostly empty.
    """

    name: str
    done: int
    size: int
    note: str = ""


type Watcher = Callable[[Progress], None]


@dataclass(frozen=True)
class Piece:
    """Say where the bytes of a part of a file are.

    Attributes
    ----------
    path : pathlib.Path
        A local file that holds them.
    offset : int
        Where in it they begin.
    detour : str
        Why more than these bytes had to be transferred; empty where nothing more was.
    """

    path: Path
    offset: int
    detour: str = ""


class Source(Protocol):
    """Give the files of one bundle as local files."""

    @property
    def name(self) -> str:
        """What to call the bundle: the name of its folder, or its DOI."""

    @property
    def place(self) -> str:
        """Where to look for it: the path of its folder, or its DOI."""

    @property
    def folder(self) -> Path:
        """Where the files are that are here."""

    def manifest(self) -> Manifest:
        """Read what the bundle says about itself."""

    def has(self, entry: Entry, part: Part | None = None) -> bool:
        """Tell whether a file, or a part of it, is here, so that asking transfers nothing."""

    def path(self, entry: Entry) -> Path:
        """Give the file, which is transferred if it is not here."""

    def piece(self, entry: Entry, part: Part) -> Piece:
        """Give a part of a file, and transfer no more than that where it can be helped."""

    def verify(self, level: Level, *, digest: str | None = None) -> tuple[Finding, ...]:
        """Report every way in which the bundle differs from the one that was written."""

    def not_intact(self, findings: tuple[Finding, ...]) -> IntegrityError:
        """Make the error that lists the findings."""


@dataclass(frozen=True)
class LocalSource:
    """Give the files of a bundle that lies in a folder."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def place(self) -> str:
        """Path of the folder."""
        return str(self.folder)

    def manifest(self) -> Manifest:
        """Read the manifest in the folder."""
        return read_manifest(self.folder)

    def has(self, entry: Entry, part: Part | None = None) -> bool:
        """Tell whether the file is in the folder."""
        path = self.folder / entry.name
        return path.is_file() and not path.is_symlink()

    def path(self, entry: Entry) -> Path:
        """Give the file.

        Raises
        ------
        IntegrityError
            If it is no longer the regular file that was listed when the bundle was opened.
        """
        path = self.folder / entry.name
        if not self.has(entry):
            raise IntegrityError(
                "the file is no longer the regular file that the bundle listed",
                file=path,
                action="verify the bundle again",
            )
        return path

    def piece(self, entry: Entry, part: Part) -> Piece:
        """Give a part of a file."""
        return Piece(self.path(entry), part.offset)

    def verify(self, level: Level, *, digest: str | None = None) -> tuple[Finding, ...]:
        """Compare the folder with its lists; see `ard.integrity.verify`."""
        return verify(self.folder, level, digest=digest)

    def not_intact(self, findings: tuple[Finding, ...]) -> IntegrityError:
        """Make the error that lists the findings."""
        return not_intact(self.folder, findings)
