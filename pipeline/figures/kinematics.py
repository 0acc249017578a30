"""How does the gas move where there is a line, how surely, and how does that run along the wake?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.cube import BoolArray, Cube, FloatArray
from ard.layout import flux_layer
from ard.maps import Flag, Map
from ard.table import Table
from manifests import Target
from pipeline.figures import style
from pipeline.figures.along import Run, follow, run_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KINDS: Final = (
    ("line", style.BLUE),
    ("at edge", style.ORANGE),
    ("no line", style.PALE),
    ("below\ngate", style.VERMILION),
    ("one\nchannel", style.GREY),
)
_TWO: Final = "two_log_bayes"
_HIDDEN: Final = Flag.NO_LINE | Flag.BELOW_GATE | Flag.ONE_CHANNEL
_LINEAR: Final = 10.0  # ln B within this of zero is drawn on a linear scale


@dataclass(frozen=True)
class Config:
    """Settings of the figures of kinematics.

    Attributes
    ----------
    percentile : float
        Colour scales run between this percentile and its complement.
    step_arcsec : float
        Length of a step along the wake.
    half_width_arcsec : float
        Spaxels nearer to the axis of the wake than this count.
    velocity_kms : float
        How far from rest the diagram of position and velocity reaches.
    continuum_kms : float
        Half width of the window from which the continuum under that diagram is taken.
    """

    percentile: float = 2.0
    step_arcsec: float = 0.1
    half_width_arcsec: float = 0.3
    velocity_kms: float = 800.0
    continuum_kms: float = 2500.0

    def __post_init__(self) -> None:
        if min(self.step_arcsec, self.half_width_arcsec, self.velocity_kms) <= 0:
            raise ValueError("step_arcsec, half_width_arcsec and velocity_kms must be positive")
        if self.continuum_kms <= self.velocity_kms:
            raise ValueError("continuum_kms must be above velocity_kms")


def run(
    *, kinematics: Mapping[str, Map], cube: Cube, target: Target, config: Config
) -> dict[str, Any]:
    """Draw the posteriors of the spaxels of one item.

    Parameters
    ----------
    kinematics : mapping of str to Map
        One for each kinematic group.
    cube : Cube
        What they were inferred from.
    target : Target
        Its position is the origin of the axes, its position angle the axis of the wake; north
        where it has none.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``figure`` and ``data``, ``pv`` and ``pv_data``: each a mapping of group to PNG bytes or
        Table.
    """
    found: dict[str, dict[str, Any]] = {"figure": {}, "data": {}, "pv": {}, "pv_data": {}}
    for group, product in kinematics.items():
        line = brightest(group, product, target)
        found["figure"][group] = _draw(group, product, line, target, config)
        found["data"][group] = _table(product)
        steps = (config.step_arcsec, config.half_width_arcsec)
        reach = (config.velocity_kms, config.continuum_kms)
        along = follow(product, cube, target, line, shown(product), (steps, reach))
        found["pv"][group] = _draw_along(group, line, along, target, product.simulated)
        found["pv_data"][group] = run_table(along, product.simulated)
    return found


def shown(product: Map) -> BoolArray:
    """Say which spaxels have a line, and a posterior that can be trusted."""
    return np.asarray(~product.mask & (_flags(product) & _HIDDEN == 0))


def brightest(group: str, product: Map, target: Target) -> str:
    """Name the line of the group with the largest total flux where there is a line."""
    names = [n for n in target.group(group).lines if flux_layer(n) in product.layers]
    good = shown(product) if shown(product).any() else ~product.mask
    return max(names, key=lambda name: float(np.nansum(product[flux_layer(name)][good])))


def _flags(product: Map) -> np.ndarray:
    return np.asarray(np.nan_to_num(product["flag"]).astype(np.int64))


def _draw(group: str, product: Map, line: str, target: Target, config: Config) -> bytes:
    place = target.anchor
    x0, y0 = (float(v) for v in product.wcs.all_world2pix(place.ra_deg, place.dec_deg, 0))
    extent = style.extent(product.wcs, product.shape, x0, y0)
    flux = flux_layer(line)
    titles = ((flux, target.line(line).label), ("velocity", "velocity"), ("sigma", "dispersion"))
    rows = 4 if _TWO in product.layers else 2
    with style.style():
        figure = style.new(10.5, 4.0 * rows)
        figure.get_layout_engine().set(h_pad=0.14)  # type: ignore[union-attr, call-arg]
        panels = figure.subplots(rows, 4, sharex=True, sharey=True)
        for column, (layer, title) in enumerate(titles):
            for row, name in enumerate((layer, f"{layer}_err")):
                diverging = name == "velocity"
                axes, what = panels[row, column], f"error of {title}" if row else title
                _map(axes, product, name, extent, (config.percentile, diverging))
                axes.set_title(what)
        _log_bayes(panels[0, 3], product, extent)
        _kinds(panels[1, 3], product, extent)
        if _TWO in product.layers:
            _components(panels[2:], product, extent, config)
        for axes in panels.flat:
            axes.plot(0, 0, "+", color=style.BLACK, ms=8, mew=1.2)
        for axes in panels[-1]:
            axes.set_xlabel("x offset [arcsec]")
        for axes in panels[:, 0]:
            axes.set_ylabel("y offset [arcsec]")
        style.compass(panels[0, 0], product.wcs)
        figure.suptitle(_title(group, product, target), fontsize=9)
        return style.png(figure)


def _title(group: str, product: Map, target: Target) -> str:
    line, inferred = int(shown(product).sum()), int((~product.mask).sum())
    below = int((~product.mask & (_flags(product) & Flag.BELOW_GATE != 0)).sum())
    note = "  (SIMULATED)" if product.simulated else ""
    ess = product["ess"][~product.mask]
    fewest = f"; {ess.min():.0f} effective draws or more" if ess.size else ""
    two = ""
    if _TWO in product.layers:
        two = "\nlower half: two components, where they are more probable than one: in "
        two += f"{int(_double(product).sum())} of {int(_tried(product).sum())} spaxels tried"
    return (
        f"{target.name}, {target.group(group).title}: mean (above) and standard deviation (below) "
        f"of the posterior{note}\n{line} of {inferred} spaxels have a line; grey: "
        f"{inferred - line - below} without one, {below} below the gate{fewest}{two}"
    )


def _map(
    axes: "Axes", product: Map, layer: str, extent: style.Extent, how: tuple[float, bool]
) -> None:
    """Draw a layer where there is a line, over grey where there is a posterior."""
    seen = shown(product)
    _grey(axes, ~product.mask & ~seen, extent)
    _image(axes, np.where(seen, product[layer], np.nan), product.units[layer], extent, how)


def _image(
    axes: "Axes", values: FloatArray, unit: str, extent: style.Extent, how: tuple[float, bool]
) -> None:
    """Draw values with a colour bar; how: the percentile of the scale, and if it is diverging."""
    percentile, diverging = how
    vmin, vmax = style.limits(values, percentile, 100.0 - percentile)
    if diverging:
        vmax = max(abs(vmin), abs(vmax))
        vmin = -vmax
    colours = style.DIVERGING if diverging else style.SEQUENTIAL
    # A power of ten in the label, where numbers are tiny, so that it does not lie over the label.
    power = int(np.floor(np.log10(max(abs(vmax), 1e-99))))
    scale, label = (10.0**power, f"1e{power} ") if power < -2 else (1.0, "")
    image = axes.imshow(
        values / scale, extent=extent, cmap=colours, vmin=vmin / scale, vmax=vmax / scale
    )
    _bar(axes, image, label + unit)


def _tried(product: Map) -> BoolArray:
    """Say where two components were tried."""
    return np.asarray(~product.mask & np.isfinite(product[_TWO]))


def _double(product: Map) -> BoolArray:
    """Say where two components are more probable than one, and can be trusted."""
    trusted = np.nan_to_num(product["two_flag"]) == 0
    return np.asarray(_tried(product) & trusted & (np.nan_to_num(product[_TWO]) > 0.0))


def _components(panels: Any, product: Map, extent: style.Extent, config: Config) -> None:
    """Draw velocities and dispersions of two components, and where there are two."""
    double = _double(product)
    first, second = product["two_velocity_1"], product["two_velocity_2"]
    shared = float(np.max(np.abs(np.stack([first, second])[:, double]), initial=1.0))
    for column, number in enumerate("12"):
        for row, stem in enumerate(("velocity", "sigma")):
            axes, name = panels[row, column], f"two_{stem}_{number}"
            _grey(axes, _tried(product) & ~double, extent)
            values = np.where(double, product[name], np.nan)
            _image(axes, values, product.units[name], extent, (config.percentile, row == 0))
            if row == 0:  # one scale for both, so that they compare
                axes.images[-1].set_clim(-shared, shared)
            axes.set_title(f"{'dispersion' if row else 'velocity'}, component {number}")
    apart = np.where(double, second - first, np.nan)
    _grey(panels[0, 2], _tried(product) & ~double, extent)
    _image(panels[0, 2], apart, "km/s", extent, (config.percentile, False))
    panels[0, 2].set_title("velocity, 2 less 1")
    both = np.where(double, np.hypot(product["two_velocity_1_err"],
                                     product["two_velocity_2_err"]), np.nan)  # fmt: skip
    _grey(panels[1, 2], _tried(product) & ~double, extent)
    _image(panels[1, 2], both, "km/s", extent, (config.percentile, False))
    panels[1, 2].set_title("error of that")
    _log_bayes(panels[0, 3], product, extent, _TWO, "two against one")
    panels[1, 3].set_visible(False)


def _grey(axes: "Axes", where: BoolArray, extent: style.Extent) -> None:
    from matplotlib.colors import ListedColormap

    values = np.where(where, 1.0, np.nan)
    axes.imshow(values, extent=extent, cmap=ListedColormap([style.PALE]), vmin=0.0, vmax=1.0)


def _bar(axes: "Axes", image: Any, label: str) -> None:
    bar = axes.figure.colorbar(image, ax=axes, location="bottom", shrink=0.9)
    bar.set_label(label, fontsize=8)


def _log_bayes(
    axes: "Axes",
    product: Map,
    extent: style.Extent,
    layer: str = "log_bayes",
    label: str = "line against none",
) -> None:
    """Draw ln B, of which a few spaxels have hundreds, on a scale that is linear about zero."""
    from matplotlib.colors import SymLogNorm

    values = np.where(product.mask, np.nan, product[layer])
    low, high = style.limits(values, 0.0, 100.0)
    norm = SymLogNorm(_LINEAR, vmin=min(low, -1.0), vmax=max(high, 2.0 * _LINEAR), base=10)
    image = axes.imshow(values, extent=extent, cmap=style.SEQUENTIAL, norm=norm)
    _bar(axes, image, label)
    axes.set_title("ln B")


def _kinds(axes: "Axes", product: Map, extent: style.Extent) -> None:
    """Draw what each posterior is worth, and count."""
    from matplotlib.colors import ListedColormap

    flag = _flags(product)
    order = (Flag.BELOW_GATE, Flag.NO_LINE, Flag.ONE_CHANNEL, Flag.AT_EDGE)
    kind = np.select([flag & bit != 0 for bit in order], [3, 2, 4, 1], 0)
    values = np.where(product.mask, np.nan, kind)
    colours = ListedColormap([colour for _, colour in _KINDS])
    top = len(_KINDS) - 0.5
    image = axes.imshow(values, extent=extent, cmap=colours, vmin=-0.5, vmax=top)
    counts = np.bincount(kind[~product.mask], minlength=len(_KINDS))
    bar = axes.figure.colorbar(image, ax=axes, location="bottom", shrink=0.9)
    labels = [f"{count}\n{name}" for (name, _), count in zip(_KINDS, counts, strict=True)]
    bar.set_ticks(range(len(_KINDS)), labels=labels, fontsize=7)
    axes.set_title("convergence")


def _draw_along(group: str, line: str, along: Run, target: Target, simulated: bool) -> bytes:
    note = "  (SIMULATED)" if simulated else ""
    with style.style():
        figure = style.new(10.5, 5.6)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1.0))
        low, high = style.limits(along.flux, 1.0, 99.7)
        image = top.pcolormesh(
            along.edges, along.velocity_edges, along.flux, cmap="Greys", vmin=low, vmax=high
        )
        bar = figure.colorbar(image, ax=top, pad=0.01)
        bar.set_label("mean over the strip [MJy/sr]", fontsize=8)
        _band(top, along, "velocity", style.VERMILION)
        top.axhline(0.0, color=style.GREY, lw=0.6, ls=":")
        top.set_ylim(along.velocity_edges[0], along.velocity_edges[-1])
        top.set_ylabel(f"velocity of {target.line(line).label} [km/s]")
        top.legend(loc="upper right", fontsize=8)
        _band(bottom, along, "sigma", style.BLUE)
        bottom.set_ylim(bottom=0.0)
        bottom.set_ylabel("dispersion [km/s]")
        bottom.set_xlabel(f"offset along the axis at PA {along.angle_deg:.1f} deg [arcsec]")
        for axes in (top, bottom):
            axes.axvline(0.0, color=style.GREY, lw=0.6, ls="--")
        figure.suptitle(
            f"{target.name}, {target.group(group).title}: position and velocity within "
            f"{along.half_width_arcsec:g} arcsec of the axis; median and 68 % of the "
            f"posterior{note}",
            fontsize=9,
        )
        return style.png(figure)


def _band(axes: "Axes", along: Run, name: str, colour: str) -> None:
    """Draw a posterior step by step, with gaps where no spaxel has a line."""
    low, middle, high = along.bands[name]
    axes.stairs(high, along.edges, baseline=low, fill=True, color=colour, alpha=0.35, lw=0)
    axes.hlines(middle, along.edges[:-1], along.edges[1:], color=colour, lw=1.5, label="posterior")


def _table(product: Map) -> Table:
    """Give the values behind the maps, one row for each spaxel with a posterior."""
    y, x = np.nonzero(~product.mask)
    columns: dict[str, Any] = {"x": x, "y": y, "shown": shown(product)[y, x]}
    for name, values in product.layers.items():
        columns[name] = values[y, x] * u.Unit(product.units[name])
    return Table(QTable(columns), {"SIMULATD": product.simulated})
