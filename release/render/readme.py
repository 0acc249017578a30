"""What does somebody read first who has the bundle and nothing else?"""

from typing import Final

from ard import layout
from release.counting import count
from release.model import FileRecord, Release
from release.record import NOT_RESERVED, record_of
from release.render import render_template
from release.words import summary

DOCUMENTS: Final = {
    layout.LANDING_FILE: "the bundle as a page: what is in it, how to cite and to read it",
    layout.DATASHEET_FILE: "dataset card: why and how the data were made, what they are for",
    layout.DICTIONARY_FILE: "data dictionary: every extension, layer, column and field, with units",
    layout.CHECKS_FILE: "report of every check: what was measured, and against which limit",
    layout.CHANGELOG_FILE: "what changed from version to version, the newest first",
    layout.MANIFEST_FILE: "every file with size, sha256, md5, schema and provenance",
    layout.SUMS_FILE: "the same sums for `sha256sum -c`",
    layout.CITATION_FILE: "how to cite",
    layout.CRATE_FILE: "the same facts as RO-Crate, for machines, and what made each product",
    layout.DATAPACKAGE_FILE: "the tables with types and units of their columns, as Data Package",
    layout.DATACITE_FILE: "the record in the form of DataCite, for catalogues",
    layout.RECORD_FILE: "the record as it is sent to the archive",
}


def render_readme(release: Release) -> str:
    """Write the README.md of a bundle."""
    products = {
        layer: [product for product in release.products if product.layer == layer]
        for layer in layout.LAYERS
    }
    return render_template(
        "README.md.j2",
        release=release,
        record=record_of(release),
        not_reserved=NOT_RESERVED,
        layers=products,
        absent=release.plan.absent_layers,
        cube=first_cube(release),
        first=release.products[0],
        ten_lines=ten_lines(release),
        documents=DOCUMENTS,
        facts={product.name: summary(product) for product in release.products},
        waivers=release.waivers,
        count=count,
    )


def first_cube(release: Release) -> FileRecord | None:
    """Give the first cube of a bundle, None where it has none."""
    return next((product for product in release.products if product.kind == "cube"), None)


def ten_lines(release: Release) -> str:
    """Write the ten lines that open the bundle with numpy and astropy alone."""
    return render_template("ten-lines.py.j2", cube=first_cube(release))
