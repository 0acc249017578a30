"""Where is the posterior highest, are there rival heights, and how wide is it there?

All on the scale on which a sampler moves, Jacobian included: what is found is where its chains
start and which metric they start with, not an estimate to quote.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import optimize, special

from ard.cube import FloatArray
from ard.errors import ArdError
from pipeline.infer.chain import compiled_value
from pipeline.infer.prior import Prior
from pipeline.infer.sampler import Starts
from pipeline.infer.target import Target, as_place

# Variance, on the line. A prior between two bounds is as wide as this where the data say nothing
# (logistic: pi^2 / 3).
_WIDEST: Final = 4.0
_BOUND: Final = 12.0  # on the line: within 6e-6 of a bound of the prior
_TRIES: Final = 20
_POLISH: Final = 10
_STEP: Final = 1e-3  # of a first difference, on the line
_SHARE: Final = 0.03  # of a width: what a second difference is off by is its square
_STEPS: Final = (1e-6, 0.1)
_SHORT: Final = 1.0  # climbs end a little below the maxima
_PATIENCE, _GAIN = 5, 0.05  # a climb ends that gains so little of ln in so many steps
# A maximum that has less of the posterior gets no chain: of a thousand effective draws, as many as
# are asked of what is quoted, not one would be there, and a chain that cannot leave it would keep
# all others from ever agreeing with it.
MATTERS: Final = 1e-3


@dataclass(frozen=True, eq=False)
class Mode:
    """A local maximum.

    Its height says nothing of how much of the posterior lies around it: see `shares`.

    Attributes
    ----------
    z : array, shape (n,)
    log_density : float
    covariance : array, shape (n, n)
        Inverse of the curvature.
    n_found : int
        How many starts ended here.
    repaired : bool
        Whether the curvature was not that of a maximum in some direction, and was made one.
    """

    z: FloatArray
    log_density: float
    covariance: FloatArray
    n_found: int
    repaired: bool


def dispersed(prior: Prior, count: int, seed: int) -> FloatArray:
    """Give places to look from: draws from the prior, on the line, shape (count, n)."""
    draws = prior.sample(np.random.default_rng(seed), count)
    return np.asarray(np.clip(prior.unconstrain(draws), -_BOUND, _BOUND))


def find_modes(
    target: Target,
    places: FloatArray,
    *,
    least: float = 1e-5,
    n_steps: int = 200,
    say: Callable[[int, int, float], None] | None = None,
) -> tuple[Mode, ...]:
    """Climb from many places, and give the maxima that matter.

    Parameters
    ----------
    target : Target
    places : array, shape (n_start, n)
        See `dispersed`. A maximum is found as often as its surroundings are met: 64 or more where
        a rival would matter (reference/inference.md section 4).
    least : float
        Maxima around which less than this of the posterior lies are left out, but for the highest:
        see `shares`. No height says that alone: a low one may be broad.
    n_steps : int
        Steps of a climb, at most.
    say : callable, optional
        Told after each climb: how many are done, of how many, and the best value so far.

    Returns
    -------
    tuple of Mode
        The best first.

    Raises
    ------
    ArdError
        If no climb ended at a finite value.
    """
    ends: list[tuple[float, FloatArray]] = []
    best = -np.inf
    for number, place in enumerate(np.asarray(places, np.float64)):
        end = _climb(target, place, n_steps)
        if end is not None:
            ends.append(end)
            best = max(best, end[0])
        if say is not None:
            say(number + 1, len(places), best)
    if not ends:
        raise ArdError(
            "the posterior has no value anywhere that was looked",
            expected="a finite log density at one start or more",
            found=f"none at {len(places)}",
            action="see whether the model can be computed within its prior (pipeline.scene.valid)",
        )
    modes = _distinct(target, sorted(ends, key=lambda end: -end[0]), least)
    weighed = zip(modes, shares(modes), strict=True)
    return tuple(mode for mode, share in weighed if mode is modes[0] or share >= least)


def _climb(target: Target, place: FloatArray, n_steps: int) -> tuple[float, FloatArray] | None:
    function = compiled_value(target.log_density)

    def downhill(z: FloatArray) -> tuple[float, FloatArray]:
        value, slope = function(as_place(z), target.data)
        slopes = -np.asarray(slope, np.float64)
        if not np.isfinite(value) or not np.isfinite(slopes).all():
            return np.inf, np.zeros_like(slopes)  # a line search steps back from there
        return -float(value), slopes

    heights: list[float] = []

    def watch(intermediate_result: Any) -> None:
        heights.append(float(intermediate_result.fun))
        if len(heights) > _PATIENCE and heights[-1 - _PATIENCE] - heights[-1] < _GAIN:
            raise StopIteration  # what is left is for the curvature, once for each maximum

    if not np.isfinite(downhill(place)[0]):
        return None
    found = optimize.minimize(
        downhill,
        place,
        jac=True,
        method="L-BFGS-B",
        callback=watch,
        bounds=[(-_BOUND, _BOUND)] * place.size,
        options={"maxiter": n_steps, "maxcor": 20},
    )
    return (-float(found.fun), np.asarray(found.x)) if np.isfinite(found.fun) else None


def _distinct(
    target: Target, ends: list[tuple[float, FloatArray]], least: float
) -> tuple[Mode, ...]:
    """Count ends, highest first, that are one maximum: nearer than half a width, and as high."""
    modes: list[Mode] = []
    for height, z in ends:
        most = height + _SHORT + 0.5 * z.size * np.log(_WIDEST)
        if modes and most < max(map(_log_weight, modes)) + np.log(least):
            break  # however broad it is, it has too little of the posterior, as have all below it
        for place, mode in enumerate(modes):
            off = z - mode.z
            near = off @ np.linalg.solve(mode.covariance, off) < 0.25 * z.size
            # A climb that ended early lies lower by what its distance says.
            if near or _same_hill(target, mode, z, height):
                modes[place] = Mode(mode.z, mode.log_density, mode.covariance, mode.n_found + 1,
                                    mode.repaired)  # fmt: skip
                break
        else:
            modes.append(_summit(target, z, height))
    return tuple(sorted(modes, key=lambda mode: -mode.log_density))


def _summit(target: Target, z: FloatArray, height: float) -> Mode:
    """Go the rest of the way by the curvature, which knows the scales that a climb has to learn."""
    function = compiled_value(target.log_density)
    covariance, repaired = covariance_at(target, z)
    for _ in range(_POLISH):
        slope = np.asarray(function(as_place(z), target.data)[1], np.float64)
        step = covariance @ slope
        reached = float(function(as_place(z + step), target.data)[0])
        if not reached > height:
            break
        z, height = z + step, reached
        covariance, repaired = covariance_at(target, z)
    return Mode(z, height, covariance, 1, repaired)


def _same_hill(target: Target, mode: Mode, z: FloatArray, height: float) -> bool:
    """Say whether the way from a maximum to a place leads down only."""
    function = compiled_value(target.log_density)
    shares = np.linspace(0.0, 1.0, 8)[1:-1]
    way = [float(function(as_place(mode.z + s * (z - mode.z)), target.data)[0]) for s in shares]
    return bool(np.all(np.asarray(way) >= height - 0.05))


def covariance_at(target: Target, z: FloatArray) -> tuple[FloatArray, bool]:
    """Give the inverse of the curvature at a place, and whether it had to be repaired.

    Where the density does not curve down, the width of a prior takes the place of the curvature's.

    Parameters
    ----------
    target : Target
    z : array, shape (n,)

    Returns
    -------
    (ndarray, shape (n, n); bool)
    """
    steps = np.full(z.size, _STEP)
    for _ in range(2):  # the first time says how wide the posterior is along each axis
        curvature = _curvature(target, z, steps)
        narrow = np.sqrt(np.maximum(np.diag(curvature), _WIDEST**-1))
        steps = np.clip(_SHARE / np.where(np.isfinite(narrow), narrow, np.inf), *_STEPS)
    if not np.isfinite(curvature).all():
        return _WIDEST * np.eye(z.size), True
    values, axes = np.linalg.eigh(0.5 * (curvature + curvature.T))
    poor = values < 1.0 / _WIDEST
    widths = 1.0 / np.where(poor, 1.0 / _WIDEST, values)
    return np.asarray((axes * widths) @ axes.T), bool(np.any(values <= 0.0))


def _curvature(target: Target, z: FloatArray, steps: FloatArray) -> FloatArray:
    """Give minus the second derivatives of ln of the density, from differences of the first.

    To differentiate the compiled gradient again takes minutes to compile for a scene of a hundred
    planes of velocity; the gradient itself is there already.
    """
    function = compiled_value(target.log_density)
    rows = []
    for along in np.diag(steps):
        high, low = (function(as_place(z + sign * along), target.data)[1] for sign in (1, -1))
        rows.append(np.asarray(low, np.float64) - np.asarray(high, np.float64))
    return np.array(rows) / (2.0 * steps[:, None])


def shares(modes: Sequence[Mode]) -> FloatArray:
    """Say how much of the posterior lies around each maximum, by Laplace's approximation.

    Each counts as a Gaussian of its height and curvature: the share goes as the density there times
    the root of the determinant of the covariance. A factor of a few off where a maximum is skew,
    or its curvature was repaired.

    Parameters
    ----------
    modes : sequence of Mode

    Returns
    -------
    ndarray, shape (n_mode,)
        Their sum is 1.
    """
    found: FloatArray = special.softmax([_log_weight(mode) for mode in modes])
    return found


def _log_weight(mode: Mode) -> float:
    return mode.log_density + 0.5 * float(np.linalg.slogdet(mode.covariance)[1])


def places_of_chains(modes: Sequence[Mode], n_chain: int) -> tuple[int, ...]:
    """Say at which maximum each chain starts.

    In turn at those that have at least `MATTERS` of the posterior, from the one that has most.

    Parameters
    ----------
    modes : sequence of Mode
    n_chain : int

    Returns
    -------
    tuple of int
        For each chain the number of its mode.
    """
    found = shares(modes)
    chosen = [int(i) for i in np.argsort(-found, kind="stable") if found[i] >= MATTERS]
    return tuple(chosen[number % len(chosen)] for number in range(n_chain))


def starts_from(
    target: Target, modes: tuple[Mode, ...], n_chain: int, seed: int, inflation: float = 2.0
) -> Starts:
    """Give starts of chains: around the modes that matter, farther out than these are wide.

    Parameters
    ----------
    target : Target
    modes : tuple of Mode
    n_chain : int
    seed : int
    inflation : float
        By how much wider than the curvature says. Where the density has no value so far out, a
        start comes nearer by half, again and again.

    Raises
    ------
    ArdError
        If there is no value near a mode.
    """
    function = compiled_value(target.log_density)
    rng = np.random.default_rng(seed)
    places = []
    numbers = places_of_chains(modes, n_chain)
    for mode in (modes[number] for number in numbers):
        step = inflation * (np.linalg.cholesky(mode.covariance) @ rng.normal(size=mode.z.size))
        for _ in range(_TRIES):
            place = np.clip(mode.z + step, -_BOUND, _BOUND)
            value, slope = function(as_place(place), target.data)
            if np.isfinite(value) and np.isfinite(np.asarray(slope)).all():
                break
            step = 0.5 * step
        else:
            raise ArdError(
                "there is no start of a chain near a mode",
                expected="a finite log density with finite derivatives",
                found=f"none at {target.constrain(mode.z)}",
                action="narrow the prior to where the model can be computed",
            )
        places.append(place)
    # Of the first mode: chains in others learn theirs while they warm up.
    return Starts(np.array(places), modes[numbers[0]].covariance)
