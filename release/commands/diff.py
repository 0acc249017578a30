"""``rbh1-release diff``: what is new in a version of a bundle, and has a check become worse?"""

import sys
from typing import Final

import click
from rich.console import Console

import ard
from ard.errors import ArdError
from release.commands.common import (
    COULD_NOT_RUN,
    FAILED,
    json_option,
    log_console,
    print_json,
    stop,
)
from release.diff.compare import compare
from release.diff.markdown import section
from release.diff.model import BOUNDS, Bounds, Difference
from release.diff.text import difference_text
from release.diff.words import shown

_FORMATS: Final = ("text", "markdown")


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option(
    "--products",
    "only",
    multiple=True,
    metavar="NAME",
    help="Compare these only: names or patterns such as 'likelihood/*'. May be repeated.",
)
@click.option("--format", "form", type=click.Choice(_FORMATS), default="text", show_default=True)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=BOUNDS.listed,
    show_default=True,
    help="Cells, cards and values that are listed each time; all are counted.",
)
@json_option
def diff_command(
    *, old: str, new: str, only: tuple[str, ...], form: str, limit: int, as_json: bool
) -> None:
    """Compare two bundles, folders or DOIs, down to pixels, cells and acceptance numbers.

    Ends with 0 if no check has regressed, whatever else differs, and with 1 if one has.
    """
    log = log_console()
    try:
        with log.status("opening") as status:
            before, after = ard.open(old), ard.open(new)
            bounds = Bounds(listed=limit)
            difference = compare(before, after, only=only, bounds=bounds, progress=status.update)
    except (ArdError, OSError) as error:
        stop(log, error, COULD_NOT_RUN)
    _show(difference, form, as_json)
    regressions = difference.regressions
    for row in regressions:
        text = f"{shown(row.check)} on {shown(row.product)} has regressed"
        log.print(text, style="red", markup=False, soft_wrap=True)
    if regressions:
        sys.exit(FAILED)


def _show(difference: Difference, form: str, as_json: bool) -> None:
    if as_json:
        print_json(difference.to_dict())
    elif form == "markdown":
        click.echo(section(difference), nl=False)
    else:
        Console(highlight=False).print(difference_text(difference))
