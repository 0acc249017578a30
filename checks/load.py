"""How do checks get at the numbers in a product, whatever its checksums say?

`ard` refuses a file whose checksum is wrong; a judge has to look at it all the same and report
everything else that is wrong with it.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from ard import layout
from ard.cube import frozen
from ard.describe import unit_text
from ard.fileio import read_json
from ard.layout import flux_layer
from ard.maps import Map, map_from_hdus
from ard.s3d import DO_NOT_USE, NON_SCIENCE
from ard.table import read_ecsv
from checks.folder import Product
from schemas import tables

FloatArray = NDArray[np.float64]
UNUSABLE = DO_NOT_USE | NON_SCIENCE


@contextmanager
def opened(path: Path, *, raw: bool = False) -> Iterator[fits.HDUList]:
    """Open a FITS file without looking at its checksums.

    Parameters
    ----------
    path : Path
        The file.
    raw : bool
        Show tile-compressed images as the tables they are stored in.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        with fits.open(path, memmap=False, checksum=False, disable_image_compression=raw) as hdus:
            yield hdus


@dataclass(frozen=True, eq=False)
class CubeArrays:
    """The images of a cube as they lie in the file.

    Attributes
    ----------
    flux : ndarray, shape (n_wave, ny, nx)
        SCI.
    err, weight : ndarray, shape (n_wave, ny, nx), or None
        ERR and WMAP; None where there is none of that shape.
    masked : ndarray of bool, shape (n_wave, ny, nx)
        Where DQ says DO_NOT_USE or NON_SCIENCE; nowhere if there is no DQ.
    header : astropy.io.fits.Header
        Header of SCI.
    """

    flux: FloatArray
    err: FloatArray | None
    weight: FloatArray | None
    masked: NDArray[np.bool_]
    header: fits.Header


def _kept[T](number: int) -> Callable[[Callable[[Path], T]], Callable[[Product], T]]:
    """Load from a product, not a path, and keep the last ones while their files are the same."""

    def keep(load: Callable[[Path], T]) -> Callable[[Product], T]:
        @lru_cache(maxsize=number)
        def load_version(path: Path, _mtime_ns: int, _size: int) -> T:
            return load(path)

        @wraps(load)
        def load_product(product: Product) -> T:
            stat = product.path.stat()
            return load_version(product.path, stat.st_mtime_ns, stat.st_size)

        return load_product

    return keep


@_kept(1)
def cube_arrays(path: Path) -> CubeArrays:
    """Give the images of a cube."""
    with opened(path) as hdus:
        # A lone image without a name is a cube as well.
        science = hdus["SCI"] if "SCI" in hdus else next(h for h in hdus if h.is_image and h.shape)
        flux = np.asarray(science.data, dtype=np.float64)

        def image(name: str) -> FloatArray | None:
            if name not in hdus or hdus[name].shape != flux.shape:
                return None
            return np.asarray(hdus[name].data, dtype=np.float64)

        masked = np.zeros(flux.shape, dtype=bool)
        if "DQ" in hdus and hdus["DQ"].shape == flux.shape:
            masked = (np.asarray(hdus["DQ"].data).astype(np.int64) & UNUSABLE) != 0
        return CubeArrays(flux, image("ERR"), image("WMAP"), masked, science.header.copy())


@_kept(1)
def line_map(path: Path) -> Map:
    """Give a map product."""
    with opened(path) as hdus:
        return map_from_hdus(hdus, path.name)


def document(product: Product) -> dict[str, Any]:
    """Give a JSON product."""
    return read_json(product.path)


@_kept(len(tables.names()))  # they are small, and checks go from one to the other
def table_columns(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Give the columns of a table, and the unit of each: lists of plain values.

    A missing text is empty, a missing number is not a number. Of a FITS file, which may be large,
    it is the first table, and the columns are arrays that nobody can write to.
    """
    if path.suffix == layout.HLSP_SUFFIX:
        return _fits_columns(path)
    data = read_ecsv(path).data
    columns, units = {}, {}
    for column in data.itercols():
        blank = "" if column.dtype.kind in "US" else np.nan
        values = np.ma.filled(np.ma.asarray(column).astype(object), blank)
        columns[column.name] = list(values)
        units[column.name] = unit_text(column.unit)
    return columns, units


def _fits_columns(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    with opened(path) as hdus:
        table = next(hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU))
        # Copied, so that the rows of the file are let go.
        columns = {name: frozen(np.array(table.data[name])) for name in table.columns.names}
        return columns, {column.name: column.unit or "" for column in table.columns}


def fixed_ratios(product: Product) -> tuple[tuple[str, str, float], ...]:
    """Give the pairs of flux layers of a map whose ratio the line list of the folder fixes.

    Returns
    -------
    tuple of (str, str, float)
        Layer, layer it is relative to, and the ratio of the first to the second.
    """
    lists = product.folder.siblings(None, layout.LINES)
    if not lists or lists[0].facts is None:
        return ()
    columns, _ = table_columns(lists[0])
    present = {layer["name"].lower() for layer in (product.facts or {}).get("layers", ())}
    rows = zip(*(columns.get(key, []) for key in ("name", "ratio_to", "ratio")), strict=False)
    pairs = [(flux_layer(name), flux_layer(to), float(ratio)) for name, to, ratio in rows if to]
    return tuple(pair for pair in pairs if {pair[0], pair[1]} <= present)


def number(values: Mapping[str, Any], name: str) -> float:
    """Give a number of a document; NaN where it is missing or is none."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return float("nan")
    return float(value)
