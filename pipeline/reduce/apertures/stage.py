"""What are the spectra of the declared apertures of a cube, and which lines do they show?

Apertures come from the target's manifest (a circle about the target where it declares none), the
noise from the noise product of the cube, if there is one; without it errors are those of ERR, and
the tables say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from ard.cube import BoolArray, Cube, FloatArray, Lsf
from ard.errors import FormatError, UnitError
from ard.layout import flux_layer
from ard.maps import Map
from manifests import Target
from pipeline import roles
from pipeline.reduce.apertures import continuum, light, spectrum, x1d
from pipeline.reduce.apertures.continuum import WindowRule
from pipeline.reduce.apertures.covariance import GivenNoise, VoxelNoise, noise_of
from pipeline.reduce.apertures.fluxes import State, fit_lines, unmeasured
from pipeline.reduce.apertures.groups import Rules
from pipeline.reduce.apertures.kinematics import Search
from pipeline.reduce.apertures.light import Gaussian
from pipeline.reduce.apertures.place import Placed, place
from pipeline.reduce.apertures.registration import Offset, offset_of, registered
from pipeline.reduce.apertures.settings import Config, apertures_of
from pipeline.reduce.apertures.tables import Extraction, fluxes_table, spectra_table
from pipeline.reduce.apertures.wild import WildRule, has_ghosts, strange_voxels, wild_voxels
from pipeline.reduce.instruments import required_lsf

__all__ = ["Config", "run"]

_UNIT: Final = "MJy/sr"


@dataclass(frozen=True, eq=False)
class _Scene:
    """What all apertures of a cube share."""

    cube: Cube
    noise: VoxelNoise
    target: Target
    profiles: Mapping[str, Gaussian]
    lsf: Lsf
    free: BoolArray
    linemaps: Mapping[str, Map]
    waves_um: Mapping[str, float]


def run(
    *,
    item: str,
    cube: Cube,
    linemaps: Mapping[str, Map],
    target: Target,
    noise: GivenNoise | None,
    archive: x1d.X1d | None,
    truth: Mapping[str, Mapping[str, FloatArray]] | None,
    geometry: Mapping[str, Any] | None,
    config: Config,
) -> dict[str, Any]:
    """Extract the apertures of a cube and measure their lines.

    Parameters
    ----------
    item : str
        The item's name.
    cube : Cube
        In MJy/sr, its bad voxels masked.
    linemaps : mapping of str to Map
        By group: the brightest gives the profile across the wake.
    target : manifests.Target
        Apertures, lines and redshift.
    noise : GivenNoise or None
        The noise product of this cube.
    archive : X1d or None
        The archive's own spectrum of this cube.
    truth : mapping, or None
        Of a simulation: item to layer to true map. It takes no part in any measurement; it is
        written beside the fluxes.
    geometry : mapping, or None
        The document of the geometry stage, where there are images: how the cube lies to them.
    config : Config
        Settings.

    Returns
    -------
    dict
        ``spectra`` and ``fluxes``, two Tables.

    Raises
    ------
    ArdError
        If the cube is an imprint exposure or in another unit, the noise product is that of
        another cube, or the line-spread function is not known.
    """
    _require_sky(cube)
    voxels = noise_of(cube, noise)
    shape = cube.shape[1:]
    free = ~continuum.line_zones(cube.wave_edges, target, config.zone_kms)
    offset = offset_of(geometry, item, config.rule)
    wcs = registered(cube.wcs, offset)
    placed = [place(one, target, wcs, shape) for one in apertures_of(target, config)]
    voxels, n_wild = _without_wild(cube, voxels, placed, free, config)
    waves = {flux_layer(line.name): line.wave_obs_um(target.redshift) for line in target.lines}
    profiles = light.measure(cube, placed, linemaps, waves, config.profile_snr)
    lsf = required_lsf(cube, *_resolution(linemaps))
    scene = _Scene(cube, voxels, target, profiles, lsf, free, linemaps, waves)
    scene, n_strange = _without_strange(scene, placed, config)
    extractions = [
        _extract(scene, one, method, config) for one in placed for method in spectrum.METHODS
    ]
    meta = _meta(scene, extractions, offset, config) | {"WILD": n_wild + n_strange}
    if archive is not None:
        facts = x1d.compare(archive, cube, voxels, target, config.min_coverage)
        meta |= {f"X1D_{key.upper()}": value for key, value in facts.items()}
    return {
        "spectra": spectra_table(cube, extractions, meta),
        "fluxes": fluxes_table(cube, target, extractions, meta, _true_maps(cube, truth, item)),
    }


def _true_maps(
    cube: Cube, truth: Mapping[str, Mapping[str, FloatArray]] | None, item: str
) -> Mapping[str, FloatArray]:
    """Give the true fluxes of each line, erg s-1 cm-2 in a spaxel; none where not known.

    They are those of the sky: where another pointing was subtracted, its lines are missing.
    """
    if truth is None or has_ghosts(cube):
        return {}
    return {
        name: layer.ravel() * cube.pixel_area_arcsec2
        for name, layer in truth.get(item, {}).items()
        if layer.shape == cube.shape[1:]
    }


def _require_sky(cube: Cube) -> None:
    if cube.unit != _UNIT:
        problem = "apertures are added up from a surface brightness"
        raise UnitError(problem, file=_file(cube), expected=_UNIT, found=cube.unit)
    role = roles.judge(
        is_imprint=roles.flag(cube.meta.get("IS_IMPRT")),
        is_background=roles.flag(cube.meta.get("BKGDTARG")),
        short=None,
    ).role
    if role == roles.IMPRINT:
        raise FormatError(
            "an imprint exposure shows leaked light, not the sky",
            file=_file(cube),
            expected="a science exposure, or a combined cube (IS_IMPRT false or absent)",
            found=f"IS_IMPRT = {cube.meta.get('IS_IMPRT')}",
            action="give the cube of a science exposure",
        )


def _file(cube: Cube) -> str | None:
    name = cube.meta.get("FILENAME")
    return None if name is None else str(name)


def _resolution(linemaps: Mapping[str, Map]) -> tuple[float, float | None]:
    """Give what the line maps did to the resolving power, so that the widths agree."""
    for linemap in linemaps.values():
        power = float(linemap.meta.get("RESPOWER", 0.0))
        return float(linemap.meta.get("LSFGAIN", 1.0)), power or None
    return 1.0, None


def _rules(voxels: VoxelNoise, config: Config) -> Rules:
    search = Search(
        config.velocity_min_kms,
        config.velocity_max_kms,
        config.sigma_max_kms,
        config.sigma_kms,
        config.snr_reference,
        config.snr_free,
        config.spread_kms,
    )
    windows = WindowRule(config.zone_kms, config.continuum_channels, config.continuum_reach)
    rescale = config.error_scale == "residual" and not voxels.measured
    return Rules(windows, search, config.continuum_order, config.min_seen, rescale)


def _without_wild(
    cube: Cube,
    voxels: VoxelNoise,
    placed: Sequence[Placed],
    free: BoolArray,
    config: Config,
) -> tuple[VoxelNoise, int]:
    """Mask the wild voxels of the apertures, and count them."""
    spaxels = np.unique(np.concatenate([one.spaxels for one in placed]))
    rule = WildRule(free, config.clip_mad, config.smooth_channels, config.err_excess)
    wild = wild_voxels(cube, voxels.sigma, voxels.mask, spaxels, rule)
    return replace(voxels, mask=voxels.mask | wild), int(wild.sum())


def _without_strange(scene: _Scene, placed: Sequence[Placed], config: Config) -> tuple[_Scene, int]:
    """Mask voxels of lines that the profiles of the apertures do not allow, and count them."""
    n_wave, voxels = scene.cube.shape[0], scene.noise
    flux, sigma = (array.reshape(n_wave, -1) for array in (scene.cube.flux, voxels.sigma))
    bad = np.asarray(voxels.mask, dtype=bool).reshape(n_wave, -1)
    found = np.zeros(bad.shape, dtype=bool)
    for one in placed:
        if not one.spaxels.size:
            continue
        used = ~bad[:, one.spaxels]
        found[:, one.spaxels] |= strange_voxels(
            np.where(used, flux[:, one.spaxels] - _levels(scene, one, config), 0.0),
            sigma[:, one.spaxels],
            used,
            light.light_of(one, scene.cube, scene.profiles.get(one.aperture.name)),
            scene.free,
            n_sigma=config.strange_sigma,
            part=config.strange_part,
        )
    more = replace(voxels, mask=voxels.mask | found.reshape(voxels.mask.shape))
    return replace(scene, noise=more), int(found.sum())


def _extract(scene: _Scene, placed: Placed, method: str, config: Config) -> Extraction:
    cube, target = scene.cube, scene.target
    profile = scene.profiles.get(placed.aperture.name)
    words = light.describe(profile)
    beam = light.light_of(placed, cube, profile)
    live = ~scene.noise.mask.reshape(cube.shape[0], -1)[:, placed.spaxels].all(axis=0)
    inside = placed.inside * float(live @ placed.share) / max(float(placed.share.sum()), 1e-9)
    on_grid = beam @ placed.share
    if float(np.median((beam * live) @ placed.share)) < config.min_coverage:
        lines = unmeasured(target, cube, State.OUTSIDE)
        return Extraction(placed, inside, on_grid, method, None, None, None, None, lines, words)
    found = spectrum.extract(
        cube,
        scene.noise,
        placed,
        beam,
        method=method,
        min_coverage=config.min_coverage,
        profile_error=config.profile_error,
        level=_levels(scene, placed, config),
    )
    level, clipped = _continuum(found, scene.free, config)
    # Clipped channels take no part in any fit.
    clean = spectrum.masked(found, clipped)
    fitted = fit_lines(
        clean,
        level,
        cube,
        target,
        scene.lsf,
        velocity_kms=placed.aperture.velocity_kms,
        rules=_rules(scene.noise, config),
        part=inside,
        profile_err=_profile_error(scene, placed, found, beam, config),
    )
    return Extraction(
        placed, inside, on_grid, method, found, level, fitted.model, clipped, fitted.rows, words
    )


def _profile_error(
    scene: _Scene,
    placed: Placed,
    found: spectrum.Spectrum,
    beam: FloatArray,
    config: Config,
) -> float:
    """Give the part of a flux that the profile may be wrong by.

    Where no line map shows it, that for which the weights allow; of a box, of the light that masked
    spaxels hold.
    """
    known = light.mismatch(
        placed,
        found.weights,
        beam,
        scene.linemaps,
        scene.waves_um,
        scene.cube.wave,
        min_snr=config.profile_snr,
    )
    if known is not None:
        return known
    if found.method == spectrum.OPTIMAL:
        return config.profile_error
    return config.profile_error * max(1.0 - float(np.median(found.coverage[~found.mask])), 0.0)


def _levels(scene: _Scene, placed: Placed, config: Config) -> FloatArray:
    """Give the continuum of each spaxel of an aperture, shape (n_wave, m)."""
    n_wave = scene.cube.shape[0]
    flux = scene.cube.flux.reshape(n_wave, -1)[:, placed.spaxels]
    bad = scene.noise.mask.reshape(n_wave, -1)[:, placed.spaxels]
    return continuum.levels(flux, scene.free[:, None] & ~bad, config.smooth_channels)


def _continuum(
    found: spectrum.Spectrum, free: BoolArray, config: Config
) -> tuple[FloatArray, BoolArray]:
    """Give the continuum and the wild channels that were left out of it."""
    clipped = continuum.clip(found.flux, free, config.clip_mad, config.smooth_channels)
    good = free & ~found.mask & ~clipped
    flux = np.where(good, found.flux, 0.0)
    return continuum.continuum(flux, good, config.smooth_channels), clipped


def _meta(
    scene: _Scene, extractions: Sequence[Extraction], offset: Offset, config: Config
) -> dict[str, Any]:
    voxels, target = scene.noise, scene.target
    scaled = config.error_scale == "residual" and not voxels.measured
    return {
        "SIMULATD": scene.cube.simulated,
        "TARGET": target.name,
        "REDSHIFT": target.redshift,
        "NOISE": voxels.source,
        "ERRSCALE": "residuals of the continuum, in the fluxes" if scaled else "none",
        "COVERAGE": f"channels with less than {config.min_coverage:g} of the light are masked; "
        "nothing is scaled",
        "PROFILES": {one.placed.aperture.name: one.light for one in extractions},
        "REGISTRATION": offset.to_dict(),
    }
