"""How are the DOIs of the next version reserved, once, whatever happens meanwhile?

The title of the draft bears a random mark that is in the journal before the draft is asked for, so
that a draft whose making was never confirmed is found again by it.
"""

import datetime
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from release.deposit import ops
from release.deposit.errors import RefusedByArchiveError, UnexpectedAnswerError
from release.deposit.fresh import signs_of_others
from release.deposit.guards import require_not_discarded, require_same_target
from release.deposit.journal import REFUSED, Journal, Write, journal_path, open_journal
from release.deposit.lineage import concept_doi_of, previous_version, record_id_of
from release.deposit.records import Archive, Record, unexpected_errors
from release.deposit.settle import patience_s, settle
from release.model import RefusedError
from release.reservation import Reservation, read_reservation, write_reservation

MARK: Final = "rbh1-ard reservation"
# Noted of a draft that somebody else has opened.
_OPENED: Final = "opened"
_MARK: Final = re.compile(f"{MARK} [0-9a-f]{{16}}")


def reserve(out: Path, archive: Archive, *, new_version_of: str | None = None) -> Reservation:
    """Reserve the DOIs of a version, and write them down.

    Run again after any interruption, it finds the same draft; run again after success, it makes
    sure that the draft is still there.

    Parameters
    ----------
    out : Path
        The `release.json` to write; the journal lies beside it.
    archive : Archive
        Where.
    new_version_of : str, optional
        DOI or identifier of the published version before, or of the whole dataset.

    Returns
    -------
    Reservation

    Raises
    ------
    RefusedError
        If `out` or its journal is about something else, or the version before is not the latest.
    DepositError
        If the archive did not do it; nothing is lost, the same command goes on.
    """
    transport = archive.transport
    path = journal_path(out)
    with open_journal(path, "reserve", scrub=transport.scrub, clock=transport.clock) as journal:
        begun = _begun(journal)
        if begun is not None and begun["target"] != archive.target:
            raise _another_purpose(begun, archive.target, new_version_of)
        require_not_discarded(journal)
        if out.exists():
            return _confirmed(archive, read_reservation(out), new_version_of)
        previous = None if new_version_of is None else previous_version(archive, new_version_of)
        _begin(journal, begun, archive.target, previous)
        if previous is None:
            draft = _first_draft(archive, journal)
        else:
            draft = _next_draft(archive, journal, previous)
        draft = _with_doi(archive, journal, draft)
        reservation = _reservation(archive.target, draft, previous)
        write_reservation(out, reservation)
        return reservation


def reservation_requests(new_version_of: str | None) -> tuple[str, ...]:
    """Say which requests `reserve` sends if nothing goes wrong."""
    if new_version_of is None:
        return ("POST /api/records", "POST /api/records/{id}/draft/pids/doi")
    return (
        f"GET /api/records/{record_id_of(new_version_of)}",
        "POST /api/records/{previous id}/versions",
        "POST /api/records/{id}/draft/pids/doi",
    )


def is_mark(title: str) -> bool:
    """Tell whether a title is one that `reserve` gives; nobody hits upon one by chance."""
    return _MARK.fullmatch(title) is not None


def _begun(journal: Journal) -> Mapping[str, Any] | None:
    """Give what the release was begun for; None if no request for it can have had its effect."""
    begun = journal.notes("begin")
    writes = journal.writes(ops.CREATE) + journal.writes(ops.NEW_VERSION)
    made = [write for write in writes if write.result != REFUSED]
    return begun[-1] if begun and made else None


def _begin(
    journal: Journal, begun: Mapping[str, Any] | None, target: str, previous: Record | None
) -> None:
    """Note what a release is for, just before the first request for it, or compare."""
    purpose = {"target": target, "new_version_of": None if previous is None else previous.id}
    if begun is None:
        journal.note("begin", **purpose)
    elif not _is_same_version(begun["new_version_of"], previous):
        raise _another_purpose(begun, target, purpose["new_version_of"])


