"""How far is a run, what did each task cost, and what will the rest cost?

Reads the plan and the records in ``.rbh1`` and the engine's own state; needs no engine.
"""

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ard import layout
from ard.errors import ArdError, NotFoundError
from ard.io import read_json, sha256_file, write_json
from pipeline.folder import PLAN_FILE
from pipeline.graph import Plan, Task, flatten
from pipeline.outcome import DONE, FAILED
from pipeline.runner import RECORDS_DIR, record_path

PENDING: Final = "pending"


@dataclass(frozen=True)
class TaskStatus:
    """How a task stands: its status, the seconds of its last execution, its end, its problem."""

    task: str
    status: str
    seconds: float | None = None
    end: str | None = None
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return asdict(self)


def save_plan(
    plan: Plan, tasks: Sequence[Task], say: Callable[[str], None] = lambda _: None
) -> None:
    """Note in the run folder what it is for, and refuse a folder that is for something else.

    Parameters
    ----------
    plan : Plan
        What the run is about.
    tasks : sequence of Task
        Its tasks.
    say : callable
        Told if a file that the run reads is not the one it was.

    Raises
    ------
    ArdError
        If the folder holds a run of another source or of other items.
    """
    path = plan.root / layout.STATE_DIR / PLAN_FILE
    document = {
        "schema": "plan",
        "source": plan.source,
        "items": list(plan.items),
        "config": plan.config.to_dict(),
        "inputs": _inputs(plan, tasks),
        # A list, because JSON objects are written in the order of their keys.
        "tasks": [
            {"task": task.name, "outputs": sorted(map(task.short, task.output_files().values()))}
            for task in tasks
        ],
    }
    if path.exists():
        old = read_json(path)
        _require_same(old, document, plan.root)
        for line in _changed_inputs(old, document):
            say(line)
        _remove_stale(old, document, plan.root)
    write_json(path, document, overwrite=True)


def _require_same(old: dict[str, Any], new: dict[str, Any], root: Path) -> None:
    fields = ("source", "items")
    if any(old.get(name) != new[name] for name in fields):
        raise ArdError(
            "the folder holds another run",
            file=root,
            expected=", ".join(f"{name} {new[name]}" for name in fields),
            found=", ".join(f"{name} {old.get(name)}" for name in fields),
            action="choose another folder with --out, or remove this one",
        )


def _inputs(plan: Plan, tasks: Sequence[Task]) -> dict[str, dict[str, str]]:
    """Give path and digest of each file that no task makes, by its name in the plan."""
    made = {path for task in tasks for path in task.output_files().values()}
    named = dict(flatten(plan.inputs))
    for name, by_item in plan.item_inputs.items():
        one = len(by_item) == 1
        named |= {name if one else f"{name}/{item}": path for item, path in by_item.items()}
    return {
        name: {"path": str(path), "sha256": sha256_file(path)}
        for name, path in named.items()
        if path not in made
    }


def _changed_inputs(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    # A plan of an earlier version says nothing about inputs.
    before, after = old.get("inputs", {}), new["inputs"]
    return [
        f"input {name} changed: its tasks run again"
        for name in after
        if name in before and before[name]["sha256"] != after[name]["sha256"]
    ]


def _remove_stale(old: dict[str, Any], new: dict[str, Any], root: Path) -> None:
    # What an earlier plan made and this one does not make would otherwise look like a product.
    current = {file for row in new["tasks"] for file in row["outputs"]}
    names = {row["task"] for row in new["tasks"]}
    for row in old["tasks"]:
        for file in set(row["outputs"]) - current:
            (root / file).unlink(missing_ok=True)
        if row["task"] not in names:
            record_path(root, row["task"]).unlink(missing_ok=True)


def status_of(root: Path) -> tuple[TaskStatus, ...]:
    """Say how each task of a run folder stands, in the order of the plan.

    Raises
    ------
    NotFoundError
        If the folder holds no run.
    """
    state = root / layout.STATE_DIR
    if not (state / PLAN_FILE).is_file():
        raise NotFoundError(
            "the folder holds no run",
            file=root,
            expected=f"a folder that rbh1 run or rbh1 demo made, with {layout.STATE_DIR}/",
            found="a folder" if root.is_dir() else "no such folder",
            action="check the path",
        )
    plan = read_json(state / PLAN_FILE)
    succeeded = _succeeded(state)
    return tuple(
        _status(root, row["task"], row["outputs"], row["task"] in succeeded)
        for row in plan["tasks"]
    )


def _status(root: Path, name: str, files: list[str], succeeded: bool) -> TaskStatus:
    path = record_path(root, name)
    record = read_json(path) if path.is_file() else {}
    facts = record.get("seconds"), record.get("end")
    if record.get("status") == FAILED:
        return TaskStatus(name, FAILED, *facts, record["failure"]["problem"])
    missing = [file for file in files if not (root / file).is_file()]
    if succeeded and not missing:
        return TaskStatus(name, DONE, *facts)
    problem = f"{missing[0]} is missing" if succeeded else None
    return TaskStatus(name, PENDING, *facts, problem)


def _succeeded(state: Path) -> set[str]:
    """Name the tasks whose success the engine has on record (lock file and its journal)."""
    names: set[str] = set()
    lock, journal = state / "pytask.lock", state / "pytask.lock.journal"
    if lock.is_file():
        names |= {entry["id"] for entry in tomllib.loads(lock.read_text()).get("task", [])}
    if journal.is_file():
        for line in journal.read_text().splitlines():
            try:
                names.add(json.loads(line)["id"])
            except (ValueError, KeyError):
                break  # the line that was being written when the run was killed
    return names


def seconds_of(tasks: Sequence[Task], root: Path) -> dict[str, float]:
    """Estimate what each task costs: its last execution here, else the stage's typical time."""
    costs = {}
    for task in tasks:
        path = root / layout.STATE_DIR / RECORDS_DIR / f"{task.name}.json"
        record = read_json(path) if path.is_file() else {}
        known = record.get("seconds") if record.get("status") == DONE else None
        costs[task.name] = task.stage.typical_seconds if known is None else float(known)
    return costs
