"""What a tiny run measured on images: products that are good in every respect."""

from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

import ard
from manifests import Target

BANDS = ("F200LP", "F350LP")
EDGES = np.arange(1.0, 8.01, 0.5)


def geometry_document(target: Target, record: Any) -> dict[str, Any]:
    tip = {"ra_deg": target.tip.ra_deg, "dec_deg": target.tip.dec_deg}
    section = {
        "kind": "whole", "from_arcsec": 4.0, "to_arcsec": 7.5, "fwhm_arcsec": 0.25,
        "fwhm_err": 0.01, "intrinsic_arcsec": 0.238, "intrinsic_err": 0.0105,
        "centre_arcsec": 0.01, "centre_err": 0.005, "snr": 20.0, "chi2_dof": 1.1,
    }  # fmt: skip
    faint = section | dict.fromkeys(
        ("fwhm_arcsec", "fwhm_err", "intrinsic_arcsec", "intrinsic_err", "centre_arcsec",
         "centre_err"),
    ) | {"kind": "section", "snr": 1.0}  # fmt: skip
    return {
        "schema": "geometry",
        "simulated": True,
        "target": target.name,
        "host": {
            "ra_deg": target.host.ra_deg, "dec_deg": target.host.dec_deg,
            "east_err_arcsec": 0.001, "north_err_arcsec": 0.001,
            "east_choice_arcsec": 0.0, "north_choice_arcsec": 0.002,
            "east_combined_err_arcsec": 0.001, "north_combined_err_arcsec": 0.0022,
            "from_declared_arcsec": 0.0,
        },
        "wake": {
            "pa_deg": 147.5, "pa_err": 0.05, "pa_chi2_dof": 0.8,
            "pa_choice_deg": 0.01, "pa_combined_err": 0.051,
            "length_choice_arcsec": 0.001, "length_combined_err": 0.02,
            "ridge_pa_deg": 147.4, "ridge_pa_err": 0.1, "ridge_pa_chi2_dof": 1.0,
            "length_arcsec": 7.9, "length_err": 0.02, "length_chi2_dof": 0.5,
            "length_kpc": 62.7, "length_kpc_err": 0.2, "kpc_per_arcsec": 7.937,
            "peak_arcsec": 7.8, "peak_err": 0.02, "tip": tip,
        },
        "bands": [
            {
                "band": band, "images": 1, "psf_fwhm_arcsec": 0.075, "psf_evidence": "choice",
                "pa_deg": 147.5, "pa_err": 0.07, "length_arcsec": 7.9, "length_err": 0.03,
                "tip": tip | {
                    "peak_arcsec": 7.8, "peak_err": 0.02, "edge_arcsec": 7.9, "edge_err": 0.03,
                    "drop": 12.0, "drop_is_limit": True, "snr": 20.0,
                },
                "ridge": {
                    "offset_at_host_arcsec": 0.05, "offset_at_host_err": 0.01,
                    "sigma_arcsec": 0.11, "chi2_dof": 1.2, "intervals": 14,
                },
                "sections": [faint, section],
            }
            for band in BANDS
        ],
        "images": [
            {
                "file": f"{band.lower()}_drc.fits", "band": band, "zero_point_ab": 27.0,
                "pivot_angstrom": 5000.0, "exptime_s": 2450.0, "exposures": 3,
                "weight_kind": "exposure", "pixel_arcsec": 0.04, "sky": 0.155, "sigma": 0.01,
                "inflation": 1.5, "aperture_ratio": 1.02, "declared_ratio": None,
                "neighbours_masked": 0, "masked_fraction": 0.0,
            }
            for band in BANDS
        ],
        "fields": [
            {
                "item": "t001", "corners_deg": [[40.44, -8.35], [40.441, -8.35], [40.44, -8.351]],
                "from_arcsec": 6.0, "to_arcsec": 7.9, "holds_tip": True,
            }
        ],
        "registration": [
            {
                "item": "t001", "light": "white", "image": "f350lp_drc.fits", "status": "measured",
                "reason": "", "east_arcsec": 0.01, "north_arcsec": -0.02, "east_err": 0.01,
                "north_err": 0.012, "correlation": 0.3, "snr": 12.0, "chi2_dof": 1.1,
                "spaxels": 900,
            }
        ],
        "provenance": record.to_dict(),
    }  # fmt: skip


def photometry_table(record: Any) -> ard.Table:
    n = EDGES.size - 1
    surface = u.uJy / u.arcsec**2
    bright = np.linspace(0.3, 0.8, n)
    data = QTable(
        {
            "band": np.repeat(BANDS, n),
            "from_arcsec": np.tile(EDGES[:-1], 2) * u.arcsec,
            "to_arcsec": np.tile(EDGES[1:], 2) * u.arcsec,
            "width_arcsec": np.full(2 * n, 0.5) * u.arcsec,
            "brightness": np.tile(bright, 2) * surface,
            "brightness_err": np.full(2 * n, 0.05) * surface,
            "mu_ab": np.full(2 * n, 24.5) * u.mag / u.arcsec**2,
            "mu_ab_err": np.full(2 * n, 0.1) * u.mag / u.arcsec**2,
            "coverage": np.ones(2 * n),
        }
    )
    return ard.Table(data, {"SIMULATD": True}, record)


def magnitudes_table(record: Any) -> ard.Table:
    wake = float((np.linspace(0.3, 0.8, EDGES.size - 1) * 0.5 * np.diff(EDGES)).sum())
    columns: dict[str, Any] = {
        "source": ["host", "host", "wake", "wake"],
        "band": [*BANDS, *BANDS],
        "aperture": ["circle"] * 2 + ["strip"] * 2,
        "total": ["curve of growth"] * 4,
        "from_arcsec": [0.0, 0.0, 1.0, 1.0] * u.arcsec,
        "to_arcsec": [0.7, 0.7, 8.0, 8.0] * u.arcsec,
        "coverage": [1.0] * 4,
        "flux": [5.0, 6.0, wake, wake] * u.uJy,
        "flux_err": [0.03] * 4 * u.uJy,
    }
    for name, value in (("mag", 22.0), ("correction", -0.05), ("total", 21.95)):
        label = name if name == "correction" else f"{name}_ab"
        columns[label] = [value] * 4 * u.mag
        columns[f"{name}_err"] = [0.02] * 4 * u.mag
    for name in ("zero_point", "overlap", "choice", "total_overlap", "total_choice"):
        columns[f"{name}_err"] = [0.01] * 4 * u.mag
    for name in ("mag", "total"):
        columns[f"{name}_combined_err"] = [np.sqrt(0.02**2 + 3 * 0.01**2)] * 4 * u.mag
    return ard.Table(QTable(columns), {"SIMULATD": True}, record)


def colours_table(record: Any) -> ard.Table:
    data = QTable(
        {
            "source": ["host", "wake", "profile"],
            "first": ["F200LP"] * 3,
            "second": ["F350LP"] * 3,
            "kind": ["difference"] * 3,
            "from_arcsec": [0.0, 1.0, 1.0] * u.arcsec,
            "to_arcsec": [0.7, 8.0, 1.5] * u.arcsec,
            "colour": [np.nan] * 3 * u.mag,
            "colour_err": [np.nan] * 3 * u.mag,
            "zero_point_err": [np.nan] * 3 * u.mag,
            "colour_combined_err": [np.nan] * 3 * u.mag,
            "difference": [0.1, 1.2, 0.05] * u.uJy,
            "difference_err": [0.1, 0.15, 0.02] * u.uJy,
        }
    )
    return ard.Table(data, {"SIMULATD": True}, record)
