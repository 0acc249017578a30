"""Where did GO-3149 point, and which spaxels of which grid saw the sky?

Unless asked otherwise, all exposures of a pointing lie on one common grid, that of its Level-3
cube: the dithers are whole spaxels. Combination is then an exact shift and average, so that the 8
exposures and the 2 combined cubes hold the same scene and the same noise and can be compared
number by number. The real dithers are parts of spaxels; they can be asked for as well.

Which sequence is what: the HDRTAB times of the two real Level-3 cubes leave 350 s between the
last exposure of t001 and the first of t002, too little for four imprints in between. So 02101
is t001, 04101 is t002, and the imprints follow, 06101 for t001 and 08101 for t002 (08101_00004
is known to be one: its ERR has a median of 2.36).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from ard.errors import ArdError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# The Level-3 and per-exposure grids, (channel, y, x): headers of GO-3149.
LEVEL3_SHAPE: Final = (1447, 53, 49)
EXPOSURE_SHAPE: Final = (1447, 49, 47)
CRVAL3: Final = 0.97031802861602
CDELT3: Final = 0.000636000011581927
SPAXEL_ARCSEC: Final = 0.1
# JWST writes the increment as a float32 widened to a double.
SPAXEL_DEG: Final = float(np.float32(SPAXEL_ARCSEC / 3600.0))
PA_APER_DEG: Final = 28.222
# Edge of the square that an exposure fills, in spaxels: 50.5 % of its cube is NaN.
FIELD_SPAXELS: Final = 33.8
# Telescope offsets of the dithers, arcsec: HDRTAB of the real Level-3 cubes.
OFFSETS_ARCSEC: Final = (
    (-0.2328004, -0.0433), (0.0292004, 0.2415001), (0.1292004, 0.0433), (-0.1332004, -0.1333002),
)  # fmt: skip


def sky_shifts(
    offsets_arcsec: Sequence[tuple[float, float]], room: tuple[int, int]
) -> tuple[tuple[float, float], ...]:
    """Where do dithers lie on a north-up grid, x and y in spaxels, in the middle of its room?

    The telescope's y points to PA_APER, its x to the right of that (PA_APER - 90 degrees). With x
    to the left, the real dithers would range over more columns than rows, and the real grids, 53 x
    49 made of 49 x 47, are the other way round.

    Parameters
    ----------
    offsets_arcsec : sequence of (float, float)
    room : (int, int)
        By how many columns and rows the grid of all is larger than that of one.
    """
    angle = np.deg2rad(PA_APER_DEG)
    right, up = np.array(offsets_arcsec).T / SPAXEL_ARCSEC
    x = right * np.cos(angle) - up * np.sin(angle)  # east is to the left
    y = right * np.sin(angle) + up * np.cos(angle)
    middle = [0.5 * (r - v.min() - v.max()) for r, v in zip(room, (x, y), strict=True)]
    return tuple((float(a + middle[0]), float(b + middle[1])) for a, b in zip(x, y, strict=True))


# Shift (x, y) of each dither on the common grid; their range is what makes 49 x 47 a 53 x 49.
WHOLE: Final = "whole"
REAL: Final = "real"
DITHERS: Final = ((0, 0), (2, 4), (0, 4), (1, 0))
SHIFTS: Final = {
    WHOLE: DITHERS,
    REAL: sky_shifts(
        OFFSETS_ARCSEC,
        (LEVEL3_SHAPE[2] - EXPOSURE_SHAPE[2], LEVEL3_SHAPE[1] - EXPOSURE_SHAPE[1]),
    ),
}


@dataclass(frozen=True)
class Pointing:
    """A pointing of the observation: item name and target coordinates from HDRTAB, deg."""

    item: str
    ra_deg: float
    dec_deg: float
    science: str
    imprint: str
    first_mjd: float


POINTINGS: Final = (
    Pointing("t001", 40.44051, -8.350361111111113, "02101", "06101", 60515.569126539354),
    Pointing("t002", 40.440262, -8.350525, "04101", "08101", 60515.74000563657),
)
_FIRST_IMPRINT_MJD: Final = 60515.911  # after the last science exposure ends
_SCIENCE_STEP: Final = 0.0419318  # days from one dither to the next, HDRTAB
_IMPRINT_STEP: Final = 0.0026


@dataclass(frozen=True)
class Exposure:
    """One exposure: what it is called, what it is for, where it lies on the common grid."""

    name: str
    pointing: int
    dither: int
    imprint: bool
    start_mjd: float

    @property
    def shift(self) -> tuple[int, int]:
        """Offset (x, y) on the grid of the pointing, spaxels, where dithers are whole ones."""
        return DITHERS[self.dither]

    def placed(self, dithers: str) -> tuple[float, float]:
        """Give the offset (x, y) on the grid of the pointing for one of `SHIFTS`, spaxels."""
        return SHIFTS[dithers][self.dither]

    def nearest(self, dithers: str) -> tuple[int, int]:
        """Give the whole spaxels next to that."""
        x, y = self.placed(dithers)
        return round(x), round(y)

    @property
    def item(self) -> str:
        """Name of the pointing."""
        return POINTINGS[self.pointing].item


def _exposures() -> tuple[Exposure, ...]:
    table = []
    for p, pointing in enumerate(POINTINGS):
        first = _FIRST_IMPRINT_MJD + p * len(DITHERS) * _IMPRINT_STEP
        for d in range(len(DITHERS)):
            for imprint in (False, True):
                sequence = pointing.imprint if imprint else pointing.science
                mjd = (
                    first + d * _IMPRINT_STEP
                    if imprint
                    else (pointing.first_mjd + d * _SCIENCE_STEP)
                )
                name = f"jw03149001001_{sequence}_{d + 1:05d}_nrs1"
                table.append(Exposure(name, p, d, imprint, mjd))
    return tuple(sorted(table, key=lambda exposure: exposure.name))


EXPOSURES: Final = _exposures()


@dataclass(frozen=True)
class Window:
    """A cut of the full Level-3 grid: channels, rows and columns, stop exclusive."""

    channels: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the Level-3 cube."""
        (c0, c1), (y0, y1), (x0, x1) = self.channels, self.rows, self.columns
        return c1 - c0, y1 - y0, x1 - x0

    @property
    def exposure_shape(self) -> tuple[int, int, int]:
        """Shape of a per-exposure cube: smaller by the range of the dithers."""
        n_wave, ny, nx = self.shape
        full, part = LEVEL3_SHAPE, EXPOSURE_SHAPE
        return n_wave, ny - (full[1] - part[1]), nx - (full[2] - part[2])

    @property
    def wave(self) -> FloatArray:
        """Channel centres, um, shape (n_wave,)."""
        return CRVAL3 + CDELT3 * np.arange(*self.channels, dtype=np.float64)


