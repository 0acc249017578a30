"""How is a difference shown on the terminal?"""

from collections.abc import Iterable
from itertools import compress
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from release.diff.model import CheckChange, Difference, FileChange
from release.diff.words import (
    ARROW,
    Note,
    file_notes,
    file_text,
    limit_text,
    measured_texts,
    name_of,
    outcomes,
    shown,
    summary,
    title,
    value_text,
    waiver_text,
)

_STYLES: Final = {
    "regressed": "bold red",
    "waived": "yellow",
    "dropped": "yellow",
    "gone": "yellow",
    "mended": "green",
    "added": "green",
    "removed": "red",
    "renamed": "cyan",
    "changed": "yellow",
    "new": "",
}
_HEADINGS: Final = ("outcome", "check", "product", "before", "after", "allowed", "waiver")
# What is written about a bundle repeats what is said about its products.
_OF_DOCUMENT: Final = 5


def difference_text(difference: Difference) -> RenderableType:
    """Give a difference as rich shows it: which versions, every file, every check."""
    old, new = difference.old, difference.new
    rows: list[RenderableType] = [Text(f"{title(old)}{ARROW}{title(new)}", style="bold")]
    if old.doi or new.doi:
        rows.append(Text(f"{old.doi or 'no DOI'}{ARROW}{new.doi or 'no DOI'}"))
    rows.append(Text(f"files: {summary(difference)}"))
    rows += [Text(value_text(change)) for change in difference.about.rows]
    rows += [_file(change) for change in difference.files]
    counts = ", ".join(f"{n} {word}" for word, n in outcomes(difference).items())
    rows.append(Text(f"checks: {counts or 'nothing else than before'}"))
    if difference.checks:
        rows.append(_checks(difference.checks))
    return Group(*rows)


def _file(change: FileChange) -> Tree:
    head = Text(name_of(change), style="bold")
    head.append(f": {file_text(change)}", style=_STYLES[change.state])
    tree = Tree(head)
    notes = file_notes(change)
    if change.side.layer is None and len(notes) > _OF_DOCUMENT:
        rest = Note(f"and {len(notes) - _OF_DOCUMENT} more lines like these")
        notes = (*notes[:_OF_DOCUMENT], rest)
    _grow(tree, notes)
    return tree


def _grow(tree: Tree, notes: Iterable[Note]) -> None:
    for note in notes:
        _grow(tree.add(Text(note.text)), note.more)


def _checks(checks: Iterable[CheckChange]) -> Table:
    columns = list(zip(*map(_cells, checks), strict=True))
    # Room is scarce: a column that says nothing is left out.
    full = [any(cell.plain for cell in cells) for cells in columns]
    table = Table()
    for heading in compress(_HEADINGS, full):
        table.add_column(heading, overflow="fold")
    for row in zip(*compress(columns, full), strict=True):
        table.add_row(*row)
    return table


def _cells(row: CheckChange) -> tuple[Text, ...]:
    texts = (row.check, row.product, *measured_texts(row), limit_text(row), waiver_text(row))
    return (Text(row.outcome, style=_STYLES[row.outcome]), *(Text(shown(text)) for text in texts))
