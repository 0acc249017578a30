"""Which model fits an observed cube?

Grids, lines, widths and directions are read off the cube and the manifest of its target, so that
a model says the same as its data about where north is and where a channel ends.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from ard.cube import Cube, Lsf
from ard.errors import ArdError
from manifests import Target
from manifests.instruments import find_instrument
from manifests.target import Position
from pipeline.lineset import line_set
from pipeline.scene.grid import FloatArray, SkyGrid, VelocityGrid
from pipeline.scene.model import LineModel, coarsest_step, windows

GAIN_MAX: Final = 1.25  # reference/science.md section 5: in flight 1 to 24 % above pre-launch
_SQUARE_RTOL: Final = 1e-3
_STEP_DEG: Final = 1.0 / 3600.0


@dataclass(frozen=True)
class Settings:
    """How is a model made?

    Attributes
    ----------
    half_kms : float
        Channels within that of a line are computed; not less than `v_max_kms`, or light that is
        counted would be in no channel.
    v_max_kms, step_kms : float
        Of the planes of velocity; where no step is given, the largest that is exact.
    oversample, pad : int
        Of the sky; see `SkyGrid`.
    gain_max : float
        Largest resolving power over the declared one.
    """

    half_kms: float = 1300.0
    v_max_kms: float = 1200.0
    step_kms: float | None = None
    oversample: int = 2
    pad: int = 4
    gain_max: float = GAIN_MAX

    def __post_init__(self) -> None:
        if not self.half_kms >= self.v_max_kms:
            raise ArdError(
                "the channels of a line do not hold its velocities",
                expected=f"half_kms of {self.v_max_kms:g} km/s or more",
                found=f"{self.half_kms:g} km/s",
                action="take more channels, or a smaller v_max_kms",
            )


@dataclass(frozen=True, eq=False)
class Observed:
    """A model on the voxels of a cube.

    Attributes
    ----------
    model : LineModel
    channels : ndarray of int, shape (n_channel,)
        Channels of the cube that the model computes.
    line_names : tuple of str
        The model's lines.
    amplitude_names : tuple of str
        The lines whose fluxes are free, in the order of the model's amplitudes: of lines that are
        tied, the one that the others are relative to.
    groups : tuple of str
        The target's groups, in the order of the model's: lines of one have one point-spread
        function.
    wave_um : tuple of float
        Mean wavelength of each group, um.
    """

    model: LineModel
    channels: NDArray[np.intp]
    line_names: tuple[str, ...]
    amplitude_names: tuple[str, ...]
    groups: tuple[str, ...]
    wave_um: tuple[float, ...]


def model_for(cube: Cube, target: Target, settings: Settings | None = None) -> Observed:
    """Give the model of a target's lines on the voxels of a cube.

    Resolving power: the declared curve of the instrument as it was before launch, so that the gain
    of `Optics` counts from there; the cube's own where the instrument is not declared.

    Parameters
    ----------
    cube : Cube
    target : Target
    settings : Settings, optional

    Raises
    ------
    ArdError
        If the cube has no line-spread function, no line of the target, or a grid on the sky that
        is not square or is mirrored.
    """
    chosen = Settings() if settings is None else settings
    lines = line_set(target.lines, target.redshift, cube.wave_edges, _declared_lsf(cube))
    if not lines.names:
        raise ArdError(
            "the cube holds no line of the target",
            expected=f"a line of {target.name} within {cube.wave[0]:.4f} to {cube.wave[-1]:.4f} um",
            found="none",
            action="give another cube, or correct the redshift of the target",
        )
    observed = lines.wave_rest_um * (1.0 + target.redshift)
    both = np.stack([cube.wave_edges[:-1], cube.wave_edges[1:]], axis=1)
    channels = windows(both, observed, chosen.half_kms)
    held = {
        group.name: tuple(lines.names.index(name) for name in group.lines if name in lines.names)
        for group in target.groups
    }
    held = {name: numbers for name, numbers in held.items() if numbers}
    step = chosen.step_kms or coarsest_step(lines.sigma_lsf_kms, chosen.gain_max)
    model = LineModel(
        _sky_grid(cube, chosen.oversample, chosen.pad),
        VelocityGrid(chosen.v_max_kms, step),
        both[channels],
        observed,
        lines.sigma_lsf_kms,
        lines.ratio,
        tuple(held.values()),
        chosen.gain_max,
    )
    means = tuple(float(observed[list(numbers)].mean()) for numbers in held.values())
    references = {line.name: line.ratio_to or line.name for line in target.lines}
    free = tuple(dict.fromkeys(references[name] for name in lines.names))
    return Observed(model, channels, lines.names, free, tuple(held), means)


def place_of(cube: Cube, position: Position) -> tuple[float, float]:
    """Where does a position on the sky lie on the grid of a model, arcsec from its middle?

    Returns
    -------
    (float, float)
        x and y.
    """
    x, y = cube.wcs.world_to_pixel(SkyCoord(position.ra_deg, position.dec_deg, unit="deg"))
    _, ny, nx = cube.shape
    side = _pixel_arcsec(cube)
    return float((x - (nx - 1) / 2.0) * side), float((y - (ny - 1) / 2.0) * side)


def angle_of(cube: Cube, pa_deg: float) -> float:
    """Which direction on the grid, from +y over -x, has a position angle on the sky, degrees?"""
    _, ny, nx = cube.shape
    middle = cube.wcs.pixel_to_world((nx - 1) / 2.0, (ny - 1) / 2.0)
    # Angles of the WCS's own frame are those of equatorial coordinates.
    towards = middle.icrs.directional_offset_by(pa_deg * u.deg, _STEP_DEG * u.deg)
    x, y = cube.wcs.world_to_pixel(towards)
    return float(np.rad2deg(np.arctan2(-(x - (nx - 1) / 2.0), y - (ny - 1) / 2.0)))


def _sky_grid(cube: Cube, oversample: int, pad: int) -> SkyGrid:
    _, ny, nx = cube.shape
    parity = float(np.linalg.det(cube.wcs.pixel_scale_matrix))
    if parity > 0:
        raise ArdError(
            "the cube shows the sky as in a mirror",
            expected="east to the left where north is up",
            found="east to the right",
            action="flip the cube along x, with its WCS",
        )
    return SkyGrid(ny, nx, _pixel_arcsec(cube), oversample, pad)


def _pixel_arcsec(cube: Cube) -> float:
    sides = np.asarray(proj_plane_pixel_scales(cube.wcs), dtype=np.float64) * 3600.0
    if abs(sides[0] / sides[1] - 1.0) > _SQUARE_RTOL:
        raise ArdError(
            "the spaxels of the cube are not square",
            expected="one side",
            found=f"{sides[0]:.4f} and {sides[1]:.4f} arcsec",
            action="resample the cube",
        )
    return float(sides.mean())


def _declared_lsf(cube: Cube) -> Lsf:
    found = find_instrument(cube.meta)
    if found is not None:
        curve = found.resolving_power
        nodes: FloatArray = np.asarray(curve.wave_um)
        if nodes[0] <= cube.wave[0] and cube.wave[-1] <= nodes[-1]:
            return Lsf(nodes, nodes / np.asarray(curve.value), curve.source)
    if cube.lsf is not None:
        return cube.lsf
    raise ArdError(
        "the line-spread function of this cube is not known",
        expected="an extension LSF, or an instrument that the study declares",
        found="neither",
        action="give the cube an `Lsf`",
    )
