"""What does the archive's JSON look like?

Shapes of `application/vnd.inveniordm.v1+json`; every member of the recorded replies is here, so
that a client can be tested for what it reads.
"""

import mimetypes
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from release.testing.model import Body, Entry, Version
from release.testing.titles import terms
from release.testing.ui import ui

# What the archive knows and Python's list lacks.
_TYPES: Final = {".fits": "image/fits", ".md": "text/markdown"}
_ANY_TYPE: Final = "application/octet-stream"
_RESOLVER: Final = "https://handle.test.datacite.org"
_NO_FILES: Final = {"enabled": False, "order": [], "count": 0, "total_bytes": 0, "entries": {}}
_NO_STATS: Final = {
    "views": 0,
    "unique_views": 0,
    "downloads": 0,
    "unique_downloads": 0,
    "data_volume": 0.0,
}
_GRACE_DAYS: Final = 30


@dataclass(frozen=True)
class View:
    """Say for whom and where a record is shown.

    Attributes
    ----------
    base : str
        Address of the archive.
    draft : bool
        The draft, or what is published.
    owner : bool
        Whether the reader may manage it, and so sees more.
    file_links, storage : bool
        Whether files have links and their storage class, which depends on the request.
    fresh : bool
        The reply to the creation, which does not yet know that there will be files.
    titles : bool
        Whether ids bear their titles; not if what was asked for was there already.
    """

    base: str
    draft: bool
    owner: bool = True
    file_links: bool = False
    storage: bool = True
    fresh: bool = False
    titles: bool = True


