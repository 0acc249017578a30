"""What is a chain made of while it grows, and what must a store of chains do?

A chain is stored in blocks of draws. Each block carries the sampler's state after its last draw,
and both are stored together or not at all: whoever finds a block can go on from it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError, IntegrityError

WARMUP: Final = "warmup"
SAMPLE: Final = "sample"


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
        The prior: for each parameter its family, its parameters and bounds.
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
        The sampler's state, in the sampler's own form.
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
        wrong = sorted(key for key, value in self.stats.items() if np.shape(value) != (n_draw,))
        if self.draws.ndim != 2 or self.draws.dtype != np.float64 or wrong:
            raise ArdError(
                "a block of draws has impossible shapes",
                expected="draws (n_draw, n_parameter) in float64, each statistic (n_draw,)",
                found=f"draws {self.draws.shape} in {self.draws.dtype}, wrong: {wrong or 'none'}",
                action="mend what makes the block",
            )
        object.__setattr__(self, "stats", MappingProxyType(dict(self.stats)))

    @property
    def sha256(self) -> str:
        """Give the digest of draws, statistics and state."""
        digest = hashlib.sha256(np.ascontiguousarray(self.draws, "<f8").tobytes())
        for key in sorted(self.stats):
            value = np.ascontiguousarray(self.stats[key])
            digest.update(key.encode())
            digest.update(value.astype(value.dtype.newbyteorder("<")).tobytes())
        digest.update(self.state)
        return digest.hexdigest()


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


class MemoryStore:
    """Keep chains in memory: for fits that are quicker made again than read."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._blocks: dict[tuple[str, int], list[Block]] = {}

    def begin(self, run: Run) -> None:
        """Register a run."""
        if self._runs.setdefault(run.name, run) != run:
            raise another_run(run.name)

    def append(self, run: str, block: Block) -> None:
        """Keep a block."""
        kept = self._blocks.setdefault((run, block.chain), [])
        if block.index < len(kept) and kept[block.index].sha256 == block.sha256:
            return
        if block.index != len(kept):
            raise out_of_order(run, block, len(kept))
        kept.append(block)

    def latest(self, run: str, chain: int) -> Block | None:
        """Give the last block of a chain."""
        kept = self._blocks.get((run, chain))
        return kept[-1] if kept else None

    def blocks(self, run: str, chain: int, phase: str = SAMPLE) -> Iterator[Block]:
        """Give the blocks of a chain, in order."""
        return (b for b in self._blocks.get((run, chain), ()) if b.phase == phase)


def another_run(name: str) -> ArdError:
    """Say that a name is taken by other chains."""
    return ArdError(
        f"the run '{name}' is of other data, another model or other settings",
        expected="the run that was begun under this name",
        found="another",
        action="give the run another name, or delete the old one",
    )


def out_of_order(run: str, block: Block, n_kept: int) -> IntegrityError:
    """Say that a block does not follow what is stored."""
    return IntegrityError(
        f"block {block.index} of chain {block.chain} of the run '{run}' does not follow",
        expected=f"block {n_kept}, or an earlier one as it was stored",
        found=f"block {block.index}",
        action="let one process at a time sample a chain",
    )
