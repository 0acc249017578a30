"""Which part of a lattice with holes has none?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ard.errors import ArdError

BoolArray = NDArray[np.bool_]


def complete(hole: BoolArray, start: list[list[int]], pinned: set[int]) -> list[list[int]] | None:
    """Drop values of the free axes, worst first, until no cell of the rest is a hole.

    Parameters
    ----------
    hole : ndarray of bool
        True where a cell is missing.
    start : list of list of int
        Places on each axis to begin with.
    pinned : set of int
        Axes of which nothing may be dropped.

    Returns
    -------
    list of list of int or None
        The places that are left; None if holes remain and nothing may be dropped.
    """
    kept = [list(places) for places in start]
    while hole[np.ix_(*kept)].any():
        part = hole[np.ix_(*kept)]
        shares = [
            (float(share), axis, place)
            for axis in range(part.ndim)
            if axis not in pinned and len(kept[axis]) > 1
            for place, share in enumerate(
                part.mean(axis=tuple(k for k in range(part.ndim) if k != axis))
            )
        ]
        if not shares or max(shares)[0] == 0:
            return None
        _, axis, place = max(shares, key=lambda share: share[0])
        del kept[axis][place]
    return kept


def largest(
    found: Sequence[list[list[int]] | None], hole: BoolArray, asked: list[list[int]]
) -> list[list[int]]:
    """Give the block with most models; the first of several.

    Raises
    ------
    ArdError
        If there is none.
    """
    blocks = [kept for kept in found if kept is not None]
    if not blocks:
        part = hole[np.ix_(*asked)]
        raise ArdError(
            "no model of the grid has all that is asked for",
            expected="a combination without holes",
            found=f"{int(part.sum())} of {part.size} models masked",
            action="ask for fewer lines, abundances, densities or fields",
        )
    return max(blocks, key=lambda kept: int(np.prod([len(places) for places in kept])))
