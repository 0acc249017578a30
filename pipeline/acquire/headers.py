"""What do the headers of an archive file say that it is, and who made it?

Only headers are read, and two small tables: the list of a product's members, and the wavelengths
of a cube. A keyword that is missing, undefined or unreadable is None.
"""

import hashlib
import math
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError

from ard import spectral
from ard.errors import ArdError, FormatError
from ard.fitsio import FETCH_AGAIN, walk
from pipeline.acquire.reading import DAMAGE, quiet, sentence
from pipeline.roles import flag

LEVEL_3: Final = "3"
EXPOSURE_LEVELS: Final = {"JWST": "2b", "HST": "2"}
_MEMBERS: Final = "HDRTAB"
# A Level-3 product is named after its association and source, not after a visit.
_JWST_LEVEL_3: Final = re.compile(r"jw\d{5}-.*")
_HST_LEVEL_3: Final = re.compile(r".*_dr[cz]\.fits")
_CUBE_AXES: Final = 3


@dataclass(frozen=True)
class Member:
    """An exposure that went into a product; None where the list says nothing about imprints."""

    name: str
    is_imprint: bool | None


@dataclass(frozen=True)
class FileFacts:
    """What a file says about itself; None stands for what it does not say.

    Attributes
    ----------
    name : str
        Name of the file.
    telescope, instrument, detector, filter, grating : str or None
        As in the primary header.
    level : str
        "3" for combined products; else "2b" (JWST) or "2" (HST and others).
    is_imprint, is_background : bool or None
        IS_IMPRT and BKGDTARG (JWST).
    image_type : str or None
        IMAGETYP (HST): EXT for exposures of the sky.
    exptime_s : float or None
        Effective exposure time, s.
    dither : int or None
        Position in the dither pattern (PATT_NUM).
    ra_deg, dec_deg : float or None
        Target position, ICRS.
    date, cal_ver, crds_ctx, sdp_ver, opus_ver : str or None
        When and with what it was calibrated (OPUS_VER is HST's SDP_VER).
    gwa_xtil_deg, gwa_ytil_deg : float or None
        Tilt of the grating wheel, which the zero point of wavelength depends on.
    members : tuple of Member
        The exposures that went into it, from HDRTAB.
    regions : tuple of str
        S_REGION of all headers, each once.
    wave_sha256 : str or None
        Of the wavelength grid of a cube (um, float64, little-endian): equal for equal grids.
    simulated : bool
        SIMULATD.
    """

    name: str
    telescope: str | None
    instrument: str | None
    level: str
    is_imprint: bool | None
    is_background: bool | None
    image_type: str | None
    exptime_s: float | None
    dither: int | None
    ra_deg: float | None
    dec_deg: float | None
    detector: str | None
    filter: str | None
    grating: str | None
    date: str | None
    cal_ver: str | None
    crds_ctx: str | None
    sdp_ver: str | None
    opus_ver: str | None
    gwa_xtil_deg: float | None
    gwa_ytil_deg: float | None
    members: tuple[Member, ...]
    regions: tuple[str, ...]
    wave_sha256: str | None
    simulated: bool

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return asdict(self) | {
            "members": [asdict(member) for member in self.members],
            "regions": list(self.regions),
        }


def read_facts(path: str | os.PathLike[str], name: str | None = None) -> FileFacts:
    """Read what a file says about itself, from its headers, in bounded memory.

    Parameters
    ----------
    path : path-like
        A FITS file.
    name : str, optional
        The name that the archive gives the file, where it is stored under another.

    Raises
    ------
    NotFoundError
        If there is no such file.
    FormatError
        If it cannot be read.
    """
    name = name or Path(path).name
    try:
        with quiet():
            headers = [span.header for span in walk(path)]
            members, wave = _tables(path, headers, name)
            return _facts(name, headers, members, wave)
    except ArdError:
        raise
    except DAMAGE as error:
        raise FormatError(
            "the headers cannot be read",
            file=path,
            expected="a whole FITS file",
            found=sentence(error),
            action=FETCH_AGAIN,
        ) from error


