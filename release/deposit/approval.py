"""Was this very bundle found ready to be deposited, by rules that still hold?

What `plan` found is in the plan, and `apply` notes it in the journal. A draft can be filled by
other means, and what was found can be out of date; then it is found anew, or nothing is published.
"""

import contextlib
import datetime
from collections.abc import Iterator
from typing import Final

from ard.integrity import not_intact, verify
from release.deposit.apply import APPLIED
from release.deposit.cargo import Cargo
from release.deposit.journal import History
from release.deposit.plan import Ready, require_approved
from release.deposit.records import Archive
from release.model import RefusedError
from release.reservation import Reservation
from release.verdict import Rules

APPROVED: Final = "approved"


def find_approval(
    cargo: Cargo,
    reservation: Reservation,
    archive: Archive,
    history: History,
    ready: Ready | None,
) -> Rules | None:
    """Refuse to publish a bundle of which it is not known that it is ready to be deposited.

    Parameters
    ----------
    cargo : Cargo
        The bundle.
    reservation : Reservation
        The DOIs that it has to bear.
    archive : Archive
        Whose clock tells which day it is.
    history : History
        The journal; of an older form, it does not say what was found.
    ready : callable or None
        Asked where the journal is no help; see `release.deposit.plan.make_plan`.

    Returns
    -------
    Rules or None
        Under which it was found ready just now; None where the journal says so.

    Raises
    ------
    RefusedError
        If it is not ready, or nobody can be asked.
    IntegrityError
        If it had to be looked at, and is not intact.
    """
    today = datetime.date.fromtimestamp(archive.transport.clock.time())
    found = list(_found(history, cargo.digest))
    outdated = [rules.outdated(today) for rules in found]
    if not all(outdated):
        return None
    if ready is None:
        reasons = outdated[-1] if outdated else (_never(history, cargo.digest),)
        raise RefusedError(
            "nobody knows whether the bundle is ready, and nothing is published",
            reasons,
            "make a new plan, and apply it",
        )
    # It was looked at cursorily; what is judged has to be what is listed, and deposited.
    findings = verify(cargo.folder, "full")
    if findings:
        raise not_intact(cargo.folder, findings)
    return require_approved(cargo.folder, reservation, ready)


def _found(history: History, digest: str) -> Iterator[Rules]:
    """Give the rules under which a bundle was found ready, as far as that was noted."""
    for row in (*history.notes(APPLIED), *history.notes(APPROVED)):
        if row.get("bundle_digest") != digest or "rules" not in row:
            continue
        # Rules that this version does not know count for nothing.
        with contextlib.suppress(TypeError):
            yield Rules(**row["rules"])


def _never(history: History, digest: str) -> str:
    notes = history.notes(APPLIED)
    if any("rules" not in row for row in notes):
        return "the journal is of an older version, which did not note what was found"
    if notes:
        return f"the plan that was applied was for another bundle; this one has digest {digest}"
    return f"no plan was applied at all; the bundle has the digest {digest}"
