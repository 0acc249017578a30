"""What is in a bundle that is to be deposited, and may it go there at all?"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ard import layout
from ard.errors import FormatError
from ard.fileio import md5_file, parse_json
from ard.integrity import bundle_digest, not_intact, read_manifest, verify
from ard.manifest import Entry, Manifest
from ard.sums import Finding
from release.deposit.target import is_production, is_rehearsal
from release.model import DEPOSIT, RefusedError
from release.reservation import Reservation

# The archive accepts 255; the bundle's own names are shorter.
LONGEST_NAME: Final = 255


@dataclass(frozen=True)
class LocalFile:
    """Say which bytes a file of the bundle has.

    Attributes
    ----------
    name : str
    size : int
        Bytes.
    md5 : str
        In hexadecimal, as the archive reports it.
    """

    name: str
    size: int
    md5: str


@dataclass(frozen=True)
class Cargo:
    """Hold what is deposited.

    Attributes
    ----------
    folder : Path
        The bundle.
    digest : str
        Digest of the bundle.
    manifest : Manifest
    files : mapping of str to LocalFile
        Every file, the two lists included, sorted by name.
    record : mapping
        The metadata for the archive: what is sent to the draft.
    """

    folder: Path
    digest: str
    manifest: Manifest
    files: Mapping[str, LocalFile]
    record: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    @property
    def title(self) -> str:
        """Title of the record."""
        return str(self.record["metadata"]["title"])


def read_cargo(folder: Path, level: str) -> Cargo:
    """Read a bundle that is to be deposited.

    Parameters
    ----------
    folder : Path
        The bundle.
    level : {"fast", "full"}
        How thoroughly it is verified first. The bytes of its metadata for the archive always are.

    Raises
    ------
    IntegrityError
        If it is not intact.
    NotFoundError
        If there is no such folder.
    FormatError
        If its metadata for the archive are not JSON.
    RefusedError
        If its metadata for the archive are missing, or not fit to be sent.
    """
    findings = verify(folder, level)
    if findings:
        raise not_intact(folder, findings)
    manifest = read_manifest(folder)
    files = {entry.name: LocalFile(entry.name, entry.size, entry.md5) for entry in manifest.entries}
    for name in (layout.MANIFEST_FILE, layout.SUMS_FILE):
        path = folder / name
        files[name] = LocalFile(name, path.stat().st_size, md5_file(path))
    return Cargo(
        folder=folder,
        digest=bundle_digest(folder),
        manifest=manifest,
        files=MappingProxyType(dict(sorted(files.items()))),
        record=MappingProxyType(_record(folder, manifest)),
    )


def require_fit(cargo: Cargo, reservation: Reservation, *, allow_simulated: bool = False) -> None:
    """Refuse a bundle that does not belong to the reservation, or must not go to that archive.

    Parameters
    ----------
    cargo : Cargo
    reservation : Reservation
    allow_simulated : bool
        Let simulated data go to an archive that is neither Zenodo nor on this machine.

    Raises
    ------
    RefusedError
        With every reason.
    """
    sizes = {name: file.size for name, file in cargo.files.items()}
    reasons = [
        *doi_reasons(cargo.manifest, reservation),
        *limit_reasons(sizes),
        *mark_reasons(cargo.manifest, reservation.target, allow_simulated=allow_simulated),
    ]
    if reasons:
        raise RefusedError("the bundle is not deposited", tuple(reasons))


def doi_reasons(manifest: Manifest, reservation: Reservation) -> list[str]:
    """Say where the DOIs in a bundle are not the reserved ones."""
    if manifest.doi is None:
        return [
            "DOI: not yet reserved; build the bundle with --release and the release.json of"
            " rbh1-release reserve"
        ]
    rows = (
        ("DOI", manifest.doi, reservation.doi),
        ("concept DOI", manifest.concept_doi, reservation.concept_doi),
        ("DOI of the version before", manifest.previous_doi, reservation.previous_doi),
    )
    return [
        f"{what}: the bundle bears {found}, reserved is {expected}; build it anew with --release"
        for what, found, expected in rows
        if found != expected
    ]


def limit_reasons(sizes: Mapping[str, int]) -> list[str]:
    """Say where files go over the limits of the archive.

    Parameters
    ----------
    sizes : mapping of str to int
        File name to bytes.
    """
    reasons = [f"{name}: is empty, which the archive refuses" for name in sizes if not sizes[name]]
    reasons += [
        f"{name[:40]}...: a name of {len(name)} characters, at most {LONGEST_NAME} are taken"
        for name in sizes
        if len(name) > LONGEST_NAME
    ]
    if len(sizes) > DEPOSIT.files:
        reasons.append(f"{len(sizes)} files, at most {DEPOSIT.files} are taken; pack small ones")
    total = sum(sizes.values())
    if total > DEPOSIT.size:
        reasons.append(f"{total} bytes, at most {DEPOSIT.size} are taken; ask the archive for more")
    return reasons


def mark_reasons(manifest: Manifest, target: str, *, allow_simulated: bool = False) -> list[str]:
    """Say why data that were not observed may not go to an archive."""
    marks = [
        what
        for what, marked in (
            ("simulated", manifest.simulated),
            ("made with the toy shock grid", manifest.toy_grid),
        )
        if marked
    ]
    if not marks or is_rehearsal(target):
        return []
    what = " and ".join(marks)
    if is_production(target):
        return [f"the data are {what}: that is never deposited on {target}"]
    if allow_simulated:
        return []
    return [f"the data are {what}: for {target} say so with --allow-simulated"]


def _record(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Read the metadata for the archive, out of the very bytes that the manifest lists."""
    path = folder / layout.RECORD_FILE
    entries = [entry for entry in manifest.entries if entry.name == path.name]
    if not entries:
        raise RefusedError(
            "the bundle is not deposited",
            (f"{path.name} is missing, which holds the metadata for the archive",),
            "build the bundle anew with this version of rbh1-ard",
        )
    data = path.read_bytes()
    findings = list(_differing(entries[0], data))
    if findings:
        raise not_intact(folder, findings)
    try:
        record = parse_json(data)
    except ValueError as error:
        raise FormatError(
            "the metadata for the archive are not valid JSON",
            file=path,
            expected="a JSON object",
            found=str(error),
            action="build the bundle anew",
        ) from error
    reasons = list(_record_reasons(record))
    if reasons:
        raise RefusedError(f"{path.name} is not fit to be sent", tuple(reasons))
    return dict(record)


def _differing(entry: Entry, data: bytes) -> Iterator[Finding]:
    """Find where bytes are not those of which the manifest lists the digests."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    rows = (("sha256", entry.sha256, hashlib.sha256(data).hexdigest()), ("md5", entry.md5, md5))
    for what, expected, found in rows:
        if found != expected:
            yield Finding(entry.name, f"{what} differs", expected, found)


def _record_reasons(record: object) -> list[str]:
    if not isinstance(record, dict):
        return ["it holds no object"]
    metadata, access = record.get("metadata"), record.get("access", {})
    reasons = []
    if "pids" in record:
        reasons.append("it holds pids, which only the archive gives")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("title"), str):
        reasons.append("it holds no metadata with a title")
    if record.get("files", {"enabled": True}) != {"enabled": True}:
        reasons.append("it does not leave files enabled")
    opened = {"record": "public", "files": "public"}
    if not isinstance(access, dict) or any(opened.get(k) != v for k, v in access.items()):
        reasons.append("it does not make record and files public, so nobody could verify them")
    return reasons
