"""What is believed of the parameters before the data, and how is that written down?

The description goes with every chain, so that whoever has the draws can weigh them by another
prior: for that the prior is given for each parameter apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError
from ard.likelihood.arrays import namespace
from pipeline.infer import families
from pipeline.infer.families import Family

# What a description says beside family and numbers: it follows from them, or is for people.
_BESIDE: Final = ("unit", "source", "support", "transform")


@dataclass(frozen=True)
class Parameter:
    """One parameter that is inferred.

    Attributes
    ----------
    name, unit : str
    family : Family
        Its prior, in that unit.
    source : str
        Where the prior comes from.
    """

    name: str
    unit: str
    family: Family
    source: str = ""


@dataclass(frozen=True)
class Prior:
    """Independent parameters.

    Attributes
    ----------
    parameters : tuple of Parameter
        In the order of the last axis of all arrays here.

    Raises
    ------
    ArdError
        If there is none, or two have one name.
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        if not self.parameters or len(set(self.names)) != len(self.parameters):
            raise ArdError(
                "the parameters of a prior cannot be told apart",
                expected="one parameter or more, each with a name of its own",
                found=", ".join(self.names) or "none",
                action="correct the prior",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    def constrain(self, z: Any) -> Any:
        """Give the parameters at places on the unbounded scale, both of shape (..., n)."""
        return _stacked(z, [f.constrain(z[..., i]) for i, f in self._families()])

    def unconstrain(self, values: Any) -> Any:
        """Give the places on the unbounded scale of parameters, both of shape (..., n).

        A value at a bound of its prior is infinitely far away.
        """
        return _stacked(values, [f.unconstrain(values[..., i]) for i, f in self._families()])

    def log_prior(self, values: Any) -> Any:
        """Give ln of each parameter's prior density, in its own unit.

        Parameters
        ----------
        values : array, shape (..., n)

        Returns
        -------
        array, shape (..., n)
            Minus infinity outside of the support.
        """
        return _stacked(values, [f.log_prior(values[..., i]) for i, f in self._families()])

    def log_jacobian(self, z: Any) -> Any:
        """Give ln |d value / d z| of each parameter, shape (..., n)."""
        return _stacked(z, [f.log_jacobian(z[..., i]) for i, f in self._families()])

    def log_density(self, z: Any) -> Any:
        """Give ln of the prior density on the unbounded scale, shape (...,).

        Its integral over z is 1.
        """
        values = self.constrain(z)
        own = [f.log_pdf(values[..., i]) + f.log_jacobian(z[..., i]) for i, f in self._families()]
        return namespace(z).sum(_stacked(z, own), axis=-1)

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw parameters, shape (count, n)."""
        return np.stack([f.sample(rng, count) for _, f in self._families()], axis=-1)

    def named(self, values: Any) -> dict[str, Any]:
        """Give the parameters, shape (..., n), by name."""
        return {name: values[..., i] for i, name in enumerate(self.names)}

    def describe(self) -> dict[str, Any]:
        """Give the prior as JSON has it; `prior_from` makes it again.

        Each parameter has its family, numbers and bounds, unit, source, and the transform on whose
        scale it is sampled (`pipeline.infer.families.Family.transform`).
        """
        return {p.name: _described(p) for p in self.parameters}

    def _families(self) -> list[tuple[int, Family]]:
        return [(i, parameter.family) for i, parameter in enumerate(self.parameters)]


def prior_from(description: Mapping[str, Mapping[str, Any]]) -> Prior:
    """Make the prior that `Prior.describe` described.

    Raises
    ------
    ArdError
        If a family is unknown or a number is missing.
    """
    found: list[Parameter] = []
    for name, row in description.items():
        numbers = {k: v for k, v in row.items() if k not in _BESIDE}
        family = families.make(numbers)
        found.append(Parameter(name, str(row.get("unit", "")), family, str(row.get("source", ""))))
    return Prior(tuple(found))


def _described(parameter: Parameter) -> dict[str, Any]:
    bounds = [b if math.isfinite(b) else None for b in parameter.family.support]
    row = {"unit": parameter.unit, "support": bounds, "source": parameter.source}
    return {**families.describe(parameter.family), **row, "transform": parameter.family.transform}


def _stacked(like: Any, columns: Sequence[Any]) -> Any:
    return namespace(like).stack(columns, axis=-1)
