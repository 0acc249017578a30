"""How is the manifest of a bundle written, and the list that `sha256sum -c` reads?"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ard import layout
from ard.manifest import NAME, SCHEMA
from ard.parts import file_parts
from ard.sums import file_digests, format_sums
from release.model import FileRecord, Release

# Kind, media type and schema of the files about a whole bundle.
_RENDERED: Final[Mapping[str, tuple[str, str, str | None]]] = {
    layout.CHECKS_FILE: ("document", "application/json", "check-report"),
    layout.CHANGELOG_FILE: ("text", "text/markdown", None),
    layout.DICTIONARY_FILE: ("text", "text/markdown", None),
    layout.DATASHEET_FILE: ("text", "text/markdown", None),
    layout.CITATION_FILE: ("text", "application/yaml", None),
    layout.README_FILE: ("text", "text/markdown", None),
    layout.RECORD_FILE: ("document", "application/json", "deposit-record"),
    layout.DATACITE_FILE: ("document", "application/vnd.datacite.datacite+json", None),
    layout.DATAPACKAGE_FILE: ("document", "application/json", None),
    layout.LANDING_FILE: ("page", "text/html", None),
    layout.CRATE_FILE: ("document", "application/ld+json", None),
}


def product_record(
    path: Path,
    place: tuple[str, str],
    schema: str | None,
    description: Mapping[str, Any],
    source_sha256: str | None = None,
) -> FileRecord:
    """Say what a product is, as it was written.

    Parameters
    ----------
    path : Path
        The file in the bundle.
    place : tuple of str
        Layer and name of the product.
    schema : str or None
        The schema that the run declared.
    description : mapping
        What `ard.describe` says.
    source_sha256 : str, optional
        Digest of the run's product that the file was made from, where it is one file.
    """
    digests = file_digests(path)
    layer, product = place
    return FileRecord(
        name=path.name,
        layer=layer,
        product=product,
        kind=description["kind"],
        media_type=description["media_type"],
        schema=schema,
        size=digests.size,
        sha256=digests.sha256,
        md5=digests.md5,
        provenance=description["provenance"],
        description=description,
        source_sha256=source_sha256,
        parts=file_parts(path),
    )


def rendered_record(path: Path) -> FileRecord:
    """Say what a file about the whole bundle is, as it was written."""
    digests = file_digests(path)
    kind, media_type, schema = _RENDERED[path.name]
    return FileRecord(
        name=path.name,
        layer=None,
        product=None,
        kind=kind,
        media_type=media_type,
        schema=schema,
        size=digests.size,
        sha256=digests.sha256,
        md5=digests.md5,
    )


def manifest_document(release: Release, records: Iterable[FileRecord]) -> dict[str, Any]:
    """Give the JSON form of the manifest.

    Parameters
    ----------
    release : Release
        What the bundle is about.
    records : iterable of FileRecord
        Every file of the bundle except the manifest and the list of sums.
    """
    plan, reservation = release.plan, release.reservation
    rows = sorted(records, key=lambda record: record.name)
    layers = [layer for layer in layout.LAYERS if any(row.layer == layer for row in rows)]
    return {
        "schema": SCHEMA,
        "name": NAME,
        "version": release.version,
        "simulated": plan.simulated,
        "toy_grid": plan.toy_grid,
        "target": dict(plan.target),
        "code_version": plan.code_version,
        "layers": {layer: [row.name for row in rows if row.layer == layer] for layer in layers},
        "absent_layers": dict(plan.absent_layers),
        "date": release.date,
        "doi": release.doi,
        "concept_doi": release.concept_doi,
        "previous_doi": None if reservation is None else reservation.previous_doi,
        "files": [_row(record) for record in rows],
    }


def _row(record: FileRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "layer": record.layer,
        "product": record.product,
        "kind": record.kind,
        "media_type": record.media_type,
        "schema": record.schema,
        "size": record.size,
        "sha256": record.sha256,
        "md5": record.md5,
        "provenance": None if record.provenance is None else dict(record.provenance),
        "source_sha256": record.source_sha256,
        "parts": [part.to_dict() for part in record.parts],
    }


def sums_text(folder: Path) -> str:
    """Give the list of sha256 over every file that is in the folder now."""
    return format_sums({path.name: file_digests(path).sha256 for path in folder.iterdir()})
