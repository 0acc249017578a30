"""Has a database the right tables, from the right address, and does nobody see a password?

Oracle: Alembic's own comparison of a database with the declared tables; revisions made here.
"""

import logging
import shutil

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, make_url, text

from ard.errors import ArdError
from pipeline.store import schema
from pipeline.store.address import resolve
from pipeline.store.durable import open_store
from pipeline.store.engine import make_engine
from pipeline.store.metadata import METADATA
from pipeline.store.troubles import StoreAwayError

REVISION = '''"""A column more."""

import sqlalchemy as sa
from alembic import op

revision = "{new}"
down_revision = "{old}"


def upgrade():
    op.add_column("chain_runs", sa.Column("note_{new}", sa.Text()))
    {extra}
'''


def next_revision(folder, extra=""):
    """The migrations of a later version, with one revision more."""
    shutil.copytree(schema.SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text_ = REVISION.format(new="9001", old="0002", extra=extra)
    (folder / "versions" / "v9001.py").write_text(text_)
    return folder


@pytest.fixture
def engine(address, tmp_path):
    url, _ = resolve(address, tmp_path)
    made = make_engine(url)
    yield made
    made.dispose()


def test_the_migrations_make_the_tables_that_are_declared(engine):
    schema.prepare(engine, "here")
    with engine.connect() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []
    assert set(inspect(engine).get_table_names()) == {*METADATA.tables, schema.VERSION_TABLE}


def test_tables_of_an_older_version_are_brought_up_and_of_a_later_refused(
    engine, address, tmp_path, run, make_block
):
    with open_store(address, folder=tmp_path) as store:
        store.begin(run)
        store.append("fit", make_block(0))
    schema.prepare(engine, "here", next_revision(tmp_path / "later"))
    assert "note_9001" in {c["name"] for c in inspect(engine).get_columns("chain_runs")}
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM chain_blocks")).scalar() == 1
    with pytest.raises(ArdError, match=r"later version(.|\n)*schema of 0002(.|\n)*9001"):
        open_store(address, folder=tmp_path)


def test_a_migration_that_fails_changes_nothing(engine, tmp_path):
    schema.prepare(engine, "here")
    broken = next_revision(tmp_path / "broken", extra='op.execute("SELECT nonsense FROM nowhere")')
    with pytest.raises(ArdError, match="refuses what it was asked"):
        schema.prepare(engine, "here", broken)
    assert "note_9001" not in {c["name"] for c in inspect(engine).get_columns("chain_runs")}
    schema.prepare(engine, "here")


def test_what_else_is_in_the_database_is_left_alone(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
    schema.prepare(engine, "here")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM alembic_version")).scalar() == "theirs"


def test_tables_of_our_names_that_are_not_ours_are_refused(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE chain_runs (id INTEGER)"))
    with pytest.raises(ArdError, match=r"not ours(.|\n)*chain_runs"):
        schema.prepare(engine, "here")


def test_the_address_is_the_argument_then_the_variable_then_the_run_folder(tmp_path):
    set_ = {"RBH1_DATABASE_URL": "postgresql://me:secret@host:5/db"}
    url, shown = resolve("sqlite:////there/a.db", tmp_path, set_)
    assert (url.drivername, url.database, shown) == (
        "sqlite+pysqlite",
        "/there/a.db",
        "sqlite:////there/a.db",
    )
    url, shown = resolve(None, tmp_path, set_)
    assert (url.drivername, url.password) == ("postgresql+psycopg2", "secret")
    assert shown == "postgresql://me:***@host:5/db"
    url, shown = resolve(None, tmp_path, {})
    assert url.database == shown == str(tmp_path / ".rbh1" / "chains.db")
    assert resolve("postgres://host/db", tmp_path)[0].drivername == "postgresql+psycopg2"


@pytest.mark.parametrize(
    "wrong",
    [
        "mysql://me:secret@host/db",
        "host=here password=secret dbname=db",
        "postgresql://me:secret@host",
        "sqlite://",
        "sqlite:///:memory:",
        "/a/file.db",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(wrong, tmp_path):
    with pytest.raises(ArdError, match="not the address of a database") as told:
        open_store(wrong, folder=tmp_path)
    assert "secret" not in str(told.value)
    assert "secret" not in repr(told.value.__cause__)


def test_a_server_that_is_not_there_is_said_without_its_password(tmp_path, caplog):
    # Port 1 of this machine: nobody listens.
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(StoreAwayError, match=r"127.0.0.1(.|\n)*check the address") as told,
    ):
        open_store("postgresql://me:s3cret@127.0.0.1:1/db?connect_timeout=2", folder=tmp_path)
    cause = told.value.__cause__
    assert "s3cret" not in f"{told.value} {cause} {cause!r} {caplog.text}"


@pytest.mark.postgres
def test_a_server_that_lets_nobody_in_is_said(postgres_url, tmp_path):
    stranger = make_url(postgres_url).set(username="nobody_here", password="s3cret")
    with pytest.raises(StoreAwayError, match="nobody_here"):
        open_store(stranger.render_as_string(hide_password=False), folder=tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArdError, match="file of the database cannot be made"):
        open_store(f"sqlite:///{tmp_path}/file/chains.db", folder=tmp_path)
