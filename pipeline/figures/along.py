"""What do the spaxels say step by step along the wake: light by velocity, and the posterior?

Steps are as long as a spaxel, or more, and spaxels share light and noise. The posterior of a step
is therefore the mean, weighted by flux, of the quantiles of its spaxels: the band is as wide as
that of one spaxel, and does not shrink by their number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ard.cube import BoolArray, Cube, FloatArray
from ard.layout import flux_layer
from ard.maps import Map
from ard.table import Table
from manifests import Target
from pipeline.lineprofile import velocity_kms
from pipeline.reduce.imaging.sphere import Axis

QUANTILES: Final = ("p160", "p500", "p840")
_CLEAR_KMS: Final = 700.0  # continuum is taken from channels that far from every line
_LEAST: Final = 5  # channels of a continuum


@dataclass(frozen=True, eq=False)
class Run:
    """Light and posterior along the axis of the wake, in n steps and m channels.

    Attributes
    ----------
    edges : ndarray, shape (n + 1,)
        Of the steps, arcsec from the target, positive ahead.
    velocity_edges : ndarray, shape (m + 1,)
        Of the channels, km/s.
    flux : ndarray, shape (m, n)
        Mean over the strip, less a continuum, MJy/sr; NaN where there is none.
    spaxels : ndarray of int, shape (n,)
        With a line.
    bands : mapping of str to ndarray, shape (3, n)
        `QUANTILES` of velocity and sigma, km/s; NaN where no spaxel has a line.
    angle_deg, half_width_arcsec : float
        Of the strip.
    """

    edges: FloatArray
    velocity_edges: FloatArray
    flux: FloatArray
    spaxels: np.ndarray
    bands: Mapping[str, FloatArray]
    angle_deg: float
    half_width_arcsec: float


def follow(
    product: Map,
    cube: Cube,
    target: Target,
    line: str,
    seen: BoolArray,
    strip: tuple[tuple[float, float], tuple[float, float]],
) -> Run:
    """Follow one line along the axis of the wake.

    Parameters
    ----------
    product : Map
        Posteriors, on the grid of the cube.
    cube : Cube
    target : Target
    line : str
        Name of the line.
    seen : ndarray of bool, shape (ny, nx)
        Spaxels with a line.
    strip : tuple
        Step and half width, arcsec; reach in velocity and of the continuum, km/s.
    """
    (step, half_width), (reach, continuum_reach) = strip
    angle = target.position_angle_deg or 0.0
    axis = Axis(target.anchor.ra_deg, target.anchor.dec_deg, angle)
    ny, nx = product.shape
    y, x = np.mgrid[:ny, :nx]
    along, across = axis.offsets(*product.wcs.all_pix2world(x, y, 0))
    inside = (np.abs(across) <= half_width) & ~cube.mask.all(axis=0)
    number = np.floor(along / step + 0.5).astype(np.int64)
    first, last = (number[inside].min(), number[inside].max()) if inside.any() else (0, 0)
    number = np.where(inside, number - first, -1)
    size = int(last - first) + 1
    edges = np.asarray((np.arange(first, last + 2) - 0.5) * step, dtype=np.float64)
    near = _near(cube, target, line, reach)
    flux = _strip_mean(cube, number, size, near)
    flux -= _continuum(cube, target, line, (number, size), continuum_reach)
    rest = target.line(line).wave_vac_um
    bounds = cube.wave_edges[near[0] : near[-1] + 2]
    return Run(
        edges=edges,
        velocity_edges=velocity_kms(bounds, rest, target.redshift),
        flux=flux,
        spaxels=np.bincount(number[inside & seen], minlength=size),
        bands=_bands(product, line, np.where(seen, number, -1), size),
        angle_deg=angle,
        half_width_arcsec=half_width,
    )


def _near(cube: Cube, target: Target, line: str, reach: float) -> np.ndarray:
    rest = target.line(line).wave_vac_um
    return np.flatnonzero(np.abs(velocity_kms(cube.wave, rest, target.redshift)) < reach)


def _strip_mean(cube: Cube, number: np.ndarray, size: int, channels: np.ndarray) -> FloatArray:
    """Average the good voxels of each step, shape (channels, steps)."""
    inside = number >= 0
    good = ~cube.mask[channels][:, inside]
    flux = np.where(good, cube.flux[channels][:, inside], 0.0)
    member = (number[inside][:, None] == np.arange(size)).astype(np.float64)
    count = good @ member
    mean = np.full(count.shape, np.nan)
    np.divide(flux @ member, count, out=mean, where=count > 0)
    return mean


def _continuum(
    cube: Cube, target: Target, line: str, steps: tuple[np.ndarray, int], reach: float
) -> FloatArray:
    """Give the median of channels near the line that are clear of all lines, shape (steps,)."""
    near = _near(cube, target, line, reach)
    apart = [
        np.abs(velocity_kms(cube.wave[near], each.wave_vac_um, target.redshift))
        for each in target.lines
    ]
    clear = near[np.min(apart, axis=0) > _CLEAR_KMS]
    values = _strip_mean(cube, *steps, clear)
    level = np.full(steps[1], np.nan)
    enough = np.isfinite(values).sum(axis=0) >= _LEAST
    level[enough] = np.nanmedian(values[:, enough], axis=0)
    return level


def _bands(product: Map, line: str, number: np.ndarray, size: int) -> dict[str, FloatArray]:
    """Average the quantiles of the spaxels of each step by their flux."""
    used = number >= 0
    weight = np.maximum(product[flux_layer(line)][used], 0.0)
    total = np.bincount(number[used], weight, minlength=size)
    bands = {}
    for name in ("velocity", "sigma"):
        rows = np.full((len(QUANTILES), size), np.nan)
        for row, quantile in zip(rows, QUANTILES, strict=True):
            values = weight * product[f"{name}_{quantile}"][used]
            summed = np.bincount(number[used], values, minlength=size)
            np.divide(summed, total, out=row, where=total > 0)
        bands[name] = rows
    return bands


def run_table(run: Run, simulated: bool) -> Table:
    """Give what the figure shows: rows of light, by velocity, and of the posterior, by step."""
    middle = 0.5 * (run.edges[1:] + run.edges[:-1])
    centre = 0.5 * (run.velocity_edges[1:] + run.velocity_edges[:-1])
    m, n = run.flux.shape
    blank = np.full(n, np.nan)
    columns: dict[str, Any] = {
        "series": np.repeat(["light", *run.bands], [m * n] + [n] * len(run.bands)),
        "along": np.concatenate([np.tile(middle, m), *[middle] * len(run.bands)]) * u.arcsec,
        "channel_velocity": np.concatenate([np.repeat(centre, n), *[blank] * len(run.bands)])
        * (u.km / u.s),
        "flux": np.concatenate([run.flux.ravel(), *[blank] * len(run.bands)]) * (u.MJy / u.sr),
        "spaxels": np.concatenate([np.tile(run.spaxels, m), *[run.spaxels] * len(run.bands)]),
    }
    for place, quantile in enumerate(QUANTILES):
        parts = [np.full(m * n, np.nan), *(band[place] for band in run.bands.values())]
        columns[quantile] = np.concatenate(parts) * (u.km / u.s)
    return Table(QTable(columns), {"SIMULATD": simulated})
