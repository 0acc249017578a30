"""Over which parts of the sky are spectra added up, and who chose them?"""

import re
from dataclasses import dataclass
from typing import Any, Final

from manifests._toml import EVIDENCE, Section

BOX: Final = "box"
CIRCLE: Final = "circle"
SHAPES: Final = (BOX, CIRCLE)
# How the light inside an aperture is spread: along a wake, in one spot, as that of a point, evenly.
WAKE: Final = "wake"
COMPACT: Final = "compact"
POINT: Final = "point"
FLAT: Final = "flat"
PROFILES: Final = (WAKE, COMPACT, POINT, FLAT)
_FIELDS: Final = (
    *("name", "title", "shape", "along_arcsec", "across_arcsec", "ra_deg", "dec_deg"),
    *("length_arcsec", "width_arcsec", "radius_arcsec", "profile", "velocity_kms"),
    *("source", "evidence"),
)
_OFFSETS: Final = ("along_arcsec", "across_arcsec")
_COORDINATES: Final = ("ra_deg", "dec_deg")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Aperture:
    """One aperture.

    Attributes
    ----------
    name, title : str
        The name in tables, and the one for figures.
    shape : str
        ``box``, with sides along and across the axis of the target, or ``circle``.
    along_arcsec, across_arcsec : float or None
        Its centre from the tip: along the axis, positive from host to tip and ahead; across it,
        positive toward the position angle plus 90 degrees. None where coordinates are given.
    ra_deg, dec_deg : float or None
        Its centre, ICRS. None where offsets are given.
    length_arcsec, width_arcsec : float or None
        Sides of a box, along and across.
    radius_arcsec : float or None
        Of a circle.
    profile : str
        How its light is taken to be spread: ``wake``, ``compact``, ``point`` or ``flat``.
    velocity_kms : float
        Where lines are looked for when none of them is seen: expected before the data.
    source, evidence : str
        Why it is there, and how well that is known.
    """

    name: str
    title: str
    shape: str
    along_arcsec: float | None
    across_arcsec: float | None
    ra_deg: float | None
    dec_deg: float | None
    length_arcsec: float | None
    width_arcsec: float | None
    radius_arcsec: float | None
    profile: str
    velocity_kms: float
    source: str
    evidence: str


def apertures_of(root: Section, *, with_axis: bool) -> tuple[Aperture, ...]:
    """Read the [[apertures]] of a target, none where there is no such table.

    Parameters
    ----------
    root : Section
        The whole manifest.
    with_axis : bool
        Whether the target has a tip and a position angle, from which offsets count.

    Raises
    ------
    ManifestError
        If a field is missing, unknown or impossible, or two apertures share a name.
    """
    apertures = tuple(_aperture(row, with_axis) for row in root.tables("apertures"))
    names = [aperture.name for aperture in apertures]
    if len(set(names)) != len(names):
        raise root.error("apertures need names of their own", "each name once", ", ".join(names))
    return apertures


def _aperture(row: Section, with_axis: bool) -> Aperture:
    row.only(*_FIELDS)
    shape = row.choice("shape", SHAPES)
    sizes = _sizes(row, shape)
    profile = row.choice("profile", PROFILES)
    if not with_axis and (shape == BOX or profile == WAKE):
        problem = f"a {shape} with the profile '{profile}' needs an axis"
        raise row.error(problem, "a target with tip and position_angle_deg", "a target without")
    name = row.text("name")
    if not _NAME.fullmatch(name):
        raise row.error("'name' stands in tables", "lower-case letters, digits and _", name)
    return Aperture(
        name=name,
        title=row.text("title"),
        shape=shape,
        profile=profile,
        velocity_kms=row.number_or_none("velocity_kms") or 0.0,
        source=row.text("source"),
        evidence=row.choice("evidence", EVIDENCE),
        **_centre(row, with_axis),
        **sizes,
    )


def _centre(row: Section, with_axis: bool) -> dict[str, Any]:
    """Give the centre: two offsets, or two coordinates."""
    given = [name for name in (*_OFFSETS, *_COORDINATES) if name in row.data]
    if tuple(given) not in (_OFFSETS, _COORDINATES):
        expected = "along_arcsec and across_arcsec, or ra_deg and dec_deg"
        raise row.error("the centre is given in one of two ways", expected, ", ".join(given))
    if given[0] == _OFFSETS[0] and not with_axis:
        expected = "ra_deg and dec_deg, or a target with tip and position_angle_deg"
        raise row.error("offsets count from the tip along the axis", expected, "no axis")
    centre = {name: row.number_or_none(name) for name in (*_OFFSETS, *_COORDINATES)}
    ra, dec = centre["ra_deg"], centre["dec_deg"]
    if ra is not None and dec is not None and not (0.0 <= ra < 360.0 and abs(dec) <= 90.0):
        raise row.error("this is no place on the sky", "0 <= ra < 360, |dec| <= 90", (ra, dec))
    return centre


def _sizes(row: Section, shape: str) -> dict[str, Any]:
    own = ("length_arcsec", "width_arcsec") if shape == BOX else ("radius_arcsec",)
    every = ("length_arcsec", "width_arcsec", "radius_arcsec")
    strange = [name for name in every if name in row.data and name not in own]
    if strange:
        raise row.error(f"a {shape} has no {strange[0]}", ", ".join(own), ", ".join(strange))
    sizes = {name: row.number(name) if name in own else None for name in every}
    for name in own:
        if not (sizes[name] or 0.0) > 0.0:
            raise row.error(f"'{name}' must be positive", "> 0 arcsec", sizes[name])
    return sizes