def _facts(
    name: str, headers: list[fits.Header], members: tuple[Member, ...], wave: str | None
) -> FileFacts:
    head = headers[0]
    telescope = _text(head, "TELESCOP")
    return FileFacts(
        name=name,
        telescope=telescope,
        instrument=_text(head, "INSTRUME"),
        level=_level(name, telescope, headers),
        is_imprint=flag(_value(head, "IS_IMPRT")),
        is_background=flag(_value(head, "BKGDTARG")),
        image_type=_text(head, "IMAGETYP"),
        exptime_s=_number(head, "EFFEXPTM", "XPOSURE", "EXPTIME", "TEXPTIME"),
        dither=_whole(head, "PATT_NUM"),
        ra_deg=_number(head, "TARG_RA", "RA_TARG"),
        dec_deg=_number(head, "TARG_DEC", "DEC_TARG"),
        detector=_text(head, "DETECTOR"),
        filter=_text(head, "FILTER"),
        grating=_text(head, "GRATING"),
        date=_text(head, "DATE"),
        cal_ver=_text(head, "CAL_VER"),
        crds_ctx=_text(head, "CRDS_CTX"),
        sdp_ver=_text(head, "SDP_VER"),
        opus_ver=_text(head, "OPUS_VER"),
        gwa_xtil_deg=_number(head, "GWA_XTIL"),
        gwa_ytil_deg=_number(head, "GWA_YTIL"),
        members=members,
        regions=_unique(_text(header, "S_REGION") for header in headers),
        wave_sha256=wave,
        simulated=flag(_value(head, "SIMULATD")) is True,
    )


def _level(name: str, telescope: str | None, headers: list[fits.Header]) -> str:
    # Level-3 spectra have no HDRTAB, so the name has to say it as well.
    combined = any(_text(header, "EXTNAME") == _MEMBERS for header in headers)
    if combined or _JWST_LEVEL_3.fullmatch(name) or _HST_LEVEL_3.fullmatch(name):
        return LEVEL_3
    return EXPOSURE_LEVELS.get(telescope or "", "2")


def _value(header: fits.Header, key: str) -> Any:
    try:
        value = header.get(key)
    except (VerifyError, ValueError):  # a card that is no card
        return None
    return None if isinstance(value, fits.card.Undefined) else value


def _text(header: fits.Header, key: str) -> str | None:
    value = _value(header, key)
    return None if value is None else " ".join(str(value).split()) or None


def _number(header: fits.Header, *keys: str) -> float | None:
    """Give the first of these keywords that is a finite number."""
    for key in keys:
        value = _value(header, key)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def _whole(header: fits.Header, key: str) -> int | None:
    number = _number(header, key)
    return int(number) if number is not None and number.is_integer() else None


def _unique(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))


def _tables(
    path: str | os.PathLike[str], headers: list[fits.Header], name: str
) -> tuple[tuple[Member, ...], str | None]:
    names = [_text(header, "EXTNAME") for header in headers]
    if _MEMBERS not in names and "SCI" not in names:
        return (), None
    with Path(path).open("rb") as stream, fits.open(stream, memmap=False) as hdus:
        members = _members(hdus[_MEMBERS]) if _MEMBERS in hdus else ()
        return members, _wave_sha256(hdus, name)


def _members(table: fits.BinTableHDU) -> tuple[Member, ...]:
    """List the members, each once: HST has a row for each chip."""
    columns = table.columns.names
    if "FILENAME" not in columns:
        return ()
    names = [str(text).strip() for text in table.data["FILENAME"]]
    # Where no exposure can be an imprint (MIRI), the column holds NaN.
    flags = table.data["IS_IMPRT"] if "IS_IMPRT" in columns else [None] * len(names)
    found = {name: flag(value) for name, value in zip(names, flags, strict=True)}
    return tuple(Member(name, value) for name, value in found.items())


def _wave_sha256(hdus: fits.HDUList, name: str) -> str | None:
    if "SCI" not in hdus or hdus["SCI"].header["NAXIS"] != _CUBE_AXES:
        return None
    try:
        wave = spectral.read_wave(hdus, hdus["SCI"].header, name)
    except DAMAGE:
        return None  # what is wrong with the axis is for `verify` to say
    return hashlib.sha256(np.ascontiguousarray(wave, "<f8").tobytes()).hexdigest()
