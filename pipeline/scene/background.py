"""What else shines in the field: light that is smooth along wavelength and over the sky?

Sky, zodiacal light, the host's outskirts: within a window around a line all are low polynomials.
Their coefficients are linear, and are integrated out with the fluxes (`ard.likelihood`); so the
background is no cube but a set of cubes.
"""

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from ard.errors import ArdError
from pipeline.scene.grid import FloatArray, SkyGrid

_TOUCH = 1.5  # channels whose middles are closer than that many widths belong to one window


@dataclass(frozen=True)
class Smoothness:
    """How smooth is it?

    Attributes
    ----------
    sky_order : int
        Largest total power of x and y, 0 to 3.
    wave_order : int
        Largest power of wavelength within a window, 0 to 3.
    """

    sky_order: int = 1
    wave_order: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.sky_order <= 3 and 0 <= self.wave_order <= 3):
            raise ArdError(
                "a background is not smooth",
                expected="powers of 0 to 3: what bends more is no background",
                found=f"sky {self.sky_order}, wavelength {self.wave_order}",
                action="take lower powers",
            )


def templates(
    sky: SkyGrid, wave_edges: FloatArray, smoothness: Smoothness | None = None
) -> FloatArray:
    """Give the cubes whose sums are smooth backgrounds.

    Parameters
    ----------
    sky : SkyGrid
    wave_edges : ndarray, shape (n_channel, 2)
        Edges of the channels, um, ascending. Channels that do not touch begin a new window, which
        has a background of its own.
    smoothness : Smoothness, optional

    Returns
    -------
    ndarray, shape (n, n_channel, ny, nx)
        Products of Legendre polynomials over the field and over each window, between -1 and 1; the
        first of each window is 1 in it: its amplitude is the level, in the unit of the data.
    """
    smooth = Smoothness() if smoothness is None else smoothness
    y, x = (
        _powers(_unit(places), min(smooth.sky_order, places.size - 1))
        for places in (_middles(sky), _middles(sky, 1))
    )
    powers = sorted(product(range(len(y)), range(len(x))), key=sum)
    images = [y[i][:, None] * x[j][None, :] for i, j in powers if i + j <= smooth.sky_order]
    rows = []
    for channels in blocks(wave_edges):
        wave = _unit(np.asarray(wave_edges)[channels].mean(axis=1))
        for along in _powers(wave, min(smooth.wave_order, wave.size - 1)):
            whole = np.zeros(len(wave_edges))
            whole[channels] = along
            rows.append(whole)
    shape = (len(images) * len(rows), len(wave_edges), sky.ny, sky.nx)
    cubes = np.einsum("wc,syx->wscyx", np.array(rows), np.array(images))
    return np.asarray(cubes, np.float64).reshape(shape)


def blocks(wave_edges: FloatArray) -> tuple[slice, ...]:
    """Give the runs of channels that touch one another."""
    edges = np.asarray(wave_edges, dtype=np.float64)
    middle, width = edges.mean(axis=1), np.diff(edges, axis=1)[:, 0]
    breaks = np.flatnonzero(np.diff(middle) > _TOUCH * width[1:]) + 1
    ends = [0, *breaks.tolist(), len(edges)]
    return tuple(slice(a, b) for a, b in pairwise(ends))


def _middles(sky: SkyGrid, axis: int = 0) -> FloatArray:
    edges = sky.edges((sky.ny, sky.nx)[axis])
    return 0.5 * (edges[1:] + edges[:-1])


def _unit(places: FloatArray) -> FloatArray:
    """Map places to -1 to 1; a single one to 0."""
    half = 0.5 * float(np.ptp(places))
    return (places - places.mean()) / half if half > 0 else np.zeros(places.size)


def _powers(places: FloatArray, order: int) -> FloatArray:
    """Give Legendre polynomials of each power at places, shape (order + 1, n)."""
    return np.asarray(np.polynomial.legendre.legvander(places, order).T, np.float64)
