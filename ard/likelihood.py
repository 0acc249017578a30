"""How probable are the data of a cube, if this were the model?

One definition for the study and for everybody: the same functions run on numpy arrays, on those of
jax.numpy, or of any other library that follows the array-API standard. The noise is data: what is
needed of it is products and sums.

The covariance of the noise is D^1/2 R D^1/2, with D the variance of every voxel and R the
correlation of neighbours; `Noise` holds what turns residuals into independent numbers of unit
variance, and the logarithm of the determinant.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ard.errors import ArdError, FormatError

LOG_2PI: Final = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a cube, in the form that a likelihood needs.

    Attributes
    ----------
    sigma : array, shape (n_wave, ny, nx)
        Standard deviation of every voxel: the errors times their scale.
    mask : array of bool, shape (n_wave, ny, nx)
        True = do not use.
    factors : tuple of array or None
        For the axes wave, y, x: the inverse of the Cholesky factor of the correlation along it,
        shape (n, n); None where neighbours are independent.
    taps : array, shape (a, b, c), or None
        Instead of factors: a causal filter that whitens. ``taps[i, j, k]`` multiplies the voxel
        i channels, j rows and k columns before; later voxels, in the order of the cube, have no
        part, so that the determinant is that of the diagonal.
    """

    sigma: Any
    mask: Any
    factors: tuple[Any, Any, Any] | None = None
    taps: Any = None

    def __post_init__(self) -> None:
        shape = self.sigma.shape
        if len(shape) != 3 or self.mask.shape != shape:
            raise _misfit(
                "the noise is not that of a cube",
                "errors and mask of one shape (wave, y, x)",
                f"{shape} and {self.mask.shape}",
            )
        if self.factors is not None and self.taps is not None:
            raise _misfit("the noise has two correlations", "factors or taps", "both")
        for length, factor in zip(shape, self.factors or (None,) * 3, strict=True):
            if factor is not None and factor.shape != (length, length):
                problem = "a factor of the noise does not fit its axis"
                raise _misfit(problem, f"shape ({length}, {length})", factor.shape)

    @property
    def approximate(self) -> bool:
        """Whether masked voxels are treated approximately.

        Their weight is set to zero before correlated neighbours are brought together: exact for
        independent voxels, and where nothing is masked.
        """
        correlated = self.taps is not None or any(f is not None for f in self.factors or ())
        return correlated and bool(np.any(np.asarray(self.mask)))

    def whiten(self, residual: Any) -> Any:
        """Turn residuals into numbers that are independent and of unit variance.

        Parameters
        ----------
        residual : array, shape (..., n_wave, ny, nx)
            Data minus model; what stands in masked voxels has no part.

        Returns
        -------
        array, shape (..., n_wave, ny, nx)
            0 in masked voxels where neighbours are independent.
        """
        xp = _namespace(residual)
        good = xp.asarray(~np.asarray(self.mask))
        sigma = xp.where(good, xp.asarray(self.sigma), 1.0)
        out = xp.where(good, residual / sigma, 0.0)
        for number, factor in enumerate(self.factors or ()):
            if factor is not None:
                axis = number - 3
                turned = xp.tensordot(xp.asarray(factor), out, axes=([1], [out.ndim + axis]))
                out = xp.moveaxis(turned, 0, axis)
        return out if self.taps is None else self._filter(xp, out)

    def _filter(self, xp: Any, values: Any) -> Any:
        """Sum over earlier voxels, weighted by the taps; before the first there is nothing."""
        taps = np.asarray(self.taps, dtype=np.float64)
        total = float(taps[0, 0, 0]) * values
        for i, j, k in np.argwhere(taps != 0.0).tolist():
            if (i, j, k) != (0, 0, 0):
                total = total + float(taps[i, j, k]) * _shifted(xp, values, (i, j, k))
        return total

    @property
    def count(self) -> int:
        """Number of voxels that are used."""
        return int(np.sum(~np.asarray(self.mask)))

    @property
    def logdet(self) -> float:
        """Logarithm of the determinant of the covariance, of the voxels that are used.

        With masked voxels and correlations, the correlations count by the share of voxels that
        are used: see `approximate`.
        """
        sigma = np.asarray(self.sigma, dtype=np.float64)[~np.asarray(self.mask)]
        per_voxel = 0.0
        if self.taps is not None:
            per_voxel = math.log(float(np.asarray(self.taps)[0, 0, 0]))
        for factor in self.factors or ():
            if factor is not None:
                per_voxel += float(np.mean(np.log(np.diagonal(np.asarray(factor)))))
        return 2.0 * (float(np.sum(np.log(sigma))) - self.count * per_voxel)


@dataclass(frozen=True, eq=False)
class LinearPrior:
    """What is believed of linear parameters (fluxes, continuum) before the data: a Gaussian.

    It has to be proper, and the same for all models that are compared: evidence depends on it.

    Attributes
    ----------
    mean, sigma : array, shape (n,)
    """

    mean: Any
    sigma: Any

    def __post_init__(self) -> None:
        mean, sigma = np.asarray(self.mean), np.asarray(self.sigma)
        proper = mean.ndim == 1 and mean.shape == sigma.shape
        proper = proper and bool(np.all(np.isfinite(mean) & np.isfinite(sigma) & (sigma > 0)))
        if not proper:
            raise ArdError(
                "a prior of linear parameters is improper",
                expected="finite means, and finite widths above 0, one each",
                found=f"means {mean.tolist()}, widths {sigma.tolist()}",
                action="give a width: a flat prior makes evidence meaningless",
            )


