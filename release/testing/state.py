"""What may be done with drafts and records, in which order, and what is refused?

The state machine of InvenioRDM's records API, without HTTP. Every method is one request; it either
does all of what it says or raises `Refusal`.
"""

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from release.testing.index import Index
from release.testing.model import Blob, Body, Entry, Family, Refusal, Unforeseen, Version
from release.testing.validation import Loaded, publication_errors

PID_MISSING: Final = "The persistent identifier does not exist."
PID_UNREGISTERED: Final = "The persistent identifier is not registered."
NOT_FOUND: Final = "Not found."
DENIED: Final = "Permission denied."
INVALID: Final = "A validation error occurred."
_NO_FILES: Final = (
    "Missing uploaded files. To disable files for this record please mark it as metadata-only."
)
_NOT_READY: Final = "One or more files have not completed their transfer, please wait."
_PREFIX_IS_OURS: Final = (
    "The prefix '{}' is managed by InvenioRDM. Please supply an external DOI or select 'No' to have"
    " a DOI generated for you."
)


class State:
    """All records of the archive.

    Parameters
    ----------
    doi_prefix : str
        Of the DOIs that it gives.
    clock : callable
        Seconds since 1970.
    index : Index
        What searches see, possibly late.
    """

    def __init__(self, *, doi_prefix: str, clock: Callable[[], float], index: Index) -> None:
        self.doi_prefix, self.clock, self.index = doi_prefix, clock, index
        self.lock = threading.RLock()
        self.families: dict[str, Family] = {}
        self.versions: dict[str, Version] = {}
        self.requests = 0
        self._last_id = 0

    def now(self) -> str:
        """Give the time as the archive writes it."""
        moment = datetime.fromtimestamp(self.clock(), UTC)
        return moment.isoformat(timespec="microseconds")

    # What is there

    def version(self, ident: str) -> Version:
        """Find a version by its id, whatever its state."""
        if ident not in self.versions:
            raise Refusal(404, PID_MISSING)
        return self.versions[ident]

    def draft_of(self, ident: str, user: str | None, absent: str = NOT_FOUND) -> Version:
        """Find a version that has a draft, for its owner."""
        version = self.version(ident)
        if version.draft is None:
            raise Refusal(404, absent)
        self._owner_only(version, user)
        return version

    def record(self, ident: str) -> Version:
        """Find a published version, for anybody."""
        if ident in self.families:
            raise Refusal(404, PID_UNREGISTERED)
        version = self.version(ident)
        if version.published is None:
            raise Refusal(404, PID_UNREGISTERED)
        if version.tombstone is not None:
            raise Refusal(410, "Record deleted", more={"tombstone": version.tombstone})
        return version

    def concept(self, ident: str) -> Version | None:
        """Give the latest version of a concept id; None where the id is none."""
        family = self.families.get(ident)
        return None if family is None else family.latest

    def latest(self, ident: str) -> Version:
        """Give the latest version of the family of a record."""
        return self.record(ident).family.latest or self.record(ident)

    @staticmethod
    def _owner_only(version: Version, user: str | None) -> None:
        if user != version.family.owner:
            raise Refusal(403, DENIED)

    # Drafts

    def create(self, user: str | None, loaded: Loaded) -> tuple[Version, list[tuple[str, str]]]:
        """Make a draft; say what is wrong with its metadata, which does not hinder it."""
        if user is None:
            raise Refusal(403, DENIED)
        family = Family(self._new_id(), user)
        version = Version(self._new_id(), family, 1)
        now = self.now()
        # Counted from the recording: 4 for a draft without metadata, one more with them.
        version.draft = Body(5 if loaded.metadata else 4, now, now, loaded.metadata)
        errors = self._set_pids(version, loaded.pids)
        version.draft.custom_fields = loaded.custom_fields
        family.versions.append(version)
        self.families[family.id], self.versions[version.id] = family, version
        self.changed(version, by=0)
        return version, [*loaded.errors, *errors]

    def put(
        self, ident: str, user: str | None, loaded: Loaded, if_match: str | None
    ) -> tuple[Version, list[tuple[str, str]]]:
        """Replace all metadata of a draft; pids that are not given are kept."""
        version = self.draft_of(ident, user)
        draft = _draft(version)
        if if_match is not None and if_match.strip('"') != str(draft.revision):
            given = if_match.strip('"')
            raise Refusal(
                412, f"Revision id provided({given}) doesn't match record's one({draft.revision})"
            )
        draft.metadata, draft.custom_fields = loaded.metadata, loaded.custom_fields
        errors = [*loaded.errors, *self._set_pids(version, loaded.pids)]
        if not draft.files:
            errors.append(("files.enabled", "Missing uploaded files."))
        self.changed(version)
        return version, errors

    def reserve(self, ident: str, user: str | None, scheme: str) -> Version:
        """Promise a DOI to a draft."""
        version = self.draft_of(ident, user)
        draft = _draft(version)
        if scheme != "doi":
            raise Unforeseen  # there is no provider of other schemes
        if "doi" in draft.pids:
            raise Refusal(400, INVALID, (("pids.doi", "A PID already exists for type doi"),))
        draft.pids["doi"] = self._doi(version.id)
        self.changed(version)
        return version

    def release(self, ident: str, user: str | None, scheme: str) -> Version:
        """Take the promised DOI back."""
        version = self.draft_of(ident, user)
        if scheme not in _draft(version).pids:
            raise Refusal(404, PID_MISSING)
        del _draft(version).pids[scheme]
        self.changed(version)
        return version

    def discard(self, ident: str, user: str | None) -> None:
        """Delete a draft; a record that was published stays."""
        version = self.draft_of(ident, user)
        draft, version.draft = _draft(version), None
        if version.published is None:
            version.family.versions.remove(version)
            del self.versions[version.id]
            if not version.family.versions:
                del self.families[version.family.id]
        version.draft_revision = draft.revision + 4
        self.drop(blob for entry in draft.files.values() for blob in entry.blobs)
        self._index_family(version.family, gone=version)

    def edit(self, ident: str, user: str | None) -> tuple[Version, bool]:
        """Open a draft of a published record, its files locked; say whether it is new."""
        version = self.record(ident)
        self._owner_only(version, user)
        new = version.draft is None
        if new:
            draft = copy.deepcopy(_published(version))
            draft.revision, draft.locked = version.draft_revision, True
            version.draft = draft
            self.changed(version, by=4)
        return version, new

    # Publication and versions

    def publish(self, ident: str, user: str | None) -> Version:
        """Make a draft public, for good."""
        version = self.draft_of(ident, user)
        draft = _draft(version)
        self._check_publication(version)
        now = self.now()
        draft.pids.setdefault("doi", self._doi(version.id))
        draft.pids.setdefault(
            "oai", {"identifier": f"oai:zenodo.org:{version.id}", "provider": "oai"}
        )
        version.family.pids.setdefault("doi", self._doi(version.family.id))
        version.draft_revision = draft.revision + 3
        before = version.published
        draft.revision = 4 if before is None else before.revision + 2
        draft.created = now if before is None else before.created
        draft.locked = True
        version.draft, version.published = None, draft
        if before is not None:
            self.drop(blob for entry in before.files.values() for blob in entry.blobs)
        self.changed(version, by=0)
        return version

    def _check_publication(self, version: Version) -> None:
        draft = _draft(version)
        errors = publication_errors(draft.metadata)
        if not errors and not draft.files:
            errors = [("files.enabled", _NO_FILES)]
        if not errors and any(entry.blob is None for entry in draft.files.values()):
            errors = [("files", _NOT_READY)]
        if not errors and not draft.metadata.get("publisher"):
            errors = [
                ("metadata.publisher", "Missing publisher field required for DOI registration.")
            ]
        if errors:
            raise Refusal(400, INVALID, tuple(errors))

    def new_version(self, ident: str, user: str | None) -> tuple[Version, bool]:
        """Give the draft of the next version, made on the first call; say whether it is new."""
        of = self.record(ident)
        self._owner_only(of, user)
        family = of.family
        if family.next_draft is not None:
            return family.next_draft, False
        source = _published(family.latest or of)
        now = self.now()
        version = Version(self._new_id(), family, len(family.versions) + 1)
        metadata = copy.deepcopy(source.metadata)
        metadata.pop("version", None)
        metadata["publication_date"] = now[:10]
        version.draft = Body(5, now, now, metadata)
        version.draft.custom_fields = copy.deepcopy(source.custom_fields)
        family.versions.append(version)
        self.versions[version.id] = version
        self.changed(version, by=0)
        return version, True

    def unlock(self, ident: str, user: str | None) -> Version:
        """Let the files of a record be changed in its draft, as is granted within 30 days."""
        self.record(ident)
        version = self.draft_of(ident, user)
        _draft(version).locked = False
        return version

    def bury(self, ident: str, user: str | None, reason: str) -> Version:
        """Delete a record, as is granted within 30 days; a tombstone is left."""
        version = self.record(ident)
        self._owner_only(version, user)
        was_latest = version is version.family.latest
        version.tombstone = {
            "note": "",
            "removed_by": {"user": user},
            "removal_date": self.now(),
            "citation_text": _citation(version),
            "is_visible": True,
            "removal_reason": {"id": reason},
            "deletion_policy": {"id": "grace-period-v1"},
        }
        if was_latest and version.family.latest is not None:
            # As recorded: the version that becomes the latest again counts it.
            _published(version.family.latest).revision += 4
        self.changed(version, by=0)
        return version

    # Behind the scenes

    def _new_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def _doi(self, ident: str) -> dict[str, str]:
        doi = f"{self.doi_prefix}/zenodo.{ident}"
        return {"identifier": doi, "provider": "datacite", "client": "datacite"}

    def _set_pids(self, version: Version, pids: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Take a DOI that somebody else has given; those of the archive are not for choosing."""
        doi = pids.get("doi")
        if not isinstance(doi, dict):
            return []
        prefix = str(doi.get("identifier", "")).split("/")[0]
        if doi.get("provider") == "external":
            _draft(version).pids["doi"] = dict(doi)
            if prefix == self.doi_prefix:
                return [("pids.doi", _PREFIX_IS_OURS.format(prefix))]
        elif prefix != self.doi_prefix:
            ours = self.doi_prefix
            return [("pids.doi", f"Wrong DOI {prefix} prefix provided, it should be {ours}")]
        return []

    def changed(self, version: Version, by: int = 2) -> None:
        """Count a change, and let searches know."""
        body = version.draft or _published(version)
        body.revision += by
        body.updated = self.now()
        self._index_family(version.family)

    def _index_family(self, family: Family, gone: Version | None = None) -> None:
        self.index.put({one.id: one for one in family.versions}, gone)

    def drop(self, blobs: Iterable[Blob]) -> None:
        """Delete bytes that no file refers to any more."""
        for blob in set(blobs):
            if not any(blob in entry.blobs for entry in self._entries()):
                blob.path.unlink(missing_ok=True)

    def _entries(self) -> Iterator[Entry]:
        for version in self.versions.values():
            for body in (version.draft, version.published):
                if body is not None:
                    yield from body.files.values()


def _draft(version: Version) -> Body:
    if version.draft is None:
        raise Refusal(404, NOT_FOUND)
    return version.draft


def _published(version: Version) -> Body:
    if version.published is None:
        raise Refusal(404, PID_UNREGISTERED)
    return version.published


def _citation(version: Version) -> str:
    body = _published(version)
    people = (one["person_or_org"].get("name", "") for one in body.metadata["creators"])
    year, title = body.metadata["publication_date"][:4], body.metadata["title"]
    doi = body.pids["doi"]["identifier"]
    return f"{'; '.join(people)} ({year}). {title}. Zenodo. https://doi.org/{doi}"
