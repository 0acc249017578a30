"""What do all measured codes share: a job as JSON, a clock, a result as .npz?"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def measure(make, runs):
    """Give the last result and the time of each call, s; the first call is not counted."""
    made, times = make(), []
    for _ in range(runs):
        began = time.perf_counter()
        made = make()
        times.append(time.perf_counter() - began)
    return made, np.array(times)


def channels(job):
    """Give middle of the first channel and step, km/s, and the number; "fine" to one asked for."""
    edges, fine = job["edges_kms"], job.get("fine", 1)
    step = (edges[1] - edges[0]) / fine
    return edges[0] + step / 2, step, (len(edges) - 1) * fine


def serve(prepare):
    """Do the job whose file is named first; write times and cube to the file named second.

    Parameters
    ----------
    prepare : callable
        Takes the job, gives a function that makes a cube (channel, y, x), and a dictionary of
        arrays to be handed back too.
    """
    source, target = map(Path, sys.argv[1:])
    job = json.loads(source.read_text())
    make, more = prepare(job)
    cube, times = measure(make, job["runs"])
    cube = np.asarray(cube, np.float64)
    cube = cube.reshape(-1, job.get("fine", 1), *cube.shape[1:]).sum(axis=1)
    np.savez(target, cube=cube, times=times, **more)
