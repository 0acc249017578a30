"""How are chains sampled until they are good enough, whatever stops them in between?

Each chain grows in blocks, and each block is stored with the state after it before anything else
happens: what finds the store again goes on as if nothing had been. On a CPU chains run one after
the other, or each in a process; together only on a GPU (reference/inference.md section 2: together
they wait for one another's longest trajectory, and fill the cache).
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import jax
import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError
from pipeline.infer import chain as chains
from pipeline.infer.chain import Settings, State
from pipeline.infer.judge import Gate, Mixing, Verdict, mixing
from pipeline.infer.pool import Pool
from pipeline.infer.target import Target
from pipeline.store.blocks import SAMPLE, WARMUP, Block, BlockStore, Run

Status = Literal["passed", "final", "wall_clock", "draws", "effective"]
_STEP: Final = 0.5


@dataclass(frozen=True, eq=False)
class Starts:
    """Where chains start.

    Attributes
    ----------
    z : array, shape (n_chain, n)
        Places: farther apart than the posterior is wide.
    inverse_mass : array, shape (n, n)
        An estimate of the covariance there: the first metric.
    step : float
        The first step, in units of the metric.
    """

    z: FloatArray
    inverse_mass: FloatArray
    step: float = _STEP


@dataclass(frozen=True)
class Budget:
    """How long may it take? None of it changes a draw.

    Attributes
    ----------
    block : int
        Draws in a block: what is lost, at most, when the process dies.
    n_first : int
        Draws of each chain, warm-up not counted, before the gate is asked for the first time.
    n_most : int
        Draws of each chain at which sampling ends whatever the gate says.
    wall_s : float
        Seconds after which no block is begun. The block in the making is finished.
    n_effective : float
        Effective draws of the worst parameter at which sampling ends whatever the gate says.
    """

    block: int = 250
    n_first: int = 1000
    n_most: int = 10_000
    wall_s: float = np.inf
    n_effective: float = np.inf

    def __post_init__(self) -> None:
        whole = self.block >= 1 and 1 <= self.n_first <= self.n_most
        if not whole or not self.wall_s >= 0.0 or not self.n_effective > 0.0:
            raise ArdError(
                "a budget of sampling is impossible",
                expected="a block of 1 or more, 1 <= n_first <= n_most, seconds of 0 or more, "
                "effective draws above 0",
                found=str(self),
                action="correct the budget",
            )


@dataclass(frozen=True)
class Progress:
    """How far is it?

    Attributes
    ----------
    phase : str
        `WARMUP` or `SAMPLE`.
    n_draw : int
        Draws of that phase that every chain has.
    n_planned : int
        How many it is to have, as far as is known.
    mixing : Mixing
        Of the draws after the warm-up.
    n_diverging : int
        Divergent trajectories among them.
    elapsed_s : float
    eta_s : float
        Seconds until `n_planned`; NaN before the first block is done.
    """

    phase: str
    n_draw: int
    n_planned: int
    mixing: Mixing
    n_diverging: int
    elapsed_s: float
    eta_s: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """How did sampling end, and with what?

    Attributes
    ----------
    status : {"passed", "final", "wall_clock", "draws", "effective"}
        "passed" if the gate was; "final" if more draws cannot pass it; otherwise which budget
        ended.
    sentence : str
        The same in words, with the gate's reasons.
    draws, stats : dict of str to array, shape (n_chain, n_draw)
        As many of each chain as all of them have, without the warm-up.
    mixing : Mixing
    verdict : Verdict or None
        What the gate said last; None if it was not asked.
    """

    status: Status
    sentence: str
    draws: Mapping[str, FloatArray]
    stats: Mapping[str, np.ndarray[Any, Any]]
    mixing: Mixing
    verdict: Verdict | None = None

    @property
    def passed(self) -> bool:
        """Whether the gate was passed."""
        return self.status == "passed"

    @property
    def n_draw(self) -> int:
        """Draws of each chain."""
        return int(next(iter(self.draws.values())).shape[1])


def config_of(settings: Settings, starts: Starts) -> dict[str, Any]:
    """Give what decides the draws, for `Run.config`, as JSON has it.

    Numbers of starts and metric are given to the last bit: another start is another run.
    """
    own = {name: np.asarray(value, np.float64) for name, value in vars(starts).items()}
    return {**asdict(settings), "starts": {name: v.tolist() for name, v in own.items()}}


@dataclass
class _Chains:
    """What the store has, kept up to date as blocks are made."""

    target: Target
    run: Run
    store: BlockStore
    settings: Settings
    last: list[Block | None] = field(default_factory=list)
    kept: list[list[Block]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store.begin(self.run)
        for number in range(self.run.n_chain):
            self.last.append(self.store.latest(self.run.name, number))
            self.kept.append(list(self.store.blocks(self.run.name, number, SAMPLE)))

    def count(self, number: int, phase: str) -> int:
        """How many draws of a phase has a chain?"""
        last = self.last[number]
        if last is None:
            return 0
        n_phase = last.first_draw + len(last.draws)
        if phase == last.phase:
            return n_phase
        return self.settings.n_warmup if phase == WARMUP else 0

    def common(self, phase: str) -> int:
        """How many draws of a phase do all chains have?"""
        return min(self.count(number, phase) for number in range(self.run.n_chain))

    def take(self, block: Block) -> None:
        """Store a block."""
        self.store.append(self.run.name, block)
        self.last[block.chain] = block
        if block.phase == SAMPLE:
            self.kept[block.chain].append(block)

    def gathered(self) -> tuple[dict[str, FloatArray], dict[str, np.ndarray[Any, Any]]]:
        """Give draws and statistics after the warm-up, (n_chain, n_draw), as many as all have."""
        n_draw = self.common(SAMPLE)
        if n_draw == 0:
            return {name: np.empty((self.run.n_chain, 0)) for name in self.run.parameters}, {}
        draws = np.stack([_joined([b.draws for b in kept], n_draw) for kept in self.kept])
        names = self.kept[0][0].stats
        stats = {
            name: np.stack([_joined([b.stats[name] for b in k], n_draw) for k in self.kept])
            for name in names
        }
        return {n: draws[..., i] for i, n in enumerate(self.run.parameters)}, stats


def sample(
    target: Target,
    starts: Starts,
    run: Run,
    store: BlockStore,
    *,
    settings: Settings | None = None,
    budget: Budget | None = None,
    gate: Gate,
    say: Callable[[Progress], None] | None = None,
    workers: int = 1,
    together: bool | None = None,
) -> Outcome:
    """Sample chains, or go on with them, until a gate is passed or a budget ends.

    Parameters
    ----------
    target : Target
    starts : Starts
        One for each chain of the run. Those that have draws do not start again.
    run : Run
        Its `config` should be `config_of(settings, starts)`, so that a store refuses to go on with
        chains of other settings.
    store : BlockStore
    settings : Settings, optional
    budget : Budget, optional
    gate : callable
        From draws and statistics, each a mapping of names to arrays (n_chain, n_draw), to what has
        `passed`, `reasons` and `final`.
    say : callable, optional
        Told of progress, after each round of blocks.
    workers : int
        Processes; 1 runs the chains one after the other in this one.
    together : bool, optional
        Whether the chains are computed at the same time; by default on a GPU only. Draws differ
        in their last digits from those of chains that are not, and are as reproducible.

    Raises
    ------
    ArdError
        If a chain cannot start, or the parts do not fit one another.
    """
    chosen = settings or Settings()
    limits = budget or Budget()
    _require_fitting(target, starts, run)
    held = _Chains(target, run, store, chosen)
    states = _states(held, starts)
    if together is None:
        together = workers == 1 and jax.default_backend() != "cpu"
    keys = [chains.key_of(run.seed, number) for number in range(run.n_chain)]
    clock = _Clock(limits, chosen, say)
    with Pool(target, chosen, workers) as pool:
        while True:
            ended = clock.judge(held, gate)
            if ended is not None:
                return ended
            jobs = _jobs(held, limits)
            made = (
                _at_once(held, states, keys, jobs)
                if together
                else pool.advance([(n, states[n], keys[n], c) for n, c in jobs.items()])
            )
            for number, state, arrays in made:
                block = chains.make_block(
                    target, arrays, state, number, held.last[number], chosen.n_warmup
                )
                held.take(block)
                states[number] = state
                if clock.late and workers == 1:  # what other processes have begun is kept
                    break


def _jobs(held: _Chains, limits: Budget) -> dict[int, int]:
    """How many draws does each chain need to be where all are after the next round?"""
    phase, total = _aim(held, limits)
    left = {n: total - held.count(n, phase) for n in range(held.run.n_chain)}
    return {n: min(count, limits.block) for n, count in left.items() if count > 0}


def _aim(held: _Chains, limits: Budget) -> tuple[str, int]:
    n_warmup = held.settings.n_warmup
    warmed = held.common(WARMUP)
    if warmed < n_warmup:
        return WARMUP, min(warmed + limits.block, n_warmup)
    have = held.common(SAMPLE)
    most = limits.n_first if have < limits.n_first else limits.n_most
    return SAMPLE, min(have + limits.block, most)


def _at_once(
    held: _Chains, states: list[State], keys: list[jax.Array], jobs: dict[int, int]
) -> Iterable[tuple[int, State, chains.Arrays]]:
    """Advance all chains together, and give those that had to; they share one length."""
    count = min(jobs.values())
    stacked = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *states)
    after, arrays = chains.advance(
        held.target, stacked, jax.numpy.stack(keys), count, held.settings
    )
    for number in jobs:
        own = jax.tree.map(lambda leaf, n=number: leaf[n], after)
        yield number, own, {name: value[number] for name, value in arrays.items()}


class _Clock:
    """Asks the gate, watches the budget, and tells of progress."""

    def __init__(
        self, limits: Budget, settings: Settings, say: Callable[[Progress], None] | None
    ) -> None:
        self._limits, self._settings, self._say = limits, settings, say
        self._began = time.monotonic()
        self._first: tuple[float, int] | None = None

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() - self._began >= self._limits.wall_s

    def judge(self, held: _Chains, gate: Gate) -> Outcome | None:
        """Give the outcome, if this is the end."""
        draws, stats = held.gathered()
        n_draw = held.common(SAMPLE)
        found = mixing(draws) if n_draw else Mixing()
        self._tell(held, found, stats)
        asked = n_draw >= self._limits.n_first
        verdict = gate(draws, stats) if asked or (self.late and n_draw) else None
        # Time that is over does not make worse what is good; fewer draws than asked for do not do.
        if verdict is not None and asked and verdict.passed:
            words = f"the gate is passed with {n_draw} draws of each of {held.run.n_chain} chains"
            return Outcome("passed", words, draws, stats, found, verdict)
        why = self._ended(n_draw, found, asked)
        if verdict is not None and asked and verdict.final:
            why = "final", f"more than {n_draw} draws of each chain would not mend it"
        if why is None:
            return None
        status, words = why
        reasons = "; ".join(verdict.reasons) if verdict is not None else "the gate was not asked"
        sentence = f"{words}, and the gate is not passed: {reasons or 'too few draws to judge'}"
        return Outcome(status, sentence, draws, stats, found, verdict)

    def _ended(self, n_draw: int, found: Mixing, asked: bool) -> tuple[Status, str] | None:
        limits = self._limits
        if n_draw >= limits.n_most:
            return "draws", f"each chain has the {limits.n_most} draws that were allowed"
        if asked and found.ess >= limits.n_effective:
            return "effective", f"there are {found.ess:.0f} effective draws, as many as asked for"
        if self.late:
            return "wall_clock", f"{limits.wall_s:g} s are over after {n_draw} draws of each chain"
        return None

    def _tell(self, held: _Chains, found: Mixing, stats: Mapping[str, Any]) -> None:
        now = time.monotonic() - self._began
        warm, sampled = held.common(WARMUP), held.common(SAMPLE)
        warming = warm < self._settings.n_warmup
        done = warm + sampled
        if self._first is None:
            self._first = now, done
        planned = self._planned(sampled, found)
        since, before = self._first
        rate = (now - since) / (done - before) if done > before else np.nan
        left = self._settings.n_warmup - warm + planned - sampled
        if self._say is not None:
            self._say(Progress(
                WARMUP if warming else SAMPLE, warm if warming else sampled,
                self._settings.n_warmup if warming else planned, found,
                int(np.sum(stats["diverging"])) if stats else 0, now, rate * left,
            ))  # fmt: skip

    def _planned(self, sampled: int, found: Mixing) -> int:
        """Give the draws that are needed, as far as is known: a block more once all are there."""
        limits = self._limits
        if sampled < limits.n_first:
            return limits.n_first
        wanted = sampled + limits.block
        if np.isfinite(found.ess) and np.isfinite(limits.n_effective):
            wanted = max(wanted, int(np.ceil(sampled * limits.n_effective / found.ess)))
        return min(wanted, limits.n_most)


def _states(held: _Chains, starts: Starts) -> list[State]:
    """Give each chain's state: the stored one, or that of its start."""
    states = []
    for number, last in enumerate(held.last):
        if last is not None:
            states.append(chains.unpack(last.state))
            continue
        metric = np.asarray(starts.inverse_mass, np.float64)
        states.append(chains.start(held.target, starts.z[number], metric, starts.step))
    return states


def _require_fitting(target: Target, starts: Starts, run: Run) -> None:
    count, size = run.n_chain, len(target.names)
    shapes = np.shape(starts.z), np.shape(starts.inverse_mass)
    if run.parameters != target.names or shapes != ((count, size), (size, size)):
        raise ArdError(
            "run, target and starts of chains do not belong together",
            expected=f"parameters {', '.join(target.names)}; starts of shape {(count, size)}, a "
            f"metric of shape {(size, size)}",
            found=f"parameters {', '.join(run.parameters)}; shapes {shapes[0]} and {shapes[1]}",
            action="make run and starts for this target",
        )


def _joined(parts: list[Any], count: int) -> Any:
    return np.concatenate(parts)[:count]
