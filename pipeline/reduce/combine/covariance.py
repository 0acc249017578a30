"""How correlated are neighbouring spaxels of a resampled cube, by the resampling alone?

Of an output W^-1 sum_e w_e A_e s_e, with A_e the overlap areas, the covariance for independent
inputs of unit variance is W^-1 (sum_e w_e^2 A_e A_e') W^-1. What the exposures' own resampling has
done before comes on top; the noise stage measures that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import sparse

from ard.cube import FloatArray
from pipeline.reduce.combine.overlap import Operator

# Of the largest number of exposures on a place: less is the edge of the field, where the
# correlation is another.
_FULL: Final = 0.99


@dataclass(frozen=True, eq=False)
class Kernel:
    """Correlation by separation, over places that all exposures cover.

    Attributes
    ----------
    dx, dy : ndarray of int, shape (n,)
        Separation, spaxels; each with one sign, as the correlation is the same for both.
    mean, low, high : ndarray, shape (n,)
        Mean, smallest and largest correlation; NaN where there is no pair.
    pairs : ndarray of int, shape (n,)
    """

    dx: np.ndarray
    dy: np.ndarray
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    pairs: np.ndarray


def covariance(operators: Sequence[Operator], weights: Sequence[float]) -> Any:
    """Give the covariance of the combined spaxels for inputs of unit variance, all of them good.

    Parameters
    ----------
    operators : sequence of Operator
        One for each exposure.
    weights : sequence of float
        Of the exposures.

    Returns
    -------
    scipy.sparse.csr_array, shape (n_out, n_out)
    """
    total = coverage(operators, weights)
    inverse = sparse.diags_array(np.divide(1.0, total, out=np.zeros(total.size), where=total > 0))
    parts = [w**2 * (o.matrix @ o.matrix.T) for w, o in zip(weights, operators, strict=True)]
    return sparse.csr_array(inverse @ sum(parts[1:], parts[0]) @ inverse)


def coverage(operators: Sequence[Operator], weights: Sequence[float]) -> FloatArray:
    """Give the weighted area of good light on each place, shape (n_out,)."""
    pairs = zip(weights, operators, strict=True)
    return np.sum([w * np.asarray(o.matrix.sum(axis=1)).ravel() for w, o in pairs], axis=0)


def kernel(matrix: Any, total: FloatArray, shape: tuple[int, int], reach: int) -> Kernel:
    """Give the correlation by separation.

    Parameters
    ----------
    matrix : scipy.sparse array, shape (n_out, n_out)
        Covariance.
    total : ndarray, shape (n_out,)
        Coverage.
    shape : (int, int)
        Rows and columns.
    reach : int
        Largest separation along x and y.
    """
    variance = matrix.diagonal()
    full = (total > _FULL * total.max()).reshape(shape)
    number = np.arange(total.size).reshape(shape)
    ny, nx = shape
    rows = []
    for dy in range(min(reach, ny - 1) + 1):
        for dx in range(-min(reach, nx - 1) if dy else 0, min(reach, nx - 1) + 1):
            one = np.s_[0 : ny - dy, max(0, -dx) : nx - max(0, dx)]
            other = np.s_[dy:ny, max(0, dx) : nx - max(0, -dx)]
            both = full[one] & full[other]
            a, b = number[one][both], number[other][both]
            values = np.asarray(matrix[a, b]).ravel() / np.sqrt(variance[a] * variance[b])
            some = values.size > 0
            facts = (values.mean(), values.min(), values.max()) if some else (np.nan,) * 3
            rows.append((dx, dy, *facts, values.size))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Kernel(*columns)
