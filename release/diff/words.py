"""How is a difference said in words, on the terminal as in Markdown?

What comes from a file is shown with everything escaped that is not printable: a bundle of somebody
else must not drive the terminal.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ard.bundle import human_size
from release.counting import count
from release.diff.model import (
    CardChange,
    CellChange,
    CheckChange,
    ColumnChange,
    Difference,
    FileChange,
    HduChange,
    ImageChange,
    Listing,
    MemberChange,
    Spread,
    TableChange,
    ValueChange,
    Verdict,
    Version,
)

ARROW: Final = " -> "
_LONGEST: Final = 60
_DIGITS: Final = 4
_ALL_DIGITS: Final = 18  # beyond 17 no two float64 look alike
_SHORT_DIGEST: Final = 12
_DIGEST_LENGTH: Final = 64
# What is said of an HDU of which neither cards nor data differ.
_SAME_CONTENT: Final = "the same cards and data in other bytes"


@dataclass(frozen=True)
class Note:
    """One line about a difference, and the lines that say more."""

    text: str
    more: tuple["Note", ...] = ()


def shown(text: str) -> str:
    """Escape what is not printable."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def number(value: float, digits: int = _DIGITS) -> str:
    """Write a number: whole ones in full, others with so many digits."""
    return str(value) if isinstance(value, int) else f"{value:.{digits}g}"


def value(item: Any) -> str:
    """Write a value of a document, a card or a cell on one short line."""
    if isinstance(item, str):
        text = item[:_SHORT_DIGEST] + "..." if _is_digest(item) else item
        text = f"'{shown(text)}'"
    else:
        text = shown(json.dumps(item, ensure_ascii=False, sort_keys=True))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _is_digest(text: str) -> bool:
    return len(text) == _DIGEST_LENGTH and set(text) <= set("0123456789abcdef")


def name_of(change: FileChange) -> str:
    """Name a file: as a product, or by its file name."""
    return shown(change.side.name)


def title(version: Version) -> str:
    """Name a version, with its day where there is one."""
    day = f" ({version.date})" if version.date else ""
    return f"{shown(version.version)}{day}"


def file_text(change: FileChange) -> str:
    """Say in one line what became of a file."""
    before, after = change.before, change.after
    if before is None or after is None:
        return f"{change.state} ({change.side.kind}, {human_size(change.side.size)})"
    if change.state == "renamed":
        if before.name != after.name:
            return f"the same bytes, was {shown(before.name)}"
        return f"the same bytes, the file {before.file} is now {after.file}"
    sizes = [human_size(before.size), human_size(after.size)]
    size = sizes[0] if before.size == after.size else ARROW.join(sizes)
    file = "" if before.file == after.file else f", the file {before.file} is now {after.file}"
    return f"changed ({after.kind}, {size}){file}"


def file_notes(change: FileChange) -> tuple[Note, ...]:
    """Say what differs inside of a file."""
    notes = (
        *(_hdu_note(hdu) for hdu in change.hdus),
        *_table_notes(change.table),
        *_listed(change.values, value_text),
        *_listed(change.members, _member_text),
    )
    if change.provenance:
        return (*notes, Note("made differently", _listed(change.provenance, value_text)))
    return notes


def _listed[T](listing: Listing[T], say: Callable[[T], str]) -> tuple[Note, ...]:
    notes = [Note(say(row)) for row in listing.rows]
    rest = listing.total - len(listing.rows)
    return (*notes, *([Note(f"and {rest} more")] if rest else []))


def value_text(change: ValueChange) -> str:
    """Say how one value changed."""
    return f"{shown(change.path)}{_turn(change.state, change.before, change.after)}"


def _turn(state: str, before: Any, after: Any) -> str:
    if state == "added":
        return f" added: {value(after)}"
    if state == "removed":
        return f" removed: {value(before)}"
    return f": {value(before)}{ARROW}{value(after)}"


