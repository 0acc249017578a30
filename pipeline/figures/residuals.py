"""What does the best model of a fit leave, channel by channel about its brightest lines?

Three rows for each line: data and best model on one scale, and their difference in errors. Where
the model is right, the last row shows noise, which is correlated between neighbours.
"""

from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.cube import SPEED_OF_LIGHT_KMS
from ard.table import Table
from manifests import Target
from pipeline.figures import style
from pipeline.infer.residuals import Residuals

_MOST: Final = 9  # channels: more cannot be read
_REACH_KMS: Final = 700.0
_PULL: Final = 5.0
_FLUX: Final = u.Unit("erg s-1 cm-2")
_ROWS: Final = ("data", "best model", "residual / error")


def run(*, residuals: Residuals, title: str, target: Target, simulated: bool) -> dict[str, Any]:
    """Draw what a fit leaves.

    Parameters
    ----------
    residuals : Residuals
    title : str
        Item and model, for the title.
    target : Target
    simulated : bool

    Returns
    -------
    dict
        ``figure``: PNG bytes; ``data``: a Table with one row for each voxel of the sub-cube.
    """
    lines = {name: _channels(residuals, wave) for name, wave in residuals.lines.items()}
    columns = max(len(chosen) for chosen, _ in lines.values())
    with style.style():
        figure = style.new(1.15 * columns + 1.6, 4.1 * len(lines) + 0.5)
        parts: Any = np.ravel(figure.subfigures(len(lines), 1, squeeze=False))
        for part, (name, (chosen, speed)) in zip(parts, lines.items(), strict=True):
            panels = part.subplots(3, columns, sharex=True, sharey=True, squeeze=False)
            part.suptitle(f"{target.line(name).label}: velocity of each channel [km/s]", fontsize=8)
            _draw(panels, residuals, chosen, speed)
        note = "  (SIMULATED)" if simulated else ""
        figure.suptitle(f"{target.name}, {title}: data and best model{note}", fontsize=9)
        picture = style.png(figure)
    return {"figure": picture, "data": Table(_table(residuals), {"SIMULATD": simulated})}


def _channels(residuals: Residuals, wave_um: float) -> tuple[Any, Any]:
    """Give the channels next to a line, and their velocities."""
    speed = SPEED_OF_LIGHT_KMS * (residuals.wave / wave_um - 1.0)
    nearest = np.argsort(np.abs(speed), kind="stable")[:_MOST]
    chosen = np.sort(nearest[np.abs(speed[nearest]) <= _REACH_KMS])
    chosen = chosen if chosen.size else nearest[:1]
    return chosen, speed[chosen]


def _draw(panels: Any, residuals: Residuals, chosen: Any, speed: Any) -> None:
    low, high = style.limits(residuals.data[chosen], 1.0, 99.7)
    power = int(np.floor(np.log10(max(abs(high), 1e-99))))
    scale = 10.0**power
    flux = {"cmap": style.SEQUENTIAL, "vmin": low / scale, "vmax": high / scale}
    pull = {"cmap": style.DIVERGING, "vmin": -_PULL, "vmax": _PULL}
    cubes = (residuals.data / scale, residuals.model / scale, residuals.pull)
    bars = (f"1e{power} erg/s/cm2", f"1e{power} erg/s/cm2", "errors")
    _, ny, nx = residuals.data.shape
    y, x = residuals.y - 0.5, residuals.x - 0.5
    extent = (x, x + nx, y, y + ny)
    for row, (cube, how, unit) in enumerate(zip(cubes, (flux, flux, pull), bars, strict=True)):
        for column, axes in enumerate(panels[row]):
            if column >= len(chosen):
                axes.set_axis_off()
                continue
            axes.set_facecolor(style.PALE)  # where a voxel is masked
            image = axes.imshow(cube[chosen[column]], extent=extent, **how)
            axes.tick_params(labelsize=6)
            axes.locator_params(nbins=5, integer=True)
            if row == 0:
                axes.set_title(f"{speed[column]:+.0f}", fontsize=8)
            if row == len(cubes) - 1:
                axes.set_xlabel("x [spaxel]", fontsize=7)
        panels[row, 0].set_ylabel(f"{_ROWS[row]}\ny [spaxel]", fontsize=7)
        bar = panels[row, 0].figure.colorbar(image, ax=panels[row].tolist(), pad=0.01, aspect=12)
        bar.set_label(unit, fontsize=7)
        bar.ax.tick_params(labelsize=6)


def _table(residuals: Residuals) -> QTable:
    """Give every voxel: place in the cube, data, model, error and whether it was used."""
    shape = residuals.data.shape
    channel, y, x = np.indices(shape).reshape(3, -1)
    columns: dict[str, Any] = {
        "channel": residuals.channels[channel],
        "wave": residuals.wave[channel] * u.um,
        "y": residuals.y + y,
        "x": residuals.x + x,
        "used": ~residuals.mask.ravel(),
    }
    for name in ("data", "model", "sigma"):
        # Single precision is a millionth: far below any error, and half the file.
        columns[name] = getattr(residuals, name).ravel().astype(np.float32) * _FLUX
    columns["pull"] = residuals.pull.ravel().astype(np.float32)
    return QTable(columns)
