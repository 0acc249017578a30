"""How much light does each channel get from a Gaussian line, and how does that change?

A Gaussian in velocity is integrated over each channel (differences of the normal distribution
function), never sampled at channel centres: where a channel is as wide as the line-spread
function, sampling would miss 1/12 channel^2 of the variance.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ard.cube import SPEED_OF_LIGHT_KMS
from pipeline.lineset import LineSet

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_DENSITY: Final = 1.0 / np.sqrt(2.0 * np.pi)
_MJY_CGS: Final = 1e-17  # 1 MJy in erg s-1 cm-2 Hz-1, exact by definition of the jansky
_SPEED_OF_LIGHT_UM_S: Final = SPEED_OF_LIGHT_KMS * 1e9
_SR_PER_ARCSEC2: Final = (np.pi / 180.0 / 3600.0) ** 2


def velocity_kms(wave_um: FloatArray, wave_rest_um: float, redshift: float) -> FloatArray:
    """Give the velocity (km/s) at which a line falls on a wavelength: c (w / (w0 (1 + z)) - 1)."""
    return SPEED_OF_LIGHT_KMS * (wave_um / (wave_rest_um * (1.0 + redshift)) - 1.0)


def flux_density_per_mjy_sr(wave: FloatArray) -> FloatArray:
    """Give 1 MJy/sr as flux density per wavelength, f_lambda = f_nu c / lambda^2.

    Parameters
    ----------
    wave : ndarray
        Wavelength, um.

    Returns
    -------
    ndarray
        erg s-1 cm-2 arcsec-2 um-1.
    """
    return np.asarray(_MJY_CGS * _SR_PER_ARCSEC2 * _SPEED_OF_LIGHT_UM_S / wave**2)


def sigma_error(variance: FloatArray, variance_err: FloatArray) -> FloatArray:
    """Turn the error of sigma^2 into that of sigma.

    The linear rule err / (2 sigma) diverges as sigma goes to zero; there the root of the error
    is the 1-sigma upper limit of sigma, and the smaller of the two is taken.
    """
    limit = np.sqrt(variance_err)
    linear = np.divide(
        variance_err, 2.0 * np.sqrt(variance), out=np.full_like(limit, np.inf), where=variance > 0
    )
    return np.minimum(linear, limit)  # NaN where there is no error


@dataclass(frozen=True, eq=False)
class Windows:
    """Which channels are fitted, in which blocks, and which block holds each line?

    Attributes
    ----------
    channels : ndarray of int, shape (n_used,)
        Indices of the fitted channels, increasing.
    blocks : tuple of slice
        Each block as a slice of `channels`.
    line_block : tuple of int
        The block of each line.
    """

    channels: IntArray
    blocks: tuple[slice, ...]
    line_block: tuple[int, ...]


def integrated(
    edges_kms: FloatArray, velocity: FloatArray, sigma_kms: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the fraction of a line in each channel, and its derivatives.

    Parameters
    ----------
    edges_kms : ndarray, shape (n_chan + 1,)
        Edges of adjacent channels as velocities of the line.
    velocity : ndarray, shape (n,)
        Mean velocity, km/s.
    sigma_kms : ndarray, shape (n,)
        Total standard deviation, km/s.

    Returns
    -------
    fraction : ndarray, shape (n, n_chan)
    by_velocity : ndarray, shape (n, n_chan)
        Derivative with respect to `velocity`, per km/s.
    by_variance : ndarray, shape (n, n_chan)
        Derivative with respect to the variance `sigma_kms`^2, per (km/s)^2.
    """
    width = sigma_kms[:, None]
    z = (edges_kms - velocity[:, None]) / width
    density = _DENSITY * np.exp(-0.5 * z**2)
    by_velocity = -np.diff(density) / width
    by_variance = -np.diff(z * density) / (2.0 * width**2)
    return np.diff(ndtr(z)), by_velocity, by_variance


@dataclass(frozen=True, eq=False)
class Response:
    """Which channels does each line reach, seen as velocities of that line?

    Attributes
    ----------
    lines : LineSet
    windows : Windows
    edges_kms : tuple of ndarray, each of shape (n_block + 1,)
        Edges of the (adjacent) channels of the line's block, km/s.
    widths_um : ndarray, shape (n_used,)
        Channel widths.
    """

    lines: LineSet
    windows: Windows
    edges_kms: tuple[FloatArray, ...]
    widths_um: FloatArray

    @classmethod
    def of(
        cls, wave_edges: FloatArray, lines: LineSet, windows: Windows, redshift: float
    ) -> "Response":
        """Prepare the channels of `windows` for `lines` at a redshift."""
        low, high = wave_edges[windows.channels], wave_edges[windows.channels + 1]
        edges = tuple(
            velocity_kms(np.append(low[part], high[part][-1]), rest, redshift)
            for rest, part in zip(lines.wave_rest_um, cls._parts(windows), strict=True)
        )
        return cls(lines, windows, edges, high - low)

    @staticmethod
    def _parts(windows: Windows) -> list[slice]:
        return [windows.blocks[k] for k in windows.line_block]

    def templates(
        self, velocity: FloatArray, variance: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give the light in each channel for unit amplitudes, and its derivatives.

        Parameters
        ----------
        velocity, variance : ndarray, shape (n,)
            Velocity in km/s, intrinsic variance in (km/s)^2.

        Returns
        -------
        three ndarrays, shape (n, n_used, n_free)
            Flux density per um and unit amplitude; derivatives by velocity and by variance.
        """
        shape = (velocity.size, self.windows.channels.size, self.lines.n_free)
        results = (np.zeros(shape), np.zeros(shape), np.zeros(shape))
        for row, part in enumerate(self._parts(self.windows)):
            sigma = np.sqrt(variance + self.lines.sigma_lsf_kms[row] ** 2)
            pieces = integrated(self.edges_kms[row], velocity, sigma)
            for k in np.flatnonzero(self.lines.ratio[row]):
                for result, piece in zip(results, pieces, strict=True):
                    result[:, part, k] += self.lines.ratio[row, k] * piece / self.widths_um[part]
        return results

    def shares(self, velocity: float, variance: float) -> FloatArray:
        """Give the part of each line's light that falls into each channel.

        Returns
        -------
        ndarray, shape (n_lines, n_used)
        """
        light = np.zeros((len(self.lines.names), self.windows.channels.size))
        for row, part in enumerate(self._parts(self.windows)):
            sigma = np.sqrt(variance + self.lines.sigma_lsf_kms[row] ** 2)
            one = integrated(self.edges_kms[row], np.array([velocity]), np.array([sigma]))
            light[row, part] = one[0][0]
        return light

    def near(self, velocity: FloatArray, variance: FloatArray, n_sigma: float) -> BoolArray:
        """Say which channels a line reaches: centre within `n_sigma` widths.

        Returns
        -------
        ndarray of bool, shape (n, n_used)
        """
        reached = np.zeros((velocity.size, self.windows.channels.size), dtype=bool)
        for row, part in enumerate(self._parts(self.windows)):
            sigma = np.sqrt(variance + self.lines.sigma_lsf_kms[row] ** 2)[:, None]
            centre = 0.5 * (self.edges_kms[row][1:] + self.edges_kms[row][:-1])
            reached[:, part] |= np.abs(centre - velocity[:, None]) < n_sigma * sigma
        return reached