def _hdu_note(change: HduChange) -> Note:
    name = f"HDU {shown(change.name)}"
    before, after = change.before, change.after
    if before is None or after is None:
        side = before or after
        what = "" if side is None else f" ({side.kind}, {human_size(side.size)})"
        return Note(f"{name} {change.state}{what}")
    facts = [] if before.kind == after.kind else [f"{before.kind}{ARROW}{after.kind}"]
    facts += [image_text(change.image)] if change.image else []
    facts += [_table_text(change.table)] if change.table else []
    facts += [count(change.cards.total, "card")] if change.cards else []
    facts += ["cards in another order"] if change.reordered else []
    more = (*_table_notes(change.table)[1:], *_listed(change.cards, _card_text))
    return Note(f"{name}: {'; '.join(facts) or _SAME_CONTENT}", more)


def image_text(change: ImageChange) -> str:
    """Say how the pixels of an image changed."""
    before, after, spread = change.before, change.after, change.spread
    facts = []
    if before.shape != after.shape:
        facts.append(f"shape {_shape(before.shape)}{ARROW}{_shape(after.shape)}")
    if before.dtype != after.dtype:
        facts.append(f"{before.dtype}{ARROW}{after.dtype}")
    if before.unit != after.unit:
        facts.append(f"unit {value(before.unit)}{ARROW}{value(after.unit)}")
    if spread is not None and spread.differing:
        facts.append(spread_text(spread, "pixel", after.unit))
    return ", ".join(facts)


