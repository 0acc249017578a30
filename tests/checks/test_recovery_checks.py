"""Is the error of the model of spaxels reported, and never a reason to refuse a run?

Oracle: construction; a good document and what is planted in it.
"""

import pytest
from run_documents import kinematics_recovery_document

import schemas
from checks import recovery as family
from checks.result import Status
from manifests import load_acceptance

ACCEPTANCE = load_acceptance()
LIMITS = {name: ACCEPTANCE.limit(name) for name in ACCEPTANCE.ids if name.startswith("recovery.")}


def judge(monkeypatch, check, **changes):
    document = kinematics_recovery_document({})
    document["rows"][1] |= changes
    monkeypatch.setattr(family, "document", lambda product: document)
    return check(None, LIMITS)


def test_the_document_follows_its_schema():
    assert not schemas.validate(kinematics_recovery_document({}), "kinematics-recovery")


def test_the_largest_is_reported(monkeypatch):
    found = judge(monkeypatch, family.model_error)
    assert (found.status, found.measured) == (Status.PASSED, 0.8)
    found = judge(monkeypatch, family.model_error, model_pull_rms=7.0)
    assert (found.status, found.measured) == (Status.PASSED, 7.0)
    assert "oiii5007 sigma from S/N 20 7" in found.detail
    found = judge(monkeypatch, family.posteriors, expected_coverage_68=0.4)
    assert (found.status, found.measured) == (Status.PASSED, 0.4)


@pytest.mark.parametrize("check", [family.model_error, family.posteriors])
def test_a_number_that_is_not_there_is_the_worst(check, monkeypatch):
    found = judge(monkeypatch, check, model_pull_rms=None, expected_coverage_68=None)
    assert found.measured is None
    assert "only reported" in found.detail


@pytest.mark.parametrize("check", [family.model_error, family.posteriors])
def test_few_spaxels_say_nothing(monkeypatch, check):
    found = judge(monkeypatch, check, n_compared=3, model_pull_rms=7.0, expected_coverage_68=0.1)
    assert found.measured in (0.8, 0.7)
