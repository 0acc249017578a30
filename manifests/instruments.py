"""How sharp is the instrument that took a cube, along wavelength and on the sky?"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from manifests._toml import EVIDENCE, Section, read_toml

INSTRUMENTS_FILE: Final = Path(__file__).parent / "instruments.toml"


@dataclass(frozen=True)
class Curve:
    """A number against wavelength, with its source.

    Attributes
    ----------
    wave_um, value : tuple of float
        Nodes in increasing wavelength, um; the value at each.
    source, evidence : str
        Where the numbers come from, and how well they are known.
    """

    wave_um: tuple[float, ...]
    value: tuple[float, ...]
    source: str
    evidence: str


@dataclass(frozen=True)
class Gain:
    """Resolving power in flight over the declared curve: value, range, and their source."""

    value: float
    range: tuple[float, float]
    source: str
    evidence: str


@dataclass(frozen=True)
class Instrument:
    """One configuration of an instrument.

    Attributes
    ----------
    name : str
        For messages.
    keywords : mapping of str to str
        Header keywords that a cube of this configuration carries.
    resolving_power : Curve
        Wavelength over FWHM of an unresolved line.
    psf_fwhm_arcsec : Curve
        FWHM of a point source.
    gain : Gain or None
        Correction of the resolving power; None where the curve was measured in flight.
    """

    name: str
    keywords: Mapping[str, str]
    resolving_power: Curve
    psf_fwhm_arcsec: Curve
    gain: Gain | None = None

    def matches(self, meta: Mapping[str, Any]) -> bool:
        """Say whether a header describes this configuration."""
        return all(str(meta.get(key, "")).strip() == text for key, text in self.keywords.items())


@cache
def load_instruments(path: Path = INSTRUMENTS_FILE) -> tuple[Instrument, ...]:
    """Read the declared instruments.

    Raises
    ------
    ManifestError
        If a field is missing, unknown or impossible.
    """
    root = Section(read_toml(path), "", path)
    root.only("instruments")
    return tuple(_instrument(row) for row in root.tables("instruments"))


def find_instrument(meta: Mapping[str, Any]) -> Instrument | None:
    """Give the declared instrument that a header describes; None where there is none."""
    return next((entry for entry in load_instruments() if entry.matches(meta)), None)


def _instrument(row: Section) -> Instrument:
    row.only("name", "keywords", "lsf", "psf", "gain")
    keywords = row.table("keywords")
    if not keywords.data:
        raise row.error("an instrument is known by its keywords", "keywords", "none")
    return Instrument(
        name=row.text("name"),
        keywords={key: keywords.text(key) for key in sorted(keywords.data)},
        resolving_power=_curve(row.table("lsf"), "resolving_power"),
        psf_fwhm_arcsec=_curve(row.table("psf"), "fwhm_arcsec"),
        gain=_gain(row.table("gain")) if "gain" in row.data else None,
    )


def _gain(section: Section) -> Gain:
    section.only("value", "range", "source", "evidence")
    value, ends = section.number("value"), _numbers(section, "range")
    if len(ends) != 2 or not ends[0] <= value <= ends[1]:
        raise section.error("'value' must lie inside 'range'", "low <= value <= high", ends)
    low, high = ends
    source, evidence = section.text("source"), section.choice("evidence", EVIDENCE)
    return Gain(value, (low, high), source, evidence)


def _curve(section: Section, name: str) -> Curve:
    section.only("wave_um", name, "source", "evidence")
    wave, value = (_numbers(section, key) for key in ("wave_um", name))
    if len(wave) != len(value) or any(b <= a for a, b in pairwise(wave)):
        raise section.error(
            "nodes and values do not belong together", "as many values, increasing nodes", wave
        )
    return Curve(wave, value, section.text("source"), section.choice("evidence", EVIDENCE))


def _numbers(section: Section, name: str) -> tuple[float, ...]:
    values = section.data.get(name)
    if not isinstance(values, list) or not values:
        raise section.error(f"'{name}' must be a list of numbers", "positive numbers", values)
    nodes = [Section({name: value}, section.where, section.file) for value in values]
    numbers = tuple(node.number(name) for node in nodes)
    if min(numbers) <= 0:
        raise section.error(f"'{name}' must be positive", "positive numbers", min(numbers))
    return numbers
