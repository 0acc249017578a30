"""What is the released dataset called, who made it, and under which licence?"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Final

from manifests._toml import Section, read_toml
from manifests.catalogue import (
    ANY,
    EVENTS,
    OBSERVED,
    RELATIONS,
    RESOURCE_TYPES,
    ROLES,
    SCHEMES,
    SIMULATED,
    Agent,
    Contributor,
    Event,
    Grant,
    Related,
    Scope,
    is_line,
    is_orcid,
    is_period,
    is_ror,
)

DATASET_FILE: Final = Path(__file__).parent / "dataset.toml"
# The answers of the dataset card that no run computes. Where they depend on whether the data were
# observed or simulated, there are two.
CARD_FIELDS: Final = (
    "purpose",
    "structure",
    "labels_observed",
    "labels_simulated",
    "gaps",
    "relations",
    "splits",
    "coverage_observed",
    "coverage_simulated",
    "noise_and_errors",
    "self_contained",
    "confidential",
    "offensive",
    "people",
    "collection_observed",
    "collection_simulated",
    "procedures_observed",
    "procedures_simulated",
    "sampling_observed",
    "sampling_simulated",
    "workers_observed",
    "workers_simulated",
    "timeframe_observed",
    "timeframe_simulated",
    "ethics",
    "preprocessing",
    "raw_observed",
    "raw_simulated",
    "used_already",
    "uses",
    "risks",
    "not_for",
    "recipients",
    "distribution",
    "release_day",
    "third_parties",
    "regulation",
    "errata",
    "maintenance",
    "older_versions",
    "contributions",
)


@dataclass(frozen=True)
class Licence:
    """A licence: its SPDX identifier, its name and its address."""

    spdx: str
    name: str
    url: str


@dataclass(frozen=True)
class Language:
    """The language of the texts, as BCP 47 tag (``en``) and as ISO 639-3 code (``eng``)."""

    tag: str
    iso639_3: str


@dataclass(frozen=True)
class Software:
    """The distribution that makes the data, its licence (SPDX), and its DOI where it has one."""

    name: str
    licence: str
    doi: str | None


@dataclass(frozen=True)
class Archive:
    """The archive of the observations: its name, and the address before a file's own name."""

    name: str
    download: str


@dataclass(frozen=True)
class Reference:
    """A publication that the dataset refers to, for the targets (item names) it is about."""

    targets: tuple[str, ...]
    kind: str
    authors: str
    title: str
    journal: str
    doi: str


@dataclass(frozen=True)
class Dataset:
    """What a deposit says about the dataset as a whole.

    Attributes
    ----------
    name, publisher, publisher_url : str
        Short name of the dataset, and who publishes it, with the address.
    title, abstract : str
        With ``{target}`` where the name of the target goes.
    keywords : tuple of str
        For the catalogue.
    language : Language
        Of the texts.
    licence : Licence
        Of the data.
    software : Software
        What makes the data.
    archive : Archive
        Where observations come from.
    creators : tuple of Agent
        Who is to be cited.
    references : tuple of Reference
        Publications.
    card : mapping of str to str
        Answers of the dataset card, by the names of `CARD_FIELDS`.
    contributors, related, events, grants : tuple
        Who else took part, what else it stands in relation to, when, and who paid.
    """

    name: str
    publisher: str
    publisher_url: str
    title: str
    abstract: str
    keywords: tuple[str, ...]
    language: Language
    licence: Licence
    software: Software
    archive: Archive
    creators: tuple[Agent, ...]
    references: tuple[Reference, ...]
    card: Mapping[str, str]
    contributors: tuple[Contributor, ...] = ()
    related: tuple[Related, ...] = ()
    events: tuple[Event, ...] = ()
    grants: tuple[Grant, ...] = ()

    @property
    def authors(self) -> tuple[str, ...]:
        """Names of those who are to be cited."""
        return tuple(agent.name for agent in self.creators)


