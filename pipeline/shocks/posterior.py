"""Which shocks can make these line ratios, and how sure is that?

The posterior over (abundance set, field, velocity, and density or precursor where the grid varies
them) is summed over all nodes of the lattice: no sampler, no burn-in, and the evidence at no cost.
A thousand spaxels are one product of matrices: the chi-square of strong lines is a quadratic form
in the model's log ratios, whose monomials are the same for all spaxels. Models that every prior
forbids are left out. Lines compared in flux (`pipeline.shocks.faint`) are so for those models alone
that strong lines leave: whatever weak lines say of the others, they are below the best by a factor
of e^-40.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import special

from ard.cube import FloatArray
from pipeline.shocks.faint import BOUND_NAT, N_BLOCK, Faint
from pipeline.shocks.lattice import Lattice
from pipeline.shocks.likelihood import LEAST_BEND, Datum, Errors, LineFluxes, prepare
from pipeline.shocks.nodes import NodePrior, PriorChoice, on_nodes

SETS: Final = "set"
_CHUNK: Final = 500_000  # nodes at a time, of some spaxels
_FAR: Final = 1e30
_TRIED: Final = 64  # of so many models one is tried, to know how good the best is at least
_NEGLIGIBLE_NAT: Final = 40.0
_BIN: Final = 0.02  # of chi-square, for its tail probability: to 1e-3 and better
_N_BIN: Final = 10_000


@dataclass(frozen=True, eq=False)
class Posteriors:
    """The posteriors of many spaxels, under one prior.

    Attributes
    ----------
    lattice : Lattice
        Of the lines of the fit.
    prior : NodePrior
    log_evidence : ndarray, shape (n,)
        ln of the probability of the data; NaN, as all else, where H alpha is too weak.
    chi2_min : ndarray, shape (n,)
        Of the best model that the prior allows.
    n_line : ndarray of int, shape (n,)
        Lines that were compared.
    p_predictive : ndarray, shape (n,)
        Probability of a chi-square as large as the observed one or larger, over the posterior.
    marginal : mapping of str to ndarray, shape (n, n_node)
        Probability of each abundance set ("set") and of the nodes of each axis.
    """

    lattice: Lattice
    prior: NodePrior
    log_evidence: FloatArray
    chi2_min: FloatArray
    n_line: Any
    p_predictive: FloatArray
    marginal: Mapping[str, FloatArray]


class Quadrature:
    """Sums posteriors over the nodes of a lattice.

    Parameters
    ----------
    lattice : Lattice
    errors : Errors
        Of the lattice's lines.
    priors : sequence of PriorChoice
    """

    def __init__(self, lattice: Lattice, errors: Errors, priors: Sequence[PriorChoice]) -> None:
        self.lattice = lattice.select(errors.lines)
        self.errors = errors
        self.priors = [on_nodes(lattice, choice) for choice in priors]
        self._box = _allowed(self.priors)
        ratio = self.lattice.log_ratio[self._box]
        self._shape = ratio.shape[:-1]
        ratio = ratio.reshape(-1, len(errors.lines))
        self._void = self.lattice.void[self._box].ravel()
        self._weights = [prior.weight[self._box].ravel() for prior in self.priors]
        self._barred = [np.where(weight > 0, 0.0, -np.inf) for weight in self._weights]
        # Squares of differences keep their digits better about a middle.
        self._middle = ratio[~self._void].mean(axis=0)
        off = ratio - self._middle
        self._pairs = np.triu_indices(off.shape[1])
        squares = [off[:, i] * off[:, j] for i, j in zip(*self._pairs, strict=True)]
        self._terms = np.stack([np.ones(len(off)), *off.T, *squares])
        self._faint = Faint(ratio)

    def fit(self, fluxes: LineFluxes, workers: int = 1) -> list[Posteriors]:
        """Give the posteriors of all spaxels under each prior.

        Parameters
        ----------
        fluxes : LineFluxes
        workers : int
            Threads.
        """
        data = prepare(fluxes, self.errors)
        good = [i for i, datum in enumerate(data) if datum is not None]
        size = max(1, _CHUNK // self._void.size)
        chunks = [good[i : i + size] for i in range(0, len(good), size)]
        made = [_empty(self.lattice, prior, len(data)) for prior in self.priors]

        def work(rows: list[int]) -> None:
            chosen = [datum for i in rows if (datum := data[i]) is not None]
            self._sum(chosen, rows, made)

        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(work, chunks):
                pass
        return made

    def joint(self, datum: Datum, place: int = 0) -> FloatArray:
        """Give the probability of every node for one spaxel, under one of the priors."""
        value, _ = self._values([datum])
        mass = _mass(value, (value + self._barred[place]).max(axis=1), self._weights[place])[0]
        whole = np.zeros(self.lattice.shape)
        whole[self._box] = (mass / mass.sum()).reshape(self._shape)
        return whole

    def _values(self, data: Sequence[Datum]) -> tuple[FloatArray, FloatArray]:
        """Give ln likelihood, up to `Datum.log_norm`, and chi-square of all nodes allowed.

        Returns
        -------
        value, chi2 : ndarray, shape (n, n_node)
        """
        factors = np.stack([self._factors(datum) for datum in data])
        chi2 = factors @ self._terms
        np.maximum(chi2, 0.0, out=chi2)
        chi2[:, self._void] = _FAR
        value = -0.5 * chi2
        at_once = [
            row
            for row, datum in enumerate(data)
            if len(datum.weak) and not len(datum.strong) and self._faint.tabulates(datum)
        ]
        if at_once:
            rows = slice(None) if len(at_once) == len(data) else at_once
            parts = value[rows], chi2[rows]
            self._faint.many([data[row] for row in at_once], *parts)
            value[rows], chi2[rows] = parts
        for row, datum in enumerate(data):
            if len(datum.weak) and row not in at_once:
                self._add_weak(datum, value[row], chi2[row])
        return value, chi2

    def _add_weak(self, datum: Datum, value: FloatArray, chi2: FloatArray) -> None:
        """Add what weak lines say of those nodes that may count for anything.

        Nodes that are left out have less than e^-40 of the best one's likelihood under every
        prior, whatever the weak lines are, and no lesser chi-square than one that is kept.
        """
        weak = self._faint.one(datum)
        best = [int(np.argmax(value + barred)) for barred in self._barred]
        tried = np.append(np.arange(0, value.size, _TRIED), best)
        own, off = weak(tried)
        total, far = value[tried] + own, chi2[tried] + off
        reached = min(float((total + barred[tried]).max()) for barred in self._barred)
        least = max(float((far - barred[tried]).min()) for barred in self._barred)
        floor = reached - _NEGLIGIBLE_NAT - highest(datum) - BOUND_NAT
        for first in range(0, value.size, N_BLOCK):
            part, its = (one[first : first + N_BLOCK] for one in (value, chi2))
            kept = np.flatnonzero((part > floor) | (its <= least))
            own, off = weak(first + kept)
            own += part[kept]
            part[:] = -_FAR
            part[kept] = own
            its[kept] += off

    def _factors(self, datum: Datum) -> FloatArray:
        """Give the factors of 1, x and x x' in the chi-square of the strong lines."""
        count = len(self._middle)
        precision = np.zeros((count, count))
        precision[np.ix_(datum.strong, datum.strong)] = datum.precision
        off = np.zeros(count)
        off[datum.strong] = datum.log_ratio - self._middle[datum.strong]
        linear = precision @ off
        i, j = self._pairs
        twice = np.where(i == j, 1.0, 2.0)
        return np.concatenate([[off @ linear], -2.0 * linear, twice * precision[i, j]])

    def _sum(self, data: list[Datum], rows: list[int], made: list[Posteriors]) -> None:
        value, chi2 = self._values(data)
        n_line = np.array([datum.n_line for datum in data])
        norm = np.array([float(datum.log_norm) for datum in data])
        bins = np.minimum(chi2 * (1.0 / _BIN), _N_BIN - 1).astype(np.int32)
        for found, weight, barred in zip(made, self._weights, self._barred, strict=True):
            top = (value + barred).max(axis=1)
            mass = _mass(value, top, weight)
            total = mass.sum(axis=1)
            mass /= total[:, None]
            found.log_evidence[rows] = np.log(total) + top + norm
            found.chi2_min[rows] = (chi2 - barred).min(axis=1)
            found.n_line[rows] = n_line
            found.p_predictive[rows] = [
                np.bincount(b, m, _N_BIN) @ _tail(k)
                for b, m, k in zip(bins, mass, n_line, strict=True)
            ]
            shaped = mass.reshape(len(mass), *self._shape)
            for place, own in enumerate(found.marginal.values()):
                others = tuple(k for k in range(1, shaped.ndim) if k != place + 1)
                own[rows] = 0.0
                own[rows, self._box[place]] = shaped.sum(axis=others)


