"""What has to happen to each file, so that the draft holds the bundle and nothing else?

Pure decisions: from what the bundle holds, what the draft holds, and what the version before holds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from release.deposit import ops
from release.deposit.cargo import LocalFile
from release.deposit.compare import is_same
from release.deposit.paths import draft_path, file_path, files_path
from release.deposit.records import RemoteFile

KEEP: Final = "keep"
LINK: Final = "link"
UPLOAD: Final = "upload"
REPLACE: Final = "replace"
DELETE: Final = "delete"
ACTIONS: Final = (KEEP, LINK, UPLOAD, REPLACE, DELETE)


@dataclass(frozen=True)
class Decision:
    """Say what happens to one file, and why.

    Attributes
    ----------
    name : str
    action : str
        One of `ACTIONS`.
    why : str
        In a few words.
    size : int
        Bytes of the file in the bundle; of the one to be deleted for `DELETE`.
    md5 : str
        Its digest; empty for an incomplete file to be deleted.
    before : RemoteFile or None
        What is there before it happens, after linking.
    """

    name: str
    action: str
    why: str
    size: int
    md5: str
    before: RemoteFile | None = None

    @property
    def sends(self) -> bool:
        """Whether its bytes are sent."""
        return self.action in (UPLOAD, REPLACE)

    @property
    def deletes(self) -> bool:
        """Whether what is there is taken away."""
        return self.action in (REPLACE, DELETE)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "name": self.name,
            "action": self.action,
            "why": self.why,
            "size": self.size,
            "md5": self.md5,
            "before": None if self.before is None else self.before.to_dict(),
        }


@dataclass(frozen=True)
class Step:
    """Say which request is sent.

    Attributes
    ----------
    op : str
        What it does, a name of `ops`.
    method, path : str
    size : int
        Bytes of files that it sends.
    why : str
    """

    op: str
    method: str
    path: str
    size: int
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "op": self.op,
            "method": self.method,
            "path": self.path,
            "bytes": self.size,
            "why": self.why,
        }


def decide(
    files: Mapping[str, LocalFile],
    live: Mapping[str, RemoteFile],
    previous: Mapping[str, RemoteFile],
    reason: Callable[[str], str],
) -> tuple[Decision, ...]:
    """Decide for every file of the bundle and of the draft.

    Parameters
    ----------
    files : mapping of str to LocalFile
        What the bundle holds.
    live : mapping of str to RemoteFile
        What the draft holds.
    previous : mapping of str to RemoteFile
        What the version before holds; empty for a first version.
    reason : callable
        Says why the bytes of a file differ from those that are there.

    Returns
    -------
    tuple of Decision
        Sorted by name.
    """
    linking = not live and any(
        name in previous and is_same(file, previous[name]) for name, file in files.items()
    )
    there = previous if linking else live
    kept = (LINK, "unchanged since the version before") if linking else (KEEP, "in the draft")
    rows = [
        Decision(name, DELETE, "not in the bundle", remote.size, remote.md5, remote)
        for name, remote in there.items()
        if name not in files
    ]
    for name, file in files.items():
        remote = there.get(name)
        if remote is None:
            why = reason(name) if name in previous else "new"
            rows.append(Decision(name, UPLOAD, why, file.size, file.md5))
        elif is_same(file, remote):
            rows.append(Decision(name, *kept, file.size, file.md5, remote))
        else:
            why = reason(name) if remote.completed else "only half uploaded"
            rows.append(Decision(name, REPLACE, why, file.size, file.md5, remote))
    return tuple(sorted(rows, key=lambda row: row.name))


def unfounded(
    decisions: Iterable[Decision], files: Mapping[str, LocalFile], live: Mapping[str, RemoteFile]
) -> list[str]:
    """Name the files of which something else is said than `decide` would say.

    What the version before holds is taken from the decisions, which say it of every file that is
    linked, replaced or left out. Why something is done is for people, and not compared.

    Parameters
    ----------
    decisions : iterable of Decision
    files : mapping of str to LocalFile
        What the bundle holds.
    live : mapping of str to RemoteFile
        What the draft held.

    Returns
    -------
    list of str
        Names, in order; empty if all is well.
    """
    told = [replace(row, why="") for row in decisions]
    previous = {row.name: row.before for row in told if row.before is not None}
    ours = [replace(row, why="") for row in decide(files, live, previous, lambda _: "")]
    if told == ours:
        return []
    return sorted({row.name for row in {*told} ^ {*ours}} or {row.name for row in told})


def steps_of(
    record_id: str, decisions: Iterable[Decision], live: Iterable[str]
) -> tuple[Step, ...]:
    """List the requests that carry decisions out, in their order.

    Parameters
    ----------
    record_id : str
        The draft.
    decisions : iterable of Decision
    live : iterable of str
        Names that the draft holds before.
    """
    rows, files = list(decisions), files_path(record_id)
    steps = []
    if any(True for _ in live):
        steps.append(Step(ops.LIST, "GET", files, 0, "the draft still holds what was planned with"))
    steps.append(Step(ops.PUT_METADATA, "PUT", draft_path(record_id), 0, "zenodo.json"))
    if any(row.action == LINK for row in rows):
        path = f"{draft_path(record_id)}/actions/files-import"
        steps.append(Step(ops.IMPORT, "POST", path, 0, "link the files of the version before"))
    steps += [
        Step(ops.DELETE, "DELETE", file_path(record_id, row.name), 0, row.why)
        for row in rows
        if row.deletes
    ]
    sent = [row for row in rows if row.sends]
    if sent:
        steps.append(Step(ops.INIT, "POST", files, 0, f"announce {len(sent)} files"))
    for row in sent:
        content = file_path(record_id, row.name, "content")
        commit = file_path(record_id, row.name, "commit")
        steps.append(Step(ops.CONTENT, "PUT", content, row.size, row.why))
        steps.append(Step(ops.COMMIT, "POST", commit, 0, "finish, and compare md5 and size"))
    path, why = draft_path(record_id), "the draft holds the bundle and nothing else"
    steps.append(Step(ops.COMPARE, "GET", path, 0, why))
    return tuple(steps)