def _shape(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def spread_text(spread: Spread, noun: str, unit: str) -> str:
    """Say how many numbers differ, and by how much."""
    differ = "differs" if spread.differing == 1 else "differ"
    facts = [f"{spread.differing} of {count(spread.compared, noun)} {differ}"]
    if spread.max_abs is not None and spread.max_rel is not None:
        largest = f"{number(spread.max_abs)} {shown(unit)}".rstrip()
        facts.append(f"by at most {largest} (relative {number(spread.max_rel)})")
    if spread.nan_added:
        facts.append(f"{spread.nan_added} became NaN")
    if spread.nan_removed:
        facts.append(f"{spread.nan_removed} no longer NaN")
    return ", ".join(facts)


def _card_text(change: CardChange) -> str:
    before, after = change.before, change.after
    keyword = shown(change.keyword) or "blank card"
    if before is None or after is None:
        card = before or after
        return f"{keyword} {change.state}: {value(None if card is None else card.value)}"
    if before.value == after.value:
        return f"{keyword}: comment {value(before.comment)}{ARROW}{value(after.comment)}"
    return f"{keyword}: {value(before.value)}{ARROW}{value(after.value)}"


def _table_text(change: TableChange) -> str:
    facts = []
    if change.before != change.after:
        facts.append(f"{change.before}{ARROW}{count(change.after, 'row')}")
    facts += [f"{change.rows_added.total} added"] if change.rows_added else []
    facts += [f"{change.rows_removed.total} removed"] if change.rows_removed else []
    facts += [f"{change.rows_changed} changed"] if change.rows_changed else []
    facts += ["in another order"] if change.reordered else []
    facts += [f"{count(len(change.columns), 'column')} changed"] if change.columns else []
    facts += [f"{count(change.values.total, 'value')} about the table"] if change.values else []
    by = f"by {shown(change.key)}" if change.key else "by position"
    return f"rows matched {by}: {', '.join(facts)}"


def _table_notes(change: TableChange | None) -> tuple[Note, ...]:
    """Say how a table changed: the whole of it first."""
    if change is None:
        return ()
    notes = [Note(_table_text(change))]
    for verb, rows in (("added", change.rows_added), ("removed", change.rows_removed)):
        if rows:
            labels = [*(shown(str(row)) for row in rows.rows)]
            labels += ["..."] if rows.total > len(labels) else []
            notes.append(Note(f"{verb}: {', '.join(labels)}"))
    notes += [Note(_column_text(column)) for column in change.columns]
    notes += _listed(change.cells, _cell_text)
    notes += _listed(change.values, value_text)
    return tuple(notes)


def _column_text(change: ColumnChange) -> str:
    name, before, after = f"column {shown(change.name)}", change.before, change.after
    if before is None or after is None:
        side = before or after
        unit = "" if side is None or not side.unit else f", {shown(side.unit)}"
        return f"{name} {change.state}" + ("" if side is None else f" ({side.dtype}{unit})")
    facts = [] if before.dtype == after.dtype else [f"{before.dtype}{ARROW}{after.dtype}"]
    if before.unit != after.unit:
        facts.append(f"unit {value(before.unit)}{ARROW}{value(after.unit)}")
    if change.spread is not None:
        facts.append(spread_text(change.spread, "value", after.unit))
    elif change.cells:
        facts.append(f"{count(change.cells, 'cell')} changed")
    return f"{name}: {', '.join(facts)}"


def _cell_text(change: CellChange) -> str:
    row = f"row {change.row}" if isinstance(change.row, int) else shown(change.row)
    before, after = value(change.before), value(change.after)
    # Of long arrays only the length is kept.
    text = f"{before}{ARROW}{after}" if before != after else "other values"
    return f"{row}, {shown(change.column)}: {text}"


def _member_text(change: MemberChange) -> str:
    before, after = change.before, change.after
    if before is None or after is None:
        side = before or after
        return "" if side is None else f"{shown(side.name)} {change.state}"
    if change.state == "renamed":
        return f"{shown(after.name)}: the same bytes, was {shown(before.name)}"
    sizes = f"{human_size(before.size)}{ARROW}{human_size(after.size)}"
    return f"{shown(after.name)} changed ({sizes})"


def measured_texts(change: CheckChange) -> tuple[str, str]:
    """Say what was measured before and after, with units; or how the check ended.

    Numbers have as many digits as it takes to tell them apart.
    """
    for digits in range(_DIGITS, _ALL_DIGITS):
        texts = (_measured(change.before, digits), _measured(change.after, digits))
        if texts[0] != texts[1]:
            break
    return texts


def _measured(verdict: Verdict | None, digits: int) -> str:
    if verdict is None:
        return "not made"
    if verdict.measured is None or isinstance(verdict.measured, bool | str):
        return verdict.status
    text = f"{number(verdict.measured, digits)} {shown(verdict.unit)}".rstrip()
    return text if verdict.passed else f"{text} ({verdict.status})"


def limit_text(change: CheckChange) -> str:
    """Say what is allowed, and what was allowed where that is something else."""
    texts = [
        f"{shown(verdict.limit)} {shown(verdict.unit)}".rstrip()
        for verdict in (change.before, change.after)
        if verdict is not None and verdict.limit is not None
    ]
    return ARROW.join(dict.fromkeys(texts))


def waiver_text(change: CheckChange) -> str:
    """Say who set a result aside, why and until when, and that a waiver is no longer needed."""
    waiver = change.waiver or (change.after.waived if change.after else None)
    if waiver is not None:
        by = f"waived by {shown(waiver['author'])} until {waiver['expires']}"
        return f"{by}: {shown(waiver['reason'])}"
    if change.before is not None and change.before.waived is not None:
        return "no longer waived"
    return ""


def summary(difference: Difference) -> str:
    """Say in one sentence how many files differ."""
    states = [change.state for change in difference.files]
    facts = [
        f"{states.count(state)} {state}"
        for state in ("changed", "added", "removed", "renamed")
        if states.count(state)
    ]
    same = f"{count(difference.same_files, 'file')} the same"
    return f"{', '.join([*facts, same])}"


def outcomes(difference: Difference) -> Mapping[str, int]:
    """Count the checks by what became of them, the worst first."""
    rows = [change.outcome for change in difference.checks]
    return {outcome: rows.count(outcome) for outcome in dict.fromkeys(rows)}
