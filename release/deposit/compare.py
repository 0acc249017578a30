"""Does the archive hold what was sent?

The archive expands what it is sent (names of people, titles of licences), so of metadata every
value that was sent has to be found again; of files name, size and md5 have to be equal.
"""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ard.sums import quote
from release.deposit.cargo import LocalFile
from release.deposit.records import Record, RemoteFile
from release.reservation import Reservation

_TAG: Final = re.compile(r"<[^>]*>")
# The archive cleans the HTML of these, so only what a reader sees is compared.
_HTML_FIELD: Final = "description"
_COMPARED: Final = ("metadata", "access", "custom_fields")


def metadata_differences(sent: Mapping[str, Any], record: Record) -> list[str]:
    """List the values that were sent and are not there."""
    parts = {name: sent[name] for name in _COMPARED if name in sent}
    return list(_missing(parts, {name: record.document.get(name) for name in parts}, ""))


def _missing(sent: object, found: object, where: str) -> Iterator[str]:
    if isinstance(sent, Mapping):
        if not isinstance(found, Mapping):
            yield f"{where}: sent {quote(dict(sent))}, found {quote(found)}"
            return
        for name, value in sent.items():
            yield from _missing(value, found.get(name), f"{where}.{name}" if where else name)
    elif isinstance(sent, list):
        if not isinstance(found, list) or len(found) != len(sent):
            yield f"{where}: sent {quote(sent)}, found {quote(found)}"
            return
        for number, value in enumerate(sent):
            yield from _missing(value, found[number], f"{where}.{number}")
    elif not _same(sent, found, where.rpartition(".")[2] == _HTML_FIELD):
        yield f"{where}: sent {quote(sent)}, found {quote(found)}"


def _same(sent: object, found: object, is_html: bool) -> bool:
    if isinstance(sent, str) and isinstance(found, str):
        return _plain(sent, is_html) == _plain(found, is_html)
    return sent == found


def _plain(text: str, is_html: bool) -> str:
    return " ".join((html.unescape(_TAG.sub(" ", text)) if is_html else text).split())


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