# tiny: H alpha to [S II], tip and wake of both pointings, and a corner of the field.
# demo: [O III] to [S II], the whole field.
SIZES: Final = {
    "tiny": Window((488, 568), (6, 32), (12, 33)),
    "demo": Window((0, 600), (0, 53), (0, 49)),
    "full": Window((0, 1447), (0, 53), (0, 49)),
}


def window(size: str) -> Window:
    """Which part of the full grid does a size hold?

    Raises
    ------
    ArdError
        If there is no such size.
    """
    if size not in SIZES:
        raise ArdError(
            "there is no such size of the simulated observation",
            expected=", ".join(SIZES),
            found=size,
            action="name one of the sizes",
        )
    return SIZES[size]


def sky(cut: Window, pointing: int, shift: tuple[float, float] = (0, 0)) -> WCS:
    """Where does each spaxel of a cube lie on the sky?

    Parameters
    ----------
    cut : Window
    pointing : int
        Index into `POINTINGS`.
    shift : (float, float)
        The dither's offset (x, y), spaxels; (0, 0) for the Level-3 cube.

    Returns
    -------
    astropy.wcs.WCS
        Two axes, north up; CRVAL is the pointing's target, wherever the cut leaves it.
    """
    _, ny, nx = LEVEL3_SHAPE
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = [
        (nx + 1) / 2 - cut.columns[0] - shift[0],
        (ny + 1) / 2 - cut.rows[0] - shift[1],
    ]
    wcs.wcs.crval = [POINTINGS[pointing].ra_deg, POINTINGS[pointing].dec_deg]
    wcs.wcs.cdelt = [SPAXEL_DEG, SPAXEL_DEG]
    wcs.wcs.pc = [[-1.0, 0.0], [0.0, 1.0]]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def spectral_cards(cut: Window) -> fits.Header:
    """How does the third axis of a cut read, with the archive's CRVAL3 and CDELT3 kept?"""
    header = fits.Header()
    header["CTYPE3"] = ("WAVE", "Axis 3 type")
    header["CUNIT3"] = ("um", "Axis 3 units")
    header["CRPIX3"] = (1.0 - cut.channels[0], "axis 3 coordinate of the reference pixel")
    header["CRVAL3"] = (CRVAL3, "third axis value at the reference pixel")
    header["CDELT3"] = (CDELT3, "Axis 3 coordinate increment at reference point")
    header["PC3_3"] = (1.0, "linear transformation matrix element")
    header["SPECSYS"] = ("BARYCENT", "Spectral reference frame")
    return header


def footprint(cut: Window) -> BoolArray:
    """Which spaxels of a per-exposure cube saw the sky?

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        The square field of the integral field unit, turned by PA_APER on the north-up grid.
    """
    _, ny, nx = EXPOSURE_SHAPE
    y, x = np.mgrid[0:ny, 0:nx]
    east, north = (nx - 1) / 2 - x, y - (ny - 1) / 2
    angle = np.deg2rad(PA_APER_DEG)
    u = east * np.sin(angle) + north * np.cos(angle)
    w = east * np.cos(angle) - north * np.sin(angle)
    seen = (np.abs(u) < FIELD_SPAXELS / 2) & (np.abs(w) < FIELD_SPAXELS / 2)
    _, rows, columns = cut.exposure_shape
    y0, x0 = cut.rows[0], cut.columns[0]
    return np.asarray(seen[y0 : y0 + rows, x0 : x0 + columns])


def s_region(wcs: WCS, ny: int, nx: int) -> str:
    """Which polygon on the sky holds the grid, as S_REGION spells it?"""
    x = np.array([-0.5, -0.5, nx - 0.5, nx - 0.5])
    y = np.array([-0.5, ny - 0.5, ny - 0.5, -0.5])
    ra, dec = wcs.wcs_pix2world(x, y, 0)
    corners = " ".join(f"{a:.9f} {d:.9f}" for a, d in zip(ra, dec, strict=True))
    return f"POLYGON ICRS  {corners}"
