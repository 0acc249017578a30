"""Is this bundle ready to be deposited, and what is missing if not?

Everything that has to hold before a deposit is looked at, without a network: the bytes, the checks,
the limits of an archive, names and headers of FITS products, and where which DOI stands. Nothing
stops at the first finding.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from astropy.io import fits

from ard import layout
from ard.bundle import human_size
from ard.errors import ArdError, IntegrityError
from ard.fitsio import HduSpan, walk
from ard.integrity import verify
from ard.manifest import Entry, Manifest, parse_manifest_bytes
from ard.sums import Finding, quote
from manifests.dataset import load_dataset
from release.days import EARLIEST, day_problem, today
from release.gate import Judge, against_all, forbidding, judged
from release.hlsp import Collection, collection_of, parse_name, product_name
from release.model import DEPOSIT
from release.reread import paper_findings, report_findings
from release.reservation import Reservation
from release.stamp import stamp_cards
from release.validation import own_verdicts
from release.verdict import Verdict
from release.versions import semantic_key

# The DOI of one version stands in these papers only: they are small, and change with it anyway.
# Any other file that a new version does not change keeps its bytes.
VERSION_DOI_IN: Final = frozenset(
    {
        layout.README_FILE,
        layout.CITATION_FILE,
        layout.CRATE_FILE,
        layout.DATACITE_FILE,
        layout.DATAPACKAGE_FILE,
        layout.RECORD_FILE,
        layout.LANDING_FILE,
        layout.CHANGELOG_FILE,
        layout.MANIFEST_FILE,
    }
)
# What `verify` reports in full.
_SAID_ALREADY: Final = "integrity.bundle"
_WHOLE: Final = "."
_CHUNK: Final = 1 << 20
_RESERVE: Final = "the DOIs of rbh1-release reserve, given to build by --release"


def readiness(
    folder: Path,
    reservation: Reservation | None = None,
    *,
    judge: Judge | None = None,
    verified: bool = False,
) -> tuple[Finding, ...]:
    """Report everything that has to change before a bundle may be deposited.

    Parameters
    ----------
    folder : Path
        The bundle.
    reservation : Reservation, optional
        The DOIs that it has to bear.
    judge : callable, optional
        Judges the bundle; the registry of `checks` by default.
    verified : bool
        Say that every byte was held against the lists just now; it is not done again.

    Returns
    -------
    tuple of Finding
        Empty if the bundle is ready; sorted by file, ``.`` for the bundle as a whole.

    Raises
    ------
    NotFoundError
        If there is no such folder.
    """
    return assess(folder, reservation, judge=judge, verified=verified).findings


def assess(
    folder: Path,
    reservation: Reservation | None = None,
    *,
    judge: Judge | None = None,
    verified: bool = False,
) -> Verdict:
    """Do what `readiness` does, and say under which rules.

    Parameters
    ----------
    folder, reservation, judge, verified
        As for `readiness`.

    Returns
    -------
    Verdict
        With the findings of `readiness`.

    Raises
    ------
    NotFoundError
        If there is no such folder.
    """
    findings = list(verify(folder, "fast" if verified else "full"))
    intact = not findings
    report = judged(folder, judge)
    findings += [*_judgement(report), *limit_findings(folder)]
    path = folder / layout.MANIFEST_FILE
    manifest = parse_manifest_bytes(path.read_bytes())[0] if path.is_file() else None
    if manifest is not None:
        findings += _products(folder, manifest)
        findings += _order(manifest)
        findings += _day(manifest)
        findings += _dois(manifest, reservation)
        findings += _stray_dois(folder, manifest)
        findings += _papers(folder)
        if intact:
            # Of other bytes than the listed ones, nothing follows that a paper could say.
            findings += paper_findings(folder, manifest, reservation)
            findings += report_findings(folder, manifest, report)
    return Verdict.of(sorted(set(findings)), report)


def limit_findings(folder: Path) -> Iterator[Finding]:
    """Report where a bundle is more than a deposit takes."""
    sizes = {path.name: path.lstat().st_size for path in folder.iterdir()}
    total, most = sum(sizes.values()), DEPOSIT
    if len(sizes) > most.files:
        yield Finding(_WHOLE, "too many files for a deposit", f"{most.files}", f"{len(sizes)}")
    if total > most.size:
        expected, found = f"{most.size} bytes", f"{total} bytes"
        yield Finding(_WHOLE, "too many bytes for a deposit", expected, found)
    for name, size in sizes.items():
        if size == 0:
            yield Finding(name, "is empty, which no deposit takes")
        if name.endswith(".zip") and size > most.archive:
            expected, found = human_size(most.archive), human_size(size)
            yield Finding(name, "is larger than a zip of a deposit may be", expected, found)


def _judgement(report: Mapping[str, Any]) -> Iterator[Finding]:
    for row in forbidding(report):
        if row["check"] != _SAID_ALREADY:
            problem = f"{row['check']}: {row['status']}"
            limit = "" if row.get("limit") is None else str(row["limit"])
            yield Finding(row["product"], problem, limit, str(row.get("detail") or ""))
    everything = against_all(report)
    if everything:
        yield Finding(_WHOLE, everything)


def _products(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    """Look at the names and the first headers of FITS products."""
    try:
        about = collection_of(
            load_dataset(),
            manifest.target,
            manifest.version,
            simulated=manifest.simulated,
            concept_doi=manifest.concept_doi,
        )
    except (ArdError, KeyError) as error:
        yield Finding(layout.MANIFEST_FILE, "does not say what names are made of", found=str(error))
        return
    for entry in manifest.entries:
        if not entry.name.endswith(layout.HLSP_SUFFIX):
            yield from _source(entry)
            continue
        if entry.layer is None:
            yield Finding(entry.name, "is a FITS file of no layer", "a product")
            continue
        try:
            spans = walk(folder / entry.name)
        except ArdError:
            continue  # missing or damaged, as `verify` reports
        yield from _naming(entry, spans[0].header, about)
        yield from _cards(entry, spans, about)


def _papers(folder: Path) -> Iterator[Finding]:
    """Hold the papers against what they claim to follow; without a day no record is accepted."""
    try:
        verdicts = own_verdicts(folder)
    except IntegrityError:
        return  # as `verify` reports
    for verdict in verdicts:
        for problem in verdict.problems:
            yield Finding(verdict.file, problem)
        # What was not asked has not agreed.
        for name in verdict.missing:
            yield Finding(
                verdict.file, f"{name} could not be asked", 'pip install "rbh1-ard[study]"'
            )


def _source(entry: Entry) -> Iterator[Finding]:
    """Only a FITS file, whose header says more, may differ from the run's product."""
    if entry.source_sha256 not in (None, entry.sha256):
        problem, expected = "is not the run's product", str(entry.source_sha256)
        yield Finding(entry.name, problem, expected, entry.sha256)


