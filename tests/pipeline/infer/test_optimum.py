"""Are maxima found, told apart, and is the curvature theirs? Oracles: densities in closed form."""

import fits
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import targets
from precision import x64
from targets import run_of

from ard.errors import ArdError
from checks.convergence import chain_limits, gate
from pipeline.infer import optimum
from pipeline.infer.chain import Settings
from pipeline.infer.sampler import Budget, sample
from pipeline.infer.target import Target
from pipeline.store.blocks import MemoryStore


def test_the_maximum_of_a_gaussian_and_its_covariance(double):
    mean, covariance = targets.correlated(6, top=1.0)
    target = targets.gaussian(mean, covariance)
    places = np.random.default_rng(0).normal(size=(6, 6)) * np.logspace(-3, 1, 6)
    (mode,) = optimum.find_modes(target, places)
    spread = np.sqrt(np.diagonal(covariance))
    np.testing.assert_allclose((mode.z - mean) / spread, 0.0, atol=1e-2)
    np.testing.assert_allclose(mode.covariance / covariance, 1.0, rtol=1e-6)
    assert mode.n_found == 6
    assert not mode.repaired


def test_rival_maxima_are_kept_and_low_ones_are_not(double):
    places = np.array([[-5.0, 0.0], [5.0, 0.0], [0.0, 8.0]])
    target = targets.two_modes(places, 0.5, [1.0, 0.2, 1e-6])
    starts = np.random.default_rng(1).uniform(-6.0, 9.0, size=(24, 2))
    modes = optimum.find_modes(target, starts)
    assert [np.sign(m.z[0]) for m in modes] == [-1.0, 1.0]
    assert modes[0].log_density - modes[1].log_density == pytest.approx(np.log(5.0), abs=1e-6)
    assert sum(m.n_found for m in modes) <= 24
    assert len(optimum.find_modes(target, starts, least=1e-9)) == 3
    inflated = optimum.starts_from(target, modes, 4, seed=2)
    assert [np.sign(z[0]) for z in inflated.z] == [-1.0, 1.0, -1.0, 1.0]


def test_a_rival_without_mass_gets_no_chain_and_the_gate_can_be_passed(double):
    """Oracle: the moments of the maximum that has all but 1e-4 of the posterior."""
    places = np.array([[-10.0, 0.0], [10.0, 0.0]])
    target = targets.two_modes(places, 1.0, [1.0 - 1e-4, 1e-4])
    modes = optimum.find_modes(target, np.concatenate([places + 0.3] * 4))
    assert [mode.n_found for mode in modes] == [4, 4]
    starts = optimum.starts_from(target, modes, 4, seed=1)
    settings = Settings(n_warmup=100)
    outcome = sample(
        target, starts, run_of(target, starts, settings), MemoryStore(), settings=settings,
        budget=Budget(n_first=1000, n_most=1000, block=500),
        gate=lambda draws, stats: gate(draws, stats, chain_limits()),
    )  # fmt: skip
    assert outcome.passed, outcome.sentence
    # Of a seed that is fixed: four errors of the mean of a thousand effective draws.
    assert outcome.draws["p0"].mean() == pytest.approx(-10.0, abs=4.0 / 1000**0.5)


def test_maxima_are_weighed_by_their_height_and_width(double):
    """Oracle: the weights that two Gaussians of unlike widths were given."""
    weights, widths = np.array([0.3, 0.7]), np.array([[1.0, 2.0], [0.1, 0.2]])

    def log_density(z, data):
        off = (z - jnp.asarray([[-9.0, 0.0], [9.0, 0.0]])) / widths
        logs = jnp.log(weights / widths.prod(axis=1)) - 0.5 * jnp.sum(off**2, axis=1)
        return jax.scipy.special.logsumexp(logs)

    target = Target(("a", "b"), log_density, np.asarray)
    modes = optimum.find_modes(target, np.array([[-8.0, 0.3], [9.1, 0.1]]))
    assert [np.sign(mode.z[0]) for mode in modes] == [1.0, -1.0]  # the higher first
    np.testing.assert_allclose(optimum.shares(modes), [0.7, 0.3], rtol=1e-3)
    wide = optimum.Mode(modes[1].z, modes[0].log_density - 1.0, modes[1].covariance, 1, False)
    assert optimum.places_of_chains((modes[0], wide), 3) == (1, 0, 1)
    starts = optimum.starts_from(target, (modes[0], wide), 3, seed=1)
    np.testing.assert_array_equal(starts.inverse_mass, wide.covariance)


