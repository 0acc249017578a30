"""What has to be fetched so that the store equals the lock, and what stands in the way?

A plan is made from three accounts of each file: the lock (what the study stands on), the archive's
listing (what could be fetched now) and the store (what is held). Nothing is changed by making it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from ard.errors import ArdError
from manifests.lock import SIZE, Lock, LockedFile
from manifests.selection import Selection
from pipeline.acquire.archive import PUBLIC, Catalogue, Listing
from pipeline.acquire.checksums import agree
from pipeline.acquire.entry import VERSION_FIELDS, Entry, Held
from pipeline.acquire.partial import Partial
from pipeline.acquire.settings import TOKEN, Network, Policy
from pipeline.acquire.store import Store

# What is to be done with a file.
KEEP: Final = "keep"  # held, and the right bytes
LINK: Final = "link"  # the right bytes are held, under no name or another
FETCH: Final = "fetch"
TAKE: Final = "take"  # fetch what the archive has processed again, beside what is held
CONFIRM: Final = "confirm"  # fetch once more what is held on trust, and compare
NOTHING: Final = "nothing"  # it cannot be had, or not without asking for it
TO_TAKE: Final = (
    "to fetch the archive's version beside yours: --take-changed; to make it the study's: "
    "rbh1 acquire lock --update"
)

# How a file stands.
OK: Final = "OK"
MISSING: Final = "MISSING"
CHANGED: Final = "CHANGED"
FAILED: Final = "FAILED"
STATUSES: Final = (OK, MISSING, CHANGED, FAILED)


@dataclass(frozen=True)
class Step:
    """What is to be done with one file, and why.

    Attributes
    ----------
    file : LockedFile
    action : str
        keep, link, fetch, take, confirm or nothing.
    status : str
        How the file stands before anything is done: OK, MISSING, CHANGED or FAILED.
    listing : Listing or None
        What the archive says; None where it was not asked or does not list the file.
    entry : Entry
        What the store knows.
    held : Held or None
        Content of the store that is the lock's version, damaged or not.
    in_store : bool
        Whether the readable name leads to the bytes of the lock.
    damaged : bool
        Whether the content is not what it was.
    partial_bytes : int
        What an earlier run left of it.
    need_bytes : int
        What has to come over the network; an estimate where `size_known` is false.
    size_known : bool
    changes : tuple of str
        How the archive's version differs from the one of the lock.
    problem, remedy : str
        What stands in the way, and what to do; empty if nothing.
    """

    file: LockedFile
    action: str
    status: str
    listing: Listing | None
    entry: Entry
    held: Held | None = None
    in_store: bool = False
    damaged: bool = False
    partial_bytes: int = 0
    need_bytes: int = 0
    size_known: bool = True
    changes: tuple[str, ...] = ()
    problem: str = ""
    remedy: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.file.name

    @property
    def transfers(self) -> bool:
        """Whether bytes have to come over the network."""
        return self.action in (FETCH, TAKE, CONFIRM)

    @property
    def sha256(self) -> str | None:
        """The bytes that it must have: those of the lock, or of the first fetch."""
        return self.file.sha256 or (self.held.sha256 if self.held else None)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "name": self.name,
            "uri": self.file.uri,
            "group": self.file.group,
            "action": self.action,
            "status": self.status,
            "in_store": self.in_store,
            "need_bytes": self.need_bytes,
            "size_known": self.size_known,
            "partial_bytes": self.partial_bytes,
            "changes": list(self.changes),
            "problem": self.problem,
            "remedy": self.remedy,
        }


@dataclass(frozen=True)
class Plan:
    """What is to be done with every file of a lock.

    Attributes
    ----------
    selection : Selection
    lock : Lock
    catalogue : Catalogue or None
        None if the archive was not asked.
    steps : tuple of Step
        In the order of the lock.
    """

    selection: Selection
    lock: Lock
    catalogue: Catalogue | None
    steps: tuple[Step, ...]

    @property
    def transfers(self) -> tuple[Step, ...]:
        """The steps that bring bytes over the network."""
        return tuple(step for step in self.steps if step.transfers)

    @property
    def need_bytes(self) -> int:
        """How many bytes would come."""
        return sum(step.need_bytes for step in self.transfers)

    @property
    def estimated(self) -> bool:
        """Whether sizes are missing, so that `need_bytes` is an estimate."""
        return any(step.transfers and not step.size_known for step in self.steps)


def make_plan(
    selection: Selection,
    lock: Lock,
    store: Store,
    catalogue: Catalogue | None,
    *,
    network: Network,
    policy: Policy,
) -> Plan:
    """Decide about every file.

    Parameters
    ----------
    selection : Selection
    lock : Lock
    store : Store
        May not exist yet.
    catalogue : Catalogue or None
        None: nothing is to be fetched (``--offline``).
    network : Network
        Says whether there is a token.
    policy : Policy
    """
    steps = []
    for file in lock.files:
        entry = store.entry(file.name, file.uri, file.group)
        listing = catalogue.listings.get(file.name) if catalogue else None
        case = _Case.of(file, entry, listing, store, asked=catalogue is not None, deep=policy.deep)
        steps.append(_with_cost(case.decide(network, policy), selection, store))
    return Plan(selection, lock, catalogue, tuple(steps))


@dataclass(frozen=True)
class _Case:
    """The three accounts of one file.

    Attributes
    ----------
    file, entry, listing
        What lock, store and archive say.
    held : Held or None
        The content that is the lock's version.
    state : str
        How that content stands: intact, missing, damaged, or unrecorded.
    named : bool
        Whether the readable name leads to it.
    refuted : bool
        Whether the archive publishes a checksum that the content has not.
    asked : bool
        Whether the archive was asked.
    """

    file: LockedFile
    entry: Entry
    listing: Listing | None
    held: Held | None
    state: str
    named: bool
    refuted: bool
    asked: bool

    @classmethod
    def of(
        cls,
        file: LockedFile,
        entry: Entry,
        listing: Listing | None,
        store: Store,
        *,
        asked: bool,
        deep: bool,
    ) -> "_Case":
        """Look at the content of the store."""
        held = entry.version(file)
        state, named, refuted = "missing", False, False
        if held is not None:
            state = store.state(held, deep=deep)
            named = store.leads_to(store.link_path(file.group, file.name), held.sha256)
            if state == "intact" and listing is not None:
                vouched = store.vouch(held, listing.checksum)
                held, refuted = vouched or held, vouched is None
        elif file.sha256 is not None and store.object_path(file.sha256).is_file():
            state = "unrecorded"
        return cls(file, entry, listing, held, state, named, refuted, asked)

    def decide(self, network: Network, policy: Policy) -> Step:
        """Say what is to be done."""
        if self.state == "intact":
            return self._held(policy)
        if self.state == "unrecorded":
            return self._step(LINK, MISSING)
        return self._absent(network, policy)

    def _held(self, policy: Policy) -> Step:
        under_name = self.entry.held.sha256 if self.entry.held else None
        current = self.held is not None and self.held.sha256 == under_name
        here = KEEP if self.named and current else LINK
        if not self.changes:
            if policy.confirm and self.asked and self.held and self.held.verified == SIZE:
                return self._step(CONFIRM, OK)
            return self._step(here, OK if here == KEEP else MISSING)
        if policy.take_changed and not self._has_archives:
            return self._step(TAKE, CHANGED)
        problem = "the archive has processed this file again"
        if self.refuted:
            problem = "the store's file has not the checksum that the archive publishes"
        return self._step(here, CHANGED, problem, TO_TAKE)

    def _absent(self, network: Network, policy: Policy) -> Step:
        damaged = "what the store holds is damaged; " if self.state == "damaged" else ""
        if not self.asked:
            problem = f"{damaged}the file is not in the store, and the archive was not asked"
            return self._step(NOTHING, MISSING, problem, "run again without --offline")
        if self.listing is None:
            problem = f"{damaged}the archive does not list this file"
            return self._step(NOTHING, FAILED, problem, "see what it lists: rbh1 acquire lock")
        if self.listing.rights != PUBLIC and network.token is None:
            problem = f"the archive gives this file with a token only ({self.listing.rights})"
            return self._step(NOTHING, FAILED, problem, f"set {TOKEN} to your token")
        if policy.retry_failed and self.entry.last.get("status") != FAILED:
            problem = "only what failed last time was asked for"
            return self._step(NOTHING, MISSING, problem, "run again without --retry-failed")
        if self.changes:
            if policy.take_changed and not self._has_archives:
                return self._step(TAKE, CHANGED)
            problem = f"{damaged}the archive no longer has the version of the lock"
            return self._step(NOTHING, CHANGED, problem, TO_TAKE)
        if self._served_another and not policy.take_changed:
            problem = f"{damaged}the archive serves another version than the lock names"
            remedy = "to ask again: --take-changed; to make the version that it served the "
            remedy += f"study's: rbh1 acquire lock --update --take {self.file.name}"
            return self._step(NOTHING, CHANGED, problem, remedy)
        return self._step(FETCH, MISSING)

    @property
    def _served_another(self) -> bool:
        """Whether the archive gave other bytes last time, which nothing it lists told apart."""
        return (
            (self.file.sha256 is not None or self.held is not None)
            and self.entry.served not in (None, self.file.sha256)
            and self._has_archives
        )

    @property
    def _has_archives(self) -> bool:
        """Whether the archive's present version was fetched already, whatever it is called."""
        if self.listing is None:
            return False
        under_name = [self.entry.held] if self.entry.held else []
        return any(
            content.is_version_of(self.listing)
            for content in (*under_name, *self.entry.versions.values())
            # Content without the archive's checksum is not the archive's.
            if not (self.refuted and self.held and content.sha256 == self.held.sha256)
        )

    @property
    def changes(self) -> tuple[str, ...]:
        """How the archive's version differs from the one that the study stands on."""
        listing, held = self.listing, self.held
        if listing is None:
            return ()
        if self.refuted:
            return (f"checksum: not the one of the store's file: {listing.checksum}",)
        checksum = self.file.checksum or (held.checksum if held else None)
        if agree(checksum, listing.checksum) or (
            held is not None and agree(held.checksum, listing.checksum)
        ):
            return ()  # equal bytes, whatever else is written about them
        pairs = [(name, self._known(name), getattr(listing, name)) for name in VERSION_FIELDS]
        different = [pair for pair in pairs if None not in pair and pair[1] != pair[2]]
        if agree(checksum, listing.checksum) is False:
            different.insert(0, ("checksum", checksum, listing.checksum))
        return tuple(f"{n}: {old} in the lock, {new} in the archive" for n, old, new in different)

    def _known(self, name: str) -> Any:
        value = getattr(self.file, name)
        return getattr(self.held, name) if value is None and self.held is not None else value

    def _step(self, action: str, status: str, problem: str = "", remedy: str = "") -> Step:
        return Step(
            file=self.file,
            action=action,
            status=status,
            listing=self.listing,
            entry=self.entry,
            held=self.held,
            in_store=self.state == "intact" and self.named,
            damaged=self.state == "damaged",
            changes=self.changes,
            problem=problem,
            remedy=remedy,
        )


