"""What does a sampler need to know of the density that it draws from?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError


@dataclass(frozen=True, eq=False)
class Target:
    """A density on the line of each parameter.

    Attributes
    ----------
    names : tuple of str
        The parameters.
    log_density : callable
        From a place z, shape (n,), and `data` to ln of the density with respect to z, Jacobian
        included, up to a constant. Pure; JAX traces it. What is compiled is kept for as long as
        this very function is used, so that other data need no other compilation.
    constrain : callable
        From places (..., n) to the parameters there, in numpy and float64.
    data : pytree of arrays
    """

    names: tuple[str, ...]
    log_density: Callable[[jax.Array, Any], Any]
    constrain: Callable[[FloatArray], FloatArray]
    data: Any = ()


def as_place(z: Any) -> jax.Array:
    """Give a place in the precision that JAX is set to."""
    return jnp.asarray(z, jnp.result_type(float))


def require_finite(target: Target, z: FloatArray, value: Any, slope: Any) -> None:
    """Refuse a place where a chain cannot start.

    Raises
    ------
    ArdError
        If ln of the density, or its derivative, is not a finite number; with the parameters.
    """
    if np.isfinite(value) and np.all(np.isfinite(np.asarray(slope))):
        return
    values = target.constrain(np.asarray(z, np.float64))
    bad = [n for n, s in zip(target.names, np.asarray(slope), strict=True) if not np.isfinite(s)]
    at = ", ".join(f"{n} = {v:.6g}" for n, v in zip(target.names, values, strict=True))
    raise ArdError(
        "a chain cannot start where the posterior has no value",
        expected="a finite log density with finite derivatives",
        found=f"log density {float(value):g}, derivatives of {', '.join(bad) or 'none'} not "
        f"finite, at {at}",
        action="see whether the model can be computed there (pipeline.scene.valid), narrow the "
        "prior, or start elsewhere",
    )
