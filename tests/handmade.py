"""A small bundle written by hand, not by `release`: reader and writer are two witnesses."""

import hashlib
import json
import zipfile
from pathlib import Path

from astropy.table import Table as AstropyTable
from builders import make_cube, make_map

import ard

PROVENANCE = ard.Provenance("ingest", "0.1.0", "a" * 64, "b" * 64, None, True, {"x": "c" * 64})
KINDS = {
    "likelihood_t001_cube.fits": ("likelihood", "t001_cube", "cube", "application/fits"),
    "likelihood_lines.ecsv": ("likelihood", "lines", "table", "text/x-ecsv"),
    "inference_t001_linemap.fits": ("inference", "t001_linemap", "map", "application/fits"),
    "validation_t001_quality.json": ("validation", "t001_quality", "document", "application/json"),
    "validation_figures.zip": ("validation", "figures", "archive", "application/zip"),
    "README.md": (None, None, "text", "text/markdown"),
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    sums = "".join(f"{sha256(data)}  {name}\n" for name, data in sorted(members.items()))
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**members, "sha256sums.txt": sums.encode()}.items():
            archive.writestr(name, data)


def write_lists(folder: Path, **changes: object) -> None:
    """Write manifest.json and sha256sums.txt for what lies in the folder."""
    entries = []
    for name, (layer, product, kind, media_type) in sorted(KINDS.items()):
        data = (folder / name).read_bytes()
        entries.append(
            {
                "name": name,
                "layer": layer,
                "product": product,
                "kind": kind,
                "media_type": media_type,
                "schema": None,
                "size": len(data),
                "sha256": sha256(data),
                "md5": hashlib.md5(data).hexdigest(),
                "provenance": PROVENANCE.to_dict() if kind == "cube" else None,
                "source_sha256": None,
                "parts": [],
            }
        )
    layers = ("likelihood", "inference", "validation")
    document = {
        "schema": "manifest",
        "name": "rbh1-ard",
        "version": "1.2.3",
        "simulated": True,
        "toy_grid": False,
        "target": {"name": "Test object"},
        "code_version": "0.1.0",
        "layers": {
            layer: [row["name"] for row in entries if row["layer"] == layer] for layer in layers
        },
        "absent_layers": {"representative": "none were made"},
        "date": None,
        "doi": None,
        "concept_doi": None,
        "previous_doi": None,
        "files": entries,
        **changes,
    }
    (folder / "manifest.json").write_text(json.dumps(document))
    write_sums(folder)


def write_sums(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir() if path.name != "sha256sums.txt")
    lines = [f"{sha256((folder / name).read_bytes())}  {name}\n" for name in names]
    (folder / "sha256sums.txt").write_text("".join(lines))


def write_bundle(folder: Path) -> Path:
    """Write a bundle with every kind of file: FITS, a table, a document, a zip, a text."""
    ard.write(folder / "likelihood_t001_cube.fits", make_cube(5))
    lines = AstropyTable({"name": ["OIII5007"], "wave_vac_um": [0.500824]})
    ard.write(folder / "likelihood_lines.ecsv", ard.Table(lines))
    ard.write(folder / "inference_t001_linemap.fits", make_map(6))
    ard.write(folder / "validation_t001_quality.json", {"schema": "quality", "answer": 42})
    (folder / "README.md").write_text("# Read me: ω\n", encoding="utf-8")
    write_zip(folder / "validation_figures.zip", {"a.png": b"picture", "a.ecsv": b"numbers"})
    write_lists(folder)
    return folder