def _is_same_version(noted: str | None, previous: Record | None) -> bool:
    if noted is None or previous is None:
        return noted is None and previous is None
    # Whoever began it may have named the dataset as a whole.
    return record_id_of(noted) in (previous.id, previous.parent_id)


def _another_purpose(
    begun: Mapping[str, Any], target: str, new_version_of: str | None
) -> RefusedError:
    purpose = {"target": target, "new_version_of": new_version_of}
    return RefusedError(
        "nothing is reserved",
        (f"this release was begun with {dict(begun)}, and not with {purpose}",),
        "choose another --out, one for each version and archive",
    )


def _confirmed(
    archive: Archive, reservation: Reservation, new_version_of: str | None
) -> Reservation:
    """Make sure that what was reserved before is what is asked for, and still there."""
    require_same_target(reservation, archive)
    wanted = None if new_version_of is None else record_id_of(new_version_of)
    before = reservation.previous_id
    names = [None] if before is None else [before, reservation.parent_id]
    if wanted not in names:
        begun = {"target": reservation.target, "new_version_of": before}
        raise _another_purpose(begun, archive.target, new_version_of)
    record = archive.draft(reservation.record_id) or archive.record(reservation.record_id)
    if record is None or record.doi != reservation.doi:
        raise RefusedError(
            "there is nothing to go on with",
            (f"the archive no longer has {reservation.doi}",),
            "reserve anew with another --out, and build the bundle anew with it",
        )
    return reservation


def _first_draft(archive: Archive, journal: Journal) -> Record:
    """Make the draft of a first version, or find the one that an earlier run made."""
    known = _known(journal, ops.CREATE)
    if known is not None:
        return _existing(archive, known)
    earlier = [write for write in journal.writes(ops.CREATE) if write.result != REFUSED]
    found = _search(archive, journal) if earlier else None
    if found is not None:
        return found
    mark = str(earlier[-1].detail["mark"]) if earlier else f"{MARK} {secrets.token_hex(8)}"
    draft = settle(
        archive.transport,
        lambda: journal.attempt(
            ops.CREATE, lambda: archive.create(_placeholder(archive, mark)), _noted, mark=mark
        ),
        lambda: _search(archive, journal),
    )
    errors = unexpected_errors(draft)
    if errors:
        raise UnexpectedAnswerError(
            "the archive does not accept the placeholder of a reservation",
            found="; ".join(errors),
            action=f"discard draft {draft.id} with rbh1-release clean",
        )
    return draft


def _known(journal: Journal, op: str) -> str | None:
    """Give the draft that an earlier run made or found."""
    made, found = journal.done(op), journal.notes("found")
    if made is not None:
        return str(made.answer["record_id"])
    return str(found[-1]["record_id"]) if found else None


def _search(archive: Archive, journal: Journal) -> Record | None:
    """Look for the draft that the last, lost request made, until it would have to be there.

    The archive lists drafts from an index that lags behind, so one look is not enough, unless the
    request is old. It may have left long after its intent (the rate limit is waited for in
    between), so the time counts from the last moment at which it can have.
    """
    write, transport = journal.writes(ops.CREATE)[-1], archive.transport
    mark, attempt = str(write.detail["mark"]), 0
    until = transport.clock.monotonic() + patience_s(transport, write, transport.policy.settle_s)
    while True:
        found = [draft for draft in archive.drafts() if draft.title == mark]
        if len(found) > 1:
            raise RefusedError(
                "nothing is reserved",
                tuple(f"draft {draft.id} bears the mark {mark}" for draft in found),
                "discard all but one with rbh1-release clean, then type the same command again",
            )
        if found:
            journal.note("found", record_id=found[0].id)
            return _existing(archive, found[0].id)
        if transport.clock.monotonic() >= until:
            return None
        attempt += 1
        transport.pause(attempt)


def _existing(archive: Archive, record_id: str) -> Record:
    draft = archive.draft(record_id)
    if draft is None:
        raise RefusedError(
            "there is nothing to go on with",
            (f"the archive no longer has draft {record_id}",),
            "reserve anew with another --out",
        )
    return draft


