"""Do the contract server and a real archive do the same?

Oracle: one list of scenarios, run on both; on a real InvenioRDM only when asked.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from loading import load

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SCENARIOS = load(HERE / "scenarios.py").SCENARIOS
name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)


@name
def test_the_contract_server(scenario, server):
    scenario(server.url, server.token)


@name
@pytest.mark.invenio
def test_a_real_archive(scenario, pytestconfig):
    scenario(pytestconfig.getoption("invenio_url"), os.environ["INVENIO_TOKEN"])


def test_a_real_archive_is_asked_on_demand(server):
    """The contract server stands in for the real one."""
    words = ["-q", "-p", "no:cacheprovider", "-m", "invenio", "--invenio-url", server.url]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *words, HERE / Path(__file__).name],
        cwd=ROOT,
        env={**os.environ, "INVENIO_TOKEN": server.token, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(SCENARIOS)} passed" in done.stdout
    assert server.world.published()
    assert server.world.drafts() == []
