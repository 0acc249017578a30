"""What does a galaxy look like in the cube, and what does it leave of the data?"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import Cube, FloatArray
from ard.maps import Map
from pipeline.falsify.cube.likelihood import DiscLikelihood
from pipeline.falsify.tasks import Curve, Evaluation, Model
from pipeline.infer.cutout import flux_per_voxel

# Of the brightest spaxel: where less light falls, a mean velocity says nothing.
_FAINTEST: Final = 1e-3


@dataclass(frozen=True, eq=False)
class Rendered:
    """A galaxy as the cube shows it, on the spaxels of the cut-out.

    Attributes
    ----------
    cube : Cube
        Its lines and the background, MJy/sr, on all channels of the item's cube; channels that
        are not looked at are masked. Its variance is that of the data.
    light : array, shape (n_wave, ny, nx)
        Its lines alone, likewise; 0 in channels that are not looked at.
    motion : Map
        `velocity` and `dispersion` (km/s) of the gas in each spaxel, weighted by light, through
        the point-spread function but not the line-spread function, relative to the declared
        redshift; `light`, the share of the galaxy's light.
    residual : array, shape (n_channel, ny, nx)
        Data less cube, whitened: what remains is independent and of unit variance, if the galaxy
        is right. Of the channels that are looked at.
    channels : array of int, shape (n_channel,)
        Their numbers in the item's cube.
    rows, columns : slice
        Where the cut-out lies in it.
    """

    cube: Cube
    light: FloatArray
    motion: Map
    residual: FloatArray
    channels: np.ndarray[tuple[int], np.dtype[np.intp]]
    rows: slice
    columns: slice


def render(
    likelihood: DiscLikelihood, model: Model, curve: Curve, evaluation: Evaluation
) -> Rendered:
    """Show a galaxy at the nuisances of its evaluation, with the fluxes that the data ask for.

    Raises
    ------
    ArdError
        As `DiscLikelihood.templates`.
    """
    seen, data = likelihood.seen, likelihood.data
    templates = likelihood.templates(model, curve, evaluation.nuisances)
    amplitudes = data.amplitudes(templates, likelihood.white)
    lines = np.einsum("n,nkyx->kyx", amplitudes[: data.n_line], templates)
    smooth = np.einsum("n,nkyx->kyx", amplitudes[data.n_line :], data.smooth)
    white = np.asarray(likelihood.white) - np.asarray(data.white(lines + smooth))
    own = likelihood.cube
    wave, wcs = own.wave, own.wcs[seen.rows, seen.columns]
    shape = (wave.size, *lines.shape[1:])
    channels = np.asarray(seen.observed.channels)
    flux, light, mask = np.zeros(shape), np.zeros(shape), np.ones(shape, bool)
    per_voxel = flux_per_voxel(own)[channels][:, None, None]
    flux[channels], light[channels] = (lines + smooth) / per_voxel, lines / per_voxel
    var = np.asarray(own.var)[:, seen.rows, seen.columns]
    mask[channels] = ~(np.isfinite(var[channels]) & (var[channels] > 0.0))
    cube = own.replace(flux=flux, var=var, mask=mask, wcs=wcs, dq=None, weight=None,
                       provenance=None)  # fmt: skip
    motion = _motion(likelihood, model, curve, evaluation, cube)
    return Rendered(
        cube, light, motion, white.reshape(lines.shape), channels, seen.rows, seen.columns
    )


def _motion(
    likelihood: DiscLikelihood, model: Model, curve: Curve, evaluation: Evaluation, cube: Cube
) -> Map:
    view = likelihood.view
    planes = likelihood.planes(model, curve, evaluation.nuisances)
    speeds = view.model.velocities.velocities[:, None, None]
    total = planes.sum(axis=0)
    faint = ~(total > _FAINTEST * total.max())
    safe = np.where(faint, 1.0, total)
    mean = (speeds * planes).sum(axis=0) / safe
    square = ((speeds - mean) ** 2 * planes).sum(axis=0) / safe
    # Counting widens every velocity by a part of the line-spread function.
    width = np.sqrt(np.maximum(square - view.model.split_kms**2, 0.0))
    layers = {
        "velocity": np.where(faint, np.nan, mean + evaluation.nuisances["v_sys_kms"]),
        "dispersion": np.where(faint, np.nan, width),
        "light": total,
    }
    units = {"velocity": "km/s", "dispersion": "km/s", "light": ""}
    return Map(layers, units, faint, cube.wcs, cube.meta)
