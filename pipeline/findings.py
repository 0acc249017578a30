"""What was found on this machine, one fact at a time?"""

from dataclasses import asdict, dataclass
from typing import Any

GOOD, NOTE, BAD = "good", "note", "bad"


@dataclass(frozen=True)
class Finding:
    """One fact about the machine: what, its value, where it comes from, and if it is good.

    Attributes
    ----------
    section, name, value : str
        What was looked at, and what was found.
    origin : str
        Where the value comes from.
    status : str
        good, note or bad.
    action : str
        What to type or change; empty if nothing.
    """

    section: str
    name: str
    value: str
    origin: str = ""
    status: str = GOOD
    action: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return asdict(self)
