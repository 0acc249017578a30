"""What does an error of the database mean: wait, make room, or give up?"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg2
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

from ard.errors import ArdError, IntegrityError, RemoteError
from pipeline.doctor import shown

VARIABLE: Final = "RBH1_DATABASE_URL"
# SQLSTATE classes of PostgreSQL after which the same may succeed: connection, a standby, another
# transaction in the way, resources, intervention of an operator, failure of its system.
_PASSING: Final = ("08", "25006", "40", "53", "57", "58")
_PASSING_SQLITE: Final = ("BUSY", "LOCKED", "CANTOPEN", "IOERR", "READONLY", "PROTOCOL")
_DAMAGED_SQLITE: Final = ("CORRUPT", "NOTADB")


class StoreAwayError(RemoteError):
    """The database cannot be reached, or cannot write now; later it may."""


class DiskFullError(ArdError):
    """There is no room left; nothing half-written is kept."""


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn errors of SQLAlchemy and of the drivers into ours.

    Parameters
    ----------
    address : str
        Which database, without its password.
    """
    try:
        yield
    except (SQLAlchemyError, psycopg2.Error) as error:
        raise _ours(error, address) from error


def _ours(error: Exception, address: str) -> ArdError:
    # COPY is asked of the driver itself, whose errors come as they are.
    cause = error.orig if isinstance(error, DBAPIError) else error
    text = shown(VARIABLE, str(cause).strip().partition("\n")[0])
    found = f"{address}: {text}"
    code = getattr(cause, "sqlite_errorname", "").removeprefix("SQLITE_")
    if code.startswith("FULL"):
        return disk_full(address)
    if code.startswith(_DAMAGED_SQLITE):
        return IntegrityError(
            "the file of the database is damaged",
            expected="an SQLite database",
            found=found,
            action="restore it from a copy, or remove it and sample again",
        )
    if _may_pass(cause, code):
        return StoreAwayError(
            "the database cannot be reached",
            expected="a database that answers",
            found=found,
            action="start it, or check the address and the network; then run again. "
            "Nothing is lost",
        )
    return ArdError(
        "the database refuses what it was asked",
        expected="a database of the present schema, and the right to write",
        found=found,
        action="check the rights of the user, and whether something else uses these tables",
    )


def _may_pass(cause: BaseException | None, sqlite_code: str) -> bool:
    if not isinstance(cause, psycopg2.Error):
        return isinstance(cause, DisconnectionError) or sqlite_code.startswith(_PASSING_SQLITE)
    if cause.pgcode is None:  # no answer at all
        return isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError)
    return str(cause.pgcode).startswith(_PASSING)


def disk_full(where: object) -> DiskFullError:
    """Say that there is no room."""
    return DiskFullError(
        "the disk is full",
        expected="room for the chains",
        found=f"no space left for {where}",
        action="make room and run again: what was stored before is whole, and goes on from there",
    )


@contextmanager
def room_for(where: object) -> Iterator[None]:
    """Say so where a file cannot be written because the disk is full."""
    try:
        yield
    except OSError as error:
        # HDF5 tells the number only in its text.
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or f"errno = {errno.ENOSPC}" in str(error):
            raise disk_full(where) from error
        raise
