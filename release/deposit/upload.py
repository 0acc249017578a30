"""How does one file get into the draft, whole, once, whatever happens on the way?

The archive checks neither size nor md5, deletes what it fails to store while it says that all is
well, and deletes a good file over which bytes are sent again. So the state is read after every
doubt, bytes go to an entry without bytes only, and what is there is compared before it counts.
"""

import enum
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ard.errors import IntegrityError
from release.deposit import ops
from release.deposit.cargo import LocalFile
from release.deposit.compare import is_same
from release.deposit.errors import (
    RefusedByArchiveError,
    SpoiledUploadError,
    UnexpectedAnswerError,
    UnknownOutcomeError,
)
from release.deposit.journal import Journal
from release.deposit.records import Archive, RemoteFile

# Of one block a stalled connection is noticed, and a stop obeyed.
_BLOCK: Final = 1 << 18
# How often a finished upload is committed before its bytes are believed to be lost.
_COMMITS: Final = 2
_INTERNAL_ERROR: Final = 500

Progress = Callable[[str, int], None]


class State(enum.Enum):
    """What is known of an entry of the draft."""

    ABSENT = "there is no entry"
    EMPTY = "there is an entry without bytes"
    UNSURE = "there is an entry, perhaps with bytes"
    FULL = "there is an entry with bytes"
    WRONG = "there is a finished file with other bytes"
    DONE = "there is a finished file with these bytes"


class FileBody:
    """The bytes of a file, made sure of while they are read.

    Parameters
    ----------
    path : Path
    file : LocalFile
        The size and md5 that it has to have.
    watch : callable
        Is told how far it is; may raise to stop it.
    """

    def __init__(self, path: Path, file: LocalFile, watch: Callable[[int], None]) -> None:
        self._path = path
        self._file = file
        self._watch = watch

    def __len__(self) -> int:
        return self._file.size

    def __iter__(self) -> Iterator[bytes]:
        """Give blocks; the last one only when all of them are known to be right."""
        digest, position, last = hashlib.md5(usedforsecurity=False), 0, b""
        for block in self._blocks():
            if last:
                yield last
                self._watch(position)
            digest.update(block)
            position += len(block)
            if position > self._file.size:
                break
            last = block
        if (position, digest.hexdigest()) != (self._file.size, self._file.md5):
            raise IntegrityError(
                "the file changed after the bundle was verified",
                file=self._path,
                expected=f"{self._file.size} bytes, md5 {self._file.md5}",
                found=f"{position} bytes, md5 {digest.hexdigest()}",
                action="verify the bundle, and make a new plan",
            )
        yield last
        self._watch(position)

    def _blocks(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    yield block
        except OSError as error:
            # Whoever sends takes such an error for one of the network.
            raise IntegrityError(
                "a file of the bundle cannot be read any more",
                file=self._path,
                found=error.strerror or str(error),
                action="verify the bundle, then type the same command again",
            ) from error


@dataclass(frozen=True)
class Uploader:
    """Bring files of a bundle into a draft; several threads may use one.

    Attributes
    ----------
    archive : Archive
    journal : Journal
    record_id : str
        The draft.
    plan : str
        Digest of the plan, for the journal.
    folder : Path
        The bundle.
    progress : callable
        Is told the name of a file, and how many bytes of it were sent.
    """

    archive: Archive
    journal: Journal
    record_id: str
    plan: str
    folder: Path
    progress: Progress

    def bring(self, file: LocalFile, state: State) -> None:
        """Go from what is known of an entry to the finished file.

        Raises
        ------
        UnknownOutcomeError, SpoiledUploadError, UnexpectedAnswerError
            If doubts did not end within the attempts.
        RefusedByArchiveError
            If the archive does not take it.
        """
        doubts = commits = 0
        while state is not State.DONE:
            commits = commits + 1 if state is State.FULL else 0
            try:
                state = self._step(file, state)
            except (UnknownOutcomeError, SpoiledUploadError) as error:
                doubts += 1
                if doubts >= self.archive.transport.policy.attempts:
                    raise
                self.archive.transport.pause(doubts)
                state = self._look(file, _after(state, error, commits))
            if state is State.WRONG:
                doubts += 1
                self._require_patience(file, doubts)
        self.progress(file.name, file.size)

    def _step(self, file: LocalFile, state: State) -> State:
        key = file.name
        if state is State.ABSENT:
            self._attempt(ops.INIT, lambda: self.archive.init(self.record_id, [key]), key)
            return State.EMPTY
        if state is State.WRONG:
            self._attempt(ops.DELETE, lambda: self.archive.delete_file(self.record_id, key), key)
            return State.ABSENT
        if state is State.EMPTY:
            body = FileBody(self.folder / key, file, lambda position: self._watch(key, position))
            self._attempt(ops.CONTENT, lambda: self.archive.upload(self.record_id, key, body), key)
            return State.FULL
        remote = self._attempt(ops.COMMIT, lambda: self.archive.commit(self.record_id, key), key)
        return State.DONE if is_same(file, remote) else State.WRONG

    def _attempt[T](self, op: str, action: Callable[[], T], key: str) -> T:
        self.archive.transport.check()
        try:
            return self.journal.attempt(op, action, _noted, key=key, plan=self.plan)
        except RefusedByArchiveError as error:
            # Where nothing can be announced, there is no draft.
            if error.status != 404 or op == ops.INIT:
                raise
            # The entry vanished, or is not there to be taken away: which one, the state tells.
            raise UnknownOutcomeError.of(f"{op} of {key}", str(error.found), 404) from error

    def _look(self, file: LocalFile, pending: State) -> State:
        """Read the state of an entry; one without a finished file is as said."""
        remote = self.archive.file(self.record_id, file.name)
        if remote is None:
            return State.ABSENT
        if not remote.completed:
            return pending
        return State.DONE if is_same(file, remote) else State.WRONG

    def _watch(self, key: str, position: int) -> None:
        self.archive.transport.check()
        self.progress(key, position)

    def _require_patience(self, file: LocalFile, doubts: int) -> None:
        if doubts >= self.archive.transport.policy.attempts:
            raise UnexpectedAnswerError(
                "the archive keeps storing other bytes than it was sent",
                file=self.folder / file.name,
                expected=f"{file.size} bytes, md5 {file.md5}",
                found=f"something else, {doubts} times",
                action="type the same command again later, or tell the archive",
            )


def _after(state: State, error: Exception, commits: int) -> State:
    """Say what a pending entry is, after a step from a state was lost."""
    if state is State.EMPTY:
        return State.UNSURE if isinstance(error, UnknownOutcomeError) else State.EMPTY
    if state is State.UNSURE:
        # The archive answers the commit of an entry without bytes with an internal error.
        lost = isinstance(error, UnknownOutcomeError) and error.status == _INTERNAL_ERROR
        return State.EMPTY if lost else State.UNSURE
    if state is State.FULL and commits < _COMMITS:
        return State.FULL
    return State.EMPTY


def _noted(result: object) -> dict[str, object]:
    return result.to_dict() if isinstance(result, RemoteFile) else {}
