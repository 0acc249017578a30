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
@click.option("--grid", "grids", multiple=True, default=("toy",), show_default=True,
              help="The path of an imported grid, 3mdbs or 3mdbs:PROJECT:COMPONENT, or toy, which "
              "is synthetic. Given again, grids are compared side by side.")  # fmt: skip
@click.option(
    "--precursor",
    default="",
    help="The grid of the precursors of these shocks: a part of their light is added.",
)
@click.option("--stars", type=_FILE,
              help="NB_HII_grid.fits.gz of NebulaBayes: of lines that no shock makes it is asked "
              "whether stars do, alone or with a shock.")  # fmt: skip
@click.option("--log-n", type=float, default=0.0, show_default=True,
              help="log10 of the density of the models, cm-3.")  # fmt: skip
@click.option("--geometry", type=_FILE, help="Draws of the geometry's velocity (column v_shock).")
@click.option("--out", type=_FILE, help="The ECSV file to write: every prior and floor.")
@click.option("--figures", type=_FILE, help="The folder for a figure of each spectrum.")
@click.option("--chains", type=_FILE,
              help="The folder for chains of each spectrum, by NUTS, for an archive.")  # fmt: skip
@click.option("--draws", type=click.IntRange(8), default=4000, show_default=True,
              help="Of each chain, at most.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@JSON
@guarded
def fit_shocks(
    *,
    table: Path,
    grids: tuple[str, ...],
    precursor: str,
    stars: Path | None,
    log_n: float,
    geometry: Path | None,
    out: Path | None,
    figures: Path | None,
    chains: Path | None,
    draws: int,
    overwrite: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Say which shocks make the lines of TABLE, and whether that can be told.

    TABLE is the line-flux table of a run, or an ECSV of log10 ratios to H alpha.
    """
    from pipeline.commands.fit_lines import Asked, Wanted, fit_file, rivals, side_by_side
    from pipeline.shocks import report
    from pipeline.shocks.stars import document_of

    wanted = Wanted(out, figures, chains, draws, overwrite)
    asked = [Asked(table, grid, log_n, geometry, precursor) for grid in grids]
    if len(asked) == 1:
        fits = [fit_file(asked[0], wanted, workers)]
    else:
        fits = side_by_side(asked, wanted, workers)
        if len({found.lines for found in fits}) > 1:
            say("the grids have different lines: their evidences are not of the same data")
    for note in dict.fromkeys(note for found in fits for note in found.notes):
        say(note)
    documents = [report.document_of(found) for found in fits]
    if stars is not None:
        for found, document in zip(fits, documents, strict=True):
            document["alternatives"] = document_of(rivals(found, stars))
    if as_json:
        named = [{"grid": grid, **one} for grid, one in zip(grids, documents, strict=True)]
        content = documents[0] if len(named) == 1 else {"grids": named}
        click.echo(json.dumps(content, indent=2, sort_keys=True))
        return
    for grid, document in zip(grids, documents, strict=True):
        before = f"{grid}: " if len(grids) > 1 else ""
        for row in document["verdicts"]:
            words = f"{row['spectrum']} {row['criterion']}: {row['verdict']}: {row['sentence']}"
            click.echo(f"{before}{words}")
        for row in document.get("alternatives", []):
            words = f"{row['spectrum']} made by: {row['maker']}: {row['sentence']}"
            click.echo(f"{before}{words}")
