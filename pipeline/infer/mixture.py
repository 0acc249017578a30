"""Which sum of Gaussians looks like these draws?"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import linalg, special

from ard.cube import FloatArray

_STEPS: Final = 100
_ENOUGH: Final = 1e-4  # gain of ln density per draw below which a fit ends
_FLOOR: Final = 1e-3  # of the whole covariance: no component is flatter than that


@dataclass(frozen=True, eq=False)
class Mixture:
    """A sum of Gaussians.

    Attributes
    ----------
    weights : array, shape (k,)
    means : array, shape (k, n)
    lowers : array, shape (k, n, n)
        Cholesky factors of the covariances.
    """

    weights: FloatArray
    means: FloatArray
    lowers: FloatArray

    def log_density(self, places: FloatArray) -> FloatArray:
        """Give ln of the density at places, shape (count, n)."""
        return np.asarray(special.logsumexp(self._parts(places), axis=1))

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw places, shape (count, n)."""
        which = rng.choice(self.weights.size, size=count, p=self.weights)
        unit = rng.normal(size=(count, self.means.shape[1]))
        return np.asarray(self.means[which] + np.einsum("cij,cj->ci", self.lowers[which], unit))

    def _parts(self, places: FloatArray) -> FloatArray:
        columns = []
        for weight, mean, lower in zip(self.weights, self.means, self.lowers, strict=True):
            off = linalg.solve_triangular(lower, (places - mean).T, lower=True)
            norm = np.log(np.diagonal(lower)).sum() + 0.5 * mean.size * np.log(2.0 * np.pi)
            columns.append(np.log(weight) - norm - 0.5 * np.sum(off**2, axis=0))
        return np.stack(columns, axis=1)


def fit(draws: FloatArray, n_component: int, rng: np.random.Generator) -> Mixture:
    """Fit a mixture to draws, by expectation and maximisation.

    Parameters
    ----------
    draws : array, shape (count, n)
    n_component : int
        At most; those that few draws belong to are left out.
    rng : numpy.random.Generator
        Decides where the components begin.
    """
    count, size = draws.shape
    centre = draws.mean(axis=0)
    whole = np.cov(draws.T).reshape(size, size)
    floor = _FLOOR * whole
    # In units of the whole: distances then do not depend on units.
    white = linalg.solve_triangular(np.linalg.cholesky(whole), (draws - centre).T, lower=True).T
    shares = _first_shares(white, n_component, rng)
    best = -np.inf
    for _ in range(_STEPS):
        shares = shares[:, shares.sum(axis=0) > 2.0 * size + 2.0]
        if shares.shape[1] == 0:
            shares = np.ones((count, 1))
        mixture = _maximise(draws, shares / shares.sum(axis=1, keepdims=True), floor)
        parts = mixture._parts(draws)
        total = special.logsumexp(parts, axis=1)
        shares = np.exp(parts - total[:, None])
        reached = float(total.mean())
        if reached < best + _ENOUGH:
            break
        best = reached
    return mixture


def _first_shares(white: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Give each draw to the nearest of centres that lie far apart (k-means++)."""
    centres = [white[rng.integers(len(white))]]
    for _ in range(count - 1):
        nearest = np.min([np.sum((white - c) ** 2, axis=1) for c in centres], axis=0)
        centres.append(white[rng.choice(len(white), p=nearest / nearest.sum())])
    distances = np.array([np.sum((white - c) ** 2, axis=1) for c in centres])
    return np.asarray(np.eye(count)[distances.argmin(axis=0)] + 1e-3)


def _maximise(draws: FloatArray, shares: FloatArray, floor: FloatArray) -> Mixture:
    totals = shares.sum(axis=0)
    means = (shares.T @ draws) / totals[:, None]
    lowers = []
    for share, total, mean in zip(shares.T, totals, means, strict=True):
        off = draws - mean
        lowers.append(np.linalg.cholesky((share * off.T) @ off / total + floor))
    return Mixture(totals / totals.sum(), means, np.array(lowers))
