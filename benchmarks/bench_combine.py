"""How long does a combination take, and how much memory, against the number of exposures?

Exposures of the real size (1447 x 49 x 47) are simulated noise on disk, offset by parts of spaxels,
which is the slow case; each measurement is a process of its own, whose peak memory the system
tells. Run: python benchmarks/bench_combine.py [--keep FOLDER]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from ard.fitsio import write_hdus
from ard.headers import celestial_cards
from ard.spectral import spectral_cards
from pipeline.reduce.combine.exposure import open_exposure
from pipeline.reduce.combine.grid import common_grid
from pipeline.reduce.combine.stack import combine

SHAPE = (1447, 49, 47)
COUNTS = (2, 4, 8, 16)
WAVE = 0.9703180286 + 0.000636 * np.arange(SHAPE[0])
SPAXEL_DEG = 0.1 / 3600.0
MEGABYTE = 1024.0  # of ru_maxrss, which Linux gives in kB


def sky(number: int) -> WCS:
    """Give the grid of an exposure; the first four offsets are repeated with another share."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [24.0 - 0.37 * (number % 7), 25.0 - 0.61 * (number % 5)]
    wcs.wcs.crval = [40.44051, -8.350361]
    wcs.wcs.cdelt = [-SPAXEL_DEG, SPAXEL_DEG]
    wcs.wcs.set()
    return wcs


def write_exposure(path: Path, number: int, channels: int = SHAPE[0]) -> None:
    """Write an s3d file with noise and one hit in a hundred."""
    rng, shape = np.random.default_rng(number), (channels, *SHAPE[1:])
    flux = rng.standard_normal(shape, np.float32)
    flux[rng.random(shape, np.float32) < 0.01] -= np.float32(500.0)
    cards = celestial_cards(sky(number))
    cards.extend(spectral_cards(WAVE[:channels]), update=True)
    images = {
        "SCI": flux,
        "ERR": np.ones(shape, np.float32),
        "DQ": np.zeros(shape, np.uint32),
        "WMAP": np.full(shape, 8, np.float32),
    }
    hdus = [fits.ImageHDU(data, header=cards, name=name) for name, data in images.items()]
    for hdu in hdus[:2]:
        hdu.header["BUNIT"] = "MJy/sr"
    write_hdus(path, fits.HDUList([fits.PrimaryHDU(), *hdus]), overwrite=True)


def measure(folder: Path, count: int) -> dict[str, float]:
    """Combine in this process; give seconds and peak memory."""
    began = time.perf_counter()
    exposures = [open_exposure(path) for path in sorted(folder.glob("*.fits"))[:count]]
    opened = time.perf_counter()
    made = combine(exposures, common_grid(exposures))
    done = time.perf_counter()
    return {
        "cubes": count,
        "open_s": round(opened - began, 2),
        "combine_s": round(done - opened, 2),
        "cpu_s": round(time.process_time(), 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE),
        "rejected": sum(part.rejected for part in made.parts),
    }


def report(folder: Path) -> dict[str, object]:
    """Measure every number of cubes, each in a fresh process."""
    for number in range(max(COUNTS)):
        path = folder / f"exposure_{number:02d}_s3d.fits"
        if not path.is_file():
            write_exposure(path, number)
    rows = []
    for count in COUNTS:
        command = [sys.executable, __file__, "--keep", str(folder), "--count", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout))
    first, last = rows[0], rows[-1]
    cubes = last["cubes"] / first["cubes"]
    return {
        "shape": SHAPE,
        "rows": rows,
        "times_more_cubes": cubes,
        "times_more_seconds": round(last["combine_s"] / first["combine_s"], 2),
        "times_more_cpu": round(last["cpu_s"] / first["cpu_s"], 2),
        "times_more_memory": round(last["peak_mb"] / first["peak_mb"], 2),
        "seconds_per_cube": round(last["combine_s"] / last["cubes"], 2),
    }


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="where to keep the simulated exposures")
    parser.add_argument("--count", type=int, help="measure this number in this process")
    given = parser.parse_args()
    if given.count:
        result: dict[str, object] = dict(measure(given.keep, given.count))
    elif given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        result = report(given.keep)
    else:
        with tempfile.TemporaryDirectory() as folder:
            result = report(Path(folder))
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
