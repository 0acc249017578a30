"""What is a chain made of while it grows, and what must a store of chains do?

A chain is stored in blocks of draws. Each block carries the sampler's state after its last draw,
and both are stored together or not at all: whoever finds a block can go on from it. Only the last
state of a chain is kept.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError, IntegrityError, NotFoundError
from ard.io import json_bytes

WARMUP: Final = "warmup"
SAMPLE: Final = "sample"
PHASES: Final = (WARMUP, SAMPLE)
# What a statistic may be: truth values, integers, floating point numbers.
_KINDS: Final = "biuf"


@dataclass(frozen=True)
class Run:
    """What a set of chains is of: whoever asks for the same gets the same draws.

    Attributes
    ----------
    name : str
        Unique name of the run.
    parameters : tuple of str
        Names of the parameters that are sampled, in the order of the columns of `Block.draws`.
    n_chain : int
        How many chains there are.
    seed : int
        The seed of all of them.
    digests : mapping of str to str
        sha256 of what decides the draws: ``data``, ``model``, ``config``, ``code``.
    prior : mapping
        The prior: for each parameter its family, its parameters and bounds. This, `config` and
        `provenance` are kept as JSON, which has no infinity: None where there is no bound.
        A tuple becomes a list.
    config : mapping
        Settings of the sampler.
    provenance : mapping
        Versions of the tools.
    """

    name: str
    parameters: tuple[str, ...]
    n_chain: int
    seed: int
    digests: Mapping[str, str]
    prior: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("digests", "prior", "config", "provenance"):
            # As a store gives it back, so that equal runs are equal; refuses what is no JSON.
            plain = json.loads(json_bytes(dict(getattr(self, part))))
            object.__setattr__(self, part, plain)
        object.__setattr__(self, "parameters", tuple(self.parameters))
        names = [self.name, *self.parameters]
        if not all(n.isprintable() and n for n in names) or len(set(names[1:])) < len(names) - 1:
            raise ArdError(
                "the names of a run cannot be told apart or printed",
                expected="a name, and different names of parameters",
                found=names,
                action="choose other names",
            )


@dataclass(frozen=True, eq=False)
class Block:
    """Successive draws of one chain, and the sampler's state after the last of them.

    Attributes
    ----------
    chain, index : int
        Which chain, and which block of it, from 0.
    phase : str
        `WARMUP`, while the sampler still adapts, or `SAMPLE`.
    first_draw : int
        How many draws of the same phase came before it in this chain.
    draws : array, shape (n_draw, n_parameter)
        Draws, float64.
    stats : mapping of str to array, shape (n_draw,)
        What the sampler says of each draw: ``lp``, ``energy``, ``diverging``, ``n_steps``, ...
    state : bytes
        The sampler's state, in the sampler's own form. A store gives it back with the last block
        of a chain; with an earlier one it is empty.
    """

    chain: int
    index: int
    phase: str
    first_draw: int
    draws: FloatArray
    stats: Mapping[str, np.ndarray[Any, Any]]
    state: bytes

    def __post_init__(self) -> None:
        n_draw = len(self.draws)
        stats = {key: np.asarray(value) for key, value in self.stats.items()}
        wrong = sorted(
            k for k, v in stats.items() if v.shape != (n_draw,) or v.dtype.kind not in _KINDS
        )
        if self.draws.ndim != 2 or self.draws.dtype != np.float64 or wrong:
            raise ArdError(
                "a block of draws has impossible shapes",
                expected="draws (n_draw, n_parameter) in float64, each statistic (n_draw,) numbers",
                found=f"draws {self.draws.shape} in {self.draws.dtype}, wrong: {wrong or 'none'}",
                action="mend what makes the block",
            )
        if self.phase not in PHASES or min(self.chain, self.index, self.first_draw) < 0:
            raise ArdError(
                "a block of draws has an impossible place",
                expected=f"chain, index and first draw from 0, a phase of {', '.join(PHASES)}",
                found=f"{self.chain}, {self.index}, {self.first_draw}, {self.phase}",
                action="mend what makes the block",
            )
        object.__setattr__(self, "stats", MappingProxyType(stats))

    @property
    def sha256(self) -> str:
        """Give the digest of draws, statistics and their place in the chain."""
        place = (self.chain, self.index, self.phase, self.first_draw, *self.draws.shape)
        digest = hashlib.sha256(repr(place).encode())
        digest.update(little_endian(self.draws))
        for key in sorted(self.stats):
            value = self.stats[key]
            digest.update(repr((key, value.dtype.newbyteorder("<").str)).encode())
            digest.update(little_endian(value))
        return digest.hexdigest()

    @property
    def state_sha256(self) -> str:
        """Give the digest of the sampler's state."""
        return hashlib.sha256(self.state).hexdigest()


