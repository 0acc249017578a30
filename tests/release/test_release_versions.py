"""Does a build refuse to follow a version that it may not follow, or falls behind of?

Oracles: the order of versions of semver.org (section 11); one planted fault at a time, of which
every one has to be named; and `rbh1-release diff` on the finished bundles for the changelog.
"""

import datetime
import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_run import DIGEST, WAIVER, FakeJudge, png, provenance, result, write_record

import ard
import release.versions
from ard.sums import file_digests
from manifests.waivers import Waiver
from release.build import Options, build
from release.cli import cli
from release.manifest import sums_text
from release.model import RefusedError
from release.ready import readiness
from release.reservation import Reservation
from release.versions import semantic_key

ORDER = """
0.1.0 0.9.0 0.10.0 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11
1.0.0-rc.1 1.0.0 1.0.1 2.0.0
"""
CONCEPT, FIRST, SECOND = (f"10.5281/zenodo.{number}" for number in (10, 11, 12))


def reservation(**changes) -> Reservation:
    facts = {
        "target": "https://sandbox.zenodo.org",
        "record_id": "12",
        "parent_id": "10",
        "doi": SECOND,
        "concept_doi": CONCEPT,
        "previous_id": "11",
        "previous_doi": FIRST,
    }
    return Reservation(**{**facts, **changes})


FIRST_OF_ALL = reservation(record_id="11", doi=FIRST, previous_id=None, previous_doi=None)


@pytest.fixture(scope="module")
def published(run_template, tmp_path_factory) -> Path:
    """The first version, with a DOI."""
    options = Options("1.0.0", "2026-01-01", reservation=FIRST_OF_ALL)
    out = tmp_path_factory.mktemp("published") / "bundle"
    return build(run_template, out, options, judge=FakeJudge()).folder


def follow(run: Path, out: Path, previous, *, rows=None, **changes):
    options = Options(
        **{
            "version": "1.1.0",
            "date": "2026-02-02",
            "reservation": reservation(),
            "previous": previous,
            **changes,
        }
    )
    return build(run, out, options, judge=FakeJudge(rows or [result()])).folder


def refusal(run: Path, out: Path, previous, **how) -> tuple[str, ...]:
    before = sorted(out.parent.iterdir())
    with pytest.raises(RefusedError, match="the bundle is not built") as refused:
        follow(run, out, previous, **how)
    assert sorted(out.parent.iterdir()) == before
    return refused.value.reasons


# ---- the order of versions


@pytest.mark.parametrize("version", ["1", "1.0", "1.banana", "01.0.0", "1.0.0.0"])
def test_a_version_that_none_could_follow_is_neither_built_nor_ready(
    run_template, published, tmp_path, version
):
    with pytest.raises(ard.FormatError, match="none could ever follow it"):
        build(run_template, tmp_path / "b", Options(version), judge=FakeJudge())
    arguments = ["build", "--run", run_template, "--out", tmp_path / "b", "--version", version]
    shown = CliRunner().invoke(cli, [str(one) for one in arguments])
    assert shown.exit_code == 2
    assert "such as 1.4.2" in shown.stderr
    assert not (tmp_path / "b").exists()
    other = Path(shutil.copytree(published, tmp_path / "other"))
    text = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(text.replace('"1.0.0"', f'"{version}"'))
    write_lists(other)
    problems = {row.problem for row in readiness(other, FIRST_OF_ALL, judge=FakeJudge())}
    assert "the version has no place in an order" in problems


def test_versions_are_ordered_as_semver_does():
    order = ORDER.split()
    keys = [semantic_key(version) for version in order]
    assert all(earlier < later for earlier, later in pairwise(keys))
    assert semantic_key("1.0.0+one") == semantic_key("1.0.0+two") == semantic_key("1.0.0")


