"""How well does a velocity and width explain a group of lines in an aperture?

Generalised least squares: the channels of an aperture share noise, so data and model are whitened
with the inverse Cholesky factor of their covariance; the continuum of each block, a polynomial,
is projected out. Fluxes follow from normal equations at every velocity and variance.

n spectra with one covariance are treated at once: repetitions of an aperture with other noise.

The estimates of a nonlinear fit are biased by about one part in the squared signal-to-noise. The
bias to that order is computed from the second derivatives of the model (Box 1971, J. R. Stat.
Soc. B 33, 171) and subtracted: b = -1/2 C J' t with t = sum_ij C_ij d2m/dp_i dp_j.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import FloatArray
from pipeline.descent import Evaluation
from pipeline.lineprofile import IntArray, Response

_RIDGE: Final = 1e-12  # of the scaled diagonal of the normal equations
_STEP: Final = 0.02  # of a total width: the step of numeric derivatives
_INDEPENDENT: Final = 1e-10


@dataclass(frozen=True, eq=False)
class GroupModel:
    """A group of lines in the channels of one aperture.

    Attributes
    ----------
    response : Response
        The lines and the channels of their spans.
    matrix : ndarray, shape (n_used, n_span)
        Turns lines of the whole aperture into whitened numbers without continuum.
    data : ndarray, shape (n, n_used)
        n spectra, whitened, without continuum.
    dof : int
        Channels minus terms of the continuum.
    """

    response: Response
    matrix: FloatArray
    data: FloatArray
    dof: int

    @classmethod
    def of(
        cls,
        response: Response,
        flux: FloatArray,
        covariance: FloatArray,
        sensitivity: FloatArray,
        order: int,
    ) -> "GroupModel":
        """Whiten spectra and remove the continuum.

        Parameters
        ----------
        response : Response
        flux : ndarray, shape (n, n_span)
            Values of channels that are not used have no part.
        covariance : ndarray, shape (n_span, n_span)
            Rows of channels that are not used are 0.
        sensitivity : ndarray, shape (n_span,)
            What to multiply the lines of the whole aperture with; the continuum is seen whole.
        order : int
            Of the polynomials.
        """
        use = np.flatnonzero(np.diagonal(covariance) > 0)
        white = np.linalg.inv(np.linalg.cholesky(covariance[np.ix_(use, use)]))
        terms = white @ _polynomials(response, order)[use]
        left, size, _ = np.linalg.svd(terms, full_matrices=False)
        basis = left[:, size > _INDEPENDENT * size.max(initial=0.0)]
        clean = white - basis @ (basis.T @ white)
        matrix = np.zeros((use.size, sensitivity.size))
        matrix[:, use] = clean * sensitivity[use]
        return cls(response, matrix, flux[:, use] @ clean.T, use.size - basis.shape[1])

    @property
    def n_free(self) -> int:
        """Number of free amplitudes."""
        return self.response.lines.n_free

    def take(self, rows: IntArray) -> "GroupModel":
        """Give some of the spectra."""
        return GroupModel(self.response, self.matrix, self.data[rows], self.dof)

    def columns(self, templates: FloatArray) -> FloatArray:
        """Whiten templates of shape (n, n_span, k), the continuum removed."""
        return np.asarray(np.einsum("ks,nsf->nkf", self.matrix, templates, optimize=True))

    def solve(self, point: FloatArray) -> "Solution":
        """Solve for the fluxes at (velocity, variance), shape (n, 2)."""
        light, by_velocity, by_variance = self.response.templates(point[:, 0], point[:, 1])
        columns = self.columns(light)
        inverse = inverted(columns.swapaxes(1, 2) @ columns)
        amplitudes = inverse @ (columns.swapaxes(1, 2) @ self.data[:, :, None])
        slopes = np.concatenate([by_velocity @ amplitudes, by_variance @ amplitudes], axis=2)
        return Solution(
            amplitudes[:, :, 0],
            inverse,
            columns,
            self.columns(slopes),
            self.data - (columns @ amplitudes)[:, :, 0],
        )

    def evaluate(self, point: FloatArray) -> Evaluation:
        """Give chi square, gradient and Hessian at (velocity, variance), shape (n, 2)."""
        found = self.solve(point)
        cross = found.columns.swapaxes(1, 2) @ found.slopes
        hessian = found.slopes.swapaxes(1, 2) @ found.slopes
        hessian -= cross.swapaxes(1, 2) @ found.inverse @ cross
        gradient = (found.slopes.swapaxes(1, 2) @ found.residual[:, :, None])[:, :, 0]
        return Evaluation((found.residual**2).sum(axis=1), gradient, hessian)

    def gain(self, point: FloatArray) -> FloatArray:
        """Say by how much lines at (velocity, variance) lower chi square, shape (n,)."""
        residual = self.solve(point).residual
        gain: FloatArray = (self.data**2).sum(axis=1) - (residual**2).sum(axis=1)
        return gain

    def bias(self, point: FloatArray, found: "Solution", cov: FloatArray) -> FloatArray:
        """Give the bias of velocity, variance and amplitudes to second order, shape (n, 2 + k)."""
        narrow = self.response.lines.sigma_lsf_kms.min() ** 2
        step = _STEP * np.sqrt(narrow + point[:, 1])
        _, by_velocity, by_variance = self.response.templates(point[:, 0], point[:, 1])
        _, _, after = self.response.templates(point[:, 0] + step, point[:, 1])
        _, _, before = self.response.templates(point[:, 0] - step, point[:, 1])
        h = step[:, None, None]
        # A Gaussian obeys d/d(variance) = 1/2 d2/d(velocity)2.
        pairs = {
            (0, 0): 2.0 * by_variance,
            (0, 1): (after - before) / (2.0 * h),
            (1, 1): 0.5 * (after - 2.0 * by_variance + before) / h**2,
        }
        amplitudes = found.amplitudes[:, :, None]
        total = sum(
            (1.0 if i == j else 2.0) * cov[:, i, j, None, None] * (second @ amplitudes)
            for (i, j), second in pairs.items()
        )
        total = total + 2.0 * (by_velocity @ cov[:, 2:, 0, None])
        total = total + 2.0 * (by_variance @ cov[:, 2:, 1, None])
        bent = self.columns(np.asarray(total))
        jacobian = found.jacobian
        bias: FloatArray = -0.5 * (cov @ (jacobian.swapaxes(1, 2) @ bent))[:, :, 0]
        return bias


@dataclass(frozen=True, eq=False)
class Solution:
    """The linear part at one (velocity, variance).

    Attributes
    ----------
    amplitudes : ndarray, shape (n, k)
    inverse : ndarray, shape (n, k, k)
        Their covariance at fixed velocity and variance.
    columns : ndarray, shape (n, n_used, k)
        Whitened lines of unit amplitude.
    slopes : ndarray, shape (n, n_used, 2)
        Whitened derivatives of the model by velocity and variance.
    residual : ndarray, shape (n, n_used)
    """

    amplitudes: FloatArray
    inverse: FloatArray
    columns: FloatArray
    slopes: FloatArray
    residual: FloatArray

    @property
    def jacobian(self) -> FloatArray:
        """Derivatives by velocity, variance and amplitudes, shape (n, n_used, 2 + k)."""
        return np.concatenate([self.slopes, self.columns], axis=2)

    @property
    def covariance(self) -> FloatArray:
        """Covariance of velocity, variance and amplitudes, shape (n, 2 + k, 2 + k)."""
        jacobian = self.jacobian
        return inverted(jacobian.swapaxes(1, 2) @ jacobian)

    def covariance_of_fluxes(self, kinematics: FloatArray) -> FloatArray:
        """Give the covariance of the amplitudes where velocity and variance come from elsewhere.

        Parameters
        ----------
        kinematics : ndarray, shape (n, 2, 2)
            Covariance of (velocity, variance); independent of these data.
        """
        gradient = -self.inverse @ (self.columns.swapaxes(1, 2) @ self.slopes)
        return np.asarray(self.inverse + gradient @ kinematics @ gradient.swapaxes(1, 2))


def _polynomials(response: Response, order: int) -> FloatArray:
    windows = response.windows
    terms = np.zeros((windows.channels.size, len(windows.blocks) * (order + 1)))
    for number, part in enumerate(windows.blocks):
        x = np.linspace(-1.0, 1.0, part.stop - part.start)
        for power in range(order + 1):
            terms[part, number * (order + 1) + power] = x**power
    return terms


def inverted(matrix: FloatArray) -> FloatArray:
    """Invert positive (n, k, k) matrices in units of their diagonals; what is not seen is 0."""
    diagonal = np.einsum("nkk->nk", matrix)
    seen = diagonal > 0
    scale = np.divide(1.0, np.sqrt(np.where(seen, diagonal, 1.0)), where=seen,
                      out=np.zeros_like(diagonal))  # fmt: skip
    scaled = matrix * scale[:, :, None] * scale[:, None, :]
    k = np.arange(matrix.shape[-1])
    scaled[:, k, k] = 1.0 + _RIDGE
    inverse: FloatArray = np.linalg.inv(scaled) * scale[:, :, None] * scale[:, None, :]
    return inverse
