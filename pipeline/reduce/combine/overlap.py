"""Which share of every spaxel falls on which spaxel of another grid?

The operator of a resampling is a sparse matrix of overlap areas. A spaxel is a quadrilateral on
the other grid; its area inside a unit cell is a sum of integrals along its four sides, each of
which is exact for straight sides. Offsets by whole spaxels are taken to be just that, so that
such a resampling only moves values.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy.wcs import WCS
from scipy import sparse

from ard.cube import FloatArray
from ard.errors import FormatError

# Of a spaxel, 0.01 mas at 0.1 arcsec: a thousandth of what the telescope knows of its pointing.
_WHOLE: Final = 1e-4
# Of a spaxel: smaller overlaps are rounding.
_NO_AREA: Final = 1e-12


@dataclass(frozen=True, eq=False)
class Operator:
    """How one exposure is put on a grid.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, shape (n_out, n_in)
        Overlap areas over that of a drop of a spaxel of the grid, pixfrac^2; both flattened with x
        fastest. A field of drops of any size, and one that is only moved, thus weigh alike.
    shift : (float, float)
        Where the middle of the exposure lies, relative to its own numbering: x, y in spaxels.
    whole : bool
        Whether the exposure is only moved by whole spaxels.
    """

    matrix: Any
    shift: tuple[float, float]
    whole: bool


def operator(
    wcs: WCS, shape: tuple[int, int], onto: WCS, onto_shape: tuple[int, int], pixfrac: float = 1.0
) -> Operator:
    """Give the areas in which the spaxels of one grid overlap those of another, drops of area 1.

    Parameters
    ----------
    wcs, shape
        Celestial WCS, rows and columns of the exposure.
    onto, onto_shape
        Of the grid.
    pixfrac : float
        Side of the drop that a spaxel is shrunk to before it falls, in spaxels, above 0.

    Raises
    ------
    FormatError
        If no spaxel of the exposure falls on the grid.
    """
    ny, nx = shape
    x, y = _corners(wcs, shape, onto)
    shift = _shift(x, y, shape)
    whole = max(
        float(np.abs(x - np.arange(nx + 1) + 0.5 - round(shift[0])).max()),
        float(np.abs(y - np.arange(ny + 1)[:, None] + 0.5 - round(shift[1])).max()),
    )
    if whole < _WHOLE:
        dx, dy = round(shift[0]), round(shift[1])
        found = Operator(_moved(shape, onto_shape, dx, dy), (float(dx), float(dy)), True)
    else:
        drops = areas(_quads(x, pixfrac), _quads(y, pixfrac), onto_shape)
        found = Operator(drops / pixfrac**2, shift, False)
    if found.matrix.nnz == 0:
        raise FormatError(
            "the exposure does not fall on the grid",
            expected=f"an offset within {onto_shape[1]} x {onto_shape[0]} spaxels",
            found=f"{shift[0]:.1f}, {shift[1]:.1f} spaxels",
            action="combine exposures that show the same part of the sky",
        )
    return found


def _corners(wcs: WCS, shape: tuple[int, int], onto: WCS) -> tuple[FloatArray, FloatArray]:
    """Give the corners of all spaxels in pixels of the other grid, shape (ny + 1, nx + 1)."""
    ny, nx = shape
    y, x = np.mgrid[0 : ny + 1, 0 : nx + 1] - 0.5
    sky = wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
    found = onto.wcs_world2pix(*sky, 0)
    return found[0].reshape(x.shape), found[1].reshape(x.shape)


def _shift(x: FloatArray, y: FloatArray, shape: tuple[int, int]) -> tuple[float, float]:
    ny, nx = shape
    middle = [float(values[[0, 0, -1, -1], [0, -1, 0, -1]].mean()) for values in (x, y)]
    return middle[0] - (nx - 1) / 2, middle[1] - (ny - 1) / 2


def _moved(shape: tuple[int, int], onto_shape: tuple[int, int], dx: int, dy: int) -> Any:
    row, column = (values.ravel() for values in np.indices(shape))
    y, x = row + dy, column + dx
    inside = (y >= 0) & (y < onto_shape[0]) & (x >= 0) & (x < onto_shape[1])
    target = (y * onto_shape[1] + x)[inside]
    source = np.flatnonzero(inside)
    size = (onto_shape[0] * onto_shape[1], shape[0] * shape[1])
    return sparse.csr_array((np.ones(source.size), (target, source)), shape=size)


def _quads(corners: FloatArray, pixfrac: float) -> FloatArray:
    """Give the four corners of each drop, in order around it, shape (n_in, 4)."""
    around = [corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]]
    quads = np.stack([side.ravel() for side in around], axis=1)
    middle = quads.mean(axis=1, keepdims=True)
    return np.asarray(middle + pixfrac * (quads - middle))


def areas(x: FloatArray, y: FloatArray, onto_shape: tuple[int, int]) -> Any:
    """Give the area of each quadrilateral inside each cell of a grid of unit cells.

    Parameters
    ----------
    x, y : ndarray, shape (n, 4)
        Corners in order around each quadrilateral; cell (0, 0) is centred on (0, 0).
    onto_shape : (int, int)
        Rows and columns of the grid.

    Returns
    -------
    scipy.sparse.csr_array, shape (n_cells, n)
    """
    ny, nx = onto_shape
    first = [np.floor(values.min(axis=1) + 0.5).astype(np.int64) for values in (x, y)]
    last = [np.floor(values.max(axis=1) + 0.5).astype(np.int64) for values in (x, y)]
    reach = [int((b - a).max(initial=0)) + 1 for a, b in zip(first, last, strict=True)]
    rows, columns, values = [], [], []
    for dy in range(reach[1]):
        for dx in range(reach[0]):
            cx, cy = first[0] + dx, first[1] + dy
            area = _area_in_cell(x - cx[:, None] + 0.5, y - cy[:, None] + 0.5)
            kept = (area > _NO_AREA) & (cx >= 0) & (cx < nx) & (cy >= 0) & (cy < ny)
            rows.append((cy * nx + cx)[kept])
            columns.append(np.flatnonzero(kept))
            values.append(area[kept])
    parts = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array((np.concatenate(values), parts), shape=(ny * nx, x.shape[0]))


def polygon_areas(x: FloatArray, y: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Give the area of one polygon inside each cell of a grid.

    Parameters
    ----------
    x, y : ndarray, shape (n_corners,)
        In order around it; cell (0, 0) is centred on (0, 0).
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    ndarray, shape (ny, nx)
    """
    row, column = (values.ravel()[:, None] for values in np.indices(shape))
    return _area_in_cell(x - column + 0.5, y - row + 0.5).reshape(shape)


