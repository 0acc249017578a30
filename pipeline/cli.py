"""What can be typed: acquire, import, plan, run, demo, fit, shocks, campaign, status, doctor.

Exit codes: 0 good, 1 a check failed, 2 wrong usage, 3 could not run. stdout carries the result,
stderr the log. Modules are imported by the verb that needs them: help is there at once.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.acquire.cli import acquire
from pipeline.commands.campaign import campaign
from pipeline.commands.fit import fit_command
from pipeline.commands.shocks import shocks
from pipeline.guard import COULD_NOT_RUN, FAILED, JSON, USAGE, debug, guarded, say, stop

if TYPE_CHECKING:
    from pipeline.graph import Plan, Task
    from pipeline.outcome import FlowReport
    from pipeline.tail import TailReport

_FILE = click.Path(path_type=Path)


def _usage(make: Callable[[], "Plan"]) -> "Plan":
    """Make a plan; what is wrong with it is wrong usage."""
    from ard.errors import ArdError

    try:
        return make()
    except ArdError as error:
        stop(error, USAGE)


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every verb with a plan has."""
    for option in (
        click.option("--cube", type=_FILE, help="A JWST s3d file; without it, a simulation."),
        click.option("--acquired", is_flag=True, help="The cubes that rbh1 acquire fetched."),
        click.option("--store", type=_FILE, help="Their store (default: RBH1_DATA_DIR)."),
        click.option("--lock", "lock_file", type=_FILE, help="Their lock (default: the study's)."),
        click.option("--selection", help="Their selection (default: the one of the lock)."),
        click.option("--x1d", type=_FILE, help="The archive's spectrum of that cube."),
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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rbh1-ard", prog_name="rbh1")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:
    """From archive files to the products of the RBH-1 study."""


cli.add_command(acquire)
cli.add_command(fit_command)
cli.add_command(campaign)
cli.add_command(shocks)


@cli.command("import")
@click.argument("file", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="The s3d file to write.")
@click.option(
    "--convention",
    type=click.Choice(["radio", "optical"]),
    help="How velocities are counted, where the file does not say.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@JSON
@guarded
def import_command(
    *, file: Path, out: Path, convention: str | None, overwrite: bool, as_json: bool
) -> None:
    """Turn a cube of a radio interferometer into one that `rbh1 run --cube` takes."""
    from pipeline import show
    from pipeline.commands import radio

    cube = radio.import_radio_cube(file, out, convention=convention, overwrite=overwrite)
    say(repr(cube))
    show.paths({"cube": out}, as_json)


@cli.command("plan")
@_options
@_JOBS
@JSON
@guarded
def plan_command(*, jobs: int | None, as_json: bool, **about: Any) -> None:
    """Say which tasks a run would execute, why, and about how long it would take."""
    plan = _usage(lambda: _make_plan(**about))
    tasks = _tasks(plan)
    from pipeline import flow, folder, show
    from pipeline.doctor import cores

    folder.require_ours(plan.root, tasks)
    report = flow.plan_tasks(tasks, plan.root)
    show.plan(report, tasks, plan.root, jobs or cores(), as_json)


@cli.command("run")
@_options
@_JOBS
@JSON
@click.option("--no-bundle", is_flag=True, help="Stop after the stages.")
@guarded
def run_command(*, jobs: int | None, as_json: bool, no_bundle: bool, **about: Any) -> None:
    """Run the stages, judge the products, and make the bundle and the report.

    What is current is not repeated, so the same command continues a run that was stopped.
    """
    plan = _usage(lambda: _make_plan(**about))
    _run(plan, jobs, as_json, tail=not no_bundle)


@cli.command("demo")
@click.option("--out", type=_FILE, default=Path("demo-run"), show_default=True)
@click.option("--truth", help="The scene to simulate (bow_ring, disc, ...).")
@click.option("--size", help="The size of the simulation (tiny, demo, full).")
@click.option("--seed", type=int, help="Seed of its noise.")
@click.option("--set", "settings", multiple=True, metavar="STAGE.KEY=VALUE")
@_JOBS
@JSON
@guarded
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
@JSON
@guarded
def status_command(*, folder: Path, as_json: bool) -> None:
    """Say how far a run is: done, pending, failed."""
    from pipeline import show
    from pipeline.status import status_of

    show.status(status_of(_folder(folder)), as_json)


@cli.command("doctor")
@JSON
@guarded
def doctor_command(*, as_json: bool) -> None:
    """Look at Python, packages, environment, import names, cores, memory, disk and devices."""
    from pipeline import doctor, findings, show

    found = doctor.examine(os.environ, Path.cwd())
    show.doctor(found, as_json)
    if any(finding.status == findings.BAD for finding in found):
        sys.exit(FAILED)


def _folder(out: Path) -> Path:
    """Give a run folder; a relative one is below RBH1_REPO_DIR where that is set."""
    return Path(os.environ.get("RBH1_REPO_DIR") or Path.cwd(), out).resolve()


def _make_plan(
    *,
    cube: Path | None,
    x1d: Path | None,
    acquired: bool,
    store: Path | None,
    lock_file: Path | None,
    selection: str | None,
    target: str | None,
    out: Path,
    config: Path | None,
    settings: tuple[str, ...],
) -> "Plan":
    from pipeline import plans

    root = _folder(out)
    if acquired:
        if cube is not None or x1d is not None or target is not None:
            raise click.UsageError("--acquired goes without --cube, --x1d and --target")
        from pipeline.acquire.settings import data_dir

        folder = data_dir(os.environ, store)
        return plans.archive_plan(root, folder, lock_file, selection, config, settings)
    if any(given is not None for given in (store, lock_file, selection)):
        raise click.UsageError("--store, --lock and --selection go with --acquired")
    if cube is None:
        if target is not None:
            raise click.UsageError("--target goes with --cube")
        if x1d is not None:
            raise click.UsageError("--x1d goes with --cube")
        return plans.twin_plan(root, config, settings)
    if target is None:
        raise click.UsageError("--cube needs --target: a TOML file or a known name")
    return plans.cube_plan(root, cube, target, config, settings, x1d=x1d)


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
        save_plan(plan, tasks, say)
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
        say("")
        say(f"{outcome.task} failed:")
        if debug():
            say(outcome.failure.traceback)
        for line in outcome.failure.lines():
            say(f"  {line}")
    say("")
    say("what succeeded is kept; after the repair the same command continues")


def _tail(plan: "Plan", as_json: bool) -> None:
    from pipeline import show
    from pipeline.tail import finish

    report: TailReport = finish(plan.root, say)
    facts: Mapping[str, Any] = {"verdict": report.verdict, "checks": dict(report.counts)}
    show.paths({"run": plan.root, **report.paths}, as_json, facts)
    if not report.ok:
        for line in report.failures:
            say(line)
        sys.exit(FAILED)
