"""How do transfers look to somebody who waits for them?

Bars go by bytes: one for all that was ordered, one for the file that is coming. They are drawn on
a terminal only; notes (a wait that the archive asks for, a detour) are printed anywhere.
"""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress

from ard.source import Progress


class Bars:
    """Draw what a transfer tells.

    Parameters
    ----------
    log : Console
        Where to draw.
    """

    def __init__(self, log: Console) -> None:
        self._log = log
        self._done: dict[str, int] = {}
        self._shown = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=log,
            transient=True,
            disable=not log.is_terminal,
        )
        self._all: TaskID | None = None
        self._file: TaskID | None = None

    def expect(self, size: int) -> None:
        """Say how many bytes are to come in all."""
        self._done.clear()
        self._all = self._shown.add_task("all", total=size)

    def __call__(self, event: Progress) -> None:
        """Take an event."""
        if event.note:
            self._log.print(event.note, style="yellow", markup=False, soft_wrap=True)
            return
        if event.name not in self._done:
            if self._file is not None:
                self._shown.remove_task(self._file)
            self._file = self._shown.add_task(event.name, total=event.size)
        self._done[event.name] = event.done
        if self._file is not None:
            self._shown.update(self._file, completed=event.done)
        if self._all is not None:
            self._shown.update(self._all, completed=sum(self._done.values()))

    def __enter__(self) -> Self:
        # Elsewhere nothing is drawn, and rich before 15 ends nothing with an empty line.
        if self._log.is_terminal:
            self._shown.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._log.is_terminal:
            self._shown.stop()
