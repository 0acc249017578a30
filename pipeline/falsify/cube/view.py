"""How does a cube see the light of a galaxy, once it is counted by velocity?

Counting is what a galaxy costs. A shift of the velocity of all its light, or of its place, is made
where the light falls onto channels and spaxels: exactly, and for next to nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import jax.numpy as jnp
import numpy as np

from ard.cube import SPEED_OF_LIGHT_KMS
from pipeline.infer import bow
from pipeline.infer.cutout import Cutout
from pipeline.infer.frame import Frame
from pipeline.scene.cube import count_disc
from pipeline.scene.disc import Disc, Sampler
from pipeline.scene.grid import SkyGrid, VelocityGrid
from pipeline.scene.model import LineModel
from pipeline.scene.psf import Psf, matrices

# Groups of lines whose point-spread functions differ by less have one: the nuisance `psf_scale`
# moves all of them by a hundred times as much.
_ALIKE: Final = 0.003
# Of a galaxy's light: what has less than this in the cut-out is not seen there.
_NOTHING: Final = 1e-8


@dataclass(frozen=True)
class Grids:
    """On what is the light of a galaxy counted?

    Attributes
    ----------
    oversample, pad, depths : int
        See `SkyGrid` and `Sampler`. Against more sub-spaxels and 64 depths, ln L is off by 3e-5 of
        how far it is from a fit for discs within 2 deg of edge-on, and by 3e-3 for layers of 0.2
        kpc that are tilted by 10 to 20 deg: these have nodes on few sights.
    v_max_kms : float
        Largest velocity that is counted, relative to the galaxy's own.
    """

    oversample: int = 2
    pad: int = 5
    depths: int = 16
    v_max_kms: float = 900.0


class View:
    """The cut-out of a cube, as light that is counted is seen in it.

    Parameters
    ----------
    seen : Cutout
    grids : Grids
    """

    def __init__(self, seen: Cutout, grids: Grids) -> None:
        own = seen.observed.model
        sky = replace(own.sky, oversample=grids.oversample, pad=grids.pad)
        planes = VelocityGrid(grids.v_max_kms, own.velocities.step)
        self.model: LineModel = replace(own, sky=sky, velocities=planes)
        self.frame: Frame = seen.frame
        self._sampler = Sampler(sky, grids.depths)
        self._groups = _alike(own.groups, seen.frame.fwhm_arcsec)

    @property
    def sky(self) -> SkyGrid:
        """The spaxels, and the sub-spaxels on which light is counted."""
        return self.model.sky

    @property
    def n_line(self) -> int:
        """How many lines have a flux of their own."""
        return int(np.shape(self.model.ties)[1])

    def planes(self, disc: Disc) -> Any:
        """Count the light of a disc, shape (n_v, fine ny, fine nx).

        Of a galaxy that ends at the tip next to nothing is in the cut-out. What is counted, margin
        included, is 1 in sum: so the prior of fluxes says as little of it as of any other scene.
        """
        light = count_disc(self.model, self._sampler, disc).light
        return light / (light.sum() + _NOTHING)

    def templates(self, planes: Any, values: Mapping[str, Any]) -> Any:
        """Give the cube of each free line of flux 1 in the cut-out, (n_line, n_channel, ny, nx).

        Parameters
        ----------
        planes : array, shape (n_v, fine ny, fine nx)
        values : mapping of str to scalar
            Nuisances.
        """
        return self._seen(planes, values, jnp.asarray(self.model.ties, jnp.result_type(float)))

    def mixed(self, planes: Any, values: Mapping[str, Any], fluxes: Any) -> Any:
        """Give the cube of all free lines with these fluxes, shape (n_channel, ny, nx)."""
        ties = jnp.asarray(self.model.ties, jnp.result_type(float))
        return self._seen(planes, values, (ties @ fluxes)[:, None])[0]

    def spread(self, planes: Any, values: Mapping[str, Any]) -> Any:
        """Give the light by velocity and spaxel, as the first group of lines is seen."""
        return self._spread(planes, values, self._groups[0][1])

    def _seen(self, planes: Any, values: Mapping[str, Any], fluxes: Any) -> Any:
        """Give a cube for each set of fluxes of all lines, shape (n_line, n)."""
        total: Any = 0.0
        for lines, fwhm in self._groups:
            spread = self._spread(planes, values, fwhm)
            response = jnp.stack([self._response(line, values) for line in lines])
            weighted = jnp.einsum("lf,lvc->fvc", fluxes[jnp.asarray(lines)], response)
            total = total + jnp.einsum("fvc,vyx->fcyx", weighted, spread)
        return total

    def _response(self, line: int, values: Mapping[str, Any]) -> Any:
        # All light is redder by the systemic velocity: the response has that as an offset.
        channel = self.model.channel_um / float(self.model.wave_obs_um[line]) * SPEED_OF_LIGHT_KMS
        shift = values["v_sys_kms"] / channel
        return self.model.response((line,), values["lsf_gain"], shift)[0]

    def _spread(self, planes: Any, values: Mapping[str, Any], fwhm_arcsec: float) -> Any:
        sky = self.sky
        dtype = jnp.result_type(float)
        angle = np.deg2rad(self.frame.angle_deg)
        sin, cos = float(np.sin(angle)), float(np.cos(angle))
        along, across = values["along_arcsec"], values["across_arcsec"]
        y = jnp.asarray(sky.fine(sky.ny), dtype) + (along * cos - across * sin)
        x = jnp.asarray(sky.fine(sky.nx), dtype) - (along * sin + across * cos)
        rows, columns = matrices(self._psf(values, fwhm_arcsec), sky, y, x)
        half = jnp.einsum("kyp,npq->nkyq", rows, planes)
        return jnp.einsum("nkyq,kxq->nyx", half, columns)

    def _psf(self, values: Mapping[str, Any], fwhm_arcsec: float) -> Psf:
        (psf,) = bow.psfs(values, replace(self.frame, fwhm_arcsec=(fwhm_arcsec,)))
        return psf


def _alike(
    groups: tuple[tuple[int, ...], ...], fwhm_arcsec: tuple[float, ...]
) -> list[tuple[tuple[int, ...], float]]:
    """Join groups of lines whose point-spread functions are alike."""
    found: list[tuple[tuple[int, ...], float]] = []
    for lines, fwhm in sorted(zip(groups, fwhm_arcsec, strict=True), key=lambda one: one[1]):
        if found and fwhm < found[-1][1] * (1.0 + _ALIKE):
            found[-1] = (found[-1][0] + lines, found[-1][1])
        else:
            found.append((lines, fwhm))
    return found
