"""Does the command line say the right thing on the right channel, with the right exit code?"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_run import CUBE, FakeJudge, result

import checks.judging
from ard.integrity import bundle_digest
from release.cli import cli
from release.reservation import Reservation, write_reservation

ROOT = Path(__file__).resolve().parents[2]

# What a machine that only verifies need not have.
STUDY = "jax jaxlib galpy matplotlib pytask psycopg2 sqlalchemy pandas pipeline"
HIDDEN = """
import sys
study = sys.argv[1].split()

class Filter:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in study
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Filter, sys.meta_path)
from release.entry import main
sys.argv = ["rbh1-release", *sys.argv[2:]]
sys.exit(main())
"""


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> FakeJudge:
    """The registry of checks, replaced by one that passes everything."""
    fake = FakeJudge()
    monkeypatch.setattr(checks.judging, "judge", fake)
    return fake


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_build_prints_the_path_alone_on_stdout(run_folder, tmp_path, judge):
    out = tmp_path / "b"
    shown = call("build", "--run", run_folder, "--out", out)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout == f"{out}\n"
    assert bundle_digest(out) in shown.stderr
    assert "datePublished" in shown.stderr


def test_build_prints_json_on_demand(run_folder, tmp_path, judge):
    out = tmp_path / "b"
    arguments = ["--version", "1.0.0", "--date", "2026-02-03", "--json"]
    shown = call("build", "--run", run_folder, "--out", out, *arguments)
    document = json.loads(shown.stdout)
    assert document["bundle"] == str(out)
    assert document["digest"] == bundle_digest(out)
    assert document["files"] == len(list(out.iterdir()))
    assert document["size"] == sum(path.stat().st_size for path in out.iterdir())
    assert "datePublished" not in shown.stderr


def test_a_refused_build_ends_with_1_and_names_each_check(run_folder, tmp_path, judge):
    judge.rows = [result("physics.one", "FAILED"), result("physics.two", "SKIPPED")]
    shown = call("build", "--run", run_folder, "--out", tmp_path / "b")
    assert shown.exit_code == 1
    assert "physics.one" in shown.stderr
    assert "physics.two" in shown.stderr
    assert shown.stdout == ""
    shown = call("build", "--run", run_folder, "--out", tmp_path / "b", "--json")
    assert shown.exit_code == 1
    reasons = json.loads(shown.stdout)["refused"]
    assert [reason.partition(" ")[0] for reason in reasons] == ["physics.one", "physics.two"]
    assert not (tmp_path / "b").exists()


def test_what_cannot_run_ends_with_3(run_folder, tmp_path, judge):
    shown = call("build", "--run", tmp_path / "nowhere", "--out", tmp_path / "b")
    assert (shown.exit_code, shown.stdout) == (3, "")
    assert "run.json" in shown.stderr
    shown = call("build", "--run", run_folder, "--out", run_folder)
    assert shown.exit_code == 3
    assert "place for the bundle" in shown.stderr
    assert call("verify", tmp_path / "nowhere").exit_code == 3


def test_wrong_usage_ends_with_2(run_folder, tmp_path, judge):
    arguments = ["build", "--run", run_folder, "--out", tmp_path / "b", "--date", "yesterday"]
    shown = call(*arguments)
    assert shown.exit_code == 2
    assert "YYYY-MM-DD" in shown.stderr
    assert call("verify", tmp_path, "--digest", "abc").exit_code == 2
    assert call("build").exit_code == 2


def test_a_dry_run_writes_nothing(run_folder, tmp_path, judge):
    judge.rows = [result("physics.one", "FAILED")]  # not asked
    arguments = ["build", "--run", run_folder, "--out", tmp_path / "b", "--dry-run"]
    shown = call(*arguments)
    assert shown.exit_code == 0, shown.stderr
    for text in (CUBE, "README.md", "as written", "18 of 100 files", " of 50.0 GB"):
        assert text in shown.stdout
    for why in ("FITS files are loose", "A folder of 2 files travels as one stored zip."):
        assert why in shown.stdout
    assert "representative: absent, no synthetic cubes are made yet" in shown.stdout
    document = json.loads(call(*arguments, "--json").stdout)
    assert len(document["files"]) == 18
    assert all(row["why"].endswith(".") for row in document["files"])
    assert document["totals"]["files"] == 18
    assert document["totals"]["size"] == sum(row["size"] or 0 for row in document["files"])
    assert document["limits"] == {"files": 100, "size": 50_000_000_000}
    assert not (tmp_path / "b").exists()


def test_overwriting_has_to_be_asked_for(run_folder, bundle_folder, judge):
    arguments = ["build", "--run", run_folder, "--out", bundle_folder]
    assert call(*arguments).exit_code == 3
    assert call(*arguments, "--overwrite").exit_code == 0


def test_a_day_before_there_were_data_is_wrong_usage(run_folder, tmp_path):
    arguments = ["build", "--run", run_folder, "--out", tmp_path / "b", "--date", "0001-01-01"]
    shown = call(*arguments)
    assert shown.exit_code == 2
    assert "is before 2022-07-12" in shown.stderr


def test_another_day_than_the_present_one_is_said(built_bundle, bundle_folder, judge):
    assert "The bundle says" not in call("check", built_bundle).stderr
    path = bundle_folder / "manifest.json"
    path.write_text(path.read_text().replace('"date": null', '"date": "2026-02-03"'))
    assert "released on 2026-02-03, and today is" in call("check", bundle_folder).stderr


def test_what_a_killed_build_left_is_said(run_folder, tmp_path, judge):
    left = tmp_path / ".b.0123abcd.part"
    left.mkdir()
    shown = call("build", "--run", run_folder, "--out", tmp_path / "b")
    assert shown.exit_code == 0
    assert f"{left}: a build of this bundle is at work, or was killed and left it." in shown.stderr
    assert left.is_dir()


def test_verify_is_quiet_about_an_intact_bundle(built_bundle):
    shown = call("verify", built_bundle)
    assert (shown.exit_code, shown.stdout) == (0, "intact (full)\n")
    assert bundle_digest(built_bundle) in shown.stderr
    assert call("verify", built_bundle, "--fast").stdout == "intact (fast)\n"
    assert call("verify", built_bundle, "--digest", bundle_digest(built_bundle)).exit_code == 0


def test_verify_names_each_finding_and_ends_with_1(bundle_folder):
    (bundle_folder / "surplus").write_text("x")
    path = bundle_folder / "checks.json"
    path.write_text(path.read_text().replace("PASSED", "FAILED"))
    shown = call("verify", bundle_folder)
    assert shown.exit_code == 1
    assert "surplus: unlisted file" in shown.stdout
    assert "checks.json: sha256 differs" in shown.stdout
    document = json.loads(call("verify", bundle_folder, "--json").stdout)
    assert document["intact"] is False
    assert {row["file"] for row in document["findings"]} == {"surplus", "checks.json"}
    assert document["digest"] == bundle_digest(bundle_folder)
    # The change kept the size, so the fast level sees the surplus file only.
    document = json.loads(call("verify", bundle_folder, "--fast", "--json").stdout)
    assert {row["file"] for row in document["findings"]} == {"surplus"}


def test_verify_compares_the_published_digest(built_bundle):
    shown = call("verify", built_bundle, "--digest", "0" * 64)
    assert shown.exit_code == 1
    assert "not the published bundle" in shown.stdout


def test_verify_says_so_where_there_is_no_list(bundle_folder):
    (bundle_folder / "sha256sums.txt").unlink()
    document = json.loads(call("verify", bundle_folder, "--json").stdout)
    assert document["digest"] is None
    assert "sha256sums.txt" in {row["file"] for row in document["findings"]}


def test_verify_builds_the_run_again_on_demand(built_bundle, run_folder, judge):
    shown = call("verify", built_bundle, "--rebuild", run_folder)
    assert (shown.exit_code, shown.stdout) == (0, "intact (full)\nrebuilt: the same bytes\n")
    document = json.loads(call("verify", built_bundle, "--rebuild", run_folder, "--json").stdout)
    assert document["rebuilt"]["same"] is True
    assert document["rebuilt"]["found"] == document["digest"] == bundle_digest(built_bundle)
    path = run_folder / "products/validation/t001_quality.json"
    path.write_text(path.read_text().replace("t001", "t009"))
    shown = call("verify", built_bundle, "--rebuild", run_folder)
    assert shown.exit_code == 1
    assert "validation_t001_quality.json: has other bytes" in shown.stdout
    assert "another bundle" in shown.stderr
    judge.rows = [result("physics.one", "FAILED")]
    shown = call("verify", built_bundle, "--rebuild", run_folder)
    assert shown.exit_code == 1
    assert "physics.one" in shown.stderr
    assert call("verify", built_bundle, "--rebuild", run_folder / "nowhere").exit_code == 3


def test_a_damaged_bundle_is_not_compared_with_a_new_one(bundle_folder, run_folder, judge):
    (bundle_folder / "surplus").write_text("x")
    document = json.loads(call("verify", bundle_folder, "--rebuild", run_folder, "--json").stdout)
    assert "rebuilt" not in document
    assert document["intact"] is False


RESERVED = Reservation(
    "https://sandbox.zenodo.org", "144", "143", "10.5072/zenodo.144", "10.5072/zenodo.143"
)


def test_a_dry_run_refuses_what_the_build_would(run_folder, bundle_folder, tmp_path):
    given = ("build", "--run", run_folder, "--dry-run", "--out")
    shown = call(*given, bundle_folder)
    assert shown.exit_code == 3
    assert "there is something at the place for the bundle" in shown.stderr
    assert call(*given, bundle_folder, "--overwrite").exit_code == 0
    shown = call(*given, tmp_path / "b", "--version", "0.0.1", "--previous", bundle_folder)
    assert shown.exit_code == 1
    assert "is not later than" in shown.stderr


def test_check_says_whether_a_bundle_may_be_deposited(built_bundle, run_folder, tmp_path, judge):
    shown = call("check", built_bundle)
    assert shown.exit_code == 1
    assert "manifest.json: no DOI is reserved for this bundle" in shown.stdout
    assert "not ready" in shown.stderr
    release, out = tmp_path / "release.json", tmp_path / "b"
    write_reservation(release, RESERVED)
    built = call(
        "build", "--run", run_folder, "--out", out, "--release", release, "--date", "2026-02-03"
    )
    assert built.exit_code == 0, built.stderr
    shown = call("check", out, "--release", release)
    assert (shown.exit_code, shown.stdout) == (0, "ready to be deposited\n"), shown.stdout
    document = json.loads(call("check", out, "--json").stdout)
    assert document == {"bundle": str(out), "ready": True, "findings": []}


def test_check_lists_every_finding_as_json(bundle_folder, judge):
    (bundle_folder / "surplus").write_text("x")
    judge.rows = [result("physics.one", "FAILED")]
    shown = call("check", bundle_folder, "--json")
    assert shown.exit_code == 1
    document = json.loads(shown.stdout)
    assert document["ready"] is False
    assert {row["problem"] for row in document["findings"]} == {
        "unlisted file",
        "physics.one: FAILED",
        "no DOI is reserved for this bundle",
        # It was built without a day, which a record must have.
        "$: 'publicationYear' is a required property",
        "metadata: 'publication_date' is a required property",
    }
    assert all(set(row) == {"file", "problem", "expected", "found"} for row in document["findings"])


def test_check_that_cannot_be_made_ends_with_3(built_bundle, tmp_path, judge):
    assert call("check", tmp_path / "nowhere").exit_code == 3
    (tmp_path / "release.json").write_text("{}")
    shown = call("check", built_bundle, "--release", tmp_path / "release.json")
    assert shown.exit_code == 3
    assert "this is no reservation" in shown.stderr
    assert call("check").exit_code == 2


def test_verify_needs_no_part_of_the_study(built_bundle):
    shown = subprocess.run(
        [sys.executable, "-c", HIDDEN, STUDY, "verify", built_bundle, "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["intact"] is True


def test_the_package_runs_as_a_module(built_bundle):
    shown = subprocess.run(
        [sys.executable, "-m", "release", "verify", built_bundle, "--fast"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (shown.returncode, shown.stdout) == (0, "intact (fast)\n"), shown.stderr
