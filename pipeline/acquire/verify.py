"""Is a downloaded file the file that the archive has, and does it contain what it should?

The ladder goes from cheap to dear: size, checksums in one pass over the bytes, structure, content.
Every rung is climbed whatever the others say, so that a report tells all that is wrong; only the
content of a file without structure is not looked at.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from ard.errors import NotFoundError
from ard.fitsio import ALL_ONES, HduSpan, ones_sum, walk
from manifests.lock import ARCHIVE, SIZE
from manifests.selection import Extension, ProductGroup
from pipeline.acquire import content
from pipeline.acquire.checksums import read_checksum
from pipeline.acquire.reading import DAMAGE, quiet, sentence

StopCheck = Callable[[], bool]

PASSED: Final = "passed"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"  # nothing to compare with
NOTED: Final = "noted"  # odd, and no reason to refuse the file

_CHUNK: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True)
class Expectation:
    """What is known about a file before it is looked at; None stands for what is not known.

    Attributes
    ----------
    name : str
        File name in the archive.
    group : ProductGroup
        Says which extensions must be there.
    size : int or None
        Bytes.
    sha256 : str or None
        Of the lock.
    checksum : str or None
        As the archive publishes it, of any kind.
    """

    name: str
    group: ProductGroup
    size: int | None
    sha256: str | None
    checksum: str | None


@dataclass(frozen=True)
class Rung:
    """One step of the ladder.

    Attributes
    ----------
    name : str
        size, checksum, sha256, structure or content.
    status : str
        passed, failed, skipped or noted.
    expected, found : str
        In words.
    """

    name: str
    status: str
    expected: str = ""
    found: str = ""


@dataclass(frozen=True)
class Examination:
    """What was found in a file.

    Attributes
    ----------
    rungs : tuple of Rung
        size, checksum, sha256, structure, content.
    size : int
        Bytes.
    sha256 : str
        Of the bytes.
    checksum_matched : bool
        Whether the archive publishes a checksum of a kind that we know, and it is that of the
        bytes.
    """

    rungs: tuple[Rung, ...]
    size: int
    sha256: str
    checksum_matched: bool

    @property
    def failure(self) -> Rung | None:
        """The first rung that failed, or None."""
        return next((rung for rung in self.rungs if rung.status == FAILED), None)

    @property
    def ok(self) -> bool:
        """Whether no rung failed."""
        return self.failure is None

    @property
    def verified(self) -> str:
        """How the lock calls it: by the archive's checksum, or by size and structure only."""
        return ARCHIVE if self.checksum_matched else SIZE

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "ok": self.ok,
            "verified": self.verified,
            "size": self.size,
            "sha256": self.sha256,
            "rungs": [vars(rung).copy() for rung in self.rungs],
        }