@pytest.mark.parametrize("text", ["1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "one", "1.0.0\n"])
def test_what_is_no_version_has_no_place_in_the_order(text):
    assert semantic_key(text) is None


# ---- what may follow what


def test_a_first_version_says_so(published):
    text = (published / "CHANGELOG.md").read_text()
    assert text == (
        "# Changes: [SIMULATED] Analysis-ready dataset of Test object (rbh1-ard)\n\n"
        f"## 1.0.0 (2026-01-01)\n\nDOI: [{FIRST}](https://doi.org/{FIRST}).\n\nFirst version.\n"
    )
    row = ard.open(published).documents["CHANGELOG.md"]
    assert (row.kind, row.entry.media_type) == ("text", "text/markdown")


def test_a_new_version_needs_the_one_before(run_template, tmp_path):
    reasons = refusal(run_template, tmp_path / "b", None)
    assert reasons == (f"release.json is for a version that follows {FIRST}",)
    with pytest.raises(RefusedError, match="give --previous with the folder of that bundle"):
        follow(run_template, tmp_path / "b", None)


def test_the_version_before_has_to_be_a_whole_bundle(run_template, published, tmp_path):
    with pytest.raises(ard.NotFoundError, match="no such bundle"):
        follow(run_template, tmp_path / "b", tmp_path / "nowhere")
    damaged = Path(shutil.copytree(published, tmp_path / "damaged"))
    (damaged / "README.md").write_text("shorter")
    with pytest.raises(ard.IntegrityError, match=r"README\.md: size differs"):
        follow(run_template, tmp_path / "b", damaged)


@pytest.mark.parametrize("version", ["1.0.0", "0.9.9", "1.0.0-rc.1", "1.0.0+again"])
def test_a_version_has_to_be_later(run_template, published, tmp_path, version):
    (reason,) = refusal(run_template, tmp_path / "b", published, version=version)
    assert reason == f"version {version} is not later than 1.0.0, the version before"


def test_the_version_before_has_to_have_an_order(run_template, published, tmp_path):
    old = Path(shutil.copytree(published, tmp_path / "old" / "bundle"))
    text = (old / "manifest.json").read_text()
    (old / "manifest.json").write_text(text.replace('"version": "1.0.0"', '"version": "1.x"'))
    write_lists(old)
    (reason,) = refusal(run_template, tmp_path / "b", old)
    assert "'1.x' has no place in an order" in reason


def test_the_archive_says_which_version_is_the_one_before(run_template, published, tmp_path):
    other = reservation(previous_doi="10.5281/zenodo.7", concept_doi="10.5281/zenodo.6")
    reasons = refusal(run_template, tmp_path / "b", published, reservation=other)
    assert reasons == (
        f"the version before has the DOI {FIRST}, release.json says 10.5281/zenodo.7",
        f"the version before has the concept DOI {CONCEPT}, release.json says 10.5281/zenodo.6",
    )
    reasons = refusal(run_template, tmp_path / "b", published, reservation=FIRST_OF_ALL)
    assert reasons == ("release.json is for a first version, which follows no other",)


def test_a_bundle_without_doi_is_no_version_before_a_reserved_one(
    run_template, built_bundle, tmp_path
):
    reasons = refusal(run_template, tmp_path / "b", built_bundle)
    assert f"the version before has the DOI none, release.json says {FIRST}" in reasons


def test_without_a_reservation_only_the_content_counts(run_template, built_bundle, tmp_path):
    out = follow(run_template, tmp_path / "b", built_bundle, reservation=None, version="0.2.0")
    assert ard.open(out).doi is None
    assert (out / "CHANGELOG.md").read_text().count("\n## ") == 2


def test_marks_and_target_have_to_be_those_of_before(observed_run, published, tmp_path):
    reasons = refusal(observed_run, tmp_path / "b", published)
    assert reasons == ("the data are not simulated, those of the version before are",)
    write_record(
        observed_run, toy_grid=True, simulated=False, target={"name": "Other", "item": "ngc7469"}
    )
    reasons = refusal(observed_run, tmp_path / "b", published)
    assert reasons[1:] == (
        "the data are made with the toy grid, those of the version before are not",
        "the data are about ngc7469, those of the version before about rbh1",
    )


def test_every_reason_is_named_at_once(observed_run, published, tmp_path):
    assert len(refusal(observed_run, tmp_path / "b", published, version="1.0.0")) == 2


def test_a_wrong_version_is_told_before_the_checks_are_made(run_template, published, tmp_path):
    def judge(folder):
        raise AssertionError("a judge that works for hours")

    options = Options("0.1.0", reservation=reservation(), previous=published)
    with pytest.raises(RefusedError, match="not later than"):
        build(run_template, tmp_path / "b", options, judge=judge)


# ---- nothing may be worse


@pytest.mark.parametrize("check", ["format.cube", "integrity.readable", "convergence.rhat"])
def test_a_check_that_is_no_longer_made_is_refused(run_template, tmp_path, check):
    rows = [result(), result(check, product="likelihood/lines.ecsv")]
    old = build(run_template, tmp_path / "old", Options("1.0.0"), judge=FakeJudge(rows)).folder
    reasons = refusal(run_template, tmp_path / "b", old, reservation=None)
    assert reasons == (
        f"{check} on likelihood/lines was good before (1.5 km/s) and is no longer made",
    )


def test_a_failure_that_cannot_be_waived_is_refused_as_ever(run_template, published, tmp_path):
    failed = result(status="FAILED")
    reasons = refusal(run_template, tmp_path / "b", published, rows=[failed])
    assert reasons[0].startswith("format.cube on likelihood/t001_cube.fits: FAILED")


def test_a_waived_failure_may_follow_and_is_told(run_template, published, tmp_path):
    failed = result(status="FAILED", measured=2.0, waived={**WAIVER, "check": "format.cube"})
    out = follow(run_template, tmp_path / "b", published, rows=[failed])
    text = (out / "CHANGELOG.md").read_text()
    waived = "waived by A. Tester until 2999-12-31: a known feature of the test"
    assert f"- format.cube on likelihood/t001_cube is {waived}." in text
    assert f"| 1.5 km/s | 2 km/s (FAILED) | <= 1 km/s | {waived} |" in text


def test_a_check_that_is_no_longer_made_may_be_waived(run_template, tmp_path, monkeypatch):
    rows = [result(), result("physics.old"), result("integrity.old")]
    old = build(run_template, tmp_path / "old", Options("1.0.0"), judge=FakeJudge(rows)).folder
    waivers = [
        Waiver(name, "likelihood/*.fits", "replaced", "A. Tester", datetime.date.max)
        for name in ("physics.old", "integrity.old")
    ]
    monkeypatch.setattr(release.versions, "load_waivers", lambda: tuple(waivers))
    (reason,) = refusal(run_template, tmp_path / "b", old, reservation=None)
    assert reason.startswith("integrity.old on likelihood/t001_cube was good before")
    without = [result(), result("integrity.old")]
    out = follow(run_template, tmp_path / "b", old, reservation=None, rows=without)
    expected = (
        "physics.old on likelihood/t001_cube is waived by A. Tester until 9999-12-31: replaced."
    )
    assert expected in (out / "CHANGELOG.md").read_text()


def test_a_removed_product_takes_its_checks_with_it(run_folder, published, tmp_path):
    (run_folder / "products/likelihood/t001_cube.fits").unlink()
    write_record(run_folder)
    other = result("format.table", product="likelihood/lines.ecsv")
    out = follow(run_folder, tmp_path / "b", published, rows=[other])
    text = (out / "CHANGELOG.md").read_text()
    assert "- Removed: likelihood/t001_cube." in text
    assert "- Results that are gone with their product: 1; CHANGELOG.md lists them." in text


def test_a_product_that_no_longer_says_what_made_it_is_refused(run_folder, published, tmp_path):
    products = run_folder / "products"
    linemap = ard.read(products / "inference/t001_linemap.fits")
    ard.write(
        products / "inference/t001_linemap.fits", linemap.replace(provenance=None), overwrite=True
    )
    quality = ard.read(products / "validation/t001_quality.json")
    ard.write(
        products / "validation/t001_quality.json",
        {key: value for key, value in quality.items() if key != "provenance"},
        overwrite=True,
    )
    assert refusal(run_folder, tmp_path / "b", published) == (
        "inference/t001_linemap does not say what made it, as it did in the version before",
        "validation/t001_quality does not say what made it, as it did in the version before",
    )


def test_a_product_without_a_record_may_stay_so(run_folder, tmp_path):
    ard.write(run_folder / "products/validation/page.png", png())
    write_record(run_folder)
    old = build(run_folder, tmp_path / "old", Options("1.0.0"), judge=FakeJudge()).folder
    follow(run_folder, tmp_path / "b", old, reservation=None)


# ---- what is new is written


@pytest.fixture
def changed_run(run_folder) -> Path:
    """The run, with another cube and one table more."""
    products = run_folder / "products"
    cube = ard.read(products / "likelihood/t001_cube.fits")
    made = provenance("ingest", True)
    more = ard.Provenance(**{**made.to_dict(), "inputs": {"input_s3d.fits": DIGEST["e"]}})
    ard.write(
        products / "likelihood/t001_cube.fits",
        cube.replace(var=cube.var * 4.0, provenance=more),
        overwrite=True,
    )
    ard.write(products / "likelihood/more.ecsv", ard.read(products / "likelihood/lines.ecsv"))
    write_record(run_folder)
    return run_folder


def test_the_changelog_tells_what_is_new_above_what_was(changed_run, published, tmp_path):
    rows = [result(measured=1.25, limit="<= 2")]
    out = follow(changed_run, tmp_path / "b", published, rows=rows)
    assert ard.verify(out, "full") == ()
    bundle = ard.open(out)
    assert (bundle.doi, bundle.manifest.previous_doi) == (SECOND, FIRST)
    text = bundle.documents["CHANGELOG.md"].load()
    head, *sections = text.split("\n## ")
    assert head.startswith("# Changes: [SIMULATED]")
    assert [section.partition("\n")[0] for section in sections] == [
        "1.1.0 (2026-02-02)",
        "1.0.0 (2026-01-01)",
    ]
    for expected in (
        f"DOI: [{SECOND}](https://doi.org/{SECOND}). The version before is [{FIRST}]",
        "- Compared with version 1.0.0: 1 product changed, 1 product added.",
        "- Added: likelihood/more.",
        "  - HDU ERR: ",
        f"    - inputs[\"input_s3d.fits\"]: '{'c' * 12}...' -> '{'e' * 12}...'",
        "| changed | format.cube | likelihood/t001_cube | 1.5 km/s | 1.25 km/s |"
        " <= 1 km/s -> <= 2 km/s |",
    ):
        assert expected in text
    assert text.endswith((published / "CHANGELOG.md").read_text().partition("\n\n")[2])


def test_it_is_what_diff_prints(changed_run, published, tmp_path):
    out = follow(changed_run, tmp_path / "b", published)
    arguments = ["diff", str(published), str(out), "--format", "markdown"]
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 0
    assert f"\n\n{shown.stdout}\n" in (out / "CHANGELOG.md").read_text()


def test_the_release_knows_what_is_new(changed_run, published, tmp_path, monkeypatch):
    seen = []
    write = release.build._write_documents
    monkeypatch.setattr(
        release.build, "_write_documents", lambda *args: (seen.append(args[1]), write(*args))
    )
    follow(changed_run, tmp_path / "b", published)
    (told,) = seen
    assert told.changes[:2] == (
        "Compared with version 1.0.0: 1 product changed, 1 product added.",
        "Added: likelihood/more.",
    )
    assert told.difference.new.doi == SECOND


def test_three_versions_are_told_newest_first(changed_run, run_template, published, tmp_path):
    second = follow(changed_run, tmp_path / "second", published)
    third = follow(
        run_template,
        tmp_path / "third",
        second,
        version="1.2.0",
        reservation=reservation(doi="10.5281/zenodo.13", previous_doi=SECOND),
    )
    text = (third / "CHANGELOG.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## 1.2.0 (2026-02-02)", "## 1.1.0 (2026-02-02)", "## 1.0.0 (2026-01-01)"]
    assert text.count("First version.") == 1
    assert "- Removed: likelihood/more." in text


def test_two_builds_of_a_new_version_are_bit_identical(changed_run, published, tmp_path):
    one, two = (follow(changed_run, tmp_path / name, published) for name in ("one", "two"))
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {
        p.name: p.read_bytes() for p in two.iterdir()
    }


def test_the_papers_of_a_new_version_are_held_against_it(changed_run, published, tmp_path):
    folder = follow(changed_run, tmp_path / "b", published)
    assert readiness(folder, reservation(), judge=FakeJudge()) == ()
    for name, old in (("zenodo.json", "likelihood/more"), ("CHANGELOG.md", "](https://doi.org/")):
        other = Path(shutil.copytree(folder, tmp_path / name))
        text = (other / name).read_text()
        assert old in text
        (other / name).write_text(text.replace(old, "something else", 1))
        write_lists(other)
        said = {finding.file for finding in readiness(other, reservation(), judge=FakeJudge())}
        assert "CHANGELOG.md" in said


def write_lists(folder: Path) -> None:
    """Make manifest and sums fit what lies in the folder now."""
    document = json.loads((folder / "manifest.json").read_text())
    for row in document["files"]:
        sums = file_digests(folder / row["name"])
        row.update(size=sums.size, sha256=sums.sha256, md5=sums.md5)
    (folder / "manifest.json").write_text(json.dumps(document))
    (folder / "sha256sums.txt").unlink()
    (folder / "sha256sums.txt").write_text(sums_text(folder))


def test_a_bundle_may_be_replaced_by_its_own_successor(changed_run, published, tmp_path):
    place = Path(shutil.copytree(published, tmp_path / "bundle"))
    follow(changed_run, place, place, overwrite=True)
    assert ard.open(place).version == "1.1.0"
