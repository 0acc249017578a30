"""Which share of the flux of a line does a background take off, and how sure is that?

The error of a flux is that of the same sum over channels that hold no line: it then knows of
correlations in space and wavelength, of errors that are too small, and of the background itself.
Two fluxes of one aperture share noise, and so do their sums over such channels; that is how the
error of a ratio knows of it. Where the cube has too few channels without lines, the residuals of
the fit have to do; where there is a noise model of the very cube, it is propagated instead.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.special import ndtr, ndtri

from ard.cube import BoolArray, Cube, FloatArray
from ard.errors import misfit
from ard.likelihood.noise import Noise
from pipeline.reduce.difference.background import bridged
from pipeline.reduce.difference.functional import Functional, effective_placements, placements
from pipeline.reduce.outliers import nanmedian, robust_sigma

LINE_FREE: Final = "line-free"
RESIDUAL: Final = "residual"
NOISE: Final = "noise"
# Of independent placements without a line; fewer do not give a robust scatter to better than a
# fifth. Placements that overlap count for less than one: `effective_placements`.
ENOUGH: Final = 20
_SAME: Final = 1e-5  # relative: files hold float32
_HALVINGS: Final = 60  # of an interval: to the last digit
LIMIT_SIGMA: Final = float(ndtri(0.95))  # of a one-sided limit of 95 %


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The sum over an aperture.

    Attributes
    ----------
    density, err : ndarray, shape (n_wave,)
        Flux density, erg s-1 cm-2 um-1, and its error as the cube states it, voxels independent.
    model : ndarray, shape (n_wave,), or None
        The part of the density that is fitted to channels without lines, and bridged where lines
        are: there it does not follow the noise.
    """

    density: FloatArray
    err: FloatArray
    model: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """The flux of a line in one spectrum.

    Attributes
    ----------
    value, err : float
        erg s-1 cm-2.
    pulls : ndarray, shape (n,)
        The same sum where there is no line, over what the stated errors give there; for ratios.
        Empty where there are too few independent ones to say anything.
    source : str
        What the error rests on: line-free, residual or noise.
    """

    value: float
    err: float
    pulls: FloatArray
    source: str


def measure(
    functional: Functional, spectrum: Spectrum, blocked: BoolArray, propagated: float | None = None
) -> Measured:
    """Give the flux of a line with its error.

    Parameters
    ----------
    functional : Functional
    spectrum : Spectrum
    blocked : ndarray of bool, shape (n_wave,)
        Channels that lines can reach.
    propagated : float, optional
        The error by a noise model.
    """
    value, stated = float(functional(spectrum.density)), float(_stated(functional, spectrum, 0))
    shifts = placements(functional, blocked)
    pulls = np.array(
        [
            _placed(functional, spectrum, blocked, s) / _stated(functional, spectrum, s)
            for s in shifts
        ]
    )
    enough = effective_placements(functional, shifts) >= ENOUGH
    if propagated is not None:
        return Measured(value, propagated, pulls if enough else np.zeros(0), NOISE)
    if enough:
        # About zero, not about their median: a slope of the sky would be an error as well.
        factor = float(robust_sigma(np.concatenate([pulls, -pulls]), 0))
        return Measured(value, factor * stated, pulls, LINE_FREE)
    return Measured(value, _misfit(functional, spectrum) * stated, np.zeros(0), RESIDUAL)


def _placed(functional: Functional, spectrum: Spectrum, blocked: BoolArray, shift: int) -> float:
    """Give the sum at a placement, where a model is bridged as it is at the line.

    Unbridged, a model would follow the noise there, as it cannot at the line. What it learns from
    the few channels of one window is let stand.
    """
    found = float(functional(spectrum.density, shift))
    if spectrum.model is None:
        return found
    clear = np.flatnonzero(~blocked)
    first, last = int(functional.channels[0]), int(functional.channels[-1])
    # With the channels on which the bridge of the line rests; at the edge of the cube there is one.
    before, after = clear[clear <= first], clear[clear >= last]
    start = max(int(before[-1]) if before.size else 0, -shift)
    stop = min((int(after[0]) if after.size else last) + 1, blocked.size - shift)
    here = slice(start + shift, stop + shift)
    part = bridged(spectrum.model[here, None], blocked[start:stop])[:, 0] - spectrum.model[here]
    change = np.zeros(blocked.size)
    change[here] = part
    return found + float(functional(change, shift))


def _stated(functional: Functional, spectrum: Spectrum, shift: int) -> float:
    err = spectrum.err[functional.channels + shift]
    return float(np.sqrt(np.sum((functional.values * err) ** 2)))


def _misfit(functional: Functional, spectrum: Spectrum) -> float:
    """Give the root of chi2 over degrees of freedom of the fit behind a functional."""
    err = spectrum.err[functional.channels]
    data, basis = spectrum.density[functional.channels] / err, functional.basis / err[:, None]
    best, *_ = np.linalg.lstsq(basis, data, rcond=None)
    freedom = max(data.size - int(np.linalg.matrix_rank(basis)), 1)
    return float(np.sqrt(np.sum((data - basis @ best) ** 2) / freedom))


