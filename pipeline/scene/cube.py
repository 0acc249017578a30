"""Which cube of lines does a source give?"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ard.cube import SPEED_OF_LIGHT_KMS
from ard.errors import ArdError
from pipeline.scene import losvd, optics
from pipeline.scene.disc import Disc, Sampler
from pipeline.scene.grid import FloatArray, SkyGrid, VelocityGrid


@dataclass(frozen=True, eq=False)
class LineModel:
    """What is fixed of a model: the grids, the lines, the instrument.

    Attributes
    ----------
    sky : SkyGrid
    velocities : VelocityGrid
    wave_edges : ndarray, shape (n_channel, 2)
        Edges of the channels that are computed, um.
    wave_obs_um : ndarray, shape (n_line,)
        Wavelengths of the lines at velocity zero, um.
    sigma_lsf_kms : ndarray, shape (n_line,)
        Line-spread function at the lines, standard deviation, km/s.
    """

    sky: SkyGrid
    velocities: VelocityGrid
    wave_edges: FloatArray
    wave_obs_um: FloatArray
    sigma_lsf_kms: FloatArray

    def __post_init__(self) -> None:
        edges = np.asarray(self.wave_edges, dtype=np.float64)
        lines = np.asarray(self.wave_obs_um, dtype=np.float64)
        good = (
            edges.ndim == 2
            and edges.shape[1] == 2
            and bool(np.all(edges[:, 1] > edges[:, 0]))
            and lines.ndim == 1
            and lines.shape == np.shape(self.sigma_lsf_kms)
            and bool(np.all(lines > 0))
        )
        if not good:
            raise ArdError(
                "channels and lines do not make a model",
                expected="edges of shape (n, 2) in ascending order; one width for each line",
                found=f"edges of shape {edges.shape}, {lines.size} lines, "
                f"{np.size(self.sigma_lsf_kms)} widths",
                action="correct the model",
            )
        self.velocities.require_fine(self._joint_kms)

    @cached_property
    def split_kms(self) -> float:
        """The part of the line-spread function that is counted with the velocities, km/s."""
        return optics.split_width(self.sigma_lsf_kms)

    @property
    def _joint_kms(self) -> float:
        """Width of the product of both Gaussians, which the planes have to sample, km/s."""
        rest = np.sqrt(np.asarray(self.sigma_lsf_kms).min() ** 2 - self.split_kms**2)
        return float(self.split_kms * rest / np.hypot(self.split_kms, rest))

    def response(self, fluxes: Any) -> jax.Array:
        """Give the channels of all lines by velocity, weighted by flux, shape (n_v, n_channel)."""
        rows = []
        for wave, sigma in zip(self.wave_obs_um, self.sigma_lsf_kms, strict=True):
            rest = float(np.sqrt(sigma**2 - self.split_kms**2))
            rows.append(
                optics.channel_response(
                    np.asarray(self.wave_edges), float(wave), rest, self.velocities.velocities
                )
            )
        return jnp.einsum("l,lvc->vc", fluxes, jnp.stack(rows))


def lines_cube(model: LineModel, planes: Any, fluxes: Any) -> jax.Array:
    """Give the cube of all lines from the light by velocity and spaxel.

    Parameters
    ----------
    model : LineModel
    planes : array, shape (n_v, ny, nx)
        Of any source, or the sum over sources whose lines have the same ratios.
    fluxes : array, shape (n_line,)

    Returns
    -------
    jax.Array, shape (n_channel, ny, nx)
    """
    return jnp.einsum("vyx,vc->cyx", planes, model.response(fluxes))


def disc_cube(
    model: LineModel, sampler: Sampler, disc: Disc, fluxes: Any, fwhm_arcsec: Any
) -> jax.Array:
    """Give the cube of a disc whose lines move together.

    Parameters
    ----------
    model : LineModel
    sampler : Sampler
        On the grid of the model.
    disc : Disc
    fluxes : array, shape (n_line,)
        Flux of each line, any unit.
    fwhm_arcsec : scalar
        Of the point-spread function, arcsec.

    Returns
    -------
    jax.Array, shape (n_channel, ny, nx)
        Flux per voxel, in the unit of `fluxes`.
    """
    planes = losvd.count(
        sampler.at(disc), sampler.depths, sampler.sights, model.velocities, model.split_kms
    )
    sky = model.sky
    fine = planes.reshape(-1, sky.fine(sky.ny).size, sky.fine(sky.nx).size)
    blurred = optics.blur(fine, sky, fwhm_arcsec)
    return lines_cube(model, blurred, fluxes)


def windows(
    wave_edges: FloatArray, wave_obs_um: Sequence[float] | FloatArray, half_kms: float
) -> NDArray[np.intp]:
    """Which channels does a line within this velocity touch?

    Returns
    -------
    ndarray of int, shape (n,)
        Ascending, each once.
    """
    lines = np.asarray(wave_obs_um, dtype=np.float64)[:, None]
    low, high = (np.asarray(wave_edges)[None, :, k] for k in (0, 1))
    reach = half_kms / SPEED_OF_LIGHT_KMS
    touched = (high > lines * (1.0 - reach)) & (low < lines * (1.0 + reach))
    return np.flatnonzero(touched.any(axis=0))
