"""What does the archive say about a record: which DOIs, which files with which sizes and md5?

All of it is untrusted until it agrees with the bundle's own manifest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeGuard
from urllib.parse import quote as percent

from ard import layout
from ard.errors import ArdError, FormatError, NotFoundError, RemoteError
from ard.fileio import parse_json
from ard.manifest import Manifest, is_doi
from ard.remote.address import Address
from ard.remote.client import Client, Reply
from ard.sums import Finding, is_md5, is_safe_name, quote, unsafe_name

# Without the first, Zenodo answers in the form of its old interface, which lacks half of this.
ACCEPT: Final = "application/vnd.inveniordm.v1+json, application/json;q=0.5"
# A record of 100 files has about 100 kB.
_LONGEST: Final = 1 << 23
_LISTS: Final = (layout.MANIFEST_FILE, layout.SUMS_FILE)
_NOTE: Final = 400
_IDENTIFIER: Final = re.compile(r"[0-9A-Za-z]+(?:-[0-9A-Za-z]+)*")


@dataclass(frozen=True)
class Listed:
    """Say what the archive lists about a file: size in bytes, and md5 in hexadecimal."""

    size: int
    md5: str


@dataclass(frozen=True)
class Record:
    """Hold what an archive says about one published version.

    Attributes
    ----------
    base : str
        The archive.
    id, doi : str
        Number and DOI (lower case) of the version.
    parent_id, concept_doi : str or None
        Number and DOI of the family of all versions.
    index : int
        Which version it is, counted from 1; 0 where the archive does not say.
    files : mapping of str to Listed
        The files; a name is not to be trusted as a path.
    """

    base: str
    id: str
    doi: str
    parent_id: str | None
    concept_doi: str | None
    index: int
    files: Mapping[str, Listed]

    def url(self, name: str) -> str:
        """Give the address of a file's bytes; made here, so that no link can lead elsewhere."""
        return f"{self.base}/api/records/{self.id}/files/{percent(name, safe='')}/content"

    def to_dict(self) -> dict[str, Any]:
        """Give what is worth keeping of the archive's answer, in the archive's own form."""
        return {
            "id": self.id,
            "pids": {"doi": {"identifier": self.doi}},
            "parent": {"id": self.parent_id, "pids": {"doi": {"identifier": self.concept_doi}}},
            "versions": {"index": self.index},
            "files": {
                "enabled": True,
                "entries": {
                    name: {"size": file.size, "checksum": f"md5:{file.md5}"}
                    for name, file in self.files.items()
                },
            },
        }


def fetch_record(client: Client, address: Address) -> Record:
    """Ask the archive which record an address means, and what is in it.

    Raises
    ------
    NotFoundError
        If there is no such record, or it was withdrawn.
    RemoteError
        If it is restricted, or the answer cannot be used.
    FormatError
        If it is no bundle.
    """
    url = f"{address.base}/api/records/{address.id}"
    document = client.persist(str(address), lambda: _ask(client, url, address))
    record = parse_record(document, address)
    if address.id not in (record.id, record.parent_id):
        raise RemoteError(
            "the archive answers with another record",
            file=str(address),
            expected=address.id,
            found=record.id,
        )
    return record


def _ask(client: Client, url: str, address: Address) -> dict[str, Any]:
    with client.get(url, {"Accept": ACCEPT}, stay=True) as reply:
        body = reply.all(_LONGEST)
        try:
            document = parse_json(body)
        except ValueError:
            document = None
        answer = document if isinstance(document, dict) else {}
        if reply.status != 200:
            raise _refusal(reply.status, answer, address)
        if not answer:
            raise _no_record(reply, body)
        return answer


def _refusal(status: int, answer: Mapping[str, Any], address: Address) -> ArdError:
    message = quote(answer.get("message", ""))
    if status == 404:
        return NotFoundError(
            "the archive has no published record of this number",
            file=str(address),
            found=message,
            action="check the DOI; a draft is not public yet, and a test DOI lives in the sandbox",
        )
    if status == 410:
        return NotFoundError(
            "the record was withdrawn",
            file=str(address),
            found=_tombstone(answer),
            action="ask its authors; with offline=True a copy in the cache can still be opened",
        )
    if status in (401, 403):
        return _restricted(address, message)
    return RemoteError(
        "the archive gives an unexpected answer",
        file=str(address),
        expected="HTTP status 200",
        found=f"{status} {message}",
        action="try again later",
    )


def _restricted(address: Address, found: str) -> RemoteError:
    return RemoteError(
        "the record is not open to everybody",
        file=str(address),
        expected="a public record with public files",
        found=found,
        action="ask its authors for the bundle, and open the folder",
    )


def _tombstone(answer: Mapping[str, Any]) -> str:
    """Say why and when a record was withdrawn."""
    stone = answer.get("tombstone")
    rows = [
        ("reason", _at(stone, "removal_reason", "id")),
        ("on", str(_at(stone, "removal_date") or "")[:10]),
        ("note", _at(stone, "note")),
        ("was", _at(stone, "citation_text")),
    ]
    return "; ".join(f"{label} {_plain(value)}" for label, value in rows if value) or "no reason"


