"""The precision of JAX within a block, in the oldest and in the newest version allowed.

`jax.enable_x64` as a context is missing in the oldest, `jax.experimental.enable_x64` in the newest.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def x64(enabled: bool) -> Iterator[None]:
    """Compute in float64 (or float32) within the block."""
    before = bool(jax.config.jax_enable_x64)
    jax.config.update("jax_enable_x64", enabled)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
