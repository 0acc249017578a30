"""Which database holds the chains, and how may its address be shown?"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ard import layout
from ard.errors import ArdError
from pipeline.doctor import shown
from pipeline.store.troubles import VARIABLE

FILE: Final = "chains.db"
SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
# The driver by name: which one SQLAlchemy takes by itself depends on its version.
_DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg2",
    "postgresql": "postgresql+psycopg2",
    "postgresql+psycopg2": "postgresql+psycopg2",
}


def resolve(
    address: str | None, folder: Path, environment: Mapping[str, str] = os.environ
) -> tuple[URL, str]:
    """Give the address of the database, and how it is shown.

    Parameters
    ----------
    address : str or None
        ``postgresql://user:password@host/database`` or ``sqlite:///file``. None takes
        RBH1_DATABASE_URL; where that is not set, a file in the run folder.
    folder : path
        The run folder.
    environment : mapping of str to str
        Usually ``os.environ``.

    Raises
    ------
    ArdError
        If it is no address of SQLite or PostgreSQL.
    """
    text = address or environment.get(VARIABLE)
    if not text:
        path = Path(folder).resolve() / layout.STATE_DIR / FILE
        return URL.create(_DRIVERS[SQLITE], database=str(path)), str(path)
    public = shown(VARIABLE, text)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise _wrong(public) from error
    driver = _DRIVERS.get(url.drivername)
    if driver is None or not url.database or ":memory:" in url.database:
        raise _wrong(public)
    return url.set(drivername=driver), public


def _wrong(public: str) -> ArdError:
    return ArdError(
        "this is not the address of a database that can hold chains",
        expected="postgresql://user:password@host/database, or sqlite:///path/of/a/file",
        found=public,
        action=f"correct {VARIABLE}, or unset it: chains then go to a file in the run folder",
    )
