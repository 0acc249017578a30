"""What can be typed to hold line ratios against shocks: `rbh1 shocks fit ratios.ecsv --grid G`.

Exit codes: 0 fitted, 2 wrong usage, 3 could not run. stdout carries the verdicts, stderr what the
grid cannot say.
"""

import json
from pathlib import Path

import click

from pipeline.guard import JSON, guarded, say

_FILE = click.Path(path_type=Path)


@click.command("fit")
@click.argument("table", type=_FILE)
@click.option("--grid", default="toy", show_default=True,
              help="The path of an imported grid, 3mdbs, or toy, which is synthetic.")  # fmt: skip
@click.option("--log-n", type=float, default=0.0, show_default=True,
              help="log10 of the density of the models, cm-3.")  # fmt: skip
@click.option("--geometry", type=_FILE, help="Draws of the geometry's velocity (column v_shock).")
@click.option("--out", type=_FILE, help="The ECSV file to write: every prior and floor.")
@click.option("--figures", type=_FILE, help="The folder for a figure of each spectrum.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@JSON
@guarded
def fit_shocks(
    *,
    table: Path,
    grid: str,
    log_n: float,
    geometry: Path | None,
    out: Path | None,
    figures: Path | None,
    overwrite: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Say which shocks make the lines of TABLE, and whether that can be told.

    TABLE is the line-flux table of a run, or an ECSV of log10 ratios to H alpha.
    """
    from pipeline.commands.fit_lines import Asked, fit_file
    from pipeline.shocks import report

    asked = Asked(table, grid, log_n, geometry)
    found = fit_file(asked, out=out, figures=figures, overwrite=overwrite, workers=workers)
    for note in found.notes:
        say(note)
    document = report.document_of(found)
    if as_json:
        click.echo(json.dumps(document, indent=2, sort_keys=True))
        return
    for row in document["verdicts"]:
        click.echo(f"{row['spectrum']} {row['criterion']}: {row['verdict']}: {row['sentence']}")
