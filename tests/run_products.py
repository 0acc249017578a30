"""The cubes, maps and tables of a tiny run that is good in every respect."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from builders import make_wcs
from run_documents import N_WAVE, NX, NY, noise_document, record

import ard
from ard.likelihood import NoiseProduct, noise_from_model
from ard.likelihood.noise import APPROXIMATE
from manifests import Target

META = {
    "TELESCOP": "JWST",
    "INSTRUME": "NIRSPEC",
    "GRATING": "G140M",
    "FILTER": "F100LP",
    "TARGNAME": "RBH-1",
    "SIMULATD": True,
}


def make_cube(target: Target, inputs: dict[str, str] | None = None) -> ard.Cube:
    """Noise of known size on a grid that is centred on the target; one voxel is masked."""
    rng = np.random.default_rng(7)
    shape = (N_WAVE, NY, NX)
    mask = np.zeros(shape, dtype=bool)
    mask[3, 0, 0] = True
    flux = np.where(mask, np.nan, rng.normal(0.0, 0.1, shape))
    place = target.anchor
    return ard.Cube(
        flux,
        np.full(shape, 0.01),
        mask,
        0.9703 + 0.000636 * np.arange(N_WAVE),
        make_wcs(0.3, place.ra_deg, place.dec_deg),
        dq=np.where(mask, 513, 0).astype(np.uint32),
        weight=np.where(mask, 0.0, 4.0),
        lsf=ard.Lsf([0.9, 1.3], [1.3e-3, 1.4e-3], "a test"),
        psf=ard.Psf([0.9, 1.3], [0.12, 0.14], "a test"),
        meta=dict(META),
        provenance=record("ingest", inputs),
    )


def make_linemap(cube: ard.Cube, inputs: dict[str, str] | None = None) -> ard.Map:
    """One group of two tied lines, detected in every spaxel but a masked one."""
    shape = (NY, NX)
    mask = np.zeros(shape, dtype=bool)
    mask[0, 0] = True
    ramp = np.linspace(-300.0, 50.0, NY * NX).reshape(shape)
    weak = np.linspace(1e-17, 5e-17, NY * NX).reshape(shape)
    values = {
        "velocity": ramp,
        "velocity_err": np.full(shape, 10.0),
        "sigma": np.full(shape, 80.0),
        "sigma_err": np.full(shape, 12.0),
        "snr": np.full(shape, 20.0),
        "chi2_dof": np.full(shape, 1.1),
        "chi2_continuum": np.full(shape, 1.0),
        "n_used": np.full(shape, 11.0),
        "flux_oiii4959": weak,
        "flux_oiii4959_err": weak / 20.0,
        "flux_oiii5007": 2.984 * weak,
        "flux_oiii5007_err": 2.984 * weak / 20.0,
    }
    layers = {name: np.where(mask, np.nan, layer) for name, layer in values.items()}
    kms = ("velocity", "velocity_err", "sigma", "sigma_err")
    flux = "erg s-1 cm-2 arcsec-2"
    units = {n: "km/s" if n in kms else flux if n.startswith("flux") else "" for n in layers}
    return ard.Map(layers, units, mask, cube.wcs, dict(META), record("linemaps", inputs))


def lines_table(target: Target, inputs: dict[str, str] | None = None) -> ard.Table:
    lines = target.lines
    data = QTable(
        {
            "name": [line.name for line in lines],
            "label": [line.label for line in lines],
            "wave_vac_um": [line.wave_vac_um for line in lines] * u.um,
            "wave_obs_um": [line.wave_obs_um(target.redshift) for line in lines] * u.um,
            "group": [line.group for line in lines],
            "ratio_to": [line.ratio_to or "" for line in lines],
            "ratio": [line.ratio or np.nan for line in lines],
        }
    )
    return ard.Table(data, {}, record("lines", inputs))


def exposures_table() -> ard.Table:
    data = QTable(
        {
            "filename": ["jw1_s3d.fits", "jw2_s3d.fits", "jw3_s3d.fits"],
            "role": ["science", "imprint", "science"],
            "pointing": ["t001"] * 3,
            "dither": [1, 1, 2],
            "level": ["2b"] * 3,
            "exptime_s": [3501.334, 102.1, 3501.334] * u.s,
            "is_imprint": [False, True, False],
            "ra_deg": [40.44051] * 3 * u.deg,
            "dec_deg": [-8.350361] * 3 * u.deg,
            "err_median": [0.084, 2.36, 0.084] * u.MJy / u.sr,
        }
    )
    return ard.Table(data, {}, record("exposures"))


def spectra_table(cube: ard.Cube, inputs: dict[str, str]) -> ard.Table:
    """One aperture, added up in two ways; its last channel is masked."""
    density = u.Unit("erg s-1 cm-2 um-1")
    methods = np.repeat(["box", "optimal"], N_WAVE)
    level = np.tile(np.where(np.arange(N_WAVE) < N_WAVE - 1, 1e-15, np.nan), 2)
    data = QTable(
        {
            "aperture": np.repeat(["tip"], 2 * N_WAVE),
            "method": methods,
            "wave": np.tile(cube.wave, 2) * u.um,
            "flux": level * density,
            "err": 0.1 * level * density,
            "continuum": np.full(2 * N_WAVE, 1e-15) * density,
            "model": np.full(2 * N_WAVE, 1e-15) * density,
            "coverage": np.full(2 * N_WAVE, 1.0),
            **{f"corr{lag}": np.full(2 * N_WAVE, 0.0) for lag in (1, 2, 3)},
            "mask": np.isnan(level),
        }
    )
    return ard.Table(data, {"SIMULATD": True}, record("extract", inputs))


def fluxes_table(target: Target, inputs: dict[str, str]) -> ard.Table:
    """The lines of one aperture: [O III] bright, the tied line with it, [O I] a limit."""
    flux_unit, kms = u.Unit("erg s-1 cm-2"), u.km / u.s
    lines = [(method, line) for method in ("box", "optimal") for line in target.lines]
    state = {"OIII4959": "detected", "OIII5007": "detected", "OI6300": "limit"}
    flux = {"OIII4959": 1e-17, "OIII5007": 2.984e-17, "OI6300": 1e-18}
    err = {"OIII4959": 1e-18, "OIII5007": 2.984e-18, "OI6300": 1e-18}

    def column(values: Mapping[str, float]) -> np.ndarray:
        return np.array([values.get(line.name, np.nan) for _, line in lines])

    bright = {name: 1.0 for name, kind in state.items() if kind == "detected"}
    measured = dict.fromkeys(state, 1.0)
    data = QTable(
        {
            "aperture": np.repeat(["tip"], len(lines)),
            "method": [method for method, _ in lines],
            "line": [line.name for _, line in lines],
            "group": [line.group for _, line in lines],
            "wave_obs": [line.wave_obs_um(target.redshift) for _, line in lines] * u.um,
            "state": [state.get(line.name, "not covered") for _, line in lines],
            "flux": column(flux) * flux_unit,
            "flux_err": column(err) * flux_unit,
            "snr": column(flux) / column(err),
            "upper_limit": column({"OI6300": 4e-18}) * flux_unit,
            "velocity": -300.0 * column(bright) * kms,
            "velocity_err": 10.0 * column(bright) * kms,
            "sigma": 80.0 * column(bright) * kms,
            "sigma_err": 12.0 * column(bright) * kms,
            "sigma_limit": column({}) * kms,
            "kinematics": [
                {"detected": "free", "limit": "reference:oiii"}.get(state.get(line.name, ""), "")
                for _, line in lines
            ],
            "continuum": 1e-15 * column(measured) * u.Unit("erg s-1 cm-2 um-1"),
            "chi2": 33.0 * column(measured),
            "dof": [30 if line.name in state else 0 for _, line in lines],
            "coverage": column(measured),
            "err_scale": column(measured),
            "misfit": np.sqrt(1.1) * column(measured),
            "profile_err": 0.05 * column(measured),
            "suspect": np.zeros(len(lines), bool),
            "area": np.full(len(lines), 0.3) * u.arcsec**2,
            "inside": np.full(len(lines), 1.0),
            "flux_true": 1.05 * column(flux) * flux_unit,
        }
    )
    return ard.Table(
        data,
        {"SIMULATD": True, "NOISE": "noise product t001_noise.fits"},
        record("extract", inputs),
    )


def noise_product(cube: Path, inputs: dict[str, str] | None = None) -> NoiseProduct:
    """Correlated noise of known size, with the mask of the cube that is there."""
    mask = np.zeros((N_WAVE, NY, NX), dtype=bool)
    try:
        with fits.open(cube, memmap=False) as hdus:
            mask = np.asarray(hdus["DQ"].data) != 0
    except (OSError, KeyError):
        pass
    noise = noise_from_model(noise_document({}), np.full(mask.shape, 0.1), mask, masks=APPROXIMATE)
    return NoiseProduct(noise, "MJy/sr", dict(META), record("noise", inputs))


def resampling_table() -> ard.Table:
    data = QTable(
        {
            "dx": [0, 1, -1, 0],
            "dy": [0, 0, 1, 1],
            "correlation": [1.0, 0.4, 0.1, 0.3],
            "correlation_min": [1.0, 0.3, 0.1, 0.2],
            "correlation_max": [1.0, 0.5, 0.1, 0.5],
            "pairs": [20, 15, 12, 16],
        }
    )
    return ard.Table(data, {}, record("combine"))


def ghosts_table() -> ard.Table:
    """Two lines of one aperture, by all methods: nothing is taken off but noise."""
    methods = ["standard", "combined", "pointings", "annulus", "lowrank"]
    n = 2 * len(methods)
    flux = u.erg / u.s / u.cm**2
    data = QTable(
        {
            "item": ["t001"] * n,
            "aperture": ["wake"] * n,
            "line": ["OIII5007"] * (n // 2) + ["Halpha"] * (n // 2),
            "method": methods * 2,
            "status": ["measured"] * n,
            "error_from": ["line-free"] * n,
            "coverage": [1.0] * n,
            "filled": [0.125] * n,
            "flux": [1e-16] * n * flux,
            "flux_err": [4e-18] * n * flux,
            "flux_limit": [1.066e-16] * n * flux,
            "ghost_fraction": [0.0, 0.0, 0.01, -0.01, 0.0] * 2,
            "ghost_fraction_err": [0.01, 0.0, 0.02, 0.01, 0.01] * 2,
            "ghost_fraction_limit": [0.016, 0.0, 0.043, 0.006, 0.016] * 2,
            "relative_flux": [1.0, 1.0, 0.99, 1.01, 1.0] * 2,
            "relative_flux_err": [0.0, 0.01, 0.02, 0.01, 0.01] * 2,
            "ghost_strength": [0.01, 0.01, -0.99, 0.01, 0.01] * 2,
            "ghost_strength_err": [0.02] * n,
            "model_fraction": [0.0, np.nan, 0.015, np.nan, np.nan] * 2,
            "model_fraction_err": [0.01, np.nan, 0.02, np.nan, np.nan] * 2,
            "truth_fraction": [0.0] * n,
        }
    )
    return ard.Table(data, {}, record("difference"))


def strengths_table() -> ard.Table:
    """One line, and all together: one pointing is taken off the other, none off the archive's."""
    n = 4
    data = QTable(
        {
            "method": ["pointings"] * 2 + ["standard"] * 2,
            "item": ["all"] * n,
            "line": ["Halpha", "all"] * 2,
            "status": ["measured"] * n,
            "strength": [1.01, 1.005, 0.001, 0.002],
            "strength_err": [0.02] * n,
            "misfit": [1.1, 1.05, np.nan, np.nan],
            "misfit_err": [0.1, 0.1, np.nan, np.nan],
            "truth_strength": [1.0, 1.0, 0.0, 0.0],
            "places": [400] * n,
        }
    )
    return ard.Table(data, {}, record("difference"))


def ghost_map(cube: ard.Cube) -> ard.Map:
    image = np.arange(float(NY * NX)).reshape(NY, NX) * 1e-17
    layers = {"plain_halpha": image, "differenced_halpha": image[::-1]}
    units = dict.fromkeys(layers, "erg s-1 cm-2 arcsec-2")
    mask = np.zeros((NY, NX), dtype=bool)
    return ard.Map(layers, units, mask, cube.wcs, dict(META), record("difference"))
