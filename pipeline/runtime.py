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


def start(precision: str = "float32", cache: Path | None = None) -> Any:
    """Set JAX up, and give its numpy.

    Parameters
    ----------
    precision : {"float32", "float64"}
        Of arrays that say nothing else. Cubes are computed in float32; float64 is what they are
        held against.
    cache : path, optional
        Where compiled code is kept; JAX_COMPILATION_CACHE_DIR wins.

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
    if cache is not None and not os.environ.get(CACHE):
        cache.mkdir(parents=True, exist_ok=True)
        update("jax_compilation_cache_dir", str(cache))
        update("jax_persistent_cache_min_compile_time_secs", 0.5)
    return jax.numpy
