"""Which record of which archive does this text mean?

A DOI in any of its usual spellings, or the address of a record's page. Zenodo's DOIs end in the
number of the record, or of the family of all its versions, so no resolver has to be asked.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ard.errors import ArdError, NotFoundError
from ard.sums import quote

URL_VARIABLE: Final = "RBH1_ZENODO_URL"
ARCHIVES: Final = {"10.5281": "https://zenodo.org", "10.5072": "https://sandbox.zenodo.org"}

_ID: Final = r"[0-9]{1,18}"
_DOI: Final = re.compile(rf"(?P<prefix>10\.[0-9]{{4,9}})/zenodo\.(?P<id>{_ID})", re.IGNORECASE)
_PAGE: Final = re.compile(rf"/(?:api/)?records?/(?P<id>{_ID})(?:/.*)?")
_LABEL: Final = re.compile(r"doi:\s*", re.IGNORECASE)
_RESOLVER: Final = re.compile(r"https?://(?:dx\.|www\.)?doi\.org/", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"(?:doi:|https?://|10\.[0-9]{4,9}/)", re.IGNORECASE)
_EXPECTED: Final = (
    "10.5281/zenodo.N, https://doi.org/10.5281/zenodo.N or https://zenodo.org/records/N"
)


@dataclass(frozen=True)
class Address:
    """Name a record, or a family of versions, of an archive.

    Attributes
    ----------
    base : str
        The archive, without a slash at the end: ``https://zenodo.org``.
    id : str
        Number of the record; the number of a family leads to its latest version.
    doi : str or None
        The DOI that was given, in lower case; None where a record's page was.
    """

    base: str
    id: str
    doi: str | None

    def __str__(self) -> str:
        return self.doi or f"{self.base}/records/{self.id}"

    @property
    def host(self) -> str:
        """The archive as a folder name."""
        return re.sub(r"[^a-z0-9.-]", "_", self.base.partition("://")[2].lower())


def is_reference(text: str) -> bool:
    """Tell whether a text is meant as a DOI or an address, rather than as a path."""
    return _REFERENCE.match(text.strip()) is not None


def parse_address(text: str, environment: Mapping[str, str] = os.environ) -> Address:
    """Find out which record a text means.

    Parameters
    ----------
    text : str
        ``10.5281/zenodo.N``, the same after ``doi:`` or ``https://doi.org/``, or the address of a
        record's page.
    environment : mapping of str to str
        RBH1_ZENODO_URL in it names the archive to ask, whatever the text says.

    Raises
    ------
    NotFoundError
        If it names no record of a known archive.
    ArdError
        If RBH1_ZENODO_URL is no address that may be asked.
    """
    plain = text.strip()
    chosen = environment.get(URL_VARIABLE) or None
    override = None if chosen is None else _base(chosen)
    if not _RESOLVER.match(plain) and re.match(r"https?://", plain, re.IGNORECASE):
        return _of_page(plain, override)
    doi = _DOI.fullmatch(_RESOLVER.sub("", _LABEL.sub("", plain, count=1), count=1))
    if doi is None:
        raise _unknown(text)
    base = override or ARCHIVES.get(doi["prefix"])
    if base is None:
        raise NotFoundError(
            "the DOI does not belong to an archive that is known here",
            expected="the prefix " + " or ".join(ARCHIVES),
            found=quote(plain),
            action=f"set {URL_VARIABLE} to the address of its archive, if that is an InvenioRDM",
        )
    return Address(base, doi["id"], doi[0].lower())


def _of_page(text: str, override: str | None) -> Address:
    parts = _split(text)
    page = _PAGE.fullmatch(parts.path)
    known = {
        urlsplit(base).netloc: base for base in [*ARCHIVES.values(), *filter(None, [override])]
    }
    base = known.get(parts.netloc.lower().removeprefix("www."))
    if page is None or base is None:
        raise _unknown(text)
    return Address(override or base, page["id"], None)


def _unknown(text: str) -> NotFoundError:
    return NotFoundError(
        "this names no record of an archive",
        expected=_EXPECTED,
        found=quote(text),
        action="copy the DOI from the record's page",
    )


def _base(text: str) -> str:
    parts = _split(text)
    if not may_be_asked(text) or parts.query or parts.fragment:
        raise ArdError(
            f"{URL_VARIABLE} is no address that may be asked",
            expected="https://HOST (http only on this machine), without user, query and fragment",
            found=quote(text),
            action=f"mend or unset {URL_VARIABLE}",
        )
    return text.rstrip("/")


def may_be_asked(url: str) -> bool:
    """Tell whether an address is safe to ask: encrypted, or on this very machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str | None) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Give scheme, host and port, which together say who answers."""
    parts = _split(url)
    return parts.scheme, parts.hostname, parts.port


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ArdError(
            "this is no address", expected="https://HOST/...", found=quote(url)
        ) from error
    return parts
