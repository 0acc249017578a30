"""Is a FITS file whole, and how is one written so that equal content gives equal bytes?

The standard does not ask for a checksum and most readers do not look at one, so a truncated or
damaged file often reads without complaint. Here a file is walked header by header before its
data are touched, and a CHECKSUM that is present has to be right.
"""

import gzip
import io
import math
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError, VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning

from ard.errors import FormatError, IntegrityError, NotFoundError
from ard.fileio import atomic_path

BLOCK: Final = 2880
ALL_ONES: Final = 0xFFFFFFFF
_CHUNK: Final = 1 << 20
# 36 000 cards; the largest headers of archive files have about a thousand. Where END is damaged,
# the data must not be read as if they were cards.
_LONGEST_HEADER: Final = 1000 * BLOCK
# The standard suggests the wall clock here; a fixed text makes equal content equal bytes.
CHECKSUM_TEXT: Final = "HDU checksum"
DATASUM_TEXT: Final = "data unit checksum"
FETCH_AGAIN: Final = "fetch or copy the file again and compare its sha256 with the source"


@dataclass(frozen=True)
class HduSpan:
    """Where one HDU lies in its (uncompressed) file, in bytes.

    Attributes
    ----------
    name : str
        EXTNAME, or PRIMARY.
    header_start, data_start, end : int
        Byte offsets; `end` includes the padding to a whole block.
    header : astropy.io.fits.Header
        The header as read.
    """

    name: str
    header_start: int
    data_start: int
    end: int
    header: fits.Header


def _open_bytes(path: Path) -> BinaryIO:
    with Path(path).open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb") if zipped else Path(path).open("rb"))


def _data_bytes(header: fits.Header) -> int:
    """Give the size of the data unit in bytes, without padding (FITS 4.0, eq. 1 and 2)."""
    axes = [int(header[f"NAXIS{i + 1}"]) for i in range(int(header["NAXIS"]))]
    if not axes:
        return 0
    if header.get("GROUPS") is True and axes[0] == 0:
        axes = axes[1:]
    elements = int(header.get("PCOUNT", 0)) + math.prod(axes)
    return abs(int(header["BITPIX"])) // 8 * int(header.get("GCOUNT", 1)) * elements


def walk(path: str | os.PathLike[str]) -> tuple[HduSpan, ...]:
    """Find every HDU of a file by its headers alone, and check that they fill the file exactly.

    Parameters
    ----------
    path : path-like
        A FITS file, plain or gzipped.

    Returns
    -------
    tuple of HduSpan
        One for each HDU, in file order.

    Raises
    ------
    NotFoundError
        If there is no such file.
    FormatError
        If it is not FITS.
    IntegrityError
        If it is truncated, or has bytes after its last HDU.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(
            "the file does not exist", file=path, expected="a FITS file", action="check the path"
        )
    try:
        with _open_bytes(path) as stream:
            length = _length(stream)
            if length == 0:
                raise FormatError(
                    "this is not a FITS file: it is empty",
                    file=path,
                    expected="a file that begins with SIMPLE",
                    found="0 bytes",
                    action=FETCH_AGAIN,
                )
            return tuple(_spans(path, stream, length))
    except (EOFError, zlib.error, OSError) as error:
        raise IntegrityError(
            "the file cannot be read to its end",
            file=path,
            expected="a whole file",
            found=str(error),
            action=FETCH_AGAIN,
        ) from error


def _length(stream: BinaryIO) -> int:
    if not isinstance(cast(object, stream), gzip.GzipFile):
        return os.fstat(stream.fileno()).st_size
    # A gzip stream knows its length only when it has been read.
    length = sum(len(chunk) for chunk in iter(lambda: stream.read(_CHUNK), b""))
    stream.seek(0)
    return length


def _spans(path: Path, stream: BinaryIO, length: int) -> Iterator[HduSpan]:
    start = 0
    while start < length:
        stream.seek(start)
        header = _read_header(path, stream, start)
        data_start = stream.tell()
        try:
            size = _data_bytes(header)
            name = str(header.get("EXTNAME", "PRIMARY" if start == 0 else ""))
        except (KeyError, ValueError, TypeError, VerifyError) as error:
            raise IntegrityError(
                "a header does not give the name of its HDU or the size of its data",
                file=path,
                expected="BITPIX, NAXIS and NAXISn as integers, EXTNAME as text",
                found=f"{error} at byte {start}",
                action=FETCH_AGAIN,
            ) from error
        end = data_start + -(-size // BLOCK) * BLOCK
        if end > length:
            raise IntegrityError(
                f"the file is truncated inside HDU {name}",
                file=path,
                expected=f"{end} bytes",
                found=f"{length} bytes",
                action=FETCH_AGAIN,
            )
        yield HduSpan(name, start, data_start, end, header)
        start = end


class _Head:
    """A stream that ends where a header must have ended."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = _LONGEST_HEADER

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._left))
        self._left -= len(data)
        return data


