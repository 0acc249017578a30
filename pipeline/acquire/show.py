"""How do plans, reports and locks of an acquisition look on stdout: as a table, or as JSON?"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.acquire.plan import CHANGED, FAILED, MISSING, OK, Plan, Step, size_text
from pipeline.acquire.record import FileRecord, Report
from pipeline.acquire.relock import Difference
from pipeline.acquire.roles import Part
from pipeline.acquire.survey import concerns, sky_counts
from pipeline.show import PIPE_WIDTH

_STYLES: Final = {OK: "green", CHANGED: "yellow", MISSING: "yellow", FAILED: "red"}
_SHOWN: Final = 12  # digits of a sha256
_MOST: Final = 20  # files that are named one by one


def write_json(document: object) -> None:
    """Write a document to stdout."""
    click.echo(json.dumps(document, indent=2, sort_keys=True))


def _print(table: Table) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)
    console.print(table)


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table(box=None, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        # Text, because square brackets in a plain string are taken for markup.
        table.add_row(*(Text(str(cell), style=_STYLES.get(str(cell), "")) for cell in row))
    _print(table)


def plan(plan: Plan, free_bytes: int, reserve_bytes: int, as_json: bool) -> None:
    """Show what an acquisition would do, and what it would cost."""
    if as_json:
        write_json(
            {
                "schema": "acquisition-plan",
                "selection": plan.selection.name,
                "asked": plan.catalogue is not None,
                "need_bytes": plan.need_bytes,
                "estimated": plan.estimated,
                "free_bytes": free_bytes,
                "reserve_bytes": reserve_bytes,
                "files": [step.to_dict() for step in plan.steps],
            }
        )
        return
    headings = ("group", "files", "held", "to fetch", "changed", "cannot be had", "bytes to come")
    _table(headings, [_group_row(plan, group.name) for group in plan.selection.groups])
    _name_steps([step for step in plan.steps if step.problem])
    stale = sum(step.listing is not None and step.listing.is_stale is True for step in plan.steps)
    if stale:
        click.echo(f"{stale} files are marked stale: the archive means to process them again")
    lack = [step for step in plan.steps if step.need_bytes]
    about = "about " if any(not step.size_known for step in lack) else ""
    verb = "to fetch" if plan.catalogue is not None else "lack"
    click.echo(
        f"{len(lack)} of {len(plan.steps)} files {verb}: {about}"
        f"{size_text(sum(step.need_bytes for step in lack))}; {size_text(free_bytes)} free, "
        f"{size_text(reserve_bytes)} of them reserved"
    )


def _group_row(plan: Plan, group: str) -> tuple[object, ...]:
    steps = [step for step in plan.steps if step.file.group == group]
    fetched = [step for step in steps if step.transfers]
    return (
        group,
        len(steps),
        sum(step.in_store for step in steps),
        len(fetched),
        sum(step.status == CHANGED for step in steps),
        sum(bool(step.problem) and not step.in_store for step in steps),
        size_text(need) if (need := sum(step.need_bytes for step in steps)) else "",
    )


def _name_steps(steps: Sequence[Step]) -> None:
    """Say what stands in the way; files of one group in one trouble are named together."""
    troubles: dict[tuple[str, ...], list[Step]] = {}
    for step in steps:
        key = (step.file.group, step.status, step.problem, step.remedy)
        troubles.setdefault(key, []).append(step)
    for (group, status, problem, remedy), found in troubles.items():
        what = f"{len(found)} files of {group}" if len(found) > 1 else found[0].name
        click.echo(f"{status:<8}{what}: {problem}")
        for step in found[:_MOST]:
            if len(found) > 1 and step.changes:
                click.echo(f"        {step.name}")
            for change in step.changes:
                click.echo(f"        {change}")
        if remedy:
            click.echo(f"        what to do: {remedy}")


def report(report: Report, parts: Mapping[str, Part], root: object, as_json: bool) -> None:
    """Show what became of the files."""
    if as_json:
        document = report.to_dict()
        document["parts"] = [part.to_dict() for part in parts.values()]
        write_json({**document, "store": str(root)})
        return
    bad = [record for record in report.records if record.status != OK]
    _name_records(bad)
    trusted = sum(record.first_use for record in report.records)
    if trusted:
        click.echo(
            f"{trusted} files were taken on trust: nothing vouches for them but their size and "
            "structure; their sha256 is recorded, and another one will not pass any more"
        )
    _odd_content(report.records)
    _parts(parts)
    text = ", ".join(f"{number} {status}" for status, number in report.counts.items() if number)
    received = sum(record.received_bytes for record in report.records)
    click.echo(f"{text or 'no files'}; {size_text(received)} received")
    click.echo(str(root))


def _name_records(records: Sequence[FileRecord]) -> None:
    for record in records[:_MOST]:
        lines = record.problem.lines() if record.problem else [""]
        click.echo(f"{record.status:<8}{record.name}: {lines[0]}")
        for line in (*(f"  {change}" for change in record.changes), *lines[1:]):
            click.echo(f"      {line}")
    if len(records) > _MOST:
        click.echo(f"        and {len(records) - _MOST} more; --json names all of them")


def _odd_content(records: Sequence[FileRecord]) -> None:
    """Say what the verification noted about files that passed."""
    for record in records:
        for rung in record.rungs:
            if record.in_store and rung["status"] == "noted":
                click.echo(f"noted: {record.name}: {rung['found']}")


def _parts(parts: Mapping[str, Part]) -> None:
    if not parts:
        return
    rows = sky_counts(parts.values())
    click.echo("by their headers: " + ", ".join(f"{n} {name}" for name, n in rows.items() if n))
    for line in concerns(parts.values())[:_MOST]:
        click.echo(f"odd: {line}")


def status(
    plan: Plan, parts: Mapping[str, Part], root: object, as_json: bool, verbose: bool
) -> None:
    """Show how the files of the lock stand in the store."""
    rows = [_status_row(step, parts.get(step.name)) for step in plan.steps]
    if as_json:
        write_json({"schema": "acquisition-status", "store": str(root), "files": rows})
        return
    headings = ("group", "files", "OK", "MISSING", "CHANGED", "FAILED", "partial")
    _table(headings, [_status_group(rows, group.name) for group in plan.selection.groups])
    if verbose:
        columns = ("status", "file", "sha256", "verified", "role", "pointing", "dither", "tip")
        _table(columns, [_status_file(row) for row in rows])
    _name_steps([step for step in plan.steps if step.status in (CHANGED, FAILED)])
    _parts(parts)
    click.echo(str(root))


def _status_row(step: Step, part: Part | None) -> dict[str, Any]:
    held, last = step.entry.held, step.entry.last
    failed = last.get("status") == FAILED and step.status == MISSING
    return {
        "name": step.name,
        "uri": step.file.uri,
        "group": step.file.group,
        "status": FAILED if failed else step.status,
        "sha256": held.sha256 if held else None,
        "size": held.size if held else None,
        "verified": held.verified if held else "none",
        "locked_sha256": step.file.sha256,
        "partial_bytes": step.partial_bytes,
        "changes": list(step.changes),
        "problem": step.problem or (last.get("problem") or {}).get("problem", ""),
        "part": None if part is None else part.to_dict(),
    }


def _status_group(rows: Sequence[Mapping[str, Any]], group: str) -> tuple[object, ...]:
    own = [row for row in rows if row["group"] == group]
    numbers = [sum(row["status"] == name for row in own) for name in (OK, MISSING, CHANGED, FAILED)]
    partial = sum(row["partial_bytes"] for row in own)
    return group, len(own), *numbers, size_text(partial) if partial else ""


def _status_file(row: Mapping[str, Any]) -> tuple[object, ...]:
    part = row["part"] or {}
    tip = {True: "inside", False: "outside", None: ""}[part.get("covers_target")]
    sha = (row["sha256"] or "")[:_SHOWN]
    return (
        row["status"], row["name"], sha, row["verified"], part.get("role", ""),
        part.get("pointing") or "", part.get("dither") or "", tip,
    )  # fmt: skip


def differences(found: Sequence[Difference], path: object, written: bool, as_json: bool) -> None:
    """Show how the lock differs from what there is, or what was changed in it."""
    if as_json:
        rows = [difference.to_dict() for difference in found]
        write_json(
            {"schema": "lock-differences", "lock": str(path), "written": written, "files": rows}
        )
        return
    for difference in found:
        mark = "  NEW BYTES" if difference.new_bytes else ""
        click.echo(f"{difference.kind:<8}{difference.name}{mark}")
        for name, (before, after) in difference.fields.items():
            if difference.kind == "altered":
                click.echo(f"        {name}: {_short(before)} -> {_short(after)}")
    new = sum(difference.new_bytes for difference in found)
    click.echo(f"{len(found)} files differ, {new} of them in bytes that were known before")
    click.echo(f"{'written: ' if written else 'not changed: '}{path}")


def _short(value: object) -> str:
    text = "not known" if value is None else str(value)
    return text if len(text) < 64 else f"{text[:_SHOWN]}..."
