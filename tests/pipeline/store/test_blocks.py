"""Is a chain in memory what was put there? Oracle: the contract in `BlockStore`."""

import dataclasses

import numpy as np
import pytest

from ard.errors import ArdError, IntegrityError
from pipeline.store.blocks import SAMPLE, WARMUP, Block, MemoryStore, Run

RUN = Run("fit", ("v", "sigma"), 4, 7, {"data": "d", "model": "m"})


def block(index: int, phase: str = SAMPLE, seed: int = 0) -> Block:
    rng = np.random.default_rng(seed + index)
    stats = {"lp": rng.normal(size=3), "diverging": np.zeros(3, bool)}
    return Block(1, index, phase, 3 * index, rng.normal(size=(3, 2)), stats, b"state%d" % index)


def test_blocks_come_back_in_order_and_phases_apart():
    store = MemoryStore()
    store.begin(RUN)
    assert store.latest("fit", 1) is None
    given = [block(0, WARMUP), block(1), block(2)]
    for one in given:
        store.append("fit", one)
    assert [b.index for b in store.blocks("fit", 1)] == [1, 2]
    assert [b.index for b in store.blocks("fit", 1, WARMUP)] == [0]
    assert store.latest("fit", 1).sha256 == given[-1].sha256


def test_a_block_again_changes_nothing_and_another_in_its_place_is_refused():
    store = MemoryStore()
    store.begin(RUN)
    store.append("fit", block(0))
    store.append("fit", block(0))
    assert len(list(store.blocks("fit", 1))) == 1
    with pytest.raises(IntegrityError, match="block 0 of chain 1"):
        store.append("fit", block(0, seed=9))
    with pytest.raises(IntegrityError, match="does not follow"):
        store.append("fit", block(2))


def test_a_name_belongs_to_one_run():
    store = MemoryStore()
    store.begin(RUN)
    store.begin(RUN)
    with pytest.raises(ArdError, match="other data, another model"):
        store.begin(dataclasses.replace(RUN, seed=8))


@pytest.mark.parametrize("change", ["draws", "stats", "state"])
def test_the_digest_covers_everything(change):
    one = block(0)
    other = {
        "draws": one.draws + np.array([[0.0, 1e-15], [0.0, 0.0], [0.0, 0.0]]),
        "stats": {**one.stats, "diverging": np.array([False, False, True])},
        "state": b"other",
    }
    assert dataclasses.replace(one, **{change: other[change]}).sha256 != one.sha256


def test_impossible_shapes_are_refused():
    with pytest.raises(ArdError, match="impossible shapes"):
        Block(0, 0, SAMPLE, 0, np.zeros((3, 2), np.float32), {}, b"")
    with pytest.raises(ArdError, match=r"wrong: \['lp'\]"):
        Block(0, 0, SAMPLE, 0, np.zeros((3, 2)), {"lp": np.zeros(2)}, b"")
