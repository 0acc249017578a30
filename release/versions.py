"""May this bundle follow that one, and what is new in it?

A new version has to be one: later in number, of the same dataset in the same archive, of data with
the same marks. And it has to be at least as good: nothing that passed before may fail, or be
unknown, now.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import ard
from ard import layout
from ard.bundle import Bundle, BundleFile
from ard.errors import FormatError
from ard.integrity import not_intact
from ard.manifest import Manifest, parse_manifest
from ard.source import LocalSource
from manifests.waivers import NEVER_WAIVED, load_waivers
from release.days import judging_day
from release.diff.acceptance import Accepted
from release.diff.compare import Progress, compare_snapshots
from release.diff.markdown import older_sections
from release.diff.model import CheckChange
from release.diff.sentences import sentences
from release.diff.snapshot import Snapshot
from release.diff.words import measured_texts, shown
from release.manifest import manifest_document
from release.model import Plan, RefusedError, Release
from release.reservation import Reservation

_PROBLEM: Final = "the bundle is not built: it cannot follow the version before"
# Semantic Versioning 2.0.0, section 9 and 10: what follows "-" comes before the version itself,
# what follows "+" has no rank.
_SEMANTIC: Final = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)


def semantic_key(version: str) -> tuple[Any, ...] | None:
    """Give what orders versions as Semantic Versioning does; None if it is no such version."""
    found = _SEMANTIC.fullmatch(version)
    if found is None:
        return None
    numbers = tuple(int(text) for text in found.groups()[:3])
    before = found.group(4)
    if before is None:
        return (*numbers, 1)
    # A number ranks below a word, and fewer of them below more.
    names = tuple(
        (0, int(name), "") if name.isdigit() else (1, 0, name) for name in before.split(".")
    )
    return (*numbers, 0, names)


def require_ordered(version: str) -> None:
    """Refuse a version that no other one could be later than.

    What is published stays, and every version after it has to be later in the order.

    Raises
    ------
    FormatError
        If it is not one of Semantic Versioning.
    """
    if semantic_key(version) is None:
        raise FormatError(
            "the version has no place in an order, so that none could ever follow it",
            expected="a version of Semantic Versioning, such as 1.4.2",
            found=version,
            action="give another --version",
        )


def previous_bundle(
    plan: Plan,
    version: str,
    reservation: Reservation | None,
    place: str | Path | None,
) -> Bundle | None:
    """Open the version before, if there is one, and make sure that this one may follow it.

    Parameters
    ----------
    plan : Plan
        What is to be built.
    version : str
        Version of the data.
    reservation : Reservation or None
        The DOIs that were reserved.
    place : str, Path or None
        Folder or DOI of the version before; None where there is none.

    Returns
    -------
    Bundle or None

    Raises
    ------
    RefusedError
        If this cannot follow it, or a version before was reserved for and is not given.
    ArdError
        If there is no such bundle, or it is not intact.
    """
    if place is None:
        if reservation is not None and reservation.previous_doi is not None:
            reason = f"release.json is for a version that follows {reservation.previous_doi}"
            raise RefusedError(
                "the bundle is not built: the version before is not given",
                (reason,),
                "give --previous with the folder of that bundle, or its DOI",
            )
        return None
    bundle = ard.open(place, verify="full")
    old = bundle.manifest
    reasons = [*_order(old, version), *_identifiers(old, reservation), *_marks(old, plan)]
    if reasons:
        action = "give the bundle of the version before, and a later --version"
        raise RefusedError(_PROBLEM, tuple(reasons), action)
    return bundle


def _order(old: Manifest, version: str) -> list[str]:
    keys = {text: semantic_key(text) for text in (old.version, version)}
    reasons = [
        f"the version '{shown(text)}' has no place in an order: it is not of the form 1.2.3"
        for text, key in keys.items()
        if key is None
    ]
    was, now = keys[old.version], keys[version]
    if was is not None and now is not None and now <= was:
        reasons.append(f"version {version} is not later than {old.version}, the version before")
    return reasons


def _identifiers(old: Manifest, reservation: Reservation | None) -> list[str]:
    if reservation is None:
        return []
    if reservation.previous_doi is None:
        return ["release.json is for a first version, which follows no other"]
    rows = [
        ("", old.doi, reservation.previous_doi),
        ("concept ", old.concept_doi, reservation.concept_doi),
    ]
    return [
        f"the version before has the {kind}DOI {found or 'none'}, release.json says {expected}"
        for kind, found, expected in rows
        if found != expected
    ]


def _marks(old: Manifest, plan: Plan) -> list[str]:
    rows = [
        ("simulated", old.simulated, plan.simulated),
        ("made with the toy grid", old.toy_grid, plan.toy_grid),
    ]
    reasons = [
        f"the data are {'' if now else 'not '}{what}, those of the version before are"
        f"{' not' if now else ''}"
        for what, was, now in rows
        if was != now
    ]
    was, now = old.target.get("item"), plan.target.get("item")
    if was != now:
        reasons.append(f"the data are about {now}, those of the version before about {was}")
    return reasons


def with_changes(
    release: Release, folder: Path, previous: Bundle | None, progress: Progress | None = None
) -> Release:
    """Compare the written products with the version before, and tell the release what is new.

    Parameters
    ----------
    release : Release
        What is being built; its products are written and checked.
    folder : Path
        Where they are.
    previous : Bundle or None
        The version before; None for the first, of which nothing is to be told.
    progress : callable, optional
        Is told which file is being compared.

    Raises
    ------
    RefusedError
        If a check that was good before is not good now, or a product does not say any more what
        made it; names each.
    """
    if previous is None:
        return release
    bundle = Bundle(LocalSource(folder), _manifest(release, folder))
    old, new = Snapshot.of(previous).products, replace(Snapshot.of(bundle), checks=release.report)
    accepted = Accepted(load_waivers(), judging_day(release.date))
    difference = compare_snapshots(old, new, accepted=accepted, progress=progress)
    reasons = [_regression(row) for row in difference.regressions]
    reasons += _unexplained(old.files, new.files)
    if reasons:
        raise RefusedError(
            "the bundle is not built: something is worse than in the version before",
            tuple(reasons),
            "mend it; waivers are rows of manifests/waivers.toml, but not for "
            + " or ".join(NEVER_WAIVED),
        )
    return replace(
        release,
        changes=sentences(difference),
        difference=difference,
        history=older_sections(_changelog(previous), difference.old),
    )


def _manifest(release: Release, folder: Path) -> Manifest:
    """Give the manifest as it would be if there were products only."""
    manifest, findings = parse_manifest(manifest_document(release, release.products))
    if manifest is None or findings:
        raise not_intact(folder, findings)
    return manifest


def _changelog(bundle: Bundle) -> str | None:
    file = bundle.documents.get(layout.CHANGELOG_FILE)
    return None if file is None else str(file.load())


def _regression(row: CheckChange) -> str:
    before, after = measured_texts(row)
    now = "is no longer made" if row.after is None else f"{row.after.status} now ({after})"
    return f"{row.check} on {row.product} was good before ({before}) and {now}"


def _unexplained(old: Mapping[str, BundleFile], new: Mapping[str, BundleFile]) -> list[str]:
    return [
        f"{name} does not say what made it, as it did in the version before"
        for name, file in new.items()
        if file.provenance is None
        and name in old
        and old[name].provenance is not None
        and old[name].kind == file.kind
    ]
