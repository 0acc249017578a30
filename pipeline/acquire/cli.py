"""What can be typed after `rbh1 acquire`: plan, run, status, adopt, lock, cutout.

Exit codes: 0 the store equals the lock, 1 the archive or the lock has something else, 2 wrong
usage, 3 files lack or the work could not be done.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.guard import COULD_NOT_RUN, FAILED, JSON, USAGE, guarded, say, stop

if TYPE_CHECKING:
    from manifests.lock import Lock, LockedFile
    from manifests.selection import Selection
    from pipeline.acquire.archive import Catalogue
    from pipeline.acquire.cutplan import CutoutRequest
    from pipeline.acquire.http import Waiter
    from pipeline.acquire.plan import Plan
    from pipeline.acquire.roles import Part
    from pipeline.acquire.settings import Network, Policy
    from pipeline.acquire.store import Store

_FILE = click.Path(path_type=Path)


def _common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every verb."""
    for option in (
        click.option("--store", type=_FILE, help="The store (default: RBH1_DATA_DIR)."),
        click.option(
            "--selection", default="rbh1", show_default=True,
            help="TOML file of a selection, or the name of one that comes with the study.",
        ),
        click.option("--lock", "lock_file", type=_FILE, help="The lock (default: the study's)."),
        click.option("--group", "groups", multiple=True, metavar="NAME",
                     help="Only these groups of the selection."),
        click.option("--server", metavar="URL", help="The archive (default: RBH1_MAST_URL)."),
        click.option("--timeout", type=click.FloatRange(0.1), default=60.0, show_default=True,
                     help="Longest silence of the archive, s."),
        click.option("--attempts", type=click.IntRange(1), default=5, show_default=True,
                     help="Attempts in a row that come no further."),
        click.option("--offline", is_flag=True, help="Make no request."),
        JSON,
    ):  # fmt: skip
        function = option(function)
    return function


@dataclass(frozen=True)
class _Scene:
    """What every verb begins with."""

    whole: "Selection"
    selection: "Selection"
    lock: "Lock"
    lock_file: Path
    store: "Store"
    network: "Network"
    waiter: "Waiter"
    offline: bool

    @classmethod
    def of(cls, options: dict[str, Any], *, making_lock: bool = False) -> "_Scene":
        """Read selection and lock, find the store, take address and token from the environment.

        What is wrong with any of them is wrong usage. A lock that is to be made may be missing or
        damaged.
        """
        from ard.errors import ArdError
        from manifests.errors import ManifestError

        try:
            return cls._of(options, making_lock)
        except (ArdError, ManifestError) as error:
            stop(error, USAGE)

    @classmethod
    def _of(cls, options: dict[str, Any], making_lock: bool) -> "_Scene":
        from manifests.lock import Lock, fitting_rows, load_lock, lock_path, read_lock
        from manifests.selection import load_selection
        from pipeline.acquire.http import Waiter
        from pipeline.acquire.settings import data_dir, network_from
        from pipeline.acquire.store import Store

        whole = load_selection(options["selection"])
        selection = whole.only(options["groups"])
        path = (options["lock_file"] or lock_path(whole.name)).resolve()
        lock = Lock(whole.name, (), path)
        if not making_lock:
            lock = load_lock(path, whole)
        elif _is_lock(path):
            lock = fitting_rows(read_lock(path), whole)
        network = replace(
            network_from(os.environ, options["server"]),
            read_s=options["timeout"],
            slow_s=options["timeout"],
            attempts=options["attempts"],
        )
        store = Store(data_dir(os.environ, options["store"]))
        return cls(whole, selection, lock, path, store, network, Waiter(), options["offline"])

    def locked(self, name: str) -> "LockedFile":
        """Give a file of the lock by its name."""
        from ard.errors import NotFoundError

        try:
            return self.lock.by_name()[name]
        except KeyError as error:
            raise NotFoundError(
                "the lock names no such file",
                file=self.lock_file,
                expected=f"one of its {len(self.lock.files)} files",
                found=name,
                action="see their names with: rbh1 acquire status -v --offline",
            ) from error

    def ask(self) -> "Catalogue | None":
        """Ask the archive what it has, unless nothing may be asked."""
        if self.offline:
            return None
        from pipeline.acquire.archive import list_files

        say(f"asking {self.network.server} ...")
        return list_files(self.selection, self.network, self.waiter)

    def ask_if_there(self) -> "Catalogue | None":
        """Ask the archive what it has; where it does not answer, say so, and do without."""
        from ard.errors import ArdError

        try:
            return self.ask()
        except ArdError as error:
            say(f"{error.problem}; what follows is what lock and store say")
            return None

    def plan(self, policy: "Policy", catalogue: "Catalogue | None") -> "Plan":
        """Decide about every file."""
        from pipeline.acquire.plan import make_plan

        if policy.deep:
            say("reading everything that the store holds (about 0.4 GB/s) ...")
        lock = self.lock.only(group.name for group in self.selection.groups)
        return make_plan(
            self.selection, lock, self.store, catalogue, network=self.network, policy=policy
        )

    def parts(self) -> "dict[str, Part]":
        """Give each file of the store its part in the study."""
        from pipeline.acquire.survey import held_by, parts_of

        lock = self.lock.only(group.name for group in self.selection.groups)
        return parts_of(held_by(lock, self.store), self.selection.target)


def _is_lock(path: Path) -> bool:
    """Say whether there is a lock that can be read, whatever selection it was made for."""
    from manifests.errors import ManifestError
    from manifests.lock import read_lock

    if not path.exists():
        return False
    try:
        read_lock(path)
    except ManifestError as error:
        say(f"{error.problem}: it is made anew, and the old one kept as {path.name}.damaged")
        return False
    return True


