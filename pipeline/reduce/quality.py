"""How good are the cube and the line maps of one item, in numbers that the judge can use?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ard.cube import FloatArray
from ard.maps import Map


@dataclass(frozen=True)
class Config:
    """Settings of the quality stage.

    Attributes
    ----------
    snr_detected : float
        A spaxel with a larger signal-to-noise ratio counts as detected.
    """

    snr_detected: float = 8.0


def run(
    *, item: str, seen: Mapping[str, Any], linemaps: Mapping[str, Map], config: Config
) -> dict[str, Any]:
    """Put what ingest saw and what the maps show into one document.

    Parameters
    ----------
    item : str
        The item's name.
    seen : mapping
        The document of the ingest stage.
    linemaps : mapping of str to Map
        One for each kinematic group.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``quality``: the quality document.
    """
    voxels, total = seen["voxels"], seen["voxels"]["total"]
    found = voxels["outliers_negative"] + voxels["outliers_positive"]
    cube = {
        "masked_fraction": voxels["masked_fraction"],
        "err_median": seen["err"]["median"],
        "noise_ratio": seen["noise"]["scatter_over_err"],
        "outlier_fraction": found / total,
    }
    details = (
        *("source_file", "error_from", "shape", "wave_um", "target_pixel", "spaxels", "voxels"),
        *("consistency", "flux", "err", "noise"),
    )
    cube |= {name: seen[name] for name in details}
    document = {
        "schema": "quality",
        "item": item,
        "simulated": seen["simulated"],
        "cube": cube,
        "maps": [_map_row(group, linemaps[group], config) for group in sorted(linemaps)],
    }
    return {"quality": document}


def _map_row(group: str, linemap: Map, config: Config) -> dict[str, Any]:
    velocity, sigma, snr = (linemap[name] for name in ("velocity", "sigma", "snr"))
    fitted = ~linemap.mask & np.isfinite(velocity)
    with np.errstate(invalid="ignore"):
        detected = fitted & (snr > config.snr_detected)
    return {
        "group": group,
        "n_spaxels": int((linemap["n_used"] > 0).sum()),
        "n_fitted": int(fitted.sum()),
        "n_detected": int(detected.sum()),
        "snr_detected": config.snr_detected,
        "chi2_dof_median": _percentile(linemap["chi2_dof"][fitted], 50),
        "velocity_p05_kms": _percentile(velocity[detected], 5),
        "velocity_median_kms": _percentile(velocity[detected], 50),
        "velocity_p95_kms": _percentile(velocity[detected], 95),
        "sigma_median_kms": _percentile(sigma[detected], 50),
    }


def _percentile(values: FloatArray, q: float) -> float | None:
    good = values[np.isfinite(values)]
    return float(np.percentile(good, q)) if good.size else None
