"""How is a plan carried out: which transfers at a time, what is recorded, and what if it stops?"""

import logging
import os
import platform
import queue
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import ard
from ard.fileio import write_json
from pipeline.acquire.fetcher import Fetcher
from pipeline.acquire.http import ArchiveSession, Stopped
from pipeline.acquire.observer import Shielded
from pipeline.acquire.plan import MISSING, Plan, Step
from pipeline.acquire.record import FileRecord, Problem, Report, now
from pipeline.acquire.store import Store

log = logging.getLogger(__name__)
_LOOK_UP_S: Final = 0.2


def execute(plan: Plan, fetcher: Fetcher) -> Report:
    """Carry out a plan; every file has a record at the end, whatever happened.

    Parameters
    ----------
    plan : Plan
    fetcher : Fetcher
        Its store is locked by the caller.

    Returns
    -------
    Report
        `interrupted` is set if the user asked to stop: what is missing then is in the report too.
    """
    started = now()
    fetcher = replace(fetcher, observer=Shielded(fetcher.observer))
    records: dict[str, FileRecord] = {}
    _carry_out(plan.steps, fetcher, records)
    for step in plan.steps:
        if step.name not in records:
            records[step.name] = _not_reached(step)
    report = Report(
        verb="run",
        records=tuple(records[step.name] for step in plan.steps),
        started=started,
        ended=now(),
        facts=facts(plan, fetcher),
        interrupted=fetcher.waiter.stop.is_set(),
    )
    save(report, fetcher.store)
    return report


def _not_reached(step: Step) -> FileRecord:
    record = FileRecord.of_step(step)
    if step.in_store or record.problem is not None:
        return record
    problem = Problem(
        "the acquisition was stopped before this file was whole",
        record.name,
        action="the same command continues",
    )
    return replace(record, status=MISSING, problem=problem)


def _carry_out(steps: Sequence[Step], fetcher: Fetcher, records: dict[str, FileRecord]) -> None:
    """Do what needs no network first, then transfer with several workers."""
    waiting: queue.SimpleQueue[Step] = queue.SimpleQueue()
    for step in sorted(steps, key=lambda step: step.transfers):
        waiting.put(step)
    running = set(range(max(1, min(fetcher.policy.workers, len(steps)))))
    woken = threading.Event()

    def work(number: int) -> None:
        try:
            _work(waiting, fetcher, records)
        finally:
            running.discard(number)
            woken.set()

    for number in sorted(running):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    # Not Thread.join: interrupted in it, Python 3.12 takes a running thread for ended, and the
    # process would leave while the last bytes are being made safe.
    while running:
        try:
            woken.wait(_LOOK_UP_S)
            woken.clear()
        except KeyboardInterrupt:
            fetcher.waiter.end()


def _work(
    waiting: "queue.SimpleQueue[Step]", fetcher: Fetcher, records: dict[str, FileRecord]
) -> None:
    with ArchiveSession(fetcher.network) as session:
        while not fetcher.waiter.stop.is_set():
            try:
                step = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                record = fetcher.perform(step, session)
            except (Stopped, KeyboardInterrupt):
                return
            records[step.name] = record
            fetcher.observer.ended(record)


def facts(plan: Plan, fetcher: Fetcher) -> dict[str, Any]:
    """Say how the run was made: nothing secret, and nothing of it goes into a product."""
    policy = fetcher.policy
    return {
        "selection": plan.selection.name,
        "groups": [group.name for group in plan.selection.groups],
        "server": fetcher.network.server,
        "asked": plan.catalogue is not None,
        "queries": [query.to_dict() for query in plan.catalogue.queries] if plan.catalogue else [],
        "policy": {**vars(policy)},
        "tools": {
            "rbh1-ard": ard.__version__,
            "python": platform.python_version(),
            "requests": version("requests"),
        },
    }


def save(report: Report, store: Store) -> None:
    """Put the report of a run beside those of earlier runs, if there is room for it."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    place = store.root / "runs" / f"{stamp}-{os.getpid()}.json"
    try:
        write_json(place, report.to_dict())
    except OSError as error:
        # What became of the files has to be said all the same.
        log.warning("the report of this run could not be written: %s: %s", place, error.strerror)