def _read_header(path: Path, stream: BinaryIO, start: int) -> fits.Header:
    magic = stream.read(9)
    stream.seek(start)
    if start == 0 and magic[:6] != b"SIMPLE":
        raise FormatError(
            "this is not a FITS file",
            file=path,
            expected="a file that begins with SIMPLE",
            found=f"a file that begins with {magic!r}",
            action="check that the path names the file meant, and that no web page was saved",
        )
    if start > 0 and magic != b"XTENSION=":
        raise IntegrityError(
            "there are bytes after the last HDU, or a header is damaged",
            file=path,
            expected=f"XTENSION at byte {start}",
            found=repr(magic),
            action=FETCH_AGAIN,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        try:
            return fits.Header.fromfile(_Head(stream), endcard=True, padding=True)
        except (OSError, ValueError, EOFError, VerifyError) as error:
            raise IntegrityError(
                "a header does not end",
                file=path,
                expected=f"an END card in the header at byte {start}",
                found=str(error),
                action=FETCH_AGAIN,
            ) from error


def primary_header(path: str | os.PathLike[str]) -> fits.Header:
    """Read the first header of a file and nothing else, whatever its data are like.

    Raises
    ------
    FormatError, IntegrityError
        If it is not FITS, or the header does not end.
    """
    with _open_bytes(Path(path)) as stream:
        return _read_header(Path(path), stream, 0)


@contextmanager
def open_hdus(path: str | os.PathLike[str]) -> Iterator[fits.HDUList]:
    """Open a FITS file only if it is whole and every CHECKSUM it carries is right.

    Data are read into memory, not mapped: a product must not change under its reader, and
    gzipped files cannot be mapped anyway.

    Yields
    ------
    astropy.io.fits.HDUList

    Raises
    ------
    ArdError
        As `walk`, and IntegrityError where a checksum is wrong.
    """
    spans = walk(path)
    # The stream is ours, so that it is closed even where opening fails half-way.
    with warnings.catch_warnings(), _open_bytes(Path(path)) as stream:
        # Real archive headers have cards that the strict verifier dislikes; they are no damage.
        warnings.simplefilter("ignore", VerifyWarning)
        try:
            _require_sums(path, stream, spans)
            hdus = fits.open(stream, memmap=False)
            len(hdus)  # extensions are read lazily; damage has to show here
        except (OSError, ValueError, TypeError, KeyError, VerifyError) as error:
            raise unreadable(path, error) from error
        with hdus:
            try:
                yield hdus
            except (VerifyError, UnicodeDecodeError) as error:
                # A card or a text that cannot be parsed shows only when it is asked for.
                raise unreadable(path, error) from error


def unreadable(path: str | os.PathLike[str], error: Exception) -> IntegrityError:
    """Give the error for a file in which astropy met something that is no FITS."""
    return IntegrityError(
        "the file cannot be read as FITS",
        file=path,
        expected="headers and data that follow the FITS standard",
        found=str(error),
        action=FETCH_AGAIN,
    )


def _require_sums(
    path: str | os.PathLike[str], stream: BinaryIO, spans: tuple[HduSpan, ...]
) -> None:
    """Refuse an HDU whose CHECKSUM does not fit its bytes.

    astropy sums a header as it would write it, which hides damage in padding and comments; here
    the bytes themselves are summed.
    """
    for span in spans:
        if not str(span.header.get("CHECKSUM", "")).strip():
            continue  # the standard: absent or empty means not known
        stream.seek(span.header_start)
        size = span.end - span.header_start
        chunks = (stream.read(min(_CHUNK, size - at)) for at in range(0, size, _CHUNK))
        if ones_sum(chunks) != ALL_ONES:
            raise IntegrityError(
                "a checksum in the file does not fit its bytes",
                file=path,
                expected="the CHECKSUM of every HDU to be right",
                found=f"HDU {span.name} has been changed",
                action=FETCH_AGAIN,
            )
    stream.seek(0)


def ones_sum(chunks: Iterable[bytes]) -> int:
    """Give the 32-bit ones' complement sum of bytes (FITS 4.0, appendix J).

    Parameters
    ----------
    chunks : iterable of bytes
        Each a whole number of 4-byte words, as blocks of a FITS file are.

    Returns
    -------
    int
        `ALL_ONES`, which is minus zero, for a whole HDU whose CHECKSUM is right.
    """
    total = 0
    for chunk in chunks:
        total += int(np.frombuffer(chunk, dtype=">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & ALL_ONES) + (total >> 32)
    return total


def to_bytes(hdus: fits.HDUList) -> bytes:
    """Serialise an HDU list, with checksums that carry no time.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The content; its headers gain CHECKSUM and DATASUM cards.
    """
    if any(isinstance(hdu, fits.CompImageHDU) for hdu in hdus):
        # A sum is over the bytes as stored, so the images are compressed before it is taken.
        raw = io.BytesIO(_serialised(hdus))
        with fits.open(raw, disable_image_compression=True, do_not_scale_image_data=True) as stored:
            return _summed(stored)
    return _summed(hdus)


def _summed(hdus: fits.HDUList) -> bytes:
    for hdu in hdus:
        hdu.add_datasum(when=DATASUM_TEXT)
        hdu.add_checksum(when=CHECKSUM_TEXT, override_datasum=True)
    return _serialised(hdus)


def _serialised(hdus: fits.HDUList) -> bytes:
    buffer = io.BytesIO()
    hdus.writeto(buffer, output_verify="exception", checksum=False)
    return buffer.getvalue()


def write_hdus(
    path: str | os.PathLike[str],
    hdus: fits.HDUList,
    *,
    overwrite: bool = False,
    checksum: bool = True,
) -> None:
    """Write a FITS file atomically; equal content gives equal bytes.

    Parameters
    ----------
    path : path-like
        Where to; the folder is made.
    hdus : astropy.io.fits.HDUList
        The content.
    overwrite : bool
        Replace a file that is there.
    checksum : bool
        Add CHECKSUM and DATASUM. Only a stand-in for an archive file goes without.

    Raises
    ------
    ArdError
        If the file exists and `overwrite` is false.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        if checksum:
            temporary.write_bytes(to_bytes(hdus))
        else:
            hdus.writeto(temporary, output_verify="exception", checksum=False)


def native(data: np.ndarray) -> np.ndarray:
    """Give an array in the machine's byte order, copied only where it has to be."""
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
