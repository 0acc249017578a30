"""In what do two bundles differ?

Names, sizes and digests come from the manifests; a file is opened only where its sha256 differs,
and of a FITS file only the HDUs whose sha256 differs are read.
"""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, Final

from ard import layout
from ard.bundle import Bundle, BundleFile
from ard.errors import NotFoundError
from ard.fileio import read_json
from ard.manifest import Manifest
from release.diff.acceptance import NO_WAIVERS, Accepted, check_changes
from release.diff.archives import member_changes
from release.diff.documents import value_changes
from release.diff.ecsv import ecsv_change
from release.diff.fitsfile import hdu_changes
from release.diff.model import (
    BOUNDS,
    Bounds,
    CheckChange,
    Difference,
    FileChange,
    FileSide,
    Listing,
    State,
    ValueChange,
    Version,
)
from release.diff.packed import follow_into_archives
from release.diff.pairs import Pair, pair_up
from release.diff.snapshot import Snapshot

Progress = Callable[[str], None]

_FITS: Final = "application/fits"
_ECSV: Final = "text/x-ecsv"
_JSON: Final = frozenset({"application/json", "application/ld+json"})
_ARCHIVE: Final = "archive"
_PROVENANCE: Final = "provenance"


def compare(
    old: Bundle,
    new: Bundle,
    *,
    only: Iterable[str] = (),
    bounds: Bounds = BOUNDS,
    progress: Progress | None = None,
) -> Difference:
    """Compare two versions of a bundle.

    Parameters
    ----------
    old, new : Bundle
        As `ard.open` gives them.
    only : iterable of str
        Names or patterns (``likelihood/*``, ``*_cube``, a file name) of what is compared;
        everything by default.
    bounds : Bounds
        How much is listed, and how much is read at once.
    progress : callable, optional
        Is told which file is being compared.

    Returns
    -------
    Difference

    Raises
    ------
    NotFoundError
        If a name in `only` means nothing in either bundle.
    ArdError
        If a file is damaged.
    """
    before, after = Snapshot.of(old), Snapshot.of(new)
    names = _chosen(before, after, tuple(only))
    return compare_snapshots(before, after, names=names, bounds=bounds, progress=progress)


def compare_snapshots(
    old: Snapshot,
    new: Snapshot,
    *,
    names: frozenset[str] | None = None,
    accepted: Accepted = NO_WAIVERS,
    bounds: Bounds = BOUNDS,
    progress: Progress | None = None,
) -> Difference:
    """Compare what is known of two bundles, of which the new one need not be finished.

    Parameters
    ----------
    old, new : Snapshot
    names : frozenset of str, optional
        Files that are compared, and their checks; everything by default.
    accepted : Accepted
        Waivers for checks that are no longer made.
    bounds, progress
        As for `compare`.
    """
    pairs = pair_up(old.files, new.files, digest=lambda file: file.entry.sha256)
    checks = check_changes(old, new, pairs, accepted)
    if names is not None:
        pairs = [pair for pair in pairs if _names(pair) & names]
        checks = [row for row in checks if _is_about(row, names)]
    changes = [
        _file_change(state, pair, bounds, progress)
        for pair in pairs
        if (state := _state(pair)) is not None
    ]
    files = follow_into_archives(changes, old.files, new.files)
    return Difference(
        old=_version(old.manifest),
        new=_version(new.manifest),
        about=Listing.of(value_changes(_about(old.manifest), _about(new.manifest)), bounds),
        files=files,
        same_files=len(pairs) - len(changes),
        checks=tuple(checks),
    )


def _chosen(old: Snapshot, new: Snapshot, only: tuple[str, ...]) -> frozenset[str] | None:
    if not only:
        return None
    files = [*old.files.values(), *new.files.values()]
    chosen: set[str] = set()
    for pattern in only:
        found = {file.name for file in files if _is_called(file, pattern)}
        if not found:
            raise NotFoundError(
                f"neither bundle has a file {pattern!r}",
                expected="one of " + ", ".join(sorted({file.name for file in files})),
                action="give names or patterns such as 'likelihood/*'",
            )
        chosen |= found
    return frozenset(chosen)


def _is_called(file: BundleFile, pattern: str) -> bool:
    names = (file.name, file.entry.product, file.entry.name)
    return any(name is not None and fnmatchcase(name, pattern) for name in names)


def _names(pair: Pair[BundleFile]) -> set[str]:
    return {file.name for file in (pair.before, pair.after) if file is not None}


def _is_about(row: CheckChange, names: frozenset[str]) -> bool:
    return row.product in names or any(row.product.startswith(f"{name}/") for name in names)


def _state(pair: Pair[BundleFile]) -> State | None:
    """Say what became of a file; the same product under another file name is renamed as well."""
    before, after = pair.before, pair.after
    if pair.state is None and before is not None and after is not None:
        return None if before.entry.name == after.entry.name else "renamed"
    return pair.state


def _file_change(
    state: State, pair: Pair[BundleFile], bounds: Bounds, progress: Progress | None
) -> FileChange:
    before, after = pair.before, pair.after
    sides = (_side(before), _side(after))
    if state != "changed" or before is None or after is None:
        return FileChange(state, *sides)
    if progress is not None:
        progress(f"comparing {after.name}")
    return FileChange(
        state,
        *sides,
        provenance=Listing.of(value_changes(_record(before), _record(after)), bounds),
        **_content(before, after, bounds),
    )


def _content(before: BundleFile, after: BundleFile, bounds: Bounds) -> dict[str, Any]:
    """Look into two files of one format."""
    media_type = after.entry.media_type
    if media_type != before.entry.media_type:
        return {}
    if media_type == _FITS:
        return {"hdus": hdu_changes(before, after, bounds)}
    if media_type == _ECSV:
        return {"table": ecsv_change(before.path, after.path, bounds)}
    if after.kind == _ARCHIVE:
        return {"members": member_changes(before, after, bounds)}
    # The numbers in the check report are compared for themselves.
    if media_type in _JSON and after.entry.name != layout.CHECKS_FILE:
        return {"values": _values(before, after, bounds)}
    return {}


def _values(before: BundleFile, after: BundleFile, bounds: Bounds) -> Listing[ValueChange]:
    old, new = read_json(before.path), read_json(after.path)
    # The manifest repeats what a document says about what made it.
    for file, document in ((before, old), (after, new)):
        if file.provenance is not None:
            document.pop(_PROVENANCE, None)
    return Listing.of(value_changes(old, new), bounds)


def _record(file: BundleFile) -> dict[str, Any]:
    return {} if file.provenance is None else file.provenance.to_dict()


def _side(file: BundleFile | None) -> FileSide | None:
    if file is None:
        return None
    entry = file.entry
    return FileSide(
        name=file.name,
        file=entry.name,
        layer=entry.layer,
        kind=entry.kind,
        media_type=entry.media_type,
        size=entry.size,
        sha256=entry.sha256,
    )


def _version(manifest: Manifest) -> Version:
    return Version(manifest.version, manifest.date, manifest.doi)


def _about(manifest: Manifest) -> dict[str, Any]:
    """Give what a manifest says about the whole bundle, but for what every version has anew."""
    return {
        "simulated": manifest.simulated,
        "toy_grid": manifest.toy_grid,
        "target": dict(manifest.target),
        "absent_layers": dict(manifest.absent_layers),
        "code_version": manifest.code_version,
        "concept_doi": manifest.concept_doi,
    }
