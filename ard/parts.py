"""Where in a file does each of its parts lie, and which bytes has it?

A part is an HDU of a FITS file or a member of a stored zip. The manifest lists them, so that one
part can be fetched by its byte range and held against its sha256, without the rest of the file.
"""

import hashlib
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from ard.errors import IntegrityError
from ard.fitsio import walk

_CHUNK: Final = 1 << 20
# The local header of a zip member: 30 bytes, the last four of which say how much follows of name
# and extra field before the data begin (APPNOTE.TXT 4.3.7).
_LOCAL_HEADER: Final = 30
_LOCAL_SIGNATURE: Final = b"PK\x03\x04"


@dataclass(frozen=True)
class Part:
    """Say where a part of a file lies.

    Attributes
    ----------
    name : str
        Extension name of an HDU (PRIMARY for the first; ``NAME,2`` for the second of a name), or
        the name of a zip member.
    offset, size : int
        First byte in the file, and number of bytes. An HDU is counted with header and padding, a
        member without its local header.
    sha256 : str
        Digest of these bytes.
    """

    name: str
    offset: int
    size: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "name": self.name,
            "offset": self.offset,
            "size": self.size,
            "sha256": self.sha256,
        }


def file_parts(path: Path) -> tuple[Part, ...]:
    """List the HDUs of a plain FITS file, or the members of a stored zip; nothing for others.

    Raises
    ------
    IntegrityError, FormatError
        If the file is damaged.
    """
    if path.suffix == ".fits":
        spans = _hdu_spans(path)
    elif path.suffix == ".zip":
        spans = _member_spans(path)
    else:
        return ()
    with path.open("rb") as stream:
        return tuple(
            Part(name, offset, size, _digest(stream, offset, size)) for name, offset, size in spans
        )


_Span = tuple[str, int, int]


def _hdu_spans(path: Path) -> list[_Span]:
    seen: dict[str, int] = {}
    spans = []
    for hdu in walk(path):
        seen[hdu.name] = seen.get(hdu.name, 0) + 1
        number = seen[hdu.name]
        name = hdu.name if number == 1 else f"{hdu.name},{number}"
        spans.append((name, hdu.header_start, hdu.end - hdu.header_start))
    return spans


def _member_spans(path: Path) -> list[_Span]:
    with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
        return [
            (info.filename, _data_start(path, stream, info), info.file_size)
            for info in archive.infolist()
        ]


def _data_start(path: Path, stream: BinaryIO, info: zipfile.ZipInfo) -> int:
    stream.seek(info.header_offset)
    header = stream.read(_LOCAL_HEADER)
    plain = info.compress_type == zipfile.ZIP_STORED
    if not plain or len(header) < _LOCAL_HEADER or not header.startswith(_LOCAL_SIGNATURE):
        raise IntegrityError(
            "a member of the zip cannot be located",
            file=path,
            expected="a stored member",
            found=f"{info.filename}: " + ("compressed" if not plain else "no local header"),
            action="make the archive again",
        )
    name_length, extra_length = struct.unpack("<HH", header[-4:])
    return info.header_offset + _LOCAL_HEADER + int(name_length) + int(extra_length)


def _digest(stream: BinaryIO, offset: int, size: int) -> str:
    stream.seek(offset)
    digest, left = hashlib.sha256(), size
    while left and (chunk := stream.read(min(left, _CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()
