"""Where does the gas shine, how fast does it move, and how turbulent is it, in every spaxel?

Each kinematic group of the target is fitted on its own: its lines share velocity and intrinsic
width, fixed flux ratios tie doublets, and the line-spread function is taken out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from ard.cube import Cube, FloatArray
from ard.errors import ArdError, UnitError
from ard.layout import flux_layer
from ard.maps import Map
from manifests import Target
from pipeline.linemaps import linefit
from pipeline.linemaps.linefit import FitResult
from pipeline.lineprofile import flux_density_per_mjy_sr
from pipeline.lineset import LineSet, inside, line_set
from pipeline.reduce.instruments import required_lsf

FLUX_UNIT: Final = "erg s-1 cm-2 arcsec-2"
# Neighbouring channels correlate by about 0.2 in resampled cubes (ingest measures it), so errors of
# what spans several channels are some 20 % too small: to be taken up with the noise model.
_ERROR_NOTE: Final = "channels are taken as independent; correlation is not in the errors"
_MIN_CONTINUUM_DOF: Final = 3.0  # fewer say nothing about the noise
# Facts of the cube that are facts of a map of it: what looked, when, for how long, and for whom.
_KEPT: Final = (
    *("TELESCOP", "INSTRUME", "GRATING", "FILTER", "CHANNEL", "BAND", "TARGNAME", "SIMULATD"),
    *("TIMESYS", "DATE-BEG", "DATE-END", "XPOSURE", "EFFEXPTM", "EXPTIME", "PROGRAM", "PROPOSID"),
)


@dataclass(frozen=True)
class Config(linefit.Config):
    """Settings of the linemaps stage: those of the fit, and three of its own.

    Attributes
    ----------
    error_scale : {"residual", "none"}
        "residual" multiplies the errors of a spaxel by sqrt(chi2 / dof) where that is above 1:
        real cubes have errors that are 1.7 to 2.1 times too small.
    lsf_gain : float
        Resolving power over that of the cube's line-spread function, to see how much the widths
        depend on it (NIRSpec: 0.90 to 1.11 spans the published range).
    resolving_power : float or None
        Lambda / FWHM to use for a cube whose instrument has no declared line-spread function.
    """

    error_scale: Literal["residual", "none"] = "residual"
    lsf_gain: float = 1.0
    resolving_power: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lsf_gain <= 0 or (self.resolving_power or 1.0) <= 0:
            raise ValueError("lsf_gain and resolving_power must be positive")


def run(*, cube: Cube, target: Target, config: Config) -> dict[str, dict[str, Map]]:
    """Fit every group of lines that the cube covers.

    Parameters
    ----------
    cube : Cube
        In MJy/sr, its bad voxels masked.
    target : manifests.Target
        Redshift, position and lines.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``linemaps``: one Map for each covered group, by name of the group. Layers: velocity,
        sigma and their errors (km/s), flux_<line> and flux_<line>_err, snr, chi2_dof,
        chi2_continuum (the same over channels that no line reaches), n_used, status (see
        `linefit.Status`). Masked are spaxels without a fit that may be used; there the layers
        are NaN, or hold a value at the edge of the search.

    Raises
    ------
    ArdError
        If the target is outside the field, no line is inside the wavelength range, the unit is
        another, or the line-spread function is not known.
    """
    _require_inside(cube, target)
    groups = groups_of(cube, target)
    lsf = required_lsf(cube, config.lsf_gain, config.resolving_power)
    density = flux_density_per_mjy_sr(cube.wave)
    flux = np.where(cube.mask, 0.0, cube.flux).reshape(cube.shape[0], -1).T * density
    ivar = cube.ivar.reshape(cube.shape[0], -1).T / density**2
    maps = {}
    for name in groups:
        lines = line_set(target.group_lines(name), target.redshift, cube.wave_edges, lsf)
        others = [line.wave_vac_um for line in target.lines if line.group != name]
        fit = linefit.fit(
            flux, ivar, cube.wave_edges, lines, target.redshift, config, others_um=np.array(others)
        )
        scale = _error_scale(fit, config)
        meta = _meta(cube, target, name, lines, groups)
        meta |= {"ERRSCALE": config.error_scale, "ERRNOTE": _ERROR_NOTE, "LSFSRC": lsf.source}
        meta |= {"LSFGAIN": config.lsf_gain, "RESPOWER": config.resolving_power or 0.0}
        meta |= _chi2_meta(fit, scale)
        maps[name] = _linemap(cube, lines, fit.scaled(scale), meta)
    return {"linemaps": maps}


def covered_groups(wave_edges: FloatArray, target: Target) -> tuple[str, ...]:
    """Name the groups of which at least one line is inside a wavelength range.

    Parameters
    ----------
    wave_edges : ndarray, shape (n_wave + 1,)
        Channel edges, um.
    target : manifests.Target
        Redshift and lines.
    """
    return tuple(
        group.name
        for group in target.groups
        if inside(target.group_lines(group.name), target.redshift, wave_edges).any()
    )


def _error_scale(fit: FitResult, config: Config) -> FloatArray:
    """Say by how much each spaxel's errors are too small: sqrt(chi2 / dof), never below 1."""
    if config.error_scale == "none":
        return np.ones(fit.status.shape)
    return np.sqrt(np.fmax(fit.chi2_dof, 1.0))


