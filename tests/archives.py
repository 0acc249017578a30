"""A rehearsal archive of four files, and the public command to fetch them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from astropy.io import fits
from click.testing import CliRunner

from ard.fileio import md5_file, sha256_file, write_json
from manifests import load_lock, load_selection, lock_path
from manifests.lock import Lock, LockedFile
from pipeline.acquire.testing import ArchiveFile, make_archive

JWST = "jw03149-o001_t001_nirspec_g140m-f100lp_s3d.fits"
HST = "if3x01010_drc.fits"
FILES = (JWST, "jw03149-o001_t002_nirspec_g140m-f100lp_s3d.fits", HST, "if3x01020_drc.fits")

# Two groups of two files: one with checksums of the archive, one without.
SELECTION = r"""
[selection]
name = "mini"
title = "four files"
target = "rbh1"

[[programs]]
collection = "HST"
program = "17301"
source = "a test"

[[programs]]
collection = "JWST"
program = "3149"
file_service = "Mast.Jwst.Filtered.Nirspec"
source = "a test"

[[groups]]
name = "hst"
title = "images"
collection = "HST"
program = "17301"
pattern = 'if3x010[12]0_drc\.fits'
count = 2
typical_bytes = 50000
extensions = [["SCI", 2, -32], ["WHT", 2, -32], ["CTX", 2, 32]]
source = "a test"

[[groups]]
name = "jwst"
title = "cubes"
collection = "JWST"
program = "3149"
pattern = 'jw03149-o001_t00\d_\S+_s3d\.fits'
count = 2
typical_bytes = 50000
extensions = [["SCI", 3, -32], ["ERR", 3, -32], ["DQ", 3, 32], ["WMAP", 3, -32], ["ASDF", 2, 8]]
source = "a test"
"""


@dataclass
class Result:
    """What a command said: its exit code, its JSON, and everything that it wrote."""

    code: int
    document: dict[str, Any]
    text: str

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.document["files"]}

    def status(self, name: str) -> str:
        return str(self.files[name]["status"])


def run_cli(*words: object) -> Result:
    from pipeline.cli import cli

    done = CliRunner().invoke(cli, [str(word) for word in ("acquire", *words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    start = done.stdout.find("{")
    document = json.loads(done.stdout[start:]) if start >= 0 and "--json" in words else {}
    return Result(done.exit_code, document, done.output)


@dataclass(frozen=True)
class Mini:
    """Four archive files, their selection, and locks that know nothing or everything of them."""

    files: Mapping[str, ArchiveFile]
    selection: Path
    unknown: Path
    known: Path

    def truth(self, name: str) -> bytes:
        return self.files[name].path.read_bytes()


def make_mini(folder: Path) -> Mini:
    whole = load_selection()
    lock = load_lock(lock_path(), whole)
    named = Lock("rbh1", tuple(file for file in lock.files if file.name in FILES))
    # 0.1 and 0.4 MB: more than one checkpoint of a transfer.
    made = make_archive(folder / "archive", whole, named, scale=2e-3)
    files = {file.name: file for file in made}
    selection = folder / "mini.toml"
    selection.write_text(SELECTION)
    rows = {
        name: LockedFile(file.uri, name, file.collection.lower()) for name, file in files.items()
    }
    unknown, known = folder / "unknown.json", folder / "known.json"
    write_json(unknown, Lock("mini", tuple(rows.values())).to_dict())
    known_rows = (
        LockedFile(
            row.uri, name, row.group, files[name].size, sha256_file(files[name].path), "size"
        )
        for name, row in rows.items()
    )
    write_json(known, Lock("mini", tuple(known_rows)).to_dict())
    return Mini(files, selection, unknown, known)


def downloads(server):
    return [r for r in server.requests if "Download" in r.path and r.method == "GET"]


def reprocessed(mini, tmp_path, name):
    """Another version of a file, as the archive would make it."""
    old = mini.files[name]
    path = tmp_path / "again" / name
    path.parent.mkdir(exist_ok=True)
    with fits.open(old.path) as hdus:
        hdus["SCI"].data[0, 0] += 1.0
        hdus.writeto(path)
    checksum = md5_file(path) if old.checksum else None
    return replace(old, path=path, checksum=checksum, cal_ver="1.18.0" if checksum else None)
