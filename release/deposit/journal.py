"""What was sent to the archive, and what came of it, even if the power went off in between?

One JSON object a line, beside `release.json`. Before a request that writes, its intent is on the
disk; after its answer, its outcome. A last line that is torn is taken off; a journal that is
damaged anywhere else is refused, since what it no longer says might be repeated.
"""

import datetime
import errno
import io
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ard.errors import ArdError
from ard.fileio import parse_json
from ard.sums import quote
from release.deposit.errors import (
    JournalError,
    NotReachedError,
    RefusedByArchiveError,
    SpoiledUploadError,
)
from release.deposit.governor import Clock, SystemClock
from release.model import RefusedError
from release.place import sync_folder

VERSION: Final = 1
DONE: Final = "done"
REFUSED: Final = "refused"
SPOILED: Final = "spoiled"
UNKNOWN: Final = "unknown"

# Raised before or instead of any effect. What we refuse ourselves is an answer which shows that the
# request has made nothing of ours.
_WITHOUT_EFFECT: Final = (RefusedByArchiveError, NotReachedError, RefusedError)
_EVENTS: Final = ("note", "intent", "outcome")


@dataclass(frozen=True)
class Write:
    """Say what became of one request that writes.

    Attributes
    ----------
    verb, op : str
        The command and the step of it.
    at : float
        When it was about to be sent, in seconds since 1970.
    detail : mapping
        What it was about.
    result : str
        `DONE`, `REFUSED`, `SPOILED`, or `UNKNOWN`, also where nothing was written down after it.
    answer : mapping
        What was noted of the answer.
    ended : float or None
        When that was noted; None where the process ended before.
    """

    verb: str
    op: str
    at: float
    detail: Mapping[str, Any]
    result: str = UNKNOWN
    answer: Mapping[str, Any] = field(default_factory=dict)
    ended: float | None = None


def journal_path(release: str | os.PathLike[str]) -> Path:
    """Give the place of the journal that belongs to a `release.json`.

    It lies beside the file itself, whatever links lead there, and no two files share one.

    Raises
    ------
    JournalError
        If the name does not end with ``.json``.
    """
    path = Path(os.path.realpath(release))
    if path.suffix != ".json":
        raise JournalError(
            "a reservation is kept in a .json file",
            expected="a name such as release.json",
            found=str(release),
            action="choose one for each version and archive: release.json, release-1.0.json",
        )
    return path.with_suffix(".journal.jsonl")


class History:
    """What a journal says.

    Parameters
    ----------
    rows : list of mapping
        The lines, in order.
    """

    def __init__(self, rows: list[Mapping[str, Any]]) -> None:
        self.rows = rows

    def writes(self, op: str | None = None, **detail: object) -> list[Write]:
        """List the requests of a kind, with what became of them."""
        outcomes = {row["of"]: row for row in self.rows if row["event"] == "outcome"}
        found = []
        for row in self.rows:
            if row["event"] != "intent" or op not in (None, row["op"]):
                continue
            if any(row["detail"].get(name) != value for name, value in detail.items()):
                continue
            outcome = outcomes.get(row["n"], {})
            write = Write(
                row["verb"],
                row["op"],
                row["at"],
                MappingProxyType(row["detail"]),
                outcome.get("result", UNKNOWN),
                MappingProxyType(outcome.get("detail", {})),
                outcome.get("at"),
            )
            found.append(write)
        return found

    def done(self, op: str, **detail: object) -> Write | None:
        """Give the last request of a kind that had its effect."""
        found = [write for write in self.writes(op, **detail) if write.result == DONE]
        return found[-1] if found else None

    def notes(self, op: str) -> list[Mapping[str, Any]]:
        """List what was noted under a name."""
        return [row["detail"] for row in self.rows if row["event"] == "note" and row["op"] == op]


