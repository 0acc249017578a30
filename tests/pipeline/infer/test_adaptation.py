"""Are step and metric learned as published? Oracles: numpy's covariance; blackjax's averaging."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from blackjax.optimizers.dual_averaging import dual_averaging

from pipeline.infer import adaptation


def test_the_metric_is_the_covariance_of_the_window(double, strict):
    rng = np.random.default_rng(0)
    draws = rng.multivariate_normal([1e3, -5.0], [[4.0, 1.0], [1.0, 0.5]], size=400)
    state = adaptation.begin(np.eye(2), 0.5)
    for draw in draws:
        state = adaptation.see(state, jnp.asarray(draw))
    np.testing.assert_allclose(state.mean, draws.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(state.scatter / 399.0, np.cov(draws.T), rtol=1e-9)
    closed = adaptation.close_window(state)
    # Two imaginary draws from the metric before, of as many dimensions.
    expected = (400.0 * np.cov(draws.T) + 2.0 * np.eye(2)) / 402.0
    np.testing.assert_allclose(closed.inverse_mass, expected, rtol=1e-9)
    assert float(closed.n_seen) == 0.0
    assert not np.any(closed.scatter)


def test_an_empty_window_keeps_the_metric(double):
    metric = np.array([[2.0, 0.3], [0.3, 1.0]])
    closed = adaptation.close_window(adaptation.begin(metric, 0.5))
    np.testing.assert_allclose(closed.inverse_mass, metric, rtol=1e-15)


def test_the_step_is_that_of_dual_averaging(double, strict):
    init, update, _ = dual_averaging()
    acceptances = np.random.default_rng(1).uniform(0.3, 1.0, size=60)
    state, oracle = adaptation.begin(np.eye(1), 0.3), init(0.3)
    with jax.numpy_dtype_promotion("standard"):
        for acceptance in acceptances:
            state = adaptation.adapt(state, jnp.asarray(acceptance), 0.8)
            oracle = update(oracle, 0.8 - acceptance)
            assert float(state.log_step) == pytest.approx(float(oracle.log_x), rel=1e-10)
    assert float(adaptation.settle(state).log_step) == float(state.log_step_mean)


def test_acceptance_that_is_not_a_number_counts_as_none(double):
    state = adaptation.begin(np.eye(1), 0.3)
    none = adaptation.adapt(state, jnp.asarray(0.0), 0.8)
    nan = adaptation.adapt(state, jnp.asarray(np.nan), 0.8)
    assert float(nan.log_step) == float(none.log_step)


@pytest.mark.parametrize("n_warmup", [60, 100, 300, 500, 1000])
def test_windows_grow_and_leave_the_step_the_last_word(n_warmup):
    seen, closing = adaptation.schedule(n_warmup)
    ends = np.flatnonzero(closing) + 1
    first = int(np.argmax(seen))
    assert first == n_warmup // 10
    assert np.all(seen[first : ends[-1]])
    assert not seen[ends[-1] :].any()
    lengths = np.diff([first, *ends])
    assert np.all(lengths[1:] >= 2 * lengths[:-1])
    assert n_warmup - ends[-1] >= 0.14 * n_warmup


@pytest.mark.parametrize("n_warmup", [0, 1, 59])
def test_a_short_warm_up_learns_the_step_only(n_warmup):
    seen, closing = adaptation.schedule(n_warmup)
    assert seen.shape == (n_warmup,)
    assert not seen.any()
    assert not closing.any()
