"""What is the spectrum of an aperture, and how do its errors hang together?

Continuum and lines are not spread alike: most of the continuum of a cube from which no background
was subtracted is flat sky, while lines have the profile of `light`. So each voxel is taken apart
from the continuum of its spaxel first. The continuum is summed over all spaxels, masked or not, so
that a masked voxel makes no step in it; what is above it is summed as follows.

Box: the sum of share times flux over the spaxels that may be used. Masked spaxels are missing from
it, and nothing is scaled: `coverage` says which part of the light of the aperture the sum holds
(by the profile of `light`), channels below a least coverage are masked, and a model of the lines of
the whole aperture is to be multiplied by `response` before it is compared with the sum.

Optimal: weights C^-1 p / (p' C^-1 p) over the used spaxels, with C the covariance of the voxels
of one channel and p the profile. It estimates the light of the whole aperture, `response` is 1,
and is right where the light has the profile.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ard.cube import BoolArray, Cube, FloatArray
from pipeline.lineprofile import flux_density_per_mjy_sr
from pipeline.reduce.apertures.covariance import VoxelNoise
from pipeline.reduce.apertures.place import Placed

BOX: Final = "box"
OPTIMAL: Final = "optimal"
METHODS: Final = (BOX, OPTIMAL)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The spectrum of an aperture.

    Attributes
    ----------
    method : str
        ``box`` or ``optimal``.
    flux : ndarray, shape (n_wave,)
        erg s-1 cm-2 um-1; NaN where masked.
    covariance : ndarray, shape (n_wave, n_wave)
        Of `flux`; rows and columns of masked channels are 0.
    response : ndarray, shape (n_wave,)
        Expected light of a line in `flux` over that of the whole aperture; of the continuum it
        is 1.
    coverage : ndarray, shape (n_wave,)
        Part of the light of the aperture that is in spaxels that may be used.
    mask : ndarray of bool, shape (n_wave,)
        True = do not use.
    weights : ndarray, shape (n_wave, m)
        With which the spaxels are summed.
    """

    method: str
    flux: FloatArray
    covariance: FloatArray
    response: FloatArray
    coverage: FloatArray
    mask: BoolArray
    weights: FloatArray

    @property
    def err(self) -> FloatArray:
        """Standard deviation, NaN where masked, shape (n_wave,)."""
        return np.where(self.mask, np.nan, np.sqrt(np.diagonal(self.covariance)))

    def correlation(self, lag: int) -> FloatArray:
        """Give the correlation of each channel with the one `lag` later, NaN where none."""
        n_wave = self.flux.size
        out = np.full(n_wave, np.nan)
        first = np.arange(max(n_wave - lag, 0))
        if first.size:
            out[first] = self.covariance[first, first + lag] / (
                self.err[first] * self.err[first + lag]
            )
        return out


def extract(
    cube: Cube,
    noise: VoxelNoise,
    placed: Placed,
    light: FloatArray,
    *,
    method: str,
    min_coverage: float,
    profile_error: float = 0.0,
    level: FloatArray | None = None,
) -> Spectrum:
    """Add up the spectrum of an aperture.

    Parameters
    ----------
    cube : Cube
        In MJy/sr.
    noise : VoxelNoise
    placed : Placed
        An aperture with one spaxel or more.
    light : ndarray, shape (n_wave, m)
        As `light.light_of` gives it.
    method : str
        ``box`` or ``optimal``.
    min_coverage : float
        Channels with less of the light are masked.
    profile_error : float
        By which part of the brightest spaxel the light of any may differ from the profile: taken
        into account in the optimal weights at the brightness of the brightest line. Where it
        dominates the weights become the profile itself. (For errors see `light.mismatch`.)
    level : ndarray, shape (n_wave, m), optional
        The continuum of each spaxel, MJy/sr, as `continuum.levels` gives it; none is taken apart
        where it is not given. Its own errors, a fifth of those of a voxel and smooth over the
        channels of a fit, are not passed on.
    """
    n_wave = cube.shape[0]
    unit = flux_density_per_mjy_sr(cube.wave)[:, None] * cube.pixel_area_arcsec2
    used = ~noise.mask.reshape(n_wave, -1)[:, placed.spaxels]
    base = np.zeros(used.shape) if level is None else level
    flux = np.where(used, cube.flux.reshape(n_wave, -1)[:, placed.spaxels] - base, 0.0) * unit
    sigma = np.where(used, noise.sigma.reshape(n_wave, -1)[:, placed.spaxels], 0.0) * unit
    coverage = (light * used) @ placed.share
    mask = ~(coverage >= min_coverage) | ~used.any(axis=1)
    if method == BOX:
        weights = placed.share * used
    else:
        seen = np.divide(
            (placed.share * flux).sum(axis=1), coverage, out=np.zeros(n_wave), where=~mask
        )
        wrong = profile_error * _peak(seen) * light.max(axis=1, keepdims=True)
        correlation = noise.correlation.among(placed.spaxels)
        weights = optimal_weights(sigma, correlation, light, used, wrong)
    weights = np.where(mask[:, None], 0.0, weights)
    return Spectrum(
        method=method,
        flux=np.where(mask, np.nan, (weights * flux).sum(axis=1) + (base * unit) @ placed.share),
        covariance=noise.correlation.spectrum(weights * sigma, placed.spaxels),
        response=coverage if method == BOX else np.ones(n_wave),
        coverage=coverage,
        mask=mask,
        weights=weights,
    )


def _peak(flux: FloatArray) -> float:
    """Give the brightness of the brightest line above the rest; wild channels are no line."""
    if flux.size < 3:
        return 0.0
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(flux, 3), axis=1)
    return float(smooth.max() - np.median(flux))


def masked(spectrum: Spectrum, more: BoolArray) -> Spectrum:
    """Give a spectrum with more channels masked."""
    mask = spectrum.mask | more
    return replace(
        spectrum,
        flux=np.where(mask, np.nan, spectrum.flux),
        covariance=np.where(mask[:, None] | mask[None, :], 0.0, spectrum.covariance),
        mask=mask,
    )


def optimal_weights(
    sigma: FloatArray,
    correlation: FloatArray,
    light: FloatArray,
    used: BoolArray,
    wrong: FloatArray | None = None,
) -> FloatArray:
    """Give C^-1 p / (p' C^-1 p) of the used spaxels, channel by channel.

    Parameters
    ----------
    sigma : ndarray, shape (n_wave, m)
        Standard deviations.
    correlation : ndarray, shape (m, m)
    light : ndarray, shape (n_wave, m)
        The profile p.
    used : ndarray of bool, shape (n_wave, m)
    wrong : ndarray, shape (n_wave, m), optional
        Standard deviation of what the profile may miss in each spaxel, added to C.

    Returns
    -------
    ndarray, shape (n_wave, m)
        0 where not used.
    """
    both = used[:, :, None] & used[:, None, :]
    matrix = np.where(both, correlation, 0.0)
    k = np.arange(correlation.shape[0])
    # In units of each spaxel's sigma the matrix is that of the correlation alone.
    scale = np.where(used, sigma, 1.0)
    more = 0.0 if wrong is None else (wrong / scale) ** 2
    matrix[:, k, k] = np.where(used, matrix[:, k, k] + more, 1.0)
    profile = np.where(used, light, 0.0) / scale
    solved = np.linalg.solve(matrix, profile[:, :, None])[:, :, 0]
    norm = (profile * solved).sum(axis=1)
    weights = solved / scale / np.where(norm > 0, norm, np.inf)[:, None]
    return np.asarray(np.where(used, weights, 0.0))
