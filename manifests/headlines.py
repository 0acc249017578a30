"""Which quantities are quoted, so that their intervals need more draws than those of others?"""

from functools import cache
from os import PathLike
from pathlib import Path
from typing import Final

from manifests._toml import Section, read_toml

HEADLINES_FILE: Final = Path(__file__).parent / "headlines.toml"


def load_headlines(path: str | PathLike[str] | None = None) -> dict[str, str]:
    """Read the names of the quantities, each with what it is.

    Parameters
    ----------
    path : path-like, optional
        A TOML file with [[quantities]]; the study's own by default.

    Raises
    ------
    ManifestError
        If a quantity lacks its name, what it is or its source, or is given twice.
    """
    file = HEADLINES_FILE if path is None else Path(path)
    root = Section(read_toml(file), "", file)
    root.only("quantities")
    found: dict[str, str] = {}
    for row in root.tables("quantities"):
        row.only("name", "what", "source")
        name, what, _ = (row.text(key) for key in ("name", "what", "source"))
        if name in found:
            raise row.error("a quantity is declared twice", "each name once", name)
        found[name] = what
    return found


@cache
def is_headline(scalar: str) -> bool:
    """Say whether a scalar of chains is such a quantity, or an element of one (``name[0]``)."""
    return scalar.partition("[")[0] in load_headlines()
