"""Does `rbh1-release diff` end with the right code, and speak on the right channel?"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_run import FakeJudge, result, write_record
from versions import Versions, make_versions

import ard
import checks.judging
import schemas
from release.cli import cli

ROOT = Path(__file__).resolve().parents[2]
# What a machine that only compares need not have.
STUDY = "jax jaxlib galpy matplotlib pytask psycopg2 sqlalchemy pandas pipeline"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def change(products: Path) -> None:
    ard.write(products / "likelihood/lines.json", {"schema": "x", "rows": list(range(9))})
    (products / "likelihood/lines.ecsv").unlink()
    quality = ard.read(products / "validation/t001_quality.json")
    ard.write(
        products / "validation/t001_quality.json",
        {**quality, **{f"x{n}": n for n in range(9)}},
        overwrite=True,
    )


@pytest.fixture(scope="module")
def versions(run_template, tmp_path_factory) -> Versions:
    return make_versions(run_template, tmp_path_factory.mktemp("cli"), change)


@pytest.fixture(scope="module")
def worse(run_template, tmp_path_factory) -> Versions:
    """A check of the first version is not made in the second."""
    rows = [result(), result("physics.first")]
    place = tmp_path_factory.mktemp("worse")
    return make_versions(run_template, place, rows=rows, new_rows=rows[:1])


def test_differences_alone_end_with_0(versions):
    shown = call("diff", *versions.sides)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stderr == ""
    assert "1.0.0 -> 1.1.0" in shown.stdout
    assert "likelihood/lines: changed (document" in shown.stdout


def test_no_difference_ends_with_0(versions):
    shown = call("diff", versions.old, versions.old)
    assert (shown.exit_code, shown.stderr) == (0, "")
    entries = len(ard.open(versions.old).manifest.entries)
    assert f"files: {entries} files the same" in shown.stdout


def test_a_regression_ends_with_1_and_is_named(worse):
    shown = call("diff", *worse.sides)
    assert shown.exit_code == 1
    assert shown.stderr == "physics.first on likelihood/t001_cube has regressed\n"
    assert "1 regressed" in shown.stdout
    shown = call("diff", *worse.sides, "--json")
    assert shown.exit_code == 1
    assert json.loads(shown.stdout)["regressions"] == 1
    assert call("diff", worse.new, worse.old).exit_code == 0


def test_what_cannot_run_ends_with_3(versions, tmp_path):
    shown = call("diff", versions.old, tmp_path / "nowhere")
    assert (shown.exit_code, shown.stdout) == (3, "")
    assert "no such bundle" in shown.stderr
    shown = call("diff", *versions.sides, "--products", "t007_cube")
    assert (shown.exit_code, shown.stdout) == (3, "")
    assert "neither bundle has a file 't007_cube'" in shown.stderr


def test_wrong_usage_ends_with_2(versions):
    assert call("diff", versions.old).exit_code == 2
    assert call("diff", *versions.sides, "--format", "html").exit_code == 2
    assert call("diff", *versions.sides, "--limit", "0").exit_code == 2


def test_json_follows_its_schema(versions):
    shown = call("diff", *versions.sides, "--json")
    document = json.loads(shown.stdout)
    assert schemas.validate(document, "bundle-diff") == ()
    assert (document["old"]["version"], document["new"]["version"]) == ("1.0.0", "1.1.0")


def test_the_schema_refuses_what_is_no_difference(versions):
    document = json.loads(call("diff", *versions.sides, "--json").stdout)
    for key in document:
        assert schemas.validate({k: v for k, v in document.items() if k != key}, "bundle-diff")
    assert schemas.validate({**document, "surplus": 1}, "bundle-diff")


def test_the_length_of_lists_can_be_chosen(versions):
    def listed(*options: str) -> dict[str, object]:
        shown = call("diff", *versions.sides, "--json", "--products", "t001_quality", *options)
        (row,) = json.loads(shown.stdout)["files"]
        return row["values"]

    assert [listed()["total"], len(listed()["rows"])] == [9, 9]
    short = listed("--limit", "2")
    assert [short["total"], [row["path"] for row in short["rows"]]] == [9, ["x0", "x1"]]


def test_products_can_be_given_more_than_once(versions):
    names = ["--products", "t001_quality", "--products", "likelihood/*"]
    document = json.loads(call("diff", *versions.sides, "--json", *names).stdout)
    assert [row["after"]["name"] for row in document["files"]] == [
        "likelihood/lines",
        "validation/t001_quality",
    ]


def test_build_takes_the_version_before(run_folder, versions, tmp_path, monkeypatch):
    judge = FakeJudge()
    monkeypatch.setattr(checks.judging, "judge", judge)
    arguments = ["build", "--run", run_folder, "--out", tmp_path / "b", "--previous", versions.old]
    shown = call(*arguments, "--version", "0.9.0", "--json")
    assert shown.exit_code == 1
    (reason,) = json.loads(shown.stdout)["refused"]
    assert "0.9.0 is not later than 1.0.0" in reason
    write_record(run_folder)
    shown = call(*arguments, "--version", "2.0.0")
    assert shown.exit_code == 0, shown.stderr
    assert "Compared with version 1.0.0" in (tmp_path / "b/CHANGELOG.md").read_text()


def test_diff_needs_no_part_of_the_study(versions):
    code = (
        "import sys\n"
        f"for name in {STUDY!r}.split(): sys.modules[name] = None\n"
        "from release.entry import main\n"
        "sys.argv[0] = 'rbh1-release'\n"
        "sys.exit(main())"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, "diff", *versions.sides, "--format", "markdown"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("## 1.1.0\n")
