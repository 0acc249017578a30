"""Can another project use the contract server in its own pytest?

Oracle: pytest itself, run on the example of docs/contract_server.md in an empty folder.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "contract_server.md"
CONFTEST, EXAMPLE, _ = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


@pytest.fixture
def run(tmp_path):
    """Run an example in a project of its own."""

    def run_pytest(example: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "test_example.py").write_text(example)
        return subprocess.run(
            [sys.executable, "-P", "-m", "pytest", "-q", "-W", "error", "--strict-markers"],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # those of this project's own tests
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run_pytest


def test_the_example_of_the_page_passes(run):
    done = run(EXAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_client_that_publishes_twice_fails_the_example(run):
    read = '        call(server, "GET", f"/api/records/{ident}")'
    assert EXAMPLE.count(read) == 1
    # The mistake of several clients: what seems to fail is sent again.
    again = (
        "        with pytest.raises(urllib.error.HTTPError):\n"
        '            call(server, "POST", f"{draft}/actions/publish")'
    )
    done = run(EXAMPLE.replace(read, again))
    assert done.returncode == 1
    assert "repeats request 5, which had taken effect" in done.stdout
