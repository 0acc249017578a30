"""How are the results of a search cut into pages?"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from release.testing.index import Hit, select
from release.testing.model import Refusal
from release.testing.wire import RDM, Reply, Request, json_reply

_DEFAULT_SIZE: Final = 25
_LARGEST_SIZE: Final = {True: 100, False: 25}  # with a token, without
_ORDER: Final[dict[str, tuple[Callable[[Hit], Any], bool]]] = {
    "bestmatch": (lambda hit: int(hit["id"]), False),
    "newest": (lambda hit: hit["created"], True),
    "oldest": (lambda hit: hit["created"], False),
    "updated-desc": (lambda hit: hit["updated"], True),
    "updated-asc": (lambda hit: hit["updated"], False),
    "version": (lambda hit: hit["versions"]["index"], True),
}
_FACETS: Final = {
    "publication_date": "Publication date",
    "access_status": "Access status",
    "is_published": "Status",
    "resource_type": "Resource types",
    "file_type": "File type",
}


def search(request: Request, hits: list[Hit], *, sort: str, own: bool = False) -> Reply:
    """Answer a search among these documents.

    Parameters
    ----------
    request : Request
        With the parameters q, sort, page, size.
    hits : list of dict
        What there is to be found.
    sort : str
        The order if none is asked for.
    own : bool
        Whether it is the search of a user's own records.
    """
    query = request.query
    page, size = _number(query, "page", 1), _number(query, "size", _DEFAULT_SIZE)
    sort = query.get("sort", sort)
    if sort not in _ORDER:
        raise Refusal(501, f"The order {sort} is no part of the contract.")
    key, falling = _ORDER[sort]
    found = select(hits, query.get("q", ""))
    found.sort(key=lambda hit: (key(hit), int(hit["id"])), reverse=falling)
    step = min(size, _LARGEST_SIZE[request.user is not None])
    shown = [_for_reader(hit, request.user) for hit in found[(page - 1) * step : page * step]]
    links = {"self": _address(request, page, size, sort)}
    if page > 1:
        links["prev"] = _address(request, page - 1, size, sort)
    if page * step < len(found):
        links["next"] = _address(request, page + 1, size, sort)
    document: dict[str, Any] = {"hits": {"hits": shown, "total": len(found)}}
    if sort != "version":
        names = _FACETS if own else {n: t for n, t in _FACETS.items() if n != "is_published"}
        rows = {name: {"buckets": [], "label": title} for name, title in names.items()}
        document["aggregations"] = rows
    return json_reply(200, {**document, "links": links, "sortBy": sort}, kind=RDM)


def _number(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    message = None
    if not text.lstrip("-").isdigit():
        message = "Not a valid integer."
    elif int(text) < 1:
        message = "Must be greater than or equal to 1."
    if message:
        raise Refusal(400, "A validation error occurred.", ((name, message),))
    return int(text)


def _for_reader(hit: Hit, user: str | None) -> Hit:
    """Take away what only the owner sees."""
    access = hit["parent"]["access"]
    if access["owned_by"]["user"] == user:
        return hit
    open_access = {key: value for key, value in access.items() if key not in ("grants", "links")}
    versions = {key: hit["versions"][key] for key in ("is_latest", "index")}
    return {**hit, "parent": {**hit["parent"], "access": open_access}, "versions": versions}


def _address(request: Request, page: int, size: int, sort: str) -> str:
    pairs = {"page": str(page), "size": str(size), "sort": sort}
    if request.query.get("q"):
        pairs["q"] = request.query["q"]
    text = "&".join(f"{name}={quote(pairs[name], safe=':/')}" for name in sorted(pairs))
    return f"{request.base}{request.path}?{text}"
