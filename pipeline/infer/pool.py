"""How do chains run in processes of their own?

A process gets the target once, and then states to go on from; it never stores anything. Processes
are started afresh: JAX does not survive a fork. They end with the process that made them.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self

import jax
import numpy as np

from ard.errors import ArdError
from pipeline import runtime
from pipeline.infer import chain as chains
from pipeline.infer.chain import Arrays, Settings, State
from pipeline.infer.target import Target
from pipeline.workers import WORKER_ENVIRONMENT, prepare_worker

type Job = tuple[int, State, jax.Array, int]

_held: dict[str, Any] = {}


class Pool:
    """Advances chains; with one worker, in this process.

    Parameters
    ----------
    target : Target
        With more than one worker it must survive cloudpickle.
    settings : Settings
    workers : int
    """

    def __init__(self, target: Target, settings: Settings, workers: int) -> None:
        self._target, self._settings = target, settings
        self._executor: Any = None
        if workers > 1:
            self._executor = _executor(target, settings, workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=kind is not None)

    def advance(self, jobs: Sequence[Job]) -> Iterator[tuple[int, State, Arrays]]:
        """Give, for each chain, its state and draws, in the order of the jobs.

        In this process a chain is advanced when it is asked for, so that who stops asking stops
        the work.

        Raises
        ------
        ArdError
            If a process died.
        """
        if self._executor is None:
            for number, state, key, count in jobs:
                yield (number, *chains.advance(self._target, state, key, count, self._settings))
            return
        try:
            futures = [
                self._executor.submit(_advance, chains.pack(state), jax.random.key_data(key), count)
                for _, state, key, count in jobs
            ]
            for job, future in zip(jobs, futures, strict=True):
                data, arrays = future.result()
                yield job[0], chains.unpack(data), arrays
        except BrokenProcessPool as error:
            raise _died(error) from error


def _executor(target: Target, settings: Settings, workers: int) -> Any:
    from loky import ProcessPoolExecutor

    setup = {
        "parent": os.getpid(),
        "precision": str(jax.numpy.result_type(float)),
        "cache": jax.config.jax_compilation_cache_dir,
    }
    arrays = jax.tree.map(np.asarray, target.data)
    plain = Target(target.names, target.log_density, target.constrain, arrays)
    return ProcessPoolExecutor(
        workers, initializer=_prepare, initargs=(setup, plain, settings), env=WORKER_ENVIRONMENT
    )


def _died(error: BrokenProcessPool) -> ArdError:
    return ArdError(
        "a process that computes chains died",
        expected="processes that end when they are told to",
        found=str(error).partition("\n")[0] or type(error).__name__,
        action="see if memory ran out, and run again, perhaps with fewer jobs: blocks that were "
        "stored are whole, and the chains go on from there",
    )


def _prepare(setup: dict[str, Any], target: Target, settings: Settings) -> None:
    prepare_worker(setup["parent"])
    runtime.start(setup["precision"])
    update: Any = jax.config.update
    update("jax_compilation_cache_dir", setup["cache"])
    data = jax.tree.map(jax.numpy.asarray, target.data)
    _held["target"] = Target(target.names, target.log_density, target.constrain, data)
    _held["settings"] = settings


def _advance(data: bytes, key: Any, count: int) -> tuple[bytes, Arrays]:
    key = jax.random.wrap_key_data(jax.numpy.asarray(key))
    state, arrays = chains.advance(
        _held["target"], chains.unpack(data), key, count, _held["settings"]
    )
    return chains.pack(state), arrays
