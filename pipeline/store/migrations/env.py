"""How does Alembic reach the database? Through the connection that it is handed."""

from alembic import context

from pipeline.store.metadata import METADATA

options = context.config.attributes
context.configure(
    connection=options["connection"],
    target_metadata=METADATA,
    version_table=options["version_table"],
)
with context.begin_transaction():
    context.run_migrations()
