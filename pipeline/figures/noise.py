"""How large is the noise against ERR, how is it correlated, and is it white when it is whitened?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy import units as u
from astropy.table import QTable, vstack

from ard.cube import FloatArray
from ard.table import Table
from manifests import Target
from pipeline.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXES: Final = {
    "wave": ("wavelength", style.VERMILION),
    "y": ("y", style.BLUE),
    "x": ("x", style.BLACK),
}
_FORMS: Final = {"kronecker": ("Kronecker", style.BLUE), "fir": ("filter", style.VERMILION)}


@dataclass(frozen=True)
class Config:
    """Settings of the figure of the noise model.

    Attributes
    ----------
    faintest : float
        Lower end of the axis of the histogram.
    """

    faintest: float = 1e-6


def run(*, model: Mapping[str, Any], target: Target, config: Config) -> dict[str, Any]:
    """Draw the noise model of one cube.

    Parameters
    ----------
    model : mapping
        The document noise-model.
    target : Target
        For the title.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``figure``: PNG bytes; ``data``: a Table with one row for each plotted value: panel,
        series, x, value, error.
    """
    with style.style():
        figure = style.new(10.5, 5.6)
        top, *bottom = figure.subplot_mosaic("aaa;bcd").values()
        panels = [_scale(top, model), *_lower(bottom, model, config)]
        note = "  (SIMULATED)" if model["simulated"] else ""
        figure.suptitle(f"{target.name}, {model['item']}: noise of the cube{note}", fontsize=9)
        picture = style.png(figure)
    rows = vstack([QTable(panel) for panel in panels])
    return {"figure": picture, "data": Table(rows, {"SIMULATD": bool(model["simulated"])})}


def _scale(axes: "Axes", model: Mapping[str, Any]) -> dict[str, Any]:
    scale = model["scale"]
    wave, value, error = (_array(scale[name]) for name in ("wave_um", "value", "error"))
    measured = _array(scale["measured"])
    axes.plot(wave, measured, ".", ms=2, color=style.GREY, label="line-free channels")
    axes.fill_between(wave, value - error, value + error, color=style.BLUE, alpha=0.3, lw=0)
    axes.plot(wave, value, color=style.BLUE, lw=1.2, label="smooth curve")
    series = [("channel", measured, np.full(wave.size, np.nan)), ("curve", value, error)]
    dithers = model["dithers"]["scale"]
    if dithers is not None:
        other, spread = _array(dithers["value"]), _array(dithers["error"])
        axes.plot(wave, other, color=style.VERMILION, lw=1.0, label="differences of exposures")
        series.append(("dithers", other, spread))
    low, high = style.limits(measured, 0.5, 99.5)
    margin = 0.4 * (high - low)
    axes.set_ylim(max(0.0, low - margin), high + margin)
    axes.set_xlim(wave[0], wave[-1])
    axes.set_xlabel("vacuum wavelength, observed [um]")
    axes.set_ylabel("noise / ERR")
    axes.legend(ncols=3, fontsize=7, loc="upper left")
    return _rows("scale", wave, series)


def _lower(panels: Any, model: Mapping[str, Any], config: Config) -> list[dict[str, Any]]:
    return [
        *_correlation(panels[0], model),
        *_histogram(panels[1], model, config),
        _apertures(panels[2], model),
    ]


def _correlation(axes: "Axes", model: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, (label, colour) in _AXES.items():
        value, error = (_array(model["correlation"][name][key]) for key in ("value", "error"))
        lag = np.arange(value.size, dtype=np.float64)
        kept = _array(model["kronecker"][name])
        axes.errorbar(lag, value, error, fmt="o", ms=3, lw=0.8, color=colour, label=label)
        axes.plot(lag[: kept.size], kept, color=colour, lw=0.8)
        found.append(_rows("correlation", lag, [(name, value, error)]))
        no_error = np.full(kept.size, np.nan)
        found.append(_rows("kronecker", lag[: kept.size], [(name, kept, no_error)]))
    axes.axhline(0.0, color=style.GREY, lw=0.6)
    axes.set_xlabel("lag [channels, spaxels]")
    axes.set_ylabel("correlation")
    axes.legend(fontsize=7)
    return found


def _histogram(axes: "Axes", model: Mapping[str, Any], config: Config) -> list[dict[str, Any]]:
    found = []
    for name, (label, colour) in _FORMS.items():
        white = model["whitened"][name]
        edges, density, expected = (_array(white[k]) for k in ("edges", "density", "expected"))
        middle = 0.5 * (edges[1:] + edges[:-1])
        axes.step(middle, density, where="mid", color=colour, lw=0.9, label=label)
        if name == "kronecker":
            axes.plot(middle, expected, ":", color=style.BLACK, lw=0.9, label="simulated")
        blank = np.full(middle.size, np.nan)
        series = [(name, density, blank), (f"{name} simulated", expected, blank)]
        found.append(_rows("whitened", middle, series))
    axes.set_yscale("log")
    axes.set_ylim(bottom=config.faintest)
    axes.set_xlabel("whitened residual")
    axes.set_ylabel("share per bin")
    axes.legend(fontsize=7, loc="lower center")
    return found


def _apertures(axes: "Axes", model: Mapping[str, Any]) -> dict[str, Any]:
    rows = model["apertures"]
    names = ("side", "ratio", "error", "ratio_fir")
    side, ratio, error, other = (_array([row[name] for row in rows]) for name in names)
    blue, red = style.BLUE, style.VERMILION
    axes.axhspan(0.9, 1.1, color=style.GREY, alpha=0.25, lw=0)
    axes.errorbar(side, ratio, error, fmt="o-", ms=3, lw=0.8, color=blue, label="Kronecker")
    axes.plot(side, other, "s--", ms=3, lw=0.8, color=red, label="filter")
    axes.set_xlabel("side of the aperture [spaxels]")
    axes.set_ylabel("variance of sums / prediction")
    axes.legend(fontsize=7)
    blank = np.full(side.size, np.nan)
    return _rows("apertures", side, [("kronecker", ratio, error), ("fir", other, blank)])


def _array(values: Any) -> FloatArray:
    """Give numbers of a document, NaN for those that are missing."""
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _rows(
    panel: str, x: FloatArray, series: list[tuple[str, FloatArray, FloatArray]]
) -> dict[str, Any]:
    """Give the columns of the table behind a panel; x is in um, channels, spaxels or a number."""
    return {
        "panel": np.repeat([panel], x.size * len(series)),
        "series": np.repeat([name for name, _, _ in series], x.size),
        "x": np.tile(x, len(series)) * u.dimensionless_unscaled,
        "value": np.concatenate([value for _, value, _ in series]),
        "error": np.concatenate([error for _, _, error in series]),
    }
