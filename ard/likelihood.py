"""How probable are the data of a cube, if this were the model?

One definition for the study and for everybody: the same functions run on numpy arrays, on those of
jax.numpy, or of any other library that follows the array-API standard. The noise is data: what is
needed of it is products and sums.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ard.arrays import inner, namespace, product, total
from ard.errors import misfit
from ard.factors import inverse_cholesky
from ard.linear import Blocks, LinearPrior, blocks_of, cut_at_zero
from ard.masking import exact_noise, mask_more
from ard.noise import Noise
from ard.noisefile import read_noise, write_noise

__all__ = [
    "LinearPrior",
    "Noise",
    "Result",
    "evaluate",
    "exact_noise",
    "find_blocks",
    "inverse_cholesky",
    "log_likelihood",
    "marginal_likelihood",
    "mask_more",
    "read_noise",
    "write_noise",
]


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
        Residuals that should be independent and of unit variance (see `Noise.whiten`); with the
        mean linear parameters.
    log_ratio : scalar
        `log_likelihood` less `Noise.reference`, a constant of the data: what keeps its digits in
        single precision, where `log_likelihood` itself has steps of 0.03 for 200 000 voxels. For
        a sampler the one is as good as the other.
    approximate : bool
        Whether masked voxels were treated approximately, as `Noise.masks` allowed.
    amplitudes, amplitude_sigma : array, shape (n,), or None
        Mean and standard deviation of the linear parameters, given the data; of the truncated
        distribution where they cannot be negative.
    """

    log_likelihood: Any
    chi2: Any
    whitened: Any
    log_ratio: Any
    approximate: bool
    amplitudes: Any = None
    amplitude_sigma: Any = None


