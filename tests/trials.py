"""Somebody who deposits while everything goes wrong, and types every command until it is done.

A process that dies is an exception that nothing may catch, raised at a moment at which a process
can die: around every request, and wherever something goes to the disk, of which a part may be lost.
Afterwards there is nothing but the files.
"""

import collections
import contextlib
import logging
import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from consignments import RECORD, approve, write_consignment
from depositors import POLICY, FakeClock
from requests.adapters import HTTPAdapter

from ard.errors import ArdError
from release.deposit.apply import apply
from release.deposit.clean import discard, leftovers
from release.deposit.journal import Journal
from release.deposit.plan import make_plan, read_plan, write_plan
from release.deposit.publish import Published, publish
from release.deposit.records import Archive
from release.deposit.reserve import reserve
from release.deposit.status import Status, status, unreserved
from release.deposit.token import Token
from release.deposit.transport import Transport
from release.reservation import read_reservation
from release.testing import ContractServer

FILES = {"cube.txt": b"unchanged in all versions", "notes.txt": b"the first notes"}
# When a process can die: before a request, after it, while a line is written, and behind a file.
MOMENTS = ("before", "after", "line", "sync")
# Longer than the archive asks to wait: nobody types the next command at once who sees an error.
REFLECTION_S = 60.0
# More commands than anybody needs who is no longer disturbed.
PATIENCE = 12


class Killed(BaseException):
    """The process ends here, and cleans nothing up."""


@dataclass
class Fuse:
    """Says when the process dies.

    Attributes
    ----------
    left : int
        How many moments the process survives; negative for all.
    kind : str
        The kind of moments that count, one of `MOMENTS`; empty for all.
    keeps : float
        How much of a line is in the journal if the process dies while it writes one.
    seen : Counter
        How often each kind of moment came.
    """

    left: int = -1
    kind: str = ""
    keeps: float = 0.0
    dead: bool = False
    seen: collections.Counter[str] = field(default_factory=collections.Counter)

    def light(self, left: int, kind: str = "", keeps: float = 0.0) -> None:
        """Let the process die at a moment, with so many left before it."""
        self.left, self.kind, self.keeps = left, kind, keeps

    def put_out(self) -> None:
        """Let the next process live."""
        self.left, self.dead = -1, False

    def burn(self, moment: str) -> None:
        """Survive a moment, or not. What is dead does nothing any more."""
        if not self.dead:
            self.seen[moment] += 1
            self.left -= self.kind in ("", moment)
            self.dead = self.left == -1 and self.kind in ("", moment)
        if self.dead:
            raise Killed

    @contextlib.contextmanager
    def lit(self) -> Iterator[None]:
        """Let processes die at the disk, too. Nothing is synced: who dies is not the machine."""
        write = Journal._write

        def tear(journal: Journal, line: bytes) -> None:
            already = self.dead
            try:
                self.burn("line")
            except Killed:
                if not already:
                    journal._stream.write(line[: int(self.keeps * len(line))])
                raise
            write(journal, line)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "_write", tear)
            patch.setattr(os, "fsync", lambda _: self.burn("sync"))
            yield


class Carrier(HTTPAdapter):
    """Carries requests as long as the process lives."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        self._fuse.burn("before")
        response = super().send(request, **kwargs)
        try:
            self._fuse.burn("after")
        except Killed:
            response.close()
            raise
        return response


class Ear(logging.Handler):
    """Hears what is logged of connections, and keeps it from everybody else; a context manager."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []
        self._logger = logging.getLogger("urllib3")

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())

    def __enter__(self) -> None:
        self._logger.addHandler(self)
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(logging.NOTSET)
        self._logger.propagate = True


@dataclass(frozen=True)
class Made:
    """A version that somebody was told to be public."""

    folder: Path
    published: Published

    @property
    def record_id(self) -> str:
        return self.published.doi.rpartition(".")[2]


