"""What is believed of the amplitudes of a model before the data, and what is left of it after?

Amplitudes (fluxes, continuum) are linear, and a Gaussian prior lets them be integrated out in
closed form. Where they cannot be negative, the prior is that Gaussian cut at zero and normalised
anew, and the evidence gains the factor P(a >= 0 | data) / P(a >= 0), both under the Gaussians
without the cut. It is computed exactly, or not at all: amplitudes that may not be negative must,
given the data, be independent or correlated in pairs.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ard.cube import frozen
from ard.errors import ArdError, misfit
from ard.likelihood import normal
from ard.likelihood.arrays import concrete, numbers, product

Blocks = tuple[tuple[int, ...], ...]

# Correlations below count as none: ln of the factor then errs by the correlation times the product
# of two means in standard deviations. Single precision cannot tell them from 0.
TOLERANCE: Final = 1e-6
# Farther below zero, squares of prior and posterior cancel in single precision.
_FARTHEST: Final = -100.0
_LARGEST: Final = 2


@dataclass(frozen=True, eq=False)
class LinearPrior:
    """What is believed of linear parameters (fluxes, continuum) before the data: a Gaussian.

    It has to be proper, and the same for all models that are compared: evidence depends on it.

    Attributes
    ----------
    mean, sigma : array, shape (n,)
        Of the Gaussian, before it is cut at zero.
    non_negative : array of bool, shape (n,), or None
        Which amplitudes cannot be negative: for them the Gaussian is cut at zero and normalised
        anew. None: no one.
    blocks : tuple of tuple of int, or None
        Which of those are correlated given the data: ``((0,), (1, 3))`` says that amplitude 0 is
        independent of 1 and 3, which may be correlated. None: found from the numbers, which JAX
        does not have while it traces; one or two are one block there, more have to be declared,
        see `ard.likelihood.find_blocks`.
    """

    mean: Any
    sigma: Any
    non_negative: Any = None
    blocks: Blocks | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "sigma"):
            values = numbers(getattr(self, name), f"the {name} of the prior")
            object.__setattr__(self, name, frozen(values))
        mean, sigma = self.mean, self.sigma
        proper = mean.ndim == 1 and mean.shape == sigma.shape
        proper = proper and bool(np.all(np.isfinite(mean) & np.isfinite(sigma) & (sigma > 0)))
        if not proper:
            raise ArdError(
                "a prior of linear parameters is improper",
                expected="finite means, and finite widths above 0, one each",
                found=f"means {mean.tolist()}, widths {sigma.tolist()}",
                action="give a width: a flat prior makes evidence meaningless",
            )
        cut = self.non_negative
        if cut is not None and (np.shape(cut) != mean.shape or np.asarray(cut).dtype != bool):
            expected = f"{mean.size} times true or false"
            raise misfit("it is not clear which amplitudes cannot be negative", expected, cut)
        farthest = float(np.min(_prior_heights(self), initial=0.0))
        if farthest < _FARTHEST:
            raise ArdError(
                "the prior of an amplitude that cannot be negative is nearly all below zero",
                expected=f"a mean of {_FARTHEST:g} widths or more",
                found=f"{farthest:.4g} widths",
                action="let the mean be 0 or above, and the width say what is believed",
            )
        if self.blocks is not None:
            _require_blocks(self.blocks, self.constrained)

    @property
    def constrained(self) -> tuple[int, ...]:
        """Numbers of the amplitudes that cannot be negative."""
        if self.non_negative is None:
            return ()
        return tuple(np.flatnonzero(np.asarray(self.non_negative)).tolist())


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """What the data say of the amplitudes.

    Attributes
    ----------
    log_factor : scalar
        What their being positive adds to the evidence.
    mean, sigma : array, shape (n,)
        Of the amplitudes, those that cannot be negative cut at zero.
    """

    log_factor: Any
    mean: Any
    sigma: Any


def cut_at_zero(xp: Any, prior: LinearPrior, mean: Any, covariance: Any) -> Amplitudes:
    """What do the data say of the amplitudes when some of them cannot be negative?

    Parameters
    ----------
    xp : module
        What `ard.likelihood.arrays.namespace` gives for the arrays.
    prior : LinearPrior
    mean, covariance : array, shapes (n,) and (n, n)
        Of the Gaussian posterior without the cut.

    Raises
    ------
    ArdError
        If more than two amplitudes that cannot be negative are correlated, or in another way than
        declared, or nothing is declared of three and more while JAX traces. Where JAX traces and
        the declaration is wrong for the numbers, all results are NaN.
    """
    variance = xp.linalg.diagonal(covariance)
    spread = xp.sqrt(variance)
    if not prior.constrained:
        return Amplitudes(xp.zeros((), dtype=mean.dtype), mean, spread)
    correlation = covariance / (spread[:, None] * spread)
    blocks = prior.blocks
    if blocks is None:
        blocks = blocks_of(correlation, prior.constrained)
    valid = _as_declared(xp, correlation, blocks)
    before = normal.log_ndtr(xp.asarray(_prior_heights(prior), dtype=mean.dtype))
    log_factor = -xp.sum(before)
    height = mean / spread
    shift, change = xp.zeros_like(mean), xp.zeros_like(mean)
    exact: dict[int, tuple[Any, Any]] = {}
    for block in blocks:
        log_probability, inner_mean, inner_cov = _moments(xp, height, correlation, block)
        log_factor = log_factor + log_probability
        for place, number in enumerate(block):
            exact[number] = (inner_mean[place], inner_cov[place, place])
        gain, moved, wider = _passed_on(xp, correlation, height, block, (inner_mean, inner_cov))
        shift = shift + product(xp, gain, moved, ([1], [0]))
        change = change + xp.sum(product(xp, gain, wider, ([1], [0])) * gain, axis=1)
    both = [exact.get(n, (height[n] + shift[n], 1.0 + change[n])) for n in range(mean.shape[0])]
    heights, variances = zip(*both, strict=True)
    # NaN is what a traced computation can say instead of raising an error.
    fine = xp.where(valid, xp.ones_like(log_factor), math.nan)
    return Amplitudes(
        log_factor * fine,
        xp.stack(list(heights)) * spread * fine,
        xp.sqrt(xp.stack(list(variances))) * spread * fine,
    )


def blocks_of(correlation: Any, constrained: tuple[int, ...]) -> Blocks:
    """Find which amplitudes that cannot be negative are correlated given the data.

    Parameters
    ----------
    correlation : array, shape (n, n)
        Of all amplitudes, given the data.
    constrained : tuple of int
        Those that cannot be negative.

    Raises
    ------
    ArdError
        If more than two are correlated, or may be because the correlation has no numbers yet.
    """
    values = concrete(correlation)
    if values is None and len(constrained) <= _LARGEST:
        return (constrained,) if constrained else ()
    if values is None:
        raise ArdError(
            "it is unknown which amplitudes are correlated while the model is traced",
            expected="a prior that declares it: LinearPrior(..., blocks=...)",
            found="blocks=None",
            action="find them once with ard.likelihood.find_blocks, from templates with numbers",
        )
    linked = np.abs(values) > TOLERANCE
    left, blocks = list(constrained), []
    while left:
        block = [left.pop(0)]
        for member in block:  # grows while it is gone through
            block += [n for n in left if linked[member, n]]
            left = [n for n in left if n not in block]
        blocks.append(tuple(sorted(block)))
    largest = max(blocks, key=len, default=())
    if len(largest) > _LARGEST:
        raise ArdError(
            "more than two amplitudes that cannot be negative are correlated given the data",
            expected=f"blocks of at most {_LARGEST}: their evidence is exact",
            found=f"amplitudes {', '.join(map(str, largest))} are correlated",
            action="tie lines of fixed ratio into one template, fit fewer at once, or let all but "
            "two of them be negative",
        )
    return tuple(blocks)


def _require_blocks(blocks: Iterable[Iterable[int]], constrained: tuple[int, ...]) -> None:
    members = [tuple(block) for block in blocks]
    each_once = sorted(n for block in members for n in block) == list(constrained)
    if not each_once or any(len(block) not in (1, _LARGEST) for block in members):
        raise ArdError(
            "the blocks of amplitudes that cannot be negative are not right",
            expected=f"each of {list(constrained)} once, alone or with one other",
            found=members,
            action="leave `blocks` out, or use what ard.likelihood.find_blocks gives",
        )


def _as_declared(xp: Any, correlation: Any, blocks: Blocks) -> Any:
    """Check that amplitudes of different blocks are uncorrelated; traced, say whether they are."""
    members = [n for block in blocks for n in block]
    inner = np.zeros(correlation.shape, dtype=bool)
    for block in blocks:
        inner[np.ix_(block, block)] = True
    outer = np.zeros_like(inner)
    outer[np.ix_(members, members)] = True
    outer &= ~inner
    largest = xp.max(xp.where(xp.asarray(outer), xp.abs(correlation), 0.0))
    valid = largest <= TOLERANCE
    number = concrete(valid)
    if number is not None and not bool(number):
        raise ArdError(
            "amplitudes of different blocks are correlated given the data",
            expected=f"correlations of at most {TOLERANCE} between {blocks}",
            found=f"{float(largest):.3g}",
            action="join them in `blocks`, if they are two, or leave `blocks` out",
        )
    return valid


def _prior_heights(prior: LinearPrior) -> np.ndarray:
    which = list(prior.constrained)
    return np.asarray(prior.mean[which] / prior.sigma[which])


def _moments(xp: Any, height: Any, correlation: Any, block: tuple[int, ...]) -> tuple[Any, ...]:
    """Give log probability of a block above zero, and mean and covariance there."""
    if len(block) == 1:
        log_probability, mean, variance = normal.truncated(height[block[0]])
        return log_probability, xp.stack([mean]), xp.reshape(variance, (1, 1))
    i, j = block
    found = normal.truncated_pair(height[i], height[j], correlation[i, j])
    log_probability, mean, (first, second, between) = found
    rows = [xp.stack([first, between]), xp.stack([between, second])]
    return log_probability, xp.stack(list(mean)), xp.stack(rows)


def _passed_on(
    xp: Any, correlation: Any, height: Any, block: tuple[int, ...], inner: tuple[Any, Any]
) -> tuple[Any, Any, Any]:
    """Say how the other amplitudes follow a block: gain, and what the cut changed of the block."""
    mean, covariance = inner
    own = xp.stack([xp.stack([correlation[i, j] for j in block]) for i in block])
    to_others = xp.stack([correlation[:, i] for i in block])
    gain = xp.linalg.solve(own, to_others).T
    return gain, mean - xp.stack([height[i] for i in block]), covariance - own
