"""``rbh1-release verify``: is a bundle the one that was written, and can it be written again?"""

import sys
from pathlib import Path

import click
from rich.console import Console

from ard import layout
from ard.bundle import human_size
from ard.errors import ArdError, IntegrityError
from ard.integrity import Level, bundle_digest
from ard.opening import open_source
from ard.remote import RecordSource
from ard.sums import Finding, is_sha256
from manifests import ManifestError
from release.commands.bars import Bars
from release.commands.common import (
    COULD_NOT_RUN,
    FAILED,
    PATH,
    json_option,
    log_console,
    print_json,
    stop,
)
from release.counting import count
from release.model import RefusedError
from release.rebuild import Rebuilt, rebuild
from release.reservation import read_reservation


@click.command("verify")
@click.argument("bundle")
@click.option("--full", "level", flag_value="full", default="full", help="Every byte (default).")
@click.option("--fast", "level", flag_value="fast", help="Names, presence, sizes, both lists.")
@click.option(
    "--digest",
    callback=lambda _context, _option, value: _hex(value),
    metavar="SHA256",
    help="The published digest of the bundle.",
)
@click.option(
    "--rebuild",
    "run",
    type=PATH,
    metavar="RUN",
    help="Build this run again, and compare; only where the bundle itself is intact.",
)
@click.option(
    "--release",
    "reservation",
    type=PATH,
    help="The release.json with which it was built; its DOIs tell enough for one of Zenodo.",
)
@click.option(
    "--previous",
    metavar="BUNDLE",
    help="Folder or DOI of the version before; the DOI that the bundle names by default.",
)
@json_option
def verify_command(
    *,
    bundle: str,
    level: Level,
    digest: str | None,
    run: Path | None,
    reservation: Path | None,
    previous: str | None,
    as_json: bool,
) -> None:
    """Find every way in which a bundle differs from the one that was written.

    BUNDLE is a folder, or the DOI of a published bundle: then the archive's own list of files is
    held against the bundle, and --full fetches what is not in the cache.
    """
    if run is not None and level != "full":
        raise click.UsageError("--rebuild compares every byte: it goes with --full only")
    log = log_console()
    rebuilt = None
    try:
        with Bars(log) as bars:
            source = open_source(bundle, progress=bars)
            if level == "full" and isinstance(source, RecordSource) and not source.verify("fast"):
                _say_cost(log, bars, source)
            findings = source.verify(level, digest=digest)
        sums = source.folder / layout.SUMS_FILE
        plain = sums.is_file() and not sums.is_symlink()
        found = bundle_digest(source.folder) if plain else None
        if run is not None and not findings:
            reserved = None if reservation is None else read_reservation(reservation)
            with log.status("building the run again") as status:
                rebuilt = rebuild(
                    source.folder, run, reserved, previous=previous, progress=status.update
                )
    except (RefusedError, IntegrityError) as error:
        stop(log, error, FAILED)
    except (ArdError, ManifestError, OSError) as error:
        stop(log, error, COULD_NOT_RUN)
    if as_json:
        _print_json(source.place, level, findings, found, rebuilt)
    else:
        _show_findings(log, level, findings, found)
        if rebuilt is not None:
            _show_rebuilt(log, rebuilt)
    if findings or (rebuilt is not None and not rebuilt.same):
        sys.exit(FAILED)


def _say_cost(log: Console, bars: Bars, source: RecordSource) -> None:
    missing = [entry.size for entry in source.manifest().entries if not source.has(entry)]
    if missing:
        log.print(f"{count(len(missing), 'file')}, {human_size(sum(missing))} to fetch")
        bars.expect(sum(missing))


def _hex(value: str | None) -> str | None:
    if value is None:
        return None
    if not is_sha256(value.strip().lower()):
        raise click.BadParameter("a sha256 has 64 hexadecimal digits")
    return value.strip().lower()


def _print_json(
    place: str,
    level: str,
    findings: tuple[Finding, ...],
    digest: str | None,
    rebuilt: Rebuilt | None,
) -> None:
    document = {
        "bundle": place,
        "level": level,
        "intact": not findings,
        "digest": digest,
        "findings": [finding.to_dict() for finding in findings],
    }
    if rebuilt is not None:
        document["rebuilt"] = rebuilt.to_dict()
    print_json(document)


def _show_findings(
    log: Console, level: str, findings: tuple[Finding, ...], digest: str | None
) -> None:
    for finding in findings:
        click.echo(str(finding))
    if findings:
        log.print(f"{len(findings)} findings", style="red")
    else:
        click.echo(f"intact ({level})")
        log.print(f"digest (compare it with the published one): {digest}", soft_wrap=True)


def _show_rebuilt(log: Console, rebuilt: Rebuilt) -> None:
    for name, problem in rebuilt.differing.items():
        click.echo(f"{name}: {problem}")
    if rebuilt.same:
        click.echo("rebuilt: the same bytes")
        return
    log.print(f"rebuilt: another bundle, with the digest {rebuilt.found}", style="red")
    if rebuilt.made_by != rebuilt.ours:
        log.print(f"it was made by version {rebuilt.made_by}, this is {rebuilt.ours}")
