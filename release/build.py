"""How is a bundle written, so that it is either whole or not there at all?

Plan, judge, write into a folder beside the final one, verify every byte of it, and only then give
it its name.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ard import layout
from ard.bundle import Bundle
from ard.describe import describe
from ard.errors import IntegrityError
from ard.fileio import atomic_write_bytes, json_bytes, sha256_file
from ard.integrity import bundle_digest, not_intact, verify
from manifests.dataset import load_dataset
from release.days import judging_day
from release.gate import Judge, describe_products, judge_run
from release.hlsp import Collection, collection_of
from release.manifest import manifest_document, product_record, rendered_record, sums_text
from release.model import INSIDE, Built, FileRecord, Plan, PlannedFile, RefusedError, Release
from release.pack import archive_comment, write_archive
from release.papers import crate_of, page_of, papers_of
from release.place import beside, give_name, require_place
from release.plan import FIRST_VERSION, declared_schemas, make_plan
from release.ready import limit_findings
from release.record import archived_files
from release.render.changelog import render_changelog
from release.reservation import Reservation
from release.stamp import stamp
from release.versions import previous_bundle, require_ordered, with_changes

_BLOCK: Final = 1 << 20

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """Say how a bundle is to be built.

    Attributes
    ----------
    version : str
        Version of the data.
    date : str or None
        Day of release, ISO 8601; None writes none.
    overwrite : bool
        Replace a bundle that is there.
    reservation : Reservation or None
        The DOIs that the bundle bears; None builds one that cannot be deposited.
    previous : str, Path or None
        Folder or DOI of the version before, which this one must not fall behind; None for the
        first version.
    """

    version: str = FIRST_VERSION
    date: str | None = None
    overwrite: bool = False
    reservation: Reservation | None = None
    previous: str | Path | None = None


def build(
    run: Path,
    out: Path,
    options: Options = Options(),
    *,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> Built:
    """Write the bundle of a run.

    Parameters
    ----------
    run : Path
        The run folder.
    out : Path
        The bundle to write. It must not exist, unless it is a bundle and may be overwritten.
    options : Options
        Version, date, overwriting.
    judge : callable, optional
        Judges the run; the registry of `checks` by default, with the waivers that hold on the day
        of release, or today if that is later.
    progress : callable, optional
        Is told, in a few words, what is being done.

    Returns
    -------
    Built
        Where it is, and its digest.

    Raises
    ------
    RefusedError
        If a check, the content of the run or the version before forbids it; nothing is written.
    FormatError
        If the version is none of Semantic Versioning.
    ArdError
        If the run or the place for the bundle is not usable; nothing is left behind.
    """
    tell = progress or _silent
    require_place(run, out, overwrite=options.overwrite)
    material = _approve(run, options, judge, tell)
    with beside(out) as folder:
        _fill(folder, material, options, tell)
        tell("verifying every byte")
        findings = verify(folder, "full")
        if findings:
            raise not_intact(folder, findings)
        _require_room(folder)
        # The run was good; what was made of it is what leaves the house.
        tell("judging the bundle")
        judge_run(folder, judge, judging_day(options.date))
        give_name(folder, out)
    return Built(
        folder=out,
        digest=bundle_digest(out),
        files=len(material.plan.files),
        size=sum(path.stat().st_size for path in out.iterdir()),
    )


def rehearse(run: Path, out: Path, options: Options = Options()) -> Plan:
    """Say what `build` would write, and refuse what it would refuse before it judges.

    Raises
    ------
    RefusedError, ArdError
        As `build` does for the place, the content of the run, and the version before.
    """
    require_place(run, out, overwrite=options.overwrite)
    return _plan(run, options)[0]


def _plan(run: Path, options: Options) -> tuple[Plan, Bundle | None]:
    require_ordered(options.version)
    plan = make_plan(run, options.version)
    return plan, previous_bundle(plan, options.version, options.reservation, options.previous)


@dataclass(frozen=True)
class _Material:
    """What was judged: the plan, the digest of each source, the report, the descriptions.

    And the version before, if there is one.
    """

    plan: Plan
    before: Mapping[Path, str]
    report: Mapping[str, Any]
    descriptions: Mapping[str, Mapping[str, Any]]
    previous: Bundle | None


def _approve(run: Path, options: Options, judge: Judge | None, tell: Progress) -> _Material:
    tell("planning")
    plan, previous = _plan(run, options)
    # Taken before the checks run, so that what is released is what was judged.
    before = {path: sha256_file(path) for file in plan.products for path in file.sources.values()}
    tell("running the checks")
    # What is accepted has to be accepted still when it is released.
    report = judge_run(run, judge, judging_day(options.date))
    return _Material(plan, before, report, describe_products(plan), previous)


def _fill(folder: Path, material: _Material, options: Options, tell: Progress) -> None:
    collection = _collection(material.plan, options)
    records = []
    for file in material.plan.products:
        tell(f"writing {file.name}")
        records.append(_write_product(folder, file, material, collection))
    release = Release(
        plan=material.plan,
        dataset=load_dataset(),
        version=options.version,
        date=options.date,
        products=tuple(records),
        report=material.report,
        reservation=options.reservation,
        sources=archived_files(material.plan),
    )
    release = with_changes(release, folder, material.previous, tell)
    tell("writing the documents")
    _write_documents(folder, release)


def _silent(_: str) -> None:
    return None


def _require_room(folder: Path) -> None:
    """Refuse what only shows when everything is written: papers and headers take room as well."""
    reasons = tuple(str(finding) for finding in limit_findings(folder))
    if reasons:
        problem = "the bundle is not built: no deposit takes it"
        raise RefusedError(problem, reasons, "leave products out, or divide the release")


def _collection(plan: Plan, options: Options) -> Collection:
    concept = None if options.reservation is None else options.reservation.concept_doi
    simulated = plan.simulated
    return collection_of(
        load_dataset(), plan.target, options.version, simulated=simulated, concept_doi=concept
    )


def _write_product(
    folder: Path, file: PlannedFile, material: _Material, collection: Collection
) -> FileRecord:
    """Copy, stamp or pack one product, and make sure that it is the one that was judged."""
    path, plan = folder / file.name, material.plan
    place = (str(file.layer), str(file.product))
    if file.name.endswith(".zip"):
        members = write_archive(path, file.sources, archive_comment(plan.simulated))
        for name, source in file.sources.items():
            _require_same(source, material.before[source], members[name])
        record = product_record(path, place, None, describe(path))
        return replace(record, members=tuple(_members(file, material)))
    (source,) = file.sources.values()
    before = material.before[source]
    if file.name.endswith(layout.HLSP_SUFFIX):
        _require_same(source, before, stamp(source, path, collection))
    else:
        _copy(source, path)
        _require_same(source, before, sha256_file(path))
    description = material.descriptions[file.name]
    return product_record(path, place, _schema(plan, source), description, before)


def _members(file: PlannedFile, material: _Material) -> Iterator[FileRecord]:
    """Give the products that share a zip, as if each had a file of its own."""
    for name, source in file.sources.items():
        label = f"{file.name}{INSIDE}{name}"
        if label in material.descriptions:
            place, before = (str(file.layer), Path(name).stem), material.before[source]
            description = material.descriptions[label]
            record = product_record(
                source, place, _schema(material.plan, source), description, before
            )
            yield replace(record, name=label)


def _schema(plan: Plan, source: Path) -> str | None:
    return declared_schemas(plan.run).get(source.relative_to(_products(plan)).as_posix())


def _products(plan: Plan) -> Path:
    return plan.run / layout.PRODUCTS_DIR


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, _BLOCK)
        writer.flush()
        os.fsync(writer.fileno())


def _require_same(source: Path, before: str, written: str) -> None:
    if before != written:
        raise IntegrityError(
            "a product changed while the bundle was being built",
            file=source,
            expected=before,
            found=written,
            action="wait until the run is finished, then build again",
        )


def _write_documents(folder: Path, release: Release) -> None:
    """Write what tells about the products, then the two lists of everything."""
    papers = {
        layout.CHECKS_FILE: json_bytes(release.report),
        layout.CHANGELOG_FILE: render_changelog(release).encode(),
        **papers_of(release, folder),
    }
    rendered = [_write_paper(folder / name, data) for name, data in papers.items()]
    # The page lists these with their sums, and the crate lists the page as well.
    rendered.append(_write_paper(folder / layout.LANDING_FILE, page_of(release, rendered)))
    rendered.append(_write_paper(folder / layout.CRATE_FILE, crate_of(release, rendered)))
    everything = (*release.products, *rendered)
    manifest = json_bytes(manifest_document(release, everything))
    atomic_write_bytes(folder / layout.MANIFEST_FILE, manifest)
    atomic_write_bytes(folder / layout.SUMS_FILE, sums_text(folder).encode())


def _write_paper(path: Path, data: bytes) -> FileRecord:
    atomic_write_bytes(path, data)
    return rendered_record(path)
