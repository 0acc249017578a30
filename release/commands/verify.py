"""``rbh1-release verify``: is a bundle the one that was written?"""

import sys
from pathlib import Path

import click
from rich.console import Console

from ard import layout
from ard.errors import ArdError
from ard.integrity import bundle_digest, verify
from ard.sums import Finding, is_sha256
from release.commands.common import (
    COULD_NOT_RUN,
    FAILED,
    PATH,
    json_option,
    log_console,
    print_json,
    stop,
)


@click.command("verify")
@click.argument("folder", type=PATH)
@click.option("--full", "level", flag_value="full", default="full", help="Every byte (default).")
@click.option("--fast", "level", flag_value="fast", help="Names, presence, sizes, both lists.")
@click.option(
    "--digest",
    callback=lambda _context, _option, value: _hex(value),
    metavar="SHA256",
    help="The published digest of the bundle.",
)
@json_option
def verify_command(*, folder: Path, level: str, digest: str | None, as_json: bool) -> None:
    """Find every way in which a bundle differs from the one that was written."""
    log = log_console()
    try:
        findings = verify(folder, level, digest=digest)
        sums = folder / layout.SUMS_FILE
        plain = sums.is_file() and not sums.is_symlink()
        found = bundle_digest(folder) if plain else None
    except (ArdError, OSError) as error:
        stop(log, error, COULD_NOT_RUN)
    _show_findings(log, folder, level, findings, found, as_json)
    if findings:
        sys.exit(FAILED)


def _hex(value: str | None) -> str | None:
    if value is None:
        return None
    if not is_sha256(value.strip().lower()):
        raise click.BadParameter("a sha256 has 64 hexadecimal digits")
    return value.strip().lower()


def _show_findings(
    log: Console,
    folder: Path,
    level: str,
    findings: tuple[Finding, ...],
    digest: str | None,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
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
