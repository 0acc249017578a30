"""How much faster are four transfers at a time, and does memory stay flat for a large file?

Fetches from the rehearsal server on this machine. For the first question it gives every connection
the rate that the archive gave one (2.4 MB/s). Prints one line a measurement.

    python benchmarks/bench_acquire.py [--mb 500]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from ard.fileio import write_json
from manifests.lock import Lock, LockedFile
from pipeline.acquire.testing import ArchiveFile, ArchiveServer

ARCHIVE_RATE = 2.4e6  # bytes/s, measured over 50 GB (reference/archive_and_formats.md 1.5)
SELECTION = """
[selection]
name = "bench"
title = "images of one size"
target = "rbh1"
[[programs]]
collection = "HST"
program = "17301"
source = "a benchmark"
[[groups]]
name = "image"
title = "images"
collection = "HST"
program = "17301"
pattern = '.*'
count = 1
typical_bytes = 1
extensions = [["SCI", 2, -32]]
source = "a benchmark"
"""


def make_archive(folder: Path, count: int, megabytes: float) -> list[ArchiveFile]:
    """Write images of a size, with their selection and a lock that knows nothing of them."""
    side = int((megabytes * 1e6 / 4) ** 0.5)
    image = fits.ImageHDU(np.arange(side * side, dtype=np.float32).reshape(side, side), name="SCI")
    files = []
    for number in range(count):
        path = folder / f"image{number}_drc.fits"
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
        files.append(ArchiveFile(f"mast:HST/product/{path.name}", path, "HST", "17301", path.stem))
    (folder / "selection.toml").write_text(SELECTION)
    rows = tuple(LockedFile(file.uri, file.name, "image") for file in files)
    write_json(folder / "lock.json", Lock("bench", rows).to_dict())
    return files


def fetch(folder: Path, url: str, store: Path, workers: int) -> dict[str, Any]:
    """Fetch all files in a process of its own."""
    command = [sys.executable, "-m", "pipeline.acquire.testing.worker"]
    done = subprocess.run(
        [*command, folder / "selection.toml", folder / "lock.json", store, url, str(workers)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parent.parent,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def throughput(folder: Path, count: int = 8, megabytes: float = 3.0) -> dict[int, float]:
    """Give the seconds for one transfer at a time, and for four."""
    files = make_archive(folder, count, megabytes)
    with ArchiveServer(files, rate=ARCHIVE_RATE) as server:
        return {
            workers: fetch(folder, server.url, folder / f"store{workers}", workers)["seconds"]
            for workers in (1, 4)
        }


def memory(folder: Path, megabytes: float) -> tuple[float, float]:
    """Give the growth of memory in MiB, and the seconds, for one file of a size."""
    files = make_archive(folder, 1, megabytes)
    with ArchiveServer(files) as server:
        found = fetch(folder, server.url, folder / "store", 1)
    return found["grown_mib"], found["seconds"]


def main() -> None:
    """Measure, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=float, default=500.0, help="size of the large file, MB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        seconds = throughput(Path(name))
    sys.stdout.write(
        f"8 files of 3 MB at 2.4 MB/s a connection: {seconds[1]:.2f} s with 1 worker, "
        f"{seconds[4]:.2f} s with 4, ratio {seconds[1] / seconds[4]:.2f}\n"
    )
    for size in (5.0, options.mb):
        with tempfile.TemporaryDirectory() as name:
            grown, took = memory(Path(name), size)
        sys.stdout.write(f"one file of {size:g} MB: memory grew {grown:.1f} MiB, {took:.2f} s\n")


if __name__ == "__main__":
    main()
