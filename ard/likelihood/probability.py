"""How well does a model do: ln L, chi2, whitened residuals, linear parameters integrated out?"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ard.errors import ArdError, FormatError, misfit
from ard.likelihood.arrays import concrete, inner, namespace, plain, product, total
from ard.likelihood.linear import Blocks, LinearPrior, blocks_of, cut_at_zero
from ard.likelihood.noise import Noise

# A template of which less than this share of its square, in roundings, is its own cannot be told
# from the others: the determinant alone would be wrong by 0.01.
_OWN_SHARE: Final = 256.0
# What ln L may be wrong by because amplitudes were not solved for well enough.
_ERROR: Final = 0.01


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
        ln L less `reference`: what keeps its digits in single precision, where `log_likelihood`
        itself has steps of 0.03 for 200 000 voxels. Compare only results that were computed with
        one `reference`.
    reference : float
        The constant that was asked for; `Noise.reference` of the noise that was given, if none
        was. It holds the determinant of errors and correlations, and so differs between noises,
        but for those that `Noise.scaled` makes.
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
    reference: float
    approximate: bool
    amplitudes: Any = None
    amplitude_sigma: Any = None


def evaluate(
    data: Any,
    model: Any,
    noise: Noise,
    *parameters: Any,
    prior: LinearPrior | None = None,
    offset: Any = None,
    reference: float | None = None,
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
    offset, reference
        As for `marginal_likelihood`; an offset only where there is a prior.

    Raises
    ------
    ArdError
        As `log_likelihood` and `marginal_likelihood`; and FormatError if there are parameters,
        but no function, or an offset, but no prior.
    """
    if callable(model):
        model = model(*parameters)
    elif parameters:
        expected = "a function, or no parameters"
        raise misfit("an array takes no parameters", expected, f"{len(parameters)} parameters")
    if prior is not None:
        return marginal_likelihood(data, model, noise, prior, offset=offset, reference=reference)
    if offset is not None:
        raise misfit("an offset belongs to templates", "a prior, or no offset", "no prior")
    return log_likelihood(data, model, noise, reference=reference)


def log_likelihood(
    data: Any, model: Any, noise: Noise, *, reference: float | None = None
) -> Result:
    """Hold a whole model cube against the data.

    Parameters
    ----------
    data, model : array, shape (n_wave, ny, nx)
        In one unit; what stands in masked voxels has no part, and may be NaN.
    noise : Noise
        In the same unit.
    reference : float, optional
        What `Result.log_ratio` is counted from, to compare several noises: `reference` of one
        of them.

    Raises
    ------
    FormatError
        If data or model are on other voxels, or data that are used are not finite.
    """
    xp = namespace(model, data, noise.scale)
    model = _used(xp, model, noise, "the model")
    whitened = noise.whiten(_finite(xp, data, noise) - model)
    return _result(xp, noise, whitened, reference)