def load_dataset(path: str | PathLike[str] | None = None) -> Dataset:
    """Read the declaration of the dataset.

    Parameters
    ----------
    path : path-like, optional
        A TOML file; the study's own by default.

    Raises
    ------
    ManifestError
        If a field is missing, unknown, empty or not of the form it should have.
    """
    file = DATASET_FILE if path is None else Path(path)
    root = Section(read_toml(file), "", file)
    tables = ("authors", "contributors", "references", "related", "events", "grants")
    root.only("dataset", "card", *tables)
    dataset, card = root.table("dataset"), root.table("card")
    texts = ("name", "publisher", "publisher_url", "title", "abstract")
    dataset.only(*texts, "keywords", "language", "licence", "software", "archive")
    card.only(*CARD_FIELDS)
    rows = {name: root.tables(name) for name in tables}
    creators = tuple(map(_agent, rows["authors"]))
    if not creators:
        raise root.error("the dataset has no author", "[[authors]]", "none")
    if len({agent.name for agent in creators}) < len(creators):
        raise root.error("an author is named twice", "each once", [a.name for a in creators])
    licence, software = dataset.table("licence"), dataset.table("software")
    language, archive = dataset.table("language"), dataset.table("archive")
    return Dataset(
        **{name: _line(dataset, name) for name in texts},
        keywords=_lines(dataset, "keywords"),
        language=Language(language.text("tag"), language.text("iso639_3")),
        licence=Licence(licence.text("spdx"), licence.text("name"), licence.text("url")),
        software=Software(
            software.text("name"), software.text("licence"), _matching(software, "doi", "DOI")
        ),
        archive=Archive(archive.text("name"), archive.text("download")),
        creators=creators,
        references=tuple(map(_reference, rows["references"])),
        card={name: card.text(name) for name in CARD_FIELDS},
        contributors=tuple(map(_contributor, rows["contributors"])),
        related=tuple(map(_related, rows["related"])),
        events=tuple(map(_event, rows["events"])),
        grants=tuple(map(_grant, rows["grants"])),
    )


def _agent(row: Section, *more: str) -> Agent:
    """Read a person (family_name, given_name, ...) or a group (name)."""
    if "name" in row.data:
        row.only("name", *more)
        return Agent(_line(row, "name"))
    row.only("family_name", "given_name", "orcid", "affiliations", *more)
    family = _line(row, "family_name")
    given = _line(row, "given_name") if "given_name" in row.data else None
    orcid = row.text_or_none("orcid")
    if orcid is not None and not is_orcid(orcid):
        raise row.error("this is no ORCID", "0000-0002-1825-0097, its checksum right", orcid)
    affiliations = _lines(row, "affiliations") if "affiliations" in row.data else ()
    name = family if given is None else f"{family}, {given}"
    return Agent(name, family, given, orcid, affiliations)


def _contributor(row: Section) -> Contributor:
    agent = _agent(row, "role", "targets", "data")
    return Contributor(agent, row.choice("role", ROLES), _scope(row))


def _related(row: Section) -> Related:
    row.only("relation", "scheme", "identifier", "resource_type", "targets", "data")
    scheme = row.choice("scheme", tuple(SCHEMES))
    return Related(
        row.choice("relation", RELATIONS),
        scheme,
        str(_matching(row, "identifier", scheme, required=True)),
        row.choice("resource_type", RESOURCE_TYPES),
        _scope(row),
    )


def _event(row: Section) -> Event:
    row.only("kind", "date", "source", "targets", "data")
    row.text("source")
    date = row.text("date")
    if not is_period(date):
        raise row.error("this is no date", "YYYY-MM-DD, or two of them with a slash", date)
    return Event(row.choice("kind", EVENTS), date, _scope(row))


def _grant(row: Section) -> Grant:
    row.only("funder", "ror", "number", "title")
    ror = row.text_or_none("ror")
    if ror is not None and not is_ror(ror):
        raise row.error("this is no ROR identifier", "nine signs, as 01ggx4157", ror)
    number, title = row.text_or_none("number"), row.text_or_none("title")
    if (number is None) != (title is None):
        raise row.error("an award has number and title", "both or neither", f"{number}, {title}")
    return Grant(_line(row, "funder"), ror, number, title)


def _scope(row: Section) -> Scope:
    targets = _lines(row, "targets") if "targets" in row.data else ()
    data = row.choice("data", (ANY, OBSERVED, SIMULATED)) if "data" in row.data else ANY
    return Scope(targets, data)


def _reference(row: Section) -> Reference:
    row.only("targets", "kind", "authors", "title", "journal", "doi")
    return Reference(
        _lines(row, "targets"),
        row.text("kind"),
        row.text("authors"),
        row.text("title"),
        row.text("journal"),
        doi=str(_matching(row, "doi", "DOI", required=True)),
    )


def _matching(row: Section, name: str, scheme: str, *, required: bool = False) -> str | None:
    """Give an identifier that has the form of its scheme."""
    text = row.text(name) if required else row.text_or_none(name)
    if text is not None and not re.fullmatch(SCHEMES[scheme], text):
        raise row.error(f"'{name}' is no {scheme}", SCHEMES[scheme], text)
    return text


def _line(row: Section, name: str) -> str:
    text = row.text(name)
    if not is_line(text):
        raise row.error(f"'{name}' must be one line", "no line break, no blank around", repr(text))
    return text


def _lines(section: Section, name: str) -> tuple[str, ...]:
    value = section.data.get(name)
    if not isinstance(value, list) or not all(
        isinstance(row, str) and is_line(row) for row in value
    ):
        raise section.error(f"'{name}' must be a list of texts", "a list of texts", repr(value))
    return tuple(value)
