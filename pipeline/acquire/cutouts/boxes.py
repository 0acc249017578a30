"""Which pixels of an image show a place on the sky, and what is the header of just these?"""

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, NoConvergence
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from ard.errors import ArdError, FormatError
from ard.headers import celestial_wcs

# For each axis in the order of FITS (x, y, wavelength): the first pixel, counted from 0, and the
# one behind the last.
type Section = tuple[tuple[int, int], ...]

CUT_BOX: Final = "CUT_BOX"
_PLACED: Final = re.compile(r"(?:CTYPE|CRVAL|CRPIX)\d([A-Z]?)")
_TABULATED: Final = re.compile(r"(?:CPDIS|D2IMDIS)\d")
_IMAGE, _CUBE = 2, 3
_RIGHT_DEG: Final = 90.0
_TURN_DEG: Final = 360.0


@dataclass(frozen=True)
class SkyBox:
    """A square about a place, with sides along the axes of the image.

    Attributes
    ----------
    ra_deg, dec_deg : float
        Its centre, ICRS.
    size_arcsec : float
        Length of its sides; every pixel that it touches is taken.
    """

    ra_deg: float
    dec_deg: float
    size_arcsec: float

    def __post_init__(self) -> None:
        good = (
            abs(self.ra_deg) <= _TURN_DEG
            and abs(self.dec_deg) <= _RIGHT_DEG
            and 0 < self.size_arcsec < math.inf
        )
        if not good:
            raise _no_box("-360 <= ra <= 360, -90 <= dec <= 90, and a size above 0", self)

    def __str__(self) -> str:
        return f"{self.size_arcsec:g} arcsec about ({self.ra_deg:.6f}, {self.dec_deg:.6f}) deg"


@dataclass(frozen=True)
class PixelBox:
    """Pixels x0 to x1 and y0 to y1, counted from 0, the ends not included."""

    x0: int
    x1: int
    y0: int
    y1: int

    def __post_init__(self) -> None:
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise _no_box("x0 < x1 and y0 < y1", self)

    def __str__(self) -> str:
        return f"pixels {self.x0}:{self.x1} in x and {self.y0}:{self.y1} in y, counted from 0"


def _no_box(expected: str, found: object) -> ArdError:
    return ArdError("this is no box", expected=expected, found=found, action="correct the numbers")


def shape_of(header: fits.Header) -> tuple[int, ...]:
    """Give the lengths of the axes in the order of FITS."""
    return tuple(int(header[f"NAXIS{i + 1}"]) for i in range(int(header["NAXIS"])))


def section_text(section: Section) -> str:
    """Write a section as FITS does: from 1, the ends included."""
    return "[" + ",".join(f"{start + 1}:{stop}" for start, stop in section) + "]"


def sky_of(header: fits.Header, file: str) -> WCS | None:
    """Give the celestial WCS of an image or a cube, with two axes; None where it has none.

    Raises
    ------
    FormatError
        If it cannot be inverted.
    """
    if not str(header.get("CTYPE1", "")).strip():
        return None
    if int(header["NAXIS"]) == _IMAGE:
        wcs = WCS(header)  # whole, because images can have distortions
        return wcs if wcs.has_celestial and wcs.naxis == _IMAGE else None
    return celestial_wcs(header, file)


def find_box(place: SkyBox | PixelBox, header: fits.Header, wcs: WCS | None, file: str) -> Section:
    """Say which pixels in x and y of an image a box takes, at its edges as far as there are any.

    Parameters
    ----------
    place : SkyBox or PixelBox
    header : astropy.io.fits.Header
        Header of the image.
    wcs : astropy.wcs.WCS or None
        What says where its pixels lie on the sky.
    file : str
        Name for messages.

    Returns
    -------
    Section
        Of two axes; it can reach beyond the image.

    Raises
    ------
    FormatError
        If the place cannot be found without a WCS.
    ArdError
        If the box is wholly outside; the message gives the footprint.
    """
    if isinstance(place, PixelBox):
        asked: Section | None = ((place.x0, place.x1), (place.y0, place.y1))
    elif wcs is None:
        raise FormatError(
            "no extension says where the pixels lie on the sky",
            file=file,
            expected="a celestial WCS in the header of the image, or of one of the same shape",
            found="none",
            action="give a box in pixels",
        )
    else:
        asked = _touched(place, wcs)
    shape = shape_of(header)[:2]
    if asked is not None and trimmed(asked, shape) is not None:
        return asked
    raise ArdError(
        "the box lies wholly outside the image",
        file=file,
        expected=f"a box that meets {_footprint(shape, wcs)}",
        found=str(place),
        action="give another place, or another file",
    )


