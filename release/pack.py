"""How does a folder of small files become one file with always the same bytes?

Members are stored, in the order of their names, with a fixed date and fixed rights, so that the
archive depends on names and contents only and members can be fetched by their byte range.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ard import layout
from ard.sums import format_sums

# The first day that the format can express.
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_RIGHTS: Final = 0o100644 << 16


def write_archive(path: Path, sources: Mapping[str, Path], comment: str = "") -> dict[str, str]:
    """Write a stored zip of files and of the list of their sha256.

    Parameters
    ----------
    path : Path
        The archive to write; it must not exist.
    sources : mapping of str to Path
        Member name to file.
    comment : str
        Text for the archive as a whole (ASCII).

    Returns
    -------
    dict of str to str
        Member name to sha256.
    """
    sums: dict[str, str] = {}
    with path.open("xb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = comment.encode("ascii")
        for name in sorted(sources):
            data = sources[name].read_bytes()
            sums[name] = hashlib.sha256(data).hexdigest()
            archive.writestr(_info(name), data)
        archive.writestr(_info(layout.SUMS_FILE), format_sums(sums))
    return sums


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = _UNIX
    info.external_attr = _RIGHTS
    return info
