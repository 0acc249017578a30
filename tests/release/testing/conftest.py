"""What do the tests of the contract server share?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from caller import Caller

from release.testing import ContractServer


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[ContractServer]:
    with ContractServer(tmp_path, clock=clock) as running:
        yield running


@pytest.fixture
def owner(server: ContractServer) -> Iterator[Caller]:
    """Whoever makes the records."""
    with Caller(server.url, server.token) as caller:
        yield caller


@pytest.fixture
def other(server: ContractServer) -> Iterator[Caller]:
    """Another user."""
    with Caller(server.url, server.other_token) as caller:
        yield caller


@pytest.fixture
def guest(server: ContractServer) -> Iterator[Caller]:
    """Whoever has no token."""
    with Caller(server.url, None) as caller:
        yield caller
