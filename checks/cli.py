"""`rbh1-check`: are the products in this folder acceptable?"""

from enum import IntEnum
from pathlib import Path

import click
from rich.console import Console

from ard.errors import ArdError
from ard.fileio import json_bytes, write_json
from checks.entry import COULD_NOT_RUN
from checks.judging import judge
from manifests import ManifestError, load_acceptance, load_waivers


class Exit(IntEnum):
    """Exit codes; click itself ends with 2 on wrong usage."""

    GOOD = 0
    FAILED = 1
    COULD_NOT_RUN = COULD_NOT_RUN


_FILE = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--all", "everything", is_flag=True, help="Show what passed as well.")
@click.option("--acceptance", type=_FILE, help="Thresholds to use instead of the study's.")
@click.option("--waivers", type=_FILE, help="Waivers to use instead of the study's.")
@click.option("--output", type=_FILE, help="Write the JSON report to this file as well.")
def cli(
    folder: Path,
    *,
    as_json: bool,
    everything: bool,
    acceptance: Path | None,
    waivers: Path | None,
    output: Path | None,
) -> None:
    """Check the products in FOLDER (a run, or an unpacked bundle).

    Ends with 0 if everything passed, 1 if a check did not pass, 2 on wrong usage, 3 if the
    checks could not be run.
    """
    try:
        if not folder.is_dir():
            raise ArdError("there is no such folder", file=folder, action="check the path")
        rows = load_acceptance(acceptance)
        report = judge(folder, rows, waivers=load_waivers(waivers))
        document = report.to_dict()
        if output is not None:
            write_json(output, document, overwrite=True)
        if as_json:
            click.echo(json_bytes(document).decode(), nl=False)
        else:
            if everything or report.counts["PASSED"] < len(report.results):
                Console().print(report.table(everything=everything))
            click.echo(report.sentence())
    except (ArdError, ManifestError, OSError) as error:
        click.echo(f"rbh1-check could not run: {error}", err=True)
        raise SystemExit(Exit.COULD_NOT_RUN) from error
    raise SystemExit(Exit.GOOD if report.passed else Exit.FAILED)
