"""What is in the archive, for a test to compare with what should be there?"""

import copy
from pathlib import Path
from typing import Any

from ard.errors import NotFoundError
from release.testing.model import Body, Version
from release.testing.state import State


class World:
    """A look at the records behind the server's back; nothing can be changed here."""

    def __init__(self, state: State) -> None:
        self._state = state

    def drafts(self) -> list[str]:
        """Which records have a draft?"""
        with self._state.lock:
            return [one.id for one in self._state.versions.values() if one.draft is not None]

    def published(self) -> list[str]:
        """Which records can be read?"""
        with self._state.lock:
            return [
                one.id
                for one in self._state.versions.values()
                if one.published is not None and one.tombstone is None
            ]

    def files(self, record_id: str) -> dict[str, tuple[str, int, Path]]:
        """Which committed files has a record: MD5, size, and where its bytes are?

        Of a draft, if there is one; else what is published.
        """
        with self._state.lock:
            return {
                key: (entry.blob.md5, entry.blob.size, entry.blob.path)
                for key, entry in self._body(record_id).files.items()
                if entry.blob is not None
            }

    def pending(self, record_id: str) -> list[str]:
        """Which files of a draft are announced and not committed?"""
        with self._state.lock:
            files = self._body(record_id).files
            return [key for key, entry in files.items() if entry.blob is None]

    def metadata(self, record_id: str) -> dict[str, Any]:
        """What is stored as the metadata of a record?"""
        with self._state.lock:
            return copy.deepcopy(self._body(record_id).metadata)

    def doi(self, record_id: str) -> str | None:
        """Which DOI has a record?"""
        with self._state.lock:
            pid: dict[str, str] = self._body(record_id).pids.get("doi", {})
            return pid.get("identifier")

    def concept_id(self, record_id: str) -> str:
        """To which family belongs a record?"""
        with self._state.lock:
            return self._version(record_id).family.id

    def _version(self, record_id: str) -> Version:
        version = self._state.versions.get(record_id)
        if version is None:
            raise NotFoundError("the archive has no such record", found=record_id)
        return version

    def _body(self, record_id: str) -> Body:
        version = self._version(record_id)
        body = version.draft or version.published
        if body is None:
            raise NotFoundError("the record is empty", found=record_id)
        return body