def little_endian(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Give the bytes of an array as they are stored: in C order, little-endian; shape (n_byte,)."""
    stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return stored.reshape(-1).view(np.uint8)


# What is measured of each parameter, by name: ``{"v": {"mean": ..., "rhat": ...}}``.
Summaries = Mapping[str, Mapping[str, float]]


class BlockStore(Protocol):
    """What a sampler asks of the place where its chains go."""

    def begin(self, run: Run) -> None:
        """Register a run; a run of the same name must be the same run (else `ArdError`)."""

    def append(self, run: str, block: Block) -> None:
        """Keep a block with its state, durably, before returning.

        The same block again changes nothing; another block in its place, or one that leaves a gap,
        is an `IntegrityError`.
        """

    def latest(self, run: str, chain: int) -> Block | None:
        """Give the last block of a chain; None where there is none."""

    def blocks(self, run: str, chain: int, phase: str = SAMPLE) -> Iterator[Block]:
        """Give the blocks of a chain, in order, each checked against its digest."""

    def n_draw(self, run: str, chain: int, phase: str = SAMPLE) -> int:
        """Say how many draws of a phase a chain has."""

    def run(self, name: str) -> Run:
        """Give a run that was begun (else `NotFoundError`)."""

    def put_summaries(self, run: str, summaries: Summaries) -> None:
        """Keep what was measured of a run's parameters, instead of what was kept before."""

    def summaries(self, run: str) -> dict[str, dict[str, float]]:
        """Give what was measured of a run's parameters."""


class MemoryStore:
    """Keep chains in memory: for fits that are quicker made again than read."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._blocks: dict[tuple[str, int], list[Block]] = {}
        self._summaries: dict[str, dict[str, dict[str, float]]] = {}

    def begin(self, run: Run) -> None:
        """Register a run."""
        require_same(self._runs.setdefault(run.name, run), run)

    def append(self, run: str, block: Block) -> None:
        """Keep a block."""
        require_fit(self.run(run), block)
        kept = self._blocks.setdefault((run, block.chain), [])
        if block.index < len(kept):
            stored = kept[block.index]
            last = block.index == len(kept) - 1
            if same_block(block, stored.sha256, stored.state_sha256 if last else None):
                return
        if block.index != len(kept):
            raise out_of_order(run, block, len(kept))
        phase = kept[-1].phase if kept else block.phase
        require_follows(run, block, phase, self.n_draw(run, block.chain, phase))
        if kept:
            kept[-1] = replace(kept[-1], state=b"")
        kept.append(block)

    def latest(self, run: str, chain: int) -> Block | None:
        """Give the last block of a chain."""
        kept = self._blocks.get((run, chain))
        return kept[-1] if kept else None

    def blocks(self, run: str, chain: int, phase: str = SAMPLE) -> Iterator[Block]:
        """Give the blocks of a chain, in order."""
        return (b for b in self._blocks.get((run, chain), ()) if b.phase == phase)

    def n_draw(self, run: str, chain: int, phase: str = SAMPLE) -> int:
        """Say how many draws of a phase a chain has."""
        return sum(len(block.draws) for block in self.blocks(run, chain, phase))

    def run(self, name: str) -> Run:
        """Give a run that was begun."""
        if name not in self._runs:
            raise no_run(name, self._runs)
        return self._runs[name]

    def put_summaries(self, run: str, summaries: Summaries) -> None:
        """Keep what was measured of a run's parameters."""
        self._summaries[self.run(run).name] = {k: dict(v) for k, v in summaries.items()}

    def summaries(self, run: str) -> dict[str, dict[str, float]]:
        """Give what was measured of a run's parameters."""
        return {k: dict(v) for k, v in self._summaries.get(self.run(run).name, {}).items()}


def require_same(stored: Run, asked: Run) -> None:
    """Refuse a run whose name is taken by another."""
    names = [one.name for one in fields(Run)]
    differ = [name for name in names if getattr(stored, name) != getattr(asked, name)]
    if differ:
        raise ArdError(
            f"the run '{asked.name}' is of other data, another model or other settings",
            expected="the run that was begun under this name",
            found=f"another {', '.join(differ)}",
            action="give the run another name, or remove the old one",
        )


def no_run(name: str, there: Iterable[str]) -> NotFoundError:
    """Say that there is no such run."""
    return NotFoundError(
        f"there is no run '{name}' in the store",
        expected="a run that was begun",
        found=", ".join(sorted(there)) or "no run at all",
        action="check the name, and which database is used",
    )


def require_fit(run: Run, block: Block) -> None:
    """Refuse a block that cannot be of a run."""
    if block.draws.shape[1] != len(run.parameters) or block.chain >= run.n_chain:
        raise ArdError(
            f"block {block.index} of chain {block.chain} cannot be of the run '{run.name}'",
            expected=f"{len(run.parameters)} parameters, chains 0 to {run.n_chain - 1}",
            found=f"{block.draws.shape[1]} parameters, chain {block.chain}",
            action="mend what makes the block",
        )


def same_block(block: Block, sha256: str, state_sha256: str | None) -> bool:
    """Whether a block is the one that is stored; of an earlier one, no state is."""
    return block.sha256 == sha256 and state_sha256 in (None, block.state_sha256)


def require_follows(run: str, block: Block, last_phase: str, next_draw: int) -> None:
    """Refuse a block that counts its draws wrongly, or warms up after sampling.

    Parameters
    ----------
    run : str
        Name of the run.
    block : Block
        The block.
    last_phase : str
        Phase of the block before it; its own where there is none.
    next_draw : int
        How many draws of that phase there are.
    """
    expected = next_draw if block.phase == last_phase else 0
    if block.first_draw != expected or (last_phase, block.phase) == (SAMPLE, WARMUP):
        raise IntegrityError(
            f"block {block.index} of chain {block.chain} of the run '{run}' does not follow",
            expected=f"draws of the phase {block.phase} from {expected} on, warm-up first",
            found=f"draws of the phase {block.phase} from {block.first_draw} on",
            action="mend what makes the block",
        )


def out_of_order(run: str, block: Block, n_kept: int) -> IntegrityError:
    """Say that a block does not follow what is stored."""
    return IntegrityError(
        f"block {block.index} of chain {block.chain} of the run '{run}' does not follow",
        expected=f"block {n_kept}, or an earlier one as it was stored",
        found=f"block {block.index}",
        action="let one process at a time sample a chain",
    )
