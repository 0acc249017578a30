"""Which files have been here before, and are they still what they were?

Files are kept by the sha256 of their content, so that a new version of a bundle brings only what
changed, and bundles that share a file share its bytes. The folder of a record holds links to them
under their real names; where a file system knows no links, copies. Several processes may use a
cache at once: files appear whole or not at all, and the same bytes are brought by one of them.
"""

import hashlib
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ard.errors import ArdError, NotFoundError
from ard.fileio import atomic_path, atomic_write_bytes, json_bytes, read_json, sha256_file
from ard.remote.address import Address
from ard.remote.record import Record, parse_record

CACHE_VARIABLE: Final = "RBH1_CACHE_DIR"
_NAME: Final = "rbh1-ard"
# Many names lead to one content: nobody should write through one of them.
_READ_ONLY: Final = 0o444

if sys.platform == "win32":
    import errno
    import msvcrt

    def _lock(number: int) -> bool:
        while True:
            try:
                msvcrt.locking(number, msvcrt.LK_LOCK, 1)  # waits for ten seconds
                return True
            except OSError as error:
                if error.errno != errno.EDEADLK:
                    return False

else:
    import fcntl

    def _lock(number: int) -> bool:
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
        except OSError:
            return False  # some network file systems know no locks
        return True


def cache_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Say where downloads are kept: RBH1_CACHE_DIR, or the place that the platform has for it.

    Parameters
    ----------
    environment : mapping of str to str
        Environment variables.
    platform : str
        As `sys.platform` has it.
    """
    chosen = environment.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    try:
        home = Path.home()
    except RuntimeError as error:
        raise ArdError(
            "there is no home folder, and so no place for downloads",
            found=str(error),
            action=f"set {CACHE_VARIABLE} to a folder",
        ) from error
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / _NAME / "cache"
    if platform == "darwin":
        return home / "Library" / "Caches" / _NAME
    # The specification asks to ignore a relative one.
    given = Path(environment.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else home / ".cache") / _NAME


class Cache:
    """Keep files by content.

    Parameters
    ----------
    root : pathlib.Path
        Its folder, which is made when it is needed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sound: set[tuple[str | int, ...]] = set()

    def folder(self, address: Address, record_id: str) -> Path:
        """Give the folder that holds the files of a record under their real names."""
        return self.root / "records" / address.host / record_id

    def content(self, sha256: str) -> Path:
        """Give the place of a content."""
        return self.root / "content" / sha256[:2] / sha256

    def has(self, sha256: str, size: int) -> bool:
        """Tell whether a content is here, by its size alone."""
        try:
            return self.content(sha256).stat().st_size == size
        except OSError:
            return False

    def is_sound(self, path: Path, sha256: str, size: int) -> bool:
        """Tell whether a file has a content; its bytes are read once, until it is changed."""
        try:
            status = path.lstat()
        except OSError:
            return False
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False
        known = (sha256, status.st_dev, status.st_ino, size, status.st_mtime_ns)
        if known not in self._sound:
            if sha256_file(path) != sha256:
                return False
            self._sound.add(known)
        return True

    def forget(self) -> None:
        """Trust no file any longer: the bytes of each are read again when it is used."""
        self._sound.clear()

    def obtain(self, sha256: str, size: int, bring: Callable[[Path], None]) -> Path:
        """Give the file with a content, which is brought if it is not here, or is damaged.

        Parameters
        ----------
        sha256, size : str and int
            The content.
        bring : callable
            Completes the partial file that it is given, and holds it against the digest.

        Raises
        ------
        ArdError
            If the cache cannot be written, or there is no room.
        """
        content = self.content(sha256)
        if self.is_sound(content, sha256, size):
            return content
        with self._writing():
            content.parent.mkdir(parents=True, exist_ok=True)
            with (content.parent / ".lock").open("ab") as lock:
                alone = _lock(lock.fileno())  # until the file is closed
                # Another process may have brought it while we waited.
                if not self.is_sound(content, sha256, size):
                    own = "" if alone else f".{secrets.token_hex(4)}"
                    part = content.with_name(f"{sha256}{own}.part")
                    self._require_room(size - (part.stat().st_size if part.exists() else 0))
                    bring(part)
                    _settle(part, content)
        return content

    def insert(self, data: bytes) -> Path:
        """Keep bytes that are here already."""
        return self.obtain(
            hashlib.sha256(data).hexdigest(), len(data), lambda part: _write(part, data)
        )

    def place(self, content: Path, target: Path) -> None:
        """Give a content a name: a link, or a copy; what had the name is replaced."""
        with self._writing():
            target.parent.mkdir(parents=True, exist_ok=True)
            # Lent a name beside the content, so that nobody meets it in the folder of the record.
            lent = content.with_name(f".{secrets.token_hex(8)}.link")
            try:
                _link(content, lent)
                lent.replace(target)
            finally:
                lent.unlink(missing_ok=True)

    def remember(self, address: Address, record: Record) -> None:
        """Keep what the archive said about a record, for when it cannot be asked."""
        note, text = self._note(address, record.id), json_bytes(record.to_dict())
        with self._writing():
            if not note.is_file() or note.read_bytes() != text:
                _tidy(self.folder(address, record.id), record)
                atomic_write_bytes(note, text, overwrite=True)

    def recall(self, address: Address) -> Record:
        """Say what the archive said about a record; of a family of versions, about the latest.

        Raises
        ------
        NotFoundError
            If neither was ever opened with this cache.
        """
        own = self._note(address, address.id)
        notes = [own] if own.is_file() else sorted(own.parent.glob("*.json"))
        records = [parse_record(read_json(note), address) for note in notes]
        found = [record for record in records if address.id in (record.id, record.parent_id)]
        if not found:
            raise NotFoundError(
                "the cache does not know this record",
                file=str(address),
                expected=f"a record that was opened before, in {self.root}",
                action="open it once with a network",
            )
        return max(found, key=lambda record: record.index)

    def _note(self, address: Address, record_id: str) -> Path:
        return self.root / "records" / address.host / f"{record_id}.json"

    def _require_room(self, size: int) -> None:
        free = shutil.disk_usage(self.root).free
        if size > free:
            raise ArdError(
                "there is no room for the file",
                file=self.root,
                expected=f"{size} free bytes",
                found=f"{free}",
                action=f"make room, or set {CACHE_VARIABLE} to a larger disk",
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ArdError(
                "the cache of downloads cannot be written",
                file=self.root,
                expected="a folder with room, that may be written",
                found=f"{error.strerror or error} ({error.filename or 'no file named'})",
                action=f"mend it, or set {CACHE_VARIABLE} to another folder",
            ) from error


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _settle(part: Path, content: Path) -> None:
    """Make a complete partial file the content, on the disk as well as in name."""
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    part.replace(content)
    # Only now: who is interrupted in between must be able to write the partial file again.
    if sys.platform != "win32":  # where a read-only file could not be removed
        content.chmod(_READ_ONLY)


def _link(content: Path, name: Path) -> None:
    try:
        name.hardlink_to(content)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(content, name)


def _tidy(folder: Path, record: Record) -> None:
    """Remove what an archive no longer lists; owners may change files for some weeks."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in record.files:
            path.unlink()


def save(path: Path, out: Path) -> None:
    """Give a file of the cache another name, outside: a link where possible, otherwise a copy.

    Raises
    ------
    ArdError
        If there is a file of that name.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        out.hardlink_to(path)
    except OSError:
        with atomic_path(out) as temporary:
            shutil.copyfile(path, temporary)
