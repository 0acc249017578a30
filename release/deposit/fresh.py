"""Can a draft of the next version be the one that a lost request of ours has made?

The archive gives one draft to whoever asks for the next version, and does not say who opened it.
Ours was made while a request of ours was under way, and nobody has worked on it.
"""

import datetime
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from release.deposit.compare import metadata_differences
from release.deposit.journal import Write
from release.deposit.records import Record
from release.deposit.settle import departed_by
from release.deposit.transport import Transport

# The archive's clock is not ours.
_SKEW_S: Final = 300.0
# What the archive sets anew, and what it leaves out, when it copies the metadata.
_SET: Final = "publication_date"
_LEFT_OUT: Final = "version"


def signs_of_others(
    draft: Record, previous: Record, writes: Iterable[Write], transport: Transport
) -> str:
    """Say why a draft is not one that a lost request of ours has made; empty if it may be.

    Parameters
    ----------
    draft : Record
        The draft of the next version, without files.
    previous : Record
        The version before.
    writes : iterable of Write
        The requests of ours that may have made it.
    transport : Transport
        Says how long the archive may be at a request.
    """
    if draft.doi is not None:
        return "has a DOI, which no new draft does"
    made = draft.created_s
    if made is not None and not any(_was_under_way(made, write, transport) for write in writes):
        day = datetime.datetime.fromtimestamp(made, datetime.UTC).isoformat(timespec="seconds")
        return f"was made at {day}, when no request of this release was under way"
    before = replace(previous, document=_copied(previous, _SET, _LEFT_OUT))
    rows = metadata_differences(_copied(draft, _SET), before)
    return f"is no copy of the version before any more: {rows[0]}" if rows else ""


def _was_under_way(moment: float, write: Write, transport: Transport) -> bool:
    ends = departed_by(transport, write) + transport.policy.slow_s
    return write.at - _SKEW_S <= moment <= ends + _SKEW_S


def _copied(record: Record, *without: str) -> dict[str, Any]:
    """Give what a new version takes over, but for the metadata of these names."""
    document = record.document
    metadata = {
        name: value
        for name, value in (document.get("metadata") or {}).items()
        if name not in without
    }
    return {"metadata": metadata, "custom_fields": document.get("custom_fields")}