def _plain(value: object) -> str:
    text = ascii(str(value))[1:-1]
    return text if len(text) <= _NOTE else text[: _NOTE - 3] + "..."


def _no_record(reply: Reply, body: bytes) -> RemoteError:
    kind = reply.headers.get("Content-Type", "no content type")
    return RemoteError(
        "the archive answers with a page, not with a record",
        file=reply.url,
        expected="a JSON object",
        found=f"{quote(kind)}: {quote(body[:80])}",
        action="open the address in a browser: it may be down, or a login page in the way",
    )


def _at(document: object, *names: str) -> Any:
    """Give what lies at the end of a path of names; None where anything is missing."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def parse_record(document: Mapping[str, Any], address: Address) -> Record:
    """Read the archive's description of a record.

    Raises
    ------
    RemoteError
        If it has another form, or the files are restricted.
    FormatError
        If it has no files, or not those of a bundle.
    """
    doi, concept = _at(document, "pids", "doi", "identifier"), _at(document, "parent", "id")
    identifier, index = document.get("id"), _at(document, "versions", "index")
    # The cache names a folder after it, so what leads out of a folder is no identifier.
    if not _is_identifier(identifier) or not is_doi(doi):
        found = f"{quote(identifier)} and {quote(doi)}"
        raise _misfit(address, "id and pids.doi.identifier", found)
    if _at(document, "access", "files") == "restricted":
        until = _at(document, "access", "embargo", "until")
        raise _restricted(address, f"restricted files{f' until {_plain(until)}' if until else ''}")
    concept_doi = _at(document, "parent", "pids", "doi", "identifier")
    return Record(
        base=address.base,
        id=identifier,
        doi=doi.lower(),
        parent_id=concept if isinstance(concept, str) else None,
        concept_doi=concept_doi.lower() if is_doi(concept_doi) else None,
        index=index if isinstance(index, int) else 0,
        files=MappingProxyType(_files(document, address)),
    )


def _is_identifier(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def _files(document: Mapping[str, Any], address: Address) -> dict[str, Listed]:
    entries = _at(document, "files", "entries")
    if not isinstance(entries, dict):
        raise _misfit(address, "files.entries", quote(document.get("files")))
    files = {}
    for name, entry in entries.items():
        size, checksum = _at(entry, "size"), _at(entry, "checksum")
        kind, _, md5 = checksum.partition(":") if isinstance(checksum, str) else ("", "", "")
        if type(size) is not int or size < 0 or kind != "md5" or not is_md5(md5):
            raise _misfit(address, "size and md5 of each file", f"{quote(name)}: {quote(entry)}")
        files[name] = Listed(size, md5)
    missing = [name for name in _LISTS if name not in files]
    if missing:
        raise FormatError(
            "the record is no bundle of rbh1-ard",
            file=str(address),
            expected="the files " + " and ".join(_LISTS),
            found=f"{len(files)} files, without " + " and ".join(missing),
            action="check the DOI",
        )
    return files


def _misfit(address: Address, expected: str, found: str) -> RemoteError:
    return RemoteError(
        "the archive describes the record in a form that is not understood",
        file=str(address),
        expected=expected,
        found=found,
        action="a newer rbh1-ard may know this form",
    )


def record_findings(record: Record, manifest: Manifest, address: Address) -> list[Finding]:
    """Report which DOIs, md5 and names of a record are not those of a bundle.

    That the files are the same, and of the same sizes, `ard.integrity.listing_findings` tells.

    Parameters
    ----------
    record : Record
        What the archive says.
    manifest : Manifest
        What the bundle says.
    address : Address
        What was asked for.
    """
    findings = _identity(record, manifest, address)
    findings += [unsafe_name("the record", name) for name in record.files if not is_safe_name(name)]
    for entry in manifest.entries:
        listed = record.files.get(entry.name)
        if listed is not None and listed.md5 != entry.md5:
            problem = "md5 differs in the record"
            findings.append(Finding(entry.name, problem, entry.md5, listed.md5))
    return findings


def _identity(record: Record, manifest: Manifest, address: Address) -> list[Finding]:
    """Compare the DOIs of bundle, record and question."""
    rows = [
        ("the DOI of the bundle is not that of the record", record.doi, manifest.doi),
        ("the concept DOI is not that of the record", record.concept_doi, manifest.concept_doi),
    ]
    findings = [
        Finding(layout.MANIFEST_FILE, problem, expected or "none", found or "none")
        for problem, expected, found in rows
        if (found or "").lower() != (expected or "")
    ]
    if address.doi not in (None, record.doi, record.concept_doi):
        problem = "the record does not bear the DOI that was asked for"
        findings.append(Finding(layout.MANIFEST_FILE, problem, str(address.doi), record.doi))
    return findings
