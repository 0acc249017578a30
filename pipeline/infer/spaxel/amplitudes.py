"""What do the data say of the fluxes, velocity and width being given, if none may be negative?

Fluxes a (in prior scales) have the precision P = A + 1 and the mean P^-1 b. With P = U U', U upper
triangular, U' (a - mean) is standard normal, and its rows give each flux in terms of those before
it: a sequence of truncated normals, whose product of probabilities is P(a >= 0) (Geweke,
Hajivassiliou, Keane). One flux is exact, two are a quadrature in one dimension, more a fixed
lattice: weights of the draws are exact for any number.

Arrays have the flux (or the pair of fluxes) as their first axis.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import erfcx, ndtr, ndtri, ndtri_exp

from ard.cube import FloatArray
from pipeline.lineprofile import IntArray

EXACT_UP_TO: Final = 2  # fluxes whose integrals need no draws
_SAFE: Final = 7.0  # standard deviations above zero: what a cut takes off is below 1e-11
_TAIL: Final = -5.0  # farther below zero, probabilities are handled as logarithms
_NODES: Final = 16
_NEAR_ZERO: Final = -2.0  # standard deviations: a pair above both has no small probability
_SLIGHT: Final = 0.7  # a correlation whose integral needs few nodes
_PAIR_NODES: Final = 6
_LATTICE: Final = 16  # points, for three fluxes and more: their draws correct it
_FAR: Final = -300.0
_ABOVE: Final = 9.0  # what is above is as good as certain: 1e-19
_ROOT_HALF: Final = math.sqrt(0.5)
_ROOT_2_OVER_PI: Final = math.sqrt(2.0 / math.pi)
_HALF_LOG_2PI: Final = 0.5 * math.log(2.0 * math.pi)
_LOG_2: Final = math.log(2.0)


def pairs(count: int) -> list[tuple[int, int]]:
    """List (j, k), j <= k, in the order in which A is kept."""
    return [(j, k) for j in range(count) for k in range(j, count)]


@dataclass(frozen=True, eq=False)
class Conditional:
    """The Gaussian of the fluxes at given velocities and widths, before the cut.

    Attributes
    ----------
    quantities : ndarray, shape (p + p (p + 1) / 2, ...)
        b, then A by `pairs`.
    factor : dict of (int, int) to ndarray, shape (...)
        U, by row and column.
    mean : ndarray, shape (p, ...)
    log_gain : ndarray, shape (...)
        What the fluxes add to ln L, integrated over their uncut prior.
    """

    quantities: FloatArray
    factor: dict[tuple[int, int], FloatArray]
    mean: FloatArray
    log_gain: FloatArray

    @classmethod
    def of(cls, quantities: FloatArray, count: int) -> "Conditional":
        """Solve for `count` fluxes.

        Parameters
        ----------
        quantities : ndarray, shape (p + p (p + 1) / 2 or more, ...)
            b, then A by `pairs`.
        """
        normal = dict(zip(pairs(count), quantities[count:], strict=False))
        factor: dict[tuple[int, int], FloatArray] = {}
        turned: list[FloatArray] = [np.empty(0)] * count
        log_det = np.zeros(quantities.shape[1:])
        for j in reversed(range(count)):
            later = range(j + 1, count)
            own = normal[j, j] + 1.0 - sum(factor[j, k] ** 2 for k in later)
            factor[j, j] = np.sqrt(own)
            log_det += np.log(own)
            for i in range(j):
                shared = sum(factor[i, k] * factor[j, k] for k in later)
                factor[i, j] = (normal[i, j] - shared) / factor[j, j]
            left = quantities[j] - sum(factor[j, k] * turned[k] for k in later)
            turned[j] = left / factor[j, j]
        mean: list[FloatArray] = []
        for j in range(count):
            known = sum(factor[k, j] * mean[k] for k in range(j))
            mean.append((turned[j] - known) / factor[j, j])
        gain = 0.5 * (sum(w**2 for w in turned) - log_det)
        kept = quantities[: count + len(normal)]
        return cls(kept, factor, np.stack(mean), np.asarray(gain))

    @property
    def count(self) -> int:
        """Number of fluxes."""
        return int(self.mean.shape[0])

    def take(self, where: np.ndarray) -> "Conditional":
        """Give some of the places, flattened."""
        factor = {key: value[where] for key, value in self.factor.items()}
        quantities = self.quantities[:, where]
        return Conditional(quantities, factor, self.mean[:, where], self.log_gain[where])

    def sorted(self) -> tuple["Conditional", IntArray]:
        """Put the fluxes in the order of their heights above zero, the lowest first.

        What a cut does to the others is then known before they are drawn: weights vary less.

        Returns
        -------
        Conditional
        order : ndarray of int, shape (p, ...)
            Number of the flux that is now at each place.
        """
        count = self.count
        order = np.argsort(self.mean / np.sqrt(self.variance()), axis=0, kind="stable")
        number = np.zeros((count, count), dtype=np.int64)
        for place, (j, k) in enumerate(pairs(count)):
            number[j, k] = number[k, j] = count + place
        index = [order, np.stack([number[order[j], order[k]] for j, k in pairs(count)])]
        moved = np.take_along_axis(self.quantities, np.concatenate(index), axis=0)
        return Conditional.of(moved, count), order

    def rows(self) -> list[list[FloatArray]]:
        """Give the rows of the lower Cholesky factor of the covariance, U^-T."""
        rows: list[list[FloatArray]] = []
        for j in range(self.count):
            own = 1.0 / self.factor[j, j]
            before = [
                -own * sum(self.factor[k, j] * rows[k][i] for k in range(i, j)) for i in range(j)
            ]
            rows.append([*before, own])
        return rows

    def variance(self) -> FloatArray:
        """Give the variance of each flux before the cut, shape (p, ...)."""
        return np.stack([np.asarray(sum(v * v for v in row)) for row in self.rows()])

    def height(self, number: int, moved: list[FloatArray]) -> FloatArray:
        """Say how many standard deviations a flux is above zero, given how those before it moved.

        Parameters
        ----------
        number : int
        moved : list of ndarray
            The fluxes before it, less their means.
        """
        own = self.factor[number, number]
        shift = sum(self.factor[k, number] * moved[k] for k in range(number))
        return np.asarray(self.mean[number] * own - shift)

    def draw(self, uniform: FloatArray, *, cut: bool) -> tuple[list[FloatArray], FloatArray]:
        """Draw fluxes one after another, each above zero given those before it.

        Parameters
        ----------
        uniform : ndarray, shape (number of fluxes to draw, ...)
            Between 0 and 1.
        cut : bool
            False: not cut at zero.

        Returns
        -------
        values : list of ndarray, shape (...)
        log_weight : ndarray, shape (...)
            Logarithm of the Gaussian, cut but not normalised, over the density of the draws.
        """
        values: list[FloatArray] = []
        moved: list[FloatArray] = []
        log_weight = np.zeros(self.log_gain.shape)
        for j, level in enumerate(uniform):
            width, height = 1.0 / self.factor[j, j], self.height(j, moved)
            if cut:
                standard, log_share = _above(height, level)
                log_weight = log_weight + log_share
                # Rounding of height plus step must not end below zero.
                values.append(np.maximum(height + standard, 0.0) * width)
            else:
                values.append((height + ndtri(level)) * width)
            moved.append(values[-1] - self.mean[j])
        return values, log_weight


@dataclass(frozen=True, eq=False)
class Cut:
    """The fluxes above zero.

    Attributes
    ----------
    log_factor : ndarray, shape (...)
        ln P(a >= 0 | data) - ln P(a >= 0).
    mean, square : ndarray, shape (p, ...)
        Means of a and a^2; empty if they were not asked for.
    """

    log_factor: FloatArray
    mean: FloatArray
    square: FloatArray


def above_zero(given: Conditional, *, moments: bool = True) -> Cut:
    """How probable is it that no flux is negative, and how large are they then?

    Fluxes far above zero need no cut; where one alone is near, its marginal has closed forms, and
    the others follow by regression.
    """
    rows = given.rows()
    variance = np.stack([np.asarray(sum(v * v for v in row)) for row in rows])
    mean, square = np.empty((2, 0))
    if moments:
        mean, square = given.mean.copy(), given.mean**2 + variance
    log_share = np.zeros(given.log_gain.shape)
    near = given.mean < _SAFE * np.sqrt(variance)
    number = near.sum(axis=0)
    for j in range(given.count):
        alone = near[j] & (number == 1)
        if alone.any():
            found = _marginal(given, rows, variance, (j, alone), moments)
            log_share[alone] = found.log_factor
            if moments:
                mean[:, alone], square[:, alone] = found.mean, found.square
    several = number > 1
    for where, integrate in _ways(given, rows, several):
        found = integrate(given.take(where), moments)
        log_share[where] = found.log_factor
        if moments:
            mean[:, where], square[:, where] = found.mean, found.square
    return Cut(log_share + given.count * _LOG_2, mean, square)


def _marginal(
    given: Conditional,
    rows: list[list[FloatArray]],
    variance: FloatArray,
    which: tuple[int, np.ndarray],
    moments: bool,
) -> Cut:
    """Cut one flux alone; the others keep their regression on it."""
    j, where = which
    own = variance[j][where]
    width = np.sqrt(own)
    height = given.mean[j][where] / width
    if not moments:
        return Cut(_log_share(height)[0], *np.empty((2, 0)))
    log_share, first, second = truncated(height)
    moved, wider = (first - height) * width, (second - first * first - 1.0) * own
    means, squares = [], []
    for k in range(given.count):
        shared = sum(rows[j][i][where] * rows[k][i][where] for i in range(min(j, k) + 1))
        gain = shared / own
        mean = given.mean[k][where] + gain * moved
        means.append(mean)
        squares.append(variance[k][where] + gain * gain * wider + mean * mean)
    # Rounding must not leave a negative mean far below zero.
    means[j], squares[j] = first * width, second * own
    return Cut(log_share, np.stack(means), np.stack(squares))


def _ways(
    given: Conditional, rows: list[list[FloatArray]], where: np.ndarray
) -> list[tuple[np.ndarray, Callable[[Conditional, bool], Cut]]]:
    """Say how several fluxes are integrated where: pairs near zero have a cheaper way."""
    if not where.any():
        return []
    if given.count != 2:
        return [(where, _moments)]
    slope = rows[1][0] / np.hypot(rows[1][0], rows[1][1])
    low = _NEAR_ZERO * np.stack([1.0 / given.factor[0, 0], np.hypot(*rows[1])])
    simple = where & (np.abs(slope) < _SLIGHT) & (given.mean > low).all(axis=0)
    both = [(simple, _pair), (where & ~simple, _moments)]
    return [(places, way) for places, way in both if places.any()]


def _pair(given: Conditional, moments: bool) -> Cut:
    """Integrate over two fluxes neither of which is far below zero.

    The probability is Phi(h) Phi(k) and an integral over the correlation (Drezner & Wesolowsky
    1990, J. Stat. Comput. Simul. 35, 101); moments are those of Tallis (1961, J. R. Stat. Soc. B
    23, 223).
    """
    rows = given.rows()
    sd = np.stack([rows[0][0], np.hypot(rows[1][0], rows[1][1])])
    rho = rows[1][0] / sd[1]
    h, k = given.mean / sd
    nodes, weights = np.polynomial.legendre.leggauss(_PAIR_NODES)
    angle = np.arcsin(rho)
    total = np.zeros(h.shape)
    square, product = h * h + k * k, 2.0 * h * k
    for node, weight in zip(0.5 * (nodes + 1.0), 0.5 * weights, strict=True):
        sine = np.sin(node * angle)
        total += weight * np.exp(-0.5 * (square - product * sine) / (1.0 - sine * sine))
    share = ndtr(h) * ndtr(k) + angle * total / (2.0 * math.pi)
    if not moments:
        return Cut(np.log(share), *np.empty((2, 0)))
    root = np.sqrt((1.0 - rho) * (1.0 + rho))
    scale = 1.0 / (math.sqrt(2.0 * math.pi) * share)
    a = scale * np.exp(-0.5 * h * h) * ndtr((k - rho * h) / root)
    b = scale * np.exp(-0.5 * k * k) * ndtr((h - rho * k) / root)
    far = h * h + ((rho * h - k) / root) ** 2
    corner = rho * root * np.exp(-0.5 * far) / (2.0 * math.pi * share)
    u, v = a + rho * b, rho * a + b
    uu = 1.0 - h * a - rho * rho * k * b + corner
    vv = 1.0 - k * b - rho * rho * h * a + corner
    mean = np.stack([h + u, k + v])
    second = np.stack([uu + h * (h + 2.0 * u), vv + k * (k + 2.0 * v)])
    return Cut(np.log(share), mean * sd, second * sd * sd)


def _moments(given: Conditional, moments: bool) -> Cut:
    """Integrate over all fluxes but the last, which has closed forms."""
    points, weights = _rule(given.count - 1, rough=not moments)
    given, order = given.sorted()
    wide = Conditional(
        given.quantities[:, None],
        {key: value[None] for key, value in given.factor.items()},
        given.mean[:, None],
        given.log_gain[None],
    )
    spread = np.broadcast_to(points[..., None], (*points.shape, given.log_gain.size))
    values, log_weight = wide.draw(spread, cut=True)
    last = given.count - 1
    height = wide.height(last, [v - m for v, m in zip(values, wide.mean, strict=False)])
    log_share, mean, square = truncated(height) if moments else (_log_share(height)[0],) * 3
    log_weight = log_weight + log_share + np.log(weights)[:, None]
    top = log_weight.max(axis=0)
    share = np.exp(log_weight - top)
    total = share.sum(axis=0)
    log_factor = top + np.log(total)
    if not moments:
        return Cut(log_factor, *np.empty((2, 0)))
    width = 1.0 / wide.factor[last, last]
    first = [*values, mean * width]
    second = [*(v * v for v in values), square * width**2]
    means = np.stack([(v * share).sum(axis=0) / total for v in first])
    squares = np.stack([(v * share).sum(axis=0) / total for v in second])
    back = np.argsort(order, axis=0)
    return Cut(log_factor, np.take_along_axis(means, back, 0), np.take_along_axis(squares, back, 0))


def truncated(height: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give ln P(x > 0), E[x | x > 0] and E[x^2 | x > 0] of a normal x of this mean and variance 1.

    Far below zero, where E[x] = h + phi / Phi cancels, the asymptotic forms take over.
    """
    log_share, pull = _log_share(height)
    mean = height + pull
    square = 1.0 + height * mean
    far = height < _FAR
    if far.any():
        inverse = -1.0 / height[far]
        second = inverse * inverse
        mean[far] = inverse * (1.0 - 2.0 * second)
        square[far] = 2.0 * second * (1.0 - 5.0 * second)
    return log_share, mean, square


