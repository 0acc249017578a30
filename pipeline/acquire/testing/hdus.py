"""What is in a file of the archive: which headers, which extensions, which numbers?"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from ard.errors import NotFoundError
from manifests.selection import Extension, ProductGroup
from pipeline.simulate import files, geometry, headers, hst
from pipeline.simulate.geometry import Exposure

type Array = NDArray[np.generic]
type Seen = NDArray[np.bool_]

JWST: Final = "JWST"
DATE: Final = "2025-12-01T00:00:00.000"
VERSIONS: Final = {"CAL_VER": "1.17.1", "CRDS_VER": "12.1.5", "CRDS_CTX": "jwst_1322.pmap",
                   "SDP_VER": "2025_1"}  # fmt: skip
_MODELS: Final = {"cal": "IFUImageModel", "s3d": "IFUCubeModel", "x1d": "MultiSpecModel"}
_KINDS: Final = {8: np.uint8, 16: np.int16, 32: np.int32, 64: np.int64, -32: np.float32,
                 -64: np.float64}  # fmt: skip
_LEAST_PLANE: Final = (8, 8)
_LEAST_CUBE: Final = (6, 9, 8)
_SEEN_WIDTH: Final = 0.74  # of the field, over the grid: 46 % of a cube is NaN, as in reality
_ASDF_BYTES: Final = 3 * 2880
_HST_FIELD_DEG: Final = 162.0 / 3600.0  # WFC3/UVIS


def primary(name: str, collection: str) -> fits.PrimaryHDU:
    """Which primary HDU does a file start with?

    Raises
    ------
    NotFoundError
        If the name is that of no exposure and no pointing of GO-3149.
    """
    if collection != JWST:
        return _hst_primary(name)
    exposures = _exposures(name)
    values = headers.exposure_values(exposures[0]) | VERSIONS | {"ORIGIN": "STSCI"}
    seconds = sum(float(headers.exposure_values(e)["EFFEXPTM"]) for e in exposures)
    head = headers.primary(values | {"EFFEXPTM": seconds, "XPOSURE": seconds}, name)
    suffix = name.removesuffix(".fits").rpartition("_")[2]
    head.header["DATAMODL"] = _MODELS.get(suffix, "DataModel")
    head.header["DATE"] = (DATE, "UTC date file created")
    return head


def _exposures(name: str) -> list[Exposure]:
    """Give the exposures that a product is made of: one, or the science ones of a pointing."""
    own = [e for e in geometry.EXPOSURES if name.startswith(f"{e.name}_")]
    if not own:
        own = [e for e in geometry.EXPOSURES if f"_{e.item}_" in name and not e.imprint]
    if not own:
        raise NotFoundError(
            "no exposure of GO-3149 belongs to this name",
            file=name,
            expected=", ".join(e.name for e in geometry.EXPOSURES[:2]) + ", ...",
        )
    return own


def _hst_primary(name: str) -> fits.PrimaryHDU:
    head = fits.PrimaryHDU()
    stem, _, suffix = name.removesuffix(".fits").rpartition("_")
    # In names of original products the association or exposure number tells the filter.
    early = "f350lp" not in name and not stem.endswith("020")
    single = suffix == "flc"
    cards: dict[str, str | int | float | bool] = {
        "TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "UVIS", "ROOTNAME": stem.split("_")[-1],
        "FILENAME": name, "IMAGETYP": "EXT", "FILTER": "F200LP" if early else "F350LP",
        "PROPOSID": 17301, "TARGNAME": "RBH-1", "RA_TARG": hst.CENTRE_DEG[0],
        "DEC_TARG": hst.CENTRE_DEG[1], "EXPTIME": hst.EXPOSURE_SECONDS / (3 if single else 1),
        "DATE": DATE[:10], "OPUS_VER": "HSTDP 2025_1", "CAL_VER": "3.7.2 (Apr-15-2024)",
        "SIMULATD": True,
    }  # fmt: skip
    head.header.update(cards)
    return head


def extensions(
    name: str, group: ProductGroup, room: int, rng: np.random.Generator
) -> Iterator[fits.ImageHDU | fits.BinTableHDU]:
    """Which extensions follow, in the order that the group declares?

    Parameters
    ----------
    name : str
    group : ProductGroup
    room : int
        Bytes for the data of all extensions.
    rng : numpy.random.Generator
    """
    images = [e for e in group.extensions if not _is_table(e)]
    bytes_each = sum(abs(e.bitpix) // 8 for e in images)
    seen = _seen(group, room // bytes_each if images else 0)
    jwst = group.collection == JWST
    for number, extension in enumerate(group.extensions):
        if _is_table(extension):
            yield _table(extension, room, rng)
            continue
        version = 1 + sum(e.name == extension.name for e in group.extensions[:number])
        hdu = fits.ImageHDU(_data(extension, seen, jwst, rng), name=extension.name, ver=version)
        if extension.name == "SCI":
            hdu.header.extend(_axes(name, group, seen), update=True)
        elif extension.name == "ERR" and jwst:
            hdu.header["BUNIT"] = "MJy/sr"
        yield hdu
        if jwst and extension.name == "WMAP" and len(_exposures(name)) > 1:
            yield headers.header_table(_exposures(name), subtracted=False)


def _is_table(extension: Extension) -> bool:
    return (extension.naxis, extension.bitpix) == (2, 8)


def _seen(group: ProductGroup, pixels: int) -> Seen:
    """Give the shape of all images of a file, and where they have seen the sky."""
    if any(e.naxis == 3 for e in group.extensions):
        depth, ny, nx = geometry.LEVEL3_SHAPE
        shrink = (pixels / (depth * ny * nx)) ** (1 / 3)
        shape = tuple(max(least, int(shrink * n))
                      for least, n in zip(_LEAST_CUBE, (depth, ny, nx), strict=True))  # fmt: skip
        return np.broadcast_to(_field(*shape[1:]), shape)
    side = int(pixels**0.5)
    return np.ones(tuple(max(least, side) for least in _LEAST_PLANE), dtype=bool)


def _field(ny: int, nx: int) -> Seen:
    """Give the field of the integral field unit: a square, turned by PA_APER on its grid."""
    y, x = np.mgrid[0:ny, 0:nx]
    east, north = 0.5 - (x + 0.5) / nx, (y + 0.5) / ny - 0.5
    angle = np.deg2rad(geometry.PA_APER_DEG)
    u = east * np.sin(angle) + north * np.cos(angle)
    w = east * np.cos(angle) - north * np.sin(angle)
    return np.asarray((np.abs(u) < _SEEN_WIDTH / 2) & (np.abs(w) < _SEEN_WIDTH / 2))


def _data(extension: Extension, seen: Seen, jwst: bool, rng: np.random.Generator) -> Array:
    """Give the numbers of one image; where nothing was seen, what the archive writes there."""
    name, shape = extension.name, seen.shape
    if name == "DQ":
        if not jwst:
            return np.zeros(shape, np.int16)
        return np.where(seen, np.uint32(0), np.uint32(files.UNSEEN))
    if extension.bitpix > 0:
        return rng.integers(1, 31, shape).astype(_KINDS[extension.bitpix])
    if name == "WMAP":
        return np.where(seen, np.float32(4), np.float32(0))
    values: NDArray[np.floating] = rng.standard_normal(shape, dtype=np.float32)
    if name == "WAVELENGTH":
        values = geometry.CRVAL3 + geometry.CDELT3 * np.abs(values)
    elif name != "SCI":  # errors, variances, weights
        values = np.abs(values) + np.float32(0.1)
    kind = _KINDS[extension.bitpix]
    return np.where(seen, values, np.nan).astype(kind) if jwst else values.astype(kind)


def _axes(name: str, group: ProductGroup, seen: Seen) -> fits.Header:
    """Give unit, axes and footprint of SCI."""
    *_, ny, nx = seen.shape
    if group.collection != JWST:
        return _hst_axes(name, ny, nx)
    exposure = _exposures(name)[0]
    cut = geometry.window("full")
    world = geometry.sky(cut, exposure.pointing)
    if seen.ndim == 3:
        _, full_y, full_x = geometry.LEVEL3_SHAPE
        world.wcs.cdelt = [geometry.SPAXEL_DEG * full_x / nx, geometry.SPAXEL_DEG * full_y / ny]
        world.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
        world.wcs.set()
        header = headers.science(cut, world, (len(seen), ny, nx))
        # Fewer, larger spaxels on the same field.
        header["PIXAR_A2"] *= full_x * full_y / (nx * ny)
        header["PIXAR_SR"] *= full_x * full_y / (nx * ny)
        return header
    header = fits.Header()
    header["BUNIT"] = ("MJy/sr", "physical units of the array values")
    _, full_y, full_x = geometry.LEVEL3_SHAPE
    header["S_REGION"] = (geometry.s_region(world, full_y, full_x), "spatial extent")
    return header


def _hst_axes(name: str, ny: int, nx: int) -> fits.Header:
    world = WCS(naxis=2)
    world.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    world.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    world.wcs.crval = list(hst.CENTRE_DEG)
    world.wcs.cdelt = [-_HST_FIELD_DEG / nx, _HST_FIELD_DEG / ny]
    world.wcs.set()
    header = world.to_header()
    header["BUNIT"] = "ELECTRONS" if name.endswith("_flc.fits") else "ELECTRONS/S"
    if name.startswith("hst_"):  # the HAP pipeline writes it, the original one does not
        header["S_REGION"] = geometry.s_region(world, ny, nx)
    return header


def _table(extension: Extension, room: int, rng: np.random.Generator) -> fits.BinTableHDU:
    if extension.name == "ASDF":
        text = b"#ASDF 1.0.0\n# rehearsal: no tree\n"
        blob = np.frombuffer(text.ljust(_ASDF_BYTES, b" "), np.uint8)[None]
        columns = [fits.Column("ASDF_METADATA", f"{_ASDF_BYTES}B", array=blob)]
    else:
        rows = max(8, room // 32)
        wave = geometry.CRVAL3 + geometry.CDELT3 * np.arange(rows)
        columns = [
            fits.Column("WAVELENGTH", "D", unit="um", array=wave),
            fits.Column("FLUX", "D", unit="Jy", array=1e-6 * rng.standard_normal(rows)),
            fits.Column("FLUX_ERROR", "D", unit="Jy", array=1e-6 * (0.1 + rng.random(rows))),
            fits.Column("DQ", "J", bzero=2**31, array=np.zeros(rows, np.uint32)),
        ]
    return fits.BinTableHDU.from_columns(columns, name=extension.name)