def _naming(entry: Entry, header: fits.Header, about: Collection) -> Iterator[Finding]:
    name = parse_name(entry.name)
    if name is None:
        expected = "hlsp, seven more fields and .fits"
        yield Finding(entry.name, "is no name of an HLSP file", expected)
        return
    for problem in name.problems():
        yield Finding(entry.name, "breaks a rule of HLSP names", found=problem)
    try:
        expected = str(product_name(header, about, str(entry.layer), str(entry.product)))
    except ArdError as error:
        yield Finding(entry.name, "cannot be named after its header", found=error.problem)
        return
    if expected != entry.name:
        yield Finding(entry.name, "is not named after its header and its place", expected)


def _cards(entry: Entry, spans: tuple[HduSpan, ...], about: Collection) -> Iterator[Finding]:
    header = spans[0].header
    wanted = stamp_cards(spans, about, entry.name)
    for card in wanted:
        found = header.get(card.keyword)
        if found != card.value:
            shown = "nothing" if found is None else quote(found)
            problem = f"the card {card.keyword} is not right"
            yield Finding(entry.name, problem, quote(card.value), shown)
    icrs = any(card.keyword == "RADESYS" and card.value == "ICRS" for card in wanted)
    if icrs and "EQUINOX" in header:
        yield Finding(entry.name, "the card EQUINOX is not right", "none", quote(header["EQUINOX"]))


def _order(manifest: Manifest) -> Iterator[Finding]:
    """A version that is published without a place in the order could never be followed."""
    if semantic_key(manifest.version) is None:
        problem, expected = "the version has no place in an order", "a version such as 1.4.2"
        yield Finding(layout.MANIFEST_FILE, problem, expected, quote(manifest.version))


def _day(manifest: Manifest) -> Iterator[Finding]:
    problem = day_problem(manifest.date)
    if problem:
        span = f"a day from {EARLIEST} to {today()}"
        yield Finding(layout.MANIFEST_FILE, problem, span, str(manifest.date))


def _dois(manifest: Manifest, reservation: Reservation | None) -> Iterator[Finding]:
    name = layout.MANIFEST_FILE
    if manifest.doi is None or manifest.concept_doi is None:
        yield Finding(name, "no DOI is reserved for this bundle", _RESERVE)
    elif manifest.doi == manifest.concept_doi:
        yield Finding(name, "version and dataset have one DOI", "two", manifest.doi)
    if reservation is not None:
        for field in ("doi", "concept_doi", "previous_doi"):
            expected, found = getattr(reservation, field), getattr(manifest, field)
            if expected != found:
                yield Finding(name, f"{field} is not the reserved one", str(expected), str(found))


def _stray_dois(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    """Look for the DOI of the version in files that it would change with every version."""
    if manifest.doi is None:
        return
    for path in sorted(folder.iterdir()):
        if path.name not in VERSION_DOI_IN and path.is_file() and _mentions(path, manifest.doi):
            problem = "holds the DOI of the version, which changes with every version"
            yield Finding(path.name, problem, "the DOI of the dataset, or none", manifest.doi)


def _mentions(path: Path, doi: str) -> bool:
    """Tell whether the bytes of a file hold a DOI, and not only a longer one that begins so."""
    word, kept = re.compile(re.escape(doi.encode()) + rb"(?![0-9])", re.IGNORECASE), b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            window = kept + chunk
            # One that touches the end is looked at again, with what follows.
            if any(match.end() < len(window) for match in word.finditer(window)):
                return True
            kept = window[-len(doi) :]
    return word.search(kept) is not None
