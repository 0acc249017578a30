"""Are many items evaluated as a loop over them would, in batches within their budget?

Oracles: a Python loop over the items; the compiler's own account of the executable in use; sizes of
arrays, added up by hand. Memory runs out where a test says so: an executable that raises what XLA
raises.
"""

import math
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loading import BENCHMARKS, load
from precision import x64

from ard.errors import ArdError
from pipeline import batches
from pipeline.batches import MIB, Batched, needed_bytes

WIDTH = 64
SCRATCH = WIDTH * WIDTH * 4  # one matrix of float32


def ranked(item):
    """A function whose scratch is known: a matrix is sorted, so that it has to be written out."""
    product = jnp.sort(jnp.outer(item["x"], item["x"]).ravel())
    return {"weighted": product @ jnp.arange(1.0, 1.0 + product.size), "double": 2 * item["n"]}


def ranked_items(count, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, WIDTH)).astype(np.float32)
    return {"x": x, "n": np.arange(count, dtype=np.int32)}


def loop(function, items):
    """The oracle: one call for each item, stacked."""
    compiled = jax.jit(function)
    count = len(jax.tree.leaves(items)[0])
    values = [compiled(jax.tree.map(lambda a, i=i: a[i], items)) for i in range(count)]
    return jax.tree.map(lambda *a: np.stack([np.asarray(v) for v in a]), *values)


def assert_same(found, expected, rtol):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, np.ndarray)
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


class Executable:
    """Stands for an executable; runs out of memory, or raises something else, at chosen calls."""

    def __init__(self, real, calls):
        self._real, self._calls = real, calls

    def __call__(self, *arguments):
        error = next(self._calls)
        if error:
            raise jax.errors.JaxRuntimeError(error)
        return self._real(*arguments)

    def memory_analysis(self):
        return self._real.memory_analysis()


@pytest.fixture
def failing(monkeypatch):
    """Lets the calls of executables, counted from 0 over all sizes, fail with these messages."""

    def fail(errors):
        calls = iter(errors.get(i, "") for i in range(10**6))
        real = Batched._compiled
        wrapped = {}

        def compiled(self, spec, size):
            program = real(self, spec, size)
            return wrapped.setdefault(
                size, replace(program, executable=Executable(program.executable, calls))
            )

        monkeypatch.setattr(Batched, "_compiled", compiled)

    return fail


OUT = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1073741824 bytes."


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 30])
def test_the_results_are_those_of_a_loop(together, count):
    # Room for about eight items at a time, so that 30 need several batches.
    evaluate = Batched(ranked, 8 * (2 * SCRATCH + 1000), together=together)
    items = ranked_items(count)
    if count == 0:
        found = evaluate(items)
        assert found["weighted"].shape == found["double"].shape == (0,)
        assert (found["weighted"].dtype, found["double"].dtype) == (np.float32, np.int32)
        assert evaluate.programs == ()
        return
    # Sums of 4096 terms of either sign in another order: 1e-5 is some hundred roundings.
    assert_same(evaluate(items), loop(ranked, items), 1e-5)


def test_one_after_the_other_is_the_loop_bit_for_bit():
    def polynomial(item):
        # Multiplied only, never added: no order of operations is left to the compiler.
        return item[0] * item[1] * jnp.stack([item[2], item[0]])

    items = np.random.default_rng(2).normal(size=(11, 3)).astype(np.float32)
    found = Batched(polynomial, MIB, together=False)(items)
    np.testing.assert_array_equal(found, loop(polynomial, items))


