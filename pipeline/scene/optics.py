"""Where do optics and detector put light of a place and a wavelength?

Pixels and channels integrate: at 0.1 arcsec and R = 1000 both are as wide as what they sample, so
that a profile taken at their middles would be wrong by a tenth of its variance. All profiles here
are Gaussians integrated exactly, by differences of the error function.
"""

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from ard.cube import SPEED_OF_LIGHT_KMS
from ard.errors import ArdError
from pipeline.scene.grid import FloatArray

FWHM_PER_SIGMA: Final = 2.0 * np.sqrt(2.0 * np.log(2.0))
_SQRT2: Final = np.sqrt(2.0)


def pixel_matrix(edges: FloatArray, places: Any, sigma: Any) -> jax.Array:
    """How much of the light of each place falls into each pixel?

    Parameters
    ----------
    edges : ndarray, shape (n_pixel + 1,)
        Edges of the pixels, arcsec.
    places : array, shape (..., n_place)
        Where the light comes from, arcsec.
    sigma : scalar
        Standard deviation of the point-spread function along this axis, arcsec.

    Returns
    -------
    jax.Array, shape (..., n_pixel, n_place)
        A column sums to 1 if the pixels catch all of that place's light.
    """
    dtype = jnp.result_type(float)
    steps = jnp.asarray(edges, dtype)[:, None] - jnp.asarray(places, dtype)[..., None, :]
    below = 0.5 * jax.scipy.special.erf(steps / (sigma * _SQRT2))
    return jnp.maximum(jnp.diff(below, axis=-2), 0.0)  # rounding of erf is not monotonic


def channel_response(
    wave_edges: FloatArray,
    wave_obs_um: float,
    sigma_kms: Any,
    velocities: FloatArray,
    *,
    shift_kms: Any = 0.0,
) -> jax.Array:
    """Which part of a line's light falls into which channel, by how fast the light moves?

    Parameters
    ----------
    wave_edges : ndarray, shape (n_channel, 2)
        Lower and upper edge of each channel, um; channels need not touch.
    wave_obs_um : float
        Wavelength of the line at velocity zero, um.
    sigma_kms : scalar
        Standard deviation of what is left of the line-spread function, km/s.
    velocities : ndarray, shape (n_v,)
        km/s.
    shift_kms : scalar
        How much redder than it is the spectrograph sees the line, km/s.

    Returns
    -------
    jax.Array, shape (n_v, n_channel)
        A row sums to 1 if the channels catch the whole line.
    """
    speeds = (wave_edges / wave_obs_um - 1.0) * SPEED_OF_LIGHT_KMS
    dtype = jnp.result_type(float)
    steps = jnp.asarray(speeds[None, :, :] - velocities[:, None, None], dtype) - shift_kms
    below = 0.5 * jax.scipy.special.erf(steps / (sigma_kms * _SQRT2))
    return jnp.maximum(below[..., 1] - below[..., 0], 0.0)


def split_width(sigma_lsf_kms: FloatArray, gain_max: float = 1.0) -> float:
    """Which part of the line-spread function goes to the velocities, the rest to the channels?

    Half of the variance of the narrowest, km/s: both factors are then Gaussians wide enough for a
    coarse grid of velocities (reference/cubes.md 3.2).

    Parameters
    ----------
    sigma_lsf_kms : ndarray, shape (n_line,)
        Standard deviations.
    gain_max : float
        By how much all may be narrower than that.

    Raises
    ------
    ArdError
        If a width is not above zero.
    """
    widths = np.asarray(sigma_lsf_kms, dtype=np.float64)
    if widths.size == 0 or not np.all(np.isfinite(widths) & (widths > 0)):
        raise ArdError(
            "a line-spread function is impossible",
            expected="standard deviations above 0 km/s, one a line",
            found=str(widths.tolist()),
            action="correct the widths",
        )
    return float(np.sqrt(0.5) * widths.min() / gain_max)