def highest(datum: Datum) -> float:
    """Give what ln likelihood of the weak lines cannot exceed, whatever the model.

    Their covariance is never below that of their own errors, given all that they share, nor the
    bend below its least.
    """
    shared, cross, own = datum.spread[:2, :2], datum.spread[2:, :2], datum.spread[2:, 2:]
    if cross.any():
        own = own - cross @ np.linalg.pinv(shared) @ cross.T
    sign, log_det = np.linalg.slogdet(own)
    count = len(datum.weak)
    if not sign > 0:
        return math.inf
    return float(-0.5 * (log_det + count * (math.log(2.0 * math.pi) + math.log1p(LEAST_BEND))))


def _allowed(priors: Sequence[NodePrior]) -> tuple[slice, ...]:
    """Give the smallest part of the lattice outside of which all priors are zero."""
    some = np.logical_or.reduce([prior.weight > 0 for prior in priors])
    spans = []
    for place in range(some.ndim):
        others = tuple(k for k in range(some.ndim) if k != place)
        found = np.flatnonzero(some.any(axis=others))
        spans.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(spans)


def _mass(value: FloatArray, top: FloatArray, weight: FloatArray) -> FloatArray:
    mass = value - top[:, None]
    # Models that the prior forbids may fit better than all that it allows.
    np.minimum(mass, 0.0, out=mass)
    np.exp(mass, out=mass)
    mass *= weight
    return mass


_tails: dict[int, FloatArray] = {}


def _tail(n_line: int) -> FloatArray:
    """Give the probability of a chi-square above each bin's middle."""
    if n_line not in _tails:
        middle = (np.arange(_N_BIN) + 0.5) * _BIN
        _tails[n_line] = np.asarray(special.gammaincc(0.5 * n_line, 0.5 * middle))
    return _tails[n_line]


def _empty(lattice: Lattice, prior: NodePrior, count: int) -> Posteriors:
    names = (SETS, *(axis.name for axis in lattice.axes))
    nothing = [np.full(count, np.nan) for _ in range(3)]
    marginal = {
        name: np.full((count, size), np.nan)
        for name, size in zip(names, lattice.shape, strict=True)
    }
    return Posteriors(lattice, prior, nothing[0], nothing[1], np.zeros(count, int), nothing[2],
                      marginal)  # fmt: skip
