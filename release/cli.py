"""What does somebody type who releases or receives a bundle?"""

import click

from release.commands.build import build_command
from release.commands.check import check_command
from release.commands.deposit import COMMANDS as DEPOSIT
from release.commands.diff import diff_command
from release.commands.fetch import fetch_command
from release.commands.metadata import metadata_command
from release.commands.verify import verify_command


@click.group()
def cli() -> None:
    """Make bundles of finished runs, deposit them, and find out whether a bundle is whole."""


_OWN = (
    build_command,
    check_command,
    diff_command,
    fetch_command,
    metadata_command,
    verify_command,
)
for _command in (*_OWN, *DEPOSIT):
    cli.add_command(_command)
