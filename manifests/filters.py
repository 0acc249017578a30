"""Which light does the filter of an image pass, and may two filters make a colour?"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from manifests._toml import EVIDENCE, Section, read_toml
from manifests.errors import ManifestError

FILTERS_FILE: Final = Path(__file__).parent / "filters.toml"
COLOUR: Final = "colour"
DIFFERENCE: Final = "difference"

# What stands for a camera in a header that names none: cut-outs give the observatory.
_UNNAMED: Final = ("", "HST")


@dataclass(frozen=True)
class Filter:
    """One filter.

    Attributes
    ----------
    name : str
        Its name, as in FILTER.
    keywords : mapping of str to str
        Header keywords of the camera that it is in: other cameras have filters of the same name.
    pivot_angstrom, blue_angstrom, red_angstrom : float
        Pivot wavelength and edges of the passband, A.
    psf_fwhm_arcsec : float
        FWHM of a point source in a drizzled image, pixels integrated out.
    zero_point_err_mag : float
        Error of the absolute calibration, mag; `zero_point_source` says where it comes from.
    source, evidence : str
        Where the numbers come from, and how well they are known.
    """

    name: str
    keywords: Mapping[str, str]
    pivot_angstrom: float
    blue_angstrom: float
    red_angstrom: float
    psf_fwhm_arcsec: float
    zero_point_err_mag: float
    zero_point_source: str
    source: str
    evidence: str

    @property
    def width_angstrom(self) -> float:
        """Give the width of the passband."""
        return self.red_angstrom - self.blue_angstrom

    def contradictions(self, meta: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the keywords of a header that belong to a filter of this name elsewhere."""
        found = {key: str(meta.get(key, "")).strip() for key in self.keywords}
        return tuple(
            f"{k} {text}" for k, text in found.items() if text not in (*_UNNAMED, self.keywords[k])
        )


@dataclass(frozen=True)
class Filters:
    """The declared filters, and from which overlap on two of them make no colour."""

    rows: tuple[Filter, ...]
    difference_above: float

    def named(self, name: str) -> Filter:
        """Give a filter by name.

        Raises
        ------
        ManifestError
            If it is not declared.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise ManifestError(
            "this filter is not declared",
            file=FILTERS_FILE,
            expected=", ".join(row.name for row in self.rows),
            found=name,
            action="add its pivot, edges and PSF, with their source",
        )

    def relation(self, first: str, second: str) -> str:
        """Say what two filters measure together: ``colour`` or ``difference``.

        Raises
        ------
        ManifestError
            If one of them is not declared.
        """
        shared = self.overlap(first, second)
        return DIFFERENCE if shared > self.difference_above else COLOUR

    def overlap(self, first: str, second: str) -> float:
        """Give the part of the narrower passband that the other one passes as well, 0 to 1."""
        one, other = self.named(first), self.named(second)
        red = min(one.red_angstrom, other.red_angstrom)
        blue = max(one.blue_angstrom, other.blue_angstrom)
        return max(0.0, red - blue) / min(one.width_angstrom, other.width_angstrom)

    def ordered(self, first: str, second: str) -> tuple[str, str]:
        """Put two filters in order: the wider first for a difference, the bluer for a colour."""
        pair = (self.named(first), self.named(second))
        if self.relation(first, second) == DIFFERENCE:
            if pair[0].width_angstrom < pair[1].width_angstrom:
                pair = (pair[1], pair[0])
        elif pair[0].pivot_angstrom > pair[1].pivot_angstrom:
            pair = (pair[1], pair[0])
        return pair[0].name, pair[1].name


@cache
def load_filters(path: Path = FILTERS_FILE) -> Filters:
    """Read the declared filters.

    Raises
    ------
    ManifestError
        If a field is missing, unknown or impossible, or a filter is declared twice.
    """
    root = Section(read_toml(path), "", path)
    root.only("overlap", "filters")
    rule = root.table("overlap")
    rule.only("difference_above", "source", "evidence")
    rule.text("source")
    rule.choice("evidence", EVIDENCE)
    above = rule.number("difference_above")
    if not 0 < above < 1:
        raise rule.error("'difference_above' is a part of a passband", "0 to 1", above)
    rows = tuple(_filter(row) for row in root.tables("filters"))
    names = [row.name for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise root.error("a filter is declared once", "one entry each", ", ".join(twice))
    return Filters(rows, above)


def _filter(row: Section) -> Filter:
    numbers = ("pivot_angstrom", "blue_angstrom", "red_angstrom", "psf_fwhm_arcsec")
    calibration = ("zero_point_err_mag", "zero_point_source")
    row.only("name", "keywords", *numbers, *calibration, "source", "evidence")
    keywords = row.table("keywords")
    if not keywords.data:
        raise row.error("a filter is known by its keywords", "keywords", "none")
    pivot, blue, red, psf = (row.number(name) for name in numbers)
    if not 0 < blue < pivot < red or psf <= 0:
        raise row.error(
            "the passband is impossible",
            "0 < blue < pivot < red, and a positive PSF",
            f"{blue:g}, {pivot:g}, {red:g} A, {psf:g} arcsec",
        )
    zero_point_err = row.number("zero_point_err_mag")
    if not 0 < zero_point_err < 1:
        raise row.error("no calibration is without error", "0 to 1 mag", zero_point_err)
    return Filter(
        name=row.text("name"),
        keywords={key: keywords.text(key) for key in sorted(keywords.data)},
        pivot_angstrom=pivot,
        blue_angstrom=blue,
        red_angstrom=red,
        psf_fwhm_arcsec=psf,
        zero_point_err_mag=zero_point_err,
        zero_point_source=row.text("zero_point_source"),
        source=row.text("source"),
        evidence=row.choice("evidence", EVIDENCE),
    )
