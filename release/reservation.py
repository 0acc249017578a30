"""Which identifiers has the archive promised to the next bundle?

`release.json` is written by `rbh1-release reserve` and read by everything that follows: the bundle
bears its DOIs, and nothing is deposited anywhere else than where they were reserved.
"""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

from ard.errors import FormatError
from ard.fileio import read_json, write_json
from ard.manifest import Manifest
from ard.remote.address import ARCHIVES
from schemas import validate

SCHEMA: Final = "reservation"


@dataclass(frozen=True)
class Reservation:
    """Hold what was reserved for one version.

    Attributes
    ----------
    target : str
        Address of the archive, without a path: ``https://sandbox.zenodo.org``.
    record_id, parent_id : str
        Identifiers of the draft, and of the family of all versions.
    doi, concept_doi : str
        DOI of this version, and of all versions.
    previous_id, previous_doi : str or None
        Record and DOI of the version before; None for the first.
    """

    target: str
    record_id: str
    parent_id: str
    doi: str
    concept_doi: str
    previous_id: str | None = None
    previous_doi: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "schema": SCHEMA,
            "target": self.target,
            "record_id": self.record_id,
            "parent_id": self.parent_id,
            "doi": self.doi,
            "concept_doi": self.concept_doi,
            "previous_id": self.previous_id,
            "previous_doi": self.previous_doi,
        }


def read_reservation(path: str | PathLike[str]) -> Reservation:
    """Read `release.json`.

    Raises
    ------
    NotFoundError, FormatError
        If there is no such file, or it is no reservation.
    """
    document = read_json(path)
    problems = validate(document, SCHEMA)
    if problems:
        raise FormatError(
            "this is no reservation",
            file=path,
            expected="the file that rbh1-release reserve writes",
            found="; ".join(map(str, problems)),
            action="give that file, or reserve anew",
        )
    return Reservation(**{name: value for name, value in document.items() if name != "schema"})


def write_reservation(path: str | PathLike[str], reservation: Reservation) -> None:
    """Write `release.json`; an existing one is never replaced."""
    write_json(Path(path), reservation.to_dict())


def reserved(manifest: Manifest) -> Reservation | None:
    """Give what a bundle was built with, as far as its DOIs tell: no file says where they are from.

    The archive follows from the prefix of the DOI, the number of the record from its end.
    """
    if manifest.doi is None or manifest.concept_doi is None:
        return None
    return Reservation(
        target=ARCHIVES.get(manifest.doi.partition("/")[0], ""),
        record_id=_number(manifest.doi),
        parent_id=_number(manifest.concept_doi),
        doi=manifest.doi,
        concept_doi=manifest.concept_doi,
        previous_id=None if manifest.previous_doi is None else _number(manifest.previous_doi),
        previous_doi=manifest.previous_doi,
    )


def _number(doi: str) -> str:
    return doi.rpartition(".")[2]
