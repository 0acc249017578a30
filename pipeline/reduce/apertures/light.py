"""How is the light of an aperture spread over its spaxels?

The weights of the optimal extraction need it, and so does the share of the light that masked
spaxels take away. The profile has few numbers, measured once for the whole cube: a profile that
followed the noise of each aperture would bias its flux, by about one part in its squared
signal-to-noise for every number that is fitted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ard.cube import Cube, FloatArray
from ard.maps import Map
from manifests.aperture import COMPACT, POINT, WAKE
from pipeline.reduce.apertures.place import Placed

_FWHM: Final = float(2.0 * np.sqrt(2.0 * np.log(2.0)))
_MIN_SPAXELS: Final = 8
_MAX_SIGMA_ARCSEC: Final = 0.5
_DIGITS: Final = 6
_NEAR: Final = 2e-3  # of the wavelength: 600 km/s, where the light of a line is
_MAX_SLOPE: Final = 5.0  # per arcsec: a factor of 12 over an aperture of 0.5 arcsec


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian of light on the sky, its axes along and across the axis of the target.

    Attributes
    ----------
    along_arcsec, across_arcsec : float
        Its centre from that of the aperture.
    sigma_along_arcsec, sigma_across_arcsec : float
        Standard deviations, with PSF and spaxel; infinite along a wake.
    slope_per_arcsec : float
        Logarithmic slope of the light along the axis.
    wave_um : float
        Where it was measured.
    source : str
        The map it was measured on, or why it is that of a point.
    """

    along_arcsec: float
    across_arcsec: float
    sigma_along_arcsec: float
    sigma_across_arcsec: float
    slope_per_arcsec: float
    wave_um: float
    source: str


def psf_sigma(cube: Cube, wave: FloatArray) -> FloatArray:
    """Give the standard deviation of the PSF with a spaxel, arcsec; 0 for a PSF of no width.

    Parameters
    ----------
    cube : Cube
        A cube without PSF has only the width of its spaxels.
    wave : ndarray, shape (n,)
    """
    width = np.zeros(wave.shape) if cube.psf is None else cube.psf.fwhm_at(wave) / _FWHM
    return np.sqrt(width**2 + cube.pixel_area_arcsec2 / 12.0)


Samples = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
_Points = NDArray[np.float64]


def measure(
    cube: Cube,
    placed: Sequence[Placed],
    linemaps: Mapping[str, Map],
    waves_um: Mapping[str, float],
    min_snr: float,
) -> dict[str, Gaussian]:
    """Measure the profiles of all apertures on the line map that is brightest in them.

    Apertures with the profile ``wake`` share centre and width across the axis, and have a slope
    each; those with ``compact`` have centre and widths of their own; ``point`` is the PSF.

    Parameters
    ----------
    cube : Cube
    placed : sequence of Placed
    linemaps : mapping of str to Map
        By group.
    waves_um : mapping of str to float
        Observed wavelength of each flux layer.
    min_snr : float
        A map with less signal-to-noise in an aperture (in all of a wake together) says nothing;
        then the light is taken to be that of a point, or of a wake as narrow as the PSF.

    Returns
    -------
    dict
        By name of the aperture; none for ``flat``, and for a cube without PSF.
    """
    if cube.psf is None:
        return {}  # nothing says how narrow a point is
    live = [p for p in placed if p.spaxels.size]
    wake = [p for p in live if p.aperture.profile == WAKE]
    profiles = _wake(cube, wake, linemaps, waves_um, min_snr) if wake else {}
    for one in live:
        if one.aperture.profile == POINT:
            profiles[one.aperture.name] = _point(cube, "the PSF")
        if one.aperture.profile == COMPACT:
            profiles[one.aperture.name] = _compact(cube, one, linemaps, waves_um, min_snr)
    return profiles


def _point(cube: Cube, source: str, *, wake: bool = False) -> Gaussian:
    wave = float(np.median(cube.wave))
    sigma = float(psf_sigma(cube, np.array([wave]))[0])
    return Gaussian(0.0, 0.0, np.inf if wake else sigma, sigma, 0.0, wave, source)