class Journal(History):
    """A journal that is open for writing; several threads may write.

    Parameters
    ----------
    stream : FileIO
        Open for appending, without a buffer.
    rows : list of mapping
        What is in it already.
    verb : str
        The command that writes now.
    scrub : callable
        Takes secrets out of a line.
    clock : Clock
    """

    def __init__(
        self,
        stream: io.FileIO,
        rows: list[Mapping[str, Any]],
        verb: str,
        *,
        scrub: Callable[[str], str] = str,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(rows)
        self._stream = stream
        self._verb = verb
        self._scrub = scrub
        self._clock = SystemClock() if clock is None else clock
        self._lock = threading.Lock()

    def note(self, op: str, **detail: object) -> None:
        """Write down something that is no request."""
        self._append("note", op=op, detail=detail)

    def attempt[T](
        self,
        op: str,
        action: Callable[[], T],
        summary: Callable[[T], Mapping[str, object]] = lambda _: {},
        **detail: object,
    ) -> T:
        """Do what writes, between its intent and its outcome.

        Parameters
        ----------
        op : str
            The step.
        action : callable
            Sends the request.
        summary : callable
            Says what is to be noted of its result.
        **detail
            What the request is about.
        """
        number = self._append("intent", op=op, detail=detail)
        try:
            result = action()
        except ArdError as error:
            found = {"problem": error.problem, "found": error.found}
            self._append("outcome", of=number, result=_result(error), detail=found)
            raise
        self._append("outcome", of=number, result=DONE, detail=summary(result))
        return result

    def _append(self, event: str, **fields: object) -> int:
        with self._lock:
            number, now = len(self.rows), self._clock.time()
            day = datetime.datetime.fromtimestamp(now, datetime.UTC)
            row = {
                "v": VERSION,
                "n": number,
                "at": now,
                "time": day.isoformat(timespec="milliseconds"),
                "verb": self._verb,
                "event": event,
                **fields,
            }
            line = self._scrub(json.dumps(row, ensure_ascii=True, allow_nan=False))
            self._write(line.encode() + b"\n")
            self.rows.append(json.loads(line))
            return number

    def _write(self, line: bytes) -> None:
        """Write a whole line to the disk, or none."""
        end = self._stream.seek(0, os.SEEK_END)
        try:
            if self._stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._stream.name)
            os.fsync(self._stream.fileno())
        except OSError:
            # Another thread may still write, and must not write behind half a line.
            self._stream.truncate(end)
            raise


def _result(error: ArdError) -> str:
    if isinstance(error, SpoiledUploadError):
        return SPOILED
    return REFUSED if isinstance(error, _WITHOUT_EFFECT) else UNKNOWN


@contextmanager
def open_journal(
    path: Path,
    verb: str,
    *,
    scrub: Callable[[str], str] = str,
    clock: Clock | None = None,
) -> Iterator[Journal]:
    """Open a journal for one command, and keep every other command out meanwhile.

    Parameters
    ----------
    path : Path
        Made if there is none.
    verb : str
        The command.
    scrub : callable, optional
        Takes secrets out of a line.
    clock : Clock, optional

    Raises
    ------
    JournalError
        If another process has it open, or it is damaged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a+b", buffering=0) as stream:
        _lock(stream, path)
        if new:
            # The name of a new journal has to be as lasting as its lines.
            sync_folder(path.parent)
        stream.seek(0)
        data = stream.read()
        whole = data.rfind(b"\n") + 1
        rows = _parse(data[:whole], path)
        if whole < len(data):
            stream.truncate(whole)
        stream.seek(0, os.SEEK_END)
        journal = Journal(stream, rows, verb, scrub=scrub, clock=clock)
        if whole < len(data):
            journal.note("torn", bytes=len(data) - whole)
        yield journal


def read_history(path: Path) -> History:
    """Read a journal without opening it, as it is at this moment; empty if there is none."""
    data = path.read_bytes() if path.exists() else b""
    return History(_parse(data[: data.rfind(b"\n") + 1], path))


def _lock(stream: io.FileIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError as error:
        raise JournalError(
            "this system cannot keep two commands apart", action="deposit from Linux or macOS"
        ) from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JournalError(
            "another rbh1-release is at work on this deposit",
            file=path,
            action="wait until it has ended; rbh1-release status shows how far it is",
        ) from error


def _parse(data: bytes, path: Path) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(data.splitlines()):
        try:
            row = parse_json(line)
        except ValueError as error:
            raise _damaged(path, number, str(error)) from error
        problem = _problem(row, number)
        if problem:
            raise _damaged(path, number, problem)
        rows.append(row)
    return rows


def _problem(row: object, number: int) -> str:
    if not isinstance(row, dict):
        return "no object"
    if row.get("v") != VERSION:
        return f"version {quote(row.get('v'))}, where {VERSION} is understood"
    if row.get("n") != number:
        return f"number {quote(row.get('n'))}: a line is missing or doubled"
    texts = ("verb", "op") if row.get("event") != "outcome" else ("verb", "result")
    good = (
        row.get("event") in _EVENTS
        and isinstance(row.get("detail"), dict)
        and isinstance(row.get("at"), int | float)
        and all(isinstance(row.get(name), str) for name in texts)
        and (row["event"] != "outcome" or isinstance(row.get("of"), int))
    )
    return "" if good else "not of the form that is written"


def _damaged(path: Path, number: int, found: str) -> JournalError:
    return JournalError(
        "the journal is damaged, and what it no longer says might be done twice",
        file=path,
        expected="the lines that rbh1-release wrote, and no others",
        found=f"line {number + 1}: {found}",
        action="restore it from a backup; rbh1-release clean lists what the archive holds",
    )
