"""Outliers are found, emission lines are kept (oracle: what was planted)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm

from pipeline.reduce.outliers import (
    MAD_TO_SIGMA,
    adjacent_maximum,
    find_outliers,
    nanmedian,
    robust_sigma,
    running_median,
)

FIND = {"width": 25, "n_sigma": 10.0, "isolation": 4.0}


def scene(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise of sigma 1, and a bright line with the widths of NIRSpec (0.86 channel, 0.55 px)."""
    rng = np.random.default_rng(seed)
    flux = rng.normal(0, 1, (60, 15, 15))
    k, y, x = np.mgrid[:60, :15, :15]
    line = 500 * np.exp(-0.5 * (((k - 30.3) / 0.86) ** 2 + ((y - 7) ** 2 + (x - 7) ** 2) / 0.55**2))
    return flux + line, np.ones_like(flux), np.zeros(flux.shape, bool)


def test_planted_hits_are_found_and_nothing_else():
    flux, err, mask = scene()
    # the last four are one drizzled hit
    planted = {(5, 3, 3): 400.0, (30, 2, 11): 60.0, (50, 12, 4): -5e4, (54, 12, 4): -300.0}
    planted |= {(40, 5, 5): 80.0, (40, 5, 6): 40.0, (40, 6, 5): 40.0, (40, 6, 6): 20.0}
    for place, value in planted.items():
        flux[place] = value
    found = find_outliers(flux, err, mask, **FIND)
    assert {tuple(int(i) for i in p) for p in np.argwhere(found.all)} == set(planted)
    assert found.negative.sum() == 2
    assert found.positive.sum() == 6


@pytest.mark.parametrize("centre", np.linspace(29.5, 30.5, 6))
def test_a_real_line_is_never_an_outlier(centre):
    """Unresolved in wavelength and space, at every phase between channels: the hardest case."""
    rng = np.random.default_rng(3)
    flux = rng.normal(0, 1, (60, 9, 9))
    edges = np.arange(61) - 0.5
    line = np.diff(norm.cdf(edges, centre, 0.86))
    pixel = np.diff(norm.cdf(np.arange(10) - 0.5, 4.0, 0.55))
    flux = flux + 3000 * line[:, None, None] * pixel[:, None] * pixel
    found = find_outliers(flux, np.ones_like(flux), np.zeros(flux.shape, bool), **FIND)
    assert not found.all.any()


def test_the_negative_ghost_of_a_line_is_kept():
    """A subtracted pointing leaves the line again, negative; a model has to fit it."""
    flux, err, mask = scene()
    assert not find_outliers(-flux, err, mask, **FIND).all.any()


def test_absorption_in_a_bright_spectrum_is_kept_and_light_below_zero_is_not():
    flux, err, mask = scene()
    flux[:] += 1000
    flux[20:23, 4, 4] -= 600
    flux[40, 4, 4] = -600
    found = find_outliers(flux, err, mask, **FIND)
    assert np.argwhere(found.all).tolist() == [[40, 4, 4]]


def test_masked_voxels_neither_count_nor_matter():
    flux, err, mask = scene()
    mask[10, 5, 5] = True
    one = find_outliers(flux, err, mask, **FIND)
    flux[10, 5, 5] = np.nan
    other = find_outliers(flux, err, mask, **FIND)
    np.testing.assert_array_equal(one.all, other.all)
    np.testing.assert_array_equal(one.residual, other.residual)
    assert not one.all[10, 5, 5]


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.one_of(st.just(np.nan), st.floats(-1e6, 1e6)),
    )
)
def test_nanmedian_is_numpys(values):
    """Oracle: numpy.nanmedian, where it has an answer."""
    ours = nanmedian(values, axis=1)
    empty = np.isnan(values).all(axis=1)
    assert np.isnan(ours[empty]).all()
    np.testing.assert_allclose(ours[~empty], np.nanmedian(values[~empty], axis=1), rtol=1e-12)


def test_robust_statistics_of_a_gaussian():
    rng = np.random.default_rng(7)
    values = rng.normal(3, 2, (1, 40000))
    values[0, :400] = 1e9  # one per cent of nonsense
    # the median absolute deviation of 40000 values is good to 1.17/sqrt(40000) = 0.6 %
    assert robust_sigma(values, axis=1)[0] == pytest.approx(2, rel=0.03)
    assert pytest.approx(1 / norm.ppf(0.75)) == MAD_TO_SIGMA


def test_running_median_and_neighbours_by_hand():
    flux = np.array([1.0, 9.0, 2.0, np.nan, 3.0])[:, None, None]
    np.testing.assert_array_equal(running_median(flux, 3)[:, 0, 0], [5.0, 2.0, 5.5, 2.5, 3.0])
    column = np.array([1.0, 9.0, 2.0, np.nan, 3.0])[:, None, None]
    expected = [9.0, 2.0, np.inf, 3.0, np.inf]
    np.testing.assert_array_equal(adjacent_maximum(column)[:, 0, 0], expected)
