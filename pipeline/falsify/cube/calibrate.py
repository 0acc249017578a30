"""How far from the saturated scene is the best disc, where a disc is the truth?

Discs are injected into noise of the cut-out, each as bright as the light in the data, and each is
fitted as the data are. Galaxies that are injected have curves of an exponential disc in a halo, not
those of the family that is fitted. An upper bound of a quantile of what is found is the threshold:
a cube whose best disc lies farther from the saturated scene is rejected.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special, stats

from ard.cube import FloatArray
from ard.likelihood import Noise
from pipeline.falsify.cube.likelihood import DiscLikelihood
from pipeline.falsify.cube.refine import Refined, Refinement
from pipeline.falsify.cube.saturated import Saturated
from pipeline.falsify.tasks import N_RADIUS, Curve, Model

LEVEL: Final = 0.95
SURE: Final = 0.95  # row "campaign.injections": 59 injections are the fewest that can be as sure
_WITHIN: Final = 1.0  # standard deviations of chi2
_OTHER: Final = 1


@dataclass(frozen=True, eq=False)
class Statistic:
    """How far is the best disc from the saturated scene?

    Attributes
    ----------
    disc : Refined
        The best disc.
    chi2_disc, chi2_saturated : float
    """

    disc: Refined
    chi2_disc: float
    chi2_saturated: float

    @property
    def value(self) -> float:
        """T: chi2 of the best disc less that of the saturated scene."""
        return self.chi2_disc - self.chi2_saturated


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the statistic is where a disc is the truth.

    Attributes
    ----------
    values : array, shape (n,)
        T of each injection, by its number.
    converged : array of bool, shape (n,)
    seed : int
    strength : float
        See `strength_of`.
    level : float
    """

    values: FloatArray
    converged: np.ndarray[tuple[int], np.dtype[np.bool_]]
    seed: int
    strength: float
    level: float = LEVEL

    @property
    def threshold(self) -> float:
        """A disc that is the truth is rejected no more often than 1 - level: see `bound_of`."""
        return bound_of(self.values, self.level)

    def rejects(self, statistic: float) -> bool:
        """Say whether the family of discs is rejected."""
        return bool(statistic > self.threshold)


class Judge:
    """Asks of data whether a disc explains them as well as discs explain discs.

    Parameters
    ----------
    likelihood : DiscLikelihood
    refinement : Refinement, optional
    places : array, shape (n_start, n_parameter), optional
        Where the search of the best disc begins, for the data and for all injections alike; see
        `pipeline.falsify.cube.refine.starts`.
    """

    def __init__(
        self,
        likelihood: DiscLikelihood,
        refinement: Refinement | None = None,
        places: FloatArray | None = None,
    ) -> None:
        self.likelihood, self._places = likelihood, places
        self.refinement = refinement or Refinement(likelihood)
        self.saturated = Saturated(likelihood)
        # A disc that is right leaves chi2 of as many voxels: one that leaves no more is found, and
        # in four of five injections the first start does.
        count = likelihood.seen.noise.count
        self._enough = count + _WITHIN * float(np.sqrt(2.0 * count))

    def statistic(self, likelihood: DiscLikelihood | None = None) -> Statistic:
        """Give T of the data, or of others on the same voxels."""
        asked = likelihood or self.likelihood
        disc = self.refinement.best(asked, self._places, self._enough)
        return Statistic(disc, disc.evaluation.chi2, self.saturated.chi2(asked))

    def strength(self) -> float:
        """Give how bright the light in the data is: see `strength_of`.

        The saturated scene fits noise too: what that gains on the average is taken off.
        """
        blank = background_chi2(self.likelihood)
        gained = blank - self.saturated.chi2(self.likelihood)
        free = self.saturated.n_free - len(self.likelihood.data.fixed)
        return float(np.sqrt(max(gained - free, 0.0)))

    def calibrate(self, count: int, seed: int, strength: float, first: int = 0) -> Calibration:
        """Inject discs, and give T of each.

        Parameters
        ----------
        count, first : int
            Which injections: each follows from the seed and its number, alone.
        seed : int
        strength : float
        """
        found = []
        for number in range(first, first + count):
            data = injected(self.likelihood, strength, seed, number)
            found.append(self.statistic(self.likelihood.with_data(data)))
        return Calibration(
            np.array([one.value for one in found]),
            np.array([one.disc.evaluation.converged for one in found]),
            seed,
            strength,
        )

    def others(self, shown: FloatArray, count: int, seed: int) -> FloatArray:
        """Give T where something else than a disc is the truth, shape (count,).

        Parameters
        ----------
        shown : array, shape (n_channel, ny, nx)
            What is seen of it, without noise, `FLUX_UNIT`.
        count : int
            How often noise is added: each from the seed and its number, alone.
        seed : int
        """
        found = []
        for number in range(count):
            rng = np.random.default_rng([seed, number, _OTHER])  # not the noise of any disc
            data = shown + drawn_noise(self.likelihood.seen.noise, rng)
            found.append(self.statistic(self.likelihood.with_data(data)).value)
        return np.array(found, np.float64)


