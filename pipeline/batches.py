"""How is a function of one item evaluated for many items, within a stated amount of memory?

How many items go into a batch follows from what the compiler says that the compiled batch needs,
not from a constant: with and without `jax.checkpoint` the same gradient differs by a factor of 50
(reference/cubes.md 2.2). Memory that is not there after all makes the batches smaller.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from ard.errors import ArdError
from pipeline.doctor import available_memory

# What the allocator cannot hand out: gaps between blocks, and the compiled code itself.
DEVICE_SHARE: Final = 0.9
# Memory of a CPU is shared with the parent, other workers and the page cache.
CPU_SHARE: Final = 0.25
OUT_OF_MEMORY: Final = "RESOURCE_EXHAUSTED"
MIB: Final = 2**20

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled batch.

    Attributes
    ----------
    size : int
        The most items that it takes.
    executable : jax.stages.Compiled
    n_bytes : int or None
        Arguments, results, scratch and constants together; None if the device does not say.
    """

    size: int
    executable: Any
    n_bytes: int | None


def _n_bytes(array: Any) -> int:
    """Give the size of an array of JAX, whose kinds do not all have `nbytes`."""
    return int(math.prod(array.shape) * np.dtype(array.dtype).itemsize)


class Batched:
    """Evaluate a pure function of one item for many items, in batches of bounded memory.

    What is compiled is kept: make one of these, and call it often.

    Parameters
    ----------
    function : callable
        From one item to one result, both pytrees of arrays. It must not keep or change anything.
    budget_bytes : int, optional
        What a batch may need on the device: arguments, results, scratch, and what the function
        closes over. By default 90 % of
        what the device has left at the first call; on a CPU a quarter of what is free. The results
        of all items are kept in ordinary memory and are not part of it.
    together : bool, optional
        Whether the items of a batch are computed at the same time, which is faster on a GPU, or
        one after the other, which is faster on a CPU and needs the scratch of one item only. By
        default as the device asks for.
    say : callable, optional
        Told, in a sentence, when batches become smaller than planned; the log by default.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        budget_bytes: int | None = None,
        *,
        together: bool | None = None,
        say: Callable[[str], None] = _log.warning,
    ) -> None:
        self._function = function
        self._stated = budget_bytes
        self._together = together
        self._say = say
        self._kind: Any = None
        self._result: Any = None
        self._budget = self._constants = 0
        self._most: int | None = None
        self._programs: dict[int, Program] = {}

    @property
    def programs(self) -> tuple[Program, ...]:
        """What is compiled now, by size; the first is for one item."""
        return tuple(self._programs[size] for size in sorted(self._programs))

    def __call__(self, items: Any) -> Any:
        """Give the results of all items, in their order.

        Parameters
        ----------
        items : pytree of arrays, each of shape (n, ...)
            One item along each first axis.

        Returns
        -------
        pytree of ndarray, each of shape (n, ...)

        Raises
        ------
        ArdError
            If one item needs more than the budget, or more than there is.
        """
        leaves, tree = jax.tree.flatten(items)
        leaves = [np.asarray(leaf) for leaf in leaves]
        count = _count(leaves)
        spec = jax.tree.unflatten(tree, [_spec(leaf.shape[1:], leaf.dtype) for leaf in leaves])
        self._begin(tree, spec)
        results = [np.empty((count, *s.shape), s.dtype) for s in jax.tree.leaves(self._result)]
        done = 0
        while done < count:
            program = self._program(spec, count - done)
            part = [leaf[done : done + program.size] for leaf in leaves]
            if self._fill(program, tree, part, [result[done:] for result in results]):
                done += program.size
        return jax.tree.unflatten(jax.tree.structure(self._result), results)

    def _begin(self, tree: Any, spec: Any) -> None:
        """Forget what was compiled for items of another kind; see how much memory there is."""
        arrays = tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(spec))
        kind = (tree, arrays, bool(jax.config.jax_enable_x64))
        if kind == self._kind:
            return
        device = jax.devices()[0]
        # Data and noise that the function closes over are on the device as well.
        traced, self._result = jax.make_jaxpr(self._function, return_shape=True)(spec)
        self._constants = sum(_n_bytes(constant) for constant in traced.consts)
        self._kind, self._most, self._programs = kind, None, {}
        self._budget = device_budget(device) if self._stated is None else self._stated
        if self._together is None:
            self._together = device.platform != "cpu"

    def _fill(self, program: Program, tree: Any, part: list[Any], results: list[Any]) -> bool:
        """Compute one batch into the results; False, and smaller batches, if memory ran out."""
        count = len(part[0])
        padded = jax.tree.unflatten(tree, [_padded(leaf, program.size) for leaf in part])
        try:
            values = jax.tree.leaves(program.executable(padded, np.int32(count)))
            for result, value in zip(results, values, strict=True):
                result[:count] = np.asarray(value)[:count]
            return True
        except jax.errors.JaxRuntimeError as error:
            if OUT_OF_MEMORY not in str(error):
                raise
            if program.size == 1:
                raise self._none_fits(program.n_bytes, "the device has not") from error
        # Out of the handler, whose traceback holds on to the arrays of the batch.
        needs = "" if program.n_bytes is None else f", which need {_mib(program.n_bytes)}"
        self._halve(program.size, f"memory ran out with {program.size} items at a time{needs}")
        return False

    def _halve(self, size: int, why: str) -> None:
        self._most = size // 2
        self._programs = {s: p for s, p in self._programs.items() if s <= self._most}
        self._say(f"{why} (budget {_mib(self._budget)}); going on with {self._most}")

    def _program(self, spec: Any, count: int) -> Program:
        """Give a compiled batch within the budget, for this many items or as many as fit."""
        one = self._single(spec)
        if one.n_bytes is None:
            if self._most is None:
                self._most = 1
                self._say("the device does not say what a batch needs; going on one by one")
            return one
        if one.n_bytes > self._budget:
            raise self._none_fits(one.n_bytes, "that is more than the budget")
        return self._largest(spec, one, count)

    def _single(self, spec: Any) -> Program:
        try:
            return self._compiled(spec, 1)
        except jax.errors.JaxRuntimeError as error:
            if OUT_OF_MEMORY not in str(error):
                raise
            raise self._none_fits(None, "memory ran out as it was compiled") from error

    def _largest(self, spec: Any, one: Program, count: int) -> Program:
        while True:
            size = self._wanted(one, count)
            try:
                program = self._compiled(spec, size)
            except jax.errors.JaxRuntimeError as error:
                if OUT_OF_MEMORY not in str(error):
                    raise
                # On a GPU the compiler tries variants out, with arrays of their full size.
                self._halve(size, f"memory ran out as batches of {size} items were compiled")
                continue
            if program.n_bytes is None or program.n_bytes > self._budget:
                # Closer steps would cost more time in the compiler than the last items bring.
                self._most = min(size - 1, size * 7 // 8)
            else:
                return program

    def _wanted(self, one: Program, count: int) -> int:
        """Give a size that fits by what is known so far: one that is compiled, if possible.

        Asked before every batch: the first guess is too small where what is needed once outweighs
        what an item adds, which two sizes tell.
        """
        fits = self._fitting(one)
        # Batches of one size, so that the last is not filled up with what nobody asked for.
        level = -(-count // -(-count // fits))
        usable = [size for size in self._programs if size <= fits]
        enough = [size for size in usable if size >= level]
        if enough:
            return min(enough)
        # Less than twice as many items is not worth the time of the compiler.
        return level if level >= 2 * max(usable) else max(usable)

    def _fitting(self, one: Program) -> int:
        needed, most = one.n_bytes or 0, self._most
        largest = self._programs[max(self._programs)]
        if largest.size > 1 and largest.n_bytes is not None:
            rise = (largest.n_bytes - needed) / (largest.size - 1)
        elif self._together:
            rise = float(needed - self._constants)
        else:
            rise = float(_moved_bytes(one.executable))
        fits = 1 + int((self._budget - needed) / max(rise, 1.0))
        # What was compiled and found within the budget fits, whatever the line through it says.
        within = [s for s, p in self._programs.items() if (p.n_bytes or 0) <= self._budget]
        fits = max(fits, *within)
        return fits if most is None else min(fits, most)

    def _compiled(self, spec: Any, size: int) -> Program:
        if size not in self._programs:
            items = jax.tree.map(lambda s: _spec((size, *s.shape), s.dtype), spec)
            run = _all_at_once if self._together else _one_by_one
            count = _spec((), np.int32)
            lowered = jax.jit(run(self._function, size)).lower(items, count)
            executable = lowered.compile()
            needs = needed_bytes(executable)
            needs = None if needs is None else needs + self._constants
            self._programs[size] = Program(size, executable, needs)
        return self._programs[size]

    def _none_fits(self, n_bytes: int | None, why: str) -> ArdError:
        needs = "an unknown amount" if n_bytes is None else _mib(n_bytes)
        return ArdError(
            "there is not enough memory for a single item",
            expected=f"at most {_mib(self._budget)}, the budget of a batch",
            found=f"one item needs {needs}; {why}",
            action="raise the budget, free memory of the device (rbh1 doctor shows how much "
            "there is), or make the item smaller: float32, less oversampling, jax.checkpoint",
        )


def needed_bytes(executable: Any) -> int | None:
    """How much memory does a compiled function need: arguments, results and scratch, bytes?

    None if the device does not say.
    """
    stats = executable.memory_analysis()
    if stats is None:
        return None
    return int(stats.temp_size_in_bytes) + _moved_bytes(executable)


def _moved_bytes(executable: Any) -> int:
    stats = executable.memory_analysis()
    return int(stats.argument_size_in_bytes) + int(stats.output_size_in_bytes)


def device_budget(device: Any) -> int:
    """How much memory may a batch take on this device where nobody states a budget, bytes?

    Parameters
    ----------
    device : jax.Device

    Raises
    ------
    ArdError
        If the device does not say how much it has.
    """
    if device.platform == "cpu":
        free = available_memory()
        if free is not None:
            return int(CPU_SHARE * free)
    else:
        stats = device.memory_stats() or {}
        if "bytes_limit" in stats:
            return int(DEVICE_SHARE * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    raise ArdError(
        "it is not known how much memory a batch may take",
        expected="a device that says how much memory it has",
        found=f"{device.device_kind} ({device.platform}), which does not",
        action="state a budget in bytes",
    )


def _all_at_once(function: Callable[[Any], Any], size: int) -> Callable[[Any, Any], Any]:
    def run(items: Any, count: Any) -> Any:
        del count  # all are computed; what is too much is cut off afterwards
        return jax.vmap(function, axis_size=size)(items)

    return run


def _one_by_one(function: Callable[[Any], Any], size: int) -> Callable[[Any, Any], Any]:
    """Give `jax.lax.map`, but only for the first so many items: what fills up costs no time."""

    def run(items: Any, count: Any) -> Any:
        def item(number: Any) -> Any:
            return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, number, 0, False), items)

        def step(number: Any, results: Any) -> Any:
            def put(result: Any, value: Any) -> Any:
                value = jnp.asarray(value, result.dtype)
                return jax.lax.dynamic_update_index_in_dim(result, value, number, 0)

            return jax.tree.map(put, results, function(item(number)))

        shapes = jax.eval_shape(function, jax.eval_shape(item, count))
        results = jax.tree.map(lambda s: jnp.zeros((size, *s.shape), s.dtype), shapes)
        return jax.lax.fori_loop(0, count, step, results)

    return run


def _count(leaves: list[Any]) -> int:
    counts = {leaf.shape[0] if leaf.ndim else -1 for leaf in leaves}
    if len(counts) != 1 or -1 in counts:
        raise ArdError(
            "the items are not stacked",
            expected="one array or more, all with as many items along their first axis",
            found=f"shapes {[leaf.shape for leaf in leaves]}",
            action="stack the items: jax.tree.map(lambda *a: np.stack(a), *items)",
        )
    return int(counts.pop())


def _spec(shape: tuple[int, ...], dtype: Any) -> Any:
    make: Any = jax.ShapeDtypeStruct
    return make(shape, jax.dtypes.canonicalize_dtype(dtype))


def _padded(leaf: Any, size: int) -> Any:
    """Repeat the last item up to this many; in the precision that JAX is set to."""
    short = size - len(leaf)
    if short:
        leaf = np.concatenate([leaf, np.repeat(leaf[-1:], short, axis=0)])
    return leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / MIB:.1f} MiB"
