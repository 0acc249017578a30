"""Runs, blocks of draws, states of the sampler, summaries of parameters."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables of chains."""
    op.create_table(
        "chain_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("n_chain", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Text(), nullable=False),
        sa.Column("digests", sa.JSON(), nullable=False),
        sa.Column("prior", sa.JSON(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column(
            "created", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "chain_blocks",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("chain", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("first_draw", sa.BigInteger(), nullable=False),
        sa.Column("n_draw", sa.Integer(), nullable=False),
        sa.Column("n_par", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.Text(), nullable=False),
        sa.Column("codec", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("draws", sa.LargeBinary(), nullable=False),
        sa.Column("stats", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "chain", "block"),
        sa.ForeignKeyConstraint(["run_id"], ["chain_runs.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "chain_states",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("chain", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "chain"),
        sa.ForeignKeyConstraint(
            ["run_id", "chain", "block"],
            ["chain_blocks.run_id", "chain_blocks.chain", "chain_blocks.block"],
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "chain_summaries",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("parameter", sa.Text(), nullable=False),
        sa.Column("statistic", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.PrimaryKeyConstraint("run_id", "parameter", "statistic"),
        sa.ForeignKeyConstraint(["run_id"], ["chain_runs.id"], ondelete="CASCADE"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Draws do not compress, and PostgreSQL would try.
        op.execute("ALTER TABLE chain_blocks ALTER COLUMN draws SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Remove the tables of chains."""
    for name in ("chain_summaries", "chain_states", "chain_blocks", "chain_runs"):
        op.drop_table(name)
