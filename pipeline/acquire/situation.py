"""With which selection, lock, store and archive does a verb of `rbh1 acquire` work?"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.guard import JSON, USAGE, say, stop

if TYPE_CHECKING:
    from manifests.lock import Lock, LockedFile
    from manifests.selection import Selection
    from pipeline.acquire.archive import Catalogue
    from pipeline.acquire.http import Waiter
    from pipeline.acquire.plan import Plan
    from pipeline.acquire.roles import Part
    from pipeline.acquire.settings import Network, Policy
    from pipeline.acquire.store import Store

FILE = click.Path(path_type=Path)


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every verb."""
    for option in (
        click.option("--store", type=FILE, help="The store (default: RBH1_DATA_DIR)."),
        click.option(
            "--selection", default="rbh1", show_default=True,
            help="TOML file of a selection, or the name of one that comes with the study.",
        ),
        click.option("--lock", "lock_file", type=FILE, help="The lock (default: the study's)."),
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
class Situation:
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
    def of(cls, options: dict[str, Any], *, making_lock: bool = False) -> "Situation":
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
    def _of(cls, options: dict[str, Any], making_lock: bool) -> "Situation":
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
