"""Does the noise of some exposures predict how another one differs from them?

The other exposures of a pointing give a model of the noise, each by itself. With it the difference
between the one left out and their average has a covariance, voxel by voxel, of which nothing is
fitted to the difference. Divided by it, differences have to be of unit variance and white, single
voxels and sums over apertures alike; an ERR that is wrong in one exposure shows here, and so does
whatever the dithers do not have in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.linalg import solve_triangular

from ard.cube import BoolArray, Cube, FloatArray
from pipeline.reduce.noise.channels import FreeChannels
from pipeline.reduce.noise.correlation import measure, undo_continuum
from pipeline.reduce.noise.goodness import LAGS
from pipeline.reduce.noise.model import Measured, response_of
from pipeline.reduce.noise.resampled import Difference, Exposure, Region, difference
from pipeline.reduce.noise.residuals import Limits, Residuals, find_residuals
from pipeline.reduce.noise.scale import ScaleCurve
from pipeline.reduce.noise.single import (
    Measure,
    Model,
    error_of_variance,
    in_common,
    measure_alone,
)

# Whitening takes the cube of the number of spaxels, so it is done in the middle of the field and in
# blocks of channels that are spread over the band.
_SIDE: Final = 21
_BLOCKS: Final = 16
_BLOCK_CHANNELS: Final = 8
_APERTURE: Final = 3
_FILLED: Final = 7  # of the 9 voxels of an aperture


@dataclass(frozen=True, eq=False)
class DitherNoise:
    """The noise that the exposures of a pointing show.

    Attributes
    ----------
    curve : ScaleCurve
        Noise over ERR of the exposures in every channel, from their differences.
    model : Model
        Scale and correlation, from the line-free residuals of each exposure by itself.
    left_out : tuple of LeftOut
        One for each exposure.
    """

    curve: ScaleCurve
    model: Model
    left_out: tuple["LeftOut", ...]


@dataclass(frozen=True, eq=False)
class LeftOut:
    """How an exposure differs from the others, over what a model made of those predicts.

    Attributes
    ----------
    filename : str
    count : int
        Number of voxels that were compared.
    set_aside : float
        Part of its spaxels that scatter unlike the others, alone or in the difference: of them
        nothing is compared.
    ratio, error : float
        Mean square of single voxels over prediction, and its standard error.
    aperture_ratio, aperture_error : float or None
        The same for sums over 3 x 3 spaxels; None where there are not two of them.
    whitened : Whitened
    """

    filename: str
    count: int
    set_aside: float
    ratio: float
    error: float
    aperture_ratio: float | None
    aperture_error: float | None
    whitened: "Whitened"


@dataclass(frozen=True, eq=False)
class Whitened:
    """How white differences are when they are whitened with the predicted covariance.

    Attributes
    ----------
    count : int
        Number of voxels.
    variance, variance_error : float
        Mean square, 1 where the prediction is right, and its standard error for so many voxels.
    left, left_error : ndarray, shape (2 lw + 1, 2 ly + 1, 2 lx + 1)
        Correlation less that along wavelength, which whitening channel by channel leaves.
    """

    count: int
    variance: float
    variance_error: float
    left: FloatArray
    left_error: FloatArray


def from_exposures(
    exposures: Sequence[Exposure],
    wave: FloatArray,
    channels: FreeChannels,
    limits: Limits,
    measure_noise: Measure,
) -> DitherNoise:
    """Measure the noise of exposures, alone and from their differences, and leave out each.

    Parameters
    ----------
    exposures : sequence of Exposure
        Two or more.
    wave : ndarray, shape (n_wave,)
        um.
    channels : FreeChannels
        Lines are sharp, and what is sampled elsewhere is not what is seen: they do not cancel.
    limits : Limits
    measure_noise : callable
        From residuals to `Measured`.

    Raises
    ------
    ArdError
        If too few spaxels of an exposure, or of a difference, can be measured, or two exposures do
        not overlap.
    """
    clean, alone, odd = zip(
        *(measure_alone(one, wave, channels, limits, measure_noise) for one in exposures),
        strict=True,
    )
    curves, left_out = [], []
    for number, one in enumerate(clean):
        others = [k for k in range(len(clean)) if k != number]
        model = in_common([alone[k] for k in others])
        found = difference(one, [clean[k] for k in others], model.sky)
        cube = Cube(found.flux, found.var, np.isnan(found.var), wave, one.wcs)
        residuals = find_residuals(cube, channels, limits)
        measured = measure_noise(residuals)
        curves.append(measured.curve)
        left_out.append(_judge(found, residuals, measured, model, odd[number]))
    return DitherNoise(_average(curves), in_common(alone), tuple(left_out))


def _average(curves: Sequence[ScaleCurve]) -> ScaleCurve:
    """Average scales of differences, of which each exposure has a part in every one.

    Of n differences from the average of the others n - 1 are independent. A channel that one of
    them lacks is measured by the rest.
    """
    value = np.sqrt(np.mean([curve.value**2 for curve in curves], axis=0))
    error = np.sqrt(np.mean([curve.error**2 for curve in curves], axis=0) / (len(curves) - 1))
    squares = np.stack([curve.measured**2 for curve in curves])
    number = np.isfinite(squares).sum(axis=0)
    mean = np.nansum(squares, axis=0) / np.maximum(number, 1)
    measured = np.sqrt(np.where(number > 0, mean, np.nan))
    return ScaleCurve(value, error, measured, float(np.mean([c.chi2_dof for c in curves])))


def _judge(
    found: Difference, residuals: Residuals, measured: Measured, model: Model, odd: int
) -> LeftOut:
    """Hold a difference against what the others predict."""
    share = measured.retained * model.scale[residuals.index] ** 2
    square = (residuals.pull**2 / share[:, None, None])[residuals.used]
    ratio, error = float(square.mean()), error_of_variance(measured.correlation)
    white, sums = _whiten(found, residuals, model, share)
    aside = odd + int(residuals.odd.sum())
    return LeftOut(
        filename=found.one.filename,
        count=int(square.size),
        set_aside=aside / (aside + int(residuals.spaxels.sum())),
        ratio=ratio,
        error=ratio * float(np.hypot(error, model.variance_error)),
        aperture_ratio=float(sums.mean()) if sums.size > 1 else None,
        aperture_error=_error_of_mean(sums, model) if sums.size > 1 else None,
        whitened=white,
    )


def _error_of_mean(squares: FloatArray, model: Model) -> float:
    """Give the error of a mean of squares of which adjacent channels share a part."""
    middle = model.correlation.lags
    along = model.correlation.value[:, middle[1], middle[2]]
    own = squares.std() * np.sqrt(np.sum(along**2) / squares.size)
    return float(np.hypot(own, squares.mean() * model.variance_error))


def _whiten(
    found: Difference, residuals: Residuals, model: Model, share: FloatArray
) -> tuple[Whitened, FloatArray]:
    """Whiten channel by channel; give also the squares of sums over apertures over prediction."""
    chosen = _chosen(residuals.index.size)
    field = residuals.spaxels.shape
    window = _window(residuals.spaxels)
    lags = model.filtered()
    region = Region(found, np.arange(field[0] * field[1]).reshape(field)[window].ravel(), lags[0])
    pull, err = (values[(chosen, *window)] for values in (residuals.pull, residuals.err))
    tiles = _tiles(pull.shape[1:])
    white = np.full(pull.shape, np.nan)
    sums = [np.zeros(0)]
    for row, k in enumerate(chosen):
        used = np.isfinite(pull[row]).ravel()
        matrix = share[k] * region.covariance(int(residuals.index[k]))[np.ix_(used, used)]
        left = (pull[row] * err[row]).ravel()[used]
        root = np.linalg.cholesky(matrix)
        white[row].ravel()[used] = solve_triangular(root, left, lower=True)
        members = tiles[:, used]
        members = members[members.sum(axis=1) >= _FILLED]
        sums.append((members @ left) ** 2 / np.sum((members @ matrix) * members, axis=1))
    return _describe(white, residuals, chosen, model), np.concatenate(sums)


def _describe(white: FloatArray, residuals: Residuals, chosen: Any, model: Model) -> Whitened:
    """Give variance and correlation of whitened differences, without what the continuum did."""
    matrix, _ = response_of(residuals, LAGS[0])
    seen = measure(white, residuals.index[chosen], LAGS)
    true = undo_continuum(seen, matrix)
    expected, along = np.zeros(true.value.shape), model.filtered()[:, 0, 0]
    error = float(np.hypot(error_of_variance(seen), model.variance_error))
    for lag in range(-LAGS[0], LAGS[0] + 1):
        expected[lag + LAGS[0], LAGS[1], LAGS[2]] = along[lag]
    return Whitened(
        count=int(np.isfinite(white).sum()),
        variance=seen.variance,
        variance_error=seen.variance * error,
        left=true.value - expected,
        left_error=true.error,
    )


def _chosen(n_free: int) -> Any:
    """Give blocks of line-free channels that are spread over all."""
    if n_free <= _BLOCKS * _BLOCK_CHANNELS:
        return np.arange(n_free)
    first = np.linspace(0, n_free - _BLOCK_CHANNELS, _BLOCKS).astype(int)
    return np.unique(first[:, None] + np.arange(_BLOCK_CHANNELS))


def _window(spaxels: BoolArray) -> tuple[slice, slice]:
    """Give rows and columns of the square around the middle of the spaxels that were measured."""
    first = [
        max(0, min(round(float(place.mean())) - _SIDE // 2, size - _SIDE))
        for size, place in zip(spaxels.shape, np.nonzero(spaxels), strict=True)
    ]
    return slice(first[0], first[0] + _SIDE), slice(first[1], first[1] + _SIDE)


def _tiles(shape: tuple[int, ...]) -> FloatArray:
    """Give the spaxels of each whole aperture, 1 or 0, shape (n_apertures, ny nx)."""
    ny, nx = shape
    y, x = (values // _APERTURE for values in np.indices((ny, nx)))
    rows, columns = ny // _APERTURE, nx // _APERTURE
    number = np.where((y < rows) & (x < columns), y * columns + x, -1).ravel()
    return np.asarray(number == np.arange(rows * columns)[:, None], dtype=np.float64)
