"""Do the posteriors of spaxels hold the truth, and how much of what is off is the model's error?

The light of a spaxel of the simulated field is a blend: of gas along the line of sight, of what the
point-spread function brings from next door, of lines with velocities of their own. No such profile
is in the model, which has one Gaussian for all lines of a group. So beside the posterior the same
Gaussian is fitted to the profile without noise: what is off there is error of the model, and has
nothing to do with noise. Errors of the cube's line-spread function are among it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits

from ard.cube import BoolArray, Cube, FloatArray
from ard.errors import FormatError, NotFoundError
from ard.maps import Map
from manifests import Target
from pipeline.infer import kinematics
from pipeline.infer.spaxel.posterior import fit
from pipeline.infer.spaxel.spectra import Scales
from pipeline.linemaps.recovery import TruthMaps, truth_layer
from pipeline.reduce.apertures.covariance import GivenNoise, VoxelNoise, noise_of
from pipeline.reduce.instruments import required_lsf

_SHARP: Final = 100.0  # S/N at which a prior moves nothing
_DIGITS: Final = 6
# Of the quantiles of a map, with the share of the posterior between them.
_INTERVALS: Final = {"68": ("p160", "p840"), "95": ("p025", "p975")}


@dataclass(frozen=True)
class Config(kinematics.Config):
    """Settings of the stage kinematicsrecovery: those of `kinematics`, which must be the same.

    Attributes
    ----------
    snr_edges : tuple of float
        Edges of the bins in the signal-to-noise ratio of the brightest line, its true flux over
        the error of the measured one; the last bin has no upper end.
    """

    snr_edges: tuple[float, ...] = (3.0, 8.0, 20.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.snr_edges or self.snr_edges[0] <= 0 or (np.diff(self.snr_edges) <= 0).any():
            raise ValueError("snr_edges must be positive, and increase")


def read_noiseless(path: Path) -> dict[str, FloatArray]:
    """Read what each pointing of the simulator sees without noise.

    Parameters
    ----------
    path : path
        Images with the keywords ITEM and LAYER (``noiseless``).

    Returns
    -------
    dict
        Item to ndarray, shape (n_wave, ny, nx), MJy/sr.

    Raises
    ------
    FormatError
        If the file holds no such image.
    """
    with fits.open(path) as hdus:
        found = {
            str(hdu.header["ITEM"]): np.array(hdu.data, dtype=np.float64)
            for hdu in hdus
            if hdu.header.get("LAYER") == "noiseless" and hdu.data is not None
        }
    if not found:
        raise FormatError(
            "the file holds no cube without noise",
            file=path.name,
            expected="images with the keyword LAYER, noiseless",
            found="none",
            action="run the simulator again",
        )
    return found


def run(
    *,
    item: str,
    cube: Cube,
    noise: GivenNoise | None,
    target: Target,
    kinematics: Mapping[str, Map],
    truth: Mapping[str, TruthMaps],
    noiseless: Mapping[str, FloatArray],
    config: Config,
) -> dict[str, Any]:
    """Hold the posteriors of an item against its truth.

    Parameters
    ----------
    item : str
        The item's name.
    cube, noise, target
        What the stage `kinematics` was given.
    kinematics : mapping of str to Map
        What it gave.
    truth : mapping
        Item to layer to true map, as `pipeline.linemaps.recovery.read_truth` gives it.
    noiseless : mapping
        Item to cube, as `read_noiseless` gives it.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``recovery``: a document with a row for each group, quantity and bin.

    Raises
    ------
    NotFoundError
        If there is no truth for the item.
    FormatError
        If truth and map, or the cube without noise and the cube, have different shapes.
    """
    if item not in truth or item not in noiseless:
        raise NotFoundError(
            f"there is no truth for the item {item}",
            expected=item,
            found=", ".join(sorted(set(truth) & set(noiseless))) or "no item",
            action="run the simulator and the reduction with the same configuration",
        )
    if noiseless[item].shape != cube.shape:
        raise FormatError(
            "the cube without noise does not have the shape of the cube",
            expected=cube.shape,
            found=noiseless[item].shape,
            action="run the simulator and the reduction with the same configuration",
        )
    clean = cube.replace(flux=np.where(cube.mask, cube.flux, noiseless[item]))
    known = noise_of(cube, noise)
    rows: list[dict[str, Any]] = []
    for group in sorted(kinematics):
        rows += _group(
            group, (cube, clean, known), target, (kinematics[group], truth[item]), config
        )
    document = {
        "schema": "kinematics-recovery",
        "item": item,
        "simulated": True,
        "rows": rows,
    }
    return {"recovery": document}


def _group(
    group: str,
    cubes: tuple[Cube, Cube, VoxelNoise],
    target: Target,
    maps: tuple[Map, TruthMaps],
    config: Config,
) -> list[dict[str, Any]]:
    """Give the rows of a group."""
    found, truth = maps
    line = _brightest(found, truth)
    true = {q: truth_layer(truth, f"{q}_{line[5:]}", found) for q in ("velocity", "sigma")}
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = truth_layer(truth, line, found) / found[f"{line}_err"]
    seen = ~found.mask & (snr >= config.snr_edges[0])
    for values in true.values():
        seen &= np.isfinite(values)
    best = _best(group, cubes, target, (seen, snr), config)
    rows = []
    for low, high in zip(config.snr_edges, (*config.snr_edges[1:], np.inf), strict=True):
        inside = seen & (snr >= low) & (snr < high)
        for quantity, values in true.items():
            row = _row(found, quantity, values, best[quantity], inside)
            ends = {"snr_min": low, "snr_max": _number(high)}
            rows.append({"group": group, "line": line[5:], "quantity": quantity} | ends | row)
    return rows


def _brightest(found: Map, truth: TruthMaps) -> str:
    """Name a group's line that is truly brightest: posteriors of no line are bright, too."""
    names = [f"flux_{line.strip().lower()}" for line in str(found.meta["LINES"]).split(",")]
    sums = {name: float(np.nansum(truth_layer(truth, name, found)[~found.mask])) for name in names}
    return max(sums, key=sums.__getitem__)


