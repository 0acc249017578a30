"""How is a plan carried out, exactly, and gone on with after any interruption?

Nothing is taken for granted that was not read, and nothing is done that the plan does not say:
where the draft is neither as planned nor as this very plan left it, the work is refused.
"""

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ard import layout
from ard.sums import quote
from release.deposit import ops
from release.deposit.cargo import Cargo, mark_reasons, read_cargo
from release.deposit.compare import files_digest, metadata_differences, require_held
from release.deposit.decide import LINK, unfounded
from release.deposit.errors import (
    RefusedByArchiveError,
    UnexpectedAnswerError,
    UnknownOutcomeError,
)
from release.deposit.guards import require_not_discarded, require_same_target
from release.deposit.journal import UNKNOWN, Journal, journal_path, open_journal, read_history
from release.deposit.plan import DepositPlan, require_addressable, require_draft
from release.deposit.records import Archive, Record, RemoteFile, unexpected_errors
from release.deposit.settle import settle
from release.deposit.trace import GONE, Trace
from release.deposit.upload import Progress, State, Uploader
from release.model import RefusedError
from release.reservation import Reservation, read_reservation

WORKERS: Final = 4
APPLIED: Final = "applied"
# One that was about to begin when the others were cut is cut the next time.
_CUT_S: Final = 0.1
_NOT_FOUND: Final = 404
_OTHER_REVISION: Final = 412

_Files = dict[str, RemoteFile]


@dataclass(frozen=True)
class Applied:
    """Say what was done: files and bytes sent now, and whether nothing was left to do."""

    record_id: str
    doi: str
    sent_files: int
    sent_bytes: int
    already: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "record_id": self.record_id,
            "doi": self.doi,
            "sent_files": self.sent_files,
            "sent_bytes": self.sent_bytes,
            "already": self.already,
        }


def apply(
    plan: DepositPlan,
    bundle: Path,
    release: Path,
    archive: Archive,
    *,
    progress: Progress = lambda _name, _position: None,
    workers: int = WORKERS,
) -> Applied:
    """Make the draft hold the bundle, as planned.

    Run again after any interruption, it goes on; run again after success, it compares once more.

    Parameters
    ----------
    plan : DepositPlan
        From `make_plan`.
    bundle : Path
        The bundle it was made with.
    release : Path
        The `release.json`; the journal lies beside it.
    archive : Archive
        The archive of the reservation.
    progress : callable, optional
        Is told the name of a file, and how many bytes of it were sent.
    workers : int
        How many files are sent at a time.

    Raises
    ------
    RefusedError
        If bundle or draft are not those that were planned with.
    IntegrityError
        If the draft does not hold the bundle afterwards.
    DepositError
        If the archive did not do it; the same command goes on.
    """
    reservation = read_reservation(release)
    cargo = require_planned(plan, bundle, reservation, archive)
    transport = archive.transport
    path = journal_path(release)
    with open_journal(path, "apply", scrub=transport.scrub, clock=transport.clock) as journal:
        require_not_discarded(journal)
        work = _Work(plan, cargo, reservation, archive, journal, progress)
        try:
            if any(note["plan"] == work.digest for note in journal.notes(APPLIED)):
                work.confirm()
                return Applied(plan.record_id, plan.doi, 0, 0, already=True)
            return work.run(workers)
        except (RefusedByArchiveError, UnknownOutcomeError) as error:
            if error.status == _NOT_FOUND:
                # That there is no such thing may mean that there is no draft any more.
                require_draft(archive, reservation)
            raise


def require_planned(
    plan: DepositPlan, bundle: Path, reservation: Reservation, archive: Archive
) -> Cargo:
    """Refuse a plan that was made for another bundle or reservation, or was edited.

    Raises
    ------
    RefusedError, IntegrityError
    """
    require_same_target(reservation, archive)
    cargo = read_cargo(bundle, "fast")
    rows = (
        ("archive", plan.target, reservation.target),
        ("record", plan.record_id, reservation.record_id),
        ("DOI", plan.doi, reservation.doi),
        ("concept DOI", plan.concept_doi, reservation.concept_doi),
        ("digest of the bundle", plan.bundle_digest, cargo.digest),
    )
    reasons = [
        f"{what}: planned {want}, found {found}" for what, want, found in rows if want != found
    ]
    live = {file.key: file for file in plan.live}
    reasons += [
        f"{quote(name)}: what the plan says of it does not follow from the bundle"
        for name in unfounded(plan.decisions, cargo.files, live)
    ]
    # A plan says --allow-simulated was given, but for Zenodo nothing could be.
    reasons += mark_reasons(cargo.manifest, plan.target, allow_simulated=True)
    if reasons:
        raise RefusedError("this is not what was planned", tuple(reasons), "make a new plan")
    require_addressable(plan.decisions)
    return cargo


