"""What does a released FITS file say about its dataset, and is it otherwise untouched?

The cards that archives ask of contributed products are added to the primary header, each only where
the product or the declaration of the dataset knows it. Everything after that header is copied byte
for byte, and every other card stays as it was; both are verified on the file that was written. The
DOI is that of the dataset in all versions, so that a new version does not change a file.
"""

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from astropy.io import fits

from ard.errors import FormatError, IntegrityError
from ard.fitsio import ALL_ONES, BLOCK, CHECKSUM_TEXT, DATASUM_TEXT, HduSpan, ones_sum, walk
from release.hlsp import Collection

_CHUNK: Final = 1 << 20
_CARD: Final = 80
_SUMS: Final = ("CHECKSUM", "DATASUM")
_ICRS: Final = "ICRS"

# Cards whose value the product has under another keyword: card, comment, keywords in that order.
_SYNONYMS: Final = (
    ("OBSERVAT", "observatory", ("OBSERVAT", "TELESCOP")),
    ("PROPOSID", "proposal or programme", ("PROPOSID", "PROGRAM")),
    ("XPOSURE", "[s] exposure time", ("XPOSURE", "EFFEXPTM", "EXPTIME")),
)


def stamp_cards(
    spans: Sequence[HduSpan], collection: Collection, name: str
) -> tuple[fits.Card, ...]:
    """Give the cards that a released product bears besides its own.

    Parameters
    ----------
    spans : sequence of HduSpan
        The product, as `ard.fitsio.walk` gives it.
    collection : Collection
        What is declared about the dataset.
    name : str
        Name of the file in the bundle.
    """
    header = spans[0].header
    declared = [
        ("DOI", collection.doi, "of the dataset, all versions"),
        ("HLSPID", collection.project, "collection"),
        ("HLSPLEAD", collection.lead, "lead of the collection"),
        ("HLSPNAME", collection.title, "name of the collection"),
        ("HLSPTARG", collection.target, "target"),
        ("HLSPVER", collection.version, "major version"),
        ("LICENSE", collection.licence, "of the data"),
        ("LICENURL", collection.licence_url, "its text"),
    ]
    cards = [_card(keyword, _ascii(text), comment) for keyword, text, comment in declared]
    for keyword, comment, known in _SYNONYMS:
        value = next((header[name] for name in known if _is_value(header.get(name))), None)
        if value is not None:
            cards.append(_card(keyword, value, comment))
    if "FILENAME" in header:
        # The product came from a file of that name, and is another one.
        cards.append(_card("FILENAME", name, "name of the file"))
    frames = {str(span.header["RADESYS"]) for span in spans if "RADESYS" in span.header}
    if len(frames) == 1:
        cards.append(_card("RADESYS", frames.pop(), "celestial frame"))
    return tuple(cards)


def stamp(source: Path, target: Path, collection: Collection) -> str:
    """Copy a FITS file and say in its primary header what it belongs to.

    Equal files and collections give equal bytes, and a stamped file is not changed by a second
    stamp. Memory does not grow with the file.

    Parameters
    ----------
    source : Path
        The product of the run.
    target : Path
        The file to write; it must not exist.
    collection : Collection
        What is declared about the dataset.

    Returns
    -------
    str
        sha256 of the source, as it was read.

    Raises
    ------
    IntegrityError
        If the source is damaged, or what was written is not the source with other cards.
    """
    spans = walk(source)
    wanted = stamp_cards(spans, collection, target.name)
    cards = [card for card in wanted if not _says(spans[0].header, card)]
    replaced = _replaced(wanted, cards)
    with source.open("rb") as reader, target.open("xb") as writer:
        raw = reader.read(spans[0].data_start)
        kept = [image for keyword, image in _split(raw) if keyword not in replaced]
        own = b"".join([*kept, *map(_image, cards)])
        writer.write(_with_sums(own, _data_sum(reader, spans[0])))
        digest = hashlib.sha256(raw)
        reader.seek(len(raw))
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    if _unstamped(target, raw, replaced) != (kept, digest.hexdigest()):
        raise IntegrityError(
            "a FITS file was not copied as it was",
            file=target,
            expected="the bytes of the run's product, but for the cards about the dataset",
            found="other cards, or other bytes after the first header",
            action="build again; if it happens again, memory or disk may be at fault",
        )
    return digest.hexdigest()


