"""What is the noise of an exposure by itself, and what do several of them have in common?

Each exposure is treated as the cube is: lines out, continuum and outliers off. That gives its scale
and its correlation before anything is resampled. What several have in common is a model of the
noise of any exposure of the pointing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import fft

from ard.cube import Cube, FloatArray
from pipeline.reduce.noise.channels import FreeChannels
from pipeline.reduce.noise.correlation import Covariance
from pipeline.reduce.noise.kernel import covariance_of, density_of_taps, whitening_taps
from pipeline.reduce.noise.model import Measured
from pipeline.reduce.noise.resampled import Exposure
from pipeline.reduce.noise.residuals import Limits, Residuals, find_residuals

# From residuals to the noise, as `model.measure_noise` does it.
Measure = Callable[[Residuals], Measured]

# Periodic, and twice as large as any distance that is asked for.
_GRID: Final = (16, 96, 96)


@dataclass(frozen=True, eq=False)
class Model:
    """The noise that exposures have in common.

    Attributes
    ----------
    scale, scale_error : ndarray, shape (n_wave,)
        Noise over ERR in every channel, with standard error.
    correlation : Covariance
    taps : ndarray, shape (a, b, c)
        Of the filter that whitens it.
    """

    scale: FloatArray
    scale_error: FloatArray
    correlation: Covariance
    taps: FloatArray

    @property
    def sky(self) -> FloatArray:
        """Correlation in one channel as measured, negative lags at the end of each axis."""
        return np.asarray(fft.ifftshift(self.correlation.value[self.correlation.lags[0]]))

    @property
    def variance_error(self) -> float:
        """Standard error of the mean of the scale's square, relative."""
        return error_of_variance(self.correlation)

    def filtered(self) -> FloatArray:
        """Give the correlation that the filter stands for, likewise, on a periodic grid.

        Of this any matrix is positive definite, which need not be so of measured numbers.
        """
        found = covariance_of(density_of_taps(self.taps, _GRID))
        return np.asarray(found / found[0, 0, 0])


def measure_alone(
    one: Exposure, wave: FloatArray, channels: FreeChannels, limits: Limits, measure: Measure
) -> tuple[Exposure, Measured, int]:
    """Measure the noise of one exposure on its line-free residuals.

    Returns
    -------
    Exposure
        Without the outliers and the odd spaxels that came to light.
    Measured
    int
        Number of these spaxels.

    Raises
    ------
    ArdError
        If too few spaxels can be measured.
    """
    var = np.where(one.good, np.asarray(one.err, np.float64) ** 2, np.nan)
    flux = np.where(one.good, one.flux, np.nan)
    found = find_residuals(Cube(flux, var, ~one.good, wave, one.wcs), channels, limits)
    good = one.good & ~found.outliers & ~found.odd
    flux, err = (np.where(good, values, 0) for values in (one.flux, one.err))
    return replace(one, flux=flux, err=err, good=good), measure(found), int(found.odd.sum())


def in_common(found: Sequence[Measured]) -> Model:
    """Average scale and correlation of exposures, whose noise is independent.

    The squares of scales are averaged, weighted alike; correlations by their number of pairs.
    """
    square = np.mean([one.curve.value**2 for one in found], axis=0)
    spread = np.sum([(one.curve.value * one.curve.error) ** 2 for one in found], axis=0)
    parts = [one.correlation for one in found]
    pairs = np.sum([part.pairs for part in parts], axis=0)
    shares = [part.pairs / np.maximum(pairs, 1.0) for part in parts]
    both = list(zip(shares, parts, strict=True))
    correlation = Covariance(
        value=np.sum([share * part.value for share, part in both], axis=0),
        error=np.sqrt(np.sum([(share * part.error) ** 2 for share, part in both], axis=0)),
        variance=float(np.mean([part.variance for part in parts])),
        pairs=pairs,
    )
    taps = whitening_taps(correlation, _three(found[0].taps.shape))
    scale = np.sqrt(square)
    return Model(scale, np.sqrt(spread) / len(found) / scale, correlation, taps)


def error_of_variance(found: Covariance) -> float:
    """Give the relative standard error of the mean square of Gaussian noise of a covariance."""
    return float(np.sqrt(2.0 * np.sum(found.value**2) / found.pairs[found.lags]))


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    wave, y, x = shape
    return wave, y, x
