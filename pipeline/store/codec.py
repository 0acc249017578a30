"""How does a block become bytes: in a column, in PostgreSQL's binary COPY, in a file?"""

import json
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np

from ard.errors import ArdError, FormatError, IntegrityError
from pipeline.store.blocks import Block, little_endian

DTYPE: Final = "<f8"
CODEC: Final = "raw"
_MAGIC: Final = b"RBH1BLK1"
_LENGTH: Final = struct.Struct("<I")
# PostgreSQL: "Binary Format" of COPY. Signature, flags, extension; then rows; then -1.
_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_COPY_TAIL: Final = struct.pack(">h", -1)

Stats = dict[str, np.ndarray[Any, Any]]


def stats_to_bytes(block: Block) -> bytes:
    """Give the statistics of a block as bytes: names and types in JSON, then the arrays."""
    names = sorted(block.stats)
    types = [[name, block.stats[name].dtype.newbyteorder("<").str] for name in names]
    head = json.dumps(types).encode()
    arrays = [little_endian(block.stats[name]).tobytes() for name in names]
    return b"".join([_LENGTH.pack(len(head)), head, *arrays])


def stats_from_bytes(data: bytes, n_draw: int) -> Stats:
    """Give back the statistics of a block.

    Raises
    ------
    ValueError
        If the bytes are no such statistics.
    """
    if len(data) < _LENGTH.size:
        raise ValueError("statistics are cut off")
    at = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    stats: Stats = {}
    for name, dtype in json.loads(data[_LENGTH.size : at]):
        stats[name] = np.frombuffer(data, dtype, n_draw, at)
        at += stats[name].nbytes
    if at != len(data):
        raise ValueError("statistics have bytes left over")
    return stats


def copy_row(values: tuple[int | str | bytes, ...], widths: tuple[int, ...]) -> bytes:
    """Give a row for ``COPY ... WITH (FORMAT BINARY)``, with head and tail.

    Parameters
    ----------
    values : tuple of int, str or bytes
        The fields.
    widths : tuple of int
        Bytes of each integer, 4 or 8; 0 for texts and bytes.
    """
    parts = [_COPY_HEAD, struct.pack(">h", len(values))]
    for value, width in zip(values, widths, strict=True):
        data = value.encode() if isinstance(value, str) else value
        data = data.to_bytes(width, "big", signed=True) if isinstance(data, int) else data
        parts += [struct.pack(">i", len(data)), data]
    return b"".join([*parts, _COPY_TAIL])


def block_to_bytes(run: str, block: Block) -> bytes:
    """Give a whole block, state included, as the bytes of a file of its own."""
    stats = stats_to_bytes(block)
    head = json.dumps(
        {
            "run": run,
            "chain": block.chain,
            "index": block.index,
            "phase": block.phase,
            "first_draw": block.first_draw,
            "shape": block.draws.shape,
            "n_stats_byte": len(stats),
            "sha256": block.sha256,
            "state_sha256": block.state_sha256,
        }
    ).encode()
    draws = little_endian(block.draws).tobytes()
    return b"".join([_MAGIC, _LENGTH.pack(len(head)), head, draws, stats, block.state])


def block_from_bytes(data: bytes, path: Path) -> tuple[str, Block]:
    """Give back a block and the name of its run.

    Parameters
    ----------
    data : bytes
        The bytes of a file.
    path : path
        The file, for messages.

    Raises
    ------
    IntegrityError
        If the bytes are not those that were written.
    """
    try:
        start = len(_MAGIC) + _LENGTH.size
        at = start + _LENGTH.unpack_from(data, len(_MAGIC))[0]
        head = json.loads(data[start:at])
        n_draw, n_par = head["shape"]
        draws = np.frombuffer(data, DTYPE, n_draw * n_par, at).reshape(n_draw, n_par)
        at += draws.nbytes
        stats = stats_from_bytes(data[at : at + head["n_stats_byte"]], n_draw)
        state = data[at + head["n_stats_byte"] :]
        place = (head["chain"], head["index"], head["phase"], head["first_draw"])
        block = Block(*place, draws, stats, state)
        run, sums = str(head["run"]), (head["sha256"], head["state_sha256"])
    except (ArdError, ValueError, KeyError, TypeError, struct.error) as error:
        raise _damaged("a block that waits", "a block as it was written", error, path) from error
    if not data.startswith(_MAGIC) or sums != (block.sha256, block.state_sha256):
        named = f"block {block.index} of chain {block.chain} of the run '{run}'"
        raise _damaged(named, f"sha256 {sums}", (block.sha256, block.state_sha256), path)
    return run, block


def stored_block(run: str, row: Any, state: bytes, state_sha256: str | None) -> Block:
    """Make a block of a row of the database, and hold it against its digests.

    Parameters
    ----------
    run : str
        Name of the run, for messages.
    row : row of chain_blocks
        What is stored.
    state : bytes
        The sampler's state; empty where it is not asked for.
    state_sha256 : str or None
        Its digest; None where it is not asked for.

    Raises
    ------
    FormatError
        If the block is in a form of a later version.
    IntegrityError
        If the bytes are not those that were stored.
    """
    named = f"block {row.block} of chain {row.chain} of the run '{run}'"
    if (row.dtype, row.codec) != (DTYPE, CODEC):
        raise FormatError(
            f"{named} is in a form that is not known here",
            expected=f"{DTYPE}, {CODEC}",
            found=f"{row.dtype}, {row.codec}",
            action="read it with the version of rbh1-ard that wrote it, or a later one",
        )
    try:
        draws = np.frombuffer(row.draws, DTYPE).reshape(row.n_draw, row.n_par)
        stats = stats_from_bytes(bytes(row.stats), row.n_draw)
        block = Block(row.chain, row.block, row.phase, row.first_draw, draws, stats, state)
    except (ArdError, ValueError, TypeError) as error:
        raise _damaged(named, f"{row.n_draw} draws of {row.n_par} parameters", error) from error
    if block.sha256 != row.sha256:
        raise _damaged(named, f"sha256 {row.sha256}", block.sha256)
    if state_sha256 not in (None, block.state_sha256):
        raise _damaged(f"the state after {named}", f"sha256 {state_sha256}", block.state_sha256)
    return block


def _damaged(
    what: str, expected: object, found: object, path: Path | None = None
) -> IntegrityError:
    database = "restore the database from a copy, or remove the run and sample it again"
    waiting = "remove the file: the chain then goes on from the last block before it"
    return IntegrityError(
        f"{what} is damaged",
        file=path,
        expected=expected,
        found=found,
        action=waiting if path else database,
    )
