"""How does a chain go on while its database is away, and lose nothing?

A block that the database does not take waits on the local disk. The database is asked again, less
and less often; when it answers, what waits goes there first and in order. A block that was taken
just before the connection broke is known by its digest, so nothing is there twice.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ard import layout
from ard.errors import ArdError, IntegrityError, NotFoundError
from pipeline.store.address import resolve
from pipeline.store.blocks import SAMPLE, Block, Run, Summaries, out_of_order
from pipeline.store.engine import make_engine
from pipeline.store.schema import prepare
from pipeline.store.spool import Spool, short_digest
from pipeline.store.sql import SqlStore
from pipeline.store.troubles import VARIABLE, StoreAwayError

SPOOL_DIR: Final = "spool"
FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 30.0
# How long a reader waits for the database before it gives up; a writer never waits.
PATIENCE_SECONDS: Final = 300.0

_log: Final = logging.getLogger(__name__)


def open_store(
    url: str | None = None,
    *,
    folder: str | os.PathLike[str] = ".",
    environment: Mapping[str, str] = os.environ,
    patience_s: float = PATIENCE_SECONDS,
) -> "DurableStore":
    """Open the database of chains; make its tables, or bring them up to date.

    Blocks that waited on this disk since a crash go into the database first.

    Parameters
    ----------
    url : str, optional
        ``postgresql://user:password@host/database`` or ``sqlite:///file``; else RBH1_DATABASE_URL;
        else the file ``.rbh1/chains.db`` of the run folder.
    folder : path-like
        The run folder; blocks wait in it while the database is away.
    environment : mapping of str to str
        Usually ``os.environ``.
    patience_s : float
        How long to wait for a database that went away, where its answer is needed.

    Raises
    ------
    StoreAwayError
        If the database cannot be reached.
    ArdError
        If the address is wrong, or the tables are of a later version.
    """
    folder = Path(folder).resolve()
    target, address = resolve(url, folder, environment)
    spool = Spool(folder / layout.STATE_DIR / SPOOL_DIR / short_digest(address))
    # Blocks wait for a database that was there: an empty one in its place would hide that.
    engine = make_engine(target, may_make=not spool.waiting())
    prepare(engine, address)
    again = partial(
        open_store,
        url or environment.get(VARIABLE),
        folder=folder,
        environment={},
        patience_s=patience_s,
    )
    store = DurableStore(SqlStore(engine, address), spool, patience_s, again)
    store.drain()
    return store


class DurableStore:
    """Keep chains in a database, and on the local disk while it is away.

    A context manager: leaving it waits until everything is in the database. In another process, to
    which it goes by pickle, it is opened anew.

    Parameters
    ----------
    store : SqlStore
        The database.
    spool : Spool
        Where blocks wait.
    patience_s : float
        How long to wait for the database where its answer is needed.
    again : callable
        Opens the same store.
    """

    def __init__(
        self,
        store: SqlStore,
        spool: Spool,
        patience_s: float,
        again: Callable[[], "DurableStore"],
    ) -> None:
        self._again = again
        self._store = store
        self._spool = spool
        self._patience_s = patience_s
        self._wait_s = 0.0  # 0 while the database answers
        self._ask_at = 0.0
        self._next: dict[tuple[str, int], int] = {}

    def begin(self, run: Run) -> None:
        """Register a run; a run of the same name must be the same run (else `ArdError`)."""
        self._patiently(lambda: self._store.begin(run))

    def append(self, run: str, block: Block) -> None:
        """Keep a block with its state: in the database, or on the disk while that is away.

        Raises
        ------
        IntegrityError
            If another block is in its place, or it leaves a gap.
        DiskFullError
            If there is no room. What was kept before is whole.
        """
        if time.monotonic() >= self._ask_at:
            try:
                self.drain()
                self._store.append(run, block)
            except StoreAwayError as error:
                self._wait_longer(error)
            else:
                self._is_back()
                self._next[run, block.chain] = block.index + 1
                return
        expected = self._next.get((run, block.chain), block.index)
        if block.index > expected:
            raise out_of_order(run, block, expected)
        if block.index < expected and not self._spool.holds(run, block):
            # It was stored before: only the database can tell if it is the same.
            self._patiently(partial(self._store.append, run, block))
            return
        self._spool.put(run, block)
        self._next[run, block.chain] = max(expected, block.index + 1)

    def latest(self, run: str, chain: int) -> Block | None:
        """Give the last block of a chain, wherever it is; None where there is none."""
        waits = self._spool.last(run, chain)
        if waits is not None:
            return waits
        last = self._patiently(lambda: self._store.latest(run, chain))
        self._next[run, chain] = 0 if last is None else last.index + 1
        return last

    def blocks(self, run: str, chain: int, phase: str = SAMPLE) -> Iterator[Block]:
        """Give the blocks of a chain, in order, each checked against its digest.

        One is held in memory at a time. Waits for a database that is away.
        """
        for index in self._patiently(lambda: self._store.indices(run, chain, phase)):
            yield self._patiently(partial(self._store.read, run, chain, index))

    def n_draw(self, run: str, chain: int, phase: str = SAMPLE) -> int:
        """Say how many draws of a phase a chain has."""
        return self._patiently(lambda: self._store.n_draw(run, chain, phase))

    def run(self, name: str) -> Run:
        """Give a run that was begun (else `NotFoundError`)."""
        return self._patiently(lambda: self._store.run(name))

    def runs(self) -> list[str]:
        """Give the names of all runs, sorted."""
        return self._patiently(self._store.runs)

    def remove(self, name: str) -> None:
        """Remove a run with all its chains, for good."""
        self._patiently(lambda: self._store.remove(name))

    def put_summaries(self, run: str, summaries: Summaries) -> None:
        """Keep what was measured of a run's parameters, instead of what was kept before."""
        self._patiently(lambda: self._store.put_summaries(run, summaries))

    def summaries(self, run: str) -> dict[str, dict[str, float]]:
        """Give what was measured of a run's parameters."""
        return self._patiently(lambda: self._store.summaries(run))

    def drain(self) -> None:
        """Put what waits into the database, each chain in order.

        Raises
        ------
        StoreAwayError
            If the database is away; what it did not take goes on waiting.
        IntegrityError
            If the database has not the chain that a block waits to go on.
        """
        for path in self._spool.waiting():
            for run, block in self._spool.read_there(path):
                try:
                    self._store.append(run, block)
                except (IntegrityError, NotFoundError) as error:
                    raise _unwanted(path, error) from error
                self._spool.drop(path)

    def flush(self) -> None:
        """Wait until everything is in the database, with patience.

        Raises
        ------
        StoreAwayError
            If it stays away; what waits goes there at the next start.
        """
        self._patiently(lambda: None)

    def close(self) -> None:
        """Wait until everything is in the database, and close the connections."""
        try:
            self.flush()
        finally:
            self._store.close()

    def __reduce__(self) -> tuple[object, ...]:
        # Connections belong to one process.
        return (self._again, ())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._store.close()

    def _patiently[T](self, ask: Callable[[], T]) -> T:
        """Ask the database, after what waits; go on asking until patience ends."""
        until = time.monotonic() + self._patience_s
        while True:
            try:
                self.drain()
                answer = ask()
            except StoreAwayError as error:
                self._wait_longer(error)
                if self._ask_at > until:
                    raise self._still_away(error) from error
                time.sleep(max(0.0, self._ask_at - time.monotonic()))
            else:
                self._is_back()
                return answer

    def _wait_longer(self, error: StoreAwayError) -> None:
        if not self._wait_s:
            _log.warning("%s; blocks wait in %s", error.found, self._spool.folder)
        self._wait_s = min(max(2 * self._wait_s, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
        self._ask_at = time.monotonic() + self._wait_s

    def _is_back(self) -> None:
        if self._wait_s:
            _log.warning("%s answers again", self._store.address)
        self._wait_s = self._ask_at = 0.0

    def _still_away(self, error: StoreAwayError) -> StoreAwayError:
        n_waiting = len(self._spool.waiting())
        kept = f"; {n_waiting} blocks wait in {self._spool.folder}" if n_waiting else ""
        return StoreAwayError(
            error.problem,
            expected=error.expected,
            found=f"{error.found}{kept}",
            action=f"{error.action}: nothing is lost" if n_waiting else error.action,
        )


def _unwanted(path: Path, error: ArdError) -> IntegrityError:
    return IntegrityError(
        error.problem,
        file=path,
        expected=error.expected,
        found=error.found,
        action="this block waited for the database; if its chain is not wanted, remove the file",
    )
