"""How does a fault strike: before the effect, on the way in, or on the way out?"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from release.testing.faults import Fault
from release.testing.wire import Delivery, FileSpan, Reply, Request, json_reply

if TYPE_CHECKING:
    from release.testing.server import ContractServer

_PIECES: Final = 10
_HTML: Final = {"Content-Type": "text/html"}
_PAGE: Final = "<html>\r\n<head><title>{0}</title></head>\r\n<body>{0}</body>\r\n</html>\r\n"
_PHRASES: Final = {
    413: "413 Request Entity Too Large",
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}

type Serve = Callable[[Request], Reply]
type Strike = Callable[["ContractServer", Request, Fault, Serve], Reply]


class ConnectionCut(Exception):
    """The connection is to be reset; there is nothing more to say."""


def spoiled(archive: "ContractServer", request: Request, fault: Fault, serve: Serve) -> Reply:
    """Serve a request that a fault strikes.

    Parameters
    ----------
    archive : ContractServer
        Where it is served.
    request : Request
        What was asked.
    fault : Fault
        What goes wrong.
    serve : callable
        Does what the request asks for.

    Raises
    ------
    ConnectionCut
        If the connection is to be reset.
    """
    return _STRIKES[fault.kind](archive, request, fault, serve)


def _status(archive: "ContractServer", request: Request, fault: Fault, serve: Serve) -> Reply:
    """An error that comes from a gateway, or from the archive after it has done its work."""
    headers: dict[str, str] = {}
    if fault.when == "after":
        headers = dict(serve(request).headers)
    status = fault["status"]
    if status == 429:
        limits = archive.exhausted(fault["retry_after"])
        text = f"{limits['X-RateLimit-Limit']} per 1 minute"
        return json_reply(429, {"message": text, "status": 429}).with_headers(limits)
    if status == 503:
        headers = {"Retry-After": str(fault["retry_after"])}
    return Reply(status, _PAGE.format(_PHRASES[status]).encode(), {**_limits(headers), **_HTML})


def _limits(headers: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.startswith("X-RateLimit") or k == "Retry-After"}


def _html413(archive: "ContractServer", request: Request, fault: Fault, serve: Serve) -> Reply:
    """The edge refuses a body, as soon as its length is known or when it has come."""
    page = _PAGE.format(_PHRASES[413]).encode()
    return Reply(413, page, _HTML, at_once=not fault["drain"])


def _reset(archive: "ContractServer", request: Request, fault: Fault, serve: Serve) -> Reply:
    """The connection breaks; the archive may have seen the request, or a part of it."""
    if fault["side"] == "request":
        request.body.stop_at = fault["after_bytes"]
        if fault.when == "after":
            serve(request)
        else:
            request.body.drain()
        raise ConnectionCut
    if fault.when == "before":
        request.body.drain()
        raise ConnectionCut
    return serve(request).but(delivery=Delivery(cut_after=fault["after_bytes"], reset=True))


def _slow(archive: "ContractServer", request: Request, fault: Fault, serve: Serve) -> Reply:
    if fault["side"] == "request":
        request.body.slow_down(fault["seconds"], _PIECES)
        return serve(request)
    return serve(request).but(delivery=Delivery(seconds=fault["seconds"]))


def _errors(archive: "ContractServer", request: Request, fault: Fault, serve: Serve) -> Reply:
    """Success with errors: an upload is lost, metadata are complained of."""
    request.body.lost = True
    reply = serve(request)
    if reply.status >= 300 or not isinstance(reply.document, dict) or "key" in reply.document:
        return reply
    row = {"field": fault["field"], "messages": [fault["message"]]}
    document: dict[str, Any] = {**reply.document}
    document["errors"] = [*document.get("errors", []), row]
    return reply.but(body=json.dumps(document).encode(), document=document)


def _corrupt(archive: "ContractServer", request: Request, fault: Fault, serve: Serve) -> Reply:
    """A byte flips: on disk after an upload, on the way in a download."""
    reply = serve(request)
    if isinstance(reply.body, FileSpan):
        return reply.but(delivery=Delivery(flip_at=fault["at"] % max(1, reply.length)))
    if reply.status == 200 and request.method == "PUT":
        archive.corrupt(request, fault["at"])
    return reply


def _truncate(archive: "ContractServer", request: Request, fault: Fault, serve: Serve) -> Reply:
    return serve(request).but(delivery=Delivery(cut_after=fault["after_bytes"]))


def _ignore_range(archive: "ContractServer", request: Request, fault: Fault, serve: Serve) -> Reply:
    return serve(request.without("Range"))


def _around(disturb: Callable[["ContractServer", Request, Fault], None]) -> Strike:
    """Make a strike of something that changes the archive before or after the request."""

    def strike(archive: "ContractServer", request: Request, fault: Fault, serve: Serve) -> Reply:
        if fault.when == "before":
            disturb(archive, request, fault)
            return serve(request)
        reply = serve(request)
        disturb(archive, request, fault)
        return reply

    return strike


_STRIKES: Final[dict[str, Strike]] = {
    "status": _status,
    "html413": _html413,
    "reset": _reset,
    "slow": _slow,
    "errors": _errors,
    "corrupt": _corrupt,
    "truncate_download": _truncate,
    "ignore_range": _ignore_range,
    "expire_token": _around(lambda archive, request, fault: archive.expire_token(request)),
    "stale_index": _around(lambda archive, request, fault: archive.hold_index(fault["seconds"])),
    "bump_revision": _around(lambda archive, request, fault: archive.bump(request, fault["by"])),
}
