"""The documents of a tiny run that is good in every respect."""

from typing import Any

import ard

SHA = "ab" * 32
N_WAVE, NY, NX = 12, 5, 4


def record(stage: str, inputs: dict[str, str] | None = None, *, simulated: bool = True):
    return ard.Provenance(
        stage, ard.__version__, SHA, SHA, 1, simulated, inputs or {}, {"numpy": "2"}
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


def kinematics_recovery_document(inputs: dict[str, str]) -> dict[str, Any]:
    row = {
        "group": "oiii",
        "line": "oiii5007",
        "quantity": "velocity",
        "snr_min": 20.0,
        "snr_max": None,
        "n_compared": 60,
        "n_flagged": 1,
        "coverage_68": 0.5,
        "coverage_95": 0.8,
        "expected_coverage_68": 0.7,
        "expected_coverage_95": 0.95,
        "pull_rms": 1.3,
        "model_pull_rms": 0.8,
        "noise_pull_rms": 1.0,
        "model_bias_kms": 4.0,
    }
    return {
        "schema": "kinematics-recovery",
        "item": "t001",
        "simulated": True,
        "rows": [row, row | {"quantity": "sigma"}],
        "provenance": record("kinematicsrecovery", inputs).to_dict(),
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
        "set_aside": 0.02,
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
        "tail": {"n_sigma": 8.0, "compared": 200_000, "beyond": 12},
        "provenance": record("combine", inputs).to_dict(),
    }


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
