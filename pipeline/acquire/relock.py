"""What would have to change in the lock, so that it names what the archive and the store have now?

Changing the lock changes what the study stands on, so it is an act of its own, with a list of
every difference, and never a side effect of fetching.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ard.errors import ArdError
from manifests.lock import FIELDS, NEVER, VERIFIED, Lock, LockedFile
from manifests.selection import Selection
from pipeline.acquire.archive import Catalogue, Listing
from pipeline.acquire.checksums import agree
from pipeline.acquire.entry import VERSION_FIELDS, Entry, Held
from pipeline.acquire.store import Store
from pipeline.acquire.survey import parts_of

ADDED: Final = "added"
REMOVED: Final = "removed"
ALTERED: Final = "altered"


@dataclass(frozen=True)
class Difference:
    """How one file of the lock would change.

    Attributes
    ----------
    name : str
    kind : str
        added, removed or altered.
    fields : mapping of str to (before, after)
    """

    name: str
    kind: str
    fields: Mapping[str, tuple[Any, Any]]

    @property
    def new_bytes(self) -> bool:
        """Whether the study would stand on other bytes than before."""
        before, after = self.fields.get("sha256", (None, None))
        return before is not None and before != after

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        rows = {key: list(pair) for key, pair in self.fields.items()}
        return {"name": self.name, "kind": self.kind, "fields": rows}


def propose(
    selection: Selection,
    lock: Lock,
    store: Store,
    catalogue: Catalogue | None,
    *,
    take: Collection[str] = (),
) -> Lock:
    """Make the lock that names what there is now.

    Parameters
    ----------
    selection : Selection
        Files of other groups are left as they are.
    lock : Lock
        The present lock; without files if there is none yet.
    store : Store
    catalogue : Catalogue or None
        None: what the store has is added to what the lock says (``--offline``).
    take : collection of str
        Names of files of which the version that the archive served last is to be taken, though
        nothing that it lists tells it from the one of the lock.

    Raises
    ------
    ArdError
        If the store holds bytes that contradict the lock and the archive was not asked, if there
        is no version to take, or no file at all.
    """
    groups = {group.name for group in selection.groups}
    others = [file for file in lock.files if file.group not in groups]
    present = {file.name: file for file in lock.files if file.group in groups}
    if catalogue is None:
        drafts = list(present.values())
    else:
        drafts = [_listed(present.get(name), item) for name, item in catalogue.listings.items()]
    _require_names(drafts, take, lock)
    chosen: dict[str, Held] = {}
    files = []
    for draft in drafts:
        entry = store.entry(draft.name, draft.uri, draft.group)
        if draft.name in take:
            draft = replace(draft, sha256=_served(draft, entry), verified=NEVER)
        row, held = _match(draft, present.get(draft.name), entry, store)
        if held is not None:
            chosen[row.name] = held
            row = _with_content(row, held)
        files.append(row)
    parts = parts_of(chosen, selection.target)
    named = [
        replace(file, role=parts[file.name].role) if file.name in parts else file for file in files
    ]
    return Lock(lock.selection, (*others, *named), lock.path)


def _require_names(drafts: list[LockedFile], take: Collection[str], lock: Lock) -> None:
    unknown = sorted(set(take) - {draft.name for draft in drafts})
    if drafts and not unknown:
        return
    raise ArdError(
        "there is nothing to make a lock of" if not drafts else "there is no such file",
        file=lock.path,
        expected="files of the selection",
        found=", ".join(unknown) or "an empty lock, and an archive that was not asked",
        action="correct --take" if unknown else "ask the archive: without --offline",
    )


def _listed(file: LockedFile | None, listing: Listing) -> LockedFile:
    """Bring what the archive says into a row; bytes of another version are forgotten."""
    row = file or LockedFile(listing.uri, listing.name, listing.group)
    now = {name: getattr(listing, name) for name in (*VERSION_FIELDS, "checksum")}
    known = {name: value for name, value in now.items() if value is not None}
    new = replace(row, uri=listing.uri, group=listing.group, **known)
    verdict = agree(row.checksum, listing.checksum)
    if verdict is None:
        pairs = [(getattr(row, name), now[name]) for name in VERSION_FIELDS]
        verdict = all(one is None or two is None or one == two for one, two in pairs)
    return new if verdict else replace(new, sha256=None, verified=NEVER, role=None)


def _match(
    draft: LockedFile, before: LockedFile | None, entry: Entry, store: Store
) -> tuple[LockedFile, Held | None]:
    """Find the content of the store that a row describes.

    A lock must not pair the checksum of one file with the sha256 of another: content that was
    never held against the checksum is held against it now, and a sha256 that it refutes goes.
    """
    refuted = False
    for held in (*([entry.held] if entry.held else []), *entry.versions.values()):
        if not held.is_version_of(draft) or store.state(held) != "intact":
            continue
        vouched = store.vouch(held, draft.checksum)
        if vouched is not None:
            return draft, vouched
        refuted = refuted or held.sha256 == draft.sha256
    if refuted:
        return _match(replace(draft, sha256=None, verified=NEVER), before, entry, store)
    if draft.sha256 is not None and before is not None:
        # Not here, so not to be held against anything: what was said of these bytes stays.
        draft = replace(draft, checksum=before.checksum)
    return draft, None


def _served(file: LockedFile, entry: Entry) -> str:
    """Give the sha256 of the version that the archive gave last instead of the lock's."""
    if entry.served is not None:
        return entry.served
    raise ArdError(
        "the archive has served no other version of this file",
        file=file.name,
        expected="a version in versions/",
        found="none",
        action="fetch it: rbh1 acquire run --take-changed",
    )


def _with_content(file: LockedFile, held: Held) -> LockedFile:
    if file.size is not None and file.size != held.size:
        raise ArdError(
            "the store holds another number of bytes than the lock says",
            file=file.name,
            expected=f"{file.size} bytes",
            found=f"{held.size} bytes",
            action="ask the archive too: run rbh1 acquire lock without --offline",
        )
    verified = held.verified
    if file.sha256 == held.sha256:
        verified = max(verified, file.verified, key=VERIFIED.index)
    return replace(
        file,
        size=held.size,
        sha256=held.sha256,
        verified=verified,
        checksum=file.checksum or held.checksum,
        cal_ver=file.cal_ver or held.cal_ver,
        crds_ctx=file.crds_ctx or held.crds_ctx,
        sdp_ver=file.sdp_ver or held.sdp_ver,
    )


def differences(before: Lock, after: Lock) -> tuple[Difference, ...]:
    """List what differs between two locks, in order of file name."""
    old, new = before.by_name(), after.by_name()
    found = []
    for name in sorted({*old, *new}):
        one, two = old.get(name), new.get(name)
        if one == two:
            continue
        fields = {
            key: (getattr(one, key, None), getattr(two, key, None))
            for key in FIELDS
            if getattr(one, key, None) != getattr(two, key, None)
        }
        kind = ADDED if one is None else REMOVED if two is None else ALTERED
        found.append(Difference(name, kind, fields))
    return tuple(found)