@pytest.mark.parametrize("together", [False, True])
def test_every_batch_keeps_to_the_budget(together, failing):
    ran = []
    failing({})
    call = Executable.__call__
    budget = 10 * SCRATCH
    evaluate = Batched(ranked, budget, together=together)

    def watched(self, *arguments):
        stats = self.memory_analysis()
        moved = stats.argument_size_in_bytes + stats.output_size_in_bytes
        ran.append((arguments[0]["x"].shape[0], stats.temp_size_in_bytes + moved))
        return call(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Executable, "__call__", watched)
        evaluate(ranked_items(2000))
    assert all(needed <= budget for _, needed in ran)
    # Nothing is compiled for the rest. JAX 0.9 says more of a single item than it adds to others:
    # there the first batch is smaller, and what was compiled for it serves the last.
    sizes = {size for size, _ in ran}
    assert len(sizes) <= 2
    size = max(sizes)
    assert math.ceil(2000 / size) <= len(ran) <= math.ceil(2000 / size) + len(sizes) - 1
    if together:
        # Every item of the batch has its own scratch: at least one matrix, hardly five.
        assert 2 <= size <= 10
    else:
        # One matrix after the other (or two, three: sorted, copied), so that only what goes in and
        # out adds up: x, n, two results.
        per_item = 4 * WIDTH + 4 + 8
        least, most = budget / per_item, (budget - 3 * SCRATCH) / per_item
        assert math.ceil(2000 / least) <= len(ran) <= math.ceil(2000 / most)


def test_what_a_batch_needs_is_scratch_arguments_and_results():
    spec = jax.ShapeDtypeStruct((3, 1000), np.float32)
    executable = jax.jit(lambda x: jnp.cumsum(x, axis=1)[:, ::2]).lower(spec).compile()
    stats = executable.memory_analysis()
    assert needed_bytes(executable) == stats.temp_size_in_bytes + 4 * 3000 + 4 * 1500


def test_what_the_function_closes_over_counts():
    """Data and noise of a likelihood, 4 MB here, beside items of a few bytes."""
    table = jnp.asarray(np.random.default_rng(4).normal(size=2**20), jnp.float32)

    def likelihood(item):
        return -0.5 * jnp.sum((table - item) ** 2)

    evaluate = Batched(likelihood, 16 * MIB)
    evaluate(np.zeros(3, np.float32))
    assert all(program.n_bytes >= table.nbytes for program in evaluate.programs)
    with pytest.raises(ArdError, match="not enough memory for a single item"):
        Batched(likelihood, MIB)(np.zeros(3, np.float32))


def test_the_size_follows_from_what_an_item_adds_not_from_what_all_share():
    table = np.random.default_rng(3).normal(size=(4096,)).astype(np.float32)

    def shared(item):
        # What is sorted does not depend on the item: there is one, however many items. The barrier
        # keeps the compiler from sorting it beforehand.
        return jnp.sort(jax.lax.optimization_barrier(jnp.asarray(table)))[item]

    items = np.arange(3000, dtype=np.int32)
    evaluate = Batched(shared, 8 * table.nbytes, together=True)
    found = evaluate(items)
    np.testing.assert_array_equal(found, np.sort(table)[:3000])
    assert evaluate.programs[0].n_bytes > table.nbytes
    # A whole budget divided by one item's need would be eight or so.
    assert evaluate.programs[-1].size > 100


@pytest.mark.parametrize("together", [False, True])
def test_memory_that_runs_out_halves_the_batch_and_loses_nothing(failing, together):
    said = []
    failing({1: OUT, 2: OUT})  # the second batch of 20, then the first of 10
    evaluate = Batched(ranked, 40 * 3 * SCRATCH, together=together, say=said.append)
    items = ranked_items(40)
    with pytest.MonkeyPatch.context() as patch:
        # Twenty at a time, whatever the budget would allow.
        patch.setattr(evaluate, "_fitting", lambda one: min(20, evaluate._most or 20))
        found = evaluate(items)
    assert_same(found, loop(ranked, items), 1e-5)
    assert ["going on with 10" in said[0], "going on with 5" in said[1]] == [True, True]
    assert len(said) == 2
    assert "with 20 items at a time" in said[0]
    assert "budget 1.9 MiB" in said[0]
    # What was learnt holds for the next call.
    assert max(program.size for program in evaluate.programs) <= 5


def test_without_anyone_to_tell_the_log_is_told(failing, caplog):
    failing({0: OUT})
    Batched(ranked, MIB, together=False)(ranked_items(4))
    (record,) = caplog.records
    assert record.name == "pipeline.batches"
    assert record.levelname == "WARNING"
    assert "going on with 2" in record.getMessage()