def _best(
    group: str,
    cubes: tuple[Cube, Cube, VoxelNoise],
    target: Target,
    places: tuple[BoolArray, FloatArray],
    config: Config,
) -> dict[str, FloatArray]:
    """Fit one component to the profiles without noise; give its velocity and width as maps.

    The weights are those of the noise. The least-squares fit does not depend on their scale: all
    errors of a spaxel are made so small that the line has a S/N of 100, and the prior no say.
    """
    cube, clean, known = cubes
    seen, snr = places
    best = {name: np.full(seen.shape, np.nan) for name in ("velocity", "sigma")}
    if not seen.any():
        return best
    lsf = required_lsf(cube, config.lsf_gain, config.resolving_power)
    response = kinematics.response_of(cube, target, group, lsf, config.window_kms)
    noisy = kinematics.spectra_of(cube, known, response.windows.channels)
    spectra = kinematics.spectra_of(clean, known, response.windows.channels)
    shrink = np.minimum(1.0, snr[seen] / _SHARP)[:, None]
    spectra = spectra.take(np.flatnonzero(seen))
    spectra = replace(spectra, sigma=spectra.sigma * shrink)
    scales = Scales.of(noisy, response, config.prior)
    found = fit(spectra, response, config.prior, config.numerics, scales=scales)
    for name, values in best.items():
        values[seen] = found.mean[:, found.names.index(name)]
    return best


def _row(
    found: Map, quantity: str, true: FloatArray, best: FloatArray, inside: BoolArray
) -> dict[str, Any]:
    """Compare the posteriors of some spaxels with the truth, and with the fit without noise."""
    truth, expected = true[inside], best[inside]
    mean, error = found[quantity][inside], found[f"{quantity}_err"][inside]
    row: dict[str, Any] = {"n_compared": int(inside.sum())}
    row["n_flagged"] = int((found["flag"][inside] != 0).sum())
    for name, value in (("", truth), ("expected_", expected)):
        for share, (low, high) in _INTERVALS.items():
            ends = (found[f"{quantity}_{end}"][inside] for end in (low, high))
            held = np.logical_and(*(f(value, e) for f, e in zip(_BOTH, ends, strict=True)))
            row[f"{name}coverage_{share}"] = _mean(held)
    row["pull_rms"] = _rms((mean - truth) / error)
    row["model_pull_rms"] = _rms((expected - truth) / error)
    row["noise_pull_rms"] = _rms((mean - expected) / error)
    row["model_bias_kms"] = _number(np.median(expected - truth)) if truth.size else None
    return row


_BOTH: Final = (np.greater_equal, np.less_equal)


def _mean(values: BoolArray) -> float | None:
    return _number(values.mean()) if values.size else None


def _rms(values: FloatArray) -> float | None:
    return _number(np.sqrt(np.mean(values**2))) if values.size else None


def _number(value: Any) -> float | None:
    """Give a number with six significant digits; None for what is not finite."""
    return float(f"{float(value):.{_DIGITS}g}") if np.isfinite(value) else None
