"""Who is told how transfers get on, and what if that one fails?"""

from typing import Protocol

from pipeline.acquire.record import FileRecord


class Observer(Protocol):
    """Who is told how a transfer gets on; called from several threads."""

    def started(self, name: str, total: int | None) -> None:
        """Take note that a file is being fetched; total in bytes, None where unknown."""

    def have(self, name: str, count: int) -> None:
        """Take note that so many bytes of a file are there."""

    def ended(self, record: FileRecord) -> None:
        """Take note of what became of a file."""


class Shielded:
    """An observer whose troubles are not those of the transfers.

    A display can fail (nobody reads its pipe any more); it is then told nothing further.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer: Observer | None = observer

    def started(self, name: str, total: int | None) -> None:
        """Take note that a file is being fetched."""
        self._tell("started", name, total)

    def have(self, name: str, count: int) -> None:
        """Take note that so many bytes of a file are there."""
        self._tell("have", name, count)

    def ended(self, record: FileRecord) -> None:
        """Take note of what became of a file."""
        self._tell("ended", record)

    def _tell(self, what: str, *about: object) -> None:
        if self._observer is None:
            return
        try:
            getattr(self._observer, what)(*about)
        except (Exception, SystemExit):  # noqa: BLE001 (rich ends the program when a pipe breaks)
            self._observer = None
