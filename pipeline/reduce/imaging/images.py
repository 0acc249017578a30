"""What does an image of HST show, in which unit, and which of its pixels may be used?

Read are drizzled images (DRC, DRZ: SCI, WHT, CTX) and calibrated exposures (FLC, FLT: SCI, ERR
and DQ of each chip). Whatever the file's unit, the image is in electrons per second.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from ard.cube import BoolArray, FloatArray
from ard.errors import FormatError, UnitError
from ard.fitsio import open_hdus
from manifests import Target
from manifests.filters import Filters, load_filters
from pipeline.reduce.imaging import parts, weights
from pipeline.reduce.imaging.parts import Part

# AB = -2.5 log10 f_nu - 48.60 (Oke & Gunn 1983, erg/s/cm2/Hz) and f_nu = f_lambda lambda^2 / c, c
# in A/s: AB = -2.5 log10 PHOTFLAM - 5 log10 PHOTPLAM + 2.5 log10 c - 48.60, of which the last two
# are the -2.408 of the ACS and WFC3 data handbooks.
_AB_ZERO: Final = 48.60
_C_ANGSTROM: Final = 2.99792458e18
_KEPT: Final = (
    *("TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "TARGNAME", "PROPOSID"),
    *("DATE-OBS", "EXPTIME", "CAL_VER", "SIMULATD", "ROOTNAME"),
)
_CLEAR: Final = "CLEAR"
_PER_SECOND: Final = ("ELECTRONS/S", "ELECTRONS/SEC", "ELECTRON/S", "E-/S")
_ELECTRONS: Final = ("ELECTRONS", "ELECTRON", "E-")
_COUNTS: Final = {"COUNTS": False, "COUNTS/S": True}


@dataclass(frozen=True, eq=False)
class Image:
    """One image of the sky through one filter.

    Attributes
    ----------
    file : str
        Name of the file it comes from.
    band : str
        The filter.
    flux : ndarray, shape (ny, nx)
        Electrons per second in each pixel; NaN where masked.
    weight : ndarray, shape (ny, nx)
        Exposure time (s) or inverse variance, by `weight_kind`; 0 where masked.
    weight_kind : str
        ``exposure``; ``inverse variance`` of the background or ``total inverse variance``, which
        knows the photons of the sources too, both in (electrons/s)^-2.
    mask : ndarray of bool, shape (ny, nx)
        True: do not use.
    wcs : astropy.wcs.WCS
        Celestial, two axes, distortion included where the file has one.
    zero_point_ab : float
        AB magnitude of one electron per second.
    pivot_angstrom : float
        Pivot wavelength; NaN where the file does not say.
    exptime_s : float
        Exposure time of the whole image.
    exposures : int
        How many exposures contributed at most (CTX); 0 where unsaid.
    meta : mapping
        Keywords of the header that say what was observed.
    """

    file: str
    band: str
    flux: FloatArray
    weight: FloatArray
    weight_kind: str
    mask: BoolArray
    wcs: WCS
    zero_point_ab: float
    pivot_angstrom: float
    exptime_s: float
    exposures: int
    meta: Mapping[str, Any]

    @property
    def simulated(self) -> bool:
        """True if the header says that the image is simulated."""
        return bool(self.meta.get("SIMULATD", False))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ny, nx = self.flux.shape
        return ny, nx

    def magnitude(self, rate: float) -> float:
        """Give the AB magnitude of a rate in electrons per second; NaN where it is not above 0."""
        return self.zero_point_ab - 2.5 * float(np.log10(rate)) if rate > 0 else float("nan")


@dataclass(frozen=True)
class Known:
    """What the reader of a file knows besides, where the file itself does not say it.

    Attributes
    ----------
    band : str, optional
        Filter of the extensions ``<band>_SCI`` and ``<band>_WHT``, in a file with several.
    zero_point_ab : float, optional
        AB zero point for electrons per second.
    exptime_s : float, optional
        Exposure time, s.
    weight_kind : str, optional
        ``exposure`` or ``inverse variance``.
    unit : str, optional
        What BUNIT would say: ``ELECTRONS/S``.
    """

    band: str | None = None
    zero_point_ab: float | None = None
    exptime_s: float | None = None
    weight_kind: str | None = None
    unit: str | None = None


def ab_zero_point(photflam: float, photplam: float) -> float:
    """Give the AB zero point from the inverse sensitivity and the pivot wavelength.

    Parameters
    ----------
    photflam : float
        erg/s/cm2/A that make one electron per second.
    photplam : float
        Pivot wavelength, A.
    """
    f_nu = photflam * photplam**2 / _C_ANGSTROM
    return float(-2.5 * np.log10(f_nu) - _AB_ZERO)


def read_image(
    path: str | os.PathLike[str],
    known: Known | None = None,
    *,
    target: Target | None = None,
    filters: Filters | None = None,
) -> Image:
    """Read a drizzled image.

    Parameters
    ----------
    path : path-like
        The file.
    known : Known, optional
        What the file does not say.
    target : Target, optional
        Of a large image only the part around it is read; where it is not given, or beside the
        image, that around RA_TARG, DEC_TARG.
    filters : Filters, optional
        The declared filters; the study's own by default.

    Raises
    ------
    FormatError
        If there is no image, no zero point, no usable weight, or more than one chip.
    UnitError
        If the unit cannot be turned into electrons per second.
    """
    images = read_images(path, known, target=target, filters=filters)
    if len(images) != 1:
        raise FormatError(
            "the file holds several chips, not one image",
            file=path,
            expected="one SCI extension",
            found=f"{len(images)}",
            action="read all of them with read_images",
        )
    return images[0]


def read_images(
    path: str | os.PathLike[str],
    known: Known | None = None,
    *,
    target: Target | None = None,
    filters: Filters | None = None,
) -> tuple[Image, ...]:
    """Read every chip of a file: one of a drizzled image, two of an exposure.

    Parameters, errors: as `read_image`.
    """
    known, filters = known or Known(), filters or load_filters()
    place = None if target is None else parts.middle(target)
    file = Path(path)
    with open_hdus(file) as hdus:
        name = "SCI" if known.band is None else f"{known.band}_SCI"
        found = [hdu for hdu in hdus if hdu.name == name and hdu.shape]
        if not found or any(len(hdu.shape) != 2 for hdu in found):
            raise FormatError(
                "the file holds no image",
                file=file,
                expected=f"an extension {name} with two axes",
                found=", ".join(hdu.name for hdu in hdus),
                action="give a DRC, DRZ, FLC or FLT file, or name the band of the extensions",
            )
        return tuple(_image(hdus, hdu, file, known, place, filters) for hdu in found)


def _image(
    hdus: fits.HDUList,
    hdu: Any,
    file: Path,
    known: Known,
    place: tuple[float, float] | None,
    filters: Filters,
) -> Image:
    header = fits.Header(hdus[0].header, copy=True)
    header.update(hdu.header)
    exptime = known.exptime_s or float(header.get("EXPTIME", 0.0))
    factor = _to_rate(header, known.unit, exptime, file)
    wcs = _wcs(hdus, hdu, file)
    box = parts.box_around((place, parts.pointing(header)), wcs, hdu.shape)
    part = Part(hdus, hdu, "" if known.band is None else f"{known.band}_", box)
    scale = factor * parts.pixel_areas(part, header, wcs)
    flux = part.of_science() * scale
    mask = ~np.isfinite(flux) | part.flagged(header)
    weight, kind = weights.read(
        part, flux, mask, exptime, scale, given=known.weight_kind, file=file
    )
    mask |= ~(weight > 0)
    if mask.all():
        raise FormatError(
            "no pixel of the image can be used",
            file=file,
            expected="pixels with a finite flux and a positive weight",
            found="WHT is zero, or DQ flags every pixel",
            action="fetch the file again, or leave it out",
        )
    zero_point, pivot = _zero_point(header, known, file)
    band = known.band or _band(header, file)
    _require_camera(band, header, file, filters)
    return Image(
        file=file.name,
        band=band,
        flux=np.where(mask, np.nan, flux),
        weight=np.where(mask, 0.0, weight),
        weight_kind=kind,
        mask=mask,
        wcs=parts.shifted(wcs, box),
        zero_point_ab=zero_point,
        pivot_angstrom=pivot,
        exptime_s=exptime,
        exposures=part.contributors(),
        meta={key: header[key] for key in _KEPT if key in header},
    )


def _wcs(hdus: fits.HDUList, hdu: Any, file: Path) -> WCS:
    try:
        wcs = WCS(hdu.header, fobj=hdus).celestial
    except (ValueError, KeyError, MemoryError) as error:
        raise _no_sky(file, str(error)) from error
    if not wcs.has_celestial or not np.isfinite(wcs.pixel_scale_matrix).all():
        raise _no_sky(file, "no celestial axes")
    return wcs


def _no_sky(file: Path, found: str) -> FormatError:
    return FormatError(
        "the image does not say where on the sky its pixels lie",
        file=file,
        expected="a celestial WCS in the header of SCI",
        found=found,
        action="fetch the file again",
    )


def _to_rate(header: fits.Header, given: str | None, exptime: float, file: Path) -> float:
    """Give the factor from the file's unit to electrons per second."""
    unit = (given or str(header.get("BUNIT", ""))).strip().upper()
    if unit in _PER_SECOND:
        return 1.0
    gain = header.get("CCDGAIN")
    if unit in _COUNTS and not isinstance(gain, int | float):
        raise UnitError(
            "counts cannot be turned into electrons",
            file=file,
            expected="CCDGAIN in the header",
            found=f"BUNIT {unit}, no gain",
            action="give an image in ELECTRONS or ELECTRONS/S",
        )
    if _COUNTS.get(unit):
        return float(gain)
    if unit in _ELECTRONS or unit in _COUNTS:
        if not exptime > 0:
            raise UnitError(
                "electrons cannot be turned into a rate",
                file=file,
                expected="EXPTIME above 0 in the header",
                found=f"{exptime:g} s",
                action="give the exposure time with Known(exptime_s=...)",
            )
        return (float(gain) if unit in _COUNTS else 1.0) / exptime
    raise UnitError(
        "the unit of the image is not known",
        file=file,
        expected="BUNIT of ELECTRONS/S, ELECTRONS, COUNTS/S or COUNTS",
        found=unit or "no BUNIT",
        action="give the unit with Known(unit=...)",
    )


