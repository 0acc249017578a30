"""Releases and reservations from which the tests render papers, without building a bundle."""

import dataclasses
import os
from pathlib import Path

import pytest
from small_run import FakeJudge

from ard.describe import describe
from ard.fileio import sha256_file
from manifests.catalogue import Agent, Contributor, Event, Grant, Related
from manifests.dataset import Dataset, load_dataset
from release.build import Options
from release.manifest import product_record
from release.model import Release
from release.plan import declared_schemas, make_plan
from release.reservation import Reservation

ROOT = Path(__file__).resolve().parent.parent

FIRST = Reservation(
    target="https://archive.example.org",
    record_id="144",
    parent_id="143",
    doi="10.5072/zenodo.144",
    concept_doi="10.5072/zenodo.143",
)
SECOND = dataclasses.replace(
    FIRST,
    record_id="188",
    doi="10.5072/zenodo.188",
    previous_id="144",
    previous_doi="10.5072/zenodo.144",
)
DEPOSIT = Options(version="1.2.3", date="2026-02-03", reservation=FIRST)
# The ORCID that its registry documents its checksum with.
ORCID = "0000-0002-1825-0097"


def make_release(run: Path, **changes: object) -> Release:
    """A release of the run's loose products, with DOIs and a day, or as the changes say."""
    plan, schemas = make_plan(run), declared_schemas(run)
    records = []
    for file in plan.products:
        if not file.name.endswith(".zip"):
            (path,) = file.sources.values()
            schema = schemas[path.relative_to(run / "products").as_posix()]
            place = (str(file.layer), str(file.product))
            records.append(product_record(path, place, schema, describe(path), sha256_file(path)))
    release = Release(
        plan=plan,
        dataset=load_dataset(),
        version="1.2.3",
        date="2026-02-03",
        products=tuple(records),
        report=FakeJudge().to_dict(),
        reservation=FIRST,
    )
    return dataclasses.replace(release, **changes)


def full_dataset() -> Dataset:
    """The study's declaration, with something in every field that may be empty."""
    person = Agent("Doe, Jane", "Doe", "Jane", ORCID, ("Institute of Tests", "Second Institute"))
    return dataclasses.replace(
        load_dataset(),
        creators=(person, Agent("A group"), Agent("Mono", "Mono")),
        contributors=(
            Contributor(Agent("Space Telescope Science Institute"), "DataCollector"),
            Contributor(person, "ContactPerson"),
        ),
        related=(
            Related("References", "arXiv", "arXiv:2512.04166", "Preprint"),
            Related("IsCompiledBy", "DOI", "10.5072/zenodo.1", "Software"),
            Related("IsDerivedFrom", "URL", "https://archive.example.org/a?uri=b:c/d", "Dataset"),
        ),
        events=(Event("Collected", "2025-07-01/2025-08"),),
        grants=(Grant("Fund", "01ggx4157", "7-1", "An award"), Grant("A patron")),
    )


def validators_environment() -> Path:
    """Where other people's validators are; skips, visibly, where there are none."""
    place = Path(os.environ.get("RBH1_VALIDATORS") or ROOT / ".venv-validators")
    if not (place / "bin" / "python").is_file():
        pytest.skip("no validators of other people: make validators, or set RBH1_VALIDATORS")
    return place
