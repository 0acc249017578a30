"""How is JAX set up: which precision, which products, which compiled code is kept?

JAX reads most of its settings once. They are made here and nowhere else, before anything is
compiled.
"""

import os
from pathlib import Path
from typing import Any, Final

from ard.errors import ArdError, ExtraMissingError

PRECISIONS: Final = ("float32", "float64")
CACHE: Final = "JAX_COMPILATION_CACHE_DIR"
CACHE_THRESHOLD: Final = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
# What compiles faster than this is not kept. A cube takes 0.4 to 1.3 s (reference/cubes.md 2.4), so
# that JAX's own value, 1 s, would leave some out.
THRESHOLD_S: Final = 0.5


def start(precision: str = "float32", cache: Path | None = None) -> Any:
    """Set JAX up, and give its numpy.

    Parameters
    ----------
    precision : {"float32", "float64"}
        Of arrays that say nothing else. Cubes are computed in float32; float64 is what they are
        held against.
    cache : path, optional
        Where compiled code is kept; JAX_COMPILATION_CACHE_DIR wins. So does
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS, which says what is worth keeping.

    Raises
    ------
    ArdError
        If there is no such precision.
    ExtraMissingError
        If JAX is not installed.
    """
    if precision not in PRECISIONS:
        raise ArdError(
            "there is no such precision",
            expected=" or ".join(PRECISIONS),
            found=precision,
            action="name one of them",
        )
    try:
        import jax
    except ModuleNotFoundError as error:
        raise ExtraMissingError.for_module("jax", "computing cubes") from error
    update: Any = jax.config.update
    update("jax_enable_x64", precision == "float64")
    # On recent GPUs a product of float32 matrices otherwise keeps 10 bits of each number.
    update("jax_default_matmul_precision", "highest")
    if not os.environ.get(CACHE_THRESHOLD):
        update("jax_persistent_cache_min_compile_time_secs", THRESHOLD_S)
    if cache is not None and not os.environ.get(CACHE):
        _keep_in(cache)
    return jax.numpy


def _keep_in(cache: Path) -> None:
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    if jax.config.jax_compilation_cache_dir == str(cache):
        return
    cache.mkdir(parents=True, exist_ok=True)
    update: Any = jax.config.update
    update("jax_compilation_cache_dir", str(cache))
    # JAX looks for the folder once, when it compiles for the first time (0.4.36 even if there is
    # none yet), and would neither take up this one nor say so.
    reset: Any = compilation_cache.reset_cache
    reset()
