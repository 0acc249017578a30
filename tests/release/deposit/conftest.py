"""An archive on this machine, and somebody who deposits there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from depositors import Depositor, FakeClock

from release.testing import ContractServer


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The power does not fail here; what is on the disk when is a test of the journal."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(tmp_path: Path, clock: FakeClock) -> Iterator[ContractServer]:
    with ContractServer(tmp_path / "archive", clock=clock.time) as running:
        yield running


@pytest.fixture
def depositor(server: ContractServer, clock: FakeClock, tmp_path: Path) -> Iterator[Depositor]:
    somebody = Depositor(server, clock, tmp_path)
    yield somebody
    somebody.close()
