"""What may be done with the files of a draft, and which mistakes does the archive let pass?

It compares neither size nor checksum with what was announced; an upload that fails answers 200 and
takes the entry away.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ard.fileio import md5_file
from release.testing.body import RequestBody
from release.testing.model import Blob, Body, Entry, Refusal, Unforeseen, Version
from release.testing.state import DENIED, INVALID, State

_TOO_MANY: Final = "Uploading selected files will result in exceeding the max amount per record."
_QUOTA: Final = "Bucket quota exceeded."
_LOCKED: Final = "Bucket is locked for modifications."
_NAME_LENGTH: Final = 255
_FIELDS: Final = frozenset({"key", "size", "checksum", "metadata", "transfer", "access"})


@dataclass(frozen=True)
class Limits:
    """Say how much a record may hold.

    Attributes
    ----------
    quota : int
        Bytes of all its files.
    max_files : int
        How many files.
    """

    quota: int
    max_files: int


class Files:
    """The files of all drafts and records.

    Parameters
    ----------
    state : State
        The records that they belong to.
    folder : Path
        Where their bytes are kept.
    limits : Limits
        What one record may hold.
    """

    def __init__(self, state: State, folder: Path, limits: Limits) -> None:
        self.state, self.folder, self.limits = state, folder, limits
        folder.mkdir(parents=True, exist_ok=True)

    def draft(self, ident: str, user: str | None) -> Version:
        """Find the draft whose files are meant."""
        return self.state.draft_of(ident, user)

    def entry(self, version: Version, key: str, *, draft: bool) -> Entry:
        """Find a file."""
        body = version.draft if draft else version.published
        if body is None or key not in body.files:
            raise Refusal(404, f"Record '{version.id}' has no file '{key}'.")
        return body.files[key]

    def announce(self, ident: str, user: str | None, items: Any) -> Version:
        """Announce files; all of them, or none."""
        version = self.draft(ident, user)
        body = _body(version)
        items = _checked(items)
        if len(body.files) + len(items) > self.limits.max_files:
            raise Refusal(400, _TOO_MANY)
        keys = [item["key"] for item in items]
        for number, key in enumerate(keys):
            if key in body.files or key in keys[:number]:
                raise Refusal(400, f"File with key {key} already exists.")
        now = self.state.now()
        for item in items:
            entry = Entry(item["key"], now, now)
            entry.declared = {name: item[name] for name in ("size", "checksum") if name in item}
            entry.metadata = item.get("metadata")
            entry.transfer = dict(item.get("transfer") or {"type": "L"})
            body.files[entry.key] = entry
        return version

    def room_for(self, ident: str, user: str | None, key: str) -> int:
        """Find out whether bytes may come for a file, and how many."""
        version = self.draft(ident, user)
        entry = self.entry(version, key, draft=True)
        if len(key) > _NAME_LENGTH:
            raise Refusal(400, "Filename is too long.")
        _local_only(entry)
        if _body(version).locked:
            raise Refusal(403, _LOCKED)
        used = _body(version).size() - sum(blob.size for blob in entry.blobs)
        return self.limits.quota - used

    def receive(self, body: RequestBody, limit: int) -> Blob | None:
        """Keep bytes on disk as they come; None if they break off.

        Raises
        ------
        Refusal
            If they are more than fit.
        """
        path = self.folder / uuid.uuid4().hex
        md5 = body.save(path, limit, Refusal(400, _QUOTA))
        if body.lost or not body.whole:
            path.unlink()
            return None
        return Blob(path, body.received, md5, str(uuid.uuid4()))

    def store(
        self, ident: str, user: str | None, key: str, blob: Blob | None
    ) -> tuple[Version, Entry, bool]:
        """Give a file its bytes, or None if they broke off; say whether it is still there.

        Over a committed file, and where the bytes broke off, the archive answers success and takes
        the entry away.
        """
        sent = () if blob is None else (blob,)
        try:
            version = self.draft(ident, user)
            entry = self.entry(version, key, draft=True)
        except Refusal:
            self.state.drop(sent)  # deleted in the meantime
            raise
        old = entry.blobs
        kept = blob is not None and entry.blob is None
        if kept:
            entry.upload = blob
        else:
            del _body(version).files[key]
        self.state.drop((*old, *sent))
        return version, entry, kept

    def corrupt(self, ident: str, key: str, at: int) -> None:
        """Flip a byte of what was uploaded last, as a disk may do; counted round the end."""
        entry = _body(self.state.version(ident)).files.get(key)
        blob = None if entry is None else entry.upload
        if entry is None or blob is None or blob.size == 0:
            return
        at %= blob.size
        with blob.path.open("r+b") as file:
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 0xFF]))
        entry.upload = replace(blob, md5=md5_file(blob.path))

    def commit(self, ident: str, user: str | None, key: str) -> tuple[Version, Entry, Any]:
        """Complete a file; give the entry, and the metadata that this answer shows."""
        version = self.draft(ident, user)
        body, entry = _body(version), self.entry(version, key, draft=True)
        _local_only(entry)
        content = entry.upload or entry.blob
        if content is None:
            raise Unforeseen  # nothing was uploaded
        if content.size == 0:
            raise Refusal(400, "Empty files are not accepted.")
        shown = entry.metadata
        entry.blob, entry.upload, entry.updated = content, None, self.state.now()
        entry.metadata = {} if entry.metadata is None else entry.metadata
        # Listed last from now on, as a row that a database has rewritten.
        body.files[key] = body.files.pop(key)
        return version, entry, shown

    def delete(self, ident: str, user: str | None, key: str | None) -> None:
        """Delete a file of a draft; all of them with None."""
        version = self.draft(ident, user)
        body = _body(version)
        gone = list(body.files.values())
        if key is not None:
            gone = [self.entry(version, key, draft=True)]
        if body.locked:
            raise Refusal(403, _LOCKED)
        for entry in gone:
            del body.files[entry.key]
        self.state.drop(blob for entry in gone for blob in entry.blobs)
        self.state.changed(version)

    def take_over(self, ident: str, user: str | None) -> Version:
        """Link the files of the previous version; no bytes are copied."""
        version = self.draft(ident, user)
        body = _body(version)
        if body.files:
            raise Refusal(400, INVALID, (("files.enabled", "Please remove all files first."),))
        before = version.family.latest
        if before is None or before.published is None:
            raise Refusal(404, "Not found.")
        now = self.state.now()
        for old in before.published.files.values():
            entry = Entry(old.key, now, now, blob=old.blob, metadata={})
            body.files[entry.key] = entry
        self.state.changed(version)
        return version


def _local_only(entry: Entry) -> None:
    """Refuse all but one kind of transfer, whatever could be announced."""
    if entry.transfer.get("type", "L") != "L":
        raise Refusal(403, DENIED)


def _checked(items: Any) -> list[dict[str, Any]]:
    """Look at what is announced, and refuse it with the words of the archive."""
    if not items:
        raise Refusal(400, INVALID, (("_schema", "No files to upload."),))
    if not isinstance(items, list):
        raise Refusal(400, INVALID, (("0._schema", "Invalid input type."),))
    errors = [error for number, item in enumerate(items) for error in _item_errors(number, item)]
    if errors:
        raise Refusal(400, INVALID, tuple(errors))
    return list(items)


def _item_errors(number: int, item: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(item, dict):
        yield f"{number}._schema", "Invalid input type."
        return
    if "key" not in item:
        yield f"{number}.key", "Missing data for required field."
    elif not isinstance(item["key"], str):
        yield f"{number}.key", "Not a valid string."
    for name in sorted(item.keys() - _FIELDS):
        yield f"{number}.{name}", "Unknown field."
    transfer = item.get("transfer") or {}
    if not isinstance(transfer, dict):
        yield f"{number}.transfer", "Invalid input type."
    elif transfer.get("type", "L") in ("R", "F"):
        yield f"{number}.transfer.url", "Domain not allowed"


def _body(version: Version) -> Body:
    if version.draft is None:
        raise Refusal(404, "Not found.")
    return version.draft
