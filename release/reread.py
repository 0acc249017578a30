"""Do the papers of a bundle say what its manifest, its products and its check report say?

All papers are rendered from one model. That model is made again from the bundle, the papers are
rendered again, and any that has other bytes was changed by hand, or follows from something else.
"""

import html
import math
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, Final

from ard import layout
from ard.bundle import Bundle
from ard.describe import describe
from ard.errors import ArdError
from ard.fileio import read_json, sha256_file
from ard.manifest import Entry, Manifest
from ard.source import LocalSource
from ard.sums import Finding, quote
from ard.table import read_ecsv
from manifests.dataset import load_dataset
from release.counting import count
from release.diff.acceptance import product_results
from release.diff.model import Verdict, Version
from release.diff.snapshot import Snapshot
from release.diff.words import title
from release.manifest import product_record, rendered_record
from release.model import INSIDE, FileRecord, Plan, Release
from release.papers import crate_of, page_of, papers_of
from release.record import SOURCE_URI
from release.render.changelog import render_changelog
from release.reservation import Reservation, reserved

_OTHER: Final = "does not say what the manifest, the products and the check report say"
_ANEW: Final = "the bundle, built anew with this version of rbh1-ard"
# Both tell, for a product inside a zip, the schema that the run declared for it; no bundle does.
_OF_MEMBERS: Final = (layout.DICTIONARY_FILE, layout.DATASHEET_FILE)
_ROUNDING: Final = 1e-6
_ITEM: Final = re.compile("<li>(.*?)</li>", re.DOTALL)
_CHANGES: Final = re.compile(
    r"<p><strong>Changes since [^<]*</strong></p>\n<ul>\n(.*?)\n</ul>", re.DOTALL
)


def paper_findings(
    folder: Path, manifest: Manifest, reservation: Reservation | None
) -> Iterator[Finding]:
    """Report every paper that is not the one which follows from the rest of the bundle.

    Parameters
    ----------
    folder : Path
        The bundle.
    manifest : Manifest
        Its manifest.
    reservation : Reservation, optional
        What it is said to be built with; as its DOIs tell by default.
    """
    try:
        release = _release_of(folder, manifest, reservation)
        wanted = _wanted(folder, release)
    except (ArdError, KeyError, TypeError, ValueError, OSError) as error:
        # Only what is missing or damaged cannot be read.
        problem = "the papers cannot be compared with the bundle"
        yield Finding(".", problem, _ANEW, f"{type(error).__name__}: {error}")
        return
    for name, data in wanted.items():
        path = folder / name
        found = path.read_bytes() if path.is_file() else b""
        if found != data:
            yield Finding(name, _OTHER, _ANEW, _where(data, found))
    yield from _changelog(folder, release, manifest)


def papers_again(
    folder: Path, manifest: Manifest, reservation: Reservation | None
) -> dict[str, bytes]:
    """Render the papers of a bundle again, from its manifest, products and check report.

    Check report and changelog themselves are not among them, and where products share a zip, nor
    are dictionary and dataset card: what these say is not all in the bundle.

    Parameters
    ----------
    folder, manifest, reservation
        As for `paper_findings`.

    Raises
    ------
    ArdError, OSError, KeyError, TypeError, ValueError
        If something that is needed is missing, or cannot be understood.
    """
    return _wanted(folder, _release_of(folder, manifest, reservation))


def report_findings(
    folder: Path, manifest: Manifest, report: Mapping[str, Any]
) -> Iterator[Finding]:
    """Report where the check report of a bundle is not what the judge says now.

    The one was made of the run, the other of the bundle: compared is what they say about products
    that both have.

    Parameters
    ----------
    folder : Path
        The bundle.
    manifest : Manifest
        Its manifest.
    report : mapping
        What the judge says about the bundle now.
    """
    name = layout.CHECKS_FILE
    try:
        bundle = Bundle(LocalSource(folder), manifest)
        snapshot = Snapshot.of(bundle)
        stored = read_json(folder / name)
        before = product_results(replace(snapshot, checks=stored))
        now = product_results(replace(snapshot, checks=report))
    except (ArdError, KeyError, TypeError) as error:
        yield Finding(name, "cannot be compared with what the judge says now", found=str(error))
        return
    for field in ("acceptance_sha256", "code_version"):
        if stored[field] != report[field]:
            problem = f"its {field} is not that of the judge"
            yield Finding(name, problem, str(report[field]), str(stored[field]))
    # Some checks are made of runs alone.
    made = {check for check, _ in now}
    keys = sorted(key for key in before.keys() | now.keys() if key[0] in made)
    other = [key for key in keys if not _same(before.get(key), now.get(key))]
    if other:
        check, product = other[0]
        problem = f"differs from what the judge says now in {count(len(other), 'result')}"
        yield Finding(name, problem, _ANEW, f"the first is {check} on {product}")


