"""Which header cards carry over, and how does a header become a celestial WCS?"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from ard.errors import FormatError, UnitError

# Cards of the layout itself; everything else in a primary header is a fact worth keeping.
_STRUCTURAL: Final = frozenset(
    [
        *["", "SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CHECKSUM", "DATASUM", "COMMENT", "HISTORY"],
        *["ARDKIND", "EXTNAME", "FLUXEXT", "ERREXT", "MASKEXT", "ORIGIN", "DATE"],
    ]
)
# What would move the sky, and is not read: distortions, parameters of a projection, and an axis of
# the sky that depends on another axis, or the other way round.
_NOT_READ: Final = re.compile(
    r"([AB]_ORDER|(CPDIS|CQDIS|D2IMDIS)[12]|PV[12]_\d+|(PC|CD)([12]_[3-9]|[3-9]_[12]))"
)
_MATRIX: Final = re.compile(r"(PC|CD)\d_\d")
_CTYPE_LENGTH: Final = 8  # what follows, as in RA---TAN-SIP, names a distortion
_FIRST_FK5: Final = 1984.0  # equinox from which FITS Paper II takes FK5, without RADESYS
_SAME_SKY_DEG: Final = 1e-9
_AROUND: Final = np.array([[0.0, 0.0], [90.0, 0.0], [0.0, 70.0], [-50.0, -60.0]])  # pixels


def kept_cards(header: fits.Header) -> dict[str, Any]:
    """Give the keywords of a primary header that describe the data, not the file."""
    return {
        card.keyword: card.value
        for card in header.cards
        if card.keyword not in _STRUCTURAL and not isinstance(card.value, fits.card.Undefined)
    }


def write_cards(header: fits.Header, meta: Mapping[str, Any]) -> None:
    """Write kept keywords in alphabetical order, and the mark of simulated data in words.

    Raises
    ------
    FormatError
        If a value is none that FITS can hold.
    """
    for keyword in sorted(meta):
        try:
            header[keyword] = meta[keyword]
        except (ValueError, TypeError) as error:
            raise FormatError(
                f"the keyword {keyword} cannot stand in a FITS header",
                expected="a finite number, true or false, or printable ASCII",
                found=f"{meta[keyword]!r}: {error}",
                action="change it, or take it out of the keywords (meta)",
            ) from error
    header["ORIGIN"] = ("rbh1-ard", "who wrote this file")
    if meta.get("SIMULATD", False):
        header["HISTORY"] = "SIMULATED data: made by the simulator of rbh1-ard, not observed."


def _scale_and_matrix(
    header: fits.Header, degrees: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give CDELT, in degrees, and PC as they stand; a CD matrix becomes a scale and a matrix."""
    if any(f"CD{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        cd = np.array([[header.get(f"CD{i}_{j}", 0.0) for j in (1, 2)] for i in (1, 2)], float)
        cd = degrees[:, None] * cd
        scale = np.sqrt(np.abs(np.linalg.det(cd))) or 1.0
        return np.array([scale, scale]), cd / scale
    pc = [[header.get(f"PC{i}_{j}", float(i == j)) for j in (1, 2)] for i in (1, 2)]
    cdelt = degrees * np.array([header.get(f"CDELT{i}", 1.0) for i in (1, 2)], dtype=float)
    angle = math.radians(float(header.get("CROTA2", 0.0)))
    if angle and cdelt.all() and not any(map(_MATRIX.fullmatch, header)):
        cos, sin, ratio = math.cos(angle), math.sin(angle), float(cdelt[1] / cdelt[0])
        pc = [[cos, -sin * ratio], [sin / ratio, cos]]
    return cdelt, np.array(pc, dtype=float)


def _degrees(header: fits.Header, file: str) -> NDArray[np.float64]:
    """Say how many degrees the units of the first two axes have."""
    units = [str(header.get(f"CUNIT{i}", "")).strip() or "deg" for i in (1, 2)]
    try:
        return np.array([float(u.Unit(unit.lower()).to(u.deg)) for unit in units])
    except (ValueError, u.UnitConversionError, TypeError) as error:
        raise UnitError(
            "the celestial axes have a unit that is not an angle",
            file=file,
            expected="CUNIT1 and CUNIT2 of deg, arcmin, arcsec or rad",
            found=" and ".join(units),
            action="mend the WCS cards",
        ) from error


def _require_plain(header: fits.Header, ctype: list[str], file: str) -> None:
    """Refuse a sky that is not given by projection, matrix and reference point alone."""
    odd = [key for key in header if _NOT_READ.fullmatch(key) and header[key] not in (0, "")]
    if odd or any(len(text) > _CTYPE_LENGTH for text in ctype):
        raise FormatError(
            "the celestial WCS has more to it than is read here",
            file=file,
            expected="no distortion, no parameters of the projection, and axes of the sky that "
            "do not depend on other axes",
            found=", ".join([*ctype, *(f"{key} = {header[key]}" for key in odd)]),
            action="resample the image to a plain projection such as TAN",
        )


def _frame(header: fits.Header) -> tuple[str, float]:
    """Give celestial system and equinox; without RADESYS the equinox tells (FITS Paper II)."""
    system = str(header.get("RADESYS", "")).strip()
    equinox = header.get("EQUINOX", header.get("EPOCH"))
    if system == "ICRS" or equinox is None:
        return system or "ICRS", math.nan
    return system or ("FK5" if equinox >= _FIRST_FK5 else "FK4"), float(equinox)


def celestial_wcs(header: fits.Header, file: str) -> WCS:
    """Read the celestial part of a header, rotated or not, with two axes.

    The cards are read one by one, because `WCS(header)` of a cube with a tabular spectral axis
    needs the whole file.

    Returns
    -------
    astropy.wcs.WCS
        In degrees, with CDELT and PC, whatever form the header has.

    Raises
    ------
    FormatError
        If the first two axes are not right ascension and declination, the matrix is singular, or
        the header has distortions or other terms that are not read.
    UnitError
        If the unit of an axis is no angle.
    """
    ctype = [str(header.get(f"CTYPE{i}", "")).strip() for i in (1, 2)]
    if not (ctype[0].startswith("RA--") and ctype[1].startswith("DEC-")):
        raise FormatError(
            "the first two axes are not celestial",
            file=file,
            expected="CTYPE1 RA---TAN and CTYPE2 DEC--TAN",
            found=f"{ctype[0] or 'no CTYPE1'} and {ctype[1] or 'no CTYPE2'}",
            action="give a cube with a celestial WCS in the header of its SCI extension",
        )
    _require_plain(header, ctype, file)
    degrees = _degrees(header, file)
    cdelt, pc = _scale_and_matrix(header, degrees)
    matrix = cdelt[:, None] * pc
    if not np.isfinite(matrix).all() or np.linalg.det(matrix) == 0:
        raise FormatError(
            "the celestial WCS maps the image to a line or to nothing",
            file=file,
            expected="a CD or PC matrix that can be inverted",
            found=matrix.tolist(),
            action="mend the WCS cards",
        )
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ctype
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = [float(header.get(f"CRPIX{i}", 0.0)) for i in (1, 2)]
    # Some archive files give right ascension as a negative angle; a WCS then returns such too.
    ra, dec = degrees * [float(header.get(f"CRVAL{i}", 0.0)) for i in (1, 2)]
    wcs.wcs.crval = [ra % 360.0, dec]
    wcs.wcs.cdelt = cdelt
    wcs.wcs.pc = pc
    wcs.wcs.radesys, wcs.wcs.equinox = _frame(header)
    for pole in ("LONPOLE", "LATPOLE"):
        if pole in header:
            setattr(wcs.wcs, pole.lower(), float(header[pole]))
    try:
        wcs.wcs.set()
    except ValueError as error:  # what wcslib raises
        raise FormatError(
            "the celestial WCS cannot be used",
            file=file,
            expected="a projection that wcslib knows, and a pole that is possible",
            found=f"{ctype[0]} and {ctype[1]}: {str(error).strip().splitlines()[-1]}",
            action="mend the WCS cards",
        ) from error
    return wcs


def celestial_cards(wcs: WCS) -> fits.Header:
    """Write the celestial part as cards in the JWST form (PC and CDELT, degrees).

    Raises
    ------
    FormatError, UnitError
        If `celestial_wcs` would not read the same sky from these cards.
    """
    wcs = wcs.deepcopy()
    wcs.wcs.set()  # from here on in degrees
    header = fits.Header()
    header["WCSAXES"] = (2, "number of World Coordinate System axes")
    for i in (1, 2):
        header[f"CRPIX{i}"] = (float(wcs.wcs.crpix[i - 1]), f"axis {i} reference pixel")
        header[f"CRVAL{i}"] = (float(wcs.wcs.crval[i - 1]), f"axis {i} value there")
        header[f"CTYPE{i}"] = (str(wcs.wcs.ctype[i - 1]), f"axis {i} type")
        header[f"CUNIT{i}"] = ("deg", f"axis {i} units")
        header[f"CDELT{i}"] = (float(wcs.wcs.get_cdelt()[i - 1]), f"axis {i} increment")
        for j in (1, 2):
            header[f"PC{i}_{j}"] = (float(wcs.wcs.get_pc()[i - 1, j - 1]), "linear transformation")
    header["RADESYS"] = (str(wcs.wcs.radesys) or "ICRS", "celestial reference frame")
    if header["RADESYS"] != "ICRS" and math.isfinite(wcs.wcs.equinox):
        header["EQUINOX"] = (float(wcs.wcs.equinox), "[yr] equinox of the frame")
    what = "the WCS of the product"
    if not _same_sky(wcs, celestial_wcs(header, what)):
        header["LONPOLE"] = (float(wcs.wcs.lonpole), "[deg] native longitude of the pole")
        header["LATPOLE"] = (float(wcs.wcs.latpole), "[deg] native latitude of the pole")
    if _distorted(wcs) or not _same_sky(wcs, celestial_wcs(header, what)):
        raise FormatError(
            "the celestial WCS has more to it than is written here",
            file=what,
            expected="a plain projection: no distortion, no parameters of the projection",
            found=" and ".join(str(text) for text in wcs.wcs.ctype),
            action="resample the product to a plain projection such as TAN",
        )
    return header


def _distorted(wcs: WCS) -> bool:
    parts = (wcs.sip, wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2)
    return any(part is not None for part in parts)


def _same_sky(one: WCS, other: WCS) -> bool:
    """Say whether two WCS agree at some places about the reference pixel."""
    places = one.wcs.crpix + _AROUND
    first, second = (wcs.wcs_pix2world(places, 1) for wcs in (one, other))
    apart = (first - second + 180.0) % 360.0 - 180.0
    # Where a projection ends there is no sky.
    same = (np.abs(apart) < _SAME_SKY_DEG) | (np.isnan(first) & np.isnan(second))
    return bool(same.all())
