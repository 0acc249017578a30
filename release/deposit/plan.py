"""Which requests would make the draft hold this bundle, and nothing else?

A plan is a file. `apply` executes exactly it, and only while bundle and draft are what it was made
with.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

from ard import layout
from ard.errors import ArdError, FormatError
from ard.fileio import json_bytes, read_json, write_json
from ard.sums import quote
from release.deposit.cargo import Cargo, read_cargo, require_fit
from release.deposit.compare import identity_differences
from release.deposit.decide import Decision, Step, decide, steps_of
from release.deposit.guards import require_not_discarded, require_same_target
from release.deposit.journal import journal_path, read_history
from release.deposit.paths import is_addressable
from release.deposit.records import Archive, Record, RemoteFile
from release.model import RefusedError
from release.reservation import Reservation, read_reservation
from release.verdict import Rules, Verdict
from schemas import validate

SCHEMA: Final = "deposit-plan"
# Text that names a DOI is small; FITS files are not searched.
_SEARCHED: Final = 16_000_000
_NEVER_SEARCHED: Final = (".fits", ".zip")


@dataclass(frozen=True)
class DepositPlan:
    """Say what a deposit is going to do, and with what it was planned.

    Attributes
    ----------
    target, record_id, doi, concept_doi : str
        Where it goes.
    bundle_digest : str
        Digest of the bundle.
    revision : int
        Revision of the draft.
    live : tuple of RemoteFile
        What the draft held, sorted by name.
    decisions : tuple of Decision
        What happens to each file.
    rules : Rules
        Under which the bundle was found ready.
    """

    target: str
    record_id: str
    doi: str
    concept_doi: str
    bundle_digest: str
    revision: int
    live: tuple[RemoteFile, ...]
    decisions: tuple[Decision, ...]
    rules: Rules

    @property
    def steps(self) -> tuple[Step, ...]:
        """The requests, in their order."""
        return steps_of(self.record_id, self.decisions, (file.key for file in self.live))

    @property
    def digest(self) -> str:
        """One number that stands for the plan."""
        return hashlib.sha256(json_bytes(self.to_dict())).hexdigest()

    def size(self, *actions: str) -> int:
        """Give the bytes of the files with these decisions."""
        return sum(row.size for row in self.decisions if row.action in actions)

    def count(self, *actions: str) -> int:
        """Give the number of files with these decisions."""
        return sum(row.action in actions for row in self.decisions)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        steps = self.steps
        return {
            "schema": SCHEMA,
            "target": self.target,
            "record_id": self.record_id,
            "doi": self.doi,
            "concept_doi": self.concept_doi,
            "bundle_digest": self.bundle_digest,
            "rules": self.rules.to_dict(),
            "revision": self.revision,
            "live": [file.to_dict() for file in self.live],
            "files": [row.to_dict() for row in self.decisions],
            "requests": [step.to_dict() for step in steps],
            "totals": {
                "requests": len(steps),
                "sent_bytes": sum(step.size for step in steps),
                "sent_files": self.count("upload", "replace"),
                "linked_bytes": self.size("link"),
                "linked_files": self.count("link"),
                "kept_bytes": self.size("keep"),
                "kept_files": self.count("keep"),
                "deleted_files": self.count("delete"),
            },
        }


# Says whether a bundle, all bytes of which are verified, may be deposited.
Ready = Callable[[Path, Reservation], Verdict]


def make_plan(
    bundle: Path,
    release: Path,
    archive: Archive,
    *,
    allow_simulated: bool = False,
    ready: Ready,
) -> DepositPlan:
    """Compare a bundle with the live draft, and say what would be done.

    Nothing is changed, here or there.

    Parameters
    ----------
    bundle : Path
        The bundle; every byte of it is verified.
    release : Path
        The `release.json` it was built with.
    archive : Archive
        The archive of the reservation.
    allow_simulated : bool
        Let simulated data go to an archive that is neither Zenodo nor on this machine.
    ready : callable
        Says what has to change in the bundle before it may be deposited, besides what is looked at
        here; `release.ready.assess` asks the judge.

    Raises
    ------
    RefusedError, IntegrityError
        If the bundle must not be deposited there.
    DepositError
        If the archive did not tell what it holds.
    """
    reservation = read_reservation(release)
    require_same_target(reservation, archive)
    require_not_discarded(read_history(journal_path(release)))
    cargo = read_cargo(bundle, "full")
    require_fit(cargo, reservation, allow_simulated=allow_simulated)
    rules = require_approved(bundle, reservation, ready)
    draft = require_draft(archive, reservation)
    live = archive.files(draft.id)
    previous = {}
    if reservation.previous_id is not None:
        previous = archive.published_files(reservation.previous_id)
    decisions = decide(cargo.files, live, previous, _reason(cargo, reservation.doi))
    require_addressable(decisions)
    return DepositPlan(
        target=archive.target,
        record_id=draft.id,
        doi=reservation.doi,
        concept_doi=reservation.concept_doi,
        bundle_digest=cargo.digest,
        revision=draft.revision,
        live=tuple(live[name] for name in sorted(live)),
        decisions=decisions,
        rules=rules,
    )


def require_approved(bundle: Path, reservation: Reservation, ready: Ready) -> Rules:
    """Refuse a bundle that is not ready to be deposited; say under which rules it is.

    Parameters
    ----------
    bundle : Path
        Every byte of it has been verified.
    reservation : Reservation
        The DOIs that it has to bear.
    ready : callable
        As for `make_plan`.

    Raises
    ------
    RefusedError
        With everything that has to change.
    """
    verdict = ready(bundle, reservation)
    findings = tuple(map(str, verdict.findings))
    if findings:
        action = "mend what is named, and build the bundle anew; rbh1-release check says the same"
        raise RefusedError("the bundle is not ready to be deposited", findings, action)
    return verdict.rules


def require_draft(archive: Archive, reservation: Reservation) -> Record:
    """Read the reserved draft.

    Raises
    ------
    RefusedError
        If it is gone, published, or not the reserved one.
    """
    draft = archive.draft(reservation.record_id)
    if draft is None:
        raise RefusedError(
            "there is no draft to work on",
            (f"{archive.target} has no draft {reservation.record_id}",),
            "rbh1-release status tells whether it is published already",
        )
    reasons = identity_differences(reservation, draft)
    if draft.published:
        reasons.append(f"record {draft.id} is published")
    if reasons:
        raise RefusedError("the draft is not the reserved one", tuple(reasons))
    return draft


def require_place(path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Refuse a place at which a plan cannot be written.

    Parameters
    ----------
    path : path-like
        The plan to write.
    overwrite : bool
        Whether a plan that is there may go; anything else never does.

    Raises
    ------
    ArdError
        If something is there that may not go, or there is no such folder.
    """
    place = Path(path)
    if not place.parent.is_dir():
        raise ArdError(
            "there is no folder for the plan", file=place, action="make it, or choose another one"
        )
    if not (place.exists() or place.is_symlink()):
        return
    if not overwrite:
        raise ArdError(
            "the file for the plan exists already",
            file=place,
            expected="a name that is free",
            action="choose another --out, or give --overwrite if it is a plan",
        )
    # One that an older version wrote is a plan all the same.
    if place.is_symlink() or not place.is_file() or read_json(place).get("schema") != SCHEMA:
        raise ArdError(
            "only a plan can be overwritten, and this is none",
            file=place,
            action="choose another --out",
        )


