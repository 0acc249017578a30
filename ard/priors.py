"""What is known of a parameter beforehand, in a form that a file can hold and anybody can evaluate?

A prior is a family with its parameters, cut off at bounds: ``{"family": "normal", "mean": 0.0,
"sigma": 100.0, "low": -500.0, "high": 500.0}``. Densities are normalised within the bounds. These
are the descriptions that the files of chains hold.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError, FormatError

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_ROOT_TWO = math.sqrt(2.0)


class Prior(Protocol):
    """What reweighting asks of a prior."""

    @property
    def low(self) -> float:
        """Smallest value that it allows."""

    @property
    def high(self) -> float:
        """Largest value that it allows."""

    def log_density(self, value: FloatArray) -> FloatArray:
        """Give the log of the density at each value; minus infinity outside of the bounds."""

    def probability(self, low: float, high: float) -> float:
        """Give the probability between two values."""


@dataclass(frozen=True)
class Uniform:
    """The same density everywhere between two bounds.

    Attributes
    ----------
    low, high : float
        The bounds, in the unit of the parameter.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _need(math.isfinite(self.low) and math.isfinite(self.high), "finite bounds", self)
        _need(self.low < self.high, "low < high", self)

    def log_density(self, value: FloatArray) -> FloatArray:
        """Give the log of the density at each value; minus infinity outside of the bounds."""
        value = np.asarray(value, np.float64)
        return _within(self, value, np.full(value.shape, -math.log(self.high - self.low)))

    def probability(self, low: float, high: float) -> float:
        """Give the probability between two values."""
        part = min(high, self.high) - max(low, self.low)
        return max(part, 0.0) / (self.high - self.low)


@dataclass(frozen=True)
class Normal:
    """A normal distribution, cut off at bounds where there are any.

    Attributes
    ----------
    mean, sigma : float
        Mean and standard deviation before the cut, in the unit of the parameter.
    low, high : float
        The bounds.
    """

    mean: float
    sigma: float
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        _need(
            math.isfinite(self.mean) and 0 < self.sigma < math.inf, "a finite mean, sigma > 0", self
        )
        _need(self.low < self.high, "low < high", self)
        _need(self._uncut(self.low, self.high) > 0, "some probability within the bounds", self)

    def log_density(self, value: FloatArray) -> FloatArray:
        """Give the log of the density at each value; minus infinity outside of the bounds."""
        scaled = (np.asarray(value, np.float64) - self.mean) / self.sigma
        norm = _HALF_LOG_TWO_PI + math.log(self.sigma) + math.log(self._uncut(self.low, self.high))
        return _within(self, value, -0.5 * scaled * scaled - norm)

    def probability(self, low: float, high: float) -> float:
        """Give the probability between two values."""
        low, high = max(low, self.low), min(high, self.high)
        return max(self._uncut(low, high), 0.0) / self._uncut(self.low, self.high)

    def _uncut(self, low: float, high: float) -> float:
        # On the side of the mean where the two are small, so that tails are not lost in rounding.
        low, high = ((end - self.mean) / self.sigma for end in (low, high))
        if low > 0:
            low, high = -high, -low
        return 0.5 * (math.erfc(-high / _ROOT_TWO) - math.erfc(-low / _ROOT_TWO))


@dataclass(frozen=True)
class HalfNormal:
    """The upper half of a normal distribution around zero.

    Attributes
    ----------
    sigma : float
        Standard deviation of the whole, in the unit of the parameter.
    """

    sigma: float

    def __post_init__(self) -> None:
        _need(0 < self.sigma < math.inf, "sigma > 0", self)

    @property
    def _half(self) -> Normal:
        return Normal(0.0, self.sigma, 0.0)

    @property
    def low(self) -> float:
        """Smallest value that it allows: 0."""
        return 0.0

    @property
    def high(self) -> float:
        """Largest value that it allows: none."""
        return math.inf

    def log_density(self, value: FloatArray) -> FloatArray:
        """Give the log of the density at each value; minus infinity outside of the bounds."""
        return self._half.log_density(value)

    def probability(self, low: float, high: float) -> float:
        """Give the probability between two values."""
        return self._half.probability(low, high)


