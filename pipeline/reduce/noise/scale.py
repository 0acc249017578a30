"""By which factor is the noise larger than ERR, as a function of wavelength?

Each line-free channel gives a mean square of residuals over ERR; a smooth curve (a spline
of the logarithm) is drawn through them. Its error comes from the scatter of the channels about it.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from ard.cube import FloatArray
from pipeline.reduce.noise.continuum import splines
from pipeline.reduce.noise.residuals import MAD_SCATTER

_ROUNDS: Final = 12


@dataclass(frozen=True, eq=False)
class ScaleCurve:
    """Noise over ERR in every channel.

    Attributes
    ----------
    value, error : ndarray, shape (n_wave,)
        What ERR is to be multiplied with, and its standard error.
    measured : ndarray, shape (n_free,)
        The scale of each line-free channel alone.
    chi2_dof : float
        How the channels scatter about the curve, over what Gaussian noise would make of them.
    """

    value: FloatArray
    error: FloatArray
    measured: FloatArray
    chi2_dof: float


def draw_scale(
    mean_square: FloatArray, independent: FloatArray, index: Any, n_wave: int, spacing: float
) -> ScaleCurve:
    """Draw a smooth curve through the scales of channels.

    Parameters
    ----------
    mean_square : ndarray, shape (n_free,)
        Of residuals over ERR, corrected for the continuum.
    independent : ndarray, shape (n_free,)
        How many independent values each of them stands for.
    index : ndarray of int, shape (n_free,)
        Their numbers.
    n_wave : int
        Channels of the cube. Inside windows of lines the curve is what the spline says; beyond the
        first and last line-free channel it stays as it is there, with an error that grows towards
        the scatter of the whole curve.
    spacing : float
        Line-free channels between knots.

    Returns
    -------
    ScaleCurve
    """
    good = (mean_square > 0) & (independent > 0)
    basis = splines(index[good], spacing)
    matrix, square = basis.values.toarray(), mean_square[good]
    weight = 0.5 * independent[good]  # 1 / var(ln s^2), as var(s^2) = 2 s^4 / n
    inverse = np.linalg.pinv(matrix.T @ (weight[:, None] * matrix), hermitian=True)
    level = np.full(square.size, np.log(np.average(square, weights=weight)))
    # Fisher scoring of a gamma likelihood: unlike the mean of logarithms, it is not biased by
    # the scatter of single channels.
    for _ in range(_ROUNDS):
        working = level + square / np.exp(level) - 1.0
        level = matrix @ (inverse @ (matrix.T @ (weight * working)))
    left = square / np.exp(level) - 1.0
    chi2_dof = float(np.sum(weight * left**2) / max(1, left.size - basis.count))
    variance = np.einsum("ij,jk,ik->i", matrix, inverse, matrix) * max(1.0, chi2_dof)
    return ScaleCurve(
        *_spread(index[good], level, variance, n_wave, spacing),
        measured=np.sqrt(np.where(good, mean_square, np.nan)),
        chi2_dof=chi2_dof,
    )


def raised(curve: ScaleCurve, busy: Any, scatter: FloatArray, independent: float) -> ScaleCurve:
    """Raise the curve in busy channels to what they scatter by themselves.

    Where the noise is a spike, a smooth curve knows nothing of it. Where it is a line of a few
    spaxels, a robust scatter is that of the others, and the curve stays as it is.

    Parameters
    ----------
    curve : ScaleCurve
    busy : ndarray of int, shape (n_busy,)
        Their numbers.
    scatter : ndarray, shape (n_busy,)
        Robust scatter over ERR of each of them, corrected for the continuum.
    independent : float
        How many independent values each stands for.
    """
    value, error = curve.value.copy(), curve.error.copy()
    known = np.where(np.isfinite(scatter), scatter, 0.0)
    louder = known > value[busy]
    value[busy] = np.where(louder, known, value[busy])
    error[busy] = np.where(louder, known * MAD_SCATTER / np.sqrt(independent), error[busy])
    return replace(curve, value=value, error=error)


def _spread(
    index: Any, level: FloatArray, variance: FloatArray, n_wave: int, spacing: float
) -> tuple[FloatArray, FloatArray]:
    """Give the curve and its error in all channels from ln(scale^2) of some."""
    channel = np.arange(n_wave)
    beyond = np.maximum(np.maximum(index[0] - channel, channel - index[-1]), 0.0)
    share = np.minimum(beyond / spacing, 1.0)
    error = np.sqrt(np.interp(channel, index, variance) + share * np.var(level))
    value = np.exp(0.5 * np.interp(channel, index, level))
    return value, value * 0.5 * error
