"""How do tasks run in parallel processes, and what happens when a process or its parent dies?

Workers are started afresh by loky, never forked: a fork copies the threads and locks of numeric
libraries in whatever state they are.
"""

import os
import signal
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

from pipeline.graph import Task
from pipeline.runner import Failure, Result, execute

# How often a worker looks if its parent is still there.
WATCH_SECONDS: Final = 0.5
_THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# One thread for each worker: parallel tasks do not fight for cores, and sums do not depend on -j.
# A worker keeps the functions that JAX compiled: loky would take more than 300 MB for a leak, and
# start another, which compiles them again.
WORKER_ENVIRONMENT: Final = {
    **dict.fromkeys(_THREADS, "1"),
    "LOKY_MAX_MEMORY_LEAK_SIZE": os.environ.get("LOKY_MAX_MEMORY_LEAK_SIZE", "4e9"),
}


class Workers:
    """A pool of worker processes for tasks.

    Parameters
    ----------
    size : int
        How many tasks run at a time; 0 runs each in this process as it is started.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool: Any = None
        self._running: dict[Future[Result], Task] = {}
        self._finished: list[Result] = []
        # Tasks that ran when a worker died: repeated one by one, to see whose worker it was.
        self._suspects: list[Task] = []

    @property
    def busy(self) -> bool:
        """True if something is running, or its result has not been fetched."""
        return bool(self._running or self._finished or self._suspects)

    @property
    def full(self) -> bool:
        """True if nothing more should be started now."""
        return bool(self._suspects) or len(self._running) >= max(self._size, 1)

    def start(self, task: Task) -> None:
        """Start a task; in this process if there are no workers or the stage wants it."""
        if self._size == 0 or task.stage.in_main:
            self._finished.append(execute(task))
        else:
            self._submit(task)

    def fetch(self) -> list[Result]:
        """Wait until at least one task has ended, and give the results that are there."""
        while not self._finished and (self._running or self._suspects):
            if self._suspects and not self._running:
                self._submit(self._suspects.pop(0))
                self._wait(alone=True)
            else:
                self._wait(alone=False)
        results, self._finished = self._finished, []
        return results

    def close(self, kill: bool) -> None:
        """End the workers, at once or when they are done."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=kill)
            self._pool = None

    def _submit(self, task: Task) -> None:
        if self._pool is None:
            from loky import ProcessPoolExecutor

            self._pool = ProcessPoolExecutor(
                self._size,
                initializer=prepare_worker,
                initargs=(os.getpid(),),
                env=WORKER_ENVIRONMENT,
            )
        self._running[self._pool.submit(execute, task)] = task

    def _wait(self, alone: bool) -> None:
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        broken: list[tuple[Task, BrokenProcessPool]] = []
        for future in done:
            task = self._running.pop(future)
            try:
                self._finished.append(future.result())
            except BrokenProcessPool as error:
                broken.append((task, error))
        if not broken:
            return
        tasks = [task for task, _ in broken] + list(self._running.values())
        self._running.clear()
        self.close(kill=True)
        if alone or len(tasks) == 1:
            self._finished += [_died(task, error) for task, error in broken]
        else:
            self._suspects += tasks


def _died(task: Task, error: BrokenProcessPool) -> Result:
    failure = Failure(
        f"the worker process of '{task.name}' died",
        expected="a worker that ends by itself",
        found=str(error).partition("\n")[0] or type(error).__name__,
        action="see if memory ran out (rbh1 doctor shows how much there is); try -j 1",
    )
    return Result(task.name, 0.0, failure)


def prepare_worker(parent: int) -> None:
    """Let a process of a pool end with the process that made it, and only then."""
    # An interrupt is for the main process, which then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    # When the main process is killed, its workers must not write into the folder of a next run.
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
