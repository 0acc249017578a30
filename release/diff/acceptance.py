"""Which acceptance numbers changed, and has a check become worse?

A check is known by its name and its product, and a product by its layer and name in the manifest,
so that neither the order of a report nor file names matter.

A check that was good before (passed, or set aside by a waiver) has regressed if it is there and
not good now, and also if it passed before and is not made any more, although its product is still
there: what is no longer measured is no longer known. Where the product itself is gone, so is the
claim that was checked, whatever the family of the check: that is reported as gone and is no
regression.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Final

from ard import layout
from ard.bundle import BundleFile
from manifests.waivers import Waiver
from release.diff.model import OUTCOMES, CheckChange, Outcome, Verdict
from release.diff.pairs import Pair
from release.diff.parts import members_of
from release.diff.snapshot import Snapshot
from release.gate import is_good

_ARCHIVE: Final = "archive"
# Between the name of an archive and that of a product inside.
_INSIDE: Final = "!"


@dataclass(frozen=True)
class Accepted:
    """Hold the waivers that count on a day, for checks that are no longer made."""

    waivers: tuple[Waiver, ...] = ()
    day: date = date.min

    def waiver(self, check: str, product: str) -> Waiver | None:
        """Find the waiver for a check that has no result any more."""
        return next((row for row in self.waivers if row.covers(check, product, self.day)), None)


NO_WAIVERS: Final = Accepted()


def check_changes(
    old: Snapshot,
    new: Snapshot,
    files: Iterable[Pair[BundleFile]],
    accepted: Accepted = NO_WAIVERS,
) -> list[CheckChange]:
    """List every result that two check reports do not share, the worst first.

    Parameters
    ----------
    old, new : Snapshot
    files : iterable of Pair
        Which file of the old bundle is which of the new one.
    accepted : Accepted
        Waivers for checks that are no longer made.
    """
    if old.same_checks(new):
        return []
    moved = {
        pair.before.name: pair.after.name
        for pair in files
        if pair.before is not None and pair.after is not None
    }
    before, after = _rows(old, moved), _rows(new, {})
    there = _There(frozenset(moved.get(name, name) for name in old.files), new.files)
    rows = []
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was is None and now is not None:
            rows.append(CheckChange(key.check, key.label, "new", None, now.verdict))
        elif was is not None and now is None:
            rows.append(_lost(key, was, there, accepted))
        elif was is not None and now is not None and was.verdict != now.verdict:
            outcome = _turn(key.check, was.verdict, now.verdict)
            rows.append(CheckChange(key.check, key.label, outcome, was.verdict, now.verdict))
    return sorted(rows, key=lambda row: OUTCOMES.index(row.outcome))


@dataclass(frozen=True, order=True)
class _Key:
    """What a result is about: check, product, and, of a folder, the file in it."""

    check: str
    product: str
    member: str = ""

    @property
    def label(self) -> str:
        return f"{self.product}/{self.member}" if self.member else self.product


@dataclass(frozen=True)
class _Row:
    """A result, with the name that its report gives to the product."""

    verdict: Verdict
    label: str


def product_results(snapshot: Snapshot) -> dict[tuple[str, str], Verdict]:
    """Give the results about single products, by check and by layer and name of the product.

    Those about a run or a bundle as a whole, and about folders, are left out: a run and its bundle
    differ in them.
    """
    single = {name for name, file in snapshot.files.items() if file.kind != _ARCHIVE}
    return {
        (key.check, key.product): row.verdict
        for key, row in _rows(snapshot, {}).items()
        if key.product in single and "/" in key.product and not key.member
    }


@dataclass(frozen=True)
class _There:
    """Know which files there were, under the names they have now, and which there are."""

    before: frozenset[str]
    after: Mapping[str, BundleFile]

    def is_gone(self, key: _Key) -> bool:
        """Tell whether a product is no more; what a report says about the run as a whole never is.

        A product may have moved into an archive of its layer, or to another one.
        """
        layer, joined, stem = key.product.partition("/")
        if not joined:
            return key.product in self.before and key.product not in self.after
        if not key.member and key.product in self.after:
            return False
        members = {
            member
            for file in self.after.values()
            if file.entry.layer == layer and file.kind == _ARCHIVE
            for member in members_of(file)
        }
        if key.member:
            return key.member not in members
        return stem not in {PurePosixPath(member).stem for member in members}


def _rows(snapshot: Snapshot, moved: Mapping[str, str]) -> dict[_Key, _Row]:
    names = {file.entry.name: name for name, file in snapshot.files.items()}
    rows: dict[_Key, _Row] = {}
    for row in snapshot.results():
        product, member = _place(row["product"], names)
        key = _Key(row["check"], moved.get(product, product), member)
        verdict = Verdict(**{name: row[name] for name in Verdict.__dataclass_fields__})
        # Should a report have two rows about one thing, the bad one counts.
        if key not in rows or not _is_good(key.check, verdict):
            rows[key] = _Row(verdict, row["product"])
    return rows


def _place(label: str, names: Mapping[str, str]) -> tuple[str, str]:
    """Find the product that a row of a report means, and the file of it if it is a folder.

    The report on a bundle names its files, ``archive.zip!member`` for a product that shares an
    archive; that on a run names them as they lay there, ``layer/product.suffix`` or
    ``layer/folder/file``.
    """
    file, inside, member = label.partition(_INSIDE)
    if file in names and inside:
        layer = names[file].partition("/")[0]
        return f"{layer}/{PurePosixPath(member).stem}", ""
    if file in names:
        return names[file], ""
    layer, _, rest = label.partition("/")
    if layer not in layout.LAYERS or not rest:
        return label, ""
    folder, joined, member = rest.partition("/")
    return (f"{layer}/{folder}", member) if joined else (f"{layer}/{PurePosixPath(rest).stem}", "")


def _lost(key: _Key, was: _Row, there: _There, accepted: Accepted) -> CheckChange:
    """Say what it means that a result is no longer there."""
    if there.is_gone(key):
        return CheckChange(key.check, key.label, "gone", was.verdict, None)
    if not was.verdict.passed:
        return CheckChange(key.check, key.label, "dropped", was.verdict, None)
    waiver = accepted.waiver(key.check, was.label)
    if waiver is None:
        return CheckChange(key.check, key.label, "regressed", was.verdict, None)
    return CheckChange(key.check, key.label, "waived", was.verdict, None, waiver.to_dict())


def _turn(check: str, was: Verdict, now: Verdict) -> Outcome:
    """Say how a result turned out that both reports have."""
    if _is_good(check, was) and not _is_good(check, now):
        return "regressed"
    if was.passed == now.passed:
        return "changed"
    return "mended" if now.passed else "waived"


def _is_good(check: str, verdict: Verdict) -> bool:
    return is_good(check, verdict.status, waived=verdict.waived is not None)
