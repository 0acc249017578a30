"""Does the engine run exactly what is out of date, in parallel, and survive being killed?

Oracle: the toy graph make -> double[a], double[b] -> total -> show, with gather collecting; which
tasks depend on what is read off that drawing, not off the engine.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ard.errors import ArdError
from pipeline import flow
from pipeline.folder import locked
from pipeline.outcome import DONE, FAILED, SKIPPED, UNCHANGED, WOULD_RUN, Outcome
from pipeline.runner import record_path

ALL = ["double[a]", "double[b]", "gather", "make", "show", "total"]


def done(toy_run, *settings, workers=0):
    return flow.run_tasks(toy_run.tasks(*settings), toy_run.root, workers).tasks(DONE)


def snapshot(root):
    files = [p for p in root.rglob("*") if p.is_file() and ".rbh1" not in p.parts]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def test_first_run_does_everything_and_second_nothing(toy_run):
    first = flow.run_tasks(toy_run.tasks(), toy_run.root, 0)
    assert first.ok
    assert first.tasks(DONE) == ALL
    second = flow.run_tasks(toy_run.tasks(), toy_run.root, 0)
    assert second.ok
    assert second.tasks(UNCHANGED) == ALL
    total = json.loads((toy_run.root / "work/total/total.json").read_text())
    assert total["value"] == 1 * 2.0 + 2 * 2.0


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("show.title=other", ["show"]),
        ("total.offset=3", ["gather", "show", "total"]),
        ("double.factor=3", ["double[a]", "double[b]", "gather", "show", "total"]),
        ("make.start=7", ALL),
        ("double.factor=2.0", []),
    ],
)
def test_one_changed_value_reruns_exactly_its_dependents(toy_run, setting, expected):
    done(toy_run)
    planned = flow.plan_tasks(toy_run.tasks(setting), toy_run.root)
    assert planned.tasks(WOULD_RUN) == expected
    assert done(toy_run, setting) == expected
    assert done(toy_run, setting) == []


def test_a_plan_says_why_and_changes_nothing(toy_run):
    done(toy_run)
    before = snapshot(toy_run.root)
    (toy_run.root / "work/total/total.json").unlink()
    plan = flow.plan_tasks(toy_run.tasks("show.title=x"), toy_run.root)
    reasons = {o.task: o.reasons for o in plan.outcomes if o.status == WOULD_RUN}
    assert reasons["total"] == ("work/total/total.json is missing",)
    assert reasons["show"] == ("after total",)
    assert not (toy_run.root / "work/total/total.json").exists()
    assert done(toy_run) == ["total"]
    assert snapshot(toy_run.root) == before


def test_planning_a_new_run_creates_nothing(toy_run):
    plan = flow.plan_tasks(toy_run.tasks(), toy_run.root)
    assert plan.tasks(WOULD_RUN) == ALL
    assert not toy_run.root.exists()


def test_a_tampered_output_is_rebuilt_to_the_same_bytes(toy_run):
    done(toy_run)
    before = snapshot(toy_run.root)
    victim = toy_run.root / "products/inference/a_doubled.json"
    stat = victim.stat()
    # Same size and same times: only the content tells.
    victim.write_bytes(victim.read_bytes().replace(b"2.0", b"9.0"))
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert done(toy_run) == ["gather"]
    assert snapshot(toy_run.root) == before


def test_changed_code_of_one_stage_reruns_it_and_what_its_bytes_change(toy_run):
    done(toy_run)
    source = toy_run.code / toy_run.name / "show" / "stage.py"
    source.write_text(source.read_text() + "\n# a comment\n")
    from pipeline.code import code_sha256

    code_sha256.cache_clear()
    assert done(toy_run) == ["show"]


def test_changed_library_version_reruns_everything(toy_run, monkeypatch):
    done(toy_run)
    monkeypatch.setattr("pipeline.code.tool_versions", lambda: (("numpy", "0.0.1"),))
    assert done(toy_run) == ALL


def test_a_moved_run_folder_is_still_current(toy_run):
    done(toy_run)
    moved = toy_run.root.with_name("moved")
    toy_run.root.rename(moved)
    toy_run.root = moved
    assert done(toy_run) == []


def test_a_failing_task_leaves_the_others_running(toy_run):
    seen: list[Outcome] = []
    tasks = toy_run.tasks("double.fail_on=1")
    report = flow.run_tasks(tasks, toy_run.root, 0, seen.append)
    assert not report.ok
    assert report.tasks(DONE) == ["double[b]", "make"]
    assert report.tasks(FAILED) == ["double[a]"]
    assert report.tasks(SKIPPED) == ["gather", "show", "total"]
    failure = next(o.failure for o in report.outcomes if o.status == FAILED)
    assert failure is not None
    assert (failure.file, failure.expected, failure.found) == ("toy.json", "an even number", "1")
    assert failure.action == "change the number"
    record = json.loads(record_path(toy_run.root, "double[a]").read_text())
    assert record["status"] == "failed"
    assert record["failure"]["problem"] == "the toy number is odd"
    # Repaired, only what did not succeed is run.
    assert done(toy_run) == ["double[a]", "double[b]", "gather", "show", "total"]


def test_workers_give_the_bytes_of_the_main_process(toy_run):
    assert done(toy_run, workers=0) == ALL
    alone = snapshot(toy_run.root)
    toy_run.root = toy_run.root.with_name("parallel")
    assert done(toy_run, workers=2) == ALL
    assert snapshot(toy_run.root) == alone


def test_a_dying_worker_fails_its_own_task_only(toy_run):
    settings = ("double.die_on=1", "double.sleep=0.3")
    report = flow.run_tasks(toy_run.tasks(*settings), toy_run.root, 2)
    assert report.tasks(FAILED) == ["double[a]"]
    assert report.tasks(DONE) == ["double[b]", "make"]
    failure = next(o.failure for o in report.outcomes if o.status == FAILED)
    assert failure is not None
    assert failure.problem == "the worker process of 'double[a]' died"


def test_two_runs_in_one_folder_are_refused(toy_run):
    with locked(toy_run.root), pytest.raises(ArdError, match="another process is working"):
        flow.plan_tasks(toy_run.tasks(), toy_run.root)


def test_a_missing_input_is_named_before_anything_runs(toy_run):
    with pytest.raises(ArdError, match=r"an input of 'double\[a\]' is missing") as error:
        flow.run_tasks(toy_run.tasks(source="cube"), toy_run.root, 0)
    assert error.value.file == str(toy_run.root / "archive/a.json")
    assert not toy_run.root.exists()


def test_a_cycle_or_a_shared_output_is_refused(toy_run):
    from dataclasses import replace

    tasks = toy_run.tasks()
    twice = (*tasks, replace(tasks[-1], name="again"))
    with pytest.raises(ArdError, match="task graph could not be built"):
        flow.run_tasks(twice, toy_run.root, 0)


def test_temporary_files_of_a_killed_run_are_swept(toy_run):
    done(toy_run)
    leftover = toy_run.root / "work/show/.page.html.0123abcd.part"
    leftover.write_text("half")
    done(toy_run)
    assert not leftover.exists()


def test_pytask_writes_nothing_and_keeps_its_hands_off_the_process(toy_run, capfd):
    environment, path, folder = dict(os.environ), list(sys.path), Path.cwd()
    done(toy_run, workers=1)
    assert capfd.readouterr() == ("", "")
    assert (dict(os.environ), sys.path, Path.cwd()) == (environment, path, folder)


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
import conftest_helper as helper
from pipeline import flow
from pipeline.folder import locked

if __name__ == "__main__":
    run = helper.open_run(Path({folder!r}), {name!r})
    flow.run_tasks(run, Path({folder!r}) / "run", 2, lambda o: print(o.task, o.status, flush=True))
"""

