"""What does the world learn about a bundle: the one model from which every paper is rendered?

A paper for a catalogue, a person or a machine says the same as all others, because each is written
from this record.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from ard import layout
from ard.bundle import human_size
from ard.table import read_ecsv
from manifests.catalogue import Agent, Contributor, Event, Grant, Related
from manifests.dataset import Language, Licence, Reference
from release.counting import count
from release.model import Plan, Release
from release.reservation import Reservation

NOT_RESERVED: Final = "not yet reserved"
RESOLVER: Final = "https://doi.org/"
SIMULATED: Final = "simulated"
# The column of a table of archived files that names each.
SOURCE_URI: Final = "uri"


@dataclass(frozen=True)
class Notice:
    """Something that nobody may overlook: a word or two, and what follows from it."""

    head: str
    text: str


_SIMULATED: Final = Notice(
    "SIMULATED DATA.",
    "Everything in this bundle comes from a simulator with a declared truth, not from a telescope. "
    "Do not use it as an observation.",
)
_TOY_GRID: Final = Notice(
    "TOY GRID.",
    "A coarse stand-in took the place of the grid of shock models. Do not use results that depend "
    "on it.",
)


@dataclass(frozen=True)
class Waived:
    """A check that did not pass and that a person has accepted: why, who, and until when."""

    check: str
    product: str
    status: str
    detail: str
    reason: str
    author: str
    expires: str

    @property
    def sentence(self) -> str:
        """All of it in plain words."""
        return (
            f"{self.check} on {self.product}: {self.status}. {self.detail} "
            f"Accepted by {self.author} until {self.expires}, because: {self.reason}"
        )


@dataclass(frozen=True)
class Record:
    """Hold what is published about one version of the dataset.

    Attributes
    ----------
    title, abstract, methods, technical : str
        Plain text; title and abstract bear the mark of simulated data.
    notices : tuple of Notice
        What nobody may overlook.
    creators, contributors : tuple
        Who is cited, and who else took part.
    publisher, publisher_url : str
        Who publishes it, and where.
    version : str
        Of the data.
    date : str or None
        Day of release, ISO 8601.
    doi, concept_doi, previous_doi : str or None
        Of this version, of all versions, of the version before.
    url : str or None
        Page of this version at the archive, None where none is reserved.
    licence : Licence
        Of the data.
    language : Language
        Of the texts.
    keywords : tuple of str
        Each once.
    related : tuple of Related
        What the dataset stands in relation to; not its own other versions.
    references : tuple of Reference
        The publications among these, with authors and titles.
    events : tuple of Event
        When something happened.
    grants : tuple of Grant
        Who paid.
    sizes, formats : tuple of str
        How much there is, and in which media types.
    changes : tuple of str
        What is new against the version before.
    waived : tuple of Waived
        The checks that did not pass and were accepted.
    """

    title: str
    abstract: str
    methods: str
    technical: str
    notices: tuple[Notice, ...]
    creators: tuple[Agent, ...]
    contributors: tuple[Contributor, ...]
    publisher: str
    publisher_url: str
    version: str
    date: str | None
    doi: str | None
    concept_doi: str | None
    previous_doi: str | None
    url: str | None
    licence: Licence
    language: Language
    keywords: tuple[str, ...]
    related: tuple[Related, ...]
    references: tuple[Reference, ...]
    events: tuple[Event, ...]
    grants: tuple[Grant, ...]
    sizes: tuple[str, ...]
    formats: tuple[str, ...]
    changes: tuple[str, ...]
    waived: tuple[Waived, ...]

    @property
    def year(self) -> str | None:
        """Year of release, None where the day is left open."""
        return None if self.date is None else self.date[:4]

    @property
    def doi_url(self) -> str | None:
        """Address that the DOI of this version resolves at."""
        return None if self.doi is None else RESOLVER + self.doi

    @property
    def concept_url(self) -> str | None:
        """Address that the DOI of all versions resolves at."""
        return None if self.concept_doi is None else RESOLVER + self.concept_doi

    @property
    def previous(self) -> str:
        """What the changes are counted from."""
        return self.previous_doi or "the version before"

    @property
    def citation(self) -> str:
        """The line to be put into a list of references, in the form that DataCite recommends."""
        names = "; ".join(agent.name for agent in self.creators)
        year = self.year or "n.d."
        where = self.doi_url or f"DOI: {NOT_RESERVED}"
        title = f"{self.title} (version {self.version}) [Data set]"
        return f"{names} ({year}). {title}. {self.publisher}. {where}"


def record_of(release: Release) -> Record:
    """Give the record of a release: what every paper of its bundle is rendered from."""
    dataset, plan, reservation = release.dataset, release.plan, release.reservation
    scope = (plan.target.get("item"), plan.simulated)
    references = tuple(row for row in dataset.references if scope[0] in row.targets)
    marks = [SIMULATED] if plan.simulated else []
    return Record(
        title=release.title,
        abstract=release.abstract,
        methods=_methods(release),
        technical=_technical(release),
        notices=tuple(_notices(plan)),
        creators=dataset.creators,
        contributors=tuple(row for row in dataset.contributors if row.scope.covers(*scope)),
        publisher=dataset.publisher,
        publisher_url=dataset.publisher_url,
        version=release.version,
        date=release.date,
        doi=release.doi,
        concept_doi=release.concept_doi,
        previous_doi=None if reservation is None else reservation.previous_doi,
        url=None if reservation is None else record_page(reservation),
        licence=dataset.licence,
        language=dataset.language,
        keywords=tuple(dict.fromkeys([*dataset.keywords, *marks])),
        related=tuple(dict.fromkeys(_related(release, references))),
        references=references,
        events=tuple(_events(release)),
        grants=dataset.grants,
        sizes=(count(len(release.described), "product"), human_size(_size(release))),
        formats=tuple(sorted({product.media_type for product in release.described})),
        changes=release.changes,
        waived=tuple(_waived(release)),
    )


def record_page(reservation: Reservation) -> str:
    """Give the address of a version's page at the archive."""
    return f"{reservation.target}/records/{reservation.record_id}"


