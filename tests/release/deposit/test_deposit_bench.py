"""Does the benchmark of deposits still run, and do its small numbers keep what the large promise?

Oracle: the number of requests of the leanest walk, 2N + 10, and the list of what has changed.
"""

from loading import BENCHMARKS, load

bench_deposit = load(BENCHMARKS / "bench_deposit.py")


def test_a_small_bundle_costs_what_a_large_one_does(tmp_path):
    found = bench_deposit.measure(tmp_path, size=3_000_000, count=9, workers=2)
    assert found["first_requests"] <= found["limit"] == 28
    assert set(found["second_sent"]) == {
        "README.md", "manifest.json", "sha256sums.txt", "small.txt", "zenodo.json"
    }  # fmt: skip
    assert sum(found["second_sent"].values()) < 20_000