def write_plan(path: str | PathLike[str], plan: DepositPlan, *, overwrite: bool = False) -> None:
    """Write a plan; an existing one is replaced on demand only."""
    write_json(path, plan.to_dict(), overwrite=overwrite)


def read_plan(path: str | PathLike[str]) -> DepositPlan:
    """Read a plan.

    Raises
    ------
    NotFoundError, FormatError
        If there is no such file, it is no plan, or it was changed by hand: its requests then no
        longer follow from its decisions.
    """
    document = read_json(path)
    problems = [str(problem) for problem in validate(document, SCHEMA)]
    plan = None if problems else _parse(document)
    if plan is not None and plan.to_dict() != document:
        problems = ["requests or totals do not follow from the decisions"]
    if plan is None or problems:
        raise FormatError(
            "this is no plan of a deposit",
            file=path,
            expected="the file that rbh1-release plan writes, unchanged",
            found="; ".join(problems),
            action="make a new plan",
        )
    return plan


def _parse(document: Mapping[str, Any]) -> DepositPlan:
    return DepositPlan(
        target=document["target"],
        record_id=document["record_id"],
        doi=document["doi"],
        concept_doi=document["concept_doi"],
        bundle_digest=document["bundle_digest"],
        revision=document["revision"],
        live=tuple(RemoteFile(**row) for row in document["live"]),
        decisions=tuple(
            Decision(**row | {"before": row["before"] and RemoteFile(**row["before"])})
            for row in document["files"]
        ),
        rules=Rules(**document["rules"]),
    )


def _reason(cargo: Cargo, doi: str) -> Callable[[str], str]:
    """Say why a file of a new version differs: many do only because they bear its DOI."""

    def why(name: str) -> str:
        if name == layout.SUMS_FILE:
            return "lists the sums of the other files"
        path = cargo.folder / name
        searched = path.suffix not in _NEVER_SEARCHED and cargo.files[name].size <= _SEARCHED
        if searched and doi.encode() in path.read_bytes():
            return "carries the version DOI"
        return "changed"

    return why


def require_addressable(decisions: tuple[Decision, ...]) -> None:
    """Refuse to go on with a draft that holds files which no request can name.

    Raises
    ------
    RefusedError
    """
    reasons = [
        f"the draft holds a file of the name {quote(row.name)}, which no request can take away"
        for row in decisions
        if not is_addressable(row.name)
    ]
    if reasons:
        raise RefusedError(
            "the draft cannot be made to hold the bundle alone",
            tuple(reasons),
            "delete it in the browser",
        )
