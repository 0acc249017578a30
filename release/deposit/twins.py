"""Is this very dataset published already, so that what is meant is a new version of it?

A DOI that is published stays. Whoever forgets to say that a release follows another one would make
a second dataset of the same thing.
"""

from pathlib import Path

from ard import layout
from ard.errors import ArdError
from ard.fileio import read_json
from release.deposit.guards import require_same_target
from release.deposit.records import Archive
from release.model import RefusedError
from release.reservation import Reservation


def require_no_twin(bundle: Path, reservation: Reservation, archive: Archive) -> None:
    """Refuse a first version whose title a dataset of this user has that is published.

    Parameters
    ----------
    bundle : Path
        Whose title is looked for; one that cannot be read is left to `make_plan`.
    reservation : Reservation
        Of a first version; a later one is looked at no further.
    archive : Archive
        The archive of the reservation; its list may lag behind by some seconds.

    Raises
    ------
    RefusedError
        Names the datasets.
    """
    title = _title(bundle)
    if reservation.previous_doi is not None or title is None:
        return
    require_same_target(reservation, archive)
    twins = [
        row
        for row in archive.datasets()
        if _plain(row.title) == _plain(title)
        and row.parent_id != reservation.parent_id
        and (row.published or row.later)
    ]
    if twins:
        raise RefusedError(
            "a dataset of this title is published already",
            tuple(f"{row.doi or row.id}: {row.title}" for row in twins),
            "reserve with --new-version-of if this is a later version of it; give"
            " --another-dataset if it is a dataset of its own",
        )


def _title(bundle: Path) -> str | None:
    try:
        metadata = read_json(bundle / layout.RECORD_FILE).get("metadata")
    except (ArdError, OSError):
        return None
    title = metadata.get("title") if isinstance(metadata, dict) else None
    return title if isinstance(title, str) else None


def _plain(title: str) -> str:
    """Give a title as somebody reads it, who sees neither cases nor spaces."""
    return " ".join(title.split()).casefold()
