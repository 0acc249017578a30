"""How much of a normal distribution lies above zero, however far out, and where is its mean there?

One variable or two, on numpy arrays and on those of any library of the array-API standard.
A probability of exp(-5000) has as many digits as one of a half, and so has its derivative: every
integrand is positive, and the complement is taken only where it is the smaller part.

The building block is an integral over the distance s from the border,

    m_k(c) = int_0^inf s^k exp(-c s - s^2 / 2) ds,   m_0 = Mills ratio.
"""

import math
from typing import Any, Final

import numpy as np

from ard.likelihood.arrays import namespace

_LOG_SQRT_2PI: Final = 0.5 * math.log(2.0 * math.pi)
_SQRT_2PI: Final = math.sqrt(2.0 * math.pi)
# The integrals end where the exponent is this: what is left out is below 1e-16 even of m_3.
_CUT: Final = 45.0
# Beyond, squares leave single precision; nobody can tell m_k(1e15) from its limit.
_FARTHEST: Final = 1e15


def _rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Give nodes and weights of the Gauss-Legendre rule on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _graded_rule(count: int, panels: int) -> tuple[np.ndarray, np.ndarray]:
    """Give a rule on (0, 1) of panels that halve towards 0, where the integrand is steep."""
    nodes, weights = _rule(count)
    ends = np.concatenate([[0.0], 2.0 ** np.arange(-panels + 1.0, 1.0)])
    lengths = np.diff(ends)
    points = ends[:-1, None] + lengths[:, None] * nodes
    return points.ravel(), (lengths[:, None] * weights).ravel()


_NODES, _WEIGHTS = _rule(40)
# 2^-44 resolves the border of a pair of amplitudes with 10^6 standard deviations each.
_GRADED_NODES, _GRADED_WEIGHTS = _graded_rule(20, 45)


def _integrals(xp: Any, c: Any) -> tuple[Any, Any, Any, Any]:
    """Give m_0 to m_3 for c >= 0: every term is positive, the interval shrinks as c grows."""
    c = xp.where(c < _FARTHEST, c, _FARTHEST)
    length = 2.0 * _CUT / (c + xp.sqrt(c * c + 2.0 * _CUT))
    nodes = xp.asarray(_NODES, dtype=c.dtype)
    step = length[..., None] * nodes
    weighted = xp.asarray(_WEIGHTS, dtype=c.dtype) * xp.exp(-step * (c[..., None] + 0.5 * step))
    moments = []
    for _ in range(4):
        moments.append(length * xp.sum(weighted, axis=-1))
        weighted = weighted * step
    return moments[0], moments[1], moments[2], moments[3]


def _array(xp: Any, value: Any) -> Any:
    return 1.0 * xp.asarray(value)  # whole numbers become floating, single precision stays


def _positive_part(xp: Any, value: Any) -> Any:
    # Not abs(): its derivative at 0 would be 0, where that of the result is not.
    return xp.where(value < 0.0, -value, value)


def log_ndtr(x: Any) -> Any:
    """How probable is a standard normal variable below x, as a natural logarithm?

    Parameters
    ----------
    x : array or number

    Returns
    -------
    array
        ln Phi(x), with a relative error below 1e-12 in double precision for every x: below zero
        -x^2/2 - ln sqrt(2 pi) + ln m_0(-x), above ln(1 - Phi(-x)).
    """
    xp = namespace(x)
    x = _array(xp, x)
    z = _positive_part(xp, x)
    ratio = _integrals(xp, z)[0]
    exponent = -0.5 * z * z - _LOG_SQRT_2PI
    above = xp.log1p(-xp.exp(xp.where(x < 0.0, -1.0, exponent)) * xp.where(x < 0.0, 0.5, ratio))
    return xp.where(x < 0.0, exponent + xp.log(ratio), above)


def truncated(h: Any) -> tuple[Any, Any, Any]:
    """How much of N(h, 1) lies above zero, and what are mean and variance there?

    Parameters
    ----------
    h : array or number
        Mean before truncation, in standard deviations.

    Returns
    -------
    log_probability, mean, variance : array
        Of the part above zero, in the same unit as `h`.
    """
    xp = namespace(h)
    h = _array(xp, h)
    z = _positive_part(xp, h)
    m0, m1, m2, _ = _integrals(xp, z)
    log_probability = log_ndtr(h)
    # The distribution below h = 0 is exp(-z t - t^2/2); above, the usual formula does not cancel.
    pull = xp.exp(-0.5 * z * z - _LOG_SQRT_2PI - log_probability)
    pull = xp.where(h < 0.0, 0.0, pull)
    mean = xp.where(h < 0.0, m1 / m0, h + pull)
    variance = xp.where(h < 0.0, m2 / m0 - (m1 / m0) ** 2, 1.0 - pull * (h + pull))
    return log_probability, mean, variance


