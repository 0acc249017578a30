"""What is the noise of this cube, as data that a likelihood can use?

Line-free residuals give the scale of the errors and the correlation of neighbours. Exposures, where
there are any, give both once more: each by itself, and by how it differs from the others. The
result is a noise file for the whole cube and a document from which the noise of any part of it can
be made.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ard.cube import BoolArray, Cube, FloatArray
from ard.errors import ArdError
from ard.likelihood import Noise, NoiseProduct, noise_from_model
from ard.likelihood.model import FIR, KRONECKER, Form
from ard.likelihood.noise import APPROXIMATE
from ard.table import Table
from manifests import Target
from pipeline.reduce.noise import dithers, document, goodness, kernel
from pipeline.reduce.noise.channels import FreeChannels, free_channels, without_busy
from pipeline.reduce.noise.leaveout import from_exposures
from pipeline.reduce.noise.model import Measured, measure_noise
from pipeline.reduce.noise.residuals import Limits, Residuals, find_residuals
from pipeline.reduce.noise.scale import raised
from pipeline.reduce.noise.single import Measure
from pipeline.reduce.outliers import nanmedian


@dataclass(frozen=True)
class Config:
    """Settings of the noise stage.

    Attributes
    ----------
    blue_kms, red_kms : float
        Channels this far below and above any line of the target hold no noise alone.
    min_channels, min_spaxels : int
        With fewer line-free channels, or spaxels, the noise is not measured.
    min_used : float
        Share of the line-free channels that a spaxel must have.
    continuum_channels : float
        Line-free channels between the knots of the continuum of a spaxel.
    scale_channels : float
        The same for the curve of the scale.
    outlier_sigma : float
        Voxels further from the continuum are outliers.
    busy_sigma : float
        Channels that scatter this much more than those around them hold an undeclared line.
    odd_factor : float
        Spaxels that scatter more, or less, than the typical one by this factor are left out.
    lag_wave, lag_sky : int
        Largest lag of the correlation, channels and spaxels.
    lag_sigma : float
        Lags of the Kronecker form are kept while they are this significant.
    tap_wave, tap_sky : int
        Channels, and rows and columns, of the whitening filter.
    largest_aperture : int
        Apertures of 1 to this many spaxels a side are tried.
    seed : int
        Of the simulated noise that the whitened residuals are held against.
    """

    blue_kms: float = 1200.0
    red_kms: float = 900.0
    min_channels: int = 24
    min_spaxels: int = 30
    min_used: float = 0.5
    continuum_channels: float = 25.0
    scale_channels: float = 100.0
    outlier_sigma: float = 5.0
    busy_sigma: float = 6.0
    odd_factor: float = 1.5
    lag_wave: int = 2
    lag_sky: int = 6
    lag_sigma: float = 2.0
    tap_wave: int = 3
    tap_sky: int = 4
    largest_aperture: int = 7
    seed: int = 3149

    def __post_init__(self) -> None:
        if self.blue_kms <= 0 or self.red_kms <= 0:
            raise ValueError("blue_kms and red_kms must be above 0")
        if self.min_channels < 8 or self.min_spaxels < 9 or not 0 < self.min_used <= 1:
            raise ValueError("min_channels of 8, min_spaxels of 9 and min_used in (0, 1] needed")
        if self.continuum_channels < 4 or self.scale_channels < 4:
            raise ValueError("continuum_channels and scale_channels must be 4 or more")
        if self.outlier_sigma < 3 or self.busy_sigma < 3 or self.odd_factor <= 1:
            raise ValueError("outlier_sigma and busy_sigma of 3 or more, odd_factor above 1 needed")
        if self.lag_sigma < 0:
            raise ValueError("lag_sigma must be 0 or more")
        taps, lags = (self.tap_wave, self.tap_sky), (self.lag_wave, self.lag_sky)
        if min(lags) < 1 or not all(1 <= t <= n + 1 for t, n in zip(taps, lags, strict=True)):
            raise ValueError(
                "lags of 1 or more needed, and at most one tap more along an axis than lags"
            )
        if self.largest_aperture < 1:
            raise ValueError("largest_aperture must be 1 or more")


def run(
    *,
    item: str,
    cube: Cube,
    target: Target,
    exposures: Mapping[str, dithers.Dither] | None,
    roles: Table | None,
    config: Config,
) -> dict[str, Any]:
    """Measure the noise of one cube.

    Parameters
    ----------
    item : str
        The item's name.
    cube : Cube
        As prepared by the ingest stage.
    target : manifests.Target
        Its lines are masked before anything else.
    exposures : mapping of str to Dither, or None
        The per-exposure cubes by file name, where there are any.
    roles : Table or None
        What the exposures stage says about them.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``noise``: a NoiseProduct for the whole cube, its masks approximate; ``model``: the
        document noise-model.

    Raises
    ------
    ArdError
        If too few channels are free of lines, too few spaxels can be measured, or the flux does
        not scatter.
    """
    channels = free_channels(
        cube.wave, target, config.blue_kms, config.red_kms, config.min_channels
    )
    limits = Limits(
        spacing=config.continuum_channels,
        n_sigma=config.outlier_sigma,
        min_used=config.min_used,
        odd_factor=config.odd_factor,
        min_spaxels=config.min_spaxels,
    )
    found = find_residuals(cube, channels, limits)
    channels = without_busy(channels, found.mean_square, config.busy_sigma, config.min_channels)
    before = found
    if channels.busy:
        found = find_residuals(cube, channels, limits)
    measure = partial(
        measure_noise,
        n_wave=cube.wave.size,
        lags=(config.lag_wave, config.lag_sky, config.lag_sky),
        taps=(config.tap_wave, config.tap_sky, config.tap_sky),
        n_sigma=config.lag_sigma,
        spacing=config.scale_channels,
    )
    measured = measure(found, sides=range(1, config.largest_aperture + 1))
    measured = _with_busy(measured, channels, before)
    model = {
        "schema": "noise-model",
        "item": item,
        "simulated": cube.simulated,
        "method": asdict(config),
        "lines": list(channels.windows),
        "busy": list(channels.busy),
        "counts": _counts(cube, channels, found),
        "scatter_over_err": _scatter(found, measured),
        **document.describe_model(measured, cube.wave, found.index),
    }
    # Of spaxels that scatter unlike the others, the model does not know the noise.
    mask = cube.mask | found.outliers | found.odd
    model["whitened"] = _whitened(model, found, measured, mask, config.seed)
    model["apertures"] = document.describe_apertures(measured.apertures, measured.apertures_fir)
    settings = channels, limits, partial(measure, sides=())
    model["dithers"] = _dithers(cube, exposures, roles, settings)
    noise = _form(model, np.sqrt(cube.var), mask, KRONECKER)
    # So that it cannot be taken for the noise of another cube of this shape.
    ends = {"WAVEMIN": float(cube.wave[0]), "WAVEMAX": float(cube.wave[-1])}
    return {"noise": NoiseProduct(noise, cube.unit, {**cube.meta, **ends}), "model": model}


def _with_busy(measured: Measured, channels: FreeChannels, before: Residuals) -> Measured:
    """Raise the scale in busy channels, of which only the first residuals know."""
    if not channels.busy:
        return measured
    busy = np.array(channels.busy)
    place = np.searchsorted(before.index, busy)
    scatter = before.channel_scatter[place] / np.sqrt(measured.retained.mean())
    sky = measured.correlation.value[measured.correlation.lags[0]]
    number = before.spaxels.sum() / np.sum(sky**2)
    return replace(measured, curve=raised(measured.curve, busy, scatter, float(number)))


def _form(model: Mapping[str, Any], sigma: FloatArray, mask: BoolArray, form: Form) -> Noise:
    """Make the noise of the whole cube: of so many masked voxels, an approximation."""
    errors = np.where(mask, 1.0, sigma)
    return noise_from_model(model, errors, mask, form=form, masks=APPROXIMATE)


def _counts(cube: Cube, channels: FreeChannels, found: Residuals) -> dict[str, int]:
    no_error = ~(np.isfinite(cube.var) & (cube.var > 0))
    return {
        "voxels": int(cube.mask.size),
        "masked": int(cube.mask.sum()),
        "flux_without_error": int((no_error & np.isfinite(cube.flux)).sum()),
        "channels": int(channels.free.size),
        "channels_free": int(channels.free.sum()),
        "spaxels": int(found.spaxels.size),
        "spaxels_measured": int(found.spaxels.sum()),
        "spaxels_odd": int(found.odd.sum()),
        "outliers": int(found.outliers.sum()),
        "residuals": int(found.used.sum()),
        "splines": found.basis.count,
    }


def _scatter(found: Residuals, measured: Measured) -> float | None:
    """Give the robust scatter over ERR of the typical spaxel, corrected for the continuum."""
    typical = nanmedian(found.scatter[found.spaxels], axis=0)
    return document.number(typical / np.sqrt(measured.retained.mean()))


def _whitened(
    model: Mapping[str, Any], found: Residuals, measured: Measured, shipped: BoolArray, seed: int
) -> dict[str, Any]:
    """Whiten the residuals in both forms, and the noise that each form describes.

    The latter is whitened once more with the masks of the noise file, and held against nothing.
    """
    shape = found.outliers.shape
    unused = np.ones(shape, dtype=bool)
    unused[found.index] = ~found.used
    unit = dict(model) | {"scale": {"value": np.ones(shape[0])}}
    densities: dict[Form, Any] = {
        KRONECKER: measured.kronecker.density,
        FIR: lambda grid: kernel.density_of_taps(measured.taps, grid),
    }
    rng = np.random.default_rng(seed)
    out: dict[str, Any] = {}
    for form, density in densities.items():
        noise, whole = (_form(unit, np.ones(shape), mask, form) for mask in (unused, shipped))
        drawn = goodness.sample(density, shape, rng)
        scale = measured.curve.value[found.index]
        out[form] = document.describe_whiteness(
            goodness.whiteness(found, scale, noise, drawn), goodness.chi2_per_voxel(whole, drawn)
        )
    return out


def _dithers(
    cube: Cube,
    exposures: Mapping[str, dithers.Dither] | None,
    roles: Table | None,
    settings: tuple[FreeChannels, Limits, Measure],
) -> dict[str, Any]:
    if exposures is None or roles is None:
        return document.describe_dithers("no exposures were given", (), 0)
    given = len(exposures)
    science = dithers.usable(cube, exposures, roles)
    if isinstance(science, str):
        return document.describe_dithers(science, (), given)
    names = [one.filename for one in science]
    try:
        found = from_exposures(science, cube.wave, *settings)
    except ArdError as error:
        return document.describe_dithers(error.problem, names, given)
    return document.describe_dithers(found, names, given)
