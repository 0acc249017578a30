"""Which shocks can make these line ratios, and how sure is that?

The posterior over (abundance set, field, velocity, and density or precursor where the grid varies
them) is summed over all nodes of the lattice: no sampler, no burn-in, and the evidence at no cost.
A thousand spaxels are one product of matrices: the chi-square of strong lines is a quadratic form
in the model's log ratios, whose monomials are the same for all spaxels.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import special

from ard.cube import FloatArray
from pipeline.shocks.lattice import Lattice
from pipeline.shocks.likelihood import Datum, Errors, LineFluxes, prepare, weak_likelihood
from pipeline.shocks.nodes import NodePrior, PriorChoice, on_nodes

SETS: Final = "set"
_CHUNK: Final = 8  # spaxels at a time: their nodes stay in the cache
_FAR: Final = 1e30
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
        ratio = self.lattice.log_ratio.reshape(-1, len(errors.lines))
        self._void = self.lattice.void.ravel()
        # Squares of differences keep their digits better about a middle.
        self._middle = ratio[~self._void].mean(axis=0)
        self._ratio = ratio
        off = ratio - self._middle
        self._pairs = np.triu_indices(off.shape[1])
        squares = [off[:, i] * off[:, j] for i, j in zip(*self._pairs, strict=True)]
        self._terms = np.stack([np.ones(len(off)), *off.T, *squares])

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
        chunks = [good[i : i + _CHUNK] for i in range(0, len(good), _CHUNK)]
        made = [_empty(self.lattice, prior, len(data)) for prior in self.priors]

        def work(rows: list[int]) -> None:
            chosen = [datum for i in rows if (datum := data[i]) is not None]
            self._sum(chosen, rows, made)

        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(work, chunks):
                pass
        return made

    def chi2(self, data: Sequence[Datum]) -> tuple[FloatArray, FloatArray]:
        """Give ln likelihood, up to `Datum.log_norm`, and chi-square of all nodes.

        Returns
        -------
        value, chi2 : ndarray, shape (n, n_node)
        """
        factors = np.stack([self._factors(datum) for datum in data])
        chi2 = factors @ self._terms
        np.maximum(chi2, 0.0, out=chi2)
        chi2[:, self._void] = _FAR
        value = -0.5 * chi2
        for row, datum in enumerate(data):
            if len(datum.weak):
                residual = datum.log_ratio - self._ratio[:, datum.strong]
                own, off = weak_likelihood(datum, residual, self._ratio[:, datum.weak])
                value[row] += own
                chi2[row] += off
        return value, chi2

    def joint(self, datum: Datum, place: int = 0) -> FloatArray:
        """Give the probability of every node for one spaxel, under one of the priors."""
        value, _ = self.chi2([datum])
        weight = self.priors[place].weight
        mass = _mass(value, _highest(value, weight.ravel()), weight.ravel())[0]
        return np.asarray((mass / mass.sum()).reshape(weight.shape))

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
        value, chi2 = self.chi2(data)
        n_line = np.array([datum.n_line for datum in data])
        norm = np.array([float(datum.log_norm) for datum in data])
        bins = np.minimum(chi2 * (1.0 / _BIN), _N_BIN - 1).astype(np.int32)
        for prior, found in zip(self.priors, made, strict=True):
            weight = prior.weight.ravel()
            top = _highest(value, weight)
            mass = _mass(value, top, weight)
            total = mass.sum(axis=1)
            mass /= total[:, None]
            found.log_evidence[rows] = np.log(total) + top + norm
            found.chi2_min[rows] = (chi2 - _barred(weight)).min(axis=1)
            found.n_line[rows] = n_line
            found.p_predictive[rows] = [
                np.bincount(b, m, _N_BIN) @ _tail(k)
                for b, m, k in zip(bins, mass, n_line, strict=True)
            ]
            for name, part in _marginals(self.lattice, mass):
                found.marginal[name][rows] = part


def _mass(value: FloatArray, top: FloatArray, weight: FloatArray) -> FloatArray:
    mass = value - top[:, None]
    # Models that the prior forbids may fit better than all that it allows.
    np.minimum(mass, 0.0, out=mass)
    np.exp(mass, out=mass)
    mass *= weight
    return mass


def _highest(value: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray((value + _barred(weight)).max(axis=1))


def _barred(weight: FloatArray) -> FloatArray:
    """Give 0, and minus infinity where the prior forbids: faster than to choose."""
    return np.where(weight > 0, 0.0, -np.inf)


_tails: dict[int, FloatArray] = {}


def _tail(n_line: int) -> FloatArray:
    """Give the probability of a chi-square above each bin's middle."""
    if n_line not in _tails:
        middle = (np.arange(_N_BIN) + 0.5) * _BIN
        _tails[n_line] = np.asarray(special.gammaincc(0.5 * n_line, 0.5 * middle))
    return _tails[n_line]


def _marginals(lattice: Lattice, mass: FloatArray) -> Iterator[tuple[str, FloatArray]]:
    names = (SETS, *(axis.name for axis in lattice.axes))
    shaped = mass.reshape(len(mass), *lattice.shape)
    for place, name in enumerate(names):
        others = tuple(k for k in range(1, shaped.ndim) if k != place + 1)
        yield name, shaped.sum(axis=others)


def _empty(lattice: Lattice, prior: NodePrior, count: int) -> Posteriors:
    names = (SETS, *(axis.name for axis in lattice.axes))
    nothing = [np.full(count, np.nan) for _ in range(3)]
    marginal = {
        name: np.full((count, size), np.nan)
        for name, size in zip(names, lattice.shape, strict=True)
    }
    return Posteriors(lattice, prior, nothing[0], nothing[1], np.zeros(count, int), nothing[2],
                      marginal)  # fmt: skip
