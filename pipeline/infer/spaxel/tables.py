"""What do data and templates of a cell say to one another, for any velocity and width in it?

An item is a cell of a spaxel that may hold some of its posterior. Its table has, at the Chebyshev
nodes, b = T' M y, A = T' M T and K C' N^-1 T (`pipeline.infer.spaxel.spectra`); between them the
polynomial holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ard.cube import FloatArray
from pipeline.infer.spaxel.amplitudes import Conditional, Cut, above_zero, pairs
from pipeline.infer.spaxel.settings import Prior
from pipeline.infer.spaxel.spectra import Condensed
from pipeline.infer.spaxel.templates import Cells, Library, basis
from pipeline.lineprofile import IntArray


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables of some items.

    Attributes
    ----------
    spaxel, cell : ndarray of int, shape (m,)
    values : ndarray, shape (m, n_quantities, order, order)
        At the nodes in velocity and variance.
    """

    spaxel: IntArray
    cell: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return int(self.spaxel.size)

    @property
    def order(self) -> int:
        """Number of nodes along each axis."""
        return int(self.values.shape[-1])

    def take(self, rows: np.ndarray) -> "Tables":
        """Give some of the items."""
        return Tables(self.spaxel[rows], self.cell[rows], self.values[rows])

    def on_grid(
        self, cells: Cells, velocity: FloatArray, sigma: FloatArray, count: int
    ) -> FloatArray:
        """Interpolate b and A on a grid in each item.

        Parameters
        ----------
        cells : Cells
        velocity, sigma : ndarray, shape (m, n_v), (m, n_s)
            km/s.
        count : int
            Number of fluxes.

        Returns
        -------
        ndarray, shape (n_quantities, m, n_v, n_s)
        """
        v, s = cells.places(self.cell, velocity, sigma)
        kept = self.values[:, : count + len(pairs(count))]
        left = basis(v, self.order)[:, None] @ kept
        grid = left @ basis(s, self.order).swapaxes(1, 2)[:, None]
        return np.ascontiguousarray(grid.swapaxes(0, 1))


def tabulate(
    condensed: Condensed, library: Library, order: int, items: tuple[IntArray, IntArray]
) -> Tables:
    """Make the tables of items, given as spaxels and cells of equal length.

    Returns
    -------
    Tables
        In order of the spaxels.
    """
    count = library.scale.size
    terms = condensed.to_continuum.shape[1]
    size = count + len(pairs(count)) + terms * count
    rank = np.lexsort((items[1], items[0]))
    spaxel, cell = items[0][rank], items[1][rank]
    values = np.empty((spaxel.size, size, order**2))
    operator = np.concatenate([condensed.precision, condensed.to_continuum], axis=1)
    for number, template in _by_cell(cell, library.templates(order)):
        rows = spaxel[number]
        values[number] = _products(operator[rows], condensed.pulled[rows], template)
    return Tables(spaxel, cell, values.reshape(spaxel.size, size, order, order))


def _by_cell(cell: IntArray, templates: FloatArray) -> Iterator[tuple[IntArray, FloatArray]]:
    rank = np.argsort(cell, kind="stable")
    found, first = np.unique(cell[rank], return_index=True)
    ends = np.append(first, cell.size)[1:]
    for number, start, end in zip(found, first, ends, strict=True):
        yield rank[start:end], templates[number]


def _products(operator: FloatArray, pulled: FloatArray, template: FloatArray) -> FloatArray:
    """Give b, A and the continuum's part at all nodes, shape (m, n_quantities, n_nodes)."""
    used, nodes, count = template.shape
    flat = template.reshape(used, nodes * count)
    rows, tall, _ = operator.shape
    whole = (operator.reshape(rows * tall, used) @ flat).reshape(rows, tall, nodes, count)
    weighted, other = whole[:, :used], whole[:, used:]
    pull = (pulled @ flat).reshape(rows, nodes, count)
    parts = [pull[:, :, j] for j in range(count)]
    parts += [
        np.einsum("un,mun->mn", template[:, :, j], weighted[:, :, :, k]) for j, k in pairs(count)
    ]
    parts += [other[:, t, :, j] for t in range(other.shape[1]) for j in range(count)]
    return np.stack(parts, axis=1)


@dataclass(frozen=True, eq=False)
class Density:
    """The posterior at some places.

    Attributes
    ----------
    log_density : ndarray, shape (...)
        ln of likelihood over that of no line, times the prior density.
    log_gain : ndarray, shape (...)
        The same without the prior of velocity and width, fluxes not cut.
    fluxes : Cut or None
        The fluxes there, if they are cut at zero.
    given : Conditional
        The fluxes before a cut.
    """

    log_density: FloatArray
    log_gain: FloatArray
    fluxes: Cut | None
    given: Conditional


def density(
    quantities: FloatArray,
    place: tuple[FloatArray, FloatArray],
    prior: Prior,
    count: int,
    *,
    moments: bool = False,
) -> Density:
    """Give the posterior density, fluxes and continuum integrated out.

    Parameters
    ----------
    quantities : ndarray, shape (n_quantities, ...)
    place : two ndarrays, of shapes that broadcast to (...)
        Velocity and sigma, km/s.
    prior : Prior
    count : int
        Number of fluxes.
    moments : bool
        Whether mean and square of the fluxes are needed.
    """
    velocity, sigma = place
    given = Conditional.of(quantities, count)
    fluxes = above_zero(given, moments=moments) if prior.non_negative else None
    log_prior = prior.log_velocity(velocity) + prior.log_sigma(sigma)
    log_density = given.log_gain + log_prior
    if fluxes is not None:
        log_density = log_density + fluxes.log_factor
    return Density(log_density, given.log_gain, fluxes, given)
