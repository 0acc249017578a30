"""Which planes of velocity does light from single places give?

Surfaces and lines that are thinner than a spaxel (shocks, wakes, knots) are sums over nodes: each
node is spread by the point-spread function over the pixels, and counted on the planes of velocity.
Nothing is rounded to a grid on the sky.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from pipeline.scene import losvd, optics
from pipeline.scene.grid import SkyGrid, VelocityGrid


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Points:
    """Nodes of a source.

    Attributes
    ----------
    x_arcsec, y_arcsec : array, shape (n,)
        Places, from the middle of the field.
    speed_kms, dispersion_kms : array, shape (n,)
        Velocity along the line of sight, positive = receding; standard deviation.
    light : array, shape (n,)
        Flux.
    """

    x_arcsec: Any
    y_arcsec: Any
    speed_kms: Any
    dispersion_kms: Any
    light: Any

    @property
    def size(self) -> int:
        """Number of nodes."""
        return int(self.light.shape[0])


def single(x_arcsec: Any, y_arcsec: Any, speed_kms: Any, dispersion_kms: Any) -> Points:
    """Give a source that is a point, a knot of ionised gas for one; its light is 1."""
    dtype = jnp.result_type(float)
    values = (x_arcsec, y_arcsec, speed_kms, dispersion_kms, 1.0)
    return Points(*(jnp.asarray(value, dtype).reshape(1) for value in values))


def join(*parts: tuple[Any, Points]) -> Points:
    """Give several sources as one, each with its share of the light.

    Parameters
    ----------
    *parts : (scalar, Points)
        Light and nodes of each.
    """
    names = ("x_arcsec", "y_arcsec", "speed_kms", "dispersion_kms")
    values = [jnp.concatenate([getattr(points, name) for _, points in parts]) for name in names]
    values.append(jnp.concatenate([light * points.light for light, points in parts]))
    return Points(*values)


def planes(
    points: Points,
    sky: SkyGrid,
    velocities: VelocityGrid,
    split_kms: float,
    fwhm_arcsec: Any,
    fwhm_minor_arcsec: Any = None,
) -> jax.Array:
    """Give the light of all nodes by velocity and spaxel.

    Parameters
    ----------
    points : Points
    sky, velocities
        The grids.
    split_kms : float
        The part of the line-spread function that is counted with the velocities, km/s.
    fwhm_arcsec, fwhm_minor_arcsec : scalar
        Of the point-spread function along y, and along x where it differs.

    Returns
    -------
    jax.Array, shape (n_v, ny, nx)
        The sum over all is the light that falls into the field.
    """
    across = fwhm_arcsec if fwhm_minor_arcsec is None else fwhm_minor_arcsec
    up = optics.pixel_matrix(
        sky.edges(sky.ny), points.y_arcsec, fwhm_arcsec / optics.FWHM_PER_SIGMA
    )
    side = optics.pixel_matrix(sky.edges(sky.nx), points.x_arcsec, across / optics.FWHM_PER_SIGMA)
    samples = losvd.Samples(points.speed_kms, points.dispersion_kms, points.light)
    moving = losvd.gaussians(samples, velocities, split_kms)
    # Columns first: the largest array has n_v x nx x n elements, and no node has a cube of its own.
    return jnp.einsum("yn,vxn->vyx", up, moving[:, None, :] * side[None, :, :])
