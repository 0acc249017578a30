"""Which header cards carry over, and how does a header become a celestial WCS?"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from ard.errors import FormatError

# Cards of the layout itself; everything else in a primary header is a fact worth keeping.
_STRUCTURAL: Final = frozenset(
    [
        *["", "SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CHECKSUM", "DATASUM", "COMMENT", "HISTORY"],
        *["ARDKIND", "EXTNAME", "FLUXEXT", "ERREXT", "MASKEXT", "ORIGIN", "DATE"],
    ]
)


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
    header: fits.Header,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give CDELT and PC as they stand; a CD matrix becomes a scale and a pure matrix."""
    if any(f"CD{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        cd = np.array([[header.get(f"CD{i}_{j}", 0.0) for j in (1, 2)] for i in (1, 2)], float)
        scale = np.sqrt(np.abs(np.linalg.det(cd))) or 1.0
        return np.array([scale, scale]), cd / scale
    pc = [[header.get(f"PC{i}_{j}", float(i == j)) for j in (1, 2)] for i in (1, 2)]
    cdelt = [header.get(f"CDELT{i}", 1.0) for i in (1, 2)]
    return np.array(cdelt, dtype=float), np.array(pc, dtype=float)


def celestial_wcs(header: fits.Header, file: str) -> WCS:
    """Read the celestial part of a header, rotated or not, with two axes.

    The cards are read one by one, because `WCS(header)` of a cube with a tabular spectral axis
    needs the whole file.

    Raises
    ------
    FormatError
        If the first two axes are not right ascension and declination, or the matrix is singular.
    """
    ctype = [str(header.get(f"CTYPE{i}", "")) for i in (1, 2)]
    if not (ctype[0].startswith("RA--") and ctype[1].startswith("DEC-")):
        raise FormatError(
            "the first two axes are not celestial",
            file=file,
            expected="CTYPE1 RA---TAN and CTYPE2 DEC--TAN",
            found=f"{ctype[0] or 'no CTYPE1'} and {ctype[1] or 'no CTYPE2'}",
            action="give a cube with a celestial WCS in the header of its SCI extension",
        )
    cdelt, pc = _scale_and_matrix(header)
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
    wcs.wcs.crval = [float(header.get("CRVAL1", 0.0)) % 360.0, float(header.get("CRVAL2", 0.0))]
    wcs.wcs.cdelt = cdelt
    wcs.wcs.pc = pc
    wcs.wcs.radesys = str(header.get("RADESYS", "ICRS"))
    wcs.wcs.set()
    return wcs


def celestial_cards(wcs: WCS) -> fits.Header:
    """Write the celestial part as cards in the JWST form (PC and CDELT)."""
    header = fits.Header()
    header["WCSAXES"] = (2, "number of World Coordinate System axes")
    for i in (1, 2):
        header[f"CRPIX{i}"] = (float(wcs.wcs.crpix[i - 1]), f"axis {i} reference pixel")
        header[f"CRVAL{i}"] = (float(wcs.wcs.crval[i - 1]), f"axis {i} value there")
        header[f"CTYPE{i}"] = (str(wcs.wcs.ctype[i - 1]), f"axis {i} type")
        header[f"CUNIT{i}"] = ("deg", f"axis {i} units")
        header[f"CDELT{i}"] = (float(wcs.wcs.cdelt[i - 1]), f"axis {i} increment")
        for j in (1, 2):
            header[f"PC{i}_{j}"] = (float(wcs.wcs.get_pc()[i - 1, j - 1]), "linear transformation")
    header["RADESYS"] = (str(wcs.wcs.radesys) or "ICRS", "celestial reference frame")
    return header
