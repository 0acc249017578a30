"""What do the spectra of the apertures look like, with their lines and the fitted model?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.table import QTable

from ard.cube import SPEED_OF_LIGHT_KMS, FloatArray
from ard.table import Table
from manifests import Target
from pipeline.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ZONE_KMS: Final = 2500.0  # about a line: what is drawn


@dataclass(frozen=True)
class Config:
    """Settings of the figure of the apertures.

    Attributes
    ----------
    method : str
        Which extraction is drawn: box or optimal.
    """

    method: str = "box"

    def __post_init__(self) -> None:
        if self.method not in ("box", "optimal"):
            raise ValueError("method must be 'box' or 'optimal'")


def run(*, spectra: Table, fluxes: Table, target: Target, config: Config) -> dict[str, Any]:
    """Draw every aperture, one row each, one column for each block of lines.

    Parameters
    ----------
    spectra, fluxes : Table
        Products of the extract stage.
    target : Target
        Lines and titles.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``figure``: PNG bytes; ``data``: the Table that is drawn.
    """
    rows = spectra.data[np.asarray(spectra.data["method"]) == config.method]
    names = list(dict.fromkeys(str(name) for name in rows["aperture"]))
    wave = np.asarray(rows["wave"].value)
    ranges = _ranges(target, float(wave.min()), float(wave.max()))
    shown = np.zeros(len(rows), dtype=bool)
    for low, high in ranges:
        shown |= (wave >= low) & (wave <= high)
    data = QTable(rows[shown]) if shown.any() else QTable(rows[:1])
    meta = {"SIMULATD": spectra.simulated}
    return {
        "figure": _draw(rows, names, ranges, fluxes, (target, config, spectra)),
        "data": Table(data, meta),
    }


def _ranges(target: Target, first: float, last: float) -> list[tuple[float, float]]:
    """Give the wavelengths around the lines inside the band, overlapping ones joined."""
    ranges: list[tuple[float, float]] = []
    for line in sorted(target.lines, key=lambda line: line.wave_vac_um):
        centre = line.wave_obs_um(target.redshift)
        if not first <= centre <= last:
            continue
        reach = centre * _ZONE_KMS / SPEED_OF_LIGHT_KMS
        low, high = max(centre - reach, first), min(centre + reach, last)
        if ranges and low <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], high)
        else:
            ranges.append((low, high))
    return ranges or [(first, last)]


def _draw(
    rows: QTable,
    names: list[str],
    ranges: list[tuple[float, float]],
    fluxes: Table,
    about: tuple[Target, Config, Table],
) -> bytes:
    target, config, spectra = about
    titles = {aperture.name: aperture.title for aperture in target.apertures}
    with style.style():
        figure = style.new(2.6 * max(len(ranges), 2) + 1.0, 1.5 * len(names) + 1.4)
        panels = figure.subplots(len(names), len(ranges), squeeze=False, sharex="col")
        for line_of_panels, name in zip(panels, names, strict=True):
            own = rows[np.asarray(rows["aperture"]) == name]
            for axes, window in zip(line_of_panels, ranges, strict=True):
                _panel(axes, own, window)
                _mark(axes, target, window, _detected(fluxes, name, config.method))
            line_of_panels[0].set_ylabel(titles.get(name, name), fontsize=8)
        for axes in panels[-1]:
            axes.set_xlabel("vacuum wavelength, observed [um]", fontsize=8)
        note = "  (SIMULATED)" if spectra.simulated else ""
        figure.suptitle(
            f"{target.name}, {config.method} extraction [1e-16 erg/s/cm2/um]{note}\n"
            "grey: one sigma, red: model; label in brackets: not detected",
            fontsize=9,
        )
        return style.png(figure)


def _panel(axes: "Axes", own: QTable, window: tuple[float, float]) -> None:
    wave = np.asarray(own["wave"].value)
    inside = (wave >= window[0]) & (wave <= window[1])
    good = ~np.asarray(own["mask"], dtype=bool)[inside]
    flux, err, model = (
        np.where(good, 1e16 * np.asarray(own[name].value)[inside], np.nan)
        for name in ("flux", "err", "model")
    )
    x = wave[inside]
    axes.fill_between(x, flux - err, flux + err, step="mid", color=style.GREY, alpha=0.4, lw=0)
    axes.step(x, flux, where="mid", color=style.BLACK, lw=0.8)
    axes.plot(x, model, color=style.VERMILION, lw=1.0)
    low, high = _limits(np.concatenate([flux, model]))
    axes.set_ylim(low, high)
    axes.set_xlim(*window)
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=3)


def _limits(values: FloatArray) -> tuple[float, float]:
    """Leave room for labels above; half a percent of wild channels may stick out."""
    low, high = style.limits(values, 0.5, 99.5)
    span = high - low
    return low - 0.1 * span, high + 0.45 * span


def _detected(fluxes: Table, aperture: str, method: str) -> set[str]:
    data = fluxes.data
    own = (np.asarray(data["aperture"]) == aperture) & (np.asarray(data["method"]) == method)
    found = own & (np.asarray(data["state"]) == "detected")
    return {str(name) for name in np.asarray(data["line"])[found]}


def _mark(axes: "Axes", target: Target, window: tuple[float, float], detected: set[str]) -> None:
    for line in target.lines:
        wave = line.wave_obs_um(target.redshift)
        if not window[0] <= wave <= window[1]:
            continue
        colour = style.BLUE if line.name in detected else style.GREY
        axes.axvline(wave, color=colour, lw=0.7, ls=":")
        axes.annotate(
            line.label if line.name in detected else f"({line.label})",
            (wave, 0.98),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            ha="right",
            fontsize=5.5,
            color=colour,
        )
