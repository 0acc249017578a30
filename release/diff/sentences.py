"""What is new in a version, in plain sentences for a record's description?"""

from collections.abc import Iterable, Sequence
from typing import Final

from ard import layout
from release.counting import count
from release.diff.model import OUTCOMES, CheckChange, Difference, FileChange, Outcome
from release.diff.words import (
    file_notes,
    limit_text,
    name_of,
    shown,
    value_text,
    waiver_text,
)

# A description is read by people; everything stands in the changelog of the bundle.
_NAMED: Final = 10
_NOTES: Final = 3
_NAMED_CHECKS: Final[tuple[tuple[Outcome, str], ...]] = (
    ("regressed", "Regressed"),
    ("mended", "Passes now"),
    ("dropped", "No longer made"),
)


def sentences(difference: Difference) -> tuple[str, ...]:
    """Say what is new against the version before, the whole of it first.

    Parameters
    ----------
    difference : Difference
        Of its files only the products are told about: what is written about a bundle as a whole
        changes with every version.
    """
    return (
        _whole(difference),
        *(f"{value_text(row)}." for row in difference.about.rows),
        *_came_and_went(difference.products),
        *_changed([row for row in difference.products if row.state == "changed"]),
        *_checks(difference.checks),
    )


def _whole(difference: Difference) -> str:
    products = difference.products
    facts = []
    for state in ("changed", "added", "removed", "renamed"):
        n = sum(row.state == state for row in products)
        facts += [f"{count(n, 'product')} {state}"] if n else []
    found = ", ".join(facts) or "no product changed"
    return f"Compared with version {shown(difference.old.version)}: {found}."


def _came_and_went(products: Iterable[FileChange]) -> list[str]:
    rows = []
    for word, state in (("Added", "added"), ("Removed", "removed")):
        names = [name_of(row) for row in products if row.state == state]
        rows += [f"{word}: {_some(names)}."] if names else []
    return rows


def _some(names: list[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _changed(products: list[FileChange]) -> list[str]:
    rows = []
    for product in products[:_NAMED]:
        notes = [note.text for note in file_notes(product)]
        more = ["and more"] if len(notes) > _NOTES else []
        rows.append(f"{name_of(product)}: {'; '.join([*notes[:_NOTES], *more]) or 'new bytes'}.")
    rest = len(products) - _NAMED
    if rest > 0:
        rows.append(f"Other products that changed: {rest}; {layout.CHANGELOG_FILE} lists them.")
    return rows


def _checks(checks: Sequence[CheckChange]) -> list[str]:
    by = {word: [row for row in checks if row.outcome == word] for word in OUTCOMES}
    rows = [
        f"{said}: {_some([_label(row) for row in by[word]])}."
        for word, said in _NAMED_CHECKS
        if by[word]
    ]
    rows += [f"{_label(row)} is {waiver_text(row)}." for row in by["waived"]]
    limits = {
        f"The limit of {shown(row.check)} changed: {limit_text(row)}."
        for row in checks
        if _has_new_limit(row)
    }
    rows += sorted(limits)
    numbers = sum(_has_new_number(row) for row in checks)
    counts = (
        ("Measured numbers that changed", numbers),
        ("New results of checks", len(by["new"])),
        ("Results that are gone with their product", len(by["gone"])),
    )
    return rows + [f"{said}: {n}; {layout.CHANGELOG_FILE} lists them." for said, n in counts if n]


def _label(row: CheckChange) -> str:
    return f"{shown(row.check)} on {shown(row.product)}"


def _has_new_limit(row: CheckChange) -> bool:
    before, after = row.before, row.after
    return before is not None and after is not None and before.limit != after.limit


def _has_new_number(row: CheckChange) -> bool:
    before, after = row.before, row.after
    return before is not None and after is not None and before.measured != after.measured
