"""A tiny run folder that is good in every respect: what planted faults are planted in."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from builders import make_wcs
from handmade import write_zip
from imagery import colours_table, geometry_document, magnitudes_table, photometry_table

import ard
from ard import io, layout
from ard.describe import describe
from ard.fitsio import write_hdus
from ard.likelihood import NoiseProduct, noise_from_model
from ard.likelihood.noise import APPROXIMATE
from ard.parts import file_parts
from ard.sums import format_sums
from checks import judge
from manifests import Target, load_target

SHA = "ab" * 32
PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU"
    b"\0\0\0\nIDATx\x9cc`\0\0\0\2\0\1H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
)
N_WAVE, NY, NX = 12, 5, 4
META = {
    "TELESCOP": "JWST",
    "INSTRUME": "NIRSPEC",
    "GRATING": "G140M",
    "FILTER": "F100LP",
    "TARGNAME": "RBH-1",
    "SIMULATD": True,
}
type Edit = Callable[[Path], None]


def record(stage: str, inputs: dict[str, str] | None = None, *, simulated: bool = True):
    return ard.Provenance(
        stage, ard.__version__, SHA, SHA, 1, simulated, inputs or {}, {"numpy": "2"}
    )


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


def seen_cube(masked_fraction: float) -> dict[str, Any]:
    spread = {"min": -0.3, "p1": -0.2, "median": 0.0, "p99": 0.2, "max": 0.3}
    names = (
        "nan flagged nan_without_flag flag_without_nan nan_with_weight weightless_without_nan "
        "flux_without_error"
    )
    consistency = dict.fromkeys(names.split(), 0)
    return {
        "masked_fraction": masked_fraction,
        "err_median": 0.1,
        "noise_ratio": 1.0,
        "outlier_fraction": 0.0,
        "source_file": "t001_s3d.fits",
        "error_from": "file",
        "shape": [N_WAVE, NY, NX],
        "wave_um": {"min": 0.9703, "max": 0.9773},
        "target_pixel": {"x": 1.5, "y": 2.0},
        "spaxels": {"total": NY * NX, "usable": NY * NX},
        "voxels": {
            "total": N_WAVE * NY * NX,
            "masked_by_archive": 1,
            "absurd_errors": 0,
            "outliers_negative": 0,
            "outliers_positive": 0,
            "masked_fraction": masked_fraction,
        },
        "consistency": consistency,
        "flux": spread,
        "err": spread,
        "noise": {
            "scatter_over_err": 1.0,
            "wave_um": [0.9703],
            "scale": [None],
            "correlation": {"wave_lag1": 0.0, "y_lag1": 0.4, "x_lag1": None},
        },
    }


def quality_document(masked_fraction: float, inputs: dict[str, str]) -> dict[str, Any]:
    return {
        "schema": "quality",
        "item": "t001",
        "simulated": True,
        "cube": seen_cube(masked_fraction),
        "maps": [
            {
                "group": "oiii",
                "n_spaxels": NY * NX,
                "n_fitted": NY * NX - 1,
                "n_detected": NY * NX - 1,
                "snr_detected": 8.0,
                "chi2_dof_median": 1.1,
                "velocity_p05_kms": -270.0,
                "velocity_median_kms": -110.0,
                "velocity_p95_kms": 40.0,
                "sigma_median_kms": 80.0,
            }
        ],
        "provenance": record("quality", inputs).to_dict(),
    }


def recovery_document(inputs: dict[str, str]) -> dict[str, Any]:
    return {
        "schema": "recovery",
        "item": "t001",
        "simulated": True,
        "snr_min": 8.0,
        "groups": [
            {
                "group": "oiii",
                "n_compared": 90,
                "velocity_bias_kms": -3.0,
                "velocity_scatter_kms": 12.0,
                "velocity_pull_scatter": 1.2,
                "sigma_bias_kms": 5.0,
                "sigma_scatter_kms": 14.0,
                "flux_ratio_median": 1.01,
            }
        ],
        "provenance": record("recovery", inputs).to_dict(),
    }


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


def noise_document(inputs: dict[str, str]) -> dict[str, Any]:
    """A noise model that is good in every respect."""
    axes = ("wave", "y", "x")
    white = {
        **{"variance": 1.01, "variance_error": 0.02, "chi2": 0.98, "chi2_drawn": 1.05},
        **{"left_max": 0.02, "left_sigma": 2.0},
        **{"left_lag": [0, 1, -1], "edges": [-5.0, 0.0, 5.0]},
        **{"density": [0.5, 0.5], "expected": [0.5, 0.5], "beyond_3": 0.003, "beyond_5": 0.0},
        "expected_beyond_3": 0.003,
        "left": [[[0.02, -0.01, 0.02]]],
        "left_error": [[[0.01, 0.01, 0.01]]],
    }
    left_out = {
        **{"file": "jw1_s3d.fits", "count": 200, "ratio": 1.02, "error": 0.05},
        **{"aperture_ratio": 0.97, "aperture_error": 0.1},
        "whitened": {
            **{"count": 200, "variance": 1.03, "variance_error": 0.1},
            **{"left_max": 0.02, "left_sigma": 2.0, "left_lag": [0, 1, -1]},
            **{"left": [[[0.02, -0.01, 0.02]]], "left_error": [[[0.01, 0.01, 0.01]]]},
        },
    }
    aperture = {"count": 200, "ratio": 1.02, "error": 0.03, "ratio_fir": 1.05, "beyond_err": 1.5}
    counts = {
        **{"voxels": N_WAVE * NY * NX, "masked": 1, "flux_without_error": 0, "channels": N_WAVE},
        **{"channels_free": 8, "spaxels": NY * NX, "spaxels_measured": NY * NX - 1},
        **{"spaxels_odd": 0, "outliers": 0, "residuals": 6000, "splines": 4},
    }
    return {
        "schema": "noise-model",
        "item": "t001",
        "simulated": True,
        "method": {"blue_kms": 1200.0},
        "lines": [{"line": "OIII4959", "first": 0, "last": 3}],
        "busy": [],
        "counts": counts,
        "scatter_over_err": 1.9,
        "scale": {
            "wave_um": [0.9703 + 0.000636 * k for k in range(N_WAVE)],
            "value": [1.9] * N_WAVE,
            "error": [0.02] * N_WAVE,
            "measured": [None] * N_WAVE,
            "chi2_dof": 1.0,
        },
        "correlation": {
            **{axis: {"value": [1.0, 0.4], "error": [0.0, 0.01]} for axis in axes},
            "observed_lag1": dict.fromkeys(axes, 0.38),
            "sky": [[0.2, 0.4, 0.2], [0.4, 1.0, 0.4], [0.2, 0.4, 0.2]],
            "retained_variance": 0.95,
        },
        "kronecker": {axis: [1.0, 0.4] for axis in axes},
        "taps": [[[1.2, -0.5], [-0.5, 0.2]]],
        "whitened": {"kronecker": dict(white), "fir": dict(white)},
        "apertures": [{"side": side, **aperture} for side in (1, 2, 3)],
        "dithers": {
            "reason": "",
            "given": 2,
            "files": ["jw1_s3d.fits", "jw2_s3d.fits"],
            "scale": {"value": [1.91] * N_WAVE, "error": [0.03] * N_WAVE},
            "lag1": dict.fromkeys(axes, 0.4),
            "left_out": [left_out],
        },
        "provenance": record("noise", inputs).to_dict(),
    }


def combination_document(masked_fraction: float, inputs: dict[str, str]) -> dict[str, Any]:
    rows = [
        {
            "filename": f"jw{k}_s3d.fits",
            "shift_x": float(k),
            "shift_y": 0.0,
            "whole": True,
            "weight": 1.0,
            "good": N_WAVE * NY * NX - 1,
            "errorless": 0,
            "rejected": 1,
        }
        for k in (1, 3)
    ]
    return {
        "schema": "combination",
        "item": "t001",
        "simulated": True,
        "shape": [N_WAVE, NY, NX],
        "pixfrac": 1.0,
        "reject_sigma": 6.0,
        "exposures": rows,
        "left_out": [],
        "set_aside": [{"filename": "jw2_s3d.fits", "role": "imprint"}],
        "voxels": {
            "total": N_WAVE * NY * NX,
            "seen": N_WAVE * NY * NX,
            "seen_masked": 1,
            "touched_by_rejection": 2,
        },
        "masked_fraction": masked_fraction,
        "scatter_over_err": 1.9,
        "archive": {
            "subtracted": False,
            "compared": N_WAVE * NY * NX - 1,
            "median_err": 0.0,
            "scatter_err": 1e-7,
            "scatter_noise": 5e-8,
            "agreeing_fraction": 0.95,
        },
        "provenance": record("combine", inputs).to_dict(),
    }


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
            "truth_fraction": [0.0] * n,
        }
    )
    return ard.Table(data, {}, record("difference"))


def subtraction_document() -> dict[str, Any]:
    methods = [
        {"method": name, "fraction": value, "fraction_err": 0.01}
        for name, value in (("pointings", 0.01), ("annulus", -0.01), ("lowrank", 0.0))
    ]
    distribution = {
        "methods": methods,
        "p025": -0.03,
        "p16": -0.01,
        "p50": 0.0,
        "p84": 0.01,
        "p975": 0.03,
        "probability_below": 1.0,
        "artefacts": {
            "fraction": 0.01,
            "fraction_err": 0.01,
            "p025": -0.01,
            "p975": 0.03,
            "probability_below": 1.0,
        },
    }
    line = {"item": "t001", "aperture": "wake", "line": "Halpha"}
    return {
        "schema": "subtraction",
        "simulated": True,
        "status": "EVALUATED",
        "sentence": "Nothing is taken off.",
        "criterion": 0.2,
        "offsets": [{"item": "t001", "east_arcsec": 0.88, "north_arcsec": 0.59}],
        "lines": [line | distribution],
        "apertures": [{"aperture": "wake"} | distribution],
        "tension": [line | {"loss": 0.01, "loss_err": 0.02, "sigma": 0.5}],
        "recovery": {
            "compared": 40,
            "pull_mean": 0.1,
            "pull_scatter": 0.9,
            "pull_largest": 2.0,
        },
        "provenance": record("difference").to_dict(),
    }


def ghost_map(cube: ard.Cube) -> ard.Map:
    image = np.arange(float(NY * NX)).reshape(NY, NX) * 1e-17
    layers = {"plain_halpha": image, "differenced_halpha": image[::-1]}
    units = dict.fromkeys(layers, "erg s-1 cm-2 arcsec-2")
    mask = np.zeros((NY, NX), dtype=bool)
    return ard.Map(layers, units, mask, cube.wcs, dict(META), record("difference"))


_WRITTEN: dict[bytes, bytes] = {}


def write(path: Path, product: Any) -> None:
    """Write a product, or the bytes that an equal one became: most of a run is always the same."""
    key = pickle.dumps(product)
    if key not in _WRITTEN:
        ard.write(path, product)
        _WRITTEN[key] = path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_WRITTEN[key])


def make_run(root: Path, edits: Mapping[str, Edit] | None = None) -> Path:
    """Write a run folder with one item of the simulated observation, and give its path.

    Each edit changes a file right after it is written, so that what is made from it is made from
    the changed file: only the planted fault is wrong.
    """
    target, products = load_target("rbh1"), root / layout.PRODUCTS_DIR
    edits = edits or {}

    def put(name: str, path: Path, product: Any) -> dict[str, str]:
        write(path, product)
        if name in edits:
            edits[name](path)
        # An edit may move the file away; then nothing is made from it.
        return {path.relative_to(root).as_posix(): io.sha256_file(path)} if path.exists() else {}

    archive = put("archive", root / layout.ARCHIVE_DIR / "t001_s3d.fits", b"the input cube")
    cube = make_cube(target, archive)
    from_cube = put("cube", products / "likelihood" / "t001_cube.fits", cube)
    noise = noise_product(products / "likelihood" / "t001_cube.fits", from_cube)
    put("noise", products / "likelihood" / "t001_noise.fits", noise)
    linemap = make_linemap(cube, from_cube)
    from_map = put("linemap", products / "inference" / "t001_linemap.fits", linemap)
    inference = products / "inference"
    put("spectra", inference / "t001_spectra.ecsv", spectra_table(cube, from_cube | from_map))
    put("fluxes", inference / "t001_fluxes.ecsv", fluxes_table(target, from_cube | from_map))
    lines = lines_table(target, {"rbh1.toml": SHA})
    put("lines", products / "likelihood" / "lines.ecsv", lines)
    put("exposures", products / "likelihood" / "exposures.ecsv", exposures_table())
    masked = masked_fraction(products / "likelihood" / "t001_cube.fits")
    images = {"f350lp_drc.fits": SHA}
    seen = geometry_document(target, record("geometry", images))
    put("geometry", inference / "geometry.json", seen)
    for name, table in (
        ("photometry", photometry_table),
        ("magnitudes", magnitudes_table),
        ("colours", colours_table),
    ):
        put(name, inference / f"{name}.ecsv", table(record("photometry", images)))
    validation = products / "validation"
    put("combined", products / "likelihood" / "t001_combined.fits", make_cube(target, archive))
    put("resampling", products / "likelihood" / "t001_resampling.ecsv", resampling_table())
    put(
        "combination",
        validation / "t001_combination.json",
        combination_document(masked_fraction(products / "likelihood/t001_combined.fits"), {}),
    )
    put("ghosts", validation / "ghosts.ecsv", ghosts_table())
    put("subtraction", validation / "subtraction.json", subtraction_document())
    put("ghostmap", validation / "t001_ghostmap.fits", ghost_map(cube))
    put("quality", validation / "t001_quality.json", quality_document(masked, from_map))
    put("noisemodel", validation / "t001_noisemodel.json", noise_document(from_cube))
    put("recovery", validation / "t001_recovery.json", recovery_document(from_map))
    put("figure", validation / "figures" / "t001_velocity.png", PNG)
    write_run_document(root)
    if "run" in edits:
        edits["run"](products / layout.RUN_FILE)
    return root


def masked_fraction(path: Path) -> float:
    try:
        return float(describe(path)["masked_fraction"])
    except ard.ArdError:
        return 0.0


def edit_json(change: Callable[[dict[str, Any]], None]) -> Edit:
    """Make an edit of a JSON file from a change of its document."""

    def edit(path: Path) -> None:
        document = io.read_json(path)
        change(document)
        io.write_json(path, document, overwrite=True)

    return edit


def edit_fits(change: Callable[[fits.HDUList], None], *, checksum: bool = True) -> Edit:
    """Make an edit of a FITS file from a change of its HDUs; checksums are made anew."""

    def edit(path: Path) -> None:
        with fits.open(path, memmap=False, do_not_scale_image_data=False) as hdus:
            change(hdus)
            for hdu in hdus:
                hdu.header.remove("CHECKSUM", ignore_missing=True)
                hdu.header.remove("DATASUM", ignore_missing=True)
            write_hdus(path, hdus, overwrite=True, checksum=checksum)

    return edit


HLSP = "hlsp_rbh1-ard_jwst_nirspec_rbh1-{item}_g140m-f100lp_v0_{layer}-{product}.fits"


def bundle_name(path: Path) -> str:
    """Name a product of a run in its bundle."""
    layer = path.parent.name
    if path.suffix != ".fits":
        return f"{layer}_{path.name}"
    item, _, product = path.stem.partition("_")
    return HLSP.format(item=item, layer=layer, product=product)


def place_of(name: str) -> tuple[str | None, str | None]:
    """The layer and the product that a file of a bundle is, by its name."""
    fields = name.removesuffix(".fits").split("_")
    if fields[0] == "hlsp":
        layer, _, product = fields[-1].partition("-")
        return layer, f"{fields[4].partition('-')[2]}_{product}"
    layer = next((n for n in layout.LAYERS if name.startswith(f"{n}_")), None)
    return layer, None if layer is None else Path(name).stem.removeprefix(f"{layer}_")


def stamp(hdus: fits.HDUList) -> None:
    hdus[0].header["DOI"] = "not yet reserved"


def make_bundle(run: Path, bundle: Path) -> Path:
    """Flatten a run into the deposit form: other names, stamped headers, manifest and sums."""
    products = run / layout.PRODUCTS_DIR
    document = io.read_json(products / layout.RUN_FILE)
    sources = {}
    for path in sorted(products.glob("*/*.*")):
        name = bundle_name(path)
        io.atomic_write_bytes(bundle / name, path.read_bytes())
        sources[name] = io.sha256_file(path)
        if path.suffix == ".fits":
            edit_fits(stamp)(bundle / name)
    for name in (layout.README_FILE, layout.DATASHEET_FILE, layout.DICTIONARY_FILE):
        io.atomic_write_bytes(bundle / name, b"# A tiny bundle\n")
    io.atomic_write_bytes(bundle / layout.CITATION_FILE, b"cff-version: 1.2.0\n")
    io.write_json(bundle / layout.CRATE_FILE, {"@graph": []})
    for name in (layout.RECORD_FILE, layout.DATACITE_FILE, layout.DATAPACKAGE_FILE):
        io.write_json(bundle / name, {})
    io.atomic_write_bytes(bundle / layout.LANDING_FILE, b"<!doctype html><title>A</title>\n")
    io.write_json(bundle / layout.CHECKS_FILE, judge(run).to_dict())
    write_lists(bundle, document, sources)
    return bundle


def pack(bundle: Path, names: list[str], archive: str) -> None:
    """Move files of a bundle into one archive of their layer."""
    layer = archive.partition("_")[0]
    members = {name.removeprefix(f"{layer}_"): (bundle / name).read_bytes() for name in names}
    write_zip(bundle / archive, members)
    for name in names:
        (bundle / name).unlink()


def known_sources(bundle: Path) -> dict[str, str]:
    """The digests of the run's products, as an earlier manifest of the folder gives them."""
    rows = io.read_json(bundle / layout.MANIFEST_FILE)["files"]
    return {row["name"]: row["source_sha256"] for row in rows}


