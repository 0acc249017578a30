"""What is every file and folder called?

The names of layers, run folders and products are spelled here and nowhere else.

In a bundle, which is flat, a product lies under one of two names. A FITS file has the name that the
archive of the space telescopes asks of contributed products, whose last field is the layer and the
product: ``hlsp_rbh1-ard_jwst_nirspec_rbh1-t001_g140m-f100lp_v0_likelihood-cube.fits``. Anything
else is called ``layer_product.ext``. Which layer and product a file holds is said by the manifest,
and only confirmed by the name.
"""

import re
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
FITS_DIR: Final = "work/fits"
CAMPAIGNS_DIR: Final = "work/campaigns"

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
NOISE: Final = "noise"
NOISE_MODEL: Final = "noisemodel"
QUALITY: Final = "quality"
RECOVERY: Final = "recovery"
LINES: Final = "lines"
EXPOSURES: Final = "exposures"
ARCHIVE: Final = "archive"
SPECTRA: Final = "spectra"
FLUXES: Final = "fluxes"
GEOMETRY: Final = "geometry"
PHOTOMETRY: Final = "photometry"
MAGNITUDES: Final = "magnitudes"
COLOURS: Final = "colours"
COMBINED: Final = "combined"
COMBINATION: Final = "combination"
RESAMPLING: Final = "resampling"
GHOSTS: Final = "ghosts"
GHOSTMAP: Final = "ghostmap"
SUBTRACTION: Final = "subtraction"
KINEMATICS: Final = "kinematics"
POSTERIORS: Final = "posteriors"
KINEMATICS_RECOVERY: Final = "kinematicsrecovery"
CHAINS: Final = "chains"
CHAIN_SUMMARY: Final = "chainsummary"
CHAIN_TABLE: Final = "chaintable"
# What a fit leaves: of figures only.
RESIDUALS: Final = "residuals"
STRENGTHS: Final = "strengths"
MOSAIC: Final = "mosaic"
DIFFERENCED: Final = "differenced"
DEGHOSTED: Final = "deghosted"
SHARING: Final = "sharing"
SHOCK_GRID: Final = "shockgrid"
SHOCKS: Final = "shocks"
SHOCK_VERDICTS: Final = "shockverdicts"
SHOCK_GEOMETRY: Final = "shockgeometry"
EVALUATIONS: Final = "evaluations"
SURFACE: Final = "surface"
# Galaxies that a campaign keeps. Names in bundles are long, so these are short.
DISC_CUBE: Final = "disc"
DISC_RESIDUAL: Final = "discleft"
DISC_MAP: Final = "discmap"
# Of figures only: what the surface shows, and the best galaxy.
PROFILES: Final = "surfaceprofiles"
PAIRS: Final = "surfacepairs"
FILTERS: Final = "surfacefilters"
BEST_DISC: Final = "discbest"

# The layer that each product belongs to.
LAYER_OF: Final = {
    CUBE: "likelihood",
    NOISE: "likelihood",
    LINES: "likelihood",
    EXPOSURES: "likelihood",
    ARCHIVE: "likelihood",
    COMBINED: "likelihood",
    RESAMPLING: "likelihood",
    LINEMAP: "inference",
    SPECTRA: "inference",
    FLUXES: "inference",
    GEOMETRY: "inference",
    PHOTOMETRY: "inference",
    MAGNITUDES: "inference",
    COLOURS: "inference",
    QUALITY: "validation",
    NOISE_MODEL: "validation",
    RECOVERY: "validation",
    COMBINATION: "validation",
    GHOSTS: "validation",
    GHOSTMAP: "validation",
    SUBTRACTION: "validation",
    KINEMATICS: "inference",
    POSTERIORS: "validation",
    KINEMATICS_RECOVERY: "validation",
    CHAINS: "inference",
    CHAIN_SUMMARY: "inference",
    CHAIN_TABLE: "inference",
    STRENGTHS: "validation",
    MOSAIC: "likelihood",
    DIFFERENCED: "likelihood",
    DEGHOSTED: "likelihood",
    SHARING: "likelihood",
    SHOCK_GRID: "inference",
    SHOCKS: "inference",
    SHOCK_VERDICTS: "validation",
    SHOCK_GEOMETRY: "inference",
    EVALUATIONS: "validation",
    SURFACE: "validation",
    DISC_CUBE: "representative",
    DISC_RESIDUAL: "representative",
    DISC_MAP: "representative",
}