def _log_share(height: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give ln Phi(h) and phi(h) / Phi(h); beyond `_ABOVE`, those there."""
    kept = np.minimum(height, _ABOVE)
    pull = _ROOT_2_OVER_PI / erfcx(-_ROOT_HALF * kept)
    return -0.5 * kept * kept - np.log(pull) - _HALF_LOG_2PI, pull


def _above(height: FloatArray, uniform: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Draw a standard normal above -height; give it and ln of its probability to be there."""
    log_share = _log_share(height)[0]
    share = ndtr(height)
    deep = height < _TAIL
    standard = -ndtri(uniform * np.where(deep, 1.0, share))
    if deep.any():
        deep, uniform = np.broadcast_arrays(deep, uniform)
        level = np.broadcast_to(log_share, deep.shape)[deep]
        standard[deep] = -ndtri_exp(np.log(uniform[deep]) + level)
    return standard, log_share


@lru_cache(maxsize=8)
def _rule(count: int, *, rough: bool) -> tuple[FloatArray, FloatArray]:
    """Give points, shape (count, n), and weights, shape (n,), of an integral over a unit cube.

    A rough one serves where the posterior is looked for, not where it is integrated.
    """
    if count == 1:
        nodes, weights = np.polynomial.legendre.leggauss(_NODES // 2 if rough else _NODES)
        return 0.5 * (nodes[None] + 1.0), 0.5 * weights
    # Kronecker sequence of the roots of x^(d+1) = x + 1, folded (baker) against its edges.
    root = 2.0
    for _ in range(64):
        root = (1.0 + root) ** (1.0 / (count + 1))
    step = root ** -np.arange(1.0, count + 1.0)
    number = _LATTICE // 2 if rough else _LATTICE
    points = np.mod(0.5 + np.arange(1, number + 1)[None] * step[:, None], 1.0)
    folded = 1.0 - np.abs(2.0 * points - 1.0)
    return np.clip(folded, 1e-6, 1.0 - 1e-6), np.full(number, 1.0 / number)