def test_a_maximum_that_is_low_but_broad_is_found(double):
    """Oracle: the weights of two Gaussians, of which that of most is 16 in ln below the other."""
    weights, widths = np.array([0.9, 0.1]), np.array([[1.0] * 4, [0.01] * 4])

    def log_density(z, data):
        off = (z - jnp.asarray([[-9.0] * 4, [9.0] * 4])) / widths
        logs = jnp.log(weights / widths.prod(axis=1)) - 0.5 * jnp.sum(off**2, axis=1)
        return jax.scipy.special.logsumexp(logs)

    places = np.array([[9.01] * 4, [-8.5] * 4])
    modes = optimum.find_modes(Target(tuple("abcd"), log_density, np.asarray), places)
    assert modes[0].log_density - modes[1].log_density == pytest.approx(
        np.log(0.1e8 / 0.9), abs=1e-3
    )
    np.testing.assert_allclose(optimum.shares(modes), [0.1, 0.9], rtol=1e-3)
    assert optimum.places_of_chains(modes, 2) == (1, 0)


def test_a_saddle_has_a_metric_all_the_same(double):
    def log_density(z, data):
        return -0.5 * z[0] ** 2 + 0.5 * z[1] ** 2

    covariance, repaired = optimum.covariance_at(
        Target(("a", "b"), log_density, np.asarray), np.zeros(2)
    )
    assert repaired
    np.testing.assert_allclose(covariance, np.diag([1.0, 4.0]), atol=1e-12)


def test_what_the_data_do_not_tell_is_as_wide_as_a_prior(double):
    def log_density(z, data):
        return -0.5 * z[0] ** 2 - 1e-9 * z[1] ** 2

    covariance, repaired = optimum.covariance_at(
        Target(("a", "b"), log_density, np.asarray), np.zeros(2)
    )
    assert not repaired
    np.testing.assert_allclose(covariance, np.diag([1.0, 4.0]), atol=1e-12)


def test_starts_come_nearer_where_there_is_no_value(double):
    def log_density(z, data):
        return jnp.where(jnp.abs(z[0]) < 0.3, -0.5 * z[0] ** 2, jnp.nan)

    target = Target(("a",), log_density, np.asarray)
    mode = optimum.Mode(np.zeros(1), 0.0, np.eye(1), 1, False)
    starts = optimum.starts_from(target, (mode,), 8, seed=1)
    assert np.all(np.abs(starts.z) < 0.3)


def test_nowhere_a_value_is_an_error(double):
    target = Target(("a",), lambda z, data: jnp.log(-jnp.exp(z[0])), np.asarray)
    with pytest.raises(ArdError, match="no value anywhere"):
        optimum.find_modes(target, np.zeros((3, 1)))
    mode = optimum.Mode(np.zeros(1), 0.0, np.eye(1), 1, False)
    with pytest.raises(ArdError, match="no start of a chain"):
        optimum.starts_from(target, (mode,), 1, seed=1)


@pytest.mark.parametrize("precise", [False, True])
def test_a_scene_is_found_from_draws_of_its_prior(precise):
    truth = {"x_arcsec": 0.07, "y_arcsec": -0.05, "speed_kms": 60.0, "dispersion_kms": 55.0}
    with x64(precise):
        cube = fits.knot_cube(truth, 8.0)
        data = cube + np.random.default_rng(3).normal(0.0, 0.05, cube.shape)
        posterior = fits.knot_posterior(data)
        target = posterior.target()
        said = []
        places = optimum.dispersed(posterior.prior, 8, seed=4)
        modes = optimum.find_modes(target, places, say=lambda *a: said.append(a))
        found = posterior.prior.constrain(modes[0].z)
        jacobian = np.exp(posterior.prior.log_jacobian(modes[0].z))
        sigma = np.sqrt(np.diagonal(modes[0].covariance)) * jacobian
        expected = np.array(list(truth.values()))
        # Four numbers of a fixed seed, each within 4 sigma.
        assert np.all(np.abs(found - expected) < 4.0 * sigma)
        assert len(modes) == 1
        assert [s[0] for s in said] == list(range(1, 9))
