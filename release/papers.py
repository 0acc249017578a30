"""Which papers follow from a release alone, and with which bytes?

Whoever builds a bundle writes them, and whoever has to know whether it is ready writes them again,
in memory, and compares.
"""

from collections.abc import Iterable
from pathlib import Path

from ard import layout
from ard.fileio import json_bytes
from release.model import FileRecord, Release
from release.record import record_of
from release.render.citation import render_citation
from release.render.datacite import datacite_document
from release.render.datapackage import datapackage_document
from release.render.datasheet import render_datasheet
from release.render.dictionary import render_dictionary
from release.render.landing import render_landing
from release.render.readme import render_readme
from release.render.rocrate import crate_document
from release.render.zenodo import zenodo_document


def papers_of(release: Release, folder: Path) -> dict[str, bytes]:
    """Write the papers that name no other paper's bytes, in the order in which they are listed.

    Parameters
    ----------
    release : Release
        What the bundle is about.
    folder : Path
        Where its products lie.

    Returns
    -------
    dict of str to bytes
        Without check report and changelog, which do not follow from a release alone.
    """
    record = record_of(release)
    return {
        layout.DICTIONARY_FILE: render_dictionary(release).encode(),
        layout.DATASHEET_FILE: render_datasheet(release).encode(),
        layout.CITATION_FILE: render_citation(record).encode(),
        layout.README_FILE: render_readme(release).encode(),
        layout.RECORD_FILE: json_bytes(zenodo_document(record)),
        layout.DATACITE_FILE: json_bytes(datacite_document(record)),
        layout.DATAPACKAGE_FILE: json_bytes(datapackage_document(release, folder)),
    }


def page_of(release: Release, rendered: Iterable[FileRecord]) -> bytes:
    """Write the page of a bundle, which lists the other papers with their sums."""
    return render_landing(release, rendered).encode()


def crate_of(release: Release, rendered: Iterable[FileRecord]) -> bytes:
    """Write the RO-Crate of a bundle, which lists the page as well."""
    return json_bytes(crate_document(release, rendered))
