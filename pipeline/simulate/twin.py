"""What would GO-3149 and GO-17301 have recorded, if the truth were this?

The embedded default of the project: 16 per-exposure cubes (8 science, 8 imprint), two Level-3
cubes and two HST images with the archive's names, and the truth beside them. Nothing is opened
or written here; files are given one at a time, so that memory stays bounded.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from astropy.io import fits

from ard.errors import ArdError
from ard.layout import ARCHIVE_DIR, TRUTH_DIR
from pipeline.simulate import (
    combine,
    files,
    geometry,
    headers,
    hst,
    lines,
    noise,
    optics,
    scenes,
    truth,
)
from pipeline.simulate.geometry import Exposure, Window
from pipeline.simulate.noise import Float32Array, Noisy

Product = tuple[str, fits.HDUList | dict[str, Any]]

# Files of the truth: maps, what each pointing sees without noise, all else in words and numbers.
MAPS: Final = "truth.fits"
NOISELESS: Final = "noiseless.fits"
FACTS: Final = "truth.json"

SUBTRACTIONS: Final = ("none", "pointings")
# Medians of the two real Level-3 cubes, MJy/sr: the archive subtracts no background.
BACKGROUND: Final = (1.2216, 0.6142)
_BACKGROUND_SLOPE: Final = -0.25  # per um, relative: zodiacal light falls to the red
# As in the one real cube where it was found, a few finite voxels have no error.
ERRORLESS: Final = 6
# Streams of random numbers: one a purpose, so that no file depends on another's.
_HOT, _EXPOSURE, _LEVEL3, _HST, _LEAK = range(5)


@dataclass(frozen=True)
class TwinConfig:
    """Which observation is to be simulated?

    Attributes
    ----------
    truth : str
        bow_ring, thin_shell, disc, rotator, broad_wake (ghosts lie on the wake) or blank.
    size : str
        tiny (seconds, for tests), demo ([O III] to [S II], whole field) or full.
    seed : int
        Of the noise; the truth does not depend on it.
    subtraction : str
        "none", as the archive delivers; "pointings": each Level-3 cube minus the other.
    scatter_ratio : float
        True scatter over ERR.
    lsf_gain : float
        Resolving power over the pre-launch curve.
    outliers : bool
        Whether hits and hot pixels are added.
    dithers : str
        "whole": by whole spaxels, so that exposures and Level-3 cubes can be compared number by
        number; "real": by those of GO-3149, parts of spaxels.
    """

    truth: str = "bow_ring"
    size: str = "demo"
    seed: int = 3149
    subtraction: str = "none"
    scatter_ratio: float = 1.9
    lsf_gain: float = 1.1
    outliers: bool = True
    dithers: str = geometry.WHOLE

    def __post_init__(self) -> None:
        if self.subtraction not in SUBTRACTIONS:
            raise ArdError(
                "there is no such subtraction",
                expected=", ".join(SUBTRACTIONS),
                found=self.subtraction,
                action="name one of them",
            )
        if self.dithers not in geometry.SHIFTS:
            raise ArdError(
                "there are no such dithers",
                expected=", ".join(geometry.SHIFTS),
                found=self.dithers,
                action="name one of them",
            )
        if self.truth not in scenes.TRUTHS:
            scenes.scene(self.truth)
        geometry.window(self.size)
        if self.scatter_ratio < 0 or self.lsf_gain <= 0:
            raise ArdError(
                "the noise or the resolution of the simulation is impossible",
                expected="scatter_ratio of 0 or more, lsf_gain above 0",
                found=f"scatter_ratio {self.scatter_ratio}, lsf_gain {self.lsf_gain}",
            )

    def rng(self, *stream: int) -> np.random.Generator:
        """Give the random numbers of one purpose."""
        return np.random.default_rng([self.seed, *stream])


def file_names(config: TwinConfig) -> tuple[str, ...]:
    """Which files does `run` give, in order? The names do not depend on the configuration."""
    names = []
    for pointing in range(len(geometry.POINTINGS)):
        own = [e for e in geometry.EXPOSURES if e.pointing == pointing]
        names += [f"{ARCHIVE_DIR}/{e.name}_s3d.fits" for e in own]
    names += [f"{ARCHIVE_DIR}/{headers.ITEM_STEM.format(item=p.item)}" for p in geometry.POINTINGS]
    names += [f"{ARCHIVE_DIR}/{hst.NAME.format(band=band.name.lower())}" for band in hst.BANDS]
    return (*names, *(f"{TRUTH_DIR}/{name}" for name in (NOISELESS, MAPS, FACTS)))


def run(config: TwinConfig) -> Iterator[Product]:
    """What does every file of the simulated observation hold?

    Parameters
    ----------
    config : TwinConfig

    Yields
    ------
    name : str
        Relative path, `archive/...` or `truth/...`.
    content : astropy.io.fits.HDUList or dict
        A dict is to be written as JSON.
    """
    cut = geometry.window(config.size)
    scene = scenes.scene(config.truth)
    averages, skies = [], {}
    for pointing, declared in enumerate(geometry.POINTINGS):
        stack = combine.Stack(cut.shape)
        sky = skies[declared.item] = _sky(config, cut, scene, pointing)
        yield from _exposures(config, cut, scene, pointing, (sky, stack))
        combined = stack.combined()
        if config.dithers != geometry.WHOLE:
            combined = replace(combined, sci=combined.sci + sky)
        averages.append(combined)
    errorless = {}
    for pointing, cube in enumerate(_level3(config, averages)):
        item = geometry.POINTINGS[pointing].item
        spoiled, errorless[item] = _spoil(config, cube, pointing)
        subtracted = config.subtraction == "pointings"
        hdus = files.level3_hdus(pointing, spoiled, cut, subtracted=subtracted)
        yield f"{ARCHIVE_DIR}/{headers.ITEM_STEM.format(item=item)}", hdus
    for k, band in enumerate(hst.BANDS):
        name = f"{ARCHIVE_DIR}/{hst.NAME.format(band=band.name.lower())}"
        yield name, hst.hdus(band, hst.image(scene, band, config.rng(_HST, k)))
    yield f"{TRUTH_DIR}/{NOISELESS}", truth.cube_hdus(skies, cut)
    yield from _truth(config, cut, scene, errorless)


def _exposures(
    config: TwinConfig,
    cut: Window,
    scene: scenes.Scene,
    pointing: int,
    sums: tuple[Float32Array, combine.Stack],
) -> Iterator[Product]:
    """Give the files of one pointing from its sky, and add its science exposures to the stack."""
    seen = geometry.footprint(cut)
    hot = _hot(config, cut)
    whole = config.dithers == geometry.WHOLE
    sky, stack = sums
    for exposure in geometry.EXPOSURES:
        if exposure.pointing == pointing:
            own = sky
            if whole:
                (dx, dy), (_, ny, nx) = exposure.shift, cut.exposure_shape
                own = sky[:, dy : dy + ny, dx : dx + nx]
            elif not exposure.imprint:
                own = _sky(config, cut, scene, pointing, exposure.placed(config.dithers))
            data = _record(config, cut, exposure, own, hot)
            if not exposure.imprint:
                noisy = data if whole else Noisy(data.sci - own, data.err)
                stack.add(noisy, seen & (hot == 0), exposure.nearest(config.dithers))
            hdus = files.exposure_hdus(exposure, data, seen, cut, config.dithers)
            yield f"{ARCHIVE_DIR}/{exposure.name}_s3d.fits", hdus


def _sky(
    config: TwinConfig,
    cut: Window,
    scene: scenes.Scene,
    pointing: int,
    shift: tuple[float, float] | None = None,
) -> Float32Array:
    """Give what the pointing sees without noise, MJy/sr, on its Level-3 grid or an exposure's."""
    emission = optics.render(scene, cut, pointing, config.lsf_gain, shift)
    wcs = geometry.sky(cut, pointing, shift or (0, 0))
    stars = optics.continuum(scene, wcs, (emission.shape[1], emission.shape[2]))
    middle = geometry.CRVAL3 + geometry.CDELT3 * geometry.LEVEL3_SHAPE[0] / 2
    slope = 1 + _BACKGROUND_SLOPE * (cut.wave - middle)
    background = BACKGROUND[pointing] * slope[:, None, None]
    return np.asarray(emission + stars + background, dtype=np.float32)


