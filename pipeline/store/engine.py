"""How is the database opened, so that what it has taken is on the disk?"""

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool

from ard.errors import ArdError
from pipeline.store.address import POSTGRESQL, SQLITE

# How long SQLite waits for another writer.
BUSY_SECONDS: Final = 30.0
# A server that does not answer is taken for away after these.
_POSTGRESQL: Final = {
    "connect_timeout": 10,
    "application_name": "rbh1",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# FULL: a transaction is on the disk before it counts as done. WAL: readers and the one writer do
# not wait for one another.
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
_WRITES: Final = "rbh1_writes"


def make_engine(url: URL, *, may_make: bool = True) -> Engine:
    """Make the engine of a database.

    Parameters
    ----------
    url : sqlalchemy.URL
        Its address, driver included.
    may_make : bool
        Make an SQLite file if it is not there.

    Raises
    ------
    ArdError
        If the file cannot be made.
    """
    if url.get_backend_name() == POSTGRESQL:
        # What the address says itself goes before.
        options = {key: value for key, value in _POSTGRESQL.items() if key not in url.query}
        return create_engine(url, pool_pre_ping=True, connect_args=options, hide_parameters=True)
    path = Path(str(url.database)).resolve()
    if may_make:
        _make_file(path)
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=lambda: _connect(path),
        poolclass=QueuePool,
        hide_parameters=True,
    )
    event.listen(engine, "begin", _begin)
    event.listen(engine, "checkout", _FileWatch(path))
    return engine


def writing(connection: Connection) -> Connection:
    """Mark a connection: its transaction will write, so SQLite takes the lock as it begins."""
    return connection.execution_options(**{_WRITES: True})


def lock(connection: Connection, first: int, second: int) -> None:
    """Keep every other writer from the same thing until the transaction ends.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name != SQLITE:
        statement = text("SELECT pg_advisory_xact_lock(:first, :second)")
        connection.execute(statement, {"first": first, "second": second})


def _make_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise ArdError(
            "the file of the database cannot be made",
            file=path,
            expected="a folder that can be written",
            found=error.strerror,
            action="choose another folder, or set RBH1_DATABASE_URL",
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: a file that has gone is an error, not a new and empty database.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions are begun below
        check_same_thread=False,  # the pool hands a connection to one thread at a time
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class _FileWatch:
    """Drop a connection whose file was removed or replaced: what it wrote would be lost."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, _connection: Any, record: Any, _proxy: Any) -> None:
        try:
            status = self._path.stat()
        except OSError:
            # A new connection is tried, and its error says what is wrong.
            raise DisconnectionError("the file of the database has gone") from None
        identity = (status.st_dev, status.st_ino)
        if record.info.setdefault("file", identity) != identity:
            raise DisconnectionError("the file of the database was replaced")