def _touched(place: SkyBox, wcs: WCS) -> Section | None:
    """Give the pixels that a square touches; None where the projection does not reach it."""
    centre = SkyCoord(place.ra_deg * u.deg, place.dec_deg * u.deg, frame="icrs")
    try:
        middle = [float(value) for value in wcs.world_to_pixel(centre)]
    except (NoConvergence, ValueError):
        return None
    scales = proj_plane_pixel_scales(wcs) * 3600.0  # arcsec
    # Pixel i covers i - 0.5 to i + 0.5.
    half = [place.size_arcsec / 2.0 / float(scale) for scale in scales]
    ends = [(at + 0.5 - by, at + 0.5 + by) for at, by in zip(middle, half, strict=True)]
    if not np.isfinite(ends).all():
        return None
    return tuple((math.floor(low), math.ceil(high)) for low, high in ends)


def trimmed(section: Section, shape: tuple[int, ...]) -> Section | None:
    """Give the part of a section that an image has; None where it has none."""
    inside = tuple(
        (max(0, start), min(size, stop)) for (start, stop), size in zip(section, shape, strict=True)
    )
    return inside if all(start < stop for start, stop in inside) else None


def find_channels(
    wave: NDArray[np.float64], wave_um: tuple[float, float], file: str
) -> tuple[int, int]:
    """Say which channels have wavelengths in a range, its ends included.

    Raises
    ------
    ArdError
        If there are none.
    """
    inside = np.flatnonzero((wave >= wave_um[0]) & (wave <= wave_um[1]))
    if inside.size:
        return int(inside[0]), int(inside[-1]) + 1
    raise ArdError(
        "no channel lies in the wavelength range",
        file=file,
        expected=f"a range that meets {wave[0]:.6f} to {wave[-1]:.6f} um",
        found=f"{wave_um[0]:g} to {wave_um[1]:g} um",
        action="give another range",
    )


def cut_header(header: fits.Header, section: Section, wcs: WCS | None, file: str) -> fits.Header:
    """Make the header of a section: every WCS keeps the place of every pixel.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the whole image.
    section : Section
        Inside the image.
    wcs : astropy.wcs.WCS or None
        Of the whole image, for the outline on the sky (S_REGION).
    file : str
        Name for messages.

    Raises
    ------
    FormatError
        If its WCS needs look-up tables of distortion, which would have to be cut as well.
    """
    tables = [key for key in header if _TABULATED.fullmatch(key) and _text(header[key]) == "LOOKUP"]
    if tables:
        raise FormatError(
            "the WCS needs look-up tables, which a cut-out does not carry",
            file=file,
            expected="an image without distortion, or with one in its header alone",
            found=f"{tables[0]} = LOOKUP",
            action="take a drizzled image, or fetch the whole file: rbh1 acquire run",
        )
    cut = header.copy()
    for i, (start, stop) in enumerate(section, start=1):
        cut[f"NAXIS{i}"] = stop - start
        if start:
            _shift(cut, i, start)
    if "S_REGION" in cut:
        _outline(cut, section, wcs)
    cut[CUT_BOX] = (section_text(section), "pixels of the source, from 1, ends included")
    return cut


def _shift(cut: fits.Header, axis: int, start: int) -> None:
    versions = {match[1] for key in cut if (match := _PLACED.fullmatch(key))}
    for version in sorted(versions):
        key = f"CRPIX{axis}{version}"
        cut[key] = float(cut.get(key, 0.0)) - start  # the standard: 0 where it is missing
    if f"LTV{axis}" in cut:  # IRAF: logical pixel = LTM * physical pixel + LTV
        cut[f"LTV{axis}"] = float(cut[f"LTV{axis}"]) - start


def _outline(cut: fits.Header, section: Section, wcs: WCS | None) -> None:
    """Make S_REGION that of the section: the source's would claim sky that is not there."""
    corners = None if wcs is None else _corners(section[:2], wcs)
    if corners is None:
        del cut["S_REGION"]
        return
    numbers = " ".join(f"{ra:.9f} {dec:.9f}" for ra, dec in corners)
    cut["S_REGION"] = f"POLYGON ICRS {numbers}"


def _corners(section: Section, wcs: WCS) -> list[tuple[float, float]] | None:
    """Give the outer corners of a section, ICRS, deg; None where one is not on the sky."""
    (x0, x1), (y0, y1) = section
    xs, ys = np.array([x0, x0, x1, x1]) - 0.5, np.array([y0, y1, y1, y0]) - 0.5
    sky = wcs.pixel_to_world(xs, ys).icrs
    places = [(float(ra), float(dec)) for ra, dec in zip(sky.ra.deg, sky.dec.deg, strict=True)]
    return places if np.isfinite(places).all() else None


def _footprint(shape: tuple[int, ...], wcs: WCS | None) -> str:
    corners = None if wcs is None else _corners(tuple((0, size) for size in shape), wcs)
    if corners is None:
        return f"the image, pixels 0:{shape[0]} in x and 0:{shape[1]} in y"
    places = ", ".join(f"({ra:.6f}, {dec:.6f})" for ra, dec in corners)
    return f"the image, with its corners at {places} deg"


def _text(value: Any) -> str:
    return str(value).strip().upper()
