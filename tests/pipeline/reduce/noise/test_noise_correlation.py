"""The covariance function, the two forms made of it, and the scale.

Oracles: sums over pairs in a loop; the closed forms of autoregressions and moving averages.
"""

import noises as cases
import numpy as np
import pytest

from pipeline.reduce.noise import kernel
from pipeline.reduce.noise.channels import free_channels
from pipeline.reduce.noise.correlation import Covariance, measure
from pipeline.reduce.noise.residuals import Limits, find_residuals
from pipeline.reduce.noise.scale import draw_scale


def function_of(*sequences: np.ndarray, error: float = 0.001) -> Covariance:
    """The covariance function of a product of sequences."""
    one, two, three = (np.concatenate([s[:0:-1], s]) for s in sequences)
    value = one[:, None, None] * two[:, None] * three
    return Covariance(value, np.full(value.shape, error), 1.0, np.full(value.shape, 1e6))


def test_it_is_the_mean_product_over_all_pairs():
    rng = np.random.default_rng(4)
    values = rng.standard_normal((20, 5, 4))
    values[rng.random(values.shape) < 0.2] = np.nan
    index = np.r_[0:12, 15:23]
    lags = (2, 2, 1)
    found = measure(values, index, lags)
    # Pairs are counted inside of two blocks of channels, which is what a block is for.
    block = np.repeat([0, 1], 10)
    variance = np.nanmean(values**2)
    for dl in range(-2, 3):
        for dy in range(-2, 3):
            for dx in (-1, 0, 1):
                products = [
                    values[a, y, x] * values[b, y + dy, x + dx]
                    for a in range(20)
                    for b in range(20)
                    if index[b] - index[a] == dl and block[a] == block[b]
                    for y in range(max(0, -dy), 5 - max(0, dy))
                    for x in range(max(0, -dx), 4 - max(0, dx))
                ]
                products = np.array(products)[np.isfinite(products)]
                at = (dl + 2, dy + 2, dx + 1)
                assert found.pairs[at] == products.size
                assert found.value[at] == pytest.approx(products.mean() / variance, abs=1e-10)
    assert found.variance == pytest.approx(variance)


def test_an_autoregression_has_its_closed_form_within_the_errors():
    rhos = (0.2, 0.5, 0.4)
    values = cases.draw((240, 24, 20), rhos, 5)
    found = measure(values, np.arange(240), (2, 4, 4))
    for axis, rho in enumerate(rhos):
        value, error = found.along(axis)
        expected = rho ** np.arange(value.size)
        assert (np.abs(value - expected) < 4 * error + 1e-12).all()
        assert (error[1:] < 0.02).all()
    for dy, dx in ((1, 1), (1, -1), (2, 1)):
        value = found.value[2, 4 + dy, 4 + dx]
        assert value == pytest.approx(0.5 ** abs(dy) * 0.4 ** abs(dx), abs=0.02)


def test_errors_are_those_of_repeated_draws():
    """Oracle: the spread of the estimate over independent cubes."""
    draws = [
        measure(cases.draw((96, 12, 10), (0.2, 0.5, 0.4), 100 + k), np.arange(96), (1, 1, 1))
        for k in range(40)
    ]
    for at in ((2, 1, 1), (1, 2, 1), (1, 1, 2)):
        spread = np.std([d.value[at] for d in draws])
        stated = np.mean([d.error[at] for d in draws])
        assert 0.8 < stated / spread < 1.9  # the larger of two estimates, so rather too large


def test_outliers_have_no_part_as_if_they_had_been_masked():
    """Oracle: the same cube with those voxels masked in the file."""
    values = cases.draw((80, 12, 10), (0.0, 0.5, 0.5), 6)
    hits = np.zeros(values.shape, bool)
    hits[3, 4, 5] = hits[40, 2, 7] = hits[41, 2, 7] = True
    limits = Limits(spacing=25.0, n_sigma=5.0, min_used=0.5, odd_factor=1.5, min_spaxels=30)
    spoiled = cases.make_cube(np.where(hits, 1e5, values))
    masked = cases.make_cube(values, mask=hits)
    channels = free_channels(spoiled.wave, cases.RBH1, 1200.0, 900.0, 24)
    found, expected = (find_residuals(cube, channels, limits) for cube in (spoiled, masked))
    np.testing.assert_array_equal(found.outliers, hits)
    assert np.isfinite(found.pull).sum() == values.size - 3
    one, other = (measure(r.pull, r.index, (1, 1, 1)) for r in (found, expected))
    np.testing.assert_allclose(one.value, other.value, atol=1e-9)
    assert one.variance == pytest.approx(other.variance, rel=1e-9)


def test_support_ends_at_the_first_lag_that_is_none():
    value = np.array([1.0, 0.5, 0.2, 0.01, 0.3])
    assert kernel.support(value, np.full(5, 0.02), 2.0) == 2
    assert kernel.support(value, np.full(5, 0.001), 2.0) == 4
    assert kernel.support(value, np.full(5, 1.0), 2.0) == 0


def test_sequences_stay_as_they_are_where_they_can():
    sequence = 0.5 ** np.arange(6)
    np.testing.assert_array_equal(kernel.positive(sequence), sequence)


