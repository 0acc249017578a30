"""``rbh1-release build``: make the bundle of a finished run."""

import datetime
import sys
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from ard.bundle import human_size
from ard.errors import ArdError, FormatError
from manifests import ManifestError
from release.build import Options, build, rehearse
from release.commands.common import (
    COULD_NOT_RUN,
    FAILED,
    PATH,
    json_option,
    log_console,
    print_json,
    stop,
)
from release.days import EARLIEST
from release.model import DEPOSIT, Built, Plan, RefusedError
from release.place import leftovers
from release.reservation import read_reservation
from release.versions import require_ordered

_WIDE: Final = 1000
_NO_DATE: Final = (
    "No --date was given: the record and RO-Crate (datePublished) lack the day of release, "
    "which a deposit asks for."
)
_NO_DOI: Final = (
    "No --release was given: the bundle has no DOI and cannot be deposited. "
    "rbh1-release reserve gets one."
)
_LEFT: Final = (
    "{path}: a build of this bundle is at work, or was killed and left it. "
    "Delete it if none is; a name that ends with .old is the bundle that was there before."
)


@click.command("build")
@click.option("--run", "run", type=PATH, required=True, help="The run folder.")
@click.option("--out", type=PATH, required=True, help="The bundle to write.")
@click.option(
    "--version",
    "version",
    default=Options.version,
    show_default=True,
    callback=lambda _context, _option, value: _ordered(value),
    metavar="MAJOR.MINOR.PATCH",
    help="Version of the data, as of Semantic Versioning.",
)
@click.option(
    "--date",
    callback=lambda _context, _option, value: _day(value),
    metavar="YYYY-MM-DD",
    help="Day of release, on which waivers have to hold; without it no file holds a date.",
)
@click.option(
    "--release",
    "reservation",
    type=PATH,
    help="The release.json of rbh1-release reserve, whose DOIs the bundle is to bear.",
)
@click.option(
    "--previous",
    metavar="BUNDLE",
    help="Folder or DOI of the version before: refuses where this one is worse.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace a bundle that is there, if nothing else is in its folder.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be written, and why so.")
@json_option
def build_command(
    *,
    run: Path,
    out: Path,
    version: str,
    date: str | None,
    reservation: Path | None,
    previous: str | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Check a run and write its bundle; refuses where a check does not pass."""
    log = log_console()
    try:
        reserved = None if reservation is None else read_reservation(reservation)
        options = Options(version, date, overwrite, reserved, previous)
        for path in leftovers(out):
            log.print(_LEFT.format(path=path), style="yellow", markup=False, soft_wrap=True)
        if dry_run:
            _show_plan(rehearse(run, out, options), as_json)
            return
        with log.status("planning") as status:
            built = build(run, out, options, progress=status.update)
    except RefusedError as error:
        if as_json:
            print_json({"refused": list(error.reasons), "problem": error.problem})
        stop(log, error, FAILED)
    except (ArdError, ManifestError, OSError) as error:
        stop(log, error, COULD_NOT_RUN)
    warnings = [text for text, given in ((_NO_DATE, date), (_NO_DOI, reservation)) if not given]
    _show_built(log, built, warnings, as_json)


def _ordered(value: str) -> str:
    try:
        require_ordered(value)
    except FormatError as error:
        problem = f"{value!r}: {error.problem}; expected is {error.expected}"
        raise click.BadParameter(problem) from error
    return value


def _day(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        day = datetime.date.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no day of the form YYYY-MM-DD") from error
    if day < EARLIEST:
        raise click.BadParameter(f"{value} is before {EARLIEST}: there were no data of this kind")
    return day.isoformat()


def _show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        print_json(plan.to_dict())
        return
    table = Table("file", "layer", "size", "why", title="What would be written")
    for file in plan.files:
        size = "as written" if file.size is None else human_size(file.size)
        table.add_row(file.name, file.layer or "", size, file.why)
    # A pipe has no width to which the names would have to be broken.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    console.print(table)
    room = f"{human_size(plan.size)} of {human_size(DEPOSIT.size)} besides what the build writes"
    console.print(f"{len(plan.files)} of {DEPOSIT.files} files, {room}")
    for layer, why in plan.absent_layers.items():
        console.print(f"{layer}: absent, {why}", markup=False)


def _show_built(log: Console, built: Built, warnings: list[str], as_json: bool) -> None:
    if as_json:
        print_json(built.to_dict())
        return
    for text in warnings:
        log.print(text, style="yellow", soft_wrap=True)
    log.print(f"{built.files} files, {human_size(built.size)}")
    log.print(f"digest, which names exactly these bytes: {built.digest}", soft_wrap=True)
    click.echo(built.folder)
