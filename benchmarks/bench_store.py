"""How fast are chains stored, read back and exported, and how much memory does that take?

Four chains of 12 parameters with the usual statistics, a commit for each block of 10 000 draws, to
SQLite and to PostgreSQL (RBH1_TEST_POSTGRES_URL, or a server of its own with fsync on); then one
export. Beside them, rows by plain INSERT (psycopg2's execute_values), of fewer draws. Read back,
every block has to have the digest that it was made with.
Run: python benchmarks/bench_store.py [--draws 10000000]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
from psycopg2.extras import execute_values

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import pgserver

from pipeline.store.blocks import SAMPLE, Block, Run
from pipeline.store.durable import DurableStore, open_store
from pipeline.store.fitstable import export_table
from pipeline.store.netcdf import Content, export_netcdf

N_CHAIN, N_PARAMETER, N_BLOCK_DRAW = 4, 12, 10_000
PLAIN_ROWS = 100_000
STORE_SECONDS, EXPORT_SECONDS, MEGABYTES = 15.0, 120.0, 600.0
NAMES = tuple(f"p{number}" for number in range(N_PARAMETER))
PRIOR = {name: {"family": "normal", "mean": 0.0, "sigma": 3.0} for name in NAMES}
RUN = Run("bench", NAMES, N_CHAIN, 1, {}, PRIOR)
_MB = 1e6


def blocks(n_draw: int) -> Iterator[Block]:
    """Give the blocks of all chains, in the order in which chains in turn would write them."""
    for index in range(-(-n_draw // (N_CHAIN * N_BLOCK_DRAW))):
        for chain in range(N_CHAIN):
            rng = np.random.default_rng([chain, index])
            draws = rng.standard_normal((N_BLOCK_DRAW, N_PARAMETER))
            stats = {
                "lp": -0.5 * np.square(draws).sum(axis=1),
                "energy": rng.standard_normal(N_BLOCK_DRAW),
                "diverging": np.zeros(N_BLOCK_DRAW, bool),
                "n_steps": rng.integers(1, 16, N_BLOCK_DRAW, np.int32),
                "acceptance_rate": rng.random(N_BLOCK_DRAW, np.float32),
            }
            first = index * N_BLOCK_DRAW
            yield Block(chain, index, SAMPLE, first, draws, stats, rng.bytes(4000))


def timed(act: Callable[[], Any]) -> dict[str, float]:
    """Give wall clock, processor time of this process and its largest memory meanwhile."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now
    clock, cpu = time.perf_counter(), time.process_time()
    act()
    seconds, used = time.perf_counter() - clock, time.process_time() - cpu
    status = Path("/proc/self/status").read_text()
    peak = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM"))
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(used, 2),
        "peak_mb": round(peak * 1024 / _MB),
    }


def store_all(store: DurableStore, n_draw: int, sums: dict[tuple[int, int], str]) -> float:
    """Store the chains; give the seconds that the store took, without making the draws."""
    store.begin(RUN)
    seconds = 0.0
    for block in blocks(n_draw):
        clock = time.perf_counter()
        store.append(RUN.name, block)
        seconds += time.perf_counter() - clock
        sums[block.chain, block.index] = block.sha256
    return seconds


def read_all(store: DurableStore, sums: dict[tuple[int, int], str]) -> None:
    """Read the chains back; every bit has to be there."""
    found = {
        (chain, block.index): block.sha256
        for chain in range(N_CHAIN)
        for block in store.blocks(RUN.name, chain)
    }
    if found != sums:
        raise SystemExit("what was read is not what was stored")


def log_prior(draws: np.ndarray) -> dict[str, np.ndarray]:
    """Normal priors."""
    return {name: -0.5 * np.square(draws[:, i] / 3.0) for i, name in enumerate(NAMES)}


def log_likelihood(draws: np.ndarray) -> dict[str, np.ndarray]:
    """One block of data with 50 groups."""
    return {"cube": -0.5 * np.square(draws[:, :1] - np.linspace(-1.0, 1.0, 50))}


def plain_insert(url: str) -> float:
    """Give the rows per second of INSERT with a row for each draw."""
    rng = np.random.default_rng(1)
    rows = [(1, 0, i, *row) for i, row in enumerate(rng.standard_normal((PLAIN_ROWS, 12)).tolist())]
    columns = ", ".join(f"{name} DOUBLE PRECISION" for name in NAMES)
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE plain (run INTEGER, chain INTEGER, draw BIGINT, {columns})")
    clock = time.perf_counter()
    for first in range(0, PLAIN_ROWS, N_BLOCK_DRAW):
        with connection, connection.cursor() as cursor:
            part = rows[first : first + N_BLOCK_DRAW]
            execute_values(cursor, "INSERT INTO plain VALUES %s", part, page_size=1000)
    seconds = time.perf_counter() - clock
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE plain")
    connection.close()
    return PLAIN_ROWS / seconds


def measure(url: str, folder: Path, n_draw: int, export: bool) -> dict[str, Any]:
    """Store, read and perhaps export."""
    sums: dict[tuple[int, int], str] = {}
    seconds: list[float] = []
    with open_store(url, folder=folder) as store:
        whole = timed(lambda: seconds.append(store_all(store, n_draw, sums)))
        found: dict[str, Any] = {"store": {**whole, "store_seconds": round(seconds[0], 2)}}
        found["store"]["draws_per_second"] = round(len(sums) * N_BLOCK_DRAW / seconds[0])
        found["read_back"] = timed(lambda: read_all(store, sums))
        if export:
            content = Content(log_prior, log_likelihood)
            chains, table = folder / "bench.nc", folder / "bench.fits"
            found["export"] = timed(lambda: export_netcdf(store, RUN.name, chains, content))
            found["export"]["file_mb"] = round(chains.stat().st_size / _MB)
            found["table"] = timed(lambda: export_table(chains, table))
            found["table"]["file_mb"] = round(table.stat().st_size / _MB, 1)
        store.remove(RUN.name)
    return found


def main() -> None:
    """Print the measurements as JSON; end with 1 if a limit for the full size is not kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=10_000_000)
    options = parser.parse_args()
    report: dict[str, Any] = {"draws": options.draws, "parameters": N_PARAMETER}
    given = os.environ.get(pgserver.VARIABLE)
    server = None if given else pgserver.PostgresServer()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sqlite = f"sqlite:///{folder}/chains.db"
        report["sqlite"] = measure(sqlite, folder, options.draws, export=False)
        Path(folder / "chains.db").unlink()
        try:
            url = given or server.url
            report["plain_insert_rows_per_second"] = round(plain_insert(url))
            report["postgresql"] = measure(url, folder, options.draws, export=True)
        finally:
            if server is not None:
                server.remove()
    stored = report["postgresql"]["store"]
    ratio = stored["draws_per_second"] / report["plain_insert_rows_per_second"]
    report["times_plain_insert"] = round(ratio, 1)
    report["load"] = round(os.getloadavg()[0], 1)
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    exported = report["postgresql"]["export"]
    peak = max(stored["peak_mb"], exported["peak_mb"], report["sqlite"]["store"]["peak_mb"])
    kept = (
        stored["store_seconds"] <= STORE_SECONDS
        and exported["seconds"] <= EXPORT_SECONDS
        and peak <= MEGABYTES
    )
    sys.exit(0 if kept or options.draws < 10_000_000 else 1)


if __name__ == "__main__":
    main()
