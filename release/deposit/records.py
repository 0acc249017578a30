"""What can be asked of the archive, and in which form does it answer?

The records API of InvenioRDM, never the older one under /api/deposit: that one hides what is wrong
with the metadata. Every answer is read into one of two types, and one that carries ``errors`` is
an error even if its status is not.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

from release.deposit import shape
from release.deposit.errors import (
    DepositError,
    SpoiledUploadError,
    UnexpectedAnswerError,
    UnknownOutcomeError,
)
from release.deposit.messages import messages
from release.deposit.paths import (
    DRAFTS,
    RECORDS,
    draft_path,
    file_path,
    files_path,
    is_addressable,
)
from release.deposit.transport import Answer, Body, Transport

COMPLETED: Final = "completed"
PENDING: Final = "pending"
# The archive gives a known user no more at once, however much is asked for.
PAGE: Final = 100
# Nor does it search further than 10 000 documents.
_PAGES: Final = 100

# What every draft without files is told.
_NO_FILES: Final = "files.enabled: Missing uploaded files."
_REDIRECTS: Final = (301, 302, 307, 308)
_ID: Final = re.compile(r"[0-9A-Za-z-]+")


@dataclass(frozen=True)
class RemoteFile:
    """Say what the archive holds under a name.

    Attributes
    ----------
    key : str
        The name.
    status : str
        `COMPLETED`, or `PENDING` where bytes or their commit are missing.
    size : int
        Bytes; 0 while pending, whatever the archive says.
    md5 : str
        Digest that the archive computed; empty while pending.
    """

    key: str
    status: str
    size: int = 0
    md5: str = ""

    @property
    def completed(self) -> bool:
        """Whether the archive has all bytes."""
        return self.status == COMPLETED

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {"key": self.key, "status": self.status, "size": self.size, "md5": self.md5}


@dataclass(frozen=True)
class Record:
    """Say what the archive holds of one version, published or not.

    Attributes
    ----------
    id, parent_id : str
        Identifiers of the version, and of the family of all versions.
    revision : int
        Counts the changes of the record itself.
    published, latest : bool
        Whether it is public (also where this is a draft of changes to it), and whether no version
        is newer.
    doi, concept_doi : str or None
        As the archive says; the second one is made when the first version is published.
    title : str
    files : mapping of str to RemoteFile
        By name.
    document : mapping
        The whole answer.
    errors : tuple of str
        What the archive does not accept.
    next_draft : bool
        There is a draft of the next version, as the archive tells the owner only.
    created_s : float or None
        When it was made, by the clock of the archive, in seconds since 1970.
    """

    id: str
    parent_id: str
    revision: int
    published: bool
    latest: bool
    doi: str | None
    concept_doi: str | None
    title: str
    files: Mapping[str, RemoteFile]
    document: Mapping[str, Any] = field(repr=False)
    errors: tuple[str, ...] = ()
    next_draft: bool = False
    created_s: float | None = None


@dataclass(frozen=True)
class Listed:
    """Say what a list shows of a draft; of the drafts of others no more is asked than is needed.

    Attributes
    ----------
    id : str
    title : str
    doi : str or None
    published : bool
        It is a record, or a draft of changes to one.
    parent_id : str or None
        Identifier of the family of all versions.
    later : bool
        There was a version before.
    """

    id: str
    title: str
    doi: str | None
    published: bool
    parent_id: str | None = None
    later: bool = False


class Archive:
    """Ask one archive; a context manager that closes its connections.

    Parameters
    ----------
    transport : Transport
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.transport.close()

    @property
    def target(self) -> str:
        """Address of the archive."""
        return self.transport.target

    def anonymous(self) -> "Archive":
        """Give the archive as anybody sees it."""
        return Archive(self.transport.anonymous())

    def draft(self, record_id: str) -> Record | None:
        """Read a draft; None if there is none."""
        answer = self.transport.read(draft_path(record_id))
        return None if answer.status == 404 else _record(answer)

    def record(self, record_id: str) -> Record | None:
        """Read a published record; None if there is none."""
        answer = self.transport.read(f"{RECORDS}/{quote(record_id, safe='')}")
        return None if answer.status == 404 else _record(answer)

    def latest(self, record_id: str) -> Record | None:
        """Read the latest version of a record or of a whole family; None if nothing is public."""
        path = f"{RECORDS}/{quote(record_id, safe='')}"
        answer = self.transport.read(path, missing=(404, *_REDIRECTS))
        if answer.status == 404:
            return None
        if answer.status not in _REDIRECTS:
            record = _record(answer)
            if record.latest:
                return record
            answer = self.transport.read(f"{path}/versions/latest", missing=_REDIRECTS)
            if answer.status not in _REDIRECTS:
                return _record(answer)
        return self.record(self._redirected(answer))

    def _redirected(self, answer: Answer) -> str:
        """Take the record's id from a redirect; nothing else of it is believed."""
        path = urlsplit(answer.location).path
        record_id = path.removeprefix(f"{RECORDS}/")
        if record_id == path or _ID.fullmatch(record_id) is None:
            raise UnexpectedAnswerError(
                "the archive redirects to something that is no record",
                expected=f"{RECORDS}/ID",
                found=repr(answer.location),
                action="give the DOI of the latest version",
            )
        return record_id

    def drafts(self) -> tuple[Listed, ...]:
        """List this user's drafts, newest first. The list may lag behind by some seconds."""
        return self._own("q=is_published:false&", "drafts")

    def datasets(self) -> tuple[Listed, ...]:
        """List the newest state of whatever this user has, newest first; it may lag behind, too."""
        return self._own("", "records")

    def _own(self, which: str, what: str) -> tuple[Listed, ...]:
        found: list[Listed] = []
        query = f"{DRAFTS}?{which}size={PAGE}&sort=updated-desc"
        for page in range(1, _PAGES + 1):
            answer = self.transport.read(f"{query}&page={page}", missing=())
            hits = shape.fields(shape.fields(answer.document, "answer").get("hits"), "hits")
            rows = shape.rows(hits.get("hits"), "hits.hits")
            found += [_listed(row) for row in rows]
            if len(rows) < PAGE:
                return tuple(found)
        raise DepositError(
            f"there are more {what} than can be looked through",
            expected=f"fewer than {_PAGES * PAGE}",
            found=f"{len(found)} and more",
            action="discard in the browser those that nobody needs",
        )

    def files(self, record_id: str) -> dict[str, RemoteFile]:
        """List the files of a draft, with their states."""
        return _files(self.transport.read(files_path(record_id), missing=()))

    def published_files(self, record_id: str) -> dict[str, RemoteFile]:
        """List the files of a published record."""
        path = f"{RECORDS}/{quote(record_id, safe='')}/files"
        return _files(self.transport.read(path, missing=()))

    def file(self, record_id: str, key: str) -> RemoteFile | None:
        """Read the state of one file of a draft; None if there is none."""
        answer = self.transport.read(file_path(record_id, key))
        return None if answer.status == 404 else _single(answer)

    def create(self, document: Mapping[str, Any]) -> Record:
        """Make a draft."""
        return self._write(_record, "POST", RECORDS, document=document)

    def new_version(self, record_id: str) -> Record:
        """Make the draft of a new version, or give the one that there is."""
        return self._write(_record, "POST", f"{RECORDS}/{quote(record_id, safe='')}/versions")

    def reserve_doi(self, record_id: str) -> Record:
        """Reserve the DOI of a draft."""
        return self._write(_record, "POST", f"{draft_path(record_id)}/pids/doi")

    def put_draft(self, record_id: str, document: Mapping[str, Any], revision: int) -> Record:
        """Replace all metadata of a draft, unless it is of another revision by now."""
        headers = {"If-Match": str(revision)}
        path = draft_path(record_id)
        return self._write(_record, "PUT", path, document=document, headers=headers)

    def discard(self, record_id: str) -> None:
        """Throw a draft away."""
        self.transport.write("DELETE", draft_path(record_id))

    def import_files(self, record_id: str) -> dict[str, RemoteFile]:
        """Link all files of the version before into a draft without files; no bytes are sent."""
        path = f"{draft_path(record_id)}/actions/files-import"
        return self._write(_files, "POST", path, slow=True)

    def init(self, record_id: str, keys: Sequence[str]) -> dict[str, RemoteFile]:
        """Announce files; gives all files of the draft."""
        document = [{"key": key} for key in keys]
        return self._write(_files, "POST", files_path(record_id), document=document)

    def upload(self, record_id: str, key: str, body: Body) -> None:
        """Send the bytes of an announced file.

        Raises
        ------
        SpoiledUploadError
            If the archive says that it failed, whatever the status: the entry is gone then.
        """
        path = file_path(record_id, key, "content")
        errors = self._write(_errors, "PUT", path, body=body, slow=True)
        if errors:
            raise SpoiledUploadError(
                f"the archive answered PUT {path} with success, but with errors in it",
                found="; ".join(errors),
                action="type the same command again: it announces the file anew",
            )

    def commit(self, record_id: str, key: str) -> RemoteFile:
        """Finish a file; gives what the archive holds, which the caller has to compare."""
        return self._write(_single, "POST", file_path(record_id, key, "commit"), slow=True)

    def delete_file(self, record_id: str, key: str) -> None:
        """Take a file out of a draft."""
        if not is_addressable(key):
            raise ValueError(f"no request can name the file {key!r}")
        self.transport.write("DELETE", file_path(record_id, key))

    def publish(self, record_id: str) -> Record:
        """Make a draft public, for good."""
        path = f"{draft_path(record_id)}/actions/publish"
        return self._write(_record, "POST", path, slow=True)

    def _write[T](self, parse: Callable[[Answer], T], method: str, path: str, **more: Any) -> T:
        """Send what changes something; what is answered in no known form is an unknown outcome."""
        answer = self.transport.write(method, path, **more)
        try:
            return parse(answer)
        except UnexpectedAnswerError as error:
            cause = f"{answer.status}, {error.problem}: {error.found}"
            raise UnknownOutcomeError.of(f"{method} {path}", cause, answer.status) from error


