"""Which short description of the correlation can a likelihood use?

Two are made from the measured covariance function. The Kronecker form has one sequence of
correlations for each axis, C(l, y, x) = c_l(l) c_y(y) c_x(x): factors are small matrices. The FIR
form is a causal filter whose output is white: it predicts each voxel from earlier ones, with the
coefficients of the normal equations (Yule-Walker in three dimensions), and needs no separability.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import fft
from scipy.linalg import toeplitz

from ard.cube import FloatArray
from pipeline.reduce.noise.correlation import Covariance

# The spectral density of a correlation stays above this fraction of that of white noise.
_FLOOR: Final = 0.02
_GRID: Final = 512
_STEPS: Final = 100


@dataclass(frozen=True, eq=False)
class Kronecker:
    """One sequence of correlations for each axis.

    Attributes
    ----------
    wave, y, x : ndarray, shapes (n_l,), (n_y,), (n_x,)
        Correlation at lags 0, 1, ...; 0 beyond.
    """

    wave: FloatArray
    y: FloatArray
    x: FloatArray

    @property
    def sequences(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give the three, in the order of the axes of a cube."""
        return self.wave, self.y, self.x

    def matrices(self, shape: tuple[int, ...]) -> tuple[FloatArray, ...]:
        """Give the matrix of correlation along each axis of a cube."""
        return tuple(
            toeplitz(np.pad(s, (0, max(0, n - s.size)))[:n])
            for s, n in zip(self.sequences, shape, strict=True)
        )

    def density(self, shape: tuple[int, ...]) -> FloatArray:
        """Give the spectral density at the frequencies of a periodic grid."""
        one, two, three = (_density(s, n) for s, n in zip(self.sequences, shape, strict=True))
        return np.asarray(one[:, None, None] * two[:, None] * three)


def density_of_taps(taps: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Give the spectral density of the noise that a filter whitens, on a periodic grid."""
    return np.asarray(1.0 / np.abs(fft.fftn(taps, s=shape)) ** 2)


def covariance_of(density: FloatArray) -> FloatArray:
    """Give the covariance at the lags of a periodic grid, from the spectral density."""
    return np.asarray(fft.ifftn(density).real)


def support(value: FloatArray, error: FloatArray, n_sigma: float) -> int:
    """Say how many lags are significant, from lag 1 on, without a gap.

    Parameters
    ----------
    value, error : ndarray, shape (n_lags + 1,)
        Correlation at lags 0, 1, ... with standard errors.
    n_sigma : float
        A lag counts if it is further from 0 than this many errors.
    """
    small = np.flatnonzero(np.abs(value[1:]) <= n_sigma * error[1:])
    return int(small[0]) if small.size else value.size - 1


def kronecker(found: Covariance, n_sigma: float) -> Kronecker:
    """Take the significant correlations along each axis, made positive definite at any length.

    Parameters
    ----------
    found : Covariance
    n_sigma : float
        See `support`.
    """
    sequences = []
    for axis in range(3):
        value, error = found.along(axis)
        sequences.append(positive(value[: support(value, error, n_sigma) + 1]))
    return Kronecker(*sequences)


def positive(sequence: FloatArray) -> FloatArray:
    """Damp a sequence of correlations as little as gives it a positive spectral density."""
    lag = np.arange(sequence.size)
    for damping in np.linspace(1.0, 0.0, _STEPS + 1):
        damped = sequence * damping**lag
        if _density(damped, _GRID).min() >= _FLOOR:
            break
    return np.asarray(damped)


def whitening_taps(found: Covariance, shape: tuple[int, int, int]) -> FloatArray:
    """Solve the normal equations of the filter that predicts a voxel from earlier ones.

    Parameters
    ----------
    found : Covariance
        Of lags up to `shape` - 1 or more.
    shape : (int, int, int)
        Channels, rows and columns of the filter.

    Returns
    -------
    ndarray, shape `shape`
        What `ard.likelihood.Noise` calls taps, for residuals of unit variance.
    """
    places = np.argwhere(np.ones(shape, dtype=bool))
    between = places[None] - places[:, None] + np.array(found.lags)
    matrix = found.value[tuple(np.moveaxis(between, -1, 0))]
    matrix = _definite(0.5 * (matrix + matrix.T))
    # The first row of the inverse: the innovation's precision and, with a minus, the prediction.
    first = np.linalg.solve(matrix, np.eye(matrix.shape[0])[0])
    return np.asarray((first / np.sqrt(first[0])).reshape(shape))


def _definite(matrix: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, _FLOOR)) @ vectors.T)


def _density(sequence: Any, size: int) -> FloatArray:
    frequency = 2.0 * np.pi * np.arange(size) / size
    lag = np.arange(1, len(sequence))
    return np.asarray(
        sequence[0] + 2.0 * np.cos(np.outer(frequency, lag)) @ np.asarray(sequence[1:])
    )
