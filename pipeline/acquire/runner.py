"""How is a plan carried out: which transfers at a time, what is recorded, and what if it stops?"""

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
from pipeline.acquire.fetcher import Fetcher, now
from pipeline.acquire.http import ArchiveSession, Stopped
from pipeline.acquire.plan import MISSING, Plan, Step
from pipeline.acquire.record import FileRecord, Problem, Report
from pipeline.acquire.store import Store

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
    records = {step.name: FileRecord.of_step(step) for step in plan.steps}
    interrupted = _carry_out(plan.steps, fetcher, records)
    for step in plan.transfers:
        if records[step.name].done == "nothing" and records[step.name].problem is None:
            records[step.name] = _not_finished(records[step.name])
    report = Report(
        verb="run",
        records=tuple(records[step.name] for step in plan.steps),
        started=started,
        ended=now(),
        facts=facts(plan, fetcher),
        interrupted=interrupted,
    )
    save(report, fetcher.store)
    return report


def _not_finished(record: FileRecord) -> FileRecord:
    problem = Problem(
        "the acquisition was stopped before this file was whole",
        record.name,
        action="the same command continues",
    )
    return replace(record, status=MISSING, problem=problem)


def _carry_out(steps: Sequence[Step], fetcher: Fetcher, records: dict[str, FileRecord]) -> bool:
    """Do what needs no network first, then transfer with several workers; True if stopped."""
    waiting: queue.SimpleQueue[Step] = queue.SimpleQueue()
    for step in sorted(steps, key=lambda step: step.transfers):
        waiting.put(step)
    ended = threading.Semaphore(0)

    def work() -> None:
        try:
            _work(waiting, fetcher, records)
        finally:
            ended.release()

    running = max(1, min(fetcher.policy.workers, len(steps)))
    for _ in range(running):
        threading.Thread(target=work, daemon=True).start()
    # Not Thread.join: interrupted in it, Python 3.12 takes a running thread for ended, and the
    # process would leave while the last bytes are being made safe.
    while running:
        try:
            if ended.acquire(timeout=_LOOK_UP_S):
                running -= 1
        except KeyboardInterrupt:
            fetcher.waiter.stop.set()
    return fetcher.waiter.stop.is_set()


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
                records[step.name] = fetcher.perform(step, session)
            except (Stopped, KeyboardInterrupt):
                return


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
    """Put the report of a run beside those of earlier runs."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    write_json(store.root / "runs" / f"{stamp}-{os.getpid()}.json", report.to_dict())
