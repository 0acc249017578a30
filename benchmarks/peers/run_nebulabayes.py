"""Which velocities does NebulaBayes find, and how long does it take?

Runs with a Python of its own: NebulaBayes 0.9.9 wants scipy below 1.14. Reads the job named first,
writes the answers to the file named second.
"""

import json
import logging
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd


def main():
    """Fit every spaxel of the job."""
    for name in ("str", "float", "int", "bool"):  # NebulaBayes wants aliases that numpy dropped
        setattr(np, name, getattr(__import__("builtins"), name))
    from NebulaBayes import NB_Model

    logging.disable(logging.CRITICAL)
    source, target = map(Path, sys.argv[1:])
    job = json.loads(source.read_text())
    grid = pd.DataFrame(np.array(job["grid"]), columns=[*job["parameters"], *job["lines"]])
    began = time.perf_counter()
    model = NB_Model(
        grid, job["parameters"], line_list=job["lines"], interpd_grid_shape=job["shape"],
        grid_error=job["grid_error"],
    )  # fmt: skip
    made = time.perf_counter() - began
    times, found = [], []
    for flux, error in zip(job["flux"], job["error"], strict=True):
        began, cpu = time.perf_counter(), time.process_time()
        result = model(flux, error, job["lines"], norm_line=job["norm"], deredden=False)
        times.append((time.perf_counter() - began, time.process_time() - cpu))
        row = result.Posterior.DF_estimates.loc[job["parameters"][-1]]
        found.append([float(row[key]) for key in ("Estimate", "CI68_low", "CI68_high")])
    target.write_text(json.dumps({"init_s": made, "times_s": times, "ln_v": found}))


if __name__ == "__main__":
    main()
