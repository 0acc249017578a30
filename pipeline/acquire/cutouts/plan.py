"""What would a cut-out take: which extensions, which pixels, how many requests and bytes?

Only headers are read, and the table of a tabular wavelength axis.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ard import spectral
from ard.errors import ArdError, FormatError, NotFoundError
from ard.fitsio import FETCH_AGAIN, HduSpan
from pipeline.acquire.cutouts.boxes import (
    PixelBox,
    Section,
    SkyBox,
    cut_header,
    find_box,
    find_channels,
    section_text,
    shape_of,
    sky_of,
    trimmed,
)
from pipeline.acquire.cutouts.ranges import RangeReader, grouped, walk
from pipeline.acquire.http import ArchiveSession, Waiter
from pipeline.acquire.reading import DAMAGE, quiet, sentence
from pipeline.acquire.transfer import Wanted

NOT_VERIFIED: Final = "byte-range cut-out: not verified against a whole-file checksum"
LIMIT_BYTES: Final = 512_000_000
_AXES: Final = (2, 3)
_CUBE: Final = 3


@dataclass(frozen=True)
class CutoutRequest:
    """What is to be cut out of a file.

    Attributes
    ----------
    place : SkyBox or PixelBox
        Where; a part of it that the image does not have is left out.
    extensions : tuple of str
        Images, as "SCI" or "SCI,2": EXTNAME and EXTVER, which is 1 where not given.
    wave_um : tuple of float, optional
        Of cubes, the channels from one vacuum wavelength to the other, um.
    tables : tuple of str
        Tables to be taken whole, named likewise.
    limit_bytes : int
        The most that may be read for it, headers aside, bytes.
    """

    place: SkyBox | PixelBox
    extensions: tuple[str, ...] = ("SCI",)
    wave_um: tuple[float, float] | None = None
    tables: tuple[str, ...] = ()
    limit_bytes: int = LIMIT_BYTES

    def __post_init__(self) -> None:
        names = [_key(text) for text in (*self.extensions, *self.tables)]
        if not self.extensions or len(set(names)) != len(names):
            raise _bad_request("extensions, each once", ", ".join(map(str, names)) or "none")
        if self.wave_um is not None and not 0 < self.wave_um[0] <= self.wave_um[1]:
            raise _bad_request("wavelengths above 0, in um, in ascending order", self.wave_um)


@dataclass(frozen=True)
class Cut:
    """One image of a cut-out: where it lies in the file, which section, its header."""

    span: HduSpan
    section: Section
    header: fits.Header

    @property
    def starts(self) -> list[int]:
        """Where in the file the rows begin, bytes."""
        shape = shape_of(self.span.header)
        (x0, _), (y0, y1), *rest = self.section
        rows = np.arange(y0, y1, dtype=np.int64)
        for z0, z1 in rest:
            rows = (np.arange(z0, z1, dtype=np.int64)[:, None] * shape[1] + rows).ravel()
        starts: list[int] = (self.span.data_start + (rows * shape[0] + x0) * self.item).tolist()
        return starts

    @property
    def item(self) -> int:
        """Bytes of a pixel."""
        return abs(int(self.span.header["BITPIX"])) // 8

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return (self.section[0][1] - self.section[0][0]) * self.item


@dataclass(frozen=True)
class CutoutPlan:
    """What a cut-out will take, before any pixel is read.

    Attributes
    ----------
    cuts : tuple of Cut
        The images, in the order of the file.
    tables : tuple of HduSpan
        The tables, likewise.
    primary : astropy.io.fits.Header
        The source's.
    reader : RangeReader
        At the version that the headers are of.
    requests, read_bytes, size_bytes : int
        How many requests are to be made, how many bytes will come, and how many come out.
    notes : tuple of str
        What is not as asked, and what is not verified.
    """

    cuts: tuple[Cut, ...]
    tables: tuple[HduSpan, ...]
    primary: fits.Header
    reader: RangeReader
    requests: int
    read_bytes: int
    size_bytes: int
    notes: tuple[str, ...]


def plan_cutout(
    session: ArchiveSession, wanted: Wanted, request: CutoutRequest, waiter: Waiter
) -> CutoutPlan:
    """Read the headers of a file, and say what a cut-out of it takes.

    Parameters
    ----------
    session : ArchiveSession
    wanted : Wanted
    request : CutoutRequest
    waiter : Waiter

    Raises
    ------
    TransferError, ArdError, Stopped
        As `pipeline.acquire.cutouts.cutout.cut_out`.
    """
    reader, name = RangeReader(session, wanted, waiter), wanted.name
    spans = walk(reader)
    with readable(name):
        images = sorted((_image(spans, text, name) for text in request.extensions), key=_place)
        tables = [_table(spans, text, name) for text in request.tables]
        tables += [table for span in images for table in _wave_tables(span, spans)]
        ordered = sorted({_place(table): table for table in tables}.values(), key=_place)
        _require_size([], ordered, request, name)
    waves = _waves(images, spans, request, reader)
    with readable(name):
        found = [_cut(span, spans, waves[_place(span)], request, name) for span in images]
        cuts = tuple(cut for _, cut in found)
        requests, read_bytes, kept = _require_size(cuts, ordered, request, name)
    trims = (_about_trim(asked, cut) for asked, cut in found if asked != cut.section)
    notes = (NOT_VERIFIED, _about_size(wanted), *_about_waves(waves.values(), request), *trims)
    return CutoutPlan(
        cuts, tuple(ordered), spans[0].header, reader, requests, read_bytes, kept, notes
    )


def _place(span: HduSpan) -> int:
    return span.header_start


def _key(text: str) -> tuple[str, int]:
    """Read "SCI" or "SCI,2"."""
    name, _, version = text.partition(",")
    version = version.strip() or "1"
    if not name.strip() or not (version.isascii() and version.isdigit()):
        raise _bad_request("extensions as SCI or SCI,2", text)
    return name.strip().upper(), int(version)


def _bad_request(expected: str, found: object) -> ArdError:
    return ArdError("this cannot be cut out", expected=expected, found=found,
                    action="correct the request")  # fmt: skip


def _key_of(span: HduSpan) -> tuple[str, int]:
    return span.name.upper(), int(span.header.get("EXTVER", 1))


def title_of(span: HduSpan) -> str:
    """Name an extension as a request does."""
    name, version = _key_of(span)
    return name if version == 1 else f"{name},{version}"


def _find(spans: tuple[HduSpan, ...], text: str, name: str) -> HduSpan:
    found = next((span for span in spans if _key_of(span) == _key(text)), None)
    if found is not None:
        return found
    raise NotFoundError(
        f"the file has no extension {text}",
        file=name,
        expected=text,
        found=", ".join(title_of(span) for span in spans),
        action="name another extension",
    )


def _image(spans: tuple[HduSpan, ...], text: str, name: str) -> HduSpan:
    span = _find(spans, text, name)
    header = span.header
    if header.get("ZIMAGE") is True:
        raise FormatError(
            f"{text} is compressed in tiles, of which no rows can be cut out",
            file=name,
            expected="an image that is not compressed",
            found=f"ZCMPTYPE = {header.get('ZCMPTYPE')}",
            action="fetch the whole file instead: rbh1 acquire run",
        )
    kind = str(header.get("XTENSION", "IMAGE")).strip()
    if kind != "IMAGE" or header["NAXIS"] not in _AXES or header.get("GROUPS") is True:
        raise FormatError(
            f"{text} is no image that can be cut",
            file=name,
            expected="an image of two axes, or a cube of three",
            found=f"{kind} of {header['NAXIS']} axes",
            action="name another extension; tables are taken whole, if asked for as such",
        )
    return span


def _table(spans: tuple[HduSpan, ...], text: str, name: str) -> HduSpan:
    span = _find(spans, text, name)
    kind = str(span.header.get("XTENSION", "IMAGE")).strip()
    if kind in ("BINTABLE", "TABLE"):
        return span
    raise FormatError(f"{text} is no table", file=name, expected="BINTABLE or TABLE", found=kind,
                      action="ask for images as extensions")  # fmt: skip


def _sister(span: HduSpan, spans: tuple[HduSpan, ...], key: str) -> HduSpan | None:
    """Give the extension that describes an axis: itself, or one of the same shape and EXTVER.

    JWST describes the axes of ERR, DQ and WMAP in the header of SCI alone.
    """
    for other in (span, *spans):
        if not str(other.header.get(key, "")).strip() or int(other.header["NAXIS"]) not in _AXES:
            continue
        if (
            shape_of(other.header) == shape_of(span.header)
            and _key_of(other)[1] == _key_of(span)[1]
        ):
            return other
    return None


def _wave_tables(span: HduSpan, spans: tuple[HduSpan, ...]) -> list[HduSpan]:
    """Give the table that a tabular wavelength axis cannot be read without."""
    if str(span.header.get("CTYPE3", "")).strip() != "WAVE-TAB":
        return []
    title = str(span.header.get("PS3_0", spectral.WCS_TABLE)).strip()
    return [other for other in spans if other.name == title][:1]


def _waves(
    images: list[HduSpan], spans: tuple[HduSpan, ...], request: CutoutRequest, reader: RangeReader
) -> Mapping[int, NDArray[np.float64] | None]:
    """Read the wavelengths of the channels of each image, um, where they matter; by place."""
    if request.wave_um is None:
        return dict.fromkeys(map(_place, images))
    name, known, waves = reader.wanted.name, {}, {}
    for span in images:
        source = _sister(span, spans, "CTYPE3")
        if source is None or int(source.header["NAXIS"]) != _CUBE:
            raise FormatError(
                f"{title_of(span)} has no wavelength axis",
                file=name,
                expected="a cube with CTYPE3, for a wavelength range",
                found=f"{span.header['NAXIS']} axes",
                action="ask without a wavelength range",
            )
        if _place(source) not in known:
            known[_place(source)] = _wave(source, spans, reader)
        waves[_place(span)] = known[_place(source)]
    return waves


def _wave(source: HduSpan, spans: tuple[HduSpan, ...], reader: RangeReader) -> NDArray[np.float64]:
    name = reader.wanted.name
    tables = [(t, reader.read(t.data_start, t.end)) for t in _wave_tables(source, spans)]
    with readable(name):
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for table, data in tables:
            hdus.append(fits.BinTableHDU.fromstring(header_text(table.header) + data))
        return spectral.read_wave(hdus, source.header, name)


def _cut(
    span: HduSpan,
    spans: tuple[HduSpan, ...],
    wave: NDArray[np.float64] | None,
    request: CutoutRequest,
    name: str,
) -> tuple[Section, Cut]:
    """Give the section that is asked for, and what there is of it."""
    source = _sister(span, spans, "CTYPE1")
    wcs = None if source is None else sky_of(source.header, name)
    asked = find_box(request.place, span.header, wcs, name)
    shape = shape_of(span.header)
    if wave is not None and request.wave_um is not None:
        asked = (*asked, find_channels(wave, request.wave_um, name))
    else:
        asked = (*asked, *((0, size) for size in shape[len(asked) :]))
    section = trimmed(asked, shape)
    if section is None:
        raise _bad_request("an image with pixels", f"{title_of(span)} of {shape}")
    return asked, Cut(span, section, cut_header(span.header, section, wcs, name))


def _about_trim(asked: Section, cut: Cut) -> str:
    return (
        f"{title_of(cut.span)}: {section_text(asked)} reaches beyond the image, and was trimmed to "
        f"{section_text(cut.section)}"
    )


def _about_waves(
    waves: Iterable[NDArray[np.float64] | None], request: CutoutRequest
) -> Iterator[str]:
    """Say where a wavelength range reaches beyond the channels."""
    known = next((wave for wave in waves if wave is not None), None)
    if known is None or request.wave_um is None:
        return
    (low, high), (first, last) = request.wave_um, (known[0], known[-1])
    if low < first or high > last:
        yield f"{low:g} to {high:g} um was asked for; channels lie at {first:g} to {last:g} um"


def _about_size(wanted: Wanted) -> str:
    if wanted.size is None:
        return "the archive lists no size of the file, to compare its own with"
    return "the size of the file is the one that the archive lists"


def _require_size(
    cuts: Sequence[Cut], tables: Sequence[HduSpan], request: CutoutRequest, name: str
) -> tuple[int, int, int]:
    """Say how many requests, bytes read and bytes kept it takes, if that is not too much."""
    requests = len(tables)
    read_bytes = kept = sum(span.end - span.data_start for span in tables)
    for cut in cuts:
        starts = cut.starts
        groups = list(grouped(starts, cut.width))
        requests += len(groups)
        read_bytes += sum(starts[last] + cut.width - starts[first] for first, last in groups)
        kept += len(starts) * cut.width
    if read_bytes <= request.limit_bytes:
        return requests, read_bytes, kept
    raise ArdError(
        "the cut-out is larger than the limit; none of it was read",
        file=name,
        expected=f"{request.limit_bytes / 1e6:.0f} MB at most",
        found=f"{read_bytes / 1e6:.0f} MB to be read in {requests} requests, {kept / 1e6:.0f} MB "
        "of them to be kept",
        action="make the box smaller, or raise the limit",
    )


def header_text(header: fits.Header) -> bytes:
    """Give a header as it stands in a file."""
    text: str = header.tostring(endcard=True, padding=True)
    return text.encode("ascii")


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Say of which file the headers make no sense."""
    try:
        with quiet():
            yield
    except ArdError:
        raise
    except DAMAGE as error:
        raise FormatError(
            "the headers of the file cannot be used",
            file=name,
            expected="headers that follow the FITS standard",
            found=sentence(error),
            action=FETCH_AGAIN,
        ) from error
