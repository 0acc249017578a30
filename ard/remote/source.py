"""How is a published record looked at like a bundle in a folder?"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ard import layout
from ard.errors import IntegrityError, NotFoundError, RemoteError
from ard.fileio import md5_file
from ard.integrity import (
    Level,
    listing_findings,
    not_intact,
    read_manifest,
    require_level,
    verify,
)
from ard.manifest import Entry, Manifest, parse_manifest_bytes
from ard.parts import Part
from ard.remote.address import Address, parse_address
from ard.remote.cache import Cache, cache_folder
from ard.remote.client import Client
from ard.remote.record import Listed, Record, fetch_record, record_findings
from ard.remote.transfer import NoRangeError, Wanted, bring, bring_small
from ard.source import Piece, Progress, Watcher
from ard.sums import Finding, is_safe_name

_LISTS: Final = (layout.SUMS_FILE, layout.MANIFEST_FILE)
# The manifest of a bundle of 100 files, with all members of its zips, has a few megabytes.
_LONGEST_LIST: Final = 1 << 26


class RecordSource:
    """Give the files of a published record, each brought when it is asked for.

    Parameters
    ----------
    record : Record
        What the archive says, or said when it was last asked.
    address : Address
        What was asked for.
    cache : Cache
        Where the files are kept.
    client : Client or None
        How to ask the archive; None asks nobody.
    watch : callable, optional
        Told how far a transfer has come.
    """

    def __init__(
        self,
        record: Record,
        address: Address,
        cache: Cache,
        client: Client | None,
        watch: Watcher | None = None,
    ) -> None:
        self.record = record
        self.address = address
        self._cache = cache
        self._client = client
        self._watch = watch

    @property
    def name(self) -> str:
        """DOI of the version."""
        return self.record.doi

    @property
    def place(self) -> str:
        """DOI of the version."""
        return self.record.doi

    @property
    def folder(self) -> Path:
        """The folder of the cache that holds what has been brought, under its real names."""
        return self._cache.folder(self.address, self.record.id)

    def manifest(self) -> Manifest:
        """Read the manifest, which is brought with the record.

        Raises
        ------
        IntegrityError
            If it is no manifest, or has unsound entries.
        """
        return read_manifest(self.folder)

    def has(self, entry: Entry, part: Part | None = None) -> bool:
        """Tell whether the file is in the cache, or at least a part of it."""
        if part is not None and self._cache.has(part.sha256, part.size):
            return True
        return self._cache.has(entry.sha256, entry.size)

    def path(self, entry: Entry) -> Path:
        """Give the file, in the cache under its real name; its bytes are the listed ones.

        Raises
        ------
        RemoteError, NotFoundError
            If it cannot be brought.
        IntegrityError
            If the archive delivers something else.
        """
        target = self.folder / entry.name
        if not self._cache.is_sound(target, entry.sha256, entry.size):
            self._cache.place(self._obtain(self._whole(entry)), target)
        return target

    def piece(self, entry: Entry, part: Part) -> Piece:
        """Give a part of a file by one request for its bytes; from the cache, if they are there.

        An archive that does not give parts, or gives the wrong ones, is asked for the whole file.
        """
        if self.has(entry):
            return Piece(self.path(entry), part.offset)
        name = f"{entry.name}!{part.name}"
        url = self.record.url(entry.name)
        wanted = Wanted(url, name, part.offset, part.size, entry.size, part.sha256)
        try:
            return Piece(self._obtain(wanted), 0)
        except NoRangeError as refusal:
            detour = f"{refusal.problem}; the whole of {entry.name} is fetched instead"
            if self._watch is not None:
                self._watch(Progress(name, 0, part.size, detour))
            return Piece(self.path(entry), part.offset, detour)

    def verify(self, level: Level, *, digest: str | None = None) -> tuple[Finding, ...]:
        """Report every way in which the record is not the bundle that was written.

        Parameters
        ----------
        level : {"fast", "full", "none"}
            ``fast`` compares the archive's list of files and the DOIs with the bundle's own lists,
            and transfers nothing more. ``full`` brings every file and reads every byte; what is
            damaged in the cache is brought again.
        digest : str, optional
            The published digest of the bundle.
        """
        require_level(level)
        if level == "none":
            return ()
        present = {name: file.size for name, file in self.record.files.items()}
        safe = {name: size for name, size in present.items() if is_safe_name(name)}
        findings = list(listing_findings(self.folder, safe, digest=digest))
        data = (self.folder / layout.MANIFEST_FILE).read_bytes()
        manifest, _ = parse_manifest_bytes(data)
        if manifest is not None:
            findings += record_findings(self.record, manifest, self.address)
            if level == "full" and not findings:
                findings += self._bring_all(manifest)
                findings += verify(self.folder, "full", digest=digest)
        return tuple(sorted(set(findings)))

    def not_intact(self, findings: tuple[Finding, ...]) -> IntegrityError:
        """Make the error that lists the findings."""
        return not_intact(self.name, findings, "check the DOI; tell the authors of the record")

    def _bring_all(self, manifest: Manifest) -> list[Finding]:
        findings = []
        self._cache.forget()
        for entry in manifest.entries:
            try:
                self.path(entry)
            except IntegrityError as error:
                finding = Finding(
                    entry.name, error.problem, error.expected or "", error.found or ""
                )
                findings.append(finding)
        return findings

    def _whole(self, entry: Entry) -> Wanted:
        url, size = self.record.url(entry.name), entry.size
        return Wanted(url, entry.name, 0, size, size, entry.sha256, entry.md5)

    def _obtain(self, wanted: Wanted) -> Path:
        client = self._client
        if client is None:
            content = self._cache.content(wanted.sha256)
            if not self._cache.is_sound(content, wanted.sha256, wanted.size):
                raise self._not_here(wanted.name)
            return content
        return self._cache.obtain(
            wanted.sha256, wanted.size, lambda part: bring(client, wanted, part, self._watch)
        )

    def _not_here(self, name: str) -> NotFoundError:
        return NotFoundError(
            "the file is not in the cache, and the archive was not to be asked",
            file=name,
            expected=f"the file in {self._cache.root}",
            action="open the DOI without offline=True",
        )

    def fetch_lists(self) -> None:
        """Fetch both lists of the bundle, by which everything else is known.

        Raises
        ------
        RemoteError, NotFoundError
            If they cannot be had.
        IntegrityError
            If they are not what the archive lists.
        """
        for name in _LISTS:
            listed, target = self.record.files[name], self.folder / name
            if _is_listed(target, listed):
                continue
            if listed.size > _LONGEST_LIST:
                raise RemoteError(
                    "a list of the bundle is larger than any can be",
                    file=f"{self.name}: {name}",
                    expected=f"{_LONGEST_LIST} bytes at most",
                    found=f"{listed.size} bytes",
                )
            if self._client is None:
                raise self._not_here(name)
            url = self.record.url(name)
            data = bring_small(self._client, url, name, listed.size, listed.md5)
            self._cache.place(self._cache.insert(data), target)


def _is_listed(path: Path, listed: Listed) -> bool:
    plain = path.is_file() and not path.is_symlink()
    return plain and path.stat().st_size == listed.size and md5_file(path) == listed.md5


def open_record(
    text: str,
    *,
    cache: str | os.PathLike[str] | None = None,
    offline: bool = False,
    watch: Watcher | None = None,
    environment: Mapping[str, str] = os.environ,
) -> RecordSource:
    """Find the record that a DOI means, and read its lists.

    Parameters
    ----------
    text : str
        DOI, or address of the record's page.
    cache : path-like, optional
        Where files are kept; see `cache_folder`.
    offline : bool
        Ask nobody: use what the cache has, and of a family of versions the latest that it knows.
    watch : callable, optional
        Told how far a transfer has come.
    environment : mapping of str to str
        Environment variables.

    Raises
    ------
    NotFoundError
        If there is no such record, or it was withdrawn; offline, if the cache does not know it.
    RemoteError
        If the archive cannot be reached, does not give the record to everybody, or gives an
        answer that cannot be used.
    FormatError
        If the record is no bundle.
    """
    address = parse_address(text, environment)
    kept = Cache(cache_folder(environment) if cache is None else Path(cache))
    if offline:
        source = RecordSource(kept.recall(address), address, kept, None, watch)
    else:
        client = Client(watch=watch)
        record = fetch_record(client, address)
        kept.remember(address, record)
        source = RecordSource(record, address, kept, client, watch)
    source.fetch_lists()
    return source
