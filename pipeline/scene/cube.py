"""Which cube do the lines of a scene give?

A scene is a sum of components. The lines of one component move together: its light is counted once
by velocity and place, for all of them. What differs from line to line is where the optics put the
light, and in which channels it appears.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp

from ard.errors import ArdError
from pipeline.scene import losvd, points
from pipeline.scene.disc import Disc, Sampler
from pipeline.scene.model import LineModel
from pipeline.scene.points import Points
from pipeline.scene.psf import Gaussian, Psf, spread

# Of a source of flux 1: what has less than this on the grid is not seen there.
_NOTHING: Final = 1e-8


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Fine:
    """Light by velocity on the sub-spaxels of a grid, before the optics.

    Attributes
    ----------
    light : array, shape (n_v, fine ny, fine nx)
        Flux.
    """

    light: Any

    def of_field(self) -> "Fine":
        """Give the same, with light of 1 on the grid.

        Of a source that is larger than the field next to nothing may be on it: a prior of its whole
        flux would then be one of how much is.
        """
        return Fine(self.light / (self.light.sum() + _NOTHING))


type Emission = Points | Fine


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Optics:
    """What is not known for certain of telescope and spectrograph.

    Attributes
    ----------
    psfs : tuple of Psf
        One for each group of lines of the model.
    lsf_gain : scalar
        Resolving power over the declared one: 1.00 to 1.25 for NIRSpec's integral-field unit
        (reference/science.md section 5).
    """

    psfs: tuple[Psf, ...]
    lsf_gain: Any = 1.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Component:
    """Sources whose lines have the same ratios.

    Attributes
    ----------
    emissions : tuple of Emission
        Their light, before the optics.
    amplitudes : array, shape (n_free,), optional
        Fluxes of the lines that are free; the model's `ties` give the others. Not needed where they
        are integrated out (`line_templates`).
    slice_offset : scalar
        How far from the middle of its slice the light falls, in channels, -0.5 to 0.5: what is
        compact and off the middle appears at a wrong wavelength (science.md section 2.4 (4)).
    """

    emissions: tuple[Emission, ...]
    amplitudes: Any = None
    slice_offset: Any = 0.0


def count_disc(model: LineModel, sampler: Sampler, disc: Disc) -> Fine:
    """Count the light of a disc by velocity and sub-spaxel.

    Raises
    ------
    ArdError
        If the sampler is on another grid than the model.
    """
    if sampler.grid != model.sky:
        raise ArdError(
            "the disc is sampled on another grid than the model's",
            expected=model.sky,
            found=sampler.grid,
            action="make the sampler with the `sky` of the model",
        )
    # Tables of numpy cannot be read at places that are being compiled.
    dtype = jnp.result_type(float)
    disc = jax.tree_util.tree_map(lambda value: jnp.asarray(value, dtype), disc)
    planes = losvd.count(
        sampler.at(disc), sampler.depths, sampler.sights, model.velocities, model.split_kms
    )
    sky = model.sky
    return Fine(planes.reshape(-1, sky.fine(sky.ny).size, sky.fine(sky.nx).size))


def spread_light(model: LineModel, emission: Emission, psf: Psf) -> jax.Array:
    """Give the light by velocity and spaxel, shape (n_v, ny, nx)."""
    if isinstance(emission, Points):
        return points.planes(emission, model.sky, model.velocities, model.split_kms, psf)
    return spread(emission.light, model.sky, psf)


def scene_cube(model: LineModel, optics: Optics, components: Sequence[Component]) -> jax.Array:
    """Give the cube of a scene.

    Parameters
    ----------
    model : LineModel
    optics : Optics
    components : sequence of Component

    Returns
    -------
    jax.Array, shape (n_channel, ny, nx)
        Flux per voxel, in the unit of the amplitudes.
    """
    shape = (len(model.wave_edges), model.sky.ny, model.sky.nx)
    total = jnp.zeros(shape, jnp.result_type(float))
    for component in components:
        if component.amplitudes is None:
            raise ArdError(
                "a component has no amplitudes",
                expected=f"{model.ties.shape[1]} fluxes",
                found="none",
                action="give them, or take `line_templates`",
            )
        fluxes = jnp.asarray(model.ties, total.dtype) @ component.amplitudes
        total = total + _cubes(model, optics, component, fluxes[:, None])[0]
    return total


def line_templates(model: LineModel, optics: Optics, component: Component) -> jax.Array:
    """Give the cube of each free amplitude of a component, for an amplitude of 1.

    The component's own amplitudes have no part.

    Returns
    -------
    jax.Array, shape (n_free, n_channel, ny, nx)
    """
    return _cubes(model, optics, component, jnp.asarray(model.ties, jnp.result_type(float)))


def _cubes(model: LineModel, optics: Optics, component: Component, fluxes: Any) -> jax.Array:
    """Give a cube for each set of line fluxes, shape (n_line, n): the planes serve all of them."""
    shape = (fluxes.shape[1], len(model.wave_edges), model.sky.ny, model.sky.nx)
    total = jnp.zeros(shape, jnp.result_type(float))
    for lines, psf in zip(model.groups, optics.psfs, strict=True):
        planes = _planes(model, component, psf)
        seen = model.response(lines, optics.lsf_gain, component.slice_offset)
        weighted = jnp.einsum("lf,lvc->fvc", fluxes[jnp.asarray(lines)], seen)
        total = total + jnp.einsum("fvc,vyx->fcyx", weighted, planes)
    return total


def _planes(model: LineModel, component: Component, psf: Psf) -> jax.Array:
    first, *others = (spread_light(model, emission, psf) for emission in component.emissions)
    return sum(others, start=first)


def disc_cube(
    model: LineModel, sampler: Sampler, disc: Disc, amplitudes: Any, fwhm_arcsec: Any
) -> jax.Array:
    """Give the cube of a disc alone, through a circular Gaussian.

    Parameters
    ----------
    model : LineModel
    sampler : Sampler
        On the grid of the model.
    disc : Disc
    amplitudes : array, shape (n_free,)
        Flux of each free line, any unit.
    fwhm_arcsec : scalar
        Of the point-spread function, arcsec.

    Returns
    -------
    jax.Array, shape (n_channel, ny, nx)
        Flux per voxel, in the unit of `amplitudes`.
    """
    psfs = (Gaussian.round(fwhm_arcsec),) * len(model.groups)
    component = Component((count_disc(model, sampler, disc),), amplitudes)
    return scene_cube(model, Optics(psfs), (component,))
