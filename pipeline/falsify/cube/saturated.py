"""How well could any scene explain the cube?

The saturated scene: in every spaxel each free line has a distribution of velocities of its own,
whatever its neighbours have and whatever the point-spread function is: a light of either sign on
planes of velocity as far apart as the narrowest line-spread function allows, seen through that.
All of it is linear. What a disc leaves of the data beyond what this leaves, it does not explain.
"""

from typing import Final

import numpy as np
from scipy import linalg, special

from ard.cube import SPEED_OF_LIGHT_KMS, FloatArray
from pipeline.falsify.cube.likelihood import DiscLikelihood
from pipeline.scene.grid import MOST_STEP

# Velocities that have light of their own: those of bow and disc and a line's width beyond.
_LOW_KMS, _HIGH_KMS = -800.0, 400.0
_PIECE: Final = 64  # cubes that are whitened at a time


class Saturated:
    """Gives chi2 of the saturated scene.

    Amplitudes have the wide prior of those of a disc, each as wide as a line's whole flux there;
    backgrounds are the same.

    Parameters
    ----------
    likelihood : DiscLikelihood
        Data on its voxels can be asked for.
    low_kms, high_kms : float
        First and last plane of velocity.

    Attributes
    ----------
    n_free : float
        Effective number of amplitudes: the trace of what turns data into the model.
    """

    def __init__(
        self,
        likelihood: DiscLikelihood,
        low_kms: float = _LOW_KMS,
        high_kms: float = _HIGH_KMS,
    ) -> None:
        data = likelihood.data
        profiles = line_profiles(likelihood, low_kms, high_kms)
        _, ny, nx = likelihood.seen.data.shape
        places = np.eye(ny * nx).reshape(-1, ny, nx)
        width = float(data.sigma[0])
        rows = [data.fixed]
        for profile in profiles:
            for first in range(0, len(places), _PIECE):
                some = places[first : first + _PIECE]
                cubes = np.einsum("c,nyx->ncyx", profile * width, some)
                rows.append(np.asarray(data.white(cubes)))
        self._basis = np.concatenate(rows)
        self._normal = self._basis @ self._basis.T
        system = self._normal + np.eye(len(self._normal))
        self._factor = linalg.cho_factor(system, lower=True)
        # trace of N (N + 1)^-1 = n - trace of (N + 1)^-1
        inverse = linalg.solve_triangular(self._factor[0], np.eye(len(system)), lower=True)
        self.n_free = float(len(system) - np.sum(inverse**2))

    def chi2(self, likelihood: DiscLikelihood) -> float:
        """Give the squares of the whitened residuals of the saturated scene.

        Parameters
        ----------
        likelihood : DiscLikelihood
            The one it was made of, or one of other data on the same voxels.
        """
        white = np.asarray(likelihood.white)
        pulled = self._basis @ white
        found = linalg.cho_solve(self._factor, pulled)
        return float(white @ white - 2.0 * found @ pulled + found @ self._normal @ found)


def line_profiles(likelihood: DiscLikelihood, low_kms: float, high_kms: float) -> FloatArray:
    """Give the spectrum of each free line of flux 1 at each velocity, shape (n, n_channel)."""
    model = likelihood.view.model
    gain = model.gain_max
    step = MOST_STEP * float(np.min(model.sigma_lsf_kms)) / gain
    speeds = np.linspace(low_kms, high_kms, int(np.ceil((high_kms - low_kms) / step)) + 1)
    ties = np.asarray(model.ties, np.float64)
    found = np.zeros((ties.shape[1], speeds.size, len(model.wave_edges)))
    for line, (wave, sigma) in enumerate(zip(model.wave_obs_um, model.sigma_lsf_kms, strict=True)):
        seen = _response(model.wave_edges, float(wave), float(sigma) / gain, speeds)
        found += ties[line][:, None, None] * seen
    return found.reshape(-1, found.shape[-1])


def _response(
    edges: FloatArray, wave_um: float, sigma_kms: float, speeds_kms: FloatArray
) -> FloatArray:
    """Give the share of a line's light in each channel, shape (n_v, n_channel)."""
    steps = (edges[None] / wave_um - 1.0) * SPEED_OF_LIGHT_KMS - speeds_kms[:, None, None]
    below = special.ndtr(steps / sigma_kms)
    return np.asarray(below[..., 1] - below[..., 0], np.float64)
