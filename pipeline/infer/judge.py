"""How far are chains, while they are being sampled: how many effective draws, and how alike?

For progress and for budgets. Whether chains are good enough is the gate's to say, which is handed
in: this module only measures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from ard.errors import ExtraMissingError

type Arrays = Mapping[str, np.ndarray[Any, Any]]

_FEWEST: Final = 8  # draws of a chain below which its halves say nothing


class Verdict(Protocol):
    """What a gate says of chains."""

    @property
    def passed(self) -> bool:
        """Whether they are good enough."""

    @property
    def reasons(self) -> Any:
        """Why they are not, in sentences; empty if they are."""


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
        By the estimators of ArviZ (Vehtari et al. 2021, BA 16, 667). NaN where a parameter is not
        finite, does not move, or has too few draws.
    """
    try:
        from arviz_stats.base import array_stats
    except ModuleNotFoundError as error:
        raise ExtraMissingError.for_module("arviz_stats", "watching chains") from error
    every = np.stack([np.asarray(value, np.float64) for value in draws.values()])
    if every.shape[2] < _FEWEST or not np.isfinite(every).all():
        return Mixing()
    if np.any(np.ptp(every, axis=2) == 0.0):  # what stands still has as many as it has draws, or so
        return Mixing()
    axes = {"chain_axis": 1, "draw_axis": 2}
    bulk = array_stats.ess(every, method="bulk", **axes)
    tail = array_stats.ess(every, method="tail", prob=(0.05, 0.95), **axes)
    if every.shape[1] < 2:
        return Mixing(float(min(bulk.min(), tail.min())))
    rhat = array_stats.rhat(every, method="rank", **axes)
    return Mixing(float(min(bulk.min(), tail.min())), float(rhat.max()))
