"""Which matrices whiten the places along an axis, and which places of a cube do they join?"""

from typing import Any, Final

import numpy as np

from ard.errors import ArdError, FormatError, misfit

# Correlations may come from single precision, which keeps 1 to 6e-8.
_ATOL: Final = 1e-7


def axis_lengths(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Give the number of places along (wave, y, x) or, of two, (wave, sky).

    Raises
    ------
    FormatError
        If there is another number of factors.
    """
    if count not in (2, 3):
        raise misfit("the noise has a wrong number of factors", "(wave, y, x), (wave, sky)", count)
    return tuple(shape) if count == 3 else (shape[0], shape[1] * shape[2])


def kept_places(mask: np.ndarray, lengths: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Say for each axis which places are not masked altogether."""
    used = ~mask.reshape(lengths) if lengths else ~mask
    axes = range(len(lengths))
    return tuple(used.any(axis=tuple(a for a in axes if a != axis)) for axis in axes)


def inside(kept: tuple[np.ndarray, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Say for each voxel of a cube whether all its places are kept."""
    out = np.ones((), dtype=bool)
    for places in kept:
        out = out[..., None] & places
    return out.reshape(shape) if kept else np.ones(shape, dtype=bool)


def decoupled(factor: Any, places: np.ndarray) -> bool:
    """Say whether rows and columns of a factor are those of the unit matrix at some places."""
    matrix = np.asarray(factor)
    unit = np.eye(matrix.shape[0])[places]
    return bool(np.all(matrix[places] == unit) and np.all(unit == matrix[:, places].T))


def inverse_cholesky(correlation: Any) -> np.ndarray:
    """Give what `Noise.factors` asks for, from a matrix of correlation, shape (n, n).

    Raises
    ------
    ArdError
        If it is none.
    """
    matrix = np.asarray(correlation, dtype=np.float64)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not square or not np.allclose(matrix, matrix.T, rtol=0.0, atol=_ATOL):  # NaN is not close
        raise _no_correlation("a symmetric matrix without NaN", f"shape {matrix.shape}")
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError as error:
        found = f"shape {matrix.shape}, not positive"
        raise _no_correlation("a matrix with positive eigenvalues", found) from error
    return inverse_lower(lower)


def require_correlation(matrix: Any, length: int) -> None:
    """Refuse a matrix that does not fit its axis, or is a covariance.

    Raises
    ------
    ArdError
        If it is one of them.
    """
    if np.shape(matrix) != (length, length):
        problem = "a correlation does not fit its axis"
        raise misfit(problem, f"shape ({length}, {length})", np.shape(matrix))
    ones = diagonal(matrix)
    if not np.allclose(ones, 1.0, rtol=0.0, atol=_ATOL):
        raise _no_correlation("1 all along the diagonal", f"{ones.min()} to {ones.max()}")


def require_triangle(matrix: np.ndarray, name: str) -> None:
    """Refuse a factor whose determinant is not the product of a positive diagonal.

    Raises
    ------
    FormatError
        If it is not triangular (lower or upper), finite, and positive along the diagonal.
    """
    triangle = not np.triu(matrix, 1).any() or not np.tril(matrix, -1).any()
    if not (triangle and np.isfinite(matrix).all() and np.all(diagonal(matrix) > 0.0)):
        raise FormatError(
            f"{name} is no triangle with a positive diagonal",
            expected="the inverse of a Cholesky factor",
            found=f"{'a triangle' if triangle else 'a full matrix'}, diagonal from "
            f"{diagonal(matrix).min():.3g}",
            action="make it with ard.likelihood.inverse_cholesky",
        )


def _no_correlation(expected: str, found: str) -> ArdError:
    action = "regularise the estimate; variances belong into sigma"
    problem = "a correlation is not one"
    return ArdError(problem, expected=expected, found=found, action=action)


def inverse_lower(lower: np.ndarray) -> np.ndarray:
    """Invert a lower triangular matrix by halves, with zeros above the diagonal exactly."""
    size = lower.shape[0]
    if size <= 64:
        return np.tril(np.linalg.inv(lower))
    half = size // 2
    first, last = inverse_lower(lower[:half, :half]), inverse_lower(lower[half:, half:])
    out = np.zeros_like(lower)
    out[:half, :half], out[half:, half:] = first, last
    out[half:, :half] = -last @ (lower[half:, :half] @ first)
    return out


def diagonal(matrix: Any) -> np.ndarray:
    """Give the diagonal of a matrix in double precision."""
    return np.diagonal(np.asarray(matrix, dtype=np.float64))