def marginal_likelihood(
    data: Any,
    templates: Any,
    noise: Noise,
    prior: LinearPrior,
    *,
    offset: Any = None,
    reference: float | None = None,
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
    reference : float, optional
        As for `log_likelihood`.

    Returns
    -------
    Result
        ln N(data; offset + T m, C + T S T'), with T the templates, m and S the prior's mean and
        covariance: computed through a system of n equations. Where amplitudes cannot be negative,
        plus ln P(a >= 0 | data) - ln P(a >= 0).

    Raises
    ------
    FormatError
        If data, templates or offset are on other voxels, data that are used are not finite, or
        the prior has another number of amplitudes.
    ArdError
        If templates cannot be told from one another in this precision, or amplitudes that cannot
        be negative are correlated in a way that has no exact factor. Where JAX traces, the result
        is NaN then; see `LinearPrior.blocks`.
    """
    xp = namespace(templates, data, noise.scale, offset)
    templates, basis = _whitened(xp, templates, noise, prior)
    mean, sigma = (xp.asarray(value, dtype=basis.dtype) for value in (prior.mean, prior.sigma))
    residual = _finite(xp, data, noise) - _mixed(xp, mean, templates)
    if offset is not None:
        residual = residual - _used(xp, offset, noise, "the offset")
    # In units of the prior's width the system is well posed however different the amplitudes are.
    scaled = basis * sigma[:, None]
    lower, inverse = _system(xp, scaled)
    pulled = inner(xp, scaled, xp.reshape(noise.whiten(residual), (1, -1)))[:, 0]
    half = product(xp, inverse, pulled, ([1], [0]))
    solved = product(xp, inverse, half, ([0], [0]))
    found = cut_at_zero(xp, prior, mean + sigma * solved, _covariance(xp, inverse, sigma))
    # Light is subtracted before whitening, and the quadratic form is a sum of squares: in single
    # precision, differences of whitened data and of large numbers would lose what is asked for.
    whitened = noise.whiten(residual - _mixed(xp, sigma * solved, templates))
    best = _result(xp, noise, whitened, reference)
    shrink = xp.sum(solved**2) + 2.0 * xp.sum(xp.log(xp.linalg.diagonal(lower)))
    extra = found.log_factor - 0.5 * shrink
    # What is left of the gradient says how far from its maximum the quadratic form was computed.
    left = inner(xp, scaled, xp.reshape(whitened, (1, -1)))[:, 0] - solved
    error = 0.5 * xp.sum(product(xp, inverse, left, ([1], [0])) ** 2)
    rounding = 4.0 * float(xp.finfo(error.dtype).eps) * xp.abs(best.log_ratio)
    fine = _one_if(xp, _ERROR + rounding - error, f"ln L would be wrong by {_ERROR} or more")
    extra = extra * fine
    if prior.constrained:
        moved = found.mean - mean - sigma * solved
        whitened = whitened - xp.reshape(_mixed(xp, moved, basis), noise.sigma.shape)
    return dataclasses.replace(
        best,
        log_likelihood=best.log_likelihood + extra,
        chi2=total(xp, whitened**2) if prior.constrained else best.chi2,
        whitened=whitened,
        log_ratio=best.log_ratio + extra,
        amplitudes=found.mean * fine,
        amplitude_sigma=found.sigma * fine,
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
    _, basis = _whitened(xp, templates, noise, prior)
    sigma = xp.asarray(prior.sigma, dtype=basis.dtype)
    _, inverse = _system(xp, basis * sigma[:, None])
    covariance = _covariance(xp, inverse, sigma)
    spread = xp.sqrt(xp.linalg.diagonal(covariance))
    return blocks_of(covariance / (spread[:, None] * spread), prior.constrained)


def _result(xp: Any, noise: Noise, whitened: Any, reference: float | None) -> Result:
    """Put a result together; the sum over voxels is that of chi2 less its expectation."""
    share = noise.count / noise.sigma.size
    excess = total(xp, whitened**2 - share)
    own = -0.5 * (excess + noise.log_scale + noise.rounding(whitened.dtype))
    reference = noise.reference if reference is None else float(reference)
    log_ratio = own + (noise.reference - reference)
    chi2 = total(xp, whitened**2)
    value = noise.reference + own
    return Result(value, chi2, whitened, log_ratio, reference, noise.approximate)


def _whitened(xp: Any, templates: Any, noise: Noise, prior: LinearPrior) -> tuple[Any, Any]:
    """Give templates as an array of the library, and whitened, shape (n, n_voxels)."""
    templates = _used(xp, templates, noise, "the templates", axes=1)
    count, expected = templates.shape[0], prior.mean.size
    if count != expected:
        raise misfit("the prior does not fit the templates", f"{count} amplitudes", expected)
    return templates, xp.reshape(noise.whiten(templates), (count, -1))


def _mixed(xp: Any, amplitudes: Any, templates: Any) -> Any:
    return product(xp, amplitudes, templates, ([0], [0]))


def _system(xp: Any, scaled: Any) -> tuple[Any, Any]:
    """Give the Cholesky factor of the precision of amplitudes in prior widths, and its inverse."""
    unit = xp.eye(scaled.shape[0], dtype=scaled.dtype)
    precision = inner(xp, scaled, scaled) + unit
    try:
        lower = xp.linalg.cholesky(precision)
    except np.linalg.LinAlgError:  # where JAX has NaN
        lower = xp.zeros_like(precision)
    # The squares of the diagonal are what each template adds to those before it.
    own = xp.min(xp.linalg.diagonal(lower) ** 2 / xp.linalg.diagonal(precision))
    least = _OWN_SHARE * float(xp.finfo(precision.dtype).eps)
    lower = lower * _one_if(xp, own - least, f"less than {least:.1e} of one is its own")
    return lower, xp.linalg.solve(lower, unit)


def _one_if(xp: Any, margin: Any, found: str) -> Any:
    """Refuse templates that cannot be told apart; NaN is what a traced computation can say."""
    number = concrete(margin)
    if number is not None and not number > 0.0:
        raise ArdError(
            "templates cannot be told from one another in this precision",
            expected="finite templates, none nearly a sum of the others",
            found=found,
            action="centre the polynomials of a continuum, join equal templates, narrow the "
            "prior, or use double precision",
        )
    return xp.where(margin > 0.0, xp.ones_like(margin), math.nan)


def _covariance(xp: Any, inverse: Any, sigma: Any) -> Any:
    return product(xp, inverse, inverse, ([0], [0])) * sigma[:, None] * sigma


def _used(xp: Any, array: Any, noise: Noise, name: str, axes: int = 0) -> Any:
    """Give a cube (or cubes, along further axes) with 0 in masked voxels, which may hold NaN."""
    array = plain(array, name)
    shape = np.shape(array)
    if len(shape) != axes + 3 or shape[axes:] != noise.sigma.shape:
        problem = f"the voxels of {name} are not those of the noise"
        raise misfit(problem, f"shape {tuple(noise.sigma.shape)} (wave, y, x)", shape)
    return xp.where(xp.asarray(noise.mask), 0.0, xp.asarray(array))


def _finite(xp: Any, data: Any, noise: Noise) -> Any:
    """Give the data that are used; refuse NaN among them, unless JAX traces them."""
    used = _used(xp, data, noise, "the data")
    values = concrete(data)
    good = None if values is None else np.isfinite(values) | noise.mask
    if good is not None and not good.all():
        raise FormatError(
            "data that are used are not finite",
            expected="NaN in masked voxels only",
            found=f"{int(np.sum(~good))} voxels",
            action="mask them: ard.likelihood.mask_more",
        )
    return used
