"""Is the likelihood of line fluxes that of all that may be wrong with them?

Oracles: numerical integrals over what is integrated in closed form; scipy's Gaussian; invariances.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from ard.errors import ArdError, FormatError
from manifests.shocks import load_shocks
from pipeline.shocks.extinction import extinction
from pipeline.shocks.grid import HALPHA
from pipeline.shocks.likelihood import (
    LN10,
    Errors,
    LineFluxes,
    errors_for,
    log_likelihood,
    prepare,
)
from pipeline.shocks.toy import TOY_LINES

NAMES = ("OIII_5007", "NII_6583", "SII_6716+6731", "SIII_9069+9531")
ASSUMED = load_shocks()
RED = np.array([-0.12, 0.0, 0.01, 0.15])


def errors(floor=0.1, sigma=0.5, mean=0.0, red=RED, snr=5.0):
    floors = np.broadcast_to(floor, len(red)).astype(float)
    return Errors(NAMES[: len(red)], floors, np.asarray(red), mean, sigma, snr)


def value(flux, error, model, chosen, names=None):
    data = LineFluxes.of_errors(names or (HALPHA, *chosen.lines), [flux], [error])
    (datum,) = prepare(data, chosen)
    return float(log_likelihood(datum, np.asarray(model))[0])


def test_strong_lines_share_the_error_of_halpha():
    flux, error = np.array([10.0, 8.0, 4.0]), np.array([0.2, 0.3, 0.1])
    chosen = errors(0.0, 0.0, red=RED[:2])
    model = np.log10([0.7, 0.45])
    dex = error / flux / LN10
    covariance = np.diag(dex[1:] ** 2) + dex[0] ** 2
    expected = stats.multivariate_normal(model, covariance).logpdf(np.log10(flux[1:] / 10.0))
    assert value(flux, error, model, chosen) == pytest.approx(expected, rel=1e-12)


def test_extinction_is_integrated_out():
    y, sigma = np.array([0.3, -0.4, -0.2, -0.5]), 0.05
    model, mean = np.array([0.35, -0.5, -0.1, -0.3]), 0.4
    data = LineFluxes.of_ratios(NAMES, [y], sigma)
    for width in (0.5, 0.02):
        chosen = errors(0.1, width, mean)
        total = np.hypot(sigma, 0.1)

        def of(av, width=width, total=total):
            fit = stats.norm(model + RED * av, total).logpdf(y).sum()
            return np.exp(fit) * stats.norm(mean, width).pdf(av)

        expected, _ = integrate.quad(of, mean - 9 * width, mean + 9 * width, epsabs=0.0)
        (datum,) = prepare(data, chosen)
        assert log_likelihood(datum, model)[0] == pytest.approx(np.log(expected), abs=1e-9)
    (datum,) = prepare(data, errors(0.1, 0.0, mean))
    plain = stats.norm(model + RED * mean, total).logpdf(y).sum()
    assert log_likelihood(datum, model)[0] == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("flux", [3.0, -2.0, 0.0])
def test_a_weak_line_alone_is_gaussian_in_flux(flux):
    chosen = errors(0.0, 0.0, red=RED[:1])
    ratio, sigma = 0.04, np.array([2.0, 1.5])
    # The true flux of H alpha has a flat prior: what is seen is the difference of two Gaussians.
    # Amplitude and ratio are taken over the observed H alpha, 100.
    width = np.hypot(sigma[1], ratio * sigma[0])
    expected = stats.norm(100.0 * ratio, width).logpdf(flux) + np.log(100.0)
    found = value([100.0, flux], sigma, [np.log10(ratio)], chosen)
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_weak_line_knows_what_the_strong_lines_know():
    """Oracle: the integral over H alpha, A_V and the weak line's own error, without linearising."""
    flux, sigma = np.array([100.0, 60.0, 9.0]), np.array([2.0, 3.0, 3.0])
    floor, width, red = np.array([0.05, 0.06]), 0.3, np.array([-0.12, 0.15])
    chosen = errors(floor, width, 0.1, red)
    model = np.array([-0.25, -1.05])
    y = np.log10(flux[1] / flux[0])

    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    weights = weights / weights.sum()
    h = -sigma[0] / flux[0] / LN10 * nodes[:, None, None]
    av = 0.1 + width * nodes[None, :, None]
    own = floor[1] * nodes[None, None, :]
    w = weights[:, None, None] * weights[None, :, None] * weights
    strong = stats.norm(0.0, np.hypot(floor[0], sigma[1] / flux[1] / LN10)).pdf(
        y - model[0] - red[0] * av - h
    )
    expected_flux = 10.0 ** (model[1] + h + red[1] * av + own)
    weak = stats.norm(expected_flux, sigma[2] / 100.0).pdf(flux[2] / 100.0)
    expected = np.log((w * strong * weak).sum())
    # Linear in errors of 0.05 dex: the second order is 0.1 % of a flux, here 0.003 sigma.
    assert value(flux, sigma, model, chosen) == pytest.approx(expected, abs=0.01)


