"""How does another project try its Zenodo client on the contract server in pytest?

``pytest_plugins = ["release.testing.plugin"]`` in its conftest.py, and the fixture `zenodo_server`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from release.testing.server import ContractServer


@pytest.fixture
def zenodo_server(tmp_path: Path) -> Iterator[ContractServer]:
    """An empty archive that runs as long as the test."""
    with ContractServer(tmp_path / "zenodo") as server:
        yield server
