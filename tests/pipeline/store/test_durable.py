"""Is nothing lost and nothing there twice, whatever happens to the process or the database?

Oracle: the chain that is written in one go, in memory.
"""

import dataclasses
import itertools
import logging
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

import pytest
from loading import load
from sqlalchemy import make_url

from ard.errors import IntegrityError
from pipeline.store import durable
from pipeline.store.blocks import SAMPLE, WARMUP, MemoryStore
from pipeline.store.durable import open_store
from pipeline.store.troubles import StoreAwayError

writer = load(Path(__file__).with_name("writer.py"))
N_BLOCK = 100


def whole_chain(n_block: int) -> dict[tuple[int, str], list[str]]:
    """The digests of the chains that nothing interrupts."""
    store = MemoryStore()
    store.begin(writer.RUN)
    for chain in range(writer.RUN.n_chain):
        for _ in range(n_block):
            store.append("killed", writer.follow(chain, store.latest("killed", chain)))
    return digests(store)


def digests(store) -> dict[tuple[int, str], list[str]]:
    return {
        (chain, phase): [block.sha256 for block in store.blocks("killed", chain, phase)]
        for chain in range(writer.RUN.n_chain)
        for phase in (WARMUP, SAMPLE)
    }


class Writers:
    """Starts writers of one store, one after the other."""

    def __init__(self, url: str, folder: Path) -> None:
        command = [sys.executable, str(writer.__file__), url, str(folder), str(N_BLOCK)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)

    def run(self, kill_after: int | None = None, delay_s: float = 0.0) -> int:
        """Let one write, kill it a moment after so many blocks, and give its exit code."""
        self._process.stdin.write("start\n")
        pid = int(self._process.stdout.readline())
        if kill_after is not None:
            for _ in range(kill_after):
                assert self._process.stdout.readline() == "stored\n"
            time.sleep(delay_s)
            os.kill(pid, signal.SIGKILL)
        said = iter(self._process.stdout.readline, "")
        return int(next(line for line in said if line != "stored\n").removeprefix("ended "))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def test_a_writer_that_is_killed_at_random_moments_writes_the_same_chain(address, tmp_path):
    rng = random.Random(5)
    with Writers(address, tmp_path) as writers:
        for _ in range(8):
            kill = writers.run(rng.randrange(N_BLOCK // 10), rng.uniform(0.0, 0.003))
            assert kill == -signal.SIGKILL
        with open_store(address, folder=tmp_path) as store:
            began = digests(store)
        assert writers.run() == 0
    whole = whole_chain(N_BLOCK)
    assert sum(map(len, began.values())) < sum(map(len, whole.values()))
    assert all(whole[key][: len(found)] == found for key, found in began.items())
    with open_store(address, folder=tmp_path) as store:
        assert digests(store) == whole


def test_of_two_writers_of_one_chain_one_is_refused(address, tmp_path, run, make_block):
    with open_store(address, folder=tmp_path) as store:
        store.begin(run)
    outcomes: dict[int, list[str]] = {1: [], 2: []}
    meet = threading.Barrier(2, timeout=60)

    def write(seed: int) -> None:
        with open_store(address, folder=tmp_path / str(seed)) as own:
            for index in range(12):
                meet.wait()
                try:
                    own.append("fit", make_block(index, seed=seed))
                    outcomes[seed].append("stored")
                except IntegrityError as error:
                    outcomes[seed].append("refused" if "one process at" in str(error) else "")

    threads = [threading.Thread(target=write, args=(seed,)) for seed in outcomes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, second in zip(outcomes[1], outcomes[2], strict=True):
        assert {first, second} == {"stored", "refused"}
    with open_store(address, folder=tmp_path) as store:
        found = [block.sha256 for block in store.blocks("fit", 1)]
    winners = [1 if first == "stored" else 2 for first in outcomes[1]]
    assert found == [make_block(i, seed=seed).sha256 for i, seed in enumerate(winners)]


@pytest.fixture
def away(address, tmp_path, request):
    """What takes the database away, and brings it back."""
    if address.startswith("sqlite"):
        path = Path(make_url(address).database)
        yield (
            lambda: [p.rename(f"{p}.away") for p in tmp_path.glob(f"{path.name}*")],
            lambda: [p.rename(str(p)[:-5]) for p in tmp_path.glob("*.away")],
        )
        return
    if "RBH1_TEST_POSTGRES_URL" in os.environ:
        pytest.skip("postgres: the server of RBH1_TEST_POSTGRES_URL is not ours to stop")
    server = request.getfixturevalue("own_server")
    yield server.stop, server.start
    if server.stopped:
        server.start()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(durable, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(durable, "LONGEST_WAIT_SECONDS", 0.05)


def stored(store, index_count):
    blocks = list(store.blocks("fit", 1))
    return [block.index for block in blocks] == list(range(index_count))


@pytest.mark.usefixtures("quick")
def test_blocks_wait_on_disk_while_the_database_is_away(
    address, away, tmp_path, run, make_block, caplog
):
    take, bring = away
    with open_store(address, folder=tmp_path) as store:
        store.begin(run)
        for index in range(2):
            store.append("fit", make_block(index))
        take()
        with caplog.at_level(logging.WARNING):
            for index in range(2, 6):
                store.append("fit", make_block(index))
        assert len(list(tmp_path.rglob("*.block"))) == 4
        assert "blocks wait in" in caplog.text
        # The chain goes on from what waits, and keeps its rules.
        assert store.latest("fit", 1).state == b"state5"
        store.append("fit", make_block(5))
        with pytest.raises(IntegrityError, match="block 7 of chain 1"):
            store.append("fit", make_block(7))
        with pytest.raises(IntegrityError, match="block 5 of chain 1"):
            store.append("fit", make_block(5, seed=3))
        with pytest.raises(IntegrityError, match="block 5 of chain 1"):
            store.append("fit", dataclasses.replace(make_block(5), state=b"other"))
        bring()
        # Of a block that was stored before, only the database can tell if it is the same.
        with pytest.raises(IntegrityError, match="block 1 of chain 1"):
            store.append("fit", make_block(1, seed=3))
        store.append("fit", make_block(6))
        assert list(tmp_path.rglob("*.block")) == []
        assert stored(store, 7)
        assert [b.sha256 for b in store.blocks("fit", 1)] == [
            make_block(index).sha256 for index in range(7)
        ]


@pytest.mark.usefixtures("quick")
def test_what_waited_when_a_process_died_is_stored_at_the_next_start(
    address, away, tmp_path, run, make_block
):
    take, bring = away
    dead = open_store(address, folder=tmp_path)
    dead.begin(run)
    dead.append("fit", make_block(0))
    take()
    for index in (1, 2):
        dead.append("fit", make_block(index))
    with pytest.raises(StoreAwayError, match="cannot be reached"):
        open_store(address, folder=tmp_path)
    bring()
    # One of them had been stored, but the process died before it heard of it.
    dead._store.append("fit", make_block(1))
    dead._store.close()
    with open_store(address, folder=tmp_path) as store:
        assert list(tmp_path.rglob("*.block")) == []
        assert stored(store, 3)


@pytest.mark.usefixtures("quick")
def test_a_database_that_stays_away_is_an_error_that_says_what_waits(
    address, away, tmp_path, run, make_block
):
    take, bring = away
    store = open_store(address, folder=tmp_path, patience_s=0.2)
    store.begin(run)
    take()
    store.append("fit", make_block(0))
    with pytest.raises(StoreAwayError, match=r"1 blocks wait in .*\n.*nothing is lost"):
        store.close()
    bring()
    with open_store(address, folder=tmp_path) as store:
        assert stored(store, 1)


def test_waiting_grows_and_is_bounded(tmp_path, monkeypatch):
    store = open_store(f"sqlite:///{tmp_path}/chains.db", folder=tmp_path, patience_s=1000.0)
    now, slept = itertools.count(), []
    clock = [0.0]
    monkeypatch.setattr(durable.time, "monotonic", lambda: clock[0])

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(durable.time, "sleep", sleep)

    def ask():
        if next(now) < 9:
            raise StoreAwayError("away")
        return "answer"

    assert store._patiently(ask) == "answer"
    assert slept == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    store.close()


def test_another_database_gets_nothing_of_what_waits(tmp_path, run, make_block):
    one, other = (f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "other"))
    with open_store(one, folder=tmp_path) as store:
        store.begin(run)
        store._spool.put("fit", make_block(0))
        with open_store(other, folder=tmp_path) as second:
            assert second.runs() == []
    with open_store(one, folder=tmp_path) as store:
        assert stored(store, 1)


def test_a_block_that_waits_and_is_damaged_is_named(tmp_path, run, make_block):
    url = f"sqlite:///{tmp_path}/chains.db"
    with open_store(url, folder=tmp_path) as store:
        store.begin(run)
        store._spool.put("fit", make_block(0))
        (path,) = tmp_path.rglob("*.block")
        data = bytearray(path.read_bytes())
        data[-20] ^= 1
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match=r"that waits is damaged|'fit' is damaged") as told:
            store.flush()
        assert told.value.file == str(path)
        path.unlink()


def test_a_block_that_waits_for_a_run_that_is_gone_is_named(tmp_path, run, make_block):
    url = f"sqlite:///{tmp_path}/chains.db"
    with open_store(url, folder=tmp_path) as store:
        store.begin(run)
        store._spool.put("fit", make_block(0))
        store._store.remove("fit")
        with pytest.raises(IntegrityError, match=r"no run 'fit'(.|\n)*this block waited"):
            store.flush()
        next(tmp_path.rglob("*.block")).unlink()


def test_a_store_goes_to_another_process_by_its_address(store, run, make_block):
    store.begin(run)
    store.append("fit", make_block(0))
    with pickle.loads(pickle.dumps(store)) as copy:
        assert stored(copy, 1)


def test_a_reader_and_a_writer_do_not_wait_for_one_another(
    store, address, tmp_path, run, make_block
):
    store.begin(run)
    store.append("fit", make_block(0))
    with open_store(address, folder=tmp_path / "reader") as reader:
        reading = reader.blocks("fit", 1)
        assert next(reading).index == 0
        store.append("fit", make_block(1))
        assert list(reading) == []  # what it began to read
        assert stored(reader, 2)


def test_a_transaction_of_sqlite_is_on_the_disk_before_it_counts(tmp_path):
    with open_store(folder=tmp_path, environment={}) as store:
        assert store._store.address == str(tmp_path / ".rbh1" / "chains.db")
        with store._store._engine.connect() as connection:
            for pragma, value in (("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1)):
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
