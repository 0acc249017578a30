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


def print_json(document: dict[str, Any]) -> None:
    """Print a result as JSON."""
    click.echo(json.dumps(document, indent=2, sort_keys=True))
