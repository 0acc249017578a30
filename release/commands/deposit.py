"""``rbh1-release reserve | plan | apply | status | publish | clean``: deposit a bundle."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from ard.errors import ArdError, IntegrityError
from manifests import ManifestError
from release.commands import show
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
from release.deposit.apply import apply, rehearse
from release.deposit.clean import discard, is_doubtful, leftovers
from release.deposit.journal import journal_path, read_history
from release.deposit.plan import make_plan, read_plan, require_place, write_plan
from release.deposit.publish import preview, publish
from release.deposit.records import Archive
from release.deposit.reserve import reservation_requests, reserve
from release.deposit.status import status, unreserved
from release.deposit.target import DEFAULT, parse_target
from release.deposit.token import require_token
from release.deposit.transport import Transport
from release.deposit.twins import require_no_twin
from release.model import RefusedError
from release.ready import assess
from release.reservation import read_reservation

_USAGE: Final = 2

_target = click.option(
    "--target", metavar="sandbox|zenodo|URL", help="The archive; that of --release by default."
)
_release = click.option(
    "--release", type=PATH, required=True, help="The release.json of rbh1-release reserve."
)
_ready = functools.partial(assess, verified=True)
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be sent, and stop.")


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """End a command with 1 where something was refused, and with 3 where it could not run."""

    @functools.wraps(command)
    def wrapper(**options: Any) -> None:
        log = log_console()
        try:
            command(**options)
        except (RefusedError, IntegrityError) as error:
            if options["as_json"]:
                reasons = getattr(error, "reasons", (error.found or error.problem,))
                print_json({"refused": list(reasons), "problem": error.problem})
            stop(log, error, FAILED)
        except (ArdError, ManifestError, OSError) as error:
            stop(log, error, COULD_NOT_RUN)
        except KeyboardInterrupt:
            log.print("stopped; type the same command again, and it goes on", style="yellow")
            sys.exit(COULD_NOT_RUN)

    return wrapper


@click.command("reserve")
@click.option("--out", type=PATH, required=True, help="The release.json to write.")
@click.option(
    "--target",
    default=DEFAULT,
    show_default=True,
    metavar="sandbox|zenodo|URL",
    help="The archive.",
)
@click.option(
    "--new-version-of",
    metavar="DOI|ID",
    help="The published version before, or the dataset as a whole.",
)
@_dry_run
@json_option
@guarded
def reserve_command(
    *, out: Path, target: str, new_version_of: str | None, dry_run: bool, as_json: bool
) -> None:
    """Make a draft and reserve its DOIs, so that the bundle can bear them.

    The same command goes on where it was stopped, with the same draft.
    """
    address = parse_target(target)
    if dry_run:
        requests = reservation_requests(new_version_of)
        show.requests(address, requests, as_json)
        return
    reservation = reserve(out, _open(address, typed=True), new_version_of=new_version_of)
    if is_doubtful(read_history(journal_path(out))):
        show.doubt(out, log_console())
    show.reservation(out, reservation, as_json)


@click.command("plan")
@click.argument("bundle", type=PATH)
@_release
@click.option("--out", type=PATH, help="The plan to write, for apply.")
@click.option("--overwrite", is_flag=True, help="Replace a plan that is there.")
@click.option(
    "--another-dataset",
    is_flag=True,
    help="Plan a first version although a dataset of this title is published already.",
)
@_target
@click.option(
    "--allow-simulated",
    is_flag=True,
    help="Let simulated data go to an archive that is not Zenodo. Zenodo never gets any.",
)
@json_option
@guarded
def plan_command(
    *,
    bundle: Path,
    release: Path,
    out: Path | None,
    overwrite: bool,
    another_dataset: bool,
    target: str | None,
    allow_simulated: bool,
    as_json: bool,
) -> None:
    """List every request that would make the draft hold BUNDLE, and change nothing."""
    if out is not None:
        # Before what takes minutes: verifying, judging.
        require_place(out, overwrite=overwrite)
    with log_console().status("verifying the bundle, reading the draft"):
        archive = _reserved(release, target)
        if not another_dataset:
            require_no_twin(bundle, read_reservation(release), archive)
        plan = make_plan(bundle, release, archive, allow_simulated=allow_simulated, ready=_ready)
    say_day(log_console(), bundle)
    if out is not None:
        write_plan(out, plan, overwrite=overwrite)
    show.plan(plan, as_json)


@click.command("apply")
@click.argument("plan", type=PATH)
@click.argument("bundle", type=PATH)
@_release
@_target
@_dry_run
@json_option
@guarded
def apply_command(
    *, plan: Path, bundle: Path, release: Path, target: str | None, dry_run: bool, as_json: bool
) -> None:
    """Carry PLAN out, exactly, and compare what the draft holds with BUNDLE.

    The same command goes on where it was stopped; no file is sent twice.
    """
    planned, archive = read_plan(plan), _reserved(release, target)
    if dry_run:
        rehearse(planned, bundle, release, archive)
        show.plan(planned, as_json)
        return
    with show.Uploads(planned, log_console()) as uploads:
        applied = apply(planned, bundle, release, archive, progress=uploads.progress)
    show.applied(applied, as_json)


@click.command("publish")
@click.argument("bundle", type=PATH)
@_release
@click.option("--yes", "confirm", metavar="DOI", help="The DOI of this version, spelled out.")
@_target
@_dry_run
@json_option
@guarded
def publish_command(
    *,
    bundle: Path,
    release: Path,
    confirm: str | None,
    target: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the draft public, for good, if it holds BUNDLE, and read it again as anybody.

    Without --yes it compares, says what would be published, and ends with 2.
    """
    archive = _reserved(release, target)
    if dry_run or confirm is None:
        say_day(log_console(), bundle)
        show.preview(preview(bundle, release, archive, ready=_ready), as_json)
        if not dry_run:
            sys.exit(_USAGE)
        return
    log = log_console()

    def say(text: str) -> None:
        log.print(text, style="yellow", markup=False, soft_wrap=True)

    with log.status("publishing"):
        published = publish(bundle, release, archive, confirm=confirm, ready=_ready, say=say)
    show.published(published, as_json)


