"""What may never be left in an archive, nor seen in its log, whatever went wrong meanwhile?

Oracle: the contract server's own account of what it was asked, what it did, and what it holds.
`release.testing.audit` asks what any client must not do; here is what this one promises beyond.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trials import Trial

from ard.layout import MANIFEST_FILE, RECORD_FILE
from release.testing import ContractServer, RequestRecord, audit

_WRITES = ("POST", "PUT", "DELETE")
_MANY = 429


def assert_converged(trial: Trial) -> None:
    """Require that the archive holds the versions that were made, and that nobody misbehaved."""
    wanted, world = [made.record_id for made in trial.made], trial.server.world
    found = [] if world.published() == wanted else [f"{wanted} became {world.published()}"]
    for made in trial.made:
        found += _differences(trial.server, made.record_id, made.folder / "bundle")
    found += _needless(trial)
    found += _offences(trial.server)
    found += _leaks(trial.server.token, trial.root, trial.said)
    assert not found, "\n".join(found)


def _needless(trial: Trial) -> Iterator[str]:
    """Find bytes that were sent although the version before has them."""
    bundles = {made.record_id: made.folder / "bundle" for made in trial.made}
    for before, after in itertools.pairwise(bundles):
        old, new = _bytes(bundles[before]), _bytes(bundles[after])
        same = {name for name in old.keys() & new.keys() if old[name] == new[name]}
        for row in trial.server.log:
            if row.record_id == after and row.key in same and row.path.endswith("/content"):
                yield f"{row.key} of record {before} was sent again, to record {after}"


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _offences(server: ContractServer) -> Iterator[str]:
    """Find what a client must not do, and what this one promises beyond that."""
    yield from audit.repeated_writes(server)
    yield from audit.leaked_tokens(server)
    yield from audit.beyond_rate(server)
    yield from audit.orphan_drafts(server)
    yield from _blind(server.log)
    yield from _trampled(server.log)
    yield from _unread(server.log)
    yield from _nameless(server.log)


def _nameless(log: list[RequestRecord]) -> Iterator[str]:
    """Find requests that do not say which program asks."""
    for row in log:
        if not (row.user_agent or "").startswith("rbh1-ard/"):
            yield f"{row.method} {row.path} comes from {row.user_agent!r}"


def _blind(log: list[RequestRecord]) -> Iterator[str]:
    """Find writes whose answer was lost, and that no look followed before the next write."""
    for number, row in enumerate(log):
        # A new version is the same one however often it is asked for.
        if row.method not in _WRITES or row.path.endswith("/versions") or not _is_lost(row):
            continue
        for later in log[number + 1 :]:
            if _tells(later, row):
                break
            if later.method in _WRITES and later.status != _MANY and _place(later) == _place(row):
                yield f"{row.method} {row.path} was lost; then came {later.method} {later.path}"
                break


def _is_lost(row: RequestRecord) -> bool:
    """Tell whether the client cannot know what came of a request."""
    return row.status == 0 or row.status >= 500 or row.broken_off


def _place(row: RequestRecord) -> tuple[str | None, str | None]:
    return (None, None) if row.path == "/api/records" else (row.record_id, row.key)


def _tells(look: RequestRecord, write: RequestRecord) -> bool:
    """Tell whether an answer says what came of a write."""
    if look.method != "GET" or look.status not in (200, 404) or _is_lost(look):
        return False
    if write.path == "/api/records":
        return look.path.startswith("/api/user/records")
    # An announcement of a file is known by that file, which its address does not name.
    known = look.key in (None, write.key) or write.path.endswith("/draft/files")
    return look.record_id == write.record_id and known


def _trampled(log: list[RequestRecord]) -> Iterator[str]:
    """Find metadata that replaced those of a draft that somebody else had just changed."""
    for row in log:
        if row.method == "PUT" and row.key is None and row.fault == "bump_revision" and row.applied:
            yield f"PUT {row.path} went over a change of somebody else"


def _unread(log: list[RequestRecord]) -> Iterator[str]:
    """Find records that were published, and not read afterwards as anybody reads them."""
    for number, row in enumerate(log):
        if not row.path.endswith("/actions/publish") or not row.applied:
            continue
        seen = (later for later in log[number:] if later.status == 200 and not later.token_given)
        if not any(later.record_id == row.record_id for later in seen):
            yield f"record {row.record_id} was published, and nobody looked whether it is public"


def _leaks(token: str, folder: Path, texts: Iterable[str]) -> Iterator[str]:
    """Find the token where it must not be: in files, and in what was shown."""
    for path in folder.rglob("*"):
        if path.is_file() and token.encode() in path.read_bytes():
            yield f"{path.name} holds the token"
    for text in texts:
        if token in text:
            yield f"the token was shown: {text.replace(token, '[token]')}"


def _differences(server: ContractServer, record_id: str, bundle: Path) -> list[str]:
    """List where a record is not the bundle that it was made from: DOIs, metadata, files, bytes."""
    world, manifest = server.world, json.loads((bundle / MANIFEST_FILE).read_text())
    stored = world.files(record_id)
    held = {name: (md5, size, path.read_bytes()) for name, (md5, size, path) in stored.items()}
    wanted = _bytes(bundle)
    sums = {row["name"]: (row["md5"], row["size"]) for row in manifest["files"]}
    prefix = manifest["doi"].removesuffix(record_id)
    rows = [
        ("DOI", manifest["doi"], world.doi(record_id)),
        ("concept DOI", manifest["concept_doi"], f"{prefix}{world.concept_id(record_id)}"),
        ("metadata", _as_stored(bundle / RECORD_FILE), world.metadata(record_id)),
        ("names", sorted(wanted), sorted(held)),
        *((name, wanted[name], held[name][2]) for name in wanted.keys() & held.keys()),
        *((name, sums[name], held[name][:2]) for name in sums.keys() & held.keys()),
    ]
    return [f"{what}: {want!r} became {found!r}" for what, want, found in rows if want != found]


def _as_stored(path: Path) -> dict[str, Any]:
    """Give the metadata that were sent, with the names that the archive makes of people's."""
    metadata: dict[str, Any] = json.loads(path.read_text())["metadata"]
    for creator in metadata["creators"]:
        person = creator["person_or_org"]
        person["name"] = f"{person['family_name']}, {person['given_name']}"
    return metadata
