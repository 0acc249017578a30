"""What is in a product file, said in plain words and numbers that a schema can check?

Headers are read in full, data as little as the answer needs. Nothing here needs more than numpy
and astropy, and whatever the bytes are, the answer is a description or an `ArdError`. Checksums
are not compared: that is what `ard.verify` and the checks do.
"""

import math
import os
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs.utils import proj_plane_pixel_area

from ard import provenance, spectral
from ard.errors import ArdError, FormatError, NotFoundError
from ard.fileio import read_json
from ard.fitsio import HduSpan, walk
from ard.headers import celestial_wcs
from ard.likelihood.noisefile import KIND as NOISE
from ard.maps import MASK
from ard.s3d import DO_NOT_USE, NON_SCIENCE
from ard.table import read_ecsv

_ARCSEC: Final = 3600.0
_UNUSABLE: Final = DO_NOT_USE | NON_SCIENCE
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE: Final = struct.Struct(">II")
# HDF5 (netCDF 4 is HDF5), and where its superblock keeps the end of the file: by version, the HDF5
# file format specification, section II.A.
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_HDF5_END: Final = {0: 40, 1: 44, 2: 28, 3: 28}
_HDF5_ADDRESS: Final = struct.Struct("<Q")
_HEAD: Final = 512
_DTYPES: Final = {8: "uint8", 16: "int16", 32: "int32", 64: "int64", -32: "float32", -64: "float64"}
# BZERO of the unsigned integers that FITS has no type for (FITS 4.0, table 11).
_UNSIGNED: Final = {16: ("uint16", 2.0**15), 32: ("uint32", 2.0**31), 64: ("uint64", 2.0**63)}
_MEDIA: Final = {
    "FITS": "application/fits",
    "ECSV": "text/x-ecsv",
    "JSON": "application/json",
    "PNG": "image/png",
    "netCDF": "application/x-netcdf",
    "ZIP": "application/zip",
    "HTML": "text/html",
    "text": "text/plain",
}
# The formats that a name promises; any other content under that name is an error.
_PROMISED: Final = {
    ".fits": "FITS",
    ".fits.gz": "FITS",
    ".ecsv": "ECSV",
    ".json": "JSON",
    ".png": "PNG",
    ".nc": "netCDF",
    ".zip": "ZIP",
    ".html": "HTML",
    ".md": "text",
    ".txt": "text",
    ".cff": "text",
}


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Say what a file holds: kind, size, shape, units, axes, extensions, provenance.

    Parameters
    ----------
    path : path-like
        A product file of any kind.

    Returns
    -------
    dict
        Plain JSON values. Always `file`, `kind` (cube, map, noise, table, image, chains, document,
        figure, archive, text or page), `media_type`, `size` in bytes, `format` and `provenance`;
        the rest depends on the kind and is documented in the schema of that name.

    Raises
    ------
    ArdError
        If the file does not exist, is damaged, or is not what its name promises.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(
            "the file does not exist",
            file=path.name,
            expected="a file",
            found="a folder" if path.is_dir() else "nothing",
            action="check the path",
        )
    try:
        with warnings.catch_warnings():
            # Real archive headers make the readers warn about dates and long keywords.
            warnings.simplefilter("ignore", AstropyWarning)
            return _describe(path)
    except ArdError:
        raise
    except Exception as error:
        # The readers below were not written for damaged files, and raise whatever they meet.
        raise FormatError(
            "the file cannot be understood",
            file=path.name,
            expected="a readable file of the format that its name promises",
            found=f"{type(error).__name__}: {error}",
            action="make or fetch the file again",
        ) from error


def _describe(path: Path) -> dict[str, Any]:
    with Path(path).open("rb") as stream:
        head = stream.read(_HEAD)
    name = _format(path, head)
    promised = next((form for end, form in _PROMISED.items() if path.name.endswith(end)), name)
    if name != promised:
        raise FormatError(
            "the file is not what its name promises",
            file=path.name,
            expected=promised,
            found=f"{name}, beginning with {head[:16]!r}",
            action="make or fetch the file again; a saved error page looks like this",
        )
    readers: dict[str, Callable[[Path], dict[str, Any]]] = {
        "FITS": _fits,
        "ECSV": _ecsv,
        "JSON": _json,
        "PNG": _png,
        "netCDF": _netcdf,
        "ZIP": _zip,
        "HTML": _page,
        "text": _text,
    }
    common = {
        "file": path.name,
        "size": path.stat().st_size,
        "media_type": _MEDIA[name],
        "format": {"name": name, "gzip": head.startswith(b"\x1f\x8b")},
        "provenance": None,
    }
    return {**common, **readers[name](path)}


def _format(path: Path, head: bytes) -> str:
    start = head.lstrip()[:15].lower()
    if head.startswith((b"SIMPLE", b"\x1f\x8b")):
        return "FITS"
    if head.startswith(b"# %ECSV"):
        return "ECSV"
    if head.startswith(_PNG):
        return "PNG"
    if head.startswith(_HDF5):
        return "netCDF"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "ZIP"
    if start.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    if start.startswith(b"{") or (path.suffix == ".json" and start.startswith(b"[")):
        return "JSON"
    return "text"


