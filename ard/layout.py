"""What is every file and folder called?

The names of layers, run folders and products are spelled here and nowhere else.
"""

from typing import Final

LAYERS: Final = ("likelihood", "inference", "representative", "validation")

# Folders and files of a run.
ARCHIVE_DIR: Final = "archive"
TRUTH_DIR: Final = "truth"
WORK_DIR: Final = "work"
PRODUCTS_DIR: Final = "products"
STATE_DIR: Final = ".rbh1"
BUNDLE_DIR: Final = "bundle"
RUN_FILE: Final = "run.json"
CHECKS_FILE: Final = "checks.json"
REPORT_FILE: Final = "report.html"
FIGURES_DIR: Final = "figures"

# Files of a bundle that belong to no layer.
MANIFEST_FILE: Final = "manifest.json"
SUMS_FILE: Final = "sha256sums.txt"
README_FILE: Final = "README.md"
DATASHEET_FILE: Final = "DATASHEET.md"
DICTIONARY_FILE: Final = "data-dictionary.md"
CITATION_FILE: Final = "CITATION.cff"
CRATE_FILE: Final = "ro-crate-metadata.json"
CHANGELOG_FILE: Final = "CHANGELOG.md"
DATACITE_FILE: Final = "datacite.json"
DATAPACKAGE_FILE: Final = "datapackage.json"
LANDING_FILE: Final = "index.html"
RECORD_FILE: Final = "zenodo.json"

# Products: the last part of a file's stem, after the item it is about.
CUBE: Final = "cube"
LINEMAP: Final = "linemap"
QUALITY: Final = "quality"
RECOVERY: Final = "recovery"
LINES: Final = "lines"
EXPOSURES: Final = "exposures"
ARCHIVE: Final = "archive"

# The layer that each product belongs to.
LAYER_OF: Final = {
    CUBE: "likelihood",
    LINES: "likelihood",
    EXPOSURES: "likelihood",
    ARCHIVE: "likelihood",
    LINEMAP: "inference",
    QUALITY: "validation",
    RECOVERY: "validation",
}


def product_stem(item: str | None, product: str, part: str | None = None) -> str:
    """Name a product: ``item_product-part``.

    Parameters
    ----------
    item : str or None
        What the product is about (``t001``); None for a product of the whole run.
    product : str
        One of the product names of this module.
    part : str, optional
        A subdivision, such as a group of lines.
    """
    stem = product if item is None else f"{item}_{product}"
    return stem if part is None else f"{stem}-{part}"


def flux_layer(line: str) -> str:
    """Name the layer of a line map that holds the flux of a line."""
    return f"flux_{line.lower()}"
