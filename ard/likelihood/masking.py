"""How are masked voxels taken out of correlated noise exactly?

Wholly masked channels and spaxels leave the factors of the correlation; single voxels are filled
from their neighbours, for which the inverse Cholesky factor of their block of the precision is
computed here, once.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ard.cube import sealed
from ard.errors import ArdError, misfit
from ard.likelihood.arrays import numbers
from ard.likelihood.factors import (
    axis_lengths,
    inside,
    inverse_cholesky,
    inverse_lower,
    kept_places,
    require_correlation,
)
from ard.likelihood.noise import EXACT, Noise

# The fill of 4000 voxels has 128 MB, and takes seconds to compute.
LIMIT: Final = 4000


def exact_noise(
    sigma: Any,
    mask: Any,
    *,
    correlations: Sequence[Any] | None = None,
    taps: Any = None,
    limit: int = LIMIT,
) -> Noise:
    """What is the noise of the used voxels alone, when voxels among correlated ones are masked?

    Parameters
    ----------
    sigma : array, shape (n_wave, ny, nx)
        Standard deviation of every voxel; of masked voxels anything.
    mask : array of bool, shape (n_wave, ny, nx)
        True = do not use.
    correlations : sequence of array or None
        Correlation along wave, y and x, or along wave and sky (y and x as one axis, x fastest),
        shape (n, n) each; None where neighbours are independent.
    taps : array, shape (a, b, c)
        Instead of correlations: see `Noise`.
    limit : int
        Largest number of masked voxels that are filled; memory grows with its square, and time
        with its cube.

    Returns
    -------
    Noise
        Exact. Of correlations along wave, y, x, the last two are joined where more than `limit`
        voxels are masked outside of wholly masked channels, rows and columns: then wholly masked
        spaxels cost nothing, and the factor of the sky has (ny nx)^2 numbers.

    Raises
    ------
    ArdError
        If a correlation is none, or too many single voxels are masked.
    """
    mask = _true_or_false(mask, np.shape(sigma))
    if correlations is None or taps is not None:
        if correlations is not None:
            raise misfit("the noise has two correlations", "correlations or taps", "both")
        return _of_taps(sigma, mask, taps, limit)
    matrices = tuple(correlations)
    lengths = axis_lengths(mask.shape, len(matrices))
    for length, matrix in zip(lengths, matrices, strict=True):
        if matrix is not None:
            require_correlation(matrix, length)
    return _of_factors(sigma, mask, matrices, limit)


def _of_factors(sigma: Any, mask: np.ndarray, matrices: tuple[Any, ...], limit: int) -> Noise:
    lengths = axis_lengths(mask.shape, len(matrices))
    if all(matrix is None for matrix in matrices):
        return Noise(sigma, mask)
    joint = any(matrix is not None for matrix in matrices[1:])
    if len(matrices) == 3 and joint and _holes(mask, lengths).size > limit:
        matrices = (matrices[0], _joined(matrices[1], matrices[2], mask.shape[1:]))
        lengths = axis_lengths(mask.shape, 2)
    holes = _holes(mask, lengths)
    _require_few(holes.size, limit)
    kept = kept_places(mask, lengths)
    factors = tuple(
        None if matrix is None else _restricted(matrix, places)
        for matrix, places in zip(matrices, kept, strict=True)
    )
    fill = None if holes.size == 0 else _fill_of_factors(factors, lengths, holes)
    return Noise(sigma, mask, factors, fill=fill)


def mask_more(noise: Noise, mask: Any, *, limit: int = LIMIT) -> Noise:
    """What is the noise when further voxels are masked?

    Parameters
    ----------
    noise : Noise
        As shipped, say.
    mask : array of bool, shape (n_wave, ny, nx)
        True = do not use, in addition to those that `noise` masks.
    limit : int
        As for `exact_noise`.

    Returns
    -------
    Noise
        Exact, or approximate where `noise` was allowed to be; of the same scale, unit, keywords
        and provenance.

    Raises
    ------
    ArdError
        If too many single voxels are masked.
    """
    joined = noise.mask | _true_or_false(mask, noise.mask.shape)
    if noise.masks != EXACT or not noise.correlated:
        return dataclasses.replace(noise, mask=joined)
    if noise.factors is None:
        exact = _of_taps(noise.sigma, joined, noise.taps, limit)
    else:
        matrices = tuple(None if f is None else _correlation(f) for f in noise.factors)
        exact = _of_factors(noise.sigma, joined, matrices, limit)
    exact = exact.scaled(noise.scale)
    return exact.labelled(unit=noise.unit, meta=noise.meta, provenance=noise.provenance)


def _true_or_false(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Refuse numbers: of flags, not all mean that a voxel is bad."""
    found = numbers(mask, "the mask")
    if found.dtype != bool or found.shape != shape:
        raise misfit(
            "the mask is not one of the cube",
            f"true and false, shape {tuple(shape)}",
            f"{found.dtype}, shape {found.shape}",
        )
    return found


