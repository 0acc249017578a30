"""What does the store know about a file: its content, other versions, its last attempt?"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from ard.errors import ArdError
from manifests.lock import NEVER, LockedFile
from pipeline.acquire.archive import Listing
from pipeline.acquire.checksums import agree

VERSION: Final = 1
# What tells versions of a file apart, besides checksums.
VERSION_FIELDS: Final = ("size", "cal_ver", "crds_ctx", "sdp_ver")


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
        if agree(row.checksum, self.checksum) is False:
            return False
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
    served : str or None
        The sha256 of the version that the archive gave last instead of the one of the lock.
    last : mapping
        The record of the last attempt.
    """

    name: str
    uri: str
    group: str
    held: Held | None = None
    versions: Mapping[str, Held] = field(default_factory=dict)
    served: str | None = None
    last: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], path: Path) -> "Entry":
        """Read the plain JSON form; `path` is named where it is damaged.

        Raises
        ------
        ArdError
            If it is damaged.
        """
        try:
            held = document["held"]
            return cls(
                name=document["name"],
                uri=document["uri"],
                group=document["group"],
                held=None if held is None else _held(held),
                versions={sha: _held(row) for sha, row in document["versions"].items()},
                served=document["served"],
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

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "schema": "archive-file",
            "version": VERSION,
            "name": self.name,
            "uri": self.uri,
            "group": self.group,
            "held": None if self.held is None else vars(self.held),
            "served": self.served,
            "versions": {sha: vars(held) for sha, held in self.versions.items()},
            "last": dict(self.last),
        }

    def version(self, row: LockedFile | Listing) -> Held | None:
        """Give the content that is the version of a row, the one under the name first."""
        held = [self.held] if self.held is not None else []
        candidates = (*held, *self.versions.values())
        return next((content for content in candidates if content.is_version_of(row)), None)


_HELD_FIELDS: Final = frozenset(f.name for f in fields(Held))


def _held(row: Mapping[str, Any]) -> Held:
    return Held(**{key: value for key, value in row.items() if key in _HELD_FIELDS})


def with_held(entry: Entry, held: Held) -> Entry:
    """Give the entry with other content under its name; the former becomes a version."""
    versions = dict(entry.versions)
    if entry.held is not None and entry.held.sha256 != held.sha256:
        versions[entry.held.sha256] = entry.held
    versions.pop(held.sha256, None)
    return replace(entry, held=held, versions=versions)


def with_served(entry: Entry, held: Held) -> Entry:
    """Give the entry with the version that the archive gave instead of the one of the lock."""
    under_name = entry.held is not None and entry.held.sha256 == held.sha256
    versions = entry.versions if under_name else {**entry.versions, held.sha256: held}
    return replace(entry, versions=versions, served=held.sha256)