def archived_files(plan: Plan) -> tuple[str, ...]:
    """Name the archive's files that an observed run stands on; empty where it lists none."""
    tables = [
        path
        for file in plan.products
        for name, path in file.sources.items()
        if not plan.simulated and PurePath(name).stem == layout.ARCHIVE
    ]
    return tuple(
        sorted({str(uri) for path in tables for uri in read_ecsv(path).data[SOURCE_URI].tolist()})
    )


def card_answer(release: Release, name: str) -> str:
    """Give a declared answer of the dataset card, the one for such data where there are two."""
    card = release.dataset.card
    kind = "simulated" if release.plan.simulated else "observed"
    text = card[name] if name in card else card[f"{name}_{kind}"]
    return text.replace("{target}", release.target_name)


def _methods(release: Release) -> str:
    return " ".join(card_answer(release, name) for name in ("collection", "preprocessing"))


def _technical(release: Release) -> str:
    opener = release.doi or "."
    return (
        f"{count(len(release.described), 'product')}, {human_size(_size(release))}. "
        f"{layout.MANIFEST_FILE} lists every file with size, sha256, schema and provenance; "
        f"sha256sum -c {layout.SUMS_FILE} verifies them. {layout.DICTIONARY_FILE} explains every "
        f"extension, layer, column and field. All can be read with numpy and astropy alone, or "
        f'with ard.open("{opener}") of the Python package {release.dataset.software.name}.'
    )


def _size(release: Release) -> int:
    return sum(product.size for product in release.products)


def _notices(plan: Plan) -> Iterator[Notice]:
    if plan.simulated:
        yield _SIMULATED
    if plan.toy_grid:
        yield _TOY_GRID


def _related(release: Release, references: tuple[Reference, ...]) -> Iterator[Related]:
    dataset, plan = release.dataset, release.plan
    for reference in references:
        yield Related("References", "DOI", reference.doi, "JournalArticle")
    for row in dataset.related:
        if row.scope.covers(plan.target.get("item"), plan.simulated):
            yield row
    if dataset.software.doi is not None:
        yield Related("IsCompiledBy", "DOI", dataset.software.doi, "Software")
    for name in release.sources:
        yield Related("IsDerivedFrom", "URL", dataset.archive.download + name, "Dataset")


def _events(release: Release) -> Iterator[Event]:
    plan = release.plan
    for event in release.dataset.events:
        if event.scope.covers(plan.target.get("item"), plan.simulated):
            yield event
    if release.date is not None:
        yield Event("Created", release.date)


def _waived(release: Release) -> Iterator[Waived]:
    for row in release.waivers:
        by = row["waived"]
        yield Waived(
            check=row["check"],
            product=row["product"],
            status=row["status"],
            detail=row["detail"],
            reason=by["reason"],
            author=by["author"],
            expires=by["expires"],
        )
