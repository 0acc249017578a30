"""What can be typed: plan, run, demo, status, doctor.

Exit codes: 0 good, 1 a check failed, 2 wrong usage, 3 could not run. stdout carries the result,
stderr the log. Modules are imported by the verb that needs them: help is there at once.
"""

import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

if TYPE_CHECKING:
    from pipeline.graph import Plan, Task
    from pipeline.outcome import FlowReport
    from pipeline.tail import TailReport

FAILED: Final = 1
USAGE: Final = 2
COULD_NOT_RUN: Final = 3

_FILE = click.Path(path_type=Path)


def _debug() -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and context.find_root().params.get("debug"))


def _say(text: str) -> None:
    click.echo(text, err=True)


def _stop(error: BaseException, code: int) -> NoReturn:
    from pipeline.runner import Failure

    if _debug():
        _say("".join(traceback.format_exception(error)))
    for line in Failure.of(error).lines():
        _say(line)
    sys.exit(code)


def _guarded[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Turn errors into a message and an exit code."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _terminable():
                return function(*args, **kwargs)
        except KeyboardInterrupt:
            _say("interrupted; the same command continues where this one stopped")
            sys.exit(COULD_NOT_RUN)
        except ModuleNotFoundError as error:
            _missing(error)
        except click.ClickException:
            raise
        except Exception as error:  # noqa: BLE001 (the last place where an error can be explained)
            _stop(error, COULD_NOT_RUN)

    return wrapper


def _missing(error: ModuleNotFoundError) -> NoReturn:
    from ard.errors import ExtraMissingError

    name = (error.name or "").partition(".")[0]
    ours = {"ard", "checks", "manifests", "pipeline", "release", "schemas"}
    explained = error if name in ours else ExtraMissingError.for_module(name, "rbh1")
    _stop(explained, COULD_NOT_RUN)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let a request to end stop a run as an interrupt does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _usage(make: Callable[[], "Plan"]) -> "Plan":
    """Make a plan; what is wrong with it is wrong usage."""
    from ard.errors import ArdError

    try:
        return make()
    except ArdError as error:
        _stop(error, USAGE)


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every verb with a plan has."""
    for option in (
        click.option("--cube", type=_FILE, help="A JWST s3d file; without it, a simulation."),
        click.option("--target", help="TOML file of the target, or the name of a known one."),
        click.option("--out", type=_FILE, required=True, help="The run folder."),
        click.option("--config", type=_FILE, help="TOML file with settings."),
        click.option("--set", "settings", multiple=True, metavar="STAGE.KEY=VALUE"),
    ):
        function = option(function)
    return function


_JOBS = click.option(
    "-j", "--jobs", type=click.IntRange(1), help="Tasks at a time (default: the cores)."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rbh1-ard", prog_name="rbh1")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:
    """From archive files to the products of the RBH-1 study."""


@cli.command("plan")
@_options
@_JOBS
@_JSON
@_guarded
def plan_command(
    *,
    cube: Path | None,
    target: str | None,
    out: Path,
    config: Path | None,
    settings: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
) -> None:
    """Say which tasks a run would execute, why, and about how long it would take."""
    plan = _usage(lambda: _make_plan(cube, target, out, config, settings))
    tasks = _tasks(plan)
    from pipeline import flow, folder, show
    from pipeline.doctor import cores

    folder.require_ours(plan.root, tasks)
    report = flow.plan_tasks(tasks, plan.root)
    show.plan(report, tasks, plan.root, jobs or cores(), as_json)


@cli.command("run")
@_options
@_JOBS
@_JSON
@click.option("--no-bundle", is_flag=True, help="Stop after the stages.")
@_guarded
def run_command(
    *,
    cube: Path | None,
    target: str | None,
    out: Path,
    config: Path | None,
    settings: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
    no_bundle: bool,
) -> None:
    """Run the stages, judge the products, and make the bundle and the report.

    What is current is not repeated, so the same command continues a run that was stopped.
    """
    plan = _usage(lambda: _make_plan(cube, target, out, config, settings))
    _run(plan, jobs, as_json, tail=not no_bundle)


@cli.command("demo")
@click.option("--out", type=_FILE, default=Path("demo-run"), show_default=True)
@click.option("--truth", help="The scene to simulate (bow_ring, disc, ...).")
@click.option("--size", help="The size of the simulation (tiny, demo, full).")
@click.option("--seed", type=int, help="Seed of its noise.")
@click.option("--set", "settings", multiple=True, metavar="STAGE.KEY=VALUE")
@_JOBS
@_JSON
@_guarded
def demo_command(
    *,
    out: Path,
    truth: str | None,
    size: str | None,
    seed: int | None,
    settings: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
) -> None:
    """Simulate an observation of RBH-1 and take it through everything, to bundle and report."""
    chosen = {"truth": truth, "size": size, "seed": seed}
    base = {"simulate": {name: value for name, value in chosen.items() if value is not None}}
    from pipeline.plans import twin_plan

    plan = _usage(lambda: twin_plan(_folder(out), None, settings, base))
    _run(plan, jobs, as_json, tail=True)


@cli.command("status")
@click.argument("folder", type=_FILE)
@_JSON
@_guarded
def status_command(*, folder: Path, as_json: bool) -> None:
    """Say how far a run is: done, pending, failed."""
    from pipeline import show
    from pipeline.status import status_of

    show.status(status_of(_folder(folder)), as_json)


@cli.command("doctor")
@_JSON
@_guarded
def doctor_command(*, as_json: bool) -> None:
    """Look at Python, packages, environment, import names, cores, memory and disk."""
    from pipeline import doctor, show

    findings = doctor.examine(os.environ, Path.cwd())
    show.doctor(findings, as_json)
    if any(finding.status == doctor.BAD for finding in findings):
        sys.exit(FAILED)


def _folder(out: Path) -> Path:
    """Give a run folder; a relative one is below RBH1_REPO_DIR where that is set."""
    return Path(os.environ.get("RBH1_REPO_DIR") or Path.cwd(), out).resolve()


def _make_plan(
    cube: Path | None,
    target: str | None,
    out: Path,
    config: Path | None,
    settings: tuple[str, ...],
) -> "Plan":
    from pipeline import plans

    if cube is None:
        if target is not None:
            raise click.UsageError("--target goes with --cube")
        return plans.twin_plan(_folder(out), config, settings)
    if target is None:
        raise click.UsageError("--cube needs --target: a TOML file or a known name")
    return plans.cube_plan(_folder(out), cube, target, config, settings)


def _tasks(plan: "Plan") -> tuple["Task", ...]:
    from pipeline.graph import build_tasks
    from pipeline.plans import stages_for

    return build_tasks(plan, stages_for(plan.source))


def _run(plan: "Plan", jobs: int | None, as_json: bool, tail: bool) -> None:
    from pipeline import flow, folder, show
    from pipeline.status import save_plan

    tasks = _tasks(plan)
    flow.require_inputs(tasks)
    folder.require_ours(plan.root, tasks)
    # Nothing is changed by a run that does not hold the lock, from the plan to the report.
    with folder.locked(plan.root):
        save_plan(plan, tasks, _say)
        report = _execute(tasks, plan.root, jobs)
        if report.interrupted:
            raise KeyboardInterrupt
        if not report.ok:
            _explain(report)
            sys.exit(COULD_NOT_RUN)
        if tail:
            _tail(plan, as_json)
        else:
            show.paths({"run": plan.root}, as_json)


def _execute(tasks: tuple["Task", ...], root: Path, jobs: int | None) -> "FlowReport":
    from pipeline import flow, folder
    from pipeline.doctor import cores
    from pipeline.outcome import UNCHANGED, Outcome
    from pipeline.progress import Display

    with Display(len(tasks)) as display:

        def observe(outcome: Outcome) -> None:
            if outcome.status != UNCHANGED:
                # What was concluded from the products does not hold for those that are made now.
                folder.clear_results(root)
            display(outcome)

        return flow.run_tasks(tasks, root, jobs or cores(), observe)


def _explain(report: "FlowReport") -> None:
    for outcome in report.outcomes:
        if outcome.failure is None:
            continue
        _say("")
        _say(f"{outcome.task} failed:")
        if _debug():
            _say(outcome.failure.traceback)
        for line in outcome.failure.lines():
            _say(f"  {line}")
    _say("")
    _say("what succeeded is kept; after the repair the same command continues")


def _tail(plan: "Plan", as_json: bool) -> None:
    from pipeline import show
    from pipeline.tail import finish

    report: TailReport = finish(plan.root, _say)
    facts: Mapping[str, Any] = {"verdict": report.verdict, "checks": dict(report.counts)}
    show.paths({"run": plan.root, **report.paths}, as_json, facts)
    if not report.ok:
        for line in report.failures:
            _say(line)
        sys.exit(FAILED)
