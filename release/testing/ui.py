"""What does the archive add to a record for its own pages?

The member `ui` of a record: dates in words, titles of ids in the reader's language, people with
numbered affiliations.
"""

import calendar
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from release.testing.model import Body

_MONTHS: Final = calendar.month_name
_ACCESS: Final = {
    "open": {
        "id": "open",
        "title_l10n": "Open",
        "description_l10n": "The record and files are publicly accessible.",
        "icon": "unlock",
    },
    "metadata-only": {
        "id": "metadata-only",
        "title_l10n": "Metadata-only",
        "description_l10n": "No files are available for this record.",
        "icon": "tag",
    },
}
# Members whose ids are shown with their titles, and nothing else.
_LISTS: Final = (
    "languages",
    "related_identifiers",
    "additional_titles",
    "additional_descriptions",
    "dates",
    "rights",
)


def ui(
    body: Body, metadata: Mapping[str, Any], *, status: str, index: int, draft: bool
) -> dict[str, Any]:
    """Give the member `ui` of a record.

    Parameters
    ----------
    body : Body
        The draft or published state.
    metadata : mapping
        Its metadata as they are shown, with the titles of ids.
    status : str
        Of access: open, or metadata-only.
    index : int
        Which version of the record it is.
    draft : bool
        Whether it is a draft.
    """
    document: dict[str, Any] = {
        "created_date_l10n_long": _long(body.created[:10]),
        "updated_date_l10n_long": _long(body.updated[:10]),
        "custom_fields": {},
        "access_status": {**_ACCESS[status], "embargo_date_l10n": None, "message_class": ""},
        "version": metadata.get("version", f"v{index}"),
        "is_draft": draft,
    }
    if "publication_date" in metadata:
        document["publication_date_l10n_medium"] = _medium(metadata["publication_date"])
        document["publication_date_l10n_long"] = _long(metadata["publication_date"])
    if "resource_type" in metadata:
        document["resource_type"] = _localised(metadata["resource_type"])
    for name in ("creators", "contributors"):
        if name in metadata:
            document[name] = _people(name, metadata[name])
    if "description" in metadata:
        document["description_stripped"] = re.sub(r"<[^>]*>", "", metadata["description"])
    for name in _LISTS:
        if name in metadata:
            document[name] = [_localised(item) for item in metadata[name]]
    return document


def _long(text: str) -> str:
    """Give a date in words: November 23, 2026."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return text
    return f"{_MONTHS[day.month]} {day.day}, {day.year}"


def _medium(text: str) -> str:
    long = _long(text)
    month, _, rest = long.partition(" ")
    return f"{month[:3]} {rest}" if month in tuple(_MONTHS) else long


def _localised(value: Any) -> Any:
    """Put the titles of one language in the place of all."""
    if not isinstance(value, dict):
        return value
    document = {}
    for name, item in value.items():
        if name in ("title", "description") and isinstance(item, dict):
            document[f"{name}_l10n"] = item.get("en", "")
        else:
            document[name] = _localised(item)
    return document


def _people(name: str, people: list[dict[str, Any]]) -> dict[str, Any]:
    """Number the affiliations, and let people refer to the numbers."""
    numbers: dict[tuple[str, Any], int] = {}
    shown = []
    for person in people:
        one = dict(person)
        if "role" in one:
            titles = one["role"].get("title")
            named = {"title": titles["en"]} if titles else {}
            one["role"] = {"id": one["role"]["id"], **named}
        if "affiliations" in one:
            places = [(place.get("name", ""), place.get("id")) for place in one["affiliations"]]
            for place in places:
                numbers.setdefault(place, len(numbers) + 1)
            one["affiliations"] = [[numbers[place], place[0]] for place in places]
        shown.append(one)
    rows = [[number, title, ident] for (title, ident), number in numbers.items()]
    return {name: shown, "affiliations": rows}
