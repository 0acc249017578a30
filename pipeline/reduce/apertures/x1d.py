"""What does the archive's own spectrum say, and does ours of the same part of the sky agree?

The archive's x1d holds a table EXTRACT1D; its columns grew from 8 to 18 and more over the versions
of the calibration, so that only wavelength, flux and error are asked for, by any of their names.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.io import fits

from ard.cube import SPEED_OF_LIGHT_KMS, BoolArray, Cube, FloatArray
from ard.errors import FormatError, misfit
from ard.fitsio import open_hdus
from ard.s3d import DO_NOT_USE
from manifests import Aperture, Target
from manifests.aperture import CIRCLE, FLAT
from pipeline.reduce.apertures.covariance import Independent, VoxelNoise
from pipeline.reduce.apertures.place import Placed, place
from pipeline.reduce.apertures.spectrum import BOX, extract

_TABLE: Final = "EXTRACT1D"
_WAVE: Final = ("WAVELENGTH",)
_FLUX: Final = ("FLUX",)
_ERROR: Final = ("FLUX_ERROR", "ERROR")
_POINT: Final = "POINT"
_UM_HZ: Final = SPEED_OF_LIGHT_KMS * 1e9  # speed of light in um/s
_JANSKY: Final = 1e-23  # erg s-1 cm-2 Hz-1, exact by definition
_MAD_TO_SIGMA: Final = 1.482602218505602
_LEAST_CHANNELS: Final = 3


@dataclass(frozen=True, eq=False)
class X1d:
    """A spectrum of the archive.

    Attributes
    ----------
    file : str
    wave : ndarray, shape (n,)
        um.
    flux, err : ndarray, shape (n,)
        Jy; NaN where there is none.
    mask : ndarray of bool, shape (n,)
        True = do not use.
    n_spaxels : float
        Median area of the extraction, spaxels; NaN if unsaid.
    point : bool
        Whether the source was taken for a point (an aperture correction is then in it).
    centre : (float, float) or None
        Pixel (x, y), from 0, of the extraction.
    """

    file: str
    wave: FloatArray
    flux: FloatArray
    err: FloatArray
    mask: BoolArray
    n_spaxels: float
    point: bool
    centre: tuple[float, float] | None


def read_x1d(path: str | os.PathLike[str]) -> X1d:
    """Read the first spectrum of an x1d file.

    Raises
    ------
    FormatError
        If it holds no table with wavelength, flux and error.
    """
    name = Path(path).name
    with open_hdus(path) as hdus:
        table = _table(hdus, name)
        columns, header = table.columns, table.header
        wave = _column(table, _WAVE, "um", name)
        flux, err = _column(table, _FLUX, "Jy", name), _column(table, _ERROR, "Jy", name)
        # As a number in a float column the flags have lost their high bits, never the first.
        dq = np.asarray(table.data["DQ"], float) if "DQ" in columns.names else np.zeros(wave.size)
        area = (
            np.asarray(table.data["NPIXELS"], float)
            if "NPIXELS" in columns.names
            else np.full(wave.size, np.nan)
        )
        kind = header.get("SRCTYPE", hdus[0].header.get("SRCTYPE", ""))
        known = "EXTR_X" in header and "EXTR_Y" in header
        centre = (float(header["EXTR_X"]), float(header["EXTR_Y"])) if known else None
    good = np.isfinite(flux) & np.isfinite(err) & (err > 0) & np.isfinite(wave)
    mask = ~good | (np.mod(dq, 2) == DO_NOT_USE)
    counted = area[np.isfinite(area) & (area > 0)]
    size = float(np.median(counted)) if counted.size else float("nan")
    return X1d(name, wave, flux, err, mask, size, str(kind).upper() == _POINT, centre)


def _table(hdus: fits.HDUList, file: str) -> fits.BinTableHDU:
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    wanted = [hdu for hdu in tables if {*_WAVE, *_FLUX} <= set(hdu.columns.names)]
    named = [hdu for hdu in wanted if hdu.name == _TABLE]
    if not wanted:
        raise FormatError(
            "the file holds no spectrum",
            file=file,
            expected=f"a table {_TABLE} with {', '.join((*_WAVE, *_FLUX))}",
            found="; ".join(", ".join(hdu.columns.names) for hdu in tables) or "no table",
            action="give an x1d file of the archive",
        )
    return (named or wanted)[0]


def _column(table: fits.BinTableHDU, names: tuple[str, ...], unit: str, file: str) -> FloatArray:
    found = [name for name in names if name in table.columns.names]
    if not found:
        raise FormatError(
            "the spectrum lacks a column",
            file=file,
            expected=" or ".join(names),
            found=", ".join(table.columns.names),
            action="give an x1d file of the archive",
        )
    values = np.asarray(table.data[found[0]], dtype=np.float64)
    given = table.columns[found[0]].unit or unit
    try:
        factor = u.Unit(given).to(unit)
    except (ValueError, u.UnitConversionError) as error:
        problem = f"the column {found[0]} of {file} has another unit"
        raise misfit(problem, unit, given) from error
    return values * float(factor)


def compare(
    x1d: X1d, cube: Cube, noise: VoxelNoise, target: Target, min_coverage: float
) -> dict[str, Any]:
    """Hold the archive's spectrum against ours of the same spaxels.

    A point was extracted in a circle of the area that is stated (with a correction for the light
    beside it, which ours has not); anything else over the whole field.

    Returns
    -------
    dict
        Plain values: ``ratio`` (ours over the archive's, median), its robust ``scatter``,
        ``pull_scatter`` (robust scatter of the difference over the archive's error), and what was
        compared.
    """
    placed = _region(x1d, cube, target)
    facts: dict[str, Any] = {"file": x1d.file, "spaxels": round(float(placed.share.sum()), 3)}
    facts["region"] = "circle" if x1d.point else "whole field"
    live = ~noise.mask.reshape(cube.shape[0], -1)[:, placed.spaxels]
    # Only spaxels that saw the sky at all count as part of the field.
    seen = live.any(axis=0)
    light = np.broadcast_to(seen / max(float((placed.share * seen).sum()), 1e-300), live.shape)
    apart = replace(noise, correlation=Independent())  # errors are not compared
    ours = extract(cube, apart, placed, light, method=BOX, min_coverage=min_coverage)
    # Spaxels that are masked in one channel only are made up for, by the mean of the others.
    jansky = ours.flux / np.where(ours.mask, 1.0, ours.response) * cube.wave**2 / _UM_HZ / _JANSKY
    usable = x1d.wave[~x1d.mask]
    if usable.size < _LEAST_CHANNELS:
        return facts | {"channels": 0}
    archive = np.interp(cube.wave, usable, x1d.flux[~x1d.mask], left=np.nan, right=np.nan)
    error = np.interp(cube.wave, usable, x1d.err[~x1d.mask], left=np.nan, right=np.nan)
    both = np.isfinite(jansky) & np.isfinite(archive) & (archive != 0)
    if int(both.sum()) < _LEAST_CHANNELS:
        return facts | {"channels": int(both.sum())}
    ratio = jansky[both] / archive[both]
    pull = (jansky - archive)[both] / error[both]
    return facts | {
        "channels": int(both.sum()),
        "ratio": float(np.median(ratio)),
        "scatter": _spread(ratio),
        "pull_scatter": _spread(pull),
    }


def _spread(values: FloatArray) -> float:
    return float(_MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def _region(x1d: X1d, cube: Cube, target: Target) -> Placed:
    _, ny, nx = cube.shape
    if x1d.point and np.isfinite(x1d.n_spaxels):
        where = target.anchor
        ra, dec = where.ra_deg, where.dec_deg
        if x1d.centre is not None:
            ra, dec = (float(v) for v in cube.wcs.all_pix2world(*x1d.centre, 0))
        radius = float(np.sqrt(x1d.n_spaxels * cube.pixel_area_arcsec2 / np.pi))
        return place(_circle(ra % 360.0, dec, radius), target, cube.wcs, (ny, nx))
    every = np.arange(ny * nx)
    nowhere = np.zeros(every.size)
    whole = _circle(target.anchor.ra_deg, target.anchor.dec_deg, float(max(ny, nx)))
    return Placed(whole, every, np.ones(every.size), nowhere, nowhere, nowhere, 1.0)


def _circle(ra_deg: float, dec_deg: float, radius_arcsec: float) -> Aperture:
    return Aperture(
        name="x1d",
        title="archive x1d",
        shape=CIRCLE,
        along_arcsec=None,
        across_arcsec=None,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        length_arcsec=None,
        width_arcsec=None,
        radius_arcsec=radius_arcsec,
        profile=FLAT,
        velocity_kms=0.0,
        source="header of the x1d file",
        evidence="data",
    )
