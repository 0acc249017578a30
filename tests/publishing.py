"""Small bundles that are published on the contract server, by plain requests.

Neither the bundle nor its deposit is made by `release`, and the list of parts comes from astropy
and zipfile, so that reader and writer are two witnesses.
"""

import functools
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits
from builders import make_cube
from caller import DOCUMENT, Caller
from handmade import write_bundle, write_lists, write_sums

import ard
from release.testing import ContractServer, RequestRecord

CUBE = "likelihood_t001_cube.fits"
FIGURES = "validation_figures.zip"
LISTS = ("sha256sums.txt", "manifest.json")


@dataclass(frozen=True)
class Published:
    """A record of the contract server, and the folder that was deposited in it."""

    id: str
    doi: str
    concept_id: str
    concept_doi: str
    folder: Path

    def bytes(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def part(self, name: str, part: str) -> dict[str, Any]:
        """What the manifest says about a part of a file."""
        (entry,) = [row for row in manifest_of(self.folder)["files"] if row["name"] == name]
        (found,) = [row for row in entry["parts"] if row["name"] == part]
        return found


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def no_change(folder: Path) -> None:
    """Leave a bundle as it is."""


@functools.cache
def _bundle_files() -> dict[str, bytes]:
    """The files of the bundle; made once, because its zip holds the time."""
    with tempfile.TemporaryDirectory() as folder:
        return {path.name: path.read_bytes() for path in write_bundle(Path(folder)).iterdir()}


def write_same_bundle(folder: Path) -> None:
    """Write the bundle of `handmade`, with the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in _bundle_files().items():
        (folder / name).write_bytes(data)


@functools.cache
def _larger_cube() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        ard.write(Path(folder) / CUBE, make_cube(5, (60, 50, 40)))
        return (Path(folder) / CUBE).read_bytes()


def larger_cube(folder: Path) -> None:
    """Give the bundle a cube of about 2 MB, so that a transfer can be cut in the middle."""
    (folder / CUBE).write_bytes(_larger_cube())


def parts_of(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, first byte and size of each part, as other libraries see them."""
    if path.suffix == ".fits":
        with fits.open(path) as hdus:
            for hdu in hdus:
                where = hdu.fileinfo()
                end = where["datLoc"] + where["datSpan"]
                yield hdu.name or "PRIMARY", where["hdrLoc"], end - where["hdrLoc"]
    elif path.suffix == ".zip":
        data = path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                content = archive.read(info)
                yield info.filename, data.index(content, info.header_offset), len(content)


def list_parts(folder: Path) -> None:
    """Add the parts to the manifest, and write the sums anew."""
    document = manifest_of(folder)
    for row in document["files"]:
        data = (folder / row["name"]).read_bytes()
        row["parts"] = [
            {
                "name": name,
                "offset": offset,
                "size": size,
                "sha256": hashlib.sha256(data[offset : offset + size]).hexdigest(),
            }
            for name, offset, size in parts_of(folder / row["name"])
        ]
    (folder / "manifest.json").write_text(json.dumps(document))
    write_sums(folder)


def publish(
    server: ContractServer,
    folder: Path,
    *,
    after: str | None = None,
    edit: Callable[[Path], None] = no_change,
    finish: Callable[[Path], None] = no_change,
    **lists: Any,
) -> Published:
    """Write a bundle that bears the DOIs it gets, and publish it.

    Parameters
    ----------
    server : ContractServer
        Where to.
    folder : Path
        Where the bundle is written.
    after : str, optional
        The record of which this is a new version.
    edit, finish : callable
        Change files before the lists are written, and anything when all is written.
    **lists
        What the manifest says differently.
    """
    draft = reserve(server, after)
    write_same_bundle(folder)
    edit(folder)
    write_lists(folder, **{"doi": draft.doi, "concept_doi": draft.concept_doi, **lists})
    list_parts(folder)
    finish(folder)
    deposit(server, draft, folder)
    return Published(**vars(draft), folder=folder)


@dataclass(frozen=True)
class Draft:
    """What the archive has promised."""

    id: str
    doi: str
    concept_id: str
    concept_doi: str


def reserve(server: ContractServer, after: str | None = None) -> Draft:
    """Make a draft that has a DOI: of something new, or of a new version."""
    path = "/records" if after is None else f"/records/{after}/versions"
    with closing(Caller(server.url, server.token)) as caller:
        draft = caller("POST", path, DOCUMENT if after is None else None).json
        ident, concept = draft["id"], draft["parent"]["id"]
        pids = caller("POST", f"/records/{ident}/draft/pids/doi").json["pids"]
    doi = pids["doi"]["identifier"]
    return Draft(ident, doi, concept, f"{doi.partition('/')[0]}/zenodo.{concept}")


def deposit(server: ContractServer, draft: Draft, folder: Path) -> None:
    """Upload a folder and publish it; the log of the server begins anew."""
    with closing(Caller(server.url, server.token)) as caller:
        for file in sorted(folder.iterdir()):
            caller.upload(draft.id, file.name, file.read_bytes())
        assert caller("POST", f"/records/{draft.id}/draft/actions/publish").status == 202
    server.clear_log()


def downloads(server: ContractServer, *names: str) -> list[RequestRecord]:
    """The requests for the content of files: all of them but the lists, or those named."""
    found = [row for row in server.log if row.path.endswith("/content")]
    return [row for row in found if (row.key in names if names else row.key not in LISTS)]


@contextmanager
def without_waiting() -> Iterator[list[float]]:
    """Let the client's waits take no time; gives the list of their lengths, in seconds."""
    from ard.remote import client

    waits: list[float] = []
    original, client._pause = client._pause, waits.append
    try:
        yield waits
    finally:
        client._pause = original
