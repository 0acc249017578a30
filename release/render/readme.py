"""What does somebody read first who has the bundle and nothing else?"""

from typing import Any, Final

from ard import layout
from release.model import FileRecord, Release
from release.render import render_template

DOCUMENTS: Final = {
    layout.DATASHEET_FILE: "dataset card: why and how the data were made, what they are for",
    layout.DICTIONARY_FILE: "data dictionary: every extension, layer, column and field, with units",
    layout.CHECKS_FILE: "report of every check: what was measured, and against which limit",
    layout.MANIFEST_FILE: "every file with size, sha256, md5, schema and provenance",
    layout.SUMS_FILE: "the same sums for `sha256sum -c`",
    layout.CRATE_FILE: "the same facts as RO-Crate, for machines",
    layout.CITATION_FILE: "how to cite",
}


def render_readme(release: Release) -> str:
    """Write the README.md of a bundle."""
    products = {
        layer: [product for product in release.products if product.layer == layer]
        for layer in layout.LAYERS
    }
    cubes = [product for product in release.products if product.kind == "cube"]
    return render_template(
        "README.md.j2",
        release=release,
        layers=products,
        absent=release.plan.absent_layers,
        cube=cubes[0] if cubes else None,
        first=release.products[0],
        documents=DOCUMENTS,
        facts={product.name: summary(product) for product in release.products},
        waivers=release.waivers,
        count=count,
    )


def summary(product: FileRecord) -> str:
    """Say in a few words what a product holds."""
    facts: dict[str, Any] = dict(product.description)
    if product.kind == "cube":
        wave = facts["wave"]
        shape = " x ".join(map(str, facts["shape"]))
        return f"{shape} (wave, y, x), {facts['unit']}, {wave['min']:.4g} to {wave['max']:.4g} um"
    if product.kind == "map":
        shape = " x ".join(map(str, facts["shape"]))
        return f"{count(len(facts['layers']), 'layer')} of {shape} (y, x)"
    if product.kind == "table":
        return f"{count(facts['rows'], 'row')}, {count(len(facts['columns']), 'column')}"
    if product.kind == "archive":
        return f"{count(len(facts['members']) - 1, 'file')} and a list of their sums"
    return f"schema {product.schema}" if product.schema else product.media_type


def count(number: int, noun: str) -> str:
    """Write a number of things, in the singular where there is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