# ---- text, documents, pictures, archives


def _text(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unknown(path, f"bytes that are not UTF-8 at {error.start}") from error
    if not text.strip() or "\0" in text:
        raise _unknown(path, "an empty file" if not text.strip() else "NUL bytes")
    return {"kind": "text", "lines": text.count("\n")}


def _unknown(path: Path, found: str) -> FormatError:
    return FormatError(
        "the file is of no kind that a product can have",
        file=path.name,
        expected="FITS, ECSV, JSON, PNG, ZIP, HTML or text",
        found=found,
        action="make or fetch the file again",
    )


def _page(path: Path) -> dict[str, Any]:
    return {**_text(path), "kind": "page"}


def _json(path: Path) -> dict[str, Any]:
    document = read_json(path)
    record = document.get("provenance")
    return {
        "kind": "document",
        "schema": document.get("schema"),
        "simulated": _marked(document.get("simulated"), record),
        "provenance": record if isinstance(record, dict) else None,
        "fields": sorted(document),
    }


def _ecsv(path: Path) -> dict[str, Any]:
    table = read_ecsv(path)
    record = None if table.provenance is None else table.provenance.to_dict()
    columns = [
        {
            "name": column.name,
            "dtype": str(column.dtype),
            "unit": unit_text(column.unit),
            "description": str(getattr(column, "description", None) or ""),
        }
        for column in table.data.itercols()
    ]
    return {
        "kind": "table",
        "columns": columns,
        "rows": len(table),
        "simulated": table.simulated,
        "provenance": record,
    }


def unit_text(unit: object) -> str:
    """Spell a unit as the schemas do (``MJy/sr``, ``erg/(cm2 s)``); empty for None.

    Versions of astropy differ in the order of what is below the line: here it is alphabetical.
    """
    above, line, below = ("" if unit is None else str(unit)).partition(" / ")
    if below.startswith("("):
        below = f"({' '.join(sorted(below.strip('()').split()))})"
    return f"{above}{line.strip()}{below}"


def _png(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    start = len(_PNG) + 8  # length and name of the first chunk
    if data[len(_PNG) + 4 : start] != b"IHDR" or b"IEND" not in data[-12:]:
        raise FormatError(
            "the picture is damaged",
            file=path.name,
            expected="a PNG from IHDR to IEND",
            found=f"{len(data)} bytes",
            action="make or fetch the file again",
        )
    width, height = _PNG_SIZE.unpack_from(data, start)
    return {"kind": "figure", "shape": [height, width]}


def _netcdf(path: Path) -> dict[str, Any]:
    """Look at the first bytes only: what the chains are, readers of netCDF say."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    version = head[len(_HDF5)] if len(head) > len(_HDF5) else -1
    place = _HDF5_END.get(version)
    whole = place is not None and len(head) >= place + _HDF5_ADDRESS.size
    end = _HDF5_ADDRESS.unpack_from(head, place)[0] if whole and place is not None else None
    if end != size:
        raise FormatError(
            "the file of chains is damaged",
            file=path.name,
            expected="a netCDF file of the length that it says itself",
            found=f"{size} bytes" if end is None else f"{size} bytes of {end}",
            action="make or fetch the file again",
        )
    return {"kind": "chains"}


def _zip(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        stored = all(info.compress_type == zipfile.ZIP_STORED for info in infos)
        members = [{"name": info.filename, "size": info.file_size} for info in infos]
    return {"kind": "archive", "members": members, "stored": stored}


def _marked(flag: object, record: object) -> bool:
    return flag is True or (isinstance(record, dict) and record.get("simulated") is True)


# ---- FITS


def _fits(path: Path) -> dict[str, Any]:
    spans = walk(path)
    with fits.open(path, memmap=False, checksum=False) as hdus:
        made_by = provenance.from_hdus(hdus)
        record = None if made_by is None else made_by.to_dict()
        header = hdus[0].header
        facts = {
            "hdus": [_hdu(span) for span in spans],
            "target": _card(header, "TARGNAME"),
            "telescope": _card(header, "TELESCOP"),
            "simulated": _marked(header.get("SIMULATD"), record),
            "provenance": record,
        }
        return {**facts, **_content(hdus, path.name)}


def _content(hdus: fits.HDUList, file: str) -> dict[str, Any]:
    images = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) > 0]
    layers = [hdu for hdu in images if "LAYER" in hdu.header]
    if hdus[0].header.get("ARDKIND") == NOISE and "SIGMA" in hdus and "MASK" in hdus:
        return _noise(hdus)
    if "SCI" in hdus and len(hdus["SCI"].shape) == 3:
        return _cube(hdus, hdus["SCI"], file)
    if layers and MASK in hdus:
        return _map(hdus, layers, file)
    if len(images) == 1 and len(images[0].shape) == 3:
        return _cube(hdus, images[0], file)
    if images:
        return {"kind": "image", "shape": list(images[0].shape)}
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
    tables = [hdu for hdu in tables if hdu.name not in ("ASDF", provenance.EXTENSION)]
    if not tables:
        raise FormatError(
            "the FITS file holds no data",
            file=file,
            expected="an image or a table",
            found=", ".join(hdu.name or "unnamed" for hdu in hdus),
            action="fetch the file again: extensions may have been lost",
        )
    return {"kind": "table", "columns": _columns(tables[0]), "rows": len(tables[0].data)}


def _columns(table: fits.BinTableHDU) -> list[dict[str, str]]:
    return [
        {"name": column.name, "dtype": column.format, "unit": column.unit or "", "description": ""}
        for column in table.columns
    ]


def _cube(hdus: fits.HDUList, image: fits.ImageHDU, file: str) -> dict[str, Any]:
    flux = np.asarray(image.data)
    masked = ~np.isfinite(flux)
    if "DQ" in hdus and hdus["DQ"].shape == flux.shape:
        masked |= (np.asarray(hdus["DQ"].data).astype(np.int64) & _UNUSABLE) != 0
    return {
        "kind": "cube",
        "shape": list(flux.shape),
        "unit": _card(image.header, "BUNIT"),
        "wave": _wave(hdus, image.header, file),
        "wcs": {**_sky(image.header, file), "gwcs": "ASDF" in hdus},
        "masked_fraction": float(masked.mean()),
        "lsf": "LSF" in hdus,
        "psf": "PSF" in hdus,
    }


def _map(hdus: fits.HDUList, layers: Sequence[fits.ImageHDU], file: str) -> dict[str, Any]:
    mask = np.asarray(hdus[MASK].data) != 0
    return {
        "kind": "map",
        "shape": list(mask.shape),
        "layers": [
            {"name": str(hdu.header["LAYER"]), "unit": str(hdu.header.get("BUNIT", ""))}
            for hdu in layers
        ],
        "wcs": {**_sky(layers[0].header, file), "gwcs": False},
        "masked_fraction": float(mask.mean()),
    }


def _noise(hdus: fits.HDUList) -> dict[str, Any]:
    sigma, mask, header = hdus["SIGMA"], np.asarray(hdus["MASK"].data) != 0, hdus[0].header
    scale = np.asarray(hdus["SCALE"].data) if "SCALE" in hdus else np.ones(1)
    return {
        "kind": NOISE,
        "shape": list(mask.shape),
        "unit": _card(sigma.header, "BUNIT"),
        "masks": _card(header, "MASKS"),
        "masked_fraction": float(mask.mean()),
        "used": int(np.count_nonzero(~mask)),
        "factors": [hdu.name for hdu in hdus if hdu.name.startswith("FACTOR_")],
        "taps": list(hdus["TAPS"].shape) if "TAPS" in hdus else None,
        "scale": {"n": int(scale.size), "min": float(scale.min()), "max": float(scale.max())},
    }


def _sky(header: fits.Header, file: str) -> dict[str, Any]:
    sky = celestial_wcs(header, file)
    return {
        "ctype": [str(text) for text in sky.wcs.ctype],
        "crval": [float(value) for value in sky.wcs.crval],
        "pixel_scale_arcsec": math.sqrt(float(proj_plane_pixel_area(sky))) * _ARCSEC,
    }


def _wave(hdus: fits.HDUList, header: fits.Header, file: str) -> dict[str, Any]:
    n_wave = int(header["NAXIS3"])
    try:
        wave = spectral.read_wave(hdus, header, file)
    except ArdError as error:
        # A broken axis is a finding about a file that can still be described.
        unknown = dict.fromkeys(("min", "max", "step_median"))
        problem = error.problem + (f": {error.found}" if error.found else "")
        return {"unit": "um", "n": n_wave, **unknown, "increasing": False, "problem": problem}
    return {
        "unit": "um",
        "n": n_wave,
        "min": float(wave[0]),
        "max": float(wave[-1]),
        "step_median": float(np.median(np.diff(wave))) if n_wave > 1 else None,
        "increasing": True,
        "problem": None,
    }


def _hdu(span: HduSpan) -> dict[str, Any]:
    header = span.header
    packed = "ZCMPTYPE" in header
    axes = header["ZNAXIS"] if packed else header["NAXIS"]
    stem = "ZNAXIS" if packed else "NAXIS"
    return {
        "name": span.name,
        "type": "image" if packed else str(header.get("XTENSION", "PRIMARY")).strip().lower(),
        "dtype": _dtype(header, "ZBITPIX" if packed else "BITPIX"),
        "shape": [int(header[f"{stem}{i}"]) for i in range(axes, 0, -1)],
        "unit": _card(header, "BUNIT"),
        "checksum": "CHECKSUM" in header and "DATASUM" in header,
        "compression": str(header["ZCMPTYPE"]) if packed else None,
    }


def _dtype(header: fits.Header, key: str) -> str:
    bits = int(header[key])
    name, offset = _UNSIGNED.get(bits, ("", math.nan))
    return name if header.get("BZERO") == offset else _DTYPES[bits]


def _card(header: fits.Header, key: str) -> str | None:
    value = header.get(key)
    return None if value is None or isinstance(value, fits.card.Undefined) else str(value).strip()