@click.group("acquire")
def acquire() -> None:
    """Fetch the archive's files into a store, and prove that they are the right ones."""


@acquire.command("plan")
@_common
@guarded
def plan_command(**options: Any) -> None:
    """Say what would be fetched, why, and whether it fits on the disk. Changes nothing."""
    from pipeline.acquire import show
    from pipeline.acquire.settings import Policy

    scene, policy = _Scene.of(options), Policy()
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
@_common
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

    scene = _Scene.of(options)
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
@click.argument("folder", type=_FILE)
@_common
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

    scene, policy = _Scene.of(options), Policy()
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
@_common
@click.option("--deep", is_flag=True, help="Compute the sha256 of what is held, untouched or not.")
@click.option("-v", "--verbose", is_flag=True, help="Name every file.")
@guarded
def status_command(**options: Any) -> None:
    """Say how the store stands against the lock, and the lock against the archive."""
    from pipeline.acquire import show
    from pipeline.acquire.record import exit_code
    from pipeline.acquire.settings import Policy

    scene = _Scene.of(options)
    plan = scene.plan(Policy(deep=options["deep"]), scene.ask_if_there())
    show.status(plan, scene.parts(), scene.store.root, options["as_json"], options["verbose"])
    sys.exit(exit_code([(step.status, step.in_store) for step in plan.steps]))


@acquire.command("lock")
@_common
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

    scene = _Scene.of(options, making_lock=update)
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


class _Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers with a separator between them."""

    def __init__(self, count: int, separator: str, example: str) -> None:
        self.name = example
        self._count, self._separator, self._example = count, separator, example

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        """Read them, or say what they should look like."""
        try:
            numbers = tuple(float(part) for part in value.split(self._separator))
        except ValueError:
            numbers = ()
        if len(numbers) != self._count:
            self.fail(f"{value!r} is not like {self._example}", param, ctx)
        return numbers


@acquire.command("cutout")
@click.argument("name")
@_common
@click.option("--out", type=_FILE, required=True, help="The FITS file to write.")
@click.option("--extension", "extensions", multiple=True, metavar="NAME[,VERSION]",
              help="Images to cut (default: SCI).")  # fmt: skip
@click.option("--table", "tables", multiple=True, metavar="NAME[,VERSION]",
              help="Tables to take whole.")  # fmt: skip
@click.option("--centre", type=_Numbers(2, ",", "RA,DEC"),
              help="Centre, deg ICRS (default: the target).")  # fmt: skip
@click.option("--size", "size_arcsec", type=click.FloatRange(0, min_open=True), default=10.0,
              show_default=True, help="Length of the sides, arcsec.")  # fmt: skip
@click.option("--box", type=_Numbers(4, ",", "X0,X1,Y0,Y1"),
              help="Pixels from 0, ends not included, instead of centre and size.")  # fmt: skip
@click.option("--wave", "wave_um", type=_Numbers(2, ":", "FROM:TO"),
              help="Wavelengths of a cube, um.")  # fmt: skip
@click.option("--limit", "limit_mb", type=click.FloatRange(0, min_open=True), default=512.0,
              show_default=True, help="The most that may come, MB.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the file --out.")
@click.option("--dry-run", is_flag=True, help="Say what it would take; read headers only.")
@guarded
def cutout_command(*, name: str, out: Path, dry_run: bool, overwrite: bool, **options: Any) -> None:
    """Get a part of the archive's file NAME without the rest, by byte ranges.

    A cut-out cannot be held against a checksum of the whole file, and says so in its header.
    """
    from pipeline.acquire import show
    from pipeline.acquire.cutout import carry_out
    from pipeline.acquire.cutplan import plan_cutout
    from pipeline.acquire.http import ArchiveSession
    from pipeline.acquire.transfer import Wanted

    scene = _Scene.of(options)
    file = scene.locked(name)
    if scene.offline:
        raise click.UsageError("a cut-out comes from the archive: it cannot be had --offline")
    if out.exists() and not (overwrite or dry_run):
        raise click.UsageError(f"there is a file {out}: name another, or give --overwrite")
    request = _cutout_request(scene, options)
    with ArchiveSession(scene.network) as session:
        wanted = Wanted(file.uri, file.name, file.size)
        plan = plan_cutout(session, wanted, request, scene.waiter)
        if dry_run:
            show.cutout_plan(plan, options["as_json"])
            return
        cutout = carry_out(plan)
    cutout.write(out, overwrite=overwrite)
    show.cutout(cutout, out, options["as_json"])


def _cutout_request(scene: _Scene, options: dict[str, Any]) -> "CutoutRequest":
    from manifests.target import load_target
    from pipeline.acquire.boxes import PixelBox, SkyBox
    from pipeline.acquire.cutplan import CutoutRequest

    place: SkyBox | PixelBox
    if options["box"] is not None:
        if options["centre"] is not None:
            raise click.UsageError("--box goes without --centre")
        x0, x1, y0, y1 = map(int, options["box"])
        place = PixelBox(x0, x1, y0, y1)
    else:
        anchor = load_target(scene.selection.target).anchor
        ra, dec = options["centre"] or (anchor.ra_deg, anchor.dec_deg)
        place = SkyBox(ra, dec, options["size_arcsec"])
    return CutoutRequest(
        place,
        options["extensions"] or ("SCI",),
        options["wave_um"],
        options["tables"],
        int(options["limit_mb"] * 1e6),
    )
