"""Which address does what, for which method?"""

import re
from dataclasses import dataclass
from typing import Final

from release.testing import records, uploads
from release.testing.call import Archive, Call, redirect, wants_rdm
from release.testing.model import Refusal, Unforeseen
from release.testing.records import Action
from release.testing.wire import BROKEN, UNREADABLE, Reply, Request, json_reply, refusal_reply

_NO_URL: Final = (
    "The requested URL was not found on the server. If you entered the URL manually please check"
    " your spelling and try again."
)
_NO_METHOD: Final = "The method is not allowed for the requested URL."
_LEGACY: Final = (
    "The legacy API (/api/deposit, /api/files) is no part of the contract: use /api/records."
)


def answer(archive: Archive, request: Request) -> Reply:
    """Do what a request asks for, and give the reply, whatever it is."""
    try:
        action, named = _route(request)
        if action not in _ANY_TYPE:
            wants_rdm(request)  # refused before anything is done
        call = Call(archive, request, named)
        if action is uploads.upload:
            return action(call)
        request.body.load()  # a slow sender must not keep the others waiting
        if not request.body.whole:
            raise Refusal(400, UNREADABLE)
        with archive.state.lock:
            return action(call)
    except Refusal as refusal:
        return refusal_reply(refusal)
    except Unforeseen:
        return json_reply(500, {"message": BROKEN, "status": 500})


def _route(request: Request) -> tuple[Action, dict[str, str]]:
    path = request.path
    if path.startswith(("/api/deposit", "/api/files")):
        raise Refusal(501, _LEGACY)
    # The archive takes several slashes for one, and says so in a redirection.
    merged = re.sub("/{2,}", "/", path)
    method = "GET" if request.method == "HEAD" else request.method
    tried = [(route, route.pattern.fullmatch(merged)) for route in ROUTES]
    fitting = [(route, found) for route, found in tried if found]
    if not fitting:
        raise Refusal(404, _NO_URL)
    for route, found in fitting:
        if route.method == method:
            if merged != path:
                return lambda call: redirect(308, f"{call.request.base}{merged}"), {}
            return route.action, found.groupdict()
    raise Refusal(405, _NO_METHOD)


@dataclass(frozen=True)
class Route:
    """An address, a method, and what they do."""

    method: str
    pattern: re.Pattern[str]
    action: Action


def _routes(*rows: tuple[str, str, Action]) -> tuple[Route, ...]:
    """Read addresses in which {id} is a word, and {key} may have slashes in it."""
    routes = []
    for method, path, action in rows:
        pattern = path.replace("{key}", "(?P<key>.+?)")
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
        routes.append(Route(method, re.compile(f"/api{pattern}"), action))
    return tuple(routes)


# The first that fits; so longer addresses of files stand before shorter ones.
ROUTES: Final = _routes(
    ("GET", "/records", records.search_records),
    ("POST", "/records", records.create),
    ("GET", "/user/records", records.search_own),
    ("GET", "/records/{id}", records.get_record),
    ("PUT", "/records/{id}", records.denied),
    ("DELETE", "/records/{id}", records.denied),
    ("GET", "/records/{id}/revisions", records.denied),
    ("GET", "/records/{id}/versions", records.list_versions),
    ("POST", "/records/{id}/versions", records.new_version),
    ("GET", "/records/{id}/versions/latest", records.latest),
    ("POST", "/records/{id}/access/links", records.secret_link),
    ("POST", "/records/{id}/quota-increase", records.denied),
    ("POST", "/records/{id}/file-modification", records.modify_files),
    ("POST", "/records/{id}/request-deletion", records.delete_record),
    ("GET", "/records/{id}/draft", records.get_draft),
    ("PUT", "/records/{id}/draft", records.put_draft),
    ("POST", "/records/{id}/draft", records.edit),
    ("DELETE", "/records/{id}/draft", records.discard),
    ("POST", "/records/{id}/draft/pids/{scheme}", records.reserve),
    ("DELETE", "/records/{id}/draft/pids/{scheme}", records.release),
    ("POST", "/records/{id}/draft/actions/publish", records.publish),
    ("POST", "/records/{id}/draft/actions/files-import", uploads.take_over),
    ("GET", "/records/{id}/draft/files-archive", uploads.get_draft_archive),
    ("GET", "/records/{id}/draft/files", uploads.list_draft_files),
    ("POST", "/records/{id}/draft/files", uploads.announce),
    ("PUT", "/records/{id}/draft/files", records.outside),
    ("DELETE", "/records/{id}/draft/files", uploads.delete),
    ("GET", "/records/{id}/draft/files/{key}/content", uploads.get_draft_content),
    ("PUT", "/records/{id}/draft/files/{key}/content", uploads.upload),
    ("PUT", "/records/{id}/draft/files/{key}/content/{part}", uploads.upload_part),
    ("POST", "/records/{id}/draft/files/{key}/commit", uploads.commit),
    ("GET", "/records/{id}/draft/files/{key}", uploads.get_draft_file),
    ("PUT", "/records/{id}/draft/files/{key}", records.outside),
    ("DELETE", "/records/{id}/draft/files/{key}", uploads.delete),
    ("GET", "/records/{id}/files-archive", uploads.get_archive),
    ("GET", "/records/{id}/files", uploads.list_files),
    ("GET", "/records/{id}/files/{key}/content", uploads.get_content),
    ("GET", "/records/{id}/files/{key}", uploads.get_file),
)
# Bytes have the type that they have.
_ANY_TYPE: Final = frozenset(
    {
        uploads.get_content,
        uploads.get_draft_content,
        uploads.get_archive,
        uploads.get_draft_archive,
    }
)
