"""How do runs and blocks get into the database, and whole out of it again?"""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

from pipeline.store.address import POSTGRESQL
from pipeline.store.blocks import (
    SAMPLE,
    Block,
    Run,
    Summaries,
    no_run,
    out_of_order,
    require_fit,
    require_follows,
    require_same,
    same_block,
)
from pipeline.store.codec import CODEC, DTYPE, copy_row, stats_to_bytes, stored_block
from pipeline.store.database import Database
from pipeline.store.engine import lock
from pipeline.store.tables import BLOCKS, RUNS, STATES, SUMMARIES

# Bytes of each integer column in a binary COPY; 0 for texts and bytes.
_WIDTHS: Final = {"Integer": 4, "BigInteger": 8}
_COPY: Final = (
    f"COPY {BLOCKS.name} ({', '.join(BLOCKS.columns.keys())}) FROM STDIN WITH (FORMAT BINARY)"
)
_COPY_CHUNK: Final = 1 << 20
# Whoever begins a run holds this lock; a chain's is (run, chain), and runs count from 1.
_BEGIN: Final = (0, 2)


class SqlStore(Database):
    """Keep chains in SQLite or PostgreSQL.

    Each call is one transaction. What cannot be done raises at once; `pipeline.store.durable` is
    what waits.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The database, with tables of this version.
    address : str
        How it is shown, without its password.
    """

    def begin(self, run: Run) -> None:
        """Register a run; a run of the same name must be the same run (else `ArdError`)."""
        with self.writing() as connection:
            lock(connection, *_BEGIN)
            row = _run_row(connection, run.name)
            if row is not None:
                require_same(_run(row), run)
                return
            values = {one.name: getattr(run, one.name) for one in fields(run)}
            values |= {"seed": str(run.seed), "parameters": list(run.parameters)}
            connection.execute(insert(RUNS).values(**values))

    def append(self, run: str, block: Block) -> None:
        """Keep a block with its state: both, in one transaction.

        Raises
        ------
        IntegrityError
            If another block is in its place, or it leaves a gap.
        """
        sums = block.sha256, block.state_sha256
        with self.writing() as connection:
            row = self._require_run(connection, run)
            require_fit(_run(row), block)
            lock(connection, row.id, block.chain)
            last = _last(connection, row.id, block.chain)
            n_kept = 0 if last is None else last.block + 1
            if block.index < n_kept and _is_stored(connection, row.id, block, last):
                return
            if block.index != n_kept:
                raise out_of_order(run, block, n_kept)
            phase = block.phase if last is None else last.phase
            next_draw = 0 if last is None else last.first_draw + last.n_draw
            require_follows(run, block, phase, next_draw)
            _insert_block(connection, row.id, block, sums[0])
            _put_state(connection, row.id, block, sums[1])

    def latest(self, run: str, chain: int) -> Block | None:
        """Give the last block of a chain, with the state after it; None where there is none."""
        with self.reading() as connection:
            row = connection.execute(
                select(BLOCKS, STATES.c.state, STATES.c.sha256.label("state_sha256"))
                .join(RUNS, RUNS.c.id == BLOCKS.c.run_id)
                .join(
                    STATES,
                    (STATES.c.run_id == BLOCKS.c.run_id)
                    & (STATES.c.chain == BLOCKS.c.chain)
                    & (STATES.c.block == BLOCKS.c.block),
                )
                .where(RUNS.c.name == run, BLOCKS.c.chain == chain)
            ).one_or_none()
        return None if row is None else stored_block(run, row, bytes(row.state), row.state_sha256)

    def blocks(self, run: str, chain: int, phase: str = SAMPLE) -> Iterator[Block]:
        """Give the blocks of a chain, in order, each checked against its digest.

        One is held in memory at a time.
        """
        for index in self.indices(run, chain, phase):
            yield self.read(run, chain, index)

    def indices(self, run: str, chain: int, phase: str = SAMPLE) -> list[int]:
        """Give the numbers of a chain's blocks of a phase, in order."""
        with self.reading() as connection:
            statement = _of_chain(select(BLOCKS.c.block), run, chain)
            statement = statement.where(BLOCKS.c.phase == phase).order_by(BLOCKS.c.block)
            return list(connection.execute(statement).scalars())

    def read(self, run: str, chain: int, index: int) -> Block:
        """Give one block, checked against its digest."""
        with self.reading() as connection:
            statement = _of_chain(select(BLOCKS), run, chain).where(BLOCKS.c.block == index)
            row = connection.execute(statement).one()
        return stored_block(run, row, b"", None)

    def n_draw(self, run: str, chain: int, phase: str = SAMPLE) -> int:
        """Say how many draws of a phase a chain has."""
        with self.reading() as connection:
            statement = _of_chain(select(func.sum(BLOCKS.c.n_draw)), run, chain)
            return int(connection.execute(statement.where(BLOCKS.c.phase == phase)).scalar() or 0)

    def run(self, name: str) -> Run:
        """Give a run that was begun (else `NotFoundError`)."""
        with self.reading() as connection:
            return _run(self._require_run(connection, name))

    def runs(self) -> list[str]:
        """Give the names of all runs, sorted."""
        with self.reading() as connection:
            return sorted(connection.execute(select(RUNS.c.name)).scalars())

    def remove(self, name: str) -> None:
        """Remove a run with all its chains, for good."""
        with self.writing() as connection:
            row = self._require_run(connection, name)
            connection.execute(delete(RUNS).where(RUNS.c.id == row.id))

    def put_summaries(self, run: str, summaries: Summaries) -> None:
        """Keep what was measured of a run's parameters, instead of what was kept before."""
        with self.writing() as connection:
            row = self._require_run(connection, run)
            lock(connection, *_BEGIN)
            connection.execute(delete(SUMMARIES).where(SUMMARIES.c.run_id == row.id))
            rows = [
                {"run_id": row.id, "parameter": name, "statistic": key, "value": float(value)}
                for name, values in summaries.items()
                for key, value in values.items()
            ]
            if rows:
                connection.execute(insert(SUMMARIES), rows)

    def summaries(self, run: str) -> dict[str, dict[str, float]]:
        """Give what was measured of a run's parameters; a NULL is a NaN."""
        found: dict[str, dict[str, float]] = {}
        with self.reading() as connection:
            row = self._require_run(connection, run)
            statement = select(SUMMARIES).where(SUMMARIES.c.run_id == row.id)
            order = (SUMMARIES.c.parameter, SUMMARIES.c.statistic)
            for one in connection.execute(statement.order_by(*order)):
                value = math.nan if one.value is None else one.value
                found.setdefault(one.parameter, {})[one.statistic] = value
        return found

    def _require_run(self, connection: Connection, name: str) -> Any:
        row = _run_row(connection, name)
        if row is None:
            raise no_run(name, connection.execute(select(RUNS.c.name)).scalars())
        return row


