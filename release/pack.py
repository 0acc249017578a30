"""How do many files become one with always the same bytes, and how large will it be?

Members are stored, in the order of their names, with a fixed date and fixed rights, so that the
archive depends on names and contents only, its size is known before it is written, and members can
be fetched by their byte range.
"""

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ard import layout
from ard.sums import format_sums
from release.model import MARK

# The first day that the format can express.
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_RIGHTS: Final = 0o100644 << 16
_CHUNK: Final = 1 << 20
# Bytes of the records of the format besides names (APPNOTE.TXT 4.3): for a member its local header
# and its entry in the directory, and for the archive the end of the directory.
_PER_MEMBER: Final = 30 + 46
_PER_ARCHIVE: Final = 22
_SUM: Final = "0" * 64


def archive_comment(simulated: bool) -> str:
    """Give the text that the zips of a bundle bear."""
    return f"{MARK} simulated data, not observed" if simulated else ""


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
    with path.open("xb") as stream:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            archive.comment = comment.encode("ascii")
            for name in sorted(sources):
                sums[name] = _add(archive, name, sources[name])
            archive.writestr(_info(layout.SUMS_FILE), format_sums(sums))
        # These are the largest files of a bundle, which gets its name when all are on the disk.
        stream.flush()
        os.fsync(stream.fileno())
    return sums


def archive_size(members: Mapping[str, int], comment: str = "") -> int:
    """Say how many bytes `write_archive` will write.

    Parameters
    ----------
    members : mapping of str to int
        Member name to its size in bytes.
    comment : str
        As for `write_archive`.
    """
    own = len(format_sums(dict.fromkeys(members, _SUM)))
    everything = {**members, layout.SUMS_FILE: own}
    names = sum(2 * len(name) for name in everything)
    records = len(everything) * _PER_MEMBER + _PER_ARCHIVE + len(comment)
    return sum(everything.values()) + names + records


def shards(
    members: Mapping[str, int], largest: int, comment: str = ""
) -> tuple[tuple[str, ...], ...]:
    """Share members out over as many archives as needed, in the order of their names.

    Parameters
    ----------
    members : mapping of str to int
        Member name to its size in bytes; each has to fit into an archive of its own.
    largest : int
        Bytes that no archive may exceed.
    comment : str
        As for `write_archive`.

    Returns
    -------
    tuple of tuple of str
        The names in each archive.
    """
    groups: list[list[str]] = []
    size = largest + 1
    # What one more member adds, with its line in the list of sums.
    nothing = archive_size({}, comment)
    for name in sorted(members):
        more = archive_size({name: members[name]}, comment) - nothing
        if size + more > largest:
            groups.append([])
            size = nothing
        groups[-1].append(name)
        size += more
    return tuple(tuple(group) for group in groups)


def _add(archive: zipfile.ZipFile, name: str, source: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as reader, archive.open(_info(name), "w") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = _UNIX
    info.external_attr = _RIGHTS
    return info
