"""Which velocity and width do the fluxes of an aperture stand on?

A flux at the velocity that happens to fit best is too large where the line is faint: noise is
picked. So a group has its own velocity and width only where it is bright enough at the velocity
of the brightest group, and where its own agree with those within their joint errors and the spread
that gas of one aperture may have: what lies elsewhere is more likely a hit. Else it is measured at
the latter, whose errors it inherits; and where no group is seen, at the velocity that the target's
manifest expects of the aperture. The choice does not bias the fluxes: at fixed velocity and width
the estimate is the efficient one, and what a free fit adds to it is uncorrelated with it (Gauss and
Markov).

Velocity and intrinsic variance are free within wide bounds, and the variance may be negative: a
bound at zero would bias widths and fluxes of unresolved lines upward.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from ard.cube import BoolArray, FloatArray
from pipeline.descent import Limits, descend
from pipeline.reduce.apertures.model import GroupModel, inverted

_EDGE: Final = 1e-6
_NARROWEST: Final = 0.8  # of the variance of the line-spread function: what noise may take off
_AGREE: Final = 3.0  # standard deviations
_TOLERANCE: Final = 1e-3
_MAX_ITERATIONS: Final = 60


class Kinematics(StrEnum):
    """Where velocity and width of a group come from."""

    FREE = "free"
    REFERENCE = "reference"
    EXPECTED = "expected"


@dataclass(frozen=True)
class Search:
    """How are velocity and width looked for?

    Attributes
    ----------
    velocity_min_kms, velocity_max_kms, sigma_max_kms : float
        Bounds.
    sigma_kms : float
        Intrinsic width at which lines are looked for, and measured where none is seen.
    snr_reference : float
        A group has to be this significant, at its best velocity, to lend it to others.
    snr_free : float
        And this significant at the velocity of the reference, to have its own.
    spread_kms : float
        By how much velocities of groups in one aperture, and their widths in quadrature, differ by
        nature (one standard deviation).
    """

    velocity_min_kms: float
    velocity_max_kms: float
    sigma_max_kms: float
    sigma_kms: float
    snr_reference: float
    snr_free: float
    spread_kms: float


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found of a group in n spectra.

    Attributes
    ----------
    point : ndarray, shape (n, 2)
        Velocity (km/s) and intrinsic variance ((km/s)^2), bias taken off.
    amplitudes : ndarray, shape (n, k)
        Free fluxes, bias taken off, erg s-1 cm-2.
    covariance : ndarray, shape (n, 2 + k, 2 + k)
        Of velocity, variance and amplitudes; of the amplitudes alone where velocity and width
        are not their own, with what these contribute.
    free, reference : ndarray of bool, shape (n,)
        Which have their own velocity and width; which have those of the brightest group.
    lender : ndarray of int, shape (n,)
        Number of the group of which velocity and width are; -1 where they are expected ones.
    chi2 : ndarray, shape (n,)
    """

    point: FloatArray
    amplitudes: FloatArray
    covariance: FloatArray
    free: BoolArray
    reference: BoolArray
    lender: np.ndarray
    chi2: FloatArray


@dataclass(frozen=True, eq=False)
class _Free:
    """A fit with its own velocity and width."""

    point: FloatArray
    amplitudes: FloatArray
    covariance: FloatArray
    gain: FloatArray
    good: BoolArray
    chi2: FloatArray


def measure(
    models: Mapping[str, GroupModel], velocity_kms: float, search: Search
) -> dict[str, Measured]:
    """Measure all groups of an aperture.

    Parameters
    ----------
    models : mapping of str to GroupModel
        By name of the group, with the same number of spectra.
    velocity_kms : float
        Expected where no line is seen.
    search : Search

    Returns
    -------
    dict
        By name of the group.
    """
    names = list(models)
    first = [_free(model, _scan(model, search), search) for model in models.values()]
    strength = np.stack([np.where(f.good, f.gain, -np.inf) for f in first])
    lender = np.where(strength.max(axis=0) >= search.snr_reference**2, strength.argmax(axis=0), -1)
    n = lender.size
    lent = np.tile([velocity_kms, search.sigma_kms**2], (n, 1))
    spread = np.zeros((n, 2, 2))
    for number, free in enumerate(first):
        own = lender == number
        lent[own], spread[own] = free.point[own], free.covariance[own, :2, :2]
    results = {}
    for number, (name, model) in enumerate(models.items()):
        results[name] = _group(model, (first[number], lender == number), lent, spread, search)
    return {
        name: _with_lender(result, np.where(result.free, names.index(name), lender))
        for name, result in results.items()
    }


def _with_lender(result: Measured, lender: np.ndarray) -> Measured:
    return Measured(
        **(vars(result) | {"lender": lender, "reference": ~result.free & (lender >= 0)})
    )


