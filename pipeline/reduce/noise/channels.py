"""Which channels of a cube hold no line of the target?

Decided before anything is clipped or fitted: a bright line would otherwise count as an outlier, or
bend the continuum. Windows end where the cube ends; they are never mirrored, so that a line at the
blue edge simply has no blue continuum.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from scipy.ndimage import binary_dilation, median_filter

from ard.cube import SPEED_OF_LIGHT_KMS, BoolArray, FloatArray
from ard.errors import ArdError
from manifests import Target
from pipeline.reduce.outliers import robust_sigma

# What is usual around a channel: the median over this many line-free channels.
_AROUND: Final = 51


@dataclass(frozen=True, eq=False)
class FreeChannels:
    """Which channels are free of lines, and why are the others not?

    Attributes
    ----------
    free : ndarray of bool, shape (n_wave,)
        True where no line of the target can be.
    windows : tuple of dict
        For each line with channels in the cube: its name, and the first and last masked channel.
    busy : tuple of int
        Channels that were found to hold more than noise, as with a line that nobody declared.
    """

    free: BoolArray
    windows: tuple[dict[str, Any], ...]
    busy: tuple[int, ...] = ()

    @property
    def index(self) -> Any:
        """Numbers of the free channels, increasing, shape (n_free,)."""
        return np.flatnonzero(self.free)


def free_channels(
    wave: FloatArray, target: Target, blue_kms: float, red_kms: float, least: int
) -> FreeChannels:
    """Find the channels that hold no line of the target.

    Parameters
    ----------
    wave : ndarray, shape (n_wave,)
        Vacuum wavelength of the channel centres, um.
    target : Target
        Every line that it declares counts, of whatever group.
    blue_kms, red_kms : float
        A channel belongs to a line from this velocity below to this velocity above it.
    least : int
        Fewer free channels than this are an error.

    Raises
    ------
    ArdError
        If too few channels are free of lines.
    """
    free, windows = np.ones(wave.size, dtype=bool), []
    for line in target.lines:
        velocity = SPEED_OF_LIGHT_KMS * (wave / line.wave_obs_um(target.redshift) - 1.0)
        inside = np.flatnonzero((velocity >= -blue_kms) & (velocity <= red_kms))
        if inside.size:
            free[inside] = False
            first, last = int(inside[0]), int(inside[-1])
            windows.append({"line": line.name, "first": first, "last": last})
    _require_channels(free, least)
    return FreeChannels(free, tuple(windows))


def without_busy(
    channels: FreeChannels, mean_square: FloatArray, n_sigma: float, least: int
) -> FreeChannels:
    """Leave out channels that scatter far more than those around them, and their neighbours.

    Parameters
    ----------
    channels : FreeChannels
    mean_square : ndarray, shape (n_free,)
        Of the residuals of each free channel; 0 where there are none.
    n_sigma : float
        How far above, in robust standard deviations of ln(mean square), a busy channel is.
    least : int
        As for `free_channels`.

    Raises
    ------
    ArdError
        If too few channels remain.
    """
    index = channels.index
    seen = np.flatnonzero(mean_square > 0)
    level = np.interp(np.arange(index.size), seen, np.log(mean_square[seen]))
    above = level - median_filter(level, size=min(_AROUND, index.size), mode="nearest")
    loud = np.zeros(channels.free.size, dtype=bool)
    loud[index] = above > n_sigma * robust_sigma(above, axis=0)
    busy = binary_dilation(loud) & channels.free
    free = channels.free & ~busy
    _require_channels(free, least)
    return replace(channels, free=free, busy=tuple(int(k) for k in np.flatnonzero(busy)))


def _require_channels(free: BoolArray, least: int) -> None:
    if free.sum() < least:
        raise ArdError(
            "too few channels of the cube are free of lines to measure its noise",
            expected=f"{least} channels or more outside of the windows of the lines",
            found=f"{int(free.sum())} of {free.size}",
            action="give a cube with a longer range, or narrower windows: --set "
            "noise.blue_kms=600 --set noise.red_kms=600",
        )
