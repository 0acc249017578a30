"""How do I get one HDU of a product, or one member of an archive, without the rest of the file?

The manifest says where each lies and which bytes it has, so that one request by byte range is
enough, and what comes is held against its own digest.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from astropy.io import fits

from ard.bundle import Bundle, BundleFile
from ard.errors import ArdError, FormatError, IntegrityError, NotFoundError
from ard.fileio import atomic_path
from ard.fitsio import to_bytes, walk
from ard.headers import write_cards
from ard.opening import open
from ard.parts import Part
from ard.source import Piece, Watcher
from ard.sums import is_safe_name, quote

_CHUNK: Final = 1 << 20
_EXTENSION: Final = b"XTENSION"


@dataclass(frozen=True)
class Extract:
    """Say what was written.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    part : Part
        What it holds.
    detour : str
        Why the whole file had to be fetched; empty where only the part was.
    """

    path: Path
    part: Part
    detour: str


def fetch_hdu(
    bundle: Bundle | str | os.PathLike[str],
    product: str,
    hdu: str | int,
    folder: str | os.PathLike[str] = ".",
    *,
    progress: Watcher | None = None,
) -> Path:
    """Write one HDU of a product as a FITS file of its own, fetching no more than its bytes.

    Parameters
    ----------
    bundle : Bundle, str or path-like
        A bundle, or the DOI or folder that `ard.open` opens.
    product : str
        Name of the product, or its kind where only one has it: ``cube``.
    hdu : str or int
        EXTNAME (``SCI``; ``SCI,2`` for the second of a name), or number.
    folder : path-like
        Where to write.
    progress : callable, optional
        Told how far the transfer has come, where `bundle` has to be opened.

    Returns
    -------
    pathlib.Path
        The file: a primary header that says where the HDU comes from, and the HDU as it was.

    Raises
    ------
    NotFoundError
        If there is no such product or HDU.
    IntegrityError
        If the bytes are not the listed ones.
    ArdError
        If there is a file of that name.
    """
    opened = _opened(bundle, progress)
    file = opened.file(product)
    return extract(opened, file, find_part(file, hdu), Path(folder)).path


def fetch_member(
    bundle: Bundle | str | os.PathLike[str],
    product: str,
    member: str,
    folder: str | os.PathLike[str] = ".",
    *,
    progress: Watcher | None = None,
) -> Path:
    """Write one member of an archive as a file, fetching no more than its bytes.

    Parameters, returns and errors are those of `fetch_hdu`, with the name of a member.
    """
    opened = _opened(bundle, progress)
    file = opened.file(product)
    return extract(opened, file, find_part(file, member), Path(folder)).path


def _opened(bundle: Bundle | str | os.PathLike[str], progress: Watcher | None) -> Bundle:
    return bundle if isinstance(bundle, Bundle) else open(bundle, progress=progress)


def find_part(file: BundleFile, name: str | int) -> Part:
    """Find a part of a file by its name, in any case, or by its number.

    Raises
    ------
    FormatError
        If the file has no listed parts.
    NotFoundError
        If it has none of this name.
    """
    parts = file.entry.parts
    if not parts:
        raise FormatError(
            "the manifest lists no parts of this file",
            file=file.entry.name,
            expected="a FITS file that is not gzipped, or a stored zip",
            found=f"a {file.kind}",
            action="fetch the whole file",
        )
    found = [part for part in parts if part.name == name]
    found = found or [part for part in parts if part.name.lower() == str(name).lower()]
    if not found and str(name).isdecimal() and int(name) < len(parts):
        found = [parts[int(name)]]
    if len(found) != 1:
        raise NotFoundError(
            "the file has no such part" if not found else "several parts of the file match",
            file=file.entry.name,
            expected="one of " + quote(", ".join(part.name for part in parts)).strip("'"),
            found=quote(name),
        )
    return found[0]


def extract_path(file: BundleFile, part: Part, folder: Path) -> Path:
    """Say under which name a part of a file is written.

    Raises
    ------
    FormatError
        If it is a member whose name could lead out of the folder.
    """
    name = file.entry.name
    if name.endswith(".fits"):
        label = re.sub(r"[^a-z0-9]+", "-", part.name.lower()).strip("-")
        return folder / f"{name.removesuffix('.fits')}_{label or 'unnamed'}.fits"
    if not is_safe_name(part.name):
        raise FormatError(
            "a member of the archive has a name that is not safe",
            file=name,
            expected="a flat name in lower case",
            found=quote(part.name),
        )
    return folder / part.name


def extract(bundle: Bundle, file: BundleFile, part: Part, folder: Path) -> Extract:
    """Write a part of a file as a file of its own; see `fetch_hdu`."""
    out = extract_path(file, part, folder)
    if out.exists():
        # Said before anything is fetched.
        raise ArdError(
            "the file exists already", file=out, action="remove it, or choose another folder"
        )
    piece = file.source.piece(file.entry, part) if part.size else None
    with atomic_path(out) as temporary:
        with temporary.open("wb") as stream:
            for chunk in _pieces(bundle, file, part, piece):
                stream.write(chunk)
        if out.suffix == ".fits":
            walk(temporary)
    return Extract(out, part, piece.detour if piece else "")


def _pieces(bundle: Bundle, file: BundleFile, part: Part, piece: Piece | None) -> Iterator[bytes]:
    """Give a header where one is needed, and the bytes of the part, which have to be right."""
    digest = hashlib.sha256()
    for number, chunk in enumerate(_read(piece, part.size)):
        if number == 0 and chunk.startswith(_EXTENSION):
            yield primary_header(bundle, file, part)
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != part.sha256:
        raise IntegrityError(
            "the part of the file has other bytes than the manifest lists",
            file=f"{file.entry.name}!{part.name}",
            expected=part.sha256,
            found=digest.hexdigest(),
            action="verify the bundle in full",
        )


def _read(piece: Piece | None, size: int) -> Iterator[bytes]:
    if piece is None:
        return
    with piece.path.open("rb") as stream:
        stream.seek(piece.offset)
        while size and (chunk := stream.read(min(size, _CHUNK))):
            size -= len(chunk)
            yield chunk


def primary_header(bundle: Bundle, file: BundleFile, part: Part) -> bytes:
    """Give an empty primary HDU that says where an HDU beside it comes from."""
    doi, name = bundle.doi, quote(part.name).strip("'")
    cards: dict[str, str | bool] = {
        "FILENAME": file.entry.name,
        "PRODUCT": file.name,
        "PARTNAME": name,
    }
    if doi is not None:
        cards["DOI"] = doi
    if bundle.simulated:
        cards["SIMULATD"] = True
    header = fits.Header()
    write_cards(header, cards)
    version = quote(bundle.version).strip("'")
    source = f"version {version}" if doi is None else f"{doi} (version {version})"
    header["HISTORY"] = f"HDU {name} of {file.entry.name} of {source},"
    header["HISTORY"] = f"bytes {part.offset} to {part.offset + part.size - 1}, unchanged."
    return to_bytes(fits.HDUList([fits.PrimaryHDU(header=header)]))
