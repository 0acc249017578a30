"""Does the archive hold what was sent?

The archive expands what it is sent (names of people, titles of licences), so of metadata every
value that was sent has to be found again, and nothing else but what it is known to add; of files
name, size and md5 have to be equal.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any, Final

from ard.errors import IntegrityError
from ard.sums import quote
from release.deposit.cargo import Cargo, LocalFile
from release.deposit.records import Record, RemoteFile, unexpected_errors
from release.reservation import Reservation

# The archive cleans the HTML of these, so only what a reader sees is compared.
_HTML_FIELD: Final = "description"
# What is compared, and what the archive makes of it where nothing is sent.
_COMPARED: Final[Mapping[str, Mapping[str, Any]]] = {
    "metadata": {},
    "access": {"record": "public", "files": "public"},
    "custom_fields": {},
}
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})


def metadata_differences(sent: Mapping[str, Any], record: Record) -> list[str]:
    """List the values that were sent and are not there, or are there and were not sent."""
    rows: list[str] = []
    for name, unsent in _COMPARED.items():
        found = record.document.get(name)
        if name in sent or found is not None:
            value = sent.get(name, {})
            rows += _differing(
                {**unsent, **value} if isinstance(value, dict) else value, found, name
            )
    return rows


def _differing(sent: object, found: object, where: str) -> Iterator[str]:
    if isinstance(sent, Mapping):
        if not isinstance(found, Mapping):
            yield f"{where}: sent {quote(dict(sent))}, found {quote(found)}"
            return
        for name, value in sent.items():
            yield from _differing(value, found.get(name), f"{where}.{name}")
        for name, value in found.items():
            if name not in sent and value not in _EMPTY and not _is_added(name, value, sent, where):
                yield f"{where}.{name}: not sent, found {quote(value)}"
    elif isinstance(sent, list):
        if not isinstance(found, list) or len(found) != len(sent):
            yield f"{where}: sent {quote(sent)}, found {quote(found)}"
            return
        for number, value in enumerate(sent):
            yield from _differing(value, found[number], f"{where}.{number}")
    elif not _same(sent, found, where.rpartition(".")[2] == _HTML_FIELD):
        yield f"{where}: sent {quote(sent)}, found {quote(found)}"


def _is_added(name: str, value: object, sent: Mapping[str, Any], where: str) -> bool:
    """Tell whether the archive itself adds a member to what it was sent."""
    if where == "access":
        # Who may read follows from record and files, unless there is an embargo.
        inactive = isinstance(value, dict) and value.get("active") is False
        return name == "status" or (name == "embargo" and inactive)
    # An id of a vocabulary is shown with all that the vocabulary says of it.
    return (
        "id" in sent
        or (name == "name" and "family_name" in sent)
        or (name == "scheme" and "identifier" in sent)
    )


def _same(sent: object, found: object, is_html: bool) -> bool:
    if isinstance(sent, str) and isinstance(found, str):
        if is_html:
            return _seen(sent) == _seen(found)
        return sent.split() == found.split()
    return sent == found


class _Page(HTMLParser):
    """What the reader of a text meets: its words, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.words += data.split()


def _seen(text: str) -> tuple[list[str], list[str | None]]:
    page = _Page()
    page.feed(text)
    page.close()
    return page.words, page.links


def file_differences(
    expected: Mapping[str, LocalFile], found: Mapping[str, RemoteFile]
) -> list[str]:
    """List the files that are missing, surplus, incomplete or different."""
    rows = [f"{name}: is missing" for name in expected if name not in found]
    rows += [f"{quote(name)}: is surplus" for name in found if name not in expected]
    for name, file in expected.items():
        remote = found.get(name)
        if remote is not None and not is_same(file, remote):
            what = f"{remote.size} bytes, md5 {remote.md5}" if remote.completed else remote.status
            rows.append(f"{name}: expected {file.size} bytes, md5 {file.md5}, found {what}")
    return sorted(rows)


def files_digest(found: Mapping[str, RemoteFile]) -> str:
    """Give one sum over name, state, size and md5 of all files that an archive holds."""
    rows = [found[name].to_dict() for name in sorted(found)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def is_same(file: LocalFile, remote: RemoteFile) -> bool:
    """Tell whether the archive holds all bytes of a file, and these."""
    return remote.completed and (remote.size, remote.md5) == (file.size, file.md5)


def identity_differences(reservation: Reservation, record: Record) -> list[str]:
    """List where a record is not the reserved one."""
    rows = [
        ("record", reservation.record_id, record.id),
        ("family of versions", reservation.parent_id, record.parent_id),
        ("DOI", reservation.doi, record.doi),
    ]
    if record.published or record.concept_doi is not None:
        # The archive shows the concept DOI when the first version is public.
        rows.append(("concept DOI", reservation.concept_doi, record.concept_doi))
    return [
        f"{what}: reserved {want}, found {found}" for what, want, found in rows if want != found
    ]


def require_held(cargo: Cargo, draft: Record) -> None:
    """Require that a draft has the metadata of the bundle and every file of it, and no others.

    Raises
    ------
    IntegrityError
    """
    differences = [
        *unexpected_errors(draft),
        *metadata_differences(cargo.record, draft),
        *file_differences(cargo.files, draft.files),
    ]
    if differences:
        raise IntegrityError(
            "the draft does not hold the bundle",
            file=cargo.folder,
            expected="its metadata, every file with its md5 and size, and no others",
            found="".join(f"\n    {row}" for row in differences),
            action="make a new plan",
        )
