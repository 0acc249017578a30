"""Is a chain in a store what was put there, whichever store it is?

Oracle: the contract in `BlockStore`, asked of memory, SQLite and PostgreSQL alike.
"""

import dataclasses
import math
import pickle

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ard.errors import ArdError, IntegrityError, NotFoundError
from pipeline.store.blocks import SAMPLE, WARMUP, Block, MemoryStore, Run
from pipeline.store.codec import block_from_bytes, block_to_bytes
from pipeline.store.durable import open_store


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_store(request, tmp_path):
    if request.param == "memory":
        yield MemoryStore()
        return
    url = f"sqlite:///{tmp_path}/chains.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    with open_store(url, folder=tmp_path) as opened:
        yield opened


def sums(blocks):
    return [block.sha256 for block in blocks]


def test_blocks_come_back_in_order_and_phases_apart(any_store, run, make_block):
    any_store.begin(run)
    assert any_store.latest("fit", 1) is None
    given = [make_block(0, WARMUP), make_block(1, first=0), make_block(2, first=3)]
    for one in given:
        any_store.append("fit", one)
    assert sums(any_store.blocks("fit", 1)) == sums(given[1:])
    assert sums(any_store.blocks("fit", 1, WARMUP)) == sums(given[:1])
    assert list(any_store.blocks("fit", 0)) == []
    assert (any_store.n_draw("fit", 1), any_store.n_draw("fit", 1, WARMUP)) == (6, 3)
    assert any_store.n_draw("fit", 0) == 0


def test_the_last_block_has_the_state_and_earlier_ones_have_none(any_store, run, make_block):
    any_store.begin(run)
    for index in range(3):
        any_store.append("fit", make_block(index))
    last = any_store.latest("fit", 1)
    assert (last.index, last.state, last.sha256) == (2, b"state2", make_block(2).sha256)
    assert [block.state for block in any_store.blocks("fit", 1)][:2] == [b"", b""]


def test_a_block_again_changes_nothing_and_another_in_its_place_is_refused(
    any_store, run, make_block
):
    any_store.begin(run)
    for index in (0, 0, 1, 0, 1):
        any_store.append("fit", make_block(index))
    assert any_store.n_draw("fit", 1) == 6
    with pytest.raises(IntegrityError, match="block 0 of chain 1"):
        any_store.append("fit", make_block(0, seed=9))
    other_state = dataclasses.replace(make_block(1), state=b"other")
    with pytest.raises(IntegrityError, match="block 1 of chain 1"):
        any_store.append("fit", other_state)
    with pytest.raises(IntegrityError, match="does not follow"):
        any_store.append("fit", make_block(3))
    assert any_store.latest("fit", 1).state == b"state1"


def test_draws_are_counted_and_warm_up_comes_first(any_store, run, make_block):
    any_store.begin(run)
    any_store.append("fit", make_block(0))
    with pytest.raises(IntegrityError, match="draws of the phase sample from 3 on"):
        any_store.append("fit", make_block(1, first=4))
    with pytest.raises(IntegrityError, match="warm-up first"):
        any_store.append("fit", make_block(1, WARMUP, first=0))


def test_a_name_belongs_to_one_run(any_store, run):
    any_store.begin(run)
    any_store.begin(run)
    assert any_store.run("fit") == run
    with pytest.raises(ArdError, match="other data, another model"):
        any_store.begin(dataclasses.replace(run, seed=8))
    with pytest.raises(ArdError, match="found: another prior"):
        any_store.begin(dataclasses.replace(run, prior={}))


def test_what_no_run_has_is_refused(any_store, run, make_block):
    with pytest.raises(NotFoundError, match="no run 'fit'"):
        any_store.append("fit", make_block(0))
    with pytest.raises(NotFoundError, match="no run at all"):
        any_store.run("fit")
    any_store.begin(run)
    with pytest.raises(ArdError, match="chains 0 to 3"):
        any_store.append("fit", dataclasses.replace(make_block(0), chain=4))
    with pytest.raises(ArdError, match="found: 3 parameters"):
        any_store.append("fit", dataclasses.replace(make_block(0), draws=np.zeros((3, 3))))
    with pytest.raises(NotFoundError, match="found: fit"):
        any_store.summaries("other")


def test_summaries_are_kept_instead_of_earlier_ones(any_store, run):
    any_store.begin(run)
    assert any_store.summaries("fit") == {}
    any_store.put_summaries("fit", {"v": {"mean": 1.0}, "sigma": {"mean": 2.0}})
    any_store.put_summaries("fit", {"v": {"rhat": math.nan, "ess_bulk": math.inf, "mean": 0.1}})
    found = any_store.summaries("fit")
    assert set(found) == {"v"}
    assert math.isnan(found["v"].pop("rhat"))
    assert found["v"] == {"ess_bulk": math.inf, "mean": 0.1}


