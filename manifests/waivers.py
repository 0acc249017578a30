"""Which failures has a person accepted, why, and until when?"""

import datetime
from dataclasses import dataclass
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any, Final

from manifests._toml import Section, read_toml

WAIVERS_FILE: Final = Path(__file__).parent / "waivers.toml"
# What nobody may set aside: damaged bytes, chains that did not converge, and simulated data that
# could be taken for observed ones. A name without a dot stands for its whole family.
NEVER_WAIVED: Final = ("integrity", "convergence", "structure.simulated")


def may_waive(check: str) -> bool:
    """Say whether a check's failures can be waived at all."""
    return check not in NEVER_WAIVED and check.partition(".")[0] not in NEVER_WAIVED


@dataclass(frozen=True)
class Waiver:
    """One accepted failure: the check, a pattern for the product's name, and who says so."""

    check: str
    product: str
    reason: str
    author: str
    expires: datetime.date

    def covers(self, check: str, product: str, today: datetime.date) -> bool:
        """Say whether this waiver counts for a failure on a given day."""
        return (
            may_waive(check)
            and check == self.check
            and fnmatchcase(product, self.product)
            and today <= self.expires
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form that reports and descriptions print."""
        return {**vars(self), "expires": self.expires.isoformat()}


def load_waivers(path: str | PathLike[str] | None = None) -> tuple[Waiver, ...]:
    """Read the waivers.

    Parameters
    ----------
    path : path-like, optional
        A TOML file with [[waivers]]; the study's own by default.

    Raises
    ------
    ManifestError
        If a row lacks a field or tries to waive integrity or convergence.
    """
    file = WAIVERS_FILE if path is None else Path(path)
    root = Section(read_toml(file), "", file)
    root.only("waivers")
    return tuple(_waiver(row) for row in root.tables("waivers"))


def _waiver(row: Section) -> Waiver:
    row.only("check", "product", "reason", "author", "expires")
    check = row.text("check")
    if not may_waive(check):
        raise row.error("this check cannot be waived", f"none of {NEVER_WAIVED}", check)
    expires = row.data.get("expires")
    if not isinstance(expires, datetime.date) or isinstance(expires, datetime.datetime):
        raise row.error("'expires' must be a date", "expires = YYYY-MM-DD", repr(expires))
    return Waiver(check, row.text("product"), row.text("reason"), row.text("author"), expires)