def rehearse(plan: DepositPlan, bundle: Path, release: Path, archive: Archive) -> None:
    """Refuse whatever `apply` would refuse before its first request that writes.

    Raises
    ------
    RefusedError, IntegrityError
    """
    reservation, history = read_reservation(release), read_history(journal_path(release))
    cargo = require_planned(plan, bundle, reservation, archive)
    require_not_discarded(history)
    draft = require_draft(archive, reservation)
    if any(note["plan"] == plan.digest for note in history.notes(APPLIED)):
        require_held(cargo, draft)
        return
    trace = Trace.of(plan, cargo.files, history)
    if draft.revision != plan.revision:
        changed = [f"its revision is {draft.revision}, planned was {plan.revision}"]
        # An earlier run of this plan changes it too.
        _require_none(metadata_differences(cargo.record, draft) if trace.resumed else changed)
    live = archive.files(draft.id)
    if not trace.resumed:
        _require_none(trace.unplanned(live))
    elif live or not any(row.action == LINK for row in plan.decisions):
        _require_none(trace.unexplained(live))


@dataclass
class _Work:
    """One run of `apply`."""

    plan: DepositPlan
    cargo: Cargo
    reservation: Reservation
    archive: Archive
    journal: Journal
    progress: Progress

    def __post_init__(self) -> None:
        self.id = self.plan.record_id
        self.digest = self.plan.digest
        self.trace = Trace.of(self.plan, self.cargo.files, self.journal)

    def run(self, workers: int) -> Applied:
        live = self._live()
        self._put_metadata()
        live = self._import(live)
        self._require_explained(live)
        for name in self.trace.condemned(live):
            self._delete(name)
            del live[name]
        states = self.trace.states(live)
        absent = [name for name, state in states.items() if state is State.ABSENT]
        self._announce(absent)
        states |= dict.fromkeys(absent, State.EMPTY)
        left = {name: state for name, state in states.items() if state is not State.DONE}
        self._send(left, workers)
        self.confirm()
        size = sum(self.cargo.files[name].size for name in left)
        return Applied(self.id, self.plan.doi, len(left), size)

    def confirm(self) -> None:
        """Compare the draft with the bundle, and note in which state it was found to hold it."""
        draft = require_draft(self.archive, self.reservation)
        require_held(self.cargo, draft)
        note: dict[str, object] = {
            "plan": self.digest,
            "revision": draft.revision,
            "files": files_digest(draft.files),
            # Publishing asks for what was found about these very bytes.
            "bundle_digest": self.cargo.digest,
            "rules": self.plan.rules.to_dict(),
        }
        if note not in self.journal.notes(APPLIED)[-1:]:
            self.journal.note(APPLIED, **note)

    def _live(self) -> _Files:
        """Give the files of the draft: read, unless there were none and nobody began yet."""
        if not self.trace.resumed and not self.plan.live:
            # The answer to the announcement lists all files, and would show others.
            return {}
        live = self.archive.files(self.id)
        if not self.trace.resumed:
            _require_none(self.trace.unplanned(live))
        return live

    def _put_metadata(self) -> None:
        """Send the metadata, if the draft is still of the planned revision."""
        if self.trace.resumed and self._has_metadata() is not None:
            return

        def send() -> Record:
            return self.journal.attempt(
                ops.PUT_METADATA,
                self._put,
                lambda draft: {"revision": draft.revision},
                plan=self.digest,
            )

        try:
            settle(self.archive.transport, send, self._has_metadata)
        except RefusedByArchiveError as error:
            if error.status != _OTHER_REVISION:
                raise
            if not self._came_late():
                _require_none([f"the archive says: {error.found}"])

    def _put(self) -> Record:
        draft = self.archive.put_draft(self.id, dict(self.cargo.record), self.plan.revision)
        problems = [*unexpected_errors(draft), *metadata_differences(self.cargo.record, draft)]
        if problems:
            raise UnexpectedAnswerError(
                "the archive does not accept the metadata as they are",
                file=self.cargo.folder / layout.RECORD_FILE,
                found="".join(f"\n    {row}" for row in problems),
                action="correct them at their source, build the bundle anew, make a new plan",
            )
        return draft

    def _has_metadata(self) -> Record | None:
        """Tell whether the metadata arrived; refuse a draft in which there are others."""
        draft = require_draft(self.archive, self.reservation)
        differences = metadata_differences(self.cargo.record, draft)
        if not differences:
            return draft
        if draft.revision != self.plan.revision:
            _require_none(differences)
        return None

    def _came_late(self) -> bool:
        """Tell whether a request of our own that was believed to be lost has put the metadata."""
        writes = self.journal.writes(ops.PUT_METADATA, plan=self.digest)
        lost = any(write.result == UNKNOWN for write in writes)
        return lost and self._has_metadata() is not None

    def _import(self, live: _Files) -> _Files:
        """Link the files of the version before, unless that was done."""
        linked = [row for row in self.plan.decisions if row.action == LINK]
        if not linked or live:
            return live

        def send() -> _Files:
            return self._explained(
                lambda: self.journal.attempt(
                    ops.IMPORT, lambda: self.archive.import_files(self.id), plan=self.digest
                )
            )

        return settle(self.archive.transport, send, lambda: self.archive.files(self.id) or None)

    def _explained[T](self, send: Callable[[], T]) -> T:
        """Send a request; if it is refused, say so first where others put files there since."""
        try:
            return send()
        except RefusedByArchiveError:
            self._require_explained(self.archive.files(self.id))
            raise

    def _require_explained(self, live: Mapping[str, RemoteFile]) -> None:
        """Refuse a draft that neither the plan nor an earlier run of it explains."""
        _require_none(self.trace.unexplained(live))

    def _delete(self, key: str) -> None:
        def gone() -> bool:
            self.journal.note(GONE, key=key, plan=self.digest)
            return True

        def send() -> bool:
            try:
                self.journal.attempt(
                    ops.DELETE,
                    lambda: self.archive.delete_file(self.id, key),
                    key=key,
                    plan=self.digest,
                )
            except RefusedByArchiveError as error:
                if error.status != _NOT_FOUND:
                    raise
                return gone()
            return True

        def look() -> bool | None:
            return gone() if self.archive.file(self.id, key) is None else None

        settle(self.archive.transport, send, look)

    def _announce(self, names: list[str]) -> None:
        """Announce files in one request, whose answer shows all files of the draft."""
        if not names:
            return
        missing = list(names)

        def look() -> _Files | None:
            found = self.archive.files(self.id)
            missing[:] = [name for name in missing if name not in found]
            return None if missing else found

        def send() -> _Files:
            return self._explained(
                lambda: self.journal.attempt(
                    ops.INIT,
                    lambda: self.archive.init(self.id, missing),
                    keys=missing,
                    plan=self.digest,
                )
            )

        self._require_explained(settle(self.archive.transport, send, look))

    def _send(self, states: Mapping[str, State], workers: int) -> None:
        """Bring the files, some at a time; the first failure stops all."""
        uploader = Uploader(
            self.archive,
            self.journal,
            self.id,
            self.digest,
            self.cargo.folder,
            self.progress,
        )
        stop = self.archive.transport.stop
        stop.clear()
        futures: list[Future[None]] = []
        with ThreadPoolExecutor(workers) as pool:
            try:
                futures += (
                    pool.submit(uploader.bring, self.cargo.files[name], state)
                    for name, state in states.items()
                )
                self._finish(pool, futures)
            except BaseException as error:
                if not isinstance(error, Exception):
                    self._cut(pool, futures)
                raise

    def _finish(self, pool: ThreadPoolExecutor, futures: list[Future[None]]) -> None:
        """Wait for all uploads; after the first failure for those that are under way only."""
        try:
            for future in as_completed(futures):
                future.result()
        except Exception:
            wait(self._halt(pool, futures))
            raise

    def _halt(self, pool: ThreadPoolExecutor, futures: list[Future[None]]) -> list[Future[None]]:
        """Begin nothing any more; give what is under way."""
        self.archive.transport.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        return [future for future in futures if not future.cancelled()]

    def _cut(self, pool: ThreadPoolExecutor, futures: list[Future[None]]) -> None:
        """End what is under way, for somebody who wants to stop now and not in ten minutes."""
        while True:
            # Who is impatient meanwhile is not served sooner by leaving the rest to itself.
            with contextlib.suppress(KeyboardInterrupt):
                running = self._halt(pool, futures)
                while wait(running, timeout=_CUT_S).not_done:
                    self.archive.transport.cut()
                return


def _require_none(reasons: list[str]) -> None:
    if reasons:
        raise RefusedError(
            "the draft is not the one that was planned with", tuple(reasons), "make a new plan"
        )
