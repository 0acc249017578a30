"""What does somebody type who releases or receives a bundle?

Exit codes: 0 good, 1 a check failed or a bundle is not intact, 2 wrong usage, 3 could not run.
stdout holds the result only, stderr everything said on the way.
"""

import datetime
import json
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from rich.console import Console
from rich.table import Table

from ard import layout
from ard.bundle import human_size
from ard.errors import ArdError
from ard.integrity import bundle_digest, verify
from ard.sums import Finding, is_sha256
from manifests import ManifestError
from release.build import Options, build
from release.model import Built, Plan, RefusedError
from release.plan import make_plan

FAILED: Final = 1
COULD_NOT_RUN: Final = 3

_NO_DATE: Final = (
    "No --date was given, so RO-Crate lacks datePublished, which it asks for in a deposit."
)
_FOLDER = click.Path(path_type=Path)


@click.group()
def cli() -> None:
    """Make bundles of finished runs, and find out whether a bundle is whole."""


@cli.command("build")
@click.option("--run", "run", type=_FOLDER, required=True, help="The run folder.")
@click.option("--out", type=_FOLDER, required=True, help="The bundle to write.")
@click.option("--version", "version", default=Options.version, show_default=True)
@click.option(
    "--date",
    callback=lambda _context, _option, value: _day(value),
    metavar="YYYY-MM-DD",
    help="Day of release; without it no file holds a date.",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def build_command(
    *,
    run: Path,
    out: Path,
    version: str,
    date: str | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Check a run and write its bundle; refuses where a check does not pass."""
    log = Console(stderr=True, highlight=False)
    try:
        if dry_run:
            _show_plan(make_plan(run), as_json)
            return
        with log.status("planning") as status:
            options = Options(version, date, overwrite)
            built = build(run, out, options, progress=status.update)
    except RefusedError as error:
        if as_json:
            _print_json({"refused": list(error.reasons), "problem": error.problem})
        _stop(log, error, FAILED)
    except (ArdError, ManifestError, OSError) as error:
        _stop(log, error, COULD_NOT_RUN)
    _show_built(log, built, date, as_json)


@cli.command("verify")
@click.argument("folder", type=_FOLDER)
@click.option("--full", "level", flag_value="full", default="full", help="Every byte (default).")
@click.option("--fast", "level", flag_value="fast", help="Names, presence, sizes, both lists.")
@click.option(
    "--digest",
    callback=lambda _context, _option, value: _hex(value),
    metavar="SHA256",
    help="The published digest of the bundle.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify_command(*, folder: Path, level: str, digest: str | None, as_json: bool) -> None:
    """Find every way in which a bundle differs from the one that was written."""
    log = Console(stderr=True, highlight=False)
    try:
        findings = verify(folder, level, digest=digest)
        sums = folder / layout.SUMS_FILE
        plain = sums.is_file() and not sums.is_symlink()
        found = bundle_digest(folder) if plain else None
    except (ArdError, OSError) as error:
        _stop(log, error, COULD_NOT_RUN)
    _show_findings(log, folder, level, findings, found, as_json)
    if findings:
        sys.exit(FAILED)


def _day(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return datetime.date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no day of the form YYYY-MM-DD") from error


def _hex(value: str | None) -> str | None:
    if value is None:
        return None
    if not is_sha256(value.strip().lower()):
        raise click.BadParameter("a sha256 has 64 hexadecimal digits")
    return value.strip().lower()


def _stop(log: Console, error: Exception, code: int) -> NoReturn:
    log.print(str(error), style="red", markup=False, soft_wrap=True)
    sys.exit(code)


def _print_json(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, sort_keys=True))


def _show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        _print_json(plan.to_dict())
        return
    table = Table("file", "layer", "size", title=f"{len(plan.files)} files")
    for file in plan.files:
        size = "written by the build" if file.size is None else human_size(file.size)
        table.add_row(file.name, file.layer or "", size)
    console = Console(highlight=False)
    console.print(table)
    for layer, why in plan.absent_layers.items():
        console.print(f"{layer}: absent, {why}", markup=False)


def _show_built(log: Console, built: Built, date: str | None, as_json: bool) -> None:
    if as_json:
        _print_json(built.to_dict())
        return
    if date is None:
        log.print(_NO_DATE, style="yellow", soft_wrap=True)
    log.print(f"{built.files} files, {human_size(built.size)}")
    log.print(f"digest, to be published beside the download: {built.digest}", soft_wrap=True)
    click.echo(built.folder)


def _show_findings(
    log: Console,
    folder: Path,
    level: str,
    findings: tuple[Finding, ...],
    digest: str | None,
    as_json: bool,
) -> None:
    if as_json:
        _print_json(
            {
                "bundle": str(folder),
                "level": level,
                "intact": not findings,
                "digest": digest,
                "findings": [finding.to_dict() for finding in findings],
            }
        )
        return
    for finding in findings:
        click.echo(str(finding))
    if findings:
        log.print(f"{len(findings)} findings", style="red")
    else:
        click.echo(f"intact ({level})")
        log.print(f"digest (compare it with the published one): {digest}", soft_wrap=True)
