"""A finished run with one tiny cube: a scene drawn from a model that can be fitted by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from astropy.wcs import WCS
from small_run import provenance, write_record

import ard
from ard import io
from ard.likelihood import Noise, write_noise
from ard.likelihood.factors import inverse_cholesky
from manifests.target import load_target
from pipeline.infer.cutout import Cut, flux_per_voxel
from pipeline.infer.fit import problem_for
from pipeline.infer.scenes import scene
from pipeline.reduce.apertures.covariance import GivenNoise

ITEM = "t001"
SIDE, CHANNELS = 9, 26
RA_DEG, DEC_DEG = 40.44, -8.35
SIGMA_MJY_SR = 0.02
# Of the line, 1e-19 erg s-1 cm-2, in the field: about 30 sigma in the brightest voxel.
FLUX = {"jump": 60.0, "disc": 40.5}
TRUTH = {
    "along_arcsec": 0.05,
    "across_arcsec": -0.04,
    "turn_deg": 2.0,
    "jump_arcsec": 0.2,
    "tip_share": 0.4,
    "fade_arcsec": 0.8,
    "width_arcsec": 0.06,
    "v_tip_kms": 120.0,
    "v_wake_kms": -280.0,
    "dispersion_kms": 60.0,
    "lsf_gain": 1.1,
}
BOW_TRUTH = {
    "along_arcsec": 0.03,
    "across_arcsec": -0.02,
    "turn_deg": 2.0,
    "radius_kpc": 1.5,
    "inner_share": 0.6,
    "inclination_deg": 32.0,
    "v_bow_kms": -280.0,
    "swing_kms": 300.0,
    "v_wake_kms": -250.0,
    "width_arcsec": 0.06,
    "dispersion_kms": 60.0,
    "psf_scale": 0.85,
    "psf_ratio": 0.85,
    "lsf_gain": 1.1,
}
BOW_FLUX = (200.0, 5.0, 20.0, 50.0)  # of the ring and of the pieces of the wake
PA_APER_DEG = 28.2
DISC_TRUTH = {
    "along_arcsec": 0.05,
    "across_arcsec": -0.04,
    "turn_deg": 2.0,
    "radius_arcsec": 2.2,
    "scale_arcsec": 0.9,
    "height_arcsec": 0.12,
    "v_sys_kms": -180.0,
    "v_max_kms": -110.0,
    "turnover_arcsec": 0.5,
    "dispersion_kms": 40.0,
    "lsf_gain": 1.1,
}
TRUTHS = {"jump": TRUTH, "disc": DISC_TRUTH}
TARGET = (
    f"""
[target]
name = "Test object"
item = "test"
redshift = 0.964
position_angle_deg = 147.4
[target.host]
ra_deg = {RA_DEG - 0.001}
dec_deg = {DEC_DEG + 0.0016}
[target.tip]
ra_deg = {RA_DEG}
dec_deg = {DEC_DEG}
[target.cosmology]
h0 = 70.0
om0 = 0.3
"""
    + "".join(
        f'[sources.{name}]\nsource = "a test"\nevidence = "computed"\n'
        for name in ("redshift", "host", "tip", "position_angle_deg", "cosmology")
    )
    + """