def record(version: Version, view: View, errors: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """Give a draft or a record as JSON."""
    body = body_of(version, draft=view.draft)
    family = version.family
    shown = terms(body.metadata) if view.titles else body.metadata
    status = "metadata-only" if view.fresh else "open"
    document: dict[str, Any] = {
        "id": version.id,
        "created": body.created,
        "updated": body.updated,
        "links": record_links(version, view),
        "revision_id": body.revision,
        "parent": _parent(version, view),
        "versions": {"is_latest": version is family.latest, "index": version.index},
        "is_published": version.published is not None,
        "is_draft": view.draft,
        "pids": body.pids,
        "metadata": shown,
        "custom_fields": body.custom_fields,
        "access": {
            "record": "public",
            "files": "public",
            "embargo": {"active": False, "reason": None},
            "status": status,
        },
        "files": _summary(version, body, view),
        "media_files": _NO_FILES,
        "status": _status(version),
    }
    if view.owner:
        document["versions"]["is_latest_draft"] = version is (family.next_draft or family.latest)
    if view.draft:
        document["expires_at"] = body.created.replace("T", " ")
    else:
        document["deletion_status"] = {"is_deleted": False, "status": "P"}
        document["stats"] = {"this_version": _NO_STATS, "all_versions": _NO_STATS}
    rows = error_rows(errors)
    if rows:
        document["errors"] = rows
    document["ui"] = ui(body, shown, status=status, index=version.index, draft=view.draft)
    return document


def error_rows(errors: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Give what is wrong as the archive lists it."""
    return [{"field": field, "messages": [message]} for field, message in errors]


def body_of(version: Version, *, draft: bool) -> Body:
    """Give the draft or the published state, of which the caller knows that it is there."""
    body = version.draft if draft else version.published
    if body is None:
        raise LookupError(f"{version.id} has no {'draft' if draft else 'published state'}")
    return body


def _status(version: Version) -> str:
    if version.published is not None:
        return "published"
    return "new_version_draft" if version.family.latest is not None else "draft"


def _parent(version: Version, view: View) -> dict[str, Any]:
    family = version.family
    access: dict[str, Any] = {
        "owned_by": {"user": family.owner},
        "settings": {
            "allow_user_requests": False,
            "allow_guest_requests": False,
            "accept_conditions_text": None,
            "secret_link_expiration": 0,
        },
    }
    if view.owner:
        access = {"grants": [], "links": [], **access}
    return {"id": family.id, "access": access, "communities": {}, "pids": family.pids}


def record_links(version: Version, view: View) -> dict[str, str]:
    """Give the addresses that belong to a draft or record."""
    base, ident, parent = view.base, version.id, version.family.id
    api = f"{base}/api/records/{ident}"
    here = f"{api}/draft" if view.draft else api
    kind = "draft" if view.draft else "record"
    links = {
        "self": here,
        "self_html": f"{base}/uploads/{ident}" if view.draft else f"{base}/records/{ident}",
        "preview_html": f"{base}/records/{ident}?preview=1",
        "reserve_doi": f"{api}/draft/pids/doi",
        "self_iiif_manifest": f"{base}/api/iiif/{kind}:{ident}/manifest",
        "self_iiif_sequence": f"{base}/api/iiif/{kind}:{ident}/sequence/default",
        "files": f"{here}/files",
        "media_files": f"{here}/media-files",
        "archive": f"{here}/files-archive",
        "archive_media": f"{here}/media-files-archive",
        "versions": f"{api}/versions",
        "access": f"{api}/access",
        "communities": f"{api}/communities",
        "communities-suggestions": f"{api}/communities-suggestions",
        "quota_increase": f"{api}/quota-increase",
        "requests": f"{api}/requests",
        **{f"access_{kind}": f"{api}/access/{kind}" for kind in _ACCESS},
    }
    if view.draft:
        links["record"], links["record_html"] = api, f"{base}/records/{ident}"
        links["publish"], links["review"] = f"{here}/actions/publish", f"{here}/review"
    else:
        links["draft"], links["parent"] = f"{api}/draft", f"{base}/api/records/{parent}"
        links["parent_html"] = f"{base}/records/{parent}"
        links["latest"] = f"{api}/versions/latest"
        links["latest_html"] = f"{base}/records/{ident}/latest"
    return {**links, **_doi_links(version, view), **_published_links(version, api)}


_ACCESS: Final = ("links", "grants", "users", "groups", "request")


def _doi_links(version: Version, view: View) -> dict[str, str]:
    links = {}
    doi = body_of(version, draft=view.draft).pids.get("doi", {}).get("identifier")
    if doi:
        links["doi"] = links["self_doi"] = f"{_RESOLVER}/{doi}"
        if not view.draft:
            links["self_doi_html"] = f"{view.base}/doi/{doi}"
    concept = version.family.pids.get("doi", {}).get("identifier")
    if concept:
        links["parent_doi"] = f"{_RESOLVER}/{concept}"
        links["parent_doi_html"] = f"{view.base}/doi/{concept}"
    return links


def _published_links(version: Version, api: str) -> dict[str, str]:
    if version.published is None:
        return {}
    return {
        "request_deletion": f"{api}/request-deletion",
        "file_modification": f"{api}/file-modification",
    }


# Files


def media_type(key: str) -> str:
    """Which media type has a file of this name?"""
    suffix = PurePosixPath(key).suffix
    return _TYPES.get(suffix.lower()) or mimetypes.guess_type(f"x{suffix}")[0] or _ANY_TYPE


def _summary(version: Version, body: Body, view: View) -> dict[str, Any]:
    """Give the files as a record lists them."""
    sizes = [entry.blob.size for entry in body.files.values() if entry.blob]
    return {
        "enabled": True,
        "order": [],
        "count": len(body.files),
        "total_bytes": sum(sizes),
        "entries": {key: _summary_entry(version, entry, view) for key, entry in body.files.items()},
    }


def _summary_entry(version: Version, entry: Entry, view: View) -> dict[str, Any]:
    common = {"key": entry.key, "metadata": entry.metadata, "access": {"hidden": False}}
    if entry.blob is None:
        return common
    document = {
        "id": entry.blob.id,
        "checksum": f"md5:{entry.blob.md5}",
        "ext": PurePosixPath(entry.key).suffix[1:] or "bin",
        "size": entry.blob.size,
        "mimetype": media_type(entry.key),
        **common,
    }
    if view.storage:
        document["storage_class"] = "L"
    if view.file_links:
        links = file_links(version, entry.key, view)
        document["links"] = {name: links[name] for name in ("self", "content")}
    return document


def file_links(version: Version, key: str, view: View) -> dict[str, str]:
    """Give the addresses of a file."""
    here = f"{view.base}/api/records/{version.id}{'/draft' if view.draft else ''}/files"
    # The archive leaves slashes and plus signs as they are.
    here = f"{here}/{quote(key, safe='/+')}"
    links = {"self": here, "content": f"{here}/content"}
    if view.draft:
        links["commit"] = f"{here}/commit"
    return links


def file_entry(version: Version, entry: Entry, view: View, **changed: Any) -> dict[str, Any]:
    """Give one file as JSON; `changed` replaces members."""
    document: dict[str, Any] = {
        "created": entry.created,
        "updated": entry.updated,
        "metadata": entry.metadata,
        "access": {"hidden": False},
        "links": file_links(version, entry.key, view),
        "key": entry.key,
        **entry.declared,
        "transfer": entry.transfer,
        "status": "pending",
    }
    if entry.blob is not None:
        document |= {
            "mimetype": media_type(entry.key),
            "version_id": entry.version_id,
            "file_id": entry.blob.id,
            "bucket_id": body_of(version, draft=view.draft).bucket,
            "status": "completed",
            "checksum": f"md5:{entry.blob.md5}",
            "size": entry.blob.size,
            "storage_class": "L",
        }
    elif entry.transfer["type"] == "M":
        document |= _parts(version, entry, view)
    return document | changed


def _parts(version: Version, entry: Entry, view: View) -> dict[str, Any]:
    """Give what the archive adds to an upload in parts, which it then does not accept."""
    links = file_links(version, entry.key, view)
    expires = datetime.fromisoformat(entry.created) + timedelta(days=14)
    parts = [
        {"part": n, "url": f"{links['content']}/{n}", "expiration": expires.isoformat()}
        for n in range(1, int(entry.transfer.get("parts", 1)) + 1)
    ]
    return {
        "mimetype": media_type(entry.key),
        "version_id": entry.version_id,
        "file_id": str(uuid.uuid5(uuid.NAMESPACE_OID, entry.version_id)),
        "bucket_id": body_of(version, draft=view.draft).bucket,
        "links": {"self": links["self"], "commit": links["commit"], "parts": parts},
        "checksum": None,
        "storage_class": "L",
    }


def file_list(version: Version, view: View) -> dict[str, Any]:
    """Give all files of a draft or record as JSON."""
    here = f"{view.base}/api/records/{version.id}{'/draft' if view.draft else ''}"
    body = body_of(version, draft=view.draft)
    return {
        "enabled": True,
        "links": {"self": f"{here}/files", "archive": f"{here}/files-archive"},
        "entries": [file_entry(version, entry, view) for entry in body.files.values()],
        "default_preview": None,
        "order": [],
    }


# Requests to the archive's keepers


def request(
    version: Version, base: str, kind: str, number: int, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Give a granted request for deletion or for modification of files as JSON."""
    body = body_of(version, draft=version.published is None)
    ident = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{version.id} {kind} {number}"))
    api = f"{base}/api/requests/{ident}"
    expires = datetime.fromisoformat(body.updated) + timedelta(days=_GRACE_DAYS)
    what = "Deletion" if kind == "record-deletion" else "File modification"
    places = ("comments", "lock", "timeline", "timeline_focused", "unlock")
    return {
        "id": ident,
        "created": body.updated,
        "updated": body.updated,
        "created_by": {"user": version.family.owner},
        "expires_at": expires.isoformat(),
        "files": {"enabled": True},
        "is_closed": True,
        "is_expired": False,
        "is_open": False,
        "last_activity_at": body.updated,
        "last_reply": None,
        "links": {
            "actions": {},
            "self": api,
            "self_html": f"{base}/me/requests/{ident}",
            **{place: f"{api}/{place}" for place in places},
        },
        "number": str(number),
        "payload": dict(payload),
        "receiver": None,
        "revision_id": 4,
        "status": "accepted",
        "title": f'{what} request for "{body.metadata.get("title", "")}"',
        "topic": {"record": version.id},
        "type": kind,
    }
