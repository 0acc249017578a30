"""How well does a velocity and width fit, with fluxes and continuum at their best?

The linear part is projected out: spectra are whitened, each block's continuum is removed with an
orthonormal basis, and the fluxes follow from small normal equations. What is left is chi square,
its gradient and its Gauss-Newton Hessian in (velocity, variance).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.descent import Evaluation
from pipeline.lineprofile import BoolArray, FloatArray, Response

# Of a column's weight: what a continuum term must have left after the lower orders, and the
# ridge that keeps the scaled normal equations (unit diagonal) solvable.
_INDEPENDENT: Final = 1e-8
_RIDGE: Final = 1e-13
CONTINUUM_SIGMA: Final = 3.0  # total widths from every line: a channel of continuum


@dataclass(frozen=True, eq=False)
class Projected:
    """Whitened spectra with the continuum removed.

    Attributes
    ----------
    data : ndarray, shape (n, n_used)
        Whitened flux, continuum projected out.
    root : ndarray, shape (n, n_used)
        Square root of the weight of each channel; 0 = do not use.
    basis : ndarray, shape (n, n_used, n_terms)
        Orthonormal whitened continuum; zero columns where channels do not suffice.
    response : Response
        The lines.
    min_coverage, drop_coverage : float
        See `linefit.Config`.
    """

    data: FloatArray
    root: FloatArray
    basis: FloatArray
    response: Response
    min_coverage: float
    drop_coverage: float

    @classmethod
    def of(
        cls,
        flux: FloatArray,
        ivar: FloatArray,
        response: Response,
        settings: tuple[int, float, float],
    ) -> "Projected":
        """Whiten spectra of shape (n, n_used) and remove their continuum.

        `settings` are the continuum order and the two coverages of `linefit.Config`.
        """
        order, min_coverage, drop_coverage = settings
        good = np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
        root = np.sqrt(np.where(good, ivar, 0.0))
        data = np.where(good, flux, 0.0) * root
        basis = _continuum(root, response.windows.blocks, order)
        return cls(_remove(basis, data), root, basis, response, min_coverage, drop_coverage)

    def take(self, rows: np.ndarray) -> "Projected":
        """Give some of the spectra."""
        return Projected(
            self.data[rows],
            self.root[rows],
            self.basis[rows],
            self.response,
            self.min_coverage,
            self.drop_coverage,
        )

    def evaluate(self, point: FloatArray) -> Evaluation:
        """Give chi square, gradient and Hessian at (velocity, variance), shape (n, 2)."""
        return evaluate(self, point)

    @property
    def n_good(self) -> FloatArray:
        """Number of channels used, shape (n,)."""
        count: FloatArray = (self.root > 0).sum(axis=1).astype(float)
        return count

    @property
    def n_continuum(self) -> FloatArray:
        """Number of continuum terms that the channels can hold, shape (n,)."""
        count: FloatArray = (self.basis != 0).any(axis=1).sum(axis=1).astype(float)
        return count


def _continuum(root: FloatArray, blocks: tuple[slice, ...], order: int) -> FloatArray:
    """Orthonormalise powers of the channel number in each block, weighted (Gram-Schmidt)."""
    basis = np.zeros((*root.shape, len(blocks) * (order + 1)))
    for k, part in enumerate(blocks):
        weight = root[:, part]
        x = np.linspace(-1.0, 1.0, weight.shape[1])
        done: list[FloatArray] = []
        for power in range(order + 1):
            term = weight * x**power
            before = np.sqrt((term**2).sum(axis=1))
            for _ in range(2):  # twice is enough (Kahan)
                for other in done:
                    term = term - (term * other).sum(axis=1)[:, None] * other
            length = np.sqrt((term**2).sum(axis=1))
            keep = length > _INDEPENDENT * before
            scale = np.divide(1.0, length, out=np.zeros_like(length), where=keep)
            done.append(term * scale[:, None])
            basis[:, part, k * (order + 1) + power] = done[-1]
    return basis


def _remove(basis: FloatArray, data: FloatArray) -> FloatArray:
    """Remove the continuum from (n, n_used) or (n, n_used, m) whitened columns."""
    columns = data[:, :, None] if data.ndim == 2 else data
    left: FloatArray = columns - basis @ (basis.swapaxes(1, 2) @ columns)
    return left[:, :, 0] if data.ndim == 2 else left


def _coverage(light: FloatArray, good: FloatArray, total: FloatArray) -> FloatArray:
    """Give the share of each amplitude's light on good channels, shape (n, n_free)."""
    share: FloatArray = (good[:, None, :] @ light)[:, 0, :] / total
    return share


def _total(response: Response) -> FloatArray:
    """Give the light of each unit amplitude, shape (n_free,)."""
    total: FloatArray = response.lines.ratio.sum(axis=0)
    return total


def _inverse(matrix: FloatArray) -> FloatArray:
    """Invert positive (n, k, k) normal matrices; zero rows stay zero."""
    diagonal = np.einsum("...ii->...i", matrix)
    seen = diagonal > 0
    scale = np.divide(
        1.0, np.sqrt(np.where(seen, diagonal, 1.0)), where=seen, out=np.zeros_like(diagonal)
    )
    scaled = matrix * scale[..., :, None] * scale[..., None, :]
    k = np.arange(matrix.shape[-1])
    scaled[..., k, k] = 1.0 + _RIDGE
    inverse: FloatArray = np.linalg.inv(scaled) * scale[..., :, None] * scale[..., None, :]
    return inverse