def _hot(config: TwinConfig, cut: Window) -> Float32Array:
    if not config.outliers:
        return np.zeros(cut.exposure_shape, np.float32)
    return noise.hot_pixels(cut.exposure_shape, config.rng(_HOT))


def _record(
    config: TwinConfig, cut: Window, exposure: Exposure, sky: Float32Array, hot: Float32Array
) -> Noisy:
    """Give what one exposure records of the sky that it sees, imprint or science."""
    shape = cut.exposure_shape
    rng = config.rng(_EXPOSURE, geometry.EXPOSURES.index(exposure))
    if exposure.imprint:
        error = noise.error_cube(cut.wave, shape, rng, noise.IMPRINT_ERR)
        leak = noise.leakage(shape, config.rng(_LEAK))
        return noise.expose(leak, error, hot, config.scatter_ratio, rng)
    error = noise.error_cube(cut.wave, shape, rng)
    outliers = noise.hits(shape, rng) - hot if config.outliers else -hot
    return noise.expose(sky, error, outliers, config.scatter_ratio, rng)


def _level3(config: TwinConfig, averages: list[combine.Combined]) -> list[combine.Combined]:
    first, second = averages
    if config.subtraction == "none":
        return [first, second]
    return [combine.subtract(first, second), combine.subtract(second, first)]


