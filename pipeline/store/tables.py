"""How do runs, blocks, states and summaries of chains lie in the database?"""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
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

RUNS: Final = Table(
    "chain_runs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("n_chain", Integer, nullable=False),
    # Those of our sampler have 32 bits; those of numpy would have up to 128.
    Column("seed", Text, nullable=False),
    Column("digests", JSON, nullable=False),
    Column("prior", JSON, nullable=False),
    Column("config", JSON, nullable=False),
    Column("provenance", JSON, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("name"),
)

# The draws of a block are n_draw rows of n_par float64, little-endian. Bits of a mantissa do not
# compress, so they are not.
BLOCKS: Final = Table(
    "chain_blocks",
    METADATA,
    Column("run_id", Integer, primary_key=True),
    Column("chain", Integer, primary_key=True),
    Column("block", Integer, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("first_draw", BigInteger, nullable=False),
    Column("n_draw", Integer, nullable=False),
    Column("n_par", Integer, nullable=False),
    Column("dtype", Text, nullable=False),
    Column("codec", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("draws", LargeBinary, nullable=False),
    Column("stats", LargeBinary, nullable=False),
    ForeignKeyConstraint(["run_id"], ["chain_runs.id"], ondelete="CASCADE"),
)

# The state after the last block of each chain, and of no other.
STATES: Final = Table(
    "chain_states",
    METADATA,
    Column("run_id", Integer, primary_key=True),
    Column("chain", Integer, primary_key=True),
    Column("block", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["run_id", "chain", "block"],
        ["chain_blocks.run_id", "chain_blocks.chain", "chain_blocks.block"],
        ondelete="CASCADE",
    ),
)

# One row for each number, so that another diagnostic is no change of schema. SQLite keeps no NaN:
# NULL is one.
SUMMARIES: Final = Table(
    "chain_summaries",
    METADATA,
    Column("run_id", Integer, primary_key=True),
    Column("parameter", Text, primary_key=True),
    Column("statistic", Text, primary_key=True),
    Column("value", Float(53)),
    ForeignKeyConstraint(["run_id"], ["chain_runs.id"], ondelete="CASCADE"),
)