def _area_in_cell(u: FloatArray, v: FloatArray) -> FloatArray:
    """Give the area of polygons inside the unit square [0, 1]^2, shape (n,).

    Each side contributes the integral of v, cut to [0, 1], over its run in u, cut likewise; the
    sum around the polygon is its area, with the sign of its sense.
    """
    total = np.zeros(u.shape[0])
    for k in range(u.shape[1]):
        j = (k + 1) % u.shape[1]
        run = u[:, j] - u[:, k]
        steep = run == 0
        slope = (v[:, j] - v[:, k]) / np.where(steep, 1.0, run)
        begin, end = np.clip(u[:, k], 0, 1), np.clip(u[:, j], 0, 1)
        low, high = (v[:, k] + slope * (at - u[:, k]) for at in (begin, end))
        total += np.where(steep, 0.0, (end - begin) * _mean_cut(low, high))
    return np.abs(total)


def _mean_cut(one: FloatArray, other: FloatArray) -> FloatArray:
    """Give the mean of a value that runs evenly from one to another, cut to [0, 1]."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    cut_low, cut_high = np.clip(low, 0, 1), np.clip(high, 0, 1)
    length = high - low
    inside = 0.5 * (cut_high - cut_low) * (cut_high + cut_low)
    above = np.maximum(high - np.maximum(low, 1.0), 0.0)
    level = length == 0
    return np.where(level, cut_low, (inside + above) / np.where(level, 1.0, length))
