"""Where do blocks wait while the database is away, so that not even a crash loses one?"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ard.fileio import atomic_write_bytes
from pipeline.store.blocks import Block, out_of_order, same_block
from pipeline.store.codec import block_from_bytes, block_to_bytes
from pipeline.store.troubles import room_for

_SUFFIX: Final = ".block"
_KEY_LENGTH: Final = 16


def short_digest(text: str) -> str:
    """Give a name of fixed length for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_LENGTH]


class Spool:
    """Blocks in files of their own, one folder for each database.

    Parameters
    ----------
    folder : path
        The folder; it is made when the first block comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, run: str, block: Block) -> None:
        """Keep a block: it is on the disk when this returns.

        The rules are those of a store, as far as the blocks that wait tell.

        Raises
        ------
        IntegrityError
            If another block waits in its place, or it leaves a gap.
        DiskFullError
            If there is no room; nothing half-written is left.
        """
        path = self._path(run, block.chain, block.index)
        waiting = self.waiting(run, block.chain)
        n_kept = int(waiting[-1].stem.rpartition("-")[2]) + 1 if waiting else block.index
        if path in waiting:
            _, kept = self.read(path)
            if same_block(block, kept.sha256, kept.state_sha256 if path == waiting[-1] else None):
                return
        if block.index != n_kept:
            raise out_of_order(run, block, n_kept)
        with room_for(path):
            _make_folder(self.folder)
            atomic_write_bytes(path, block_to_bytes(run, block), overwrite=True)
            _sync_folder(self.folder)

    def holds(self, run: str, block: Block) -> bool:
        """Whether a block waits in this one's place."""
        return self._path(run, block.chain, block.index).exists()

    def waiting(self, run: str | None = None, chain: int | None = None) -> list[Path]:
        """Give the files that wait, each chain's in order."""
        key = "*" if run is None else short_digest(run)
        number = "*" if chain is None else f"{chain:06d}"
        return sorted(self.folder.glob(f"{key}-{number}-*{_SUFFIX}"))

    def last(self, run: str, chain: int) -> Block | None:
        """Give the last block of a chain that waits; None where none does."""
        for path in reversed(self.waiting(run, chain)):
            for _, block in self.read_there(path):
                return block
        return None

    def read(self, path: Path) -> tuple[str, Block]:
        """Read a block and the name of its run, checked against its digests."""
        return block_from_bytes(path.read_bytes(), path)

    def read_there(self, path: Path) -> Iterator[tuple[str, Block]]:
        """Read a block if it still waits: another process may just have taken it."""
        try:
            found = self.read(path)
        except FileNotFoundError:
            return
        yield found

    def drop(self, path: Path) -> None:
        """Remove a block that is in the database."""
        path.unlink(missing_ok=True)

    def _path(self, run: str, chain: int, index: int) -> Path:
        return self.folder / f"{short_digest(run)}-{chain:06d}-{index:09d}{_SUFFIX}"


def _make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are not there, each on the disk before the next."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    # A file's name is durable only once its folder is.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
