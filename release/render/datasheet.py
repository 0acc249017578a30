"""Why and how were the data made, and what are they not for: the dataset card.

The questions are those of Gebru et al. (2021), Datasheets for Datasets, in words of our own.
Answers come from the run and its check report, and from the declaration of the dataset where no
run changes them. Neither the version nor its DOI stands here: a card that says the same as before
is the same file as before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ard import layout
from ard.bundle import human_size
from release.counting import count
from release.model import Release
from release.record import NOT_RESERVED, card_answer, record_of
from release.render import render_template
from release.words import summary

Answer = Callable[[Release], str]


@dataclass(frozen=True)
class Question:
    """One question of the card with its answer."""

    section: str
    question: str
    answer: str


def questions(release: Release) -> tuple[Question, ...]:
    """Answer every question of the card for a release."""
    return tuple(
        Question(section, question, _answer(answer, release))
        for section, rows in _QUESTIONS.items()
        for question, answer in rows
    )


def render_datasheet(release: Release) -> str:
    """Write the dataset card of a bundle."""
    answered = questions(release)
    sections = {
        section: [row for row in answered if row.section == section] for section in _QUESTIONS
    }
    return render_template("DATASHEET.md.j2", release=release, sections=sections)


def _answer(answer: str | Answer, release: Release) -> str:
    """Compute an answer, or take the declared one of this name."""
    return card_answer(release, answer) if isinstance(answer, str) else answer(release)


def _creators(release: Release) -> str:
    creators = release.dataset.creators
    names = "; ".join(agent.name for agent in creators)
    homes = dict.fromkeys(home for agent in creators for home in agent.affiliations)
    where = f", of {'; '.join(homes)}" if homes else ". No institution is declared"
    return f"{names}{where}."


def _funding(release: Release) -> str:
    grants = [
        grant.funder + (f" ({grant.number}, {grant.title})" if grant.number else "")
        for grant in release.dataset.grants
    ]
    return f"Paid for by {'; '.join(grants)}." if grants else "No funding is declared."


def _content(release: Release) -> str:
    kind = "Simulated" if release.plan.simulated else "Observed"
    redshift = release.plan.target.get("redshift")
    place = f"{release.target_name}" + (f" (redshift {redshift})" if redshift is not None else "")
    rows = "; ".join(f"{product.name}: {summary(product)}" for product in release.described)
    return f"{kind} data of {place}. {rows}."


def _amount(release: Release) -> str:
    total = human_size(sum(product.size for product in release.products))
    counts = ", ".join(
        f"{sum(product.layer == layer for product in release.described)} in {layer}"
        for layer in layout.LAYERS
        if layer not in release.plan.absent_layers
    )
    return f"{count(len(release.described), 'product')}, {total}: {counts}."


def _missing(release: Release) -> str:
    absent = [f"{layer} ({why})" for layer, why in sorted(release.plan.absent_layers.items())]
    toy = " The grid of shock models is a toy." if release.plan.toy_grid else ""
    coverage = card_answer(release, "coverage")
    if not absent:
        return f"All four layers have products. {coverage}{toy}"
    return f"Layers without a product yet: {'; '.join(absent)}. {coverage}{toy}"


def _gaps(release: Release) -> str:
    masked = [
        f"{product.name} {product.description['masked_fraction']:.0%}"
        for product in release.described
        if "masked_fraction" in product.description
    ]
    text = card_answer(release, "gaps")
    return f"{text} Masked: {', '.join(masked)}." if masked else text


def _checks(release: Release) -> str:
    results = release.report["results"]
    passed = sum(row["status"] == "PASSED" for row in results)
    waived = len(release.waivers)
    return (
        f"{count(len(results), 'result')} on the products, {passed} passed and {waived} waived; "
        f"{layout.CHECKS_FILE} lists them with measured values and limits, "
        f"{layout.README_FILE} lists the waivers."
    )


def _inputs(release: Release) -> str:
    own = {product.source_sha256 or product.sha256 for product in release.described}
    inputs = {
        f"{name} (sha256 {digest})"
        for product in release.described
        if product.provenance is not None
        for name, digest in product.provenance["inputs"].items()
        if digest not in own
    }
    return (
        "; ".join(sorted(inputs)) + "."
        if inputs
        else "No product names an input file from elsewhere."
    )


def _timeframe(release: Release) -> str:
    days = [event.date for event in record_of(release).events if event.kind == "Collected"]
    return f"Collected on {', '.join(days)}." if days else card_answer(release, "timeframe")


def _software(release: Release) -> str:
    tools = {
        f"{name} {version}"
        for product in release.described
        if product.provenance is not None
        for name, version in product.provenance["tools"].items()
    }
    software = release.dataset.software
    text = (
        f"Yes: {software.name} {release.plan.code_version}, an open distribution under the licence "
        f"{software.licence}"
    )
    return f"{text}, with {', '.join(sorted(tools))}." if tools else f"{text}."


def _known_uses(release: Release) -> str:
    if release.concept_doi is None:
        return "Not yet: without a DOI there is nothing that a work could cite."
    return f"Not here. Works that cite the dataset are found by its DOI, {release.concept_doi}."


def _distribution(release: Release) -> str:
    concept = release.concept_doi or NOT_RESERVED
    return f"{card_answer(release, 'distribution')} DOI of all versions: {concept}."


def _licence(release: Release) -> str:
    licence = release.dataset.licence
    return f"{licence.name} ({licence.spdx}), {licence.url}"


def _host(release: Release) -> str:
    return f"Its authors maintain it; {release.dataset.publisher} hosts it and keeps its DOIs."


def _contact(release: Release) -> str:
    people = [
        row.agent.name for row in record_of(release).contributors if row.role == "ContactPerson"
    ]
    by = f"{release.dataset.publisher}, {release.dataset.publisher_url}"
    return f"{'; '.join(people) or 'The authors'}, by way of the record at {by}."


# Each question with the name of its declared answer, or with what computes it.
_QUESTIONS: Final[dict[str, tuple[tuple[str, str | Answer], ...]]] = {
    "Motivation": (
        ("For what purpose was the dataset made, and which gap does it fill?", "purpose"),
        ("Who made it, and on whose behalf?", _creators),
        ("Who paid for it?", _funding),
    ),
    "Composition": (
        ("What do the files represent?", _content),
        ("How much is there of each kind?", _amount),
        ("Is it everything, or a part of something larger?", _missing),
        ("Of what does each file consist: raw data, or features?", "structure"),
        ("Is there a label or a target for each item?", "labels"),
        ("Is anything missing from single files?", _gaps),
        ("Are relations between the files made explicit?", "relations"),
        ("Is a division into training and test data recommended?", "splits"),
        ("What is known about errors, noise and redundancy?", "noise_and_errors"),
        ("Which checks were made?", _checks),
        ("Is it self-contained, or does it rest on things elsewhere?", "self_contained"),
        ("Is anything in it confidential?", "confidential"),
        ("Could anything in it offend or cause distress?", "offensive"),
        ("Does it relate to people?", "people"),
    ),
    "Collection": (
        ("How were the data collected: observed, reported or inferred?", "collection"),
        ("With which instruments and procedures, and how were these validated?", "procedures"),
        ("If it is a sample, how was it drawn?", "sampling"),
        ("What went in that is not in the bundle?", _inputs),
        ("Who took part in collecting, and how were they paid?", "workers"),
        ("Over which time was it collected?", _timeframe),
        ("Was there an ethical review?", "ethics"),
    ),
    "Preprocessing": (
        ("What was done to the data: preprocessing, cleaning, labelling?", "preprocessing"),
        ("Are the raw data kept as well, and where?", "raw"),
        ("Is the software that did it available?", _software),
    ),
    "Uses": (
        ("Has it been used already?", "used_already"),
        ("Is there a list of works that use it?", _known_uses),
        ("What else could it be used for?", "uses"),
        ("Does the way it was made bear on future uses?", "risks"),
        ("What should it not be used for?", "not_for"),
    ),
    "Distribution": (
        ("Is it given to others than those who made it?", "recipients"),
        ("How is it distributed, and has it a DOI?", _distribution),
        ("When is it distributed?", "release_day"),
        ("Under which licence and terms?", _licence),
        ("Have third parties put restrictions on it?", "third_parties"),
        ("Do export controls or other regulations apply?", "regulation"),
    ),
    "Maintenance": (
        ("Who supports, hosts and maintains it?", _host),
        ("How can they be reached?", _contact),
        ("Is there a list of errata?", "errata"),
        ("Will it be updated, how often, and how is that told?", "maintenance"),
        ("Do older versions stay available?", "older_versions"),
        ("Can others extend it or contribute to it?", "contributions"),
    ),
}
