"""Which drafts of ours lie about in the archive, and how is one thrown away?

Ours is what bears the mark of a reservation, or is the draft of a given `release.json` whose
journal says that it was made for it. What has a DOI goes with its release only, since the DOI
stands in a file somewhere, and what was made within the last hour goes with its release, too, since
somebody may be about to reserve its DOI. A draft of anything published is never touched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from release.deposit import ops
from release.deposit.compare import identity_differences
from release.deposit.errors import RefusedByArchiveError
from release.deposit.guards import require_same_target
from release.deposit.journal import (
    REFUSED,
    History,
    Write,
    journal_path,
    open_journal,
    read_history,
)
from release.deposit.records import Archive, Listed, Record
from release.deposit.reserve import is_mark
from release.deposit.settle import settle
from release.model import RefusedError
from release.reservation import Reservation, read_reservation

_OWN: Final = "the draft of this release"
_MARKED: Final = "bears the mark of a reservation"
_BEGUN: Final = f"{_MARKED}; may belong to a reserve that was interrupted"
# Whoever is about to reserve a DOI for a draft does so in less, whatever he is made to wait for.
_YOUNG_S: Final = 3600.0


@dataclass(frozen=True)
class Leftover:
    """Say which draft of ours there is, and why it is ours."""

    record_id: str
    title: str
    doi: str | None
    why: str

    @property
    def bound(self) -> bool:
        """Whether it goes with a `release.json` only, which was not given."""
        return self.doi is not None and self.why != _OWN

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return dict(self.__dict__)


def leftovers(archive: Archive, release: Path | None = None) -> tuple[Leftover, ...]:
    """List the drafts that are ours.

    Parameters
    ----------
    archive : Archive
    release : Path, optional
        A `release.json`, whose own draft is listed too.
    """
    own = _own(archive, release)
    found: dict[str, Record | Listed] = {draft.id: draft for draft in archive.drafts()}
    if own is not None:
        draft = archive.draft(own.reservation.record_id)
        if draft is not None:
            found[draft.id] = draft
    rows = [(draft, _claim(draft, own)) for draft in found.values()]
    return tuple(Leftover(draft.id, draft.title, draft.doi, why) for draft, why in rows if why)


def is_doubtful(history: History) -> bool:
    """Tell whether `reserve` may have made two drafts: one was sent for while one was lost."""
    return len(_creates(history)) > 1


def strays(archive: Archive, history: History, record_id: str) -> tuple[str, ...]:
    """List the drafts that lost requests of `reserve` made after all, beside that of the release.

    The search shows a draft late, and how late nobody promises; so this is asked again later.

    Parameters
    ----------
    archive : Archive
    history : History
        What the journal of the release says.
    record_id : str
        The draft of the release.
    """
    if not is_doubtful(history):
        return ()
    marks = _marks(history)
    drafts = [draft for draft in archive.drafts() if not draft.published]
    found = [one.id for one in drafts if one.title in marks and one.id != record_id]
    # The list still shows for some time what was discarded.
    return tuple(one for one in found if archive.draft(one) is not None)


def _creates(history: History) -> list[Write]:
    return [write for write in history.writes(ops.CREATE) if write.result != REFUSED]


def _marks(history: History) -> set[object]:
    return {write.detail["mark"] for write in _creates(history)}


def discard(archive: Archive, record_id: str, release: Path | None = None) -> Leftover:
    """Throw one draft of ours away.

    Parameters
    ----------
    archive : Archive
    record_id : str
        Which.
    release : Path, optional
        The `release.json` whose draft it is, without which none that has a DOI or was made within
        the last hour is thrown away.
        Its journal notes it, and nothing goes on with the reservation afterwards.

    Raises
    ------
    RefusedError
        If there is no such draft, it is not ours, or it is one of a published record.
    """
    own = _own(archive, release)
    draft = archive.draft(record_id)
    if draft is None:
        raise RefusedError("nothing is discarded", (f"there is no draft {record_id}",))
    why = _claim(draft, own)
    reasons = _reasons(draft, own, why, archive.transport.clock.time())
    if reasons:
        raise RefusedError(
            "nothing is discarded", tuple(reasons), "what is not ours goes in the browser only"
        )
    if release is None or why != _OWN:
        _discard(archive, record_id, lambda send: send())
    else:
        transport = archive.transport
        path = journal_path(release)
        with open_journal(path, "clean", scrub=transport.scrub, clock=transport.clock) as journal:
            _discard(
                archive,
                record_id,
                lambda send: journal.attempt(ops.DISCARD, send, record_id=record_id),
            )
            if journal.done(ops.DISCARD) is None:
                # Its request was lost, or another one came first.
                journal.note(ops.DISCARD, record_id=record_id)
    return Leftover(draft.id, draft.title, draft.doi, why)


@dataclass(frozen=True)
class _Own:
    """Hold what is known of the draft of a release."""

    reservation: Reservation
    history: History

    def differences(self, draft: Record | Listed) -> list[str]:
        """List why this is not the draft that was made for the release."""
        if not isinstance(draft, Record) or draft.id != self.reservation.record_id:
            return [f"draft {draft.id} is not the one of this release"]
        rows = identity_differences(self.reservation, draft)
        if not is_mark(draft.title) and draft.id not in self._made():
            rows.append(f"the journal does not say that draft {draft.id} was made for this release")
        return rows

    @property
    def marks(self) -> set[object]:
        """The marks of the drafts that were made for the release, or may have been."""
        return _marks(self.history)

    def _made(self) -> set[object]:
        done = [self.history.done(op) for op in (ops.CREATE, ops.NEW_VERSION)]
        found = self.history.notes("found")
        answers = [write.answer for write in done if write is not None]
        return {row.get("record_id") for row in (*answers, *found)}


def _own(archive: Archive, release: Path | None) -> _Own | None:
    if release is None:
        return None
    reservation = read_reservation(release)
    require_same_target(reservation, archive)
    return _Own(reservation, read_history(journal_path(release)))


def _claim(draft: Record | Listed, own: _Own | None) -> str:
    """Say why a draft is ours; empty if it is not, or is one of a published record."""
    if draft.published:
        return ""
    if own is not None and not own.differences(draft):
        return _OWN
    if not is_mark(draft.title):
        return ""
    return _BEGUN if draft.doi is None else _MARKED


def _reasons(draft: Record, own: _Own | None, why: str, now: float) -> list[str]:
    """List what forbids to throw a draft away."""
    if draft.published:
        return [f"{draft.id} is published; only its draft of changes would go, in the browser"]
    if why == _OWN:
        return []
    if own is not None and own.reservation.record_id == draft.id:
        return own.differences(draft)
    if not why:
        shown = f"draft {draft.id} ({draft.title[:60]!r})"
        return [f"{shown} bears no mark of ours; give the --release that it belongs to"]
    if draft.doi is not None:
        return [
            f"{draft.doi} of draft {draft.id} belongs to a release.json, and goes with that"
            " --release; if it is lost, in the browser"
        ]
    if draft.files:
        return [f"draft {draft.id} holds files, which no reservation does"]
    age_s = _YOUNG_S if draft.created_s is None else max(now - draft.created_s, 0.0)
    if age_s < _YOUNG_S and (own is None or draft.title not in own.marks):
        return [
            f"draft {draft.id} was made {age_s / 60:.0f} min ago, perhaps by a reserve that is at"
            " work or was interrupted; type that again, or wait until it is an hour old"
        ]
    return []


def _discard(
    archive: Archive, record_id: str, attempt: Callable[[Callable[[], None]], None]
) -> None:
    def look() -> bool | None:
        return True if archive.draft(record_id) is None else None

    def send() -> bool:
        try:
            attempt(lambda: archive.discard(record_id))
        except RefusedByArchiveError as error:
            # Somebody else may have thrown it away; but not everybody who says 404 knows it.
            if error.status != 404 or look() is None:
                raise
        return True

    settle(archive.transport, send, look)
