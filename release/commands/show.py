"""How is what a deposit does shown: as tables for people, as JSON for programs?"""

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from ard.bundle import human_size
from ard.sums import quote
from release.commands.common import print_json
from release.deposit.apply import Applied
from release.deposit.clean import Leftover
from release.deposit.plan import DepositPlan
from release.deposit.publish import Published
from release.deposit.status import Status
from release.reservation import Reservation


def requests(target: str, rows: Sequence[str], as_json: bool) -> None:
    """Show requests that would be sent."""
    if as_json:
        print_json({"target": target, "requests": list(rows)})
        return
    click.echo(f"would be sent to {target}:")
    for row in rows:
        click.echo(f"  {row}")


def reservation(out: Path, reserved: Reservation, as_json: bool) -> None:
    """Show what was reserved."""
    if as_json:
        print_json({"release": str(out), **reserved.to_dict()})
        return
    click.echo(f"{reserved.doi}  this version")
    click.echo(f"{reserved.concept_doi}  all versions")
    click.echo(f"next: rbh1-release build --release {out} ...")


def doubt(out: Path, log: Console) -> None:
    """Say that a draft may turn up that nobody knows of."""
    text = (
        "a request to make a draft was lost, what it made was looked for and not found, and another"
        " one was sent: a second draft may turn up."
        f" Look again in an hour: rbh1-release status --release {out}"
    )
    log.print(text, style="yellow", markup=False, soft_wrap=True)


def plan(planned: DepositPlan, as_json: bool) -> None:
    """Show decisions and requests."""
    if as_json:
        print_json(planned.to_dict())
        return
    console = Console(highlight=False)
    console.print(f"{planned.doi} on {planned.target}", markup=False)
    table = Table("file", "what", "size", "md5", "why", title="files")
    for row in planned.decisions:
        name = row.name if row.name.isascii() else quote(row.name)
        size = human_size(row.size)
        table.add_row(escape(name), row.action, size, row.md5[:8], escape(row.why))
    console.print(table)
    steps = planned.steps
    table = Table("", "request", "sends", "why", title=f"{len(steps)} requests")
    for number, step in enumerate(steps, 1):
        sends = human_size(step.size) if step.size else ""
        table.add_row(str(number), escape(f"{step.method} {step.path}"), sends, escape(step.why))
    console.print(table)
    console.print(_totals(planned), markup=False)


def _totals(planned: DepositPlan) -> str:
    parts = [
        f"{planned.count(*actions)} {what} ({human_size(planned.size(*actions))})"
        for what, actions in (
            ("sent", ("upload", "replace")),
            ("linked", ("link",)),
            ("kept", ("keep",)),
            ("deleted", ("delete",)),
        )
        if planned.count(*actions)
    ]
    return "files: " + (", ".join(parts) or "none")


def applied(done: Applied, as_json: bool) -> None:
    """Show what was sent."""
    if as_json:
        print_json(done.to_dict())
        return
    if done.already:
        click.echo(f"draft {done.record_id} holds the bundle; nothing was left to do")
        return
    sent = f"{done.sent_files} files, {human_size(done.sent_bytes)}"
    click.echo(f"draft {done.record_id} holds the bundle (sent now: {sent})")


def preview(public: Published, as_json: bool) -> None:
    """Show what would be published."""
    if as_json:
        print_json(public.to_dict())
        return
    if public.already:
        published(public, as_json)
        return
    click.echo("the draft holds the bundle. Published would be, for good:")
    _describe(public)
    click.echo(f"to do it, add: --yes {public.doi}")


def published(public: Published, as_json: bool) -> None:
    """Show what is public."""
    if as_json:
        print_json(public.to_dict())
        return
    was = "was public already, and holds the bundle:" if public.already else "is public:"
    click.echo(f"{public.url} {was}")
    _describe(public)


def _describe(public: Published) -> None:
    click.echo(f"  {public.title}")
    click.echo(f"  {public.doi} (all versions: {public.concept_doi})")
    click.echo(f"  {public.files} files, {human_size(public.size)}")
    click.echo(f"  digest of the bundle {public.bundle_digest}")


def status(found: Status, as_json: bool) -> None:
    """Show how far a deposit is."""
    if as_json:
        print_json(found.to_dict())
        return
    click.echo(found.stage)
    for fact in found.facts:
        click.echo(f"  {fact}")
    if found.next:
        click.echo(f"next: {found.next}")


def leftovers(found: Sequence[Leftover], where: str, as_json: bool) -> None:
    """Show drafts of ours, and how one is discarded: `where` are the options that were meant."""
    if as_json:
        print_json({"drafts": [draft.to_dict() for draft in found]})
        return
    for draft in found:
        click.echo(f"{draft.record_id}  {draft.title!r}  {draft.doi or 'no DOI'}  {draft.why}")
    if any(not draft.bound for draft in found):
        click.echo(f"to discard one: rbh1-release clean {where} --yes ID")
    if any(draft.bound for draft in found):
        command = "rbh1-release clean --release RELEASE --yes ID"
        click.echo(f"one that has a DOI goes with its own release.json: {command}")
    if not found:
        click.echo("no draft of ours is left")


def discarded(draft: Leftover, as_json: bool) -> None:
    """Show what was discarded."""
    if as_json:
        print_json({"discarded": draft.to_dict()})
        return
    click.echo(f"draft {draft.record_id} is discarded")


class Uploads:
    """A bar over the bytes of all files, and the names of those under way.

    Parameters
    ----------
    planned : DepositPlan
    console : Console
    """

    def __init__(self, planned: DepositPlan, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("uploading", total=planned.size("upload", "replace"))
        self._positions: dict[str, int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def progress(self, name: str, position: int) -> None:
        """Note how many bytes of a file were sent; a file that is sent again starts anew."""
        with self._lock:
            self._positions[name] = position
            total = sum(self._positions.values())
        self._bar.update(self._task, completed=total, description=f"uploading {escape(name)}")