def test_several_weak_lines_know_of_one_another():
    """Oracle: the mean over draws of what they share, with correlated errors of the fluxes."""
    rng = np.random.default_rng(8)
    root = rng.normal(size=(5, 5)) * 0.4 + np.diag([1.0, 2.0, 2.0, 2.0, 2.0])
    cov = root @ root.T
    flux = np.array([100.0, 60.0, 6.0, -1.0, 3.0])
    data = LineFluxes((HALPHA, *NAMES), flux[None], cov[None])
    chosen = errors(0.1, 0.4)
    (datum,) = prepare(data, chosen)
    assert (datum.strong.tolist(), datum.weak.tolist()) == ([0], [1, 2, 3])
    model = np.array([-0.2, -1.2, -1.6, -1.5])
    residual = datum.log_ratio - model[[0]]
    mean, spread = datum.gain @ residual, datum.spread
    shared = rng.multivariate_normal(mean[:2], spread[:2, :2], 400_000)
    rise = spread[2:, :2] @ np.linalg.inv(spread[:2, :2])
    left = spread[2:, 2:] - rise @ spread[:2, 2:]
    own = 0.1 * rng.normal(size=(len(shared), 3))
    p = 10.0 ** (model[1:] + shared[:, :1] + RED[1:] * shared[:, 1:] + own)
    off = datum.flux - p - mean[2:] - (shared - mean[:2]) @ rise.T
    weak = np.log(np.mean(stats.multivariate_normal(np.zeros(3), left).pdf(off)))
    strong = stats.norm(0.0, datum.precision[0, 0] ** -0.5).logpdf(residual[0])
    # The mean is known to 0.002; errors that lines share have no bend.
    assert log_likelihood(datum, model)[0] == pytest.approx(weak + strong, abs=0.03)


@pytest.mark.parametrize("floor", [0.03, 0.12, 0.2])
@pytest.mark.parametrize("seen", [-2.0, 0.0, 1.0, 4.9])
def test_a_limit_excludes_models_far_above_it(floor, seen):
    """Oracle: the integral over the floor. A tangent at the model would let 50 sigma pass as 4."""
    sigma, chosen = 0.02, errors(floor, 0.0, red=RED[:1])
    data = LineFluxes.of_errors((HALPHA, NAMES[0]), [[1.0, seen * sigma]], [[0.0, sigma]])
    (datum,) = prepare(data, chosen)
    own = np.linspace(-80.0 * floor, 10.0 * floor, 200_001)
    for model in sigma * np.array([0.1, 1.0, 3.0, 5.0, 10.0, 20.0, 50.0]):
        ln = stats.norm(0.0, floor).logpdf(own)
        ln += stats.norm(model * 10.0**own, sigma).logpdf(seen * sigma)
        expected = ln.max() + np.log(np.exp(ln - ln.max()).sum() * (own[1] - own[0]))
        found, chi2 = log_likelihood(datum, np.log10([model]))
        # Of models that are excluded by many nat 5 % of these.
        assert float(found) == pytest.approx(expected, rel=0.05, abs=0.2)
        if model >= 10.0 * sigma and seen <= 1.0:
            assert chi2 > 4.0 + 2.0 * (floor < 0.2)


def test_rounding_of_the_table_is_an_error_of_its_models():
    """Oracle: scipy's Gaussians, with an error that is uniform within a step."""
    lines = [toy.line for toy in TOY_LINES[:2]]
    dustless = dataclasses.replace(ASSUMED, av_sigma_mag=0.0)
    chosen = errors_for(lines, dustless, 0.03, rounding=0.001)
    own = 0.001 / np.sqrt(12.0) / 2.86
    assert chosen.rounding == pytest.approx(own)
    # A ratio of 0.001 over H beta is known to 0.13 dex, one of 1 to 0.0001.
    flux, model = np.array([1.0, 0.001 / 2.86, 0.35]), np.array([-3.3, -0.4])
    data = LineFluxes.of_errors((HALPHA, *chosen.lines), [flux], [np.zeros(3)])
    (datum,) = prepare(data, chosen)
    width = np.hypot(0.03, own / flux[1:] / LN10)
    assert width == pytest.approx([0.129, 0.030], abs=1e-3)
    expected = stats.norm(model, width).logpdf(np.log10(flux[1:])).sum()
    assert float(log_likelihood(datum, model)[0]) == pytest.approx(expected, rel=1e-9)
    # A line that is not seen, of models without a floor.
    data = LineFluxes.of_errors((HALPHA, lines[0].name), [[1.0, 0.0]], [[0.0, 1e-4]])
    (datum,) = prepare(data, dataclasses.replace(chosen, floor_dex=np.zeros(2)))
    expected = stats.norm(10**-3.3, np.hypot(1e-4, own))
    assert float(log_likelihood(datum, model)[0]) == pytest.approx(expected.logpdf(0.0), rel=1e-9)