def _linemap(cube: Cube, lines: LineSet, fit: FitResult, meta: Mapping[str, Any]) -> Map:
    layers = {
        "velocity": fit.velocity,
        "velocity_err": fit.velocity_err,
        "sigma": fit.sigma,
        "sigma_err": fit.sigma_err,
        "snr": _snr(fit),
        "chi2_dof": np.where(fit.usable, fit.chi2_dof, np.nan),
        "chi2_continuum": _chi2_continuum(fit),
        "n_used": fit.n_used,
        "status": fit.status.astype(np.float64),
    }
    units = dict.fromkeys(layers, "") | dict.fromkeys(list(layers)[:4], "km/s")
    for row, name in enumerate(lines.names):
        layer = flux_layer(name)
        layers |= {layer: fit.flux[:, row], f"{layer}_err": fit.flux_err[:, row]}
        units |= {layer: FLUX_UNIT, f"{layer}_err": FLUX_UNIT}
    shape = cube.shape[1:]
    return Map(
        layers={name: values.reshape(shape) for name, values in layers.items()},
        units=units,
        mask=~fit.usable.reshape(shape),
        wcs=cube.wcs,
        meta=meta,
    )


def _snr(fit: FitResult) -> FloatArray:
    """Give flux over error of the brightest line of each spaxel; NaN where there is none."""
    flux = np.where(np.isfinite(fit.flux), fit.flux, -np.inf)
    best = flux.argmax(axis=1)[:, None]
    ratio = np.take_along_axis(fit.flux, best, 1) / np.take_along_axis(fit.flux_err, best, 1)
    return np.asarray(ratio[:, 0])


def _chi2_meta(fit: FitResult, scale: FloatArray) -> dict[str, float]:
    """Summarise how the residuals relate to the errors of the cube."""
    good = fit.usable
    if not good.any():
        return {}
    summary = {"CHI2MED": np.median(fit.chi2_dof[good]), "SCALEMED": np.median(scale[good])}
    return {key: float(f"{value:.6g}") for key, value in summary.items()}


def _chi2_continuum(fit: FitResult) -> FloatArray:
    """Give chi2 / dof of the channels that no line reaches; NaN where there are too few."""
    enough = fit.usable & (fit.dof_continuum >= _MIN_CONTINUUM_DOF)
    ratio = np.full(fit.status.shape, np.nan)
    np.divide(fit.chi2_continuum, fit.dof_continuum, out=ratio, where=enough)
    return ratio


def _meta(
    cube: Cube, target: Target, group: str, lines: LineSet, groups: tuple[str, ...]
) -> dict[str, Any]:
    """Say what was fitted, and what was not because the cube does not cover it."""
    meta = {key: cube.meta[key] for key in _KEPT if key in cube.meta}
    missed = [line.name for line in target.group_lines(group) if line.name not in lines.names]
    skipped = [entry.name for entry in target.groups if entry.name not in groups]
    return meta | {
        "SIMULATD": cube.simulated,
        "ITEM": target.item,
        "REDSHIFT": target.redshift,
        "GROUP": group,
        "LINES": ", ".join(lines.names),
        "LINEMISS": ", ".join(missed) or "none",
        "GRPSKIP": ", ".join(skipped) or "none",
    }


def groups_of(cube: Cube, target: Target) -> tuple[str, ...]:
    """Name the groups of lines that can be fitted in a cube; see `covered_groups`.

    Raises
    ------
    UnitError
        If the cube is no surface brightness.
    ArdError
        If it covers no line.
    """
    if cube.unit != "MJy/sr":
        problem = "lines are fitted to a surface brightness"
        raise UnitError(problem, file=_file(cube), expected="MJy/sr", found=cube.unit)
    groups = covered_groups(cube.wave_edges, target)
    if not groups:
        raise _no_lines(cube, target)
    return groups


def _file(cube: Cube) -> str | None:
    name = cube.meta.get("FILENAME")
    return None if name is None else str(name)


def _require_inside(cube: Cube, target: Target) -> None:
    place = target.anchor
    x, y = (float(v) for v in cube.wcs.all_world2pix(place.ra_deg, place.dec_deg, 0, quiet=True))
    _, ny, nx = cube.shape
    if -0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5:
        return
    raise ArdError(
        f"the target {target.name} is outside the field of this cube",
        file=_file(cube),
        expected=f"RA {place.ra_deg:.6f}, Dec {place.dec_deg:.6f} deg inside {nx} x {ny} spaxels",
        found=f"pixel x = {x:.1f}, y = {y:.1f}",
        action="give the target file that belongs to this cube",
    )


def _no_lines(cube: Cube, target: Target) -> ArdError:
    wanted = ", ".join(
        f"{line.label} at {line.wave_obs_um(target.redshift):.4f} um" for line in target.lines
    )
    return ArdError(
        f"the cube covers no line of {target.name}",
        file=_file(cube),
        expected=wanted,
        found=f"{cube.wave[0]:.4f} to {cube.wave[-1]:.4f} um",
        action="give a cube of another band, or a target file with lines and redshift that fit",
    )
