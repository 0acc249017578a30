"""A place is inside a footprint or not (oracles: vectors in space, construction, rotations)."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ard
from pipeline.acquire.footprint import contains, parse_region

SQUARE = "POLYGON ICRS 10.0 -1.0 10.0 1.0 8.0 1.0 8.0 -1.0"


def unit(ra, dec):
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def sky(vectors):
    x, y, z = np.moveaxis(np.asarray(vectors), -1, 0)
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))


def polygon(ra, dec) -> str:
    return "POLYGON ICRS " + " ".join(
        f"{float(a)!r} {float(d)!r}" for a, d in zip(ra, dec, strict=True)
    )


def wound(place, vertices) -> int:
    """Slow reference: the dihedral angles that the edges subtend at the place, no projection."""
    total = 0.0
    for a, b in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        one, other = np.cross(place, a), np.cross(place, b)
        total += np.arctan2(place @ np.cross(a, b), one @ other)
    return round(total / (2 * np.pi))


places = st.tuples(st.floats(0, 360, exclude_max=True), st.floats(-90, 90))
seeds = st.integers(0, 2**32 - 1)


def random_polygon(seed: int, centre, n: int, size_deg: float):
    """Vertices and a place scattered about a centre, as unit vectors."""
    rng = np.random.default_rng(seed)
    points = unit(*centre) + np.radians(size_deg) * rng.uniform(-1, 1, (n + 1, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    return points[1:], points[0]


@given(seed=seeds, centre=places, n=st.integers(3, 9), size=st.sampled_from([1e-3, 0.1, 5.0, 20.0]))
def test_it_is_the_winding_number_in_space(seed, centre, n, size):
    vertices, place = random_polygon(seed, centre, n, size)
    # Beside an edge, rounding of the coordinates decides; edges are tested below.
    normals = np.cross(vertices, np.roll(vertices, -1, axis=0))
    assume(np.abs(normals @ place).min() > 1e-9 * np.linalg.norm(normals, axis=1).max())
    region = parse_region(polygon(*sky(vertices)))
    ra, dec = (float(v) for v in sky(place))
    assert contains(region, ra, dec) == (wound(place, vertices) != 0)


@given(seed=seeds, centre=places, n=st.integers(3, 7), size=st.sampled_from([1e-3, 1.0]))
def test_order_and_orientation_do_not_matter(seed, centre, n, size):
    vertices, place = random_polygon(seed, centre, n, size)
    ra, dec = (float(v) for v in sky(place))
    orders = [np.roll(vertices, k, axis=0) for k in range(n)]
    orders += [order[::-1] for order in orders]
    orders.append(np.concatenate([vertices, vertices[:1]]))  # closed by its first vertex
    found = {contains(parse_region(polygon(*sky(order))), ra, dec) for order in orders}
    assert len(found) == 1


@given(seed=seeds, centre=places)
def test_vertices_and_edges_are_inside_and_a_little_further_is_outside(seed, centre):
    """Construction: a regular hexagon, and the middle of an edge moved in and out."""
    rng = np.random.default_rng(seed)
    axis = unit(*centre)
    east = np.cross(axis, unit(*centre) + rng.normal(size=3))
    east /= np.linalg.norm(east)
    north = np.cross(axis, east)
    angle = np.arange(6) * np.pi / 3
    ring = axis + 1e-3 * (np.cos(angle)[:, None] * east + np.sin(angle)[:, None] * north)
    ring /= np.linalg.norm(ring, axis=1)[:, None]
    region = parse_region(polygon(*sky(ring)))
    middle = ring[0] + ring[1]
    middle /= np.linalg.norm(middle)
    outward = middle - (middle @ axis) * axis
    outward /= np.linalg.norm(outward)
    for place, inside in (
        (axis, True),
        (ring[3], True),
        (middle, True),
        (middle - np.radians(1e-7) * outward, True),
        (middle + np.radians(1e-7) * outward, False),
        (-axis, False),
    ):
        assert contains(region, *(float(v) for v in sky(place))) is inside


@pytest.mark.parametrize(
    ("turn", "ra"), list(itertools.product((0.0, -360.0, 360.0), (359.999, 0.001)))
)
def test_right_ascension_goes_round(turn, ra):
    region = parse_region(polygon([turn - 0.01, turn + 0.01, turn + 0.01, turn - 0.01],
                                  [-8.36, -8.36, -8.34, -8.34]))  # fmt: skip
    assert contains(region, ra, -8.35)
    assert not contains(region, 180.0, -8.35)
    assert not contains(region, ra, -8.37)


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_a_pole_can_be_inside(pole):
    region = parse_region(polygon([0.0, 90.0, 180.0, 270.0], [np.sign(pole) * 89.0] * 4))
    assert contains(region, 123.0, pole)
    assert contains(region, 45.0, np.sign(pole) * 89.5)
    assert not contains(region, 45.0, np.sign(pole) * 89.0)  # beyond the chord of two vertices


def test_edges_are_great_circles():
    """Closed form: from (-30, 40) to (30, 40) deg the arc culminates at atan(tan 40 / cos 30)."""
    region = parse_region(polygon([-30.0, 30.0, 30.0, -30.0], [40.0, 40.0, 0.0, 0.0]))
    top = np.degrees(np.arctan(np.tan(np.radians(40)) / np.cos(np.radians(30))))
    assert contains(region, 0.0, top - 1e-6)
    assert not contains(region, 0.0, top + 1e-6)


@pytest.mark.parametrize(
    "text",
    [
        SQUARE,
        "polygon icrs 10 -1 10 1 8 1 8 -1 10 -1",
        "Polygon 10 -1 10 1 8 1 8 -1",
        "POLYGON FK5 10 -1 10 1 8 1 8 -1",
        "UNION ICRS (POLYGON 50 50 51 50 51 51, POLYGON 10 -1 10 1 8 1 8 -1)",
        "POLYGON ICRS 50 50 51 50 51 51 POLYGON ICRS 10 -1 10 1 8 1 8 -1",
        "CIRCLE ICRS 9.0 0.0 1.0",
        "Circle ICRS TOPOCENTER 369 0 1e0",
    ],
)
def test_spellings(text):
    region = parse_region(text)
    assert contains(region, 9.5, 0.5)
    assert contains(region, 10.0, 0.0)
    assert not contains(region, 10.1, 0.0)
    assert not contains(region, 189.0, 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ICRS",
        "10 -1 10 1 8 1",
        "POLYGON ICRS 10 -1 10 1 8 1 8",
        "POLYGON ICRS 10 -1 10 1",
        "POLYGON ICRS 10 -1 10 91 8 1",
        "POLYGON ICRS 10 -1 10 nan 8 1",
        "POLYGON GALACTIC 10 -1 10 1 8 1",
        "CIRCLE ICRS 10 -1",
        "CIRCLE ICRS 10 -1 -1",
        "BOX ICRS 10 -1 1 1",
        "POLYGON ICRS 10 -1 10 1 8 1 NOT (CIRCLE 9 0 1)",
    ],
)
def test_what_is_no_region_is_refused(text):
    with pytest.raises(ard.FormatError, match="S_REGION cannot be understood"):
        parse_region(text)
