"""How well does the best bow shock do on the voxels that the galaxies are held against?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ard.cube import FloatArray
from pipeline.falsify.cube.likelihood import DiscLikelihood
from pipeline.infer.fit import problem_for
from pipeline.infer.optimum import dispersed, find_modes
from pipeline.infer.scenes import scene

SCENE: Final = "bow"


@dataclass(frozen=True, eq=False)
class Reference:
    """The best scene of another kind.

    Attributes
    ----------
    scene : str
    log_likelihood : float
        ln of the likelihood at its best parameters, fluxes and backgrounds integrated out: with
        every constant, so that it is comparable with `Evaluation.log_likelihood`.
    chi2 : float
    parameters : mapping of str to float
    n_found : int
        How many of the starts ended there.
    shown : array, shape (n_channel, ny, nx)
        Its light and the background, with the fluxes that the data ask for, `FLUX_UNIT`.
    """

    scene: str
    log_likelihood: float
    chi2: float
    parameters: Mapping[str, float]
    n_found: int
    shown: FloatArray


def best_scene(
    likelihood: DiscLikelihood,
    n_start: int = 12,
    seed: int = 1,
    *,
    name: str = SCENE,
    say: Callable[[int, int, float], None] | None = None,
) -> Reference:
    """Climb from draws of the prior of a scene, and give the best.

    Parameters
    ----------
    likelihood : DiscLikelihood
        Its cube, noise, target, cut and groups of lines are taken.
    n_start, seed : int
    name : str
        Of the scene.
    say : callable, optional
        See `pipeline.infer.optimum.find_modes`.

    Raises
    ------
    ArdError
        If there is no scene of that name, the cube does not resolve what it is about, or no start
        leads anywhere.
    """
    settings = likelihood.settings
    chosen = replace(scene(name), groups=settings.groups)
    problem = problem_for(
        likelihood.cube, likelihood.noise, likelihood.target, chosen, settings.cut
    )
    prior = problem.scene.prior
    best = find_modes(problem.posterior.target, dispersed(prior, n_start, seed), say=say)[0]
    values = prior.named(prior.constrain(best.z))
    white = problem.posterior
    fluxes, cubes = white.amplitudes(values), white.posterior.cubes(values)
    return Reference(
        name,
        float(white.log_likelihood(values)),
        float(white.chi2(values)),
        {key: float(value) for key, value in values.items()},
        best.n_found,
        np.einsum("n,nkyx->kyx", np.asarray(fluxes, np.float64), np.asarray(cubes, np.float64)),
    )