@dataclass(frozen=True)
class Ratio:
    """A ratio of two fluxes with its error."""

    value: float
    err: float

    @property
    def upper(self) -> float:
        """Upper limit, 95 %."""
        return self.value + LIMIT_SIGMA * self.err

    def below(self, size: float) -> float:
        """Give the probability that its size is below a number."""
        if not (np.isfinite(self.value) and self.err > 0):
            return float("nan")
        ends = (np.array([size, -size]) - self.value) / self.err
        return float(np.diff(ndtr(ends[::-1]))[0])


def ratio(above: Measured, below: Measured) -> Ratio:
    """Divide two fluxes that may share noise.

    Notes
    -----
    To first order: var(a / b) = (var a + r^2 var b - 2 r cov) / b^2 with r = a / b.
    """
    value = above.value / below.value
    cov = correlation(above.pulls, below.pulls) * above.err * below.err
    variance = above.err**2 + value**2 * below.err**2 - 2.0 * value * cov
    # The estimated correlation may exceed what the errors allow by rounding.
    return Ratio(value, float(np.sqrt(max(variance, 0.0))) / abs(below.value))


def correlation(one: FloatArray, other: FloatArray) -> float:
    """Give the robust correlation of pairs: from the scatter of their sum and difference.

    0 where there are too few pairs.
    """
    if one.size != other.size or not one.size:
        return 0.0
    scatter = [float(robust_sigma(np.concatenate([v, -v]), 0)) for v in (one, other)]
    if min(scatter) == 0:
        return 0.0
    a, b = one / scatter[0], other / scatter[1]
    plus, minus = (float(nanmedian(np.abs(v), 0)) ** 2 for v in (a + b, a - b))
    return float(np.clip((plus - minus) / (plus + minus), -1.0, 1.0)) if plus + minus else 0.0


def require_noise_of(noise: Noise, cube: Cube, item: str) -> None:
    """Refuse a noise model that is not that of a cube.

    It may mask more than the cube does, but must not use what the cube lacks, and its errors are
    the cube's own.

    Raises
    ------
    FormatError
        If shapes, masks or errors differ.
    """
    problem = f"the noise model of {item} is not that of the cube that is measured"
    if noise.sigma.shape != cube.shape:
        raise misfit(problem, f"shape {cube.shape}", f"shape {noise.sigma.shape}")
    lacking = int((cube.mask & ~noise.mask).sum())
    used = ~noise.mask & ~cube.mask
    err = np.sqrt(cube.var[used])
    other = int((np.abs(noise.sigma[used] - err) > _SAME * err).sum())
    if lacking or other:
        expected = "the errors of that cube, and no voxel that it lacks"
        raise misfit(problem, expected, f"{other} other errors, {lacking} voxels that it lacks")


def propagated_error(noise: Noise | None, weight: FloatArray, channels: np.ndarray) -> float | None:
    """Give the error of a weighted sum of voxels by a noise model, correlations included.

    Parameters
    ----------
    noise : Noise or None
    weight : ndarray, shape (n_used, ny, nx)
        What each voxel of the channels counts; 0 where it has no part.
    channels : ndarray of int, shape (n_used,)

    Returns
    -------
    float or None
        In the unit of `noise.sigma` times that of the weight; None without a noise model, or for
        one that is a filter.
    """
    if noise is None or noise.taps is not None:
        return None
    scale = np.asarray(noise.scale, dtype=np.float64)
    scale = scale[channels] if scale.ndim else np.full(channels.size, float(scale))
    used = ~np.asarray(noise.mask)[channels]
    sigma = np.where(used, np.asarray(noise.sigma)[channels], 0.0) * scale[:, None, None]
    vector = weight * sigma
    factors = noise.factors or (None, None, None)
    turned = vector if len(factors) == 3 else vector.reshape(vector.shape[0], -1)
    product = turned
    for axis, factor in enumerate(factors):
        if factor is not None:
            # W'W is the inverse of the correlation.
            inverse = np.linalg.inv(np.asarray(factor, dtype=np.float64))
            matrix: Any = inverse @ inverse.T
            matrix = matrix[np.ix_(channels, channels)] if axis == 0 else matrix
            product = np.moveaxis(np.tensordot(matrix, product, axes=(1, axis)), 0, axis)
    return float(np.sqrt(max(float(np.sum(turned * product)), 0.0)))


def mixture(ratios: list[Ratio], shares: tuple[float, ...]) -> list[float]:
    """Give quantiles of the equal mixture of normal distributions.

    Parameters
    ----------
    ratios : list of Ratio
        With finite values and positive errors.
    shares : tuple of float
        The probabilities.
    """
    value, err = (np.array([getattr(r, name) for r in ratios]) for name in ("value", "err"))
    wanted = np.array(shares)[:, None]
    low, high = (np.full(wanted.shape, end) for end in _ends(value, err))
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        below = ndtr((middle - value) / err).mean(axis=1, keepdims=True)
        low, high = np.where(below < wanted, middle, low), np.where(below < wanted, high, middle)
    return [float(found) for found in (0.5 * (low + high)).ravel()]


def _ends(value: FloatArray, err: FloatArray) -> tuple[float, float]:
    return float((value - 8.0 * err).min()), float((value + 8.0 * err).max())
