"""Which library do these arrays belong to, and how are they summed without loss?

numpy, jax.numpy and whatever else follows the array-API standard; none but numpy is imported.
"""

from typing import Any, Final

import numpy as np

from ard.errors import ArdError, FormatError

# Rows of this length are summed as the library does it, the sums of rows in pairs.
_ROW: Final = 512


def namespace(*arrays: Any) -> Any:
    """Give the module of functions for these arrays: numpy, unless one belongs to another library.

    Parameters
    ----------
    *arrays : array or number
        Plain numbers fit any library.
    """
    for array in arrays:
        ask = getattr(array, "__array_namespace__", None)
        found = np if ask is None else ask()
        if found is not np:
            return found
    return np


def concrete(array: Any) -> np.ndarray | None:
    """Give the numbers of an array, or None where it has none yet (it is traced by JAX)."""
    try:
        return np.asarray(array)
    except TypeError:  # what jax.errors.TracerArrayConversionError is
        return None


def plain(array: Any, name: str) -> Any:
    """Give an array in the byte order of the machine, if it is nothing but numbers.

    Parameters
    ----------
    array : array, number or list
        Those of other libraries than numpy, and numbers, are given back as they are.
    name : str
        What it is, for the error.

    Raises
    ------
    FormatError
        If it has a unit or a mask of its own, which the numbers alone would lose.
    """
    masked = isinstance(array, np.ma.MaskedArray)
    if masked or hasattr(array, "unit") or hasattr(array, "units"):
        raise FormatError(
            f"{name} is more than numbers",
            expected="an array without unit and mask",
            found=type(array).__name__,
            action="convert all to one unit and give the numbers; give masks to the noise",
        )
    if isinstance(array, (int, float)) or namespace(array) is not np:
        return array
    values = np.asarray(array)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def numbers(array: Any, name: str) -> np.ndarray:
    """Give an array of numpy, where its numbers are needed.

    Raises
    ------
    ArdError
        If JAX traces it; FormatError as `plain`.
    """
    found = concrete(plain(array, name))
    if found is None:
        raise ArdError(
            f"{name} has no numbers while JAX traces",
            expected="an array with numbers",
            found=type(array).__name__,
            action="make it outside of what is traced; a factor of the errors may be traced: "
            "noise.scaled(factor)",
        )
    return found


def product(xp: Any, left: Any, right: Any, axes: tuple[list[int], list[int]]) -> Any:
    """Give the tensor product of two arrays, summed over axes of both, in full precision."""
    return xp.tensordot(left, right, axes=axes, **_precisely(xp))


def _precisely(xp: Any) -> dict[str, str]:
    # JAX on a GPU, left to itself, multiplies single precision with 10 bits of mantissa.
    return {"precision": "highest"} if xp.__name__.startswith("jax") else {}


def total(xp: Any, values: Any) -> Any:
    """Sum all elements; in single precision with an error of few roundings of the result.

    Parameters
    ----------
    xp : module
        What `namespace` gave.
    values : array
        Of any shape.
    """
    return _in_pairs(xp, xp.sum(_rows(xp, xp.reshape(values, (-1,))), axis=-1))


def inner(xp: Any, left: Any, right: Any) -> Any:
    """Give all scalar products of long vectors, summed as by `total`.

    Parameters
    ----------
    xp : module
        What `namespace` gave.
    left, right : array, shapes (n, size) and (m, size)

    Returns
    -------
    array, shape (n, m)
    """
    first = xp.moveaxis(_rows(xp, left), 0, 1)
    second = xp.moveaxis(_rows(xp, right), 0, 2)
    return _in_pairs(xp, xp.matmul(first, second, **_precisely(xp)))


def _rows(xp: Any, values: Any) -> Any:
    """Cut the last axis into rows, the last one filled with zeros."""
    lead, count = values.shape[:-1], values.shape[-1]
    short = -count % _ROW
    if short:
        filling = xp.zeros((*lead, short), dtype=values.dtype)
        values = xp.concat([values, filling], axis=-1)
    return xp.reshape(values, (*lead, -1, _ROW))


def _in_pairs(xp: Any, values: Any) -> Any:
    """Sum over the first axis, halving it until one is left."""
    while values.shape[0] > 1:
        half = values.shape[0] // 2
        pairs = values[:half] + values[half : 2 * half]
        odd = 2 * half != values.shape[0]
        values = xp.concat([pairs, values[2 * half :]]) if odd else pairs
    return values[0]
