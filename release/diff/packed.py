"""Has a product really gone, or has it moved into an archive that it shares with others?

A deposit takes 100 files. Where there are more, small products of a layer share one archive, so
that a product may lose its own file, or get one again, without being less or more than before.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from ard.bundle import BundleFile
from ard.parts import Part
from release.diff.model import FileChange, FileSide, State

_ARCHIVE: Final = "archive"


def follow_into_archives(
    changes: Iterable[FileChange],
    old: Mapping[str, BundleFile],
    new: Mapping[str, BundleFile],
) -> tuple[FileChange, ...]:
    """Turn what came or went into what moved, where an archive of the layer has a member for it.

    Parameters
    ----------
    changes : iterable of FileChange
    old, new : mapping of str to BundleFile
        The files of both bundles; what the manifest lists of an archive counts.
    """
    rows = []
    for change in changes:
        if change.state == "removed" and change.before is not None:
            inside = _inside(change.before, new, old)
            rows.append(change if inside is None else _moved(change.before, inside))
        elif change.state == "added" and change.after is not None:
            inside = _inside(change.after, old, new)
            rows.append(change if inside is None else _moved(inside, change.after))
        else:
            rows.append(change)
    return tuple(rows)


def _moved(before: FileSide, after: FileSide) -> FileChange:
    state: State = "renamed" if before.sha256 == after.sha256 else "changed"
    return FileChange(state, before, after)


def _inside(
    side: FileSide, files: Mapping[str, BundleFile], others: Mapping[str, BundleFile]
) -> FileSide | None:
    """Find a product among the members that the archives of its layer have in one bundle only."""
    if side.kind == _ARCHIVE:
        return None
    known = {part.name for _, part in _members(side.layer, others)}
    for archive, part in _members(side.layer, files):
        if part.name not in known and f"{side.layer}/{PurePosixPath(part.name).stem}" == side.name:
            return _member(side, archive, part)
    return None


def _members(
    layer: str | None, files: Mapping[str, BundleFile]
) -> Iterator[tuple[BundleFile, Part]]:
    for file in files.values():
        if file.kind == _ARCHIVE and file.entry.layer == layer:
            yield from ((file, part) for part in file.entry.parts)


def _member(side: FileSide, archive: BundleFile, part: Part) -> FileSide:
    name = f"{archive.entry.name}!{part.name}"
    return replace(side, file=name, size=part.size, sha256=part.sha256)
