"""Do the verbs parse, print results on stdout and logs on stderr, and end with the agreed codes?

Oracle: the exit codes of the design (0 good, 1 a check failed, 2 usage, 3 could not run).
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import pipeline
from pipeline import cli, plans, tail
from pipeline.graph import Plan
from pipeline.tail import TailReport

SOURCE = Path(pipeline.__file__).parent.parent


@pytest.fixture
def toy_cli(toy_run, monkeypatch):
    """The command line on the toy stages: the simulation is the toy's."""

    def twin_plan(root, config_file=None, settings=(), base=None):
        from pipeline.config import make_config

        config = make_config(config_file, settings, toy_run.stages)
        files = {item: root / "archive" / f"{item}.json" for item in "ab"}
        context = {"items": ["a", "b"], "simulated": True}
        return Plan(root, "twin", ("a", "b"), {}, {"number": files}, {}, context, config)

    monkeypatch.setattr(plans, "twin_plan", twin_plan)
    monkeypatch.setattr(plans, "stages_for", lambda source: toy_run.stages)
    monkeypatch.setattr("pipeline.doctor.cores", lambda: 1)

    def invoke(*arguments):
        return CliRunner().invoke(cli.cli, [str(a) for a in arguments])

    return invoke


def test_a_run_can_be_planned_made_and_asked_about(toy_cli, toy_run):
    root = toy_run.root
    plan = json.loads(toy_cli("plan", "--out", root, "--json").stdout)
    assert [row["status"] for row in plan["tasks"]] == ["would run"] * 6
    assert plan["core_seconds"] == 6.0
    made = toy_cli("run", "--out", root, "--no-bundle", "--json")
    assert made.exit_code == 0
    assert json.loads(made.stdout) == {"paths": {"run": str(root)}}
    assert "[6/6] done      gather" in made.stderr
    status = json.loads(toy_cli("status", root, "--json").stdout)
    assert status["counts"] == {"done": 6, "pending": 0, "failed": 0}
    again = json.loads(toy_cli("plan", "--out", root, "--set", "show.title=x", "--json").stdout)
    due = {row["task"]: row["reasons"] for row in again["tasks"] if row["status"] == "would run"}
    assert due == {"show": ["settings of show changed"]}
    table = toy_cli("plan", "--out", root, "--set", "double.factor=3").stdout
    assert "double[a]" in table
    assert "5 of 6 tasks would run" in table


def test_a_failing_task_ends_with_3_and_its_message(toy_cli, toy_run):
    result = toy_cli("run", "--out", toy_run.root, "--no-bundle", "--set", "double.fail_on=1")
    assert result.exit_code == 3
    for text in (
        "double[a] failed:",
        "the toy number is odd",
        "file: toy.json",
        "expected: an even number",
        "found: 1",
        "what to do: change the number",
    ):
        assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert "FAILED" in result.stderr
    shown = toy_cli("--debug", "run", "--out", toy_run.root, "--no-bundle",
                    "--set", "double.fail_on=1")  # fmt: skip
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--set", "doubel.factor=1"), "unknown stage 'doubel'"),
        (("--set", "double.factor=x"), "has the wrong type"),
        (("--config", "no.toml"), "does not exist"),
        (("--cube", "x.fits"), "--cube needs --target"),
        (("--target", "rbh1"), "--target goes with --cube"),
    ],
)
def test_wrong_usage_ends_with_2(toy_cli, toy_run, arguments, text):
    result = toy_cli("run", "--out", toy_run.root, *arguments)
    assert result.exit_code == 2
    assert text in result.stderr
    assert not toy_run.root.exists()


def test_a_missing_cube_is_named(toy_cli, toy_run, tmp_path):
    cube = tmp_path / "no.fits"
    result = toy_cli("run", "--out", toy_run.root, "--cube", cube, "--target", "rbh1")
    assert result.exit_code == 2
    assert str(cube) in result.stderr
    assert "what to do" in result.stderr


@pytest.mark.parametrize(("verdict", "code"), [("PASSED", 0), ("FAILED", 1)])
def test_the_tail_decides_the_exit_code(toy_cli, toy_run, monkeypatch, verdict, code):
    seen = []

    def finish(root, say):
        seen.append(root)
        say("judging")
        return TailReport(verdict, {"PASSED": 2}, ("FAILED x y: z",), {"report": root / "r.html"})

    monkeypatch.setattr(tail, "finish", finish)
    result = toy_cli("demo", "--out", toy_run.root, "--json")
    assert result.exit_code == code
    assert seen == [toy_run.root]
    document = json.loads(result.stdout)
    assert document["verdict"] == verdict
    assert document["paths"]["report"] == str(toy_run.root / "r.html")
    assert ("FAILED x y: z" in result.stderr) == (code == 1)


def test_relative_folders_are_below_the_working_root(monkeypatch, tmp_path):
    monkeypatch.setenv("RBH1_REPO_DIR", str(tmp_path))
    assert cli._folder(Path("a/b")) == tmp_path / "a/b"
    assert cli._folder(tmp_path / "c") == tmp_path / "c"


def test_status_of_nothing_ends_with_3(toy_cli, tmp_path):
    result = toy_cli("status", tmp_path / "nothing")
    assert result.exit_code == 3
    assert "the folder holds no run" in result.stderr


BLOCK = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] == {blocked!r} else find(name, path, target)

PathFinder.find_spec = find_spec
sys.argv = ["rbh1", *{arguments!r}]
from pipeline.entry import main
sys.exit(main())
"""


def without(blocked, *arguments):
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(blocked=blocked, arguments=arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        check=False,
    )


@pytest.mark.parametrize(
    ("blocked", "arguments"),
    [
        ("click", ("--help",)),
        ("rich", ("doctor",)),
        ("scipy", ("plan", "--out", "x", "--cube", "x.fits", "--target", "ngc7469")),
    ],
)
def test_without_the_extra_the_line_to_type_is_said(blocked, arguments, tmp_path):
    result = without(blocked, *arguments)
    assert result.returncode == 3
    assert "pip install 'rbh1-ard[study]'" in result.stderr
    assert blocked in result.stderr
    assert "Traceback" not in result.stderr


def test_the_doctor_asks_jax_and_says_so_in_json():
    result = CliRunner().invoke(cli.cli, ["doctor", "--json"])
    found = json.loads(result.stdout)["findings"]
    assert result.exit_code == any(row["status"] == "bad" for row in found)
    row = next(row for row in found if row["section"] == "devices")
    assert (row["name"], row["status"]) == ("JAX", "good")
    assert row["value"].startswith("computes on ")


def test_help_is_there_at_once():
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "pipeline", "--help"],
            check=True,
            capture_output=True,
            cwd=SOURCE,
        )
        seconds.append(time.perf_counter() - began)
    # The fastest of three, because the machine may be busy.
    assert min(seconds) < 0.5


def test_help_imports_no_heavy_library():
    code = (
        "import sys; import pipeline.cli; "
        "print([n for n in ('numpy', 'astropy', 'rich', 'pytask', 'scipy') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SOURCE
    )
    assert done.stdout.strip() == "[]"
