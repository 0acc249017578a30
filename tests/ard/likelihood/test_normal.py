"""Are probabilities and moments of truncated normal distributions right, however far out?

Oracles: scipy.special.log_ndtr; scipy's truncnorm; a dense composite quadrature of the conditional
form of the bivariate integral, which shares nothing with the polar form that is tested; scipy's
multivariate normal for its absolute value; central differences for the slope.
"""

import numpy as np
import pytest
from scipy.special import log_ndtr
from scipy.stats import multivariate_normal, truncnorm

from ard.likelihood import normal

# (h, k, rho): both means negative, one, none; next to the border, far out, nearly degenerate.
PAIRS = [
    (-1.0, -2.0, 0.5),
    (-1.0, -2.0, -0.5),
    (-8.0, 3.0, 0.3),
    (-8.0, 3.0, -0.95),
    (-30.0, -25.0, 0.9),
    (-30.0, -25.0, -0.9),
    (0.0, 0.0, 0.25),
    (0.0, -1e-9, -0.7),
    (0.01, -40.0, 0.999),
    (-0.01, 200.0, -0.6),
    (1e-3, 2e-3, -0.99),
    (1.0, 2.0, 0.6),
    (4.0, 7.0, -0.8),
    (12.0, 0.1, 0.97),
    # Means inside, and little of the distribution with them; on both sides of P = 1/2.
    (1e-4, 1e-4, -1.0 + 1e-9),
    (0.5, 0.5, -0.9999),
    (0.01, 30.0, -0.999),
    (0.67, 0.68, 0.9),
    (0.68, 0.67, -0.9),
]


def conditional(h, k, rho):
    """ln P, mean and variance of u + h, from int_0^inf phi(t - h) Phi(...) dt, by brute force."""
    root = np.sqrt((1.0 - rho) * (1.0 + rho))

    def log_integrand(t):
        return (
            -0.5 * (t - h) ** 2
            - 0.5 * np.log(2.0 * np.pi)
            + log_ndtr((k - rho * h + rho * t) / root)
        )

    coarse = np.concatenate([[0.0], np.logspace(-9, 4, 60_001)])
    level = log_integrand(coarse).max()
    good = np.flatnonzero(log_integrand(coarse) > level - 45.0)
    low, high = coarse[max(good[0] - 1, 0)], coarse[min(good[-1] + 1, coarse.size - 1)]
    ends = np.unique(np.concatenate([np.linspace(low, high, 2001), coarse[good][::20]]))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    t = (ends[:-1, None] + np.diff(ends)[:, None] * 0.5 * (nodes + 1.0)).ravel()
    mass = (np.diff(ends)[:, None] * 0.5 * weights).ravel() * np.exp(log_integrand(t) - level)
    total = mass.sum()
    mean = (mass * t).sum() / total
    return level + np.log(total), mean, (mass * (t - mean) ** 2).sum() / total


def test_the_logarithm_of_the_normal_distribution_in_both_tails():
    """1e-12 is the claim of the docstring; beyond x = 37 the complement underflows."""
    x = np.concatenate([-np.logspace(-10, 6, 400), [0.0], np.logspace(-10, np.log10(37.0), 400)])
    np.testing.assert_allclose(normal.log_ndtr(x), log_ndtr(x), rtol=1e-12)
    np.testing.assert_array_equal(normal.log_ndtr(np.array([-np.inf, np.inf])), [-np.inf, 0.0])


def test_a_truncated_normal():
    """Closed forms of scipy where they hold, and the series 1/z - 2/z^3 of the mean far out."""
    h = np.array([-5.0, -1.0, -1e-3, 0.0, 1e-3, 2.0, 6.0])
    log_probability, mean, variance = normal.truncated(h)
    np.testing.assert_allclose(log_probability, log_ndtr(h), rtol=1e-12)
    # scipy subtracts nearly equal numbers for the variance at -5.
    np.testing.assert_allclose(mean, truncnorm(-h, np.inf, loc=h).mean(), rtol=1e-11)
    np.testing.assert_allclose(variance, truncnorm(-h, np.inf, loc=h).var(), rtol=1e-9)
    _, far, spread = normal.truncated(-1e4)
    assert far == pytest.approx(1e-4 - 2e-12, rel=1e-14)
    assert spread == pytest.approx(1e-8 * (1.0 - 6e-8), rel=1e-14)


