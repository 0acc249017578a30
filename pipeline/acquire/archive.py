"""Which files of a selection does the archive have, in which version?

The questions are put by astroquery, which knows the archive's protocol. Its replies are read
here, row by row: its own tables break on a type they do not know. Its download functions are not
used: they leave wrong files under final names (docs/acquire.md).
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import requests

from ard.errors import ArdError
from manifests.selection import ProductGroup, Programme, Selection
from pipeline.acquire.http import (
    Stopped,
    Waiter,
)
from pipeline.acquire.questions import CATALOGUE, Query, QuerySession
from pipeline.acquire.settings import TOKEN, Network

PUBLIC: Final = "PUBLIC"
_PRODUCTS_AT_A_TIME: Final = 10  # observations in one question: long lists time out
_FILE_COLUMNS: Final = (
    "filename,dataURI,fileSize,checksum,cal_ver,crds_ctx,sdp_ver,is_imprt,isRestricted,isStale"
)


@dataclass(frozen=True)
class Listing:
    """What the archive says about one file; None where it says nothing.

    Attributes
    ----------
    uri, name, group : str
        Its address in the archive, its name, its group in the selection.
    size : int or None
        Bytes.
    rights : str
        PUBLIC, or another word.
    checksum, cal_ver, crds_ctx, sdp_ver : str or None
        As published by the service of the programme.
    is_stale : bool or None
        Whether the archive means to process it again.
    """

    uri: str
    name: str
    group: str
    size: int | None = None
    rights: str = PUBLIC
    checksum: str | None = None
    cal_ver: str | None = None
    crds_ctx: str | None = None
    sdp_ver: str | None = None
    is_stale: bool | None = None


@dataclass(frozen=True)
class Catalogue:
    """The archive's files of a selection, by name, and the questions that found them."""

    server: str
    listings: Mapping[str, Listing]
    queries: tuple[Query, ...]


def list_files(selection: Selection, network: Network, waiter: Waiter) -> Catalogue:
    """Ask the archive for every file of a selection.

    Parameters
    ----------
    selection : Selection
    network : Network
    waiter : Waiter

    Raises
    ------
    ArdError
        If the archive cannot be asked, does not accept the token, lists nothing, or lists another
        number of files in a group than the selection expects.
    """
    with QuerySession(network, waiter) as session:
        if network.token is not None:
            _require_token(session)
        listings: dict[str, Listing] = {}
        for programme in selection.programmes:
            waiter.check()
            listings |= _list_programme(selection, programme, session)
        _require_counts(selection, listings.values())
        return Catalogue(network.server, dict(sorted(listings.items())), tuple(session.queries))


def _require_token(session: QuerySession) -> None:
    """Ask once, before the first byte, whether the token is good."""
    reply = session.request("GET", f"{session.network.server}/whoami")
    document = reply.json()
    if isinstance(document, dict) and document.get("anon") is False:
        return
    raise ArdError(
        f"the archive does not accept the token in {TOKEN}",
        expected="a token that is valid",
        found="the archive takes us for anonymous",
        action=f"make a new token, or unset {TOKEN} where public data are enough",
    )


def _list_programme(
    selection: Selection, programme: Programme, session: QuerySession
) -> dict[str, Listing]:
    client = _client(session)
    with _explained(programme, session.network):
        session.begin()
        observations = _rows(
            client.query_criteria_async(
                obs_collection=programme.collection, proposal_id=programme.program
            )
        )
        found = {str(row["obsid"]) for row in observations if row.get("obsid")}
        ids = sorted(found, key=lambda text: (len(text), text))
        if not ids:
            raise ArdError(
                f"the archive lists no observation of {_title(programme)}",
                file=selection.file,
                expected="at least one",
                found="0 rows",
                action="check collection and program in the selection",
            )
        products: list[Mapping[str, Any]] = []
        for start in range(0, len(ids), _PRODUCTS_AT_A_TIME):
            session.begin()
            batch = ids[start : start + _PRODUCTS_AT_A_TIME]
            products += _rows(client.get_product_list_async(batch))
        facts = _file_facts(programme, session, client)
        listings = _merge(selection, programme, products)
        return {name: _with_facts(item, facts.get(name)) for name, item in listings.items()}


def _title(programme: Programme) -> str:
    return f"{programme.collection} {programme.program}"


@contextmanager
def _explained(programme: Programme, network: Network) -> Iterator[None]:
    """Say which programme a failing question was about."""
    try:
        yield
    except (ArdError, Stopped):
        raise
    except Exception as error:
        # astroquery lets whatever its parsing meets escape: KeyError, TypeError, its own errors.
        raise ArdError(
            f"the archive's answer about {_title(programme)} cannot be understood",
            file=CATALOGUE,
            expected="rows of the portal's services",
            found=network.redact(f"{type(error).__name__}: {error}"),
            action="run the same command again later; if it stays, the archive has changed",
        ) from error


