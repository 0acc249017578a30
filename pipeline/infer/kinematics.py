"""How does the gas move in every spaxel, as a posterior: velocity, width, fluxes, and is it there?

Each kinematic group of the target is inferred on its own (`pipeline.infer.spaxel`), with the scale
and the correlation of the noise product. Spaxels without a line, at an edge or below the gate are
flagged and stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.linalg import toeplitz

from ard.cube import Cube, FloatArray, Lsf
from ard.layout import flux_layer
from ard.maps import Flag, Map
from checks.convergence import chain_limits
from manifests import Target
from pipeline.infer.spaxel.pair import Pairs, fit_pairs
from pipeline.infer.spaxel.posterior import LEVELS, Posterior, fit
from pipeline.infer.spaxel.settings import Numerics, Prior
from pipeline.infer.spaxel.spectra import Spectra
from pipeline.linemaps.spaxels import FLUX_UNIT, groups_of
from pipeline.linemaps.windows import cut
from pipeline.lineprofile import IntArray, Response, flux_density_per_mjy_sr
from pipeline.lineset import LineSet, line_set
from pipeline.reduce.apertures.covariance import (
    Correlation,
    GivenNoise,
    Separable,
    Stationary,
    VoxelNoise,
    noise_of,
)
from pipeline.reduce.instruments import required_lsf

# Facts of the cube that are facts of a map of it.
_KEPT: Final = (
    *("TELESCOP", "INSTRUME", "GRATING", "FILTER", "CHANNEL", "BAND", "TARGNAME", "SIMULATD"),
    *("TIMESYS", "DATE-BEG", "DATE-END", "XPOSURE", "EFFEXPTM", "EXPTIME", "PROGRAM", "PROPOSID"),
)
_DIGITS: Final = 6
SECOND: Final = "that of the first, independently; the first is the one of lower velocity"


@dataclass(frozen=True)
class Config:
    """Settings of the kinematics stage.

    Attributes
    ----------
    window_kms : float
        Half width of the window around a line.
    velocity_max_kms, sigma_scale_kms, sigma_max_kms, flux_snr, continuum_snr, offset_kms
        Of the prior, see `spaxel.settings.Prior`.
    non_negative : bool
        Fluxes cannot be negative.
    n_draw, seed : int
        Independent draws of each spaxel, and what they are seeded from.
    ess_min, khat_max : float
        Spaxels below, or above, are flagged as below the gate, as are those whose draws, taken for
        four chains, miss a limit of the study's own gate.
    log_bayes_min : float
        ln B of a line against none from which a line counts as found.
    two_components : bool
        Whether two components are held against one where a line is there without doubt.
    two_from_log_bayes : float
        ln B of a line against none from which that is done.
    lsf_gain : float
        Resolving power over that of the cube's line-spread function.
    resolving_power : float or None
        Lambda / FWHM for a cube whose instrument has no declared line-spread function.
    """

    window_kms: float = 1600.0
    velocity_max_kms: float = 1000.0
    sigma_scale_kms: float = 200.0
    sigma_max_kms: float = 600.0
    flux_snr: float = 100.0
    continuum_snr: float = 1e4
    offset_kms: float = 0.0
    non_negative: bool = True
    n_draw: int = 1000
    seed: int = 9069
    ess_min: float = 400.0
    khat_max: float = 0.7
    log_bayes_min: float = 3.0
    two_components: bool = False
    two_from_log_bayes: float = 10.0
    lsf_gain: float = 1.0
    resolving_power: float | None = None

    def __post_init__(self) -> None:
        if self.window_kms <= self.velocity_max_kms:
            raise ValueError("window_kms must be above velocity_max_kms")
        if self.lsf_gain <= 0 or (self.resolving_power or 1.0) <= 0:
            raise ValueError("lsf_gain and resolving_power must be positive")
        if self.n_draw < self.ess_min:
            raise ValueError("n_draw must be ess_min or more: no spaxel could pass")
        if self.two_components and self.offset_kms:
            raise ValueError("two_components must be off where offset_kms is not 0")
        _ = self.prior, self.numerics  # which judge the rest

    @property
    def prior(self) -> Prior:
        """Give the prior of a spaxel."""
        return Prior(
            velocity_max_kms=self.velocity_max_kms,
            sigma_scale_kms=self.sigma_scale_kms,
            sigma_max_kms=self.sigma_max_kms,
            flux_snr=self.flux_snr,
            continuum_snr=self.continuum_snr,
            offset_kms=self.offset_kms,
            non_negative=self.non_negative,
        )

    @property
    def numerics(self) -> Numerics:
        """Give the settings of the quadrature and the draws."""
        return Numerics(
            n_draw=self.n_draw,
            seed=self.seed,
            ess_min=self.ess_min,
            khat_max=self.khat_max,
            log_bayes_min=self.log_bayes_min,
        )


def run(
    *, item: str, cube: Cube, noise: GivenNoise | None, target: Target, config: Config
) -> dict[str, Any]:
    """Infer every group of lines that the cube covers, in every spaxel.

    Parameters
    ----------
    item : str
        The item's name.
    cube : Cube
        In MJy/sr, its bad voxels masked.
    noise : GivenNoise or None
        The noise product of the cube; None: ERR alone, channels independent.
    target : manifests.Target
        Redshift and lines.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``kinematics``: one Map for each covered group, by name of the group. Layers: velocity and
        sigma (km/s) and flux_<line>, each with its mean under its own name, _err (standard
        deviation) and quantiles _p025, _p160, _p500, _p840, _p975; log_bayes, log_spike, khat, ess,
        flag (`Flag`). Masked are spaxels without a posterior. With `two_components`, of either
        component two_velocity_1 and so on with _err, and two_log_bayes, two_khat, two_ess,
        two_flag; NaN where two were not tried.
        ``posteriors``: a document with priors and counts, and whether any line was found.

    Raises
    ------
    ArdError
        If no line is inside the wavelength range, the unit is another, the noise is that of
        another cube, or the line-spread function is not known.
    """
    groups = groups_of(cube, target)
    lsf = required_lsf(cube, config.lsf_gain, config.resolving_power)
    known, limits = noise_of(cube, noise), chain_limits(target.item)
    maps, rows = {}, []
    for name in groups:
        response = response_of(cube, target, name, lsf, config.window_kms)
        lines = response.lines
        spectra = spectra_of(cube, known, response.windows.channels)
        found = fit(spectra, response, config.prior, config.numerics, limits=limits)
        meta = _meta(cube, target, name, lines) | {"LSFSRC": lsf.source, "NOISESRC": known.source}
        pair = None
        if config.two_components:
            least = config.two_from_log_bayes
            settings = (config.prior, config.numerics)
            pair = fit_pairs(spectra, response, *settings, found, log_bayes_min=least)
        maps[name] = _map(cube, lines, found, pair, meta)
        rows.append(_row(name, found, lines) | _two_row(pair, config))
    return {"kinematics": maps, "posteriors": _document(item, cube, rows, known, config)}


def response_of(cube: Cube, target: Target, group: str, lsf: Lsf, window_kms: float) -> Response:
    """Say which channels of a cube the lines of a group reach.

    Parameters
    ----------
    cube : Cube
    target : manifests.Target
    group : str
        The kinematic group.
    lsf : Lsf
        Of the cube.
    window_kms : float
        Half width of the window around a line.
    """
    lines = line_set(target.group_lines(group), target.redshift, cube.wave_edges, lsf)
    others = np.array([line.wave_vac_um for line in target.lines if line.group != group])
    windows = cut(cube.wave_edges, lines, target.redshift, window_kms, others)
    return Response.of(cube.wave_edges, lines, windows, target.redshift)


def spectra_of(cube: Cube, noise: VoxelNoise, channels: IntArray) -> Spectra:
    """Take the spectra of all spaxels, per um, in some channels.

    Parameters
    ----------
    cube : Cube
        In MJy/sr.
    noise : VoxelNoise
        Of the cube.
    channels : ndarray of int, shape (n_used,)
    """
    density = flux_density_per_mjy_sr(cube.wave)[channels]

    def rows(values: Any) -> Any:
        return np.asarray(values)[channels].reshape(channels.size, -1).T

    return Spectra(
        np.where(rows(noise.mask), 0.0, rows(cube.flux)) * density,
        rows(noise.sigma) * density * _root_of_variance(noise.correlation),
        ~rows(noise.mask),
        _along_wave(noise.correlation, channels),
    )


def _root_of_variance(correlation: Correlation) -> float:
    """Give the deviation of a voxel in units of its sigma: what a filter whitens has its own."""
    if isinstance(correlation, Stationary):
        return float(np.sqrt(correlation.kernel[0, 0, 0]))
    return 1.0


def _along_wave(correlation: Correlation, channels: IntArray) -> FloatArray:
    """Give the correlation of the noise of channels within a spaxel."""
    if isinstance(correlation, Separable) and correlation.wave is not None:
        return np.asarray(correlation.wave[np.ix_(channels, channels)])
    if isinstance(correlation, Stationary):
        lags = correlation.kernel[:, 0, 0] / correlation.kernel[0, 0, 0]
        lags[lags.size // 2 :] = 0.0  # the second half are negative distances
        span = int(np.ptp(channels)) + 1
        whole = toeplitz(np.pad(lags, (0, max(0, span - lags.size)))[:span])
        place = channels - channels.min()
        return np.asarray(whole[np.ix_(place, place)])
    return np.eye(channels.size)


def _map(
    cube: Cube, lines: LineSet, found: Posterior, pair: Pairs | None, meta: Mapping[str, Any]
) -> Map:
    layers: dict[str, FloatArray] = {}
    units: dict[str, str] = {}
    names = ("velocity", "sigma", *(flux_layer(name) for name in lines.names))
    if "shift" in found.names:
        names = (*names, "shift")
    for name in names:
        column, unit = found.names.index(name), "km/s"
        if name.startswith("flux_"):
            unit = FLUX_UNIT
        parts = {name: found.mean[:, column], f"{name}_err": found.sd[:, column]}
        for level, values in zip(LEVELS, found.quantiles[:, column].T, strict=True):
            parts[f"{name}_p{round(1000 * level):03d}"] = values
        layers |= parts
        units |= dict.fromkeys(parts, unit)
    flag = found.flag.astype(np.float64)
    parts = {"log_bayes": found.log_bayes, "log_spike": found.log_spike}
    parts |= {"khat": found.khat, "ess": found.ess, "flag": flag}
    layers |= parts
    units |= dict.fromkeys(parts, "")
    if pair is not None:
        two = _two_layers(pair)
        layers |= {name: values for name, (values, _) in two.items()}
        units |= {name: unit for name, (_, unit) in two.items()}
    shape = cube.shape[1:]
    return Map(
        layers={name: values.reshape(shape) for name, values in layers.items()},
        units=units,
        mask=~np.isfinite(found.log_bayes).reshape(shape),
        wcs=cube.wcs,
        meta=meta,
    )


def _two_layers(pair: Pairs) -> dict[str, tuple[FloatArray, str]]:
    """Give the layers of two components with their units; NaN where they were not tried."""
    layers = {
        "two_log_bayes": (pair.log_bayes, ""),
        "two_khat": (pair.khat, ""),
        "two_ess": (pair.ess, ""),
        "two_flag": (pair.flag.astype(np.float64), ""),
    }
    for column, name in enumerate(pair.names):
        unit = FLUX_UNIT if name.startswith("flux_") else "km/s"
        layers[f"two_{name}"] = (pair.mean[:, column], unit)
        layers[f"two_{name}_err"] = (pair.sd[:, column], unit)
    return layers


def _two_row(pair: Pairs | None, config: Config) -> dict[str, Any]:
    """Say of a group in how many spaxels two components were tried, and found."""
    if pair is None:
        return {}
    tried, below = np.isfinite(pair.log_bayes), pair.flag & Flag.BELOW_GATE != 0
    two = tried & ~below & (pair.log_bayes >= config.log_bayes_min)
    return {
        "two_tried": int(tried.sum()),
        "two_found": int(two.sum()),
        "two_below_gate": int((tried & below).sum()),
    }


def _meta(cube: Cube, target: Target, group: str, lines: LineSet) -> dict[str, Any]:
    meta = {key: cube.meta[key] for key in _KEPT if key in cube.meta}
    return meta | {
        "SIMULATD": cube.simulated,
        "ITEM": target.item,
        "REDSHIFT": target.redshift,
        "GROUP": group,
        "LINES": ", ".join(lines.names),
    }


def _row(name: str, found: Posterior, lines: LineSet) -> dict[str, Any]:
    """Say of a group how many spaxels have what."""
    flag = found.flag
    inferred = np.isfinite(found.log_bayes)
    line = inferred & (flag & (Flag.NO_LINE | Flag.ONE_CHANNEL) == 0)
    best = float(np.max(found.log_bayes[inferred], initial=-np.inf))
    sentence = f"{int(line.sum())} of {int(inferred.sum())} spaxels have a line"
    if not inferred.any():
        sentence = "no spaxel has enough channels"
    elif not line.any():
        sentence = f"no spaxel of {int(inferred.sum())} has a line: the redshift may be wrong"
    return {
        "group": name,
        "status": "found" if line.any() else "not found",
        "sentence": sentence,
        "lines": list(lines.names),
        "spaxels": int(flag.size),
        "inferred": int(inferred.sum()),
        "with_line": int(line.sum()),
        "bad_variance": int((flag & Flag.BAD_VARIANCE != 0).sum()),
        "at_edge": int((flag & Flag.AT_EDGE != 0).sum()),
        "below_gate": int((flag & Flag.BELOW_GATE != 0).sum()),
        "one_channel": int((flag & Flag.ONE_CHANNEL != 0).sum()),
        "log_bayes_max": _number(best),
        "khat_max": _number(np.max(found.khat[inferred], initial=-np.inf)),
        "ess_min": _number(np.min(found.ess[inferred], initial=np.inf)),
        "flux_scale": [_number(value) for value in found.scales.flux],
        "continuum_scale": _number(found.scales.continuum),
    }


def _document(
    item: str, cube: Cube, rows: list[dict[str, Any]], noise: VoxelNoise, config: Config
) -> dict[str, Any]:
    found = [row["group"] for row in rows if row["status"] == "found"]
    inferred = any(row["inferred"] for row in rows)
    status, sentence = "found", f"lines were found in {', '.join(found)}"
    if not found:
        status = "not found"
        sentence = "no line was found anywhere: the redshift, or the target, may be wrong"
        if not inferred:
            sentence = "no spaxel has enough channels for any group of lines"
    return {
        "schema": "posteriors",
        "item": item,
        "simulated": cube.simulated,
        "status": status,
        "sentence": sentence,
        "noise": noise.source,
        "n_draw": config.n_draw,
        "seed": config.seed,
        "log_bayes_min": config.log_bayes_min,
        "prior": config.prior.describe() | ({"second": SECOND} if config.two_components else {}),
        "groups": rows,
    }


def _number(value: Any) -> float | None:
    """Give a number with six significant digits; None for what is not finite."""
    return float(f"{float(value):.{_DIGITS}g}") if np.isfinite(value) else None
