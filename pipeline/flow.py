"""Which tasks are out of date, and how are they executed in parallel, stopped and resumed?

The only module that knows the workflow engine, pytask. It decides by content: a task is current
while the digests of its code, settings, inputs and outputs are those of its last success, which
pytask keeps in ``.rbh1`` inside the run folder. pytask-parallel is not used: it changes the import
path and the environment of the process, polls once a second, and ends well after an interrupt. A
scheduler hook of our own hands tasks to the workers of `pipeline.workers` instead.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ard import layout
from ard.errors import ArdError
from ard.io import sha256_file
from pipeline.folder import locked
from pipeline.graph import Task
from pipeline.outcome import (
    DONE,
    FAILED,
    RUNNING,
    SKIPPED,
    UNCHANGED,
    WOULD_RUN,
    FlowReport,
    Observer,
    Outcome,
)
from pipeline.runner import Failure, Result, execute
from pipeline.workers import Workers


def run_tasks(
    tasks: Sequence[Task], root: Path, workers: int, observer: Observer = lambda _: None
) -> FlowReport:
    """Execute what is out of date, in parallel; what is current stays.

    The caller holds the lock of the folder (`pipeline.folder.locked`), which covers more than this.

    Parameters
    ----------
    tasks : sequence of Task
        The graph.
    root : path
        The run folder.
    workers : int
        How many worker processes; 0 runs everything in this process.
    observer : callable
        Told whenever a task starts or ends.

    Raises
    ------
    ArdError
        If an input of the plan is missing.
    """
    require_inputs(tasks)
    (root / layout.STATE_DIR).mkdir(parents=True, exist_ok=True)
    _sweep(tasks)
    scheduler = _Scheduler(workers, observer)
    _build(tasks, root, scheduler)
    return FlowReport(tuple(scheduler.outcomes), scheduler.interrupted)


def plan_tasks(tasks: Sequence[Task], root: Path) -> FlowReport:
    """Say what a run would execute, and why, without executing anything.

    Raises
    ------
    ArdError
        If an input of the plan is missing, or another process works in the same folder.
    """
    require_inputs(tasks)
    if not (root / layout.STATE_DIR).is_dir():
        return FlowReport(tuple(Outcome(t.name, WOULD_RUN, reasons=("first run",)) for t in tasks))
    with locked(root):
        session = _build(tasks, root, None)
    return FlowReport(tuple(_explained(report) for report in session.execution_reports))


def require_inputs(tasks: Sequence[Task]) -> None:
    """Make sure that every input that no task makes is there.

    Raises
    ------
    ArdError
        If one is missing.
    """
    made = {path for task in tasks for path in task.output_files().values()}
    for task in tasks:
        for name, path in task.input_files().items():
            if path not in made and not path.is_file():
                raise ArdError(
                    f"an input of '{task.name}' is missing",
                    file=path,
                    expected=f"a file for '{name}'",
                    found="a folder" if path.is_dir() else "no such file",
                    action="check the path",
                )


def _sweep(tasks: Sequence[Task]) -> None:
    # A killed run leaves the temporary files of its atomic writes.
    for folder in {path.parent for task in tasks for path in task.output_files().values()}:
        for leftover in folder.glob(".*.part"):
            leftover.unlink(missing_ok=True)


# --- what pytask sees; it asks for attributes, not for base classes -------------------------


@dataclass
class _FileNode:
    """A file; its state is the digest of its content.

    It has no attribute ``path``, so that pytask files it under its name, which does not change
    when the run folder is moved.
    """

    name: str
    file: Path
    attributes: dict[str, Any] = field(default_factory=dict)
    _seen: tuple[tuple[int, ...], str] | None = None

    @property
    def signature(self) -> str:
        return _signature("file", self.name)

    def state(self) -> str | None:
        try:
            stat = self.file.stat()
        except FileNotFoundError:
            return None
        key = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if self._seen is None or self._seen[0] != key:
            self._seen = (key, sha256_file(self.file))
        return self._seen[1]

    def load(self, is_product: bool = False) -> Path:
        return self.file

    def save(self, value: Any) -> None:
        raise NotImplementedError("the runner writes the outputs")


@dataclass
class _ValueNode:
    """The settings of a task, by digest."""

    name: str
    digest: str
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        return _signature("value", self.name)

    def state(self) -> str:
        return self.digest

    def load(self, is_product: bool = False) -> str:
        return self.digest

    def save(self, value: Any) -> None:
        raise NotImplementedError("settings are not written by tasks")


@dataclass
class _FlowTask:
    """A task; its state is the digest of its code and of the library versions."""

    name: str
    task: Task
    order: int
    depends_on: dict[str, Any]
    produces: dict[str, Any]
    function: Callable[..., Any] = execute
    markers: list[Any] = field(default_factory=list)
    report_sections: list[tuple[str, str, str]] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        return _signature("task", self.name)

    def state(self) -> str:
        return self.task.state_sha256

    def execute(self, **_: Any) -> Result:
        return execute(self.task)


def _signature(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()


def _flow_tasks(tasks: Sequence[Task]) -> list[_FlowTask]:
    nodes: dict[Path, _FileNode] = {}

    def node(task: Task, label: str, path: Path) -> _FileNode:
        name = task.short(path) if task.inside(path) else f"input:{task.name}:{label}"
        return nodes.setdefault(path, _FileNode(name, path))

    return [
        _FlowTask(
            name=task.name,
            task=task,
            order=order,
            depends_on={n: node(task, n, p) for n, p in task.input_files().items()}
            | {"config": _ValueNode(f"settings of {task.name}", task.config_sha256)},
            produces={n: node(task, n, p) for n, p in task.output_files().items()},
        )
        for order, task in enumerate(tasks)
    ]


def _build(tasks: Sequence[Task], root: Path, scheduler: "_Scheduler | None") -> Any:
    """Call pytask as its own command line does, which is the way that admits plugins."""
    import pytask  # two seconds: only when something is to be run

    manager = pytask.storage.create()
    if scheduler is not None:
        manager.register(_hooks(pytask, scheduler))
    state = root / layout.STATE_DIR
    options = {
        option.name: option.default for c in pytask.cli.commands.values() for option in c.params
    }
    quiet, pytask.console.quiet = pytask.console.quiet, True
    try:
        session = pytask.build(
            **options
            | {
                "command": "build",
                # Named, because pytask would look for a pyproject.toml in the folders above.
                "root": state,
                "config": None,
                "paths": [state],
                "task_files": [],
                "tasks": _flow_tasks(tasks),
                "explain": scheduler is None,
                "capture": pytask.CaptureMethod.NO,
                "disable_warnings": True,
                "show_traceback": False,
                "editor_url_scheme": "no_link",
                "verbose": 0,
            }
        )
    finally:
        pytask.console.quiet = quiet
    _require_graph(session)
    return session


def _require_graph(session: Any) -> None:
    broken = [r for r in session.collection_reports if r.exc_info]
    report = broken[0] if broken else session.dag_report
    if report is not None or session.exit_code not in (0, 1):
        error = report.exc_info[1] if report is not None and report.exc_info else None
        raise ArdError(
            "the task graph could not be built",
            expected="tasks with outputs of their own and no cycles",
            found=str(error or f"pytask ended with {session.exit_code!r}"),
            action="correct the declarations in pipeline/stages",
        )


def _explained(report: Any) -> Outcome:
    if report.outcome.name == "SKIP_UNCHANGED":
        return Outcome(report.task.name, UNCHANGED)
    if report.outcome.name == "FAIL":
        return Outcome(report.task.name, FAILED, failure=Failure.of(report.exc_info[1]))
    explanation = report.task.attributes.get("explanation")
    reasons = tuple(_reason(r) for r in explanation.reasons) if explanation else ()
    return Outcome(report.task.name, WOULD_RUN, reasons=reasons)


def _reason(change: Any) -> str:
    if change.reason == "cascade":
        return f"after {change.node_name}"
    if change.reason == "missing":
        return f"{change.node_name} is missing"
    if change.reason == "not_in_db":
        return f"{change.node_name} is new"
    what = "code or libraries" if change.node_type == "source" else change.node_name
    return f"{what} changed"


def _hooks(pytask: Any, scheduler: "_Scheduler") -> object:
    def execute_build(session: Any) -> bool:
        scheduler.run(session, pytask)
        return True

    return SimpleNamespace(pytask_execute_build=pytask.hookimpl(tryfirst=True)(execute_build))


# --- execution -------------------------------------------------------------------------------


class _Scheduler:
    """Hand out tasks in the order of the stages, and collect what came of them."""

    def __init__(self, workers: int, observer: Observer) -> None:
        self.outcomes: list[Outcome] = []
        self.interrupted = False
        self._workers = Workers(workers)
        self._observer = observer
        self._ready: list[_FlowTask] = []
        self._nodes: dict[str, _FlowTask] = {}

    def run(self, session: Any, pytask: Any) -> None:
        self._session, self._pytask = session, pytask
        self._nodes = {node.name: node for node in session.tasks}
        try:
            while session.scheduler.is_active():
                fresh = session.scheduler.get_ready(len(session.tasks))
                # pytask gives what is ready in the order of a set.
                self._ready += [session.dag.nodes[name] for name in fresh]
                self._ready.sort(key=lambda node: node.order)
                if self._ready and not self._workers.full:
                    self._consider(self._ready.pop(0))
                elif self._workers.busy:
                    for result in self._workers.fetch():
                        self._accept(result)
        except KeyboardInterrupt:
            self.interrupted = True
            session.should_stop = True
        finally:
            self._workers.close(kill=self.interrupted)

    def _consider(self, node: _FlowTask) -> None:
        """Start a task, unless it is current or cannot run."""
        try:
            self._session.hook.pytask_execute_task_setup(session=self._session, task=node)
        except self._pytask.SkippedUnchanged as reason:
            self._finish(node, UNCHANGED, error=reason)
        except self._pytask.SkippedAncestorFailed as reason:
            self._finish(node, SKIPPED, error=reason)
        except Exception as error:  # noqa: BLE001 (pytask has private kinds for a broken graph)
            self._finish(node, FAILED, error=error, failure=Failure.of(error))
        else:
            self._observer(Outcome(node.name, RUNNING))
            self._workers.start(node.task)

    def _accept(self, result: Result) -> None:
        node = self._nodes[result.task]
        if result.failure is not None:
            error = RuntimeError(result.failure.problem)
            self._finish(node, FAILED, error, result.failure, result.seconds)
        else:
            self._finish(node, DONE, seconds=result.seconds)

    def _finish(
        self,
        node: _FlowTask,
        status: str,
        error: BaseException | None = None,
        failure: Failure | None = None,
        seconds: float = 0.0,
    ) -> None:
        make = self._pytask.ExecutionReport
        info = None if error is None else (type(error), error, error.__traceback__)
        report = make.from_task(node) if error is None else make.from_task_and_exception(node, info)
        # Records the state after a success, and marks the tasks that depend on a failed one.
        self._session.hook.pytask_execute_task_process_report(session=self._session, report=report)
        self._session.execution_reports.append(report)
        self._session.scheduler.done(node.signature)
        outcome = Outcome(node.name, status, seconds, failure)
        self.outcomes.append(outcome)
        self._observer(outcome)
