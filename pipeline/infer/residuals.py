"""What does the best model of a fit leave of the data, voxel by voxel?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jax.numpy as jnp
import numpy as np

from ard.cube import SPEED_OF_LIGHT_KMS, BoolArray, FloatArray
from pipeline.infer.cutout import FLUX_UNIT
from pipeline.infer.fit import Problem

# Light within that of a line is taken for that of the line.
_NEAR_KMS: Final = 400.0


@dataclass(frozen=True, eq=False)
class Residuals:
    """Data and best model of a sub-cube.

    Attributes
    ----------
    data, model, sigma : array, shape (n_channel, ny, nx)
        Flux in each voxel and its error, erg s-1 cm-2; data of masked voxels are NaN.
    mask : array of bool, shape (n_channel, ny, nx)
    channels : array of int, shape (n_channel,)
        Numbers of the channels in the cube.
    wave : array, shape (n_channel,)
        Their middles, um.
    y, x : int
        The first row and column in the cube.
    lines : mapping of str to float
        Wavelength at velocity zero, um, of the brightest line of each group.
    """

    data: FloatArray
    model: FloatArray
    sigma: FloatArray
    mask: BoolArray
    channels: np.ndarray[Any, Any]
    wave: FloatArray
    y: int
    x: int
    lines: Mapping[str, float]

    @property
    def pull(self) -> FloatArray:
        """Residuals in errors of a voxel; neighbours are correlated."""
        return np.asarray((self.data - self.model) / self.sigma)


def residuals_of(problem: Problem, values: Mapping[str, Any]) -> Residuals:
    """Give what a model leaves of the data.

    Parameters
    ----------
    problem : Problem
    values : mapping of str to scalar
        All parameters; fluxes and backgrounds are the most probable ones with these.
    """
    seen, posterior = problem.cutout, problem.posterior.posterior
    own = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in values.items()}
    cubes = np.asarray(posterior.cubes(own), np.float64)
    amplitudes = np.asarray(problem.posterior.amplitudes(own), np.float64)
    n_line = len(cubes) - (0 if posterior.background is None else len(posterior.background))
    light = np.einsum("n,nkyx->kyx", amplitudes[:n_line], cubes[:n_line])
    model = light + np.einsum("n,nkyx->kyx", amplitudes[n_line:], cubes[n_line:])
    mask = np.asarray(seen.noise.mask)
    wave = np.asarray(seen.observed.model.wave_edges).mean(axis=1)
    return Residuals(
        np.where(mask, np.nan, seen.data) * FLUX_UNIT,
        model * FLUX_UNIT,
        np.asarray(seen.noise.sigma, np.float64) * FLUX_UNIT,
        mask,
        np.asarray(seen.observed.channels),
        wave,
        seen.rows.start,
        seen.columns.start,
        _brightest(problem, wave, light.sum(axis=(1, 2))),
    )


def _brightest(problem: Problem, wave: FloatArray, spectrum: FloatArray) -> dict[str, float]:
    """Give the line of each group with the most light about it."""
    observed = problem.cutout.observed
    places = np.asarray(observed.model.wave_obs_um)
    speed = SPEED_OF_LIGHT_KMS * (wave[:, None] / places - 1.0)
    light = np.where(np.abs(speed) < _NEAR_KMS, spectrum[:, None], 0.0).sum(axis=0)
    chosen = (max(numbers, key=lambda n: float(light[n])) for numbers in observed.model.groups)
    return {observed.line_names[n]: float(places[n]) for n in chosen}
