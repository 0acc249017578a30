"""How probable are parameters, when all that does not depend on them is whitened once?

The numbers are those of `pipeline.infer.posterior`, for a noise whose scale is known. Data and
backgrounds are whitened when the posterior is made; of a value, what is left is to whiten the lines
and to solve for all amplitudes. Where masks are exact that is most of the time.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from ard.cube import FloatArray
from ard.errors import ArdError
from pipeline.infer.posterior import Posterior
from pipeline.infer.target import Target


class Solved(NamedTuple):
    """What is found of given parameters, all of it whitened, n voxels.

    Attributes
    ----------
    log_ratio : scalar
        ln of the likelihood over the constant `Noise.reference`.
    lines : array, shape (n_line, n)
        Lines, times the widths of the prior of their amplitudes.
    data : array, shape (n,)
        What the data are beyond the mean of the prior.
    factor : array, shape (n_amplitude, n_amplitude)
        L of 1 + T'T = LL', with T the lines and backgrounds.
    half : array, shape (n_amplitude,)
        L^-1 T' data.
    """

    log_ratio: Any
    lines: Any
    data: Any
    factor: Any
    half: Any


class Whitened:
    """A posterior that is quick to evaluate.

    Parameters
    ----------
    posterior : Posterior
        Without `scale_name`, and without amplitudes that cannot be negative. Its data are those
        that are meant.

    Raises
    ------
    ArdError
        If it has either.
    """

    def __init__(self, posterior: Posterior) -> None:
        if posterior.scale_name is not None or posterior.amplitudes.constrained:
            raise ArdError(
                "this posterior cannot be whitened once",
                expected="a known scale of the errors, amplitudes of either sign",
                found="another",
                action="take the posterior itself",
            )
        self.posterior = posterior
        self.prior = posterior.prior
        self._lines = replace(posterior, background=None)
        amplitudes = posterior.amplitudes
        self._sigma = np.asarray(amplitudes.sigma, np.float64)
        self._mean = np.asarray(amplitudes.mean, np.float64)
        fixed = posterior.background
        shape = np.shape(posterior.noise.sigma)
        cubes = np.zeros((0, *shape)) if fixed is None else np.asarray(fixed, np.float64)
        self._n_line = self._sigma.size - len(cubes)
        mean, sigma = self._mean[self._n_line :], self._sigma[self._n_line :]
        left = posterior.data - np.einsum("n,nkyx->kyx", mean, cubes)
        self._data = self._white(left)
        self._fixed = self._white(cubes * sigma[:, None, None, None])
        self._within = self._fixed @ self._fixed.T

    def _white(self, values: Any) -> FloatArray:
        white = np.asarray(self.posterior.noise.whiten(values), np.float64)
        return white.reshape(*white.shape[:-3], -1)

    @property
    def fixed(self) -> FloatArray:
        """Whitened backgrounds, times the widths of the prior of their amplitudes."""
        return self._fixed

    def log_ratio(self, values: Mapping[str, Any]) -> Any:
        """Give ln of the likelihood over the constant that `Noise.reference` is."""
        return self.solve(values).log_ratio

    def log_likelihood(self, values: Mapping[str, Any]) -> Any:
        """Give ln of the likelihood, amplitudes integrated out."""
        return self.log_ratio(values) + self.posterior.noise.reference

    def amplitudes(self, values: Mapping[str, Any]) -> Any:
        """Give the means of the amplitudes given parameters and data, in the posterior's order."""
        found = self.solve(values)
        solved = solve_triangular(found.factor, found.half, lower=True, trans=1)
        return jnp.asarray(self._mean) + jnp.asarray(self._sigma) * solved

    def chi2(self, values: Mapping[str, Any]) -> Any:
        """Give the squares of the whitened residuals of the best model with these parameters."""
        return self.posterior.evaluate(values).chi2

    def solve(self, values: Mapping[str, Any]) -> Solved:
        """Integrate the amplitudes out, and give what else follows from it."""
        dtype = jnp.result_type(float)
        own = {name: jnp.asarray(value, dtype) for name, value in values.items()}
        white = self.posterior.noise.whiten(self._lines.cubes(own))
        lines = white.reshape(self._n_line, -1)
        scales = jnp.asarray(self._sigma[: self._n_line], dtype)
        data = jnp.asarray(self._data) - jnp.asarray(self._mean[: self._n_line]) @ lines
        lines = lines * scales[:, None]
        fixed = jnp.asarray(self._fixed)
        across = lines @ fixed.T
        upper = jnp.concatenate([lines @ lines.T, across], axis=1)
        lower = jnp.concatenate([across.T, jnp.asarray(self._within)], axis=1)
        system = jnp.concatenate([upper, lower]) + jnp.eye(self._sigma.size, dtype=dtype)
        pulled = jnp.concatenate([lines @ data, fixed @ data])
        factor = jnp.linalg.cholesky(system)
        half = solve_triangular(factor, pulled, lower=True)
        chi2 = data @ data - half @ half - self.posterior.noise.count
        value = -0.5 * chi2 - jnp.sum(jnp.log(jnp.diagonal(factor)))
        return Solved(value, lines, data, factor, half)

    def log_density(self, z: Any, _data: Any) -> Any:
        """Give ln of prior times likelihood, with respect to z, shape (n,), over a constant."""
        values = self.prior.named(self.prior.constrain(z))
        return self.log_ratio(values) + self.prior.log_density(z)

    @cached_property
    def target(self) -> Target:
        """What a sampler needs."""
        return Target(self.prior.names, self.log_density, self.prior.constrain)
