"""What do line ratios say about a shock, and on which assumptions does that rest?

Four panels of one spectrum: two ratios among the models, with what was measured; the parameters in
pairs; the velocity under each prior of the field and each floor; how far each line is off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.table import QTable

from ard.cube import FloatArray
from ard.errors import ArdError
from ard.table import Table
from manifests.shocks import ShockAssumptions
from pipeline.figures import style
from pipeline.figures.corner import draw_corner
from pipeline.shocks.draws import Draws, draw, extinctions
from pipeline.shocks.lattice import B, Lattice, V
from pipeline.shocks.likelihood import Datum, errors_for, prepare
from pipeline.shocks.nodes import priors_for
from pipeline.shocks.posterior import Quadrature
from pipeline.shocks.report import Compared

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_COLOURS: Final = (style.BLUE, style.VERMILION, style.BLACK, style.ORANGE, style.GREY)
_POINTS: Final = 1500
_N_DRAW: Final = 4000
_AXES: Final = 2
_FIELDS: Final = 4  # tracks of each set that are drawn
_Row = tuple[str, str, float, float]


@dataclass(frozen=True, eq=False)
class Shown:
    """What the figure is of.

    Attributes
    ----------
    name : str
        The spectrum.
    lattice : Lattice
    datum : Datum
        Its lines.
    draws : Draws
        Of its posterior.
    av_mag : ndarray, shape (n_draw,)
        A_V with each draw: `pipeline.shocks.draws.extinctions`.
    log_oh : ndarray, shape (n_draw,)
        12 + log O/H of each draw's abundance set.
    """

    name: str
    lattice: Lattice
    datum: Datum
    draws: Draws
    av_mag: FloatArray
    log_oh: FloatArray


def shown_of(found: Compared, row: int, assumed: ShockAssumptions, seed: int) -> Shown | None:
    """Give what is drawn of one spectrum: the first prior of b, and each line's own floor.

    Parameters
    ----------
    found : Compared
        A fit is one.
    row : int
        Which spectrum.
    assumed : ShockAssumptions
    seed : int
        Of the draws.

    Returns
    -------
    Shown or None
        None where fewer than two lines are strong, or there is no posterior.
    """
    errors = errors_for(found.lattice.lines, assumed, rounding=found.lattice.source.rounding)
    (datum,) = prepare(found.fluxes.take(slice(row, row + 1)), errors)
    if datum is None or len(datum.strong) < _AXES:
        return None
    choices = priors_for(found.lattice, assumed)[:1]
    quadrature = Quadrature(found.lattice, errors, choices)
    rng = np.random.default_rng(seed)
    drawn = draw(found.lattice, quadrature.priors[0], quadrature.joint(datum), _N_DRAW, rng)
    av = extinctions(found.lattice, datum, drawn, assumed.av_mean_mag, rng)
    oh = np.array([one.log_oh for one in found.lattice.sets])[drawn.sets]
    return Shown(found.spectra[row], found.lattice, datum, drawn, av, oh)


def run(*, shown: Shown, table: Table) -> dict[str, Any]:
    """Draw one spectrum.

    Parameters
    ----------
    shown : Shown
    table : Table
        `pipeline.shocks.report.table_of`, of this and other spectra.

    Returns
    -------
    dict
        ``figure``: PNG bytes; ``data``: a Table with one row for each plotted value: panel
        (ratios, draws, sensitivity, pull), item, x, value.

    Raises
    ------
    ArdError
        If fewer than two lines were compared in log10, or the table lacks the spectrum.
    """
    rows = table.data[table.data["spectrum"] == shown.name]
    if len(shown.datum.strong) < _AXES or not len(rows):
        raise ArdError(
            "there is nothing to draw of this spectrum",
            expected="two strong lines, and rows in the table",
            found=f"{shown.name}: {len(shown.datum.strong)} lines, {len(rows)} rows",
            action="draw another spectrum",
        )
    with style.style():
        figure = style.new(11.0, 9.0)
        parts: Any = figure.subfigures(2, 2)
        made = _ratios(parts[0, 0].subplots(), shown)
        made += _corner(parts[0, 1], shown)
        made += _sensitivity(parts[1, 0].subplots(), rows)
        made += _pulls(parts[1, 1].subplots(), shown)
        note = "  (SIMULATED)" if table.simulated else ""
        fit = f"posterior predictive p {float(rows['p_predictive'][0]):.2g}"
        models = shown.lattice.source.project
        figure.suptitle(f"{shown.name}: {models}, {fit}{note}", fontsize=9)
        picture = style.png(figure)
    data = QTable(rows=made, names=("panel", "item", "x", "value"))
    return {"figure": picture, "data": Table(data, {"SIMULATD": table.simulated})}


def _ratios(axes: "Axes", shown: Shown) -> list[_Row]:
    """Draw tracks of velocity for some fields of each set, and the measured ratios."""
    lattice, datum = shown.lattice, shown.datum
    across, down = (int(k) for k in datum.strong[:2])
    made: list[_Row] = []
    names = [axis.name for axis in lattice.axes]
    for place, one in enumerate(lattice.sets):
        colour, part = _COLOURS[place % len(_COLOURS)], lattice.log_ratio[place]
        void = lattice.void[place]
        # Tracks along the last axis, velocity; other axes than the field at their first value.
        while part.ndim > len(("b", "v", "line")):
            part, void = part[0], void[0]
        part, void = (part, void) if B in names else (part[None], void[None])
        for track in np.unique(np.linspace(0, len(part) - 1, _FIELDS).astype(int)):
            xy = np.where(void[track][:, None], np.nan, part[track][:, [across, down]])
            axes.plot(xy[:, 0], xy[:, 1], color=colour, lw=0.7,
                      label=one.name if track == 0 else None)  # fmt: skip
            made += [("ratios", one.name, float(x), float(y)) for x, y in xy if np.isfinite(x)]
    sigma = np.sqrt(np.diag(np.linalg.inv(datum.precision)))[:2]
    x, y = (float(v) for v in datum.log_ratio[:2])
    axes.errorbar([x], [y], sigma[1:2], sigma[:1], "o", color=style.BLACK, capsize=2)
    made.append(("ratios", "measured", x, y))
    labels = [lattice.line_names[k] for k in (across, down)]
    axes.set(xlabel=f"log {labels[0]} / Ha", ylabel=f"log {labels[1]} / Ha")
    axes.legend(fontsize=6)
    return made


def _corner(figure: "SubFigure", shown: Shown) -> list[_Row]:
    units = {V: "km/s", B: "uG cm^1.5"}
    columns = {
        axis.name: shown.draws.values[:_POINTS, place]
        for place, axis in enumerate(shown.lattice.axes)
    }
    # Sets of which nobody knows the O/H have none to be drawn.
    if np.isfinite(shown.log_oh).all():
        columns["log_oh"] = shown.log_oh[:_POINTS]
    columns["A_V"] = shown.av_mag[:_POINTS]
    labels = {name: f"{name} [{units[name]}]" if name in units else name for name in columns}
    draw_corner(figure, columns, labels)
    return [
        ("draws", name, float(k), float(v))
        for name, values in columns.items()
        for k, v in enumerate(values)
    ]


def _sensitivity(axes: "Axes", rows: Any) -> list[_Row]:
    """Draw median, 68 and 95 % of the velocity for each row of the table."""
    made: list[_Row] = []
    labels: list[str] = []
    for at, row in enumerate(rows):
        colour = _COLOURS[sorted(set(rows["prior"])).index(row["prior"]) % len(_COLOURS)]
        q = [float(row[f"v_p{k}"]) for k in ("025", "160", "500", "840", "975")]
        axes.plot([q[0], q[4]], [at, at], color=colour, lw=0.8)
        axes.plot([q[1], q[3]], [at, at], color=colour, lw=2.5)
        axes.plot([q[2]], [at], "o", color=colour, ms=3)
        labels.append(f"{row['prior']}, {row['floor']}")
        made += [("sensitivity", labels[-1], float(at), value) for value in q]
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
    axes.set(xlabel="velocity of the shock [km/s]", title="prior of b, floor [dex]")
    return made


def _pulls(axes: "Axes", shown: Shown) -> list[_Row]:
    """Draw how far each line is off, in its own errors, over the posterior."""
    names, pulls = pulls_of(shown)
    middle, spread = pulls.mean(axis=0), pulls.std(axis=0)
    at = np.arange(len(names))
    axes.axvspan(-1.0, 1.0, color=style.PALE, lw=0)
    axes.axvline(0.0, color=style.GREY, lw=0.6)
    axes.errorbar(middle, at, xerr=spread, fmt="o", color=style.BLUE, capsize=2)
    axes.set_yticks(at, names, fontsize=7)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set(xlabel="(measured - model) / error")
    return [("pull", name, float(x), float(s)) for name, x, s in zip(
        names, middle, spread, strict=True)]  # fmt: skip


def pulls_of(shown: Shown) -> tuple[Sequence[str], FloatArray]:
    """Give the lines that were compared in log10, and how far each draw is off, (n_draw, n_line).

    In standard deviations of the measurement, the floor and A_V together.
    """
    lattice, datum = shown.lattice, shown.datum
    nodes = lattice.nearest(shown.draws.x)
    models = lattice.log_ratio[(shown.draws.sets, *nodes)][:, datum.strong]
    sigma = np.sqrt(np.diag(np.linalg.inv(datum.precision)))
    return [lattice.line_names[k] for k in datum.strong], (datum.log_ratio - models) / sigma
