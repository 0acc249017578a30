"""``rbh1-release check``: may this bundle be deposited?"""

import sys
from pathlib import Path

import click
from rich.console import Console

from ard.errors import ArdError
from ard.sums import Finding
from manifests import ManifestError
from release.commands.common import (
    COULD_NOT_RUN,
    FAILED,
    PATH,
    json_option,
    log_console,
    print_json,
    say_day,
    stop,
)
from release.ready import readiness
from release.reservation import read_reservation


@click.command("check")
@click.argument("folder", type=PATH)
@click.option(
    "--release",
    "reservation",
    type=PATH,
    help="The release.json of rbh1-release reserve, whose DOIs the bundle has to bear.",
)
@json_option
def check_command(*, folder: Path, reservation: Path | None, as_json: bool) -> None:
    """Find everything that has to change before a bundle may be deposited; needs no network."""
    log = log_console()
    try:
        with log.status("checking"):
            reserved = None if reservation is None else read_reservation(reservation)
            findings = readiness(folder, reserved)
    except (ArdError, ManifestError, OSError) as error:
        stop(log, error, COULD_NOT_RUN)
    say_day(log, folder)
    _show(log, folder, findings, as_json)
    if findings:
        sys.exit(FAILED)


def _show(log: Console, folder: Path, findings: tuple[Finding, ...], as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "bundle": str(folder),
                "ready": not findings,
                "findings": [finding.to_dict() for finding in findings],
            }
        )
        return
    for finding in findings:
        click.echo(str(finding))
    if findings:
        log.print(f"not ready to be deposited, findings: {len(findings)}", style="red")
    else:
        click.echo("ready to be deposited")