def _group(
    model: GroupModel,
    own: tuple[_Free, BoolArray],
    lent: FloatArray,
    spread: FloatArray,
    search: Search,
) -> Measured:
    """Measure one group: freely where it is the reference or bright at the velocity of that."""
    first, is_lender = own
    forced = model.solve(_within(model, lent, search))
    chi2 = (forced.residual**2).sum(axis=1)
    gain = (model.data**2).sum(axis=1) - chi2
    local = _free(model, lent, search)
    bright = (gain >= search.snr_free**2) & local.good & ~is_lender & (spread[:, 0, 0] > 0)
    bright &= _agree(local, lent, spread, search)
    k = model.n_free
    covariance = np.zeros((gain.size, 2 + k, 2 + k))
    covariance[:, :2, :2] = spread
    covariance[:, 2:, 2:] = forced.covariance_of_fluxes(spread)
    point, amplitudes = lent.copy(), forced.amplitudes - _loss(model, lent, spread, search)
    for chosen, fit in ((is_lender, first), (bright, local)):
        point[chosen], amplitudes[chosen] = fit.point[chosen], fit.amplitudes[chosen]
        covariance[chosen], chi2[chosen] = fit.covariance[chosen], fit.chi2[chosen]
    free = is_lender | bright
    nobody = np.full(gain.size, -1)
    return Measured(point, amplitudes, covariance, free, ~free, nobody, chi2)


def _agree(local: _Free, lent: FloatArray, spread: FloatArray, search: Search) -> BoolArray:
    """Say where velocity and variance are those that are lent, within errors and nature."""
    nature = np.array([search.spread_kms**2, search.spread_kms**4])
    errors = np.stack([local.covariance[:, k, k] + spread[:, k, k] for k in (0, 1)], axis=1)
    limit = _AGREE * np.sqrt(errors + nature)
    return np.asarray((np.abs(local.point - lent) <= limit).all(axis=1))


def _loss(model: GroupModel, lent: FloatArray, spread: FloatArray, search: Search) -> FloatArray:
    """Give what errors of a lent velocity and width take off the fluxes on average, shape (n, k).

    A line that is measured beside its place is measured too faint, whatever the sign of the
    error: the mean over the four points that have the covariance `spread` (unscented transform).
    """
    here = model.solve(_within(model, lent, search))
    clean = replace(model, data=(here.columns @ here.amplitudes[:, :, None])[:, :, 0])
    values, vectors = np.linalg.eigh(spread)
    steps = vectors * np.sqrt(2.0 * np.maximum(values, 0.0))[:, None, :]
    total = np.zeros_like(here.amplitudes)
    for axis in (0, 1):
        for sign in (-1.0, 1.0):
            there = _within(model, lent + sign * steps[:, :, axis], search)
            total += clean.solve(there).amplitudes
    return np.asarray(total / 4.0 - here.amplitudes)


def _scan(model: GroupModel, search: Search) -> FloatArray:
    """Give the velocity on a grid at which the lines lower chi square most, shape (n, 2)."""
    variance = search.sigma_kms**2
    width = np.sqrt(variance + model.response.lines.sigma_lsf_kms.min() ** 2)
    span = search.velocity_max_kms - search.velocity_min_kms
    count = int(np.ceil(span / (0.5 * width))) + 1
    grid = np.linspace(search.velocity_min_kms, search.velocity_max_kms, count)
    light, _, _ = model.response.templates(grid, np.full(count, variance))
    columns = model.columns(light)
    inverse = inverted(columns.swapaxes(1, 2) @ columns)
    right = np.einsum("gkf,nk->ngf", columns, model.data, optimize=True)
    gain = np.einsum("ngf,gfh,ngh->ng", right, inverse, right, optimize=True)
    best = grid[gain.argmax(axis=1)]
    return np.stack([best, np.full(best.size, variance)], axis=1)


def _bounds(model: GroupModel, search: Search) -> tuple[FloatArray, FloatArray]:
    least = -_NARROWEST * float(model.response.lines.sigma_lsf_kms.min()) ** 2
    low = np.array([search.velocity_min_kms, least])
    return low, np.array([search.velocity_max_kms, search.sigma_max_kms**2])


def _within(model: GroupModel, point: FloatArray, search: Search) -> FloatArray:
    """Keep a variance of another group, whose instrument is broader, one that this one can have."""
    low, high = _bounds(model, search)
    return np.clip(point, [-np.inf, low[1]], [np.inf, high[1]])


def _free(model: GroupModel, start: FloatArray, search: Search) -> _Free:
    low, high = _bounds(model, search)
    limits = Limits(low, high, _TOLERANCE, _MAX_ITERATIONS)
    begin = np.clip(start, low, high)
    point, converged = descend(model, begin, np.arange(len(begin)), limits)
    found = model.solve(point)
    cov = found.covariance
    bias = model.bias(point, found, cov)
    chi2 = (found.residual**2).sum(axis=1)
    margin = _EDGE * (high - low)
    off_bounds = ((point > low + margin) & (point < high - margin)).all(axis=1)
    seen = (np.einsum("nkk->nk", cov)[:, :2] > 0).all(axis=1)
    # Beside masked channels velocity and continuum can make up for one another: a fit that does
    # so lowers chi square much and knows no flux.
    known = _significance(found.amplitudes, cov[:, 2:, 2:]) >= search.snr_reference**2
    return _Free(
        point - bias[:, :2],
        found.amplitudes - bias[:, 2:],
        cov,
        (model.data**2).sum(axis=1) - chi2,
        converged & off_bounds & seen & known,
        chi2,
    )


def _significance(amplitudes: FloatArray, covariance: FloatArray) -> FloatArray:
    """Give a' C^-1 a of amplitudes, 0 where their covariance is none, shape (n,)."""
    inverse = inverted(covariance)
    return np.asarray(np.einsum("nk,nkl,nl->n", amplitudes, inverse, amplitudes))
