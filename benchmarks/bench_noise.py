"""How long does it take to measure the noise of a whole cube, and how much memory?

A simulated Level-3 cube of 1447 x 53 x 49 voxels with its four science exposures, as the stage
gets them. The memory is the largest that the process ever had, with the inputs.
Run: python benchmarks/bench_noise.py [--size tiny] [--cubes 3] [--dithers real] [--no-dithers]
"""

import argparse
import json
import os
import resource
import sys
import time

import numpy as np
from astropy import units as u
from astropy.table import QTable

import ard
from ard.headers import celestial_wcs
from manifests import load_target
from pipeline.reduce import ingest
from pipeline.reduce.noise import stage
from pipeline.reduce.noise.dithers import Dither
from pipeline.simulate import geometry, twin

SECONDS, GIGABYTES = 40.0, 2.0  # what it has to stay below, on two cores
_BYTES_OF_RSS = 1 if sys.platform == "darwin" else 1024
_GB = 1e9


def observation(
    size: str, dithers: str = geometry.WHOLE
) -> tuple[ard.Cube, dict[str, Dither], ard.Table]:
    """Simulate one pointing: its prepared cube, its exposures and their table."""
    pointing = geometry.POINTINGS[0]
    own = {e.name for e in geometry.EXPOSURES if e.pointing == 0 and not e.imprint}
    wave = geometry.window(size).wave
    exposures, cube = {}, None
    for name, hdus in twin.run(twin.TwinConfig(size=size, dithers=dithers)):
        file = name.rpartition("/")[2]
        if file.removesuffix("_s3d.fits") in own:
            flux, err = (np.asarray(hdus[part].data) for part in ("SCI", "ERR"))
            wcs = celestial_wcs(hdus["SCI"].header, file)
            exposures[file] = Dither(file, flux, err, wave, wcs, "MJy/sr", True)
        elif pointing.item in file and file.endswith("s3d.fits"):
            flux, err = (np.asarray(hdus[part].data, float) for part in ("SCI", "ERR"))
            mask = ~(np.isfinite(flux) & (err > 0))
            meta = {key: hdus[0].header[key] for key in ("TARG_RA", "TARG_DEC", "TELESCOP")}
            sky = celestial_wcs(hdus["SCI"].header, file)
            cube = ard.Cube(flux, err**2, mask, wave, sky, meta=meta)
            break
    rows = QTable(
        {
            "filename": list(exposures),
            "role": ["science"] * len(exposures),
            "ra_deg": [pointing.ra_deg] * len(exposures) * u.deg,
            "dec_deg": [pointing.dec_deg] * len(exposures) * u.deg,
        }
    )
    target = load_target("rbh1")
    prepared = ingest.run(cube=cube, target=target, config=ingest.Config())["cube"]
    return prepared, exposures, ard.Table(rows, {})


def main() -> None:
    """Print the timings as JSON; end with 1 if a limit for the full size is not kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="full", choices=sorted(geometry.SIZES))
    parser.add_argument("--cubes", type=int, default=1)
    parser.add_argument("--dithers", default=geometry.WHOLE, choices=sorted(geometry.SHIFTS))
    parser.add_argument("--no-dithers", action="store_true")
    options = parser.parse_args()
    cube, exposures, roles = observation(options.size, options.dithers)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_OF_RSS / _GB
    seconds, processor = [], []
    for _ in range(options.cubes):
        clock, cpu = time.perf_counter(), time.process_time()
        found = stage.run(
            item="t001",
            cube=cube,
            target=load_target("rbh1"),
            exposures=None if options.no_dithers else exposures,
            roles=roles,
            config=stage.Config(),
        )["model"]
        seconds.append(time.perf_counter() - clock)
        processor.append(time.process_time() - cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_OF_RSS / _GB
    report = {
        "shape": list(cube.shape),
        "exposures": len(found["dithers"]["files"]),
        "seconds": [round(value, 2) for value in seconds],
        "cpu_seconds": [round(value, 2) for value in processor],
        "peak_gb": round(peak, 2),
        "peak_before_gb": round(before, 2),
        "load": round(os.getloadavg()[0], 1),
        "scale_median": float(np.median(found["scale"]["value"])),
        "whitened": {form: found["whitened"][form]["variance"] for form in ("kronecker", "fir")},
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    # Others on the machine make it slower by the clock, not by what it computes.
    kept = max(processor) < SECONDS and peak < GIGABYTES
    sys.exit(0 if kept or options.size != "full" else 1)


if __name__ == "__main__":
    main()
