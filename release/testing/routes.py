"""Which address does what, for which method, and in which media type is it answered?"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from release.testing import downloads, legacy, shapes
from release.testing.files import Files
from release.testing.model import Refusal, Version
from release.testing.search import search
from release.testing.shapes import View
from release.testing.state import DENIED, PID_MISSING, State
from release.testing.validation import load
from release.testing.vocabularies import REMOVAL_REASONS
from release.testing.wire import (
    BROKEN,
    JSON,
    OCTETS,
    RDM,
    Reply,
    Request,
    empty_reply,
    json_reply,
    refusal_reply,
    unsupported,
)

UPLOAD_FAILED: Final = "File upload transfer failed."
_CRATE: Final = 'application/ld+json;profile="https://w3id.org/ro/crate/1.1"'
_NO_URL: Final = (
    "The requested URL was not found on the server. If you entered the URL manually please check"
    " your spelling and try again."
)
_NO_METHOD: Final = "The method is not allowed for the requested URL."
_LEGACY: Final = (
    "The legacy API (/api/deposit, /api/files) is no part of the contract: use /api/records."
)


@dataclass(frozen=True)
class Archive:
    """What the handlers of requests work on."""

    state: State
    files: Files
    honour_range: bool


type Action = Callable[[Archive, Request, dict[str, str]], Reply]


def answer(archive: Archive, request: Request) -> Reply:
    """Do what a request asks for, and give the reply, whatever it is."""
    try:
        action, found = _route(request)
        if action is _put_content:
            return action(archive, request, found)
        request.body.load()  # a slow sender must not keep the others waiting
        with archive.state.lock:
            return action(archive, request, found)
    except Refusal as refusal:
        return refusal_reply(refusal)
    except LookupError:
        # What the archive did not think of, and answers with an error of its own.
        return json_reply(500, {"message": BROKEN, "status": 500})


def _route(request: Request) -> tuple[Action, dict[str, str]]:
    path = request.path
    if path.startswith(("/api/deposit", "/api/files")):
        raise Refusal(501, _LEGACY)
    merged = re.sub("/{2,}", "/", path)
    method = "GET" if request.method == "HEAD" else request.method
    known = [(rule, rule.pattern.fullmatch(merged)) for rule in ROUTES]
    matches = [(rule, found) for rule, found in known if found]
    if not matches:
        raise Refusal(404, _NO_URL)
    for rule, found in matches:
        if rule.method == method:
            if merged != path:
                return _merge_slashes, {"to": merged}
            return rule.action, found.groupdict()
    raise Refusal(405, _NO_METHOD)


def _merge_slashes(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    return _redirect(308, f"{request.base}{found['to']}")


def _redirect(status: int, to: str) -> Reply:
    text = (
        f"<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<a href={to!r}>here</a>"
    )
    headers = {"Location": to, "Content-Type": "text/html; charset=utf-8"}
    return Reply(status, text.encode(), headers)


# Records and drafts


def _wants_rdm(request: Request) -> bool:
    """Say whether the reader asked for the records API's own shape; the legacy one is default.

    Raises
    ------
    Refusal
        If nothing that the archive has is asked for.
    """
    ranked = []
    for place, part in enumerate(request.headers.get("Accept", "*/*").split(",")):
        kind, *options = (option.strip() for option in part.split(";"))
        weight = next((float(o[2:]) for o in options if o.startswith("q=")), 1.0)
        plain = all(option.startswith("q=") for option in options)
        ranked.append((-weight, place, kind if plain else part.strip()))
    for _, _, kind in sorted(ranked):
        if kind == RDM:
            return True
        if kind in (JSON, "*/*", "application/*"):
            return False
        if kind in EXPORTS:
            raise Refusal(501, f"Exports as {kind} are no part of the contract.")
    raise Refusal(406, f"Invalid 'Accept' header. Expected one of: {', '.join(ACCEPTED)}")


def _record_reply(
    request: Request,
    status: int,
    version: Version,
    view: View,
    errors: list[tuple[str, str]] | None = None,
    **headers: str,
) -> Reply:
    revision = shapes.body_of(version, draft=view.draft).revision
    applied = request.method != "GET" and request.method != "HEAD"
    if _wants_rdm(request):
        document, kind = shapes.record(version, view, errors or ()), RDM
    else:
        document, kind = legacy.record(version, view, errors or ()), JSON
    named = {"ETag": f'"{revision}"', **headers}
    return json_reply(status, document, kind=kind, applied=applied, **named)


def _draft_view(request: Request, *, fresh: bool = False, titles: bool = True) -> View:
    return View(request.base, draft=True, fresh=fresh, titles=titles)


def _create(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    document = request.json((JSON, _CRATE))
    if isinstance(document, dict) and "@graph" in document:
        document = legacy.from_crate(document)
    _wants_rdm(request)
    version, errors = archive.state.create(request.user, load(document))
    return _record_reply(request, 201, version, _draft_view(request, fresh=True), errors)


def _get_draft(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.state.draft_of(found["id"], request.user, PID_MISSING)
    return _record_reply(request, 200, version, _draft_view(request))


def _put_draft(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    document = request.json()
    archive.state.draft_of(found["id"], request.user)
    _wants_rdm(request)
    version, errors = archive.state.put(
        found["id"], request.user, load(document), request.headers.get("If-Match")
    )
    return _record_reply(request, 200, version, _draft_view(request), errors)


def _edit(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version, new = archive.state.edit(found["id"], request.user)
    reply = _record_reply(request, 201, version, _draft_view(request, titles=new))
    return reply.but(applied=new)


def _discard(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    archive.state.discard(found["id"], request.user)
    return empty_reply()


def _reserve(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.state.reserve(found["id"], request.user, found["scheme"])
    return _record_reply(request, 201, version, _draft_view(request))


def _release(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.state.release(found["id"], request.user, found["scheme"])
    return _record_reply(request, 200, version, _draft_view(request))


def _publish(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.state.publish(found["id"], request.user)
    return _record_reply(request, 202, version, View(request.base, draft=False))


def _get_record(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    latest = archive.state.concept(found["id"])
    if latest is not None:
        return _redirect(302, f"/api/records/{latest.id}")
    version = archive.state.record(found["id"])
    view = View(request.base, draft=False, owner=_owns(request, version), file_links=True)
    link = f'<{request.base}/api/records/{version.id}> ; rel="linkset" ; '
    link += 'type="application/linkset+json"'
    return _record_reply(request, 200, version, view, Link=link)


def _owns(request: Request, version: Version) -> bool:
    return request.user == version.family.owner


def _denied(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    raise Refusal(403, DENIED)


def _outside(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    raise Refusal(501, f"{request.method} {request.path} is no part of the contract.")


def _new_version(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version, new = archive.state.new_version(found["id"], request.user)
    reply = _record_reply(request, 201, version, _draft_view(request, titles=new))
    return reply.but(applied=new)


def _versions(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    archive.state.record(found["id"])
    family = archive.state.versions[found["id"]].family
    hits = [
        hit
        for hit in archive.state.index.records(all_versions=True)
        if hit["parent"]["id"] == family.id
    ]
    return search(request, hits, sort="version")


def _latest(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    to = f"{request.base}/api/records/{archive.state.latest(found['id']).id}"
    document = {"status": 301, "message": "Redirecting...", "location": to}
    return json_reply(301, document, Location=to)


def _search(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    everything = request.query.get("allversions") in ("true", "1")
    hits = archive.state.index.records(all_versions=everything)
    return search(request, hits, sort="bestmatch" if request.query.get("q") else "newest")


def _search_own(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    if request.user is None:
        raise Refusal(403, DENIED)
    hits = archive.state.index.drafts(request.user)
    sort = "bestmatch" if request.query.get("q") else "updated-desc"
    return search(request, hits, sort=sort, own=True)


# Requests to the archive's keepers


def _ask(kind: str) -> Action:
    name = {"file-modification": "file-modification", "request-deletion": "record-deletion"}[kind]
    policy = f"{'file-modification-' if kind == 'file-modification' else ''}grace-period-v1"

    def ask(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
        document = request.json() or {}
        payload = {"policy_id": policy, **_kept(document, kind)}
        tombstone = {}
        if kind == "request-deletion":
            reason = document.get("reason", "")
            REMOVAL_REASONS.check(reason)
            tombstone = {
                "note": "",
                "citation_text": _citation(archive.state, found["id"]),
                "is_visible": True,
                "removal_reason": {"id": reason},
                "deletion_policy": {"id": policy},
            }
        version = archive.state.request(found["id"], request.user, kind, tombstone)
        number = archive.state.requests
        answered = shapes.request(version, request.base, name, number, payload)
        return json_reply(200, answered, applied=True)

    return ask


def _kept(document: dict[str, Any], kind: str) -> dict[str, Any]:
    names = ("comment",) if kind == "file-modification" else ("reason",)
    return {name: document[name] for name in names if name in document}


def _citation(state: State, ident: str) -> str:
    version = state.record(ident)
    metadata = shapes.body_of(version, draft=False).metadata
    people = ", ".join(p["person_or_org"].get("name", "") for p in metadata.get("creators", []))
    year, title = metadata.get("publication_date", "")[:4], metadata.get("title", "")
    doi = shapes.body_of(version, draft=False).pids["doi"]["identifier"]
    return f"{people} ({year}). {title}. https://doi.org/{doi}"


def _secret_link(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    document = request.json() or {}
    version = archive.state.version(found["id"])
    if not _owns(request, version):
        raise Refusal(403, DENIED)
    link = {
        "id": str(uuid.uuid4()),
        "created_at": archive.state.now(),
        "permission": document.get("permission", "view"),
        "description": document.get("description", ""),
        "token": uuid.uuid4().hex,
    }
    return json_reply(201, link, kind=RDM, applied=True)


# Files of drafts


def _files_type(request: Request) -> str:
    """Files have one shape, under the name that was asked for."""
    return RDM if _wants_rdm(request) else JSON


def _list_draft_files(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.files.draft(found["id"], request.user)
    document = shapes.file_list(version, _draft_view(request))
    return json_reply(200, document, kind=_files_type(request))


def _init(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.files.init(found["id"], request.user, request.json())
    document = shapes.file_list(version, _draft_view(request))
    return json_reply(201, document, kind=_files_type(request), applied=True)


def _delete_files(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    archive.files.delete(found["id"], request.user, found.get("key"))
    return empty_reply()


def _import(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.files.take_over(found["id"], request.user)
    document = shapes.file_list(version, _draft_view(request))
    return json_reply(201, document, kind=_files_type(request), applied=True)


def _get_draft_file(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.files.draft(found["id"], request.user)
    entry = archive.files.entry(version, found["key"], draft=True)
    document = shapes.file_entry(version, entry, _draft_view(request))
    return json_reply(200, document, kind=_files_type(request))


def _commit(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version, entry, shown = archive.files.commit(found["id"], request.user, found["key"])
    document = shapes.file_entry(version, entry, _draft_view(request), metadata=shown)
    return json_reply(200, document, kind=_files_type(request), applied=True)


def _put_content(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    kind = request.headers.get("Content-Type")
    if kind is not None and kind.split(";")[0].strip() != OCTETS:
        raise unsupported((OCTETS,))
    ident, key = found["id"], found["key"]
    with archive.state.lock:
        limit = archive.files.begin_upload(ident, request.user, key)
    blob = archive.files.receive(request.body, limit)
    with archive.state.lock:
        version, entry, kept = archive.files.store(ident, request.user, key, blob)
        document = shapes.file_entry(version, entry, _draft_view(request))
    if not kept:
        document["errors"] = UPLOAD_FAILED
    return json_reply(200, document, kind=_files_type(request), applied=True)


def _put_part(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.files.draft(found["id"], request.user)
    archive.files.entry(version, found["key"], draft=True)
    raise Refusal(403, DENIED)


def _get_draft_content(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.files.draft(found["id"], request.user)
    entry = archive.files.entry(version, found["key"], draft=True)
    if entry.blob is None:
        raise LookupError("the file is pending")
    return downloads.content(request, entry.key, entry.blob, honour_range=archive.honour_range)


def _draft_archive(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.files.draft(found["id"], request.user)
    return downloads.archive(version.id, shapes.body_of(version, draft=True))


# Files of records


def _record_view(request: Request) -> View:
    return View(request.base, draft=False)


def _list_files(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.state.record(found["id"])
    return json_reply(200, shapes.file_list(version, _record_view(request)))


def _get_file(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.state.record(found["id"])
    entry = archive.files.entry(version, found["key"], draft=False)
    return json_reply(200, shapes.file_entry(version, entry, _record_view(request)))


def _get_content(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.state.record(found["id"])
    entry = archive.files.entry(version, found["key"], draft=False)
    if entry.blob is None:
        raise LookupError("a published file has content")
    return downloads.content(request, entry.key, entry.blob, honour_range=archive.honour_range)


def _archive(archive: Archive, request: Request, found: dict[str, str]) -> Reply:
    version = archive.state.record(found["id"])
    return downloads.archive(version.id, shapes.body_of(version, draft=False))


# The table


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


# The first that fits: addresses in front, longer ones of files before shorter ones.
ROUTES: Final = _routes(
    ("GET", "/records", _search),
    ("POST", "/records", _create),
    ("GET", "/user/records", _search_own),
    ("GET", "/records/{id}", _get_record),
    ("PUT", "/records/{id}", _denied),
    ("DELETE", "/records/{id}", _denied),
    ("GET", "/records/{id}/revisions", _denied),
    ("GET", "/records/{id}/versions", _versions),
    ("POST", "/records/{id}/versions", _new_version),
    ("GET", "/records/{id}/versions/latest", _latest),
    ("POST", "/records/{id}/access/links", _secret_link),
    ("POST", "/records/{id}/quota-increase", _denied),
    ("POST", "/records/{id}/file-modification", _ask("file-modification")),
    ("POST", "/records/{id}/request-deletion", _ask("request-deletion")),
    ("GET", "/records/{id}/draft", _get_draft),
    ("PUT", "/records/{id}/draft", _put_draft),
    ("POST", "/records/{id}/draft", _edit),
    ("DELETE", "/records/{id}/draft", _discard),
    ("POST", "/records/{id}/draft/pids/{scheme}", _reserve),
    ("DELETE", "/records/{id}/draft/pids/{scheme}", _release),
    ("POST", "/records/{id}/draft/actions/publish", _publish),
    ("POST", "/records/{id}/draft/actions/files-import", _import),
    ("GET", "/records/{id}/draft/files-archive", _draft_archive),
    ("GET", "/records/{id}/draft/files", _list_draft_files),
    ("POST", "/records/{id}/draft/files", _init),
    ("PUT", "/records/{id}/draft/files", _outside),
    ("DELETE", "/records/{id}/draft/files", _delete_files),
    ("GET", "/records/{id}/draft/files/{key}/content", _get_draft_content),
    ("PUT", "/records/{id}/draft/files/{key}/content", _put_content),
    ("PUT", "/records/{id}/draft/files/{key}/content/{part}", _put_part),
    ("POST", "/records/{id}/draft/files/{key}/commit", _commit),
    ("GET", "/records/{id}/draft/files/{key}", _get_draft_file),
    ("PUT", "/records/{id}/draft/files/{key}", _outside),
    ("DELETE", "/records/{id}/draft/files/{key}", _delete_files),
    ("GET", "/records/{id}/files-archive", _archive),
    ("GET", "/records/{id}/files", _list_files),
    ("GET", "/records/{id}/files/{key}/content", _get_content),
    ("GET", "/records/{id}/files/{key}", _get_file),
)

ACCEPTED: Final = (
    "application/json",
    "application/ld+json",
    "application/vnd.inveniordm.v1.full+csv",
    "application/vnd.inveniordm.v1.simple+csv",
    "application/marcxml+xml",
    "application/vnd.inveniordm.v1+json",
    "application/vnd.citationstyles.csl+json",
    "application/vnd.datacite.datacite+json",
    "application/vnd.geo+json",
    "application/vnd.datacite.datacite+xml",
    'application/ld+json;profile="https://datapackage.org/profiles/2.0/datapackage.json"',
    "application/x-dc+xml",
    "text/x-bibliography",
    "application/x-bibtex",
    "application/dcat+xml",
    "application/linkset+json",
    "application/vnd.zenodo.v1+json",
    "application/x-datacite+xml",
)
# A profile is asked for in vain, as recorded.
EXPORTS: Final = frozenset(ACCEPTED) - {JSON, RDM, ACCEPTED[10]}
