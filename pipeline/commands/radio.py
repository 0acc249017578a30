"""Which cube of the study's own kind is in a file of a radio interferometer?

Such a file has a velocity or a frequency axis, a degenerate axis of polarisation, Jy per beam, one
beam for all channels, and no errors. The cube has vacuum wavelengths, MJy/sr, and the noise that
the file itself shows. Velocities stay in the frame of the file (LSR, barycentre): nothing is moved
to another one, and the cube says which it is.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits

import ard
from ard.cube import SPEED_OF_LIGHT_KMS, Cube, FloatArray
from ard.errors import FormatError, UnitError
from ard.fileio import sha256_file
from ard.fitsio import open_hdus
from ard.headers import celestial_wcs
from ard.provenance import Provenance
from ard.s3d import write_cube
from pipeline.code import code_sha256, tool_versions

RADIO: Final = "radio"
OPTICAL: Final = "optical"
CONVENTIONS: Final = (RADIO, OPTICAL)

_C_M_S: Final = SPEED_OF_LIGHT_KMS * 1e3
_M_TO_UM: Final = 1e6
_MAD_PER_SIGMA: Final = 0.6744897501960817  # of a Gaussian: its third quartile
_JY_PER_MJY: Final = 1e6
# Keywords that say where, when and how; those of the file's layout would contradict the cube's.
_KEPT: Final = ("OBJECT", "TELESCOP", "INSTRUME", "DATE-OBS", "BMAJ", "BMIN", "BPA")
# The frames that AIPS names after the kind of the axis, as in VELO-LSR.
_AIPS_FRAMES: Final = {"LSR": "LSRK", "HEL": "BARYCENT", "OBS": "TOPOCENT"}
_AIPS_RADIO: Final = 256  # VELREF above it: the radio convention
_FREQUENCIES: Final = {"": 1.0, "HZ": 1.0, "KHZ": 1e3, "MHZ": 1e6, "GHZ": 1e9}
_SPEEDS: Final = {"": 1.0, "M/S": 1.0, "M S-1": 1.0, "KM/S": 1e3, "KM S-1": 1e3}
_FLUXES: Final = {"JY/BEAM": 1.0, "BEAM-1 JY": 1.0, "MJY/BEAM": 1e-3, "JY BEAM-1": 1.0}


@dataclass(frozen=True)
class Beam:
    """The restoring beam, an elliptical Gaussian.

    Attributes
    ----------
    major_arcsec, minor_arcsec : float
        Full widths at half maximum.
    pa_deg : float
        Of the major axis, north over east.
    """

    major_arcsec: float
    minor_arcsec: float
    pa_deg: float

    @property
    def area_arcsec2(self) -> float:
        """Give the solid angle."""
        return float(np.pi / (4.0 * np.log(2.0)) * self.major_arcsec * self.minor_arcsec)


def read_radio_cube(path: str | os.PathLike[str], *, convention: str | None = None) -> Cube:
    """Read a cube of an interferometer.

    Parameters
    ----------
    path : path-like
        A FITS file whose first image has axes right ascension, declination and velocity or
        frequency, in Jy/beam.
    convention : {"radio", "optical"}, optional
        How velocities are counted, where the file does not say.

    Returns
    -------
    Cube
        In MJy/sr; the variance is one number, from the scatter of the voxels (median absolute
        deviation, median over the channels), and voxels within a beam share their noise. The beam
        is in the keywords, see `beam_of`.

    Raises
    ------
    FormatError, UnitError
        If an axis, the unit, the beam or the convention is missing or not understood.
    """
    file = Path(path)
    with open_hdus(file) as hdus:
        image = next((hdu for hdu in hdus if hdu.is_image and hdu.header["NAXIS"] >= 3), None)
        if image is None:
            raise FormatError(
                "the file holds no cube",
                file=file,
                expected="an image with three axes or more",
                found=", ".join(f"{hdu.name or 'unnamed'} {hdu.shape}" for hdu in hdus),
                action="give the cube itself, not a moment map",
            )
        header = image.header
        flux = _three_axes(np.array(image.data, dtype=np.float64), header, file)
    beam = _beam(header, file)
    flux = flux * (_factor(header, file) / _JY_PER_MJY / _steradian(beam.area_arcsec2))
    wave = _wave(header, len(flux), convention, file)
    if wave[0] > wave[-1]:
        flux, wave = flux[::-1], wave[::-1]
    mask = ~np.isfinite(flux)
    sigma = _scatter(flux, file)
    return Cube(
        flux=flux,
        var=np.full(flux.shape, sigma * sigma),
        mask=mask,
        wave=wave,
        wcs=celestial_wcs(header, str(file)),
        meta=_facts(header),
        specsys=_spectral_frame(header),
    )


def import_radio_cube(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    convention: str | None = None,
    overwrite: bool = False,
) -> Cube:
    """Write a cube of an interferometer as a cube of the study's own kind, and give it.

    Parameters
    ----------
    path, out : path-like
        From where, and to where.
    convention : {"radio", "optical"}, optional
        See `read_radio_cube`.
    overwrite : bool
        Replace a file that is there.
    """
    cube = read_radio_cube(path, convention=convention)
    made = Provenance(
        stage="import",
        code_version=ard.__version__,
        code_sha256=code_sha256(("pipeline/commands/radio.py",)),
        config_sha256=hashlib.sha256(repr(convention).encode()).hexdigest(),
        inputs={Path(path).name: sha256_file(Path(path))},
        tools=dict(tool_versions()),
    )
    cube = cube.replace(provenance=made)
    write_cube(out, cube, overwrite=overwrite)
    return cube


def beam_of(meta: Mapping[str, Any]) -> Beam:
    """Give the beam that the keywords of a cube name.

    Raises
    ------
    FormatError
        If they name none.
    """
    return _beam(meta, None)


def _three_axes(data: FloatArray, header: fits.Header, file: Path) -> FloatArray:
    """Drop the axes of length one behind the third: polarisation, as a rule."""
    extra = data.shape[:-3]
    if any(length != 1 for length in extra):
        raise FormatError(
            "the cube has several polarisations",
            file=file,
            expected="a fourth axis of length 1",
            found=f"{header.get('CTYPE4', 'axis 4')} of length {extra[-1]}",
            action="give the total intensity alone (Stokes I)",
        )
    return data.reshape(data.shape[-3:])


def _factor(header: fits.Header, file: Path) -> float:
    unit = str(header.get("BUNIT", "")).strip()
    plain = unit.upper()
    # The one unit whose prefix tells milli from mega by its case.
    if plain == "MJY/BEAM" and not unit.startswith("m"):
        plain = ""
    if plain not in _FLUXES:
        raise UnitError(
            "the flux has a unit that is not one per beam",
            file=file,
            expected="BUNIT of Jy/beam or mJy/beam",
            found=unit or "no BUNIT",
            action="convert the cube to Jy/beam",
        )
    return _FLUXES[plain]


def _beam(header: Mapping[str, Any], file: Path | None) -> Beam:
    values = [header.get(key) for key in ("BMAJ", "BMIN")]
    pa = header.get("BPA", 0.0)
    numbers = [float(v) for v in (*values, pa) if isinstance(v, int | float)]
    if len(numbers) != 3 or not 0.0 < numbers[1] <= numbers[0] < np.inf:
        raise FormatError(
            "the beam of the cube is not known",
            file=file,
            expected="BMAJ and BMIN in degrees (0 < BMIN <= BMAJ), BPA",
            found=", ".join(f"{k} {v}" for k, v in zip(("BMAJ", "BMIN"), values, strict=True)),
            action="smooth all channels to one beam, and write it into the header",
        )
    return Beam(numbers[0] * 3600.0, numbers[1] * 3600.0, numbers[2])


def _steradian(area_arcsec2: float) -> float:
    return float(area_arcsec2 * np.deg2rad(1.0 / 3600.0) ** 2)


def _wave(header: fits.Header, n_wave: int, convention: str | None, file: Path) -> FloatArray:
    """Give the vacuum wavelengths of the channels, um, in the order of the file."""
    kind = str(header.get("CTYPE3", "")).strip().upper()
    world = float(header.get("CRVAL3", 0.0)) + float(header.get("CDELT3", 1.0)) * (
        np.arange(1, n_wave + 1, dtype=np.float64) - float(header.get("CRPIX3", 0.0))
    )
    if kind.startswith("FREQ"):
        return _M_TO_UM * _C_M_S / (world * _scale(header, _FREQUENCIES, file))
    if not kind.startswith(("VRAD", "VOPT", "VELO", "FELO")):
        raise FormatError(
            "the third axis is neither velocity nor frequency",
            file=file,
            expected="CTYPE3 of VRAD, VOPT, VELO-*, FELO-* or FREQ",
            found=kind or "no CTYPE3",
            action="read an optical cube as it is; transpose one whose axes are in another order",
        )
    beta = world * _scale(header, _SPEEDS, file) / _C_M_S
    rest = _rest_um(header, file)
    optical = _convention(header, kind, convention, file) == OPTICAL
    return rest * (1.0 + beta) if optical else rest / (1.0 - beta)


def _scale(header: fits.Header, known: Mapping[str, float], file: Path) -> float:
    unit = str(header.get("CUNIT3", "")).strip()
    if unit.upper() not in known:
        raise UnitError(
            "the third axis has a unit that does not fit its kind",
            file=file,
            expected=f"CUNIT3 of {', '.join(name for name in known if name)}",
            found=unit,
            action="mend CUNIT3",
        )
    return known[unit.upper()]


def _rest_um(header: fits.Header, file: Path) -> float:
    found = header.get("RESTFRQ", header.get("RESTFREQ"))
    if not isinstance(found, int | float) or not found > 0:
        raise FormatError(
            "velocities without a rest frequency name no wavelength",
            file=file,
            expected="RESTFRQ or RESTFREQ, Hz",
            found=found,
            action="write the rest frequency of the line into the header",
        )
    return _M_TO_UM * _C_M_S / float(found)


def _convention(header: fits.Header, kind: str, given: str | None, file: Path) -> str:
    """Say how velocities are counted: VRAD and VOPT say it, VELO does by VELREF or its writer."""
    if kind.startswith(("VRAD", "VOPT", "FELO")):
        return RADIO if kind.startswith("VRAD") else OPTICAL
    if "VELREF" in header:
        return RADIO if int(header["VELREF"]) > _AIPS_RADIO else OPTICAL
    # MIRIAD's own files: VELO is the radio convention, FELO the optical one.
    if "miriad" in str(header.get("ORIGIN", "")).lower():
        return RADIO
    if given not in CONVENTIONS:
        raise FormatError(
            "the file does not say how its velocities are counted",
            file=file,
            expected="CTYPE3 of VRAD or VOPT, or VELREF beside VELO",
            found=f"{kind} alone",
            action=f"give the convention: {' or '.join(CONVENTIONS)}",
        )
    return given


def _scatter(flux: FloatArray, file: Path) -> float:
    """Estimate the noise of a voxel: most voxels of most channels hold no line."""
    deviations = []
    for channel in flux:
        values = channel[np.isfinite(channel)]
        if values.size:
            deviations.append(np.median(np.abs(values - np.median(values))) / _MAD_PER_SIGMA)
    sigma = float(np.median(deviations)) if deviations else 0.0
    if not sigma > 0.0:
        raise FormatError(
            "the cube shows no noise",
            file=file,
            expected="channels of which most places hold noise alone",
            found="no scatter" if deviations else "no finite voxel",
            action="give the cube as it was imaged, not a masked one",
        )
    return sigma


def _facts(header: fits.Header) -> dict[str, Any]:
    kept = {key: header[key] for key in _KEPT if key in header}
    if "OBJECT" in kept:
        kept["TARGNAME"] = kept.pop("OBJECT")
    return kept


def _spectral_frame(header: fits.Header) -> str:
    named = str(header.get("CTYPE3", "")).partition("-")[2].strip("- ")
    return str(header.get("SPECSYS", "")).strip() or _AIPS_FRAMES.get(named, named)