[[groups]]
name = "halpha"
title = "H alpha"
[[lines]]
name = "Halpha"
label = "H alpha"
wave_vac_um = 0.6564632
group = "halpha"
source = "a test"
"""
)


def _wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [(SIDE + 1) / 2] * 2
    wcs.wcs.crval = [RA_DEG, DEC_DEG]
    wcs.wcs.cdelt = [-0.1 / 3600, 0.1 / 3600]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def small_noise() -> tuple[Noise, np.ndarray]:
    """Neighbours on the sky are correlated; with one draw of it, in units of sigma."""
    apart = np.abs(np.subtract.outer(np.arange(SIDE), np.arange(SIDE)))
    correlation = np.where(apart == 0, 1.0, np.where(apart == 1, 0.3, 0.0))
    factor = inverse_cholesky(correlation)
    shape = (CHANNELS, SIDE, SIDE)
    mask = np.zeros(shape, bool)
    mask[8, 2, 2] = mask[12, 5, 4] = True
    noise = Noise(np.full(shape, SIGMA_MJY_SR), mask, (None, factor, factor), masks="approximate")
    lower = np.linalg.cholesky(correlation)
    white = np.random.default_rng(5).normal(size=shape)
    return noise, np.einsum("ij,cjk,lk->cil", lower, white, lower)


def blank_cube(noise: Noise, fwhm_arcsec: float = 0.179, **more: object) -> ard.Cube:
    """Give a cube of no light around H alpha, with more entries in its header."""
    wave = 0.6564632 * 1.964 + 0.000636 * (np.arange(CHANNELS) - CHANNELS / 2)
    width = float(wave[0]) / 1000.0
    return ard.Cube(
        np.zeros(noise.sigma.shape),
        noise.sigma**2,
        noise.mask,
        wave,
        _wcs(),
        lsf=ard.Lsf([0.9, 1.4], [width, width], "a test"),
        psf=ard.Psf([0.9, 1.4], [fwhm_arcsec, fwhm_arcsec], "a test"),
        meta={"TELESCOP": "JWST", "TARGNAME": "TEST", "SIMULATD": True, **more},
        provenance=provenance("ingest", simulated=True),
    )


def drawn_from(
    model: str, truth: Mapping[str, float], flux: Sequence[float], target: Path, **more: object
) -> tuple[ard.Cube, Noise]:
    """Draw cube and noise product from a scene: flux of its parts, 1e-19 erg s-1 cm-2."""
    target.write_text(TARGET)
    noise, drawn = small_noise()
    blank = blank_cube(noise, **more)
    given = GivenNoise(noise, "t001_noise.fits")
    problem = problem_for(blank, given, load_target(target), scene(model), Cut())
    assert problem.cutout.data.shape[1:] == (SIDE, SIDE)
    values = {name: jnp.asarray(value) for name, value in truth.items()}
    parts = np.asarray(problem.posterior.posterior.templates(values))
    light = np.zeros(blank.shape)
    channels = problem.cutout.observed.channels
    per_voxel = flux_per_voxel(blank)[channels][:, None, None]
    light[channels] = np.tensordot(np.asarray(flux), parts, axes=1) / per_voxel
    light = np.where(noise.mask, np.nan, light + 0.1 + SIGMA_MJY_SR * drawn)
    return blank.replace(flux=light), noise


def write_fit_run(root: Path, model: str = "jump") -> Path:
    """Write run folder, cube, noise product and target; the truth is that of `TRUTHS`."""
    root.mkdir(parents=True)
    cube, noise = drawn_from(model, TRUTHS[model], (FLUX[model],), root / "test.toml")
    return write_run_of(root, cube, noise)


def write_run_of(root: Path, cube: ard.Cube, noise: Noise) -> Path:
    """Write the finished run of a cube with its noise; the target's file is there."""
    (root / "work").mkdir(parents=True)
    target = root / "test.toml"
    ard.write(root / "products/likelihood/t001_cube.fits", cube)
    ard.write(root / "work/t001_cube.fits", cube)
    made = {"unit": "MJy/sr", "provenance": provenance("noise", simulated=True)}
    for folder in ("work", "products/likelihood"):
        write_noise(root / folder / "t001_noise.fits", noise, **made)
    record = provenance("materialize", simulated=True).to_dict()
    work = ("work/t001_cube.fits", "work/t001_noise.fits")
    record["inputs"] = {name: io.sha256_file(root / name) for name in work}
    write_record(root, provenance=record)
    inputs = {"target": {"path": str(target), "sha256": io.sha256_file(target)}}
    tasks = [{"task": "materialize", "outputs": ["products/run.json"]}]
    plan = {"schema": "plan", "source": "cube", "items": [ITEM], "config": {}, "inputs": inputs,
            "tasks": tasks}  # fmt: skip
    io.write_json(root / ".rbh1/plan.json", plan)
    return root
