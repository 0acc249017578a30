"""A tiny run folder that is good in every respect: what planted faults are planted in."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from astropy.io import fits
from handmade import write_zip
from imagery import colours_table, geometry_document, magnitudes_table, photometry_table
from run_documents import (
    SHA,
    combination_document,
    noise_document,
    quality_document,
    record,
    recovery_document,
    subtraction_document,
)
from run_products import (
    exposures_table,
    fluxes_table,
    ghost_map,
    ghosts_table,
    lines_table,
    make_cube,
    make_linemap,
    noise_product,
    resampling_table,
    spectra_table,
    strengths_table,
)

import ard
from ard import io, layout
from ard.describe import describe
from ard.fitsio import write_hdus
from ard.parts import file_parts
from ard.sums import format_sums
from checks import judge
from manifests import load_target

PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU"
    b"\0\0\0\nIDATx\x9cc`\0\0\0\2\0\1H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
)
type Edit = Callable[[Path], None]

_WRITTEN: dict[bytes, bytes] = {}


def write(path: Path, product: Any) -> None:
    """Write a product, or the bytes that an equal one became: most of a run is always the same."""
    key = pickle.dumps(product)
    if key not in _WRITTEN:
        ard.write(path, product)
        _WRITTEN[key] = path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_WRITTEN[key])


def make_run(root: Path, edits: Mapping[str, Edit] | None = None) -> Path:
    """Write a run folder with one item of the simulated observation, and give its path.

    Each edit changes a file right after it is written, so that what is made from it is made from
    the changed file: only the planted fault is wrong.
    """
    target, products = load_target("rbh1"), root / layout.PRODUCTS_DIR
    edits = edits or {}

    def put(name: str, path: Path, product: Any) -> dict[str, str]:
        write(path, product)
        if name in edits:
            edits[name](path)
        # An edit may move the file away; then nothing is made from it.
        return {path.relative_to(root).as_posix(): io.sha256_file(path)} if path.exists() else {}

    archive = put("archive", root / layout.ARCHIVE_DIR / "t001_s3d.fits", b"the input cube")
    cube = make_cube(target, archive)
    from_cube = put("cube", products / "likelihood" / "t001_cube.fits", cube)
    noise = noise_product(products / "likelihood" / "t001_cube.fits", from_cube)
    put("noise", products / "likelihood" / "t001_noise.fits", noise)
    linemap = make_linemap(cube, from_cube)
    from_map = put("linemap", products / "inference" / "t001_linemap.fits", linemap)
    inference = products / "inference"
    put("spectra", inference / "t001_spectra.ecsv", spectra_table(cube, from_cube | from_map))
    put("fluxes", inference / "t001_fluxes.ecsv", fluxes_table(target, from_cube | from_map))
    lines = lines_table(target, {"rbh1.toml": SHA})
    put("lines", products / "likelihood" / "lines.ecsv", lines)
    put("exposures", products / "likelihood" / "exposures.ecsv", exposures_table())
    masked = masked_fraction(products / "likelihood" / "t001_cube.fits")
    images = {"f350lp_drc.fits": SHA}
    seen = geometry_document(target, record("geometry", images))
    put("geometry", inference / "geometry.json", seen)
    for name, table in (
        ("photometry", photometry_table),
        ("magnitudes", magnitudes_table),
        ("colours", colours_table),
    ):
        put(name, inference / f"{name}.ecsv", table(record("photometry", images)))
    validation = products / "validation"
    put("combined", products / "likelihood" / "t001_combined.fits", make_cube(target, archive))
    put("resampling", products / "likelihood" / "t001_resampling.ecsv", resampling_table())
    put(
        "combination",
        validation / "t001_combination.json",
        combination_document(masked_fraction(products / "likelihood/t001_combined.fits"), {}),
    )
    put("ghosts", validation / "ghosts.ecsv", ghosts_table())
    put("strengths", validation / "strengths.ecsv", strengths_table())
    put("subtraction", validation / "subtraction.json", subtraction_document())
    put("ghostmap", validation / "t001_ghostmap.fits", ghost_map(cube))
    put("quality", validation / "t001_quality.json", quality_document(masked, from_map))
    put("noisemodel", validation / "t001_noisemodel.json", noise_document(from_cube))
    put("recovery", validation / "t001_recovery.json", recovery_document(from_map))
    put("figure", validation / "figures" / "t001_velocity.png", PNG)
    write_run_document(root)
    if "run" in edits:
        edits["run"](products / layout.RUN_FILE)
    return root


def masked_fraction(path: Path) -> float:
    try:
        return float(describe(path)["masked_fraction"])
    except ard.ArdError:
        return 0.0


def edit_json(change: Callable[[dict[str, Any]], None]) -> Edit:
    """Make an edit of a JSON file from a change of its document."""

    def edit(path: Path) -> None:
        document = io.read_json(path)
        change(document)
        io.write_json(path, document, overwrite=True)

    return edit


def edit_fits(change: Callable[[fits.HDUList], None], *, checksum: bool = True) -> Edit:
    """Make an edit of a FITS file from a change of its HDUs; checksums are made anew."""

    def edit(path: Path) -> None:
        with fits.open(path, memmap=False, do_not_scale_image_data=False) as hdus:
            change(hdus)
            for hdu in hdus:
                hdu.header.remove("CHECKSUM", ignore_missing=True)
                hdu.header.remove("DATASUM", ignore_missing=True)
            write_hdus(path, hdus, overwrite=True, checksum=checksum)

    return edit


HLSP = "hlsp_rbh1-ard_jwst_nirspec_rbh1-{item}_g140m-f100lp_v0_{layer}-{product}.fits"


def bundle_name(path: Path) -> str:
    """Name a product of a run in its bundle."""
    layer = path.parent.name
    if path.suffix != ".fits":
        return f"{layer}_{path.name}"
    item, _, product = path.stem.partition("_")
    return HLSP.format(item=item, layer=layer, product=product)


def place_of(name: str) -> tuple[str | None, str | None]:
    """The layer and the product that a file of a bundle is, by its name."""
    fields = name.removesuffix(".fits").split("_")
    if fields[0] == "hlsp":
        layer, _, product = fields[-1].partition("-")
        return layer, f"{fields[4].partition('-')[2]}_{product}"
    layer = next((n for n in layout.LAYERS if name.startswith(f"{n}_")), None)
    return layer, None if layer is None else Path(name).stem.removeprefix(f"{layer}_")


def stamp(hdus: fits.HDUList) -> None:
    hdus[0].header["DOI"] = "not yet reserved"


def make_bundle(run: Path, bundle: Path) -> Path:
    """Flatten a run into the deposit form: other names, stamped headers, manifest and sums."""
    products = run / layout.PRODUCTS_DIR
    document = io.read_json(products / layout.RUN_FILE)
    sources = {}
    for path in sorted(products.glob("*/*.*")):
        name = bundle_name(path)
        io.atomic_write_bytes(bundle / name, path.read_bytes())
        sources[name] = io.sha256_file(path)
        if path.suffix == ".fits":
            edit_fits(stamp)(bundle / name)
    for name in (layout.README_FILE, layout.DATASHEET_FILE, layout.DICTIONARY_FILE):
        io.atomic_write_bytes(bundle / name, b"# A tiny bundle\n")
    io.atomic_write_bytes(bundle / layout.CITATION_FILE, b"cff-version: 1.2.0\n")
    io.write_json(bundle / layout.CRATE_FILE, {"@graph": []})
    for name in (layout.RECORD_FILE, layout.DATACITE_FILE, layout.DATAPACKAGE_FILE):
        io.write_json(bundle / name, {})
    io.atomic_write_bytes(bundle / layout.LANDING_FILE, b"<!doctype html><title>A</title>\n")
    io.write_json(bundle / layout.CHECKS_FILE, judge(run).to_dict())
    write_lists(bundle, document, sources)
    return bundle


def pack(bundle: Path, names: list[str], archive: str) -> None:
    """Move files of a bundle into one archive of their layer."""
    layer = archive.partition("_")[0]
    members = {name.removeprefix(f"{layer}_"): (bundle / name).read_bytes() for name in names}
    write_zip(bundle / archive, members)
    for name in names:
        (bundle / name).unlink()


def known_sources(bundle: Path) -> dict[str, str]:
    """The digests of the run's products, as an earlier manifest of the folder gives them."""
    rows = io.read_json(bundle / layout.MANIFEST_FILE)["files"]
    return {row["name"]: row["source_sha256"] for row in rows}


