"""How does an acquisition look while it runs: bytes, rate, time left?"""

import threading
import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from pipeline.acquire.plan import CHANGED, FAILED, MISSING, OK, Plan, size_text
from pipeline.acquire.record import FileRecord

_STYLES: Final = {OK: "green", CHANGED: "yellow", MISSING: "yellow", FAILED: "bold red"}
_LINE_EVERY_S: Final = 30.0


class Display:
    """Show transfers on stderr: bars on a terminal, lines elsewhere; a context manager.

    Parameters
    ----------
    plan : Plan
        Says how much there is to do.
    console : rich.console.Console, optional
        Where to; stderr by default.
    """

    def __init__(self, plan: Plan, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._guard = threading.Lock()
        self._files = len(plan.transfers)
        self._ended = 0
        self._known = {step.name: step.partial_bytes for step in plan.transfers}
        self._total = plan.need_bytes + sum(self._known.values())
        self._before = sum(self._known.values())
        self._rows: dict[str, TaskID] = {}
        self._began = self._said = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._all = self._progress.add_task("all files", total=self._total or None)

    def __enter__(self) -> Self:
        # Elsewhere nothing is shown, and rich before 15 ends nothing with an empty line.
        if self.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self._progress.stop()

    def started(self, name: str, total: int | None) -> None:
        """Take note that a file is being fetched."""
        with self._guard:
            if name in self._rows:  # it is fetched again
                self._progress.remove_task(self._rows.pop(name))
            if self.console.is_terminal:
                self._rows[name] = self._progress.add_task(name, total=total)

    def have(self, name: str, count: int) -> None:
        """Take note that so many bytes of a file are there."""
        with self._guard:
            self._known[name] = count
            done = sum(self._known.values())
            if name in self._rows:
                self._progress.update(self._rows[name], completed=count)
            self._progress.update(self._all, completed=done)
            passed = time.monotonic() - self._said
            if not self.console.is_terminal and passed >= _LINE_EVERY_S:
                self._said = time.monotonic()
                self.console.print(self._line(done), markup=False)

    def _line(self, done: int) -> str:
        seconds = time.monotonic() - self._began
        rate = max(done - self._before, 0) / seconds if seconds > 0 else 0.0
        left = f", about {(self._total - done) / rate / 60:.0f} min left" if rate > 0 else ""
        return f"{size_text(done)} of {size_text(self._total)}, {size_text(rate)}/s{left}"

    def ended(self, record: FileRecord) -> None:
        """Take note of what became of a file; what was there already is not worth a line."""
        with self._guard:
            if (row := self._rows.pop(record.name, None)) is not None:
                self._progress.remove_task(row)
            if record.attempts:
                self._ended += 1
            if record.done in ("kept", "nothing") and record.problem is None:
                return
            size = f"  {size_text(record.size)}" if record.size else ""
            count = f"[{self._ended}/{self._files}] " if record.attempts else ""
            text = f"{count}{record.status:<8}{record.done:<8}{record.name}{size}"
            self.console.print(text, style=_STYLES.get(record.status, ""), markup=False)
            for line in record.problem.lines() if record.problem else ():
                self.console.print(f"        {line}", markup=False)
