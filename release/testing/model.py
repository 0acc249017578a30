"""What does the archive remember of a record, its versions and its files?"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Refusal(Exception):
    """What the archive says instead of doing what it was asked; never leaves the server.

    Parameters
    ----------
    status : int
        Of the reply.
    message : str
        Its message, word for word as recorded.
    errors : sequence of (field, message), optional
        What is wrong with which field.
    more : mapping, optional
        Further members of the body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        errors: tuple[tuple[str, str], ...] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors
        self.more = dict(more or {})


class Unforeseen(Exception):
    """What the archive did not think of, and answers with an error 500 of its own."""


@dataclass(frozen=True)
class Blob:
    """The stored bytes of one upload; versions that share a file share its blob.

    Attributes
    ----------
    path : Path
        Where the bytes are.
    size : int
        How many.
    md5 : str
        Their digest, hexadecimal.
    id : str
        What the archive calls them (`file_id`).
    """

    path: Path
    size: int
    md5: str
    id: str


@dataclass
class Entry:
    """A file of a draft or record.

    Attributes
    ----------
    key : str
        Its name.
    declared : dict
        `size` and `checksum` as they were announced, which the archive never compares.
    upload : Blob or None
        What was sent and is not committed.
    blob : Blob or None
        What is committed; None while the file is pending.
    metadata : dict or None
        None until the first commit has been answered.
    transfer : dict
        How the bytes come: type L, from the client.
    """

    key: str
    created: str
    updated: str
    declared: dict[str, Any] = field(default_factory=dict)
    upload: Blob | None = None
    blob: Blob | None = None
    metadata: dict[str, Any] | None = None
    transfer: dict[str, Any] = field(default_factory=lambda: {"type": "L"})
    version_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The bytes that this entry keeps on disk."""
        return tuple(blob for blob in (self.upload, self.blob) if blob is not None)


@dataclass
class Body:
    """The state of a draft, or of a published record.

    Attributes
    ----------
    revision : int
        Counts changes; the ETag.
    metadata : dict
        As stored: canonical ids, no titles of vocabularies.
    pids : dict
        Persistent identifiers by scheme.
    files : dict
        Entries by key, in the order in which the archive lists them.
    locked : bool
        Whether files may not be changed, as those of published records.
    """

    revision: int
    created: str
    updated: str
    metadata: dict[str, Any] = field(default_factory=dict)
    pids: dict[str, Any] = field(default_factory=dict)
    custom_fields: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Entry] = field(default_factory=dict)
    locked: bool = False
    bucket: str = field(default_factory=lambda: str(uuid.uuid4()))

    def size(self) -> int:
        """How many bytes count towards the quota?"""
        return sum(blob.size for entry in self.files.values() for blob in entry.blobs)


@dataclass
class Version:
    """One version of a record: its draft, its published state, or both while it is edited."""

    id: str
    family: "Family"
    index: int
    draft: Body | None = None
    published: Body | None = None
    tombstone: dict[str, Any] | None = None
    draft_revision: int = 0


@dataclass
class Family:
    """All versions of a record, which share the concept DOI.

    Attributes
    ----------
    id : str
        The concept id.
    owner : str
        The user whose token made it.
    pids : dict
        The concept DOI, once a version is published.
    versions : list of Version
        By index.
    """

    id: str
    owner: str
    pids: dict[str, Any] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)

    @property
    def latest(self) -> Version | None:
        """The last version that can be read."""
        readable = [one for one in self.versions if one.published and not one.tombstone]
        return readable[-1] if readable else None

    @property
    def next_draft(self) -> Version | None:
        """The draft of a new version, if there is one."""
        new = [one for one in self.versions if one.draft and not one.published]
        return new[-1] if new else None
