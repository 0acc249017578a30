"""Of which kind is a checksum that the archive publishes, and do two of them agree?"""

import re
from pathlib import Path
from typing import Final

from ard.fileio import file_digest

_CHECKSUM: Final = re.compile(r"(?:([a-z0-9-]+)[:=] *)?([0-9a-f]+)")
# The archive does not say which algorithm it uses, so the length of the text has to.
_ALGORITHMS: Final = {32: "md5", 40: "sha1", 64: "sha256"}


def read_checksum(text: str | None) -> tuple[str | None, str]:
    """Say of which kind a published checksum is, and give it in lower case without prefix.

    Returns
    -------
    algorithm : str or None
        md5, sha1 or sha256, by the number of digits; None where that is unknown.
    digest : str
    """
    found = _CHECKSUM.fullmatch((text or "").strip().lower())
    if found is None:
        return None, ""
    prefix, digest = found.groups()
    algorithm = _ALGORITHMS.get(len(digest))
    # Other algorithms have as many digits (sha3-256): a prefix has the last word.
    known = prefix is None or prefix.replace("-", "") == algorithm
    return algorithm if known else None, digest


def agree(one: str | None, other: str | None) -> bool | None:
    """Say whether two checksums are of equal bytes; None where they cannot be compared."""
    kind, digest = read_checksum(one)
    other_kind, other_digest = read_checksum(other)
    if kind is None or kind != other_kind:
        return None
    return digest == other_digest


def fits(path: Path, checksum: str | None) -> bool | None:
    """Say whether a file has a checksum; None where its kind is not known."""
    kind, digest = read_checksum(checksum)
    return None if kind is None else file_digest(path, kind) == digest
