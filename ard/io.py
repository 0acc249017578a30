"""Which product is in a file, and how does a product become a file?

The type is decided by the content of the file, never by its name alone.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astropy.io.fits.verify import VerifyError

from ard.cube import Cube
from ard.errors import FormatError, NotFoundError
from ard.fileio import (
    atomic_path,
    atomic_write_bytes,
    json_bytes,
    md5_file,
    read_json,
    sha256_file,
    write_json,
)
from ard.fitsio import open_hdus, unreadable, walk, write_hdus
from ard.likelihood.noise import Noise
from ard.likelihood.noisefile import (
    KIND,
    NoiseProduct,
    noise_hdus,
    read_noise,
    write_noise,
)
from ard.maps import Map, map_from_hdus, map_hdus
from ard.s3d import read_cube, write_cube
from ard.table import Table, ecsv_bytes, read_ecsv

Product = Cube | Map | Noise | Table | dict[str, Any] | bytes

__all__ = [
    "Product",
    "atomic_path",
    "atomic_write_bytes",
    "json_bytes",
    "md5_file",
    "read",
    "read_json",
    "sha256_file",
    "write",
    "write_json",
]


def read(path: str | os.PathLike[str]) -> Product:
    """Read a product file: a cube, a map, a noise, a table, a JSON document, or plain bytes.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Cube, Map, Noise, Table, dict or bytes
        FITS gives a cube, a map or a noise, ECSV a table, JSON a dict; anything else (a picture,
        a page) its bytes.

    Raises
    ------
    ArdError
        If the file does not exist, is damaged, or is FITS of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(
            "the file does not exist", file=path, expected="a product", action="check the path"
        )
    with Path(path).open("rb") as stream:
        head = stream.read(10)
    if head.startswith(b"SIMPLE") or head.startswith(b"\x1f\x8b"):
        return _read_fits(path)
    if head.startswith(b"# %ECSV"):
        return read_ecsv(path)
    if path.suffix == ".fits":
        walk(path)  # says what is wrong with it
    if path.suffix == ".ecsv":
        return read_ecsv(path)
    if path.suffix == ".json":
        return read_json(path)
    return path.read_bytes()


def _read_fits(path: Path) -> Cube | Map | Noise:
    spans = walk(path)
    try:
        kind = spans[0].header.get("ARDKIND")
    except VerifyError as error:  # a card is parsed when it is asked for
        raise unreadable(path, error) from error
    if kind == KIND:
        return read_noise(path)
    if "MASK" not in [span.name for span in spans]:
        return read_cube(path)
    with open_hdus(path) as hdus:
        return map_from_hdus(hdus, path.name)


def write(
    path: str | os.PathLike[str],
    product: Cube | Map | Noise | NoiseProduct | Table | Mapping[str, Any] | bytes,
    *,
    overwrite: bool = False,
) -> None:
    """Write a product atomically, in the format of its type; equal products give equal bytes.

    Parameters
    ----------
    path : path-like
        Where to; its suffix has to fit the type.
    product : Cube, Map, Noise, NoiseProduct, Table, mapping or bytes
        The content. A noise is written with the unit, keywords and provenance that it was read
        with; a `NoiseProduct` is one that is given others.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    FormatError
        If the suffix does not fit the type.
    """
    path = Path(path)
    fits = dict.fromkeys((Cube, Map, Noise, NoiseProduct), ".fits")
    suffixes = {**fits, Table: ".ecsv", dict: ".json"}
    expected = next((s for kind, s in suffixes.items() if isinstance(product, kind)), path.suffix)
    if path.suffix != expected:
        raise FormatError(
            "the name does not fit the type of the product",
            file=path,
            expected=f"a name ending in {expected}",
            found=type(product).__name__,
            action="choose another name",
        )
    if isinstance(product, Cube):
        write_cube(path, product, overwrite=overwrite)
    elif isinstance(product, Map):
        write_hdus(path, map_hdus(product), overwrite=overwrite)
    elif isinstance(product, Noise):
        write_noise(path, product, overwrite=overwrite)
    elif isinstance(product, NoiseProduct):
        hdus = noise_hdus(
            product.noise, unit=product.unit, meta=product.meta, provenance=product.provenance
        )
        write_hdus(path, hdus, overwrite=overwrite)
    elif isinstance(product, Table):
        atomic_write_bytes(path, ecsv_bytes(product), overwrite=overwrite)
    elif isinstance(product, bytes):
        atomic_write_bytes(path, product, overwrite=overwrite)
    else:
        write_json(path, product, overwrite=overwrite)
