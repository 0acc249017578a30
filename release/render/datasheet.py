"""Why and how were the data made, and what are they not for: the dataset card.

The questions are those of Gebru et al. (2021), Datasheets for Datasets. Answers come from the run
and its check report, and from the declaration of the dataset where no run changes them.
"""

from dataclasses import dataclass
from typing import Final

from ard import layout
from ard.bundle import human_size
from release.model import Release
from release.render import render_template
from release.render.readme import count, summary


@dataclass(frozen=True)
class Question:
    """One question of the card with its answer."""

    section: str
    question: str
    answer: str


_SECTIONS: Final = (
    "Motivation",
    "Composition",
    "Collection",
    "Preprocessing",
    "Uses",
    "Distribution",
    "Maintenance",
)


def questions(release: Release) -> tuple[Question, ...]:
    """Answer every question of the card for a release."""
    card = {
        name: text.replace("{target}", release.target_name)
        for name, text in release.dataset.card.items()
    }
    simulated = release.plan.simulated
    collected = card["collection_simulated" if simulated else "collection_observed"]
    licence = release.dataset.licence
    rows = [
        (0, "For what purpose was the dataset made?", card["purpose"]),
        (0, "Who made it?", card["creators"]),
        (0, "Who paid for it?", card["funding"]),
        (1, "What do the files represent?", _content(release)),
        (1, "How much is there?", _amount(release)),
        (1, "Is something missing?", _missing(release)),
        (1, "What is known about errors, noise and redundancy?", card["noise_and_errors"]),
        (1, "Which checks were made?", _checks(release)),
        (1, "Is it self-contained?", card["self_contained"]),
        (1, "Does it relate to people?", card["people"]),
        (2, "How were the data collected?", collected),
        (2, "What went in?", _inputs(release)),
        (3, "What was done to the data?", card["preprocessing"]),
        (3, "Which software did it?", _software(release)),
        (4, "What can it be used for?", card["uses"]),
        (4, "What should it not be used for?", card["not_for"]),
        (5, "How is it distributed?", card["distribution"]),
        (5, "Under which licence?", f"{licence.name} ({licence.spdx}), {licence.url}"),
        (6, "How is it maintained?", card["maintenance"]),
    ]
    return tuple(Question(_SECTIONS[number], text, answer) for number, text, answer in rows)


def render_datasheet(release: Release) -> str:
    """Write the dataset card of a bundle."""
    answered = questions(release)
    sections = {
        section: [row for row in answered if row.section == section] for section in _SECTIONS
    }
    return render_template("DATASHEET.md.j2", release=release, sections=sections)


def _content(release: Release) -> str:
    kind = "Simulated" if release.plan.simulated else "Observed"
    redshift = release.plan.target.get("redshift")
    place = f"{release.target_name}" + (f" (redshift {redshift})" if redshift is not None else "")
    rows = "; ".join(f"{product.name}: {summary(product)}" for product in release.products)
    return f"{kind} data of {place}. {rows}."


def _amount(release: Release) -> str:
    total = human_size(sum(product.size for product in release.products))
    counts = ", ".join(
        f"{sum(product.layer == layer for product in release.products)} in {layer}"
        for layer in layout.LAYERS
        if layer not in release.plan.absent_layers
    )
    return f"{count(len(release.products), 'product')}, {total}: {counts}."


def _missing(release: Release) -> str:
    absent = [f"{layer} ({why})" for layer, why in sorted(release.plan.absent_layers.items())]
    toy = " The grid of shock models is a toy." if release.plan.toy_grid else ""
    if not absent:
        return f"All four layers have products.{toy}"
    return f"Layers without a product yet: {'; '.join(absent)}.{toy}"


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
    inputs = {
        f"{name} (sha256 {digest})"
        for product in release.products
        if product.provenance is not None
        for name, digest in product.provenance["inputs"].items()
    }
    return "; ".join(sorted(inputs)) + "." if inputs else "No product names an input file."


def _software(release: Release) -> str:
    tools = {
        f"{name} {version}"
        for product in release.products
        if product.provenance is not None
        for name, version in product.provenance["tools"].items()
    }
    text = f"The distribution {release.dataset.software} {release.plan.code_version}"
    return f"{text}, with {', '.join(sorted(tools))}." if tools else f"{text}."
