"""How does one get the few pixels that matter out of a file of gigabytes in the archive?

Headers are read by byte range, then the rows of the box alone. What can be verified of a part is
verified: the size of the file against the catalogue's and against its headers, the length of every
part, and that all parts are of one version. The pixels themselves cannot be: a checksum is of the
whole. A cut-out says so in its header, and is no substitute for a file of the lock.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from astropy.io import fits

import ard
from ard.fileio import atomic_write_bytes
from ard.fitsio import BLOCK, CHECKSUM_TEXT, DATASUM_TEXT, HduSpan
from pipeline.acquire.cutouts.boxes import section_text
from pipeline.acquire.cutouts.plan import (
    Cut,
    CutoutPlan,
    CutoutRequest,
    header_text,
    plan_cutout,
    readable,
    title_of,
)
from pipeline.acquire.cutouts.ranges import RangeReader
from pipeline.acquire.http import ArchiveSession, Waiter
from pipeline.acquire.transfer import Wanted

RANGE: Final = "range"  # how far a cut-out is verified; see `manifests.lock` for whole files
_PIXELS: Final = ("BSCALE", "BZERO", "BLANK")


@dataclass(frozen=True)
class Cutout:
    """A part of a file of the archive, as a FITS file.

    Attributes
    ----------
    content : bytes
        The file.
    uri, name : str
        What it is a part of.
    etag : str
        The version of the source.
    source_bytes : int
        Size of the source.
    sections : tuple of tuple of str
        Extension and section of each image, as FITS writes sections.
    requests, received_bytes : int
        What it took, headers included.
    notes : tuple of str
        What is not as asked, and what is not verified.
    verified : str
        Always "range": nothing vouches for the pixels but the transfer.
    """

    content: bytes = field(repr=False)
    uri: str
    name: str
    etag: str
    source_bytes: int
    sections: tuple[tuple[str, str], ...]
    requests: int
    received_bytes: int
    notes: tuple[str, ...]
    verified: str = RANGE

    def hdus(self) -> fits.HDUList:
        """Open it, anew at every call."""
        return fits.HDUList.fromstring(self.content)

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write it atomically.

        Raises
        ------
        ArdError
            If the file exists and `overwrite` is false.
        """
        atomic_write_bytes(path, self.content, overwrite=overwrite)
        return Path(path)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form, without the content."""
        rest = {key: value for key, value in vars(self).items() if key != "content"}
        return rest | {
            "sections": [list(pair) for pair in self.sections],
            "notes": list(self.notes),
            "size_bytes": len(self.content),
        }


def cut_out(
    session: ArchiveSession, wanted: Wanted, request: CutoutRequest, waiter: Waiter
) -> Cutout:
    """Get a part of a file of the archive without the rest.

    Parameters
    ----------
    session : ArchiveSession
    wanted : Wanted
        Which file.
    request : CutoutRequest
        Which part.
    waiter : Waiter
        Ends waits when the user asks to stop.

    Raises
    ------
    TransferError
        If the archive does not send parts, changes the file meanwhile, or cannot be read.
    ArdError
        If the file has no such part, or the part is larger than the limit.
    Stopped
        If the user asked to stop.
    """
    return carry_out(plan_cutout(session, wanted, request, waiter))


def carry_out(plan: CutoutPlan) -> Cutout:
    """Read what a plan says, and put it together; raises as `cut_out` does."""
    reader = plan.reader
    sections = tuple((title_of(cut.span), section_text(cut.section)) for cut in plan.cuts)
    parts = {cut.span.header_start: cut for cut in plan.cuts}
    first = parts.pop(0, None)  # where an image lies in the primary HDU
    header = plan.primary if first is None else first.header
    name = reader.wanted.name
    with readable(name):
        header = _primary(header, plan, sections, empty=first is None)
    pieces = [_assembled(header, b"" if first is None else _rows(reader, first), name)]
    rest: list[Cut | HduSpan] = [*parts.values(), *plan.tables]
    for part in sorted(rest, key=_place):
        pieces.append(_assembled(part.header, _rows(reader, part), name))
    return Cutout(
        content=b"".join(pieces),
        uri=reader.wanted.uri,
        name=name,
        etag=reader.version.etag,
        source_bytes=reader.version.total,
        sections=sections,
        requests=reader.requests,
        received_bytes=reader.received_bytes,
        notes=plan.notes,
    )


def _place(part: Cut | HduSpan) -> int:
    return part.header_start if isinstance(part, HduSpan) else part.span.header_start


def _rows(reader: RangeReader, part: Cut | HduSpan) -> bytes:
    """Read a data unit: a table as it is, or the rows of an image, filled up to whole blocks."""
    if isinstance(part, HduSpan):
        return reader.read(part.data_start, part.end)
    data = reader.read_pieces(part.starts, part.width)
    return data + bytes(-len(data) % BLOCK)


def _primary(
    header: fits.Header, plan: CutoutPlan, sections: tuple[tuple[str, str], ...], *, empty: bool
) -> fits.Header:
    """Keep the cards of the source, and add where it comes from and what is not verified."""
    header, wanted, version = header.copy(), plan.reader.wanted, plan.reader.version
    if empty:
        axes = [f"NAXIS{i + 1}" for i in range(int(header["NAXIS"]))]
        for key in (*axes, *_PIXELS):
            header.remove(key, ignore_missing=True)
        header["BITPIX"], header["NAXIS"] = 8, 0
    if "NEXTEND" in header:
        header["NEXTEND"] = len(plan.tables) + len(plan.cuts) - (not empty)
    header["CUT_URI"] = (wanted.uri, "source of the cut-out")
    header["CUT_ETAG"] = (version.etag, "its version in the archive")
    header["CUT_SIZE"] = (version.total, "[byte] its size")
    header["CUT_VRFY"] = (RANGE, "no checksum vouches for the pixels")
    header["HISTORY"] = f"Cut out of {wanted.name} by rbh1-ard {ard.__version__}."
    for title, section in sections:
        header["HISTORY"] = f"{title}: {section} of the source, from 1, ends included."
    for note in plan.notes:
        header["HISTORY"] = note
    return header


def _assembled(header: fits.Header, data: bytes, name: str) -> bytes:
    """Put header and data unit together as they are, with checksums.

    `ard.fitsio.to_bytes` would refuse cards of archive files that are not quite to the standard.
    """
    with readable(name):
        kind = fits.PrimaryHDU if "SIMPLE" in header else fits.ImageHDU
        hdu = kind.fromstring(header_text(header) + data)
        hdu.add_datasum(when=DATASUM_TEXT)
        hdu.add_checksum(when=CHECKSUM_TEXT, override_datasum=True)
        return header_text(hdu.header) + data
