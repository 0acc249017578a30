"""Does the status say what a run folder shows, and do old products vanish with their plan?

Oracle: the states are brought about by hand, one at a time.
"""

import pytest

from ard.errors import ArdError, NotFoundError
from pipeline import flow, show
from pipeline.config import make_config
from pipeline.graph import Plan, build_tasks
from pipeline.status import save_plan, seconds_of, status_of


def make_plan(toy_run, *settings, items="ab", source="twin"):
    config = make_config(assignments=settings, stages=toy_run.stages)
    files = {item: toy_run.root / "archive" / f"{item}.json" for item in items}
    context = {"items": list(items), "simulated": True}
    plan = Plan(toy_run.root, source, tuple(items), {}, {"number": files}, {}, context, config)
    return plan, build_tasks(plan, toy_run.stages)


def run(toy_run, *settings, **kwargs):
    plan, tasks = make_plan(toy_run, *settings, **kwargs)
    save_plan(plan, tasks)
    return flow.run_tasks(tasks, toy_run.root, 0)


def states(toy_run):
    return {row.task: row.status for row in status_of(toy_run.root)}


def test_done_pending_and_failed_are_told_apart(toy_run):
    plan, tasks = make_plan(toy_run)
    save_plan(plan, tasks)
    assert states(toy_run) == dict.fromkeys([t.name for t in tasks], "pending")
    run(toy_run, "double.fail_on=1")
    assert states(toy_run) == {
        "make": "done",
        "double[a]": "failed",
        "double[b]": "done",
        "total": "pending",
        "show": "pending",
        "gather": "pending",
    }
    failed = next(row for row in status_of(toy_run.root) if row.status == "failed")
    assert failed.problem == "the toy number is odd"
    run(toy_run)
    assert set(states(toy_run).values()) == {"done"}
    (toy_run.root / "work/show/page.html").unlink()
    assert states(toy_run)["show"] == "pending"


def test_the_journal_of_a_killed_run_counts(toy_run):
    run(toy_run)
    lock = toy_run.root / ".rbh1/pytask.lock"
    lock.rename(lock.with_suffix(".saved"))
    assert set(states(toy_run).values()) == {"pending"}
    journal = lock.with_name("pytask.lock.journal")
    journal.write_text('{"lock-version":"1","id":"make","state":"x"}\n{"lock-ver')
    assert [task for task, state in states(toy_run).items() if state == "done"] == ["make"]


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="the folder holds no run"):
        status_of(tmp_path / "nothing")


def test_a_folder_of_another_run_is_refused(toy_run):
    run(toy_run)
    with pytest.raises(ArdError, match="the folder holds another run"):
        run(toy_run, items="a")


def test_what_no_task_makes_any_more_is_removed(toy_run):
    run(toy_run, 'make.names=["a","b","c"]')
    assert (toy_run.root / "archive/c.json").exists()
    mine = toy_run.root / "archive/notes.txt"
    mine.write_text("of the user")
    run(toy_run)
    assert not (toy_run.root / "archive/c.json").exists()
    assert mine.exists()


def test_costs_come_from_the_records_where_there_are_some(toy_run):
    _, tasks = make_plan(toy_run)
    assert seconds_of(tasks, toy_run.root) == dict.fromkeys([t.name for t in tasks], 1.0)
    run(toy_run)
    assert all(cost < 1.0 for cost in seconds_of(tasks, toy_run.root).values())


def test_the_longest_chain_bounds_the_time(toy_run):
    _, tasks = make_plan(toy_run)
    costs = {"make": 1.0, "double[a]": 5.0, "double[b]": 2.0, "total": 1.0, "gather": 3.0}
    assert show.longest_chain(tasks, costs) == 1.0 + 5.0 + 1.0 + 3.0
    assert show.longest_chain(tasks, {"double[b]": 2.0, "show": 1.0}) == 3.0