def _brightest(
    own: Sequence[Placed],
    linemaps: Mapping[str, Map],
    waves_um: Mapping[str, float],
    min_snr: float,
) -> tuple[str, list[Samples]] | None:
    """Give the flux layer with the largest signal-to-noise in some apertures, and its spaxels."""
    best, best_snr = None, min_snr
    for linemap in linemaps.values():
        for layer in (n for n in linemap.layers if n in waves_um):
            samples = [_samples(p, linemap, layer) for p in own]
            flux = sum(float(one[2].sum()) for one in samples)
            variance = sum(float((one[3] ** 2).sum()) for one in samples)
            enough = sum(one[0].size for one in samples) >= _MIN_SPAXELS
            if enough and variance > 0 and flux / np.sqrt(variance) > best_snr:
                best, best_snr = (layer, samples), flux / np.sqrt(variance)
    return best


def mismatch(
    placed: Placed,
    weights: FloatArray,
    light: FloatArray,
    linemaps: Mapping[str, Map],
    waves_um: Mapping[str, float],
    wave: FloatArray,
    *,
    min_snr: float,
) -> float | None:
    """Say by which part a weighted sum is off because the light has another profile.

    The line map that is brightest in the aperture stands for the light: the weights are laid on it
    and on the profile, and so are the shares. What noise of the map does to this is taken off.

    Parameters
    ----------
    placed : Placed
    weights : ndarray, shape (n_wave, m)
    light : ndarray, shape (n_wave, m)
        The profile.
    linemaps : mapping of str to Map
    waves_um : mapping of str to float
        Observed wavelength of each flux layer.
    wave : ndarray, shape (n_wave,)
    min_snr : float
        A map with less signal-to-noise in the aperture says nothing.

    Returns
    -------
    float or None
        Median over the channels of the line; None where nothing can be said.
    """
    best = _brightest([placed], linemaps, waves_um, min_snr)
    if best is None:
        return None
    layer, _ = best
    linemap = next(m for m in linemaps.values() if layer in m.layers)
    flux, error = (linemap[name].ravel()[placed.spaxels] for name in (layer, f"{layer}_err"))
    good = ~linemap.mask.ravel()[placed.spaxels] & np.isfinite(flux) & np.isfinite(error)
    flux, error, share = flux[good], error[good], placed.share[good]
    near = np.abs(wave / waves_um[layer] - 1.0) < _NEAR
    used, profile = weights[near][:, good], light[near][:, good]
    held, there = (used * profile).sum(axis=1), profile @ share
    seen = (held > 0) & (there > 0)
    whole = float(share @ flux)
    if not seen.any() or whole <= 0:
        return None
    # Weighted minus plain estimate of the whole, in units of the latter, and its noise.
    change = used[seen] / held[seen, None] * there[seen, None] - share
    square = (change @ flux) ** 2 - change**2 @ error**2
    # Digits that differ between machines are none.
    return round(float(np.sqrt(max(float(np.median(square)), 0.0))) / whole, _DIGITS)


def _samples(placed: Placed, linemap: Map, layer: str) -> Samples:
    """Give place along and across the axis, flux and error of every fitted spaxel."""
    flux, error = linemap[layer].ravel(), linemap[f"{layer}_err"].ravel()
    good = ~linemap.mask.ravel() & np.isfinite(flux) & np.isfinite(error) & (error > 0)
    k = good[placed.spaxels]
    at = placed.spaxels[k]
    return placed.along[k], placed.across[k], flux[at], error[at]


def _wake(
    cube: Cube,
    own: Sequence[Placed],
    linemaps: Mapping[str, Map],
    waves_um: Mapping[str, float],
    min_snr: float,
) -> dict[str, Gaussian]:
    best = _brightest(own, linemaps, waves_um, min_snr)
    if best is None:
        plain = _point(cube, "a line as narrow as the PSF: no map is bright enough", wake=True)
        return {p.aperture.name: plain for p in own}
    layer, samples = best
    wave = waves_um[layer]
    least = float(psf_sigma(cube, np.array([wave]))[0])
    offsets = [p.aperture.across_arcsec or 0.0 for p in own]

    def light(point: _Points) -> list[FloatArray]:
        centre, sigma, *slopes = point
        return [
            np.exp(-0.5 * ((across + offset - centre) / sigma) ** 2 + slope * along)
            for (along, across, _, _), offset, slope in zip(samples, offsets, slopes, strict=True)
        ]

    start = [0.0, 1.2 * least, *(0.0 for _ in samples)]
    low = [-_MAX_SIGMA_ARCSEC, least, *(-_MAX_SLOPE for _ in samples)]
    high = [_MAX_SIGMA_ARCSEC, max(_MAX_SIGMA_ARCSEC, 2 * least), *(_MAX_SLOPE for _ in samples)]
    centre, sigma, *slopes = _fit(samples, light, start, (low, high))
    return {
        p.aperture.name: Gaussian(0.0, centre - offset, np.inf, sigma, slope, wave, layer)
        for p, offset, slope in zip(own, offsets, slopes, strict=True)
    }


