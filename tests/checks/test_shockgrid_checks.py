"""Does the judge see what is wrong with the record of a grid of models?

Oracle: construction; a good record, and one fault each.
"""

from types import SimpleNamespace

import pytest
from runs import make_run

from ard import io
from checks import judge as judge_folder
from checks import shockgrid as family
from checks.result import Status
from pipeline.shocks.gridfile import record
from pipeline.shocks.toy import toy_loglinear

LIMITS = family.grid_limits()
DEFECT = {
    "code": "CONSTANT_LINE",
    "subject": "[O I] λ6300",
    "detail": "3.126 to 3.127 over H beta",
    "handling": "masked",
    "limit": "shockgrid.spread",
    "value": 3e-4,
}
GOOD = {
    "simulated": False,
    "synthetic": False,
    "code": "MAPPINGS V",
    "version": "5.1.13",
    "project": "Allen08",
    "known_defects": [DEFECT],
}


def judge(monkeypatch, check, record):
    monkeypatch.setattr(family, "document", lambda _: record)
    return check(SimpleNamespace(), LIMITS)


@pytest.mark.parametrize("check", [family.left_defects, family.models])
def test_a_good_record_passes(monkeypatch, check):
    assert judge(monkeypatch, check, GOOD).status is Status.PASSED


@pytest.mark.parametrize("value", [3e-4, None])
def test_a_defect_that_was_left_fails(monkeypatch, value):
    left = DEFECT | {"handling": "none", "value": value}
    outcome = judge(monkeypatch, family.left_defects, GOOD | {"known_defects": [DEFECT, left]})
    assert outcome.status is Status.FAILED
    assert "CONSTANT_LINE: [O I] λ6300" in outcome.detail
    assert outcome.remedy


def test_a_defect_of_no_known_limit_fails_too(monkeypatch):
    left = DEFECT | {"handling": "none", "limit": "", "code": "OTHER"}
    outcome = judge(monkeypatch, family.left_defects, GOOD | {"known_defects": [left]})
    assert outcome.status is Status.FAILED


def test_a_record_without_a_list_of_defects_fails(monkeypatch):
    record = {key: value for key, value in GOOD.items() if key != "known_defects"}
    assert judge(monkeypatch, family.left_defects, record).status is Status.FAILED


def test_a_closed_form_is_for_simulations_only(monkeypatch):
    toy = GOOD | {"synthetic": True}
    assert judge(monkeypatch, family.models, toy).status is Status.FAILED
    assert judge(monkeypatch, family.models, toy | {"simulated": True}).status is Status.PASSED
    silent = {key: value for key, value in GOOD.items() if key != "synthetic"}
    assert judge(monkeypatch, family.models, silent).status is Status.FAILED


def test_the_record_is_judged_among_the_products_of_a_run(tmp_path):
    """Oracle: the record of the toy grid, in a run that is simulated."""
    root = make_run(tmp_path)
    provenance = io.read_json(root / "products/inference/geometry.json")["provenance"]
    toy = record(toy_loglinear(), simulated=True) | {"provenance": provenance}
    io.write(root / "products/inference/shockgrid.json", toy)
    rows = [r for r in judge_folder(root).results if r.product == "inference/shockgrid.json"]
    assert {r.check for r in rows} >= {
        *("shockgrid.defects", "shockgrid.models", "structure.schema", "structure.layout"),
    }
    assert {r.status for r in rows} == {Status.PASSED}