@click.command("status")
@_release
@_target
@json_option
@guarded
def status_command(*, release: Path, target: str | None, as_json: bool) -> None:
    """Say how far a deposit is, and what to type next."""
    found = unreserved(release)
    if found is None:
        found = status(release, _reserved(release, target))
    show.status(found, as_json)


@click.command("clean")
@click.option("--release", type=PATH, help="The release.json whose own draft is meant, too.")
@click.option("--yes", "record_id", metavar="ID", help="Discard this draft.")
@_target
@_dry_run
@json_option
@guarded
def clean_command(
    *,
    release: Path | None,
    record_id: str | None,
    target: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """List the drafts that reservations left behind, or discard one of them."""
    if release is None:
        archive = _open(parse_target(target or DEFAULT), typed=target is not None)
    else:
        archive = _reserved(release, target)
    if record_id is None or dry_run:
        found = leftovers(archive, release)
        chosen = [draft for draft in found if record_id in (None, draft.record_id)]
        where = f"--target {archive.target}" if release is None else f"--release {release}"
        show.leftovers(chosen, where, as_json)
        return
    show.discarded(discard(archive, record_id, release), as_json)


def _open(target: str, *, typed: bool) -> Archive:
    archive = Archive(Transport(target, require_token(target, typed=typed)))
    return click.get_current_context().with_resource(archive)


def _reserved(release: Path, target: str | None) -> Archive:
    """Open the archive of a reservation, or the one that was typed; the verbs compare both."""
    if target is not None:
        return _open(parse_target(target), typed=True)
    return _open(parse_target(read_reservation(release).target), typed=False)


COMMANDS: Final = (
    reserve_command,
    plan_command,
    apply_command,
    status_command,
    publish_command,
    clean_command,
)
