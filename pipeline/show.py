"""How do plans, states and results look on stdout: as a table, or as JSON?"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.findings import BAD, GOOD, Finding
from pipeline.graph import Task
from pipeline.outcome import DONE, FAILED, WOULD_RUN, FlowReport
from pipeline.status import TaskStatus, seconds_of

PIPE_WIDTH: Final = 240
_STYLES: Final = {DONE: "green", FAILED: "red", GOOD: "green", BAD: "red", WOULD_RUN: "yellow"}


def _json(document: object) -> None:
    click.echo(json.dumps(document, indent=2, sort_keys=True))


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _row(table: Table, *cells: str, style: str = "") -> None:
    # Text, because square brackets in a plain string are taken for markup.
    table.add_row(*map(Text, cells), style=style)


def _print(table: Table) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)  # nothing is folded in a pipe
    console.print(table)


def plan(
    report: FlowReport, tasks: Sequence[Task], root: Path, workers: int, as_json: bool
) -> None:
    """Show what a run would execute, why, and what it would cost."""
    costs = seconds_of(tasks, root)
    by_name = {outcome.task: outcome for outcome in report.outcomes}
    due = [task.name for task in tasks if by_name[task.name].status == WOULD_RUN]
    work = sum(costs[name] for name in due)
    wall = max(work / workers, longest_chain(tasks, {name: costs[name] for name in due}))
    if as_json:
        rows = [
            {
                "task": task.name,
                "status": by_name[task.name].status,
                "reasons": list(by_name[task.name].reasons),
                "seconds": round(costs[task.name], 1) if task.name in due else 0.0,
                "outputs": sorted(map(task.short, task.output_files().values())),
            }
            for task in tasks
        ]
        _json({"schema": "plan", "run": str(root), "tasks": rows, "workers": workers,
               "core_seconds": round(work, 1), "wall_seconds": round(wall, 1)})  # fmt: skip
        return
    table = _table("task", "would", "about", "because")
    for task in tasks:
        outcome = by_name[task.name]
        run = outcome.status == WOULD_RUN
        cost = f"{costs[task.name]:.1f} s" if run else ""
        why = "; ".join(outcome.reasons)
        _row(table, task.name, "run" if run else outcome.status, cost, why,
                      style="" if run else "dim")  # fmt: skip
    _print(table)
    click.echo(
        f"{len(due)} of {len(tasks)} tasks would run: about {work:.0f} s of computing, "
        f"{wall:.0f} s with {workers} workers"
    )


def longest_chain(tasks: Sequence[Task], costs: Mapping[str, float]) -> float:
    """Give the time in seconds that no number of workers can undercut."""
    maker = {path: task.name for task in tasks for path in task.output_files().values()}
    ends: dict[str, float] = {}
    for task in tasks:  # in the order of the stages, so inputs come first
        before = {maker[path] for path in task.input_files().values() if path in maker}
        begin = max((ends[name] for name in before), default=0.0)
        ends[task.name] = begin + costs.get(task.name, 0.0)
    return max(ends.values(), default=0.0)


def status(rows: Sequence[TaskStatus], as_json: bool) -> None:
    """Show how far a run is."""
    counts = {name: sum(row.status == name for row in rows) for name in (DONE, "pending", FAILED)}
    if as_json:
        _json({"schema": "status", "counts": counts, "tasks": [row.to_dict() for row in rows]})
        return
    table = Table("task", "status", "seconds", "ended (UTC)", "", box=None, header_style="bold")
    for row in rows:
        seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
        style = _STYLES.get(row.status, "")
        _row(table, row.task, row.status, seconds, (row.end or "")[:19], row.problem or "",
                      style=style)  # fmt: skip
    _print(table)
    click.echo(", ".join(f"{number} {name}" for name, number in counts.items()))


def doctor(findings: Sequence[Finding], as_json: bool) -> None:
    """Show what was found on this machine."""
    if as_json:
        _json({"schema": "doctor", "findings": [finding.to_dict() for finding in findings]})
        return
    table = _table("", "what", "value", "from")
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            table.add_section()
            _row(table, "", section, "", "", style="bold")
        style = _STYLES.get(finding.status, "")
        _row(table, finding.status, finding.name, finding.value, finding.origin, style=style)
        if finding.action:
            _row(table, "", "", f"-> {finding.action}", "")
    _print(table)


def rows(headings: Sequence[str], cells: Sequence[Sequence[object]]) -> None:
    """Show a table."""
    table = _table(*headings)
    for row in cells:
        _row(table, *map(str, row))
    _print(table)


def paths(found: Mapping[str, Path], as_json: bool, facts: Mapping[str, Any] | None = None) -> None:
    """Show where the results are."""
    if as_json:
        document: dict[str, Any] = {name: str(path) for name, path in found.items()}
        _json({"paths": document, **(facts or {})})
        return
    width = max(map(len, (*found, *(facts or {}), "products"))) + 2
    for name, value in (facts or {}).items():
        text = ", ".join(f"{n} {k}" for k, n in value.items()) if isinstance(value, dict) else value
        click.echo(f"{name:<{width}}{text}")
    for name, path in found.items():
        click.echo(f"{name:<{width}}{path}")
