"""What does one pointing hold that every line and aperture asks for?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ard.cube import BoolArray, Cube, FloatArray
from ard.s3d import OUTLIER
from manifests import Target
from pipeline.lineprofile import flux_density_per_mjy_sr
from pipeline.reduce.difference import background
from pipeline.reduce.difference.apertures import (
    Aperture,
    Shapes,
    offset_arcsec,
    sky_spaxels,
    weights,
)
from pipeline.reduce.difference.background import Background, Filled
from pipeline.reduce.difference.fraction import Spectrum
from pipeline.reduce.difference.grids import (
    overlap,
    require_pair,
    require_pairs,
    require_same_grid,
)

_PLACE: Final = ("TARG_RA", "TARG_DEC")


@dataclass(frozen=True, eq=False)
class Pointing:
    """One pointing, its backgrounds and its partner's offset.

    Attributes
    ----------
    item : str
    cube : Cube
        Combined, nothing subtracted.
    plain, standard, common : Filled
        The combined cube; the archive's; and the combined one with the voxels left out that the
        archive's lacks, so that these two have the same voxels.
    backgrounds : mapping of str to Background
        By method; those that could not be made are missing.
    offset : (float, float) or None
        From the wake to where the subtraction of the other pointing puts its ghost, east and
        north, arcsec; None without another pointing.
    unit : ndarray, shape (n_wave,)
        erg s-1 cm-2 um-1 that 1 MJy/sr in one spaxel is.
    """

    item: str
    cube: Cube
    plain: Filled
    standard: Filled
    common: Filled
    backgrounds: Mapping[str, Background]
    offset: tuple[float, float] | None
    unit: FloatArray

    @property
    def seen(self) -> BoolArray:
        """Spaxels that the cubes and all backgrounds have, shape (ny, nx)."""
        both = self.plain.seen & self.standard.seen
        for found in self.backgrounds.values():
            both = both & found.seen
        return both

    def live(self, shares: FloatArray) -> BoolArray:
        """Say in which channels an aperture and all backgrounds were measured, shape (n_wave,)."""
        inside = shares > 0
        both = np.ones(self.cube.shape[0], dtype=bool)
        for filling in (self.plain, self.standard):
            both &= filling.live & filling.measured[:, inside].any(axis=1)
        for found in self.backgrounds.values():
            both &= found.live
        return both

    def share(self, aperture: Aperture, target: Target) -> tuple[FloatArray, float]:
        """Give the shares of an aperture, 0 where not seen, and which part of it is seen."""
        shares = weights(aperture, target, self.cube.wcs, self.cube.shape[1:])
        east, north = aperture.east, aperture.north
        area = 0.5 * abs(float(east @ np.roll(north, -1) - north @ np.roll(east, -1)))
        kept = np.where(self.seen, shares, 0.0)
        return kept, float(kept.sum()) * self.cube.pixel_area_arcsec2 / area

    def spectrum(self, source: Filled | Background, shares: FloatArray) -> Spectrum:
        """Sum a cube or a background over an aperture."""
        flux = np.tensordot(source.flux, shares, axes=2)
        var = np.tensordot(source.var, shares**2, axes=2)
        # A background without noise of its own must not have an error of zero. Channels without
        # any measured voxel have one, and are never used: `live`.
        floor = np.finfo(np.float64).tiny
        err = np.sqrt(np.maximum(var, floor))
        density = flux * self.unit
        follows = isinstance(source, Background) and source.fitted
        return Spectrum(density, err * self.unit, density if follows else None)


def partner_of(item: str, cubes: Mapping[str, Cube]) -> str | None:
    """Name the nearest pointing that shows a part of the same field.

    None where there is none, or it is not known where it looks: what a pointing elsewhere has at a
    place of the detector is other light, and no ghost.
    """
    placed = [name for name, cube in cubes.items() if all(key in cube.meta for key in _PLACE)]
    if item not in placed:
        return None
    others = [name for name in placed if name != item and overlap(cubes[item], cubes[name])]
    if not others:
        return None
    return min(others, key=lambda name: float(np.hypot(*_offset(cubes, item, name))))


def _offset(cubes: Mapping[str, Cube], item: str, other: str) -> tuple[float, float]:
    return offset_arcsec(cubes[item].meta, cubes[other].meta)


def prepare(
    cubes: Mapping[str, Cube],
    standard: Mapping[str, Cube],
    target: Target,
    blocked: Mapping[str, BoolArray],
    shapes: Shapes,
    rank: int,
) -> dict[str, Pointing]:
    """Fill the cubes and make every background of every pointing.

    Parameters
    ----------
    cubes, standard : mapping of str to Cube
        Combined cubes, and the archive's own, by item.
    target : manifests.Target
    blocked : mapping of str to ndarray of bool, shape (n_wave,)
        Channels that lines can reach.
    shapes : Shapes
    rank : int
        Components of the low-rank sky.

    Raises
    ------
    GridMismatchError
        If an archive's cube, or another pointing, is on another grid.
    """
    for item, cube in cubes.items():
        require_same_grid(cube, standard[item], item)
    require_pairs({item: partner_of(item, cubes) for item in cubes}, cubes)
    plain = {item: background.filled(cube) for item, cube in cubes.items()}
    masks = {item: _common_mask(standard[item], cube) for item, cube in cubes.items()}
    made = {}
    for item, cube in cubes.items():
        sky = sky_spaxels(target, cube.wcs, cube.shape[1:], shapes.clear_arcsec)
        found: dict[str, Background] = {}
        other = partner_of(item, cubes)
        offset = None if other is None else _offset(cubes, item, other)
        if other is not None and offset is not None:
            found[background.POINTINGS] = background.other_pointing(
                cube, cubes[other], plain[other], offset
            )
        # As many free numbers as spaxels would describe anything.
        if int((sky & plain[item].seen).sum()) > 2 * rank:
            found[background.ANNULUS] = background.annulus(plain[item], sky, blocked[item])
            found[background.LOWRANK] = background.low_rank(plain[item], sky, blocked[item], rank)
        made[item] = Pointing(
            item=item,
            cube=cube,
            plain=plain[item],
            standard=background.filled(standard[item].replace(mask=masks[item])),
            common=background.filled(cube.replace(mask=masks[item])),
            backgrounds=found,
            offset=offset,
            unit=flux_density_per_mjy_sr(cube.wave) * cube.pixel_area_arcsec2,
        )
    return made


def _common_mask(standard: Cube, cube: Cube) -> BoolArray:
    """Mask what either cube lacks, and what the dithers contradict.

    The archive's cube has the hits of single exposures in it. They are a matter of masks; what is
    compared here is how much of a line each extraction leaves.
    """
    hit = np.zeros(cube.shape, bool) if cube.dq is None else (cube.dq & OUTLIER) != 0
    return np.asarray(standard.mask | hit | cube.mask)


def differenced(own: Cube, other: Cube) -> Cube:
    """Give a pointing minus the other, place by place of the detector.

    The wake appears twice: where it is, and negative where the other pointing had it on the
    detector. A voxel of which the other pointing measured less than half is masked.

    Parameters
    ----------
    own, other : Cube
        Combined cubes with the keywords TARG_RA and TARG_DEC, on one wavelength grid.

    Raises
    ------
    GridMismatchError
        If they have different wavelengths or rolls.
    """
    require_pair(own, other, ("one pointing", "the other"))
    offset = offset_arcsec(own.meta, other.meta)
    taken = background.other_pointing(own, other, background.filled(other), offset)
    return less(own, taken.flux, taken.var, ~taken.measured)


def less(own: Cube, flux: FloatArray, var: FloatArray, mask: BoolArray) -> Cube:
    """Give a cube from which something was taken off, masked where that is not known.

    Parameters
    ----------
    own : Cube
    flux, var : ndarray, shape (n_wave, ny, nx)
        What is taken off, and its variance, independent of that of the cube.
    mask : ndarray of bool, shape (n_wave, ny, nx)
    """
    mask = own.mask | mask
    meta: dict[str, Any] = dict(own.meta) | {"S_BKDSUB": "COMPLETE"}
    return own.replace(
        flux=np.where(mask, np.nan, own.flux - flux),
        var=np.where(mask, np.nan, own.var + var),
        mask=mask,
        dq=None,
        weight=None if own.weight is None else np.where(mask, 0.0, own.weight),
        meta=meta,
        provenance=None,
    )
