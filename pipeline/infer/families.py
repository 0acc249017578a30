"""How is one parameter distributed before the data, and on which unbounded scale is it sampled?

Every family gives its density, its draws, and a smooth map from the real line onto its support:
samplers move on the line, where no step leaves the prior. Functions take arrays of numpy or of
JAX; what depends on the hyperparameters alone is computed once, in float64.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

import numpy as np
from scipy import special

from ard.cube import FloatArray
from ard.errors import ArdError
from ard.likelihood.arrays import namespace

_HALF_LOG_2PI: Final = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Family(ABC):
    """A distribution of one parameter."""

    name: ClassVar[str]

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return -math.inf, math.inf

    @property
    def scale(self) -> tuple[float, float]:
        """Where the values are, and how far apart, in the unit of the parameter."""
        return 0.0, 1.0

    @abstractmethod
    def log_pdf(self, value: Any) -> Any:
        """Natural logarithm of the normalised density, at values within the support."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw independent values, shape (count,)."""

    def log_prior(self, value: Any) -> Any:
        """Give the same, and minus infinity outside of the support and for NaN."""
        xp = namespace(value)
        low, high = self.support
        within = (value >= low) & (value <= high)
        inside = self._inside()
        return xp.where(within, self.log_pdf(xp.where(within, value, inside)), -math.inf)

    def constrain(self, z: Any) -> Any:
        """Map the real line onto the support; ascending."""
        low, high = self.support
        centre, width = self.scale
        xp = namespace(z)
        if math.isfinite(low) and math.isfinite(high):
            return low + (high - low) * _sigmoid(xp, z)
        if math.isfinite(low):
            return low + width * xp.exp(z)
        if math.isfinite(high):
            return high - width * xp.exp(-z)
        return centre + width * z

    def unconstrain(self, value: Any) -> Any:
        """Map the support onto the real line: the inverse of `constrain`."""
        low, high = self.support
        centre, width = self.scale
        xp = namespace(value)
        if math.isfinite(low) and math.isfinite(high):
            return xp.log(value - low) - xp.log(high - value)
        if math.isfinite(low):
            return xp.log((value - low) / width)
        if math.isfinite(high):
            return -xp.log((high - value) / width)
        return (value - centre) / width

    def log_jacobian(self, z: Any) -> Any:
        """Natural logarithm of the derivative of `constrain`."""
        low, high = self.support
        _, width = self.scale
        xp = namespace(z)
        if math.isfinite(low) and math.isfinite(high):
            zero = xp.zeros_like(z)
            return math.log(high - low) - xp.logaddexp(zero, -z) - xp.logaddexp(zero, z)
        if math.isfinite(low):
            return math.log(width) + z
        if math.isfinite(high):
            return math.log(width) - z
        return math.log(width) + xp.zeros_like(z)

    @property
    def transform(self) -> dict[str, Any]:
        """Say by which map `constrain` leads from the line to the support, as JSON has it.

        ``affine``: value = shift + scale z. ``logit``: value = low + (high - low) / (1 + exp(-z)).
        ``log``: value = low + scale exp(z). ``log_below``: value = high - scale exp(-z).
        ``log_scaled``: value = scale exp(power z). ``logit_log``: ln value = ln low
        + ln(high / low) / (1 + exp(-z)).
        """
        low, high = self.support
        centre, width = self.scale
        if math.isfinite(low) and math.isfinite(high):
            return {"map": "logit", "low": low, "high": high}
        if math.isfinite(low):
            return {"map": "log", "low": low, "scale": width}
        if math.isfinite(high):
            return {"map": "log_below", "high": high, "scale": width}
        return {"map": "affine", "shift": centre, "scale": width}

    def _inside(self) -> float:
        return float(self.constrain(np.zeros(())))