def scan(data: Projected, templates: FloatArray) -> np.ndarray:
    """Find the template that fits each spectrum best.

    Parameters
    ----------
    data : Projected
        n spectra.
    templates : ndarray, shape (n_templates, n_used, n_free)
        Light in each channel for unit amplitudes.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    n_templates, n_used, n_free = templates.shape
    n = len(data.data)
    flat = templates.transpose(1, 0, 2).reshape(n_used, -1)
    good = (data.root > 0).astype(float)
    light = ((good * data.response.widths_um) @ flat).reshape(n, n_templates, n_free)
    light /= _total(data.response)
    keep = light >= data.drop_coverage
    right = ((data.data * data.root) @ flat).reshape(n, n_templates, n_free) * keep
    pairs = templates[:, :, :, None] * templates[:, :, None, :]
    square = ((data.root**2) @ pairs.transpose(1, 0, 2, 3).reshape(n_used, -1)).reshape(
        n, n_templates, n_free, n_free
    )
    weighted = (data.basis * data.root[:, :, None]).swapaxes(1, 2)
    cross = (weighted @ flat).reshape(n, -1, n_templates, n_free)
    square -= np.einsum("nctk,nctl->ntkl", cross, cross)
    square *= keep[..., :, None] & keep[..., None, :]
    solution = _inverse(square) @ right[..., None]
    gain = (right * solution[..., 0]).sum(axis=-1)
    allowed = (light >= data.min_coverage).any(axis=-1)
    best: np.ndarray = np.where(allowed, gain, -np.inf).argmax(axis=1)
    return best


@dataclass(frozen=True, eq=False)
class Solution:
    """The linear part at one (velocity, variance).

    Attributes
    ----------
    amplitudes : ndarray, shape (n, n_free)
        0 where not seen.
    seen : ndarray of bool, shape (n, n_free)
        True where enough of an amplitude's light is on good channels.
    allowed : ndarray of bool, shape (n,)
        True where at least one amplitude is well covered.
    residual : ndarray, shape (n, n_used)
        Whitened.
    columns : ndarray, shape (n, n_used, n_free)
        Whitened lines without continuum.
    slopes : ndarray, shape (n, n_used, 2)
        Whitened derivatives of the model by velocity and variance, without continuum.
    """

    amplitudes: FloatArray
    seen: BoolArray
    allowed: BoolArray
    residual: FloatArray
    columns: FloatArray
    slopes: FloatArray


def solve(data: Projected, point: FloatArray) -> tuple[Solution, FloatArray]:
    """Solve for the fluxes at given (velocity, variance), shape (n, 2).

    Returns
    -------
    solution : Solution
    inverse : ndarray, shape (n, n_free, n_free)
        Inverse normal matrix of the amplitudes.
    """
    light, by_velocity, by_variance = data.response.templates(point[:, 0], point[:, 1])
    good = (data.root > 0) * data.response.widths_um
    coverage = _coverage(light, good, _total(data.response))
    seen = coverage >= data.drop_coverage
    root = data.root[:, :, None]
    columns = _remove(data.basis, light * root * seen[:, None, :])
    inverse = _inverse(columns.swapaxes(1, 2) @ columns)
    right = columns.swapaxes(1, 2) @ data.data[:, :, None]
    amplitudes = inverse @ right
    # One step of refinement removes the ridge and the rounding of the inverse.
    left = data.data[:, :, None] - columns @ amplitudes
    amplitudes = amplitudes + inverse @ (columns.swapaxes(1, 2) @ left)
    slopes = np.concatenate([by_velocity @ amplitudes, by_variance @ amplitudes], axis=2)
    solution = Solution(
        amplitudes[:, :, 0],
        seen,
        (coverage >= data.min_coverage).any(axis=1),
        data.data - (columns @ amplitudes)[:, :, 0],
        columns,
        _remove(data.basis, slopes * root),
    )
    return solution, inverse


def evaluate(data: Projected, point: FloatArray) -> Evaluation:
    """Give chi square, gradient and Hessian at (velocity, variance), shape (n, 2)."""
    found, inverse = solve(data, point)
    cross = found.columns.swapaxes(1, 2) @ found.slopes
    hessian = found.slopes.swapaxes(1, 2) @ found.slopes
    hessian -= cross.swapaxes(1, 2) @ inverse @ cross
    gradient = (found.slopes.swapaxes(1, 2) @ found.residual[:, :, None])[:, :, 0]
    chi2 = (found.residual**2).sum(axis=1)
    return Evaluation(np.where(found.allowed, chi2, np.inf), gradient, hessian)


def covariance(found: Solution) -> FloatArray:
    """Give the covariance of (velocity, variance, amplitudes), shape (n, 2 + n_free, 2 + n_free).

    NaN on the diagonal where the data do not constrain a parameter.
    """
    jacobian = np.concatenate([found.slopes, found.columns], axis=2)
    result = _inverse(jacobian.swapaxes(1, 2) @ jacobian)
    k = np.arange(result.shape[1])
    diagonal = result[:, k, k]
    result[:, k, k] = np.where(diagonal > 0, diagonal, np.nan)
    return result


def leverage(data: Projected, found: Solution, cov: FloatArray) -> FloatArray:
    """Say how much of each channel the fit has absorbed: the diagonal of the hat matrix.

    Returns
    -------
    ndarray, shape (n, n_used)
        0 to 1; the expected squared whitened residual is 1 minus this.
    """
    jacobian = np.concatenate([found.slopes, found.columns], axis=2)
    absorbed: FloatArray = (data.basis**2).sum(axis=2)
    absorbed += ((jacobian @ np.nan_to_num(cov)) * jacobian).sum(axis=2)
    return absorbed
