"""Which parameters does a source have, and which values may they take?"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ard.errors import ArdError


@dataclass(frozen=True)
class ParameterRow:
    """One parameter of a source: its name, unit, prior range, and where that comes from."""

    name: str
    unit: str
    low: float
    high: float
    source: str


def require_in_range(rows: Iterable[ParameterRow], source: Any, words: str) -> None:
    """Make sure that every parameter of a source is within its range; NaN is not.

    Parameters
    ----------
    rows : iterable of ParameterRow
    source : object
        Has an attribute for each row.
    words : str
        What to call the source.

    Raises
    ------
    ArdError
        Naming the parameter, its range and its value.
    """
    for row in rows:
        value = float(getattr(source, row.name))
        if not row.low <= value <= row.high:
            raise ArdError(
                f"the {words}'s {row.name} is outside of its range",
                expected=f"{row.low:g} to {row.high:g} {row.unit}",
                found=value,
                action="correct the parameter",
            )
