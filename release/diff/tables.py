"""Which rows, columns and cells of a table changed?

Rows are matched by a column of texts that names each of them once in both tables, such as `name`
or `filename`; where there is none, by position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np

from release.diff.arrays import Array, Flags, Tally, blocks, is_numeric, plain
from release.diff.model import (
    Bounds,
    CellChange,
    ColumnChange,
    ColumnSide,
    Listing,
    TableChange,
    ValueChange,
)

# What names rows, should several columns do.
_KEYS: Final = ("name", "item", "id", "key", "filename", "file", "path", "check")
TEXT: Final = "str"
_TEXT_KINDS: Final = "US"


class Rows(Protocol):
    """What a table has to offer, however it is stored."""

    @property
    def columns(self) -> Mapping[str, ColumnSide]:
        """Each column's type and unit."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""

    def __len__(self) -> int:
        """Number of rows."""

    def take(self, rows: Array) -> Mapping[str, Array]:
        """Read some rows, given by number: every column, possibly masked."""


def dtype_name(array: Array) -> str:
    """Name the type of a column: ``float64``, ``int16[3]``, ``str``, or ``object``."""
    kind = array.dtype.kind
    if kind in _TEXT_KINDS:
        name = TEXT
    else:
        name = "object" if kind == "O" else array.dtype.newbyteorder("=").name
    shape = "x".join(map(str, array.shape[1:]))
    return f"{name}[{shape}]" if shape else name


def table_change(
    old: Rows, new: Rows, bounds: Bounds, values: Sequence[ValueChange] = ()
) -> TableChange | None:
    """Compare two tables.

    Parameters
    ----------
    old, new : Rows
    bounds : Bounds
    values : sequence of ValueChange
        How differs what is said about the tables as a whole.

    Returns
    -------
    TableChange or None
        None if they hold the same.
    """
    match = _match(old, new, bounds)
    both = [name for name in old.columns if name in new.columns]
    found = _compare_cells(old, new, match, both, bounds)
    change = TableChange(
        key=match.key,
        before=len(old),
        after=len(new),
        rows_added=Listing.of(match.added, bounds),
        rows_removed=Listing.of(match.removed, bounds),
        rows_changed=found.rows_changed,
        reordered=match.key is not None and any(a > b for a, b in pairwise(match.after)),
        columns=_column_changes(old, new, found),
        cells=Listing(found.n_cells, tuple(found.cells)),
        values=Listing.of(values, bounds),
    )
    return change or None


@dataclass(frozen=True)
class _Match:
    """Row `before[i]` of the old table is row `after[i]` of the new one."""

    key: str | None
    before: Sequence[int]
    after: Sequence[int]
    labels: Sequence[str | int]
    added: Sequence[str | int]
    removed: Sequence[str | int]


def _match(old: Rows, new: Rows, bounds: Bounds) -> _Match:
    keys = _keys(old, new, bounds)
    if keys is None:
        n = min(len(old), len(new))
        same = range(n)
        return _Match(None, same, same, same, range(n, len(new)), range(n, len(old)))
    name, was, now = keys
    place = {key: number for number, key in enumerate(now)}
    known = set(was)
    kept = [(number, place[key]) for number, key in enumerate(was) if key in place]
    return _Match(
        key=name,
        before=[number for number, _ in kept],
        after=[number for _, number in kept],
        labels=[key for key in was if key in place],
        added=[key for key in now if key not in known],
        removed=[key for key in was if key not in place],
    )


def _keys(old: Rows, new: Rows, bounds: Bounds) -> tuple[str, list[str], list[str]] | None:
    """Choose the column whose texts name the rows, and read it; the one that most rows share."""
    best: tuple[tuple[int, int, str], tuple[str, list[str], list[str]]] | None = None
    for name in sorted(_texts(old) & _texts(new)):
        was, now = _column(old, name, bounds), _column(new, name, bounds)
        shared = len({*was} & {*now})
        if not shared or len({*was}) < len(was) or len({*now}) < len(now):
            continue
        usual = _KEYS.index(name.casefold()) if name.casefold() in _KEYS else len(_KEYS)
        rank = (-shared, usual, name)
        if best is None or rank < best[0]:
            best = (rank, (name, was, now))
    return None if best is None else best[1]


def _texts(table: Rows) -> set[str]:
    return {name for name, side in table.columns.items() if side.dtype == TEXT}


def _column(table: Rows, name: str, bounds: Bounds) -> list[str]:
    texts: list[str] = []
    for (part,) in _parts(len(table), table.row_bytes, bounds):
        column = table.take(np.arange(part.start, part.stop))[name]
        texts += _as_text(np.ma.filled(column, "")).tolist()
    return texts


