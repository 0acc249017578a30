"""Is what the processes of a test run share made once, and whole?"""

from pathlib import Path
from types import SimpleNamespace

import pytest
from sharing import made_once


def asked_by(worker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What a process of pytest-xdist has: a name, and a folder beside those of the others."""
    own = tmp_path / f"popen-{worker}"
    own.mkdir(exist_ok=True)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    return SimpleNamespace(getbasetemp=lambda: own)


def test_the_first_makes_it_and_the_others_find_it(tmp_path, monkeypatch):
    makers = []

    def make(folder: Path) -> None:
        makers.append(len(makers))
        (folder / "made").write_text(str(makers))

    folders = {made_once(asked_by(w, tmp_path, monkeypatch), "it", make) for w in ("gw0", "gw1")}
    assert len(folders) == len(makers) == 1
    assert (folders.pop() / "made").read_text() == "[0]"


def test_half_a_thing_is_not_handed_on(tmp_path, monkeypatch):
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        made_once(asked_by("gw0", tmp_path, monkeypatch), "it", fail)
    found = made_once(
        asked_by("gw1", tmp_path, monkeypatch), "it", lambda folder: (folder / "whole").touch()
    )
    assert [path.name for path in found.iterdir()] == ["whole"]


def test_without_other_processes_it_lies_in_the_folder_of_the_run(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    factory = SimpleNamespace(getbasetemp=lambda: tmp_path)
    assert made_once(factory, "it", lambda folder: None) == tmp_path / "shared" / "it"
