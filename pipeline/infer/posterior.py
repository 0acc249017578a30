"""How probable are the parameters of a scene, given windows of a cube and its noise?

Fluxes and backgrounds are linear: they are integrated out (`ard.likelihood`), and are not among
the parameters. The cubes of unit flux may be computed in float32, at half the cost, where the
likelihood is computed in float64: their rounding is far below the noise.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from ard import likelihood
from ard.cube import FloatArray
from ard.errors import ArdError, misfit
from ard.likelihood import LinearPrior, Noise
from ard.likelihood.probability import Result
from pipeline.infer.prior import Prior
from pipeline.infer.target import Target
from pipeline.scene.cube import Component, Optics, line_templates
from pipeline.scene.model import LineModel

SINGLE: Final = "float32"

# From parameters by name to cubes of unit amplitude, shape (n_amplitude, n_channel, ny, nx).
type Templates = Callable[[Mapping[str, Any]], Any]
# From parameters by name to what the optics are, and what shines.
type Build = Callable[[Mapping[str, Any]], tuple[Optics, Sequence[Component]]]


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of the non-linear parameters of a model of a cube.

    Attributes
    ----------
    prior : Prior
    templates : callable
        Gives the cubes of unit amplitude. Pure; JAX traces it.
    data : array, shape (n_channel, ny, nx)
        What was observed, in the channels of the model; what is masked may be NaN.
    noise : Noise
        Of the same voxels, and in the same unit.
    amplitudes : LinearPrior
        Of the amplitudes, in the order of the templates, then those of `background`.
    background : array, shape (n, n_channel, ny, nx), optional
        Cubes with amplitudes of their own that depend on no parameter.
    scale_name : str, optional
        The parameter by which all errors are multiplied.
    model_dtype : str, optional
        "float32" computes templates in it where all else is in float64; by default templates are
        in the precision that JAX is set to.

    Raises
    ------
    ArdError
        If the parts do not fit one another.
    """

    prior: Prior
    templates: Templates
    data: FloatArray
    noise: Noise
    amplitudes: LinearPrior
    background: FloatArray | None = None
    scale_name: str | None = None
    model_dtype: str | None = None

    def __post_init__(self) -> None:
        voxels = np.shape(self.noise.sigma)
        if np.shape(self.data) != voxels:
            raise misfit("the data are on other voxels than the noise", str(voxels),
                         np.shape(self.data))  # fmt: skip
        if self.background is not None and np.shape(self.background)[1:] != voxels:
            problem = "the background is on other voxels than the noise"
            raise misfit(problem, f"(n, {voxels})", np.shape(self.background))
        if self.scale_name is not None and self.scale_name not in self.prior.names:
            raise misfit("the scale of the errors has no prior", f"one of {self.prior.names}",
                         self.scale_name)  # fmt: skip
        if self.model_dtype not in (None, SINGLE):
            raise misfit("there is no such precision of a model", f"{SINGLE} or none",
                         self.model_dtype)  # fmt: skip
        # NaN in what is masked would make derivatives NaN.
        clean = np.where(self.noise.mask, 0.0, np.asarray(self.data, np.float64))
        if not np.isfinite(clean).all():
            raise ArdError(
                "data that are used are not finite",
                expected="NaN in masked voxels only",
                found=f"{int(np.sum(~np.isfinite(clean)))} voxels",
                action="mask them: ard.likelihood.mask_more",
            )
        object.__setattr__(self, "data", clean)

    def evaluate(self, values: Mapping[str, Any], data: Any = None) -> Result:
        """Hold the model with these parameters against the data.

        Parameters
        ----------
        values : mapping of str to scalar
            All parameters of the prior.
        data : array, optional
            Other data than those of the posterior, on the same voxels.

        Returns
        -------
        Result
            With the amplitudes that the data ask for.
        """
        dtype = jnp.result_type(float)
        seen = jnp.asarray(self.data if data is None else data, dtype)
        cubes = self.cubes({name: jnp.asarray(v, dtype) for name, v in values.items()})
        noise = self.noise
        if self.scale_name is not None:
            noise = noise.scaled(jnp.asarray(values[self.scale_name], dtype))
        # One reference for all scales of the errors: ln of the density keeps its digits.
        return likelihood.marginal_likelihood(
            seen, cubes, noise, self.amplitudes, reference=self.noise.reference
        )

    def log_likelihood(self, values: Mapping[str, Any], data: Any = None) -> Any:
        """Give ln of the likelihood over a constant, `noise.reference`."""
        return self.evaluate(values, data).log_ratio

    def log_density(self, z: Any, data: Any) -> Any:
        """Give ln of prior times likelihood, with respect to z, shape (n,), over a constant."""
        values = self.prior.named(self.prior.constrain(z))
        return self.log_likelihood(values, data) + self.prior.log_density(z)

    def target(self, data: FloatArray | None = None) -> Target:
        """Give what a sampler needs.

        Parameters
        ----------
        data : array, optional
            Other data: nothing is compiled again for them.
        """
        seen = self.data if data is None else np.where(self.noise.mask, 0.0, data)
        own = jnp.asarray(seen, jnp.result_type(float))
        return Target(self.prior.names, self.log_density, self.prior.constrain, own)

    def split(self, draws: FloatArray, lp: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give ln of the prior of each parameter, and of the likelihood, of draws.

        Parameters
        ----------
        draws : array, shape (..., n)
            Parameters.
        lp : array, shape (...,)
            What the sampler says of them.

        Returns
        -------
        log_prior : ndarray, shape (..., n)
        log_likelihood : ndarray, shape (...,)
            Over the same constant as `log_likelihood`; to the precision of `lp`.
        """
        z = self.prior.unconstrain(draws)
        own = np.asarray(self.prior.log_prior(draws), np.float64)
        return own, np.asarray(lp - self.prior.log_density(z), np.float64)

    def cubes(self, values: Mapping[str, Any]) -> Any:
        """Give the cubes of unit amplitude, those of the background last."""
        dtype = jnp.result_type(float)
        if self.model_dtype == SINGLE and dtype == np.float64:
            rounded = {name: value.astype(SINGLE) for name, value in values.items()}
            with single():
                cubes = self.templates(rounded)
            cubes = cubes.astype(dtype)
        else:
            cubes = self.templates(values)
        if self.background is None:
            return cubes
        return jnp.concatenate([cubes, jnp.asarray(self.background, dtype)])


def scene_templates(model: LineModel, build: Build) -> Templates:
    """Give the templates of a scene: one for each free line of each component.

    Parameters
    ----------
    model : LineModel
    build : callable
        From parameters by name to optics and components; the components' amplitudes have no part.
    """

    def templates(values: Mapping[str, Any]) -> Any:
        optics, components = build(values)
        return jnp.concatenate([line_templates(model, optics, one) for one in components])

    return templates


@contextmanager
def single() -> Iterator[None]:
    """Let what is traced within be in float32."""
    # The newest version has it in one place, the oldest allowed in the other.
    place: Any = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
    with place.enable_x64(False):
        yield
