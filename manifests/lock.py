"""Which bytes of the archive does a study stand on, file by file?

The lock lists every file of a selection: where the archive keeps it, how large it is, its sha256,
and which calibration made it. It is committed; only ``rbh1 acquire lock --update`` changes it.
What is not known yet is null: a sha256 is known once the file was fetched.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any, Final

from manifests.errors import ManifestError
from manifests.selection import DEFAULT_SELECTION, Selection

LOCKS_DIR: Final = Path(__file__).parent / "locks"
SCHEMA: Final = "archive-lock"
VERSION: Final = 1

# How the bytes behind a sha256 were verified when it was recorded.
NEVER: Final = "none"  # there is no sha256 yet
SIZE: Final = "size"  # by size and structure only: trust on first use
TWICE: Final = "twice"  # fetched twice, from the first byte to the last, with equal bytes
ARCHIVE: Final = "archive"  # by the checksum that the archive publishes
VERIFIED: Final = (NEVER, SIZE, TWICE, ARCHIVE)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\.fits")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LockedFile:
    """One file of the lock; None stands for what is not known yet.

    Attributes
    ----------
    uri : str
        The archive's name of the file: ``mast:JWST/product/x_s3d.fits``.
    name : str
        File name.
    group : str
        The group of the selection.
    size : int or None
        Bytes.
    sha256 : str or None
        Of the bytes, 64 hexadecimal digits.
    verified : str
        How these bytes were verified: none, size (trust on first use), twice, archive.
    checksum : str or None
        The checksum that the archive publishes, as it does so.
    cal_ver, crds_ctx, sdp_ver : str or None
        Calibration software, reference-file context and data-processing version.
    role : str or None
        What the headers say it is: science, imprint or background.
    """

    uri: str
    name: str
    group: str
    size: int | None = None
    sha256: str | None = None
    verified: str = NEVER
    checksum: str | None = None
    cal_ver: str | None = None
    crds_ctx: str | None = None
    sdp_ver: str | None = None
    role: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return dict(vars(self))


FIELDS: Final = tuple(field.name for field in fields(LockedFile))


@dataclass(frozen=True)
class Lock:
    """The files of a selection, in order of group and name.

    Attributes
    ----------
    selection : str
        Name of the selection.
    files : tuple of LockedFile
    path : path or None
        Where it was read.
    """

    selection: str
    files: tuple[LockedFile, ...]
    path: Path | None = None

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.files, key=lambda file: (file.group, file.name)))
        object.__setattr__(self, "files", ordered)

    def only(self, groups: Iterable[str]) -> "Lock":
        """Give the files of these groups (all of them where none is named)."""
        names = set(groups)
        kept = tuple(file for file in self.files if not names or file.group in names)
        return Lock(self.selection, kept, self.path)

    def by_name(self) -> dict[str, LockedFile]:
        """Give the files by their name."""
        return {file.name: file for file in self.files}

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form, deterministic."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "selection": self.selection,
            "files": [file.to_dict() for file in self.files],
        }


def lock_path(name: str = DEFAULT_SELECTION) -> Path:
    """Give the place of the lock that comes with the study."""
    return LOCKS_DIR / f"{name}.json"


def load_lock(path: str | PathLike[str], selection: Selection) -> Lock:
    """Read the lock of a selection.

    Raises
    ------
    ManifestError
        If it is missing, damaged, made for another selection, or names a file that does not
        belong to its group.
    """
    file = Path(path)
    lock = read_lock(file)
    _require_made_for(lock, selection)
    _check_files(lock.files, selection, file)
    return lock


def read_lock(path: str | PathLike[str]) -> Lock:
    """Read a lock by itself.

    Raises
    ------
    ManifestError
        If it is missing or damaged, or names a file twice.
    """
    file = Path(path)
    document = _document(file)
    if (document.get("schema"), document.get("version")) != (SCHEMA, VERSION):
        found = f"schema {document.get('schema')!r}, version {document.get('version')!r}"
        raise _error(file, "this is no lock", f"schema '{SCHEMA}', version {VERSION}", found)
    rows, name = document.get("files"), document.get("selection")
    if (
        not isinstance(rows, list)
        or not isinstance(name, str)
        or set(document) != {"schema", "version", "selection", "files"}
    ):
        raise _error(file, "the lock has other fields", "schema, version, selection, files",
                     ", ".join(sorted(document)))  # fmt: skip
    files = tuple(_locked_file(row, file) for row in rows)
    _require_once(files, file)
    return Lock(name, files, file)


def _require_once(files: tuple[LockedFile, ...], file: Path) -> None:
    for key in ("name", "uri"):
        values = Counter(getattr(row, key) for row in files)
        twice = sorted(value for value, number in values.items() if number > 1)
        if twice:
            raise _error(file, f"a {key} is listed twice", f"every {key} once", ", ".join(twice))


def fitting_rows(lock: Lock, selection: Selection) -> Lock:
    """Give the rows of a lock that belong to a selection, for it to be made anew.

    Raises
    ------
    ManifestError
        If it was made for another selection.
    """
    _require_made_for(lock, selection)
    groups = {group.name: group for group in selection.groups}
    kept = [f for f in lock.files if f.group in groups and groups[f.group].holds(f.name)]
    return Lock(lock.selection, tuple(kept), lock.path)


def _require_made_for(lock: Lock, selection: Selection) -> None:
    if lock.selection != selection.name:
        problem = "the lock was made for another selection"
        raise _error(lock.path or Path("lock"), problem, selection.name, lock.selection)


def require_valid(lock: Lock, selection: Selection, file: Path) -> None:
    """Make sure that a lock could be read again if it were written.

    Raises
    ------
    ManifestError
        If a row is wrong, a file is named twice, or does not belong to its group.
    """
    files = tuple(_locked_file(row.to_dict(), file) for row in lock.files)
    _require_once(files, file)
    _check_files(files, selection, file)


def _document(file: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ManifestError(
            "there is no lock",
            file=file,
            expected="a lock file in JSON",
            action="make it with: rbh1 acquire lock --update",
        ) from error
    except (OSError, ValueError) as error:
        raise _error(file, "the lock cannot be read", "JSON in UTF-8", error) from error
    if not isinstance(document, dict):
        raise _error(file, "this is no lock", "a JSON object", type(document).__name__)
    return document


def _error(file: Path, problem: str, expected: object, found: object) -> ManifestError:
    action = "restore the committed lock, or make it anew with: rbh1 acquire lock --update"
    return ManifestError(problem, file=file, expected=expected, found=found, action=action)


def _locked_file(row: Any, file: Path) -> LockedFile:
    if not isinstance(row, dict) or set(row) != set(FIELDS):
        found = ", ".join(sorted(row)) if isinstance(row, dict) else type(row).__name__
        raise _error(file, "a row has other fields", ", ".join(FIELDS), found)
    entry = LockedFile(**row)
    wrong = [name for name, good in _rules(entry) if not good]
    if wrong:
        found = ", ".join(f"{name} = {getattr(entry, name)!r}" for name in wrong)
        raise _error(file, f"the row of {entry.name!r} is wrong", "valid fields", found)
    return entry


def _rules(entry: LockedFile) -> list[tuple[str, bool]]:
    def text(name: str) -> tuple[str, bool]:
        value = getattr(entry, name)
        return name, value is None or (isinstance(value, str) and bool(value))

    size, sha = entry.size, entry.sha256
    whole = isinstance(size, int) and not isinstance(size, bool)
    return [
        ("name", isinstance(entry.name, str) and _NAME.fullmatch(entry.name) is not None),
        ("uri", isinstance(entry.uri, str) and entry.uri.endswith(f"/{entry.name}")),
        ("group", isinstance(entry.group, str)),
        ("size", size is None or (whole and size > 0)),
        ("sha256", sha is None or (isinstance(sha, str) and bool(_SHA256.fullmatch(sha)))),
        ("verified", entry.verified in VERIFIED and (entry.verified == NEVER) == (sha is None)),
        *(text(name) for name in ("checksum", "cal_ver", "crds_ctx", "sdp_ver", "role")),
    ]


def _check_files(files: tuple[LockedFile, ...], selection: Selection, path: Path) -> None:
    for file in files:
        if not selection.group(file.group).holds(file.name):
            problem = f"{file.name} does not fit its group"
            raise _error(path, problem, selection.group(file.group).pattern, file.group)
