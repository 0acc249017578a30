"""Does the gate ask in the right order, and does it say what it was asked?

Oracles: posteriors whose verdict is known by construction; the published speed of the bow.
"""

import dataclasses

import numpy as np
import pytest

from ard.errors import ArdError
from manifests import load_acceptance
from manifests.shocks import load_shocks
from pipeline.shocks.summary import Summary
from pipeline.shocks.verdict import (
    Gate,
    bow_velocity,
    metal_poor,
    otherwise,
    shock_velocity,
    virial,
    weighted_velocity,
)

ASSUMED, ACCEPTANCE = load_shocks(), load_acceptance()
GOOD = {
    "v_kms": [250.0, 300.0, 350.0, 400.0, 450.0],
    "information_nat": 1.5,
    "edge_low": 0.0,
    "edge_high": 0.0,
    "p_metal_poor": 0.99,
    "p_metal_poor_prior": 0.6,
    "p_predictive": 0.4,
    "p_virial": 0.04,
    "chi2_min": 3.0,
    "log_evidence": -3.0,
    "n_line": 4,
}
SAME = np.linspace(300.0, 320.0, 101)


def summary(**changes) -> Summary:
    values = {name: np.array([value]) for name, value in {**GOOD, **changes}.items()}
    rest = {"sets": np.ones((1, 1)), "metal_poor": (True,), "v_allowed_kms": (90.0, 1000.0)}
    return Summary(prior="flat", solar="asplund-2009", **values, **rest)


def judged(geometry=SAME, **changes):
    return shock_velocity(summary(**changes), 0, ACCEPTANCE, ASSUMED, geometry)


@pytest.mark.parametrize(
    ("geometry", "changes", "gate"),
    [
        (SAME, {}, Gate.CONFIRMED),
        (SAME + 300.0, {}, Gate.IN_TENSION),
        (SAME - 200.0, {}, Gate.IN_TENSION),
        (None, {}, Gate.NOT_EVALUATED),
        (None, {"p_predictive": 0.01}, Gate.NOT_EVALUATED),
        (SAME, {"p_predictive": 0.05}, Gate.MODEL_INADEQUATE),
        (SAME + 300.0, {"p_predictive": 1e-9}, Gate.MODEL_INADEQUATE),
        # Four ratios with an honest floor, as in reference/shocks.md section 0.
        (SAME + 350.0, {"v_kms": [302, 400, 587, 800, 961], "information_nat": 0.4},
         Gate.UNINFORMATIVE),
        (SAME, {"information_nat": 0.9}, Gate.CONFIRMED),  # narrow enough: 0.26 dex
        (SAME, {"v_kms": [200, 300, 350, 400, 450]}, Gate.CONFIRMED),  # tells enough
        # At an edge an interval is a limit: it can exclude, and not confirm.
        (SAME + 300.0, {"edge_high": 0.06}, Gate.UNINFORMATIVE),
        (SAME, {"edge_high": 0.06}, Gate.UNINFORMATIVE),
        (SAME - 200.0, {"edge_high": 0.06}, Gate.IN_TENSION),
        (SAME - 200.0, {"edge_low": 0.06}, Gate.UNINFORMATIVE),
    ],
)  # fmt: skip
def test_the_gate(geometry, changes, gate):
    found = judged(geometry, **changes)
    assert found.gate == gate, found.sentence
    assert found.sentence


@pytest.mark.parametrize("draws", [[], [300.0, np.nan], [300.0, -5.0]])
def test_a_geometry_without_numbers_confirms_nothing(draws):
    with pytest.raises(ArdError, match="no posterior of the geometry's velocity"):
        judged(geometry=np.array(draws))


def test_the_criterions_own_words_are_answered_beside():
    # 954 + 110 - 126.
    assert judged().literal is False
    wide = judged(v_kms=[302, 400, 587, 800, 961], information_nat=0.4)
    assert (wide.gate, wide.literal) == (Gate.UNINFORMATIVE, True)
    assert judged(v_kms=[1064, 1070, 1080, 1090, 1100]).literal
    assert not judged(v_kms=[1065, 1070, 1080, 1090, 1100]).literal
    assert judged(geometry=None).literal is False
    nothing = judged(v_kms=[np.nan] * 5)
    assert (nothing.gate, nothing.literal) == (Gate.NOT_EVALUATED, None)


def test_that_no_model_fits_is_said_without_a_geometry_too():
    assert "no model of the grid" in judged(geometry=None, p_predictive=0.01).sentence
    assert "no model of the grid" not in judged(geometry=None).sentence


def test_all_numbers_of_the_gate_are_given():
    measured = judged().measured
    assert measured["information_nat"] == 1.5
    assert measured["interval_width_dex"] == pytest.approx(np.log10(450 / 250))
    assert (measured["geometry_low_kms"], measured["geometry_high_kms"]) == (300.5, 319.5)


@pytest.mark.parametrize(
    ("share", "fit", "gate", "literal"),
    [
        (0.99, 0.4, Gate.CONFIRMED, True),
        (0.5, 0.4, Gate.UNINFORMATIVE, True),
        (0.02, 0.4, Gate.IN_TENSION, False),
        (0.99, 0.01, Gate.MODEL_INADEQUATE, True),
        (np.nan, np.nan, Gate.NOT_EVALUATED, None),
    ],
)
def test_metals(share, fit, gate, literal):
    found = metal_poor(summary(p_metal_poor=share, p_predictive=fit), 0, ACCEPTANCE)
    assert (found.gate, found.literal) == (gate, literal)
    if literal is not None:
        assert "asplund-2009" in found.sentence


