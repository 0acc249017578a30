"""How well does a disc do, at the best of what is not known, and which way is better?

Fluxes and backgrounds are integrated out as in `pipeline.infer.whitened`. What is left is nearly a
sum of squares: of the light's derivatives only those of the best mixture of lines are asked for
(variable projection: Kaufman 1975), and they are exact for the density at the best amplitudes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular

from ard.cube import FloatArray
from pipeline.falsify.cube.climb import Height
from pipeline.falsify.cube.view import View
from pipeline.infer.cutout import Cutout
from pipeline.infer.fit import linear_parts
from pipeline.infer.posterior import SINGLE, single
from pipeline.infer.prior import Prior
from pipeline.scene.disc import Disc

# From parameters by name, and whatever else says which disc is meant, to the disc.
type Discs = Callable[[Mapping[str, Any], Any], Disc]


class Fitted(NamedTuple):
    """What is found of given parameters.

    Attributes
    ----------
    log_likelihood : scalar
        ln, amplitudes integrated out, over the constant `Noise.reference`.
    chi2 : scalar
        Squares of the whitened residuals at the best amplitudes.
    amplitudes : array, shape (n_amplitude,)
        The best: of the lines, `FLUX_UNIT`, then of the backgrounds.
    """

    log_likelihood: Any
    chi2: Any
    amplitudes: Any


class Data:
    """The data of a cut-out, whitened once, with what is linear of a model.

    Parameters
    ----------
    seen : Cutout
    """

    def __init__(self, seen: Cutout) -> None:
        self.noise = seen.noise
        prior, smooth = linear_parts(seen)
        self.smooth = smooth
        self.sigma: FloatArray = np.asarray(prior.sigma, np.float64)
        self.n_line = self.sigma.size - len(smooth)
        self.fixed = self.white(smooth * self.sigma[self.n_line :, None, None, None])
        self.within = self.fixed @ self.fixed.T
        self.data = self.white(seen.data)

    def white(self, cubes: Any) -> Any:
        """Whiten cubes, shape (..., n_channel, ny, nx), to vectors, shape (..., n_voxel)."""
        white = self.noise.whiten(cubes)
        return white.reshape(*white.shape[:-3], -1)

    def amplitudes(self, lines: FloatArray, white: Any) -> FloatArray:
        """Give the most probable amplitudes, shape (n_amplitude,), of lines and backgrounds.

        Parameters
        ----------
        lines : array, shape (n_line, n_channel, ny, nx)
            Of flux 1.
        white : array, shape (n_voxel,)
            Data, whitened.
        """
        scales = self.sigma[: self.n_line, None]
        basis = np.concatenate([np.asarray(self.white(lines)) * scales, self.fixed])
        system = basis @ basis.T + np.eye(len(basis))
        return np.asarray(self.sigma * np.linalg.solve(system, basis @ np.asarray(white)))


class Held:
    """Discs of a family, held against data.

    Parameters
    ----------
    view : View
    data : Data
    prior : Prior
        Of all parameters that are searched, the nuisances among them.
    deep : sequence of str
        Parameters that the disc depends on; all others are nuisances of the view.
    discs : callable
        Gives the disc.
    """

    def __init__(
        self, view: View, data: Data, prior: Prior, deep: Sequence[str], discs: Discs
    ) -> None:
        self.view, self.data, self.prior, self._discs = view, data, prior, discs
        self._deep = tuple(prior.names.index(name) for name in deep)
        self._thin = tuple(i for i in range(len(prior.names)) if i not in self._deep)

    def templates(self, values: Any, extra: Any) -> Any:
        """Give the cubes of unit flux at parameters, shape (n,)."""
        return self._shown(values, extra, self.view.templates)

    def planes(self, values: Any, extra: Any) -> Any:
        """Give the light by velocity and spaxel, shape (n_v, ny, nx), at parameters."""
        return self._shown(values, extra, self.view.spread)

    def _shown(self, values: Any, extra: Any, show: Callable[[Any, Any], Any]) -> Any:
        low = values.astype(SINGLE)
        extra = jax.tree_util.tree_map(lambda one: one.astype(SINGLE), extra)
        with single():
            named = self.prior.named(low)
            found = show(self.view.planes(self._discs(named, extra)), named)
        return found.astype(jnp.result_type(float))

    def height(self, values: Any, data: Any, extra: Any) -> Height:
        """Give ln of prior times likelihood, at the best amplitudes.

        Parameters
        ----------
        values : array, shape (n,)
            Of all parameters, each in its own unit.
        data : array, shape (n_voxel,)
            Whitened.
        extra : any
            What says which disc is meant, in arrays.

        Returns
        -------
        Height
            With `Fitted`.
        """
        # Parameters are independent: the sum of a row of second derivatives is its diagonal.
        slope, bend = jax.jvp(jax.grad(self._log_prior), (values,), (jnp.ones_like(values),))
        lines, rates = self._light(values, extra)
        basis = jnp.concatenate([lines, jnp.asarray(self.data.fixed)])
        factor, solved = self._solved(lines, basis, data)
        left = data - solved @ basis
        white = rates(solved[: self.data.n_line] * self._line_sigma)
        across = solve_triangular(factor, basis @ white.T, lower=True)
        curvature = white @ white.T - across.T @ across
        curvature = curvature + jnp.diag(jnp.maximum(-bend, self.scale**-2))
        chi2 = left @ left
        excess = -0.5 * (chi2 + solved @ solved - self.data.noise.count)
        log_likelihood = excess - jnp.sum(jnp.log(jnp.diagonal(factor)))
        fitted = Fitted(log_likelihood, chi2, solved * jnp.asarray(self.data.sigma))
        return Height(excess + self._log_prior(values), white @ left + slope, curvature, fitted)

    def _log_prior(self, values: Any) -> Any:
        return jnp.sum(self.prior.log_prior(values))

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest values, shape (n,) each."""
        low, high = np.array([p.family.support for p in self.prior.parameters], np.float64).T
        return low, high

    @property
    def scale(self) -> FloatArray:
        """How far apart the bounds are: a prior that is flat curves down as if it were as wide."""
        low, high = self.bounds
        return high - low

    @property
    def _line_sigma(self) -> Any:
        return jnp.asarray(self.data.sigma[: self.data.n_line])

    def _solved(self, lines: Any, basis: Any, data: Any) -> tuple[Any, Any]:
        """Give L of 1 + TT' = LL', T lines and backgrounds in widths of the prior; amplitudes."""
        across = lines @ jnp.asarray(self.data.fixed).T
        upper = jnp.concatenate([lines @ lines.T, across], axis=1)
        lower = jnp.concatenate([across.T, jnp.asarray(self.data.within)], axis=1)
        system = jnp.concatenate([upper, lower]) + jnp.eye(len(basis), dtype=basis.dtype)
        factor = jnp.linalg.cholesky(system)
        return factor, cho_solve((factor, True), basis @ data)

    def _light(self, values: Any, extra: Any) -> tuple[Any, Callable[[Any], Any]]:
        """Give whitened lines, and a function from fluxes to the whitened derivatives."""
        dtype = jnp.result_type(float)
        low = values.astype(SINGLE)
        unit = self.scale.astype(SINGLE)
        extra = jax.tree_util.tree_map(lambda one: one.astype(SINGLE), extra)
        deep, thin = np.array(self._deep), np.array(self._thin)

        def counted(some: Any) -> Any:
            named = self.prior.named(low.at[deep].set(some))
            return self.view.planes(self._discs(named, extra))

        def pushed(along: Any) -> Any:
            return jax.jvp(counted, (low[deep],), (along,))

        with single():
            planes, moving = jax.vmap(pushed, out_axes=(None, 0))(jnp.diag(unit[deep]))
            lines = self.view.templates(planes, self.prior.named(low))
        lines = self.data.white(lines.astype(dtype)) * self._line_sigma[:, None]

        def rates(fluxes: Any) -> Any:
            few = fluxes.astype(SINGLE)

            def mixed(light: Any, some: Any) -> Any:
                return self.view.mixed(light, self.prior.named(low.at[thin].set(some)), few)

            with single():
                own = jax.vmap(lambda light: mixed(light, low[thin]))(moving)
                way = jax.vmap(
                    lambda along: jax.jvp(lambda s: mixed(planes, s), (low[thin],), (along,))[1]
                )(jnp.diag(unit[thin]))
                order = np.argsort(np.r_[deep, thin])
                found = jnp.concatenate([own, way])[order]
            return self.data.white(found.astype(dtype)) / jnp.asarray(self.scale)[:, None]

        return lines, rates