# What the name of an item alone means, where it has several products of a kind.
MAIN_OF: Final = {"cube": CUBE, "map": LINEMAP}

# Of a bundle only: a zip of the small products of a layer, where a deposit has no room for each.
PACKED: Final = "packed"
# The first of the eight fields of the name of a FITS product in a bundle; `release.hlsp` says what
# the others are.
HLSP: Final = "hlsp"
HLSP_FIELDS: Final = 8
HLSP_SUFFIX: Final = ".fits"
_NOT_IN_A_FIELD: Final = re.compile(r"[^a-z0-9]+")


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


def fit_files(item: str, model: str) -> dict[str, str]:
    """Name the files of a fit in `FITS_DIR`: chains, table, summary, figures and their data."""
    chains = product_stem(item, CHAINS, model)
    residuals = product_stem(item, RESIDUALS, model)
    return {
        "chains": f"{chains}.nc",
        "table": f"{product_stem(item, CHAIN_TABLE, model)}.fits",
        "summary": f"{product_stem(item, CHAIN_SUMMARY, model)}.json",
        "figure": f"{chains}.png",
        "figure_data": f"{chains}.ecsv",
        "residuals": f"{residuals}.png",
        "residuals_data": f"{residuals}.ecsv",
    }


def campaign_files(item: str, label: str) -> dict[str, str]:
    """Name the files of a campaign in `CAMPAIGNS_DIR`: table, surface, figures and their data."""
    figures = {"profiles": PROFILES, "pairs": PAIRS, "filters": FILTERS, "best": BEST_DISC}
    stems = {key: product_stem(item, name, label) for key, name in figures.items()}
    return {
        "evaluations": f"{product_stem(item, EVALUATIONS, label)}.fits",
        "surface": f"{product_stem(item, SURFACE, label)}.json",
        **{key: f"{stem}.png" for key, stem in stems.items()},
        **{f"{key}_data": f"{stem}.ecsv" for key, stem in stems.items()},
    }


def kept_files(item: str, label: str, rank: int) -> dict[str, str]:
    """Name the files of a galaxy that a campaign keeps, by its rank among these from 1."""
    names = {"cube": DISC_CUBE, "residual": DISC_RESIDUAL, "map": DISC_MAP}
    part = f"{label}-{rank:02d}"
    return {key: f"{product_stem(item, name, part)}.fits" for key, name in names.items()}


def product_parts(stem: str) -> tuple[str | None, str]:
    """Split the name of a product: ``t001_linemap-halpha`` into ``t001`` and ``linemap-halpha``.

    Returns
    -------
    item : str or None
        What the product is about; None for a product of the whole run.
    rest : str
        The product with its part.
    """
    head, joined, tail = stem.partition("_")
    return (head, tail) if joined else (None, head)


def plain_name(layer: str, name: str) -> str:
    """Name a file of a bundle that is no FITS file: ``likelihood_lines.ecsv``."""
    return f"{layer}_{name}"


def shard(product: str, number: int | None) -> str:
    """Name a part of a product that needs several zips: ``chains-001``; None means the whole."""
    return product if number is None else f"{product}-{number:03d}"


def is_packed(product: str) -> bool:
    """Tell whether a product of a bundle is the zip of the small products of a layer."""
    return product.partition("-")[0] == PACKED


def hlsp_field(*texts: str) -> str:
    """Spell texts as one field of an HLSP name: letters and digits, joined by hyphens."""
    return _NOT_IN_A_FIELD.sub("-", "-".join(texts).lower()).strip("-")


def may_hold(name: str, layer: str, product: str) -> bool:
    """Tell whether a file of this name in a bundle may be this product of this layer."""
    if not name.startswith(f"{HLSP}_"):
        return name.startswith(plain_name(layer, f"{product}."))
    fields = name.removesuffix(HLSP_SUFFIX).split("_")
    _, rest = product_parts(product)
    told = len(fields) == HLSP_FIELDS and fields[-1] == hlsp_field(layer, rest)
    return name.endswith(HLSP_SUFFIX) and told


def flux_layer(line: str) -> str:
    """Name the layer of a line map that holds the flux of a line."""
    return f"flux_{line.lower()}"
