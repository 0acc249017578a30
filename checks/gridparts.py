"""Which models of a table belong together, and in which of these parts is a line not itself?

A row may be right in most of a table and wrong in one abundance set, in one track of velocities,
or at every other velocity. Parts are looked at where a line is strong against the step of its
table: rounding alone makes weak lines constant, equal to others, and equal at two velocities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ard.cube import FloatArray
from manifests import Limit

IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Division:
    """How are the rows of a table shared out among parts?

    Attributes
    ----------
    names : tuple of str
        Of the parts.
    of_row : ndarray of int, shape (n_model,)
        The part of each row.
    """

    names: tuple[str, ...]
    of_row: IntArray

    def count(self, flags: BoolArray) -> IntArray:
        """Count flagged rows in each part."""
        return np.bincount(self.of_row[flags], minlength=len(self.names))


@dataclass(frozen=True, eq=False)
class Steps:
    """Which models differ in velocity alone, with none between them?

    Attributes
    ----------
    lower, upper : ndarray of int, shape (n_pair,)
        Their rows.
    division : Division
        Of these pairs, by the two velocities.
    """

    lower: IntArray
    upper: IntArray
    division: Division


def divided(keys: Sequence[str]) -> Division:
    """Divide rows by name."""
    names, of_row = np.unique(np.array(keys, dtype=str), return_inverse=True)
    return Division(tuple(map(str, names)), of_row)


def divisions(
    abundance: NDArray[Any], density: FloatArray, field: FloatArray
) -> tuple[Division, Division]:
    """Divide a table by abundance set, and by tracks of models that differ in velocity alone.

    Parameters
    ----------
    abundance : ndarray of str, shape (n_model,)
    density, field : ndarray, shape (n_model,)
    """
    names = [str(name) for name in abundance]
    values = zip(names, density, field, strict=True)
    return divided(names), divided([f"{z} n={n:g} B={b:g}" for z, n, b in values])


def steps(track: Division, velocity: FloatArray) -> Steps:
    """Pair each model with the next faster one of its track.

    Parameters
    ----------
    track : Division
    velocity : ndarray, shape (n_model,)
        km/s.
    """
    order = np.lexsort((velocity, track.of_row))
    lower, upper = order[:-1], order[1:]
    next_to = (track.of_row[lower] == track.of_row[upper]) & (velocity[lower] < velocity[upper])
    lower, upper = lower[next_to], upper[next_to]
    speeds = zip(velocity[lower], velocity[upper], strict=True)
    return Steps(lower, upper, divided([f"{v:g} and {w:g} km/s" for v, w in speeds]))


def strong(ratio: FloatArray, least: Limit) -> BoolArray:
    """Say where lines are so strong that rounding does not make two of their fluxes equal.

    Parameters
    ----------
    ratio : ndarray, shape (n_model, n_line)
        Fluxes. The step of their table is that of the decimals that most of them have.
    least : Limit
        Of a flux over that step.

    Returns
    -------
    ndarray of bool, shape (n_model, n_line)
    """
    lit = np.isfinite(ratio) & (ratio > 0)
    fluxes = ratio[lit]
    decimals = [len(f"{flux:.6f}".rstrip("0").partition(".")[-1]) for flux in fluxes]
    step = float(f"1e-{int(np.median(decimals))}") if decimals else 1.0
    lit[lit] = [least.accepts(float(flux)) for flux in fluxes / step]
    return lit


def shares(
    division: Division, flags: BoolArray, among: BoolArray, enough: Limit
) -> list[tuple[float, int, str]]:
    """Give the share of flagged rows among others in each part that has enough of these.

    Returns
    -------
    list of (share, number of rows, name of the part)
        The largest share first.
    """
    number, hit = division.count(among), division.count(flags & among)
    found = [
        (float(hit[k] / number[k]), int(number[k]), name)
        for k, name in enumerate(division.names)
        if enough.accepts(float(number[k]))
    ]
    return sorted(found, key=lambda one: -one[0])


def spreads(
    division: Division, values: FloatArray, among: BoolArray, enough: Limit
) -> list[tuple[float, int, str]]:
    """Give the range of a line over its median, in each part that has enough models.

    Returns
    -------
    list of (spread, number of models, name of the part)
        The least spread first.
    """
    found = []
    for k in np.flatnonzero(division.count(among)):
        part = values[among & (division.of_row == k)]
        if enough.accepts(float(part.size)):
            spread = float((part.max() - part.min()) / np.median(part))
            found.append((spread, int(part.size), division.names[k]))
    return sorted(found)