def write_lists(
    bundle: Path, document: Mapping[str, Any], sources: Mapping[str, str] | None = None
) -> None:
    """Write the manifest and the sums of a flat folder."""
    known = known_sources(bundle) if sources is None else sources
    files = []
    for path in sorted(bundle.iterdir()):
        if path.name in (layout.MANIFEST_FILE, layout.SUMS_FILE):
            continue
        layer, product = place_of(path.name)
        facts = describe(path)
        files.append(
            {
                "name": path.name,
                "layer": layer,
                "product": product,
                "kind": facts["kind"],
                "media_type": facts["media_type"],
                "schema": None,
                "size": facts["size"],
                "sha256": io.sha256_file(path),
                "md5": io.md5_file(path),
                "provenance": facts["provenance"],
                "source_sha256": known.get(path.name),
                "parts": [part.to_dict() for part in file_parts(path)],
            }
        )
    keys = ("simulated", "toy_grid", "target", "code_version", "absent_layers")
    layers = {n: [f["name"] for f in files if f["layer"] == n] for n in layout.LAYERS}
    manifest = {key: document[key] for key in keys} | {
        "schema": "manifest",
        "name": "rbh1-ard",
        "version": "0.1.0",
        "layers": {name: listed for name, listed in layers.items() if listed},
        **dict.fromkeys(("date", "doi", "concept_doi", "previous_doi")),
        "files": files,
    }
    io.write_json(bundle / layout.MANIFEST_FILE, manifest, overwrite=True)
    sums = {
        path.name: io.sha256_file(path)
        for path in bundle.iterdir()
        if path.name != layout.SUMS_FILE
    }
    io.atomic_write_bytes(bundle / layout.SUMS_FILE, format_sums(sums).encode(), overwrite=True)


