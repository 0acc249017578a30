"""Are the products of a run acceptable? The registry of checks, one test for each check.

The run is the folder in RBH1_RUN_DIR, or else the tiny run that the fixture `tiny_run` makes.
"""

import os
from pathlib import Path

import pytest

import schemas
from checks import Status, all_checks, judge
from checks.report import Report

VARIABLE = "RBH1_RUN_DIR"


@pytest.fixture(scope="session")
def run_folder(request: pytest.FixtureRequest) -> Path:
    """The run to judge."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    made: Path = request.getfixturevalue("tiny_run")
    return made


@pytest.fixture(scope="session")
def report(run_folder: Path) -> Report:
    """The report on it, made once."""
    return judge(run_folder)


def test_products_were_checked(report):
    assert report.n_products > 0
    assert schemas.validate(report.to_dict(), "check-report") == ()


@pytest.mark.parametrize("name", [check.name for check in all_checks()])
def test_check(name, report):
    rows = [row for row in report.results if row.check == name]
    bad = [f"{row.status} {row.product}: {row.detail}" for row in rows if not row.good]
    assert not bad, "\n".join(bad)
    if not rows:
        pytest.skip("this run holds no product that the check is for")
    if all(row.status is Status.SKIPPED for row in rows):
        pytest.skip("waived")


def test_verdict(report):
    assert report.verdict == "PASSED"
