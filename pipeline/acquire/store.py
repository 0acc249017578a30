"""Where do the bytes of the archive lie on this machine, and are they still what they were?

Content is kept by its sha256 and never changed: two versions of a file lie side by side. Readable
names are links to content. For every file there is a record: what is held, how it came, what the
headers say, and how the last attempt ended.

    objects/ab/abcdef...       content, read-only
    files/<group>/<name>       link to the version of the lock
    versions/<name>/<sha>/     links to other versions that the archive has served
    records/<name>.json        one for each file
    partial/, quarantine/      unfinished, and found to be damaged
    runs/                      what each run did
"""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ard.errors import ArdError, NotFoundError
from ard.fileio import read_json, sha256_file, write_json
from manifests.lock import ARCHIVE
from pipeline.acquire.checksums import agree, fits
from pipeline.acquire.entry import Entry, Held
from pipeline.acquire.partial import note_of

MARKER: Final = "rbh1-store.json"
SCHEMA: Final = "archive-store"
VERSION: Final = 1
LOCK_FILE: Final = "lock"
_FOLDERS: Final = ("objects", "files", "versions", "records", "partial", "quarantine", "runs")
_SHOWN: Final = 12  # digits of a sha256 in a folder's name


class Store:
    """A folder of archive files, addressed by content.

    Parameters
    ----------
    root : path
        The folder; `create` makes it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    # ---- the folder itself

    def exists(self) -> bool:
        """Say whether there is a store."""
        return (self.root / MARKER).is_file()

    def create(self) -> None:
        """Make the store if there is none; a folder with anything else in it is left alone.

        Raises
        ------
        ArdError
            If the folder holds something else, or cannot be made.
        """
        with self._usable():
            if not self.exists() and self.root.exists() and self._foreign():
                raise ArdError(
                    "the folder holds something else than a store of archive files",
                    file=self.root,
                    expected=f"a new or empty folder, or one with {MARKER}",
                    found=", ".join(self._foreign()[:3]),
                    action="choose another with --store or RBH1_DATA_DIR; to take files over: "
                    "rbh1 acquire adopt FOLDER",
                )
            for name in _FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            if not self.exists():
                document = {"schema": SCHEMA, "version": VERSION}
                write_json(self.root / MARKER, document, overwrite=True)
        self.require()

    def _foreign(self) -> list[str]:
        """Name what is in the folder that a store, finished or not, would not have put there."""
        ours = {*_FOLDERS, MARKER, LOCK_FILE}
        return sorted(
            path.name
            for path in self.root.iterdir()
            if path.name not in ours and not path.name.startswith(f".{MARKER}.")
        )

    def require(self) -> None:
        """Make sure that there is a store that this code understands.

        Raises
        ------
        NotFoundError, ArdError
            If there is none, or another version made it.
        """
        if not self.exists():
            raise NotFoundError(
                "there is no store of archive files",
                file=self.root,
                expected=f"a folder with {MARKER}",
                found="a folder without it" if self.root.is_dir() else "no such folder",
                action="fill it with: rbh1 acquire run; or name another with --store",
            )
        found = read_json(self.root / MARKER)
        if (found.get("schema"), found.get("version")) != (SCHEMA, VERSION):
            raise ArdError(
                "the store was made by another version of rbh1",
                file=self.root / MARKER,
                expected=f"schema {SCHEMA}, version {VERSION}",
                found=f"schema {found.get('schema')}, version {found.get('version')}",
                action="update rbh1-ard, or choose another store with --store",
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other run out of the store.

        Raises
        ------
        ArdError
            If another process works in it.
        """
        with self._usable():
            stream = (self.root / LOCK_FILE).open("a+")
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ArdError(
                    "another process is working in this store",
                    file=self.root,
                    expected="one acquisition at a time",
                    found="a lock that is held",
                    action="wait for it to end; rbh1 acquire status says how far it is",
                ) from error
            self._tidy()
            yield

    def _tidy(self) -> None:
        """Remove what a process that was killed left of files it had not named yet."""
        for folder in ("partial", "quarantine", "records", "runs"):
            for path in (self.root / folder).glob(".*.part"):
                path.unlink(missing_ok=True)
        for path in (self.root / "partial").glob("*.adopted"):
            path.unlink(missing_ok=True)  # a second name or a copy, never the only one
        for tree in ("files", "versions"):
            for path in (self.root / tree).rglob(".*.new"):
                path.unlink(missing_ok=True)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise ArdError(
                "the store cannot be used",
                file=self.root,
                expected="a folder that can be made and written",
                found=f"{error.strerror or error}{where}",
                action="choose another folder with --store or RBH1_DATA_DIR",
            ) from error

    def free_bytes(self) -> int:
        """Say how much space the disk of the store has left, bytes."""
        with self._usable():
            return shutil.disk_usage(self.root).free

    # ---- places

    def object_path(self, sha256: str) -> Path:
        """Give the place of some content."""
        return self.root / "objects" / sha256[:2] / sha256

    def link_path(self, group: str, name: str) -> Path:
        """Give the readable name of a file."""
        return self.root / "files" / group / name

    def version_path(self, name: str, sha256: str) -> Path:
        """Give the readable name of another version of a file."""
        return self.root / "versions" / name / sha256[:_SHOWN] / name

    def part_path(self, uri: str, name: str) -> Path:
        """Give the place of a partial file."""
        mark = hashlib.sha256(uri.encode()).hexdigest()[:_SHOWN]
        return self.root / "partial" / f"{name}.{mark}.part"

    # ---- records

    def entry(self, name: str, uri: str = "", group: str = "") -> Entry:
        """Give what is known about a file; an empty entry if nothing is.

        Raises
        ------
        ArdError
            If the record is damaged.
        """
        path = self._record_path(name)
        if not path.is_file():
            return Entry(name, uri, group)
        return Entry.from_dict(read_json(path), path)

    def save(self, entry: Entry) -> None:
        """Put what is known about a file on disk."""
        write_json(self._record_path(entry.name), entry.to_dict(), overwrite=True)

    def _record_path(self, name: str) -> Path:
        return self.root / "records" / f"{name}.json"

    # ---- content

    def state(self, held: Held, *, deep: bool = False) -> str:
        """Say whether content is intact: ``intact``, ``missing`` or ``damaged``.

        A file that looks untouched (size and time) is believed, unless `deep` asks for its sha256.
        """
        path = self.object_path(held.sha256)
        try:
            status = path.stat()
        except FileNotFoundError:
            return "missing"
        if status.st_size != held.size:
            return "damaged"
        if not deep and status.st_mtime_ns == held.mtime_ns:
            return "intact"
        return "intact" if sha256_file(path) == held.sha256 else "damaged"

    def vouch(self, held: Held, checksum: str | None) -> Held | None:
        """Hold content against a checksum that the archive publishes.

        Returns
        -------
        Held or None
            The content, now known to have it; None if it has another. Where there is nothing to
            compare, or a checksum of this kind is known of it, the content as it is.
        """
        if checksum is None or agree(held.checksum, checksum) is not None:
            return held
        verdict = fits(self.object_path(held.sha256), checksum)
        if verdict is None:
            return held
        return replace(held, checksum=checksum, verified=ARCHIVE) if verdict else None

    def mtime_ns(self, sha256: str) -> int:
        """Give the time of some content's file, ns."""
        return self.object_path(sha256).stat().st_mtime_ns

    def put(self, source: Path, sha256: str) -> None:
        """Move a file whose bytes have this sha256 to its place.

        The name appears only when every byte is safe on disk.

        Raises
        ------
        ArdError
            If it is no file of its own: a link could lead to bytes that somebody changes.
        """
        place = self.object_path(sha256)
        with self._usable():
            if not stat.S_ISREG(source.lstat().st_mode):
                raise ArdError(
                    "only a regular file can become content of the store",
                    file=source,
                    expected="a regular file",
                    found="a link or something else",
                    action="give the file that the link leads to",
                )
            place.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as stream:
                os.fsync(stream.fileno())
            source.chmod(0o444)
            source.replace(place)
            _sync_folder(place.parent)
            note_of(source).unlink(missing_ok=True)

    def name(self, link: Path, sha256: str) -> None:
        """Let a readable name lead to some content."""
        place = self.object_path(sha256)
        with self._usable():
            link.parent.mkdir(parents=True, exist_ok=True)
            temporary = link.with_name(f".{link.name}.new")
            temporary.unlink(missing_ok=True)
            try:
                temporary.symlink_to(os.path.relpath(place, link.parent))
            except OSError:
                os.link(place, temporary)  # a file system without symbolic links
            temporary.replace(link)

    def leads_to(self, link: Path, sha256: str) -> bool:
        """Say whether a readable name leads to some content."""
        try:
            return link.samefile(self.object_path(sha256))
        except OSError:
            return False

    def quarantine(self, path: Path, name: str, reason: Mapping[str, Any]) -> Path:
        """Put damaged bytes aside, with the reason; only the newest of a name are kept."""
        place = self.root / "quarantine" / name
        with self._usable():
            path.replace(place)
            note_of(path).unlink(missing_ok=True)
            write_json(place.with_name(f"{name}.json"), reason, overwrite=True)
        return place


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
