"""What do the lines of the most telling aperture of each cube say of a shock?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astropy.table import QTable

from ard.table import Table
from manifests.shocks import ShockAssumptions
from pipeline.figures import style

if TYPE_CHECKING:  # a plan knows the settings of all figures, and draws none
    from pipeline.figures.shocks import Shown
    from pipeline.shocks.report import Compared


@dataclass(frozen=True)
class Config:
    """Settings of the figures of shocks.

    Attributes
    ----------
    spectrum : str
        The spectrum to draw, aperture and method; where it has too few lines, the first that has
        enough is drawn in its place.
    seed : int
        Of the draws that are shown.
    """

    spectrum: str = "tip/optimal"
    seed: int = 1


def run(
    *,
    fluxes: Mapping[str, Table],
    tables: Mapping[str, Table],
    verdicts: Mapping[str, Mapping[str, Any]],
    grid: Mapping[str, Any],
    assumed: ShockAssumptions,
    config: Config,
) -> dict[str, Any]:
    """Draw one spectrum of each item among the models, with its posterior.

    Parameters
    ----------
    fluxes, tables : mapping of str to Table
        Line fluxes, and what the stage `shocks` made of them, of each item.
    verdicts : mapping of str to mapping
        The document shock-verdicts of each item.
    grid : mapping
        As of `pipeline.shocks.stage.run`.
    assumed : ShockAssumptions
    config : Config

    Returns
    -------
    dict
        ``figure`` and ``data``, each a mapping of item to PNG bytes or Table.
    """
    from pipeline.figures import shocks
    from pipeline.shocks.measured import read_measured
    from pipeline.shocks.report import compared
    from pipeline.shocks.stage import grid_of

    models = grid_of(grid)
    made: dict[str, dict[str, Any]] = {"figure": {}, "data": {}}
    for item, table in fluxes.items():
        given = compared(models, read_measured(table), verdicts[item]["grid"]["log_n"])
        shown = next(_drawable(given, assumed, config), None)
        if shown is None:
            drawn = _nothing(item, tables[item])
        else:
            drawn = shocks.run(shown=shown, table=tables[item])
        for name, product in drawn.items():
            made[name][item] = product
    return made


def _drawable(given: "Compared", assumed: ShockAssumptions, config: Config) -> Iterator["Shown"]:
    from pipeline.figures.shocks import shown_of

    order = sorted(range(len(given.spectra)), key=lambda k: given.spectra[k] != config.spectrum)
    for row in order:
        if (shown := shown_of(given, row, assumed, config.seed)) is not None:
            yield shown


def _nothing(item: str, table: Table) -> dict[str, Any]:
    """Say that there is nothing to draw, in place of a figure."""
    with style.style():
        figure = style.new(6.0, 1.5)
        text = "no spectrum has two strong lines beside H alpha that the grid has"
        figure.text(0.5, 0.5, f"{item}: {text}", ha="center", va="center")
        picture = style.png(figure)
    data = QTable(names=("panel", "item", "x", "value"), dtype=(str, str, float, float))
    return {"figure": picture, "data": Table(data, {"SIMULATD": table.simulated})}