def evaluate(
    data: Any, model: Any, noise: Noise, *parameters: Any, prior: LinearPrior | None = None
) -> Result:
    """Hold a model, given as a cube or as a function, against the data.

    Parameters
    ----------
    data : array, shape (n_wave, ny, nx)
    model : array, or function of `parameters` that gives it
        A cube; or templates, shape (n, n_wave, ny, nx), where there is a prior.
    noise : Noise
    *parameters : anything
        What the function is called with.
    prior : LinearPrior, optional
        Of the amplitudes of the templates, which are then integrated out.

    Raises
    ------
    ArdError
        As `log_likelihood` and `marginal_likelihood`; and FormatError if there are parameters,
        but no function.
    """
    if callable(model):
        model = model(*parameters)
    elif parameters:
        expected = "a function, or no parameters"
        raise misfit("an array takes no parameters", expected, f"{len(parameters)} parameters")
    if prior is None:
        return log_likelihood(data, model, noise)
    return marginal_likelihood(data, model, noise, prior)


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
    xp = namespace(model, data, noise.scale)
    _require_shape(model, noise)
    whitened = noise.whiten(_clean(xp, data, noise) - xp.asarray(model))
    return _result(xp, noise, whitened)


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
        covariance: computed through a system of n equations. Where amplitudes cannot be negative,
        plus ln P(a >= 0 | data) - ln P(a >= 0).

    Raises
    ------
    FormatError
        If the templates are on other voxels, or the prior has another number of amplitudes.
    ArdError
        If amplitudes that cannot be negative are correlated in a way that has no exact factor;
        see `LinearPrior.blocks` for what happens where JAX traces.
    """
    xp = namespace(templates, data, noise.scale, offset)
    _require_count(templates.shape[0], prior)
    templates, basis = _whitened(xp, templates, noise)
    mean, sigma = (xp.asarray(value, dtype=basis.dtype) for value in (prior.mean, prior.sigma))
    residual = _clean(xp, data, noise) - _mixed(xp, mean, templates)
    if offset is not None:
        residual = residual - xp.asarray(offset)
    # In units of the prior's width the system is well posed however different the amplitudes are.
    scaled = basis * sigma[:, None]
    lower, inverse = _system(xp, scaled)
    left = xp.reshape(noise.whiten(residual), (1, -1))
    half = product(xp, inverse, inner(xp, scaled, left)[:, 0], ([1], [0]))
    solved = product(xp, inverse, half, ([0], [0]))
    found = cut_at_zero(xp, prior, mean + sigma * solved, _covariance(xp, inverse, sigma))
    # Light is subtracted before whitening, and the quadratic form is a sum of squares: in single
    # precision, differences of whitened data and of large numbers would lose what is asked for.
    best = _result(xp, noise, noise.whiten(residual - _mixed(xp, sigma * solved, templates)))
    shrink = xp.sum(solved**2) + 2.0 * xp.sum(xp.log(xp.linalg.diagonal(lower)))
    extra = found.log_factor - 0.5 * shrink
    moved = found.mean - mean - sigma * solved
    at_mean = best.whitened - xp.reshape(_mixed(xp, moved, basis), noise.sigma.shape)
    return Result(
        best.log_likelihood + extra,
        total(xp, at_mean**2),
        at_mean,
        best.log_ratio + extra,
        noise.approximate,
        found.mean,
        found.sigma,
    )


def find_blocks(templates: Any, noise: Noise, prior: LinearPrior) -> Blocks:
    """Which amplitudes that cannot be negative are correlated given the data?

    Parameters
    ----------
    templates : array, shape (n, n_wave, ny, nx)
        With numbers: call this once, outside of what JAX traces.
    noise : Noise
    prior : LinearPrior

    Returns
    -------
    tuple of tuple of int
        For `LinearPrior.blocks`. It depends on templates, noise and prior, not on the data:
        templates that overlap for some parameters only are best declared as a pair for all.

    Raises
    ------
    ArdError
        If more than two are correlated, or there are no numbers yet.
    """
    xp = namespace(templates, noise.scale)
    _require_count(templates.shape[0], prior)
    _, basis = _whitened(xp, templates, noise)
    sigma = xp.asarray(prior.sigma, dtype=basis.dtype)
    _, inverse = _system(xp, basis * sigma[:, None])
    covariance = _covariance(xp, inverse, sigma)
    spread = xp.sqrt(xp.linalg.diagonal(covariance))
    return blocks_of(covariance / (spread[:, None] * spread), prior.constrained)


def _result(xp: Any, noise: Noise, whitened: Any) -> Result:
    """Put a result together; the sum over voxels is that of chi2 less its expectation."""
    share = noise.count / noise.sigma.size
    excess = total(xp, whitened**2 - share)
    log_ratio = -0.5 * (excess + noise.log_scale + noise.rounding(whitened.dtype))
    chi2 = total(xp, whitened**2)
    value = noise.reference + log_ratio
    return Result(value, chi2, whitened, log_ratio, noise.approximate)


def _whitened(xp: Any, templates: Any, noise: Noise) -> tuple[Any, Any]:
    """Give templates as an array of the library, and whitened, shape (n, n_voxels)."""
    _require_shape(templates[0], noise)
    templates = xp.asarray(templates)
    return templates, xp.reshape(noise.whiten(templates), (templates.shape[0], -1))


def _mixed(xp: Any, amplitudes: Any, templates: Any) -> Any:
    return product(xp, amplitudes, templates, ([0], [0]))


def _system(xp: Any, scaled: Any) -> tuple[Any, Any]:
    """Give the Cholesky factor of the precision of amplitudes in prior widths, and its inverse."""
    count = scaled.shape[0]
    unit = xp.eye(count, dtype=scaled.dtype)
    lower = xp.linalg.cholesky(inner(xp, scaled, scaled) + unit)
    return lower, xp.linalg.solve(lower, unit)


def _covariance(xp: Any, inverse: Any, sigma: Any) -> Any:
    return product(xp, inverse, inverse, ([0], [0])) * sigma[:, None] * sigma


def _clean(xp: Any, data: Any, noise: Noise) -> Any:
    """Take out what stands in masked voxels, which is NaN more often than not."""
    return xp.where(xp.asarray(noise.mask), 0.0, xp.asarray(data))


def _require_shape(model: Any, noise: Noise) -> None:
    if model.shape != noise.sigma.shape:
        problem = "the model is not on the voxels of the data"
        raise misfit(problem, f"shape {tuple(noise.sigma.shape)} (wave, y, x)", model.shape)


def _require_count(count: int, prior: LinearPrior) -> None:
    found = np.asarray(prior.mean).size
    if count != found:
        raise misfit("the prior does not fit the templates", f"{count} amplitudes", found)
