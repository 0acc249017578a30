"""Does the line of one cube begin at the archive: fetched, identified, run, judged, bundled?

Oracle: the files of a simulated observation, which the local archive serves under their names;
what comes out must be what comes out of the same files taken from disk.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ard
from ard import io
from ard.fileio import sha256_file
from pipeline.acquire.testing import ArchiveServer, archive_of

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def acquired(tiny_run, tmp_path_factory):
    """A run from a store that was filled from the local archive, all by public commands."""
    from manifests import load_selection

    folder = tmp_path_factory.mktemp("line")
    files = archive_of(tiny_run / "archive", load_selection().only(["jwst_s3d"]))
    assert len(files) == 18
    lock = folder / "lock.json"
    with ArchiveServer(files) as server:
        where = ["--lock", lock, "--store", folder / "store", "--group", "jwst_s3d"]
        rbh1(folder, "acquire", "lock", "--update", *where, "--server", server.url)
        rbh1(folder, "acquire", "run", *where, "--server", server.url)
        rbh1(folder, "acquire", "lock", "--update", *where, "--server", server.url)
        # From here on there is no network.
    words = ["run", "--acquired", "--store", folder / "store", "--lock", lock, "--out", "my-run"]
    said = json.loads(rbh1(folder, *words, "-j", "1", "--json"))
    return folder, said


def rbh1(folder: Path, *words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RBH1_REPO_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    return done.stdout


def test_the_line_ends_with_a_bundle(acquired):
    folder, said = acquired
    assert said["verdict"] == "PASSED"
    bundle = ard.open(folder / "my-run" / "bundle", verify="full")
    assert bundle.simulated
    run = io.read_json(folder / "my-run" / "products" / "run.json")
    assert (run["source"], run["items"], run["simulated"]) == ("archive", ["t001", "t002"], True)


def test_the_bundle_says_on_which_bytes_it_stands(acquired, tiny_run):
    folder, _ = acquired
    table = io.read(folder / "my-run" / "bundle" / "likelihood_archive.ecsv").data
    assert len(table) == 18
    for row in table:
        assert row["sha256"] == sha256_file(tiny_run / "archive" / row["filename"])
        assert row["verified"] == "archive"
        assert row["shows_target"] == "yes" or row["role"] == "imprint"
    roles = list(table["role"])
    assert (roles.count("science"), roles.count("imprint")) == (10, 8)
    assert not any(table["note"])


def test_products_are_those_of_the_same_files_from_disk(acquired, tiny_run):
    folder, _ = acquired
    for name in ("t001_cube", "t002_cube"):
        ours = ard.read_cube(folder / "my-run/products/likelihood" / f"{name}.fits")
        theirs = ard.read_cube(tiny_run / "products/likelihood" / f"{name}.fits")
        for part in ("flux", "var", "mask", "wave"):
            np.testing.assert_array_equal(getattr(ours, part), getattr(theirs, part))
        # The bytes are the same; only their place is another.
        inputs = [set(cube.provenance.inputs.values()) for cube in (ours, theirs)]
        assert inputs[0] == inputs[1]


def test_a_second_run_repeats_nothing(acquired):
    folder, _ = acquired
    words = ["plan", "--acquired", "--store", folder / "store", "--lock", folder / "lock.json"]
    plan = json.loads(rbh1(folder, *words, "--out", "my-run", "--json"))
    assert {row["status"] for row in plan["tasks"]} == {"unchanged"}


def test_a_store_that_is_not_whole_is_not_run(acquired, tmp_path):
    folder, _ = acquired
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "--acquired", "--store", tmp_path / "none",
         "--lock", folder / "lock.json", "--out", tmp_path / "x"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "there is no store of archive files" in done.stderr
    assert "rbh1 acquire run" in done.stderr
