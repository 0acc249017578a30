"""Does the whole line work by its command, give the same bytes again, and survive being killed?

Oracle: two runs in different folders, one of them killed and with another number of workers.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ard
import pipeline

SOURCE = str(Path(pipeline.__file__).parent.parent)
COMMAND = [sys.executable, "-m", "pipeline"]
ENVIRONMENT = os.environ | {"PYTHONPATH": SOURCE}


def rbh1(*arguments, cwd):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=cwd,
        check=False,
    )


def digests(root, *folders):
    files = (p for folder in folders for p in (root / folder).rglob("*") if p.is_file())
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).digest() for p in files}


def kill_after(line, *arguments, cwd):
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT,
        cwd=cwd,
    )
    try:
        assert process.stderr is not None
        assert any(line in text for text in process.stderr)
        time.sleep(0.2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_a_killed_run_gives_the_products_of_one_that_was_not(tmp_path):
    options = ("--set", "simulate.size=tiny", "--no-bundle", "--out")
    once = rbh1("run", *options, "once", cwd=tmp_path)
    assert once.returncode == 0, once.stderr

    kill_after("running   linemaps[t001]", "run", "-j", "1", *options, "twice", cwd=tmp_path)
    assert not (tmp_path / "twice/products").exists()
    states = json.loads(rbh1("status", "twice", "--json", cwd=tmp_path).stdout)
    assert 0 < states["counts"]["done"] < len(states["tasks"])
    twice = rbh1("run", "-j", "1", *options, "twice", cwd=tmp_path)
    assert twice.returncode == 0, twice.stderr
    assert "unchanged simulate" in twice.stderr
    folders = ("archive", "truth", "work", "products")
    assert digests(tmp_path / "once", *folders) == digests(tmp_path / "twice", *folders)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.slow
def test_the_demo_ends_with_a_bundle_that_opens_and_a_report(tmp_path):
    began = time.monotonic()
    done = rbh1("demo", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 300  # what the demonstration promises, on two cores
    result = json.loads(done.stdout)
    assert result["verdict"] == "PASSED"
    page = (tmp_path / "demo-run/report.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "Simulated data" in page
    bundle = ard.open(tmp_path / "demo-run/bundle", verify="full")
    assert bundle.manifest.simulated
    assert {"sha256sums.txt", "manifest.json"} <= {
        path.name for path in (tmp_path / "demo-run/bundle").iterdir()
    }


@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_cube_goes_through_the_stages(tmp_path, shared_data):
    cube = shared_data / "jwst/ngc7469_Level3_ch4-short_s3d.fits.gz"
    arguments = ("run", "--cube", cube, "--target", "ngc7469", "--out", "ngc", "--no-bundle")
    done = rbh1(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    linemap = ard.read(tmp_path / "ngc/products/inference/ngc7469_linemap.fits")
    assert isinstance(linemap, ard.Map)
    assert not linemap.simulated
    again = rbh1("plan", *arguments[1:-1], "--json", cwd=tmp_path)
    assert {
        t["task"]: t["reasons"] for t in json.loads(again.stdout)["tasks"] if t["reasons"]
    } == {}
