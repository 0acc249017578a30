"""What can be typed for the velocity that a bow's geometry gives: `rbh1 shocks geometry RUN`.

Exit codes: 0 drawn, 1 the chains have not converged, 2 wrong usage, 3 could not run. stdout carries
the result.
"""

import sys
from pathlib import Path

import click

from pipeline.guard import FAILED, JSON, guarded, say


@click.command("geometry")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--item", required=True, help="The cube, such as t001.")
@click.option("--draws", type=click.IntRange(200), default=4000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@JSON
@guarded
def geometry_command(*, run: Path, item: str, draws: int, seed: int, as_json: bool) -> None:
    """Draw the shock's velocity from the chains of the scene 'bow' of a run.

    The table is a product of the run, and what `rbh1 run --set shocks.geometry=` and `rbh1 shocks
    fit --geometry` take.
    """
    from pipeline import show
    from pipeline.commands import draw_geometry

    made = draw_geometry.draw(run.resolve(), item, draws, seed)
    if made.reasons:
        say(f"the chains have not converged: {'; '.join(made.reasons)}")
        sys.exit(FAILED)
    say(made.sentence)
    show.paths(made.paths, as_json, made.facts)
