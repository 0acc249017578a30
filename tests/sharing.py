"""How do the processes of one test run share what is dear to make?"""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]
) -> Path:
    """Give a folder that the first process that asks fills, and all others find filled.

    No test may change it. If making it fails, the next to ask tries again, from nothing.
    """
    own = tmp_path_factory.getbasetemp()
    # The processes of pytest-xdist have their folders in one that is new for every run.
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = shared / "shared" / name
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.with_suffix(".done")
        if not done.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
