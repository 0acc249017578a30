"""Where are the pairs of components that the data allow, so that they can be drawn from there?

A coarse grid over both components, its best pairs climbed and widened into t distributions; and
the posterior of one component with the second anywhere, by its density on the grid, which is where
a second that is not there ends up. Kernels on weighted draws follow, where these are not enough.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import gammaln, logsumexp

from ard.cube import FloatArray
from pipeline.infer.spaxel.amplitudes import Conditional, pairs
from pipeline.infer.spaxel.pairmodel import Drawn, PairModel, nearly
from pipeline.infer.spaxel.settings import Prior

_STEP_KMS: Final = 60.0  # of the coarse grid in velocity
_WIDTHS: Final = (0.0, 0.06, 0.12, 0.22, 0.37, 0.6, 1.0)  # ends of its cells, in largest widths
_CLIMBERS: Final = 10
_ROUNDS: Final = 12
_NUDGE_KMS: Final = 2.0  # of finite differences
_STEPS: Final = (1.0, 0.5, 0.2, 0.05)
_WIDEST_KMS: Final = 150.0  # of a t distribution, where the density is flat
_WIDER: Final = 1.25
_FREEDOM: Final = 5.0
_KEPT: Final = 15.0  # climbers this far (in ln) below the best are left
_SHARES: Final = (0.5, 0.5)  # of the two parts of the proposal
_KERNELS: Final = 200  # of a proposal that has learned
_LEARNED: Final = 2000  # draws, those of most weight, that it learns from
_REACH: Final = 0.5  # of a kernel, in standard deviations of all draws
_RIDGE: Final = 0.01
_LOG_2: Final = float(np.log(2.0))


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of velocity and sigma, and what one or two lines in them say."""

    low: FloatArray  # shape (g, 2)
    high: FloatArray

    @classmethod
    def of(cls, prior: Prior) -> "Grid":
        """Cut the prior into cells."""
        top = prior.velocity_max_kms
        v = np.linspace(-top, top, int(np.ceil(2.0 * top / _STEP_KMS)) + 1)
        s = np.array(_WIDTHS) * prior.sigma_max_kms
        low = np.stack(np.meshgrid(v[:-1], s[:-1], indexing="ij"), -1).reshape(-1, 2)
        high = np.stack(np.meshgrid(v[1:], s[1:], indexing="ij"), -1).reshape(-1, 2)
        return cls(low, high)

    @property
    def middle(self) -> FloatArray:
        """Give the middles of the cells, (g, 2)."""
        return 0.5 * (self.low + self.high)

    @property
    def log_area(self) -> FloatArray:
        """Give ln of the areas of the cells, (g,)."""
        return np.log(np.prod(self.high - self.low, axis=1))

    def best_pairs(self, model: PairModel) -> FloatArray:
        """Give the best pairs of cells that are no neighbours of better ones, shape (k, 4)."""
        middle, count = self.middle, model.count
        template = model.templates(middle[:, 0], middle[:, 1])
        flat = template.transpose(1, 0, 2).reshape(template.shape[1], -1)
        normal = (flat.T @ model.precision @ flat).reshape(*(middle.shape[0], count) * 2)
        pull = (flat.T @ model.pulled).reshape(-1, count)
        i, j = np.triu_indices(middle.shape[0], 1)
        both = (i, j)
        rows = [pull[both[a // count], a % count] for a in range(2 * count)]
        rows += [
            normal[both[a // count], a % count, both[b // count], b % count]
            for a, b in pairs(2 * count)
        ]
        point = np.concatenate([middle[i], middle[j]], axis=1)
        density = nearly(Conditional.of(np.stack(rows), 2 * count), model.prior)
        density = density + model.log_prior(point)
        chosen: list[FloatArray] = []
        for k in np.argsort(-density)[:400]:
            apart = [np.abs(point[k, 0::2] - one[0::2]).max() > 1.5 * _STEP_KMS for one in chosen]
            wide = [np.abs(point[k, 1::2] / one[1::2] - 1.0).max() > 1.0 for one in chosen]
            if all(a or w for a, w in zip(apart, wide, strict=True)):
                chosen.append(point[k])
            if len(chosen) == _CLIMBERS:
                break
        return np.stack(chosen)

    def beside(self, model: PairModel, first: FloatArray) -> FloatArray:
        """Give ln of the mass of each cell for a second component beside a first, (g,)."""
        whole = np.concatenate([np.broadcast_to(first, self.middle.shape), self.middle], axis=1)
        log_mass = model.smooth(whole) + self.log_area
        own = model.prior.log_sigma(self.middle[:, 1]) + self.log_area
        seen = log_mass - logsumexp(log_mass)
        blind = own - logsumexp(own)
        return np.asarray(np.logaddexp(seen + np.log(0.7), blind + np.log(0.3)))


def _climb(model: PairModel, start: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Climb to the nearest maxima; give places, ln densities and covariances there."""
    prior = model.prior
    low = np.tile([-prior.velocity_max_kms + 3.0, 3.0], 2)
    high = np.tile([prior.velocity_max_kms - 3.0, prior.sigma_max_kms - 3.0], 2)
    point = np.clip(start, low, high)
    for _ in range(_ROUNDS):
        value, slope, values, vectors = _shape(model, point)
        step = (vectors @ ((vectors.swapaxes(1, 2) @ slope[:, :, None]) / values[:, :, None]))[
            ..., 0
        ]
        tried = np.clip(point[None] + np.array(_STEPS)[:, None, None] * step, low, high)
        found = model.smooth(tried.reshape(-1, 4)).reshape(len(_STEPS), -1)
        best = found.argmax(axis=0)
        here = np.arange(point.shape[0])
        better = found[best, here] > value
        point = np.where(better[:, None], tried[best, here], point)
        if not (found[best, here] > value + 0.01).any():
            break
    value, _, values, vectors = _shape(model, point)
    covariance = (vectors / values[:, None, :]) @ vectors.swapaxes(1, 2)
    return point, value, covariance * _WIDER**2


def _shape(
    model: PairModel, point: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Give ln density, its slope, and eigenvalues and -vectors of minus its curvature."""
    unit = _NUDGE_KMS * np.eye(4)
    moves = [np.zeros(4), *unit, *(-unit)]
    both = [(a, b) for a in range(4) for b in range(a)]
    moves += [unit[a] + unit[b] for a, b in both] + [-unit[a] - unit[b] for a, b in both]
    at = (point[None] + np.stack(moves)[:, None]).reshape(-1, 4)
    f = model.smooth(at).reshape(len(moves), -1)
    slope = (f[1:5] - f[5:9]) / (2.0 * _NUDGE_KMS)
    curve = np.zeros((point.shape[0], 4, 4))
    for a in range(4):
        curve[:, a, a] = f[1 + a] + f[5 + a] - 2.0 * f[0]
    for k, (a, b) in enumerate(both):
        mixed = f[9 + k] + f[9 + len(both) + k] + 2.0 * f[0]
        mixed = 0.5 * (mixed - f[1 + a] - f[5 + a] - f[1 + b] - f[5 + b])
        curve[:, a, b] = curve[:, b, a] = mixed
    values, vectors = np.linalg.eigh(-curve / _NUDGE_KMS**2)
    return f[0], slope.T, np.maximum(np.abs(values), _WIDEST_KMS**-2), vectors


@dataclass(frozen=True, eq=False)
class Proposal:
    """A density of pairs to draw from, the same if the two are exchanged."""

    grid: Grid
    log_mass: FloatArray  # of the cells of a second component, (g,)
    one: tuple[FloatArray, FloatArray]  # centre and widths of the first beside it
    centre: FloatArray  # (k, 4)
    factor: FloatArray  # Cholesky, (k, 4, 4)
    share: FloatArray  # (k,)

    @classmethod
    def of(cls, model: PairModel, grid: Grid, one: tuple[FloatArray, FloatArray]) -> "Proposal":
        """Look for pairs; one: mean and widths of velocity and sigma of one component."""
        centre, value, covariance = _climb(model, grid.best_pairs(model))
        mass = value + 0.5 * np.linalg.slogdet(covariance)[1]
        kept = value > value.max() - _KEPT
        share = np.exp(mass - mass[kept].max()) * kept
        share = 0.7 * share / share.sum() + 0.3 * kept / kept.sum()
        factor = np.linalg.cholesky(covariance)
        return cls(grid, grid.beside(model, one[0]), one, centre, factor, share)

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Draw pairs, shape (size, 4)."""
        near = rng.random(size) < _SHARES[0]
        which = rng.choice(self.share.size, size, p=self.share)
        climbed = self.centre[which] + _t_draws(rng, self.factor[which])
        mass = np.exp(self.log_mass - self.log_mass.max())
        cell = rng.choice(mass.size, size, p=mass / mass.sum())
        second = self.grid.low[cell]
        second = second + rng.random((size, 2)) * (self.grid.high - self.grid.low)[cell]
        plain = _t_draws(rng, np.broadcast_to(np.eye(4), (size, 4, 4)))
        first = self.one[0] + self.one[1] * plain[:, :2]
        found = np.where(near[:, None], climbed, np.concatenate([first, second], axis=1))
        swapped = rng.random(size) < 0.5
        return np.where(swapped[:, None], found[:, [2, 3, 0, 1]], found)

    def log_density(self, point: FloatArray) -> FloatArray:
        """Give ln of the density that pairs, shape (m, 4), are drawn from."""
        ways = [self._one_way(p) for p in (point, point[:, [2, 3, 0, 1]])]
        return np.asarray(np.logaddexp(*ways) - _LOG_2)

    def _one_way(self, point: FloatArray) -> FloatArray:
        inverse = np.linalg.inv(self.factor)
        white = np.einsum("kab,mkb->mka", inverse, point[:, None] - self.centre)
        log_det = np.log(np.diagonal(self.factor, axis1=1, axis2=2)).sum(axis=1)
        with np.errstate(divide="ignore"):  # climbers that are left have a share of 0
            climbed = _log_t((white**2).sum(axis=2), 4) - log_det + np.log(self.share)
        near = logsumexp(climbed, axis=1)
        white = (point[:, :2] - self.one[0]) / self.one[1]
        first = _log_t((white**2).sum(axis=1), 2) - np.log(self.one[1]).sum()
        top = self.grid.high[-1]
        v = np.unique(self.grid.low[:, 0])
        s = np.unique(self.grid.low[:, 1])
        row = np.clip(np.searchsorted(v, point[:, 2], side="right") - 1, 0, v.size - 1)
        column = np.clip(np.searchsorted(s, point[:, 3], side="right") - 1, 0, s.size - 1)
        inside = (np.abs(point[:, 2]) <= top[0]) & (point[:, 3] >= 0) & (point[:, 3] <= top[1])
        cell = row * s.size + column
        total = logsumexp(self.log_mass)
        second = np.where(inside, self.log_mass[cell] - total - self.grid.log_area[cell], -np.inf)
        logs = np.log(_SHARES)
        return np.asarray(np.logaddexp(near + logs[0], first + second + logs[1]))


def _log_t(square: FloatArray, size: int) -> FloatArray:
    """Give ln of the density of a standard t distribution at squared distances."""
    half = 0.5 * (_FREEDOM + size)
    norm = gammaln(half) - gammaln(0.5 * _FREEDOM) - 0.5 * size * np.log(_FREEDOM * np.pi)
    return np.asarray(norm - half * np.log1p(square / _FREEDOM))


@dataclass(frozen=True, eq=False)
class Kernels:
    """A proposal that has learned from weighted draws: t distributions at some of them."""

    centre: FloatArray  # (k, 4)
    factor: FloatArray  # Cholesky, (k, 4, 4)

    @classmethod
    def of(cls, drawn: "Drawn", weight: FloatArray, rng: np.random.Generator) -> "Kernels":
        """Put kernels on draws, the brighter component first, as wide as the draws near them."""
        turned = drawn.bright[:, 1] > drawn.bright[:, 0]
        point = np.where(turned[:, None], drawn.point[:, [2, 3, 0, 1]], drawn.point)
        used = np.argsort(-weight)[:_LEARNED]
        point, weight = point[used], weight[used] / weight[used].sum()
        centre = point[rng.choice(weight.size, _KERNELS, p=weight)]
        mean = weight @ point
        wide = (point - mean).T @ (weight[:, None] * (point - mean))
        wide += np.eye(4)  # (km/s)^2: narrower than any posterior
        white = np.linalg.inv(np.linalg.cholesky(wide))
        apart = ((centre @ white.T)[:, None] - (point @ white.T)[None]) ** 2
        near = weight * np.exp(-0.5 * apart.sum(axis=2) / _REACH**2)
        near /= near.sum(axis=1, keepdims=True)
        off = point[None] - centre[:, None]
        local = np.einsum("ki,kia,kib->kab", near, off, off)
        return cls(centre, np.linalg.cholesky(local + _RIDGE * wide + np.eye(4)))

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Draw pairs, shape (size, 4)."""
        which = rng.integers(self.centre.shape[0], size=size)
        found = self.centre[which] + _t_draws(rng, self.factor[which])
        return np.where((rng.random(size) < 0.5)[:, None], found[:, [2, 3, 0, 1]], found)

    def log_density(self, point: FloatArray) -> FloatArray:
        """Give ln of the density that pairs, shape (m, 4), are drawn from."""
        inverse = np.linalg.inv(self.factor)
        log_det = np.log(np.diagonal(self.factor, axis1=1, axis2=2)).sum(axis=1)
        at = (inverse @ self.centre[:, :, None])[:, :, 0]
        ways = []
        for each in (point, point[:, [2, 3, 0, 1]]):
            white = each @ inverse.swapaxes(1, 2) - at[:, None]
            logs = _log_t((white**2).sum(axis=2), 4) - log_det[:, None]
            ways.append(logsumexp(logs, axis=0))
        return np.asarray(np.logaddexp(*ways) - _LOG_2 - np.log(self.centre.shape[0]))


def _t_draws(rng: np.random.Generator, factor: FloatArray) -> FloatArray:
    """Draw from t distributions about zero, one for each factor, shape (m, 4)."""
    size = factor.shape[0]
    normal = rng.standard_normal((size, 4, 1))
    normal *= np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, size))[:, None, None]
    return np.asarray((factor @ normal)[:, :, 0])
