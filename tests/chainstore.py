"""Chains in files, one for each block: the smallest store that survives a kill -9."""

import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from ard.errors import ArdError
from pipeline.store.blocks import SAMPLE, Block, Run, out_of_order


class FileStore:
    """Keeps each block in a file that is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, run: Run) -> None:
        own = self._folder / run.name
        own.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(run), sort_keys=True)
        if (own / "run.json").exists():
            if (own / "run.json").read_text() != text:
                raise ArdError(f"the name {run.name} belongs to another run")
            return
        _write(own / "run.json", text.encode())

    def append(self, run: str, block: Block) -> None:
        there = self._files(run, block.chain)
        if block.index < len(there) and _read(there[block.index]).sha256 == block.sha256:
            return
        if block.index != len(there):
            raise out_of_order(run, block, len(there))
        parts = {**vars(block), "stats": dict(block.stats)}
        path = self._folder / run / f"{block.chain}-{block.index:06d}.block"
        _write(path, pickle.dumps(parts))

    def latest(self, run: str, chain: int) -> Block | None:
        there = self._files(run, chain)
        return _read(there[-1]) if there else None

    def blocks(self, run: str, chain: int, phase: str = SAMPLE) -> Iterator[Block]:
        return (b for b in map(_read, self._files(run, chain)) if b.phase == phase)

    def _files(self, run: str, chain: int) -> list[Path]:
        return sorted((self._folder / run).glob(f"{chain}-*.block"))


def _write(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _read(path: Path) -> Block:
    return Block(**pickle.loads(path.read_bytes()))
