"""How do the errors of single voxels add up in an aperture, and from channel to channel?

With a = weight x standard deviation of each used voxel, and R the correlation of the noise, the
spectrum of an aperture has the covariance C[k, l] = sum_st a[k, s] R[(k, s), (l, t)] a[l, t]:
w' C w for every pair of channels. Masked voxels have no weight; the covariance of the others does
not depend on them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from scipy.linalg import solve_triangular

from ard.cube import Cube, FloatArray
from ard.errors import ArdError
from ard.fitsio import open_hdus
from ard.likelihood import Noise, read_noise
from pipeline.lineprofile import IntArray

ERR_ALONE: Final = "ERR alone: voxels are taken as independent"
PRODUCT: Final = "noise product"
_SMALLEST_GRID: Final = 64  # lags of a kernel wrap around beyond: 0.5 ** 32 is nothing
_FAR: Final = 1e-6  # of the variance: a smaller correlation of channels is left out
_WAVE_RTOL: Final = 1e-6
_WAVE_KEYS: Final = ("WAVEMIN", "WAVEMAX")


class Correlation(Protocol):
    """What is known of how voxels of one cube share their noise."""

    def among(self, spaxels: IntArray) -> FloatArray:
        """Give the correlation of spaxels within a channel, shape (m, m)."""

    def spectrum(self, weighted: FloatArray, spaxels: IntArray) -> FloatArray:
        """Give the covariance of weighted sums over spaxels, shape (n_wave, n_wave).

        Parameters
        ----------
        weighted : ndarray, shape (n_wave, m)
            Weight times standard deviation.
        spaxels : ndarray of int, shape (m,)
        """


class Independent:
    """No two voxels share noise."""

    def among(self, spaxels: IntArray) -> FloatArray:
        """Give the unit matrix."""
        return np.eye(spaxels.size)

    def spectrum(self, weighted: FloatArray, spaxels: IntArray) -> FloatArray:
        """Give a diagonal matrix."""
        return np.diag((weighted**2).sum(axis=1))


@dataclass(frozen=True, eq=False)
class Separable:
    """Correlation along wavelength times correlation on the sky.

    Attributes
    ----------
    wave : ndarray, shape (n_wave, n_wave), or None
        Correlation of channels; None where they are independent.
    sky : tuple of ndarray or None
        Whiteners (inverse Cholesky factors): one of shape (ny * nx, ny * nx), or two, of
        shapes (ny, ny) and (nx, nx).
    nx : int
        Columns of the grid.
    """

    wave: FloatArray | None
    sky: tuple[FloatArray | None, ...]
    nx: int

    def among(self, spaxels: IntArray) -> FloatArray:
        """Give the correlation of spaxels within a channel, shape (m, m)."""
        if len(self.sky) == 1:
            return _among(self.sky[0], spaxels)
        rows, columns = np.divmod(spaxels, self.nx)
        return _among(self.sky[0], rows) * _among(self.sky[1], columns)

    def spectrum(self, weighted: FloatArray, spaxels: IntArray) -> FloatArray:
        """Give the covariance of weighted sums over spaxels, shape (n_wave, n_wave)."""
        if self.wave is None:
            variance = np.einsum("ks,st,kt->k", weighted, self.among(spaxels), weighted)
            return np.diag(variance)
        return self.wave * (weighted @ self.among(spaxels) @ weighted.T)


def _among(whitener: FloatArray | None, places: IntArray) -> FloatArray:
    """Give R[places, places] of R = (W'W)^-1; places may repeat."""
    if whitener is None:
        return np.asarray(places[:, None] == places[None, :], dtype=float)
    lower = not np.triu(whitener, 1).any()
    unit = np.zeros((whitener.shape[0], places.size))
    unit[places, np.arange(places.size)] = 1.0
    half = solve_triangular(whitener, unit, trans="T", lower=lower)
    return np.asarray(half.T @ half)


@dataclass(frozen=True, eq=False)
class Stationary:
    """Correlation that depends on the distance of two voxels only: that of a whitening filter.

    Near the edges of the cube, which the filter takes for the edge of the noise, its own
    correlation is smaller; here the interior holds everywhere.

    Attributes
    ----------
    kernel : ndarray, shape (n, n, n)
        Covariance at a distance (wave, y, x), periodic: negative distances count from the end.
    nx : int
        Columns of the grid.
    """

    kernel: FloatArray
    nx: int

    @classmethod
    def of_taps(cls, taps: FloatArray, nx: int) -> "Stationary":
        """Give the covariance whose whitening filter has these taps: 1 / |taps(f)|^2."""
        grid = tuple(max(_SMALLEST_GRID, 8 * n) for n in taps.shape)
        power = np.abs(np.fft.fftn(taps, grid, (0, 1, 2))) ** 2
        return cls(np.real(np.fft.ifftn(1.0 / power)), nx)

    def among(self, spaxels: IntArray) -> FloatArray:
        """Give the covariance of spaxels within a channel, in units of sigma^2, shape (m, m)."""
        return self._at(0, spaxels)

    def _at(self, lag: int, spaxels: IntArray) -> FloatArray:
        rows, columns = np.divmod(spaxels, self.nx)
        away = (rows[None, :] - rows[:, None], columns[None, :] - columns[:, None])
        return np.asarray(self.kernel[(lag, *away)])

    def spectrum(self, weighted: FloatArray, spaxels: IntArray) -> FloatArray:
        """Give the covariance of weighted sums over spaxels, shape (n_wave, n_wave)."""
        n_wave = weighted.shape[0]
        total = np.zeros((n_wave, n_wave))
        size = np.abs(self.kernel).max(axis=(1, 2)) / self.kernel[0, 0, 0]
        for lag in range(min(n_wave, self.kernel.shape[0] // 2)):
            if size[lag] < _FAR:
                continue
            first = np.arange(n_wave - lag)
            pairs = (weighted[first] @ self._at(lag, spaxels) * weighted[first + lag]).sum(axis=1)
            total[first, first + lag] = total[first + lag, first] = pairs
        return total


@dataclass(frozen=True, eq=False)
class GivenNoise:
    """A noise product as read: the noise, its file, and the ends of its wavelengths, um."""

    noise: Noise
    file: str
    ends_um: tuple[float, float] | None = None


def read_given_noise(path: str | os.PathLike[str]) -> GivenNoise:
    """Read a noise product with what it says of its wavelengths (WAVEMIN, WAVEMAX), if anything.

    Raises
    ------
    ArdError
        If the file is no noise product.
    """
    noise = read_noise(path)
    with open_hdus(path) as hdus:
        header = hdus[0].header
        known = all(key in header for key in _WAVE_KEYS)
        ends = (float(header["WAVEMIN"]), float(header["WAVEMAX"])) if known else None
    return GivenNoise(noise, Path(path).name, ends)


@dataclass(frozen=True, eq=False)
class VoxelNoise:
    """The noise of the voxels of a cube.

    Attributes
    ----------
    sigma : ndarray, shape (n_wave, ny, nx)
        Standard deviation, in the unit of the cube; of masked voxels anything.
    mask : ndarray of bool, shape (n_wave, ny, nx)
        True = do not use.
    correlation : Correlation
    source : str
        `ERR_ALONE`, or the name of the noise product.
    """

    sigma: FloatArray
    mask: np.ndarray
    correlation: Correlation
    source: str

    @property
    def measured(self) -> bool:
        """True if a noise product was given."""
        return self.source != ERR_ALONE


def noise_of(cube: Cube, given: GivenNoise | None) -> VoxelNoise:
    """Give the noise of a cube: that of its noise product, or ERR alone.

    Raises
    ------
    ArdError
        If the noise product is that of another cube.
    """
    if given is None:
        sigma = np.where(cube.mask, 1.0, np.sqrt(np.where(cube.mask, 1.0, cube.var)))
        return VoxelNoise(sigma, np.asarray(cube.mask), Independent(), ERR_ALONE)
    _require_same(cube, given)
    noise, n_wave = given.noise, cube.shape[0]
    scale = np.broadcast_to(np.asarray(noise.scale, dtype=float), (n_wave,))
    sigma = np.asarray(noise.sigma, dtype=float) * scale[:, None, None]
    mask = np.asarray(cube.mask) | np.asarray(noise.mask)
    source = f"{PRODUCT} {given.file}"
    return VoxelNoise(np.where(mask, 1.0, sigma), mask, _correlation(noise, cube), source)


def _correlation(noise: Noise, cube: Cube) -> Correlation:
    nx = cube.shape[2]
    if noise.taps is not None:
        return Stationary.of_taps(np.asarray(noise.taps, dtype=float), nx)
    if noise.factors is None:
        return Independent()
    wave, *sky = (None if f is None else np.asarray(f, dtype=float) for f in noise.factors)
    every = np.arange(cube.shape[0])
    return Separable(None if wave is None else _among(wave, every), tuple(sky), nx)


def _require_same(cube: Cube, given: GivenNoise) -> None:
    name = cube.meta.get("FILENAME") or "the cube"
    ends = (float(cube.wave[0]), float(cube.wave[-1]))
    shape = tuple(np.shape(given.noise.sigma))
    same_wave = given.ends_um is None or np.allclose(given.ends_um, ends, rtol=_WAVE_RTOL, atol=0)
    if shape == cube.shape and same_wave:
        return
    noise_wave = given.ends_um or (float("nan"), float("nan"))
    raise ArdError(
        f"the noise product {given.file} is not that of the cube {name}",
        file=given.file,
        expected=f"{name}: shape {cube.shape}, {ends[0]:.6f} to {ends[1]:.6f} um",
        found=f"{given.file}: shape {shape}, {noise_wave[0]:.6f} to {noise_wave[1]:.6f} um",
        action="make the noise product from this cube",
    )