def write_lists(
    bundle: Path, document: Mapping[str, Any], sources: Mapping[str, str] | None = None
) -> None:
    """Write the manifest and the sums of a flat folder."""
    known = known_sources(bundle) if sources is None else sources
    files = []
    for path in sorted(bundle.iterdir()):
        if path.name in (layout.MANIFEST_FILE, layout.SUMS_FILE):
            continue
        layer, product = place_of(path.name)
        facts = describe(path)
        files.append(
            {
                "name": path.name,
                "layer": layer,
                "product": product,
                "kind": facts["kind"],
                "media_type": facts["media_type"],
                "schema": None,
                "size": facts["size"],
                "sha256": io.sha256_file(path),
                "md5": io.md5_file(path),
                "provenance": facts["provenance"],
                "source_sha256": known.get(path.name),
                "parts": [part.to_dict() for part in file_parts(path)],
            }
        )
    keys = ("simulated", "toy_grid", "target", "code_version", "absent_layers")
    layers = {n: [f["name"] for f in files if f["layer"] == n] for n in layout.LAYERS}
    manifest = {key: document[key] for key in keys} | {
        "schema": "manifest",
        "name": "rbh1-ard",
        "version": "0.1.0",
        "layers": {name: listed for name, listed in layers.items() if listed},
        **dict.fromkeys(("date", "doi", "concept_doi", "previous_doi")),
        "files": files,
    }
    io.write_json(bundle / layout.MANIFEST_FILE, manifest, overwrite=True)
    sums = {
        path.name: io.sha256_file(path)
        for path in bundle.iterdir()
        if path.name != layout.SUMS_FILE
    }
    io.atomic_write_bytes(bundle / layout.SUMS_FILE, format_sums(sums).encode(), overwrite=True)


