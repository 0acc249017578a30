"""How are many small tasks spread over processes, one of which may die?"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from pipeline.workers import WORKER_ENVIRONMENT, prepare_worker


class Pool:
    """Processes that are started when they are needed, and anew after one has died.

    Parameters
    ----------
    jobs : int
        How many; one is this process itself.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool: Any = None

    def map[T, R](self, function: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
        """Give what a function says of each task, in their order.

        Raises
        ------
        BrokenProcessPool
            If a process died; nobody knows over which task.
        """
        if self._jobs == 1:
            return [function(task) for task in tasks]
        if self._pool is None:
            from loky import ProcessPoolExecutor

            self._pool = ProcessPoolExecutor(
                self._jobs,
                initializer=prepare_worker,
                initargs=(os.getpid(),),
                env=WORKER_ENVIRONMENT,
            )
        try:
            chunk = max(len(tasks) // self._jobs, 1)
            return list(self._pool.map(function, tasks, chunksize=chunk))
        except BrokenProcessPool:
            self.close()
            raise

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None
