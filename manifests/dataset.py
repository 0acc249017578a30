"""What is the released dataset called, who made it, and under which licence?"""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Final

from manifests._toml import Section, read_toml

DATASET_FILE: Final = Path(__file__).parent / "dataset.toml"
# The questions of the dataset card that are answered once for all runs.
CARD_FIELDS: Final = (
    "purpose",
    "creators",
    "funding",
    "people",
    "noise_and_errors",
    "self_contained",
    "collection_observed",
    "collection_simulated",
    "preprocessing",
    "uses",
    "not_for",
    "distribution",
    "maintenance",
)

_FIELDS: Final = (
    "name",
    "title",
    "abstract",
    "publisher",
    "publisher_url",
    "keywords",
    "licence",
    "software",
)


@dataclass(frozen=True)
class Licence:
    """A licence: its SPDX identifier, its name and its address."""

    spdx: str
    name: str
    url: str


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
    licence : Licence
        Of the data.
    software, software_licence : str
        The distribution that makes the data, and its licence (SPDX).
    authors : tuple of str
        Who is to be cited.
    references : tuple of Reference
        Publications.
    card : mapping of str to str
        Answers of the dataset card, by the names of `CARD_FIELDS`.
    """

    name: str
    publisher: str
    publisher_url: str
    title: str
    abstract: str
    keywords: tuple[str, ...]
    licence: Licence
    software: str
    software_licence: str
    authors: tuple[str, ...]
    references: tuple[Reference, ...]
    card: Mapping[str, str]


def load_dataset(path: str | PathLike[str] | None = None) -> Dataset:
    """Read the declaration of the dataset.

    Parameters
    ----------
    path : path-like, optional
        A TOML file; the study's own by default.

    Raises
    ------
    ManifestError
        If a field is missing, unknown or empty.
    """
    file = DATASET_FILE if path is None else Path(path)
    root = Section(read_toml(file), "", file)
    root.only("dataset", "authors", "references", "card")
    dataset, card = root.table("dataset"), root.table("card")
    dataset.only(*_FIELDS)
    card.only(*CARD_FIELDS)
    licence, software = dataset.table("licence"), dataset.table("software")
    authors = tuple(row.text("name") for row in root.tables("authors"))
    if not authors:
        raise root.error("the dataset has no author", "[[authors]]", "none")
    return Dataset(
        name=dataset.text("name"),
        publisher=dataset.text("publisher"),
        publisher_url=dataset.text("publisher_url"),
        title=dataset.text("title"),
        abstract=dataset.text("abstract"),
        keywords=_texts(dataset, "keywords"),
        licence=Licence(licence.text("spdx"), licence.text("name"), licence.text("url")),
        software=software.text("name"),
        software_licence=software.text("licence"),
        authors=authors,
        references=tuple(_reference(row) for row in root.tables("references")),
        card={name: card.text(name) for name in CARD_FIELDS},
    )


def _reference(row: Section) -> Reference:
    row.only("targets", "kind", "authors", "title", "journal", "doi")
    texts = [row.text(name) for name in ("kind", "authors", "title", "journal", "doi")]
    return Reference(_texts(row, "targets"), *texts)


def _texts(section: Section, name: str) -> tuple[str, ...]:
    value = section.data.get(name)
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise section.error(f"'{name}' must be a list of texts", "a list of texts", repr(value))
    return tuple(value)
