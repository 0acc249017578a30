"""Oracle: what loky itself, and the numeric libraries' variables, say within a worker."""

import os

import pytest

from pipeline.workers import WORKER_ENVIRONMENT

loky = pytest.importorskip("loky", reason="needs the extra study")


def _facts():
    from loky import process_executor

    return getattr(process_executor, "_MAX_MEMORY_LEAK_SIZE", None), os.environ["OMP_NUM_THREADS"]


def test_a_worker_may_keep_what_was_compiled_and_has_one_thread():
    with loky.ProcessPoolExecutor(1, env=WORKER_ENVIRONMENT) as pool:
        leak, threads = pool.submit(_facts).result()
    assert threads == "1"
    if tuple(int(n) for n in loky.__version__.split(".")[:2]) < (3, 7):
        pytest.skip("this loky has a fixed limit")
    assert leak == float(WORKER_ENVIRONMENT["LOKY_MAX_MEMORY_LEAK_SIZE"]) >= 4e9
