"""What can be typed after `rbh1 acquire`: plan, run, status, adopt, lock, cutout.

Exit codes: 0 the store equals the lock, 1 the archive or the lock has something else, 2 wrong
usage, 3 files lack or the work could not be done.
"""

import sys
from pathlib import Path
from typing import Any

import click

from pipeline.acquire.cutouts.cli import cutout_command
from pipeline.acquire.situation import FILE, Situation, common
from pipeline.guard import COULD_NOT_RUN, FAILED, guarded, say


@click.group("acquire")
def acquire() -> None:
    """Fetch the archive's files into a store, and prove that they are the right ones."""


acquire.add_command(cutout_command)


@acquire.command("plan")
@common
@guarded
def plan_command(**options: Any) -> None:
    """Say what would be fetched, why, and whether it fits on the disk. Changes nothing."""
    from pipeline.acquire import show
    from pipeline.acquire.settings import Policy

    scene, policy = Situation.of(options), Policy()
    plan = scene.plan(policy, scene.ask())
    free = _free_bytes(scene.store.root)
    show.plan(plan, free, policy.reserve_bytes, options["as_json"])
    if plan.transfers and plan.need_bytes + policy.reserve_bytes > free:
        say("there is not enough space")
        sys.exit(FAILED)


def _free_bytes(folder: Path) -> int:
    """Say how much space there is where a folder is or would be."""
    import shutil

    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@acquire.command("run")
@common
@click.option("--workers", type=click.IntRange(1, 4), default=3, show_default=True,
              help="Transfers at a time.")  # fmt: skip
@click.option("--take-changed", is_flag=True,
              help="Fetch what was processed again, beside the version of the lock.")  # fmt: skip
@click.option("--confirm", is_flag=True,
              help="Fetch twice what neither lock nor archive has a checksum of.")  # fmt: skip
@click.option("--deep", is_flag=True, help="Compute the sha256 of what is held, untouched or not.")
@click.option("--retry-failed", is_flag=True, help="Fetch only what failed last time.")
@click.option("--reserve", "reserve_gb", type=click.FloatRange(0), default=1.0, show_default=True,
              help="Space that stays free, GB.")  # fmt: skip
@guarded
def run_command(**options: Any) -> None:
    """Make the store equal the lock. The same command continues what was stopped."""
    from pipeline.acquire import show
    from pipeline.acquire.display import Display
    from pipeline.acquire.fetcher import Fetcher
    from pipeline.acquire.plan import require_space
    from pipeline.acquire.runner import execute
    from pipeline.acquire.settings import Policy

    scene = Situation.of(options)
    policy = Policy(
        workers=options["workers"],
        take_changed=options["take_changed"],
        confirm=options["confirm"],
        reserve_bytes=int(options["reserve_gb"] * 1e9),
        deep=options["deep"],
        retry_failed=options["retry_failed"],
    )
    scene.store.create()
    with scene.store.locked():
        plan = scene.plan(policy, scene.ask())
        require_space(plan, scene.store.free_bytes(), policy, scene.store.root)
        with Display(plan) as display:
            fetcher = Fetcher(
                scene.selection, scene.store, scene.network, policy, scene.waiter, display
            )
            report = execute(plan, fetcher)
        show.report(report, scene.parts(), scene.store.root, options["as_json"])
    if report.interrupted:
        raise KeyboardInterrupt
    sys.exit(report.exit_code)


@acquire.command("adopt")
@click.argument("folder", type=FILE)
@common
@click.option("--move", is_flag=True, help="Move the files instead of copying them.")
@guarded
def adopt_command(*, folder: Path, move: bool, **options: Any) -> None:
    """Take files of an earlier download, which lie in FOLDER, into the store.

    Ends with 0 if every file of the lock that was found is in the store now; what the folder
    lacks is for rbh1 acquire run.
    """
    from pipeline.acquire import show
    from pipeline.acquire.adopt import adopt, adopted_all, require_folder
    from pipeline.acquire.display import Display
    from pipeline.acquire.fetcher import Fetcher
    from pipeline.acquire.settings import Policy

    scene, policy = Situation.of(options), Policy()
    require_folder(folder)
    scene.store.create()
    with scene.store.locked():
        plan = scene.plan(policy, scene.ask())
        with Display(plan) as display:
            fetcher = Fetcher(
                scene.selection, scene.store, scene.network, policy, scene.waiter, display
            )
            report = adopt(plan, fetcher, folder, move=move)
        show.report(report, scene.parts(), scene.store.root, options["as_json"])
    if report.interrupted:
        raise KeyboardInterrupt
    sys.exit(0 if adopted_all(report) else COULD_NOT_RUN)


@acquire.command("status")
@common
@click.option("--deep", is_flag=True, help="Compute the sha256 of what is held, untouched or not.")
@click.option("-v", "--verbose", is_flag=True, help="Name every file.")
@guarded
def status_command(**options: Any) -> None:
    """Say how the store stands against the lock, and the lock against the archive."""
    from pipeline.acquire import show
    from pipeline.acquire.record import exit_code
    from pipeline.acquire.settings import Policy

    scene = Situation.of(options)
    plan = scene.plan(Policy(deep=options["deep"]), scene.ask_if_there())
    show.status(plan, scene.parts(), scene.store.root, options["as_json"], options["verbose"])
    sys.exit(exit_code([(step.status, step.in_store) for step in plan.steps]))


@acquire.command("lock")
@common
@click.option("--update", is_flag=True, help="Write the lock; without it, only show what differs.")
@click.option("--take", multiple=True, metavar="NAME",
              help="Take the version of this file that the archive served last.")  # fmt: skip
@guarded
def lock_command(*, update: bool, take: tuple[str, ...], **options: Any) -> None:
    """Compare the lock with archive and store; with --update, make it name what they have.

    This changes what the study stands on. Look at every line, and commit the lock.
    """
    from ard.fileio import write_json
    from manifests.lock import lock_path, require_valid
    from pipeline.acquire import show
    from pipeline.acquire.relock import differences, propose

    scene = Situation.of(options, making_lock=update)
    proposed = propose(scene.selection, scene.lock, scene.store, scene.ask(), take=take)
    require_valid(proposed, scene.whole, scene.lock_file)
    found = differences(scene.lock, proposed)
    if update and found:
        if scene.lock_file.exists() and not scene.lock.files:
            scene.lock_file.replace(scene.lock_file.with_name(f"{scene.lock_file.name}.damaged"))
        write_json(scene.lock_file, proposed.to_dict(), overwrite=True)
    if update and scene.lock_file == lock_path(scene.selection.name).resolve():
        say("this is the lock that comes with the study: commit it")
    show.differences(found, scene.lock_file, update and bool(found), options["as_json"])
    sys.exit(FAILED if found and not update else 0)
