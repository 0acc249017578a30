"""What of a synthetic cube is fixed when it is compiled: which lines, grids and instrument?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ard.cube import SPEED_OF_LIGHT_KMS
from ard.errors import ArdError
from pipeline.scene import losvd, optics
from pipeline.scene.grid import MOST_STEP, FloatArray, SkyGrid, VelocityGrid


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
        Line-spread function at the lines as declared, standard deviation, km/s.
    ties : ndarray, shape (n_line, n_free), optional
        Flux of each line = `ties` @ amplitudes; each line is free where it is not given.
    groups : tuple of tuple of int, optional
        Lines that share a point-spread function, by number; all do where it is not given.
    gain_max : float
        Largest resolving power over the declared one that is to be computed.
    """

    sky: SkyGrid
    velocities: VelocityGrid
    wave_edges: FloatArray
    wave_obs_um: FloatArray
    sigma_lsf_kms: FloatArray
    ties: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    groups: tuple[tuple[int, ...], ...] = ()
    gain_max: float = 1.0

    def __post_init__(self) -> None:
        count = np.size(self.wave_obs_um)
        for name in ("wave_edges", "wave_obs_um", "sigma_lsf_kms"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if np.size(self.ties) == 0:
            object.__setattr__(self, "ties", np.eye(count))
        if not self.groups:
            object.__setattr__(self, "groups", (tuple(range(count)),))
        self._require_whole(count)
        self.velocities.require_fine(_joint_width(self.sigma_lsf_kms, self.gain_max))

    def _require_whole(self, count: int) -> None:
        edges, lines, ties = self.wave_edges, self.wave_obs_um, np.asarray(self.ties)
        good = (
            edges.ndim == 2
            and edges.shape[1] == 2
            and bool(np.all(edges[:, 1] > edges[:, 0]))
            and lines.shape == self.sigma_lsf_kms.shape == (count,)
            and bool(np.all(lines > 0))
        )
        if not good:
            raise ArdError(
                "channels and lines do not make a model",
                expected="edges of shape (n, 2) in ascending order; one width for each line",
                found=f"edges of shape {edges.shape}, {lines.size} lines, "
                f"{self.sigma_lsf_kms.size} widths",
                action="correct the model",
            )
        grouped = sorted(number for group in self.groups for number in group)
        tied = ties.ndim == 2 and len(ties) == count and bool(np.all(np.isfinite(ties)))
        if not tied or grouped != list(range(count)) or not 1.0 <= self.gain_max < np.inf:
            raise ArdError(
                "ties and groups of lines do not make a model",
                expected=f"{count} rows of finite ratios; each of {count} lines in one group; "
                "a largest gain of 1 or more",
                found=f"ties of shape {ties.shape}, groups {self.groups}, gain {self.gain_max}",
                action="correct the model",
            )

    @cached_property
    def split_kms(self) -> float:
        """The part of the line-spread function that is counted with the velocities, km/s."""
        return optics.split_width(self.sigma_lsf_kms, self.gain_max)

    @cached_property
    def channel_um(self) -> float:
        """Width of a channel, um."""
        return float(np.median(np.diff(self.wave_edges, axis=1)))

    def response(self, lines: Sequence[int], lsf_gain: Any, slice_offset: Any) -> jax.Array:
        """In which channels do lines of flux 1 appear, by velocity?

        Parameters
        ----------
        lines : sequence of int
            Their numbers.
        lsf_gain : scalar
            Resolving power over the declared one, `gain_max` at most.
        slice_offset : scalar
            By how many channels all appear too red.

        Returns
        -------
        jax.Array, shape (n_line, n_v, n_channel)
        """
        rows = []
        for number in lines:
            wave, sigma = float(self.wave_obs_um[number]), float(self.sigma_lsf_kms[number])
            rest = jnp.sqrt((sigma / lsf_gain) ** 2 - self.split_kms**2)
            shift = slice_offset * (self.channel_um / wave * SPEED_OF_LIGHT_KMS)
            rows.append(
                optics.channel_response(
                    self.wave_edges, wave, rest, self.velocities.velocities, shift_kms=shift
                )
            )
        return jnp.stack(rows)

    def require_counted(self, speed_kms: float, narrowest_kms: float, widest_kms: float) -> None:
        """Make sure that a source's motion can be counted on the planes of velocity.

        Parameters
        ----------
        speed_kms : float
            Largest velocity along the line of sight, either way.
        narrowest_kms, widest_kms : float
            Smallest and largest dispersion.

        Raises
        ------
        ArdError
            If light could be lost or become infinite without a word.
        """
        narrow, wide = (
            float(np.hypot(width, self.split_kms)) for width in (narrowest_kms, widest_kms)
        )
        losvd.require_safe(self.velocities, narrow, speed_kms, widest_kms=wide)


def coarsest_step(sigma_lsf_kms: FloatArray, gain_max: float = 1.0) -> float:
    """How far apart may the planes of velocity be, so that their sum is the integral, km/s?"""
    return MOST_STEP * _joint_width(sigma_lsf_kms, gain_max)


def _joint_width(sigma_lsf_kms: FloatArray, gain_max: float) -> float:
    """Give the width of the product of both parts of the narrowest line, which is sampled, km/s."""
    narrow = optics.split_width(sigma_lsf_kms, gain_max)
    rest = float(np.sqrt((np.min(sigma_lsf_kms) / gain_max) ** 2 - narrow**2))
    return narrow * rest / float(np.hypot(narrow, rest))


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