def unexpected_errors(record: Record) -> tuple[str, ...]:
    """List what the archive does not accept in a draft, except that it has no files yet."""
    return tuple(error for error in record.errors if not error.startswith(_NO_FILES))


def _refuse_errors(document: Mapping[str, Any]) -> None:
    errors = messages(document)
    if errors:
        raise UnexpectedAnswerError("it carries errors", found="; ".join(errors))


def _errors(answer: Answer) -> tuple[str, ...]:
    return messages(shape.fields(answer.document, "answer"))


def _single(answer: Answer) -> RemoteFile:
    document = shape.fields(answer.document, "answer")
    _refuse_errors(document)
    return _file(document)


def _record(answer: Answer) -> Record:
    return _parse(answer.document)


def _parse(value: object) -> Record:
    document = shape.fields(value, "answer")
    parent = shape.fields(document.get("parent"), "parent")
    metadata = shape.fields(document.get("metadata", {}), "metadata")
    versions = shape.fields(document.get("versions", {}), "versions")
    title = metadata.get("title")
    return Record(
        id=shape.text(document, "id"),
        parent_id=shape.text(parent, "id"),
        revision=shape.number(document, "revision_id"),
        published=shape.flag(document, "is_published"),
        latest=shape.flag(versions, "is_latest"),
        doi=shape.doi(document),
        concept_doi=shape.doi(parent),
        title=title if isinstance(title, str) else "",
        files=MappingProxyType(_entries(shape.fields(document.get("files", {}), "files"))),
        document=MappingProxyType(dict(document)),
        errors=messages(document),
        next_draft=versions.get("is_latest") is True and versions.get("is_latest_draft") is False,
        created_s=shape.moment(document, "created"),
    )


