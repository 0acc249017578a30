"""Processes that sample chains of blocks into a store, to be killed: writer.py URL FOLDER N.

Each block is made of the state after the one before it, so that a chain which goes on from a wrong
state differs from then on. Every line of input starts a process. It says its number, and "stored"
for each block; then it is said how it ended. They are forked, so that the libraries are loaded once
for all of them.
"""

import hashlib
import os
import sys

import numpy as np

from pipeline.store.blocks import SAMPLE, WARMUP, Block, Run
from pipeline.store.durable import open_store

N_WARMUP, N_DRAW = 3, 400
RUN = Run("killed", ("v", "sigma", "flux"), 2, 11, {"data": "d"})


def follow(chain: int, last: Block | None) -> Block:
    index = 0 if last is None else last.index + 1
    state = b"start" if last is None else last.state
    rng = np.random.default_rng([*hashlib.sha256(state).digest(), chain])
    phase = WARMUP if index < N_WARMUP else SAMPLE
    first = N_DRAW * (index if phase == WARMUP else index - N_WARMUP)
    stats = {"lp": rng.normal(size=N_DRAW), "n_steps": rng.integers(0, 9, N_DRAW)}
    draws = rng.normal(size=(N_DRAW, len(RUN.parameters)))
    return Block(chain, index, phase, first, draws, stats, rng.bytes(5000))


def main(url: str, folder: str, n_block: int) -> None:
    with open_store(url, folder=folder, patience_s=60.0) as store:
        store.begin(RUN)
        os.write(1, b"%d\n" % os.getpid())
        for chain in range(RUN.n_chain):
            last = store.latest(RUN.name, chain)
            while last is None or last.index < n_block - 1:
                last = follow(chain, last)
                store.append(RUN.name, last)
                os.write(1, b"stored\n")


if __name__ == "__main__":
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.write(1, b"ended %d\n" % os.waitstatus_to_exitcode(status))
