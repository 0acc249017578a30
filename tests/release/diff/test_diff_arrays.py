"""Are the differences of two arrays counted and measured rightly, in blocks of any size?

Oracles: the definition, written with Python's own integers and floats one element at a time; and
that blocks cover an array exactly once.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from release.diff.arrays import Tally, blocks, plain

DTYPES = ["<f4", ">f4", ">f8", "<i2", ">i4", "<i8", "<u8", "|u1", "|b1", "<c16"]


def slow(before, after) -> tuple[int, float, float, int, int]:
    differing, gained, lost, apart, relative = 0, 0, 0, 0.0, 0.0
    for a, b in zip(before.ravel().tolist(), after.ravel().tolist(), strict=True):
        nan_a, nan_b = a != a, b != b
        gained, lost = gained + (nan_b and not nan_a), lost + (nan_a and not nan_b)
        if a == b or (nan_a and nan_b):
            continue
        differing += 1
        if isinstance(a, complex):
            finite = np.isfinite(a) and np.isfinite(b)
        else:
            finite = math.isfinite(a) and math.isfinite(b)
        if finite:
            distance = min(float(abs(b - a)), float(np.finfo(float).max))
            apart = max(apart, distance)
            relative = max(relative, distance / float(max(abs(a), abs(b))))
    return differing, apart, relative, gained, lost


@st.composite
def pairs(draw):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5))
    bounds = {"max_magnitude": 1e150} if dtype.kind == "c" else {}
    elements = hnp.from_dtype(dtype, **bounds)
    before = draw(hnp.arrays(dtype, shape, elements=elements))
    after = before.copy()
    for place in draw(st.lists(st.tuples(*(st.integers(0, n - 1) for n in shape)), max_size=4)):
        after[place] = draw(elements)
    return before, after


@given(pairs(), st.integers(1, 40))
def test_differences_are_those_of_the_definition(pair, limit):
    before, after = pair
    tally = Tally()
    found = np.zeros(before.shape, dtype=bool)
    for part in blocks(before.shape, limit):
        found[part] = tally.add(before[part], after[part])
    spread = tally.spread()
    differing, apart, relative, gained, lost = slow(before, after)
    assert (spread.compared, spread.differing) == (before.size, differing)
    assert np.count_nonzero(found) == differing
    assert (spread.nan_added, spread.nan_removed) == (gained, lost)
    assert (spread.max_abs or 0.0) == pytest.approx(apart, rel=1e-15)
    assert (spread.max_rel or 0.0) == pytest.approx(relative, rel=1e-14)


def test_whole_numbers_are_told_apart_beyond_what_a_float_can_hold():
    before = np.array([2**60, -(2**63)], dtype=np.int64)
    tally = Tally()
    assert tally.add(before, before + 1).all()
    assert tally.spread().max_abs == 1.0


def test_mixed_types_are_compared_as_numbers():
    tally = Tally()
    differ = tally.add(np.array([1, 2, 3], dtype=np.int16), np.array([1.0, 2.5, 3.0]))
    assert differ.tolist() == [False, True, False]
    assert tally.spread().max_abs == 0.5


def test_what_is_not_finite_differs_but_has_no_size():
    tally = Tally()
    tally.add(np.array([np.inf, 1.0, np.nan]), np.array([-np.inf, np.nan, np.nan]))
    spread = tally.spread()
    assert (spread.differing, spread.nan_added, spread.max_abs, spread.max_rel) == (
        2,
        1,
        None,
        None,
    )


@given(hnp.array_shapes(min_dims=1, max_dims=4, max_side=6), st.integers(1, 50))
def test_blocks_cover_an_array_once_and_stay_small(shape, limit):
    seen = np.zeros(shape, dtype=int)
    for part in blocks(shape, limit):
        seen[part] += 1
        assert seen[part].size <= limit
    assert (seen == 1).all()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2)])
def test_there_are_no_blocks_of_nothing(shape):
    assert list(blocks(shape, 4)) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int16(3), 3),
        (np.True_, True),
        (float("nan"), "nan"),
        (np.float64("-inf"), "-inf"),
        (np.ma.masked, None),
        (None, None),
        (b"caf\xe9", "caf\\xe9"),
        (1 + 2j, "(1+2j)"),
        (np.array([1.0, np.nan]), [1.0, "nan"]),
        (np.arange(9), "9 values"),
    ],
    ids=str,
)
def test_values_become_json(value, expected):
    assert plain(value) == expected
