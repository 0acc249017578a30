"""How are independent draws made of what the quadrature found?

A node is drawn by its mass, a place in its interval from an exponential with the slope found
there, the fluxes one after another; then the exact posterior at this place is held against the
density it was drawn from, and the draw is kept or not. What is kept is the posterior itself,
draw by draw independent, whatever the grid was; the weights say how good the grid was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import logsumexp

from ard.cube import FloatArray
from pipeline.infer.spaxel.amplitudes import Conditional, pairs
from pipeline.infer.spaxel.pareto import effective, khat
from pipeline.infer.spaxel.patches import Patch, rule
from pipeline.infer.spaxel.settings import Numerics, Prior
from pipeline.infer.spaxel.spectra import Condensed
from pipeline.infer.spaxel.templates import Cells, basis
from pipeline.lineprofile import IntArray

# Candidates for each draw: most spaxels need the first, a corner of the fluxes the others. A tail
# of weights that looks too heavy among few candidates is looked at again among more.
_TRIES: Final = (1.5, 8.0, 48.0)
_SPARE: Final = 40
_STEEPEST: Final = 30.0  # ln density across an interval
_LOG_2: Final = float(np.log(2.0))


@dataclass(frozen=True, eq=False)
class Nodes:
    """All nodes of all patches, those of a spaxel together.

    Attributes
    ----------
    spaxel, item, place : ndarray of int, shape (m,)
        Spaxel; item, counted over all patches; number of the node within the item.
    share : ndarray, shape (m,)
        Of the posterior of its spaxel.
    log_evidence : ndarray, shape (n,)
        ln of the mass of each spaxel: ln B against no line.
    rank : ndarray of int, shape (m,)
        Of each node among those that `gather` gives.
    """

    spaxel: IntArray
    item: IntArray
    place: IntArray
    share: FloatArray
    log_evidence: FloatArray
    rank: IntArray

    @classmethod
    def of(cls, patches: Sequence[Patch], n_spaxels: int) -> "Nodes":
        """Collect the nodes of patches; every spaxel must have some."""
        counts = [len(patch.tables) for patch in patches]
        first = np.cumsum([0, *counts])[:-1]
        spaxel = [np.repeat(p.tables.spaxel, p.size**2) for p in patches]
        item = [
            np.repeat(start + np.arange(number), p.size**2)
            for p, number, start in zip(patches, counts, first, strict=True)
        ]
        place = [np.tile(np.arange(p.size**2), n) for p, n in zip(patches, counts, strict=True)]
        log_mass = np.concatenate([p.log_mass.ravel() for p in patches])
        every = np.concatenate(spaxel)
        rank = np.argsort(every, kind="stable")
        every, log_mass = every[rank], log_mass[rank]
        starts = np.searchsorted(every, np.arange(n_spaxels))
        top = np.maximum.reduceat(log_mass, starts)
        mass = np.exp(log_mass - top[every])
        total = np.add.reduceat(mass, starts)
        return cls(
            every,
            np.concatenate(item)[rank],
            np.concatenate(place)[rank],
            mass / total[every],
            top + np.log(total),
            rank,
        )

    def gather(self, values: Sequence[FloatArray]) -> FloatArray:
        """Put values of the nodes of each patch, of any shape, into the order of the nodes."""
        return np.concatenate([value.ravel() for value in values])[self.rank]

    def mean(self, values: FloatArray) -> FloatArray:
        """Give the posterior mean of a quantity, shape (n,), from its values at the nodes."""
        weighted = self.share * values
        return np.bincount(self.spaxel, weighted, minlength=self.log_evidence.size)

    def pick(self, rows: IntArray, uniform: FloatArray) -> IntArray:
        """Draw nodes by their share.

        Parameters
        ----------
        rows : ndarray of int, shape (r,)
            Spaxels.
        uniform : ndarray, shape (r, n)

        Returns
        -------
        ndarray of int, shape (r, n)
        """
        cumulative = np.cumsum(self.share)
        ends = np.searchsorted(self.spaxel, np.arange(self.log_evidence.size + 1))
        before = np.concatenate([[0.0], cumulative])[ends]
        low, high = before[:-1][rows, None], before[1:][rows, None]
        found = np.searchsorted(cumulative, low + uniform * (high - low), side="right")
        picked: IntArray = np.clip(found, ends[:-1][rows, None], ends[1:][rows, None] - 1)
        return picked


@dataclass(frozen=True, eq=False)
class Draws:
    """Independent draws, equal in weight.

    Attributes
    ----------
    velocity, sigma : ndarray, shape (n, n_draw)
        Velocity with the shift of the spaxel, if there is one, and intrinsic width, km/s.
    amplitude : ndarray, shape (n, n_draw, n_free)
        In prior scales.
    continuum : ndarray, shape (n, n_draw, n_terms)
        In units of the typical error.
    khat : ndarray, shape (n,)
        Of the weights of the candidates.
    log_density : ndarray, shape (n, n_draw)
        ln of the posterior density of velocity, width and amplitudes, but for a constant.
    kept : ndarray, shape (n,)
        Draws that are no repetitions: all, unless too few candidates could be kept.
    log_mean_weight : ndarray, shape (n,)
        What the candidates say of the evidence over that of the quadrature.
    """

    velocity: FloatArray
    sigma: FloatArray
    amplitude: FloatArray
    continuum: FloatArray
    log_density: FloatArray
    khat: FloatArray
    kept: FloatArray
    log_mean_weight: FloatArray


@dataclass(frozen=True, eq=False)
class Sampler:
    """What draws are made from: the patches of a chunk of spaxels.

    Attributes
    ----------
    patches : sequence of Patch
    nodes : Nodes
    cells : Cells
    condensed : Condensed
    prior : Prior
    count : int
        Number of fluxes.
    """

    patches: Sequence[Patch]
    nodes: Nodes
    cells: Cells
    condensed: Condensed
    prior: Prior
    count: int

    def draw(
        self, rows: IntArray, streams: Sequence[np.random.Generator], numerics: Numerics
    ) -> Draws:
        """Draw from some spaxels, each with its own stream of random numbers.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Which spaxels of the chunk.
        streams : sequence of Generator
            One for each of them.
        numerics : Numerics
        """
        n, n_draw, terms = rows.size, numerics.n_draw, self.condensed.level.shape[1]
        point = np.empty((n, n_draw, 3 + self.count))
        continuum = np.empty((n, n_draw, terms))
        quality = np.empty((3, n))
        pending = np.arange(n)
        for number, factor in enumerate(_TRIES):
            size = int(factor * n_draw) + _SPARE
            done = np.zeros(pending.size, dtype=bool)
            # Fewer spaxels at a time where each has many candidates.
            step = max(1, int(n * _TRIES[0] / factor))
            for start in range(0, pending.size, step):
                some = pending[start : start + step]
                own = [streams[k] for k in some]
                pool = self._candidates(rows[some], own, size)
                last = number == len(_TRIES) - 1
                chosen, full = _choose(pool, n_draw, own, last)
                tail = khat(pool.log_weight)
                done[start : start + step] = (full & (tail < numerics.khat_max)) | last
                here = np.arange(some.size)[:, None]
                point[some] = pool.point[here, chosen]
                continuum[some] = self._continuum(rows[some], pool, chosen, own)
                kish = effective(pool.log_weight)
                quality[0, some] = tail
                quality[1, some] = np.where(full, n_draw, np.minimum(kish, n_draw))
                quality[2, some] = logsumexp(pool.log_weight, axis=1) - np.log(size)
            pending = pending[~done]
        velocity, sigma, log_density = np.moveaxis(point[:, :, :3], 2, 0)
        return Draws(velocity, sigma, point[:, :, 3:], continuum, log_density, *quality)

    def _candidates(
        self, rows: IntArray, streams: Sequence[np.random.Generator], size: int
    ) -> "_Pool":
        uniform = np.stack([rng.random((4 + self.count, size)) for rng in streams], axis=1)
        node = self.nodes.pick(rows, uniform[0]).ravel()
        item, place = self.nodes.item[node], self.nodes.place[node]
        velocity, sigma, log_drawn = self._within(item, place, uniform[1:3].reshape(2, -1))
        quantities = self._quantities(item, velocity, sigma)
        given = Conditional.of(quantities, self.count)
        flat = uniform[3 : 3 + self.count].reshape(self.count, -1)
        ordered, order = given.sorted()
        values, log_cut = ordered.draw(flat, cut=self.prior.non_negative)
        if self.prior.non_negative:
            log_cut = log_cut + self.count * _LOG_2
        log_prior = self.prior.log_velocity(velocity) + self.prior.log_sigma(sigma)
        log_weight = given.log_gain + log_cut + log_prior - log_drawn
        amplitude = np.take_along_axis(np.stack(values), np.argsort(order, axis=0), 0).T
        first = self.count + len(pairs(self.count))
        drag = quantities[first:].reshape(-1, self.count, node.size)
        taken = np.einsum("tjm,mj->mt", drag, amplitude)
        log_density = log_prior + _log_of_amplitudes(quantities, amplitude)
        point = np.column_stack([velocity, sigma, log_density, amplitude])
        shape = (rows.size, size)
        return _Pool(
            point.reshape(*shape, -1),
            taken.reshape(*shape, -1),
            log_weight.reshape(shape),
            uniform[-1],
        )

    def _within(
        self, item: IntArray, place: IntArray, uniform: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Draw places in the intervals of nodes; give ln of the density they were drawn from."""
        point = np.empty((2, item.size))
        log_drawn = np.empty(item.size)
        first = 0
        for patch in self.patches:
            here = np.flatnonzero((item >= first) & (item < first + len(patch.tables)))
            row, nodes = item[here] - first, np.divmod(place[here], patch.size)
            first += len(patch.tables)
            at, weights = rule(patch.size)
            edges = np.concatenate([[0.0], np.cumsum(weights)[:-1]])
            log_density = patch.found.log_density
            log_here = log_density[row, nodes[0], nodes[1]]
            for axis in (0, 1):
                slope = np.gradient(log_density, at, axis=axis + 1)[row, nodes[0], nodes[1]]
                width = weights[nodes[axis]]
                part, log_part = _exponential(slope * width, uniform[axis, here])
                span = (patch.high - patch.low)[row, axis]
                inside = edges[nodes[axis]] + width * part
                point[axis, here] = patch.low[row, axis] + span * inside
                log_here = log_here + log_part
            log_drawn[here] = log_here
        return point[0], point[1], log_drawn

    def _quantities(self, item: IntArray, velocity: FloatArray, sigma: FloatArray) -> FloatArray:
        """Interpolate all quantities at the candidates, shape (n_quantities, m)."""
        rank = np.argsort(item, kind="stable")
        found, starts = np.unique(item[rank], return_index=True)
        ends = np.append(starts[1:], item.size)
        out = np.empty((self.patches[0].tables.values.shape[1], item.size))
        first = 0
        for patch in self.patches:
            some = (found >= first) & (found < first + len(patch.tables))
            if not some.any():
                first += len(patch.tables)
                continue
            whole = rank[starts[some][0] : ends[some][-1]]
            tables, order = patch.tables, patch.tables.order
            v, s = self.cells.places(
                tables.cell[item[whole] - first], velocity[whole], sigma[whole]
            )
            both = basis(v, order)[:, :, None] * basis(s, order)[:, None, :]
            both = both.reshape(whole.size, order**2)
            values = tables.values.reshape(len(tables), -1, order**2)
            offset = starts[some][0]
            for number, low, high in zip(found[some], starts[some], ends[some], strict=True):
                part = both[low - offset : high - offset]
                np.matmul(values[number - first], part.T, out=out[:, low:high])
            first += len(patch.tables)
        back = np.empty_like(out)
        back[:, rank] = out
        return back

    def _continuum(
        self,
        rows: IntArray,
        pool: "_Pool",
        chosen: IntArray,
        streams: Sequence[np.random.Generator],
    ) -> FloatArray:
        """Draw the continuum given the lines."""
        here = np.arange(rows.size)[:, None]
        shape = (chosen.shape[1], self.condensed.level.shape[1])
        normal = np.stack([rng.standard_normal(shape) for rng in streams])
        mean = self.condensed.level[rows][:, None] - pool.taken[here, chosen]
        return np.asarray(mean + normal @ self.condensed.spread[rows].swapaxes(1, 2))


