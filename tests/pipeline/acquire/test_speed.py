"""Are four transfers faster than one, and is memory flat, as the benchmark says?

Oracle: the clock of the same run, and the kernel's account of the process's memory. Limits are far
from what is measured on an idle machine (ratio 3.9; 2.5 MiB), because tests share theirs.
"""

import pytest
from loading import BENCHMARKS, load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench():
    return load(BENCHMARKS / "bench_acquire.py")


def test_four_transfers_are_faster_than_one(bench, tmp_path):
    seconds = bench.throughput(tmp_path)
    assert seconds[1] / seconds[4] > 2.0


def test_memory_does_not_grow_with_the_file(bench, tmp_path):
    grown, _ = bench.memory(tmp_path, 500.0)
    assert grown < 20.0
