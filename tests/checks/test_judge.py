"""Is the judge fair: every failure in the report, nothing passed that was not checked?"""

import ast
import datetime
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from runs import edit_json, make_bundle, make_run

import checks
import schemas
from checks import Status, all_checks, judge
from checks.cli import cli
from checks.registry import Check, any_file, check
from checks.result import compare, passed
from manifests import Limit, Waiver, load_acceptance

ROOT = Path(checks.__file__).parent
TODAY = datetime.date(2026, 6, 1)
WIDE = {"COLUMNS": "200"}


@pytest.fixture(scope="module")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def noisy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one failure that may be waived: physics.quality_noise."""

    def noisy(document: dict) -> None:
        document["cube"]["noise_ratio"] = 5.0

    return make_run(tmp_path_factory.mktemp("noisy"), {"quality": edit_json(noisy)})


def waiver(**changes) -> Waiver:
    given = {
        "check": "physics.quality_noise",
        "product": "validation/*_quality.json",
        "reason": "a reason",
        "author": "a person",
        "expires": TODAY,
    }
    return Waiver(**given | changes)


# ---- nothing to check


def test_empty_folder_fails(tmp_path):
    report = judge(tmp_path)
    assert report.verdict == "FAILED"
    assert report.counts["products"] == 0
    assert [r.check for r in report.bad if r.status is Status.FAILED] == ["structure.folder"]


def test_run_without_products_fails(tmp_path):
    (tmp_path / "products").mkdir()
    assert judge(tmp_path).verdict == "FAILED"


def test_no_checks_at_all_is_no_pass_without_products(tmp_path):
    assert judge(tmp_path, checks=()).verdict == "FAILED"


def test_folder_that_does_not_exist_is_a_row_not_an_exception(tmp_path):
    assert judge(tmp_path / "nowhere").verdict == "FAILED"


# ---- checks that break or cannot be made


def broken(product, limits):
    """Does this check work?"""
    raise ZeroDivisionError("a defect")


def test_crashing_check_is_an_error_and_the_others_run(good_run):
    crash = Check("physics.crash", "?", (), any_file, broken)
    report = judge(good_run, checks=(crash, *all_checks()))
    assert report.verdict == "FAILED"
    assert report.counts["ERROR"] == report.counts["products"] + 1  # and run.json
    assert {r.check for r in report.bad} == {"physics.crash"}
    assert "ZeroDivisionError: a defect" in report.bad[0].detail
    assert report.counts["PASSED"] == judge(good_run).counts["PASSED"]


def test_crash_of_the_question_whether_a_check_applies_is_an_error(good_run):
    crash = Check("physics.crash", "?", (), lambda product: 1 / 0, lambda p, limits: passed("fine"))
    counts = judge(good_run, checks=(crash,)).counts
    assert counts["ERROR"] == counts["products"] + 2  # and run.json, and the folder itself


def test_an_error_cannot_be_waived(good_run):
    crash = Check("physics.crash", "?", (), any_file, broken)
    accepted = [waiver(check="physics.crash", product="*")]
    assert judge(good_run, checks=(crash,), waivers=accepted, today=TODAY).verdict == "FAILED"


def test_skipped_is_not_passed(good_run, monkeypatch):
    # None in sys.modules makes the import fail, as where gwcs is not installed.
    monkeypatch.setitem(sys.modules, "gwcs", None)
    report = judge(good_run)
    assert {(r.check, r.status) for r in report.bad} == {("physics.cube_wcs", Status.SKIPPED)}
    assert "rbh1-ard[study]" in report.bad[0].remedy
    assert report.verdict == "FAILED"


# ---- waivers


def test_a_waiver_for_a_run_counts_for_its_bundle(noisy_run, tmp_path):
    bundle = make_bundle(noisy_run, tmp_path / "bundle")
    bad = [row for row in judge(bundle).bad if row.check != "structure.papers"]
    assert [row.product for row in bad] == ["validation_t001_quality.json"]
    by_place, by_name = waiver(), waiver(product="validation_t001_quality.json")
    for accepted in (by_place, by_name):
        report = judge(bundle, waivers=[accepted], today=TODAY)
        assert [row.check for row in report.results if row.waived] == [accepted.check]
    other = judge(bundle, waivers=[waiver(product="inference/*")], today=TODAY)
    assert not any(row.waived for row in other.results)


def test_waiver_lets_a_failure_pass_and_is_shown(noisy_run):
    report = judge(noisy_run, waivers=[waiver()], today=TODAY)
    assert report.verdict == "PASSED"
    assert report.counts["waived"] == 1
    assert report.counts["FAILED"] == 1
    row = next(r for r in report.to_dict()["results"] if r["waived"])
    assert row["waived"]["author"] == "a person"
    assert row["waived"]["expires"] == "2026-06-01"
    assert schemas.validate(report.to_dict(), "check-report") == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"expires": TODAY - datetime.timedelta(days=1)},
        {"product": "likelihood/*"},
        {"check": "physics.quality_agrees"},
    ],
    ids=["expired", "other product", "other check"],
)
def test_waiver_that_does_not_cover_does_not_count(changes, noisy_run):
    report = judge(noisy_run, waivers=[waiver(**changes)], today=TODAY)
    assert report.verdict == "FAILED"
    assert report.counts["waived"] == 0


def test_integrity_cannot_be_waived(tmp_path):
    run = make_run(tmp_path, {"figure": lambda p: p.write_bytes(b"\x89PNG no more")})
    accepted = [waiver(check="integrity.readable", product="*")]
    report = judge(run, waivers=accepted, today=TODAY)
    assert report.verdict == "FAILED"
    assert report.counts["waived"] == 0


# ---- the report


def test_report_follows_its_schema_and_keeps_every_failure(noisy_run):
    document = judge(noisy_run).to_dict()
    assert schemas.validate(document, "check-report") == ()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    failed = [row for row in document["results"] if row["status"] == "FAILED"]
    assert [row["measured"] for row in failed] == [5.0]
    assert failed[0]["limit"] == "0.3 to 3"


def test_judging_twice_gives_the_same_report_and_changes_nothing(good_run):
    before = {p: p.read_bytes() for p in sorted(good_run.rglob("*")) if p.is_file()}
    assert judge(good_run) == judge(good_run)
    assert {p: p.read_bytes() for p in sorted(good_run.rglob("*")) if p.is_file()} == before


def test_a_number_that_is_not_finite_never_keeps_a_limit():
    limit = Limit("x", (0.0, 1.0), "1", "between", True, "a test", "computed")
    for value in (float("nan"), float("inf")):
        result = compare(limit, value, "", "mend it")
        assert result.status is Status.FAILED
        assert result.measured is None


# ---- the registry


def test_every_threshold_is_used_and_every_used_threshold_exists():
    used = {name for one in all_checks() for name in one.limits}
    assert used == load_acceptance().ids


def test_names_are_unique_and_questions_are_asked():
    names = [one.name for one in all_checks()]
    assert len(names) == len(set(names)) > 20
    assert all(one.question.endswith("?") for one in all_checks() if "(" not in one.question)


def test_a_name_cannot_be_taken_twice():
    with pytest.raises(ValueError, match=r"two checks are called 'integrity\.readable'"):
        check("integrity.readable", any_file)(broken)


def test_no_number_stands_in_the_code_of_the_checks():
    """Thresholds live in acceptance.toml; 0 and 1 are not thresholds but counts and identities."""
    found = []
    # The exit code that all commands share; formulas, whose numbers are no limits.
    formulas = {ROOT / "convergence" / "statistics.py", ROOT / "evaluations.py"}
    exempt = {ROOT / "entry.py", *formulas}
    for path in sorted(set(ROOT.rglob("*.py")) - exempt):
        for node in ast.walk(ast.parse(path.read_text())):
            literal = isinstance(node, ast.Constant) and type(node.value) in (int, float)
            if literal and node.value not in (0, 1):
                found.append(f"{path.name}:{node.lineno}: {node.value}")
    assert found == []


def test_checks_never_import_the_pipeline_nor_what_they_may_do_without():
    code = (
        "import sys, checks.judging\n"
        "bad = {'pipeline', 'release', 'pytest', 'jax', 'galpy', 'matplotlib', 'pytask',"
        " 'psycopg2', 'jsonschema', 'pandera', 'gwcs'}\n"
        "checks.all_checks()\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- the command line


def test_command_line_passes_a_good_run(good_run):
    done = CliRunner().invoke(cli, [str(good_run)])
    assert done.exit_code == 0
    assert done.stdout.startswith("PASSED: 22 products")


def test_command_line_prints_the_report_as_json(noisy_run, tmp_path):
    output = tmp_path / "checks.json"
    done = CliRunner().invoke(cli, [str(noisy_run), "--json", "--output", str(output)])
    assert done.exit_code == 1
    assert schemas.validate(json.loads(done.stdout), "check-report") == ()
    assert output.read_text() == done.stdout


def test_command_line_shows_failures_in_a_table(noisy_run):
    done = CliRunner().invoke(cli, [str(noisy_run)], env=WIDE)
    assert done.exit_code == 1
    assert "physics.quality_noise" in done.stdout
    assert "physics.cube_wave" not in done.stdout
    everything = CliRunner().invoke(cli, [str(noisy_run), "--all"], env=WIDE)
    assert "physics.cube_wave" in everything.stdout


def test_command_line_shows_waived_rows(noisy_run, tmp_path):
    file = tmp_path / "waivers.toml"
    file.write_text(
        '[[waivers]]\ncheck = "physics.quality_noise"\nproduct = "*"\nreason = "known [bright]"\n'
        'author = "A. Person"\nexpires = 9999-12-31\n'
    )
    done = CliRunner().invoke(cli, [str(noisy_run), "--waivers", str(file)], env=WIDE)
    assert done.exit_code == 0
    assert "waived by A. Person: known [bright]" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere"], 3, "no such folder"),
        ([".", "--acceptance", "nowhere.toml"], 3, "does not exist"),
        ([], 2, "Missing argument"),
        ([".", "--invented"], 2, "No such option"),
    ],
)
def test_command_line_exit_codes(arguments, code, says):
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == code
    assert says in done.stderr


def test_command_line_uses_other_thresholds(good_run, tmp_path):
    file = tmp_path / "acceptance.toml"
    text = (ROOT.parent / "manifests" / "acceptance.toml").read_text()
    file.write_text(text.replace("value = 1500\n", "value = 15\n"))
    done = CliRunner().invoke(cli, [str(good_run), "--acceptance", str(file), "--json"])
    assert done.exit_code == 1
    failed = [r for r in json.loads(done.stdout)["results"] if r["status"] == "FAILED"]
    assert [r["check"] for r in failed] == [
        "physics.fluxes_velocity",
        "physics.map_velocity",
    ]


def test_python_m_checks_is_the_command(good_run):
    done = subprocess.run(
        [sys.executable, "-m", "checks", str(good_run)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PASSED")


def test_unknown_name_of_the_package():
    with pytest.raises(AttributeError, match="no attribute 'invented'"):
        _ = checks.invented


def test_results_are_plain_values(good_run):
    result = judge(good_run).results[0]
    assert replace(result) == result
    assert repr(result.status.value) == "'PASSED'"
