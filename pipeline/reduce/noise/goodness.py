"""Is what the noise model makes of the residuals white, of unit variance, and Gaussian?

The residuals are whitened by `ard.likelihood.Noise` itself, in the form in which it is shipped.
Where neighbours are masked, and where a continuum was taken off, white noise is not what comes out
even of a perfect model. So one cube of noise of the model's own covariance goes through the same
masks, the same continuum fit and the same whitening, and is what the data are held against.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import fft

from ard.cube import BoolArray, FloatArray
from ard.likelihood import Noise
from pipeline.reduce.noise.correlation import Covariance, measure
from pipeline.reduce.noise.residuals import Residuals, refit

LAGS: Final = (2, 3, 3)
# The largest residual of a row of the histogram, and its bins.
_REACH: Final = 5.0
_BINS: Final = 40
_TAILS: Final = (3.0, 4.0, 5.0)
# Beyond the last voxel a periodic sample needs as much room as correlations reach.
_ROOM: Final = 16


@dataclass(frozen=True, eq=False)
class Whiteness:
    """How white are the whitened residuals?

    Attributes
    ----------
    variance, variance_error : float
        Mean square over that of simulated noise of the model, and its standard error.
    chi2 : float
        Sum of squares of the whitened residuals over their number, held against nothing.
    left, left_error : ndarray, shape (2 lw + 1, 2 ly + 1, 2 lx + 1)
        Correlation less that of the simulated noise, with standard error.
    counts, expected : ndarray, shape (n_bins,)
        Share of the whitened residuals in each bin of the histogram, and that of the simulated
        noise.
    edges : ndarray, shape (n_bins + 1,)
        From -5 to 5.
    beyond, beyond_expected : tuple of float
        Shares beyond 3, 4 and 5 in size.
    """

    variance: float
    variance_error: float
    chi2: float
    left: FloatArray
    left_error: FloatArray
    counts: FloatArray
    expected: FloatArray
    edges: FloatArray
    beyond: tuple[float, ...]
    beyond_expected: tuple[float, ...]

    @property
    def worst(self) -> tuple[float, float, tuple[int, int, int]]:
        """Give what `worst_lag` says."""
        return worst_lag(self.left, self.left_error)


def worst_lag(left: FloatArray, error: FloatArray) -> tuple[float, float, tuple[int, int, int]]:
    """Give the largest correlation left, the largest over its error, and the lag of that."""
    pull = np.abs(left) / np.maximum(error, 1e-12)
    pull[tuple(n // 2 for n in pull.shape)] = 0.0
    lag = np.unravel_index(int(pull.argmax()), pull.shape)
    wave, y, x = (int(k) - n // 2 for k, n in zip(lag, pull.shape, strict=True))
    return float(np.abs(left).max()), float(pull.max()), (wave, y, x)


def sample(density: Any, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Draw Gaussian noise from a spectral density.

    Parameters
    ----------
    density : callable
        From the shape of a periodic grid to the spectral density at its frequencies.
    shape : tuple of int
        Of the sample; the grid is larger, so that its ends do not meet.
    rng : numpy.random.Generator
    """
    grid = tuple(fft.next_fast_len(n + _ROOM, real=True) for n in shape)
    half = density(grid)[..., : grid[-1] // 2 + 1]
    white = fft.rfftn(rng.standard_normal(grid))
    out = fft.irfftn(white * np.sqrt(half), s=grid)
    return np.asarray(out[tuple(slice(0, n) for n in shape)])


def whiteness(found: Residuals, scale: FloatArray, noise: Noise, drawn: FloatArray) -> Whiteness:
    """Whiten residuals and simulated noise alike, and compare them.

    Parameters
    ----------
    found : Residuals
    scale : ndarray, shape (n_free,)
        Noise over ERR in each of its channels.
    noise : Noise
        Of unit errors, on the whole cube, with everything masked that `found` does not use.
    drawn : ndarray, shape (n_wave, ny, nx)
        A sample of unit variance of the noise that the model describes.
    """
    factor = scale[:, None, None]
    data, chi2 = _whiten(found, found.pull / factor, noise)
    model, _ = _whiten(found, refit(found, drawn[found.index] * factor) / factor, noise)
    one, other = (measure(values, found.index, LAGS) for values in (data, model))
    counts, beyond = _histogram(data)
    expected, beyond_expected = _histogram(model)
    return Whiteness(
        variance=one.variance / other.variance,
        variance_error=_variance_error(one) * one.variance / other.variance,
        chi2=chi2,
        left=one.value - other.value,
        left_error=np.hypot(one.error, other.error),
        counts=counts,
        expected=expected,
        edges=_edges(),
        beyond=beyond,
        beyond_expected=beyond_expected,
    )


def chi2_per_voxel(noise: Noise, residual: FloatArray) -> float:
    """Give what a likelihood gets: chi2 over the number of voxels that are not masked.

    Parameters
    ----------
    noise : Noise
    residual : ndarray, shape (n_wave, ny, nx)
        In units of the noise; what stands in masked voxels has no part.
    """
    return _per_voxel(noise.whiten(residual), ~np.asarray(noise.mask))


def _per_voxel(white: FloatArray, used: BoolArray) -> float:
    return float(np.sum(np.square(white)) / max(1, int(used.sum())))


def _whiten(found: Residuals, values: FloatArray, noise: Noise) -> tuple[FloatArray, float]:
    whole = np.zeros(noise.sigma.shape)
    whole[found.index] = np.where(found.used, values, 0.0)
    white = noise.whiten(whole)
    return np.where(found.used, white[found.index], np.nan), _per_voxel(white, found.used)


def _variance_error(found: Covariance) -> float:
    middle = found.pairs[found.lags]
    return float(np.sqrt(2.0 * np.sum(found.value**2) / middle))


def _histogram(white: FloatArray) -> tuple[FloatArray, tuple[float, ...]]:
    values = white[np.isfinite(white)]
    counts = np.histogram(values, bins=_edges())[0] / values.size
    size = np.abs(values)
    return counts, tuple(float(np.mean(size > limit)) for limit in _TAILS)


def _edges() -> FloatArray:
    return np.linspace(-_REACH, _REACH, _BINS + 1)
