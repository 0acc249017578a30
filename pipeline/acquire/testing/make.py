"""What does an archive look like that has every file of a lock, at a fraction of their sizes?

The pixels are noise. Names, extensions, axes, units and the headers that decide about roles and
versions are as the archive writes them; SIMULATD says that they are not observed.
"""

from os import PathLike
from pathlib import Path
from typing import Final

import numpy as np
from astropy.io import fits

from manifests.lock import Lock
from manifests.selection import ProductGroup, Programme, Selection
from pipeline.acquire.testing.files import ArchiveFile, describe
from pipeline.acquire.testing.hdus import extensions, primary

_BLOCK: Final = 2880
_HEADER_BYTES: Final = 2 * _BLOCK  # of each extension: header, and half-filled last blocks


def make_archive(
    folder: str | PathLike[str],
    selection: Selection,
    lock: Lock,
    *,
    scale: float = 1e-3,
    seed: int = 0,
    checksums: bool = True,
    algorithm: str = "md5",
) -> tuple[ArchiveFile, ...]:
    """Make the files of a lock, with their structure, at a fraction of their sizes.

    Parameters
    ----------
    folder : path-like
        Where to; it is made. Files that are there are not replaced.
    selection : Selection
        Says what the files must contain.
    lock : Lock
        Says which files there are.
    scale : float
        Size over real size; no file is smaller than its headers and a few pixels.
    seed : int
        Of the pixels; equal seeds give equal bytes.
    checksums : bool
        Whether the archive publishes checksums of JWST files.
    algorithm : str
        md5 or sha1.

    Returns
    -------
    tuple of ArchiveFile
        In the order of the lock.

    Raises
    ------
    OSError
        If one of the files is there already.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    programmes = {(p.collection, p.program): p for p in selection.programmes}
    made = []
    for number, file in enumerate(lock.files):
        group = selection.group(file.group)
        programme = programmes[group.collection, group.program]
        path = root / file.name
        size = int(scale * (file.size or group.typical_bytes))
        hdus = _hdus(file.name, group, programme, size, np.random.default_rng([seed, number]))
        hdus.writeto(path, overwrite=False, output_verify="exception")
        made.append(describe(path, programme, algorithm if checksums else None))
    return tuple(made)


def _hdus(
    name: str, group: ProductGroup, programme: Programme, size: int, rng: np.random.Generator
) -> fits.HDUList:
    headers = _HEADER_BYTES * (1 + len(group.extensions))
    head = primary(name, programme.collection)
    return fits.HDUList([head, *extensions(name, group, max(0, size - headers), rng)])
