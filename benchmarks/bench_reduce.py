"""How long does the reduction of a whole observation take, and how much memory?

The simulated observation at its full size (18 s3d cubes: two of Level 3, of 1447 x 53 x 49, and
16 exposures) is reduced as `rbh1 run` does it, without the simulation, the figures and the bundle:
with more and more of its exposures. Each reduction is a process with workers of its own. The
processor time is that of all of them; the memory is their sum at its highest, shared pages counted
once, looked at five times a second (Linux only). Tasks are shown on stderr as they begin and end.
Run: python benchmarks/bench_reduce.py [--size tiny] [--counts 4 8 12 16] [--workers 2] [--keep DIR]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import flow
from pipeline.folder import locked
from pipeline.graph import Plan, build_tasks, flatten
from pipeline.outcome import DONE
from pipeline.plans import twin_plan
from pipeline.progress import Display
from pipeline.simulate import geometry
from pipeline.stages import STAGES
from pipeline.stages.reduction import REDUCTION

SECONDS, GIGABYTES = 300.0, 4.0  # what the whole observation has to stay below, on two cores
COUNTS = (4, 8, 12, 16)
LEVEL3 = len(geometry.POINTINGS)
_REDUCTION = ("exposures", *(stage.name for stage in REDUCTION))
_LOOK_SECONDS = 0.2
_GB = 1e9
_KB = 1024


def chosen(count: int) -> list[str]:
    """Name that many exposures: of both pointings, of sky and of imprint, the same number each."""
    kinds = 2 * LEVEL3
    if count % kinds or not kinds <= count <= len(geometry.EXPOSURES):
        raise ValueError(f"{count} exposures: expected 4, 8, 12 or 16")
    return [f"{e.name}_s3d.fits" for e in geometry.EXPOSURES if e.dither < count // kinds]


def observe(folder: Path, size: str) -> Plan:
    """Make the simulated observation if it is not there; give the plan of its run."""
    plan = twin_plan(folder, settings=[f"simulate.size={size}"])
    _execute(plan, ("simulate",), workers=0)
    return plan


def reduction(observed: Plan, folder: Path, count: int) -> Plan:
    """Plan the reduction of some exposures of an observation in a folder of its own."""
    every = dict(flatten(observed.inputs["exposures"]))
    some = {name: every[name] for name in chosen(count)}
    return replace(observed, root=folder, inputs={**observed.inputs, "exposures": some})


def _execute(plan: Plan, names: Iterable[str], workers: int) -> dict[str, float]:
    """Run the stages of these names; give the seconds of each, all its tasks together."""
    tasks = build_tasks(plan, [stage for stage in STAGES if stage.name in set(names)])
    with locked(plan.root), Display(len(tasks)) as display:
        found = flow.run_tasks(tasks, plan.root, workers, display)
    if not found.ok:
        raise SystemExit("\n".join(f"{o.task}: {o.failure}" for o in found.outcomes if o.failure))
    seconds: dict[str, float] = defaultdict(float)
    for outcome in found.outcomes:
        if outcome.status == DONE:
            seconds[outcome.task.partition("[")[0]] += outcome.seconds
    return {name: round(value, 1) for name, value in seconds.items()}


def measure(command: Sequence[str]) -> tuple[str, dict[str, float]]:
    """Run a program; give its stdout, and what it and all of its processes needed."""
    began, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(command, stdout=output)
        while True:
            ended, status, used = os.wait4(child.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, _tree_bytes(child.pid))
            time.sleep(_LOOK_SECONDS)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    cpu = used.ru_utime + used.ru_stime
    return text, {"wall_s": round(wall, 1), "cpu_s": round(cpu, 1), "peak_gb": round(peak / _GB, 2)}


def _tree_bytes(root: int) -> int:
    """Memory of a process and all that descend from it; 0 where the kernel does not tell."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        children[parent].append(int(stat.parent.name))
    waiting, total = [root], 0
    while waiting:
        pid = waiting.pop()
        waiting += children[pid]
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * _KB for line in lines if line.startswith("Pss:"))
    return total


def straight(counts: Sequence[int], values: Sequence[float]) -> dict[str, float]:
    """Fit a straight line; the deviation is the largest, over the value of the line."""
    slope, start = np.polyfit(counts, values, 1)
    line = start + slope * np.array(counts)
    return {
        "fixed": round(float(start), 2),
        "each": round(float(slope), 3),
        "largest_deviation": round(float(np.max(np.abs(np.array(values) / line - 1.0))), 3),
    }


def report(folder: Path, size: str, counts: Sequence[int], workers: int) -> dict[str, Any]:
    """Reduce the observation with each number of exposures, each in processes of its own."""
    observe(folder / "observed", size)
    rows: list[dict[str, Any]] = []
    for count in counts:
        command = [sys.executable, __file__, "--keep", str(folder), "--size", size]
        text, used = measure([*command, "--reduce", str(count), "--workers", str(workers)])
        rows.append({"exposures": count, **used, "stages_s": json.loads(text)})
    found = {
        "size": size,
        "workers": workers,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 1),
        "rows": rows,
    }
    if len(counts) > 2:
        for name in ("wall_s", "cpu_s"):
            found[f"line_{name}"] = straight(counts, [row[name] for row in rows])
    return found


def reduce(folder: Path, size: str, count: int, workers: int) -> dict[str, float]:
    """Reduce some exposures with workers, from the beginning; give the seconds of each stage."""
    observed = twin_plan(folder / "observed", settings=[f"simulate.size={size}"])
    with tempfile.TemporaryDirectory(dir=folder) as root:
        return _execute(reduction(observed, Path(root), count), _REDUCTION, workers)


def main() -> None:
    """Print the measurements as JSON; end with 1 if the whole observation needs too much."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="full", choices=sorted(geometry.SIZES))
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where to keep the simulated observation")
    parser.add_argument("--reduce", type=int, help="reduce this number in this process and stop")
    given = parser.parse_args()
    if given.reduce:
        json.dump(reduce(given.keep, given.size, given.reduce, given.workers), sys.stdout)
        return
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        found = report(given.keep, given.size, given.counts, given.workers)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = report(Path(folder), given.size, given.counts, given.workers)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    rows = found["rows"]
    # Others on the machine make it slower by the clock, not by what it computes; alone on it, some
    # task runs at any time, so that the clock shows less than this.
    slow = any(row["cpu_s"] > SECONDS or row["peak_gb"] > GIGABYTES for row in rows)
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
