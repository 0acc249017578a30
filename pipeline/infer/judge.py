"""How far are chains, while they are being sampled: how many effective draws, and how alike?

For progress and for budgets. Whether chains are good enough is the gate's to say, which is handed
in: this module only measures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from checks.convergence import diagnose

type Arrays = Mapping[str, np.ndarray[Any, Any]]


class Verdict(Protocol):
    """What a gate says of chains."""

    @property
    def passed(self) -> bool:
        """Whether they are good enough."""

    @property
    def reasons(self) -> Any:
        """Why they are not, in sentences; empty if they are."""

    @property
    def final(self) -> bool:
        """Whether more draws cannot make them good enough."""


# From draws and statistics, each by name and of shape (n_chain, n_draw).
type Gate = Callable[[Arrays, Arrays], Verdict]


@dataclass(frozen=True)
class Mixing:
    """The worst parameter's numbers.

    Attributes
    ----------
    ess : float
        Smallest effective number of draws, of bulk and tails; NaN where it has none.
    rhat : float
        Largest rank-normalised split R-hat.
    """

    ess: float = np.nan
    rhat: float = np.nan


def mixing(draws: Arrays) -> Mixing:
    """How well are chains mixed?

    Parameters
    ----------
    draws : mapping of str to array, shape (n_chain, n_draw)

    Returns
    -------
    Mixing
        By the estimators of the gate (`checks.convergence`). NaN where a parameter is not finite,
        does not move, or has too few chains or draws.
    """
    found = diagnose(np.stack([np.asarray(value, np.float64) for value in draws.values()]))
    return Mixing(float(np.minimum(found.ess_bulk, found.ess_tail).min()), float(found.rhat.max()))
