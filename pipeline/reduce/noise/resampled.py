"""How does an exposure differ from others that lie between its spaxels, and how much should it?

The others are put on the spaxels of the one by the areas in which they overlap, and averaged; the
one stays as it is. What is resampled is smoothed, and less so the more its neighbours are
correlated. So the variance that the difference should have is computed with the correlation that
the exposures have themselves: of a sum of a_i n_i over spaxels i with errors s_i and correlation R
it is the sum over i and j of a_i a_j s_i s_j R_ij. Nothing is assumed of the offsets; whole spaxels
are the case in which every sum has one term.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy.wcs import WCS
from scipy import sparse

from ard.cube import BoolArray, FloatArray
from pipeline.reduce.combine.overlap import Operator, operator

# Of the area of a spaxel, in each of the others on average: with less, little light is compared.
_COVERED: Final = 0.5
_CHUNK: Final = 64  # channels at a time


@dataclass(frozen=True, eq=False)
class Exposure:
    """What one exposure measured.

    Attributes
    ----------
    filename : str
    flux, err : ndarray, shape (n_wave, ny, nx)
        Flux and its reported error; 0 where not `good`.
    good : ndarray of bool, shape (n_wave, ny, nx)
    wcs : astropy.wcs.WCS
        Celestial coordinates of (x, y).
    """

    filename: str
    flux: Any
    err: Any
    good: BoolArray
    wcs: WCS

    @property
    def field(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.good.shape[1], self.good.shape[2]


@dataclass(frozen=True, eq=False)
class Difference:
    """One exposure less the average of others, on the spaxels of the one.

    Attributes
    ----------
    one : Exposure
    others : tuple of Exposure
    operators : tuple of Operator
        What puts each of the others on the spaxels of the one.
    flux, var : ndarray, shape (n_wave, ny, nx)
        The difference, and its variance if ERR were right; NaN where there is none.
    """

    one: Exposure
    others: tuple[Exposure, ...]
    operators: tuple[Operator, ...]
    flux: FloatArray
    var: FloatArray


def difference(one: Exposure, others: Sequence[Exposure], sky: FloatArray) -> Difference:
    """Take the average of others off an exposure.

    Parameters
    ----------
    one : Exposure
    others : sequence of Exposure
        One or more.
    sky : ndarray
        Correlation of the noise of an exposure at lags of rows and columns, negative ones at the
        end of each axis, as `kernel.covariance_of` orders them.

    Returns
    -------
    Difference

    Raises
    ------
    FormatError
        If one of the others shows nothing of the sky of the one.
    """
    operators = tuple(operator(o.wcs, o.field, one.wcs, one.field) for o in others)
    products = [
        lag_products(found.matrix, o.field) for found, o in zip(operators, others, strict=True)
    ]
    flux, var = (np.full(one.good.shape, np.nan) for _ in range(2))
    for start in range(0, one.good.shape[0], _CHUNK):
        part = np.s_[start : start + _CHUNK]
        mean, variance, area = (np.zeros(_flat(one.good[part]).shape) for _ in range(3))
        for found, pairs, other in zip(operators, products, others, strict=True):
            area += found.matrix @ _flat(other.good[part]).astype(np.float64)
            mean += found.matrix @ _flat(other.flux[part]).astype(np.float64)
            variance += resampled_variance(pairs, _flat(other.err[part]), other.field, sky)
        usable = _flat(one.good[part]) & (area >= _COVERED * len(others))
        over = np.where(usable, area, 1.0)
        own, err = (_flat(values[part]).astype(np.float64) for values in (one.flux, one.err))
        for cube, values in ((flux, own - mean / over), (var, err**2 + variance / over**2)):
            cube[part] = np.where(usable, values, np.nan).T.reshape(cube[part].shape)
    return Difference(one, tuple(others), operators, flux, var)


def lag_products(matrix: Any, field: tuple[int, int]) -> Mapping[tuple[int, int], Any]:
    """Give the products of weights a resampling has for pairs of spaxels at each lag.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array, shape (n_out, n_in)
        Weights.
    field : (int, int)
        Rows and columns of what is resampled.

    Returns
    -------
    mapping of (int, int) to scipy.sparse.csr_array, shape (n_out, n_in)
        By lag of rows and columns: weight of each spaxel times that of the one at this lag from
        it. Of each lag and its opposite only one is there.
    """
    rows, columns = _reach(matrix, field)
    found = {}
    for dy in range(rows + 1):
        for dx in range(-columns if dy else 0, columns + 1):
            product = sparse.csr_array(matrix.multiply(matrix @ _step(field, dy, dx).T))
            if product.nnz:
                found[dy, dx] = product
    return found


def resampled_variance(
    products: Mapping[tuple[int, int], Any], err: Any, field: tuple[int, int], sky: FloatArray
) -> FloatArray:
    """Give the variance of weighted sums of correlated noise.

    Parameters
    ----------
    products : mapping
        What `lag_products` gives.
    err : ndarray, shape (n_in, n)
        Errors, n at a time; 0 where a spaxel has no part in it.
    field : (int, int)
        Rows and columns of what is resampled.
    sky : ndarray
        As for `difference`.

    Returns
    -------
    ndarray, shape (n_out, n)
    """
    error = np.asarray(err, np.float64)
    total = products[0, 0] @ error**2
    for (dy, dx), product in products.items():
        if (dy, dx) != (0, 0):
            total += 2.0 * sky[dy, dx] * (product @ (error * (_step(field, dy, dx) @ error)))
    return np.asarray(total)


class Region:
    """Where the covariance of a difference is wanted: what of it does not depend on the channel.

    Parameters
    ----------
    found : Difference
    places : ndarray of int, shape (n,)
        Spaxels of the one, as numbers in the flattened field.
    sky : ndarray
        As for `difference`, for lags as large as the distances of the places.
    """

    def __init__(self, found: Difference, places: Any, sky: FloatArray) -> None:
        self._found, self._places = found, places
        self._own = _between(places, found.one.field, sky)
        self._parts = []
        for step, other in zip(found.operators, found.others, strict=True):
            rows = step.matrix[places]
            seen = np.unique(rows.indices)
            self._parts.append((other, seen, rows[:, seen], _between(seen, other.field, sky)))

    def covariance(self, channel: int) -> FloatArray:
        """Give the covariance in one channel if ERR were right, shape (n, n).

        Right for those of the places where the difference has a value.
        """
        err = self._found.one.err[channel].ravel()[self._places].astype(np.float64)
        total, area = np.zeros(self._own.shape), np.zeros(err.size)
        for other, seen, rows, between in self._parts:
            area += rows @ other.good[channel].ravel()[seen].astype(np.float64)
            weights = sparse.csr_array(rows * other.err[channel].ravel()[seen])
            total += weights @ (weights @ between).T
        over = np.where(area > 0, area, 1.0)
        return np.asarray(total / (over[:, None] * over) + err[:, None] * err * self._own)


def _between(places: Any, field: tuple[int, int], sky: FloatArray) -> FloatArray:
    """Give the correlation of spaxels with one another, shape (n, n)."""
    y, x = np.divmod(places, field[1])
    return np.asarray(sky[y[None] - y[:, None], x[None] - x[:, None]])


def _reach(matrix: Any, field: tuple[int, int]) -> tuple[int, int]:
    """Give over how many more rows and columns the spaxels of one sum extend."""
    filled = np.flatnonzero(np.diff(matrix.indptr))
    starts = matrix.indptr[:-1][filled]
    found = []
    for place in np.divmod(matrix.indices, field[1]):
        span = np.maximum.reduceat(place, starts) - np.minimum.reduceat(place, starts)
        found.append(int(span.max()))
    return found[0], found[1]


def _step(field: tuple[int, int], dy: int, dx: int) -> Any:
    """Give the matrix that takes the value at a lag to each spaxel; 0 beyond the field."""
    ny, nx = field
    y, x = np.divmod(np.arange(ny * nx), nx)
    inside = (y + dy >= 0) & (y + dy < ny) & (x + dx >= 0) & (x + dx < nx)
    here = np.flatnonzero(inside)
    there = here + dy * nx + dx
    return sparse.csr_array((np.ones(here.size), (here, there)), shape=(ny * nx, ny * nx))


def _flat(values: Any) -> Any:
    """Give channels as columns: (n, ny, nx) to (ny nx, n)."""
    return values.reshape(values.shape[0], -1).T
