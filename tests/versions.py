"""Two versions of a bundle that differ in what a test plants."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from small_run import FakeJudge, result, write_record

import ard
from release.build import Options, build
from release.diff.compare import compare
from release.diff.model import BOUNDS, Difference

type Change = Callable[[Path], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Versions:
    """The folders of an old and a new bundle."""

    old: Path
    new: Path

    @property
    def sides(self) -> tuple[Path, Path]:
        return self.old, self.new

    def compare(self, **how: Any) -> Difference:
        return compare(ard.open(self.old), ard.open(self.new), **how)

    def backwards(self, **how: Any) -> Difference:
        return compare(ard.open(self.new), ard.open(self.old), **how)


def make_versions(
    run: Path,
    place: Path,
    change: Change = lambda products: None,
    *,
    rows: Sequence[Row] | None = None,
    new_rows: Sequence[Row] | None = None,
    **options: Any,
) -> Versions:
    """Build a bundle of a run, plant something in a copy of the run, and build it again."""
    before = [result()] if rows is None else list(rows)
    after = before if new_rows is None else list(new_rows)
    build(run, place / "old", Options("1.0.0"), judge=FakeJudge(before))
    changed = Path(shutil.copytree(run, place / "changed-run"))
    change(changed / "products")
    write_record(changed)
    build(changed, place / "new", Options("1.1.0", **options), judge=FakeJudge(after))
    return Versions(place / "old", place / "new")


def file_of(difference: Difference, name: str) -> Any:
    """The change of one file."""
    (found,) = [row for row in difference.files if row.side.name == name]
    return found


SWAPPED = {"added": "removed", "removed": "added"}


def mirrored(document: Any) -> Any:
    """A difference as JSON with old and new exchanged; rows whose order has no meaning sorted."""
    if isinstance(document, list):
        rows = [mirrored(row) for row in document]
        return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
    if not isinstance(document, dict):
        return document
    row = {_other(key): mirrored(value) for key, value in document.items()}
    if row.get("state") in SWAPPED:
        row["state"] = SWAPPED[row["state"]]
    return row


def _other(key: str) -> str:
    names = {"before": "after", "after": "before", "old": "new", "new": "old"}
    for word, other in SWAPPED.items():
        if key.endswith(f"_{word}"):
            return key.removesuffix(word) + other
    return names.get(key, key)


def undirected(difference: Difference) -> Any:
    """A difference as JSON without what has a direction: what became of a check."""
    document = difference.to_dict()
    del document["regressions"]
    for row in document["checks"]:
        del row["outcome"]
    return document


EVERYTHING = type(BOUNDS)(listed=10**6, block_bytes=BOUNDS.block_bytes)
