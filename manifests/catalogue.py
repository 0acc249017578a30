"""In which words does a catalogue speak of a dataset, of those who made it, and of what it is near?

The words are those of DataCite 4.5 which InvenioRDM knows too: in lower case they are its ids.
"""

import datetime
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

RELATIONS: Final = (
    "Cites",
    "IsSupplementTo",
    "IsDescribedBy",
    "IsDocumentedBy",
    "IsCompiledBy",
    "IsDerivedFrom",
    "IsPartOf",
    "References",
)
ROLES: Final = (
    "ContactPerson",
    "DataCollector",
    "DataCurator",
    "DataManager",
    "Producer",
    "ProjectLeader",
    "ProjectMember",
    "Researcher",
    "Sponsor",
    "Supervisor",
    "Other",
)
RESOURCE_TYPES: Final = ("Dataset", "JournalArticle", "Preprint", "Software")
# Each scheme of identifiers with the form that its identifiers have.
SCHEMES: Final[Mapping[str, str]] = {
    "DOI": r"10\.[0-9]{4,9}/\S+",
    "arXiv": r"arXiv:[0-9]{4}\.[0-9]{4,5}",
    "URL": r"https?://\S+",
}
EVENTS: Final = ("Collected", "Created", "Updated")
ANY: Final = "any"
OBSERVED: Final = "observed"
SIMULATED: Final = "simulated"

_DAY: Final = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")
_ORCID: Final = re.compile(r"([0-9]{4}-){3}[0-9]{3}[0-9X]")
_ROR: Final = re.compile(r"0[a-z0-9]{6}[0-9]{2}")
# Control characters, surrogates, and what ends a line or a paragraph.
_NOT_IN_A_LINE: Final = ("Cc", "Cs", "Zl", "Zp")


@dataclass(frozen=True)
class Scope:
    """Say for which runs a row holds.

    Attributes
    ----------
    targets : tuple of str
        Item names of targets; empty for all.
    data : str
        any, observed or simulated.
    """

    targets: tuple[str, ...] = ()
    data: str = ANY

    def covers(self, item: str | None, simulated: bool) -> bool:
        """Say whether a run on this target, simulated or not, is meant."""
        kind = SIMULATED if simulated else OBSERVED
        return self.data in (ANY, kind) and (not self.targets or item in self.targets)


@dataclass(frozen=True)
class Agent:
    """A person, or a group or organisation.

    Attributes
    ----------
    name : str
        As it is written in a list: ``Family, Given`` for a person.
    family_name, given_name, orcid : str or None
        Of a person.
    affiliations : tuple of str
        Of a person.
    """

    name: str
    family_name: str | None = None
    given_name: str | None = None
    orcid: str | None = None
    affiliations: tuple[str, ...] = ()

    @property
    def is_person(self) -> bool:
        """True for a person, False for a group or organisation."""
        return self.family_name is not None


@dataclass(frozen=True)
class Contributor:
    """Somebody who took part and is not cited, in one of `ROLES`."""

    agent: Agent
    role: str
    scope: Scope = Scope()


@dataclass(frozen=True)
class Related:
    """Something that the dataset stands in a relation to.

    Attributes
    ----------
    relation, scheme, resource_type : str
        Of `RELATIONS`, `SCHEMES` and `RESOURCE_TYPES`.
    identifier : str
        Of the other thing.
    scope : Scope
        The runs for which this holds.
    """

    relation: str
    scheme: str
    identifier: str
    resource_type: str
    scope: Scope = Scope()

    @property
    def url(self) -> str:
        """Where the other thing is found."""
        if self.scheme == "DOI":
            return f"https://doi.org/{self.identifier}"
        if self.scheme == "arXiv":
            return f"https://arxiv.org/abs/{self.identifier.removeprefix('arXiv:')}"
        return self.identifier


@dataclass(frozen=True)
class Event:
    """When something of `EVENTS` happened: a day, month or year, or two of them with a slash."""

    kind: str
    date: str
    scope: Scope = Scope()


@dataclass(frozen=True)
class Grant:
    """Who paid: the funder, its ROR identifier, and number and title of the award, or neither."""

    funder: str
    ror: str | None = None
    number: str | None = None
    title: str | None = None


def is_line(text: str) -> bool:
    """Say whether a text is one line, without blanks around it or anything that cannot be seen."""
    hidden = any(unicodedata.category(letter) in _NOT_IN_A_LINE for letter in text)
    return bool(text) and text == text.strip() and not hidden


def is_period(text: str) -> bool:
    """Say whether a text is a day, month or year, or two of them with a slash (EDTF level 0)."""
    ends = text.split("/")
    return len(ends) <= 2 and all(map(_is_day, ends)) and ends == sorted(ends)


def _is_day(text: str) -> bool:
    """Say whether a calendar has this day, or the first day of this month or year."""
    if not _DAY.fullmatch(text):
        return False
    year, month, day = (*map(int, text.split("-")), 1, 1)[:3]
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True


def is_ror(text: str) -> bool:
    """Say whether a text has the form of a ROR identifier, without its address."""
    return _ROR.fullmatch(text) is not None


def is_orcid(text: str) -> bool:
    """Say whether a text is an ORCID, whose last sign is a checksum (ISO 7064, MOD 11-2)."""
    if not _ORCID.fullmatch(text):
        return False
    *digits, last = list(text.replace("-", ""))
    total = 0
    for digit in digits:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    return last == ("X" if check == 10 else str(check))
