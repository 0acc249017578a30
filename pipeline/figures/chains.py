"""Do the chains of a fit look alike, and what do they say of the parameters together?

Traces and ranks beside each other for the scalars that matter, and below them each pair of these.
Chains that have mixed have ranks that are uniform (Vehtari et al. 2021, BA 16, 667).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.table import QTable
from scipy.stats import rankdata

from ard.cube import FloatArray
from ard.errors import ExtraMissingError
from ard.table import Table
from manifests import Target
from pipeline.figures import style
from pipeline.figures.corner import draw_corner

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

_MOST: Final = 5  # scalars: more cannot be read
_BINS: Final = 20
_POINTS: Final = 1000  # draws of a chain that are drawn
_COLOURS: Final = (style.BLUE, style.VERMILION, style.BLACK, style.COMPASS)


def run(*, chains: Path, summary: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Draw the chains of one fit.

    Parameters
    ----------
    chains : path
        The netCDF file.
    summary : mapping
        The document chain-summary of the same chains.
    target : Target
        For the title.

    Returns
    -------
    dict
        ``figure``: PNG bytes; ``data``: a Table with one row for each plotted value: panel
        (trace, rank), scalar, chain, x, value.
    """
    units = {row["name"]: row["unit"] for row in summary["scalars"]}
    draws = _read(chains, units)
    labels = {name: f"{name} [{units[name]}]" if units[name] else name for name in draws}
    with style.style():
        figure = style.new(9.0, 3.0 * len(draws) + 0.5)
        parts: Any = figure.subfigures(2, 1, height_ratios=[1.0, 1.3])
        top, bottom = parts
        rows = [*_traces(top, draws, labels)]
        draw_corner(bottom, draws, labels)
        note = "  (SIMULATED)" if summary["simulated"] else ""
        title = f"{target.name}, {summary['item']}: {summary['model']}, {summary['verdict']}{note}"
        figure.suptitle(title, fontsize=9)
        picture = style.png(figure)
    columns = ("panel", "scalar", "chain", "x", "value")
    data = QTable(rows=rows, names=columns)
    return {"figure": picture, "data": Table(data, {"SIMULATD": bool(summary["simulated"])})}


def _read(chains: Path, units: Mapping[str, str]) -> dict[str, FloatArray]:
    """Give the draws of the first scalars: derived quantities, then parameters."""
    try:
        import h5netcdf
    except ModuleNotFoundError as error:
        raise ExtraMissingError.for_module("h5netcdf", "reading chains") from error
    with h5netcdf.File(chains, "r") as file:
        group = file.groups["posterior"]
        first = sorted(json.loads(file.attrs["derived"]))
        names = [name for name in (*first, *units) if name in group.variables]
        chosen = list(dict.fromkeys(names))[:_MOST]
        return {name: np.asarray(group.variables[name][...], np.float64) for name in chosen}


def _traces(
    figure: "SubFigure", draws: Mapping[str, FloatArray], labels: Mapping[str, str]
) -> list[tuple[str, str, int, float, float]]:
    rows: list[tuple[str, str, int, float, float]] = []
    axes = figure.subplots(len(draws), 2, squeeze=False)
    for (name, values), (trace, rank) in zip(draws.items(), axes, strict=True):
        n_chain, n_draw = values.shape
        step = -(-n_draw // _POINTS)
        at = np.arange(0, n_draw, step)
        ranks = rankdata(values, method="average").reshape(values.shape)
        edges = np.linspace(0.5, values.size + 0.5, _BINS + 1)
        for chain in range(n_chain):
            colour = _COLOURS[chain % len(_COLOURS)]
            trace.plot(at, values[chain, at], lw=0.5, alpha=0.8, color=colour)
            counts = np.histogram(ranks[chain], edges)[0] / (n_draw / _BINS)
            rank.stairs(counts, np.linspace(0.0, 1.0, _BINS + 1), color=colour)
            rows += [("trace", name, chain, float(x), float(values[chain, x])) for x in at]
            middles = (np.arange(_BINS) + 0.5) / _BINS
            pairs = zip(middles, counts, strict=True)
            rows += [("rank", name, chain, float(x), float(y)) for x, y in pairs]
        rank.axhline(1.0, lw=0.6, color=style.GREY)
        rank.set_ylim(0.0, None)
        trace.set_ylabel(labels[name], fontsize=7)
    axes[-1, 0].set_xlabel("draw")
    axes[-1, 1].set_xlabel("rank of the draw among all")
    return rows
