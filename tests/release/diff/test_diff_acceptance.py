"""Is it told which acceptance numbers changed, and is everything that became worse a regression?

Oracle: a table of what may happen to a result, written by hand.
"""

import datetime
import json
import shutil
from pathlib import Path

import pytest
from small_run import WAIVER, FakeJudge, result
from versions import make_versions

import ard
from ard.integrity import read_manifest
from ard.source import LocalSource
from manifests.waivers import Waiver
from release.build import build
from release.diff.acceptance import Accepted
from release.diff.compare import compare, compare_snapshots
from release.diff.snapshot import Snapshot

CUBE = "likelihood/t001_cube"
OTHER = result("format.other")


def snapshot(bundle: Path, *rows, without=()) -> Snapshot:
    """A bundle with other results of checks than those it was built with."""
    here = Snapshot.of(ard.open(bundle))
    files = {name: file for name, file in here.files.items() if name not in without}
    return Snapshot(here.manifest, files, {"results": list(rows)})


def check_changes(bundle: Path, old, new, *, without=(), accepted=None):
    before, after = snapshot(bundle, *old), snapshot(bundle, *new, without=without)
    waivers = accepted or Accepted()
    return compare_snapshots(before, after, accepted=waivers)


def row(status="PASSED", check="physics.map_chi2", **changes):
    return result(check, status, **changes)


WAIVED = {"waived": WAIVER}
PARAMETERS = [
    # before, after, what became of it
    (row(), row(), None),
    (row(), row("FAILED"), "regressed"),
    (row(), row("ERROR"), "regressed"),
    (row(), row("SKIPPED"), "regressed"),
    (row(), None, "regressed"),
    (row(), row("FAILED", **WAIVED), "waived"),
    (row(), row("SKIPPED", **WAIVED), "waived"),
    (row(), row("ERROR", **WAIVED), "regressed"),  # what broke has shown nothing
    (row("FAILED", **WAIVED), row("FAILED"), "regressed"),
    (row("FAILED", **WAIVED), row("FAILED", measured=2.0, **WAIVED), "changed"),
    (row("FAILED", **WAIVED), row("FAILED", **WAIVED), None),
    (row("FAILED", **WAIVED), row(), "mended"),
    (row("SKIPPED"), row(), "mended"),
    (row("FAILED"), row("ERROR"), "changed"),
    (row("FAILED"), row("FAILED", **WAIVED), "changed"),
    (row("FAILED", **WAIVED), None, "dropped"),
    (row("FAILED"), None, "dropped"),
    (None, row(), "new"),
    (None, row("FAILED", **WAIVED), "new"),
    (row(), row(measured=1.25), "changed"),
    (row(), row(limit="<= 2"), "changed"),
    (row(), row(unit="m/s"), "changed"),
    (row(), row(detail="Other words.", remedy="Others."), None),
]
PARAMETERS += [
    # What can never be waived.
    (row(check=name), row("FAILED", check=name, **WAIVED), "regressed")
    for name in ("integrity.readable", "convergence.rhat", "structure.simulated")
]


@pytest.mark.parametrize(("before", "after", "outcome"), PARAMETERS)
def test_every_result_has_an_outcome(built_bundle, before, after, outcome):
    old, new = ([OTHER, *([r] if r else [])] for r in (before, after))
    difference = check_changes(built_bundle, old, new[::-1])  # the order is nothing
    assert [change.outcome for change in difference.checks] == ([outcome] if outcome else [])
    assert len(difference.regressions) == (outcome == "regressed")
    if outcome:
        (change,) = difference.checks
        assert (change.product, change.waiver) == (CUBE, None)
        for said, report in ((change.before, before), (change.after, after)):
            for name in ("status", "measured", "limit", "unit", "waived"):
                assert getattr(said, name, None) == (report or {}).get(name)


@pytest.mark.parametrize("check", ["physics.map_chi2", "integrity.readable", "convergence.rhat"])
def test_a_check_that_went_with_its_product_is_no_regression(built_bundle, check):
    difference = check_changes(built_bundle, [OTHER, row(check=check)], [], without=[CUBE])
    assert {change.outcome for change in difference.checks} == {"gone"}
    assert difference.regressions == ()


def test_a_check_of_the_whole_run_never_goes_with_a_product(built_bundle):
    rows = [row(product=name) for name in (".", "run.json")]
    difference = check_changes(built_bundle, rows, [OTHER], without=[CUBE])
    assert [change.product for change in difference.regressions] == [".", "run.json"]


