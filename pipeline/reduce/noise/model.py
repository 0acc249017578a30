"""What is the noise of a cube, measured on its line-free residuals?

Scale and correlation need one another: the continuum took off a share of the variance that depends
on the correlation, and correlations are of residuals in units of their scale. Two rounds are
enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import BoolArray, FloatArray
from pipeline.reduce.noise import continuum
from pipeline.reduce.noise.apertures import Aperture, measure_apertures
from pipeline.reduce.noise.correlation import Covariance, measure, undo_continuum
from pipeline.reduce.noise.kernel import (
    Kronecker,
    covariance_of,
    density_of_taps,
    kronecker,
    whitening_taps,
)
from pipeline.reduce.noise.residuals import Residuals
from pipeline.reduce.noise.scale import ScaleCurve, draw_scale

# Spaxels whose continuum fits stand for those of all.
_EXAMPLES: Final = 12
_GRID: Final = (16, 64, 64)


@dataclass(frozen=True, eq=False)
class Measured:
    """The noise as it was measured.

    Attributes
    ----------
    curve : ScaleCurve
        Noise over ERR.
    observed : Covariance
        Of the residuals in units of `curve`, as they are.
    correlation : Covariance
        The same, corrected for the continuum.
    retained : ndarray, shape (n_free,)
        Share of the variance that the continuum left in each line-free channel; that of the
        channels beside it in one that no voxel has.
    kronecker : Kronecker
    taps : ndarray, shape (a, b, c)
        The two forms of the correlation.
    apertures, apertures_fir : tuple of Aperture
        How sums over apertures scatter, over what each form predicts.
    """

    curve: ScaleCurve
    observed: Covariance
    correlation: Covariance
    retained: FloatArray
    kronecker: Kronecker
    taps: FloatArray
    apertures: tuple[Aperture, ...]
    apertures_fir: tuple[Aperture, ...]


def measure_noise(
    found: Residuals,
    n_wave: int,
    *,
    lags: tuple[int, int, int],
    taps: tuple[int, int, int],
    n_sigma: float,
    spacing: float,
    sides: Sequence[int],
) -> Measured:
    """Measure scale and correlation.

    Parameters
    ----------
    found : Residuals
    n_wave : int
        Channels of the cube.
    lags : (int, int, int)
        Largest lag along wave, y and x.
    taps : (int, int, int)
        Channels, rows and columns of the filter.
    n_sigma : float
        Lags of the Kronecker form are kept while they are further from 0 than this many errors.
    spacing : float
        Line-free channels between knots of the scale.
    sides : sequence of int
        Sizes of the apertures whose sums are held against both forms.
    """
    matrix, diagonal = response_of(found, lags[0])
    number = found.used.sum(axis=(1, 2))
    square = found.mean_square
    correlation = undo_continuum(measure(found.pull, found.index, lags), matrix)
    for _ in range(2):
        retained = diagonal @ correlation.value[:, lags[1], lags[2]]
        independent = number / np.sum(correlation.value[lags[0]] ** 2)
        curve = draw_scale(square / retained, independent, found.index, n_wave, spacing)
        unit = found.pull / curve.value[found.index][:, None, None]
        observed = measure(unit, found.index, lags)
        correlation = undo_continuum(observed, matrix)
    form, filtered = kronecker(correlation, n_sigma), whitening_taps(correlation, taps)
    densities = form.density(_GRID), density_of_taps(filtered, _GRID)
    share = (np.sqrt(retained) * curve.value[found.index])[:, None, None]
    one, other = measure_apertures(
        found.pull * found.err,
        share * found.err,
        [covariance_of(density)[0] for density in densities],
        sides,
        per_channel=float(np.sum(correlation.value[:, lags[1], lags[2]] ** 2)),
    )
    return Measured(curve, observed, correlation, retained, form, filtered, one, other)


def response_of(found: Residuals, lags: int) -> tuple[FloatArray, FloatArray]:
    """Give `continuum.response` of spaxels that are spread over the field."""
    y, x = np.nonzero(found.spaxels)
    chosen = np.unique(np.linspace(0, y.size - 1, _EXAMPLES).astype(int))
    used = [found.used[:, y[k], x[k]] for k in chosen]
    errors = [found.err[:, y[k], x[k]] for k in chosen]
    bases = [
        continuum.projector(found.basis, good, err) for good, err in zip(used, errors, strict=True)
    ]
    matrix, diagonal = continuum.response(bases, found.index, used, lags)
    return matrix, _bridged(diagonal, np.any(used, axis=0))


def _bridged(diagonal: FloatArray, seen: BoolArray) -> FloatArray:
    """Join rows by straight lines where none of the examples has the channel.

    Such a channel may be one that a whole exposure lacks. A continuum takes off about as much from
    one channel as from the next.
    """
    place, known = np.arange(seen.size), np.flatnonzero(seen)
    columns = [np.interp(place, known, column[known]) for column in diagonal.T]
    return np.stack(columns, axis=1)
