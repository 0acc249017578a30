"""Does the tail judge before it builds, call the release as a process, and stop where it must?

Oracle: a stand-in for `rbh1-release` that notes how it was called.
"""

import json
import sys
from pathlib import Path

import pytest

import checks
from ard import layout
from ard.errors import ArdError
from pipeline import tail

STAND_IN = """#!{python}
import json, pathlib, sys
log = pathlib.Path({log!r})
log.write_text((log.read_text() if log.exists() else "") + json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == {fails!r}:
    sys.stderr.write("a check failed\\n  file: x.fits\\n")
    sys.exit(1)
print(json.dumps({{"done": sys.argv[1]}}))
"""


class Judgement:
    """A report with a verdict."""

    def __init__(self, verdict: str) -> None:
        self.verdict = verdict

    def to_dict(self) -> dict[str, object]:
        row = {"check": "a.b", "product": "p", "status": self.verdict, "detail": "seen"}
        return {"verdict": self.verdict, "counts": {self.verdict: 1}, "results": [row]}


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Put a stand-in for the release in place; gives what it was called with."""

    def write(root, problem):
        (root / "report.html").write_text(problem or "all is well")
        return root / "report.html"

    def prepare(fails=""):
        program, log = tmp_path / "rbh1-release", tmp_path / "calls.log"
        program.write_text(STAND_IN.format(python=sys.executable, log=str(log), fails=fails))
        program.chmod(0o755)
        monkeypatch.setattr(tail, "command", lambda: [str(program)])
        monkeypatch.setattr(tail.ard, "open", lambda folder, verify: None, raising=False)
        monkeypatch.setattr(tail, "write_report", write)
        return lambda: [json.loads(line) for line in log.read_text().splitlines()]

    return prepare


def finish(root: Path, monkeypatch, verdict):
    root.mkdir(exist_ok=True)
    monkeypatch.setattr(checks, "judge", lambda folder: Judgement(verdict), raising=False)
    return tail.finish(root, lambda text: None)


def test_good_products_become_a_verified_bundle(tmp_path, monkeypatch, calls):
    log, root = calls(), tmp_path / "run"
    report = finish(root, monkeypatch, "PASSED")
    assert report.ok
    assert log() == [
        ["build", "--run", str(root), "--out", str(root / "bundle"), "--json"],
        ["verify", str(root / "bundle"), "--json"],
    ]
    assert set(report.paths) == {"products", "checks", "bundle", "report"}
    assert json.loads((root / layout.CHECKS_FILE).read_text())["verdict"] == "PASSED"


def test_bad_products_become_no_bundle_and_an_old_one_goes(tmp_path, monkeypatch, calls):
    calls()
    root = tmp_path / "run"
    (root / layout.BUNDLE_DIR).mkdir(parents=True)
    (root / layout.BUNDLE_DIR / layout.MANIFEST_FILE).write_text('{"name": "rbh1-ard"}')
    report = finish(root, monkeypatch, "FAILED")
    assert not report.ok
    assert report.failures == ("FAILED a.b p: seen",)
    assert "bundle" not in report.paths
    assert not (root / layout.BUNDLE_DIR).exists()
    assert not (tmp_path / "calls.log").exists()


@pytest.mark.parametrize("verb", ["build", "verify"])
def test_a_release_that_refuses_is_quoted(tmp_path, monkeypatch, calls, verb):
    calls(fails=verb)
    with pytest.raises(ArdError, match=f"'rbh1-release {verb}' ended with code 1") as error:
        finish(tmp_path / "run", monkeypatch, "PASSED")
    assert error.value.found == "a check failed; file: x.fits"
    assert "a check failed" in (tmp_path / "run" / "report.html").read_text()


def test_a_folder_called_bundle_that_is_not_ours_is_left_alone(tmp_path, monkeypatch, calls):
    calls()
    thesis = tmp_path / "run" / layout.BUNDLE_DIR / "thesis.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    with pytest.raises(ArdError, match="holds something else"):
        finish(tmp_path / "run", monkeypatch, "PASSED")
    assert thesis.read_text() == "years of work"


def test_the_release_of_this_installation_is_preferred(tmp_path, monkeypatch):
    python = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", "")
    assert tail.command() == [str(python), "-m", "release"]
    beside = tmp_path / "rbh1-release"
    beside.write_text("")
    assert tail.command() == [str(beside)]
