"""Where does the line shine, how fast does the gas move there, and how wide is the line?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.layout import flux_layer
from ard.maps import Map
from ard.table import Table
from manifests import Target
from pipeline.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Config:
    """Settings of the map figures.

    Attributes
    ----------
    snr_shown : float
        Velocity and width are shown where the line has a larger signal-to-noise ratio.
    percentile : float
        Colour scales run between this percentile and its complement.
    """

    snr_shown: float = 5.0
    percentile: float = 2.0


def run(*, linemaps: Mapping[str, Map], target: Target, config: Config) -> dict[str, Any]:
    """Draw the line maps of one item.

    Parameters
    ----------
    linemaps : mapping of str to Map
        One for each kinematic group.
    target : Target
        Its position is the origin of the axes.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``figure`` and ``data``, each a mapping of group to PNG bytes or Table.
    """
    figures = {group: _draw(group, linemap, target, config) for group, linemap in linemaps.items()}
    tables = {group: _table(linemap) for group, linemap in linemaps.items()}
    return {"figure": figures, "data": tables}


def _draw(group: str, linemap: Map, target: Target, config: Config) -> bytes:
    place = target.anchor
    x0, y0 = (float(v) for v in linemap.wcs.all_world2pix(place.ra_deg, place.dec_deg, 0))
    extent = style.extent(linemap.wcs, linemap.shape, x0, y0)
    line = _brightest(group, linemap, target)
    snr = np.where(linemap.mask, np.nan, linemap["snr"])
    with np.errstate(invalid="ignore"):
        shown = snr > config.snr_shown
    low, high = config.percentile, 100.0 - config.percentile
    panels = [
        (flux_layer(line), target.line(line).label, np.isfinite(snr), style.SEQUENTIAL),
        ("velocity", "velocity", shown, style.DIVERGING),
        ("sigma", "intrinsic dispersion", shown, style.SEQUENTIAL),
        ("snr", "signal to noise", np.isfinite(snr), style.SEQUENTIAL),
    ]
    with style.style():
        figure = style.new(10.5, 4.2)
        for axes, (layer, title, where, colours) in zip(
            figure.subplots(1, 4, sharey=True), panels, strict=True
        ):
            values = np.where(where, linemap[layer], np.nan)
            vmin, vmax = style.limits(values, low, high)
            if colours == style.DIVERGING:
                vmax = max(abs(vmin), abs(vmax))
                vmin = -vmax
            image = axes.imshow(values, extent=extent, cmap=colours, vmin=vmin, vmax=vmax)
            bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.9)
            bar.set_label(linemap.units[layer] or "ratio", fontsize=8)
            _finish(axes, title)
        axes_list = figure.axes
        axes_list[0].set_ylabel("y offset [arcsec]")
        style.compass(axes_list[0], linemap.wcs)
        note = "  (SIMULATED)" if linemap.simulated else ""
        figure.suptitle(
            f"{target.name}, {target.group(group).title}: velocity and width where S/N > "
            f"{config.snr_shown:g}{note}",
            fontsize=9,
        )
        return style.png(figure)


def _brightest(group: str, linemap: Map, target: Target) -> str:
    """Name the line of the group with the largest total flux."""
    names = [n for n in target.group(group).lines if flux_layer(n) in linemap.layers]
    good = ~linemap.mask

    def total(name: str) -> float:
        return float(np.nansum(np.where(good, linemap[flux_layer(name)], 0.0)))

    return max(names, key=total)


def _finish(axes: "Axes", title: str) -> None:
    axes.plot(0, 0, "+", color=style.VERMILION, ms=8, mew=1.2)
    axes.set_title(title)
    axes.set_xlabel("x offset [arcsec]")


def _table(linemap: Map) -> Table:
    """Give the values behind the figure, one row for each spaxel that was fitted."""
    y, x = np.nonzero(~linemap.mask)
    columns: dict[str, Any] = {"x": x, "y": y}
    for name, values in linemap.layers.items():
        columns[name] = values[y, x] * u.Unit(linemap.units[name])
    return Table(QTable(columns), {"SIMULATD": linemap.simulated})