def truncated_pair(h: Any, k: Any, rho: Any) -> tuple[Any, tuple[Any, Any], tuple[Any, Any, Any]]:
    """How much of a bivariate normal lies where both variables are positive, and how is it there?

    Parameters
    ----------
    h, k : scalar array or number
        Means before truncation, in standard deviations.
    rho : scalar array or number
        Correlation before truncation, in (-1, 1).

    Returns
    -------
    log_probability : scalar
    mean : tuple of two scalars
    covariance : tuple of three scalars
        Of the first, of the second, and between both.

    Notes
    -----
    Turned to independent variables, the quadrant is a wedge. Polar coordinates about its corner
    leave an integral over the angle of exp(-q^2/2) m_1(c), with q the distance of the mean from
    the corner and c its component against the direction; moments have m_2 and m_3. Where the
    mean is so far inside the quadrant that Phi(-h) + Phi(-k) < 1/2, the complement, which is the
    smaller part, is computed: 1 - Phi(-h) - Phi(-k) + Phi2(-h, -k), and the moments are those of
    Tallis (1961, J. R. Stat. Soc. B 23, 223).
    """
    xp = namespace(h, k, rho)
    h, k, rho = (_array(xp, value) for value in (h, k, rho))
    beyond = xp.exp(log_ndtr(-h)) + xp.exp(log_ndtr(-k))
    inside = beyond < 0.5
    outer = _wedge(xp, xp.where(inside, -h, h), xp.where(inside, -k, k), rho)
    log_inside = xp.log1p(-xp.where(inside, beyond - xp.exp(outer[0]), 0.0))
    log_probability = xp.where(inside, log_inside, outer[0])
    inner = _inner_moments(xp, h, k, rho, log_probability)
    chosen = [xp.where(inside, a, b) for a, b in zip(inner, outer[1:], strict=True)]
    return log_probability, (chosen[0], chosen[1]), (chosen[2], chosen[3], chosen[4])


def _wedge(xp: Any, h: Any, k: Any, rho: Any) -> tuple[Any, ...]:
    """Give log probability and moments where the mean is not far inside the quadrant.

    The integrand is steep at the two borders only, so each half of the wedge is integrated from
    its own border inwards.
    """
    root = xp.sqrt((1.0 - rho) * (1.0 + rho))
    opening = xp.atan2(root, -rho)
    nodes = xp.asarray(_GRADED_NODES, dtype=h.dtype)
    angle = 0.5 * opening * xp.concat([nodes, nodes])
    near, far = xp.sin(angle), xp.sin(opening - angle)
    half = nodes.shape[0]
    first = xp.arange(2 * half) < half
    edge = xp.where(first, (rho * h - k) / root, (rho * k - h) / root)
    distance = xp.where(first, h, k)
    weights = xp.asarray(np.tile(_GRADED_WEIGHTS, 2), dtype=h.dtype) * (0.5 * opening)
    c = edge * xp.cos(angle) - distance * near
    d = distance * xp.cos(angle) + edge * near
    level, mass, mean, variance = _radial(xp, c, d)
    log_probability = level + xp.log(xp.sum(weights * mass)) - math.log(2.0 * math.pi)
    share = weights * mass / xp.sum(weights * mass)
    one, two = xp.where(first, near, far), xp.where(first, far, near)
    u, v = xp.sum(share * one * mean), xp.sum(share * two * mean)
    # Scatter within each direction plus scatter between them: sums of squares, no difference.
    du, dv = one * mean - u, two * mean - v
    uu = xp.sum(share * (one * one * variance + du * du))
    vv = xp.sum(share * (two * two * variance + dv * dv))
    uv = xp.sum(share * (one * two * variance + du * dv))
    return log_probability, u, v, uu, vv, uv


def _radial(xp: Any, c: Any, d: Any) -> tuple[Any, Any, Any, Any]:
    """Give L, exp(-(c^2 + d^2)/2 - L) m_1(c), and mean and variance of the radius, for any c."""
    z = _positive_part(xp, c)
    m0, m1, m2, m3 = _integrals(xp, z)
    ahead = c < 0.0
    small, large = -0.5 * (z * z + d * d), -0.5 * d * d
    level = xp.max(xp.where(ahead, large, small))
    corner, ridge = xp.exp(small - level), xp.exp(xp.where(ahead, large, small) - level)
    # For c < 0: m_0 = sqrt(2 pi) exp(c^2/2) - m_0(z), and m_(k+1) = k m_(k-1) + z m_k, all > 0.
    n0 = _SQRT_2PI * ridge - corner * m0
    n1 = corner + z * n0
    mass = xp.where(ahead, n1, corner * m1)
    # The same without the common factor, which may underflow away from the level.
    shrink = xp.exp(-0.5 * z * z)
    g0 = _SQRT_2PI - shrink * m0
    pull = g0 / (shrink + z * g0)
    mean = xp.where(ahead, z + pull, m2 / m1)
    variance = xp.where(ahead, 2.0 - pull * (z + pull), m3 / m1 - (m2 / m1) ** 2)
    return level, mass, mean, variance


def _inner_moments(xp: Any, h: Any, k: Any, rho: Any, log_probability: Any) -> tuple[Any, ...]:
    """Give the moments by Tallis' formulas, which lose little where P is above a half."""
    root = xp.sqrt((1.0 - rho) * (1.0 + rho))

    def weight(one: Any, two: Any) -> Any:
        log_density = -0.5 * one * one - _LOG_SQRT_2PI - log_probability
        return xp.exp(log_density + log_ndtr((two - rho * one) / root))

    a, b = weight(h, k), weight(k, h)
    q2 = h * h + ((rho * h - k) / root) ** 2
    corner = root * xp.exp(-0.5 * q2 - 2.0 * _LOG_SQRT_2PI - log_probability)
    u, v = a + rho * b, rho * a + b
    uu = 1.0 - h * a - rho * rho * k * b + rho * corner
    vv = 1.0 - k * b - rho * rho * h * a + rho * corner
    uv = rho - rho * h * a - rho * k * b + corner
    return h + u, k + v, uu - u * u, vv - v * v, uv - u * v