def _placeholder(archive: Archive, mark: str) -> Mapping[str, Any]:
    """Make the least metadata that the archive accepts; `apply` replaces all of them."""
    today = datetime.datetime.fromtimestamp(archive.transport.clock.time(), datetime.UTC).date()
    return {
        "access": {"record": "public", "files": "public"},
        "files": {"enabled": True},
        "metadata": {
            "title": mark,
            "publication_date": today.isoformat(),
            "resource_type": {"id": "dataset"},
            "creators": [{"person_or_org": {"type": "organizational", "name": "rbh1-ard"}}],
            "publisher": "Zenodo",
        },
    }


def _next_draft(archive: Archive, journal: Journal, previous: Record) -> Record:
    """Make the draft of the next version, which is not one that somebody else has opened.

    The archive gives the same draft however often it is asked for, and whoever made it.
    """
    known = _known(journal, ops.NEW_VERSION)
    if known is not None:
        return _existing(archive, known)
    earlier = _unrefused(journal)
    if previous.next_draft and not earlier:
        raise _opened(f"{previous.doi} has a draft of its next version already")

    def make() -> Record:
        # The intent of this request is the last one.
        writes = _unrefused(journal)
        lost = writes[:-1]
        draft = archive.new_version(previous.id)
        if draft.files:
            reason = "holds files, which no new draft does"
        elif any(note["record_id"] == draft.id for note in journal.notes(_OPENED)):
            reason = "was somebody's before"
        elif previous.next_draft or len(lost) > len(earlier):
            # Where there was none, this request may have made it as well as those that were lost.
            ours = lost if previous.next_draft else writes
            reason = signs_of_others(draft, previous, ours, archive.transport)
        else:
            reason = ""
        if reason:
            journal.note(_OPENED, record_id=draft.id)
            raise _opened(f"draft {draft.id} {reason}")
        return draft

    return settle(
        archive.transport,
        lambda: journal.attempt(ops.NEW_VERSION, make, _noted, previous_id=previous.id),
        lambda: None,
    )


def _unrefused(journal: Journal) -> list[Write]:
    """List the requests for a next version that may have had their effect."""
    return [write for write in journal.writes(ops.NEW_VERSION) if write.result != REFUSED]


def _opened(reason: str) -> RefusedError:
    return RefusedError(
        "nothing is reserved, since somebody else opened the next version",
        (reason,),
        "publish or discard that draft in the browser, then type the same command again",
    )


def _with_doi(archive: Archive, journal: Journal, draft: Record) -> Record:
    """Reserve the DOI of a draft, unless it has one."""
    if draft.doi is not None:
        return draft
    record_id = draft.id

    def look() -> Record | None:
        found = _existing(archive, record_id)
        return None if found.doi is None else found

    def send() -> Record:
        try:
            return journal.attempt(
                ops.RESERVE_DOI,
                lambda: archive.reserve_doi(record_id),
                _noted,
                record_id=record_id,
            )
        except RefusedByArchiveError as error:
            # "A PID already exists": then it is in the draft.
            found = look() if error.status == 400 else None
            if found is None:
                raise
            return found

    return _require_doi(settle(archive.transport, send, look))


def _require_doi(draft: Record) -> Record:
    if draft.doi is None:
        raise UnexpectedAnswerError("the archive reserved no DOI", found=f"draft {draft.id}")
    return draft


def _noted(record: Record) -> dict[str, object]:
    return {"record_id": record.id, "parent_id": record.parent_id, "doi": record.doi}


def _reservation(target: str, draft: Record, previous: Record | None) -> Reservation:
    doi = str(draft.doi)
    return Reservation(
        target=target,
        record_id=draft.id,
        parent_id=draft.parent_id,
        doi=doi,
        concept_doi=concept_doi_of(draft, doi),
        previous_id=None if previous is None else previous.id,
        previous_doi=None if previous is None else previous.doi,
    )
