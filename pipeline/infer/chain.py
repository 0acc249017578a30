"""How does a chain go on from where it stopped, so that nobody can see that it did?

The state of a chain is all that its next draw depends on, but for the seed. It becomes bytes and
comes back bit for bit. The random numbers of a draw follow from seed, chain and the draw's number,
and the same compiled program makes all draws, a few at a time: so neither a stop nor the length of
the blocks changes them.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError, ExtraMissingError, FormatError
from pipeline.infer import adaptation
from pipeline.infer.adaptation import Adaptation
from pipeline.infer.target import Target, as_place, require_finite
from pipeline.store.blocks import SAMPLE, WARMUP, Block

# Draws in one call of the compiled program; it is the same program whatever is asked for.
PIECE: Final = 32
# Seeds from here on are none, or in single precision those of others.
_N_SEED: Final = 2**32
_MAGIC: Final = b"rbh1 chain 1\n"

type Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Settings:
    """How are draws made? These decide them, with the seed.

    Attributes
    ----------
    n_warmup : int
        Draws in which step and metric are learned.
    target_acceptance : float
        Which acceptance the step is to have.
    max_doublings : int
        A trajectory has at most 2 to that power steps.
    """

    n_warmup: int = 500
    target_acceptance: float = 0.8
    max_doublings: int = 10


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """Where a chain is.

    Attributes
    ----------
    z, slope : array, shape (n,)
        Its place, and the derivative of `log_density` there.
    log_density : scalar
    n_done : scalar
        Draws that were made, those of the warm-up included.
    learned : Adaptation
    """

    z: Any
    slope: Any
    log_density: Any
    n_done: Any
    learned: Adaptation


def start(target: Target, z: FloatArray, inverse_mass: FloatArray, step: float) -> State:
    """Give the state of a chain before its first draw.

    Parameters
    ----------
    target : Target
    z : array, shape (n,)
        Where it starts.
    inverse_mass : array, shape (n, n)
        The first metric: an estimate of the covariance.
    step : float
        A first guess of the step, in units of that metric.

    Raises
    ------
    ArdError
        If the density has no value there.
    """
    place = as_place(z)
    value, slope = compiled_value(target.log_density)(place, target.data)
    require_finite(target, z, value, slope)
    learned = adaptation.begin(inverse_mass, step)
    return State(place, slope, value, jnp.zeros((), jnp.int32), learned)


def require_seed(seed: int) -> None:
    """Refuse a seed that JAX does not take, or would take for another one.

    Raises
    ------
    ArdError
        If it is not a whole number of 32 bits.
    """
    if not 0 <= seed < _N_SEED:
        raise ArdError(
            "the seed of chains cannot be used",
            expected=f"a whole number from 0 to {_N_SEED - 1}",
            found=seed,
            action="take another seed",
        )


def key_of(seed: int, chain: int) -> jax.Array:
    """Give the key of a chain.

    Raises
    ------
    ArdError
        If the seed is none of chains: see `require_seed`.
    """
    require_seed(seed)
    return jax.random.fold_in(jax.random.key(seed), chain)


def advance(
    target: Target, state: State, key: jax.Array, count: int, settings: Settings
) -> tuple[State, Arrays]:
    """Make draws of one chain.

    Parameters
    ----------
    target : Target
    state : State
        Of one chain; of several along a new first axis, with as many keys, to have them computed
        together.
    key : jax.Array
        What `key_of` gives.
    count : int
        How many.
    settings : Settings

    Returns
    -------
    State
        After the last draw.
    dict of str to ndarray
        ``z``, shape (count, n), and the statistics of each draw, shape (count,); with a first axis
        for the chains where there are several.
    """
    together = state.z.ndim == 2
    piece = _piece(target.log_density, settings, together)
    parts: list[Arrays] = []
    done = 0
    while done < count:
        number = min(PIECE, count - done)
        state, buffers = piece(state, key, jnp.asarray(number, jnp.int32), target.data)
        kept = (slice(None), slice(number)) if together else (slice(number),)
        parts.append({name: np.asarray(value)[kept] for name, value in buffers.items()})
        done += number
    axis = 1 if together else 0
    return state, {name: np.concatenate([p[name] for p in parts], axis) for name in parts[0]}


def make_block(
    target: Target, arrays: Arrays, state: State, chain: int, before: Block | None, n_warmup: int
) -> Block:
    """Put draws, which all are of one phase, and the state after them into a block.

    Parameters
    ----------
    target : Target
    arrays : dict of str to ndarray
        What `advance` gave for this chain.
    state : State
    chain : int
    before : Block or None
        The block that this one follows.
    n_warmup : int
    """
    count = len(arrays["z"])
    first = int(state.n_done) - count
    phase = WARMUP if first < n_warmup else SAMPLE
    draws = np.ascontiguousarray(target.constrain(np.asarray(arrays["z"], np.float64)))
    stats = {name: _wide(value) for name, value in arrays.items() if name != "z"}
    index = 0 if before is None else before.index + 1
    first = first if phase == WARMUP else first - n_warmup
    return Block(chain, index, phase, first, draws, stats, pack(state))


def _wide(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def pack(state: State) -> bytes:
    """Turn a state into bytes: a line that says which arrays follow, and the arrays."""
    arrays = _flat(state)
    head = {name: [value.dtype.str, list(value.shape)] for name, value in arrays.items()}
    body = b"".join(value.tobytes() for value in arrays.values())
    return _MAGIC + json.dumps(head, sort_keys=False).encode() + b"\n" + body


def unpack(data: bytes) -> State:
    """Make the state again that became these bytes.

    Raises
    ------
    FormatError
        If they are none of a state, or of one in another precision than JAX is set to.
    """
    try:
        if not data.startswith(_MAGIC):
            raise ValueError(repr(data[: len(_MAGIC)]))
        line, _, body = data.removeprefix(_MAGIC).partition(b"\n")
        arrays: dict[str, Any] = {}
        place = 0
        for name, (kind, shape) in json.loads(line).items():
            size = int(np.prod(shape, dtype=int)) * np.dtype(kind).itemsize
            arrays[name] = np.frombuffer(body[place : place + size], kind).reshape(shape)
            place += size
        if place != len(body):
            raise ValueError(f"{len(body)} bytes, {place} declared")
        own = {f.name for f in fields(Adaptation)}
        expected = own | {f.name for f in fields(State)} - {"learned"}
        if set(arrays) != expected:
            raise ValueError(", ".join(sorted(arrays)))
    except (ValueError, TypeError, AttributeError) as error:
        raise FormatError(
            "this is no state of a chain",
            expected="the bytes that a sampler of this version stored",
            found=str(error),
            action="begin the run under another name",
        ) from error
    _require_precision(arrays["z"].dtype)
    arrays = {name: jnp.asarray(value, value.dtype) for name, value in arrays.items()}
    learned = Adaptation(**{name: arrays.pop(name) for name in sorted(own)})
    return State(learned=learned, **arrays)


def _require_precision(dtype: Any) -> None:
    now = jnp.result_type(float)
    if dtype != now:
        raise FormatError(
            "a chain cannot go on in another precision than it was begun in",
            expected=f"{dtype}",
            found=f"JAX is set to {now}",
            action="set it with pipeline.runtime.start, or begin the run under another name",
        )


def _flat(state: State) -> Arrays:
    parts = {f.name: getattr(state, f.name) for f in fields(State) if f.name != "learned"}
    parts |= {f.name: getattr(state.learned, f.name) for f in fields(Adaptation)}
    found = {name: np.asarray(value) for name, value in parts.items()}
    return {name: v.astype(v.dtype.newbyteorder("<")) for name, v in found.items()}


@functools.lru_cache(maxsize=8)
def compiled_value(log_density: Callable[[Any, Any], Any]) -> Any:
    """Compile a density with its derivative, once."""
    return jax.jit(jax.value_and_grad(log_density))


@functools.lru_cache(maxsize=8)
def _piece(log_density: Callable[[Any, Any], Any], settings: Settings, together: bool) -> Any:
    """Compile the program that makes up to `PIECE` draws of a chain, or of several together."""
    nuts, hmc_state = _blackjax()
    kernel = nuts.build_kernel()
    seen, closing = (jnp.asarray(flags) for flags in adaptation.schedule(settings.n_warmup))

    def learn(state: State, place: Any, acceptance: Any) -> Adaptation:
        number = state.n_done
        learned = adaptation.adapt(state.learned, acceptance, settings.target_acceptance)
        seeing = jax.lax.cond(seen[number], adaptation.see, lambda a, _: a, learned, place)
        learned = jax.lax.cond(closing[number], adaptation.close_window, lambda a: a, seeing)
        last = number == settings.n_warmup - 1
        settled: Adaptation = jax.lax.cond(last, adaptation.settle, lambda a: a, learned)
        return settled

    def draw(state: State, key: Any, data: Any) -> tuple[State, dict[str, Any]]:
        step = jnp.exp(state.learned.log_step)
        found, info = kernel(
            jax.random.fold_in(key, state.n_done),
            hmc_state(state.z, state.log_density, state.slope),
            lambda z: log_density(z, data),
            step,
            state.learned.inverse_mass,
            settings.max_doublings,
        )
        learned = state.learned
        if settings.n_warmup:
            learned = jax.lax.cond(
                state.n_done < settings.n_warmup,
                learn,
                lambda s, *_: s.learned,
                *(state, found.position, info.acceptance_rate),
            )
        after = State(found.position, found.logdensity_grad, found.logdensity,
                      state.n_done + 1, learned)  # fmt: skip
        return after, {
            "z": found.position,
            "lp": found.logdensity,
            "energy": info.energy,
            "diverging": info.is_divergent,
            "n_steps": jnp.asarray(info.num_integration_steps, jnp.int32),
            "tree_depth": jnp.asarray(info.num_trajectory_expansions, jnp.int32),
            "reached_max_treedepth": info.num_trajectory_expansions >= settings.max_doublings,
            "acceptance_rate": info.acceptance_rate,
            "step_size": step,
        }

    def piece(state: State, key: Any, count: Any, data: Any) -> tuple[State, dict[str, Any]]:
        shapes = jax.eval_shape(draw, state, key, data)[1]
        empty = {n: jnp.zeros((PIECE, *s.shape), s.dtype) for n, s in shapes.items()}

        def body(number: Any, carry: Any) -> Any:
            state, buffers = carry
            state, row = draw(state, key, data)
            return state, {n: buffers[n].at[number].set(row[n]) for n in buffers}

        made: tuple[State, dict[str, Any]] = jax.lax.fori_loop(0, count, body, (state, empty))
        return made

    return jax.jit(jax.vmap(piece, in_axes=(0, 0, None, None)) if together else piece)


def _blackjax() -> tuple[Any, Any]:
    # Takes seconds: only who samples waits for it.
    try:
        from blackjax.mcmc import nuts
        from blackjax.mcmc.hmc import HMCState
    except ModuleNotFoundError as error:
        raise ExtraMissingError.for_module("blackjax", "sampling") from error
    return nuts, HMCState
