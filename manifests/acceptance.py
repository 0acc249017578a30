"""Which thresholds decide whether a product is accepted, and where does each come from?"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

from manifests._toml import EVIDENCE, Section, read_toml

ACCEPTANCE_FILE: Final = Path(__file__).parent / "acceptance.toml"
COMPARISONS: Final = ("<=", ">=", "<", ">", "==", "between")


@dataclass(frozen=True)
class Limit:
    """One threshold.

    Attributes
    ----------
    id : str
        Its name; a check asks for it by this name.
    value : float or (float, float)
        The threshold; a pair for ``between``, ends included.
    unit : str
        Unit of the measured number, ``1`` for a pure number.
    comparison : str
        How the measured number has to stand to the value.
    gate : bool
        True when missing it fails the check; false when it is only reported.
    source, evidence : str
        Where the value comes from, and how well it is known.
    target : str or None
        Item name of the target for which this row replaces the general one.
    """

    id: str
    value: float | tuple[float, float]
    unit: str
    comparison: str
    gate: bool
    source: str
    evidence: str
    target: str | None = None

    def accepts(self, measured: float) -> bool:
        """Say whether a measured number keeps the limit; what is not finite never does."""
        if not math.isfinite(measured):
            return False
        if isinstance(self.value, tuple):
            return self.value[0] <= measured <= self.value[1]
        return bool(
            {
                "<=": measured <= self.value,
                ">=": measured >= self.value,
                "<": measured < self.value,
                ">": measured > self.value,
                "==": measured == self.value,
            }[self.comparison]
        )

    @property
    def bound(self) -> str:
        """Give comparison and value in words, without the unit."""
        if isinstance(self.value, tuple):
            return f"{self.value[0]:g} to {self.value[1]:g}"
        return f"{self.comparison} {self.value:g}"

    def __str__(self) -> str:
        return self.bound if self.unit == "1" else f"{self.bound} {self.unit}"


@dataclass(frozen=True)
class Acceptance:
    """All thresholds of a judgement.

    Attributes
    ----------
    rows : tuple of Limit
        In file order.
    sha256 : str
        Digest of the file they were read from.
    """

    rows: tuple[Limit, ...]
    sha256: str

    def __iter__(self) -> Iterator[Limit]:
        return iter(self.rows)

    @property
    def ids(self) -> frozenset[str]:
        """Name every threshold once."""
        return frozenset(row.id for row in self.rows)

    def limit(self, name: str, target: str | None = None) -> Limit:
        """Give a threshold: the target's own row where there is one, else the general row.

        Raises
        ------
        KeyError
            If there is no such row.
        """
        general = None
        for row in self.rows:
            if row.id == name and row.target == target:
                return row
            if row.id == name and row.target is None:
                general = row
        if general is None:
            raise KeyError(f"acceptance.toml has no row '{name}'")
        return general


def load_acceptance(path: str | PathLike[str] | None = None) -> Acceptance:
    """Read the thresholds.

    Parameters
    ----------
    path : path-like, optional
        A TOML file with [[rows]]; the study's own by default.

    Raises
    ------
    ManifestError
        If a row lacks its unit or source, is given twice, or gates on a value that only a
        third party quotes.
    """
    file = ACCEPTANCE_FILE if path is None else Path(path)
    root = Section(read_toml(file), "", file)
    root.only("rows")
    rows = tuple(_row(section) for section in root.tables("rows"))
    keys = [(row.id, row.target) for row in rows]
    twice = sorted({key[0] for key in keys if keys.count(key) > 1})
    if twice or not rows:
        raise root.error("every threshold needs one row", "one row each", ", ".join(twice))
    alone = sorted({name for name, target in keys if target and (name, None) not in keys})
    if alone:
        raise root.error("a target's row replaces a general one", "a general row", alone)
    return Acceptance(rows, hashlib.sha256(file.read_bytes()).hexdigest())


def _row(section: Section) -> Limit:
    section.only("id", "value", "unit", "comparison", "gate", "source", "evidence", "target")
    comparison = section.choice("comparison", COMPARISONS)
    limit = Limit(
        id=section.text("id"),
        value=_value(section, comparison),
        unit=section.text("unit"),
        comparison=comparison,
        gate=section.flag("gate"),
        source=section.text("source"),
        evidence=section.choice("evidence", EVIDENCE),
        target=section.text_or_none("target"),
    )
    if limit.gate and limit.evidence == "secondary":
        raise section.error(
            f"'{limit.id}' would gate on a value that only a third party quotes",
            "gate = false, or a source that was read or measured",
            "evidence = secondary",
        )
    return limit


def _value(section: Section, comparison: str) -> float | tuple[float, float]:
    if comparison != "between":
        return section.number("value")
    pair: Any = section.data.get("value")
    if not isinstance(pair, list) or len(pair) != len(("low", "high")):
        raise section.error("'between' needs two numbers", "value = [low, high]", repr(pair))
    low, high = (
        Section({"value": end}, section.where, section.file).number("value") for end in pair
    )
    if low > high:
        raise section.error("'between' needs its ends in order", "low <= high", repr(pair))
    return low, high
