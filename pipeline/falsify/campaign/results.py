"""What has a campaign found so far, as arrays?"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ard.cube import FloatArray
from pipeline.falsify.campaign.ledger import Ledger
from pipeline.falsify.campaign.rows import reasons_of, unpacked
from pipeline.falsify.campaign.settings import TABLE, Campaign
from pipeline.falsify.surface.survey import Evaluations
from pipeline.falsify.tasks import Model

# Galaxies that are read at a time: as rows they take ten times as much memory as in arrays.
_PART: Final = 2000

type Propose = Callable[[Sequence[int]], list[Model]]


def evaluations(ledger: Ledger, campaign: Campaign, propose: Propose) -> Evaluations:
    """Give every galaxy whose dynamics are known: rejected, held against the cube, or waiting.

    Those that wait for their likelihood are told as well: of a campaign that is not complete, the
    rejected come first, and would be too large a part of what is decided.

    Parameters
    ----------
    ledger : Ledger
    campaign : Campaign
    propose : callable
        Gives the galaxies of some numbers; those of a file are in the ledger.
    """
    parameters, facts, nuisances, said = (_Columns() for _ in range(4))
    numbers: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    converged: list[NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
    reasons: list[tuple[str, ...]] = []
    read: dict[str, tuple[str, ...]] = {}  # one tuple for all that are rejected alike
    from_file = campaign.settings.kind == TABLE
    for first in range(0, campaign.settings.n_model, _PART):
        rows = ledger.found(campaign, range(first, first + _PART))
        here = [row.number for row in rows]
        models = ledger.models(campaign, here) if from_file else propose(here)
        numbers.append(np.array(here, np.int64))
        parameters.add([model.parameters for model in models])
        reasons += [read.setdefault(row.reasons, reasons_of(row.reasons)) for row in rows]
        facts.add([unpacked(row.facts) for row in rows])
        nuisances.add([unpacked(row.nuisances or {}) for row in rows])
        said.add([_said(row) for row in rows])
        converged.append(np.array([bool(row.converged) for row in rows], np.bool_))
    told = said.whole()
    return Evaluations(
        number=np.concatenate(numbers),
        parameters=parameters.whole(),
        reasons=tuple(reasons),
        facts=facts.whole(),
        log_likelihood=told.get("log_likelihood", np.zeros(0)),
        chi2=told.get("chi2", np.zeros(0)),
        nuisances=nuisances.whole(),
        converged=np.concatenate(converged),
    )


class _Columns:
    """Columns that grow part by part; NaN where a row has none of that name."""

    def __init__(self) -> None:
        self._parts: dict[str, list[FloatArray]] = {}
        self._n = 0

    def add(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Take rows more; new names come after those that are known."""
        for name in dict.fromkeys(name for row in rows for name in row):
            self._parts.setdefault(name, [np.full(self._n, math.nan)])
        for name, parts in self._parts.items():
            parts.append(np.array([row.get(name, math.nan) for row in rows], np.float64))
        self._n += len(rows)

    def whole(self) -> dict[str, FloatArray]:
        """Give the columns; the parts are let go, one column after the other."""
        return {name: np.concatenate(self._parts.pop(name)) for name in list(self._parts)}


def _said(row: Any) -> dict[str, float]:
    """Give ln L and chi2 of a galaxy; NaN, of which a database has none, where it waits."""
    values = {"log_likelihood": row.log_likelihood, "chi2": row.chi2}
    return {name: math.nan if value is None else value for name, value in values.items()}
