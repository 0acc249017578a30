"""Which record does a name mean, and which DOIs follow from it?"""

import re
from typing import Final

from ard.manifest import is_doi
from ard.sums import quote
from release.deposit.errors import DepositError, UnexpectedAnswerError
from release.deposit.records import Archive, Record
from release.model import RefusedError

_ZENODO_DOI: Final = re.compile(r"10\.\d{4,9}/zenodo\.(\d+)")
_ID: Final = re.compile(r"[0-9A-Za-z-]+")


def record_id_of(text: str) -> str:
    """Give the record's identifier in a DOI, or the identifier itself.

    Raises
    ------
    DepositError
        If it is neither.
    """
    found = _ZENODO_DOI.fullmatch(text)
    if found:
        return found[1]
    if is_doi(text):
        tail = text.rpartition("/")[2]
        if _ID.fullmatch(tail):
            return tail
    elif _ID.fullmatch(text):
        return text
    raise DepositError(
        "this names no record",
        expected="a DOI such as 10.5281/zenodo.123, or the number alone",
        found=quote(text),
        action="give the DOI without https://doi.org/",
    )


def concept_doi_of(record: Record, doi: str) -> str:
    """Give the DOI of all versions, which the archive makes of the family as it makes the other.

    Raises
    ------
    UnexpectedAnswerError
        If the DOI does not end with the record's identifier, so that nothing can be derived.
    """
    stem = doi.removesuffix(record.id)
    if not is_doi(doi) or stem == doi or stem[-1] not in "./":
        raise UnexpectedAnswerError(
            "the reserved DOI is not made from the record's identifier",
            expected=f"a DOI that ends with {record.id}",
            found=quote(doi),
            action="this archive names its DOIs in another way; it cannot be used",
        )
    concept = stem + record.parent_id
    if record.concept_doi not in (None, concept):
        raise UnexpectedAnswerError(
            "the DOI of the whole dataset is not the one that was to be expected",
            expected=concept,
            found=record.concept_doi,
        )
    return concept


def previous_version(archive: Archive, name: str) -> Record:
    """Read the version before, and make sure that it is the latest one.

    Raises
    ------
    RefusedError
        If there is no such record, or it is not the latest version of its family.
    DepositError
        If `name` is neither a DOI nor an identifier.
    """
    wanted = record_id_of(name)
    latest = archive.latest(wanted)
    if latest is None:
        raise RefusedError(
            "nothing is reserved", (f"{archive.target} has no published record {wanted}",)
        )
    if wanted not in (latest.id, latest.parent_id):
        raise RefusedError(
            "nothing is reserved",
            (f"{name} is not the latest version: that is {latest.doi}",),
            f"give --new-version-of {latest.doi}, and compare with that one",
        )
    if is_doi(name) and name not in (latest.doi, latest.concept_doi):
        raise RefusedError(
            "nothing is reserved",
            (f"record {wanted} of {archive.target} has the DOI {latest.doi}, not {name}",),
            "check --target: numbers of sandbox and zenodo are not the same",
        )
    return latest
