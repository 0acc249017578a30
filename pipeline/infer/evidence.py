"""How probable are the data under a model, all parameters integrated out?

Bridge sampling (Meng & Wong 1996, Stat. Sinica 6, 831; Gronau et al. 2017, arXiv:1703.05984): the
draws of a chain are held against draws of a distribution whose integral is known, here a mixture
of Gaussians that is fitted to one half of the draws and used with the other, and the other way
round. It finds what the chains found: a mode that they missed is missing here.
"""

from dataclasses import dataclass
from typing import Any, Final

import jax
import numpy as np
from scipy import special

from ard.cube import FloatArray
from ard.errors import ArdError
from checks.convergence import diagnose
from pipeline.infer import mixture
from pipeline.infer.target import Target, as_place

_STEPS: Final = 1000
_CLOSE: Final = 1e-10


@dataclass(frozen=True)
class Evidence:
    """What is known of the evidence.

    Attributes
    ----------
    log_evidence : float
        ln of the integral of exp(`Target.log_density`); for a `Posterior` the evidence is that
        plus `noise.reference`.
    error : float
        Its standard deviation, with the effective number of draws, not their number.
    halves : (float, float)
        The same from either half of the draws. That they agree is necessary, not enough.
    """

    log_evidence: float
    error: float
    halves: tuple[float, float]


def bridge(
    target: Target, z: FloatArray, lp: FloatArray, seed: int, *, n_component: int = 4
) -> Evidence:
    """Give the evidence from the draws of chains.

    Parameters
    ----------
    target : Target
    z : array, shape (n_chain, n_draw, n)
        Draws, on the line: `Prior.unconstrain` of those that are stored.
    lp : array, shape (n_chain, n_draw)
        ln of the density at them.
    seed : int
        Of the mixture's draws.
    n_component : int
        Gaussians of the mixture, at most.

    Raises
    ------
    ArdError
        If a draw or its density is not finite, or there are too few of them.
    """
    n_chain, n_draw, size = z.shape
    if n_chain * n_draw < 20 * (size + 1) or not (np.isfinite(z).all() and np.isfinite(lp).all()):
        raise ArdError(
            "no evidence can be made of these draws",
            expected=f"{20 * (size + 1)} finite draws or more, with finite densities",
            found=f"{n_chain * n_draw} draws, {int(np.sum(~np.isfinite(z)))} numbers of them and "
            f"{int(np.sum(~np.isfinite(lp)))} densities not finite",
            action="sample longer; keep draws off the bounds of their priors",
        )
    rng = np.random.default_rng(seed)
    middle = n_draw // 2
    first, last = (slice(None), slice(middle)), (slice(None), slice(middle, None))
    found = [
        _half(target, z[fitted], (z[used], lp[used]), n_component, rng)
        for fitted, used in ((first, last), (last, first))
    ]
    values, errors = zip(*found, strict=True)
    error = 0.5 * float(np.hypot(*errors))
    return Evidence(float(np.mean(values)), error, (float(values[0]), float(values[1])))


def _half(
    target: Target,
    fitted: FloatArray,
    used: tuple[FloatArray, FloatArray],
    n_component: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Give ln of the evidence and its error, with a mixture of other draws than those used."""
    z, lp = used
    size = z.shape[2]
    proposal = mixture.fit(fitted.reshape(-1, size), n_component, rng)
    places = proposal.sample(rng, z.shape[0] * z.shape[1])
    own = lp - proposal.log_density(z.reshape(-1, size)).reshape(lp.shape)
    other = _densities(target, places) - proposal.log_density(places)
    count = _effective(np.exp(np.clip(own.min() - own, -700.0, 0.0)))
    shares = count / (count + other.size), other.size / (count + other.size)
    log_r = _iterate(own.ravel(), other, shares)
    # Relative variances of both averages (Fruehwirth-Schnatter 2004, Econom. J. 7, 143).
    of_own = _bridged(own, log_r, shares)
    of_other = np.exp(other - log_r) * _bridged(other, log_r, shares)
    variance = np.var(of_other) / np.mean(of_other) ** 2 / other.size
    variance += np.var(of_own) / np.mean(of_own) ** 2 / _effective(of_own)
    return log_r, float(np.sqrt(variance))


def _bridged(logs: FloatArray, log_r: float, shares: tuple[float, float]) -> FloatArray:
    """Give proposal over the mean of posterior and proposal, from ln of their ratio."""
    return np.asarray(np.exp(-np.logaddexp(np.log(shares[0]) + logs - log_r, np.log(shares[1]))))


def _iterate(own: FloatArray, other: FloatArray, shares: tuple[float, float]) -> float:
    """Solve Meng and Wong's equation for ln of the evidence."""
    log_r = float(special.logsumexp(other) - np.log(other.size))
    if not np.isfinite(log_r):
        raise ArdError(
            "the density has no value where the draws are",
            expected="finite densities at draws of a mixture that was fitted to the chains",
            found="none",
            action="see whether target and draws belong together",
        )
    for _ in range(_STEPS):
        top = np.logaddexp(np.log(shares[0]) + other, np.log(shares[1]) + log_r)
        low = np.logaddexp(np.log(shares[0]) + own, np.log(shares[1]) + log_r)
        number = special.logsumexp(other - top) - np.log(other.size)
        next_r = float(number - special.logsumexp(-low) + np.log(own.size))
        if abs(next_r - log_r) < _CLOSE:
            return next_r
        log_r = next_r
    return log_r


def _densities(target: Target, places: FloatArray) -> FloatArray:
    """Evaluate the density, place after place; minus infinity where it has no value."""

    def every(z: Any, data: Any) -> Any:
        return jax.lax.map(lambda one: target.log_density(one, data), z)

    values = np.asarray(jax.jit(every)(as_place(places), target.data), np.float64)
    return np.where(np.isnan(values), -np.inf, values)


def _effective(values: FloatArray) -> float:
    """Give the effective number of draws, shape (n_chain, n_draw), for their mean."""
    if np.ptp(values) == 0.0:
        return float(values.size)
    found = float(diagnose(values).ess_mean)
    return min(found, float(values.size)) if np.isfinite(found) else 1.0