def _same(before: Verdict | None, now: Verdict | None) -> bool:
    """Tell whether two results are one; another machine may round the last digits otherwise."""
    if before is None or now is None:
        return before is now
    was, found = before.measured, now.measured
    if isinstance(was, float) and isinstance(found, float):
        close = math.isclose(was, found, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
        return close and replace(before, measured=None) == replace(now, measured=None)
    return before == now


def _wanted(folder: Path, release: Release) -> dict[str, bytes]:
    papers = papers_of(release, folder)
    names = (layout.CHECKS_FILE, layout.CHANGELOG_FILE, *papers)
    rendered = [rendered_record(folder / name) for name in names]
    page = rendered_record(folder / layout.LANDING_FILE)
    papers[layout.LANDING_FILE] = page_of(release, rendered)
    papers[layout.CRATE_FILE] = crate_of(release, [*rendered, page])
    if any(product.members for product in release.products):
        for name in _OF_MEMBERS:
            del papers[name]
    return papers


def _where(expected: bytes, found: bytes) -> str:
    """Show the first line that is another one."""
    lines = expected.splitlines(), found.splitlines()
    for number, (want, have) in enumerate(zip(*lines, strict=False), start=1):
        if want != have:
            return f"line {number}: {quote(have.decode(errors='replace').strip())}"
    return f"{len(lines[1])} lines, where {len(lines[0])} belong"


def _release_of(folder: Path, manifest: Manifest, reservation: Reservation | None) -> Release:
    """Make again what the papers were rendered from."""
    with tempfile.TemporaryDirectory() as scratch:
        entries = {entry.name: entry for entry in manifest.entries if entry.layer is not None}
        # The order of the products is that of the plan, and stands in one paper.
        listed = [row["path"] for row in read_json(folder / layout.DATAPACKAGE_FILE)["resources"]]
        order = {name: number for number, name in enumerate(listed)}
        names = sorted(entries, key=lambda name: (order.get(name, len(order)), name))
        products = tuple(_product(folder / name, entries[name], Path(scratch)) for name in names)
        observed = not manifest.simulated
        sources = _sources(folder, products, Path(scratch)) if observed else ()
    plan = Plan(
        run=folder,
        files=(),
        simulated=manifest.simulated,
        toy_grid=manifest.toy_grid,
        target=manifest.target,
        code_version=manifest.code_version,
        absent_layers=manifest.absent_layers,
    )
    return Release(
        plan=plan,
        dataset=load_dataset(),
        version=manifest.version,
        date=manifest.date,
        products=products,
        report=read_json(folder / layout.CHECKS_FILE),
        reservation=_reserved(folder, manifest, reservation),
        changes=_changes(folder, manifest),
        sources=sources,
    )


def _product(path: Path, entry: Entry, scratch: Path) -> FileRecord:
    description = describe(path)
    return FileRecord(
        name=entry.name,
        layer=entry.layer,
        product=entry.product,
        kind=entry.kind,
        media_type=entry.media_type,
        schema=entry.schema,
        size=entry.size,
        sha256=entry.sha256,
        md5=entry.md5,
        provenance=description["provenance"],
        description=description,
        source_sha256=entry.source_sha256,
        parts=entry.parts,
        members=tuple(_members(path, entry, scratch)),
    )


def _members(path: Path, entry: Entry, scratch: Path) -> Iterator[FileRecord]:
    """Give the products that share a zip; each is taken out, since only a file can be described."""
    if path.suffix != ".zip" or not layout.is_packed(str(entry.product)):
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name != layout.SUMS_FILE:
                member = scratch / path.stem / PurePath(name).name
                member.parent.mkdir(exist_ok=True)
                member.write_bytes(archive.read(name))
                place = (str(entry.layer), member.stem)
                record = product_record(member, place, None, describe(member), sha256_file(member))
                yield replace(record, name=f"{entry.name}{INSIDE}{name}")


def _sources(folder: Path, products: tuple[FileRecord, ...], scratch: Path) -> tuple[str, ...]:
    """Name the archive's files that an observed run stands on, as `release.record` does."""
    tables = []
    for product in products:
        if product.members:
            tables += [
                scratch / PurePath(product.name).stem / member.name.partition(INSIDE)[2]
                for member in product.members
                if member.product == layout.ARCHIVE
            ]
        elif product.product == layout.ARCHIVE:
            tables.append(folder / product.name)
    uris = {str(uri) for path in tables for uri in read_ecsv(path).data[SOURCE_URI].tolist()}
    return tuple(sorted(uris))


def _changes(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """Give what the record says is new: it follows from the version before, which is not here."""
    if manifest.doi is not None and manifest.previous_doi is None:
        return ()
    document = read_json(folder / layout.RECORD_FILE)
    found = _CHANGES.search(document["metadata"]["description"])
    return () if found is None else tuple(map(html.unescape, _ITEM.findall(found[1])))


def _reserved(
    folder: Path, manifest: Manifest, reservation: Reservation | None
) -> Reservation | None:
    """Give what a bundle was built with, as its manifest tells.

    Whether its DOIs are the reserved ones is another question; but which page they lead to only the
    reservation says, or else one of the papers, which all others then have to agree with.
    """
    if reservation is not None and reservation.doi == manifest.doi:
        target, record_id = reservation.target, reservation.record_id
    else:
        url = str(read_json(folder / layout.DATACITE_FILE).get("url"))
        target, _, record_id = url.partition("/records/")
    told = reserved(manifest)
    return None if told is None else replace(told, target=target, record_id=record_id)


def _changelog(folder: Path, release: Release, manifest: Manifest) -> Iterator[Finding]:
    """Hold the changelog against the rest; what an older version wrote there is not here."""
    name = layout.CHANGELOG_FILE
    found = (folder / name).read_text(encoding="utf-8", errors="replace")
    if not release.changes:
        if found != render_changelog(release):
            yield Finding(name, _OTHER, _ANEW)
        return
    heading = title(Version(manifest.version, manifest.date, manifest.doi))
    start = f"# Changes: {release.title}\n\n## {heading}\n"
    dois = [doi for doi in (manifest.doi, manifest.previous_doi) if doi is not None]
    parts = [f"- {change}\n" for change in release.changes]
    parts += [f"](https://doi.org/{doi})" for doi in dois]
    if not found.startswith(start) or not all(part in found for part in parts):
        yield Finding(name, _OTHER, _ANEW)
