"""What does the archive say is wrong, at a bearable length?"""

from collections.abc import Mapping
from typing import Any, Final

# How much of what the archive says is passed on: characters of a message, and messages.
_LONGEST: Final = 500
_MOST: Final = 30


def messages(document: Mapping[str, Any]) -> tuple[str, ...]:
    """List the ``errors`` of an answer, as ``field: message``; a good status can carry some."""
    errors = document.get("errors")
    if not errors:
        return ()
    if not isinstance(errors, list):
        return (shortened(errors),)
    rows: list[str] = []
    for error in errors:
        if not isinstance(error, dict):
            rows.append(shortened(error))
            continue
        texts = error.get("messages") or error.get("message", "")
        field = shortened(error.get("field", ""))
        rows += [
            f"{field}: {shortened(text)}"
            for text in (texts if isinstance(texts, list) else [texts])
        ]
    return tuple(rows[:_MOST] + ([f"and {len(rows) - _MOST} more"] if len(rows) > _MOST else []))


def shortened(value: object) -> str:
    """Show what the archive says, of whatever kind it is, at a bearable length."""
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
