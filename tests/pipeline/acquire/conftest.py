from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archives import Mini, Result, make_mini, run_cli

from pipeline.acquire.http import Waiter
from pipeline.acquire.testing import ArchiveServer


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Mini:
    return make_mini(tmp_path_factory.mktemp("mini"))


@pytest.fixture
def server(mini: Mini) -> Iterator[ArchiveServer]:
    with ArchiveServer(mini.files.values()) as server:
        yield server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between attempts are noted, and not waited for."""
    noted: list[float] = []

    def sleep(self: Waiter, seconds: float) -> None:
        self.check()
        noted.append(seconds)

    monkeypatch.setattr(Waiter, "sleep", sleep)
    return noted


type Acquire = Callable[..., Result]


@pytest.fixture
def acquire(
    mini: Mini, server: ArchiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
) -> Acquire:  # fmt: skip
    """Call a verb of `rbh1 acquire` on the four files; `lock` is known, unknown, or a path."""
    for name in ("MAST_API_TOKEN", "RBH1_DATA_DIR", "RBH1_MAST_URL"):
        monkeypatch.delenv(name, raising=False)
    store = tmp_path / "store"

    def call(verb: str, *words: object, lock: str | Path = "known", url: str | None = None):
        path = {"known": mini.known, "unknown": mini.unknown}.get(str(lock), lock)
        where = () if "--store" in words else ("--store", store)
        return run_cli(
            verb, *words, *where, "--json", "--selection", mini.selection, "--lock", path,
            "--server", url or server.url, "--timeout", "1", "--attempts", "3",
        )  # fmt: skip

    return call


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str], Path]:
    """Say where a file is, under its final name."""

    def find(name: str) -> Path:
        group = "jwst" if name.startswith("jw") else "hst"
        return tmp_path / "store" / "files" / group / name

    return find
