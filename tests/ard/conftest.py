"""What do the tests of `ard` share: a local archive, and where downloads go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from odd_archive import OddArchive
from publishing import without_waiting

from release.testing import ContractServer


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ContractServer]:
    """The archive that every DOI leads to."""
    with ContractServer(tmp_path / "archive") as running:
        monkeypatch.setenv("RBH1_ZENODO_URL", running.url)
        yield running


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where downloads go."""
    monkeypatch.setenv("RBH1_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """How long the client waited, in seconds, without having to wait for it."""
    with without_waiting() as lengths:
        yield lengths


@pytest.fixture
def odd(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OddArchive]:
    """An archive that may not be trusted."""
    with OddArchive() as running:
        monkeypatch.setenv("RBH1_ZENODO_URL", running.url)
        yield running