def _sums(products: Path) -> dict[str, str]:
    """Give what the last stage read: every product as the stages wrote it."""
    files = (p for p in sorted(products.rglob("*.*")) if p.name != layout.RUN_FILE)
    return {f"work/{path.name}": io.sha256_file(path) for path in files if path.is_file()}


def write_run_document(root: Path, **changes: Any) -> None:
    """Write run.json over the products that are there."""
    products = root / layout.PRODUCTS_DIR
    kinds = {".fits": "cube", ".ecsv": "table", ".json": "document", ".png": "figure"}
    rows = []
    for path in sorted(products.rglob("*.*")):
        if path.name != layout.RUN_FILE:
            kind = "map" if path.stem.endswith("map") else kinds[path.suffix]
            kind = "noise" if path.name.endswith("_noise.fits") else kind
            name = path.relative_to(products).as_posix()
            rows.append({"path": name, "kind": kind, "schema": None, "stage": "a stage"})
    document = {
        "schema": "run",
        "target": load_target("rbh1").to_dict(),
        "simulated": True,
        "toy_grid": False,
        "source": "twin",
        "items": ["t001"],
        "code_version": ard.__version__,
        "code_sha256": SHA,
        "config_sha256": SHA,
        "products": rows,
        "absent_layers": {"representative": "no model was fitted to whole cubes"},
        "provenance": record("materialize", _sums(products)).to_dict(),
    }
    io.write_json(products / layout.RUN_FILE, document | changes, overwrite=True)
