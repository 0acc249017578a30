"""What do the data of a spaxel say of a pair of components at given velocities and widths?"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import log_ndtr

from ard.cube import FloatArray
from pipeline.infer.spaxel.amplitudes import Conditional, pairs
from pipeline.infer.spaxel.settings import Prior
from pipeline.infer.spaxel.templates import light
from pipeline.lineprofile import Response

_LOG_2: Final = float(np.log(2.0))


@dataclass(frozen=True, eq=False)
class PairModel:
    """One spaxel, noise and continuum taken care of.

    Pairs have the shape (m, 4): velocity, sigma, velocity, sigma, km/s.

    Attributes
    ----------
    response : Response
    prior : Prior
        Of either component.
    scale : ndarray, shape (p,)
        Of the prior of each flux, in units of the typical error.
    precision, pulled : ndarray, shape (n_used, n_used), (n_used,)
        M and M y, see `spectra.Condensed`.
    """

    response: Response
    prior: Prior
    scale: FloatArray
    precision: FloatArray
    pulled: FloatArray

    @property
    def count(self) -> int:
        """Number of fluxes of a component."""
        return int(self.scale.size)

    def templates(self, velocity: FloatArray, sigma: FloatArray) -> FloatArray:
        """Give the light of unit amplitudes, shape (m, n_used, p)."""
        return light(self.response, velocity, sigma**2) * self.scale

    def log_prior(self, point: FloatArray) -> FloatArray:
        """Give ln of the prior of pairs, -inf outside of it."""
        velocity, sigma = point[:, 0::2], point[:, 1::2]
        inside = (np.abs(velocity) <= self.prior.velocity_max_kms).all(axis=1)
        inside &= ((sigma >= 0) & (sigma <= self.prior.sigma_max_kms)).all(axis=1)
        found = self.prior.log_velocity(velocity) + self.prior.log_sigma(sigma)
        return np.where(inside, found.sum(axis=1), -np.inf)

    def given(self, point: FloatArray) -> Conditional:
        """Give the Gaussian of the fluxes of pairs."""
        both = [self.templates(point[:, k], point[:, k + 1]) for k in (0, 2)]
        template = np.concatenate(both, axis=2)
        turned = template.swapaxes(1, 2)
        normal = (turned @ self.precision) @ template
        pull = turned @ self.pulled
        size = 2 * self.count
        rows = [pull[:, j] for j in range(size)] + [normal[:, j, k] for j, k in pairs(size)]
        return Conditional.of(np.stack(rows), size)

    def smooth(self, point: FloatArray) -> FloatArray:
        """Give nearly the ln density of pairs, fluxes cut one by one."""
        return nearly(self.given(point), self.prior) + self.log_prior(point)

    def draw(self, point: FloatArray, uniform: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Draw fluxes of pairs, shape (m, 2 p); give ln of what the pair then weighs."""
        given = self.given(point)
        ordered, order = given.sorted()
        cut = self.prior.non_negative
        values, log_cut = ordered.draw(uniform, cut=cut)
        amplitude = np.take_along_axis(np.stack(values), np.argsort(order, axis=0), 0).T
        sign = 2 * self.count * _LOG_2 if cut else 0.0
        return amplitude, given.log_gain + log_cut + sign + self.log_prior(point)


def nearly(given: Conditional, prior: Prior) -> FloatArray:
    """Give nearly ln of likelihood over that of no line: each flux is cut on its own."""
    if not prior.non_negative:
        return given.log_gain
    height = given.mean / np.sqrt(given.variance())
    return np.asarray(given.log_gain + (log_ndtr(height) + _LOG_2).sum(axis=0))


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of all proposals so far: pairs (m, 4), fluxes (m, 2 p), ln density (m,)."""

    point: FloatArray
    amplitude: FloatArray
    log_density: FloatArray

    @classmethod
    def none(cls, count: int) -> "Drawn":
        """Give no draws of pairs of `count` fluxes each."""
        return cls(np.empty((0, 4)), np.empty((0, 2 * count)), np.empty(0))

    @classmethod
    def of(cls, model: PairModel, point: FloatArray, rng: np.random.Generator) -> "Drawn":
        """Draw the fluxes of pairs."""
        uniform = rng.random((2 * model.count, point.shape[0]))
        inside = np.isfinite(model.log_prior(point))
        amplitude = np.zeros((point.shape[0], 2 * model.count))
        log_density = np.full(point.shape[0], -np.inf)
        amplitude[inside], log_density[inside] = model.draw(point[inside], uniform[:, inside])
        return cls(point, amplitude, log_density)

    def joined(self, other: "Drawn") -> "Drawn":
        """Put others behind these."""
        return Drawn(
            np.concatenate([self.point, other.point]),
            np.concatenate([self.amplitude, other.amplitude]),
            np.concatenate([self.log_density, other.log_density]),
        )

    @property
    def bright(self) -> FloatArray:
        """Total of the fluxes of either component, (m, 2)."""
        return np.asarray(self.amplitude.reshape(self.point.shape[0], 2, -1).sum(axis=2))
