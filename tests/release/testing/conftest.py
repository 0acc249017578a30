"""What do the tests of the contract server share?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from caller import Caller

from release.testing import ContractServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ContractServer]:
    with ContractServer(tmp_path) as running:
        yield running


@pytest.fixture
def owner(server: ContractServer) -> Iterator[Caller]:
    """Whoever makes the records."""
    caller = Caller(server.url, server.token)
    yield caller
    caller.close()


@pytest.fixture
def guest(server: ContractServer) -> Iterator[Caller]:
    """Whoever has no token."""
    caller = Caller(server.url, None)
    yield caller
    caller.close()