@pytest.mark.parametrize("change", ["draws", "stats", "dtype", "index", "chain", "first_draw"])
def test_the_digest_covers_draws_statistics_and_place(change, make_block):
    one = make_block(0)
    other = {
        "draws": {"draws": one.draws + np.array([[0.0, 1e-15], [0.0, 0.0], [0.0, 0.0]])},
        "stats": {"stats": {**one.stats, "diverging": np.array([False, False, True])}},
        "dtype": {"stats": {**one.stats, "diverging": np.zeros(3, np.int8)}},
    }
    assert dataclasses.replace(one, **other.get(change, {change: 3})).sha256 != one.sha256


def test_the_state_has_a_digest_of_its_own(make_block):
    one = make_block(0)
    other = dataclasses.replace(one, state=b"other")
    assert other.sha256 == one.sha256
    assert other.state_sha256 != one.state_sha256


def test_impossible_blocks_are_refused(make_block):
    with pytest.raises(ArdError, match="impossible shapes"):
        Block(0, 0, SAMPLE, 0, np.zeros((3, 2), np.float32), {}, b"")
    with pytest.raises(ArdError, match=r"wrong: \['lp'\]"):
        Block(0, 0, SAMPLE, 0, np.zeros((3, 2)), {"lp": np.zeros(2)}, b"")
    with pytest.raises(ArdError, match=r"wrong: \['why'\]"):
        Block(0, 0, SAMPLE, 0, np.zeros((1, 2)), {"why": np.array(["text"])}, b"")
    with pytest.raises(ArdError, match="impossible place"):
        dataclasses.replace(make_block(0), phase="cooling")


def test_impossible_runs_are_refused():
    with pytest.raises(ArdError, match="cannot be told apart"):
        Run("fit", ("v", "v"), 4, 7, {})
    with pytest.raises(ArdError, match="cannot be told apart"):
        Run("", ("v",), 4, 7, {})
    with pytest.raises(ArdError, match="cannot be written as JSON"):
        Run("fit", ("v",), 4, 7, {}, prior={"v": {"upper": math.inf}})


def test_a_run_is_the_same_after_json():
    run = Run("fit", ("v",), 4, 7, {}, prior={"v": {"bounds": (0.0, 1.0)}})
    assert run.prior == {"v": {"bounds": [0.0, 1.0]}}
    assert pickle.loads(pickle.dumps(run)) == run


NUMBERS = st.floats(width=64)  # all of them: infinities, NaN, -0.0, subnormal
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
DTYPES = st.sampled_from(["?", "<i1", "<i4", "<i8", "<u2", "<f4", "<f8", ">f8", ">i4"])


@st.composite
def blocks(draw, n_par=None):
    n_draw = draw(st.integers(0, 4))
    n_par = draw(st.integers(0, 3)) if n_par is None else n_par
    values = draw(arrays.arrays(np.float64, (n_draw, n_par), elements=NUMBERS))
    stats = {
        name: draw(arrays.arrays(np.dtype(draw(DTYPES)), n_draw))
        for name in draw(st.lists(NAMES, max_size=3, unique=True))
    }
    state = draw(st.binary(max_size=20))
    return Block(1, 0, draw(st.sampled_from([WARMUP, SAMPLE])), 0, values, stats, state)


def same(one: Block, other: Block) -> bool:
    bits = one.draws.tobytes() == other.draws.tobytes() and one.draws.shape == other.draws.shape
    stats = {k: (v.dtype.newbyteorder("<").str, v.tolist()) for k, v in one.stats.items()}
    found = {k: (v.dtype.newbyteorder("<").str, v.tolist()) for k, v in other.stats.items()}
    return bits and repr(stats) == repr({k: found[k] for k in stats}) and one.state == other.state


@given(blocks())
def test_any_block_survives_the_spool_bit_for_bit(tmp_path_factory, block):
    run, found = block_from_bytes(block_to_bytes("fit", block), tmp_path_factory.getbasetemp())
    assert run == "fit"
    assert same(block, found)
    assert found.sha256 == block.sha256


# The same database for every example: each begins its run anew.
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_block_survives_a_database_bit_for_bit(store, data):
    block = data.draw(blocks(n_par=2))
    if "fit" in store.runs():
        store.remove("fit")
    store.begin(Run("fit", ("v", "sigma"), 4, 7, {}))
    store.append("fit", block)
    assert same(block, store.latest("fit", 1))
    if block.phase == SAMPLE:
        assert sums(store.blocks("fit", 1)) == [block.sha256]
