"""Which exposures show the sky of a cube, and what of them can be used?

Imprints never enter: which exposures are science is said by the table of exposures. They may lie
anywhere on the sky, parts of spaxels apart; their channels are those of the cube.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from astropy import units as u
from astropy.wcs import WCS
from numpy.typing import NDArray

from ard.cube import Cube, FloatArray
from ard.errors import FormatError
from ard.fitsio import native, open_hdus
from ard.headers import celestial_wcs
from ard.s3d import DO_NOT_USE, NON_SCIENCE
from ard.spectral import read_wave
from ard.table import Table
from pipeline import roles
from pipeline.reduce.noise.resampled import Exposure
from pipeline.reduce.outliers import nanmedian

Float32Array = NDArray[np.float32]

# Of a channel: what is further off would have to be resampled along wavelength.
_SAME: Final = 0.02
# An error this many times the median of its channel is that of a hit or of a hot pixel, which can
# hide in a difference where two exposures have it side by side.
_HIT: Final = 3.0
_FEWEST: Final = 2


@dataclass(frozen=True, eq=False)
class Dither:
    """One exposure, as far as it is needed here.

    Attributes
    ----------
    filename : str
    flux, err : ndarray of float32, shape (n_wave, ny, nx), or None
        NaN where not usable; None for what its header calls an imprint.
    wave : ndarray, shape (n_wave,)
        um.
    wcs : astropy.wcs.WCS
    unit : str
    simulated : bool
    """

    filename: str
    flux: Float32Array | None
    err: Float32Array | None
    wave: FloatArray
    wcs: WCS
    unit: str
    simulated: bool


def read_dither(path: str | os.PathLike[str]) -> Dither:
    """Read flux and error of one exposure; of an imprint, nothing but where it is.

    Raises
    ------
    FormatError
        If it has no SCI or ERR.
    """
    file = Path(path).name
    with open_hdus(path) as hdus:
        if "SCI" not in hdus or "ERR" not in hdus:
            raise FormatError(
                "the file is no exposure",
                file=path,
                expected="the extensions SCI and ERR",
                found=", ".join(hdu.name for hdu in hdus),
                action="give the per-exposure s3d files of the archive",
            )
        primary, header = hdus[0].header, hdus["SCI"].header
        flux = err = None
        if roles.flag(primary.get("IS_IMPRT")) is not True:
            flux = native(hdus["SCI"].data).astype(np.float32)
            err = native(hdus["ERR"].data).astype(np.float32)
            good = np.isfinite(flux) & np.isfinite(err) & (err > 0)
            if "DQ" in hdus:
                flags = native(hdus["DQ"].data).astype(np.uint32)
                good &= (flags & np.uint32(DO_NOT_USE | NON_SCIENCE)) == 0
            flux[~good], err[~good] = np.nan, np.nan
        return Dither(
            filename=file,
            flux=flux,
            err=err,
            wave=read_wave(hdus, header, file),
            wcs=celestial_wcs(header, file),
            unit=str(header.get("BUNIT", "")),
            simulated=bool(primary.get("SIMULATD", False)),
        )


def usable(cube: Cube, exposures: Mapping[str, Dither], table: Table) -> tuple[Exposure, ...] | str:
    """Give the science exposures of the cube's pointing, on its channels.

    Returns
    -------
    tuple of Exposure or str
        Why there are none: fewer than two exposures of this pointing, or one that has another unit
        or other channels than the cube.
    """
    chosen = [exposures[name] for name in _science(cube, table) if name in exposures]
    chosen = [one for one in chosen if one.flux is not None]
    if len(chosen) < _FEWEST:
        return f"{len(chosen)} science exposures of this pointing"
    found = []
    for one in chosen:
        if one.unit != cube.unit:
            return f"{one.filename} is in {one.unit}, the cube in {cube.unit}"
        channels = _channels(cube, one)
        if channels is None:
            return f"{one.filename} does not have the channels of the cube"
        found.append(_on_channels(one, channels, cube.wave.size))
    return tuple(found)


def _on_channels(one: Dither, channels: slice, n_wave: int) -> Exposure:
    """Put an exposure on the channels of the cube, without what hits have spoiled."""
    flux, err = (np.asarray(values) for values in (one.flux, one.err))
    typical = nanmedian(err.reshape(err.shape[0], -1), axis=1)[:, None, None]
    with np.errstate(invalid="ignore"):
        clean = np.isfinite(flux) & (err <= _HIT * typical)
    shape = (n_wave, *flux.shape[1:])
    sci, sigma, good = (np.zeros(shape, dtype) for dtype in (np.float32, np.float32, bool))
    sci[channels], sigma[channels] = (np.where(clean, values, 0) for values in (flux, err))
    good[channels] = clean
    return Exposure(one.filename, sci, sigma, good, one.wcs)


def _science(cube: Cube, table: Table) -> list[str]:
    """Name the science exposures of the pointing of a cube, by what the exposures stage found."""
    ra_deg, dec_deg = cube.meta.get("TARG_RA"), cube.meta.get("TARG_DEC")
    if not isinstance(ra_deg, int | float) or not isinstance(dec_deg, int | float):
        return []
    place = (float(ra_deg), float(dec_deg))
    rows = table.data
    ra, dec = (u.Quantity(rows[name]).to_value(u.deg) for name in ("ra_deg", "dec_deg"))
    positions = zip(ra.tolist(), dec.tolist(), strict=True)
    near = [roles.separation_arcsec(p, place) < roles.POINTING_ARCSEC for p in positions]
    science = [str(role) == roles.SCIENCE for role in rows["role"]]
    wanted = zip(rows["filename"], near, science, strict=True)
    return [str(name) for name, close, right in wanted if close and right]


def _channels(cube: Cube, one: Dither) -> slice | None:
    """Say which channels of the cube an exposure has; None if it has others."""
    first = int(np.argmin(np.abs(cube.wave - one.wave[0])))
    stop = first + one.wave.size
    if stop > cube.wave.size:
        return None
    step = float(np.median(np.diff(cube.wave)))
    off = float(np.abs(cube.wave[first:stop] - one.wave).max()) / step
    return slice(first, stop) if off <= _SAME else None
