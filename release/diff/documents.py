"""Which values of a JSON document changed?

Objects are compared field by field. A list of objects that each have a name of their own is
compared name by name, so that one more row does not make all that follow differ; any other list
is compared by position.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from release.diff.model import ValueChange

# Any other field is quoted in a path.
_PLAIN: Final = re.compile(r"[\w@-]+")
# Fields that name the rows of a list; the first that is unique in both lists counts.
_NAMES: Final = ("@id", "id", "name", "item", "group", "path", "check", "identifier")


def value_changes(before: Any, after: Any, path: str = "") -> list[ValueChange]:
    """List every value in which two JSON documents differ, ordered by path.

    Parameters
    ----------
    before, after
        The documents, or parts of them.
    path : str
        Where in a larger document they are.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return _objects(before, after, path)
    if _is_list(before) and _is_list(after):
        return _lists(before, after, path)
    # In Python 1 equals True.
    if before == after and isinstance(before, bool) == isinstance(after, bool):
        return []
    return [ValueChange(path, "changed", before, after)]


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _objects(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> list[ValueChange]:
    rows: list[ValueChange] = []
    for key in sorted({*before, *after}):
        where = _join(path, key)
        rows += _member(before, after, key, where)
    return rows


def _member(
    before: Mapping[str, Any], after: Mapping[str, Any], key: str, where: str
) -> list[ValueChange]:
    if key not in before:
        return [ValueChange(where, "added", None, after[key])]
    if key not in after:
        return [ValueChange(where, "removed", before[key], None)]
    return value_changes(before[key], after[key], where)


def _lists(before: Sequence[Any], after: Sequence[Any], path: str) -> list[ValueChange]:
    name = next((name for name in _NAMES if _names(before, name) and _names(after, name)), None)
    if name is None:
        pairs = [
            {f"{path}[{number}]": row for number, row in enumerate(rows)}
            for rows in (before, after)
        ]
    else:
        pairs = [{f"{path}[{name}={row[name]}]": row for row in rows} for rows in (before, after)]
    old, new = pairs
    places = [*old, *(place for place in new if place not in old)]
    rows = [row for place in places for row in _member(old, new, place, place)]
    if name is not None:
        rows += _order([row[name] for row in before], [row[name] for row in after], path)
    return rows


def _names(rows: Sequence[Any], name: str) -> bool:
    """Tell whether every row is an object, and has a text of its own under this name."""
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        return False
    texts = [row.get(name) for row in rows]
    return all(isinstance(text, str) for text in texts) and len(set(texts)) == len(texts)


def _order(before: list[str], after: list[str], path: str) -> list[ValueChange]:
    """Report rows that stand in another order; those that came or went do not count."""
    old = [name for name in before if name in after]
    new = [name for name in after if name in before]
    return [] if old == new else [ValueChange(f"{path}[order]", "changed", old, new)]


def _join(path: str, key: str) -> str:
    if not _PLAIN.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key
