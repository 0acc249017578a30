"""How do files that are on disk already get into the store, with the same care as fetched ones?

An earlier download, whoever made it, is looked through for the names of the lock. What passes the
verification is copied (or moved) into the store; what does not is left where it is, and said.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from ard.errors import ArdError, NotFoundError
from manifests.lock import SIZE
from pipeline.acquire.fetcher import Fetcher, failure_of, now, rungs_of
from pipeline.acquire.http import Stopped
from pipeline.acquire.plan import KEEP, LINK, OK, Plan, Step, size_text
from pipeline.acquire.record import FileRecord, Problem, Report
from pipeline.acquire.runner import facts, save

_CHUNK: Final = 1 << 22


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
    if not folder.is_dir():
        raise NotFoundError(
            "the folder to adopt from does not exist",
            file=folder,
            expected="a folder with archive files, at any depth",
            found="a file" if folder.exists() else "nothing",
            action="check the path",
        )
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
        Move instead of copying: no second copy on disk, and nothing left in the folder.
    """
    started = now()
    found, others = find_files(folder, {step.name for step in plan.steps})
    wanted = [s for s in plan.steps if s.action not in (KEEP, LINK) and s.name in found]
    if not move:
        _require_space(wanted, found, fetcher)
    records = []
    interrupted = False
    for step in plan.steps:
        paths = found.get(step.name, []) if step.action not in (KEEP, LINK) else []
        try:
            fetcher.waiter.check()
            records.append(_adopt_file(step, paths, fetcher, move))
        except (Stopped, KeyboardInterrupt):
            interrupted = True
            fetcher.waiter.stop.set()
            records.append(FileRecord.of_step(step))
    report = Report(
        "adopt", tuple(records), started, now(),
        {**facts(plan, fetcher), "other_files": others}, interrupted,
    )  # fmt: skip
    save(report, fetcher.store)
    return report


def _require_space(steps: list[Step], found: dict[str, list[Path]], fetcher: Fetcher) -> None:
    need = sum(found[step.name][0].stat().st_size for step in steps)
    free, reserve = fetcher.store.free_bytes(), fetcher.policy.reserve_bytes
    if steps and need + reserve > free:
        raise ArdError(
            "there is not enough space to copy the files",
            file=fetcher.store.root,
            expected=f"{size_text(need)}, and {size_text(reserve)} that stay free",
            found=f"{size_text(free)} free",
            action="make room, or let them be moved: --move",
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
        except (ArdError, OSError) as error:
            record = record.failed(Problem.of(error, str(path), fetcher.network))
        if record.status == OK:
            break
    return fetcher.close(step, record)


def _take_in(
    step: Step, path: Path, fetcher: Fetcher, move: bool, record: FileRecord
) -> FileRecord:
    """Look at a file, and take it if it is sound; it stays where it is if it is not."""
    part = fetcher.store.root / "partial" / f"{step.name}.adopted"
    expectation = fetcher.expectation(step)
    try:
        if move and path.stat().st_dev == part.parent.stat().st_dev:
            found = fetcher.examine(path, expectation)
            if found.ok:
                path.replace(part)
        else:
            # What is kept is looked at, not what it was copied from.
            _copy(path, part, fetcher)
            found = fetcher.examine(part, expectation)
            if found.ok and move:
                path.unlink()
        record = replace(record, rungs=rungs_of(found))
        if not found.ok:
            problem = replace(failure_of(found, str(path)), action="it stays where it is; fetch "
                              "the file instead: rbh1 acquire run")  # fmt: skip
            return record.failed(problem)
        on_trust = step.sha256 is None and found.verified == SIZE
        record = replace(record, first_use=on_trust, problem=None)
        return fetcher.settle(step, part, found, record, found.verified, "adopted")
    finally:
        part.unlink(missing_ok=True)


def _copy(path: Path, part: Path, fetcher: Fetcher) -> None:
    with path.open("rb") as source, part.open("wb") as target:
        while chunk := source.read(_CHUNK):
            fetcher.waiter.check()
            target.write(chunk)
