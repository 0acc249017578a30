"""What can be typed to fit a scene: `rbh1 fit RUN --item t001 --model jump`.

Exit codes: 0 the chains have converged, 1 they have not (the budget ended), 2 wrong usage, 3 could
not run. stdout carries the result, stderr the progress.
"""

import sys
from pathlib import Path

import click

from pipeline.guard import FAILED, JSON, USAGE, guarded, say, stop


@click.command("fit")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--item", required=True, help="The cube, such as t001.")
@click.option("--model", required=True, help="The scene (jump, bow, disc).")
@click.option("--draws", type=click.IntRange(8), default=500, show_default=True,
              help="Draws of each chain before the gate is asked.")  # fmt: skip
@click.option("--most", type=click.IntRange(8), default=4000, show_default=True,
              help="Draws of each chain at most.")  # fmt: skip
@click.option("--warmup", type=click.IntRange(1), default=250, show_default=True,
              help="Draws in which the sampler learns, 60 or more; not kept.")  # fmt: skip
@click.option("--starts", type=click.IntRange(1), default=24, show_default=True,
              help="Draws of the prior from which maxima are looked for.")  # fmt: skip
@click.option("--acceptance", type=click.FloatRange(0.5, 1.0, min_open=True, max_open=True),
              help="Acceptance that steps are to have (default: the scene's).")  # fmt: skip
@click.option("--wall", type=click.FloatRange(0.0), help="Seconds after which it stops.")
@click.option("--chains", type=click.IntRange(1), default=4, show_default=True,
              help="How many; the gate asks for 4 or more.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="From 0 to 2^32 - 1.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True,
              help="Processes in which chains are computed; the draws are the same.")  # fmt: skip
@click.option("--store", help="Database of the chains (default: RBH1_DATABASE_URL, or a file).")
@JSON
@guarded
def fit_command(
    *,
    run: Path,
    item: str,
    model: str,
    draws: int,
    most: int,
    warmup: int,
    starts: int,
    acceptance: float | None,
    wall: float | None,
    chains: int,
    seed: int,
    jobs: int,
    store: str | None,
    as_json: bool,
) -> None:
    """Fit a scene to the tip in a cube of a finished run, with chains that survive.

    The same command goes on where an earlier one stopped, whatever stopped it.
    """
    from ard.errors import ArdError
    from pipeline import show
    from pipeline.commands import fit_scene
    from pipeline.fit_inputs import inputs_of
    from pipeline.infer.fit import Fit, require_passable
    from pipeline.infer.scenes import scene

    root = run.resolve()
    try:
        chosen = scene(model)
        fit = Fit(
            n_chain=chains,
            seed=seed,
            n_start=starts,
            n_warmup=warmup,
            n_first=draws,
            n_most=max(draws, most),
            wall_s=float("inf") if wall is None else wall,
            acceptance=chosen.acceptance if acceptance is None else acceptance,
        )
        require_passable(fit)
    except ArdError as error:
        stop(error, USAGE)
    inputs = inputs_of(root, item)
    report = fit_scene.fit_item(inputs, model, fit, store_url=store, jobs=jobs, say=say)
    say(report.sentence)
    facts = (
        report.facts
        if as_json
        else {k: v for k, v in report.facts.items() if k not in ("scalars", "modes")}
    )
    show.paths(report.paths, as_json, facts)
    if not report.passed:
        sys.exit(FAILED)