@pytest.mark.parametrize(("h", "k", "rho"), PAIRS)
def test_a_pair_of_positive_variables(h, k, rho):
    """1e-10: what rounding of the exponent, up to 1e5 here, leaves of both sides."""
    found, (first, second), (var_first, var_second, between) = normal.truncated_pair(h, k, rho)
    expected, mean, variance = conditional(h, k, rho)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert first == pytest.approx(mean, rel=1e-10)
    assert var_first == pytest.approx(variance, rel=1e-10)
    _, mean, variance = conditional(k, h, rho)
    assert second == pytest.approx(mean, rel=1e-10)
    assert var_second == pytest.approx(variance, rel=1e-10)
    # The covariance: the variance of the sum, which is a third direction of the same quadrant.
    swapped = normal.truncated_pair(k, h, rho)
    assert swapped[2][2] == pytest.approx(between, rel=1e-9, abs=1e-12 * np.sqrt(var_first))
    assert abs(between) < np.sqrt(var_first * var_second)


@pytest.mark.parametrize(("h", "k", "rho"), [(-1.0, 0.5, 0.4), (0.7, 0.2, -0.6), (2.0, 1.0, 0.9)])
def test_a_pair_is_the_distribution_function_of_scipy(h, k, rho):
    """And its covariance that of draws; 5 standard errors of 4e5 of them."""
    matrix = [[1.0, rho], [rho, 1.0]]
    found, mean, covariance = normal.truncated_pair(h, k, rho)
    expected = multivariate_normal([0.0, 0.0], matrix).cdf([h, k])
    assert np.exp(found) == pytest.approx(expected, rel=1e-7)
    draws = np.random.default_rng(3).multivariate_normal([h, k], matrix, size=400_000)
    draws = draws[np.all(draws > 0.0, axis=1)]
    error = 5.0 / np.sqrt(len(draws))
    np.testing.assert_allclose(mean, draws.mean(axis=0), atol=error)
    measured = np.cov(draws.T)
    found = [[covariance[0], covariance[2]], [covariance[2], covariance[1]]]
    np.testing.assert_allclose(found, measured, atol=2.0 * error)


def test_independent_variables_factorise():
    for h, k in ((-7.0, 3.0), (0.5, 0.8), (-20.0, -40.0)):
        found, mean, covariance = normal.truncated_pair(h, k, 0.0)
        assert found == pytest.approx(log_ndtr(h) + log_ndtr(k), rel=1e-12)
        assert mean[0] == pytest.approx(float(normal.truncated(h)[1]), rel=1e-11)
        assert covariance[2] == pytest.approx(0.0, abs=1e-12)


def test_the_same_and_its_slope_with_jax():
    """The closed form: d ln P / dh = phi(h) Phi((k - rho h) / root) / P, phi2 for rho.

    Absolute: the corner is up to 250 standard deviations away, and its rounding times that stays.
    """
    jax = pytest.importorskip("jax")
    from precision import x64  # it imports jax, which the products can do without

    with x64(True):
        for x in (-1e3, -3.0, -1e-12, 0.0, 1e-12, 3.0):
            slope = jax.grad(normal.log_ndtr)(jax.numpy.asarray(x))
            closed = np.exp(-0.5 * x * x - 0.5 * np.log(2.0 * np.pi) - log_ndtr(x))
            assert float(slope) == pytest.approx(closed if x > -50 else -x, rel=1e-6)
        value_and_slope = jax.jit(
            jax.value_and_grad(lambda *a: normal.truncated_pair(*a)[0], argnums=(0, 1, 2))
        )
        for h, k, rho in PAIRS:
            ours = float(normal.truncated_pair(h, k, rho)[0])
            theirs, slopes = value_and_slope(*map(jax.numpy.asarray, (h, k, rho)))
            assert float(theirs) == pytest.approx(ours, rel=1e-12, abs=1e-14)
            root = np.sqrt((1.0 - rho) * (1.0 + rho))
            log_density = -0.5 * h * h - 0.5 * np.log(2.0 * np.pi) - ours
            closed = np.exp(log_density + log_ndtr((k - rho * h) / root))
            assert float(slopes[0]) == pytest.approx(closed, rel=1e-8, abs=1e-12)
            quadratic = (h * h - 2.0 * rho * h * k + k * k) / root**2
            closed = np.exp(-0.5 * quadratic - ours) / (2.0 * np.pi * root)
            assert float(slopes[2]) == pytest.approx(closed, rel=1e-7, abs=1e-10)