FLUXES = st.lists(st.floats(-3.0, 90.0), min_size=4, max_size=4)


@settings(max_examples=25)
@given(fluxes=FLUXES, scale=st.floats(1e-20, 1e20), order=st.permutations(range(5)))
def test_neither_the_unit_nor_the_order_matters(fluxes, scale, order):
    flux, error = np.array([50.0, *fluxes]), np.array([1.0, 2.0, 1.0, 3.0, 2.0])
    chosen = errors()
    model = np.array([0.1, -0.5, -0.3, -0.2])
    first = value(flux, error, model, chosen)
    names = (HALPHA, *NAMES)
    again = value(
        flux[order] * scale, error[order] * scale, model, chosen, tuple(names[i] for i in order)
    )
    assert again == pytest.approx(first, rel=1e-9, abs=1e-9)


def test_a_line_of_infinite_error_says_nothing():
    chosen = errors()
    models = np.array([[0.1, -0.5, -0.3, -0.2], [0.3, -0.1, -0.9, 0.4]])
    error = np.array([1.0, 2.0, 1.0, 3.0, 1e9])
    flux = np.array([50.0, 40.0, 3.0, 20.0, 12.0])
    differences = []
    for last, count in ((12.0, 4), (np.nan, 3)):
        data = LineFluxes.of_errors((HALPHA, *NAMES), [[*flux[:4], last]], [error])
        (datum,) = prepare(data, chosen)
        assert datum.n_line == count
        found = log_likelihood(datum, models)[0]
        differences.append(found[0] - found[1])
    assert differences[0] == pytest.approx(differences[1], abs=1e-9)


def test_where_halpha_is_weak_nothing_is_divided_by_it():
    data = LineFluxes.of_errors((HALPHA, NAMES[0]), [[4.0, 3.0], [-9.0, 3.0]], np.ones((2, 2)))
    assert prepare(data, errors(red=RED[:1])) == [None, None]


def test_impossible_fluxes_are_refused():
    with pytest.raises(FormatError, match="need H alpha"):
        LineFluxes.of_errors(NAMES, np.ones((1, 4)), np.ones((1, 4)))
    with pytest.raises(FormatError, match="do not fit"):
        LineFluxes((HALPHA, NAMES[0]), np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(FormatError, match="has no error"):
        LineFluxes.of_errors((HALPHA, NAMES[0]), [[1.0, 2.0]], [[0.1, np.nan]])
    with pytest.raises(FormatError, match="variance is negative"):
        LineFluxes((HALPHA, NAMES[0]), np.ones((1, 2)), -np.eye(2)[None])
    data = LineFluxes.of_errors((HALPHA, "OI_6300"), [[9.0, 3.0]], np.ones((1, 2)))
    with pytest.raises(ArdError, match="no line of the models was measured"):
        prepare(data, errors())
    data = LineFluxes.of_errors((HALPHA, NAMES[0]), [[9.0, 3.0]], np.zeros((1, 2)))
    with pytest.raises(ArdError, match="degenerate"):
        prepare(data, errors(0.0, 0.0, red=RED[:1]))


def test_declared_errors_are_those_of_the_lines():
    chosen = errors_for([toy.line for toy in TOY_LINES], ASSUMED)
    assert chosen.floor_dex.tolist() == [0.12, 0.06, 0.13, 0.11]
    # reference/shocks.md section 5, by an approximate law.
    assert chosen.reddening == pytest.approx([-0.12, 0.0, 0.01, 0.14], abs=0.01)
    assert errors_for([TOY_LINES[0].line], ASSUMED, 0.03).floor_dex.tolist() == [0.03]
    assert ASSUMED.floor_dex("HeI_5876") == 0.1


def test_the_law_of_extinction():
    # A(V) is 1 at 0.55 um by construction (x = 1.82), and A(0.9 um) is 0.479 for R_V = 3.1
    # (Cardelli, Clayton & Mathis 1989, table 3, I band).
    assert extinction([1 / 1.82], 3.1)[0] == pytest.approx(1.0, abs=1e-3)
    assert extinction([0.9], 3.1)[0] == pytest.approx(0.479, abs=0.002)
    with pytest.raises(ArdError, match="outside of the law"):
        extinction([0.1032], 3.1)
