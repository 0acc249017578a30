"""How long does the posterior of a shock take, and how does NebulaBayes compare?

A posterior over five abundance sets, field and velocity, 58,000 models in all, and a thousand
spaxels; then models of the public MAPPINGS V table that are held out, for both codes the same
fluxes, in one run. Times are wall and CPU time after a first call. NebulaBayes has an environment
of its own (scipy below 1.14, numpy below 2, NebulaBayes 0.9.9), whose Python is named.

    python benchmarks/bench_shocks.py [--spaxels 1000] [--workers 2] [--nebulabayes PYTHON]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from manifests.shocks import load_shocks
from pipeline.shocks.grid import HALPHA, ShockGrid
from pipeline.shocks.importers.mdb import import_long
from pipeline.shocks.interpolate import Steps, refine
from pipeline.shocks.lattice import Lattice, V
from pipeline.shocks.likelihood import Errors, LineFluxes, errors_for
from pipeline.shocks.nodes import priors_for
from pipeline.shocks.posterior import Quadrature
from pipeline.shocks.summary import quantiles, summarise
from pipeline.shocks.toy import TOY_LINES, toy_loglinear

ROOT = Path(__file__).resolve().parent.parent
LINES = tuple(toy.line.name for toy in TOY_LINES)
ASSUMED = load_shocks()
RUNS = 3
SHAPE = [39, 39, 39]  # as many models as NebulaBayes has by default


def clocked(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Give what a call gives, and its best times of several."""
    made, times = call(), []
    for _ in range(RUNS):
        wall, cpu = time.perf_counter(), time.process_time()
        made = call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    best = np.min(times, axis=0)
    return made, {"wall_s": round(best[0], 4), "cpu_s": round(best[1], 4)}


def random_fluxes(lattice: Lattice, count: int) -> LineFluxes:
    """Draw models at random, and observe them with errors of 3 %."""
    rng = np.random.default_rng(8)
    models = lattice.log_ratio[~lattice.void]
    ratio = models[rng.integers(len(models), size=count)]
    seen = ratio + 0.1 * rng.normal(size=ratio.shape)
    return LineFluxes.of_ratios(lattice.line_names, seen, 0.03 / np.log(10.0))


def faint_fluxes(lattice: Lattice, count: int, n_weak: int) -> LineFluxes:
    """Draw models at random, and see the last lines of each at 2.5 sigma."""
    rng = np.random.default_rng(9)
    models = lattice.log_ratio[~lattice.void]
    ratio = 10.0 ** models[rng.integers(len(models), size=count)]
    weak = np.arange(len(LINES)) >= len(LINES) - n_weak
    error = np.where(weak, 0.4, 0.03) * ratio
    flux = np.column_stack([np.ones(count), ratio + error * rng.normal(size=ratio.shape)])
    return LineFluxes.of_errors(
        (HALPHA, *LINES), flux, np.column_stack([np.full(count, 0.03), error])
    )


def speed(lattice: Lattice, count: int, workers: int) -> dict[str, Any]:
    """Time one posterior, and many."""
    errors = errors_for(lattice.lines, ASSUMED)
    one = Quadrature(lattice, errors, priors_for(lattice, ASSUMED)[:1])
    three = Quadrature(lattice, errors, priors_for(lattice, ASSUMED))
    fluxes = random_fluxes(lattice, count)
    single = fluxes.take(slice(1))
    report: dict[str, Any] = {"models": int(np.prod(lattice.shape)), "spaxels": count}
    report["one posterior"] = clocked(lambda: one.fit(single))[1]
    report["all, one worker"] = clocked(lambda: one.fit(fluxes))[1]
    report[f"all, {workers} workers"] = clocked(lambda: one.fit(fluxes, workers))[1]
    report[f"all, three priors, {workers} workers"] = clocked(lambda: three.fit(fluxes, workers))[1]
    for n_weak in range(1, len(LINES) + 1):
        faint = faint_fluxes(lattice, count, n_weak)
        name = f"all, {n_weak} of {len(LINES)} lines weak, {workers} workers"
        report[name] = clocked(lambda: one.fit(faint, workers))[1]  # noqa: B023
    found = one.fit(fluxes, workers)[0]
    report["numbers of all"] = clocked(lambda: summarise(found, ASSUMED))[1]
    return report


