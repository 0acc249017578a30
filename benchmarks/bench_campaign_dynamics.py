"""How long do the dynamics of a galaxy take, for each kind of disc, and does memory grow?

Models of the prior, one after the other in one process; loading galpy is not counted.

    python benchmarks/bench_campaign_dynamics.py --models 256
"""

import argparse
import json
import resource
import sys
import time

from pipeline.falsify.physics.dynamics import DynamicsSettings, motion
from pipeline.falsify.physics.hypothesis import propose
from pipeline.falsify.physics.potentials import DISC_KINDS, HALO_KINDS, require_galpy


def measure(models, settings):
    """Give ms per model, the part that is possible, and by how many MiB the peak of memory rose."""
    motion(models[0], settings)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    possible = sum(motion(model, settings).possible for model in models)
    spent = time.perf_counter() - began
    rise = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "ms_per_model": round(1e3 * spent / len(models), 2),
        "possible": round(possible / len(models), 3),
        "rise_mib": round(rise / 1024, 1),
    }


def main() -> None:
    """Print the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=256)
    count = parser.parse_args().models
    began = time.perf_counter()
    require_galpy()
    table = {"loading_s": round(time.perf_counter() - began, 2)}
    began = time.perf_counter()
    models = propose(range(count), 1, "sobol")
    table["proposing_ms"] = round(1e3 * (time.perf_counter() - began) / count, 3)
    for disc in DISC_KINDS:
        for halo in HALO_KINDS:
            settings = DynamicsSettings(disc_kind=disc, halo_kind=halo)
            table[f"{disc}, {halo}"] = measure(models, settings)
    sys.stdout.write(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