@dataclass(frozen=True)
class Uniform(Family):
    """All values between two are as probable."""

    low: float
    high: float
    name: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        _require(self, -math.inf < self.low < self.high < math.inf, "finite low < high")

    @property
    def support(self) -> tuple[float, float]:
        """Give the bounds."""
        return self.low, self.high

    def log_pdf(self, value: Any) -> Any:
        """Give the logarithm of the density."""
        return namespace(value).zeros_like(value) - math.log(self.high - self.low)

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw values."""
        return rng.uniform(self.low, self.high, count)


@dataclass(frozen=True)
class LogUniform(Family):
    """All decades between two values above 0 are as probable."""

    low: float
    high: float
    name: ClassVar[str] = "log_uniform"

    def __post_init__(self) -> None:
        _require(self, 0.0 < self.low < self.high < math.inf, "finite 0 < low < high")

    @property
    def support(self) -> tuple[float, float]:
        """Give the bounds."""
        return self.low, self.high

    def log_pdf(self, value: Any) -> Any:
        """Give the logarithm of the density."""
        norm = math.log(math.log(self.high / self.low))
        return -namespace(value).log(value) - norm

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw values."""
        return np.exp(rng.uniform(math.log(self.low), math.log(self.high), count))

    def constrain(self, z: Any) -> Any:
        """Map the line onto the support, evenly in the logarithm."""
        xp = namespace(z)
        return self.low * xp.exp(math.log(self.high / self.low) * _sigmoid(xp, z))

    def unconstrain(self, value: Any) -> Any:
        """Map the support onto the line."""
        xp = namespace(value)
        return xp.log(xp.log(value / self.low)) - xp.log(xp.log(self.high / value))

    def log_jacobian(self, z: Any) -> Any:
        """Give the logarithm of the derivative of `constrain`."""
        xp, zero = namespace(z), namespace(z).zeros_like(z)
        inner = -xp.logaddexp(zero, -z) - xp.logaddexp(zero, z)
        return xp.log(self.constrain(z)) + math.log(math.log(self.high / self.low)) + inner

    @property
    def transform(self) -> dict[str, Any]:
        """Say by which map `constrain` leads from the line to the support."""
        return {"map": "logit_log", "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Normal(Family):
    """A Gaussian, cut at bounds where they are given and normalised anew."""

    mean: float
    sigma: float
    low: float = -math.inf
    high: float = math.inf
    name: ClassVar[str] = "normal"

    def __post_init__(self) -> None:
        proper = math.isfinite(self.mean) and 0.0 < self.sigma < math.inf and self.low < self.high
        _require(self, proper and math.isfinite(self._log_mass), "a finite mean, 0 < sigma, "
                 "bounds that leave some of the probability")  # fmt: skip

    @property
    def support(self) -> tuple[float, float]:
        """Give the bounds."""
        return self.low, self.high

    @property
    def scale(self) -> tuple[float, float]:
        """Give mean and standard deviation."""
        return self.mean, self.sigma

    @property
    def _heights(self) -> tuple[float, float]:
        low, high = (self.low - self.mean) / self.sigma, (self.high - self.mean) / self.sigma
        return (low, high) if low + high <= 0.0 else (-high, -low)

    @property
    def _log_mass(self) -> float:
        # Of the lower tail, after reflection where the upper one is meant: digits are kept there.
        low, high = self._heights
        outer, inner = float(special.log_ndtr(low)), float(special.log_ndtr(high))
        return inner + math.log1p(-math.exp(outer - inner)) if inner > outer else -math.inf

    def log_pdf(self, value: Any) -> Any:
        """Give the logarithm of the density."""
        height = (value - self.mean) / self.sigma
        return -0.5 * height**2 - (_HALF_LOG_2PI + math.log(self.sigma) + self._log_mass)

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw values, by the inverse of the distribution function."""
        low, high = self._heights
        outer = float(special.ndtr(low))
        inside = outer + rng.uniform(size=count) * (float(special.ndtr(high)) - outer)
        height = np.clip(special.ndtri(inside), low, high)
        mirrored = low != (self.low - self.mean) / self.sigma
        return np.asarray(self.mean + self.sigma * (-height if mirrored else height))


@dataclass(frozen=True)
class HalfNormal(Family):
    """The upper half of a Gaussian around zero."""

    sigma: float
    name: ClassVar[str] = "half_normal"

    def __post_init__(self) -> None:
        _require(self, 0.0 < self.sigma < math.inf, "0 < sigma")

    @property
    def support(self) -> tuple[float, float]:
        """Give the bounds."""
        return 0.0, math.inf

    @property
    def scale(self) -> tuple[float, float]:
        """Give zero and sigma."""
        return 0.0, self.sigma

    def log_pdf(self, value: Any) -> Any:
        """Give the logarithm of the density."""
        norm = _HALF_LOG_2PI + math.log(0.5 * self.sigma)
        return -0.5 * (value / self.sigma) ** 2 - norm

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw values."""
        return np.asarray(np.abs(rng.normal(0.0, self.sigma, count)))


@dataclass(frozen=True)
class LogNormal(Family):
    """The logarithm is a Gaussian around that of the median."""

    median: float
    sigma: float
    name: ClassVar[str] = "log_normal"

    def __post_init__(self) -> None:
        proper = 0.0 < self.median < math.inf and 0.0 < self.sigma < math.inf
        _require(self, proper, "0 < median, 0 < sigma")

    @property
    def support(self) -> tuple[float, float]:
        """Give the bounds."""
        return 0.0, math.inf

    def log_pdf(self, value: Any) -> Any:
        """Give the logarithm of the density."""
        log = namespace(value).log(value)
        height = (log - math.log(self.median)) / self.sigma
        return -0.5 * height**2 - log - (_HALF_LOG_2PI + math.log(self.sigma))

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw values."""
        return np.asarray(self.median * np.exp(rng.normal(0.0, self.sigma, count)))

    def constrain(self, z: Any) -> Any:
        """Map the line onto the support."""
        return self.median * namespace(z).exp(self.sigma * z)

    def unconstrain(self, value: Any) -> Any:
        """Map the support onto the line."""
        return namespace(value).log(value / self.median) / self.sigma

    def log_jacobian(self, z: Any) -> Any:
        """Give the logarithm of the derivative of `constrain`."""
        return self.sigma * z + math.log(self.sigma * self.median)

    @property
    def transform(self) -> dict[str, Any]:
        """Say by which map `constrain` leads from the line to the support."""
        return {"map": "log_scaled", "scale": self.median, "power": self.sigma}


@dataclass(frozen=True)
class Isotropic(Family):
    """An inclination in degrees, where all directions in space are as probable: p goes as sin."""

    low: float = 0.0
    high: float = 90.0
    name: ClassVar[str] = "isotropic"

    def __post_init__(self) -> None:
        _require(self, 0.0 <= self.low < self.high <= 180.0, "0 <= low < high <= 180")

    @property
    def support(self) -> tuple[float, float]:
        """Give the bounds."""
        return self.low, self.high

    @property
    def _cosines(self) -> tuple[float, float]:
        return math.cos(math.radians(self.low)), math.cos(math.radians(self.high))

    def log_pdf(self, value: Any) -> Any:
        """Give the logarithm of the density."""
        xp = namespace(value)
        first, last = self._cosines
        norm = math.log((first - last) * 180.0 / math.pi)
        # Zero degrees is a place of no probability, and no error.
        sine = xp.sin(value * (math.pi / 180.0))
        return xp.log(xp.where(sine > 0.0, sine, 1.0)) - norm + xp.where(sine > 0.0, 0.0, -math.inf)

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw values."""
        first, last = self._cosines
        return np.degrees(np.arccos(rng.uniform(last, first, count)))


FAMILIES: Final[dict[str, type[Family]]] = {
    kind.name: kind for kind in (Uniform, LogUniform, Normal, HalfNormal, LogNormal, Isotropic)
}


def describe(family: Family) -> dict[str, Any]:
    """Give a family and its hyperparameters as JSON has them; a bound at infinity is left out."""
    numbers = {key: value for key, value in asdict(family).items() if math.isfinite(value)}
    return {"family": family.name, **numbers}


def make(description: dict[str, Any]) -> Family:
    """Make what `describe` described.

    Raises
    ------
    ArdError
        If there is no such family, or it has other hyperparameters.
    """
    numbers = {key: value for key, value in description.items() if key != "family"}
    kind = FAMILIES.get(str(description.get("family")))
    if kind is None:
        raise _unknown(description)
    try:
        return kind(**{key: float(value) for key, value in numbers.items()})
    except (TypeError, ValueError) as error:
        raise _unknown(description) from error


def _unknown(description: dict[str, Any]) -> ArdError:
    return ArdError(
        "this is no distribution of a parameter",
        expected=f"a family ({', '.join(FAMILIES)}) with its numbers",
        found=description,
        action="correct the prior",
    )


def _require(family: Family, proper: bool, expected: str) -> None:
    if not proper:
        raise ArdError(
            f"a prior of the family '{family.name}' is improper",
            expected=expected,
            found=asdict(family),
            action="correct the prior",
        )


def _sigmoid(xp: Any, z: Any) -> Any:
    if xp is np:
        return special.expit(z)
    import jax  # not for those who draw from priors only

    return jax.nn.sigmoid(z)
