"""Does an answer have the fields that are read from it?

The archive is trusted no further than its documented shape; whatever lacks a field is named.
"""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from ard.sums import is_md5, quote
from release.deposit.errors import UnexpectedAnswerError


def misshapen(where: str, expected: str, found: object) -> UnexpectedAnswerError:
    """Make the error for an answer that lacks something."""
    return UnexpectedAnswerError(
        f"the answer of the archive has no usable {where}",
        expected=expected,
        found=quote(found),
        action="check that the address is that of an InvenioRDM archive",
    )


def fields(value: object, where: str) -> Mapping[str, Any]:
    """Give an object of the answer."""
    if not isinstance(value, dict):
        raise misshapen(where, "an object", value)
    return value


def rows(value: object, where: str) -> list[Any]:
    """Give a list of the answer."""
    if not isinstance(value, list):
        raise misshapen(where, "a list", value)
    return value


def text(document: Mapping[str, Any], name: str) -> str:
    """Give a text of the answer that cannot be empty."""
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise misshapen(name, "a text", value)
    return value


def number(document: Mapping[str, Any], name: str) -> int:
    """Give a whole number of the answer."""
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise misshapen(name, "a whole number", value)
    return value


def flag(document: Mapping[str, Any], name: str) -> bool:
    """Give a truth value of the answer; one that is missing is false."""
    return document.get(name) is True


def moment(document: Mapping[str, Any], name: str) -> float | None:
    """Give a time of the answer in seconds since 1970; None where there is none with its zone."""
    value = document.get(name)
    try:
        found = datetime.datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if found is None or found.tzinfo is None else found.timestamp()
    except (ValueError, OverflowError):
        return None


def inner(value: object, path: str) -> object:
    """Give what is there at a path of names with dots; None where there is nothing."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def doi(document: Mapping[str, Any]) -> str | None:
    """Give the DOI among the ``pids`` of an answer; None where there is none yet."""
    pids = fields(document.get("pids", {}), "pids")
    if "doi" not in pids:
        return None
    return text(fields(pids["doi"], "pids.doi"), "identifier")


def md5(value: object) -> str:
    """Give the md5 of a checksum, which the archive writes as ``md5:<hex>``."""
    digest = value.removeprefix("md5:") if isinstance(value, str) else value
    if not is_md5(digest):
        raise misshapen("checksum", "md5:<32 hex digits>", value)
    return str(digest)


def entries(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Go through the files of a record (an object) or of a list of files (a list)."""
    found = document.get("entries")
    values = list(found.values()) if isinstance(found, dict) else rows(found, "entries")
    for value in values:
        yield fields(value, "entries[]")
