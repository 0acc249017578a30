"""A tiny finished run, and a judge that says what the test wants to hear."""

import json
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from astropy.table import Table as AstropyTable
from builders import make_cube, make_map

import ard

TARGET = {
    "name": "Test object",
    "item": "rbh1",
    "redshift": 0.964,
    "host": {"ra_deg": 40.4393, "dec_deg": -8.3487},
    "tip": None,
    "position_angle_deg": None,
    "cosmology": {"h0": 70.0, "om0": 0.3},
}
OBSERVATION = {
    "TIMESYS": "UTC",
    "DATE-BEG": "2024-07-24T13:39:32.533",
    "DATE-END": "2024-07-24T14:38:37.633",
    "EFFEXPTM": 14005.336,
    "PROGRAM": "03149",
}
HLSP = "hlsp_rbh1-ard_jwst_nirspec_rbh1-t001_g140m-f100lp_v{major}_{type}.fits"
CUBE = HLSP.format(major=0, type="likelihood-cube")
LINEMAP = HLSP.format(major=0, type="inference-linemap")
DIGEST = {name: name[0] * 64 for name in "abcdef"}


def provenance(stage: str, simulated: bool) -> ard.Provenance:
    return ard.Provenance(
        stage,
        "0.1.0",
        DIGEST["a"],
        DIGEST["b"],
        7,
        simulated,
        {"input_s3d.fits": DIGEST["c"]},
        {"numpy": "2.1.0", "astropy": "7.0.0"},
    )


def png() -> bytes:
    """One grey pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\x00\x7f")
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def write_run(root: Path, *, simulated: bool = True, toy_grid: bool = False) -> Path:
    """Write a run with a cube, a map, two tables, two documents and two figures."""
    products = root / "products"
    mark = {"SIMULATD": True} if simulated else {}
    looked = {"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP"}
    cube = make_cube(1, (7, 6, 5)).replace(
        meta={**looked, **OBSERVATION, "TARGNAME": "TEST", **mark},
        provenance=provenance("ingest", simulated),
    )
    maps = make_map(2).replace(
        meta={**looked, "TARGNAME": "TEST", **mark}, provenance=provenance("linemap", simulated)
    )
    lines = AstropyTable({"name": ["OIII5007"], "wave_vac_um": [0.500824]})
    lines["wave_vac_um"].unit = "um"
    table = ard.Table(lines, {}, provenance("ingest", simulated))
    quality = {
        "schema": "quality",
        "item": "t001",
        "simulated": simulated,
        "provenance": provenance("validate", simulated).to_dict(),
    }
    ard.write(products / "likelihood/t001_cube.fits", cube)
    ard.write(products / "likelihood/lines.ecsv", table)
    ard.write(products / "inference/t001_linemap.fits", maps)
    ard.write(products / "validation/t001_quality.json", quality)
    ard.write(products / "validation/figures/velocity.png", png())
    ard.write(products / "validation/figures/velocity.ecsv", table)
    write_record(root, simulated=simulated, toy_grid=toy_grid)
    return root


def write_record(root: Path, **changes: object) -> None:
    """Write run.json for what lies in the folder of products."""
    schema_of = {
        "t001_cube.fits": "cube",
        "t001_linemap.fits": "linemap",
        "lines.ecsv": "lines",
        "t001_quality.json": "quality",
        "t001_noise.fits": "noise",
        "t001_noisemodel.json": "noise-model",
    }
    products = root / "products"
    kinds = {".fits": "cube", ".ecsv": "table", ".json": "document", ".png": "figure"}
    rows = [
        {
            "path": path.relative_to(products).as_posix(),
            "kind": kinds.get(path.suffix, "text"),
            "schema": schema_of.get(path.name),
            "stage": "ingest",
        }
        for path in sorted(products.rglob("*"))
        if path.is_file() and path.name != "run.json"
    ]
    record = {
        "schema": "run",
        "target": TARGET,
        "simulated": True,
        "toy_grid": False,
        "source": "twin",
        "items": ["t001"],
        "code_version": "0.1.0",
        "code_sha256": DIGEST["a"],
        "config_sha256": DIGEST["b"],
        "products": rows,
        "absent_layers": {"representative": "no synthetic cubes are made yet"},
        **changes,
    }
    (products / "run.json").write_text(json.dumps(record))


@dataclass
class FakeJudge:
    """Passes everything, unless told otherwise; stands in for the registry of checks."""

    rows: list[dict[str, object]] = field(default_factory=lambda: [result()])
    verdict: str = "PASSED"

    def __call__(self, folder: Path, **_: object) -> "FakeJudge":
        return self

    def to_dict(self) -> dict[str, object]:
        counts = dict.fromkeys(("PASSED", "FAILED", "ERROR", "SKIPPED", "waived", "products"), 0)
        for row in self.rows:
            counts[row["status"]] += 1
        return {
            "schema": "check-report",
            "folder_kind": "run",
            "results": self.rows,
            "counts": counts,
            "verdict": self.verdict,
            "code_version": "0.1.0",
            "acceptance_sha256": DIGEST["d"],
        }


def result(check: str = "format.cube", status: str = "PASSED", **changes: object):
    return {
        "check": check,
        "product": "likelihood/t001_cube.fits",
        "status": status,
        "measured": 1.5,
        "limit": "<= 1",
        "unit": "km/s",
        "detail": "The cube | was looked at.",
        "remedy": "",
        "waived": None,
        **changes,
    }


WAIVER = {
    "check": "physics.map_chi2",
    "product": "*",
    "reason": "a known feature of the test",
    "author": "A. Tester",
    "expires": "2999-12-31",
}