HELPER = """
import importlib.util
from pathlib import Path
from pipeline.config import make_config
from pipeline.graph import Plan, build_tasks
import toy_stages

def open_run(folder, name):
    stages = toy_stages.declare(name)
    root = folder / "run"
    settings = ["double.sleep=2.0", f"double.sign={folder}/inside"]
    config = make_config(assignments=settings, stages=stages)
    files = {i: root / "archive" / f"{i}.json" for i in "ab"}
    context = {"items": ["a", "b"], "simulated": True}
    return build_tasks(
        Plan(root, "twin", ("a", "b"), {}, {"number": files}, {}, context, config), stages)
"""


def start(toy_run, folder):
    (folder / "conftest_helper.py").write_text(HELPER)
    paths = [str(folder), str(toy_run.code), str(Path(__file__).parent)]
    script = folder / "script.py"
    script.write_text(SCRIPT.format(paths=paths, folder=str(folder), name=toy_run.name))
    source = str(Path(flow.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": source},
    )


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path.name} did not appear")


def settings_of_script(folder):
    return "double.sleep=2.0", f"double.sign={folder}/inside"


def test_a_killed_run_continues_where_it_was(toy_run, tmp_path):
    process = start(toy_run, tmp_path)
    try:
        wait_for(tmp_path / "inside1")
        wait_for(tmp_path / "inside2")  # both workers are in their tasks
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    time.sleep(2.5)  # longer than the tasks last: an orphan would have written by now
    assert not (toy_run.root / "work").exists()
    tasks = toy_run.tasks(*settings_of_script(tmp_path))
    report = flow.run_tasks(tasks, toy_run.root, 2)
    assert report.tasks(UNCHANGED) == ["make"]
    assert report.tasks(DONE) == [name for name in ALL if name != "make"]


def test_an_interrupted_run_ends_soon_and_continues(toy_run, tmp_path):
    process = start(toy_run, tmp_path)
    try:
        wait_for(tmp_path / "inside1")
        os.kill(process.pid, signal.SIGINT)
        began = time.monotonic()
        process.communicate(timeout=30)
        assert time.monotonic() - began < 2.0  # sooner than the task would have ended
    finally:
        process.kill()
    assert not (toy_run.root / "work/double/a_doubled.json").exists()
    report = flow.run_tasks(toy_run.tasks(*settings_of_script(tmp_path)), toy_run.root, 0)
    assert report.tasks(UNCHANGED) == ["make"]