@pytest.mark.parametrize(
    ("before", "share", "gate", "literal"),
    [
        # All sets are on one side, and no line could have said otherwise.
        (0.0, 0.0, Gate.UNINFORMATIVE, None),
        (1.0, 1.0, Gate.UNINFORMATIVE, None),
        (0.97, 0.99, Gate.UNINFORMATIVE, None),
        (0.97, 0.01, Gate.IN_TENSION, False),
        (0.03, 0.96, Gate.CONFIRMED, True),
        (0.03, 0.5, Gate.UNINFORMATIVE, True),
    ],
)
def test_what_was_sure_before_the_lines_is_no_answer(before, share, gate, literal):
    about = summary(p_metal_poor=share, p_metal_poor_prior=before)
    found = metal_poor(about, 0, ACCEPTANCE)
    assert (found.gate, found.literal) == (gate, literal)
    assert found.measured["p_metal_poor_prior"] == before
    if literal is None:
        assert "before any line" in found.sentence


def test_an_unknown_field_may_broaden_the_velocity():
    wide, narrow = summary(v_kms=[200, 300, 350, 400, 900]), summary()
    assert virial(wide, narrow, 0, ACCEPTANCE, 220.0).gate == Gate.CONFIRMED
    assert virial(wide, narrow, 0, ACCEPTANCE, 100.0).gate == Gate.IN_TENSION
    assert virial(wide, narrow, 0, ACCEPTANCE, 300.0).gate == Gate.UNINFORMATIVE
    # An interval of models that do not make the lines is none, whatever it holds.
    odd = summary(v_kms=[200, 300, 350, 400, 900], p_predictive=1e-3)
    assert virial(odd, narrow, 0, ACCEPTANCE, 220.0).gate == Gate.MODEL_INADEQUATE
    missing = virial(wide, narrow, 0, ACCEPTANCE)
    assert (missing.gate, missing.literal) == (Gate.NOT_EVALUATED, None)
    assert "v_virial_kms" not in missing.measured


def test_a_velocity_that_no_model_has_is_not_excluded_by_models():
    """As 60 km/s by models from 90 on, and what lies beyond an edge with much probability."""
    wide, narrow = summary(v_kms=[200, 300, 350, 400, 900]), summary()
    for v in (60.0, 1200.0):
        found = virial(wide, narrow, 0, ACCEPTANCE, v)
        assert (found.gate, found.literal) == (Gate.NOT_EVALUATED, None)
        assert "no model" in found.sentence
        assert found.measured["v_virial_kms"] == v
    at_edge = summary(v_kms=[100, 300, 350, 400, 900], edge_low=0.06)
    assert virial(at_edge, narrow, 0, ACCEPTANCE, 95.0).gate == Gate.UNINFORMATIVE
    assert virial(at_edge, narrow, 0, ACCEPTANCE, 950.0).gate == Gate.IN_TENSION
    # A field that is known would have left it too.
    left = summary(v_kms=[100, 300, 350, 400, 450], edge_low=0.06)
    assert virial(summary(v_kms=[92, 300, 350, 400, 900]), left, 0, ACCEPTANCE, 95.0).gate == (
        Gate.UNINFORMATIVE
    )


def test_the_probability_below_the_virial_velocity_is_given():
    wide, narrow = summary(v_kms=[200, 300, 350, 400, 900]), summary(p_virial=0.001)
    found = virial(wide, narrow, 0, ACCEPTANCE, 220.0)
    assert (found.measured["p_virial"], found.measured["p_virial_fixed"]) == (0.04, 0.001)
    assert "0.040" in found.sentence
    assert "0.001" in found.sentence


def test_that_other_assumptions_end_otherwise_is_said():
    first = judged()
    gates = [Gate.CONFIRMED, Gate.IN_TENSION, Gate.UNINFORMATIVE, Gate.IN_TENSION]
    found = otherwise(first, gates)
    assert (found.gate, found.literal) == (first.gate, first.literal)
    assert found.sentence == (
        f"{first.sentence}; otherwise under 3 of 4 other priors and floors: "
        "2 IN TENSION, 1 UNINFORMATIVE"
    )
    assert found.measured == first.measured | {"rows_otherwise": 3.0}
    same = otherwise(first, gates[:1])
    assert (same.sentence, same.measured["rows_otherwise"]) == (first.sentence, 0.0)


def test_the_bow_slows_down_behind_its_tip():
    # reference/science.md 2.3, for 954 km/s and a radius of curvature of 1.8.
    behind = np.array([1.0, 2.0, 5.0, 10.9, 20.0])
    assert bow_velocity(954.0, 1.8, behind).round() == pytest.approx([657, 531, 373, 263, 198])


def test_what_shines_decides_the_speed():
    speed, radius = np.array([954.0, 900.0]), np.array([1.8, 1.8])
    places = np.array([1.0, 5.0])
    one = weighted_velocity(speed, radius, places, np.array([1.0, 0.0]))
    assert one == pytest.approx(bow_velocity(speed, radius, 1.0))
    even = weighted_velocity(speed, radius, places, np.ones((2, 2)))
    assert even[0] == pytest.approx((656.6 + 372.6) / 2, abs=0.2)


def test_thresholds_decide_and_nothing_else():
    rows = tuple(
        dataclasses.replace(row, value=0.5) if row.id == "shock.p_predictive" else row
        for row in ACCEPTANCE
    )
    strict = dataclasses.replace(ACCEPTANCE, rows=rows)
    found = shock_velocity(summary(), 0, strict, ASSUMED, SAME)
    assert found.gate == Gate.MODEL_INADEQUATE