def _with_cost(step: Step, selection: Selection, store: Store) -> Step:
    if not step.transfers and step.status != MISSING:
        return step
    part = Partial.found(store.part_path(step.file.uri, step.name), step.file.uri)
    size = (step.listing.size if step.listing else None) or step.file.size
    whole = size or selection.group(step.file.group).typical_bytes
    return replace(
        step,
        partial_bytes=part.have,
        need_bytes=max(whole - part.have, 0),
        size_known=size is not None,
    )


def require_space(plan: Plan, free_bytes: int, policy: Policy, where: object) -> None:
    """Make sure, before the first byte, that everything fits on the disk.

    Raises
    ------
    ArdError
        If it does not, with the reserve that must stay free.
    """
    short = plan.need_bytes + policy.reserve_bytes - free_bytes
    if not plan.transfers or short <= 0:
        return
    about = "about " if plan.estimated else ""
    raise ArdError(
        "there is not enough space for the files",
        file=str(where),
        expected=f"{about}{size_text(plan.need_bytes)} for {len(plan.transfers)} files, and "
        f"{size_text(policy.reserve_bytes)} that stay free",
        found=f"{size_text(free_bytes)} free: {size_text(short)} too little",
        action="make room, choose another disk with --store, or take fewer files with --group; "
        "nothing was fetched",
    )


def size_text(count: float) -> str:
    """Write a number of bytes for people, in decimal units."""
    if abs(count) < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB"):
        count /= 1000
        if abs(count) < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"


def counts(statuses: Iterable[str]) -> dict[str, int]:
    """Count how many files stand how; every status is named."""
    found = list(statuses)
    return {status: found.count(status) for status in STATUSES}
