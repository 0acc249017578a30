"""Which tables does the database of the study have?

One `MetaData` for all of them. Each part of the study declares its own tables on it, in a module of
its own, and adds a revision to ``migrations``.
"""

from typing import Final

from sqlalchemy import MetaData

# Names of constraints that are the same in SQLite and PostgreSQL, so that a migration can name one.
METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
