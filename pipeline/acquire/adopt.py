"""How do files that are on disk already get into the store, with the same care as fetched ones?

An earlier download, whoever made it, is looked through for the names of the lock. What passes the
verification is copied (or moved) into the store; what does not is left where it is, and said.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from ard.errors import ArdError, NotFoundError
from ard.fileio import sha256_file
from manifests.lock import SIZE
from pipeline.acquire.fetcher import Fetcher
from pipeline.acquire.http import Stopped
from pipeline.acquire.observer import Shielded
from pipeline.acquire.plan import FAILED, KEEP, LINK, OK, Plan, Step, size_text
from pipeline.acquire.record import FileRecord, Problem, Report, failure_of, now, rungs_of
from pipeline.acquire.runner import facts, save

_CHUNK: Final = 1 << 22


def require_folder(folder: Path) -> None:
    """Make sure that there is something to look through.

    Raises
    ------
    NotFoundError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise NotFoundError(
            "the folder to adopt from does not exist",
            file=folder,
            expected="a folder with archive files, at any depth",
            found="a file" if folder.exists() else "nothing",
            action="check the path",
        )


def adopted_all(report: Report) -> bool:
    """Say whether files were found, and every one of them is in the store."""
    found = [record for record in report.records if record.done != "nothing" or record.rungs]
    found += [record for record in report.records if record.status == FAILED]
    return bool(found) and all(record.in_store for record in found)


def find_files(folder: Path, names: set[str]) -> tuple[dict[str, list[Path]], int]:
    """Look through a folder for files of these names.

    Returns
    -------
    found : dict of str to list of path
        Every place of each name, in order.
    others : int
        Files of other names.

    Raises
    ------
    NotFoundError
        If there is no such folder.
    """
    require_folder(folder)
    found: dict[str, list[Path]] = {}
    others = 0
    for path in sorted(folder.rglob("*")):
        if path.name in names and path.is_file():
            found.setdefault(path.name, []).append(path)
        elif path.is_file():
            others += 1
    return found, others


def adopt(plan: Plan, fetcher: Fetcher, folder: Path, *, move: bool = False) -> Report:
    """Take the files of a folder that belong to the lock, and are sound, into the store.

    Parameters
    ----------
    plan : Plan
        What the store lacks.
    fetcher : Fetcher
        Its store is locked by the caller.
    folder : path
        Where to look, at any depth.
    move : bool
        Remove a file from the folder when the store has it: no second copy on disk, where folder
        and store are on one. A link is never removed.
    """
    started = now()
    fetcher = replace(fetcher, observer=Shielded(fetcher.observer))
    found, others = find_files(folder, {step.name for step in plan.steps})
    wanted = [s for s in plan.steps if s.action not in (KEEP, LINK) and s.name in found]
    _require_space([path for step in wanted for path in found[step.name][:1]], fetcher, move)
    records = []
    for step in plan.steps:
        paths = found.get(step.name, [])
        try:
            fetcher.waiter.check()
            record = _adopt_file(step, paths, fetcher, move)
            if move:
                _remove_known(record, paths)
        except (Stopped, KeyboardInterrupt):
            fetcher.waiter.end()
            record = FileRecord.of_step(step)
        records.append(record)
        fetcher.observer.ended(record)
    report = Report(
        "adopt", tuple(records), started, now(),
        {**facts(plan, fetcher), "other_files": others}, fetcher.waiter.stop.is_set(),
    )  # fmt: skip
    save(report, fetcher.store)
    return report


def _require_space(paths: list[Path], fetcher: Fetcher, move: bool) -> None:
    copied = [path for path in paths if not (move and _can_link(path, fetcher.store.root))]
    need = sum(path.stat().st_size for path in copied)
    free, reserve = fetcher.store.free_bytes(), fetcher.policy.reserve_bytes
    if copied and need + reserve > free:
        raise ArdError(
            "there is not enough space to copy the files",
            file=fetcher.store.root,
            expected=f"{size_text(need)}, and {size_text(reserve)} that stay free",
            found=f"{size_text(free)} free",
            action="make room, or let them be moved on the same disk: --move",
        )


def _adopt_file(step: Step, paths: list[Path], fetcher: Fetcher, move: bool) -> FileRecord:
    if step.action in (KEEP, LINK):
        return fetcher.perform(step, None)
    record = replace(FileRecord.of_step(step), started=now())
    if not paths:
        action = "fetch it: rbh1 acquire run"
        return replace(record, problem=Problem("the folder lacks it", step.name, action=action))
    for path in paths:
        try:
            record = _take_in(step, path, fetcher, move, record)
        except (Stopped, KeyboardInterrupt):
            raise
        except Exception as error:  # noqa: BLE001 (one file must not hide what becomes of the others)
            record = record.failed(Problem.of(error, str(path), fetcher.network))
        if record.status == OK:
            break
    return fetcher.close(step, record)


def _take_in(
    step: Step, path: Path, fetcher: Fetcher, move: bool, record: FileRecord
) -> FileRecord:
    """Look at a file, and take it if it is sound.

    The file itself is removed last of all, when the store has its bytes under their name: whatever
    happens before leaves it where it is.
    """
    part = fetcher.store.root / "partial" / f"{step.name}.adopted"
    part.unlink(missing_ok=True)
    try:
        if not (move and _linked(path, part)):
            _copy(path, part, fetcher)
        # What is kept is looked at, not what it was copied from.
        found = fetcher.examine(part, fetcher.expectation(step))
        record = replace(record, rungs=rungs_of(found))
        if not found.ok:
            problem = replace(failure_of(found, str(path)), action="it stays where it is; fetch "
                              "the file instead: rbh1 acquire run")  # fmt: skip
            return record.failed(problem)
        on_trust = step.sha256 is None and found.verified == SIZE
        record = replace(record, first_use=on_trust, problem=None)
        record = fetcher.settle(step, part, found, record, found.verified, "adopted")
    finally:
        part.unlink(missing_ok=True)
    return record


def _remove_known(record: FileRecord, paths: list[Path]) -> None:
    """Remove the files of a folder whose bytes the store has under their name; links stay."""
    for path in paths:
        known = record.in_store and not path.is_symlink()
        if known and sha256_file(path) == record.sha256:
            path.unlink()


def _linked(path: Path, part: Path) -> bool:
    """Give a file a second name, if it is no link and its disk allows that."""
    if not _can_link(path, part.parent):
        return False
    try:
        os.link(path, part)
    except OSError:
        return False
    return True


def _can_link(path: Path, folder: Path) -> bool:
    """Say whether a file can get a second name in a folder: no link, and on the same disk."""
    return not path.is_symlink() and path.stat().st_dev == folder.stat().st_dev


def _copy(path: Path, part: Path, fetcher: Fetcher) -> None:
    with path.open("rb") as source, part.open("wb") as target:
        while chunk := source.read(_CHUNK):
            fetcher.waiter.check()
            target.write(chunk)