def _sums(products: Path) -> dict[str, str]:
    """Give what the last stage read: every product as the stages wrote it."""
    files = (p for p in sorted(products.rglob("*.*")) if p.name != layout.RUN_FILE)
    return {f"work/{path.name}": io.sha256_file(path) for path in files if path.is_file()}


def write_run_document(root: Path, **changes: Any) -> None:
    """Write run.json over the products that are there."""
    products = root / layout.PRODUCTS_DIR
    kinds = {".fits": "cube", ".ecsv": "table", ".json": "document", ".png": "figure"}
    kinds[".nc"] = "chains"
    rows = []
    for path in sorted(products.rglob("*.*")):
        if path.name != layout.RUN_FILE:
            kind = "map" if path.stem.endswith("map") else kinds[path.suffix]
            kind = "noise" if path.name.endswith("_noise.fits") else kind
            kind = "table" if path.suffix == ".fits" and "_chaintable" in path.name else kind
            name = path.relative_to(products).as_posix()
            rows.append({"path": name, "kind": kind, "schema": None, "stage": "a stage"})
    document = {
        "schema": "run",
        "target": load_target("rbh1").to_dict(),
        "simulated": True,
        "toy_grid": False,
        "source": "twin",
        "items": ["t001"],
        "code_version": ard.__version__,
        "code_sha256": SHA,
        "config_sha256": SHA,
        "products": rows,
        "absent_layers": {"representative": "no model was fitted to whole cubes"},
        "provenance": record("materialize", _sums(products)).to_dict(),
    }
    io.write_json(products / layout.RUN_FILE, document | changes, overwrite=True)