def _spoil(
    config: TwinConfig, cube: combine.Combined, pointing: int
) -> tuple[combine.Combined, list[list[int]]]:
    """Take the error of a few finite voxels away, and say which."""
    finite = np.flatnonzero(np.isfinite(cube.sci))
    chosen = np.sort(config.rng(_LEVEL3, pointing).choice(finite, ERRORLESS, replace=False))
    err = cube.err.copy()
    err.ravel()[chosen] = np.nan
    where = np.stack(np.unravel_index(chosen, cube.sci.shape), axis=1)
    return combine.Combined(cube.sci, err, cube.wmap), where.tolist()


def _truth(
    config: TwinConfig, cut: Window, scene: scenes.Scene, errorless: dict[str, list[list[int]]]
) -> Iterator[Product]:
    items = [pointing.item for pointing in geometry.POINTINGS]
    layers = {item: truth.maps(scene, cut, p) for p, item in enumerate(items)}
    yield f"{TRUTH_DIR}/{MAPS}", truth.hdus(layers, cut)
    yield (
        f"{TRUTH_DIR}/{FACTS}",
        {
            "schema": "truth",
            "simulated": True,
            "config": asdict(config),
            "components": truth.describe_scene(scene),
            "model": truth.describe_model(),
            "redshift": lines.REDSHIFT,
            "tip_deg": list(scenes.TIP_DEG),
            "wake_pa_deg": scenes.WAKE_PA_DEG,
            "lines": truth.describe_lines(config.lsf_gain),
            "noise": {
                "scatter_over_err": config.scatter_ratio,
                "correlation_wave": noise.LAG_WAVE,
                "correlation_sky": noise.LAG_SKY,
            },
            "pointings": {
                item: _pointing(config, cut, layers, p) | {"errorless_voxels": errorless[item]}
                for p, item in enumerate(items)
            },
        },
    )


def _pointing(
    config: TwinConfig,
    cut: Window,
    layers: dict[str, dict[str, noise.FloatArray]],
    pointing: int,
) -> dict[str, Any]:
    items = [p.item for p in geometry.POINTINGS]
    own, other = items[pointing], items[1 - pointing]
    halpha = (layers[own]["flux_Halpha"], layers[other]["flux_Halpha"])
    exposures = [e for e in geometry.EXPOSURES if e.pointing == pointing]
    return {
        "science": [f"{e.name}_s3d.fits" for e in exposures if not e.imprint],
        "imprint": [f"{e.name}_s3d.fits" for e in exposures if e.imprint],
        "background_mjy_sr": BACKGROUND[pointing],
        "ghost": {
            "present": config.subtraction == "pointings",
            "strength": -1.0,
            "offset_arcsec": _offset(pointing),
            "wake_fraction": truth.ghost_fraction(halpha, cut, pointing),
        },
    }


def _offset(pointing: int) -> list[float]:
    """Give where the ghost lies relative to the target: east and north, arcsec."""
    own, other = geometry.POINTINGS[pointing], geometry.POINTINGS[1 - pointing]
    east = (own.ra_deg - other.ra_deg) * np.cos(np.deg2rad(own.dec_deg)) * 3600.0
    return [float(east), float((own.dec_deg - other.dec_deg) * 3600.0)]
