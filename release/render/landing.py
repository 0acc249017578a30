"""What does somebody see who opens the bundle in a browser: one page that needs nothing else?

No script, font or picture comes from elsewhere, and the page forbids itself to fetch any.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ard import layout
from manifests.catalogue import Agent
from release.counting import count
from release.model import FileRecord, Release
from release.record import NOT_RESERVED, Record, record_of
from release.render import render_template
from release.render.readme import DOCUMENTS, first_cube, ten_lines
from release.words import summary


def render_landing(release: Release, rendered: Iterable[FileRecord]) -> str:
    """Write the page of a bundle.

    Parameters
    ----------
    release : Release
        What the bundle is about.
    rendered : iterable of FileRecord
        The files about the whole bundle that are written already; others are named without their
        bytes.
    """
    record = record_of(release)
    papers = {file.name: file for file in rendered}
    layers = {
        layer: [product for product in release.products if product.layer == layer]
        for layer in layout.LAYERS
    }
    return render_template(
        "landing.html.j2",
        record=record,
        not_reserved=NOT_RESERVED,
        target=release.plan.target,
        simulated=release.plan.simulated,
        code_version=release.plan.code_version,
        software=release.dataset.software,
        layers=layers,
        absent=release.plan.absent_layers,
        facts={product.name: summary(product) for product in release.products},
        papers={name: papers.get(name) for name in (layout.README_FILE, *DOCUMENTS)},
        documents=DOCUMENTS,
        itself=layout.LANDING_FILE,
        families=check_families(release),
        cube=first_cube(release),
        ten_lines=ten_lines(release),
        structured=structured_data(release),
        count=count,
    )


def check_families(release: Release) -> dict[str, tuple[int, int]]:
    """Count, for each family of checks, the results that passed and those that were waived."""
    passed: Counter[str] = Counter()
    waived: Counter[str] = Counter()
    for row in release.report["results"]:
        family = row["check"].partition(".")[0]
        (waived if row.get("waived") else passed)[family] += 1
    return {name: (passed[name], waived[name]) for name in sorted({*passed, *waived})}


def structured_data(release: Release) -> dict[str, Any]:
    """Say what the dataset is in the words of schema.org, as search engines read them."""
    record = record_of(release)
    document: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "Dataset",
        "@id": record.doi_url,
        "name": record.title,
        "description": record.abstract,
        # Not the DOI of all versions: who harvests would take them for one.
        "identifier": record.doi_url,
        "url": record.url,
        "version": record.version,
        "datePublished": record.date,
        "inLanguage": record.language.tag,
        "license": record.licence.url,
        "isAccessibleForFree": True,
        "keywords": list(record.keywords),
        "creator": [_agent(agent) for agent in record.creators],
        "contributor": [_agent(row.agent) for row in record.contributors],
        "publisher": {
            "@type": "Organization",
            "name": record.publisher,
            "url": record.publisher_url,
        },
        "citation": [row.url for row in record.related if row.relation == "References"],
        "isBasedOn": [row.url for row in record.related if row.relation == "IsDerivedFrom"],
        "distribution": _downloads(release, record),
    }
    return {key: value for key, value in document.items() if value not in (None, [])}


def _agent(agent: Agent) -> dict[str, Any]:
    row: dict[str, Any] = {
        "@type": "Person" if agent.is_person else "Organization",
        "@id": None if agent.orcid is None else f"https://orcid.org/{agent.orcid}",
        "name": agent.name,
        "familyName": agent.family_name,
        "givenName": agent.given_name,
        "affiliation": [{"@type": "Organization", "name": name} for name in agent.affiliations],
    }
    return {key: value for key, value in row.items() if value not in (None, [])}


def _downloads(release: Release, record: Record) -> list[dict[str, Any]]:
    """Name each product with the address that it has at the archive, once it is published."""
    if record.url is None:
        return []
    return [
        {
            "@type": "DataDownload",
            "name": product.name,
            "contentUrl": f"{record.url}/files/{product.name}",
            "encodingFormat": product.media_type,
            "contentSize": f"{product.size} B",
            "sha256": product.sha256,
        }
        for product in release.products
    ]