def held_out(grid: ShockGrid, python: Path | None) -> dict[str, Any]:
    """Fit models that are held out, with and without NebulaBayes."""
    every = {"z": range(5), "n": [0], "lines": grid.line_index(LINES)}
    train = grid.take(b=[0, 1, 2, 4, 5, 7], v=range(0, 37, 2), **every)
    held = grid.take(b=[3, 5], v=range(1, 35, 2), **every)
    ratio = 10.0 ** held.log_ratio.reshape(-1, len(LINES))
    flux = np.column_stack([np.ones(len(ratio)), ratio])
    truth = np.broadcast_to(held.v_kms, held.log_hbeta.shape).ravel()
    lattice = refine(train, LINES, Steps(9, 10))
    errors = Errors(LINES, np.full(4, 0.1 / np.log(10.0)), np.zeros(4), 0.0, 0.0, 5.0)
    wide = replace(ASSUMED, v_min_kms=float(grid.v_kms[0]))
    fit = Quadrature(lattice, errors, priors_for(lattice, wide)[:1])
    data = LineFluxes.of_errors((HALPHA, *LINES), flux, 0.03 * flux)
    (found,), times = clocked(lambda: fit.fit(data))
    ours = scores(quantiles(found, V, (0.5, 0.16, 0.84)), truth)
    report: dict[str, Any] = {"models held out": truth.size, "ours": {**ours, **times}}
    if python is None:
        report["NebulaBayes"] = "not measured: name its Python with --nebulabayes"
    else:
        report["NebulaBayes"] = nebulabayes(python, train, flux, truth)
    return report


def scores(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Give errors of log10 v, of estimates with their 68 % intervals, (n, 3)."""
    off = np.abs(np.log10(found[:, 0] / truth))
    inside = (found[:, 1] <= truth) & (truth <= found[:, 2])
    return {
        "median |dlog v|": round(float(np.median(off)), 4),
        "rms dlog v": round(float(np.sqrt(np.mean(off**2))), 4),
        "in 68 %": round(float(inside.mean()), 3),
    }


def nebulabayes(python: Path, train: ShockGrid, flux: np.ndarray, truth: np.ndarray) -> Any:
    """Let NebulaBayes fit the same fluxes with the same models and errors."""
    oh = [one.log_oh for one in train.abundances]
    axes = np.meshgrid(oh, np.log(train.b + 0.3), np.log(train.v_kms), indexing="ij")
    ratio = 10.0 ** train.log_ratio.reshape(-1, len(LINES))
    rows = np.column_stack([*(axis.ravel() for axis in axes), np.ones(len(ratio)), ratio])
    job = {
        "parameters": ["log_oh", "x_b", "ln_v"], "lines": ["Halpha", *LINES], "norm": "Halpha",
        "grid": rows.tolist(), "shape": SHAPE, "grid_error": 0.1,
        "flux": flux.tolist(), "error": (0.03 * flux).tolist(),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "job.json", Path(folder) / "found.json"
        source.write_text(json.dumps(job))
        script = Path(__file__).parent / "peers" / "run_nebulabayes.py"
        done = subprocess.run(
            [python, script, source, target], capture_output=True, text=True, check=False
        )
        if done.returncode:
            return f"not measured: {done.stderr.strip().splitlines()[-1]}"
        found = json.loads(target.read_text())
    wall, cpu = np.median(found["times_s"], axis=0)
    return {**scores(np.exp(np.array(found["ln_v"])), truth), "init_s": round(found["init_s"], 3),
            "one posterior": {"wall_s": round(wall, 4), "cpu_s": round(cpu, 4)}}  # fmt: skip


def main() -> None:
    """Measure, and print a report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--spaxels", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--nebulabayes", type=Path, help="a Python that can import it")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args()
    table = options.shared / "shocks" / "allen08_mappingsV_shockonly_long.csv"
    if table.is_file():
        grid = import_long(table)
        lattice = refine(grid, LINES, log_n=0.0)
        report: dict[str, Any] = {"grid": "MAPPINGS V, Allen08"}
    else:
        lattice = refine(toy_loglinear(), LINES)
        report = {"grid": "toy_loglinear, synthetic: the real table is not here"}
    report |= {"cores": len(os.sched_getaffinity(0)), "load": round(os.getloadavg()[0], 1)}
    report |= speed(lattice, options.spaxels, options.workers)
    if table.is_file():
        fields = np.flatnonzero(np.isin(grid.b, lattice.axis("b").native))
        at = int(np.flatnonzero(grid.log_n == 0.0)[0])
        part = grid.take(z=range(5), n=[at], b=fields.tolist(), v=range(37),
                         lines=range(len(grid.lines)))  # fmt: skip
        report |= held_out(part, options.nebulabayes)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
