"""Campaigns: their settings, and what their workers found."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES = (
    "campaign_workers",
    "campaign_conflicts",
    "campaign_dead",
    "campaign_chains",
    "campaign_evaluations",
    "campaign_motions",
    "campaign_models",
    "campaign_versions",
    "campaigns",
)


def upgrade() -> None:
    """Make the tables of campaigns."""
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("config_sha256", sa.Text(), nullable=False),
        sa.Column("code_sha256", sa.Text(), nullable=False),
        sa.Column("fed_dynamics", sa.Integer(), nullable=False),
        sa.Column("fed_likelihood", sa.Integer(), nullable=False),
        sa.Column("fed_chains", sa.Integer(), nullable=False),
        _created(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    _of_role("campaign_versions", sa.Column("versions", sa.JSON(), nullable=False))
    _of_number("campaign_models", sa.Column("parameters", sa.JSON(), nullable=False))
    _of_number(
        "campaign_motions",
        sa.Column("possible", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("curve", sa.LargeBinary()),
        *_found(),
    )
    _of_number(
        "campaign_evaluations",
        sa.Column("log_likelihood", sa.Float(53)),
        sa.Column("chi2", sa.Float(53)),
        sa.Column("nuisances", sa.JSON(), nullable=False),
        sa.Column("converged", sa.Boolean(), nullable=False),
        *_found(),
    )
    _of_number("campaign_chains", sa.Column("report", sa.JSON(), nullable=False), *_found())
    _make(
        "campaign_dead",
        ("campaign_id", "role", "task"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        _created(),
    )
    _make(
        "campaign_conflicts",
        ("campaign_id", "role", "number", "sha256"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("kept_sha256", sa.Text(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        _created(),
    )
    _make(
        "campaign_workers",
        ("campaign_id", "worker", "role"),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("started_s", sa.Float(53), nullable=False),
        sa.Column("seen_s", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
    )


def downgrade() -> None:
    """Remove the tables of campaigns."""
    for name in _TABLES:
        op.drop_table(name)


def _make(name: str, key: tuple[str, ...], *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint(*key),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], ondelete="CASCADE"),
    )


def _of_role(name: str, *columns: sa.Column[Any]) -> None:
    role = sa.Column("role", sa.Text(), nullable=False)
    _make(name, ("campaign_id", "role"), role, *columns)


def _of_number(name: str, *columns: sa.Column[Any]) -> None:
    number = sa.Column("number", sa.Integer(), nullable=False, autoincrement=False)
    _make(name, ("campaign_id", "number"), number, *columns)


def _created() -> sa.Column[Any]:
    return sa.Column(
        "created", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
    )


def _found() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        _created(),
    )
