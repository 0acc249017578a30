"""Does the sum over an aperture scatter as the noise model says?

Square apertures tile the field without overlap. Sums are of flux over the voxels that are used, so
that the prediction s' R s, with s the errors and R the correlation, is exact for each of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ard.cube import FloatArray


@dataclass(frozen=True)
class Aperture:
    """How sums over apertures of one size scatter.

    Attributes
    ----------
    side : int
        Spaxels along each side.
    count : int
        Number of sums.
    ratio : float
        Mean square of the sums over the predicted variance.
    error : float
        Standard error of `ratio`.
    beyond_err : float
        Scatter of the sums over the quadrature sum of the rescaled errors.
    """

    side: int
    count: int
    ratio: float
    error: float
    beyond_err: float


def measure_apertures(
    residual: FloatArray,
    sigma: FloatArray,
    models: Sequence[FloatArray],
    sides: Sequence[int],
    filled: float = 0.75,
    per_channel: float = 1.0,
) -> list[tuple[Aperture, ...]]:
    """Sum residuals over apertures and hold the scatter against what models predict.

    Parameters
    ----------
    residual : ndarray, shape (n, ny, nx)
        Flux residuals; NaN where not used.
    sigma : ndarray, shape (n, ny, nx)
        Their standard deviations.
    models : sequence of ndarray, shape (ny', nx')
        For each model, the correlation at sky lags as `kernel.covariance_of` orders them: negative
        lags at the end.
    sides : sequence of int
        Sizes of the apertures.
    filled : float
        An aperture counts if this fraction of its voxels is used.
    per_channel : float
        How many channels have the information of one on variances: more than 1 where adjacent
        channels are correlated.

    Returns
    -------
    list of tuple of Aperture
        For each model, one for each size of which there are two sums or more.
    """
    used = np.isfinite(residual)
    flux, error = np.where(used, residual, 0.0), np.where(used, sigma, 0.0)
    found: list[list[Aperture]] = [[] for _ in models]
    for side in sides:
        if side > min(residual.shape[1:]):
            continue
        sums, cells = _tiles(flux, side), _tiles(error, side)
        full = np.mean(cells > 0, axis=-1) >= filled
        if full.sum() > 1:
            for lags, rows in zip(models, found, strict=True):
                rows.append(_judge(sums[full].sum(axis=-1), cells[full], lags, per_channel))
    return [tuple(rows) for rows in found]


def _judge(sums: FloatArray, cells: FloatArray, lags: FloatArray, per_channel: float) -> Aperture:
    side = math.isqrt(cells.shape[1])
    predicted = np.sum((cells @ _matrix(side, lags)) * cells, axis=1)
    square = sums**2 / predicted
    return Aperture(
        side=side,
        count=int(sums.size),
        ratio=float(square.mean()),
        error=float(square.std() * np.sqrt(per_channel / sums.size)),
        beyond_err=float(np.sqrt(np.mean(sums**2 / np.sum(cells**2, axis=1)))),
    )


def _tiles(values: FloatArray, side: int) -> FloatArray:
    """Cut (n, ny, nx) into tiles, shape (n, rows, columns, side^2); the rest is dropped."""
    n, ny, nx = values.shape
    rows, columns = ny // side, nx // side
    y0, x0 = (ny - rows * side) // 2, (nx - columns * side) // 2
    cut = values[:, y0 : y0 + rows * side, x0 : x0 + columns * side]
    tiles = cut.reshape(n, rows, side, columns, side).swapaxes(2, 3)
    return tiles.reshape(n, rows, columns, side * side)


def _matrix(side: int, lags: FloatArray) -> FloatArray:
    """Give the correlation of the spaxels of an aperture, shape (side^2, side^2)."""
    place: Any = np.argwhere(np.ones((side, side), dtype=bool))
    step = place[None] - place[:, None]
    return np.asarray(lags[step[..., 0], step[..., 1]])
