"""How do bytes get into a file so that a crash leaves the old file or the new, never a half?

Also: what is the digest of a file, and what is the canonical text of a JSON document?
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ard.errors import ArdError, FormatError, NotFoundError

_CHUNK = 1 << 20


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Lend a temporary name in the same folder, and move it to its final name at the end.

    The body writes to the name it is lent. If it raises, the temporary file is removed and
    nothing appears under the final name.

    Parameters
    ----------
    path : path-like
        The final name; its folder is made.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    ArdError
        If the file exists and `overwrite` is false.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise ArdError(
            "the file exists already",
            file=path,
            expected="a name that is free",
            found="a file",
            action="choose another name, remove it, or ask for overwriting",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        with Path(temporary).open("rb+") as stream:
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_bytes(
    path: str | os.PathLike[str], data: bytes, *, overwrite: bool = False
) -> None:
    """Write bytes so that a reader sees the whole file or none."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Give the canonical text of a document: sorted keys, two spaces, one final newline.

    Raises
    ------
    FormatError
        If it holds what JSON cannot (not-a-number, infinity, arrays, paths).
    """
    try:
        text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FormatError(
            "the document cannot be written as JSON",
            expected="finite numbers, texts, booleans, null, lists and objects",
            found=str(error),
            action="write null where a number is unknown",
        ) from error
    return (text + "\n").encode()


def write_json(
    path: str | os.PathLike[str], document: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Write a document in its canonical form, atomically."""
    atomic_write_bytes(path, json_bytes(document), overwrite=overwrite)


def parse_json(data: bytes) -> Any:
    """Parse JSON strictly: no field twice, no NaN or infinity, no bottomless nesting.

    Readers differ in which of two equal fields they believe, so such a text is refused.

    Raises
    ------
    ValueError
        If it is not JSON in this sense.
    """
    try:
        return json.loads(data, object_pairs_hook=_once_each, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a field occurs twice")
    return document


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON document whose top level is an object.

    Raises
    ------
    NotFoundError, FormatError
        If there is no such file, or it is not a JSON object.
    """
    try:
        document = parse_json(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(
            "the file does not exist", file=path, expected="a JSON file", action="check the path"
        ) from error
    except ValueError as error:
        raise FormatError(
            "the file is not valid JSON",
            file=path,
            expected="a JSON object",
            found=str(error),
            action="make or fetch the file again",
        ) from error
    if not isinstance(document, dict):
        raise FormatError(
            "the file is JSON, but not an object",
            file=path,
            expected="an object with named fields",
            found=type(document).__name__,
            action="make or fetch the file again",
        )
    return document


def file_digest(path: str | os.PathLike[str], algorithm: str) -> str:
    """Give the digest of a file's bytes in hexadecimal, read in bounded memory."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Give the sha256 of a file, in hexadecimal."""
    return file_digest(path, "sha256")


def md5_file(path: str | os.PathLike[str]) -> str:
    """Give the md5 of a file, in hexadecimal: what Zenodo reports, never a proof."""
    return file_digest(path, "md5")