def _listed(value: object) -> Listed:
    document = shape.fields(value, "hits.hits[]")
    title, doi = (shape.inner(document, path) for path in ("metadata.title", "pids.doi.identifier"))
    parent, index = (shape.inner(document, path) for path in ("parent.id", "versions.index"))
    return Listed(
        id=shape.text(document, "id"),
        title=title if isinstance(title, str) else "",
        doi=doi if isinstance(doi, str) and doi else None,
        published=shape.flag(document, "is_published"),
        parent_id=parent if isinstance(parent, str) else None,
        later=isinstance(index, int) and index > 1,
    )


def _files(answer: Answer) -> dict[str, RemoteFile]:
    document = shape.fields(answer.document, "answer")
    _refuse_errors(document)
    return _entries(document)


def _entries(document: Mapping[str, Any]) -> dict[str, RemoteFile]:
    if "entries" not in document:
        return {}
    files = [_file(row) for row in shape.entries(document)]
    return {file.key: file for file in files}


def _file(row: Mapping[str, Any]) -> RemoteFile:
    key = row.get("key")
    if not isinstance(key, str):
        raise shape.misshapen("key of a file", "a text", key)
    # In a record files have no status; those that are not complete have no checksum either. In a
    # list, what a pending file shows as size and checksum is what was promised, not what is there.
    status = row.get("status", COMPLETED if "checksum" in row else PENDING)
    if status != COMPLETED:
        return RemoteFile(key, PENDING)
    return RemoteFile(key, COMPLETED, shape.number(row, "size"), shape.md5(row.get("checksum")))
