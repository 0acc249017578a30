"""How much of a source's light moves how fast, on every line of sight?

A source gives samples along the depth: place, speed, dispersion, light. Each is a Gaussian in
velocity, counted on a fixed grid of planes. With part of the line-spread function in every Gaussian
the planes can be far apart and the sum is still the integral to rounding: no interpolation, no
scatter, every value positive, every derivative smooth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ard.errors import ArdError
from pipeline.scene.grid import VelocityGrid


@dataclass(frozen=True)
class Samples:
    """Light at one depth of every line of sight.

    Attributes
    ----------
    speed : array, shape (n_sight,)
        Velocity along the line of sight, km/s, positive = receding.
    dispersion : array, shape (n_sight,)
        Standard deviation, km/s.
    light : array, shape (n_sight,)
        Flux, in the unit of the source.
    """

    speed: Any
    dispersion: Any
    light: Any


def count(
    sample: Callable[[Any], Samples],
    depths: int,
    sights: int,
    grid: VelocityGrid,
    split_kms: float,
) -> jax.Array:
    """Count the light of all depths on the planes of velocity.

    Parameters
    ----------
    sample : callable
        Gives the samples of a depth by its number.
    depths, sights : int
        How many depths there are, and lines of sight.
    grid : VelocityGrid
    split_kms : float
        The part of the line-spread function that goes into the Gaussians, km/s.

    Returns
    -------
    jax.Array, shape (n_v, n_sight)
        Light per plane; the sum over planes is the light of the sight.
    """
    dtype = jnp.result_type(float)

    # Planes apart until the end: joined at every depth, they would be copied at every depth.
    @jax.checkpoint
    def add(total: Any, number: Any) -> tuple[Any, None]:
        planes = _gaussians(sample(number), grid, split_kms)
        return tuple(t + plane for t, plane in zip(total, planes, strict=True)), None

    start = tuple(jnp.zeros(sights, dtype) for _ in range(grid.velocities.size))
    total, _ = jax.lax.scan(add, start, jnp.arange(depths))
    return jnp.stack(total)


def gaussians(samples: Samples, grid: VelocityGrid, split_kms: float) -> jax.Array:
    """Give each sample's light on every plane, shape (n_v, n_sight).

    exp(-(kh - v)^2 / 2s^2) = exp(-v^2 / 2s^2) exp(vh / s^2)^k exp(-k^2 h^2 / 2s^2): three
    exponentials a sample, products for the planes. `require_safe` says how far that is to be
    trusted.
    """
    return jnp.stack(_gaussians(samples, grid, split_kms))


def _gaussians(samples: Samples, grid: VelocityGrid, split_kms: float) -> list[Any]:
    s2 = samples.dispersion**2 + split_kms**2
    middle = jnp.exp(-0.5 * samples.speed**2 / s2)
    ratio = jnp.exp(samples.speed * grid.step / s2)
    falling = jnp.exp(-0.5 * grid.step**2 / s2)
    # The light comes last: far from its plane, times the little light of a sub-spaxel, the first
    # factor would be zero in float32.
    light = samples.light * grid.step / jnp.sqrt(2.0 * jnp.pi * s2)
    return [light * plane for plane in _ladder(middle, ratio, falling, grid.half)]


def _ladder(middle: Any, ratio: Any, falling: Any, half: int) -> list[Any]:
    """Climb from the plane at zero to both sides, one factor a plane.

    From k to k + 1 the exponent grows by vh/s^2 - (2k + 1) h^2 / 2s^2.
    """
    up, down, steps = middle, middle, falling
    inverse, squared = 1.0 / ratio, falling * falling
    above, below = [], []
    for _ in range(half):
        up, down = up * (ratio * steps), down * (inverse * steps)
        above.append(up)
        below.append(down)
        steps = steps * squared
    return [*reversed(below), middle, *above]


def require_safe(
    grid: VelocityGrid, dispersion_kms: float, speed_kms: float, *, widest_kms: float | None = None
) -> None:
    """Make sure that no factor leaves the range of float32.

    Parameters
    ----------
    grid : VelocityGrid
    dispersion_kms : float
        Smallest standard deviation, the part of the line-spread function included, km/s.
    speed_kms : float
        Largest velocity of a sample, km/s.
    widest_kms : float, optional
        Largest standard deviation, likewise; the smallest where all are alike.

    Raises
    ------
    ArdError
        If light could be lost or become infinite without a word.
    """
    limit = float(np.sqrt(2.0 * 80.0) * dispersion_kms)  # exp(-80) is 1e-35
    if not 0.0 <= speed_kms <= limit:
        raise ArdError(
            "velocities leave the range that float32 can count",
            expected=f"up to {limit:.0f} km/s for a dispersion of {dispersion_kms:.0f} km/s",
            found=f"{speed_kms:g} km/s",
            action="narrow the prior of the velocity, or compute in float64",
        )
    needed = speed_kms + 4.0 * (dispersion_kms if widest_kms is None else widest_kms)
    if not grid.v_max >= needed:
        raise ArdError(
            "the grid of velocities does not hold the source",
            expected=f"at least {needed:.0f} km/s",
            found=f"{grid.v_max:g} km/s",
            action="take a larger v_max",
        )
