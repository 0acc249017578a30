"""Does an exposure show a place on the sky? S_REGION says which part of the sky it shows.

Never is this a distance to a centre: a field of 3 arcsec can be near the target and miss it.
"""

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ard.errors import FormatError

FloatArray = NDArray[np.float64]
Vector = tuple[float, float, float]

EDGE_DEG: Final = 1e-9  # 4 micro-arcsec: a place this near to an edge lies on it
_TOKEN: Final = re.compile(r"[^\s(),]+")
# Words without meaning here. FK5 and ICRS differ by some 0.02 arcsec, less than S_REGION is
# good for; frames that differ by more are refused.
_IDLE: Final = frozenset(
    [
        *["ICRS", "FK5", "J2000", "UNKNOWNFRAME", "SPHERICAL2", "UNION"],
        *["TOPOCENTER", "BARYCENTER", "GEOCENTER", "UNKNOWNREFPOS"],
    ]
)
_CIRCLE_NUMBERS: Final = 3
_LEAST_NUMBERS: Final = 6  # three vertices
_POLE_DEG: Final = 90.0


@dataclass(frozen=True)
class Polygon:
    """A part of the sky between great circles; vertices are unit vectors."""

    vertices: tuple[Vector, ...]


@dataclass(frozen=True)
class Circle:
    """A part of the sky around a centre, which is a unit vector."""

    centre: Vector
    radius_deg: float


Region = tuple[Polygon | Circle, ...]


def parse_region(text: str) -> Region:
    """Read S_REGION: polygons and circles (STC-S), a region being all of them together.

    Raises
    ------
    FormatError
        If it is none, or in a frame other than ICRS or FK5.
    """
    shapes: list[tuple[str, list[float]]] = []
    for token in _TOKEN.findall(text.upper()):
        if token in ("POLYGON", "CIRCLE"):
            shapes.append((token, []))
        elif (number := _finite(token)) is not None and shapes:
            shapes[-1][1].append(number)
        elif token not in _IDLE:
            raise _error(text, f"the word {token}")
    if not shapes:
        raise _error(text, "neither")
    return tuple(_shape(kind, numbers, text) for kind, numbers in shapes)


def contains(region: Region, ra_deg: float, dec_deg: float) -> bool:
    """Say whether a place lies in a region, edges included.

    The gnomonic projection about the place maps great circles to straight lines, so this is exact
    at the poles and across right ascension 0. A polygon has to be smaller than a quarter of the
    sphere; the orientation of its vertices does not matter, because the smaller side is meant.

    Parameters
    ----------
    region : Region
        Of `parse_region`.
    ra_deg, dec_deg : float
        The place, ICRS.
    """
    return any(
        _in_circle(shape, ra_deg, dec_deg)
        if isinstance(shape, Circle)
        else _in_polygon(shape, ra_deg, dec_deg)
        for shape in region
    )


def _finite(token: str) -> float | None:
    try:
        number = float(token)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _error(text: str, found: str) -> FormatError:
    return FormatError(
        "S_REGION cannot be understood",
        expected="POLYGON ICRS ra dec ra dec ra dec ..., or CIRCLE ICRS ra dec radius, in deg",
        found=f"{found} in {text!r}",
        action="look at the header; a region that is not known covers nothing",
    )


def _shape(kind: str, numbers: list[float], text: str) -> Polygon | Circle:
    if kind == "CIRCLE":
        good = len(numbers) == _CIRCLE_NUMBERS and numbers[2] >= 0
    else:
        good = len(numbers) >= _LEAST_NUMBERS and len(numbers) % 2 == 0
    declinations = numbers[1:2] if kind == "CIRCLE" else numbers[1::2]
    if not good or any(abs(dec) > _POLE_DEG for dec in declinations):
        raise _error(text, f"a {kind} of {len(numbers)} numbers")
    if kind == "CIRCLE":
        return Circle(_unit(numbers[0], numbers[1]), numbers[2])
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return Polygon(tuple(_unit(ra, dec) for ra, dec in pairs))


def _unit(ra_deg: float, dec_deg: float) -> Vector:
    ra, dec = math.radians(ra_deg), math.radians(dec_deg)
    return math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)


def _in_circle(circle: Circle, ra_deg: float, dec_deg: float) -> bool:
    place, centre = np.array(_unit(ra_deg, dec_deg)), np.array(circle.centre)
    # Exact for small angles, where an arc cosine is not.
    distance = np.arctan2(np.linalg.norm(np.cross(place, centre)), place @ centre)
    return bool(np.degrees(distance) <= circle.radius_deg + EDGE_DEG)


def _in_polygon(polygon: Polygon, ra_deg: float, dec_deg: float) -> bool:
    start = _gnomonic(np.array(polygon.vertices), ra_deg, dec_deg)
    if start is None:
        return False
    end = np.roll(start, -1, axis=0)
    if _distance(start, end) <= math.radians(EDGE_DEG):
        return True
    # How often the edges wind around the place, which is the origin.
    cross = start[:, 0] * end[:, 1] - start[:, 1] * end[:, 0]
    turns = np.arctan2(cross, (start * end).sum(axis=1)).sum() / (2 * math.pi)
    return round(float(turns)) != 0


def _gnomonic(vertices: FloatArray, ra_deg: float, dec_deg: float) -> FloatArray | None:
    """Project unit vectors about a place, shape (n, 2), in units of the sphere's radius.

    None where a vertex is 90 deg away or more: a small polygon with such a vertex cannot hold the
    place.
    """
    ra, dec = math.radians(ra_deg), math.radians(dec_deg)
    east = np.array([-math.sin(ra), math.cos(ra), 0.0])
    north = np.array([-math.sin(dec) * math.cos(ra), -math.sin(dec) * math.sin(ra), math.cos(dec)])
    depth = vertices @ np.array(_unit(ra_deg, dec_deg))
    if (depth <= 0).any():
        return None
    return np.asarray(np.stack([vertices @ east, vertices @ north], axis=1) / depth[:, None])


def _distance(start: FloatArray, end: FloatArray) -> float:
    """Give the distance of the origin to the nearest of several segments."""
    along = end - start
    square = (along**2).sum(axis=1)
    fraction = -(start * along).sum(axis=1) / np.where(square > 0, square, 1.0)
    nearest = start + np.clip(fraction, 0.0, 1.0)[:, None] * along
    return float(np.hypot(nearest[:, 0], nearest[:, 1]).min())
