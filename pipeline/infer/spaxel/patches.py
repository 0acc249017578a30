"""Where within the cells does the posterior lie, and how much of it?

Each item is zoomed in on until its box fits the posterior: a box shrinks to what is high enough,
and grows again where that goes on beyond it. Then a Gauss-Legendre grid fills it. The weights of
such a grid cut the box into intervals with one node each: the same numbers integrate and say where
to draw.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import BoolArray, FloatArray
from pipeline.infer.spaxel.amplitudes import EXACT_UP_TO
from pipeline.infer.spaxel.settings import Numerics, Prior
from pipeline.infer.spaxel.tables import Density, Tables, density
from pipeline.infer.spaxel.templates import Cells

_PROBES: Final = 12  # points a side of the grid that looks for the posterior in a box
_ROUNDS: Final = 20
_SHRUNK: Final = 0.7  # a box that keeps more than this of both sides fits
# Nodes a side, by the largest step of ln density between neighbouring probes.
_SIZES: Final = ((0.3, 5), (0.6, 8), (1.2, 14), (np.inf, 30))
# Nodes of a table are twice as far apart as probes or more; up to this step between them an item
# fills its box, and nothing hides between its nodes.
_WIDER: Final = 2.0
_QUIET: Final = 2.4


@dataclass(frozen=True, eq=False)
class Glance:
    """What the nodes of their own tables say of some items.

    Attributes
    ----------
    peak, step : ndarray, shape (m,)
        Largest ln density at the nodes, and its largest step between neighbours.
    """

    peak: FloatArray
    step: FloatArray

    @classmethod
    def none(cls, size: int) -> "Glance":
        """Say that nothing is known of items."""
        return cls(np.full(size, -np.inf), np.full(size, np.inf))


@dataclass(frozen=True, eq=False)
class Patch:
    """Grids of one size in some items.

    Attributes
    ----------
    tables : Tables
    low, high : ndarray, shape (m, 2)
        Box in velocity and sigma, km/s.
    found : Density
        At the nodes, shape (m, n, n).
    log_mass : ndarray, shape (m, n, n)
        Of each node: density times weight times area.
    cut : ndarray of bool, shape (m,)
        Whether no box was found that fits: some of the posterior may lie beyond it.
    """

    tables: Tables
    low: FloatArray
    high: FloatArray
    found: Density
    log_mass: FloatArray
    cut: BoolArray

    @property
    def size(self) -> int:
        """Nodes a side."""
        return int(self.log_mass.shape[-1])

    def nodes(self) -> tuple[FloatArray, FloatArray]:
        """Give velocity and sigma of the nodes, shape (m, n) each."""
        place = rule(self.size)[0]
        span = (self.high - self.low)[:, :, None]
        at = self.low[:, :, None] + span * place
        return at[:, 0], at[:, 1]


def rule(size: int) -> tuple[FloatArray, FloatArray]:
    """Give nodes and weights of the Gauss-Legendre rule on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(size)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def make_patches(
    tables: Tables,
    cells: Cells,
    known: tuple[FloatArray, Glance],
    prior: Prior,
    numerics: Numerics,
    count: int,
) -> list[Patch]:
    """Zoom in on the posterior of all items and put grids there.

    An item in which the density hardly varies is its own box: there is nothing to zoom in on.

    Parameters
    ----------
    tables : Tables
    cells : Cells
    known : tuple
        Largest ln density of each spaxel so far, shape (n,), and a Glance at the items.
    prior, numerics
    count : int
        Number of fluxes.

    Returns
    -------
    list of Patch
        One for each size of grid that is needed; items without mass are left out.
    """
    ends = [
        np.stack([cells.velocity[tables.cell, end], np.sqrt(cells.variance[tables.cell, end])], 1)
        for end in (0, 1)
    ]
    low, high = ends[0].copy(), ends[1].copy()
    top, glance = known[0].copy(), known[1]
    step, peak = glance.step / _WIDER, glance.peak.copy()
    busy = np.flatnonzero(glance.step > _QUIET)
    for _ in range(_ROUNDS):
        if busy.size == 0:
            break
        some = tables.take(busy)
        at = low[busy, :, None] + (high - low)[busy, :, None] * np.linspace(0.0, 1.0, _PROBES)
        log_density = _log_density(some, cells, at, prior, count)
        peak[busy] = log_density.max(axis=(1, 2))
        np.maximum.at(top, some.spaxel, peak[busy])
        floor = np.maximum(peak[busy], top[some.spaxel]) - numerics.depth
        step[busy] = largest_step(np.maximum(log_density, floor[:, None, None]))
        above = log_density > (peak[busy] - numerics.depth)[:, None, None]
        low[busy], high[busy], moved = _fitted(
            above, (low[busy], high[busy]), (ends[0][busy], ends[1][busy])
        )
        busy = busy[moved]
    cut = np.zeros(len(tables), dtype=bool)
    cut[busy] = True
    # Where nothing comes near the largest density that has been seen, the best there is stays.
    best = np.full(top.shape, -np.inf)
    np.maximum.at(best, tables.spaxel, peak)
    lost = (best <= top - numerics.depth)[tables.spaxel]
    cut |= lost
    alive = peak > np.minimum(top - numerics.depth, np.nextafter(best, -np.inf))[tables.spaxel]
    patches = []
    least = -np.inf
    for most, size in _SIZES:
        rows = np.flatnonzero(alive & (step > least) & (step <= most))
        if rows.size:
            box = (low[rows], high[rows], cut[rows])
            patches.append(_patch(tables.take(rows), cells, box, size, prior, count))
        least = most
    return patches


