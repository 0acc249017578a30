"""How does each call of a store become one transaction, with errors of its own kind?"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from pipeline.store.engine import writing
from pipeline.store.troubles import translated


class Database:
    """An SQLite or PostgreSQL database, by transactions.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The database, with tables of this version.
    address : str
        How it is shown, without its password.
    """

    def __init__(self, engine: Engine, address: str) -> None:
        self._engine = engine
        self.address = address

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction that will write."""
        with (
            translated(self.address),
            self._engine.connect() as connection,
            writing(connection).begin(),
        ):
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a transaction that only reads."""
        with translated(self.address), self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()
