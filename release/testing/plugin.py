"""How does another project try its Zenodo client on the contract server in pytest?

``pytest_plugins = ["release.testing.plugin"]`` in its conftest.py, and the fixture `zenodo_server`;
the marker of the same name takes the options of `ContractServer`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from release.testing.server import ContractServer

_NAME = "zenodo_server"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", f"{_NAME}(**options): options of the contract server")


@pytest.fixture
def zenodo_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ContractServer]:
    """An empty archive that runs as long as the test."""
    marker = request.node.get_closest_marker(_NAME)
    options = {} if marker is None else marker.kwargs
    with ContractServer(tmp_path / _NAME, **options) as server:
        yield server
