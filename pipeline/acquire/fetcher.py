"""How does one file of a plan get into the store: fetched, verified, recorded, named?

A file that does not pass is put into quarantine and fetched once more. Nothing appears under a
final name that has not passed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from ard.errors import ArdError
from manifests.lock import ARCHIVE, SIZE, TWICE, VERIFIED, LockedFile
from manifests.selection import Selection
from pipeline.acquire.archive import Listing
from pipeline.acquire.checksums import fits
from pipeline.acquire.entry import Entry, Held, with_held, with_served
from pipeline.acquire.headers import read_facts
from pipeline.acquire.http import ArchiveSession, Stopped, TransferError, Waiter
from pipeline.acquire.observer import Observer
from pipeline.acquire.partial import note_of
from pipeline.acquire.plan import CHANGED, CONFIRM, KEEP, LINK, NOTHING, OK, TAKE, Step
from pipeline.acquire.record import (
    FileRecord,
    Problem,
    differing,
    failure_of,
    now,
    rungs_of,
)
from pipeline.acquire.settings import Network, Policy
from pipeline.acquire.store import Store
from pipeline.acquire.transfer import Received, Wanted, fetch
from pipeline.acquire.verify import FAILED as RUNG_FAILED
from pipeline.acquire.verify import NOTED as RUNG_NOTED
from pipeline.acquire.verify import Examination, Expectation, Rung, examine

BY_LOCK: Final = "lock"
_ROUNDS: Final = 2  # a damaged file is fetched again, once
# After so many files in a row for nothing, the archive or the network is away: one attempt a file
# is then enough, and a run over hundreds of files comes to its end.
_FRUITLESS: Final = 4


@dataclass(frozen=True)
class Fetcher:
    """What carries out the steps of a plan.

    Whoever calls it tells the observer what became of a file; it tells how transfers get on.

    Attributes
    ----------
    selection : Selection
    store : Store
        Locked by the caller.
    network : Network
    policy : Policy
    waiter : Waiter
    observer : Observer
    """

    selection: Selection
    store: Store
    network: Network
    policy: Policy
    waiter: Waiter
    observer: Observer

    def perform(self, step: Step, session: ArchiveSession | None) -> FileRecord:
        """Carry out a step; whatever goes wrong is in the record that it gives.

        Without a session, nothing is transferred.

        Raises
        ------
        Stopped, KeyboardInterrupt
            If the user asked to stop.
        """
        record = replace(FileRecord.of_step(step), started=now())
        try:
            record = self._perform(step, session, record)
        except (Stopped, KeyboardInterrupt):
            raise
        except Exception as error:  # noqa: BLE001 (one file must not hide what becomes of the others)
            record = record.failed(Problem.of(error, step.name, self.network))
        # Where nothing was attempted, the last attempt is still the last.
        return record if step.action == NOTHING else self.close(step, record)

    def close(self, step: Step, record: FileRecord) -> FileRecord:
        """Put the record of a file on disk."""
        record = replace(record, ended=now())
        try:
            self.store.save(replace(self._entry(step), last=record.to_dict()))
        except (ArdError, OSError) as error:
            record = record.failed(Problem.of(error, step.name, self.network))
        return record

    def _perform(
        self, step: Step, session: ArchiveSession | None, record: FileRecord
    ) -> FileRecord:
        if step.damaged:
            self._put_aside(step)
        if step.action == KEEP:
            return self._keep(step, record)
        if step.action == LINK:
            return self._link(step, record)
        if session is None or not step.transfers:
            return record
        if step.action == TAKE:
            return self._take(step, session, record)
        return self._fetch(step, session, record)

    # ---- what is there

    def _keep(self, step: Step, record: FileRecord) -> FileRecord:
        if step.held is None:
            return record
        self._refresh(step, step.held)
        place = self.store.link_path(step.file.group, step.name)
        return self._with_content(record, step.held, "kept", place, step=step)

    def _refresh(self, step: Step, held: Held) -> None:
        """Put down what was learnt of content that stays: a checksum, or that it was only moved."""
        held = replace(held, mtime_ns=self.store.mtime_ns(held.sha256))
        if held != step.entry.held:
            self.store.save(with_held(self._entry(step), held))

    def _link(self, step: Step, record: FileRecord) -> FileRecord:
        """Give content that is there already its name: another version, or without a record."""
        held = step.held
        if held is None:
            path = self.store.object_path(step.sha256 or "")
            found = self.examine(path, self.expectation(step))
            record = replace(record, rungs=rungs_of(found))
            if not found.ok:
                if found.sha256 != step.sha256:
                    self.store.quarantine(path, step.name, found.to_dict())
                return record.failed(failure_of(found, step.name))
            held = self._held(step, found, found.verified, path)
        held = replace(held, mtime_ns=self.store.mtime_ns(held.sha256))
        status = CHANGED if step.changes else OK
        return self._name(step, held, replace(record, status=status), "linked")

    # ---- what has to come

    def _fetch(self, step: Step, session: ArchiveSession, record: FileRecord) -> FileRecord:
        """Fetch the bytes of the lock; damaged ones once more."""
        seen = ""
        for _ in range(_ROUNDS):
            part, found, record = self._bring(step, session, record, self.expectation(step))
            if found.ok and step.action == CONFIRM:
                return self._confirmed(step, part, record)
            if found.ok:
                return self._accept(step, session, part, found, record)
            if _other_version(found) and (found.checksum_matched or found.sha256 == seen):
                return self._keep_version(step, part, found, record)
            seen = found.sha256
            self.store.quarantine(part, step.name, found.to_dict())
        return record.failed(failure_of(found, step.name))

    def _confirmed(self, step: Step, part: Path, record: FileRecord) -> FileRecord:
        """Take note that the archive gave the same bytes again."""
        if step.held is None:
            return record
        part.unlink()
        note_of(part).unlink(missing_ok=True)
        held = replace(self._settled(step.held), verified=TWICE)
        return self._name(step, held, replace(record, status=OK), "confirmed")

    def _take(self, step: Step, session: ArchiveSession, record: FileRecord) -> FileRecord:
        """Fetch the archive's present version beside the one of the lock."""
        for _ in range(_ROUNDS):
            part, found, record = self._bring(step, session, record, self._as_listed(step))
            if found.ok and found.sha256 == step.sha256:
                # Only its description is another one.
                return self.settle(step, part, found, record, found.verified)
            if found.ok:
                return self._keep_version(step, part, found, record)
            self.store.quarantine(part, step.name, found.to_dict())
        return record.failed(failure_of(found, step.name))

    def _bring(
        self, step: Step, session: ArchiveSession, record: FileRecord, expectation: Expectation
    ) -> tuple[Path, Examination, FileRecord]:
        """Transfer a file into its partial file, and look at it."""
        part = self.store.part_path(step.file.uri, step.name)
        wanted = Wanted(step.file.uri, step.name, step.listing.size if step.listing else None)
        self.observer.started(step.name, wanted.size)
        report = partial(self.observer.have, step.name)
        received = self._transfer(session, wanted, part, report)
        found = self.examine(part, expectation)
        record = replace(
            record,
            url=received.url,
            etag=received.etag,
            last_modified=received.last_modified,
            attempts=record.attempts + received.attempts,
            resumed_bytes=record.resumed_bytes + received.resumed_bytes,
            received_bytes=record.received_bytes + received.received_bytes,
            rungs=rungs_of(found),
        )
        return part, found, record

    def _transfer(
        self, session: ArchiveSession, wanted: Wanted, part: Path, report: Callable[[int], None]
    ) -> Received:
        """Fetch a file, with less patience while nothing comes of any."""
        patient = self.waiter.fruitless < _FRUITLESS
        session.network = self.network if patient else replace(self.network, attempts=1)
        try:
            received = fetch(session, wanted, part, waiter=self.waiter, on_bytes=report)
        except TransferError as error:
            if error.unreachable:
                self.waiter.fruitless += 1
            raise
        self.waiter.fruitless = 0
        return received

    def _put_aside(self, step: Step) -> None:
        """Take damaged content out of the way, and its name with it."""
        if step.sha256 is None or not self.store.object_path(step.sha256).is_file():
            return
        reason = {"problem": "content of the store is not what it was", "sha256": step.sha256}
        self.store.quarantine(self.store.object_path(step.sha256), step.name, reason)
        self.store.link_path(step.file.group, step.name).unlink(missing_ok=True)

    def _accept(
        self,
        step: Step,
        session: ArchiveSession,
        part: Path,
        found: Examination,
        record: FileRecord,
    ) -> FileRecord:
        """Take bytes that passed, fetching them once more where nothing vouches for them."""
        verified = found.verified
        on_trust = step.sha256 is None and verified == SIZE
        if on_trust and self.policy.confirm:
            part.unlink()
            note_of(part).unlink(missing_ok=True)
            part, again, record = self._bring(step, session, record, self.expectation(step))
            if again.sha256 != found.sha256:
                self.store.quarantine(part, step.name, again.to_dict())
                return record.failed(differing(step.name, found.sha256, again.sha256))
            verified, on_trust = TWICE, False
        return self.settle(step, part, found, replace(record, first_use=on_trust), verified)

    def _keep_version(
        self, step: Step, part: Path, found: Examination, record: FileRecord
    ) -> FileRecord:
        """Keep sound bytes that are not those of the lock beside them."""
        held = self._held(step, found, found.verified, part, record)
        self.store.put(part, found.sha256)
        held, entry = self._settled(held), self._entry(step)
        self.store.save(with_served(entry, held))
        place = self.store.version_path(step.name, held.sha256)
        self.store.name(place, held.sha256)
        problem = Problem(
            "the archive has another version than the lock",
            step.name,
            step.sha256 or "the version of the lock",
            held.sha256,
            "it lies beside yours in versions/; to make it the study's: rbh1 acquire lock --update",
        )
        other = f"sha256: {step.sha256} in the lock, {held.sha256} in the archive"
        record = replace(record, status=CHANGED, problem=problem, changes=step.changes or (other,))
        # What the lock asks for is there as it was before, or not at all.
        record = self._with_content(record, held, "fetched", place, step=step)
        return replace(record, in_store=step.in_store)

    # ---- putting it down

    def settle(
        self,
        step: Step,
        part: Path,
        found: Examination,
        record: FileRecord,
        verified: str,
        done: str = "fetched",
    ) -> FileRecord:
        """Take bytes that passed under the file's name."""
        if step.changes and step.sha256 is None and self._is_listed(step, part):
            # The archive's version of today, where the lock describes another.
            return self._keep_version(step, part, found, record)
        held = self._held(step, found, verified, part, record)
        self.store.put(part, found.sha256)
        status = CHANGED if step.changes and found.sha256 != step.sha256 else OK
        return self._name(step, self._settled(held), replace(record, status=status), done)

    def _is_listed(self, step: Step, path: Path) -> bool:
        """Say whether the archive publishes a checksum, and these bytes have it."""
        return step.listing is not None and fits(path, step.listing.checksum) is True

    def _settled(self, held: Held) -> Held:
        return replace(held, mtime_ns=self.store.mtime_ns(held.sha256))

    def _held(
        self,
        step: Step,
        found: Examination,
        verified: str,
        path: Path,
        record: FileRecord | None = None,
    ) -> Held:
        """Describe content: by the archive's words only as far as they are about these bytes."""
        listing, facts = step.listing, self._facts(path, step.name)
        locked = step.file if step.file.sha256 == found.sha256 else None
        matches = fits(path, listing.checksum) if listing is not None else None
        source: LockedFile | Listing | None = locked
        if listing is not None and (matches or (matches is None and not step.changes)):
            source = listing
        if matches:
            verified = ARCHIVE
        if locked is not None:
            verified = max(verified, locked.verified, key=VERIFIED.index)
        checksum = listing.checksum if listing is not None and matches else None
        if checksum is None and locked is not None and found.checksum_matched:
            checksum = locked.checksum
        return Held(
            sha256=found.sha256,
            size=found.size,
            verified=verified,
            checksum=checksum,
            cal_ver=(source.cal_ver if source else None) or facts.get("cal_ver"),
            crds_ctx=(source.crds_ctx if source else None) or facts.get("crds_ctx"),
            sdp_ver=(source.sdp_ver if source else None) or facts.get("sdp_ver"),
            etag=record.etag if record else None,
            last_modified=record.last_modified if record else None,
            facts=facts,
        )

    def _facts(self, path: Path, name: str) -> dict[str, Any]:
        try:
            return read_facts(path, name).to_dict()
        except ArdError:
            return {}  # bytes of the lock that no reader can use: a rung says so

    def _name(self, step: Step, held: Held, record: FileRecord, done: str) -> FileRecord:
        before = self._entry(step)
        place = self.store.link_path(step.file.group, step.name)
        self.store.save(with_held(before, held))
        self.store.name(place, held.sha256)
        self.store.version_path(step.name, held.sha256).unlink(missing_ok=True)
        if before.held is not None and before.held.sha256 != held.sha256:
            former = before.held.sha256
            self.store.name(self.store.version_path(step.name, former), former)
        return self._with_content(record, held, done, place, step=step)

    def _with_content(
        self, record: FileRecord, held: Held, done: str, place: Path, *, step: Step
    ) -> FileRecord:
        return replace(
            record,
            done=done,
            in_store=True,
            path=place.relative_to(self.store.root).as_posix(),
            size=held.size,
            sha256=held.sha256,
            verified=BY_LOCK if step.file.sha256 == held.sha256 else held.verified,
        )

    def _entry(self, step: Step) -> Entry:
        return self.store.entry(step.name, step.file.uri, step.file.group)

    def examine(self, path: Path, expectation: Expectation) -> Examination:
        """Look at a file; ends quickly when the user asks to stop."""
        found = examine(path, expectation, should_stop=self.waiter.stop.is_set)
        if found.sha256 == expectation.sha256:
            # These bytes passed when they were locked; what looks odd about them is only noted.
            rungs = tuple(_noted(rung) for rung in found.rungs)
            return replace(found, rungs=rungs)
        if not found.ok:
            return found
        try:
            read_facts(path, expectation.name)
        except ArdError as error:
            # Whole in structure, and yet no reader could use it.
            text = f"{error.problem}: {error.found}"
            rung = Rung("content", RUNG_FAILED, "headers that can be read", text)
            return replace(found, rungs=(*found.rungs[:-1], rung))
        return found

    def expectation(self, step: Step) -> Expectation:
        """Say what is known about the bytes of the lock before they are looked at.

        The lock has the first word; the archive has one only while it speaks of the same version.
        """
        listing = None if step.changes else step.listing
        return Expectation(
            name=step.name,
            group=self.selection.group(step.file.group),
            size=step.file.size or (listing.size if listing else None),
            sha256=step.sha256,
            checksum=step.file.checksum or (listing.checksum if listing else None),
        )

    def _as_listed(self, step: Step) -> Expectation:
        listing, group = step.listing, self.selection.group(step.file.group)
        size, checksum = (listing.size, listing.checksum) if listing else (None, None)
        return Expectation(step.name, group, size, None, checksum)


def _noted(rung: Rung) -> Rung:
    return replace(rung, status=RUNG_NOTED) if rung.status == RUNG_FAILED else rung


def _other_version(found: Examination) -> bool:
    """Say whether a file is sound in every respect but its sha256."""
    return {rung.name for rung in found.rungs if rung.status == RUNG_FAILED} == {"sha256"}
