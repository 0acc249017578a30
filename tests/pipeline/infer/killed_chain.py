"""A program that samples into a folder, to be killed: folder, seed, name of the run."""

import sys
from pathlib import Path

import targets
from chainstore import FileStore

from pipeline import runtime
from pipeline.infer.chain import Settings
from pipeline.infer.sampler import Budget, sample


def main(folder: str, seed: str, name: str) -> None:
    runtime.start("float64")
    mean, covariance = targets.correlated(5)
    target = targets.gaussian(mean, covariance)
    starts = targets.starts_of(mean, covariance)
    settings = Settings(n_warmup=120)
    run = targets.run_of(target, starts, settings, name=name, seed=int(seed))
    budget = Budget(block=4, n_first=200, n_most=200)
    sample(target, starts, run, FileStore(Path(folder)), settings=settings, budget=budget,
           gate=targets.never)  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
