"""Has the database the tables of this version, and how does an older one get them?"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from ard.errors import ArdError
from pipeline.store import campaigns, tables
from pipeline.store.engine import lock, writing
from pipeline.store.metadata import METADATA
from pipeline.store.troubles import translated

SCRIPTS: Final = Path(__file__).with_name("migrations")
# A name of our own: the database may hold other things, with other versions.
VERSION_TABLE: Final = "rbh1_schema_version"
# Any two numbers that nothing else in the database locks; runs count from 1.
_LOCK: Final = (0, 1)


def prepare(engine: Engine, address: str, scripts: Path = SCRIPTS) -> None:
    """Make the tables, or bring those of an older version up to this one.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The database.
    address : str
        How it is shown.
    scripts : path
        Folder of the revisions.

    Raises
    ------
    StoreAwayError
        If the database cannot be reached.
    ArdError
        If its tables are of a later version, or not ours.
    """
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    with translated(address):
        with engine.connect() as connection:
            if _revision(connection) == head:
                return
        with engine.connect() as connection, writing(connection).begin():
            lock(connection, *_LOCK)
            _require_known(connection, script, address)
            config.attributes["connection"] = connection
            config.attributes["version_table"] = VERSION_TABLE
            command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    options = {"version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _require_known(connection: Connection, script: ScriptDirectory, address: str) -> None:
    found = _revision(connection)
    known = [revision.revision for revision in script.walk_revisions()]
    if found is not None and found not in known:
        raise ArdError(
            "the tables of the database are of a later version",
            expected=f"a schema of {known[0]} or before",
            found=f"{found} in {address}",
            action="use the version of rbh1-ard that made them, or a later one",
        )
    taken = sorted(set(METADATA.tables) & set(inspect(connection).get_table_names()))
    if found is None and taken:
        raise ArdError(
            "the database has tables of our names that are not ours",
            expected=f"their version in the table {VERSION_TABLE}",
            found=f"{', '.join(taken)} in {address}",
            action="use another database, or in PostgreSQL another schema (search_path)",
        )


# Declared, or METADATA would be empty.
TABLES: Final = (tables.RUNS, tables.BLOCKS, tables.STATES, tables.SUMMARIES, campaigns.CAMPAIGNS)
