"""``rbh1-release metadata``: the papers of a bundle, and whether each is what it should be."""

import sys
from pathlib import Path

import click

from ard.errors import ArdError
from release.commands.common import (
    COULD_NOT_RUN,
    FAILED,
    PATH,
    json_option,
    log_console,
    print_json,
    stop,
)
from release.validation import FORMATS, Verdict, examine, read_paper


@click.command("metadata")
@click.argument("folder", type=PATH)
@click.option("--format", "format", type=click.Choice(tuple(FORMATS)), help="Print this paper.")
@click.option(
    "--validators",
    "environment",
    type=PATH,
    envvar="RBH1_VALIDATORS",
    help="A virtual environment with cffconvert, frictionless and roc-validator.",
)
@json_option
def metadata_command(
    *, folder: Path, format: str | None, environment: Path | None, as_json: bool
) -> None:
    """Print one paper of a bundle, or say which it has and whether each is valid."""
    log = log_console()
    try:
        if format is not None:
            _show_paper(format, read_paper(folder, format), as_json)
            return
        with log.status("asking the validators"):
            verdicts = examine(folder, environment)
    except (ArdError, OSError) as error:
        stop(log, error, COULD_NOT_RUN)
    _show_verdicts(folder, verdicts, as_json)
    if not all(verdict.valid for verdict in verdicts):
        sys.exit(FAILED)


def _show_paper(format: str, text: str, as_json: bool) -> None:
    if as_json:
        print_json({"format": format, "file": FORMATS[format], "text": text})
    else:
        click.echo(text, nl=False)


def _show_verdicts(folder: Path, verdicts: tuple[Verdict, ...], as_json: bool) -> None:
    if as_json:
        valid = all(verdict.valid for verdict in verdicts)
        papers = [verdict.to_dict() for verdict in verdicts]
        print_json({"bundle": str(folder), "valid": valid, "papers": papers})
        return
    for verdict in verdicts:
        # Whoever was not asked has not agreed.
        word = "NOT VALID" if verdict.problems else "not asked" if verdict.missing else "valid"
        asked = f"asked: {', '.join(verdict.asked)}"
        missing = f"; not installed: {', '.join(verdict.missing)}" if verdict.missing else ""
        click.echo(f"{word:<9}  {verdict.format:<11}  {verdict.file:<22}  {asked}{missing}")
        for problem in verdict.problems:
            click.echo(f"    {problem}")
