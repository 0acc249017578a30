"""How does a draft become public, once, and how is it known that it did?

Publishing cannot be taken back. It is asked for with the DOI spelled out, sent once, and after any
lost answer the state is read, as long as the archive may still be at it; whether to send it again
is for the releaser to say.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ard.errors import IntegrityError
from release.deposit import ops
from release.deposit.apply import APPLIED
from release.deposit.approval import APPROVED, find_approval
from release.deposit.cargo import Cargo, doi_reasons, mark_reasons, read_cargo
from release.deposit.compare import file_differences, identity_differences, metadata_differences
from release.deposit.errors import DepositError, RefusedByArchiveError, UnknownOutcomeError
from release.deposit.guards import require_not_discarded, require_same_target
from release.deposit.journal import (
    UNKNOWN,
    History,
    Journal,
    journal_path,
    open_journal,
    read_history,
)
from release.deposit.plan import Ready
from release.deposit.records import Archive, Record, unexpected_errors
from release.deposit.settle import patience_s
from release.model import RefusedError
from release.reservation import Reservation, read_reservation

PUBLISHED: Final = "published"


@dataclass(frozen=True)
class Published:
    """Say what is public.

    Attributes
    ----------
    url, doi, concept_doi, title : str
    files, size : int
        How many, and their bytes.
    bundle_digest : str
        Digest of the bundle that was compared with it.
    already : bool
        It was public before this command.
    """

    url: str
    doi: str
    concept_doi: str
    title: str
    files: int
    size: int
    bundle_digest: str
    already: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class _Case:
    """What is published, and where."""

    cargo: Cargo
    reservation: Reservation
    archive: Archive

    def differences(self, record: Record) -> list[str]:
        """List where a record or draft is not what was reserved and built."""
        return [
            *identity_differences(self.reservation, record),
            *unexpected_errors(record),
            *metadata_differences(self.cargo.record, record),
            *file_differences(self.cargo.files, record.files),
        ]

    def published(self, *, already: bool) -> Published:
        """Say what is public."""
        return Published(
            url=f"{self.archive.target}/records/{self.reservation.record_id}",
            doi=self.reservation.doi,
            concept_doi=self.reservation.concept_doi,
            title=self.cargo.title,
            files=len(self.cargo.files),
            size=self.cargo.size,
            bundle_digest=self.cargo.digest,
            already=already,
        )


def preview(
    bundle: Path, release: Path, archive: Archive, *, ready: Ready | None = None
) -> Published:
    """Make all comparisons that `publish` makes before it sends anything, and say what it would do.

    Parameters
    ----------
    bundle, release, archive, ready
        As for `publish`.

    Raises
    ------
    RefusedError, IntegrityError, DepositError
        As `publish`.
    """
    case = _case(bundle, release, archive)
    draft = archive.draft(case.reservation.record_id)
    if draft is None:
        return _already(case)
    history = read_history(journal_path(release))
    _require_ready(case, draft, history)
    find_approval(case.cargo, case.reservation, archive, history, ready)
    return case.published(already=False)


def publish(
    bundle: Path,
    release: Path,
    archive: Archive,
    *,
    confirm: str,
    ready: Ready | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Published:
    """Make the draft public, if it holds the bundle, and read it again as anybody.

    Parameters
    ----------
    bundle : Path
    release : Path
        The `release.json`; the journal lies beside it.
    archive : Archive
        The archive of the reservation.
    confirm : str
        The DOI of this version.
    ready : callable, optional
        Says whether the bundle may be deposited, as for `make_plan`, where the journal does not:
        where no plan for this very bundle was applied, or the rules are others since. None refuses
        such a bundle.
    say : callable, optional
        Is told for what is waited, and how long.

    Raises
    ------
    RefusedError
        If another DOI is confirmed, the draft is not the bundle, or the bundle was not found
        ready. Nothing is sent.
    IntegrityError
        If what is public is not what was sent.
    UnknownOutcomeError
        If nobody could find out whether it is public.
    DepositError
        If it was sent and did not happen.
    """
    case = _case(bundle, release, archive)
    _require_confirmed(case.reservation, confirm)
    transport, record_id = archive.transport, case.reservation.record_id
    path = journal_path(release)
    with open_journal(path, "publish", scrub=transport.scrub, clock=transport.clock) as journal:
        require_not_discarded(journal)
        public_already = _took_effect(archive, journal, record_id, say)
        draft = None if public_already else archive.draft(record_id)
        if draft is None:
            public = _already(case)
            _note(journal, case)
            return public
        _require_ready(case, draft, journal)
        rules = find_approval(case.cargo, case.reservation, archive, journal, ready)
        if rules is not None:
            journal.note(APPROVED, bundle_digest=case.cargo.digest, rules=rules.to_dict())
        record = _send(archive, journal, record_id)
        _require_same(case, record, "the record that the archive made")
        _reread(case)
        _note(journal, case)
    return case.published(already=False)


def _note(journal: Journal, case: _Case) -> None:
    journal.note(PUBLISHED, doi=case.reservation.doi, bundle_digest=case.cargo.digest)


def _case(bundle: Path, release: Path, archive: Archive) -> _Case:
    reservation = read_reservation(release)
    require_same_target(reservation, archive)
    cargo = read_cargo(bundle, "fast")
    reasons = doi_reasons(cargo.manifest, reservation)
    # Whether other archives may have simulated data was said when the plan was made.
    reasons += mark_reasons(cargo.manifest, reservation.target, allow_simulated=True)
    if reasons:
        raise RefusedError("the bundle is not published", tuple(reasons))
    return _Case(cargo, reservation, archive)


def _require_confirmed(reservation: Reservation, confirm: str) -> None:
    if confirm == reservation.doi:
        return
    reason = f"{confirm} is not the DOI of this version, which is {reservation.doi}"
    if confirm == reservation.concept_doi:
        reason = f"{confirm} is the DOI of all versions; this version has {reservation.doi}"
    raise RefusedError("nothing is published", (reason,), "spell out the DOI of the version")


def _require_ready(case: _Case, draft: Record, history: History) -> None:
    """Refuse a draft that is not the bundle, or not as `apply` left it."""
    reasons, action = case.differences(draft), "make a new plan, and apply it"
    notes = history.notes(APPLIED)
    left = notes[-1].get("revision") if notes else None
    if left not in (None, draft.revision):
        if not reasons:
            action = "type apply again, with the plan that was applied: it compares once more"
        # Not all that a browser can change is compared.
        reasons.append(
            f"its revision is {draft.revision}, and was {left} when a plan was applied:"
            " somebody changed it since"
        )
    if draft.published:
        reasons.append(f"this is a draft of changes to record {draft.id}, which is published")
    if reasons:
        raise RefusedError(
            "the draft is not the bundle, and nothing is published",
            tuple(reasons),
            action,
        )


def _took_effect(
    archive: Archive, history: History, record_id: str, say: Callable[[str], None]
) -> bool:
    """Tell whether a publishing whose answer was lost took effect, if need be when it is over.

    The archive may be at it when the command is typed again, and shows the draft meanwhile. So it
    is waited for as long as the archive computes at a request, and as long as it may take to show
    what came of it.
    """
    writes = history.writes(ops.PUBLISH)
    if all(write.result != UNKNOWN for write in writes):
        return False
    if archive.record(record_id) is not None:
        return True
    # What another request came after was waited for before that one.
    last = writes[-1]
    wait_s = patience_s(archive.transport, last, _longest_s(archive))
    if last.result != UNKNOWN or wait_s == 0:
        return False
    say(
        "publishing was sent before, and the archive may still be at it:"
        f" waiting up to {_minutes(wait_s)} for the record before it is sent again"
    )
    return _poll(archive, lambda: archive.record(record_id), wait_s) is not None


def _longest_s(archive: Archive) -> float:
    """Say how long after a publishing left it can take effect and show, in seconds."""
    policy = archive.transport.policy
    return policy.slow_s + policy.settle_s


def _minutes(seconds: float) -> str:
    return f"{math.ceil(seconds / 60)} min"


def _send(archive: Archive, journal: Journal, record_id: str) -> Record:
    """Send the one request; if its answer is lost, read what came of it."""
    try:
        return journal.attempt(
            ops.PUBLISH,
            lambda: archive.publish(record_id),
            lambda record: {"doi": record.doi},
            record_id=record_id,
        )
    except UnknownOutcomeError as error:
        return _find_out(archive, record_id, error)
    except RefusedByArchiveError as error:
        # A draft that is gone was published, by a request that was believed lost.
        record = archive.record(record_id) if error.status == 404 else None
        if record is None:
            raise
        return record


def _find_out(archive: Archive, record_id: str, error: UnknownOutcomeError) -> Record:
    """Read until the record is public, or would have to be."""
    record = _poll(archive, lambda: archive.record(record_id))
    if record is not None:
        return record
    if archive.draft(record_id) is None:
        raise error
    raise DepositError(
        "publishing was sent, and did not happen",
        expected=f"record {record_id} to be public",
        found=f"the draft is still there, after {error.found}",
        action="type the same command again: it looks, and sends it again only after"
        f" {_minutes(_longest_s(archive))}, when the archive cannot be at it any more",
    ) from error


def _poll(
    archive: Archive, look: Callable[[], Record | None], wait_s: float | None = None
) -> Record | None:
    """Look until there is a record, or would have to be."""
    transport = archive.transport
    wait_s = transport.policy.settle_s if wait_s is None else wait_s
    until, attempt = transport.clock.monotonic() + wait_s, 0
    while True:
        record = look()
        if record is not None or transport.clock.monotonic() >= until:
            return record
        attempt += 1
        transport.pause(attempt)


def _already(case: _Case) -> Published:
    """Compare a record that was public before anything was sent."""
    record_id = case.reservation.record_id
    record = case.archive.anonymous().record(record_id)
    if record is None and case.archive.record(record_id) is None:
        raise RefusedError(
            "there is nothing to publish",
            (f"{case.archive.target} has neither draft nor record {record_id}",),
        )
    if record is None:
        # New, and not yet shown to everybody.
        record = _public(case)
    _require_same(case, record, "the public record")
    return case.published(already=True)


def _reread(case: _Case) -> None:
    """Read the new record as anybody, and compare everything."""
    _require_same(case, _public(case), "the public record")


def _public(case: _Case) -> Record:
    """Read a record as anybody, as soon as anybody can."""
    anybody, record_id = case.archive.anonymous(), case.reservation.record_id
    record = _poll(anybody, lambda: anybody.record(record_id))
    if record is None:
        raise DepositError(
            "the record is published, but anybody else is told that there is none",
            found=f"{case.archive.target}/records/{record_id}",
            action="type the same command again: it compares what is public",
        )
    return record


def _require_same(case: _Case, record: Record, what: str) -> None:
    differences = case.differences(record)
    if not record.published:
        differences.append("it does not say that it is published")
    if differences:
        raise IntegrityError(
            f"{what} is not the bundle",
            file=case.cargo.folder,
            expected="the reserved DOIs, the metadata that were sent, every file and no others",
            found="".join(f"\n    {row}" for row in differences),
            action="within 30 days the archive can correct it; see docs/deposit.md",
        )
