"""How is a difference written into the changelog of a bundle?"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ard import layout
from release.diff.model import CheckChange, Difference, FileChange, Version
from release.diff.sentences import sentences
from release.diff.words import (
    Note,
    file_notes,
    file_text,
    limit_text,
    measured_texts,
    name_of,
    shown,
    title,
    waiver_text,
)
from release.render import render_template

_SECTION: Final = "## "
_FIRST: Final = "First version."
_UNKNOWN: Final = f"Nothing is known about this version: its bundle has no {layout.CHANGELOG_FILE}."


def section(difference: Difference) -> str:
    """Write what is new in a version: sentences, then every product and every check.

    The files about the bundle as a whole are left out: they change with every version, and the
    changelog is one of them.
    """
    return render_template(
        "changes.md.j2",
        new=difference.new,
        old=difference.old,
        heading=title(difference.new),
        sentences=sentences(difference),
        products=[line for row in difference.products for line in _lines(row)],
        checks=[_row(row) for row in difference.checks],
    )


def _lines(change: FileChange) -> Iterator[str]:
    """Write one product as an item of a list, what differs inside it as items below."""
    yield f"- `{name_of(change)}`: {file_text(change)}"
    yield from _items(file_notes(change), 1)


def _items(notes: Iterable[Note], depth: int) -> Iterator[str]:
    for note in notes:
        yield f"{'  ' * depth}- {note.text}"
        yield from _items(note.more, depth + 1)


def _row(row: CheckChange) -> dict[str, Any]:
    before, after = measured_texts(row)
    return {
        "outcome": row.outcome,
        "check": shown(row.check),
        "product": shown(row.product),
        "before": before,
        "after": after,
        "allowed": limit_text(row),
        "waiver": waiver_text(row),
    }


def first_section(version: Version) -> str:
    """Write the section of a version before which there was none."""
    return _bare_section(version, _FIRST)


def _bare_section(version: Version, text: str) -> str:
    return render_template("first-changes.md.j2", new=version, heading=title(version), text=text)


def older_sections(text: str | None, version: Version) -> str:
    """Give the sections that the changelog of the version before has.

    Parameters
    ----------
    text : str or None
        That changelog; None where its bundle has none.
    version : Version
        The version before.
    """
    if text is not None:
        lines = text.splitlines(keepends=True)
        starts = [n for n, line in enumerate(lines) if line.startswith(_SECTION)]
        if starts:
            return "".join(lines[starts[0] :])
    return _bare_section(version, _UNKNOWN)
