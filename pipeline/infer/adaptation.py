"""Which step and which metric suit a target, learned while a chain warms up?

The step by dual averaging (Hoffman & Gelman 2014, JMLR 15, 1593, section 3.2), the metric by the
covariance of the draws in windows of growing length, as Stan does it. Two things differ: the
metric starts from the curvature at the mode, and what a short window cannot say is taken from the
metric before it, not from the unit matrix, whose scale has nothing to do with the target's.
"""

from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from ard.cube import FloatArray

# Hoffman & Gelman 2014, section 3.2.1.
_T0: Final = 10.0
_GAMMA: Final = 0.05
_KAPPA: Final = 0.75
_EAGER: Final = 10.0  # steps are tried around ten times the first one: long steps are cheap
_FIRST_WINDOW: Final = 25
LEAST: Final = 60  # a warm-up that is shorter has no window of use


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Adaptation:
    """What has been learned so far.

    Attributes
    ----------
    log_step : scalar
        ln of the step that is used now.
    log_step_mean, error, aim, n_step : scalar
        Dual averaging: the averaged step, the averaged lack of acceptance, what ln of the step is
        drawn towards, and the updates since the last restart.
    inverse_mass : array, shape (n, n)
        The metric: an estimate of the covariance.
    mean, scatter, n_seen : array (n,), array (n, n), scalar
        Of the draws of the current window: their mean, the sum of the squares of what they are off
        it, and their number.
    """

    log_step: Any
    log_step_mean: Any
    error: Any
    aim: Any
    n_step: Any
    inverse_mass: Any
    mean: Any
    scatter: Any
    n_seen: Any


def begin(inverse_mass: Any, step: Any) -> Adaptation:
    """Give the state before the first draw.

    Parameters
    ----------
    inverse_mass : array, shape (n, n)
    step : scalar
        A first guess of the step.
    """
    dtype = jnp.result_type(float)
    metric = jnp.asarray(inverse_mass, dtype)
    log_step = jnp.log(jnp.asarray(step, dtype))
    zero = jnp.zeros((), dtype)
    return _restarted(log_step, metric, zero)


def adapt(state: Adaptation, acceptance: Any, target: float) -> Adaptation:
    """Learn of the step from the acceptance of one draw."""
    count = state.n_step + 1.0
    weight = 1.0 / (count + _T0)
    lack = jnp.where(jnp.isfinite(acceptance), target - acceptance, target)
    error = (1.0 - weight) * state.error + weight * lack
    log_step = state.aim - jnp.sqrt(count) / _GAMMA * error
    share = count**-_KAPPA
    mean = share * log_step + (1.0 - share) * state.log_step_mean
    return Adaptation(log_step, mean, error, state.aim, count, state.inverse_mass,
                      state.mean, state.scatter, state.n_seen)  # fmt: skip


def see(state: Adaptation, place: Any) -> Adaptation:
    """Count a draw for the metric (Welford's update)."""
    count = state.n_seen + 1.0
    off = place - state.mean
    mean = state.mean + off / count
    scatter = state.scatter + jnp.outer(off, place - mean)
    return Adaptation(state.log_step, state.log_step_mean, state.error, state.aim, state.n_step,
                      state.inverse_mass, mean, scatter, count)  # fmt: skip


def close_window(state: Adaptation) -> Adaptation:
    """Take the covariance of the window as the metric, and learn the step anew."""
    dimension = jnp.asarray(state.mean.shape[0], state.mean.dtype)
    # As many imaginary draws from the metric before as a covariance needs to be of full rank.
    total = state.n_seen + dimension
    spread = state.scatter / jnp.maximum(state.n_seen - 1.0, 1.0)
    mixed = (state.n_seen * spread + dimension * state.inverse_mass) / total
    metric = 0.5 * (mixed + mixed.T)
    return _restarted(state.log_step_mean, metric, jnp.zeros_like(state.log_step))


def settle(state: Adaptation) -> Adaptation:
    """Keep the averaged step for good."""
    return Adaptation(state.log_step_mean, state.log_step_mean, state.error, state.aim,
                      state.n_step, state.inverse_mass, state.mean, state.scatter,
                      state.n_seen)  # fmt: skip


def _restarted(log_step: Any, metric: Any, zero: Any) -> Adaptation:
    size = metric.shape[0]
    empty = jnp.zeros((size,), metric.dtype), jnp.zeros((size, size), metric.dtype)
    aim = log_step + float(np.log(_EAGER))
    return Adaptation(log_step, log_step, zero, aim, zero, metric, *empty, zero)


def schedule(n_warmup: int) -> tuple[FloatArray, FloatArray]:
    """In which draws of the warm-up is the metric learned, and after which is it changed?

    Parameters
    ----------
    n_warmup : int

    Returns
    -------
    seen, closing : ndarray of bool, shape (n_warmup,)
        The first 10 % and the last 15 % are for the step alone; between them lie windows of 25,
        50, 100, ... draws, the last of which takes what is left.
    """
    seen, closing = np.zeros(n_warmup, bool), np.zeros(n_warmup, bool)
    if n_warmup < LEAST:
        return seen, closing
    first, last = int(0.10 * n_warmup), n_warmup - int(0.15 * n_warmup)
    seen[first:last] = True
    end, length = first, _FIRST_WINDOW
    while end < last:
        # A window that leaves less than the next one needs takes that too.
        end = last if end + 3 * length > last else end + length
        closing[end - 1] = True
        length *= 2
    return seen, closing
