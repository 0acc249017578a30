"""Does a reduction cost as much more as it has more exposures, and hardly more memory?

Oracle: the same with fewer exposures, on the same machine in the same minute. The absolute numbers,
at full size, are those of benchmarks/bench_reduce.py. Bounds leave room for a machine that others
use: on an idle one, twice the exposures take twice the processor time within a tenth.
"""

import time
import tracemalloc
from itertools import pairwise

import pytest
from loading import BENCHMARKS, load

from pipeline.reduce.combine.exposure import open_exposure
from pipeline.reduce.combine.grid import common_grid
from pipeline.reduce.combine.stack import Config, combine

CHANNELS, CHUNK = 48, 4
COUNTS = (4, 8, 16)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    bench, folder = load(BENCHMARKS / "bench_combine.py"), tmp_path_factory.mktemp("exposures")
    paths = [folder / f"{number:02d}_s3d.fits" for number in range(max(COUNTS))]
    for number, path in enumerate(paths):
        bench.write_exposure(path, number, CHANNELS)
    return paths


def combined(paths, chunk=CHUNK):
    exposures = [open_exposure(path) for path in paths]
    return combine(exposures, common_grid(exposures), config=Config(chunk=chunk))


@pytest.mark.slow
def test_the_time_of_a_combination_grows_as_the_number_of_exposures(files):
    seconds = []
    for count in COUNTS:
        tries = []
        for _ in range(2):
            began = time.process_time()
            combined(files[:count])
            tries.append(time.process_time() - began)
        seconds.append(min(tries))
    for few, many in pairwise(seconds):
        assert many / few < 2.8  # with their square: 4


@pytest.mark.slow
def test_a_combination_holds_a_few_channels_of_each_exposure(files):
    """What an exposure adds is less by the share of its channels that are looked at; four of 48
    here, and the same again for how its spaxels lie on the grid."""
    added = {}
    for chunk in (CHUNK, CHANNELS):
        peaks = []
        for count in (COUNTS[0], COUNTS[-1]):
            tracemalloc.start()
            combined(files[:count], chunk)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        added[chunk] = peaks[1] - peaks[0]
    assert added[CHUNK] < added[CHANNELS] / 4


@pytest.mark.slow
def test_the_whole_reduction_with_four_times_the_exposures(tmp_path):
    """The benchmark itself, at the size where what does not depend on their number is most."""
    found = load(BENCHMARKS / "bench_reduce.py").report(tmp_path, "tiny", (4, 16), workers=1)
    few, many = found["rows"]
    assert (few["exposures"], many["exposures"]) == (4, 16)
    assert set(few["stages_s"]) == set(many["stages_s"]) >= {"combine", "noise", "difference"}
    assert many["cpu_s"] / few["cpu_s"] < 2.0
    assert 0.0 < many["peak_gb"] / few["peak_gb"] < 1.5