@pytest.mark.parametrize("sequence", [(1.0, 0.9), (1.0, 0.6, 0.3, 0.5), (1.0, -0.8, 0.1)])
def test_sequences_become_positive_definite_at_any_length(sequence):
    damped = kernel.positive(np.array(sequence))
    assert damped[0] == 1.0
    for matrix in kernel.Kronecker(damped, damped, damped).matrices((3, 40, 300)):
        assert np.linalg.eigvalsh(matrix).min() > 0.01
        assert np.all(np.diag(matrix) == 1.0)


def test_the_kronecker_form_holds_the_significant_correlations():
    sequences = [rho ** np.arange(5) for rho in (0.2, 0.5, 0.4)]
    # The limit, 0.042, is no power of the three: none may hang on the last bit of a machine's.
    found = kernel.kronecker(function_of(*sequences, error=0.021), 2.0)
    for got, expected, kept in zip(found.sequences, sequences, (2, 5, 4), strict=True):
        np.testing.assert_allclose(got, expected[:kept])


def test_the_filter_of_a_separable_autoregression_is_its_closed_form():
    """Oracle: (1, -rho) / sqrt(1 - rho^2) along each axis; nothing further back."""
    rhos = (0.3, 0.5, 0.4)
    taps = kernel.whitening_taps(function_of(*(r ** np.arange(4) for r in rhos)), (3, 3, 2))
    one = [np.array([1.0, -r, 0.0]) / np.sqrt(1 - r * r) for r in rhos]
    expected = one[0][:, None, None] * one[1][:, None] * one[2][:2]
    np.testing.assert_allclose(taps, expected, atol=1e-12)


def test_the_filter_of_a_moving_average_is_that_of_the_normal_equations():
    """Oracle: for lag-1 correlation r and two taps, innovation 1 - r^2 and coefficient -r."""
    ones = np.array([1.0, 0.0, 0.0])
    found = function_of(np.array([1.0, 0.2, 0.0]), ones, ones)
    taps = kernel.whitening_taps(found, (2, 1, 1))[:, 0, 0]
    np.testing.assert_allclose(taps, np.array([1.0, -0.2]) / np.sqrt(1 - 0.04), atol=1e-12)
    longer = kernel.whitening_taps(found, (3, 1, 1))[:, 0, 0]
    assert 1 / longer[0] ** 2 < 1 / taps[0] ** 2  # more of the past predicts more


def test_densities_and_covariances_belong_together():
    form = kernel.Kronecker(*(np.array(s) for s in ((1.0, 0.2), (1.0, 0.5, 0.2), (1.0, 0.4))))
    covariance = kernel.covariance_of(form.density((8, 16, 16)))
    assert covariance[0, 0, 0] == pytest.approx(1.0)
    assert covariance[1, 2, 1] == pytest.approx(0.2 * 0.2 * 0.4)
    assert covariance[-1, -2, 1] == pytest.approx(0.2 * 0.2 * 0.4)
    assert covariance[2, 0, 0] == pytest.approx(0.0, abs=1e-12)
    taps = np.array([1.0, -0.5]).reshape(1, 2, 1) / np.sqrt(0.75)
    again = kernel.covariance_of(kernel.density_of_taps(taps, (2, 64, 2)))
    np.testing.assert_allclose(again[0, :5, 0], 0.5 ** np.arange(5), atol=1e-12)


def test_the_scale_follows_a_smooth_curve_within_its_errors():
    rng = np.random.default_rng(8)
    index = np.r_[5:300, 330:600]
    true = 1.8 + 0.3 * np.sin(np.arange(610) / 120.0)
    dof = np.full(index.size, 400.0)
    square = true[index] ** 2 * rng.chisquare(dof) / dof
    found = draw_scale(square, dof, index, 610, 100.0)
    pull = (found.value - true)[index] / found.error[index]
    assert np.sqrt(np.mean(pull**2)) < 2.0
    assert np.median(found.error) < 0.015
    assert 0.8 < found.chi2_dof < 1.2
    # Beyond the ends it stays, and is known less well.
    assert found.value[0] == found.value[5]
    assert found.error[0] > found.error[10]
    np.testing.assert_allclose(found.measured, np.sqrt(square))


def test_scatter_of_channels_does_not_bias_the_scale():
    """Oracle: the mean square, where the mean of logarithms would be 1 / dof too small."""
    rng = np.random.default_rng(9)
    dof = np.full(900, 6.0)
    square = 4.0 * rng.chisquare(dof) / dof
    found = draw_scale(square, dof, np.arange(900), 900, 900.0)
    assert np.mean(found.value**2) == pytest.approx(square.mean(), rel=0.01)


def test_channels_that_scatter_too_much_make_the_errors_larger():
    rng = np.random.default_rng(10)
    dof = np.full(300, 400.0)
    calm = 4.0 * rng.chisquare(dof) / dof
    wild = calm * np.exp(0.3 * rng.standard_normal(300))
    one, other = (draw_scale(s, dof, np.arange(300), 300, 100.0) for s in (calm, wild))
    assert other.chi2_dof > 5
    assert np.median(other.error) > 2 * np.median(one.error)
