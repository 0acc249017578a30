"""Where is the minimum of chi square nearest to a starting point, for many spectra at once?

Damped Gauss-Newton steps (Levenberg-Marquardt) in velocity and variance, within bounds; the
damping follows how well the quadratic model foretold each step.
"""

from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np

from pipeline.lineprofile import BoolArray, FloatArray, IntArray

_FIRST_DAMPING: Final = 1e-3
_MIN_DAMPING: Final = 1e-7
_MAX_DAMPING: Final = 1e10  # steps are then 1e-10 of Gauss-Newton's: nothing left to gain
_ROUNDING: Final = 64 * np.finfo(np.float64).eps
_SINGULAR: Final = 1e-12  # of the product of its diagonal: a determinant that is rounding


@dataclass(frozen=True, eq=False)
class Limits:
    """Where may the parameters go, and when is a minimum reached?

    Attributes
    ----------
    low, high : ndarray, shape (2,)
        Bounds of velocity and variance.
    tolerance : float
        The remaining step, in units of the errors, at which a spectrum has converged.
    max_iterations : int
        Steps, rejected ones included.
    """

    low: FloatArray
    high: FloatArray
    tolerance: float
    max_iterations: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What does each spectrum say at one (velocity, variance)?

    Attributes
    ----------
    chi2 : ndarray, shape (n,)
        Minimum over fluxes and continuum; infinite where no line is on good channels.
    gradient : ndarray, shape (n, 2)
        Downhill direction: -1/2 of the gradient of chi square.
    hessian : ndarray, shape (n, 2, 2)
        Gauss-Newton form of 1/2 of the Hessian.
    """

    chi2: FloatArray
    gradient: FloatArray
    hessian: FloatArray

    def take(self, rows: np.ndarray) -> "Evaluation":
        """Give some of the spectra."""
        return Evaluation(self.chi2[rows], self.gradient[rows], self.hessian[rows])

    def where(self, better: BoolArray, other: "Evaluation") -> "Evaluation":
        """Take `other` where `better` is true."""
        return Evaluation(
            np.where(better, other.chi2, self.chi2),
            np.where(better[:, None], other.gradient, self.gradient),
            np.where(better[:, None, None], other.hessian, self.hessian),
        )


class Spectra(Protocol):
    """n spectra with everything but velocity and variance solved for."""

    def take(self, rows: IntArray) -> Self:
        """Give some of the spectra."""

    def evaluate(self, point: FloatArray) -> Evaluation:
        """Give chi square, gradient and Hessian at (velocity, variance), shape (n, 2)."""


def descend(
    data: Spectra, start: FloatArray, active: IntArray, limits: Limits
) -> tuple[FloatArray, BoolArray]:
    """Walk from the start to the nearest minimum, all active spectra in step.

    Parameters
    ----------
    data : Spectra
        n of them.
    start : ndarray, shape (n, 2)
        Velocity (km/s) and variance ((km/s)^2) of each.
    active : ndarray of int
        The spectra that walk; the others stay.
    limits : Limits
        Bounds and when to stop.

    Returns
    -------
    point : ndarray, shape (n, 2)
    converged : ndarray of bool, shape (n,)
    """
    low, high = limits.low, limits.high
    point, converged = start.copy(), np.zeros(len(start), dtype=bool)
    damping = np.full(active.size, _FIRST_DAMPING)
    state = data.take(active).evaluate(point[active])
    for _ in range(limits.max_iterations):
        # Below a few units of rounding of chi square, better and worse mean nothing.
        near = limits.tolerance**2 + _ROUNDING * state.chi2
        done = _decrement(state, point[active], low, high) < near
        # Where no line has enough light on good channels there is nothing to converge to.
        done &= np.isfinite(state.chi2)
        converged[active[done]] = True
        going = ~done & (damping < _MAX_DAMPING) & np.isfinite(state.chi2)
        active, damping, state = active[going], damping[going], state.take(going)
        if active.size == 0:
            break
        here = point[active]
        trial = _bounded_step(state, here, damping, low, high)
        there = data.take(active).evaluate(trial)
        better = there.chi2 <= state.chi2
        damping = _damp(damping, _gain(state, there, trial - here))
        point[active] = np.where(better[:, None], trial, here)
        state = state.where(better, there)
    return point, converged


def _gain(before: Evaluation, after: Evaluation, step: FloatArray) -> FloatArray:
    """Give the fall of chi square over the fall that the quadratic model promised."""
    promised = 2.0 * (before.gradient * step).sum(axis=1)
    promised -= np.einsum("ni,nij,nj->n", step, before.hessian, step)
    fall = np.where(np.isfinite(after.chi2), before.chi2 - after.chi2, -np.inf)
    return np.divide(fall, promised, out=np.full_like(fall, -1.0), where=promised > 0)


def _damp(damping: FloatArray, gain: FloatArray) -> FloatArray:
    """Trust the quadratic model more where it foretold the fall, less where it promised too much.

    Gauss-Newton misses the curvature of the residuals; in spectra of noise alone that is most of
    it, and without this rule the steps would overshoot for ever.
    """
    factor = np.select([gain > 0.75, gain > 0.25, gain >= 0.0], [0.1, 1.0, 4.0], default=10.0)
    damped: FloatArray = np.maximum(damping * factor, _MIN_DAMPING)
    return damped


def _held(gradient: FloatArray, point: FloatArray, low: FloatArray, high: FloatArray) -> BoolArray:
    """Say which parameters sit on a bound and would leave it, shape (n, 2)."""
    held: BoolArray = ((point <= low) & (gradient < 0)) | ((point >= high) & (gradient > 0))
    return held


def _decrement(
    state: Evaluation, point: FloatArray, low: FloatArray, high: FloatArray
) -> FloatArray:
    """Give the squared length of the remaining Gauss-Newton step, in units of the errors."""
    gradient, hessian = state.gradient, state.hessian
    held = _held(gradient, point, low, high)
    step = _solve(np.where(held, 0.0, gradient), hessian, held)
    length: FloatArray = (gradient * step).sum(axis=1)
    return length


def _solve(gradient: FloatArray, hessian: FloatArray, held: BoolArray) -> FloatArray:
    """Solve the 2 x 2 systems; a held parameter does not move."""
    a, b, c = hessian[:, 0, 0], hessian[:, 0, 1], hessian[:, 1, 1]
    tiny = np.finfo(float).tiny
    b = np.where(held.any(axis=1), 0.0, b)
    # A Hessian that is singular to rounding would send the step anywhere: keep the diagonal.
    determinant = a * c - b * b
    b = np.where(determinant > _SINGULAR * a * c, b, 0.0)
    determinant = np.maximum(a * c - b * b, tiny)
    first = (c * gradient[:, 0] - b * gradient[:, 1]) / determinant
    second = (a * gradient[:, 1] - b * gradient[:, 0]) / determinant
    return np.where(held, 0.0, np.stack([first, second], axis=1))


def _bounded_step(
    state: Evaluation,
    point: FloatArray,
    damping: FloatArray,
    low: FloatArray,
    high: FloatArray,
) -> FloatArray:
    """Take one damped step; a parameter that hits its bound stops there and the other adapts."""
    grow = 1.0 + damping[:, None] * np.ones(2)
    hessian = state.hessian.copy()
    hessian[:, [0, 1], [0, 1]] *= grow
    held = _held(state.gradient, point, low, high)
    step = _solve(np.where(held, 0.0, state.gradient), hessian, held)
    clipped = np.clip(point + step, low, high) - point
    stopped = (clipped != step) & ~held
    cross = hessian[:, 0, 1]
    for one, other in ((0, 1), (1, 0)):
        diagonal = np.maximum(hessian[:, one, one], np.finfo(float).tiny)
        alone = (state.gradient[:, one] - cross * clipped[:, other]) / diagonal
        adapt = stopped[:, other] & ~stopped[:, one] & ~held[:, one]
        clipped[:, one] = np.where(adapt, alone, clipped[:, one])
    moved: FloatArray = np.clip(point + clipped, low, high)
    return moved