def examine(
    path: str | os.PathLike[str],
    expectation: Expectation,
    *,
    should_stop: StopCheck | None = None,
) -> Examination:
    """Compare a file with what is known about it, in bounded memory.

    Parameters
    ----------
    path : path-like
        The file, under whatever name it has while it is not trusted.
    expectation : Expectation
        What is known.
    should_stop : callable, optional
        Asked every MiB; where it says True, KeyboardInterrupt is raised.

    Returns
    -------
    Examination
        Damage is a finding there, never an exception.

    Raises
    ------
    NotFoundError
        If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(
            "the file does not exist", file=path, expected="a file", action="check the path"
        )
    stop = should_stop or _never
    algorithm, wanted = read_checksum(expectation.checksum)
    digests = _digests(path, {"sha256", algorithm or "sha256"}, stop)
    size = path.stat().st_size
    matched = algorithm is not None and digests[algorithm] == wanted
    named = digests["sha256"] == _lower(expectation.sha256)
    structure = _structure(path, expectation.group, stop)
    return Examination(
        rungs=(
            _compare("size", expectation.size, size, unit=" bytes"),
            _checksum(expectation.checksum, algorithm, wanted, digests),
            _compare("sha256", _lower(expectation.sha256), digests["sha256"]),
            structure,
            _content(path, expectation, structure, stop, vouched=matched or named),
        ),
        size=size,
        sha256=digests["sha256"],
        checksum_matched=matched,
    )


def _never() -> bool:
    return False


def _lower(text: str | None) -> str | None:
    return None if text is None else text.strip().lower()


def _compare(name: str, expected: object, found: object, unit: str = "") -> Rung:
    if expected is None:
        return Rung(name, SKIPPED, "", f"{found}{unit}")
    status = PASSED if expected == found else FAILED
    return Rung(name, status, f"{expected}{unit}", f"{found}{unit}")


def _checksum(text: str | None, algorithm: str | None, wanted: str, got: dict[str, str]) -> Rung:
    if not (text or "").strip():
        return Rung("checksum", SKIPPED)
    if algorithm is None:
        return Rung("checksum", NOTED, str(text), "a checksum of unknown kind: not compared")
    status = PASSED if got[algorithm] == wanted else FAILED
    return Rung("checksum", status, f"{algorithm}:{wanted}", f"{algorithm}:{got[algorithm]}")


def _chunks(stream: BinaryIO, size: int | None, stop: StopCheck) -> Iterator[bytes]:
    """Read a number of bytes, or all, and ask between chunks whether to go on."""
    left = size
    while left is None or left > 0:
        if stop():
            raise KeyboardInterrupt
        chunk = stream.read(_CHUNK if left is None else min(_CHUNK, left))
        if not chunk:
            return
        left = None if left is None else left - len(chunk)
        yield chunk


def _digests(path: Path, algorithms: set[str], stop: StopCheck) -> dict[str, str]:
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in sorted(algorithms)}
    with path.open("rb") as stream:
        for chunk in _chunks(stream, None, stop):
            for digest in digests.values():
                digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _structure(path: Path, group: ProductGroup, stop: StopCheck) -> Rung:
    expected = ", ".join(map(str, group.extensions))
    with path.open("rb") as stream:
        if stream.read(len(_GZIP)) == _GZIP:
            return Rung("structure", FAILED, expected, "a gzipped file under a plain name")
    try:
        with quiet():
            spans = walk(path)
            missing = _missing(spans, group.extensions)
            found = ", ".join(str(_extension(span)) for span in spans)
            if missing is not None:
                return Rung("structure", FAILED, expected, f"no {missing} in its place: {found}")
        # Not under the lock of `quiet`: this reads all bytes, and no header.
        wrong = _wrong_sum(path, spans, stop)
    except DAMAGE as error:
        return Rung("structure", FAILED, expected, sentence(error))
    if wrong is not None:
        return Rung("structure", FAILED, "every CHECKSUM and DATASUM to be right", wrong)
    return Rung("structure", PASSED, expected, found)


def _missing(spans: tuple[HduSpan, ...], required: tuple[Extension, ...]) -> Extension | None:
    """Give the first required extension that does not follow those before it, or None."""
    present = iter([_extension(span) for span in spans])
    return next((wanted for wanted in required if wanted not in present), None)


def _extension(span: HduSpan) -> Extension:
    # A tile-compressed image is stored as a table, and says in Z keywords what it was.
    z = "Z" if span.header.get("ZIMAGE") is True else ""
    name = span.name.strip().upper() or "unnamed"
    return Extension(name, int(span.header[f"{z}NAXIS"]), int(span.header[f"{z}BITPIX"]))


def _wrong_sum(path: Path, spans: tuple[HduSpan, ...], stop: StopCheck) -> str | None:
    """Name the first HDU with a sum that does not fit its bytes (FITS 4.0, section 4.4.2.7)."""
    with path.open("rb") as stream:
        for span in spans:
            datasum, checksum = (
                str(span.header.get(key, "")).strip() for key in ("DATASUM", "CHECKSUM")
            )
            if not datasum and not checksum:
                continue  # the standard: absent or empty means not known
            stream.seek(span.header_start)
            header = ones_sum(_chunks(stream, span.data_start - span.header_start, stop))
            data = ones_sum(_chunks(stream, span.end - span.data_start, stop))
            # In ones' complement, all ones are zero as well.
            if datasum and int(datasum) % ALL_ONES != data % ALL_ONES:
                return f"the data of {span.name} have been changed: DATASUM does not fit"
            if checksum and (header + data) % ALL_ONES != 0:
                return f"{span.name} has been changed: CHECKSUM does not fit"
    return None


def _content(
    path: Path, expectation: Expectation, structure: Rung, stop: StopCheck, *, vouched: bool
) -> Rung:
    if structure.status == FAILED:
        return Rung("content", SKIPPED, "", "not looked at, because the structure is wrong")
    try:
        with quiet():
            found = content.check(path, expectation.name, expectation.group, stop, vouched=vouched)
    except DAMAGE as error:
        return Rung("content", FAILED, "headers and data that can be read", sentence(error))
    if found.problems:
        status = FAILED
    elif found.notes:
        status = NOTED
    else:
        status = PASSED if found.expected else SKIPPED
    return Rung("content", status, found.expected, "; ".join(found.problems + found.notes))
