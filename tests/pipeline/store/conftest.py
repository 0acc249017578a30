from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.store.blocks import SAMPLE, Block, Run
from pipeline.store.durable import DurableStore, open_store


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def address(request, tmp_path) -> str:
    """The address of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/chains.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def store(address, tmp_path) -> Iterator[DurableStore]:
    with open_store(address, folder=tmp_path) as opened:
        yield opened


RUN = Run(
    "fit",
    ("v", "sigma"),
    4,
    2**100,
    {"data": "d", "model": "m"},
    prior={"v": {"family": "normal", "bounds": [None, 1e300]}, "sigma": {"scale": 0.1}},
    config={"steps": 3},
    provenance={"numpy": "2"},
)


@pytest.fixture
def run() -> Run:
    return RUN


@pytest.fixture
def make_block():
    def make(index: int, phase: str = SAMPLE, seed: int = 0, first: int | None = None) -> Block:
        rng = np.random.default_rng([seed, index])
        first = 3 * index if first is None else first
        stats = {"lp": rng.normal(size=3), "diverging": np.zeros(3, bool)}
        return Block(1, index, phase, first, rng.normal(size=(3, 2)), stats, b"state%d" % index)

    return make
