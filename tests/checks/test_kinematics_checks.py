"""Do the checks of posteriors see what is wrong with them?

Oracle: construction; a good map and document, and one planted fault each.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from checks import kinematics as family
from checks.result import Status
from manifests import load_acceptance

ACCEPTANCE = load_acceptance()
LIMITS = {name: ACCEPTANCE.limit(name) for name in ACCEPTANCE.ids if name.startswith("kinematics.")}
SHAPE = (3, 4)


@dataclass(frozen=True)
class Layers:
    """What `line_map` gives: layers and a mask."""

    layers: dict[str, Any]
    mask: Any = field(default_factory=lambda: np.zeros(SHAPE, bool))

    def __getitem__(self, name):
        return self.layers[name]


def good_layers():
    layers = {"log_bayes": 5.0, "khat": 0.1, "ess": 1000.0, "flag": 0.0}
    for stem in ("velocity", "flux_oi6300"):
        layers |= {stem: 1.0, f"{stem}_err": 0.5}
        layers |= {f"{stem}{end}": float(k) for k, end in enumerate(family.ENDINGS)}
    return {name: np.full(SHAPE, value) for name, value in layers.items()}


def judge(monkeypatch, check, layers):
    monkeypatch.setattr(family, "line_map", lambda product: Layers(layers))
    return check(None, LIMITS)


@pytest.mark.parametrize("check", [family.values, family.quantiles, family.gate])
def test_good_maps_pass(monkeypatch, check):
    assert judge(monkeypatch, check, good_layers()).status is Status.PASSED


@pytest.mark.parametrize(
    ("check", "layer", "value"),
    [
        (family.values, "velocity", np.nan),
        (family.values, "velocity_err", 0.0),
        (family.quantiles, "velocity_p160", 9.0),
        (family.quantiles, "flux_oi6300_p500", np.nan),
        (family.gate, "khat", 0.9),
        (family.gate, "khat", np.nan),
        (family.gate, "ess", 100.0),
        (family.gate, "ess", np.nan),
    ],
)
def test_a_planted_fault_is_seen(monkeypatch, check, layer, value):
    layers = good_layers()
    layers[layer][1, 2] = value
    assert judge(monkeypatch, check, layers).status is Status.FAILED


def test_what_is_flagged_may_be_below_the_gate(monkeypatch):
    layers = good_layers()
    layers["ess"][1, 2], layers["flag"][1, 2] = 20.0, 8.0 + 16.0
    outcome = judge(monkeypatch, family.gate, layers)
    assert outcome.status is Status.PASSED
    assert "1 spaxels are flagged" in outcome.detail


@pytest.mark.parametrize(("below", "status"), [(0, Status.PASSED), (5, Status.FAILED)])
def test_few_spaxels_may_be_below_the_gate(monkeypatch, below, status):
    rows = {"groups": [{"inferred": 100, "below_gate": below, "with_line": 3}], "sentence": "so"}
    monkeypatch.setattr(family, "document", lambda product: rows)
    assert family.flagged(None, LIMITS).status is status
    assert family.found(None, LIMITS).status is Status.PASSED


def test_two_components_are_judged_where_they_were_tried(monkeypatch):
    layers = good_layers()
    two = np.full(SHAPE, np.nan)
    two[0, :2] = 1.0
    layers |= {"two_log_bayes": two, "two_velocity_1": two, "two_velocity_1_err": two}
    assert judge(monkeypatch, family.values, layers).status is Status.PASSED
    bad = two.copy()
    bad[0, 1] = np.nan
    layers["two_velocity_1_err"] = bad
    assert judge(monkeypatch, family.values, layers).status is Status.FAILED