def _of_taps(sigma: Any, mask: np.ndarray, taps: Any, limit: int) -> Noise:
    if taps is None or not mask.any():
        return Noise(sigma, mask, taps=taps)
    holes = np.flatnonzero(mask)
    _require_few(holes.size, limit)
    block = _precision_block(np.asarray(taps, dtype=np.float64), mask)
    return Noise(sigma, mask, taps=taps, fill=_inverse_root(block))


def _require_few(count: int, limit: int) -> None:
    if count > limit:
        raise ArdError(
            "too many voxels among correlated ones are masked for exact noise",
            expected=f"{limit} or fewer masked voxels that have to be filled",
            found=count,
            action="raise `limit` (8 count^2 bytes of memory), mask the spaxels and channels "
            "that are mostly masked altogether, give correlations instead of taps, cut the cube "
            "to the channels that matter, or ask for the approximation: Noise(..., "
            "masks='approximate')",
        )


def _holes(mask: np.ndarray, lengths: tuple[int, ...]) -> np.ndarray:
    return np.flatnonzero(mask & inside(kept_places(mask, lengths), mask.shape))


def _joined(rows: Any, columns: Any, shape: tuple[int, ...]) -> np.ndarray:
    parts = [np.eye(n) if m is None else m for m, n in zip((rows, columns), shape, strict=True)]
    return np.kron(*parts)


def _restricted(correlation: Any, kept: np.ndarray) -> np.ndarray:
    """Give the inverse Cholesky factor of the kept places, that of the unit matrix elsewhere."""
    out = np.eye(kept.size)
    out[np.ix_(kept, kept)] = inverse_cholesky(np.asarray(correlation)[np.ix_(kept, kept)])
    return sealed(out)


def _correlation(factor: Any) -> np.ndarray:
    lower = np.linalg.inv(np.asarray(factor, dtype=np.float64))
    return np.asarray(lower @ lower.T)


def _inverse_root(block: np.ndarray) -> np.ndarray:
    return sealed(inverse_lower(np.linalg.cholesky(block)))


def _fill_of_factors(
    factors: tuple[Any, ...], lengths: tuple[int, ...], holes: np.ndarray
) -> np.ndarray:
    """Give the fill: P is the product of the precisions along the axes."""
    block = np.ones((holes.size, holes.size))
    for factor, places in zip(factors, np.unravel_index(holes, lengths), strict=True):
        if factor is None:
            block *= places[:, None] == places
        else:
            block *= (factor.T @ factor)[places[:, None], places]
    return _inverse_root(block)


def _precision_block(taps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Give P_mm = (W'W)_mm of a filter.

    Voxel v has a part in v + lag, for every lag of the filter, if that is in the cube; there it
    meets the voxel w = v + lag - other.
    """
    holes = np.argwhere(mask)
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(len(holes))
    block = np.zeros((len(holes), len(holes)))
    lags = np.argwhere(taps != 0.0)
    size = np.array(mask.shape)
    for lag, other in itertools.product(lags, lags):
        met = holes + lag - other
        there = np.all((holes + lag < size) & (met >= 0) & (met < size), axis=1)
        row = np.flatnonzero(there)
        column = number[tuple(met[row].T)]
        row, column = row[column >= 0], column[column >= 0]
        block[row, column] += taps[tuple(lag)] * taps[tuple(other)]
    return block
