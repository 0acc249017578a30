"""Is what a draft holds explained by the plan or an earlier run of it, and what is left to do?

No requests are made here: this is what is known, held against what is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from ard.sums import quote
from release.deposit import ops
from release.deposit.cargo import LocalFile
from release.deposit.compare import is_same
from release.deposit.decide import KEEP, LINK, Decision
from release.deposit.journal import DONE, REFUSED, History
from release.deposit.plan import DepositPlan
from release.deposit.records import RemoteFile
from release.deposit.upload import State

# Noted of a file whose deletion was not confirmed, and that is found gone.
GONE: Final = "gone"


@dataclass(frozen=True)
class Trace:
    """Hold what is known of the work on one plan.

    Attributes
    ----------
    plan : DepositPlan
    files : mapping of str to LocalFile
        What the bundle holds.
    resumed : bool
        An earlier run of this plan sent something.
    touched : frozenset of str
        Files of which it sent bytes, perhaps.
    deleted : frozenset of str
        Files that it took away, or found gone after it had asked for that.
    """

    plan: DepositPlan
    files: Mapping[str, LocalFile]
    resumed: bool
    touched: frozenset[str]
    deleted: frozenset[str]

    @classmethod
    def of(cls, plan: DepositPlan, files: Mapping[str, LocalFile], history: History) -> Self:
        """Read what the journal says about a plan."""
        writes = history.writes(plan=plan.digest)
        touched = (w for w in writes if w.op == ops.CONTENT and w.result != REFUSED)
        deleted = {w.detail["key"] for w in writes if w.op == ops.DELETE and w.result == DONE}
        gone = {note["key"] for note in history.notes(GONE) if note["plan"] == plan.digest}
        return cls(
            plan=plan,
            files=files,
            resumed=bool(writes),
            touched=frozenset(str(write.detail["key"]) for write in touched),
            deleted=frozenset(map(str, deleted | gone)),
        )

    def unplanned(self, live: Mapping[str, RemoteFile]) -> list[str]:
        """List where a draft on which nobody worked yet is not as it was planned with."""
        planned = {file.key: file for file in self.plan.live}
        return [
            f"{quote(name)}: planned {_shown(planned.get(name))}, found {_shown(live.get(name))}"
            for name in sorted({*planned, *live})
            if planned.get(name) != live.get(name)
        ]

    def unexplained(self, live: Mapping[str, RemoteFile]) -> list[str]:
        """List what neither the plan nor an earlier run of it explains, after linking."""
        rows = {row.name: row for row in self.plan.decisions}
        surplus = [
            f"{quote(name)}: there is {_shown(remote)}, which nobody planned"
            for name, remote in live.items()
            if name not in rows or not self._is_explained(rows[name], remote)
        ]
        lost = [
            f"{row.name}: was there when the plan was made, and is gone"
            for row in rows.values()
            if row.action in (KEEP, LINK) and row.name not in live
        ]
        return surplus + lost

    def _is_explained(self, row: Decision, remote: RemoteFile) -> bool:
        if remote == row.before:
            return True
        return row.sends and (
            not remote.completed
            or is_same(self.files[row.name], remote)
            or row.name in self.touched
        )

    def condemned(self, live: Mapping[str, RemoteFile]) -> list[str]:
        """List the files that are to be taken away, and are still there.

        What looks as before may be ours by now: one pending entry looks like the other, and bytes
        are sent only after what was there is gone.
        """
        ours = self.deleted | self.touched
        return [
            row.name
            for row in self.plan.decisions
            if row.deletes and live.get(row.name) == row.before and row.name not in ours
        ]

    def states(self, live: Mapping[str, RemoteFile]) -> dict[str, State]:
        """Say of every file that is to be sent what is known of its entry."""
        names = [row.name for row in self.plan.decisions if row.sends]
        return {name: self._state(name, live.get(name)) for name in names}

    def _state(self, name: str, remote: RemoteFile | None) -> State:
        if remote is None:
            return State.ABSENT
        if not remote.completed:
            return State.UNSURE if name in self.touched else State.EMPTY
        return State.DONE if is_same(self.files[name], remote) else State.WRONG


def _shown(remote: RemoteFile | None) -> str:
    if remote is None:
        return "nothing"
    return f"{remote.size} bytes, md5 {remote.md5}" if remote.completed else "a pending file"
