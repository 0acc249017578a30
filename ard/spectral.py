"""Which vacuum wavelength does each channel of a FITS cube have?"""

import re
from typing import Final

import numpy as np
from astropy import units as u
from astropy.io import fits

from ard.cube import FloatArray, require_increasing
from ard.errors import FormatError, UnitError

_LINEAR_RTOL: Final = 1e-9  # of a channel: far below any calibration, far above rounding
WCS_TABLE: Final = "WCS-TABLE"
_BARYCENTRIC: Final = ("BARYCENT", "HELIOCEN", "")


def read_wave(hdus: fits.HDUList, header: fits.Header, file: str) -> FloatArray:
    """Read the third axis of a cube as vacuum wavelengths in um.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The open file, for the WCS-TABLE of a tabular axis.
    header : astropy.io.fits.Header
        Header of the image with the spectral axis.
    file : str
        Name for messages.

    Returns
    -------
    ndarray, shape (n_wave,)

    Raises
    ------
    FormatError, UnitError
        If the axis is no vacuum wavelength, its unit is no length, or it does not increase.
    """
    ctype = str(header.get("CTYPE3", "")).strip()
    if ctype not in ("WAVE", "WAVE-TAB"):
        raise FormatError(
            "the third axis is not a vacuum wavelength",
            file=file,
            expected="CTYPE3 = WAVE or WAVE-TAB",
            found=ctype or "no CTYPE3",
            action="convert the axis to vacuum wavelength (air wavelengths are AWAV)",
        )
    factor = _factor(str(header.get("CUNIT3", "m")), file)
    n_wave = int(header.get("ZNAXIS3", header["NAXIS3"]))
    matrix = float(header.get("CD3_3", header.get("PC3_3", 1.0) * header.get("CDELT3", 1.0)))
    offset = np.arange(1, n_wave + 1, dtype=np.float64) - float(header.get("CRPIX3", 0.0))
    world = float(header.get("CRVAL3", 0.0)) + matrix * offset
    wave = world if ctype == "WAVE" else _tabulated(hdus, header, world, file)
    wave = wave * factor
    require_increasing(wave, file)
    return wave


def _factor(unit: str, file: str) -> float:
    try:
        return float(u.Unit(_plain(unit)).to(u.um))
    except (ValueError, u.UnitConversionError, TypeError) as error:
        raise UnitError(
            "the wavelength axis has a unit that is not a length",
            file=file,
            expected="CUNIT3 of um, m, nm or Angstrom",
            found=unit,
            action="mend CUNIT3",
        ) from error


def _plain(unit: str) -> str:
    """Spell the units that FITS writers spell in ways that astropy does not read."""
    return re.sub(r"^microns?$", "um", unit.strip(), flags=re.IGNORECASE)


def _tabulated(hdus: fits.HDUList, header: fits.Header, world: FloatArray, file: str) -> FloatArray:
    """Look wavelengths up in the table that PS3_0 and PS3_1 name (FITS Paper III, -TAB)."""
    table, column = str(header.get("PS3_0", WCS_TABLE)), str(header.get("PS3_1", "wavelength"))
    if table not in hdus or column not in hdus[table].columns.names:
        raise FormatError(
            "the wavelength axis is tabular, and its table is missing",
            file=file,
            expected=f"an extension {table} with a column {column}",
            found=", ".join(hdu.name for hdu in hdus),
            action="fetch the file again: an extension has been lost",
        )
    values = np.asarray(hdus[table].data[column][0], dtype=np.float64).ravel()
    index = np.arange(1, values.size + 1, dtype=np.float64)
    if world[0] < index[0] or world[-1] > index[-1]:
        raise FormatError(
            "the wavelength table is shorter than the axis",
            file=file,
            expected=f"{world.size} wavelengths or more",
            found=values.size,
            action="fetch the file again",
        )
    return np.interp(world, index, values)


def require_barycentric(frame: str, file: object) -> None:
    """Refuse wavelengths that move with the Earth, or in another frame, by up to 30 km/s and more.

    Heliocentric ones differ by 0.01 km/s; a frame that is not known is taken on trust.

    Parameters
    ----------
    frame : str
        What SPECSYS says; "" for nothing.
    file : path-like
        For the message.

    Raises
    ------
    FormatError
        If it is another frame.
    """
    if frame not in _BARYCENTRIC:
        raise FormatError(
            "the wavelengths are in another frame than that of the study",
            file=str(file),
            expected="SPECSYS of BARYCENT or HELIOCEN",
            found=frame,
            action="shift the wavelength axis to the barycentre, and say so in SPECSYS",
        )


def is_linear(wave: FloatArray) -> bool:
    """Say whether channels are equally spaced, to a small fraction of a channel."""
    step = (wave[-1] - wave[0]) / max(wave.size - 1, 1)
    line = wave[0] + step * np.arange(wave.size)
    return wave.size > 1 and bool(np.abs(wave - line).max() < _LINEAR_RTOL * step)


def spectral_cards(wave: FloatArray, frame: str = "BARYCENT") -> fits.Header:
    """Write the third axis as cards: WAVE where linear, else WAVE-TAB; a frame of "" as none."""
    header = fits.Header()
    header["WCSAXES"] = (3, "number of World Coordinate System axes")
    header["CUNIT3"] = ("um", "axis 3 units")
    header["CRPIX3"] = (1.0, "axis 3 reference pixel")
    if is_linear(wave):
        header["CTYPE3"] = ("WAVE", "axis 3 type: vacuum wavelength")
        header["CRVAL3"] = (float(wave[0]), "axis 3 value there")
        header["CDELT3"] = (float((wave[-1] - wave[0]) / (wave.size - 1)), "axis 3 increment")
    else:
        header["CTYPE3"] = ("WAVE-TAB", "axis 3 type: vacuum wavelength, tabulated")
        header["CRVAL3"] = (1.0, "axis 3 value there")
        header["CDELT3"] = (1.0, "axis 3 increment")
        header["PS3_0"] = (WCS_TABLE, "coordinate table extension")
        header["PS3_1"] = ("wavelength", "coordinate table column")
    header["PC3_3"] = (1.0, "linear transformation")
    if frame:
        header["SPECSYS"] = (frame, "spectral reference frame")
    return header


def wave_table(wave: FloatArray) -> fits.BinTableHDU:
    """Write the look-up table of a tabular wavelength axis, in the JWST form."""
    # The JWST form has 16 bits here, which longer axes do not fit into.
    count = np.int16 if wave.size <= np.iinfo(np.int16).max else np.int32
    dtype = [("nelem", count), ("wavelength", np.float64, (wave.size, 1))]
    data = np.zeros(1, dtype=dtype)
    data["nelem"] = wave.size
    data["wavelength"][0, :, 0] = wave
    return fits.BinTableHDU(data, name=WCS_TABLE)