def _zero_point(header: fits.Header, known: Known, file: Path) -> tuple[float, float]:
    flam, plam = header.get("PHOTFLAM"), header.get("PHOTPLAM")
    good = [isinstance(v, int | float) and v > 0 for v in (flam, plam)]
    pivot = float(plam) if good[1] else float("nan")
    if known.zero_point_ab is not None:
        return known.zero_point_ab, pivot
    if not all(good):
        raise FormatError(
            "the image has no zero point",
            file=file,
            expected="PHOTFLAM and PHOTPLAM above 0",
            found=f"PHOTFLAM = {flam}, PHOTPLAM = {plam}",
            action="give the zero point with Known(zero_point_ab=...), or another image",
        )
    return ab_zero_point(float(flam), pivot), pivot


def _require_camera(band: str, header: fits.Header, file: Path, filters: Filters) -> None:
    """Refuse a filter that is declared for another camera: its PSF and passband are others."""
    declared = next((row for row in filters.rows if row.name == band), None)
    wrong = declared.contradictions(header) if declared else ()
    if declared and wrong:
        raise FormatError(
            f"the filter {band} is declared for another camera",
            file=file,
            expected=", ".join(f"{key} {text}" for key, text in declared.keywords.items()),
            found=", ".join(wrong),
            action="declare the filter of this camera in manifests/filters.toml, or leave it out",
        )


def _band(header: fits.Header, file: Path) -> str:
    """Name the filter: FILTER, or the one of FILTER1 and FILTER2 (ACS) that is not clear."""
    names = [str(header.get(key, "")).strip() for key in ("FILTER", "FILTER1", "FILTER2")]
    used = [name for name in names if name and not name.upper().startswith(_CLEAR)]
    if len(set(used)) == 1:
        return used[0]
    raise FormatError(
        "the filter of the image cannot be told",
        file=file,
        expected="one filter in FILTER, FILTER1, FILTER2",
        found=", ".join(used) or "none",
        action="give an image through one filter",
    )
