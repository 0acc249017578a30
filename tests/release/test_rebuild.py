"""Can a bundle be made again by somebody else, and is it noticed if it cannot?

Oracle: the same run gives the same bytes; a run in which one value was changed does not.
"""

import dataclasses
import datetime
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from runs import edit_json, make_run
from small_run import HLSP, FakeJudge, result

import ard
from ard.integrity import bundle_digest
from checks import judge
from manifests.waivers import Waiver
from release import build as build_module
from release.build import Options, build
from release.model import RefusedError
from release.rebuild import rebuild, reserved
from release.reservation import Reservation

RESERVED = Reservation(
    target="https://zenodo.org",
    record_id="144",
    parent_id="143",
    doi="10.5281/zenodo.144",
    concept_doi="10.5281/zenodo.143",
)
OPTIONS = Options(version="1.2.3", date="2026-02-03", reservation=RESERVED)


@pytest.fixture(scope="module")
def released(run_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("released") / "bundle"
    return build(run_template, out, OPTIONS, judge=FakeJudge()).folder


def test_version_day_and_dois_are_taken_from_the_bundle(released, run_template, tmp_path):
    copy = Path(shutil.copytree(released, tmp_path / "downloaded"))
    run = Path(shutil.copytree(run_template, tmp_path / "elsewhere"))
    done = rebuild(copy, run, judge=FakeJudge())
    assert done.same
    assert done.differing == {}
    assert done.expected == done.found == bundle_digest(released)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["downloaded", "elsewhere"]


def test_a_bundle_without_dois_is_built_without(built_bundle, run_template):
    assert rebuild(built_bundle, run_template, judge=FakeJudge()).same


def test_another_run_is_found_out_and_its_files_are_named(released, run_folder):
    path = run_folder / "products/likelihood/t001_cube.fits"
    cube = ard.read_cube(path)
    flux = cube.flux.copy()
    flux[~cube.mask] += 1.0
    ard.write(path, cube.replace(flux=flux), overwrite=True)
    done = rebuild(released, run_folder, judge=FakeJudge())
    assert not done.same
    assert done.expected != done.found
    # The product, the papers that give its sum, and the lists.
    cube = HLSP.format(major=1, type="likelihood-cube")
    papers = ("datapackage.json", "index.html", "ro-crate-metadata.json")
    assert {cube, *papers, "manifest.json", "sha256sums.txt"} <= done.differing.keys()
    assert set(done.differing.values()) == {"has other bytes"}
    assert HLSP.format(major=1, type="inference-linemap") not in done.differing


def test_files_of_one_side_only_are_named(released, run_folder, tmp_path):
    copy = Path(shutil.copytree(released, tmp_path / "bundle"))
    (copy / "surplus.txt").write_text("x")
    (copy / "validation_figures.zip").unlink()
    done = rebuild(copy, run_folder, judge=FakeJudge())
    assert done.differing == {
        "surplus.txt": "is not built",
        "validation_figures.zip": "is not in the bundle",
    }
    assert done.expected == done.found  # the lists were left as they were
    assert not done.same


def test_the_versions_of_the_software_are_told(released, run_folder):
    document = rebuild(released, run_folder, judge=FakeJudge()).to_dict()
    assert (document["made_by"], document["ours"]) == ("0.1.0", ard.__version__)
    assert json.loads(json.dumps(document)) == document


def test_what_was_reserved_follows_from_the_dois(released):
    assert reserved(ard.open(released).manifest) == RESERVED


def test_the_changelog_needs_the_version_before(released, run_folder, tmp_path):
    second = dataclasses.replace(
        RESERVED, record_id="150", doi="10.5281/zenodo.150",
        previous_id="144", previous_doi="10.5281/zenodo.144",
    )  # fmt: skip
    options = Options("1.2.4", "2026-03-04", reservation=second, previous=released)
    later = build(run_folder, tmp_path / "later", options, judge=FakeJudge()).folder
    assert rebuild(later, run_folder, previous=released, judge=FakeJudge()).same
    assert reserved(ard.open(later).manifest) == second


def test_a_waiver_that_has_expired_does_not_count_against_a_release(tmp_path):
    """With the real judge: what was accepted on the day of the release is accepted again."""

    def worse(document):
        document["cube"]["noise_ratio"] = 50.0

    run = make_run(tmp_path / "run", {"quality": edit_json(worse)})
    waiver = Waiver(
        "physics.quality_noise", "validation/*", "known", "a tester", datetime.date(2026, 3, 1)
    )
    then = partial(judge, waivers=[waiver], today=datetime.date(2026, 2, 3))
    with pytest.raises(RefusedError):
        build(run, tmp_path / "now", OPTIONS)
    folder = build(run, tmp_path / "released", OPTIONS, judge=then).folder
    assert rebuild(folder, run).same


def test_what_was_reserved_may_be_given(run_folder, tmp_path, monkeypatch):
    # The DOI of an archive that is not Zenodo does not tell its address, which the papers bear.
    other = Reservation(**{**RESERVED.__dict__, "target": "https://archive.example.org"})
    options = Options(version="1.2.3", date="2026-02-03", reservation=other)
    released = build(run_folder, tmp_path / "released", options, judge=FakeJudge()).folder
    assert not rebuild(released, run_folder, judge=FakeJudge()).same
    given = []

    def watch(run, out, options, **more):
        given.append(options)
        return build(run, out, options, **more)

    monkeypatch.setattr("release.rebuild.build", watch)
    assert rebuild(released, run_folder, other, judge=FakeJudge()).same
    assert given[0].reservation is other
    assert (given[0].version, given[0].date) == ("1.2.3", "2026-02-03")


def test_a_run_that_may_not_be_released_is_refused(released, run_folder):
    with pytest.raises(RefusedError, match=r"physics\.one"):
        rebuild(released, run_folder, judge=FakeJudge([result("physics.one", "FAILED")]))


def test_a_folder_that_is_no_bundle_is_refused_before_anything_is_built(
    tmp_path, run_folder, monkeypatch
):
    monkeypatch.setattr(build_module, "make_plan", None)
    with pytest.raises(ard.IntegrityError, match=r"manifest\.json: missing file"):
        rebuild(tmp_path, run_folder, judge=FakeJudge())
