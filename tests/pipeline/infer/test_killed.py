"""Is a chain that was killed at random moments the one that nobody killed, bit for bit?

Oracle: the same program, left alone.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import targets
from chainstore import FileStore

from pipeline.store.blocks import Run

PROGRAM = Path(__file__).with_name("killed_chain.py")
TESTS = PROGRAM.parents[2]
SEED = "20"


def begin(folder, name):
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    command = [sys.executable, str(PROGRAM), str(folder), SEED, name]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


def n_blocks(folder, name):
    return len(list((folder / name).glob("*.block")))


def kill_after(process, folder, name, more, rng):
    """Kill it within the making, or the storing, of a block; False if it ended before."""
    wanted = n_blocks(folder, name) + more
    until = time.monotonic() + 120.0
    while n_blocks(folder, name) < wanted and process.poll() is None:
        assert time.monotonic() < until, "no block in two minutes"
        time.sleep(0.0005)
    time.sleep(rng.exponential(0.003))
    alive = process.poll() is None
    process.kill()
    process.wait()
    return alive


@pytest.mark.parametrize("n_kill", [2, pytest.param(12, marks=pytest.mark.long)])
def test_killed_chains_are_those_that_were_left_alone(tmp_path, n_kill):
    rng = np.random.default_rng(n_kill)
    assert begin(tmp_path, "whole").wait(timeout=300) == 0
    total = n_blocks(tmp_path, "whole")
    killed = sum(
        kill_after(begin(tmp_path, "cut"), tmp_path, "cut", int(more), rng)
        for more in rng.integers(1, max(2, total // (n_kill + 1)), size=n_kill)
    )
    assert killed == n_kill
    assert n_blocks(tmp_path, "cut") < total
    assert begin(tmp_path, "cut").wait(timeout=300) == 0
    store = FileStore(tmp_path)
    run = Run("whole", (), 4, int(SEED), {})
    cut = Run("cut", (), 4, int(SEED), {})
    assert targets.digests(store, cut) == targets.digests(store, run)
    for chain in range(4):
        assert store.latest("cut", chain).sha256 == store.latest("whole", chain).sha256
