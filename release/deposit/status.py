"""How far is a deposit, and what is to be typed next?"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ard.bundle import human_size
from release.deposit import ops
from release.deposit.apply import APPLIED
from release.deposit.clean import strays
from release.deposit.compare import files_digest
from release.deposit.guards import discarded
from release.deposit.journal import REFUSED, UNKNOWN, History, journal_path, read_history
from release.deposit.publish import PUBLISHED
from release.deposit.records import Archive, Record, RemoteFile
from release.reservation import Reservation, read_reservation


@dataclass(frozen=True)
class Status:
    """Say how far a deposit is.

    Attributes
    ----------
    stage : str
        ``reserving``, ``discarded``, ``gone``, ``reserved``, ``applying``, ``ready`` or
        ``published``.
    facts : tuple of str
        Sentences: what the archive holds, and what the journal says about it.
    next : str
        The command to type; empty if there is none.
    reservation : Reservation or None
    """

    stage: str
    facts: tuple[str, ...]
    next: str
    reservation: Reservation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        reserved = None if self.reservation is None else self.reservation.to_dict()
        return {
            "stage": self.stage,
            "facts": list(self.facts),
            "next": self.next,
            "reservation": reserved,
        }


def unreserved(release: Path) -> Status | None:
    """Tell the status of a release without reservation; None if there is one."""
    journal = journal_path(release)
    if release.exists():
        return None
    history = read_history(journal)
    record_id = discarded(history)
    if record_id is not None:
        return _discarded(record_id, None)
    begun = history.notes("begin")
    if not begun:
        return Status(
            "reserving", ("nothing is reserved",), f"rbh1-release reserve --out {release}"
        )
    version = begun[-1]["new_version_of"]
    options = f" --target {begun[-1]['target']}"
    options += "" if version is None else f" --new-version-of {version}"
    writes = history.writes(ops.CREATE) + history.writes(ops.NEW_VERSION)
    refused = bool(writes) and all(write.result == REFUSED for write in writes)
    fact = "nothing is reserved: it was refused" if refused else "reserving was interrupted"
    return Status(
        "reserving",
        (fact,),
        f"rbh1-release reserve --out {release}{options}",
    )


def status(release: Path, archive: Archive) -> Status:
    """Read the journal and the archive, and say how far a reserved release is.

    Parameters
    ----------
    release : Path
        The `release.json`.
    archive : Archive
        The archive of the reservation.
    """
    reservation = read_reservation(release)
    history = read_history(journal_path(release))
    if discarded(history) is not None:
        return _discarded(reservation.record_id, reservation)
    draft = archive.draft(reservation.record_id)
    if draft is None or draft.published:
        return _without_draft(release, archive, reservation, history)
    files = archive.files(draft.id)
    complete = [file for file in files.values() if file.completed]
    size = human_size(sum(file.size for file in complete))
    facts = [
        f"draft {draft.id} holds {len(complete)} complete files ({size}),"
        f" {len(files) - len(complete)} pending",
        *_publish_facts(history),
        *_stray_facts(release, archive, reservation, history),
    ]
    bundle = f"BUNDLE --release {release}"
    if _is_applied(history):
        if _is_as_left(history, draft, files):
            facts.append("a plan was applied, and the draft held its bundle then")
            command = f"publish {bundle} --yes {reservation.doi}"
            return Status("ready", tuple(facts), f"rbh1-release {command}", reservation)
        facts.append("a plan was applied, and the draft was changed since; apply compares them")
        return Status("applying", tuple(facts), f"rbh1-release apply PLAN {bundle}", reservation)
    if history.writes(ops.PUT_METADATA):
        facts.append("a plan was begun, and is not finished")
        return Status("applying", tuple(facts), f"rbh1-release apply PLAN {bundle}", reservation)
    command = f"rbh1-release plan {bundle} --out PLAN"
    return Status("reserved", tuple(facts), command, reservation)


def _is_as_left(history: History, draft: Record, files: Mapping[str, RemoteFile]) -> bool:
    """Tell whether a draft is as `apply` left it, as far as the archive and the journal know.

    The archive does not count the finishing of a file as a change of the draft.
    """
    note = history.notes(APPLIED)[-1]
    return (
        note.get("revision") in (None, draft.revision)
        and note.get("files") in (None, files_digest(files))
        and all(file.completed for file in files.values())
    )


def _is_applied(history: History) -> bool:
    """Tell whether nothing was sent of any plan since one was applied to its end."""
    applied = False
    for row in history.rows:
        if row["event"] == "note":
            applied = applied or row["op"] == APPLIED
        elif row["event"] == "intent" and "plan" in row["detail"]:
            applied = False
    return applied


def _without_draft(
    release: Path, archive: Archive, reservation: Reservation, history: History
) -> Status:
    record = archive.record(reservation.record_id)
    if record is None:
        if any(write.result == UNKNOWN for write in history.writes(ops.DISCARD)):
            return _discarded(reservation.record_id, reservation)
        gone = f"the archive has neither draft nor record {reservation.record_id}"
        return Status("gone", (gone,), "", reservation)
    facts = (
        f"{reservation.doi} is published: {archive.target}/records/{record.id}",
        *_stray_facts(release, archive, reservation, history),
    )
    if history.notes(PUBLISHED):
        return Status("published", facts, "", reservation)
    unverified = (*facts, "it was not compared with the bundle yet")
    command = f"rbh1-release publish BUNDLE --release {release} --yes {reservation.doi}"
    return Status("published", unverified, command, reservation)


def _publish_facts(history: History) -> list[str]:
    lost = [write for write in history.writes(ops.PUBLISH) if write.result == UNKNOWN]
    return [
        f"publishing was sent at {_time(write.at)}, and did not happen so far" for write in lost
    ]


def _stray_facts(
    release: Path, archive: Archive, reservation: Reservation, history: History
) -> list[str]:
    return [
        f"draft {stray} was made by a request of this release that was lost; to discard it:"
        f" rbh1-release clean --release {release} --yes {stray}"
        for stray in strays(archive, history, reservation.record_id)
    ]


def _discarded(record_id: str, reservation: Reservation | None) -> Status:
    facts = (f"draft {record_id} was discarded",)
    return Status("discarded", facts, "rbh1-release reserve --out ANOTHER", reservation)


def _time(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds")
