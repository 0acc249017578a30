"""How does the body of a request come in, block by block, whatever becomes of it?"""

import hashlib
import time
from collections.abc import Iterator
from email.message import Message
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from release.testing.model import Refusal

BLOCK: Final = 1 << 20


class RequestBody:
    """The body of a request, read in blocks, of a given length or in chunks.

    Parameters
    ----------
    stream : binary file
        The connection.
    headers : Message
        Of the request.

    Attributes
    ----------
    length : int or None
        How long it is said to be; None for chunks.
    received : int
        Bytes so far.
    whole : bool
        Whether all of it came.
    lost : bool
        Whether the archive loses it, for reasons of its own.
    stop_at : int or None
        After how many bytes the connection breaks.
    """

    def __init__(self, stream: BufferedIOBase, headers: Message) -> None:
        self._stream = stream
        self._chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        length = headers.get("Content-Length") or "0"
        self.length = int(length) if length.isdigit() and not self._chunked else None
        self.received = 0
        self.whole = self.length == 0
        self.lost = False
        self.stop_at: int | None = None
        # Of the body, or of the chunk that is being read.
        self._left = self.length or 0
        self._broken = self.length is None and not self._chunked
        self._pause_s, self._step = 0.0, BLOCK
        self._data: bytes | None = None

    def slow_down(self, seconds: float, pieces: int) -> None:
        """Take the body in so many pieces, and so long."""
        length = self.length or BLOCK
        self._step = max(1, -(-length // pieces))
        self._pause_s = seconds / -(-length // self._step)

    def blocks(self) -> Iterator[memoryview]:
        """Give what is left of the body; the memory is used again for the next block."""
        size = min(self._step, BLOCK if self.length is None else self.length)
        buffer = memoryview(bytearray(size))
        while not self.whole and not self._broken:
            if self._left == 0:
                self._next_chunk()
                continue
            want = min(size, self._left)
            if self.stop_at is not None:
                want = min(want, self.stop_at - self.received)
            count = self._fill(buffer[:want])
            self.received += count
            self._left -= count
            self._broken = count < want or self.received == self.stop_at
            self.whole = self._left == 0 and not self._chunked and not self._broken
            yield buffer[:count]
            time.sleep(self._pause_s)

    def _fill(self, block: memoryview) -> int:
        """Fill a block, and say how far; a connection that breaks is one that ends."""
        try:
            return self._stream.readinto(block)
        except ConnectionError:
            return 0

    def _next_chunk(self) -> None:
        """Read how long the next chunk is; the last has no length, and no length is an end."""
        if self.received:
            self._stream.readline()  # the end of the chunk before
        size = self._stream.readline().split(b";")[0].strip()
        try:
            self._left = int(size, 16)
        except ValueError:
            self._broken = True
            return
        if self._left == 0:
            self._stream.readline()
            self.whole = True

    def drain(self) -> None:
        """Read what is left, and forget it."""
        for _ in self.blocks():
            pass

    def load(self) -> bytes:
        """Give the whole body, which is kept in memory."""
        if self._data is None:
            self._data = b"".join(bytes(block) for block in self.blocks())
        return self._data

    def digest(self) -> str | None:
        """Give the SHA-256 of a body that was kept in memory."""
        return None if self._data is None else hashlib.sha256(self._data).hexdigest()

    def save(self, path: Path, limit: int, too_big: Refusal) -> str:
        """Write the body into a file as it comes, and give its MD5.

        Raises
        ------
        Refusal
            If it is longer than allowed; nothing is left of it.
        """
        if self.length is not None and self.length > limit:
            raise too_big
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("wb", buffering=0) as file:
            for block in self.blocks():
                if self.received > limit:
                    path.unlink()
                    raise too_big
                digest.update(block)
                file.write(block)
        return digest.hexdigest()
