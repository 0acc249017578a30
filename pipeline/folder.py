"""May this folder be written to: is it a run of ours, and does nobody else work in it?

A user may name any folder with ``--out``. What no run made is never replaced or removed.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from ard import io, layout
from ard.errors import ArdError
from ard.manifest import NAME
from pipeline.graph import Task

LOCK_FILE: Final = "lock"
PLAN_FILE: Final = "plan.json"
# A bundle is moved here before it is deleted: half a bundle could not be told from foreign files.
DISCARDED: Final = "discarded"
_LOOK_SECONDS: Final = 0.1
RESULTS: Final = (
    layout.BUNDLE_DIR,
    layout.PRODUCTS_DIR,
    layout.REPORT_FILE,
    layout.CHECKS_FILE,
)


@contextmanager
def locked(root: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Keep every other run out of a run folder, which is made if it is not there.

    Parameters
    ----------
    root : path
    wait_s : float
        How long to wait for another process that works in the folder.

    Raises
    ------
    ArdError
        If another process works in the folder, or it cannot be made or written.
    """
    state = root / layout.STATE_DIR
    with _usable(root):
        state.mkdir(parents=True, exist_ok=True)
        stream = (state / LOCK_FILE).open("w")
    with stream:
        _lock(stream, root, wait_s)
        yield


def _lock(stream: IO[str], root: Path, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() < until:
                time.sleep(_LOOK_SECONDS)
                continue
            raise ArdError(
                "another process is working in this run folder",
                file=root,
                expected="one run at a time",
                found="a lock that is held",
                action="wait for it to end, or choose another folder with --out",
            ) from error
        return


def require_ours(root: Path, tasks: Sequence[Task]) -> None:
    """Make sure that a run would replace and remove nothing but what a run made.

    Parameters
    ----------
    root : path
        The run folder.
    tasks : sequence of Task
        What would be written there.

    Raises
    ------
    ArdError
        If files are in the way that no run made, or the folder cannot be looked at.
    """
    plan = root / layout.STATE_DIR / PLAN_FILE
    with _usable(root):
        known = _known(plan)
        foreign = {
            path
            for task in tasks
            for path in task.output_files().values()
            if _there(path) and task.short(path) not in known
        }
        if not _there(plan):
            foreign |= {root / name for name in RESULTS if _there(root / name)}
        if not foreign:
            _require_own_bundle(root / layout.BUNDLE_DIR)
            return
    names = [path.relative_to(root).as_posix() for path in sorted(foreign)]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    raise ArdError(
        "the folder holds files that no run made",
        file=root / names[0],
        expected="a new or empty folder, or one that rbh1 made",
        found=f"in the way: {', '.join(names[:3])}{more}",
        action="choose another folder with --out, or move these files away; nothing was changed",
    )


def clear_results(root: Path) -> None:
    """Remove what was concluded from earlier products: checks, bundle, report.

    Raises
    ------
    ArdError
        If the bundle is not one of ours.
    """
    bundle = root / layout.BUNDLE_DIR
    with _usable(root):
        _require_own_bundle(bundle)
        for name in (layout.REPORT_FILE, layout.CHECKS_FILE):
            (root / name).unlink(missing_ok=True)
        discarded = root / layout.STATE_DIR / DISCARDED
        shutil.rmtree(discarded, ignore_errors=True)
        if bundle.is_dir():
            discarded.parent.mkdir(exist_ok=True)
            bundle.rename(discarded)
            shutil.rmtree(discarded)


@contextmanager
def _usable(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise ArdError(
            "the run folder cannot be used",
            file=root,
            expected="a folder that can be made and written",
            found=f"{error.strerror or error}{where}",
            action="choose another folder with --out",
        ) from error


def _there(path: Path) -> bool:
    return os.path.lexists(path)


def _known(plan: Path) -> set[str]:
    if not _there(plan):
        return set()
    return {file for row in io.read_json(plan)["tasks"] for file in row["outputs"]}


def _require_own_bundle(bundle: Path) -> None:
    if not _there(bundle) or _is_own_bundle(bundle):
        return
    raise ArdError(
        "the folder of the bundle holds something else",
        file=bundle,
        expected=f"a bundle: a folder with a {layout.MANIFEST_FILE} of the name {NAME}",
        found="a folder without it" if bundle.is_dir() else "no folder",
        action="move it away, or choose another folder with --out; nothing was changed",
    )


def _is_own_bundle(bundle: Path) -> bool:
    if bundle.is_symlink() or not bundle.is_dir():
        return False
    try:
        return io.read_json(bundle / layout.MANIFEST_FILE).get("name") == NAME
    except ArdError:
        return False
