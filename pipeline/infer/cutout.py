"""Which part of a cube does a fit of the tip see, in which unit, and with which noise?

A sub-cube around the tip, and of it the channels that the lines touch. The noise is that of the
noise product, cut to the same voxels: correlations between what is left stay as they are, and
voxels that are masked among them are treated exactly. Hits of single exposures that ingestion let
pass are masked by their ERR, which is far above that of their neighbours; no flux is looked at, so
that nothing is left out because a scene does not have it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from astropy.cosmology import FlatLambdaCDM

from ard.cube import Cube, FloatArray
from ard.errors import ArdError
from ard.likelihood import Noise, exact_noise
from manifests import Target
from pipeline.infer.frame import Frame
from pipeline.linemaps.spaxels import covered_groups
from pipeline.lineprofile import flux_density_per_mjy_sr
from pipeline.reduce.apertures.covariance import GivenNoise
from pipeline.reduce.apertures.wild import err_excess
from pipeline.scene import observed
from pipeline.scene.observed import Observed

# erg s-1 cm-2 in a voxel: numbers near 1 for NIRSpec's cubes.
FLUX_UNIT: Final = 1e-19
_KPC_PER_ARCSEC: Final = 1000.0 / 206264.80625
_LEAST_SPAXELS: Final = 5


@dataclass(frozen=True)
class Cut:
    """How much of a cube is fitted?

    Attributes
    ----------
    half_arcsec : float
        Half of the side of the sub-cube.
    behind_arcsec : float
        How far behind the tip its middle lies.
    half_kms, v_max_kms : float
        Channels within that of a line, and velocities that are counted.
    err_excess : float
        An ERR larger by this factor than its neighbours' on the sky is that of a hit; see
        `pipeline.reduce.apertures.wild`, which has to be right for brighter targets. Photon noise
        alone comes to 2 in the one spaxel of a point source that outshines all else; the tip does
        not outshine the sky and the detector.
    """

    half_arcsec: float = 0.65
    behind_arcsec: float = 0.25
    half_kms: float = 1250.0
    v_max_kms: float = 1200.0
    err_excess: float = 1.7


@dataclass(frozen=True, eq=False)
class Cutout:
    """What is fitted.

    Attributes
    ----------
    observed : Observed
        The model on its voxels.
    frame : Frame
    data : array, shape (n_channel, ny, nx)
        Flux in each voxel, `FLUX_UNIT`.
    noise : Noise
        Of the same voxels, in the same unit; masks what the cube or the noise product masks,
        and hits.
    rows, columns : slice
        Where it was cut out of the cube.
    """

    observed: Observed
    frame: Frame
    data: FloatArray
    noise: Noise
    rows: slice
    columns: slice


def cutout(
    cube: Cube, noise: GivenNoise, target: Target, groups: Sequence[str], cut: Cut | None = None
) -> Cutout:
    """Cut what is fitted out of a cube.

    Parameters
    ----------
    cube : Cube
        In MJy/sr, with its point-spread function.
    noise : GivenNoise
        Its noise product.
    target : Target
        With a tip and a position angle.
    groups : sequence of str
        Groups of lines that are fitted, where the cube covers them.
    cut : Cut, optional

    Raises
    ------
    ArdError
        If the target has no tip, the cube does not show it or has no point-spread function, no
        line is covered, or the noise is that of another cube or no product of factors.
    """
    chosen = cut or Cut()
    _require_same(cube, noise)
    rows, columns = _field(cube, target, chosen)
    small = _cropped(cube, rows, columns)
    settings = observed.Settings(half_kms=chosen.half_kms, v_max_kms=chosen.v_max_kms)
    seen = observed.model_for(small, _only(small, target, groups), settings)
    frame = _frame(small, target, seen)
    per_voxel = flux_per_voxel(small)[seen.channels][:, None, None]
    hit = err_excess(small, np.asarray(small.mask)) > chosen.err_excess
    mask = (np.asarray(small.mask) | hit)[seen.channels]
    data = np.where(mask, 0.0, np.asarray(small.flux)[seen.channels]) * per_voxel
    given = _noise(noise, seen, rows, columns, mask, per_voxel)
    return Cutout(seen, frame, data, given, rows, columns)


def _require_same(cube: Cube, noise: GivenNoise) -> None:
    if np.shape(noise.noise.sigma) == cube.shape and cube.unit == "MJy/sr":
        return
    raise ArdError(
        "cube and noise product do not belong together",
        file=noise.file,
        expected=f"a cube in MJy/sr, and noise of shape {cube.shape}",
        found=f"{cube.unit}, and shape {np.shape(noise.noise.sigma)}",
        action="run the stages again, so that the noise is measured on this cube",
    )


def _field(cube: Cube, target: Target, cut: Cut) -> tuple[slice, slice]:
    """Give rows and columns of the sub-cube."""
    if target.tip is None or target.position_angle_deg is None:
        raise ArdError(
            f"the target {target.name} has no tip",
            expected="a tip and a position angle, which the scenes are placed by",
            found="none",
            action="declare them in the target's file",
        )
    x, y = observed.place_of(cube, target.tip)
    side = float(np.sqrt(cube.pixel_area_arcsec2))
    _, ny, nx = cube.shape
    outside = abs(x) > 0.5 * nx * side or abs(y) > 0.5 * ny * side
    angle = np.deg2rad(observed.angle_of(cube, target.position_angle_deg))
    middles = (y - cut.behind_arcsec * np.cos(angle), x + cut.behind_arcsec * np.sin(angle))
    found = tuple(
        slice(
            max(0, round((middle - cut.half_arcsec) / side + (n - 1) / 2.0)),
            min(n, round((middle + cut.half_arcsec) / side + (n - 1) / 2.0) + 1),
        )
        for middle, n in zip(middles, (ny, nx), strict=True)
    )
    if outside or any(part.stop - part.start < _LEAST_SPAXELS for part in found):
        raise ArdError(
            "the cube does not show the tip",
            expected=f"the tip, and {_LEAST_SPAXELS} spaxels or more each way around it",
            found=f"{nx} x {ny} spaxels, the tip {x:.1f}, {y:.1f} arcsec from their middle",
            action="take another cube, or correct the tip in the target's file",
        )
    return found[0], found[1]


def _cropped(cube: Cube, rows: slice, columns: slice) -> Cube:
    def part(values: Any) -> Any:
        return None if values is None else np.asarray(values)[:, rows, columns]

    names = ("flux", "var", "mask", "dq", "weight")
    parts = {name: part(getattr(cube, name)) for name in names}
    return cube.replace(**parts, wcs=cube.wcs[rows, columns])


def _only(cube: Cube, target: Target, groups: Sequence[str]) -> Target:
    """Give the target with the lines of those groups that the cube covers."""
    covered = [name for name in covered_groups(cube.wave_edges, target) if name in groups]
    if not covered:
        raise ArdError(
            "the cube covers no line that the scene is fitted to",
            expected=f"a line of {', '.join(groups)} of {target.name}",
            found=f"{cube.wave[0]:.4f} to {cube.wave[-1]:.4f} um",
            action="take another cube, or correct the redshift of the target",
        )
    return replace(
        target,
        groups=tuple(group for group in target.groups if group.name in covered),
        lines=tuple(line for line in target.lines if line.group in covered),
    )


def _frame(cube: Cube, target: Target, seen: Observed) -> Frame:
    if cube.psf is None:
        raise ArdError(
            "the point-spread function of this cube is not known",
            file=str(cube.meta.get("FILENAME") or "the cube"),
            expected="an extension PSF",
            found="none",
            action="ingest the cube of an instrument whose point-spread function is declared",
        )
    x, y = observed.place_of(cube, target.anchor)
    cosmology = FlatLambdaCDM(H0=target.cosmology.h0, Om0=target.cosmology.om0)
    aperture = cube.meta.get("PA_APER")
    distance_mpc = float(cosmology.angular_diameter_distance(target.redshift).value)
    return Frame(
        x,
        y,
        observed.angle_of(cube, float(target.position_angle_deg or 0.0)),
        distance_mpc * _KPC_PER_ARCSEC,
        tuple(float(cube.psf.fwhm_at(wave)) for wave in seen.wave_um),
        None if aperture is None else observed.angle_of(cube, float(aperture)),
    )


def flux_per_voxel(cube: Cube) -> FloatArray:
    """Give 1 MJy/sr as flux in a voxel of each channel, `FLUX_UNIT`."""
    density = flux_density_per_mjy_sr(cube.wave) * np.diff(cube.wave_edges)
    return np.asarray(density * cube.pixel_area_arcsec2 / FLUX_UNIT)


def _noise(
    given: GivenNoise,
    seen: Observed,
    rows: slice,
    columns: slice,
    mask: np.ndarray[Any, Any],
    per_voxel: FloatArray,
) -> Noise:
    noise, channels = given.noise, seen.channels
    if noise.taps is not None or (noise.factors is not None and len(noise.factors) != 3):
        raise ArdError(
            "this noise cannot be cut to the windows of lines",
            file=given.file,
            expected="factors along wavelength, y and x",
            found="a filter" if noise.taps is not None else "factors of the sky as a whole",
            action="make the noise product in the form 'kronecker'",
        )
    where = np.ix_(channels, np.r_[rows], np.r_[columns])
    masked = mask | np.asarray(noise.mask)[where]
    scale = np.broadcast_to(np.asarray(noise.scale, np.float64), (noise.sigma.shape[0],))[channels]
    sigma = np.where(masked, 1.0, np.asarray(noise.sigma, np.float64)[where]) * per_voxel
    sigma = sigma * scale[:, None, None]
    if noise.factors is None:
        return Noise(sigma, masked)
    places = (channels, np.r_[rows], np.r_[columns])
    correlations = [
        None if factor is None else _among(np.asarray(factor, np.float64), kept)
        for factor, kept in zip(noise.factors, places, strict=True)
    ]
    return exact_noise(sigma, masked, correlations=correlations)


def _among(whitener: FloatArray, places: Any) -> FloatArray:
    """Give the correlation of some of the places of R = (W'W)^-1."""
    half = np.linalg.inv(whitener)[places]
    found = half @ half.T
    sd = np.sqrt(np.diag(found))
    return np.asarray(found / sd[:, None] / sd[None, :])