@dataclass(frozen=True, eq=False)
class Result:
    """How well a model does.

    Attributes
    ----------
    log_likelihood : scalar
        Natural logarithm, with every constant, linear parameters integrated out where there are
        some.
    chi2 : scalar
        Sum of the squares of `whitened`.
    whitened : array, shape (n_wave, ny, nx)
        Residuals that should be independent and of unit variance; with the mean linear parameters.
    amplitudes, amplitude_sigma : array, shape (n,), or None
        Mean and standard deviation of the linear parameters, given the data.
    """

    log_likelihood: Any
    chi2: Any
    whitened: Any
    amplitudes: Any = None
    amplitude_sigma: Any = None


def log_likelihood(data: Any, model: Any, noise: Noise) -> Result:
    """Hold a whole model cube against the data.

    Parameters
    ----------
    data, model : array, shape (n_wave, ny, nx)
        In one unit; masked voxels of the data may hold anything, NaN too.
    noise : Noise
        In the same unit.

    Raises
    ------
    FormatError
        If the model is on other voxels.
    """
    xp = _namespace(model)
    _require_shape(model, noise)
    whitened = noise.whiten(_clean(xp, data, noise) - model)
    chi2 = xp.sum(whitened**2)
    value = -0.5 * (chi2 + noise.logdet + noise.count * LOG_2PI)
    return Result(value, chi2, whitened)


def marginal_likelihood(
    data: Any, templates: Any, noise: Noise, prior: LinearPrior, *, offset: Any = None
) -> Result:
    """Hold a model whose cubes have free amplitudes against the data, amplitudes integrated out.

    Parameters
    ----------
    data : array, shape (n_wave, ny, nx)
    templates : array, shape (n, n_wave, ny, nx)
        Each cube for an amplitude of 1: lines of unit flux, continuum of unit level.
    noise : Noise
    prior : LinearPrior
        Of the n amplitudes.
    offset : array, shape (n_wave, ny, nx), optional
        What is fixed of the model.

    Returns
    -------
    Result
        ln N(data; offset + T m, C + T S T'), with T the templates, m and S the prior's mean and
        covariance: computed through a system of n equations.

    Raises
    ------
    FormatError
        If the templates are on other voxels, or the prior has another number of amplitudes.
    """
    xp = _namespace(templates)
    _require_shape(templates[0], noise)
    count = templates.shape[0]
    if count != np.asarray(prior.mean).size:
        found = np.asarray(prior.mean).size
        raise _misfit("the prior does not fit the templates", f"{count} amplitudes", found)
    residual = _clean(xp, data, noise) - (0.0 if offset is None else offset)
    mean, sigma = xp.asarray(prior.mean), xp.asarray(prior.sigma)
    white = xp.reshape(noise.whiten(residual), (-1,))
    basis = xp.reshape(noise.whiten(templates), (count, -1))
    # In units of the prior's width the system is well posed however different the amplitudes are.
    scaled = basis * sigma[:, None]
    left = white - mean @ basis
    system = scaled @ scaled.T + xp.eye(count, dtype=scaled.dtype)
    right = scaled @ left
    solved = xp.linalg.solve(system, right[:, None])[:, 0]
    amplitudes = mean + sigma * solved
    spread = sigma * xp.sqrt(xp.linalg.diagonal(xp.linalg.inv(system)))
    widths = xp.linalg.diagonal(xp.linalg.cholesky(system))
    logdet = noise.logdet + 2.0 * xp.sum(xp.log(widths))
    quadratic = left @ left - right @ solved
    value = -0.5 * (quadratic + logdet + noise.count * LOG_2PI)
    best = white - amplitudes @ basis
    shape = templates.shape[1:]
    return Result(value, best @ best, xp.reshape(best, shape), amplitudes, spread)


def inverse_cholesky(correlation: Any) -> Any:
    """Give what `Noise.factors` asks for, from a matrix of correlation, shape (n, n).

    Raises
    ------
    ArdError
        If it is none.
    """
    matrix = np.asarray(correlation, dtype=np.float64)
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError as error:
        raise ArdError(
            "a correlation is not one",
            expected="a symmetric matrix with positive eigenvalues",
            found=f"shape {matrix.shape}",
            action="regularise the estimate",
        ) from error
    return np.linalg.solve(lower, np.eye(matrix.shape[0]))


def _namespace(array: Any) -> Any:
    return array.__array_namespace__()


def _clean(xp: Any, data: Any, noise: Noise) -> Any:
    """Take out what stands in masked voxels, which is NaN more often than not."""
    return xp.where(xp.asarray(noise.mask), 0.0, xp.asarray(data))


def _require_shape(model: Any, noise: Noise) -> None:
    if model.shape != noise.sigma.shape:
        problem = "the model is not on the voxels of the data"
        raise _misfit(problem, f"shape {tuple(noise.sigma.shape)} (wave, y, x)", model.shape)


def _misfit(problem: str, expected: str, found: object) -> FormatError:
    return FormatError(
        problem, expected=expected, found=found, action="give both for the same voxels"
    )


def _shifted(xp: Any, values: Any, by: tuple[int, int, int]) -> Any:
    """Move values towards higher numbers along the last three axes, zeros coming in."""
    for axis, count in zip((-3, -2, -1), by, strict=True):
        if count == 0:
            continue
        length, place = values.shape[axis], values.ndim + axis
        kept = [slice(None)] * values.ndim
        kept[place] = slice(0, max(0, length - count))
        size = list(values.shape)
        size[place] = min(count, length)
        zeros = xp.zeros(tuple(size), dtype=values.dtype)
        values = xp.concat([zeros, values[tuple(kept)]], axis=place)
    return values
