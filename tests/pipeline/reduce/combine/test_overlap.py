"""Are overlap areas right?

Oracles: polygons cut side by side in plain Python (Sutherland and Hodgman), closed forms, and the
conservation of area.
"""

import numpy as np
import pytest
from builders import make_wcs
from hypothesis import given
from hypothesis import strategies as st

import ard
from pipeline.reduce.combine.overlap import areas, operator


def moved(dx: float, dy: float, angle: float = 0.0):
    wcs = make_wcs(angle)
    wcs.wcs.crpix = np.array([6.0, 7.0]) - [dx, dy]
    wcs.wcs.set()
    return wcs


def cut(polygon: list[tuple[float, float]], axis: int, bound: float, sign: int) -> list:
    kept = []
    for here, there in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
        a, b = sign * (here[axis] - bound), sign * (there[axis] - bound)
        if a >= 0:
            kept.append(here)
        if a * b < 0:
            share = a / (a - b)
            kept.append(tuple(h + share * (t - h) for h, t in zip(here, there, strict=True)))
    return kept


def slow_area(polygon: list[tuple[float, float]], cx: float, cy: float) -> float:
    for axis, centre in ((0, cx), (1, cy)):
        for sign in (1, -1):
            polygon = cut(polygon, axis, centre - sign * 0.5, sign)
            if not polygon:
                return 0.0
    x, y = np.array(polygon).T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def slow_areas(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Every quadrilateral against every cell."""
    return np.array(
        [
            [slow_area(list(zip(qx, qy, strict=True)), cx, cy) for qx, qy in zip(x, y, strict=True)]
            for cy in range(shape[0])
            for cx in range(shape[1])
        ]
    )


def quads(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Convex quadrilaterals of all sizes and senses, some of them outside of the grid."""
    centre, size = rng.uniform(-1, 5, (2, n, 1)), rng.uniform(0.2, 1.5, (n, 1))
    turn = np.sort(rng.uniform(0, 2 * np.pi, (n, 4)), axis=1)[:, :: rng.choice([1, -1])]
    return centre[0] + size * np.cos(turn), centre[1] + size * np.sin(turn)


def test_areas_are_those_of_polygons_cut_one_by_one():
    x, y = quads(np.random.default_rng(3), 60)
    x[0], y[0] = [0.5, 1.5, 1.5, 0.5], [0.5, 0.5, 1.5, 1.5]  # on the edges of a cell
    x[1], y[1] = [0.2, 2.0, 2.0, 0.2], [1.0, 1.0, 1.3, 1.3]
    found = areas(x, y, (4, 5)).toarray()
    np.testing.assert_allclose(found, slow_areas(x, y, (4, 5)), atol=1e-13)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-6, 0.3, np.pi / 4, 2.0])
@pytest.mark.parametrize("pixfrac", [1.0, 0.6])
def test_spaxels_inside_the_grid_give_all_of_their_area(angle, pixfrac):
    onto, shape = moved(-15, -15), (40, 40)
    found = operator(moved(0.3, -0.4, angle), (6, 5), onto, shape, pixfrac=pixfrac).matrix
    # The projections of the two are not quite parallel: 1e-9 of the area over a few spaxels.
    np.testing.assert_allclose(found.sum(axis=0), 1.0, rtol=1e-8)


def test_an_offset_along_the_axes_is_a_product_of_lengths():
    """Closed form: (1 - |dx|)(1 - |dy|) of a spaxel and what is left to its neighbours."""
    found = operator(moved(2.25, 3.6), (3, 4), moved(0, 0), (9, 9))
    assert found.shift == pytest.approx((2.25, 3.6), abs=1e-8)
    assert not found.whole
    # dx 2.25 = 2 + 0.25, dy 3.6 = 4 - 0.4.
    column = found.matrix.toarray()[:, 0].reshape(9, 9)
    expected = np.zeros((9, 9))
    expected[3:5, 2:4] = np.outer([0.4, 0.6], [0.75, 0.25])
    np.testing.assert_allclose(column, expected, atol=1e-8)


@pytest.mark.parametrize("pixfrac", [1.0, 0.5])
def test_whole_spaxels_are_moved_and_nothing_else(pixfrac):
    found = operator(moved(-1 + 2e-6, 2 - 3e-6), (4, 5), moved(0, 0), (5, 6), pixfrac=pixfrac)
    assert (found.whole, found.shift) == (True, (-1.0, 2.0))
    image = np.arange(20.0).reshape(4, 5)
    expected = np.zeros((5, 6))
    expected[2:5, 0:4] = image[0:3, 1:5]
    np.testing.assert_array_equal((found.matrix @ image.ravel()).reshape(5, 6), expected)


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 6.3), st.floats(0.3, 1.0))
def test_no_area_is_lost_or_made(dx, dy, angle, pixfrac):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = turn @ (pixfrac * np.array([[-0.5, 0.5, 0.5, -0.5], [-0.5, -0.5, 0.5, 0.5]]))
    found = areas(corners[:1] + 4 + dx, corners[1:] + 4 + dy, (9, 9))
    assert found.sum() == pytest.approx(pixfrac**2, rel=1e-12)
    assert found.data.min() > 0


def test_an_exposure_beside_the_grid_is_refused():
    with pytest.raises(ard.FormatError, match="does not fall on the grid") as caught:
        operator(moved(40, 0), (4, 5), moved(0, 0), (5, 6))
    assert "found: 40.0" in str(caught.value)
