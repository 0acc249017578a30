"""What can be typed about campaigns: `rbh1 campaign create`, `work`, `status`, `requeue`, `export`.

Exit codes: 0 good, 1 tasks are dead or answers differ, 2 wrong usage, 3 could not run. stdout
carries the result, stderr the progress.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.guard import FAILED, JSON, USAGE, guarded, say, stop

if TYPE_CHECKING:
    from pipeline.commands.campaign_run import Place

_FILE = click.Path(path_type=Path)


@click.group("campaign")
def campaign() -> None:
    """Many galaxies, held against a cube by many workers."""


def _place(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says which campaign is meant."""
    for option in (
        click.argument("run", type=_FILE),
        click.option("--name", default="edge-on", show_default=True, help="The campaign."),
        click.option("--database", help="Its database (default: RBH1_DATABASE_URL, or a file)."),
    ):
        function = option(function)
    return function


_BROKER = click.option("--broker", help="Its broker (default: RBH1_BROKER_URL, or embedded).")


@campaign.command("create")
@_place
@click.option("--item", required=True, help="The cube, such as t001.")
@click.option("--models", type=click.IntRange(1), default=10000, show_default=True,
              help="Galaxies.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--kind", type=click.Choice(["sobol", "random"]), default="sobol", show_default=True,
              help="How they are drawn from the prior.")  # fmt: skip
@click.option("--table", type=_FILE, help="ECSV file with galaxies, instead of draws.")
@click.option("--disc", type=click.Choice(["mn3", "double-exponential", "razor"]), default="mn3",
              show_default=True)  # fmt: skip
@click.option("--halo", type=click.Choice(["nfw", "compact"]), default="nfw", show_default=True)
@click.option("--chains", multiple=True, metavar="MODEL", help="A scene to fit as well.")
@click.option("--chain-seeds", type=click.IntRange(1), default=1, show_default=True,
              help="Fits of each scene, with seeds from 1 on.")  # fmt: skip
@click.option("--bound", type=click.IntRange(1), default=4096, show_default=True,
              help="Tasks that a queue holds at most.")  # fmt: skip
@click.option("--lease", type=click.FloatRange(0.0, min_open=True), default=600.0,
              show_default=True, help="Seconds that a silent worker keeps its tasks.")  # fmt: skip
@click.option("--deliveries", type=click.IntRange(1), default=5, show_default=True,
              help="Tries of a task, until it is dead.")  # fmt: skip
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE",
              help="Of dynamics, cut, batches or sampling: dynamics.q_least=1.2.")  # fmt: skip
@JSON
@guarded
def create_command(
    *, run: Path, name: str, database: str | None, as_json: bool, **about: Any
) -> None:
    """Create a campaign for an item of a finished run; nothing is computed yet."""
    from ard.errors import ArdError
    from pipeline.commands import campaign_run, campaign_show

    try:
        settings = campaign_show.settings_of(name, about)
    except ArdError as error:
        stop(error, USAGE)
    place = campaign_run.Place(run.resolve(), name, database)
    made, new = campaign_run.create(place, settings, about["table"])
    say(f"campaign {made.name} was created" if new else f"campaign {made.name} is there already")
    campaign_show.created(made, as_json)


@campaign.command("work")
@_place
@_BROKER
@click.option("--role", type=click.Choice(["dynamics", "likelihood", "chains", "all"]),
              required=True)  # fmt: skip
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True,
              help="Processes for dynamics and chains.")  # fmt: skip
@click.option("--patience", type=click.FloatRange(0.0), default=300.0, show_default=True,
              help="Seconds to wait for a broker or database that is away.")  # fmt: skip
@JSON
@guarded
def work_command(*, role: str, jobs: int, patience: float, as_json: bool, **where: Any) -> None:
    """Work on a campaign until nothing is left to do.

    The first Ctrl-C or SIGTERM lets the worker finish its batch. Whatever stops it, nothing is
    lost, and the same command goes on.
    """
    from pipeline.commands import campaign_run, campaign_show
    from pipeline.falsify.campaign.patience import Pace

    asked = campaign_run.Asked(role, jobs, Pace(patience_s=patience))
    ended = campaign_run.work(_where(**where), asked, say)
    campaign_show.ended(ended, as_json)
    if ended.complete and not ended.sound:
        say("tasks are dead, or answers differ: rbh1 campaign status")
        sys.exit(FAILED)


@campaign.command("status")
@_place
@_BROKER
@JSON
@guarded
def status_command(*, as_json: bool, **where: Any) -> None:
    """Say how far a campaign is, how fast it goes, and what went wrong."""
    from pipeline.commands import campaign_run, campaign_show

    campaign_show.status(campaign_run.state(_where(**where)), as_json)


@campaign.command("requeue")
@_place
@_BROKER
@click.option("--dead", is_flag=True, help="Try again what was given up.")
@JSON
@guarded
def requeue_command(*, dead: bool, as_json: bool, **where: Any) -> None:
    """Empty the queues, and let workers fill them with what the database lacks."""
    from pipeline.commands import campaign_run, campaign_show

    campaign_show.requeued(campaign_run.requeue(_where(**where), dead=dead), as_json)


@campaign.command("export")
@_place
@click.option("--bow-starts", type=click.IntRange(0), default=12, show_default=True,
              help="Searches for the best bow shock; 0: hold against the best galaxy.")  # fmt: skip
@click.option("--injections", type=click.IntRange(0), default=0, show_default=True,
              help="Galaxies to inject for a verdict, and a tenth as many bow shocks.")  # fmt: skip
@click.option("--disc/--no-disc", default=True, show_default=True,
              help="Search the best disc, and fit the saturated scene.")  # fmt: skip
@click.option("--best", type=click.IntRange(1), default=3, show_default=True,
              help="Best galaxies to keep.")  # fmt: skip
@click.option("--spread", type=click.IntRange(0), default=5, show_default=True,
              help="Others to keep, of those that survive.")  # fmt: skip
@JSON
@guarded
def export_command(
    *, run: Path, name: str, database: str | None, as_json: bool, **about: Any
) -> None:
    """Put what a campaign found among the products of its run: table, surface, best galaxies.

    Exits with 1 if the campaign is not complete, or answers differ; all is exported then too.
    """
    from pipeline import show
    from pipeline.commands import campaign_export
    from pipeline.commands.campaign_compare import Asked
    from pipeline.commands.campaign_run import Place

    asked = Asked(
        about["bow_starts"], about["injections"], about["disc"], about["best"], about["spread"]
    )
    found = campaign_export.export(Place(run.resolve(), name, database), asked, say)
    document = found.document
    facts = {
        "sentence": found.sentence,
        "complete": document["complete"],
        "verdict": document["exclusion"]["verdict"],
        "counts": document["counts"],
    }
    show.paths(found.paths, as_json, facts)
    if not document["complete"] or document["campaign"]["conflicts"]:
        say("the campaign is not complete, or answers differ: rbh1 campaign status")
        sys.exit(FAILED)


def _where(*, run: Path, name: str, database: str | None, broker: str | None) -> "Place":
    from pipeline.commands.campaign_run import Place

    return Place(run.resolve(), name, database, broker)