def _parts(n_rows: int, row_bytes: int, bounds: Bounds) -> Any:
    return blocks((n_rows,), max(1, bounds.block_bytes // max(1, row_bytes)))


class _Found:
    """Collect the cells that differ."""

    def __init__(self, names: Sequence[str], bounds: Bounds) -> None:
        self.tallies = {name: Tally() for name in names}
        self.counts = dict.fromkeys(names, 0)
        self.numeric: set[str] = set()
        self.cells: list[CellChange] = []
        self.rows_changed = 0
        self._room = bounds.listed

    @property
    def n_cells(self) -> int:
        return sum(self.counts.values())

    def add(
        self, labels: Sequence[str | int], before: Mapping[str, Array], after: Mapping[str, Array]
    ) -> None:
        """Compare one block of matched rows."""
        changed = np.zeros(len(labels), dtype=bool)
        for name in self.counts:
            old, new = before[name], after[name]
            differ = self._differ(name, old, new)
            changed |= differ
            self.counts[name] += int(np.count_nonzero(differ))
            for row in np.flatnonzero(differ)[: self._room - len(self.cells)]:
                self.cells.append(CellChange(labels[row], name, plain(old[row]), plain(new[row])))
        self.rows_changed += int(np.count_nonzero(changed))

    def _differ(self, name: str, old: Array, new: Array) -> Flags:
        if old.shape != new.shape:
            return np.ones(len(old), dtype=bool)
        if is_numeric(old) and is_numeric(new):
            self.numeric.add(name)
            return _rows(_unlike(old, new, self.tallies[name].add))
        if _is_text(old) and _is_text(new):
            return _rows(_unlike(_as_text(old), _as_text(new), np.not_equal))
        pairs = zip(old, new, strict=True)
        return np.array([not _same(was, now) for was, now in pairs], dtype=bool)


def _rows(differ: Flags) -> Flags:
    flags: Flags = differ.reshape(len(differ), -1).any(axis=1)
    return flags


def _unlike(old: Array, new: Array, compare: Any) -> Flags:
    """Compare what neither table masks; a cell that only one of them masks differs."""
    was_hidden, is_hidden = np.ma.getmaskarray(old), np.ma.getmaskarray(new)
    differ: Flags = was_hidden != is_hidden
    seen = ~(was_hidden | is_hidden)
    differ[seen] = compare(np.ma.getdata(old)[seen], np.ma.getdata(new)[seen])
    return differ


def _is_text(array: Array) -> bool:
    return array.dtype.kind in _TEXT_KINDS


def _as_text(array: Array) -> Array:
    if array.dtype.kind != "S":
        return np.asanyarray(array) if np.ma.isMaskedArray(array) else np.asarray(array)
    texts = np.char.decode(np.ma.getdata(array), "ascii", "backslashreplace")
    return np.ma.array(texts, mask=np.ma.getmask(array)) if np.ma.isMaskedArray(array) else texts


def _same(was: Any, now: Any) -> bool:
    """Compare two cells of any kind, such as arrays of their own length."""
    if was is np.ma.masked or now is np.ma.masked:
        return was is now
    old, new = np.asarray(was), np.asarray(now)
    if old.shape != new.shape or is_numeric(old) != is_numeric(new):
        return False
    if is_numeric(old):
        return not Tally().add(old, new).any()
    return bool(np.all(old == new))


def _compare_cells(
    old: Rows, new: Rows, match: _Match, names: Sequence[str], bounds: Bounds
) -> _Found:
    found = _Found(names, bounds)
    if names:
        for (part,) in _parts(len(match.before), max(old.row_bytes, new.row_bytes), bounds):
            before, after = (np.array(rows[part]) for rows in (match.before, match.after))
            found.add(match.labels[part], old.take(before), new.take(after))
    return found


def _column_changes(old: Rows, new: Rows, found: _Found) -> tuple[ColumnChange, ...]:
    changes = []
    for name in dict.fromkeys([*old.columns, *new.columns]):
        before, after = old.columns.get(name), new.columns.get(name)
        if before is None:
            changes.append(ColumnChange(name, "added", None, after))
        elif after is None:
            changes.append(ColumnChange(name, "removed", before, None))
        elif before != after or found.counts[name]:
            differing = found.counts[name] and name in found.numeric
            spread = found.tallies[name].spread() if differing else None
            cells = found.counts[name]
            changes.append(ColumnChange(name, "changed", before, after, cells, spread))
    return tuple(changes)
