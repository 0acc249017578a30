"""On which files of the archive does a run stand, byte for byte, and what is each of them?

The stage `acquire`: fetching was done before (``rbh1 acquire run``), so that a run needs no
network; here the files that it is given are identified, held against the lock, and listed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy import units as u
from astropy.table import QTable

from ard.errors import FormatError, IntegrityError
from ard.fileio import sha256_file
from ard.table import Table
from manifests.lock import Lock, LockedFile
from manifests.target import Target
from pipeline.acquire.headers import FileFacts, read_facts
from pipeline.acquire.roles import Part, assign
from pipeline.roles import SCIENCE


@dataclass(frozen=True)
class Config:
    """The stage has no settings."""


@dataclass(frozen=True)
class Given:
    """A file that a run is given: its bytes and its headers."""

    name: str
    size: int
    sha256: str
    facts: FileFacts

    @property
    def simulated(self) -> bool:
        """Whether its header says that it is simulated."""
        return self.facts.simulated


def read_given(path: str | os.PathLike[str]) -> Given:
    """Identify a file."""
    name = Path(path).name
    return Given(name, Path(path).stat().st_size, sha256_file(path), read_facts(path))


def run(
    *,
    files: Mapping[str, Given],
    lock: Lock,
    target: Target,
    config: Config,
) -> dict[str, Any]:
    """List the archive files of a run.

    Parameters
    ----------
    files : mapping of str to Given
        By file name.
    lock : Lock
        What the study stands on.
    target : Target
        What the science exposures must show.
    config : Config
        Nothing.

    Returns
    -------
    dict
        ``archive``: a Table with one row for each file, in order of file name.

    Raises
    ------
    IntegrityError
        If a file is not the one of the lock.
    FormatError
        If a file is not in the lock, or no science file shows the target.
    """
    locked = lock.by_name()
    ordered = [files[name] for name in sorted(files)]
    for file in ordered:
        _require_locked(file, locked.get(file.name))
    parts = {part.name: part for part in assign((file.facts for file in ordered), target)}
    _require_target(parts, target)
    rows = [(file, locked[file.name], parts[file.name]) for file in ordered]
    data = QTable(
        {
            "filename": [file.name for file, _, _ in rows],
            "uri": [row.uri for _, row, _ in rows],
            "group": [row.group for _, row, _ in rows],
            "size": [file.size for file, _, _ in rows] * u.byte,
            "sha256": [file.sha256 for file, _, _ in rows],
            "verified": [row.verified for _, row, _ in rows],
            "cal_ver": [file.facts.cal_ver or "" for file, _, _ in rows],
            "crds_ctx": [file.facts.crds_ctx or "" for file, _, _ in rows],
            "sdp_ver": [file.facts.sdp_ver or "" for file, _, _ in rows],
            "role": [part.role for _, _, part in rows],
            "pointing": [part.pointing or "" for _, _, part in rows],
            "dither": [part.dither or 0 for _, _, part in rows],
            "level": [part.level for _, _, part in rows],
            "shows_target": [_word(part.covers_target) for _, _, part in rows],
            "note": [part.note for _, _, part in rows],
        }
    )
    return {"archive": Table(data, {"SIMULATD": any(file.simulated for file in ordered)})}


def _word(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[value]


def _require_locked(file: Given, row: LockedFile | None) -> None:
    if row is None:
        raise FormatError(
            "the lock does not name this file",
            file=file.name,
            expected="a file of the lock",
            found="no row of this name",
            action="give the lock that belongs to the store: --lock",
        )
    if row.sha256 not in (None, file.sha256):
        raise IntegrityError(
            "the file is not the one that the lock names",
            file=file.name,
            expected=f"sha256 {row.sha256}",
            found=f"sha256 {file.sha256}",
            action="make the store equal the lock: rbh1 acquire run",
        )


def _require_target(parts: Mapping[str, Part], target: Target) -> None:
    science = [part for part in parts.values() if part.role == SCIENCE]
    if any(part.covers_target is not False for part in science):
        return
    place = target.anchor
    raise FormatError(
        f"no science file shows {target.name}",
        expected=f"RA {place.ra_deg:.6f}, Dec {place.dec_deg:.6f} deg inside a footprint",
        found=f"{len(science)} science files, and it is outside of every S_REGION",
        action="check the target and the files that were fetched",
    )
