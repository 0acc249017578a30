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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from ard.errors import ArdError, NotFoundError
from ard.fileio import read_json, sha256_file, write_json
from manifests.lock import NEVER, LockedFile
from pipeline.acquire.archive import Listing
from pipeline.acquire.partial import note_of

MARKER: Final = "rbh1-store.json"
SCHEMA: Final = "archive-store"
VERSION: Final = 1
LOCK_FILE: Final = "lock"
# What tells versions of a file apart where its sha256 is not known.
VERSION_FIELDS: Final = ("checksum", "size", "cal_ver", "crds_ctx", "sdp_ver")
_SHOWN: Final = 12  # digits of a sha256 in a folder's name


@dataclass(frozen=True)
class Held:
    """The content that the store holds under a name.

    Attributes
    ----------
    sha256 : str
    size : int
        Bytes.
    verified : str
        How it was verified when it came: size, twice or archive (see `manifests.lock`).
    mtime_ns : int
        Time of the content's file; another one means that somebody touched it.
    checksum, cal_ver, crds_ctx, sdp_ver : str or None
        What the archive listed when it came.
    etag, last_modified : str or None
        What the archive sent with it.
    facts : mapping
        What its headers say.
    """

    sha256: str
    size: int
    verified: str = NEVER
    mtime_ns: int = 0
    checksum: str | None = None
    cal_ver: str | None = None
    crds_ctx: str | None = None
    sdp_ver: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def is_version_of(self, row: LockedFile | Listing) -> bool:
        """Say whether this is the version that a row of the lock or of the archive describes.

        A sha256 settles it; without one, nothing that both know may differ.
        """
        sha256 = getattr(row, "sha256", None)
        if sha256 is not None:
            return bool(sha256 == self.sha256)
        pairs = ((getattr(row, name), getattr(self, name)) for name in VERSION_FIELDS)
        return all(one is None or two is None or one == two for one, two in pairs)


@dataclass(frozen=True)
class Entry:
    """What the store knows about a file: its content, other versions, its last attempt.

    Attributes
    ----------
    name, uri, group : str
        As in the lock.
    held : Held or None
        The content under this name.
    versions : mapping of str to Held
        Other content that the archive served under this name, by sha256.
    last : mapping
        The record of the last attempt.
    """

    name: str
    uri: str
    group: str
    held: Held | None = None
    versions: Mapping[str, Held] = field(default_factory=dict)
    last: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "schema": "archive-file",
            "version": VERSION,
            "name": self.name,
            "uri": self.uri,
            "group": self.group,
            "held": None if self.held is None else vars(self.held),
            "versions": {sha: vars(held) for sha, held in self.versions.items()},
            "last": dict(self.last),
        }

    def version(self, row: LockedFile | Listing) -> Held | None:
        """Give the content that is the version of a row, the one under the name first."""
        held = [self.held] if self.held is not None else []
        candidates = (*held, *self.versions.values())
        return next((content for content in candidates if content.is_version_of(row)), None)


_HELD_FIELDS: Final = frozenset(f.name for f in fields(Held))


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
        if self.exists():
            self.require()
            return
        with self._usable():
            if self.root.exists() and any(self.root.iterdir()):
                raise ArdError(
                    "the folder holds something else than a store of archive files",
                    file=self.root,
                    expected=f"a new or empty folder, or one with {MARKER}",
                    found=", ".join(sorted(p.name for p in self.root.iterdir())[:3]),
                    action="choose another with --store or RBH1_DATA_DIR; to take files over: "
                    "rbh1 acquire adopt FOLDER",
                )
            for name in ("objects", "files", "records", "partial", "quarantine", "runs"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            write_json(self.root / MARKER, {"schema": SCHEMA, "version": VERSION}, overwrite=True)

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
        document = read_json(path)
        try:
            held = document["held"]
            return Entry(
                name=document["name"],
                uri=document["uri"],
                group=document["group"],
                held=None if held is None else _held(held),
                versions={sha: _held(row) for sha, row in document["versions"].items()},
                last=dict(document["last"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ArdError(
                "the record of a file in the store is damaged",
                file=path,
                expected="name, uri, group, held, versions, last",
                found=f"{type(error).__name__}: {error}",
                action="remove this record; the file is then verified and recorded again",
            ) from error

    def save(self, entry: Entry) -> None:
        """Put what is known about a file on disk."""
        write_json(self._record_path(entry.name), entry.to_dict(), overwrite=True)

    def _record_path(self, name: str) -> Path:
        return self.root / "records" / f"{name}.json"

    # ---- content

    def state(
        self, held: Held, *, deep: bool = False, should_stop: Callable[[], bool] | None = None
    ) -> str:
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
        if should_stop is not None and should_stop():
            raise KeyboardInterrupt
        return "intact" if sha256_file(path) == held.sha256 else "damaged"

    def put(self, source: Path, sha256: str) -> int:
        """Move a file whose bytes have this sha256 to its place; give the time of the place, ns.

        The name appears only when every byte is safe on disk.
        """
        place = self.object_path(sha256)
        with self._usable():
            place.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as stream:
                os.fsync(stream.fileno())
            source.chmod(0o444)
            source.replace(place)
            _sync_folder(place.parent)
            note_of(source).unlink(missing_ok=True)
            return place.stat().st_mtime_ns

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


def _held(row: Mapping[str, Any]) -> Held:
    return Held(**{key: value for key, value in row.items() if key in _HELD_FIELDS})


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def with_held(entry: Entry, held: Held) -> Entry:
    """Give the entry with other content under its name; the former becomes a version."""
    versions = dict(entry.versions)
    if entry.held is not None and entry.held.sha256 != held.sha256:
        versions[entry.held.sha256] = entry.held
    versions.pop(held.sha256, None)
    return replace(entry, held=held, versions=versions)


def with_version(entry: Entry, held: Held) -> Entry:
    """Give the entry with a further version beside the content under its name."""
    return replace(entry, versions={**entry.versions, held.sha256: held})