def _run_row(connection: Connection, name: str) -> Any:
    return connection.execute(select(RUNS).where(RUNS.c.name == name)).one_or_none()


def _run(row: Any) -> Run:
    settings: Sequence[Mapping[str, Any]] = (row.digests, row.prior, row.config, row.provenance)
    return Run(row.name, tuple(row.parameters), row.n_chain, int(row.seed), *settings)


def _of_chain(statement: Any, run: str, chain: int) -> Any:
    joined = statement.join_from(BLOCKS, RUNS, RUNS.c.id == BLOCKS.c.run_id)
    return joined.where(RUNS.c.name == run, BLOCKS.c.chain == chain)


def _last(connection: Connection, run_id: int, chain: int) -> Any:
    """Give what is known of the last block of a chain, without its draws."""
    columns = (BLOCKS.c.block, BLOCKS.c.phase, BLOCKS.c.first_draw, BLOCKS.c.n_draw)
    return connection.execute(
        select(*columns, STATES.c.sha256.label("state_sha256"))
        .join(
            STATES,
            (STATES.c.run_id == BLOCKS.c.run_id)
            & (STATES.c.chain == BLOCKS.c.chain)
            & (STATES.c.block == BLOCKS.c.block),
        )
        .where(BLOCKS.c.run_id == run_id, BLOCKS.c.chain == chain)
    ).one_or_none()


def _is_stored(connection: Connection, run_id: int, block: Block, last: Any) -> bool:
    sha256 = connection.execute(
        select(BLOCKS.c.sha256).where(
            BLOCKS.c.run_id == run_id,
            BLOCKS.c.chain == block.chain,
            BLOCKS.c.block == block.index,
        )
    ).scalar_one()
    ends = last is not None and last.block == block.index
    return same_block(block, sha256, last.state_sha256 if last is not None and ends else None)


def _insert_block(connection: Connection, run_id: int, block: Block, sha256: str) -> None:
    values = {
        "run_id": run_id,
        "chain": block.chain,
        "block": block.index,
        "phase": block.phase,
        "first_draw": block.first_draw,
        "n_draw": block.draws.shape[0],
        "n_par": block.draws.shape[1],
        "dtype": DTYPE,
        "codec": CODEC,
        "sha256": sha256,
        "draws": block.draws.astype(DTYPE, "C", copy=False).tobytes(),
        "stats": stats_to_bytes(block),
    }
    if connection.dialect.name != POSTGRESQL:
        connection.execute(insert(BLOCKS).values(**values))
        return
    # Four times as fast as an INSERT, which would send the bytes in hexadecimal.
    widths = tuple(_WIDTHS.get(type(column.type).__name__, 0) for column in BLOCKS.columns)
    row = copy_row(tuple(values[name] for name in BLOCKS.columns.keys()), widths)  # noqa: SIM118
    cursor: Any = connection.connection.cursor()
    with cursor:
        cursor.copy_expert(_COPY, io.BytesIO(row), _COPY_CHUNK)


def _put_state(connection: Connection, run_id: int, block: Block, sha256: str) -> None:
    values = {"block": block.index, "sha256": sha256, "state": block.state}
    of_chain = (STATES.c.run_id == run_id, STATES.c.chain == block.chain)
    if connection.execute(update(STATES).where(*of_chain).values(**values)).rowcount == 0:
        connection.execute(insert(STATES).values(run_id=run_id, chain=block.chain, **values))
