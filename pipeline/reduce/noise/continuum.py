"""How is a smooth continuum taken off every spaxel, and what does that do to the noise?

The continuum is a cubic spline of few knots, fitted by least squares with weights 1/ERR^2. In units
of ERR it is an orthogonal projection Q, so that what is left of noise of covariance C has the
covariance (1 - Q) C (1 - Q), which can be computed instead of guessed.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.interpolate import BSpline
from scipy.sparse import csr_array

from ard.cube import BoolArray, FloatArray

_DEGREE: Final = 3
# Keeps a spaxel solvable whose masked channels leave a knot without data; far below any weight.
_RIDGE: Final = 1e-8


@dataclass(frozen=True, eq=False)
class Splines:
    """The smooth functions that count as continuum.

    Attributes
    ----------
    index : ndarray of int, shape (n_free,)
        The line-free channels.
    values : sparse array, shape (n_free, n_splines)
        Each B-spline at each of them.
    """

    index: Any
    values: csr_array

    @property
    def count(self) -> int:
        """Number of degrees of freedom that a continuum takes."""
        return int(self.values.shape[1])


def splines(index: Any, spacing: float) -> Splines:
    """Make B-splines with a knot every so many line-free channels.

    Knots are counted in line-free channels, so that none of them falls into a window of lines.

    Parameters
    ----------
    index : ndarray of int, shape (n_free,)
        The line-free channels.
    spacing : float
        Channels between knots.
    """
    x = np.asarray(index, dtype=np.float64)
    intervals = max(1, round(x.size / spacing))
    inner = np.interp(np.linspace(0, x.size - 1, intervals + 1)[1:-1], np.arange(x.size), x)
    ends = [[x[0]] * (_DEGREE + 1), [x[-1]] * (_DEGREE + 1)]
    knots = np.concatenate([ends[0], inner, ends[1]])
    return Splines(np.asarray(index), csr_array(BSpline.design_matrix(x, knots, _DEGREE)))


def fit(basis: Splines, pull: FloatArray, weight: FloatArray, err: FloatArray) -> FloatArray:
    """Fit the continuum of every spaxel by weighted least squares.

    Parameters
    ----------
    basis : Splines
    pull : ndarray, shape (n_free, n_spaxels)
        Flux over `err`; 0 where `weight` is 0.
    weight : ndarray, shape (n_free, n_spaxels)
        1 where a voxel counts, 0 where not.
    err : ndarray, shape (n_free, n_spaxels)
        Positive everywhere.

    Returns
    -------
    ndarray, shape (n_free, n_spaxels)
        The continuum over `err`.
    """
    inverse = 1.0 / err
    right = (basis.values.T @ (weight * pull * inverse)).T
    normal = _normal(basis, weight * inverse**2)
    solved = np.linalg.solve(normal, right[..., None])[..., 0]
    return np.asarray((basis.values @ solved.T) * inverse)


def _normal(basis: Splines, weight: FloatArray) -> FloatArray:
    """Give B'WB of every spaxel, shape (n_spaxels, p, p); splines overlap with three more only."""
    p = basis.count
    normal = np.zeros((weight.shape[1], p, p))
    dense = basis.values.tocsc()
    for step in range(min(_DEGREE + 1, p)):
        products = dense[:, : p - step].multiply(dense[:, step:])
        band = (csr_array(products.T) @ weight).T
        rows = np.arange(p - step)
        normal[:, rows, rows + step] = band
        normal[:, rows + step, rows] = band
    level = np.trace(normal, axis1=1, axis2=2) / p
    rows = np.arange(p)
    normal[:, rows, rows] += _RIDGE * np.where(level > 0, level, 1.0)[:, None]
    return normal


def projector(basis: Splines, used: BoolArray, err: FloatArray) -> FloatArray:
    """Give an orthonormal basis A of what a fit takes off one spaxel, in units of ERR: Q = A A'.

    Parameters
    ----------
    basis : Splines
    used : ndarray of bool, shape (n_free,)
        Channels that are fitted.
    err : ndarray, shape (n_free,)

    Returns
    -------
    ndarray, shape (n_free, p)
        0 in channels that are not used.
    """
    scaled = np.where(used, 1.0 / np.where(used, err, 1.0), 0.0)[:, None] * basis.values.toarray()
    left, size, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray(left[:, size > _RIDGE * size[0]])


def response(
    projections: list[FloatArray], index: Any, used: list[BoolArray], lags: int
) -> tuple[FloatArray, FloatArray]:
    """Say how the covariance along wavelength appears after the continuum has been taken off.

    Parameters
    ----------
    projections : list of ndarray, shape (n_free, p)
        What `projector` gives, for spaxels that stand for all.
    index : ndarray of int, shape (n_free,)
        The line-free channels.
    used : list of ndarray of bool, shape (n_free,)
        Channels that are fitted, for each of those spaxels.
    lags : int
        Largest lag, channels.

    Returns
    -------
    matrix : ndarray, shape (2 lags + 1, 2 lags + 1)
        Mean observed covariance at lag k = sum over j of matrix[k, j] times the true one at lag j,
        lags from -lags to +lags.
    diagonal : ndarray, shape (n_free, 2 lags + 1)
        The same for the variance of each channel alone.
    """
    size, n_free, width = int(index[-1] - index[0]) + 1, len(index), 2 * lags + 1
    total, pairs = np.zeros((width, width)), np.zeros(width)
    own, seen = np.zeros((n_free, width)), np.zeros(n_free)
    place = np.asarray(index) - index[0]
    for basis, good in zip(projections, used, strict=True):
        whole = np.zeros((size + 4 * lags, basis.shape[1]))
        mark = np.zeros(size + 4 * lags)
        whole[place + 2 * lags], mark[place + 2 * lags] = basis, good
        left = _left(whole, mark, lags)
        for k in range(width):
            both = mark * _ahead(mark, k - lags)
            pairs[k] += both.sum()
            total[k] += (left[k] * both[:, None]).sum(axis=0)
        own += left[lags][place + 2 * lags] * good[:, None]
        seen += good
    return total / pairs[:, None], own / np.maximum(seen, 1)[:, None]


def _left(whole: FloatArray, mark: FloatArray, lags: int) -> FloatArray:
    """Give [(1 - Q) S_j (1 - Q)] at (a, a + k) for all k, a, j; S_j is 1 where b - a = j."""
    width = 2 * lags + 1
    out = np.zeros((width, whole.shape[0], width))
    moved = {m: _ahead(whole, m) for m in range(-2 * lags, 2 * lags + 1)}
    near = {m: np.sum(whole * ahead, axis=1) for m, ahead in moved.items()}
    for j in range(-lags, lags + 1):
        middle = whole @ (whole.T @ moved[j])
        for k in range(-lags, lags + 1):
            # A_a . A_(a+k-j), A_(a+j) . A_(a+k), and both sides at once.
            one = near[k - j] * _ahead(mark, k)
            other = _ahead(near[k - j], j) * mark
            both = np.sum(middle * moved[k], axis=1)
            out[k + lags, :, j + lags] = (k == j) * mark * _ahead(mark, k) - one - other + both
    return out


def _ahead(values: FloatArray, step: int) -> FloatArray:
    """Give values[a + step] at a; ends are padded with zeros, so that nothing wraps into use."""
    return np.roll(values, -step, axis=0)