def test_memory_that_runs_out_for_one_item_ends_it_with_words(failing):
    failing(dict.fromkeys(range(3), OUT))  # with 4, with 2, with 1
    said = []
    with pytest.raises(ArdError, match="not enough memory for a single item") as caught:
        Batched(ranked, MIB, together=True, say=said.append)(ranked_items(4))
    assert len(said) == 2
    assert caught.value.expected == "at most 1.0 MiB, the budget of a batch"
    assert "MiB; the device has not" in caught.value.found
    assert "raise the budget" in caught.value.action
    assert OUT in str(caught.value.__cause__)


def test_memory_that_runs_out_in_the_compiler_halves_the_batch(monkeypatch):
    real, said = Batched._compiled, []

    def compiled(self, spec, size):
        if size > 2:
            raise jax.errors.JaxRuntimeError(OUT)
        return real(self, spec, size)

    monkeypatch.setattr(Batched, "_compiled", compiled)
    items = ranked_items(9)
    found = Batched(ranked, MIB, together=False, say=said.append)(items)
    assert_same(found, loop(ranked, items), 1e-5)
    assert said[0].startswith("memory ran out as batches of 9 items were compiled")
    assert [text.rpartition(" ")[2] for text in said] == ["4", "1"]  # of 9 in batches of 4: 3, 3, 3


@pytest.mark.parametrize("together", [False, True])
def test_a_budget_below_one_item_is_refused_before_anything_runs(failing, together):
    failing({0: "INTERNAL: it ran"})
    with pytest.raises(ArdError, match="not enough memory for a single item") as caught:
        Batched(ranked, SCRATCH // 2, together=together)(ranked_items(4))
    assert "more than the budget" in caught.value.found


def test_a_device_that_does_not_say_what_it_needs_gets_one_item_at_a_time(monkeypatch):
    monkeypatch.setattr(batches, "needed_bytes", lambda executable: None)
    said = []
    evaluate = Batched(ranked, MIB, say=said.append)
    items = ranked_items(5)
    for _ in range(2):
        assert_same(evaluate(items), loop(ranked, items), 1e-5)
    assert said == ["the device does not say what a batch needs; going on one by one"]
    assert [program.size for program in evaluate.programs] == [1]


def test_errors_of_the_function_come_through(failing):
    def broken(item):
        raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        Batched(broken, MIB)(np.ones(3))
    failing({0: "INTERNAL: something else"})
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        Batched(ranked, MIB)(ranked_items(3))


def test_an_error_while_it_runs_comes_through():
    def check(value):
        if value > 2:
            raise ValueError("too large")
        return np.float32(value)

    def called(item):
        return jax.pure_callback(check, jax.ShapeDtypeStruct((), np.float32), item)

    # JAX wraps what a callback raises, in one type or another by version.
    with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match="too large"):
        Batched(called, MIB, together=False)(np.arange(5, dtype=np.float32))


@pytest.mark.parametrize(
    "items",
    [{}, np.float32(1.0), {"a": np.ones(3), "b": np.ones(4)}, {"a": np.ones(3), "b": np.ones(())}],
    ids=["nothing", "a number", "two lengths", "a number beside"],
)
def test_items_that_are_not_stacked_are_refused(items):
    with pytest.raises(ArdError, match="the items are not stacked"):
        Batched(lambda item: item, MIB)(items)


def test_what_is_compiled_serves_later_calls():
    evaluate = Batched(ranked, MIB, together=False)
    evaluate(ranked_items(40))
    kept = evaluate.programs
    for count in (1, 3, 39, 40, 79):  # 79: less than twice as many are not worth the compiler
        items = ranked_items(count, seed=count)
        assert_same(evaluate(items), loop(ranked, items), 1e-5)
    assert evaluate.programs == kept
    assert [program.size for program in kept] == [1, 40]
    narrow = {"x": np.ones((3, 5), np.float32), "n": np.zeros(3, np.int32)}
    assert_same(evaluate(narrow), loop(ranked, narrow), 1e-5)
    assert [program.size for program in evaluate.programs] == [1, 3]


def test_filling_up_costs_no_time_where_items_come_one_after_the_other():
    seen = []

    def counted(item):
        jax.debug.callback(lambda value: seen.append(float(value)), item)
        return item

    evaluate = Batched(counted, MIB, together=False)
    evaluate(np.arange(6.0))
    seen.clear()
    evaluate(np.arange(10.0, 13.0))
    jax.effects_barrier()
    assert seen == [10.0, 11.0, 12.0]
    assert [program.size for program in evaluate.programs] == [1, 6]


