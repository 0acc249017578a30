"""What do all commands share: exit codes, output, and how they stop?

Exit codes: 0 good, 1 a check failed or a bundle is not intact, 2 wrong usage, 3 could not run.
stdout holds the result only, stderr everything said on the way.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from rich.console import Console

from ard.errors import ArdError
from ard.integrity import read_manifest
from release.days import day_note

FAILED: Final = 1
COULD_NOT_RUN: Final = 3

PATH: Final = click.Path(path_type=Path)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def log_console() -> Console:
    """Give the console for what is said on the way, on stderr."""
    return Console(stderr=True, highlight=False)


def stop(log: Console, error: Exception, code: int) -> NoReturn:
    """Say what went wrong, and end with an exit code."""
    log.print(str(error), style="red", markup=False, soft_wrap=True)
    sys.exit(code)


def say_day(log: Console, bundle: Path) -> None:
    """Say where the day of release of a bundle is not the present one."""
    try:
        note = day_note(read_manifest(bundle).date)
    except ArdError:
        return  # as is said of the bundle anyway
    if note:
        log.print(note, style="yellow", markup=False, soft_wrap=True)


def print_json(document: dict[str, Any]) -> None:
    """Print a result as JSON."""
    click.echo(json.dumps(document, indent=2, sort_keys=True))
