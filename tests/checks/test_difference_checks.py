"""Does the check of the ghosts' strength pass nothing that was not measured for want of light?

Oracle: construction; one row of the table in every state that the stage knows.
"""

import numpy as np
import pytest

from checks import difference as family
from checks.result import Status
from manifests import load_acceptance

ACCEPTANCE = load_acceptance()
LIMITS = {name: ACCEPTANCE.limit(name) for name in ACCEPTANCE.ids if name.startswith("difference.")}


def judge(monkeypatch, status="measured", strength=1.0, err=0.01, places=200):
    row = {"method": "pointings", "item": "all", "line": "all", "status": status}
    row |= {"strength": strength, "strength_err": err, "places": places}
    table = {name: np.array([value]) for name, value in row.items()}
    monkeypatch.setattr(family, "_columns", lambda product: table)
    return family.model(None, LIMITS)


@pytest.mark.parametrize(
    ("strength", "err", "status"),
    [
        (1.0, 0.01, Status.PASSED),
        (1.05, 0.01, Status.PASSED),  # five errors, which is less than a tenth
        (0.7, 0.2, Status.PASSED),  # within its errors
        (0.7, 0.01, Status.FAILED),
        (np.nan, 0.01, Status.FAILED),
        (1.3, np.nan, Status.FAILED),
    ],
)
def test_a_strength_is_judged_by_its_size_and_error(monkeypatch, strength, err, status):
    assert judge(monkeypatch, strength=strength, err=err).status is status


def test_lines_that_are_too_faint_are_no_success(monkeypatch):
    found = judge(monkeypatch, "undetected", np.nan, np.nan)
    assert found.status is Status.SKIPPED
    assert "no line is bright enough" in found.detail


@pytest.mark.parametrize(
    ("places", "reason"), [(0, "no place is seen"), (200, "too few channels without lines")]
)
def test_what_nobody_could_measure_is_said_to_be_so(monkeypatch, places, reason):
    found = judge(monkeypatch, "not evaluated", np.nan, np.nan, places)
    assert found.status is Status.PASSED
    assert reason in found.detail
