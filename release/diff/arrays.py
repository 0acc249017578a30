"""By how much do two arrays differ, and how is one value of them written as JSON?

Arrays come in blocks, so that images and tables of any size take little memory.
"""

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from release.diff.model import Spread

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]

_NUMERIC: Final = "biufc"
_LARGEST: Final = float(np.finfo(np.float64).max)
_SHOWN: Final = 8


def is_numeric(array: Array) -> bool:
    """Tell whether an array holds numbers or truth values."""
    return array.dtype.kind in _NUMERIC


class Tally:
    """Count differences over the blocks of an array."""

    def __init__(self) -> None:
        self._compared = self._differing = self._nan_added = self._nan_removed = 0
        self._max_abs = self._max_rel = 0.0

    def add(self, before: Array, after: Array) -> Flags:
        """Count one block, and tell which of its numbers differ."""
        was_nan, is_nan = np.isnan(before), np.isnan(after)
        different: Flags = (before != after) & ~(was_nan & is_nan)
        self._compared += before.size
        self._differing += int(np.count_nonzero(different))
        self._nan_added += int(np.count_nonzero(is_nan & ~was_nan))
        self._nan_removed += int(np.count_nonzero(was_nan & ~is_nan))
        finite = different & np.isfinite(before) & np.isfinite(after)
        if finite.any():
            self._measure(before[finite], after[finite])
        return different

    def _measure(self, before: Array, after: Array) -> None:
        larger = np.maximum(_size(before), _size(after))
        with np.errstate(over="ignore"):
            apart = np.minimum(_distance(before, after), _LARGEST)
        self._max_abs = max(self._max_abs, float(apart.max()))
        # Two numbers that differ are not both zero.
        self._max_rel = max(self._max_rel, float((apart / larger).max()))

    def spread(self) -> Spread:
        """Give what was counted."""
        return Spread(
            compared=self._compared,
            differing=self._differing,
            max_abs=self._max_abs or None,
            max_rel=self._max_rel or None,
            nan_added=self._nan_added,
            nan_removed=self._nan_removed,
        )


def _size(array: Array) -> Array:
    return np.abs(array.astype(_wide(array)))


def _wide(array: Array) -> type:
    return np.complex128 if array.dtype.kind == "c" else np.float64


def _distance(before: Array, after: Array) -> Array:
    if before.dtype.kind in "biu" and after.dtype.kind in "biu":
        # Differences modulo 2**64 are exact beyond 2**53, where those of float64 are not.
        old, new = before.astype(np.uint64), after.astype(np.uint64)
        return np.where(before < after, new - old, old - new).astype(np.float64)
    return np.abs(after.astype(_wide(after)) - before.astype(_wide(before)))


def blocks(shape: tuple[int, ...], limit: int) -> Iterator[tuple[slice, ...]]:
    """Cut an array into blocks of at most so many elements, the last axes whole where they can be.

    Parameters
    ----------
    shape : tuple of int
        Its axes.
    limit : int
        Elements of a block; at least one is always taken.
    """
    if not shape or 0 in shape:
        return
    inner = math.prod(shape[1:])
    if inner > limit:
        for first in range(shape[0]):
            for rest in blocks(shape[1:], limit):
                yield (slice(first, first + 1), *rest)
        return
    step = max(1, limit // inner)
    whole = tuple(slice(0, size) for size in shape[1:])
    for start in range(0, shape[0], step):
        yield (slice(start, min(start + step, shape[0])), *whole)


def plain(value: Any) -> Any:
    """Write a cell or a card as JSON: what is masked is null, NaN and infinity are texts."""
    if value is np.ma.masked:
        return None
    if isinstance(value, np.ndarray):
        if value.size > _SHOWN:
            return f"{value.size} values"
        return [plain(item) for item in value.ravel()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode("ascii", "backslashreplace")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | bool | int | float) else _text(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