def _split(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Give the cards of a header as they lie there: keyword, and 80 bytes or more if continued."""
    keyword, image = "", b""
    for at in range(0, len(raw), _CARD):
        card = raw[at : at + _CARD]
        found = card[:8].rstrip().decode("ascii", "replace")
        if found == "CONTINUE":
            image += card
            continue
        if image:
            yield keyword, image
        if found == "END":
            return
        keyword, image = found, card


def _says(header: fits.Header, card: fits.Card) -> bool:
    found = [own.value for own in header.cards if own.keyword == card.keyword]
    return bool(found == [card.value])


def _replaced(wanted: Sequence[fits.Card], cards: Sequence[fits.Card]) -> frozenset[str]:
    """Name the cards that do not stay: the new ones, the sums, and the equinox ICRS has not."""
    icrs = any(card.keyword == "RADESYS" and card.value == _ICRS for card in wanted)
    return frozenset({*_SUMS, *(card.keyword for card in cards), *(["EQUINOX"] if icrs else [])})


def _with_sums(own: bytes, data_sum: int) -> bytes:
    """Close a header: its cards, the two sums, and blanks to the end of a block."""

    def closed(checksum: str) -> bytes:
        sums = [
            _card("CHECKSUM", checksum, CHECKSUM_TEXT),
            _card("DATASUM", str(data_sum), DATASUM_TEXT),
        ]
        text = own + b"".join(map(_image, sums)) + b"END".ljust(_CARD)
        return text.ljust(-(-len(text) // BLOCK) * BLOCK)

    total = ones_sum([closed("0" * 16), data_sum.to_bytes(4, "big")])
    return closed(checksum_text(total))


def _data_sum(reader: BinaryIO, span: HduSpan) -> int:
    reader.seek(span.data_start)
    size = span.end - span.data_start
    return ones_sum(reader.read(min(_CHUNK, size - at)) for at in range(0, size, _CHUNK))


def checksum_text(total: int) -> str:
    """Write the complement of a sum as the 16 characters of CHECKSUM (FITS 4.0, appendix J).

    Parameters
    ----------
    total : int
        `ard.fitsio.ones_sum` of the HDU, with sixteen ``0`` for the value of CHECKSUM.
    """
    columns = [_four(byte) for byte in (ALL_ONES - total).to_bytes(4, "big")]
    text = "".join(chr(column[row]) for row in range(4) for column in columns)
    # The value begins at an odd byte of its card.
    return text[-1] + text[:-1]


def _four(byte: int) -> list[int]:
    """Split a byte into four characters that are letters or digits and have it as their sum."""
    quotient, remainder = divmod(byte, 4)
    four = [quotient + ord("0")] * 4
    four[0] += remainder
    while not all(chr(code).isalnum() for code in four):
        for one, other in ((0, 1), (2, 3)):
            if not (chr(four[one]).isalnum() and chr(four[other]).isalnum()):
                four[one] += 1
                four[other] -= 1
    return four


def _card(keyword: str, value: object, comment: str) -> fits.Card:
    """Make a card, without the comment where both do not fit."""
    bare = fits.Card(keyword, value)
    full = max(len(str(bare).rstrip()), 30) + len(f" / {comment}")
    return fits.Card(keyword, value, comment) if full <= _CARD else bare


def _image(card: fits.Card) -> bytes:
    return str(card).encode("ascii")


def _is_value(value: object) -> bool:
    return isinstance(value, str | int | float) and str(value).strip() != ""


def _ascii(text: str) -> str:
    """Spell a text with the characters that FITS has; accents go, other letters are refused."""
    parts = unicodedata.normalize("NFKD", text)
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    if not plain.isascii() or not plain.isprintable():
        raise FormatError(
            "a text of the dataset cannot be written into a FITS header",
            expected="ASCII letters, with or without accents",
            found=ascii(text),
            action="spell it in ASCII in manifests/dataset.toml, or in the file of the target",
        )
    return plain


def _unstamped(target: Path, raw: bytes, replaced: frozenset[str]) -> tuple[list[bytes], str]:
    """Read what was written: the cards that stayed, and the sha256 with the source's header."""
    (primary, *_) = walk(target)
    digest = hashlib.sha256(raw)
    with target.open("rb") as stream:
        cards = list(_split(stream.read(primary.data_start)))
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return [image for keyword, image in cards if keyword not in replaced], digest.hexdigest()
