"""What no run made is never replaced or removed, and one run at a time works in a folder."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import pipeline
from ard.errors import ArdError
from pipeline import folder

SOURCE = Path(pipeline.__file__).parent.parent
ARCHIVE = "archive/jw03149001001_02101_00001_nrs1_s3d.fits"


def rbh1(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(SOURCE), "PATH": "", "HOME": str(cwd)},
        check=False,
    )


def content(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", [ARCHIVE, "bundle/thesis.txt", "report.html", "products/x.fits"])
def test_a_folder_with_files_of_others_is_refused_untouched(tmp_path, name):
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"REAL")
    before = content(tmp_path / "mine")
    done = rbh1("demo", "--size", "tiny", "--out", "mine", cwd=tmp_path)
    assert done.returncode == 3
    assert "no run made" in done.stderr
    assert "what to do" in done.stderr
    assert content(tmp_path / "mine") == before


def test_a_run_that_is_refused_by_the_lock_changes_nothing(tmp_path):
    root = tmp_path / "run"
    with folder.locked(root):
        before = content(root)
        done = rbh1("demo", "--size", "tiny", "--out", "run", cwd=tmp_path)
        assert content(root) == before
    assert done.returncode == 3
    assert "another process is working" in done.stderr


@pytest.mark.parametrize("place", ["file.txt", "file.txt/below", "/proc/none"])
def test_a_place_that_cannot_be_written_is_refused_in_words(tmp_path, place):
    (tmp_path / "file.txt").write_text("a file")
    done = rbh1("demo", "--size", "tiny", "--out", place, cwd=tmp_path)
    assert done.returncode == 3
    for part in ("expected:", "found:", "what to do:"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "file.txt").read_text() == "a file"


def test_only_our_own_bundle_is_cleared_away(tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text(json.dumps({"name": "rbh1-ard"}))
    (tmp_path / "report.html").write_text("old")
    folder.clear_results(tmp_path)
    assert not bundle.exists()
    assert not (tmp_path / "report.html").exists()
    bundle.mkdir()
    (bundle / "manifest.json").write_text(json.dumps({"name": "something else"}))
    with pytest.raises(ArdError, match="holds something else"):
        folder.clear_results(tmp_path)
    assert (bundle / "manifest.json").exists()


def test_who_waits_for_a_run_folder_gets_it_when_it_is_free(tmp_path):
    began = time.monotonic()
    with (
        folder.locked(tmp_path),
        pytest.raises(ArdError, match="another process is working"),
        folder.locked(tmp_path, wait_s=0.3),
    ):
        pytest.fail("two had the lock")
    assert time.monotonic() - began >= 0.3
    held = folder.locked(tmp_path)
    held.__enter__()
    leaving = threading.Timer(0.2, held.__exit__, (None, None, None))
    leaving.start()
    with folder.locked(tmp_path, wait_s=30.0):
        leaving.join()
