"""Cubes and residuals whose noise is known, for the tests of the noise."""

from pathlib import Path

import numpy as np
from astropy.wcs import WCS
from scipy.linalg import toeplitz

import ard
from ard.fitsio import write_hdus
from manifests import Target, load_target
from pipeline.reduce.noise import continuum
from pipeline.reduce.noise.residuals import Residuals
from pipeline.simulate import combine, geometry, noise, twin

RBH1: Target = load_target("rbh1")
SEED = 7


def make_wave(n_wave: int, first: float = 1.10) -> np.ndarray:
    """Channels of the grating; by default far from every line of RBH-1."""
    return first + geometry.CDELT3 * np.arange(n_wave)


def sky(nx: int, ny: int, dx: float = 0.0, dy: float = 0.0, angle: float = 0.0) -> WCS:
    """A north-up grid; or one whose pixels lie at (dx, dy) of that, turned by an angle in deg."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [(nx + 1) / 2 - dx, (ny + 1) / 2 - dy]
    wcs.wcs.crval = [RBH1.anchor.ra_deg, RBH1.anchor.dec_deg]
    wcs.wcs.cdelt = [0.1 / 3600, 0.1 / 3600]
    turn = np.deg2rad(angle)
    wcs.wcs.pc = [[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    wcs.wcs.set()
    return wcs


def ar1(rho: float, size: int) -> np.ndarray:
    return toeplitz(rho ** np.arange(size))


def draw(shape: tuple[int, int, int], rhos: tuple[float, float, float], seed: int) -> np.ndarray:
    """Draw AR(1) noise along all axes by dense Cholesky factors: slow, and plainly right."""
    out = np.random.default_rng(seed).standard_normal(shape)
    for axis, (rho, size) in enumerate(zip(rhos, shape, strict=True)):
        root = np.linalg.cholesky(ar1(rho, size))
        out = np.moveaxis(np.tensordot(root, out, axes=([1], [axis])), 0, axis)
    return out


def make_cube(
    noise_values: np.ndarray,
    *,
    scale: float = 1.5,
    err: float = 0.1,
    mask: np.ndarray | None = None,
    first: float = 1.10,
    seed: int = 0,
) -> ard.Cube:
    """A cube of noise of unit variance, times scale and ERR, on a smooth continuum."""
    shape = noise_values.shape
    rng = np.random.default_rng(seed)
    errors = err * np.exp(0.1 * rng.standard_normal(shape))
    x = np.linspace(-1, 1, shape[0])[:, None, None]
    level = 3.0 + x - 0.5 * x**2 + rng.uniform(0, 2, shape[1:])
    masked = np.zeros(shape, bool) if mask is None else mask
    flux = np.where(masked, np.nan, level + scale * errors * noise_values)
    return ard.Cube(
        flux,
        errors**2,
        masked,
        make_wave(shape[0], first),
        sky(shape[2], shape[1]),
        meta={"TELESCOP": "JWST", "SIMULATD": True},
    )


def residuals_of(pull: np.ndarray, spacing: float = 25.0) -> Residuals:
    """Wrap residuals in units of ERR as if a continuum had been taken off."""
    n_free, ny, nx = pull.shape
    index = np.arange(n_free)
    return Residuals(
        pull=pull,
        err=np.ones(pull.shape),
        index=index,
        basis=continuum.splines(index, spacing),
        spaxels=np.ones((ny, nx), bool),
        odd=np.zeros((ny, nx), bool),
        outliers=np.zeros(pull.shape, bool),
        scatter=np.ones((ny, nx)),
        channel_scatter=np.ones(n_free),
    )


def write_twin(folder: Path, size: str, seed: int = SEED, dithers: str = geometry.WHOLE) -> Path:
    """Write the simulated JWST files, and give the folder of the archive's files."""
    for name, hdus in twin.run(twin.TwinConfig(size=size, seed=seed, dithers=dithers)):
        if not isinstance(hdus, dict) and name.endswith("s3d.fits"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_hdus(path, hdus)
    return folder / "archive"


def injected_noise(
    size: str, pointing: int, seed: int = SEED, dithers: str = geometry.WHOLE
) -> np.ndarray:
    """The noise of a simulated Level-3 cube over its ERR, without sky and outliers: the truth."""
    config, cut = twin.TwinConfig(size=size, seed=seed), geometry.window(size)
    seen, hot = geometry.footprint(cut), twin._hot(config, cut)
    shape, stack = cut.exposure_shape, combine.Stack(cut.shape)
    for number, exposure in enumerate(geometry.EXPOSURES):
        if exposure.pointing == pointing and not exposure.imprint:
            rng = config.rng(twin._EXPOSURE, number)
            err = noise.error_cube(cut.wave, shape, rng)
            noise.hits(shape, rng)  # takes the random numbers that it takes in the simulation
            values = np.float32(config.scatter_ratio) * err * noise.correlated(shape, rng)
            stack.add(noise.Noisy(values, err), seen & (hot == 0), exposure.nearest(dithers))
    found = stack.combined()
    return np.asarray(found.sci / found.err, dtype=np.float64)
