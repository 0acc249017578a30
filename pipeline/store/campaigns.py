"""How do campaigns, and what their workers found, lie in the database?"""

from typing import Any, Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
)

from pipeline.store.metadata import METADATA


def _campaign() -> Column[int]:
    return Column("campaign_id", Integer, primary_key=True)


def _number() -> Column[int]:
    return Column("number", Integer, primary_key=True, autoincrement=False)


def _found() -> tuple[Column[Any], ...]:
    """Give what every answer has: its digest, who gave it, and when."""
    return (
        Column("sha256", Text, nullable=False),
        Column("worker", Text, nullable=False),
        Column("created", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


def _of_campaign() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], ondelete="CASCADE")


# fed_*: below that number, the tasks of a role have been in its queue.
CAMPAIGNS: Final = Table(
    "campaigns",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    # Names its queues: two databases may share a broker.
    Column("uid", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("config_sha256", Text, nullable=False),
    Column("code_sha256", Text, nullable=False),
    Column("fed_dynamics", Integer, nullable=False),
    Column("fed_likelihood", Integer, nullable=False),
    Column("fed_chains", Integer, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("name"),
)

VERSIONS: Final = Table(
    "campaign_versions",
    METADATA,
    _campaign(),
    Column("role", Text, primary_key=True),
    Column("versions", JSON, nullable=False),
    _of_campaign(),
)

# Of campaigns whose galaxies come from a file; those of the others follow from their numbers.
MODELS: Final = Table(
    "campaign_models",
    METADATA,
    _campaign(),
    _number(),
    Column("parameters", JSON, nullable=False),
    _of_campaign(),
)

# Numbers in JSON are written with all their digits; what is not finite, as text.
MOTIONS: Final = Table(
    "campaign_motions",
    METADATA,
    _campaign(),
    _number(),
    Column("possible", Boolean, nullable=False),
    # Names of filters, with commas between: counted by the database.
    Column("reasons", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("curve", LargeBinary),
    *_found(),
    _of_campaign(),
)

# SQLite keeps no NaN: NULL is one.
EVALUATIONS: Final = Table(
    "campaign_evaluations",
    METADATA,
    _campaign(),
    _number(),
    Column("log_likelihood", Float(53)),
    Column("chi2", Float(53)),
    Column("nuisances", JSON, nullable=False),
    Column("converged", Boolean, nullable=False),
    *_found(),
    _of_campaign(),
)

FITS: Final = Table(
    "campaign_chains",
    METADATA,
    _campaign(),
    _number(),
    Column("report", JSON, nullable=False),
    *_found(),
    _of_campaign(),
)

# A message that cannot be read is known by its place in the queue, and has no number.
DEAD: Final = Table(
    "campaign_dead",
    METADATA,
    _campaign(),
    Column("role", Text, primary_key=True),
    Column("task", Text, primary_key=True),
    Column("number", Integer),
    Column("reason", Text, nullable=False),
    Column("deliveries", Integer, nullable=False),
    Column("worker", Text, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _of_campaign(),
)

CONFLICTS: Final = Table(
    "campaign_conflicts",
    METADATA,
    _campaign(),
    Column("role", Text, primary_key=True),
    _number(),
    Column("sha256", Text, primary_key=True),
    Column("kept_sha256", Text, nullable=False),
    Column("answer", JSON, nullable=False),
    Column("worker", Text, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _of_campaign(),
)

WORKERS: Final = Table(
    "campaign_workers",
    METADATA,
    _campaign(),
    Column("worker", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("counts", JSON, nullable=False),
    # Seconds since 1970, by the worker's clock.
    Column("started_s", Float(53), nullable=False),
    Column("seen_s", Float(53), nullable=False),
    Column("ended", Boolean, nullable=False),
    _of_campaign(),
)
