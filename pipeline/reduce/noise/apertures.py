"""Does the sum over an aperture scatter as the noise model says?

Square apertures tile the field without overlap. Sums are of flux over the voxels that are used, so
that the prediction s' R s, with s the errors and R the correlation, is exact for each of them.
"""

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
    lags: FloatArray,
    retained: FloatArray,
    sides: tuple[int, ...],
    filled: float = 0.75,
) -> tuple[Aperture, ...]:
    """Sum residuals over apertures and hold the scatter against the prediction.

    Parameters
    ----------
    residual : ndarray, shape (n, ny, nx)
        Flux residuals; NaN where not used.
    sigma : ndarray, shape (n, ny, nx)
        Rescaled errors.
    lags : ndarray, shape (ny', nx')
        Correlation at sky lags, as `kernel.covariance_of` orders them: negative lags at the end.
    retained : ndarray, shape (n,)
        Share of the variance that the continuum fit left in each channel.
    sides : tuple of int
        Sizes of the apertures.
    filled : float
        An aperture counts if this fraction of its voxels is used.

    Returns
    -------
    tuple of Aperture
        One for each size of which there are two sums or more.
    """
    used = np.isfinite(residual)
    flux = np.where(used, residual, 0.0)
    error = np.where(used, sigma * np.sqrt(retained)[:, None, None], 0.0)
    found = []
    for side in sides:
        if side > min(residual.shape[1:]):
            continue
        sums, cells = _tiles(flux, side), _tiles(error, side)
        full = np.mean(cells > 0, axis=-1) >= filled
        if full.sum() < 2:
            continue
        found.append(_judge(side, sums[full].sum(axis=-1), cells[full], lags))
    return tuple(found)


def _judge(side: int, sums: FloatArray, cells: FloatArray, lags: FloatArray) -> Aperture:
    matrix = _matrix(side, lags)
    predicted = np.sum((cells @ matrix) * cells, axis=1)
    quadrature = np.sum(cells**2, axis=1)
    square = sums**2 / predicted
    return Aperture(
        side=side,
        count=int(sums.size),
        ratio=float(square.mean()),
        error=float(square.std() / np.sqrt(sums.size)),
        beyond_err=float(np.sqrt(np.mean(sums**2 / quadrature))),
    )


def _tiles(values: FloatArray, side: int) -> FloatArray:
    """Cut (n, ny, nx) into tiles, shape (n, rows, columns, side^2); what is left over is dropped."""
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