def _log_density(
    tables: Tables, cells: Cells, at: FloatArray, prior: Prior, count: int
) -> FloatArray:
    velocity, sigma = at[:, 0], at[:, 1]
    grid = tables.on_grid(cells, velocity, sigma, count)
    return density(grid, (velocity[:, :, None], sigma[:, None, :]), prior, count).log_density


def largest_step(log_density: FloatArray) -> FloatArray:
    """Give the largest difference of neighbours in the grid of each item, shape (m,)."""
    largest = [np.abs(np.diff(log_density, axis=axis)).max(axis=(1, 2)) for axis in (1, 2)]
    return np.asarray(np.maximum(*largest))


def _fitted(
    above: BoolArray, box: tuple[FloatArray, FloatArray], cell: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Fit boxes to the probes that are high enough; say which have to be looked at again.

    A side shrinks to these, and a probe more. While the other side is coarse this may be too far:
    what is seen is then a slice beside the ridge. So where a rim is high itself, but for one of the
    cell, the side grows by its length.

    Parameters
    ----------
    above : ndarray of bool, shape (m, n, n)
        Probes in velocity and sigma, those on the rims of the box included.
    box, cell : tuple of two ndarrays, shape (m, 2)
        Low and high corners.
    """
    low, high = box[0].copy(), box[1].copy()
    moved = np.zeros(len(above), dtype=bool)
    for axis in (0, 1):
        line = above.any(axis=2 - axis)
        start, end, least, most = (ends[:, axis] for ends in (*box, *cell))
        span = end - start
        step = span / (_PROBES - 1)
        first = np.maximum(line.argmax(axis=1) - 1, 0)
        last = np.minimum(_PROBES - line[:, ::-1].argmax(axis=1), _PROBES - 1)
        under, over = line[:, 0] & (start > least), line[:, -1] & (end < most)
        low[:, axis] = np.where(under, np.maximum(start - span, least), start + first * step)
        high[:, axis] = np.where(over, np.minimum(end + span, most), start + last * step)
        moved |= under | over | (last - first < _SHRUNK * (_PROBES - 1))
    return low, high, moved


def _patch(
    tables: Tables,
    cells: Cells,
    box: tuple[FloatArray, FloatArray, BoolArray],
    size: int,
    prior: Prior,
    count: int,
) -> Patch:
    """Fill boxes, given as their low and high corners and what is cut, with grids of one size."""
    low, high, cut = box
    nodes, weights = rule(size)
    at = low[:, :, None] + (high - low)[:, :, None] * nodes
    grid = tables.on_grid(cells, at[:, 0], at[:, 1], count)
    place = (at[:, 0][:, :, None], at[:, 1][:, None, :])
    found = density(grid, place, prior, count, moments=count <= EXACT_UP_TO)
    area = np.log(np.prod(high - low, axis=1))[:, None, None]
    log_mass = found.log_density + np.log(np.outer(weights, weights)) + area
    return Patch(tables, low, high, found, log_mass, cut)
