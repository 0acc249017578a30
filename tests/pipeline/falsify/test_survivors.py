"""Which galaxies are kept? Oracle: the rule, by a slow search over all of them."""

from dataclasses import replace

import numpy as np
import pytest
from campaigns import BEST, REFERENCE, SETTINGS, gaussian

from ard.errors import ArdError
from manifests import load_acceptance
from pipeline.falsify.surface.report import kept_of
from pipeline.falsify.surface.survey import survey
from pipeline.falsify.surface.survivors import BEST as FIRST
from pipeline.falsify.surface.survivors import SPREAD, Rule, choose, row_of

ACCEPTANCE = load_acceptance()
MODELS = gaussian(400)
RULE = Rule(3, 6)


def kept(models=MODELS, rule=RULE, reference=REFERENCE):
    return choose(models, survey(models, len(models), reference, ACCEPTANCE, SETTINGS), rule)


def test_the_best_and_then_the_furthest_of_those_that_survive():
    found = kept()
    good = MODELS.possible & MODELS.converged
    order = sorted(np.flatnonzero(good), key=lambda i: -MODELS.log_likelihood[i])
    chosen = list(order[:3])
    ranks = np.stack([np.argsort(np.argsort(v)) / 399.0 for v in MODELS.parameters.values()], 1)
    delta = -2.0 * (MODELS.log_likelihood - REFERENCE.log_likelihood)
    while len(chosen) < 9:
        best, furthest = -1.0, -1
        for i in np.flatnonzero(good & (delta <= 25.0)):
            apart = min(float(np.square(ranks[i] - ranks[j]).sum()) for j in chosen)
            if i not in chosen and apart > best:
                best, furthest = apart, i
        chosen.append(furthest)
    assert [one.number for one in found] == chosen
    assert [one.why for one in found] == [FIRST] * 3 + [SPREAD] * 6


def test_the_scale_of_a_parameter_does_not_matter():
    """Invariance: ranks do not see a logarithm."""
    logs = {name: np.log(values) for name, values in MODELS.parameters.items()}
    assert kept(replace(MODELS, parameters=logs)) == kept()


def test_where_none_survives_only_the_best_are_kept():
    far = replace(REFERENCE, log_likelihood=BEST + 1000.0)
    assert [one.why for one in kept(reference=far)] == [FIRST] * 3
    # They are kept, and the document does not call them survivors.
    surface = survey(MODELS, 400, far, ACCEPTANCE, SETTINGS)
    assert not any(share.n for share in surface.within.values())
    rows = kept_of(MODELS, surface, RULE, [(one, {}) for one in kept(reference=far)])["rows"]
    assert [row["survives"] for row in rows] == [False] * 3
    near = survey(MODELS, 400, REFERENCE, ACCEPTANCE, SETTINGS)
    rows = kept_of(MODELS, near, RULE, [(one, {}) for one in kept()])["rows"]
    assert all(row["survives"] for row in rows)
    none = replace(MODELS, converged=np.zeros(400, bool))
    assert kept(none) == ()


def test_equal_models_are_kept_by_their_number():
    flat = replace(MODELS, log_likelihood=np.where(MODELS.possible, BEST, np.nan))
    good = np.flatnonzero(MODELS.possible & MODELS.converged)
    assert [one.number for one in kept(flat)][:3] == good[:3].tolist()


def test_a_row_is_a_model_and_its_evaluation():
    number = kept()[0].number
    model, found = row_of(MODELS, number)
    assert model.parameters == {n: v[number] for n, v in MODELS.parameters.items()}
    assert (found.log_likelihood, found.chi2) == (
        MODELS.log_likelihood[number],
        MODELS.chi2[number],
    )
    with pytest.raises(ArdError, match="has no likelihood"):
        row_of(MODELS, int(np.flatnonzero(~MODELS.possible)[0]))


@pytest.mark.parametrize(("n_best", "n_spread"), [(0, 3), (2, -1), (50, 50)])
def test_a_rule_that_cannot_be_is_refused(n_best, n_spread):
    with pytest.raises(ArdError, match="cannot be kept"):
        Rule(n_best, n_spread)