@dataclass(frozen=True)
class LogUniform:
    """A parameter whose logarithm has the same density everywhere between two bounds.

    Attributes
    ----------
    low, high : float
        The bounds of the parameter itself, above 0.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _need(0 < self.low < self.high < math.inf, "finite 0 < low < high", self)

    @property
    def _of_log(self) -> Uniform:
        return Uniform(math.log(self.low), math.log(self.high))

    def log_density(self, value: FloatArray) -> FloatArray:
        """Give the log of the density at each value; minus infinity outside of the bounds."""
        return _within(self, value, _density_of_log(self._of_log, value))

    def probability(self, low: float, high: float) -> float:
        """Give the probability between two values."""
        return self._of_log.probability(_log(low), _log(high))


@dataclass(frozen=True)
class LogNormal:
    """A parameter whose natural logarithm is normal, cut off at bounds where there are any.

    Attributes
    ----------
    median : float
        Median before the cut, in the unit of the parameter.
    sigma : float
        Standard deviation of the natural logarithm, before the cut.
    low, high : float
        The bounds of the parameter itself.
    """

    median: float
    sigma: float
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        _need(0 < self.median < math.inf and 0 < self.sigma < math.inf, "median, sigma > 0", self)
        _need(0 <= self.low < self.high, "0 <= low < high", self)
        _need(self._of_log.probability(-math.inf, math.inf) > 0, "probability in bounds", self)

    @property
    def _of_log(self) -> Normal:
        return Normal(math.log(self.median), self.sigma, _log(self.low), _log(self.high))

    def log_density(self, value: FloatArray) -> FloatArray:
        """Give the log of the density at each value; minus infinity outside of the bounds."""
        return _within(self, value, _density_of_log(self._of_log, value))

    def probability(self, low: float, high: float) -> float:
        """Give the probability between two values."""
        return self._of_log.probability(_log(low), _log(high))


@dataclass(frozen=True)
class Isotropic:
    """An inclination in degrees, where all directions in space are as probable.

    Attributes
    ----------
    low, high : float
        The bounds, between 0 and 180 degrees.
    """

    low: float = 0.0
    high: float = 90.0

    def __post_init__(self) -> None:
        _need(0 <= self.low < self.high <= 180, "0 <= low < high <= 180", self)

    def log_density(self, value: FloatArray) -> FloatArray:
        """Give the log of the density at each value; minus infinity outside of the bounds."""
        sine = np.sin(np.deg2rad(np.asarray(value, np.float64)))
        density = np.log(sine, out=np.full(sine.shape, -np.inf), where=sine > 0)
        norm = math.log(math.degrees(self._share(self.low, self.high)))
        return _within(self, value, density - norm)

    def probability(self, low: float, high: float) -> float:
        """Give the probability between two values."""
        low, high = max(low, self.low), min(high, self.high)
        return max(self._share(low, high), 0.0) / self._share(self.low, self.high)

    @staticmethod
    def _share(low: float, high: float) -> float:
        return math.cos(math.radians(low)) - math.cos(math.radians(high))


_FAMILIES: Mapping[str, type[Prior]] = {
    "uniform": Uniform,
    "log_uniform": LogUniform,
    "normal": Normal,
    "half_normal": HalfNormal,
    "log_normal": LogNormal,
    "isotropic": Isotropic,
}
# What files say beside the prior itself.
_BESIDE = ("unit", "support", "source", "transform")


def prior_from(description: Mapping[str, Any]) -> Prior:
    """Make a prior from its description in a file.

    Parameters
    ----------
    description : mapping
        ``family`` (uniform, log_uniform, normal, half_normal, log_normal or isotropic) and the
        attributes of that class; a bound that is None is none. ``unit``, ``support``, ``source``
        and ``transform``, which files of chains give as well, are left aside.

    Raises
    ------
    FormatError
        If the family is not known, or the parameters are not those of the family.
    """
    told = {key: value for key, value in description.items() if key not in _BESIDE}
    known = {key: value for key, value in told.items() if value is not None}
    family = str(known.pop("family", ""))
    if family not in _FAMILIES:
        raise FormatError(
            "a prior is of a family that is not known",
            expected=", ".join(_FAMILIES),
            found=family or "no family",
            action="give its log density as a function",
        )
    try:
        return _FAMILIES[family](**{key: float(value) for key, value in known.items()})
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"the description of a {family} prior is not one",
            expected=f"the parameters of ard.priors.{_FAMILIES[family].__name__}",
            found=f"{dict(known)}: {error}",
            action="correct the description",
        ) from error


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _density_of_log(of_log: Prior, value: FloatArray) -> FloatArray:
    """Turn the density of a logarithm into that of the value."""
    value = np.asarray(value, np.float64)
    log_value = np.log(value, out=np.full(value.shape, np.nan), where=value > 0)
    density: FloatArray = of_log.log_density(log_value) - log_value
    return np.where(value > 0, density, -np.inf)


def _within(prior: Prior, value: FloatArray, density: FloatArray) -> FloatArray:
    value = np.asarray(value, np.float64)  # lists, too
    inside = (value >= prior.low) & (value <= prior.high)
    result: FloatArray = np.where(inside, density, np.where(np.isnan(value), np.nan, -np.inf))
    return result


def _need(condition: bool, expected: str, found: object) -> None:
    if not condition:
        problem, action = "this is no prior", "correct its parameters"
        raise ArdError(problem, expected=expected, found=found, action=action)
