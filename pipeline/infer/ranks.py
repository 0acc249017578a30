"""Does the sampler of a posterior give the posterior: is the truth any of its draws?

Truths are drawn from the prior, data from the truths; among the draws of each posterior the truth
then has any rank with the same probability (Talts et al. 2018, arXiv:1804.06788). The likelihood
is ranked too: it sees mistakes that no parameter alone shows (Modrak et al. 2023, BA 20, 461).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError
from pipeline.infer import optimum
from pipeline.infer.chain import Settings
from pipeline.infer.judge import Gate
from pipeline.infer.posterior import Posterior
from pipeline.infer.sampler import Budget, config_of, sample
from pipeline.store.blocks import MemoryStore, Run

LOG_LIKELIHOOD: Final = "log_likelihood"


@dataclass(frozen=True, eq=False)
class Simulations:
    """What samplers said of data whose truth is known.

    Attributes
    ----------
    names : tuple of str
        The parameters, the amplitudes (``amplitude_0``, ...), ``log_likelihood``.
    truths : array, shape (n_simulation, n_name)
    draws : array, shape (n_simulation, n_draw, n_name)
        Thinned to be nearly independent.
    n_passed : int
        Simulations whose chains passed the gate. The others are kept: to leave them out would
        spoil what is tested.
    """

    names: tuple[str, ...]
    truths: FloatArray
    draws: FloatArray
    n_passed: int

    @property
    def ranks(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """How many draws are below the truth: 0 to n_draw, shape (n_simulation, n_name)."""
        return np.sum(self.draws < self.truths[:, None], axis=1)


def simulate(
    posterior: Posterior,
    count: int,
    seed: int,
    *,
    settings: Settings,
    budget: Budget,
    gate: Gate,
    n_kept: int = 99,
    n_start: int = 4,
    say: Callable[[int], None] | None = None,
) -> Simulations:
    """Simulate data from the prior, and sample the posterior of each.

    Parameters
    ----------
    posterior : Posterior
        Its data have no part. Noise without correlations, and amplitudes that may be negative.
    count, seed : int
        How many simulations; simulation k is the same whatever the count.
    settings, budget, gate
        As for `sample`.
    n_kept : int
        Draws that are kept of each posterior.
    n_start : int
        Draws of the prior from which the modes are looked for. The truth is not among them.
    say : callable, optional
        Told the number of simulations that are done.

    Raises
    ------
    ArdError
        If the noise is correlated, or an amplitude cannot be negative: these cannot be simulated
        here.
    """
    if posterior.noise.correlated or posterior.amplitudes.constrained:
        raise ArdError(
            "this posterior cannot be simulated",
            expected="independent voxels, and amplitudes that may be negative",
            found="correlated noise" if posterior.noise.correlated else "amplitudes above zero",
            action="simulate with a posterior without them",
        )
    simulator = _Simulator(posterior)
    rows = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        truth, data = simulator.draw(rng)
        target = posterior.target(data)
        places = optimum.dispersed(posterior.prior, n_start, int(rng.integers(2**31)))
        modes = optimum.find_modes(target, places)
        starts = optimum.starts_from(target, modes, 4, int(rng.integers(2**31)))
        run = Run(f"{number}", target.names, 4, int(rng.integers(2**31)), {},
                  config=config_of(settings, starts))  # fmt: skip
        outcome = sample(target, starts, run, MemoryStore(), settings=settings, budget=budget,
                         gate=gate)  # fmt: skip
        flat = np.stack([outcome.draws[name].T.ravel() for name in target.names], axis=-1)
        chosen = flat[np.linspace(0, len(flat) - 1, n_kept).astype(int)]
        rows.append((truth, simulator.complete(chosen, data, rng), outcome.passed))
        if say is not None:
            say(number + 1)
    amplitudes = tuple(f"amplitude_{i}" for i in range(posterior.amplitudes.mean.size))
    names = (*posterior.prior.names, *amplitudes, LOG_LIKELIHOOD)
    truths = np.stack([truth for truth, _, _ in rows])
    return Simulations(names, truths, np.stack([d for _, d, _ in rows]), sum(p for *_, p in rows))


class _Simulator:
    """Compiled once for all simulations."""

    def __init__(self, posterior: Posterior) -> None:
        self._posterior = posterior

        def answer(values: Any, data: Any) -> tuple[Any, Any, Any]:
            result = posterior.evaluate(posterior.prior.named(values), data)
            return result.amplitudes, result.amplitude_sigma, result.log_ratio

        def one_by_one(values: Any, data: Any) -> Any:
            return jax.lax.map(lambda v: answer(v, data), values)

        self._answers = jax.jit(one_by_one)
        self._cubes = jax.jit(lambda values: posterior.cubes(posterior.prior.named(values)))

    def draw(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw a truth, complete, and its data."""
        posterior, dtype = self._posterior, jnp.result_type(float)
        values = posterior.prior.sample(rng, 1)[0]
        amplitudes = rng.normal(posterior.amplitudes.mean, posterior.amplitudes.sigma)
        cubes = np.asarray(self._cubes(jnp.asarray(values, dtype)), np.float64)
        scale = 1.0
        if posterior.scale_name is not None:
            scale = values[posterior.prior.names.index(posterior.scale_name)]
        sigma = np.where(posterior.noise.mask, 0.0, posterior.noise.sigma) * scale
        data = np.tensordot(amplitudes, cubes, 1) + sigma * rng.normal(size=sigma.shape)
        *_, likelihood = self._answer(values[None], data)
        return np.concatenate([values, amplitudes, likelihood]), data

    def complete(self, draws: FloatArray, data: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Add to draws of the parameters draws of each amplitude, and the likelihood."""
        mean, sigma, likelihood = self._answer(draws, data)
        return np.column_stack([draws, rng.normal(mean, sigma), likelihood])

    def _answer(self, values: FloatArray, data: FloatArray) -> tuple[FloatArray, ...]:
        dtype = jnp.result_type(float)
        found = self._answers(jnp.asarray(values, dtype), jnp.asarray(data, dtype))
        return tuple(np.asarray(part, np.float64) for part in found)
