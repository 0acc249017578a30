"""Where does the difference of the pointings leave ghosts, and how much of the wake is lost?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.maps import Map
from ard.table import Table
from manifests import Target
from pipeline.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLAIN: Final = "plain_"
DIFFERENCED: Final = "differenced_"
_COLOURS: Final = {"pointings": style.VERMILION, "annulus": style.BLUE, "lowrank": style.BLACK}
_APERTURES: Final = ("tip", "wake")
FRACTION: Final = ("ghost_fraction", "ghost_fraction_err")
MODEL: Final = ("model_fraction", "model_fraction_err")
POINTINGS: Final = "pointings"
_ARCSEC: Final = 3600.0


@dataclass(frozen=True)
class Config:
    """Settings of the figures of ghosts.

    Attributes
    ----------
    percentile : float
        The colour scale of a line ends at this percentile of its map, and minus that.
    largest : float
        Largest fraction that the overview shows.
    """

    percentile: float = 99.5
    largest: float = 0.6


def run(
    *,
    ghostmap: Mapping[str, Map],
    ghosts: Table,
    subtraction: Mapping[str, Any],
    target: Target,
    config: Config,
) -> dict[str, Any]:
    """Draw the lines with and without the other pointing taken off, and the fractions.

    Parameters
    ----------
    ghostmap : mapping of str to Map
        For each item.
    ghosts : Table
        What every method leaves.
    subtraction : mapping
        The document: offsets of the ghosts, and the criterion.
    target : Target
        Its position is the origin of the axes.
    config : Config

    Returns
    -------
    dict
        ``figure`` and ``data``, each a mapping of item to PNG bytes or Table; ``overview`` and
        ``overview_data``.
    """
    offsets = {
        row["item"]: (row["east_arcsec"], row["north_arcsec"]) for row in subtraction["offsets"]
    }
    return {
        "figure": {
            item: _lines(item, linemap, offsets.get(item), target, config)
            for item, linemap in ghostmap.items()
        },
        "data": {item: _values(linemap) for item, linemap in ghostmap.items()},
        "overview": _overview(ghosts, float(subtraction["criterion"]), target, config),
        "overview_data": _fractions(ghosts),
    }


def _lines(
    item: str,
    linemap: Map,
    offset: tuple[float, float] | None,
    target: Target,
    config: Config,
) -> bytes:
    names = [name.removeprefix(PLAIN) for name in linemap.layers if name.startswith(PLAIN)]
    rows = [PLAIN] + [DIFFERENCED] * any(n.startswith(DIFFERENCED) for n in linemap.layers)
    labels = {line.name.lower(): line.label for line in target.lines}
    place = target.anchor
    x0, y0 = (float(v) for v in linemap.wcs.all_world2pix(place.ra_deg, place.dec_deg, 0))
    extent = style.extent(linemap.wcs, linemap.shape, x0, y0)
    with style.style():
        figure = style.new(1.7 * len(names) + 0.8, 2.6 * len(rows) + 0.4)
        grid = figure.subplots(len(rows), len(names), sharex=True, sharey=True, squeeze=False)
        for column, name in zip(grid.T, names, strict=True):
            top = np.abs(linemap[PLAIN + name])
            end = style.limits(top, 0.0, config.percentile)[1]
            for axes, kind in zip(column, rows, strict=True):
                image = axes.imshow(
                    linemap[kind + name], extent=extent, cmap=style.DIVERGING, vmin=-end, vmax=end
                )
                _mark(axes, linemap, (x0, y0), offset if kind == DIFFERENCED else None, target)
            column[0].set_title(labels.get(name, name))
            bar = figure.colorbar(image, ax=list(column), location="bottom", shrink=0.9)
            bar.ax.tick_params(labelsize=6)
        for axes, text in zip(
            grid[:, 0], ("nothing taken off", "other pointing off"), strict=False
        ):
            axes.set_ylabel(f"{text}\ny offset [arcsec]")
        style.compass(grid[0, 0], linemap.wcs)
        figure.suptitle(
            f"{target.name} {item}: line flux [erg s-1 cm-2 arcsec-2]; +: tip, x: its ghost"
            f"{'  (SIMULATED)' if linemap.simulated else ''}",
            fontsize=9,
        )
        return style.png(figure)


def _mark(
    axes: "Axes",
    linemap: Map,
    origin: tuple[float, float],
    offset: tuple[float, float] | None,
    target: Target,
) -> None:
    axes.plot(0, 0, "+", color=style.VERMILION, ms=7, mew=1.2)
    if offset is None:
        return
    place = target.anchor
    ra = place.ra_deg + offset[0] / _ARCSEC / np.cos(np.deg2rad(place.dec_deg))
    x, y = linemap.wcs.all_world2pix(ra, place.dec_deg + offset[1] / _ARCSEC, 0)
    scale = style.pixel_arcsec(linemap.wcs)
    axes.plot(
        (float(x) - origin[0]) * scale, (float(y) - origin[1]) * scale,
        "x", color=style.VERMILION, ms=6, mew=1.2,
    )  # fmt: skip


def _values(linemap: Map) -> Table:
    y, x = np.nonzero(~linemap.mask)
    columns: dict[str, Any] = {"x": x, "y": y}
    for name, values in linemap.layers.items():
        columns[name] = values[y, x] * u.Unit(linemap.units[name])
    return Table(QTable(columns), {"SIMULATD": linemap.simulated})


def _fractions(ghosts: Table) -> Table:
    names = ("item", "aperture", "line", "method", *FRACTION, *MODEL)
    return Table(ghosts.data[list(names)], {"SIMULATD": ghosts.simulated})


def _overview(ghosts: Table, criterion: float, target: Target, config: Config) -> bytes:
    data = ghosts.data
    text = {name: np.asarray(data[name]).astype(str) for name in ("item", "aperture", "line")}
    method = np.asarray(data["method"]).astype(str)
    measured, modelled = (
        [np.asarray(data[n], float) for n in names] for names in (FRACTION, MODEL)
    )
    # What is drawn: label, method, values and errors, colour, and how markers are filled.
    series = [(name, name, measured, colour, colour) for name, colour in _COLOURS.items()]
    series.append(("fitted ghost", POINTINGS, modelled, _COLOURS[POINTINGS], "white"))
    lines = list(dict.fromkeys(text["line"]))
    items = list(dict.fromkeys(text["item"]))
    labels = {line.name: line.label for line in target.lines}
    with style.style():
        figure = style.new(10.5, 3.4)
        panels = figure.subplots(1, len(_APERTURES), sharey=True)
        for axes, aperture in zip(panels, _APERTURES, strict=True):
            axes.axhspan(-criterion, criterion, color=style.GREY, alpha=0.2, lw=0)
            axes.axhline(0.0, color=style.GREY, lw=0.8)
            for k, (label, name, (value, err), colour, fill) in enumerate(series):
                for j, item in enumerate(items):
                    mine = (text["aperture"] == aperture) & (method == name)
                    mine &= (text["item"] == item) & np.isfinite(value)
                    step = 0.2 * (k - 1.5) + 0.08 * (j - 0.5 * (len(items) - 1))
                    x = np.array([lines.index(line) for line in text["line"][mine]]) + step
                    axes.errorbar(
                        x, value[mine], err[mine], fmt="os^v"[j % 4], color=colour, mfc=fill,
                        ms=3.5, lw=0.9, label=f"{label}, {item}",
                    )  # fmt: skip
            axes.set_xticks(range(len(lines)), [labels.get(n, n) for n in lines], rotation=30)
            axes.set_title(aperture)
            axes.set_ylim(-config.largest, config.largest)
        panels[0].set_ylabel("share of the line flux taken off")
        # Beside the panels: errors of faint lines fill both from end to end.
        handles, entries = panels[0].get_legend_handles_labels()
        figure.legend(handles, entries, fontsize=6, loc="outside right center")
        figure.suptitle(
            f"{target.name}: what backgrounds take off; grey: less than {criterion:.0%}"
            f"{'  (SIMULATED)' if ghosts.simulated else ''}",
            fontsize=9,
        )
        return style.png(figure)
