"""Is everything found that forbids a deposit, and nothing else?

Oracle: a bundle that is ready, with one fault planted, and its lists made anew so that nothing but
the fault is wrong.
"""

import datetime
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from small_run import CUBE, HLSP, LINEMAP, WAIVER, FakeJudge, result, write_record

import ard
from ard.fitsio import to_bytes
from ard.integrity import read_manifest
from ard.parts import file_parts
from ard.sums import Finding, file_digests
from release import ready
from release.arrange import arrange
from release.build import Options, build
from release.manifest import sums_text
from release.model import Limits, RefusedError
from release.plan import RENDERED
from release.ready import VERSION_DOI_IN, readiness
from release.reread import papers_again
from release.reservation import Reservation

RESERVED = Reservation(
    target="https://sandbox.zenodo.org",
    record_id="144",
    parent_id="143",
    doi="10.5072/zenodo.144",
    concept_doi="10.5072/zenodo.143",
)


@pytest.fixture(scope="module")
def ready_bundle(run_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that nobody changes, with DOIs."""
    out = tmp_path_factory.mktemp("ready") / "bundle"
    options = Options(date="2026-02-03", reservation=RESERVED)
    return build(run_template, out, options, judge=FakeJudge()).folder


@pytest.fixture
def bundle(ready_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ready_bundle, tmp_path / "bundle"))


def relist(folder: Path, **changes: object) -> None:
    """Make manifest and sums fit what lies in the folder now."""
    document = json.loads((folder / "manifest.json").read_text()) | changes
    for row in document["files"]:
        found = file_digests(folder / row["name"])
        row.update(size=found.size, sha256=found.sha256, md5=found.md5)
        row["parts"] = [part.to_dict() for part in file_parts(folder / row["name"])]
    (folder / "manifest.json").write_text(json.dumps(document))
    (folder / "sha256sums.txt").unlink(missing_ok=True)
    (folder / "sha256sums.txt").write_text(sums_text(folder))


def tell_again(folder: Path) -> None:
    """Let the papers say what lies in the folder now, as those of a build would."""
    for _ in range(3):  # some list the sums of others
        relist(folder)
        manifest = read_manifest(folder)
        for name, data in papers_again(folder, manifest, RESERVED).items():
            (folder / name).write_bytes(data)
    relist(folder)


def found(folder: Path, reservation: Reservation | None = RESERVED, judge=None) -> list[Finding]:
    return list(readiness(folder, reservation, judge=judge or FakeJudge()))


def header(name: str, change: Callable[[fits.Header], None]) -> Callable[[Path], None]:
    """A change of the first header of a product, with right sums."""

    def edit(folder: Path) -> None:
        with fits.open(folder / name, memmap=False) as hdus:
            change(hdus[0].header)
            data = to_bytes(hdus)
        (folder / name).write_bytes(data)

    return edit


def card(name: str, keyword: str, value: object) -> Callable[[Path], None]:
    return header(name, lambda cards: cards.set(keyword, value))


def lost(name: str, keyword: str) -> Callable[[Path], None]:
    return header(name, lambda cards: cards.remove(keyword))


def renamed(old: str, new: str) -> Callable[[Path], None]:
    """The same product under another name, in the manifest as well."""

    def edit(folder: Path) -> None:
        (folder / old).rename(folder / new)
        text = (folder / "manifest.json").read_text()
        (folder / "manifest.json").write_text(text.replace(old, new))

    return edit


def text(name: str, more: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / name).write_text((folder / name).read_text() + more)

    return edit


# ---- ready


def test_a_bundle_that_is_ready_has_no_finding(ready_bundle):
    assert readiness(ready_bundle, RESERVED, judge=FakeJudge()) == ()
    assert readiness(ready_bundle, judge=FakeJudge()) == ()


def test_a_bundle_without_dois_is_not_ready(run_template, tmp_path):
    options = Options(date="2026-02-03")
    built = build(run_template, tmp_path / "bundle", options, judge=FakeJudge()).folder
    (finding,) = readiness(built, judge=FakeJudge())
    assert (finding.file, finding.problem) == (
        "manifest.json",
        "no DOI is reserved for this bundle",
    )
    assert "rbh1-release reserve" in finding.expected


def test_a_bundle_without_a_day_is_not_ready(run_template, tmp_path):
    options = Options(reservation=RESERVED)
    built = build(run_template, tmp_path / "bundle", options, judge=FakeJudge()).folder
    problems = {(finding.file, finding.problem) for finding in found(built)}
    missing = "metadata: 'publication_date' is a required property"
    assert ("zenodo.json", missing) in problems


def test_there_has_to_be_a_bundle(tmp_path):
    with pytest.raises(ard.NotFoundError, match="no such bundle"):
        readiness(tmp_path / "nowhere", judge=FakeJudge())


# ---- one fault at a time


@pytest.mark.parametrize(
    ("plant", "file", "problem"),
    [
        (card(CUBE, "DOI", "10.5072/zenodo.999"), CUBE, "the card DOI is not right"),
        (card(CUBE, "DOI", "not yet reserved"), CUBE, "the card DOI is not right"),
        (lost(LINEMAP, "LICENSE"), LINEMAP, "the card LICENSE is not right"),
        (card(CUBE, "HLSPVER", "v9"), CUBE, "the card HLSPVER is not right"),
        (lost(CUBE, "XPOSURE"), CUBE, "the card XPOSURE is not right"),
        (card(LINEMAP, "EQUINOX", 2000.0), LINEMAP, "the card EQUINOX is not right"),
        (lost(CUBE, "INSTRUME"), CUBE, "cannot be named after its header"),
        (card(CUBE, "GRATING", "G235M"), CUBE, "is not named after its header and its place"),
        (
            renamed(CUBE, HLSP.format(major=1, type="likelihood-cube")),
            HLSP.format(major=1, type="likelihood-cube"),
            "is not named after its header and its place",
        ),
        (
            renamed(CUBE, CUBE.replace("rbh1-t001", "rbh1-t002")),
            CUBE.replace("rbh1-t001", "rbh1-t002"),
            "is not named after its header and its place",
        ),
        (
            renamed(LINEMAP, "inference_t001_linemap.fits"),
            "inference_t001_linemap.fits",
            "is no name of an HLSP file",
        ),
        (card(CUBE, "NOTE", "10.5072/zenodo.144"), CUBE, "holds the DOI of the version"),
    ],
)
def test_a_planted_fault_is_the_only_finding(bundle, plant, file, problem):
    plant(bundle)
    tell_again(bundle)
    (finding,) = found(bundle)
    assert finding.file == file
    assert finding.problem.startswith(problem)


def row(name: str, **changes: object) -> Callable[[Path], None]:
    """A change of what the manifest says about a file."""

    def edit(folder: Path) -> None:
        document = json.loads((folder / "manifest.json").read_text())
        next(row for row in document["files"] if row["name"] == name).update(changes)
        for layer, names in document["layers"].items():
            mine = [row["name"] for row in document["files"] if row["layer"] == layer]
            document["layers"][layer] = [other for other in names if other in mine]
        (folder / "manifest.json").write_text(json.dumps(document))

    return edit


@pytest.mark.parametrize(
    ("plant", "file", "problem"),
    [
        (
            row("likelihood_lines.ecsv", source_sha256="0" * 64),
            "likelihood_lines.ecsv",
            "is not the run's product",
        ),
        (row(CUBE, layer=None, product=None), CUBE, "is a FITS file of no layer"),
    ],
)
def test_a_manifest_that_misplaces_a_product_is_found(bundle, plant, file, problem):
    plant(bundle)
    relist(bundle)
    assert (file, problem) in {(finding.file, finding.problem) for finding in found(bundle)}


def test_a_name_that_breaks_a_rule_is_found(bundle):
    name = CUBE.replace("g140m", "g140m-")
    renamed(CUBE, name)(bundle)
    relist(bundle)
    problems = {finding.problem for finding in found(bundle) if finding.file == name}
    assert problems == {
        "breaks a rule of HLSP names",
        "is not named after its header and its place",
    }


def test_the_doi_of_the_version_is_found_inside_of_a_zip(run_folder, tmp_path):
    figure = run_folder / "products/validation/figures/velocity.ecsv"
    figure.write_text(figure.read_text().replace("wave_vac_um", RESERVED.doi.replace("/", "_")))
    figure.write_text(figure.read_text() + "# 10.5072/zenodo.144\n")
    options = Options(date="2026-02-03", reservation=RESERVED)
    folder = build(run_folder, tmp_path / "b", options, judge=FakeJudge()).folder
    (finding,) = found(folder)
    assert finding.file == "validation_figures.zip"


def test_papers_may_bear_the_doi_of_the_version(bundle):
    papers = sorted(VERSION_DOI_IN & {path.name for path in bundle.iterdir()})
    for name in papers:
        if not name.endswith(".json"):
            text(name, "\n# 10.5072/zenodo.144\n")(bundle)
    text("DATASHEET.md", "10.5072/zenodo.143, and another record: 10.5072/zenodo.1440\n")(bundle)
    relist(bundle)
    assert not any("DOI" in finding.problem for finding in found(bundle))
    assert {"README.md", "CITATION.cff", "ro-crate-metadata.json", "manifest.json"} <= {*papers}


@given(before=st.text("10.5/zen4", max_size=40), chunk=st.integers(1, 30), last=st.booleans())
def test_a_doi_is_found_wherever_it_lies(tmp_path_factory, before, chunk, last):
    path = tmp_path_factory.mktemp("text") / "file"
    path.write_text(before + "10.5/zenodo.144" + ("" if last else " more"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ready, "_CHUNK", chunk)
        assert ready._mentions(path, "10.5/zenodo.144")
        assert not ready._mentions(path, "10.5/zenodo.14")
        assert not ready._mentions(path, "10.5/zenodo.145")


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"doi": "10.5072/zenodo.150"}, ["doi"]),
        ({"concept_doi": "10.5072/zenodo.150"}, ["concept_doi"]),
        ({"previous_doi": "10.5072/zenodo.100"}, ["previous_doi"]),
    ],
)
def test_the_dois_have_to_be_the_reserved_ones(ready_bundle, changes, fields):
    other = Reservation(**{**RESERVED.__dict__, **changes})
    problems = [finding.problem for finding in found(ready_bundle, other)]
    assert problems == [f"{field} is not the reserved one" for field in fields]


def later(days: int) -> str:
    return (datetime.date.today() + datetime.timedelta(days)).isoformat()


@pytest.mark.parametrize(
    ("day", "problem"),
    [
        (later(2), "the day of release is still to come"),
        ("2999-12-31", "the day of release is still to come"),
        (later(0), None),
        ("2022-07-12", None),
        ("2022-07-11", "the day of release is older than any data of the telescope"),
        ("0001-01-01", "the day of release is older than any data of the telescope"),
    ],
)
def test_the_day_of_release_is_bounded(bundle, day, problem):
    relist(bundle, date=day)
    tell_again(bundle)
    changelog = bundle / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("2026-02-03", day))
    tell_again(bundle)
    assert [row.problem for row in found(bundle)] == ([] if problem is None else [problem])


def test_version_and_dataset_have_dois_of_their_own(bundle):
    relist(bundle, doi="10.5072/zenodo.143")
    problems = {finding.problem for finding in found(bundle, None)}
    assert "version and dataset have one DOI" in problems


# ---- the checks


def test_what_the_checks_forbid_is_found_and_what_is_waived_is_not(ready_bundle):
    judge = FakeJudge(
        [
            result("physics.first", "FAILED", product=CUBE),
            result("physics.second", "SKIPPED", product=LINEMAP),
            result("physics.map_chi2", "FAILED", waived=WAIVER),
            result("physics.broken", "ERROR", waived=WAIVER),
            result("integrity.bundle", "FAILED", product="."),
            result("physics.fine"),
        ]
    )
    *findings, stored = sorted(found(ready_bundle, judge=judge), key=lambda row: row.expected)
    assert stored.file == "checks.json"
    assert [(finding.file, finding.problem) for finding in findings] == [
        (LINEMAP, "physics.second: SKIPPED"),
        (CUBE, "physics.first: FAILED"),
        ("likelihood/t001_cube.fits", "physics.broken: ERROR"),
    ]
    assert findings[0].expected == "<= 1"
    assert "was looked at" in findings[0].found


def test_a_report_that_is_good_in_its_rows_only_is_not_enough(ready_bundle):
    (finding,) = found(ready_bundle, judge=FakeJudge(verdict="FAILED"))
    assert finding == Finding(".", "the verdict of the checks is FAILED")
    (finding,) = found(ready_bundle, judge=FakeJudge([]))
    assert finding == Finding(".", "no product was checked")


# ---- the papers


@pytest.mark.parametrize("more", ["see 10.5072/zenodo.144.\n", "10.5072/ZENODO.144"])
def test_the_doi_of_the_version_does_not_belong_into_every_paper(bundle, more):
    text("DATASHEET.md", more)(bundle)
    relist(bundle)
    problems = {finding.problem for finding in found(bundle) if finding.file == "DATASHEET.md"}
    assert problems == {"holds the DOI of the version, which changes with every version", OTHER}


OTHER = "does not say what the manifest, the products and the check report say"


def written(name: str, old: str, new: str) -> Callable[[Path], None]:
    """A change of some words of a paper."""

    def edit(folder: Path) -> None:
        before = (folder / name).read_text()
        assert old in before
        (folder / name).write_text(before.replace(old, new))

    return edit


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("README.md", "SIMULATED DATA.", "OBSERVED DATA."),
        ("README.md", "10.5072/zenodo.144", "10.5072/zenodo.999"),
        ("CITATION.cff", "10.5072/zenodo.143", "10.5072/zenodo.999"),
        ("CITATION.cff", "2026-02-03", "2026-02-04"),
        ("DATASHEET.md", "Motivation", "TODO"),
        ("data-dictionary.md", "um", "nm"),
        ("zenodo.json", "[SIMULATED] ", ""),
        ("zenodo.json", "0.1.0", "7.0.0"),
        ("zenodo.json", "cc-by-4.0", "mit"),
        ("datacite.json", "10.5072/zenodo.144", "10.5072/zenodo.999"),
        ("datapackage.json", "10.5072/zenodo.144", "10.5072/zenodo.999"),
        ("ro-crate-metadata.json", "10.5072/zenodo.144", "10.5072/zenodo.999"),
        ("index.html", "10.5072/zenodo.144", "10.5072/zenodo.999"),
        ("CHANGELOG.md", "10.5072/zenodo.144", "10.5072/zenodo.999"),
        ("CHANGELOG.md", "First version.", "Second version."),
    ],
)
def test_a_paper_that_says_something_else_is_found(bundle, name, old, new):
    written(name, old, new)(bundle)
    relist(bundle)
    problems = {(finding.file, finding.problem) for finding in found(bundle)}
    assert (name, OTHER) in problems


def test_the_line_that_differs_is_shown(bundle):
    written("CITATION.cff", "version: 0.1.0", "version: 0.2.0")(bundle)
    relist(bundle)
    shown = next(finding for finding in found(bundle) if finding.file == "CITATION.cff")
    assert "'version: 0.2.0'" in shown.found


@pytest.mark.parametrize("name", ["DATASHEET.md", "datapackage.json"])
def test_a_paper_that_is_missing_is_found(bundle, name):
    (bundle / name).unlink()
    document = json.loads((bundle / "manifest.json").read_text())
    relist(bundle, files=[row for row in document["files"] if row["name"] != name])
    problems = {finding.problem: finding.found for finding in found(bundle)}
    assert name in problems["the papers cannot be compared with the bundle"]


def test_the_address_is_that_of_the_reservation(ready_bundle):
    other = replace(RESERVED, target="https://archive.example.org")
    files = {finding.file for finding in found(ready_bundle, other)}
    assert {"README.md", "CITATION.cff", "datacite.json", "index.html"} & files
    assert found(ready_bundle, None) == []


def test_small_products_that_share_a_zip_are_read_for_the_papers(run_folder, tmp_path, monkeypatch):
    lines = run_folder / "products/likelihood/lines.ecsv"
    (lines.parent / "more.ecsv").write_bytes(lines.read_bytes())
    write_record(run_folder)
    scarce = partial(arrange, limits=Limits(files=len(RENDERED) + 5))
    monkeypatch.setattr("release.plan.arrange", scarce)
    options = Options(date="2026-02-03", reservation=RESERVED)
    folder = build(run_folder, tmp_path / "b", options, judge=FakeJudge()).folder
    assert list(folder.glob("*_packed.zip"))
    assert found(folder) == []
    written("README.md", "SIMULATED DATA.", "OBSERVED DATA.")(folder)
    relist(folder)
    assert ("README.md", OTHER) in {(row.file, row.problem) for row in found(folder)}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"acceptance_sha256": "0" * 64}, "its acceptance_sha256 is not that of the judge"),
        ({"code_version": "9"}, "its code_version is not that of the judge"),
        ({"results": []}, "differs from what the judge says now in 1 result"),
        ({"results": [result(limit="<= 9")]}, "differs from what the judge says now in 1 result"),
        ({"results": [result(measured=1.6)]}, "differs from what the judge says now in 1 result"),
        ({"results": [result(measured=1.5 + 1e-12)]}, None),
        ({"results": [result(), result("structure.of_runs")]}, None),
    ],
)
def test_a_check_report_that_is_out_of_date_is_found(bundle, changes, problem):
    path = bundle / "checks.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    tell_again(bundle)
    rows = [(finding.file, finding.problem) for finding in found(bundle)]
    assert rows == ([] if problem is None else [("checks.json", problem)])


# ---- bytes and limits


def test_damage_is_found_with_everything_else(bundle):
    card(LINEMAP, "LICENSE", "none")(bundle)
    path = bundle / CUBE
    path.write_bytes(path.read_bytes()[:-2880])
    (bundle / "surplus").write_text("")
    findings = {(finding.file, finding.problem) for finding in found(bundle)}
    assert (CUBE, "size differs") in findings
    assert (LINEMAP, "the card LICENSE is not right") in findings
    assert ("surplus", "unlisted file") in findings
    assert ("surplus", "is empty, which no deposit takes") in findings


@pytest.mark.parametrize("data", [None, b"{", b'{"schema": "manifest"}'])
def test_a_manifest_that_cannot_be_read_is_a_finding(bundle, data):
    (bundle / "manifest.json").unlink()
    if data is not None:
        (bundle / "manifest.json").write_bytes(data)
    assert "manifest.json" in {finding.file for finding in found(bundle)}


@pytest.mark.parametrize("changes", [{"version": "next"}, {"target": {"item": "rbh1"}}])
def test_a_manifest_of_which_no_name_can_be_made_is_a_finding(bundle, changes):
    relist(bundle, **changes)
    problems = {(finding.file, finding.problem) for finding in found(bundle)}
    assert ("manifest.json", "does not say what names are made of") in problems


@pytest.mark.parametrize(
    ("limits", "file", "problem"),
    [
        (Limits(files=12), ".", "too many files for a deposit"),
        (Limits(size=10_000), ".", "too many bytes for a deposit"),
        (Limits(archive=1_000), "validation_figures.zip", "is larger than a zip of a deposit may"),
    ],
)
def test_limits_are_those_of_a_deposit(
    ready_bundle, run_folder, tmp_path, monkeypatch, limits, file, problem
):
    monkeypatch.setattr(ready, "DEPOSIT", limits)
    (finding,) = found(ready_bundle)
    assert finding.file == file
    assert finding.problem.startswith(problem)
    # What only shows when everything is written forbids the build as well.
    with pytest.raises(RefusedError, match=problem):
        build(run_folder, tmp_path / "b", judge=FakeJudge())
    assert list(tmp_path.iterdir()) == [run_folder]
