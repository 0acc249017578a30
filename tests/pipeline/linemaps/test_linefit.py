"""The vectorised fit against slow references, closed forms and statistics."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loading import load
from scipy.optimize import least_squares

from pipeline import lineprofile as profile
from pipeline.linemaps import linefit
from pipeline.linemaps.linefit import Config, Status, fit
from pipeline.linemaps.windows import cut
from pipeline.lineset import LineSet

cases = load(Path(__file__).with_name("linefit_cases.py"))
EDGES, Z = cases.G140M_EDGES, cases.REDSHIFT
EXACT = Config(tolerance=1e-9)


def _grid_truth(n_free):
    velocity, sigma = np.meshgrid([-600.0, -333.3, 0.0, 50.0, 410.0], [5.0, 31.0, 90.0, 260.0])
    amplitudes = np.tile(1.0 + 0.5 * np.arange(n_free), (velocity.size, 1))
    amplitudes[::3, -1] *= -0.4  # negative fluxes are values, not failures
    return cases.Truth(velocity.ravel(), sigma.ravel(), amplitudes)


@pytest.mark.parametrize("lines", [cases.OIII, cases.HALPHA, cases.EVERY], ids=["oiii", "ha", "8"])
def test_noise_free_spectra_come_back(lines):
    # Oracle: inverse construction with a model that shares no code. [O III] 4959 at -600 km/s is
    # three channels from the blue edge of the cube.
    truth = _grid_truth(lines.n_free)
    flux = cases.spectra(lines, truth, continuum=(300.0, 40.0))
    found = fit(flux, np.full_like(flux, 1.0), EDGES, lines, Z, EXACT)
    assert (found.status == Status.GOOD).all()
    np.testing.assert_allclose(found.velocity, truth.velocity, atol=2e-6)
    np.testing.assert_allclose(found.sigma, truth.sigma, rtol=2e-6, atol=2e-5)
    np.testing.assert_allclose(found.flux, truth.amplitudes @ lines.ratio.T, rtol=1e-6)
    assert found.chi2.max() < 1e-12


def _residual(parameters, data, root, channels, blocks, lines):
    """Whitened residual of all parameters, straightforwardly: v, sigma, amplitudes, continuum."""
    n = lines.n_free
    edges = EDGES
    model = cases.slow_lines(edges, lines, parameters[0], parameters[1], parameters[2 : 2 + n])
    model = model[channels]
    centre = (0.5 * (edges[1:] + edges[:-1]))[channels]
    for k, part in enumerate(blocks):
        level, slope = parameters[2 + n + 2 * k : 4 + n + 2 * k]
        x = centre[part]
        model[part] += level + slope * (x - x.mean()) / (x[-1] - x[0])
    return (data[channels] - model) * root[channels]


def test_agrees_with_general_least_squares():
    # Oracle: scipy.optimize.least_squares on all parameters at once, with a numerical Jacobian.
    rng = np.random.default_rng(20)
    n, lines = 20, cases.HALPHA
    truth = cases.Truth(
        rng.uniform(-500, 200, n), rng.uniform(60, 200, n), rng.uniform(1, 4, (n, lines.n_free))
    )
    clean = cases.spectra(lines, truth, continuum=(50.0, 5.0))
    noise = rng.uniform(10.0, 40.0, clean.shape)
    flux, ivar = clean + rng.normal(size=clean.shape) * noise, 1.0 / noise**2
    ivar[rng.random(ivar.shape) < 0.03] = 0.0
    found = fit(flux, ivar, EDGES, lines, Z, Config(tolerance=1e-6))
    window = cut(EDGES, lines, Z, Config().window_kms)
    assert found.usable.all()
    for i in range(n):
        start = [found.velocity[i] + 9.0, found.sigma[i] + 7.0, *truth.amplitudes[i]]
        start += [50.0, 0.0] * len(window.blocks)
        best = least_squares(
            _residual,
            start,
            jac="3-point",
            x_scale="jac",
            xtol=1e-13,
            ftol=1e-13,
            gtol=1e-13,
            args=(flux[i], np.sqrt(ivar[i]), window.channels, window.blocks, lines),
        )
        error = np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac)))
        free = list(range(lines.n_free))
        mine = [found.velocity[i], found.sigma[i], *found.flux[i, free]]
        mine_err = [found.velocity_err[i], found.sigma_err[i], *found.flux_err[i, free]]
        np.testing.assert_allclose(found.chi2[i], 2 * best.cost, rtol=1e-9)
        np.testing.assert_allclose((mine - best.x[:4]) / error[:4], 0.0, atol=1e-4)
        np.testing.assert_allclose(mine_err, error[:4], rtol=1e-3)


def _noisy(seed, n=2000):
    """Noise of variance 1 and lines whose flux has a signal-to-noise ratio of about 5 to 30."""
    rng = np.random.default_rng(seed)
    lines = cases.HALPHA
    velocity, sigma = rng.uniform(-600, 200, n), rng.uniform(100, 250, n)
    window = cut(EDGES, lines, Z, Config().window_kms)
    response = profile.Response.of(EDGES, lines, window, Z)
    shape = response.templates(velocity, sigma**2)[0] @ np.array([0.3, 2.0])
    # Fitting width and continuum as well costs about 2/3 of the signal of a matched filter.
    strength = rng.uniform(9, 50, n) / np.sqrt((shape**2).sum(axis=1))
    flux = rng.normal(size=(n, EDGES.size - 1))
    flux[:, window.channels] += shape * strength[:, None]
    halpha = 2.0 * strength
    return lines, flux, velocity, sigma, halpha


def test_errors_are_the_scatter():
    # Oracle: statistics of 2000 spectra. The mean of n pulls scatters by 1/sqrt(n) = 0.022, their
    # width by 1/sqrt(2n) = 0.016. Allowed are 0.10 for the mean and 0.07 for the width: more than
    # 4 sigma, false alarms below 1e-4 each, plus the second-order bias of a non-linear fit at
    # the faint end (sigma: measured 0.02 to 0.05 with 20,000 spectra).
    lines, flux, velocity, sigma, halpha = _noisy(5)
    found = fit(flux, np.ones_like(flux), EDGES, lines, Z, Config())
    good = found.usable
    assert good.mean() > 0.99
    quoted = (halpha / found.flux_err[:, 1])[good]
    assert np.percentile(quoted, 2) < 7.0
    assert 25.0 < np.percentile(quoted, 98) < 35.0
    pulls = {
        "velocity": (found.velocity - velocity) / found.velocity_err,
        "sigma": (found.sigma - sigma) / found.sigma_err,
        "flux": (found.flux[:, 1] - halpha) / found.flux_err[:, 1],
    }
    for name, pull in pulls.items():
        assert abs(pull[good].mean()) < 0.10, name
        assert abs(pull[good].std() - 1.0) < 0.07, name


def test_chi_square_has_its_degrees_of_freedom():
    # Oracle: the mean of chi2 is dof; over 2000 spectra of about 26 dof it scatters by 0.006 dof.
    # The same for the channels without line, whose dof come from the hat matrix.
    lines, flux, *_ = _noisy(6)
    found = fit(flux, np.ones_like(flux), EDGES, lines, Z, Config())
    good = found.usable
    assert found.chi2[good].sum() / found.dof[good].sum() == pytest.approx(1.0, abs=0.025)
    ratio = found.chi2_continuum[good].sum() / found.dof_continuum[good].sum()
    assert ratio == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("junk", [1e30, np.nan, -np.inf])
def test_masked_channels_are_never_looked_at(junk):
    # Oracle: invariance, to the last bit.
    rng = np.random.default_rng(8)
    truth = cases.Truth(np.full(6, -120.0), np.full(6, 80.0), rng.uniform(1, 3, (6, 2)))
    flux = cases.spectra(cases.HALPHA, truth) + rng.normal(size=(6, EDGES.size - 1)) * 10
    ivar = np.full_like(flux, 0.01)
    ivar[rng.random(ivar.shape) < 0.1] = 0.0
    spoiled = np.where(ivar == 0, junk, flux)
    one, other = (fit(f, ivar, EDGES, cases.HALPHA, Z, Config()) for f in (flux, spoiled))
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_a_line_narrower_than_a_channel_keeps_its_flux():
    # Oracle: closed form, the integral over all channels is 1 wherever the line falls.
    edges = np.arange(-20.0, 21.0) * 150.0
    velocity = np.linspace(-300.0, 300.0, 101)
    for sigma in (1e-3, 5.0, 40.0):
        share, *_ = profile.integrated(edges, velocity, np.full(velocity.shape, sigma))
        np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-14)


def test_profile_derivatives():
    # Oracle: central differences; their error is of second order in the step (1e-4 of a width).
    edges = np.arange(-20.0, 21.0) * 95.0
    velocity, sigma = np.array([-210.0, 33.0]), np.array([70.0, 180.0])
    _, by_velocity, by_variance = profile.integrated(edges, velocity, sigma)
    h = 1e-2
    up, down = (profile.integrated(edges, velocity + s * h, sigma)[0] for s in (1, -1))
    np.testing.assert_allclose(by_velocity, (up - down) / (2 * h), atol=1e-11)
    h = 1.0
    up, down = (profile.integrated(edges, velocity, np.sqrt(sigma**2 + s * h))[0] for s in (1, -1))
    np.testing.assert_allclose(by_variance, (up - down) / (2 * h), atol=1e-11)


def test_tied_ratios_hold_exactly():
    rng = np.random.default_rng(3)
    flux = rng.normal(size=(40, EDGES.size - 1))
    found = fit(flux, np.ones_like(flux), EDGES, cases.HALPHA, Z, Config())
    seen = np.isfinite(found.flux[:, 0])
    assert seen.sum() > 30
    np.testing.assert_allclose(found.flux[seen, 2] / found.flux[seen, 0], 2.942, rtol=1e-14)
    np.testing.assert_allclose(found.flux_err[seen, 2] / found.flux_err[seen, 0], 2.942, rtol=1e-12)


@given(scale=st.floats(1e-22, 1e12), seed=st.integers(0, 50))
def test_flux_scale_does_not_matter(scale, seed):
    # Oracle: invariance. Cubes come in MJy/sr or in 1e-18 erg/s/cm2.
    rng = np.random.default_rng(seed)
    truth = cases.Truth(rng.uniform(-400, 200, 2), rng.uniform(80, 200, 2), np.full((2, 1), 2.0))
    flux = cases.spectra(cases.OIII, truth) + rng.normal(size=(2, EDGES.size - 1)) * 20
    ivar = np.full_like(flux, 1 / 400.0)
    one = fit(flux, ivar, EDGES, cases.OIII, Z, EXACT)
    other = fit(flux * scale, ivar / scale**2, EDGES, cases.OIII, Z, EXACT)
    np.testing.assert_allclose(other.velocity, one.velocity, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(other.flux, one.flux * scale, rtol=1e-5)
    np.testing.assert_allclose(other.flux_err, one.flux_err * scale, rtol=1e-5)
    np.testing.assert_array_equal(other.status, one.status)


@given(shift=st.integers(-3, 3), velocity=st.floats(-200, 200), sigma=st.floats(60, 200))
def test_moving_the_spectrum_by_channels_moves_the_velocity(shift, velocity, sigma):
    # Oracle: invariance. Channels equal in log wavelength all have one width in velocity, so
    # that a shift by k channels multiplies wavelengths, 1 + v/c, by a constant.
    step = 100.0 / cases.C_KMS
    edges = 0.98 * np.exp(step * (np.arange(81) - 40))
    lines = LineSet(("x",), np.array([0.98]), np.ones((1, 1)), np.array([120.0]))
    flux = cases.slow_lines(edges, lines, velocity, sigma, np.array([3.0]), redshift=0.0)
    # A Gaussian in v becomes one with its width stretched by the same factor.
    factor = np.exp(step * shift)
    found, moved = (
        fit(f[None], np.ones((1, 80)), edges, lines, 0.0, Config(window_kms=3000.0, tolerance=1e-9))
        for f in (flux, np.roll(flux, shift))
    )
    expected = cases.C_KMS * (factor * (1 + found.velocity / cases.C_KMS) - 1)
    np.testing.assert_allclose(moved.velocity, expected, atol=1e-3)
    width = np.hypot(found.sigma, 120.0) * factor
    np.testing.assert_allclose(np.hypot(moved.sigma, 120.0), width, rtol=1e-5)
    np.testing.assert_allclose(moved.flux, found.flux * factor, rtol=1e-5)


def test_chunks_do_not_matter():
    # Oracle: invariance under the batch size, up to the rounding of matrix products.
    lines, flux, *_ = _noisy(9, n=50)
    one, other = (
        fit(flux, np.ones_like(flux), EDGES, lines, Z, Config(chunk=c)) for c in (7, 1000)
    )
    np.testing.assert_array_equal(one.status, other.status)
    np.testing.assert_allclose(one.velocity, other.velocity, atol=1e-6)


def _statuses(flux, ivar, config=None, lines=cases.HALPHA):
    return fit(flux, ivar, EDGES, lines, Z, config or Config())


def test_status_names_what_is_wrong():
    n = EDGES.size - 1
    truth = cases.Truth(np.array([0.0]), np.array([90.0]), np.array([[1.0, 2.0]]))
    clean = cases.spectra(cases.HALPHA, truth)
    weight = np.full((1, n), 1e-2)
    assert _statuses(clean, weight).status == [Status.GOOD]

    few = weight.copy()
    window = cut(EDGES, cases.HALPHA, Z, Config().window_kms)
    few[:, window.channels[8:]] = 0.0
    found = _statuses(clean, few)
    assert found.status == [Status.TOO_FEW_CHANNELS]
    assert np.isnan(found.velocity[0])
    assert np.isnan(found.flux).all()

    narrow = Config(velocity_min_kms=-800.0, velocity_max_kms=-60.0)
    found = _statuses(clean, weight, narrow)
    assert found.status == [Status.VELOCITY_AT_EDGE]
    assert found.velocity[0] == -60.0

    assert _statuses(clean, weight, Config(sigma_max_kms=50.0)).status == [Status.SIGMA_AT_MAXIMUM]

    found = _statuses(np.zeros((1, n)), weight)
    assert found.status == [Status.FAILED]  # nothing at all: velocity means nothing


def test_a_line_on_masked_channels_is_said_to_be_unseen():
    truth = cases.Truth(np.array([20.0]), np.array([90.0]), np.array([[1.0, 2.0]]))
    flux = cases.spectra(cases.HALPHA, truth)
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    away = np.abs(centre / (0.654986 * (1 + Z)) - 1) * cases.C_KMS
    far = np.abs(centre / (0.658527 * (1 + Z)) - 1) * cases.C_KMS
    weight = np.where((away < 300) | (far < 500), 0.0, 1e-2)[None]
    spoiled = np.where(weight > 0, flux, 1e9)
    found = _statuses(spoiled, weight)
    assert found.status == [Status.LINE_NOT_SEEN]
    assert np.isnan(found.flux[0, [0, 2]]).all()
    # The wings of [N II] that are left over, 7 % of a faint line, go into H alpha.
    assert found.flux[0, 1] == pytest.approx(2.0, rel=0.05)


def test_an_unresolved_line_is_an_upper_limit():
    # Oracle: construction. The line is as wide as the line-spread function, or narrower than it
    # by noise: sigma is zero and its error is the 1-sigma limit.
    narrow = LineSet(cases.OIII.names, cases.OIII.wave_rest_um, cases.OIII.ratio, np.full(2, 150.0))
    truth = cases.Truth(np.array([-50.0]), np.array([0.0]), np.array([[2.0]]))
    flux = cases.spectra(narrow, truth)
    found = _statuses(flux, np.full_like(flux, 1e-3), lines=cases.OIII)
    assert found.status == [Status.UNRESOLVED]
    assert found.usable.all()
    assert found.sigma[0] == 0.0
    assert found.sigma_err[0] == pytest.approx(np.sqrt(found.variance_err[0]))
    assert found.velocity[0] == pytest.approx(-50.0, abs=5.0)


def test_sigma_error_changes_over_smoothly():
    # Oracle: closed forms, err / (2 sigma) where resolved and sqrt(err) at zero; equal at err / 4.
    err = np.full(4, 400.0)
    found = linefit.sigma_error(np.array([0.0, 100.0, 1e4, np.nan]), err)
    np.testing.assert_allclose(found[:3], [20.0, 20.0, 2.0])
    assert np.isnan(linefit.sigma_error(np.array([1.0]), np.array([np.nan])))[0]


def test_noise_alone_ends_somewhere():
    # Every spectrum of pure noise has a minimum inside the search, and steps must find it; one in
    # a thousand lies in a valley so flat that they need more than the allowed number.
    rng = np.random.default_rng(2)
    flux = rng.normal(size=(500, EDGES.size - 1))
    found = fit(flux, np.ones_like(flux), EDGES, cases.HALPHA, Z, Config())
    found_one = found.status != Status.FAILED
    assert found_one.mean() >= 0.995
    assert (found.velocity_err[found_one] > 0).all()


def test_errors_can_be_scaled():
    lines, flux, *_ = _noisy(4, n=5)
    found = fit(flux, np.ones_like(flux), EDGES, lines, Z, Config())
    twice = found.scaled(np.full(5, 2.0))
    np.testing.assert_allclose(twice.velocity_err, 2 * found.velocity_err)
    np.testing.assert_allclose(twice.flux_err, 2 * found.flux_err)
    np.testing.assert_allclose(twice.covariance, 4 * found.covariance)
    np.testing.assert_array_equal(twice.flux, found.flux)


def test_inputs_are_left_alone():
    lines, flux, *_ = _noisy(4, n=3)
    ivar = np.ones_like(flux)
    for array in (flux, ivar):
        array.flags.writeable = False
    fit(flux, ivar, EDGES, lines, Z, Config())


@pytest.mark.parametrize(
    "wrong",
    [
        {"velocity_min_kms": 10.0, "velocity_max_kms": 10.0},
        {"window_kms": 0.0},
        {"width_step": 1.0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be|needed"):
        Config(**wrong)


def test_a_line_with_too_little_light_on_good_channels_is_no_measurement():
    """Two of three channels masked: no velocity may come back as if it had been measured."""
    truth = cases.Truth(np.full(40, -300.0), np.full(40, 60.0), np.full((40, 2), 5.0))
    flux = cases.spectra(cases.HALPHA, truth)
    rng = np.random.default_rng(4)
    flux = flux + rng.normal(0, 0.01 * flux.max(), flux.shape)
    ivar = np.full_like(flux, (0.01 * flux.max()) ** -2)
    ivar[:, np.arange(flux.shape[1]) % 3 != 0] = 0.0
    found = fit(flux, ivar, EDGES, cases.HALPHA, Z, Config(min_coverage=0.9))
    assert not found.usable.any()
    assert np.isnan(found.velocity).all()
