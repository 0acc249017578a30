"""What became of each file, and of a whole acquisition?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from ard.errors import ArdError
from pipeline.acquire.plan import CHANGED, FAILED, MISSING, Step, counts
from pipeline.acquire.settings import Network
from pipeline.acquire.verify import Examination

SCHEMA: Final = "acquisition-run"
VERSION: Final = 1


@dataclass(frozen=True)
class Problem:
    """What went wrong with a file, in the parts of an `ArdError`."""

    problem: str
    file: str = ""
    expected: str = ""
    found: str = ""
    action: str = ""

    @classmethod
    def of(cls, error: BaseException, name: str, network: Network) -> "Problem":
        """Take an error apart; the token, should it ever be in one, is left out."""
        if isinstance(error, ArdError):
            parts = (error.problem, error.file or name, error.expected, error.found, error.action)
        elif isinstance(error, OSError):
            where = f" ({error.filename})" if error.filename else ""
            parts = (
                "the store cannot be read or written", name, "a folder that can be used",
                f"{error.strerror or error}{where}", "check the folder of the store (--store)",
            )  # fmt: skip
        else:
            parts = (
                "an error that nobody foresaw", name, None, f"{type(error).__name__}: {error}",
                "report it, with this text",
            )  # fmt: skip
        return cls(*(network.redact(part or "") for part in parts))

    def lines(self) -> list[str]:
        """Give the rows of a message."""
        rows = (("expected", self.expected), ("found", self.found), ("what to do", self.action))
        return [self.problem, *(f"  {label}: {text}" for label, text in rows if text)]


@dataclass(frozen=True)
class FileRecord:
    """What became of one file.

    Attributes
    ----------
    name, uri, group : str
        As in the lock.
    status : str
        OK, MISSING, CHANGED or FAILED.
    in_store : bool
        Whether the readable name leads to the bytes of the lock.
    done : str
        What was done: nothing, kept, linked, fetched, confirmed, adopted.
    path : str or None
        Its place in the store, relative to it.
    size : int or None
        Bytes that the store holds.
    sha256 : str or None
        Of these bytes.
    verified : str
        none, size (trust on first use), twice or archive; ``lock`` if the lock named the bytes.
    first_use : bool
        Whether these bytes were taken on trust in this run.
    attempts, resumed_bytes, received_bytes : int
        Requests; bytes that were there before, and that came.
    started, ended : str or None
        UTC.
    url, etag, last_modified : str or None
        As the archive gave them.
    rungs : tuple of mapping
        What each rung of the verification found.
    changes : tuple of str
        How the archive's version differs from the lock's.
    problem : Problem or None
        What went wrong.
    """

    name: str
    uri: str
    group: str
    status: str
    in_store: bool = False
    done: str = "nothing"
    path: str | None = None
    size: int | None = None
    sha256: str | None = None
    verified: str = "none"
    first_use: bool = False
    attempts: int = 0
    resumed_bytes: int = 0
    received_bytes: int = 0
    started: str | None = None
    ended: str | None = None
    url: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    rungs: tuple[Mapping[str, Any], ...] = ()
    changes: tuple[str, ...] = ()
    problem: Problem | None = None

    @classmethod
    def of_step(cls, step: Step) -> "FileRecord":
        """Begin the record of a step: as the file stands before anything is done."""
        problem = Problem(step.problem, step.name, action=step.remedy) if step.problem else None
        return cls(
            step.name, step.file.uri, step.file.group, step.status, step.in_store,
            changes=step.changes, problem=problem,
        )  # fmt: skip

    def failed(self, problem: Problem, **values: Any) -> "FileRecord":
        """Give the record of a file that could not be had."""
        return replace(self, status=FAILED, problem=problem, **values)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        document = dict(vars(self))
        document["rungs"] = [dict(rung) for rung in self.rungs]
        document["changes"] = list(self.changes)
        document["problem"] = None if self.problem is None else dict(vars(self.problem))
        return document


@dataclass(frozen=True)
class Report:
    """What became of all files.

    Attributes
    ----------
    verb : str
        run or adopt.
    records : tuple of FileRecord
        In the order of the lock.
    started, ended : str
        UTC.
    facts : mapping
        The run itself: server, versions, policy, questions.
    interrupted : bool
    """

    verb: str
    records: tuple[FileRecord, ...]
    started: str
    ended: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many files stand how."""
        return counts(record.status for record in self.records)

    @property
    def exit_code(self) -> int:
        """0: the store equals the lock; 1: the archive has other versions; 3: files lack."""
        return exit_code([(record.status, record.in_store) for record in self.records])

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "verb": self.verb,
            "started": self.started,
            "ended": self.ended,
            "interrupted": self.interrupted,
            "counts": self.counts,
            **self.facts,
            "files": [record.to_dict() for record in self.records],
        }


def now() -> str:
    """Give the time, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exit_code(files: Sequence[tuple[str, bool]]) -> int:
    """Give the exit code that the worst file asks for; no file at all is no success.

    Parameters
    ----------
    files : sequence of (str, bool)
        The status of each, and whether the store has the bytes of the lock.
    """
    if not files or any(not there or status in (MISSING, FAILED) for status, there in files):
        return 3
    return 1 if any(status == CHANGED for status, _ in files) else 0


def rungs_of(found: Examination) -> tuple[dict[str, Any], ...]:
    """Give the rungs of an examination in plain JSON form."""
    rows: list[dict[str, Any]] = found.to_dict()["rungs"]
    return tuple(rows)


def failure_of(found: Examination, name: str) -> Problem:
    """Say which rung a file did not pass."""
    rung = found.failure
    return Problem(
        f"the file is damaged: its {rung.name if rung else 'content'} is wrong",
        name,
        rung.expected if rung else "",
        rung.found if rung else "",
        f"it was put into quarantine/{name}; run the same command again later, and tell the "
        "archive if it stays",
    )


def differing(name: str, first: str, second: str) -> Problem:
    """Say that two transfers did not give the same bytes."""
    return Problem(
        "two transfers of the file gave different bytes",
        name,
        f"sha256 {first}",
        f"sha256 {second}",
        "neither can be trusted: check the network, and run the same command again",
    )