@dataclass
class Trial:
    """Somebody with a token, folders of bundles, and patience.

    Attributes
    ----------
    files : dict of str to bytes
        What the version has to hold that is being made.
    wanted : int
        How many versions there are to be.
    made : list of Made
        The versions so far.
    said : list of str
        All that was shown, with the errors that caused it.
    """

    server: ContractServer
    clock: FakeClock
    root: Path
    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    wanted: int = 1
    workers: int = 1
    fuse: Fuse = field(default_factory=Fuse)
    made: list[Made] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    discarded: int = 0

    @property
    def folder(self) -> Path:
        """Where this version is worked on; another one after its draft was thrown away."""
        return self.root / f"version{len(self.made) + 1}-{self.discarded}"

    @property
    def release(self) -> Path:
        return self.folder / "release.json"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def is_done(self) -> bool:
        return len(self.made) == self.wanted

    @contextlib.contextmanager
    def process(self) -> Iterator[Archive]:
        """Start a process, which knows nothing of those before it."""
        secret, ear = Token(self.server.token), Ear()
        transport = Transport(
            self.server.url, secret, POLICY, clock=self.clock, adapter=lambda: Carrier(self.fuse)
        )
        try:
            with self.fuse.lit(), ear, Archive(transport) as archive:
                yield archive
        finally:
            self.said += ear.heard

    def type(self, verb: str) -> object:
        """Type a command; give its result, the error that it ends with, or `Killed`."""
        try:
            with self.process() as archive:
                return getattr(self, verb)(archive)
        except ArdError as error:
            self.said += traceback.format_exception(error)
            answer: object = error
        except Killed:
            self.fuse.put_out()
            answer = Killed
        self.clock.now += REFLECTION_S
        return answer

    def next_version(self, files: dict[str, bytes]) -> None:
        """Want another version, which holds these files."""
        self.files, self.wanted = files, self.wanted + 1

    # Commands

    def reserve(self, archive: Archive) -> None:
        before = self.made[-1].published.doi if self.made else None
        reservation = reserve(self.release, archive, new_version_of=before)
        if not self.bundle.exists():
            record = {**RECORD, "metadata": {**RECORD["metadata"], "version": f"{self.wanted}.0.0"}}
            write_consignment(self.bundle, self.files, reservation, record=record)

    def plan(self, archive: Archive) -> None:
        plan = make_plan(self.bundle, self.release, archive, ready=approve)
        write_plan(self._plan(+1), plan)

    def apply(self, archive: Archive) -> None:
        plan = read_plan(self._plan(0))
        apply(plan, self.bundle, self.release, archive, workers=self.workers)

    def _plan(self, later: int) -> Path:
        """Give the last plan, or the next one."""
        return self.folder / f"plan{len(list(self.folder.glob('plan*.json'))) + later}.json"

    def publish(self, archive: Archive) -> None:
        doi = read_reservation(self.release).doi
        published = publish(self.bundle, self.release, archive, confirm=doi)
        self.made.append(Made(self.folder, published))
        self.discarded = 0

    def publish_again(self, archive: Archive) -> None:
        """Publish what is public already, for whoever does not believe it."""
        last = self.made[-1]
        bundle, release, doi = (
            last.folder / "bundle",
            last.folder / "release.json",
            last.published.doi,
        )
        assert publish(bundle, release, archive, confirm=doi).already

    def status(self, archive: Archive) -> Status:
        return unreserved(self.release) or status(self.release, archive)

    def clean(self, archive: Archive) -> None:
        """Throw away whatever lies about."""
        release = self.release if self.release.exists() else None
        for draft in leftovers(archive, release):
            discard(archive, draft.record_id, release)

    # All of them

    def go_on(self) -> object:
        """Type what the status says, and heed what is answered."""
        found = self.type("status")
        if not isinstance(found, Status):
            return found
        if found.stage in ("gone", "discarded"):
            self.discarded += 1
            return self.go_on()
        # Nothing is left to be typed where all is done, but who was not told so asks once more.
        verb = found.next.split()[1] if found.next else "publish"
        answer = self.type(verb)
        if answer is None and verb == "plan":
            answer = self.type("apply")
        if "make a new plan" in str(answer) and self.type("plan") is None:
            answer = self.type("apply")
        if "another --out" in str(answer):
            self.discarded += 1
        return answer

    def finish(self) -> None:
        """Go on until all versions are public."""
        answers: list[str] = []
        while not self.is_done:
            assert len(answers) < PATIENCE, "\n".join(["there is no end:", *dict.fromkeys(answers)])
            answers.append(str(self.go_on()))
