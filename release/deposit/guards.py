"""May this command go on with this reservation at all?"""

from release.deposit import ops
from release.deposit.journal import History
from release.deposit.records import Archive
from release.model import RefusedError
from release.reservation import Reservation


def require_same_target(reservation: Reservation, archive: Archive) -> None:
    """Refuse to go to another archive than the one of the reservation."""
    if reservation.target != archive.target:
        raise RefusedError(
            "this is not the archive of the reservation",
            (f"{reservation.doi} is reserved on {reservation.target}, not on {archive.target}",),
            "leave --target away, or reserve there with another --out",
        )


def discarded(history: History) -> str | None:
    """Give the draft that `clean` has thrown away, or found gone when it was about to."""
    done, notes = history.done(ops.DISCARD), history.notes(ops.DISCARD)
    if done is not None:
        return str(done.detail["record_id"])
    return str(notes[-1]["record_id"]) if notes else None


def require_not_discarded(history: History) -> None:
    """Refuse to go on with a draft that `clean` has thrown away."""
    record_id = discarded(history)
    if record_id is not None:
        raise RefusedError(
            "there is nothing to go on with",
            (f"draft {record_id} was discarded",),
            "reserve anew with another --out, and build the bundle anew with it",
        )