def _client(session: QuerySession) -> Any:
    """Make an astroquery client that speaks through our session with our server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that astroquery imports
        from astroquery.mast import ObservationsClass
        from astroquery.mast.discovery_portal import PortalAPI

    portal = PortalAPI(session)
    # The addresses are fixed when astroquery is imported; setting conf.server has no effect.
    server = session.network.server
    portal.MAST_REQUEST_URL = f"{server}/api/v0/invoke"
    portal.COLUMNS_CONFIG_URL = f"{server}/portal/Mashup/Mashup.asmx/columnsconfig"
    portal.TIMEOUT = session.network.query_limit_s
    # Shared by all instances otherwise, so that one server's columns would be used for another.
    portal._column_configs = {}
    client = ObservationsClass()
    client._portal_api_connection = portal
    return client


def _rows(replies: Iterable[requests.Response]) -> list[Mapping[str, Any]]:
    """Take the rows out of all pages of an answer, and make sure that none is missing."""
    rows: list[Mapping[str, Any]] = []
    expected: int | None = None
    for reply in replies:
        document = reply.json()
        if document.get("status") != "COMPLETE":
            raise ArdError(
                "the archive could not answer a question",
                file=CATALOGUE,
                expected="status COMPLETE",
                found=f"status {document.get('status')}: {document.get('msg', '')}",
                action="run the same command again later",
            )
        page = document.get("data")
        if not isinstance(page, list) or not all(isinstance(row, dict) for row in page):
            raise ValueError("the answer has no list of rows")
        rows += page
        paging = document.get("paging") or {}
        expected = paging.get("rowsFiltered", paging.get("rowsTotal", expected))
    if expected is not None and expected != len(rows):
        raise ValueError(f"the answer has {len(rows)} of {expected} rows")
    return rows


def _file_facts(
    programme: Programme, session: QuerySession, client: Any
) -> dict[str, Mapping[str, Any]]:
    """Ask the service that knows single files; nothing where the programme names none."""
    if programme.file_service is None:
        return {}
    session.begin()
    params = {
        "columns": _FILE_COLUMNS,
        "filters": [{"paramName": "program", "values": [programme.program]}],
    }
    portal = client._portal_api_connection
    rows = _rows(portal.service_request_async(programme.file_service, params))
    if not rows:
        raise ArdError(
            f"the archive's service of single files knows none of {_title(programme)}",
            file=CATALOGUE,
            expected=f"rows of {programme.file_service}, with checksums",
            found="0 rows",
            action="run the same command again later; if it stays, correct file_service in the "
            "selection",
        )
    facts: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        name = str(row.get("filename") or "")
        if facts.setdefault(name, row) != row:
            raise ValueError(f"{name} is listed twice, differently")
    return facts


def _merge(
    selection: Selection, programme: Programme, products: Iterable[Mapping[str, Any]]
) -> dict[str, Listing]:
    """Keep what the selection wants, once: the archive lists a product under each observation."""
    listings: dict[str, Listing] = {}
    for row in products:
        name = str(row.get("productFilename") or "")
        group = selection.group_of(programme.collection, programme.program, name)
        if group is None:
            continue
        listing = Listing(
            uri=_text(row.get("dataURI")) or "",
            name=name,
            group=group.name,
            size=_size(row.get("size")),
            rights=(_text(row.get("dataRights")) or PUBLIC).upper(),
        )
        if not listing.uri.endswith(f"/{name}") or not name.isascii():
            raise ValueError(f"{name} has the address {listing.uri!r}")
        other = listings.setdefault(name, listing)
        if other != listing:
            raise ValueError(f"{name} is listed twice, differently: {other} and {listing}")
    return listings


def _with_facts(listing: Listing, row: Mapping[str, Any] | None) -> Listing:
    if row is None:
        return listing
    restricted = _flag(row.get("isRestricted"))
    return replace(
        listing,
        # Of the two services this one knows the file itself.
        size=_size(row.get("fileSize")) or listing.size,
        rights="RESTRICTED" if restricted and listing.rights == PUBLIC else listing.rights,
        checksum=_text(row.get("checksum")),
        cal_ver=_text(row.get("cal_ver")),
        crds_ctx=_text(row.get("crds_ctx")),
        sdp_ver=_text(row.get("sdp_ver")),
        is_stale=_flag(row.get("isStale")),
    )


def _text(value: Any) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None


def _size(value: Any) -> int | None:
    """Read a size in bytes; the archive writes none as null, 0 or -999."""
    try:
        size = int(value)
    except (TypeError, ValueError):
        return None
    return size if size > 0 else None


def _flag(value: Any) -> bool | None:
    return {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}.get(
        str(value).strip().lower()
    )


def _require_counts(selection: Selection, listings: Iterable[Listing]) -> None:
    names: dict[str, list[str]] = {group.name: [] for group in selection.groups}
    for listing in listings:
        names[listing.group].append(listing.name)
    wrong = list(_wrong_counts(selection.groups, names))
    if not wrong:
        return
    raise ArdError(
        "the archive lists another number of files than the selection expects",
        file=selection.file,
        expected="; ".join(f"{group.count or 'some'} in {group.name}" for group in wrong),
        found="; ".join(f"{len(names[group.name])} in {group.name}" for group in wrong),
        action="look at the archive's page; if the number is right, correct the selection, "
        "else take other groups only: --group NAME",
    )


def _wrong_counts(
    groups: Iterable[ProductGroup], names: Mapping[str, list[str]]
) -> Iterator[ProductGroup]:
    for group in groups:
        found = len(names[group.name])
        if found == 0 or group.count not in (None, found):
            yield group
