"""What does the surface of a campaign look like, and which filter rejects how much?

All are drawn from the surface document. Values that rest on few models are no facts: they are drawn
hollow or dotted, and have no colour.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.table import QTable

from ard.cube import FloatArray
from ard.table import Table
from pipeline.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS: Final = {
    "vmax_kms": "Vmax",
    "log_m_halo": "log halo mass",
    "r_d_kpc": "scale length",
    "h_z_kpc": "thickness",
    "inclination_deg": "inclination",
    "gas_fraction": "gas fraction",
    "offset_kpc": "centre offset",
}
_COLUMNS: Final = 4
_EDGE: Final = 0.06  # of the range, above and below
_FAR: Final = 1.5  # ranges: a reference further away is said, not drawn


def profiles(*, surface: Mapping[str, Any]) -> dict[str, Any]:
    """Draw profile and marginal ln L over each parameter.

    Parameters
    ----------
    surface : mapping
        The surface document.

    Returns
    -------
    dict
        ``figure``: PNG bytes; ``data``: a Table with one row for each cell.
    """
    rows = surface["profiles"]
    across = min(_COLUMNS, max(len(rows), 1))
    down = max(-(-len(rows) // across), 1)
    with style.style():
        figure = style.new(3.0 * across, 2.6 * down + 0.9)
        panels = np.ravel(np.asarray(figure.subplots(down, across, squeeze=False)))
        for panel, row in zip(panels, rows, strict=False):
            _draw_profile(panel, row)
            shown = _labelled(row["name"], row["unit"])
            panel.set_xlabel(shown)
        for panel in panels[len(rows) :]:
            panel.set_axis_off()
        for panel in panels[::across]:
            panel.set_ylabel("ln L - ln L (reference)")
        reference = f"reference: {_reference(surface)}"
        if rows:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)
        figure.suptitle(f"{_title(surface)}: likelihood of the galaxy\n{reference}", fontsize=9)
        picture = style.png(figure)
    return {"figure": picture, "data": _table(surface, _profile_rows(rows), _PROFILE)}


def _draw_profile(axes: "Axes", row: Mapping[str, Any]) -> None:
    edges = np.asarray(row["edges"], np.float64)
    middle = 0.5 * (edges[1:] + edges[:-1])
    best, mean = _array(row["best"]), _array(row["log_mean"])
    halves = np.stack([_array(row["best_first"]), _array(row["best_second"])])
    _stairs(axes, row)
    low = np.nanmin(np.where(np.isfinite(halves), halves, np.inf), axis=0)
    shown = np.isfinite(low) & np.isfinite(best)
    axes.vlines(middle[shown], low[shown], best[shown], color=style.BLUE, lw=3, alpha=0.25,
                label="with half of the models")  # fmt: skip
    few = np.asarray(row["marginal_flagged"], np.bool_)
    for chosen, fill, label in ((~few, style.VERMILION, "marginal (mean likelihood)"),
                                (few, "none", "of few models")):  # fmt: skip
        at = chosen & np.isfinite(mean)
        error = np.where(few, 0.0, np.nan_to_num(_array(row["log_mean_error"])))
        axes.errorbar(middle[at], mean[at], error[at], fmt="o", ms=4, color=style.VERMILION,
                      mfc=fill, lw=1, label=label)  # fmt: skip
    _limit(axes, np.concatenate([best, mean, low]))
    axes.locator_params(axis="x", nbins=5)


def _stairs(axes: "Axes", row: Mapping[str, Any]) -> None:
    """Draw the best model of each cell, dotted where too few were evaluated."""
    edges, best = np.asarray(row["edges"], np.float64), _array(row["best"])
    thin = np.asarray(row["profile_flagged"], np.bool_)
    for hidden, look, label in ((thin, "-", "profile (best model)"), (~thin, ":", "of few models")):
        shown = np.where(hidden, np.nan, best)
        axes.stairs(shown, edges, baseline=None, color=style.BLUE, ls=look, label=label)


def _limit(axes: "Axes", values: FloatArray) -> None:
    """Show all values, and the reference at zero if it is not far from them."""
    good = values[np.isfinite(values)]
    if not good.size:
        return
    low, high = float(good.min()), float(good.max())
    span = max(high - low, 1.0)
    if high < 0.0 <= high + _FAR * span:
        high = 0.0
    if high < 0.0:
        axes.annotate(f"reference {-high:.0f} above", (0.02, 0.98), xycoords="axes fraction",
                      va="top", fontsize=7, color=style.GREY)  # fmt: skip
    else:
        axes.axhline(0.0, color=style.BLACK, lw=0.8, ls="--")
    axes.set_ylim(low - _EDGE * span, high + 2.0 * _EDGE * span)


def pairs(*, surface: Mapping[str, Any]) -> dict[str, Any]:
    """Draw profile (below) and marginal ln L (above) over each two parameters.

    Parameters
    ----------
    surface : mapping
        The surface document.

    Returns
    -------
    dict
        ``figure``: PNG bytes; ``data``: a Table with one row for each cell.
    """
    names = [row["name"] for row in surface["profiles"]]
    units = {row["name"]: row["unit"] for row in surface["profiles"]}
    size = max(len(names), 1)
    bottom, top = _scale(surface["pairs"])
    level = max((row["delta_chi2"] for row in surface["within"]), default=0.0)
    with style.style():
        figure = style.new(1.55 * size + 1.6, 1.45 * size + 1.2)
        panels = np.asarray(figure.subplots(size, size, squeeze=False))
        for i, row in enumerate(surface["profiles"]):
            _diagonal(panels[i, i], row)
        image = None
        for row in surface["pairs"]:
            i, j = names.index(row["first"]), names.index(row["second"])
            image = _draw_pair(panels[j, i], row, "best", (bottom, top), level)
            _draw_pair(panels[i, j], row, "log_mean", (bottom, top), level)
        _outside(panels, names, units)
        if image is not None:
            bar = figure.colorbar(image, ax=panels.ravel().tolist(), aspect=40, pad=0.01)
            bar.set_label("ln L - ln L (reference)")
            if bottom <= 0.0 <= top:
                bar.ax.axhline(0.0, color=style.VERMILION, lw=2)
        away = "" if top >= 0.0 else f", {-top:.0f} above the scale"
        figure.suptitle(
            f"{_title(surface)}: profile (below), marginal (above); pale: of too few models\n"
            f"reference: {_reference(surface)}{away}; dots: within {level:g} of it", fontsize=9
        )  # fmt: skip
        picture = style.png(figure)
    return {"figure": picture, "data": _table(surface, _pair_rows(surface["pairs"]), _PAIR)}


def _scale(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    values = [_array(row[name]).ravel() for row in rows for name in ("best", "log_mean")]
    return style.limits(np.concatenate(values) if values else np.zeros(0), 5.0, 100.0)


def _diagonal(axes: "Axes", row: Mapping[str, Any]) -> None:
    edges, best = np.asarray(row["edges"], np.float64), _array(row["best"])
    _stairs(axes, row)
    axes.set_xlim(edges[0], edges[-1])
    good = best[np.isfinite(best)]
    if good.size:
        span = max(float(np.ptp(good)), 1.0)
        axes.set_ylim(good.min() - _EDGE * span, good.max() + _EDGE * span)


def _draw_pair(
    axes: "Axes", row: Mapping[str, Any], what: str, scale: tuple[float, float], level: float
) -> Any:
    """Draw one map of colours: the first parameter across below the diagonal, else down."""
    x, y = (np.asarray(row[f"edges_{one}"], np.float64) for one in ("first", "second"))
    values = _array(row[what])
    which = "profile_flagged" if what == "best" else "marginal_flagged"
    shown = np.where(np.asarray(row[which], np.bool_), np.nan, values)
    across, down, colours = (x, y, shown.T) if what == "best" else (y, x, shown)
    axes.set_facecolor(style.PALE)
    image = axes.pcolormesh(across, down, np.ma.masked_invalid(colours), cmap=style.SEQUENTIAL,
                            vmin=scale[0], vmax=scale[1])  # fmt: skip
    if what == "best":
        # One galaxy that survives is enough, however few were tried there.
        delta_chi2 = -2.0 * values.T
        middle = [0.5 * (edges[1:] + edges[:-1]) for edges in (across, down)]
        rows_, columns = np.nonzero(delta_chi2 <= level)
        axes.plot(middle[0][columns], middle[1][rows_], ".", ms=3, color=style.VERMILION)
    axes.set_xlim(across[0], across[-1])
    axes.set_ylim(down[0], down[-1])
    return image


def _outside(panels: Any, names: Sequence[str], units: Mapping[str, str]) -> None:
    last = len(names) - 1
    for i, down in enumerate(names):
        for j, across in enumerate(names):
            axes = panels[i, j]
            axes.tick_params(labelsize=6, labelbottom=i == last, labelleft=j == 0 and i > 0)
            axes.locator_params(nbins=3)
            if i == last:
                axes.set_xlabel(_labelled(across, units[across]), fontsize=7)
            if j == 0 and i > 0:
                axes.set_ylabel(_labelled(down, units[down]), fontsize=7)


def filters(*, surface: Mapping[str, Any]) -> dict[str, Any]:
    """Draw which share of the models each filter of the dynamics rejects.

    Parameters
    ----------
    surface : mapping
        The surface document.

    Returns
    -------
    dict
        ``figure``: PNG bytes; ``data``: a Table with one row for each bar.
    """
    rejected = surface["rejected"]
    n_all = rejected["all"]["n_all"]
    rows = [("by any", rejected["all"], 0), ("by several", rejected["several"], 0)]
    rows += [(row["name"], row, row["n_only"]) for row in rejected["filters"]]
    with style.style():
        figure = style.new(6.5, 0.42 * len(rows) + 1.4)
        axes = figure.subplots()
        drawn = rejected["all"]["fraction"] is not None
        for place, (_, row, alone) in enumerate(rows):
            width = row["n"] / n_all
            error = [[width - row["low"]], [row["high"] - width]] if drawn else None
            axes.barh(place, width, color=style.PALE, xerr=error, ecolor=style.GREY)
            axes.barh(place, alone / n_all, color=style.BLUE, height=0.5)
        axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name, _, _ in rows])
        axes.invert_yaxis()
        axes.set_xlim(0.0, 1.0)
        whole = "prior" if drawn else "table's galaxies"
        axes.set_xlabel(f"share of the {whole} (dark: by this filter alone)")
        axes.set_title(f"{_title(surface)}: rejected by dynamics, of {n_all} galaxies")
        picture = style.png(figure)
    names = ("filter", "n", "n_only", "n_all", "fraction", "low", "high")
    found = [
        (name, row["n"], alone, n_all, *(_number(row[one]) for one in ("fraction", "low", "high")))
        for name, row, alone in rows
    ]
    return {"figure": picture, "data": _table(surface, found, names)}


# ---- data behind

_PROFILE: Final = (
    *("parameter", "unit", "low", "high", "n", "n_evaluated", "n_unconverged"),
    *("best", "best_first", "best_second", "log_mean", "log_mean_error", "effective"),
    *("profile_flagged", "marginal_flagged"),
)
_PAIR: Final = (
    *("first", "second", "first_low", "first_high", "second_low", "second_high"),
    *("n", "n_evaluated", "n_unconverged", "best", "log_mean", "log_mean_error", "effective"),
    *("profile_flagged", "marginal_flagged"),
)


def _profile_rows(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (row["name"], row["unit"], low, high, *(_number(row[name][k]) for name in _PROFILE[4:]))
        for row in rows
        for k, (low, high) in enumerate(zip(row["edges"][:-1], row["edges"][1:], strict=True))
    ]


def _pair_rows(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    found = []
    for row in rows:
        one, two = row["edges_first"], row["edges_second"]
        for i in range(len(one) - 1):
            for j in range(len(two) - 1):
                place = (row["first"], row["second"], one[i], one[i + 1], two[j], two[j + 1])
                found.append((*place, *(_number(row[name][i][j]) for name in _PAIR[6:])))
    return found


def _table(
    surface: Mapping[str, Any], rows: Sequence[tuple[Any, ...]], names: Sequence[str]
) -> Table:
    mark = {"SIMULATD": bool(surface["simulated"])}
    return Table(QTable(rows=list(rows), names=names), mark)


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


def _array(values: Any) -> FloatArray:
    """Give lists as an array, NaN for null."""
    return np.array(values, np.float64)


def _labelled(name: str, unit: str) -> str:
    shown = _LABELS.get(name, name)
    return f"{shown} [{unit}]" if unit else shown


def _title(surface: Mapping[str, Any]) -> str:
    note = " (SIMULATED)" if surface["simulated"] else ""
    return f"{surface['item']}, campaign {surface['campaign']['name']}{note}"


def _reference(surface: Mapping[str, Any]) -> str:
    reference = surface["reference"]
    kind = reference["kind"]
    return kind if reference["name"] in kind else f"{kind} ({reference['name']})"
