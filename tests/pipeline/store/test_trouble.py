"""Is what was stored still whole where a disk is full, a block damaged, or a file not ours?

Oracle: the blocks that were put in, and faults that are planted.
"""

import os
import sqlite3

import pytest
from sqlalchemy import event, text

from ard.errors import ArdError, IntegrityError
from pipeline.store.codec import stats_to_bytes
from pipeline.store.durable import open_store
from pipeline.store.spool import Spool
from pipeline.store.troubles import DiskFullError, StoreAwayError


def append_many(store, blocks):
    for block in blocks:
        store.append("fit", block)


def stored(store, index_count):
    return [block.index for block in store.blocks("fit", 1)] == list(range(index_count))


def test_a_full_disk_of_the_database_is_said_and_leaves_nothing_half(tmp_path, run, make_block):
    url = f"sqlite:///{tmp_path}/chains.db"
    with open_store(url, folder=tmp_path) as store:
        store.begin(run)
        # SQLite's own limit gives the error that it gives for a full disk.
        engine = store._store._engine
        with engine.connect() as connection:
            limit = connection.exec_driver_sql("PRAGMA page_count").scalar() + 6
        limited = f"PRAGMA max_page_count = {limit}"
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(limited))
        with pytest.raises(DiskFullError, match="what was stored before is whole"):
            append_many(store, map(make_block, range(1000)))
        kept = store.n_draw("fit", 1) // 3
        assert 0 < kept < 1000
        assert stored(store, kept)
        assert store.latest("fit", 1).state == b"state%d" % (kept - 1)
    with open_store(url, folder=tmp_path) as store:  # room again
        store.append("fit", make_block(kept))
        assert stored(store, kept + 1)


def test_a_full_disk_of_what_waits_is_said_and_leaves_nothing_half(
    tmp_path, run, make_block, monkeypatch
):
    url = f"sqlite:///{tmp_path}/chains.db"
    with open_store(url, folder=tmp_path) as store:
        store.begin(run)
        monkeypatch.setattr(store._store, "append", _raise(StoreAwayError("away")))
        store.append("fit", make_block(0))
        monkeypatch.setattr(os, "fsync", _raise(OSError(28, "No space left on device")))
        with pytest.raises(DiskFullError, match="no space left for"):
            store.append("fit", make_block(1))
        monkeypatch.undo()
        files = [path.suffix for path in store._spool.folder.iterdir()]
        assert files == [".block"]
        store.append("fit", make_block(1))
        assert stored(store, 2)


def test_what_waits_is_durable_with_all_folders_that_were_made_for_it(
    tmp_path, make_block, monkeypatch
):
    """A name is on the disk once its folder is: each new folder's name is in the one above."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    spool = Spool(tmp_path / "run" / "spool" / "db")
    spool.put("fit", make_block(0))
    above = [tmp_path, tmp_path / "run", tmp_path / "run" / "spool"]
    assert synced[:3] == [path.stat().st_ino for path in above]
    assert synced[-1] == spool.folder.stat().st_ino
    del synced[:]
    spool.put("fit", make_block(1))
    assert len(synced) == 2  # the file and its folder


def _raise(error):
    def act(*_):
        raise error

    return act


@pytest.mark.parametrize("part", ["draws", "stats", "state", "phase", "stats cut"])
def test_a_damaged_block_is_named(part, address, tmp_path, run, make_block):
    change = {
        "draws": ("chain_blocks", "draws", "other"),
        "stats": ("chain_blocks", "stats", "other"),
        "state": ("chain_states", "state", "other"),
        "phase": ("chain_blocks", "first_draw", 6),
        "stats cut": ("chain_blocks", "stats", "cut"),
    }
    table, column, value = change[part]
    with open_store(address, folder=tmp_path) as store:
        store.begin(run)
        for index in range(2):
            store.append("fit", make_block(index))
        last = make_block(1)
        if value == "other":
            others = {
                "draws": (last.draws + 1.0).tobytes(),
                "stats": stats_to_bytes(make_block(1, seed=4)),
                "state": b"states",
            }
            value = others[column]
        elif value == "cut":
            value = b"\x01"
        with store._store._engine.begin() as connection:
            connection.execute(
                text(f"UPDATE {table} SET {column} = :value WHERE block = 1"), {"value": value}
            )
        with pytest.raises(IntegrityError, match="block 1 of chain 1 of the run 'fit' is damaged"):
            store.latest("fit", 1)
        reading = store.blocks("fit", 1)
        assert next(reading).index == 0  # what is whole still reads
        if table == "chain_blocks":
            with pytest.raises(IntegrityError, match="block 1 of chain 1"):
                next(reading)


def test_a_file_that_is_no_database_is_said(tmp_path):
    path = tmp_path / "chains.db"
    path.write_bytes(b"this is a text, and long enough to be one" * 40)
    with pytest.raises(IntegrityError, match="file of the database is damaged"):
        open_store(f"sqlite:///{path}", folder=tmp_path)


def test_a_file_that_was_replaced_is_not_written_to_unseen(tmp_path, run, make_block):
    path = tmp_path / "chains.db"
    with open_store(f"sqlite:///{path}", folder=tmp_path, patience_s=0.1) as store:
        store.begin(run)
        for found in tmp_path.glob("chains.db*"):
            found.unlink()
        sqlite3.connect(path).close()
        with pytest.raises(ArdError, match="refuses what it was asked"):
            store.append("fit", make_block(0))
