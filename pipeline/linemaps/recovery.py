"""Does the extraction give back what the simulator put in?

Only simulated runs have a truth. Compared are spaxels that are bright enough; medians and robust
scatters, so that a few runaway fits do not hide what the rest says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits

from ard.cube import BoolArray, FloatArray
from ard.errors import FormatError, NotFoundError
from ard.maps import Map

TruthMaps = Mapping[str, FloatArray]
_MAD_TO_SIGMA: Final = 1.482602218505602  # 1 / Phi^-1(3/4), for a Gaussian


@dataclass(frozen=True)
class Config:
    """Settings of the recovery stage.

    Attributes
    ----------
    snr_min : float
        Only spaxels with a higher signal-to-noise ratio are compared.
    """

    snr_min: float = 8.0


def read_truth(path: Path) -> dict[str, dict[str, FloatArray]]:
    """Read the simulator's truth maps.

    Parameters
    ----------
    path : path
        ``truth.fits``: images with the keywords ITEM and LAYER.

    Returns
    -------
    dict
        Item to layer name (lower case: velocity_<line>, sigma_<line>, flux_<line>) to ndarray,
        shape (ny, nx).

    Raises
    ------
    FormatError
        If the file holds no such image.
    """
    truth: dict[str, dict[str, FloatArray]] = {}
    with fits.open(path) as hdus:
        for hdu in hdus:
            if "ITEM" in hdu.header and "LAYER" in hdu.header and hdu.data is not None:
                layers = truth.setdefault(str(hdu.header["ITEM"]), {})
                layers[str(hdu.header["LAYER"]).lower()] = np.array(hdu.data, dtype=np.float64)
    if not truth:
        raise FormatError(
            "the file holds no truth maps",
            file=path.name,
            expected="images with the keywords ITEM and LAYER",
            found="none",
            action="run the simulator again",
        )
    return truth


def run(
    *,
    item: str,
    linemaps: Mapping[str, Map],
    truth: Mapping[str, TruthMaps],
    config: Config,
) -> dict[str, Any]:
    """Compare the line maps of an item with its truth.

    Parameters
    ----------
    item : str
        The item's name.
    linemaps : mapping of str to Map
        One for each kinematic group.
    truth : mapping
        Item to layer to true map, as `read_truth` gives it.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``recovery``: the recovery document.

    Raises
    ------
    NotFoundError
        If there is no truth for the item.
    FormatError
        If truth and map have different shapes.
    """
    if item not in truth:
        raise NotFoundError(
            f"there is no truth for the item {item}",
            expected=item,
            found=", ".join(sorted(truth)) or "no item",
            action="run the simulator and the reduction with the same configuration",
        )
    rows = [_row(group, linemaps[group], truth[item], config) for group in sorted(linemaps)]
    document = {
        "schema": "recovery",
        "item": item,
        "simulated": True,
        "snr_min": config.snr_min,
        "groups": rows,
    }
    return {"recovery": document}


def _row(group: str, found: Map, truth: TruthMaps, config: Config) -> dict[str, Any]:
    line = brightest_line(found)
    # Lines weigh the gas along the line of sight differently, so each has a velocity of its own.
    of_line = line.removeprefix("flux_")
    true = {
        "velocity": truth_layer(truth, f"velocity_{of_line}", found),
        "sigma": truth_layer(truth, f"sigma_{of_line}", found),
        line: truth_layer(truth, line, found),
    }
    good = _comparable(found, true, config)
    velocity = (found["velocity"] - true["velocity"])[good]
    sigma = (found["sigma"] - true["sigma"])[good]
    pull = velocity / found["velocity_err"][good]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = found[line][good] / true[line][good]
    return {
        "group": group,
        "n_compared": int(good.sum()),
        "velocity_bias_kms": _median(velocity),
        "velocity_scatter_kms": _scatter(velocity),
        "velocity_pull_scatter": _scatter(pull),
        "sigma_bias_kms": _median(sigma),
        "sigma_scatter_kms": _scatter(sigma),
        "flux_ratio_median": _median(ratio),
    }


def brightest_line(found: Map) -> str:
    """Name the flux layer that is brightest, summed over the spaxels that may be used."""
    names = [n for n in found.layers if n.startswith("flux_") and not n.endswith("_err")]
    return max(names, key=lambda name: float(np.nansum(found[name][~found.mask])))


def truth_layer(truth: TruthMaps, name: str, found: Map) -> FloatArray:
    """Give a layer of the truth.

    Raises
    ------
    FormatError
        If there is none of this name on the grid of the map.
    """
    if name not in truth or truth[name].shape != found.shape:
        raise FormatError(
            f"the truth has no layer {name} on the grid of the line map",
            expected=f"{name} of shape {found.shape}",
            found=", ".join(f"{key} {value.shape}" for key, value in sorted(truth.items())),
            action="run the simulator and the reduction with the same configuration",
        )
    return truth[name]


def _comparable(found: Map, true: TruthMaps, config: Config) -> BoolArray:
    good: BoolArray = ~found.mask & np.isfinite(found["velocity"])
    with np.errstate(invalid="ignore"):
        good &= found["snr"] > config.snr_min
    for values in true.values():
        good &= np.isfinite(values)
    return good


def _median(values: FloatArray) -> float | None:
    good = values[np.isfinite(values)]
    return float(np.median(good)) if good.size else None


def _scatter(values: FloatArray) -> float | None:
    good = values[np.isfinite(values)]
    return float(_MAD_TO_SIGMA * np.median(np.abs(good - np.median(good)))) if good.size else None