def bound_of(values: FloatArray, level: float = LEVEL, sure: float = SURE) -> float:
    """Give a number that the quantile of what values are draws of does not exceed, but by chance.

    That of draws itself is as often below as above it. The k-th smallest of n draws is at least the
    quantile where fewer than k are below it, and how many are is binomial, whatever is drawn
    (Hahn & Meeker 1991, Statistical Intervals, 5.3). Of 59 draws that is the largest.

    Parameters
    ----------
    values : array, shape (n,)
        With fewer than `ln(1 - sure) / ln(level)` draws none of them is as sure; the largest then.
    level : float
        Which quantile it is, such as 0.95.
    sure : float
        Probability that the number is at least the quantile.
    """
    ordered = np.sort(values)
    below = int(stats.binom.ppf(sure, len(ordered), level))
    return float(ordered[min(below, len(ordered) - 1)])


def background_chi2(likelihood: DiscLikelihood) -> float:
    """Give the squares of the whitened residuals of a background alone."""
    data, white = likelihood.data, np.asarray(likelihood.white)
    system = data.within + np.eye(len(data.within))
    found = np.linalg.solve(system, data.fixed @ white)
    left = white - found @ data.fixed
    return float(left @ left)


def strength_of(likelihood: DiscLikelihood, light: FloatArray) -> float:
    """How bright is light in a cut-out: the root of the sum of squares of what is whitened?

    Parameters
    ----------
    likelihood : DiscLikelihood
    light : array, shape (n_channel, ny, nx)
    """
    return float(np.linalg.norm(np.asarray(likelihood.data.white(light))))


def injected(likelihood: DiscLikelihood, strength: float, seed: int, number: int) -> FloatArray:
    """Give data of a galaxy and noise, shape (n_channel, ny, nx).

    Parameters
    ----------
    likelihood : DiscLikelihood
    strength : float
        Of the light of all lines; lines are as bright as one another where they are not tied.
    seed, number : int
        Which galaxy, and which noise.
    """
    rng = np.random.default_rng([seed, number])
    prior = likelihood.prior
    nuisances = prior.named(prior.sample(rng, 1)[0])
    model, curve = galaxy_of(likelihood, rng)
    light = likelihood.templates(model, curve, nuisances).sum(axis=0)
    scaled = light * (strength / strength_of(likelihood, light))
    return np.asarray(scaled + drawn_noise(likelihood.seen.noise, rng), np.float64)


def galaxy_of(likelihood: DiscLikelihood, rng: np.random.Generator) -> tuple[Model, Curve]:
    """Draw a galaxy that ends near the tip: ranges of reference/science.md section 4."""
    r_max, r_d = rng.uniform(20.0, 26.0), rng.uniform(3.0, 12.0)
    tip = likelihood.away_arcsec * likelihood.seen.frame.kpc_per_arcsec
    place: Mapping[str, float] = {
        "centre_kpc": tip - r_max + rng.normal(0.0, 0.5),
        "offset_kpc": rng.normal(0.0, 0.3),
        "inclination_deg": rng.uniform(80.0, 90.0),
        "h_z_kpc": rng.uniform(0.2, 1.2),
        "spin": rng.uniform(-1.0, 1.0),
    }
    radius = np.linspace(0.0, r_max, N_RADIUS)
    share, core = rng.uniform(0.2, 0.8), rng.uniform(1.0, 8.0)
    squared = share * _freeman(radius / (2.0 * r_d)) + (1.0 - share) * _halo(radius / core)
    rotation = rng.uniform(60.0, 200.0) * np.sqrt(squared / squared.max())
    dispersion = np.full(N_RADIUS, rng.uniform(8.0, 30.0))
    return Model(0, place), Curve(radius, rotation, dispersion, np.exp(-radius / r_d))


def _freeman(y: FloatArray) -> FloatArray:
    """Give V^2 of a thin exponential disc at R = 2 y R_d, over its highest (Freeman 1970)."""
    safe = np.maximum(y, 1e-6)
    bessel = special.iv(0, safe) * special.kv(0, safe) - special.iv(1, safe) * special.kv(1, safe)
    # 4 pi G Sigma R_d y^2 [...] over 0.8798^2 pi G Sigma R_d.
    return np.asarray(4.0 * safe**2 * bessel / 0.8798**2, np.float64)


def _halo(x: FloatArray) -> FloatArray:
    """Give V^2 of a pseudo-isothermal halo at R = x R_c, over its V^2 at infinity."""
    safe = np.maximum(x, 1e-6)
    return np.asarray(1.0 - np.arctan(safe) / safe, np.float64)


def drawn_noise(noise: Noise, rng: np.random.Generator) -> FloatArray:
    """Draw noise of the voxels, shape (n_channel, ny, nx), with the correlations that it has.

    With R = (W'W)^-1 that of neighbours and W the factors of the noise, W^-1 turns independent
    numbers into correlated ones.
    """
    drawn = rng.normal(size=np.shape(noise.sigma))
    for axis, factor in enumerate(noise.factors or ()):
        if factor is not None:
            root = np.linalg.inv(np.asarray(factor, np.float64))
            drawn = np.moveaxis(np.tensordot(root, drawn, axes=(1, axis)), 0, axis)
    return np.asarray(drawn * noise.sigma * np.reshape(noise.scale, (-1, 1, 1)), np.float64)
