"""What has a campaign found so far, as arrays?"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ard.cube import FloatArray
from pipeline.falsify.campaign.ledger import Ledger
from pipeline.falsify.campaign.rows import evaluation_of, reasons_of, unpacked
from pipeline.falsify.campaign.settings import LIKELIHOOD, TABLE, Campaign
from pipeline.falsify.surface.survey import Evaluations
from pipeline.falsify.tasks import Evaluation, Model

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
    held = {row.number: evaluation_of(row) for row in ledger.rows(campaign, LIKELIHOOD)}
    rows = ledger.facts(campaign)
    numbers = [row.number for row in rows]
    found = [held.get(number, _absent(number)) for number in numbers]
    kind = campaign.settings.kind
    models = ledger.models(campaign, numbers) if kind == TABLE else propose(numbers)
    return Evaluations(
        number=np.array(numbers, np.int64),
        parameters=_columns(model.parameters for model in models),
        reasons=tuple(reasons_of(row.reasons) for row in rows),
        facts=_columns(unpacked(row.facts) for row in rows),
        log_likelihood=np.array([one.log_likelihood for one in found]),
        chi2=np.array([one.chi2 for one in found]),
        nuisances=_columns(one.nuisances for one in found),
        converged=np.array([one.converged for one in found], np.bool_),
    )


def _absent(number: int) -> Evaluation:
    return Evaluation(number, math.nan, math.nan, {}, converged=False)


def _columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, FloatArray]:
    """Give a column for each name, in the order in which they come up; NaN where one is absent."""
    given = list(rows)
    names = list(dict.fromkeys(name for row in given for name in row))
    return {
        name: np.array([row.get(name, math.nan) for row in given], np.float64) for name in names
    }