def test_numbers_are_in_the_precision_that_jax_is_set_to():
    items = np.random.default_rng(4).normal(size=(5, 3))
    for double, dtype in ((False, np.float32), (True, np.float64)):
        with x64(double):
            found = Batched(lambda item: jnp.exp(item), MIB)(items)
            assert found.dtype == dtype
            np.testing.assert_allclose(found, np.exp(items), rtol=8 * np.finfo(dtype).eps)


def test_the_budget_of_a_cpu_is_a_share_of_what_is_free(monkeypatch):
    cpu = SimpleNamespace(platform="cpu", device_kind="cpu")
    monkeypatch.setattr(batches, "available_memory", lambda: 8_000_000_000)
    assert batches.device_budget(cpu) == 2_000_000_000
    monkeypatch.setattr(batches, "available_memory", lambda: None)
    with pytest.raises(ArdError, match="not known how much memory") as caught:
        batches.device_budget(cpu)
    assert caught.value.action == "state a budget in bytes"


def test_the_budget_of_a_gpu_is_what_it_has_left_less_a_tenth():
    stats = {"bytes_limit": 12_000, "bytes_in_use": 2_000}
    gpu = SimpleNamespace(platform="gpu", device_kind="A card", memory_stats=lambda: stats)
    assert batches.device_budget(gpu) == 9_000
    gpu.memory_stats = lambda: None
    with pytest.raises(ArdError, match="not known how much memory"):
        batches.device_budget(gpu)


@pytest.fixture
def bench_scene():
    """The scene that is measured: 53 x 49 spaxels, 8 lines."""
    return load(BENCHMARKS / "bench_scene.py")


def scene_gradient(bench_scene):
    """A chi2 with its gradient, and four discs at which to take it."""
    from pipeline.scene.cube import disc_cube

    model, sampler, disc, fluxes = bench_scene.make_scene(jnp.float64)
    data = np.asarray(jax.jit(lambda d: disc_cube(model, sampler, d, fluxes, 0.13))(disc))

    def chi2(disc):
        return 1e6 * jnp.sum((disc_cube(model, sampler, disc, fluxes, 0.13) - 1.01 * data) ** 2)

    stack = jax.tree.map(lambda value: np.stack([np.asarray(value)] * 4), disc)
    tilts = np.array([88.0, 80.0, 70.0, 60.0])
    return jax.value_and_grad(chi2), replace(stack, inclination_deg=tilts)


@pytest.mark.slow  # the compiler takes 10 s and more for each of three sizes
@pytest.mark.parametrize("together", [False, True])
def test_the_gradient_of_a_scene_keeps_to_64_mib(bench_scene, together):
    # In float64: some derivatives are what is left of sums that nearly cancel, and in float32 they
    # depend on the order of operations by 4e-4.
    with x64(True):
        gradient, discs = scene_gradient(bench_scene)
        evaluate = Batched(gradient, 64 * MIB, together=together)
        found = evaluate(discs)
        expected = loop(gradient, discs)
    program = evaluate.programs[-1]
    assert program.size == 4
    assert needed_bytes(program.executable) <= 64 * MIB
    assert_same(found, expected, 1e-9)


@pytest.mark.gpu
def test_a_gpu_is_filled_within_its_memory():
    """Oracle: what the allocator of the device says it has handed out at most."""
    device = jax.devices()[0]

    def heavy(item):
        wide = jnp.sort(jnp.outer(jnp.arange(4096.0), jnp.arange(1024.0) + item).ravel())
        return wide[::100_000]

    items = np.arange(3000, dtype=np.float32)  # of 16 MiB each or more: 47 GiB at once
    budget = 4 * 2**30
    in_use = device.memory_stats()["bytes_in_use"]
    evaluate = Batched(heavy, budget)
    found = evaluate(items)
    assert 1 < evaluate.programs[-1].size < 300
    assert device.memory_stats()["peak_bytes_in_use"] - in_use <= 1.1 * budget
    np.testing.assert_array_equal(found[[0, 1234, 2999]], loop(heavy, items[[0, 1234, 2999]]))
    # By default all that is left: no error, and no other numbers.
    np.testing.assert_array_equal(Batched(heavy)(items[:500]), found[:500])
