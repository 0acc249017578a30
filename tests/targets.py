"""Densities whose moments are known, for tests of samplers, and a small gate."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.infer.chain import Settings
from pipeline.infer.judge import mixing
from pipeline.infer.sampler import Starts, config_of
from pipeline.infer.target import Target
from pipeline.store.blocks import Run


def _gaussian(z, data):
    mean, precision = data
    off = z - mean
    return -0.5 * off @ (precision @ off)


def as_arrays(*values):
    return tuple(jnp.asarray(v, jnp.result_type(float)) for v in values)


def names(count):
    return tuple(f"p{i}" for i in range(count))


def gaussian(mean, covariance) -> Target:
    data = as_arrays(mean, np.linalg.inv(covariance))
    return Target(names(len(mean)), _gaussian, np.asarray, data)


def correlated(size, seed=3, top=100.0):
    """Mean and covariance with correlations, and scales over four decades."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(size, size)) + np.eye(size)
    scales = top * np.logspace(-4.0, 0.0, size)
    covariance = factor @ factor.T
    spread = np.sqrt(np.diagonal(covariance))
    covariance = covariance / np.outer(spread, spread) * np.outer(scales, scales)
    return rng.normal(size=size), covariance


def _funnel(z, data):
    width = z[0]
    own = -0.5 * (width / 3.0) ** 2
    return own + jnp.sum(-0.5 * (z[1:] * jnp.exp(-0.5 * width)) ** 2 - 0.5 * width)


def funnel(size) -> Target:
    """Neal's: its neck is narrower than any step that suits its mouth."""
    return Target(names(size), _funnel, np.asarray)


def _two(z, data):
    places, precision, logs = data
    off = z - places
    return jax.scipy.special.logsumexp(logs - 0.5 * precision * jnp.sum(off**2, axis=1))


def two_modes(places, sigma, weights) -> Target:
    """Round Gaussians of one width."""
    data = as_arrays(places, sigma**-2.0, np.log(weights))
    return Target(names(np.shape(places)[1]), _two, np.asarray, data)


@dataclass(frozen=True)
class Verdict:
    passed: bool
    reasons: tuple[str, ...]
    final: bool = False


def gate(draws, stats) -> Verdict:
    """R-hat below 1.01, 400 effective draws, no divergence; what is not finite fails."""
    found = mixing(draws)
    reasons = []
    if not found.rhat < 1.01:
        reasons.append(f"R-hat is {found.rhat:.3f}")
    if not found.ess > 400:
        reasons.append(f"{found.ess:.0f} effective draws")
    if np.any(stats["diverging"]):
        reasons.append(f"{int(np.sum(stats['diverging']))} divergent trajectories")
    return Verdict(not reasons, tuple(reasons))


def never(draws, stats) -> Verdict:
    return Verdict(False, ("never good enough",))


def starts_of(mean, covariance, n_chain=4, seed=5, inflation=2.0, metric=None) -> Starts:
    rng = np.random.default_rng(seed)
    lower = np.linalg.cholesky(covariance)
    z = mean + inflation * rng.normal(size=(n_chain, len(mean))) @ lower.T
    return Starts(z, covariance if metric is None else metric)


def run_of(target, starts, settings=None, *, name="fit", seed=7) -> Run:
    config = config_of(settings or Settings(), starts)
    return Run(name, target.names, len(starts.z), seed, {"model": "m", "data": "d"}, config=config)


def digests(store, run) -> list[str]:
    """Give the digest of all draws and statistics of each chain, whatever the blocks."""
    import hashlib

    found = []
    for chain in range(run.n_chain):
        blocks = [b for p in ("warmup", "sample") for b in store.blocks(run.name, chain, p)]
        digest = hashlib.sha256(np.concatenate([b.draws for b in blocks]).tobytes())
        for key in sorted(blocks[0].stats):
            digest.update(np.concatenate([b.stats[key] for b in blocks]).tobytes())
        found.append(digest.hexdigest())
    return found
