"""Where is a function highest that is nearly a sum of squares, and was it reached?

Levenberg's and Marquardt's way (Levenberg 1944; Marquardt 1963): between the top of the parabola
that the squares say and the steepest way up, more of the former the better it went. A step costs
one evaluation, and all steps are one compiled loop. Between bounds, a parameter that the parabola
draws beyond one goes as far as the bound, and the others to the top of what is left of it.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp

from ard.cube import FloatArray

_FIRST, _FACTOR, _LEAST, _MOST = 1e-2, 8.0, 1e-6, 1e8
_LEAST_CURVED: Final = 1e-3  # of the curvature along an axis
_PASSES: Final = 3  # in which parameters are found that end at a bound
# What may be left to be gained at a maximum: in ln, of which cubes in float32 make 0.003 uncertain;
# and of how far it is from a fit, for what is off by thousands need not be known to a hundredth.
LEFT, SHARE = 0.01, 1e-4


class Height(NamedTuple):
    """What is known of a place.

    Attributes
    ----------
    value : scalar
    slope : array, shape (n,)
    curvature : array, shape (n, n)
        Minus the second derivatives, positive definite.
    more : any
        What else was found there.
    """

    value: Any
    slope: Any
    curvature: Any
    more: Any


class Top(NamedTuple):
    """Where a climb ended.

    Attributes
    ----------
    place : array, shape (n,)
    height : Height
    left : scalar
        What the parabola there says is left to be gained.
    reached : scalar
        Whether that is at most `LEFT` and a `SHARE` of the value: a maximum.
    n_step : scalar
        Evaluations.
    """

    place: Any
    height: Height
    left: Any
    reached: Any
    n_step: Any


class _State(NamedTuple):
    top: Top
    bend: Any  # what the curvature is beyond that of the squares, as learned from slopes
    trial: Any
    damping: Any


def climb(
    height: Callable[[Any], Height], start: Any, low: FloatArray, high: FloatArray, n_step: int
) -> Top:
    """Climb from a place; JAX traces it.

    Parameters
    ----------
    height : callable
        From a place, shape (n,), to what is known of it. Where it is NaN, no step ends.
    start : array, shape (n,)
        Within the bounds.
    low, high : array, shape (n,)
        Bounds.
    n_step : int
        Evaluations at most; it ends before where the maximum is reached.
    """
    shapes = jax.eval_shape(height, start)
    unknown = jax.tree_util.tree_map(lambda one: jnp.zeros(one.shape, one.dtype), shapes)
    nowhere = unknown._replace(value=jnp.full_like(unknown.value, -jnp.inf))
    dtype = start.dtype
    begin = _State(
        Top(
            start,
            nowhere,
            jnp.asarray(jnp.inf, dtype),
            jnp.zeros((), bool),
            jnp.zeros((), jnp.int32),
        ),
        jnp.zeros((start.size, start.size), dtype),
        start,
        jnp.asarray(_FIRST, dtype),
    )

    def unfinished(state: _State) -> Any:
        return (state.top.n_step < n_step) & ~state.top.reached

    def step(state: _State) -> _State:
        found, old = height(state.trial), state.top
        better = found.value > old.height.value
        bend = jnp.where(better, _learned(state.bend, old, state.trial, found), state.bend)
        best, place = jax.tree_util.tree_map(
            lambda new, before: jnp.where(better, new, before),
            (found, state.trial),
            (old.height, old.place),
        )
        damping = jnp.where(better, state.damping / _FACTOR, state.damping * _FACTOR)
        damping = jnp.clip(damping, _LEAST, _MOST)
        room = (low - place, high - place)
        whole = best.curvature + bend
        curved = jnp.linalg.eigvalsh(_unit(whole))[0] > _LEAST_CURVED
        whole = jnp.where(curved, whole, best.curvature)
        full = _move(whole, best.slope, *room)
        gain = best.slope @ full - 0.5 * full @ whole @ full
        # Cut at several bounds, a step may lead down: then nothing is known of what is left.
        left = jnp.where(jnp.isfinite(best.value) & (gain >= 0.0), gain, jnp.inf)
        steep = whole + damping * jnp.diag(jnp.diagonal(best.curvature))
        trial = jnp.clip(place + _move(steep, best.slope, *room), low, high)
        reached = left <= LEFT + SHARE * jnp.abs(best.value)
        top = Top(place, best, left, reached, old.n_step + 1)
        return _State(top, bend, trial, damping)

    return jax.lax.while_loop(unfinished, step, begin).top


def _unit(curvature: Any) -> Any:
    root = jnp.sqrt(jnp.abs(jnp.diagonal(curvature)))
    return curvature / root[:, None] / root[None, :]


def _learned(bend: Any, old: Top, place: Any, found: Height) -> Any:
    """Learn from how the slope changed what the squares do not say (Dennis, Gay, Welsch 1981)."""
    way, fall = place - old.place, old.height.slope - found.slope
    more = fall - found.curvature @ way
    known = way @ bend @ way
    size = jnp.minimum(1.0, jnp.abs(way @ more) / jnp.where(known == 0.0, 1.0, jnp.abs(known)))
    bend = jnp.where(known == 0.0, 1.0, size) * bend
    off, along = more - bend @ way, way @ fall
    both = jnp.outer(off, fall)
    new = bend + (both + both.T) / along - (way @ off) * jnp.outer(fall, fall) / along**2
    good = (along > 0.0) & jnp.isfinite(old.height.value) & jnp.isfinite(new).all()
    return jnp.where(good, new, bend)


def _move(curvature: Any, slope: Any, low: Any, high: Any) -> Any:
    """Give the step to the top of a parabola, where each parameter has room from low to high."""
    stuck = ((low >= 0.0) & (slope < 0.0)) | ((high <= 0.0) & (slope > 0.0))
    fixed = jnp.zeros_like(slope)
    unit = jnp.eye(slope.size, dtype=slope.dtype)
    move = fixed
    for _ in range(_PASSES):
        free = ~stuck
        both = free[:, None] & free[None, :]
        pulled = jnp.where(free, slope - curvature @ fixed, 0.0)
        move = jnp.linalg.solve(jnp.where(both, curvature, unit), pulled)
        move = jnp.where(stuck, fixed, move)
        beyond = (move < low) | (move > high)
        stuck, fixed = stuck | beyond, jnp.where(stuck | beyond, jnp.clip(move, low, high), 0.0)
    return jnp.clip(move, low, high)
