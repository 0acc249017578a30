"""Which galaxies does a campaign exclude, and on how many models does that rest?"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ard.cube import BoolArray, FloatArray, frozen
from ard.errors import misfit

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evaluations:
    """All that a campaign found, one row a model, in the order of numbers.

    Attributes
    ----------
    number : array of int, shape (n,)
        Place of the model in the campaign, increasing.
    parameters : mapping of str to array, shape (n,)
        As `pipeline.falsify.hypothesis` names them.
    reasons : tuple of tuple of str, length n
        Filters that rejected each; none if it was evaluated.
    facts : mapping of str to array, shape (n,)
        What the dynamics say; NaN where absent.
    log_likelihood, chi2 : array, shape (n,)
        At the best nuisances; NaN where the dynamics reject the model.
    nuisances : mapping of str to array, shape (n,)
        Their best values; NaN where the dynamics reject the model.
    converged : array of bool, shape (n,)
        Whether the search for the best nuisances ended at a maximum.

    Raises
    ------
    FormatError
        If an array has another length, or the numbers do not increase.
    """

    number: IntArray
    parameters: Mapping[str, FloatArray]
    reasons: tuple[tuple[str, ...], ...]
    facts: Mapping[str, FloatArray]
    log_likelihood: FloatArray
    chi2: FloatArray
    nuisances: Mapping[str, FloatArray]
    converged: BoolArray

    def __post_init__(self) -> None:
        types: dict[str, Any] = {"number": np.int64, "converged": np.bool_}
        for field in fields(self):
            found = getattr(self, field.name)
            if field.name == "reasons":
                value: Any = tuple(tuple(row) for row in found)
            elif isinstance(found, Mapping):
                value = {name: frozen(column, np.float64) for name, column in found.items()}
            else:
                value = frozen(found, types.get(field.name, np.float64))
            object.__setattr__(self, field.name, value)
            for name, column in value.items() if isinstance(value, Mapping) else [("", value)]:
                if len(column) != len(self.number):
                    where = ".".join(filter(None, (field.name, name)))
                    problem = f"{where} of a campaign has another length"
                    raise misfit(problem, f"({len(self.number)},)", (len(column),))
        if np.any(np.diff(self.number) <= 0):
            raise misfit("models of a campaign are out of order", "increasing numbers", "others")

    def __len__(self) -> int:
        return len(self.number)

    @property
    def possible(self) -> BoolArray:
        """Which models the dynamics allow, shape (n,)."""
        return np.array([not row for row in self.reasons], np.bool_)
