"""Which planes of velocity does light from single places give?

Surfaces and lines that are thinner than a spaxel (shocks, wakes, knots) are sums over nodes: each
node is spread by the point-spread function over the pixels, and counted on the planes of velocity.
Nothing is rounded to a grid on the sky. Places that share one motion share its count.
"""

from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp

from pipeline.scene import losvd
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.psf import Psf

# Nodes, and places of all nodes, that are worked on at a time: their share of every spaxel takes
# 1.3 MB in float32 on NIRSpec's 53 x 49.
_NODES: Final = 128
_PLACES: Final = 1024


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Points:
    """Nodes of a source.

    Attributes
    ----------
    x_arcsec, y_arcsec : array, shape (n, m)
        Places of each node, from the middle of the field.
    speed_kms, dispersion_kms : array, shape (n,)
        Velocity along the line of sight, positive = receding; standard deviation.
    light : array, shape (n, m)
        Flux of each place.
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
    """Give a source that is a point; its light is 1."""
    dtype = jnp.result_type(float)
    x, y, light = (jnp.asarray(v, dtype).reshape(1, 1) for v in (x_arcsec, y_arcsec, 1.0))
    speed, width = (jnp.asarray(v, dtype).reshape(1) for v in (speed_kms, dispersion_kms))
    return Points(x, y, speed, width, light)


def planes(
    points: Points, sky: SkyGrid, velocities: VelocityGrid, split_kms: float, psf: Psf
) -> jax.Array:
    """Give the light of all nodes by velocity and spaxel.

    Parameters
    ----------
    points : Points
    sky, velocities
        The grids.
    split_kms : float
        The part of the line-spread function that is counted with the velocities, km/s.
    psf : Psf

    Returns
    -------
    jax.Array, shape (n_v, ny, nx)
        The sum over all is the light that falls into the field.
    """
    dtype = jnp.result_type(float)
    up, side, weight = psf.copies()
    places = int(points.light.shape[1]) * int(weight.shape[0])
    piece = max(1, min(_NODES, _PLACES // places, points.size))
    pieces = -(-points.size // piece)
    missing = pieces * piece - points.size

    def cut(values: Any, fill: str) -> Any:
        values = jnp.asarray(values, dtype)
        width = [(0, missing), *[(0, 0)] * (values.ndim - 1)]
        return jnp.pad(values, width, mode=fill).reshape(pieces, piece, *values.shape[1:])

    # What fills the last piece up has no light; its place and speed are those of a node.
    parts = (
        *(cut(v, "edge") for v in (points.x_arcsec, points.y_arcsec)),
        *(cut(v, "edge") for v in (points.speed_kms, points.dispersion_kms)),
        cut(points.light, "constant"),
    )

    # Kept for the derivatives, the kernels of all nodes would fill the memory; made again, they
    # cost little.
    @jax.checkpoint
    def add(total: Any, part: tuple[Any, ...]) -> tuple[Any, None]:
        x, y, speed, dispersion, light = part
        every = ((y, up), (x, side))
        y, x = ((v[:, :, None] + step).reshape(piece, places) for v, step in every)
        rows, columns = psf.factors(sky, y, x)
        rows = rows * (light[:, :, None] * weight).reshape(piece, 1, places)
        kernel = jnp.einsum("knyp,knxp->nyx", rows, columns)
        samples = losvd.Samples(speed, dispersion, jnp.ones_like(speed))
        moving = losvd.gaussians(samples, velocities, split_kms)
        return total + jnp.einsum("vn,nyx->vyx", moving, kernel), None

    start = jnp.zeros((velocities.velocities.size, sky.ny, sky.nx), dtype)
    total, _ = jax.lax.scan(add, start, parts)
    return jnp.asarray(total)
