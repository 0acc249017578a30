"""What do chains say of a shock, on the very posterior that is summed?

For the archive, and as a check of the sum: NUTS in the continuous parameters, each on the unbounded
scale of its prior, with the abundance sets summed at every step and A_V integrated out as in the
sum. Chains start from draws of the sum, so that none of two peaks is missed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError
from pipeline.infer.chain import Settings
from pipeline.infer.prior import Parameter, Prior
from pipeline.infer.sampler import Starts, config_of
from pipeline.infer.target import Target
from pipeline.shocks.draws import draw
from pipeline.shocks.lattice import Lattice
from pipeline.shocks.likelihood import Datum, log_likelihood
from pipeline.shocks.nodes import AxisPrior, PriorChoice
from pipeline.shocks.posterior import Quadrature
from pipeline.store.blocks import Run
from pipeline.store.netcdf import Content

_NOTHING: Final = -1e10  # ln likelihood where there is no model; minus infinity has no derivative
_BOUND: Final = 12.0  # on the line
_N_METRIC: Final = 2000


@dataclass(frozen=True, eq=False)
class ShockChains:
    """The density that chains draw from, for any spaxel of one lattice.

    Attributes
    ----------
    lattice : Lattice
    prior : Prior
        Of the continuous parameters.
    of_coordinate : tuple of bool
        Which of them are coordinates of the lattice.
    log_likelihood : callable
        From parameters, shape (n,), and a `Datum` to ln of the likelihood, the sets summed.
    log_density : callable
        As `Target.log_density`; its data are a `Datum`.
    """

    lattice: Lattice
    prior: Prior
    of_coordinate: tuple[bool, ...]
    log_likelihood: Callable[[Any, Any], Any]
    log_density: Callable[[Any, Any], Any]

    def target(self, datum: Datum) -> Target:
        """Give what a sampler needs for one spaxel; nothing is compiled again for another."""
        return Target(self.prior.names, self.log_density, self.prior.constrain, _as_jax(datum))

    def content(self, datum: Datum, **more: Any) -> Content:
        """Give what is exported beside the draws of one spaxel.

        The likelihood of all lines is one block: weak lines depend on what strong ones say. Fields
        whose coordinate is sampled stand beside it.
        """
        names = self.prior.names

        def log_prior(draws: FloatArray) -> dict[str, FloatArray]:
            rows = np.asarray(self.prior.log_prior(draws), np.float64)
            return {name: rows[:, i] for i, name in enumerate(names)}

        def derived(draws: FloatArray) -> dict[str, FloatArray]:
            found = self.values({name: draws[:, i] for i, name in enumerate(names)})
            return {name: value for name, value in found.items() if name not in names}

        def likelihood(values: Any, data: Datum) -> Any:
            return jax.lax.map(lambda row: self.log_likelihood(row, data), values)

        own, compiled = _as_jax(datum), jax.jit(likelihood)

        def log_likelihoods(draws: FloatArray) -> dict[str, FloatArray]:
            values = compiled(jnp.asarray(draws, jnp.result_type(float)), own)
            return {"lines": np.asarray(values, np.float64)}

        units = {axis.name: axis.unit for axis in self.lattice.axes if axis.name not in names}
        return Content(log_prior, log_likelihoods, derived=derived, derived_units=units, **more)

    def values(self, draws: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Give the parameters of the grid, by the names of its axes, from those of chains."""
        pairs = zip(self.lattice.axes, self.prior.names, self.of_coordinate, strict=True)
        return {
            axis.name: np.asarray(axis.value(draws[name]) if given else draws[name])
            for axis, name, given in pairs
        }


def density(lattice: Lattice, choice: PriorChoice) -> ShockChains:
    """Give the density of chains.

    Parameters
    ----------
    lattice : Lattice
        Of the lines of the fit.
    choice : PriorChoice

    Raises
    ------
    ArdError
        If a parameter is fixed: it has no chain.
    """
    parameters, given = [], []
    for axis in lattice.axes:
        own = choice.axes[axis.name]
        if not isinstance(own, AxisPrior):
            raise ArdError(
                "a parameter that is fixed has no chain",
                expected=f"a prior of {axis.name} with a width",
                found=choice.name,
                action="take another prior, or the sum over nodes alone",
            )
        name, unit = (axis.name, axis.unit)
        if own.of_coordinate:
            name, unit = f"ln_{axis.name}_plus_{axis.offset:g}", "1"
        parameters.append(Parameter(name, unit, own.family, "pipeline.shocks.nodes"))
        given.append(own.of_coordinate)
    prior = Prior(tuple(parameters))

    def log_likelihoods(values: Any, datum: Datum) -> Any:
        x = jnp.stack([
            values[i] if given[i] else axis.coordinate(values[i])
            for i, axis in enumerate(lattice.axes)
        ])  # fmt: skip
        ratio, inside = lattice.at(x)
        value, _ = log_likelihood(datum, ratio)
        each = jnp.where(inside, value, jnp.asarray(_NOTHING, value.dtype))
        return jax.scipy.special.logsumexp(each) - np.log(len(each))

    def log_density(z: Any, datum: Datum) -> Any:
        return log_likelihoods(prior.constrain(z), datum) + prior.log_density(z)

    return ShockChains(lattice, prior, tuple(given), log_likelihoods, log_density)


def starts_from(
    chains: ShockChains, quadrature: Quadrature, place: int, datum: Datum, n_chain: int, seed: int
) -> Starts:
    """Give starts of chains: draws of the sum, and a metric from more of them.

    Parameters
    ----------
    chains : ShockChains
    quadrature : Quadrature
    place : int
        Which of its priors is that of the chains.
    datum : Datum
    n_chain, seed : int
    """
    rng = np.random.default_rng(seed)
    weight = quadrature.joint(datum, place)
    found = draw(quadrature.lattice, quadrature.priors[place], weight, _N_METRIC + n_chain, rng)
    own = np.where(chains.of_coordinate, found.x, found.values)
    z = np.clip(chains.prior.unconstrain(own), -_BOUND, _BOUND)
    metric = np.atleast_2d(np.cov(z[n_chain:].T))
    return Starts(z[:n_chain], metric)


def run_of(
    chains: ShockChains,
    starts: Starts,
    settings: Settings,
    *,
    name: str,
    seed: int,
    digests: Mapping[str, str],
) -> Run:
    """Say what a set of chains is of, for `pipeline.infer.sampler.sample`.

    Parameters
    ----------
    chains : ShockChains
    starts : Starts
    settings : Settings
    name, seed, digests
        As in `Run`.
    """
    described, config = chains.prior.describe(), config_of(settings, starts)
    return Run(name, chains.prior.names, len(starts.z), seed, digests, described, config)


def _as_jax(datum: Datum) -> Datum:
    """Put floats in the precision that JAX is set to; indices stay what they are."""

    def one(leaf: Any) -> Any:
        array = np.asarray(leaf)
        kind = jnp.result_type(float) if array.dtype.kind == "f" else jnp.result_type(int)
        return jnp.asarray(array, kind)

    made: Datum = jax.tree.map(one, datum)
    return made
