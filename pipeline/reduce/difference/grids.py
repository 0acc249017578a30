"""Do the cubes of an observation fit one another, voxel by voxel and detector by detector?

A share of flux that a background takes off is a sum of one voxel against another. A channel or a
spaxel of difference gives a number all the same, and a wrong one.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ard.cube import Cube
from pipeline.reduce.combine.grid import GridMismatchError

# Of a channel: wavelengths that are written twice agree to rounding.
_SAME_CHANNEL: Final = 1e-3
# Of a spaxel: two writings of one grid agree to rounding (1e-6); a shift of a hundredth moves
# less than a thousandth of the light of an undersampled point from spaxel to spaxel.
_SAME_SPAXEL: Final = 1e-2
# Of a spaxel, at the edge of the field: a tenth is what sub-spaxel dithers are known to.
_SAME_TURN: Final = 0.1
_ROLLS: Final = ("PA_APER", "PA_V3", "ROLL_REF")  # degrees
_ACTION: Final = "combine the exposures on the grid of the archive's cube, in one grating setting"


def require_same_grid(cube: Cube, standard: Cube, item: str) -> None:
    """Refuse an archive's cube that is not on the grid of the combined one.

    Raises
    ------
    GridMismatchError
        Naming both, if wavelengths or places of spaxels differ.
    """
    names = f"the combined cube of {item}", f"the archive's {_name(standard)}"
    if cube.shape != standard.shape:
        raise _mismatch(names, "shape", cube.shape, standard.shape)
    _require_same_wave(cube, standard, names)
    ny, nx = cube.shape[1:]
    x, y = (np.array(v, float) for v in ([0, nx - 1, 0, nx - 1], [0, 0, ny - 1, ny - 1]))
    there = standard.wcs.all_world2pix(*cube.wcs.all_pix2world(x, y, 0), 0)
    off = float(np.hypot(there[0] - x, there[1] - y).max())
    if not off < _SAME_SPAXEL:
        raise _mismatch(names, "places of spaxels", "the same", f"{off:.3f} spaxels apart")


def require_pair(own: Cube, other: Cube, items: tuple[str, str]) -> None:
    """Refuse another pointing that cannot be taken off place by place of the detector.

    With another roll, the offset of the two is not the same at all places of the detector.

    Raises
    ------
    GridMismatchError
        Naming both, if wavelengths, scales or rolls differ.
    """
    names = (f"the combined cube of {items[0]}", f"that of {items[1]}")
    _require_same_wave(own, other, names)
    half = 0.5 * float(np.hypot(*own.shape[1:]))
    scale = own.wcs.pixel_scale_matrix
    step = float(np.sqrt(abs(np.linalg.det(scale))))
    turn = float(np.linalg.norm(scale - other.wcs.pixel_scale_matrix, 2)) / step * half
    if not turn < _SAME_TURN:
        raise _mismatch(names, "orientations", "the same", f"{turn:.2f} spaxels at the edge")
    for key in _ROLLS:
        if key in own.meta and key in other.meta:
            rolls = [float(str(cube.meta[key])) for cube in (own, other)]
            apart = (rolls[0] - rolls[1] + 180.0) % 360.0 - 180.0
            if not abs(np.deg2rad(apart)) * half < _SAME_TURN:
                raise _mismatch(names, f"rolls ({key})", rolls[0], rolls[1])


def require_pairs(partners: Mapping[str, str | None], cubes: Mapping[str, Cube]) -> None:
    """Refuse pointings that cannot be taken off one another.

    Raises
    ------
    GridMismatchError
        Naming both.
    """
    for item, other in partners.items():
        if other is not None:
            require_pair(cubes[item], cubes[other], (item, other))


def overlap(own: Cube, other: Cube) -> bool:
    """Say whether two cubes show any common part of the sky, by their coordinates.

    Parameters
    ----------
    own, other : Cube
        What counts of each are the spaxels with a good channel.
    """
    own_seen, (y, x) = ~own.mask.all(axis=0), np.nonzero(~other.mask.all(axis=0))
    if not (own_seen.any() and x.size):
        return False
    sky = other.wcs.wcs_pix2world(x, y, 0)
    places = own.wcs.wcs_world2pix(*sky, 0)
    # Beyond a quarter of the sky a tangential projection has no place.
    known = np.isfinite(places).all(axis=0)
    column, row = (np.rint(values[known]).astype(np.int64) for values in places)
    inside = (column >= 0) & (column < own.shape[2]) & (row >= 0) & (row < own.shape[1])
    return bool(own_seen[row[inside], column[inside]].any())


def _require_same_wave(one: Cube, other: Cube, names: tuple[str, str]) -> None:
    same = one.wave.shape == other.wave.shape
    step = float(np.diff(one.wave).min()) if one.wave.size > 1 else float(one.wave[0])
    if not (same and float(np.abs(one.wave - other.wave).max()) < _SAME_CHANNEL * step):
        raise _mismatch(names, "wavelengths", _text(one), _text(other))


def _mismatch(names: tuple[str, str], what: str, expected: Any, found: Any) -> GridMismatchError:
    return GridMismatchError(
        f"{names[0]} and {names[1]} are not on one grid: {what} differ",
        expected=f"{expected}, as in {names[0]}",
        found=f"{found} in {names[1]}",
        action=_ACTION,
    )


def _name(cube: Cube) -> str:
    return str(cube.meta.get("FILENAME", "cube"))


def _text(cube: Cube) -> str:
    wave = cube.wave
    return f"{wave.size} channels, {wave[0]:.6f} to {wave[-1]:.6f} um"
