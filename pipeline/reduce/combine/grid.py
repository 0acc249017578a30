"""On which spaxels and channels is a combined cube made?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.wcs import WCS

from ard.cube import FloatArray
from ard.errors import FormatError
from pipeline.reduce.combine.exposure import ExposureCube

# Of a channel. Wavelengths of one grating setting that are written twice agree to rounding
# (1e-10); a real difference is the tilt of the grating wheel, hundredths of a channel.
_SAME_CHANNEL: Final = 1e-3


class GridMismatchError(FormatError):
    """Two cubes that are to be combined or subtracted differ in wavelengths, place or roll."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxels of a cube.

    Attributes
    ----------
    wcs : astropy.wcs.WCS
        Celestial coordinates of (x, y), two axes.
    shape : (int, int)
        Number of rows and columns.
    wave : ndarray, shape (n_wave,)
        Channel centres, um.
    name : str
        The file that it is the grid of, for messages.
    """

    wcs: WCS
    shape: tuple[int, int]
    wave: FloatArray
    name: str = "the grid"


def grid_of(exposure: ExposureCube) -> Grid:
    """Give the grid of a cube, such as the archive's Level-3 cube."""
    return Grid(exposure.wcs, exposure.shape[1:], exposure.wave, exposure.filename)


def common_grid(exposures: Sequence[ExposureCube]) -> Grid:
    """Give the grid of the first exposure, extended by whole spaxels so that it holds all.

    Raises
    ------
    FormatError
        If there is no exposure; GridMismatchError if their wavelengths differ.
    """
    require_same_wave(exposures)
    first = exposures[0]
    places = [_corners_in(exposure, first.wcs) for exposure in exposures]
    low = np.floor(np.min(places, axis=(0, 2)) + 0.5 + 1e-6).astype(int)
    high = np.ceil(np.max(places, axis=(0, 2)) + 0.5 - 1e-6).astype(int)
    wcs = first.wcs.deepcopy()
    wcs.wcs.crpix = np.asarray(first.wcs.wcs.crpix) - low
    wcs.wcs.set()
    nx, ny = (int(n) for n in high - low)
    return Grid(wcs, (ny, nx), first.wave, first.filename)


def _corners_in(exposure: ExposureCube, wcs: WCS) -> FloatArray:
    """Give the outer corners of an exposure in the pixels of a WCS, shape (2, 4)."""
    _, ny, nx = exposure.shape
    x, y = np.array([-0.5, nx - 0.5, nx - 0.5, -0.5]), np.array([-0.5, -0.5, ny - 0.5, ny - 0.5])
    sky = exposure.wcs.all_pix2world(x, y, 0)
    return np.asarray(wcs.all_world2pix(*sky, 0))


def require_same_wave(exposures: Sequence[ExposureCube], grid: Grid | None = None) -> None:
    """Refuse exposures that do not share their wavelengths with one another or a grid.

    Raises
    ------
    FormatError
        If there is no exposure.
    GridMismatchError
        Naming both files.
    """
    if not exposures:
        raise FormatError(
            "there is no exposure to combine",
            expected="at least one science exposure",
            found="none",
            action="check the roles of the exposures, and which are left out",
        )
    first = grid_of(exposures[0]) if grid is None else grid
    for exposure in exposures:
        if not _same(exposure.wave, first.wave):
            raise GridMismatchError(
                f"{exposure.filename} and {first.name} have different wavelengths",
                file=exposure.filename,
                expected=f"the wavelengths of {first.name}: {_text(first.wave)}",
                found=_text(exposure.wave),
                action="combine cubes of one grating setting, made with one wavelength grid",
            )


def _same(one: FloatArray, other: FloatArray) -> bool:
    if one.shape != other.shape:
        return False
    step = float(np.min(np.diff(other))) if other.size > 1 else float(other[0])
    return bool(np.abs(one - other).max() < _SAME_CHANNEL * step)


def _text(wave: FloatArray) -> str:
    return f"{wave.size} channels, {wave[0]:.6f} to {wave[-1]:.6f} um"
