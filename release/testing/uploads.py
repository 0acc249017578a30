"""How are requests about the files of drafts and records answered?"""

from typing import Final

from release.testing import downloads, shapes
from release.testing.call import Call
from release.testing.model import Entry, Refusal, Unforeseen, Version
from release.testing.state import DENIED
from release.testing.wire import OCTETS, Reply, empty_reply, json_reply, unsupported

_FAILED: Final = "File upload transfer failed."


def list_draft_files(call: Call) -> Reply:
    """List the files of a draft."""
    version = call.files.draft(call.id, call.user)
    return json_reply(200, shapes.file_list(version, call.draft_view()), kind=call.kind)


def announce(call: Call) -> Reply:
    """Take the names of files that are to come."""
    version = call.files.announce(call.id, call.user, call.request.json())
    document = shapes.file_list(version, call.draft_view())
    return json_reply(201, document, kind=call.kind, applied=True)


def delete(call: Call) -> Reply:
    """Delete a file, or all of them."""
    call.files.delete(call.id, call.user, call.named.get("key"))
    return empty_reply()


def take_over(call: Call) -> Reply:
    """Link the files of the previous version."""
    version = call.files.take_over(call.id, call.user)
    document = shapes.file_list(version, call.draft_view())
    return json_reply(201, document, kind=call.kind, applied=True)


def get_draft_file(call: Call) -> Reply:
    """Show a file of a draft."""
    version, entry = _draft_entry(call)
    return json_reply(200, shapes.file_entry(version, entry, call.draft_view()), kind=call.kind)


def upload(call: Call) -> Reply:
    """Take the bytes of a file; others are answered while they come."""
    kind = call.request.headers.get("Content-Type")
    if kind is not None and kind.split(";")[0].strip() != OCTETS:
        raise unsupported((OCTETS,))
    key = call.named["key"]
    with call.state.lock:
        limit = call.files.room_for(call.id, call.user, key)
    blob = call.files.receive(call.request.body, limit)
    with call.state.lock:
        version, entry, kept = call.files.store(call.id, call.user, key, blob)
        document = shapes.file_entry(version, entry, call.draft_view())
    if not kept:
        document["errors"] = _FAILED
    return json_reply(200, document, kind=call.kind, applied=True)


def upload_part(call: Call) -> Reply:
    """Refuse an upload in parts, of which only the announcement is accepted."""
    _draft_entry(call)
    raise Refusal(403, DENIED)


def commit(call: Call) -> Reply:
    """Complete a file."""
    version, entry, shown = call.files.commit(call.id, call.user, call.named["key"])
    document = shapes.file_entry(version, entry, call.draft_view(), metadata=shown)
    return json_reply(200, document, kind=call.kind, applied=True)


def get_draft_content(call: Call) -> Reply:
    """Give the bytes of a file of a draft."""
    return _content(call, _draft_entry(call)[1])


def get_draft_archive(call: Call) -> Reply:
    """Give all files of a draft in one zip."""
    version = call.files.draft(call.id, call.user)
    return downloads.archive(version.id, shapes.body_of(version, draft=True))


def list_files(call: Call) -> Reply:
    """List the files of a record."""
    version = call.state.record(call.id)
    return json_reply(200, shapes.file_list(version, call.record_view()))


def get_file(call: Call) -> Reply:
    """Show a file of a record."""
    version, entry = _entry(call)
    return json_reply(200, shapes.file_entry(version, entry, call.record_view()))


def get_content(call: Call) -> Reply:
    """Give the bytes of a file of a record."""
    return _content(call, _entry(call)[1])


def get_archive(call: Call) -> Reply:
    """Give all files of a record in one zip."""
    version = call.state.record(call.id)
    return downloads.archive(version.id, shapes.body_of(version, draft=False))


def _draft_entry(call: Call) -> tuple[Version, Entry]:
    version = call.files.draft(call.id, call.user)
    return version, call.files.entry(version, call.named["key"], draft=True)


def _entry(call: Call) -> tuple[Version, Entry]:
    version = call.state.record(call.id)
    return version, call.files.entry(version, call.named["key"], draft=False)


def _content(call: Call, entry: Entry) -> Reply:
    if entry.blob is None:
        raise Unforeseen
    honour = call.archive.honour_range
    return downloads.content(call.request, entry.key, entry.blob, honour_range=honour)
