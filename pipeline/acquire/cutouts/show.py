"""How do a cut-out, and what it would take, look on stdout?"""

from collections.abc import Iterable

import click

from pipeline.acquire.cutouts.cutout import Cutout
from pipeline.acquire.cutouts.plan import CutoutPlan
from pipeline.acquire.plan import size_text
from pipeline.acquire.show import write_json


def plan(plan: CutoutPlan, as_json: bool) -> None:
    """Show what a cut-out would take."""
    whole = plan.reader.version.total
    if as_json:
        write_json({"schema": "cutout-plan", "source_bytes": whole, "requests": plan.requests,
               "read_bytes": plan.read_bytes, "size_bytes": plan.size_bytes,
               "notes": list(plan.notes)})  # fmt: skip
        return
    _notes(plan.notes)
    click.echo(
        f"{plan.requests} requests, {size_text(plan.read_bytes)} of {size_text(whole)}; "
        f"the cut-out has {size_text(plan.size_bytes)}"
    )


def result(found: Cutout, path: object, as_json: bool) -> None:
    """Show what a cut-out is."""
    if as_json:
        write_json({"schema": "cutout", "path": str(path), **found.to_dict()})
        return
    for title, section in found.sections:
        click.echo(f"{title:<12}{section}")
    _notes(found.notes)
    click.echo(str(path))


def _notes(notes: Iterable[str]) -> None:
    for note in notes:
        click.echo(f"note: {note}")
