"""Small bundles that are ready to be deposited, written by hand and not by `release.build`."""

import hashlib
import json
from pathlib import Path

from handmade import sha256, write_sums

from release.reservation import Reservation
from release.verdict import Rules, Verdict

ABSENT = dict.fromkeys(
    ("likelihood", "inference", "representative", "validation"), "not part of the test"
)
RECORD = {
    "access": {"record": "public", "files": "public"},
    "files": {"enabled": True},
    "metadata": {
        "title": "[SIMULATED] A dataset",
        "publication_date": "2026-02-03",
        "resource_type": {"id": "dataset"},
        "creators": [
            {
                "person_or_org": {
                    "type": "personal",
                    "family_name": "Doe",
                    "given_name": "Jane",
                    "identifiers": [{"scheme": "orcid", "identifier": "0000-0002-1825-0097"}],
                },
                "affiliations": [{"name": "Lab"}],
            }
        ],
        "publisher": "Zenodo",
        "description": "<p>A test &amp; nothing else</p>",
        "rights": [{"id": "cc-by-4.0"}],
        "version": "1.0.0",
        "related_identifiers": [
            {
                "identifier": "10.3847/2041-8213/acba86",
                "scheme": "doi",
                "relation_type": {"id": "references"},
            }
        ],
    },
}


def approve(_bundle: Path, _reservation: Reservation) -> Verdict:
    """Find any bundle ready: those here hold no products, which is a matter for the judge alone."""
    return Verdict((), Rules.now())


def write_consignment(
    folder: Path,
    files: dict[str, bytes],
    reservation: Reservation | None = None,
    *,
    record: dict[str, object] | None = RECORD,
    **changes: object,
) -> Path:
    """Write a bundle of the files given, with README.md that bears the DOI, and zenodo.json.

    Parameters
    ----------
    folder : Path
    files : dict of str to bytes
    reservation : Reservation, optional
        Whose DOIs it bears.
    record : dict or None
        What zenodo.json holds; None writes none.
    **changes
        Fields of the manifest.
    """
    folder.mkdir(parents=True)
    doi = "DOI: not yet reserved" if reservation is None else reservation.doi
    contents = {**files, "README.md": f"# Data\n\n{doi}\n".encode()}
    if record is not None:
        contents["zenodo.json"] = json.dumps(record).encode()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    manifest = {
        "schema": "manifest",
        "name": "rbh1-ard",
        "version": "1.0.0",
        "simulated": True,
        "toy_grid": False,
        "target": {"name": "Test object"},
        "code_version": "0.1.0",
        "layers": {},
        "absent_layers": ABSENT,
        "date": "2026-02-03",
        "doi": None if reservation is None else reservation.doi,
        "concept_doi": None if reservation is None else reservation.concept_doi,
        "previous_doi": None if reservation is None else reservation.previous_doi,
        "files": [_entry(name, data) for name, data in sorted(contents.items())],
        **changes,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)
    return folder


def _entry(name: str, data: bytes) -> dict[str, object]:
    return {
        "name": name,
        "layer": None,
        "product": None,
        "kind": "text",
        "media_type": "text/plain",
        "schema": None,
        "size": len(data),
        "sha256": sha256(data),
        "md5": hashlib.md5(data).hexdigest(),
        "provenance": None,
        "source_sha256": None,
        "parts": [],
    }
