"""How does a run look while it runs?  Lines and a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from pipeline.outcome import DONE, FAILED, RUNNING, SKIPPED, UNCHANGED, Outcome

_MARKS: Final = {
    DONE: ("done", "green"),
    UNCHANGED: ("unchanged", "dim"),
    FAILED: ("FAILED", "bold red"),
    SKIPPED: ("not run", "yellow"),
}


class Display:
    """Show the tasks of a run on stderr, and what became of them; use as a context manager.

    Parameters
    ----------
    total : int
        The number of tasks.
    console : rich.console.Console, optional
        Where to; stderr by default.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._total = total
        self._ended = 0
        self._rows: dict[str, TaskID] = {}
        self._began = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._all = self._progress.add_task("tasks", total=total)

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

    def __call__(self, outcome: Outcome) -> None:
        """Take note of a task that starts or ends."""
        if outcome.status == RUNNING:
            if self.console.is_terminal:
                self._rows[outcome.task] = self._progress.add_task(outcome.task, total=None)
            else:
                self._line(outcome, "running", "")
            return
        if (row := self._rows.pop(outcome.task, None)) is not None:
            self._progress.remove_task(row)
        self._ended += 1
        self._progress.advance(self._all)
        self._line(outcome, *_MARKS[outcome.status])

    def _line(self, outcome: Outcome, word: str, style: str) -> None:
        width = len(str(self._total))
        seconds = f"{outcome.seconds:8.1f} s" if outcome.seconds else ""
        text = f"[{self._ended:>{width}}/{self._total}] {word:<10}{outcome.task:<28}{seconds}"
        self.console.print(text.rstrip(), style=style, markup=False)
