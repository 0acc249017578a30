"""What is known of a parameter beforehand, in a form that a file can hold and anybody can evaluate?

A prior is a family with its parameters, cut off at bounds: ``{"family": "normal", "mean": 0.0,
"sd": 100.0, "low": -500.0, "high": 500.0}``. Densities are normalised within the bounds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError, FormatError

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


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
    mean, sd : float
        Mean and standard deviation before the cut, in the unit of the parameter.
    low, high : float
        The bounds.
    """

    mean: float
    sd: float
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        _need(math.isfinite(self.mean) and 0 < self.sd < math.inf, "a finite mean, sd > 0", self)
        _need(self.low < self.high, "low < high", self)
        _need(self._uncut(self.low, self.high) > 0, "some probability within the bounds", self)

    def log_density(self, value: FloatArray) -> FloatArray:
        """Give the log of the density at each value; minus infinity outside of the bounds."""
        scaled = (np.asarray(value, np.float64) - self.mean) / self.sd
        norm = _HALF_LOG_TWO_PI + math.log(self.sd) + math.log(self._uncut(self.low, self.high))
        return _within(self, value, -0.5 * scaled * scaled - norm)

    def probability(self, low: float, high: float) -> float:
        """Give the probability between two values."""
        low, high = max(low, self.low), min(high, self.high)
        return max(self._uncut(low, high), 0.0) / self._uncut(self.low, self.high)

    def _uncut(self, low: float, high: float) -> float:
        # On the side of the mean where the two are small, so that tails are not lost in rounding.
        low, high = ((end - self.mean) / self.sd for end in (low, high))
        if low > 0:
            low, high = -high, -low
        cdf = NormalDist().cdf
        return cdf(high) - cdf(low)


@dataclass(frozen=True)
class LogNormal:
    """A parameter whose natural logarithm is normal, cut off at bounds where there are any.

    Attributes
    ----------
    mean_log, sd_log : float
        Mean and standard deviation of the natural logarithm, before the cut.
    low, high : float
        The bounds of the parameter itself.
    """

    mean_log: float
    sd_log: float
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        _need(self.low >= 0, "low >= 0", self)
        _need(self.low < self.high, "low < high", self)
        _need(self._of_log is not None, "a finite mean_log, sd_log > 0", self)

    @property
    def _of_log(self) -> Normal:
        low = math.log(self.low) if self.low > 0 else -math.inf
        return Normal(self.mean_log, self.sd_log, low, math.log(self.high))

    def log_density(self, value: FloatArray) -> FloatArray:
        """Give the log of the density at each value; minus infinity outside of the bounds."""
        value = np.asarray(value, np.float64)
        log_value = np.log(value, out=np.full(value.shape, np.nan), where=value > 0)
        density = np.where(value > 0, self._of_log.log_density(log_value) - log_value, -np.inf)
        return _within(self, value, density)

    def probability(self, low: float, high: float) -> float:
        """Give the probability between two values."""
        ends = (math.log(end) if end > 0 else -math.inf for end in (low, high))
        return self._of_log.probability(*ends)


_FAMILIES: Mapping[str, type[Uniform | Normal | LogNormal]] = {
    "uniform": Uniform,
    "normal": Normal,
    "lognormal": LogNormal,
}


def prior_from(description: Mapping[str, Any]) -> Prior:
    """Make a prior from its description in a file.

    Parameters
    ----------
    description : mapping
        ``family`` (uniform, normal or lognormal) and the attributes of that class; a bound that is
        None is none.

    Raises
    ------
    FormatError
        If the family is not known, or the parameters are not those of the family.
    """
    known = {key: value for key, value in description.items() if value is not None}
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


def _within(prior: Prior, value: FloatArray, density: FloatArray) -> FloatArray:
    inside = (value >= prior.low) & (value <= prior.high)
    result: FloatArray = np.where(inside, density, np.where(np.isnan(value), np.nan, -np.inf))
    return result


def _need(condition: bool, expected: str, found: object) -> None:
    if not condition:
        problem, action = "this is no prior", "correct its parameters"
        raise ArdError(problem, expected=expected, found=found, action=action)
