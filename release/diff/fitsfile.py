"""Which HDUs, cards, pixels and rows of a FITS file changed?

HDUs with the same sha256 are not read. Of the others, images come in blocks and tables in blocks
of rows, so that a file of any size takes little memory. Before anything is compared, every
CHECKSUM has to be right: damage is an error, not a difference.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from astropy.io import fits

from ard.bundle import BundleFile
from ard.errors import IntegrityError
from ard.fitsio import HduSpan, open_hdus, walk
from ard.parts import Part
from release.diff.arrays import Tally, blocks
from release.diff.cards import card_changes, is_reordered
from release.diff.fitstable import FitsRows
from release.diff.model import (
    Bounds,
    HduChange,
    HduSide,
    ImageChange,
    ImageSide,
    Listing,
    Spread,
    State,
    TableChange,
)
from release.diff.pairs import pair_up
from release.diff.parts import parts_of
from release.diff.tables import table_change

_IMAGE: Final = "image"
_TABLE: Final = "table"


@dataclass(frozen=True)
class _Hdu:
    """One HDU of an open file, where it lies, and what the manifest calls it."""

    path: Path
    hdu: Any
    span: HduSpan
    part: Part

    @property
    def kind(self) -> str:
        if isinstance(self.hdu, fits.BinTableHDU | fits.TableHDU):
            return _TABLE
        if self.hdu.is_image:
            return _IMAGE if self.hdu.shape else "empty"
        return "other"

    @property
    def side(self) -> HduSide:
        return HduSide(self.kind, self.part.size)


def hdu_changes(before: BundleFile, after: BundleFile, bounds: Bounds) -> tuple[HduChange, ...]:
    """Compare two FITS files.

    Raises
    ------
    ArdError
        If one of them is damaged.
    """
    with _opened(before) as old, _opened(after) as new:
        pairs = pair_up(old, new, digest=lambda hdu: hdu.part.sha256)
        return tuple(
            _hdu_change(pair.state, pair.before, pair.after, bounds)
            for pair in pairs
            if pair.state is not None
        )


@contextmanager
def _opened(file: BundleFile) -> Iterator[Mapping[str, _Hdu]]:
    """Open a file, and lend its HDUs by the names of their parts."""
    path, parts = file.path, parts_of(file)
    spans = walk(path)
    with open_hdus(path) as hdus:
        if not len(hdus) == len(spans) == len(parts):
            raise IntegrityError(
                "the file has other HDUs than the manifest lists",
                file=path,
                expected=f"{len(parts)} HDUs",
                found=f"{len(hdus)} HDUs",
                action="verify the bundle in full",
            )
        rows = zip(hdus, spans, parts, strict=True)
        yield {part.name: _Hdu(path, hdu, span, part) for hdu, span, part in rows}


def _hdu_change(state: State, before: _Hdu | None, after: _Hdu | None, bounds: Bounds) -> HduChange:
    was = None if before is None else before.side
    now = None if after is None else after.side
    if before is None or after is None:
        return HduChange(_name(before, after), state, was, now)
    cards = card_changes(before.hdu.header, after.hdu.header)
    return HduChange(
        name=after.part.name,
        state=state,
        before=was,
        after=now,
        cards=Listing.of(cards, bounds),
        reordered=not cards and is_reordered(before.hdu.header, after.hdu.header),
        image=_image_change(before, after, bounds),
        table=_table_change(before, after, bounds),
    )


def _name(before: _Hdu | None, after: _Hdu | None) -> str:
    hdu = after or before
    return "" if hdu is None else hdu.part.name


def _image_change(before: _Hdu, after: _Hdu, bounds: Bounds) -> ImageChange | None:
    if before.kind != _IMAGE or after.kind != _IMAGE:
        return None
    old, new = _image_side(before.hdu), _image_side(after.hdu)
    if old.shape != new.shape:
        return ImageChange(old, new, None)
    spread = _pixels(before.hdu, after.hdu, bounds)
    return None if old == new and not spread.differing else ImageChange(old, new, spread)


def _image_side(hdu: Any) -> ImageSide:
    unit = str(hdu.header.get("BUNIT", "")).strip()
    return ImageSide(tuple(hdu.shape), _dtype(hdu), unit)


def _dtype(hdu: Any) -> str:
    if 0 in hdu.shape:
        return str(hdu.section.dtype.newbyteorder("=").name)
    # Scaling decides, and shows in what is read only.
    first = hdu.section[tuple(slice(0, 1) for _ in hdu.shape)]
    return str(first.dtype.newbyteorder("=").name)


def _pixels(before: Any, after: Any, bounds: Bounds) -> Spread:
    tally = Tally()
    widest = max(abs(int(hdu.header["BITPIX"])) // 8 for hdu in (before, after))
    for part in blocks(tuple(before.shape), max(1, bounds.block_bytes // widest)):
        tally.add(before.section[part], after.section[part])
    return tally.spread()


def _table_change(before: _Hdu, after: _Hdu, bounds: Bounds) -> TableChange | None:
    if before.kind != _TABLE or after.kind != _TABLE:
        return None
    old, new = (FitsRows(row.path, row.hdu, row.span.data_start) for row in (before, after))
    return table_change(old, new, bounds)
