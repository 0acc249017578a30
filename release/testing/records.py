"""How are requests about drafts, records and searches answered?"""

import uuid
from collections.abc import Callable
from typing import Any, Final

from release.testing import legacy, shapes
from release.testing.call import Call, redirect, wants_rdm
from release.testing.model import Refusal, Version
from release.testing.search import search
from release.testing.shapes import View
from release.testing.state import DENIED, PID_MISSING
from release.testing.validation import load
from release.testing.vocabularies import REMOVAL_REASONS
from release.testing.wire import JSON, RDM, Reply, empty_reply, json_reply

_CRATE: Final = 'application/ld+json;profile="https://w3id.org/ro/crate/1.1"'

type Action = Callable[[Call], Reply]


def _answer(
    call: Call,
    status: int,
    version: Version,
    view: View,
    errors: list[tuple[str, str]] | None = None,
    **headers: str,
) -> Reply:
    """Give a draft or record in the shape that was asked for."""
    revision = shapes.body_of(version, draft=view.draft).revision
    if wants_rdm(call.request):
        document, kind = shapes.record(version, view, errors or ()), RDM
    else:
        document, kind = legacy.record(version, view, errors or ()), JSON
    applied = call.request.method not in ("GET", "HEAD")
    return json_reply(status, document, kind=kind, applied=applied, ETag=f'"{revision}"', **headers)


def create(call: Call) -> Reply:
    """Make a draft."""
    document = call.request.json((JSON, _CRATE))
    if isinstance(document, dict) and "@graph" in document:
        document = legacy.from_crate(document)
    version, errors = call.state.create(call.user, load(document))
    return _answer(call, 201, version, call.draft_view(fresh=True), errors)


def get_draft(call: Call) -> Reply:
    """Show a draft."""
    version = call.state.draft_of(call.id, call.user, PID_MISSING)
    return _answer(call, 200, version, call.draft_view())


def put_draft(call: Call) -> Reply:
    """Replace the metadata of a draft."""
    document = call.request.json()
    call.state.draft_of(call.id, call.user)
    if_match = call.request.headers.get("If-Match")
    version, errors = call.state.put(call.id, call.user, load(document), if_match)
    return _answer(call, 200, version, call.draft_view(), errors)


def edit(call: Call) -> Reply:
    """Open a draft of a record."""
    version, new = call.state.edit(call.id, call.user)
    return _answer(call, 201, version, call.draft_view(titles=new)).but(applied=new)


def discard(call: Call) -> Reply:
    """Delete a draft."""
    call.state.discard(call.id, call.user)
    return empty_reply()


def reserve(call: Call) -> Reply:
    """Promise a DOI."""
    version = call.state.reserve(call.id, call.user, call.named["scheme"])
    return _answer(call, 201, version, call.draft_view())


def release(call: Call) -> Reply:
    """Take a promised DOI back."""
    version = call.state.release(call.id, call.user, call.named["scheme"])
    return _answer(call, 200, version, call.draft_view())


def publish(call: Call) -> Reply:
    """Make a draft public."""
    version = call.state.publish(call.id, call.user)
    return _answer(call, 202, version, call.record_view())


def get_record(call: Call) -> Reply:
    """Show a record; of a concept id, send to the latest version."""
    latest = call.state.concept(call.id)
    if latest is not None:
        return redirect(302, f"/api/records/{latest.id}")
    version = call.state.record(call.id)
    view = call.record_view(owner=call.owns(version), file_links=True)
    address = f"{call.request.base}/api/records/{version.id}"
    link = f'<{address}> ; rel="linkset" ; type="application/linkset+json"'
    return _answer(call, 200, version, view, Link=link)


def denied(call: Call) -> Reply:
    """Refuse what nobody may."""
    raise Refusal(403, DENIED)


def outside(call: Call) -> Reply:
    """Refuse what the archive can do, and nobody has recorded how."""
    request = call.request
    raise Refusal(501, f"{request.method} {request.path} is no part of the contract.")


# Versions and searches


def new_version(call: Call) -> Reply:
    """Give the draft of the next version."""
    version, new = call.state.new_version(call.id, call.user)
    return _answer(call, 201, version, call.draft_view(titles=new)).but(applied=new)


def list_versions(call: Call) -> Reply:
    """List the versions of a record, the latest first."""
    family = call.state.record(call.id).family
    everything = call.state.index.records(all_versions=True)
    hits = [hit for hit in everything if hit["parent"]["id"] == family.id]
    return search(call.request, hits, sort="version")


def latest(call: Call) -> Reply:
    """Send to the latest version of a record."""
    to = f"{call.request.base}/api/records/{call.state.latest(call.id).id}"
    document = {"status": 301, "message": "Redirecting...", "location": to}
    return json_reply(301, document, Location=to)


def search_records(call: Call) -> Reply:
    """Search what is public."""
    query = call.request.query
    hits = call.state.index.records(all_versions=query.get("allversions") in ("true", "1"))
    return search(call.request, hits, sort="bestmatch" if query.get("q") else "newest")


def search_own(call: Call) -> Reply:
    """Search the drafts and records of a user."""
    if call.user is None:
        raise Refusal(403, DENIED)
    sort = "bestmatch" if call.request.query.get("q") else "updated-desc"
    return search(call.request, call.state.index.drafts(call.user), sort=sort, own=True)


# Requests to the archive's keepers


def modify_files(call: Call) -> Reply:
    """Ask for the files of a record to be unlocked, which is granted."""
    document = call.request.json() or {}
    version = call.state.unlock(call.id, call.user)
    payload = {name: document[name] for name in ("comment",) if name in document}
    return _granted(call, version, "file-modification", "file-modification-", payload)


def delete_record(call: Call) -> Reply:
    """Ask for a record to be deleted, which is granted."""
    reason = (call.request.json() or {}).get("reason", "")
    REMOVAL_REASONS.check(reason)
    version = call.state.bury(call.id, call.user, reason)
    return _granted(call, version, "record-deletion", "", {"reason": reason})


def _granted(
    call: Call, version: Version, kind: str, policy: str, payload: dict[str, Any]
) -> Reply:
    payload = {"policy_id": f"{policy}grace-period-v1", **payload}
    call.state.requests += 1
    number, base = call.state.requests, call.request.base
    return json_reply(200, shapes.request(version, base, kind, number, payload), applied=True)


def secret_link(call: Call) -> Reply:
    """Make a link by which others can see a draft."""
    document = call.request.json() or {}
    if not call.owns(call.state.version(call.id)):
        raise Refusal(403, DENIED)
    link = {
        "id": str(uuid.uuid4()),
        "created_at": call.state.now(),
        "permission": document.get("permission", "view"),
        "description": document.get("description", ""),
        "token": uuid.uuid4().hex,
    }
    return json_reply(201, link, kind=RDM, applied=True)
