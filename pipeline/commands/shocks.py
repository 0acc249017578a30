"""What can be typed about shocks: `rbh1 shocks fit`, `... geometry`, and for grids.

Exit codes: 0 good, 1 defects were found, 2 wrong usage, 3 could not run. stdout carries the result,
stderr the log.
"""

import json
import math
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.shocks_fit import fit_shocks
from pipeline.commands.shocks_geometry import geometry_command
from pipeline.guard import FAILED, JSON, guarded, say

if TYPE_CHECKING:
    from pipeline.shocks.importers.select import Asked

_FILE = click.Path(path_type=Path)
_FORMS = ("long", "wide", "printed", "library", "zenodo")


@click.group("shocks")
def shocks() -> None:
    """Line ratios and the shocks that make them."""


shocks.add_command(fit_shocks)
shocks.add_command(geometry_command)


@shocks.group("grid")
def grid_group() -> None:
    """Grids of shock models: read one in, and look for its defects."""


def _setting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what a wide or printed table does not say itself."""
    for option in (
        click.option("--abundance", help="Abundance set of a wide or printed table."),
        click.option("--density", type=float, help="Its density, cm-3."),
        click.option("--field", type=float, help="Its magnetic field B, uG."),
    ):
        function = option(function)
    return function


def _asked(
    form: str,
    file: Path,
    about: dict[str, Any],
    component: str | None = None,
    retrieved: datetime | None = None,
) -> "Asked":
    from ard.errors import FormatError
    from pipeline.shocks.grid import Component
    from pipeline.shocks.importers.select import SETTING_NEEDED, Asked
    from pipeline.shocks.importers.webtable import Setting

    given = {name: value for name, value in about.items() if value is not None}
    if given and form not in SETTING_NEEDED:
        raise FormatError(
            "the file says itself which models it holds",
            file=file,
            expected=f"{', '.join(about)} of a {' or '.join(SETTING_NEEDED)} table only",
            found=", ".join(f"{name} {value}" for name, value in given.items()),
            action=f"leave out {', '.join(f'--{name}' for name in given)}",
        )
    values = (about["abundance"], about["density"], about["field"])
    setting = None if None in values else Setting(*values)
    gas = None if component is None else Component(component)
    return Asked(form, file, setting, gas, "" if retrieved is None else f"{retrieved:%Y-%m-%d}")


@grid_group.command("import")
@click.argument("form", type=click.Choice(_FORMS))
@click.argument("file", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="The FITS file to write.")
@_setting
@click.option(
    "--component",
    type=click.Choice(["shock", "precursor", "shock_plus_precursor"]),
    help="Of a long, wide or printed table, which does not say it: shock if it is not given.",
)
@click.option(
    "--retrieved",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Date on which it was fetched, as 2026-01-31.",
)
@click.option("--overwrite", is_flag=True, help="Replace the files if they are there.")
@JSON
@guarded
def import_command(
    *,
    form: str,
    file: Path,
    out: Path,
    component: str | None,
    retrieved: datetime | None,
    overwrite: bool,
    as_json: bool,
    **about: Any,
) -> None:
    """Turn a published table of shock models into a grid, with its defects masked and named."""
    from ard.errors import FormatError
    from pipeline import show
    from pipeline.shocks.gridfile import long_columns, save_grid
    from pipeline.shocks.importers.select import import_grid, published
    from schemas import tables

    asked = _asked(form, file, about, component, retrieved)
    problems = tables.validate(*long_columns(published(asked)), "shockmodels")
    # A repeated model, a line under two names and a negative flux are defects with names of their
    # own, which the import deals with.
    fatal = [p for p in problems if p.where not in (".", "ratio")]
    if fatal:
        raise FormatError(
            "the table does not follow its model",
            file=file,
            expected="the table model 'shockmodels'",
            found="; ".join(str(problem) for problem in fatal[:3]),
            action="mend the table, or fetch it again",
        )
    grid = import_grid(asked)
    paths = save_grid(out, grid, overwrite=overwrite)
    for row in grid.source.known_defects:
        say(f"{row.code}: {row.subject}: {row.detail} ({row.handling})")
    show.paths({"grid": paths[0], "record": paths[1]}, as_json)


@grid_group.command("check")
@click.argument("form", type=click.Choice((*_FORMS, "grid")))
@click.argument("file", type=_FILE)
@_setting
@JSON
@guarded
def check_command(*, form: str, file: Path, as_json: bool, **about: Any) -> None:
    """Name every defect of a published table, or of an imported grid (form "grid")."""
    from pipeline.shocks.importers.select import findings

    found = findings(_asked(form, file, about))
    if as_json:
        rows = [
            {
                "code": str(f.code),
                "subject": f.subject,
                "value": f.value if math.isfinite(f.value) else None,
                "detail": f.detail,
            }
            for f in found
        ]
        click.echo(json.dumps(rows, indent=2, sort_keys=True))
    else:
        for one in found:
            click.echo(f"{one.code}: {one.subject}: {one.detail}")
        say(f"{len(found)} defects" if found else "no defect was found")
    if found:
        sys.exit(FAILED)
