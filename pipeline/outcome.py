"""What happened to the tasks of a run?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pipeline.runner import Failure

# Outcomes of a task.
DONE: Final = "done"
UNCHANGED: Final = "unchanged"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"  # a task before it failed
WOULD_RUN: Final = "would run"
RUNNING: Final = "running"


@dataclass(frozen=True)
class Outcome:
    """What happened to one task, how long it took, and why it ran or failed."""

    task: str
    status: str
    seconds: float = 0.0
    failure: Failure | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class FlowReport:
    """What happened in a run, task by task, in the order of the end."""

    outcomes: tuple[Outcome, ...]
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """True if every task is current now."""
        return not self.interrupted and all(o.status in (DONE, UNCHANGED) for o in self.outcomes)

    def tasks(self, status: str) -> list[str]:
        """Name the tasks that ended in a status."""
        return sorted(o.task for o in self.outcomes if o.status == status)


type Observer = Callable[[Outcome], None]