def test_a_figure_goes_with_its_file_in_the_archive(run_template, tmp_path):
    figure = row(product="validation/figures/velocity.png")
    other = row(product="validation/figures/velocity.ecsv")
    versions = make_versions(
        run_template,
        tmp_path,
        lambda products: (products / "validation/figures/velocity.png").unlink(),
        rows=[figure, other],
        new_rows=[OTHER],
    )
    outcomes = {change.product: change.outcome for change in versions.compare().checks}
    assert outcomes == {
        "validation/figures/velocity.png": "gone",
        "validation/figures/velocity.ecsv": "regressed",
        CUBE: "new",
    }


def test_a_product_in_an_archive_is_still_there(run_template, tmp_path):
    """Where small products share an archive, their checks go on."""

    def pack(products: Path) -> None:
        (products / "likelihood/tables").mkdir()
        shutil.move(products / "likelihood/lines.ecsv", products / "likelihood/tables")

    lines = row(product="likelihood/lines.ecsv")
    versions = make_versions(run_template, tmp_path, pack, rows=[lines], new_rows=[OTHER])
    lost = next(change for change in versions.compare().checks if change.check == lines["check"])
    assert (lost.outcome, lost.product) == ("regressed", "likelihood/lines")


def test_a_report_may_name_files_of_the_bundle(built_bundle):
    """The report on a bundle and the one on its run mean the same products."""
    bundle = ard.open(built_bundle)
    names = {
        "likelihood/t001_cube.fits": bundle["likelihood/t001_cube"].entry.name,
        "likelihood/lines.ecsv": bundle["likelihood/lines"].entry.name,
        "validation/velocity.ecsv": "validation_figures.zip!velocity.ecsv",
        "README.md": "README.md",
    }
    old = [row(product=name) for name in names]
    new = [row(product=name) for name in names.values()]
    assert check_changes(built_bundle, old, new).checks == ()


def test_a_product_keeps_its_checks_under_another_name(run_template, tmp_path):
    def rename(products: Path) -> None:
        cube = products / "likelihood/t001_cube.fits"
        cube.rename(cube.with_name("t009_cube.fits"))

    new = row(product="likelihood/t009_cube.fits", measured=1.25)
    versions = make_versions(run_template, tmp_path, rename, rows=[row()], new_rows=[new])
    (change,) = versions.compare().checks
    assert (change.outcome, change.product) == ("changed", "likelihood/t009_cube")


def test_of_two_rows_about_one_thing_the_bad_one_counts(built_bundle):
    difference = check_changes(built_bundle, [row()], [row("FAILED"), row()])
    assert len(difference.regressions) == 1
    difference = check_changes(built_bundle, [row()], [row(), row("FAILED")])
    assert len(difference.regressions) == 1


def test_a_waiver_covers_a_check_that_is_no_longer_made(built_bundle):
    day = datetime.date(2026, 6, 1)
    waiver = Waiver("physics.map_chi2", "likelihood/*.fits", "replaced", "A. Tester", day)
    gone = [row(), row(check="integrity.readable")]
    difference = check_changes(built_bundle, gone, [OTHER], accepted=Accepted((waiver,), day))
    waived = next(change for change in difference.checks if change.outcome == "waived")
    assert waived.waiver == waiver.to_dict()
    assert [change.check for change in difference.regressions] == ["integrity.readable"]
    late = Accepted((waiver,), day + datetime.timedelta(days=1))
    assert len(check_changes(built_bundle, gone, [OTHER], accepted=late).regressions) == 2


def test_the_worst_comes_first(built_bundle):
    old = [row(check="a.mended", status="FAILED"), row(check="z.worse"), row(check="b.changed")]
    new = [row(check="a.mended"), row("FAILED", check="z.worse"), row(check="b.changed", unit="m")]
    difference = check_changes(built_bundle, old, new)
    assert [change.check for change in difference.checks] == ["z.worse", "a.mended", "b.changed"]


def test_a_bundle_without_a_report_has_lost_every_check(built_bundle, tmp_path):
    bare = Path(shutil.copytree(built_bundle, tmp_path / "bare"))
    document = json.loads((bare / "manifest.json").read_text())
    document["files"] = [row for row in document["files"] if row["name"] != "checks.json"]
    (bare / "manifest.json").write_text(json.dumps(document))
    old, new = ard.open(built_bundle), ard.bundle.Bundle(LocalSource(bare), read_manifest(bare))
    assert len(compare(old, new).regressions) == 1
    assert [change.outcome for change in compare(new, old).checks] == ["new"]


def test_a_report_that_follows_no_schema_is_told(built_bundle, run_template, tmp_path):
    class Careless(FakeJudge):
        def to_dict(self):
            return {**super().to_dict(), "verdict": "PASSED", "surplus": 1}

    other = build(run_template, tmp_path / "b", judge=Careless()).folder
    with pytest.raises(ard.FormatError, match="check report of a bundle cannot be compared"):
        compare(ard.open(built_bundle), ard.open(other))