@dataclass(frozen=True, eq=False)
class _Pool:
    """Candidates: shapes (r, m, 3 + n_free), (r, m, n_terms), (r, m), (r, m)."""

    point: FloatArray
    taken: FloatArray
    log_weight: FloatArray
    uniform: FloatArray


def _log_of_amplitudes(quantities: FloatArray, amplitude: FloatArray) -> FloatArray:
    """Give ln of likelihood and prior of amplitudes, shape (m, p), but for a constant."""
    count = amplitude.shape[1]
    total = -0.5 * (amplitude**2).sum(axis=1)
    for j in range(count):
        total += quantities[j] * amplitude[:, j]
    for (j, k), normal in zip(pairs(count), quantities[count:], strict=False):
        total -= (0.5 if j == k else 1.0) * normal * amplitude[:, j] * amplitude[:, k]
    return np.asarray(total)


def _choose(
    pool: _Pool, n_draw: int, streams: Sequence[np.random.Generator], last: bool
) -> tuple[IntArray, np.ndarray]:
    """Keep candidates by their weight over the largest; say where they are enough.

    Where they are not, and there is no further try, candidates are drawn again by their weights.
    """
    top = pool.log_weight.max(axis=1, keepdims=True)
    kept = np.log(pool.uniform) < pool.log_weight - top
    full = kept.sum(axis=1) >= n_draw
    chosen = np.argsort(~kept, axis=1, kind="stable")[:, :n_draw]
    if last:
        for row in np.flatnonzero(~full):
            weight = np.exp(pool.log_weight[row] - top[row])
            chosen[row] = streams[int(row)].choice(weight.size, n_draw, p=weight / weight.sum())
    return chosen, full


def _exponential(slope: FloatArray, uniform: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Draw on (0, 1) from a density that is proportional to exp(slope x); give ln density too."""
    slope = np.clip(slope, -_STEEPEST, _STEEPEST)
    flat = np.abs(slope) < 1e-6
    safe = np.where(flat, 1.0, slope)
    whole = np.expm1(safe)
    part = np.where(flat, uniform, np.log1p(uniform * whole) / safe)
    log_density = np.where(flat, 0.0, np.log(safe / whole) + safe * part)
    return part, log_density
