"""What does one exposure hold, read a few channels at a time?

Eighteen cubes of an observation together are a gigabyte; a combination looks at the same few
channels of each. So only headers are read at first, and of the data what is asked for. (A mapped
file would stay in memory as long as it is open.)
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from ard.cube import BoolArray, Cube, FloatArray
from ard.errors import FormatError
from ard.fitsio import HduSpan, walk
from ard.headers import celestial_wcs, kept_cards
from ard.s3d import DO_NOT_USE, NON_SCIENCE, UNIT, read_cube
from ard.spectral import read_wave, require_barycentric

_UNUSABLE: Final = DO_NOT_USE | NON_SCIENCE
_LAYERS: Final = ("SCI", "ERR", "DQ", "WMAP")
# Types of the data units as FITS stores them. DQ has BZERO 2^31, which turns the highest bit over
# and leaves the two that are asked for here as they are.
_DTYPES: Final = {-32: ">f4", -64: ">f8", 32: ">i4", 16: ">i2"}


@dataclass(frozen=True, eq=False)
class Section:
    """A few channels of an exposure.

    Attributes
    ----------
    flux, err, weight : ndarray, shape (n, ny, nx)
        MJy/sr; number of contributing detector pixels. 0 where not `good`.
    good : ndarray of bool, shape (n, ny, nx)
        Where the exposure can be used.
    errorless : int
        Number of voxels that have a flux and are not flagged, but have no positive finite error.
    """

    flux: FloatArray
    err: FloatArray
    weight: FloatArray
    good: BoolArray
    errorless: int


@dataclass(frozen=True, eq=False)
class ExposureCube:
    """One exposure: where its spaxels and channels lie, and how its data are had.

    Attributes
    ----------
    filename : str
        Name of the file.
    shape : (int, int, int)
        Number of channels, rows and columns.
    wave : ndarray, shape (n_wave,)
        Channel centres, um.
    wcs : astropy.wcs.WCS
        Celestial coordinates of (x, y).
    channels : callable
        Gives the `Section` of channels start to stop (exclusive).
    meta : mapping
        Keywords of the primary header.
    """

    filename: str
    shape: tuple[int, int, int]
    wave: FloatArray
    wcs: WCS
    channels: Callable[[int, int], Section] = field(repr=False)
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def exptime_s(self) -> float | None:
        """Effective exposure time, s; None where the header has none above 0."""
        found = self.meta.get("EFFEXPTM")
        return float(found) if isinstance(found, int | float) and found > 0 else None

    @property
    def simulated(self) -> bool:
        """True if the file says that its data are simulated."""
        return bool(self.meta.get("SIMULATD", False))

    @property
    def subtracted(self) -> bool:
        """True if the file says that a background was taken off, which may hold light."""
        return str(self.meta.get("S_BKDSUB", "")).strip().upper() == "COMPLETE"


def open_exposure(path: str | os.PathLike[str]) -> ExposureCube:
    """Open an s3d file without reading its data.

    A file that cannot be read in parts (compressed, or in another unit) is read whole.

    Raises
    ------
    ArdError
        If it is not a whole s3d file, or its wavelengths are not barycentric.
    """
    path = Path(path)
    spans = {span.name: span for span in walk(path)}
    if any(name not in spans for name in ("SCI", "ERR")):
        raise FormatError(
            "an exposure without data or errors cannot be combined",
            file=path,
            expected="the extensions SCI and ERR",
            found=", ".join(spans),
            action="give the per-exposure s3d files of the archive",
        )
    if not _can_be_read_in_parts(path, spans):
        return in_memory(read_cube(path), path.name)
    header = spans["SCI"].header
    require_barycentric(str(header.get("SPECSYS", "")).strip(), path)
    with fits.open(path, memmap=True) as hdus:
        wave = read_wave(hdus, header, path.name)
    shape = (wave.size, int(header["NAXIS2"]), int(header["NAXIS1"]))
    layers = {name: spans[name] for name in _LAYERS if name in spans}
    for span in layers.values():
        _require_shape(path, span, shape)

    def channels(start: int, stop: int) -> Section:
        parts = {name: _read(path, span, shape, start, stop) for name, span in layers.items()}
        return _section(parts["SCI"], parts["ERR"], parts.get("DQ"), parts.get("WMAP"))

    meta = kept_cards(spans["PRIMARY"].header)
    sky = celestial_wcs(header, path.name)
    return ExposureCube(path.name, shape, wave, sky, channels, meta)


def in_memory(cube: Cube, filename: str) -> ExposureCube:
    """Treat a cube that is in memory as an exposure."""
    require_barycentric(cube.specsys, filename)

    def channels(start: int, stop: int) -> Section:
        part = np.s_[start:stop]
        flux, var, mask = cube.flux[part], cube.var[part], cube.mask[part]
        weight = np.ones(flux.shape) if cube.weight is None else cube.weight[part]
        # A Cube masks what has no error, and does not say why.
        lacks = np.isfinite(flux) & (weight > 0) & ~(np.isfinite(var) & (var > 0))
        if cube.dq is not None:
            lacks &= (cube.dq[part] & _UNUSABLE) == 0
        return _clean(flux, np.sqrt(np.where(mask, 1.0, var)), weight, ~mask, int(lacks.sum()))

    return ExposureCube(filename, cube.shape, cube.wave, cube.wcs, channels, cube.meta)


def _can_be_read_in_parts(path: Path, spans: Mapping[str, HduSpan]) -> bool:
    with path.open("rb") as stream:
        plain = stream.read(2) == b"SI"
    headers = [spans[name].header for name in _LAYERS if name in spans]
    units = {str(spans[name].header.get("BUNIT", UNIT)).strip() for name in ("SCI", "ERR")}
    scaled = any(header.get("BSCALE", 1.0) != 1.0 for header in headers)
    images = all("ZCMPTYPE" not in h and int(h["BITPIX"]) in _DTYPES for h in headers)
    return plain and images and not scaled and units == {UNIT}


def _require_shape(path: Path, span: HduSpan, shape: tuple[int, int, int]) -> None:
    found = tuple(int(span.header[f"NAXIS{k}"]) for k in range(int(span.header["NAXIS"]), 0, -1))
    if found != shape:
        raise FormatError(
            f"the extension {span.name} has another shape than SCI",
            file=path,
            expected=shape,
            found=found,
            action="fetch the file again",
        )


def _read(
    path: Path, span: HduSpan, shape: tuple[int, int, int], start: int, stop: int
) -> np.ndarray:
    start, stop, _ = slice(start, stop).indices(shape[0])
    dtype = np.dtype(_DTYPES[int(span.header["BITPIX"])])
    plane = shape[1] * shape[2]
    offset = span.data_start + start * plane * dtype.itemsize
    data = np.fromfile(path, dtype, count=(stop - start) * plane, offset=offset)
    return data.reshape(stop - start, *shape[1:])


def _section(
    sci: np.ndarray, err: np.ndarray, dq: np.ndarray | None, wmap: np.ndarray | None
) -> Section:
    flux, error = np.asarray(sci, np.float64), np.asarray(err, np.float64)
    weight = np.ones(flux.shape) if wmap is None else np.asarray(wmap, np.float64)
    seen = np.isfinite(flux) & (weight > 0)
    if dq is not None:
        seen &= (np.asarray(dq) & _UNUSABLE) == 0
    # An absurd error (5.6e27 occurs) must not overflow when it is squared: float64 holds it.
    with np.errstate(invalid="ignore"):
        known = np.isfinite(error) & (error > 0)
    return _clean(flux, error, weight, seen & known, int((seen & ~known).sum()))


def _clean(
    flux: FloatArray, err: FloatArray, weight: FloatArray, good: BoolArray, errorless: int
) -> Section:
    flux, err, weight = (np.where(good, values, 0.0) for values in (flux, err, weight))
    return Section(flux, err, weight, good, errorless)
