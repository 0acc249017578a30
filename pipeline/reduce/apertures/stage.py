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
from manifests import Aperture, Target
from manifests.aperture import CIRCLE, POINT
from pipeline import roles
from pipeline.reduce.apertures import continuum, light, spectrum, x1d
from pipeline.reduce.apertures.continuum import WindowRule
from pipeline.reduce.apertures.covariance import GivenNoise, VoxelNoise, noise_of
from pipeline.reduce.apertures.fluxes import State, fit_lines, unmeasured
from pipeline.reduce.apertures.groups import Rules
from pipeline.reduce.apertures.kinematics import Search
from pipeline.reduce.apertures.light import Gaussian
from pipeline.reduce.apertures.place import Placed, place
from pipeline.reduce.apertures.tables import Extraction, fluxes_table, spectra_table
from pipeline.reduce.apertures.wild import WildRule, has_ghosts, strange_voxels, wild_voxels
from pipeline.reduce.instruments import required_lsf

_UNIT: Final = "MJy/sr"


@dataclass(frozen=True)
class Config:
    """Settings of the extract stage.

    Attributes
    ----------
    min_coverage : float
        Channels with a smaller part of the aperture's light in usable spaxels are masked.
    zone_kms : float
        Channels nearer to a line of the target than this belong to it: the search below, and
        two widths of the line-spread function.
    continuum_channels, continuum_reach : int
        Continuum channels wanted for each block of lines, and how far they are looked for.
    continuum_order : int
        Of the polynomial below each block.
    clip_mad : float
        Voxels, and channels of a spectrum, further than this many median absolute deviations
        from the continuum are left out, in line-free channels (see `wild` for others).
    smooth_channels : int
        Channels over which the continuum of a spaxel or spectrum is taken (odd).
    velocity_min_kms, velocity_max_kms, sigma_max_kms : float
        Search range of velocity and intrinsic width.
    sigma_kms : float
        Intrinsic width at which lines are looked for.
    snr_reference, snr_free : float
        See `kinematics.Search`.
    spread_kms : float
        How far groups of one aperture differ in velocity and width by nature; one that differs by
        more than three times this and its errors is measured at those of the brightest. A third of
        a channel at [O III]: lines weigh the gas in the line of sight differently.
    min_seen : float
        A line with a smaller part of its light on usable channels is called masked.
    err_excess : float
        A voxel whose ERR is larger by this factor than that of its neighbours on the sky is left
        out, on lines too. Photon noise alone does so for no image wider than
        1.5 spaxels (FWHM); bright lines of NGC 7469 reach 2.2 over the whole field.
    strange_sigma, strange_part : float
        A voxel on a line is left out that is brighter than the profile by more than so many
        standard deviations and this part of the brightest spaxel of the line.
    profile_snr : float
        Significance from which a line map gives the profile across the wake.
    profile_error : float
        By which part of its brightest spaxel a line may differ from the profile: keeps the
        weights of the optimal extraction from trusting the profile more than the data. At 0.1
        fluxes along the simulated wake scatter as their errors say; at 0 they are off by several
        errors where it is bright, and by half in the ring of NGC 7469.
    error_scale : str
        "residual" multiplies errors with sqrt(chi2 / dof) of the continuum where that is above
        1 and the errors are those of ERR alone; "none" never does.
    default_radius_arcsec : float
        Radius of the one aperture of a target that declares none.
    """

    min_coverage: float = 0.5
    zone_kms: float = 1200.0
    continuum_channels: int = 20
    continuum_reach: int = 40
    continuum_order: int = 1
    clip_mad: float = 6.0
    smooth_channels: int = 25
    velocity_min_kms: float = -800.0
    velocity_max_kms: float = 800.0
    sigma_max_kms: float = 500.0
    sigma_kms: float = 50.0
    snr_reference: float = 6.0
    snr_free: float = 10.0
    spread_kms: float = 65.0
    min_seen: float = 0.5
    err_excess: float = 2.5
    strange_sigma: float = 8.0
    strange_part: float = 1.0
    profile_snr: float = 20.0
    profile_error: float = 0.1
    error_scale: str = "residual"
    default_radius_arcsec: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.min_coverage <= 1 and 0 < self.min_seen <= 1):
            raise ValueError("min_coverage and min_seen must be above 0, and 1 at most")
        fastest = max(abs(self.velocity_min_kms), abs(self.velocity_max_kms))
        if not (self.velocity_min_kms < self.velocity_max_kms and self.zone_kms > fastest):
            raise ValueError("zone_kms must be above the largest velocity that is searched")
        if self.continuum_channels < 4 or self.continuum_reach < self.continuum_channels // 2:
            raise ValueError("continuum_channels of 4 or more, and a reach of half of them, needed")
        if self.smooth_channels % 2 == 0:
            raise ValueError("smooth_channels must be odd")
        if self.continuum_order < 0 or self.smooth_channels < 3 or self.clip_mad <= 0:
            raise ValueError("continuum_order of 0, smooth_channels of 3 or more, clip_mad above 0")
        if not (0 < self.sigma_kms < self.sigma_max_kms and self.default_radius_arcsec > 0):
            raise ValueError("0 < sigma_kms < sigma_max_kms, default_radius_arcsec above 0 needed")
        if self.snr_reference <= 0 or self.snr_free <= 0 or self.profile_snr <= 0:
            raise ValueError("snr_reference, snr_free and profile_snr must be positive")
        if min(self.profile_error, self.strange_part, self.spread_kms) < 0:
            raise ValueError("profile_error, strange_part and spread_kms must be 0 or more")
        if self.err_excess <= 1 or self.strange_sigma <= 0:
            raise ValueError("err_excess must be above 1, strange_sigma above 0")
        if self.error_scale not in ("residual", "none"):
            raise ValueError("error_scale must be 'residual' or 'none'")


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
    placed = [place(one, target, cube.wcs, shape) for one in apertures_of(target, config)]
    voxels, n_wild = _without_wild(cube, voxels, placed, free, config)
    waves = {flux_layer(line.name): line.wave_obs_um(target.redshift) for line in target.lines}
    profiles = light.measure(cube, placed, linemaps, waves, config.profile_snr)
    lsf = required_lsf(cube, *_resolution(linemaps))
    scene = _Scene(cube, voxels, target, profiles, lsf, free, linemaps, waves)
    scene, n_strange = _without_strange(scene, placed, config)
    extractions = [
        _extract(scene, one, method, config) for one in placed for method in spectrum.METHODS
    ]
    meta = _meta(cube, target, voxels, extractions, config) | {"WILD": n_wild + n_strange}
    if archive is not None:
        facts = x1d.compare(archive, cube, voxels, target, config.min_coverage)
        meta |= {f"X1D_{key.upper()}": value for key, value in facts.items()}
    return {
        "spectra": spectra_table(cube, extractions, meta),
        "fluxes": fluxes_table(target, extractions, meta, _true_maps(cube, truth, item)),
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


def apertures_of(target: Target, config: Config) -> tuple[Aperture, ...]:
    """Give the declared apertures, or one circle about the target where there are none."""
    if target.apertures:
        return target.apertures
    where = target.anchor
    return (
        Aperture(
            name="target",
            title=target.name,
            shape=CIRCLE,
            along_arcsec=None,
            across_arcsec=None,
            ra_deg=where.ra_deg,
            dec_deg=where.dec_deg,
            length_arcsec=None,
            width_arcsec=None,
            radius_arcsec=config.default_radius_arcsec,
            profile=POINT,
            velocity_kms=0.0,
            source="the target declares no aperture: a circle about it",
            evidence="choice",
        ),
    )


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
    if float(np.median((beam * live) @ placed.share)) < config.min_coverage:
        lines = unmeasured(target, cube, State.OUTSIDE)
        return Extraction(placed, inside, method, None, None, None, None, lines, words)
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
        placed, inside, method, found, level, fitted.model, clipped, fitted.rows, words
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
    cube: Cube,
    target: Target,
    voxels: VoxelNoise,
    extractions: Sequence[Extraction],
    config: Config,
) -> dict[str, Any]:
    scaled = config.error_scale == "residual" and not voxels.measured
    return {
        "SIMULATD": cube.simulated,
        "TARGET": target.name,
        "REDSHIFT": target.redshift,
        "NOISE": voxels.source,
        "ERRSCALE": "residuals of the continuum, in the fluxes" if scaled else "none",
        "COVERAGE": f"channels with less than {config.min_coverage:g} of the light are masked; "
        "nothing is scaled",
        "PROFILES": {one.placed.aperture.name: one.light for one in extractions},
    }
