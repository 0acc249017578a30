"""Which cards of a FITS header changed?

CHECKSUM and DATASUM say of every change that there was one, and blank cards say nothing: both are
left out.
"""

from collections import Counter
from itertools import zip_longest
from typing import Final

from astropy.io import fits

from release.diff.arrays import plain
from release.diff.model import Card, CardChange, State

IGNORED: Final = frozenset({"CHECKSUM", "DATASUM"})
_COMMENTARY: Final = frozenset({"COMMENT", "HISTORY", ""})

_Row = tuple[str, Card]


def card_changes(before: fits.Header, after: fits.Header) -> list[CardChange]:
    """List the cards in which two headers differ, by keyword; their order does not count."""
    old, new = _by_keyword(before), _by_keyword(after)
    rows: list[CardChange] = []
    for keyword in sorted(old.keys() | new.keys()):
        was, now = old.get(keyword, []), new.get(keyword, [])
        if keyword in _COMMENTARY:
            was, now = _without(was, now), _without(now, was)
            rows += [CardChange(keyword, "removed", card, None) for card in was]
            rows += [CardChange(keyword, "added", None, card) for card in now]
            continue
        pairs = zip_longest(was, now)
        rows += [CardChange(keyword, _state(*pair), *pair) for pair in pairs if pair[0] != pair[1]]
    return rows


def is_reordered(before: fits.Header, after: fits.Header) -> bool:
    """Tell whether the same cards stand in another order."""
    return _cards(before) != _cards(after)


def _state(before: Card | None, after: Card | None) -> State:
    if before is None:
        return "added"
    return "removed" if after is None else "changed"


def _cards(header: fits.Header) -> list[_Row]:
    rows = [(card.keyword, Card(plain(_value(card)), card.comment)) for card in header.cards]
    return [row for row in rows if row[0] not in IGNORED and row != ("", Card("", ""))]


def _value(card: fits.Card) -> object:
    value = card.value
    if isinstance(value, fits.card.Undefined):
        return None
    # In FITS, trailing blanks of a text say nothing.
    return value.rstrip() if isinstance(value, str) else value


def _by_keyword(header: fits.Header) -> dict[str, list[Card]]:
    rows: dict[str, list[Card]] = {}
    for keyword, card in _cards(header):
        rows.setdefault(keyword, []).append(card)
    return rows


def _without(cards: list[Card], others: list[Card]) -> list[Card]:
    left = Counter(cards) - Counter(others)
    return list(left.elements())