def _compact(
    cube: Cube,
    placed: Placed,
    linemaps: Mapping[str, Map],
    waves_um: Mapping[str, float],
    min_snr: float,
) -> Gaussian:
    best = _brightest([placed], linemaps, waves_um, min_snr)
    if best is None:
        return _point(cube, "the PSF: no map is bright enough")
    layer, samples = best
    wave = waves_um[layer]
    least = float(psf_sigma(cube, np.array([wave]))[0])

    def light(point: _Points) -> list[FloatArray]:
        along, across, long, wide = point
        x, y, _, _ = samples[0]
        return [np.exp(-0.5 * ((x - along) / long) ** 2 - 0.5 * ((y - across) / wide) ** 2)]

    most = max(_MAX_SIGMA_ARCSEC, 2 * least)
    low = [-_MAX_SIGMA_ARCSEC, -_MAX_SIGMA_ARCSEC, least, least]
    high = [_MAX_SIGMA_ARCSEC, _MAX_SIGMA_ARCSEC, most, most]
    found = _fit(samples, light, [0.0, 0.0, 1.2 * least, 1.2 * least], (low, high))
    along, across, long, wide = found
    return Gaussian(along, across, long, wide, 0.0, wave, layer)


def _fit(
    samples: Sequence[Samples],
    light: Callable[[_Points], list[FloatArray]],
    start: Sequence[float],
    bounds: tuple[Sequence[float], Sequence[float]],
) -> list[float]:
    """Fit a profile to all apertures, with an amplitude for each; outliers count little."""

    def residual(point: _Points) -> FloatArray:
        parts = []
        for (_, _, flux, err), shape in zip(samples, light(point), strict=True):
            column, data = shape / err, flux / err
            square = max(float((column**2).sum()), np.finfo(float).tiny)
            parts.append(data - column * float((column * data).sum()) / square)
        return np.concatenate(parts)

    found = least_squares(residual, start, bounds=bounds, loss="soft_l1")
    return [float(value) for value in found.x]


def light_of(placed: Placed, cube: Cube, profile: Gaussian | None) -> FloatArray:
    """Give the light of each spaxel for unit flux in the whole aperture, in every channel.

    The width of the profile follows that of the PSF with wavelength.

    Parameters
    ----------
    placed : Placed
    cube : Cube
    profile : Gaussian or None
        None for light that is spread evenly.

    Returns
    -------
    ndarray, shape (n_wave, m)
        Summed over the shares it is the part of the light that lies on the grid: 1 for an aperture
        that the edge does not cut. Of flat light it is the part of the area.
    """
    beyond = placed.beyond
    light = _shape(cube, profile, placed.along, placed.across)
    whole = light @ placed.share
    whole = whole + _shape(cube, profile, beyond.along, beyond.across) @ beyond.share
    return np.divide(light, whole[:, None], out=np.zeros_like(light), where=whole[:, None] > 0)


def _shape(
    cube: Cube, profile: Gaussian | None, along: FloatArray, across: FloatArray
) -> FloatArray:
    """Give the light at some places, relative to one another, shape (n_wave, places)."""
    light = np.ones((cube.wave.size, along.size))
    if profile is None:
        return light
    there = psf_sigma(cube, np.array([profile.wave_um]))[0] ** 2
    extra = psf_sigma(cube, cube.wave)[:, None] ** 2 - there
    floor = psf_sigma(cube, cube.wave)[:, None] ** 2
    for place, centre, sigma in (
        (along, profile.along_arcsec, profile.sigma_along_arcsec),
        (across, profile.across_arcsec, profile.sigma_across_arcsec),
    ):
        square = np.maximum(sigma**2 + extra, floor)
        light *= np.exp(-0.5 * (place - centre) ** 2 / square)
    return np.asarray(light * np.exp(profile.slope_per_arcsec * along))


def describe(profile: Gaussian | None) -> str:
    """Say in words which profile an aperture has."""
    if profile is None:
        return "flat"
    along = f"{profile.sigma_along_arcsec:.3f}" if np.isfinite(profile.sigma_along_arcsec) else "no"
    return (
        f"sigma {profile.sigma_across_arcsec:.3f} arcsec across, {along} along, centre "
        f"{profile.across_arcsec:+.3f} across, {profile.along_arcsec:+.3f} along, slope "
        f"{profile.slope_per_arcsec:+.2f} per arcsec; from {profile.source}"
    )
