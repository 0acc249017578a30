"""Which models lie in each cell of the parameters, and what do they say there together?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ard.cube import BoolArray, FloatArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Draws:
    """The models of a campaign, as far as cells look at them; arrays of shape (n,).

    Attributes
    ----------
    number : array of int
    relative : array
        ln L less that of the reference; minus infinity where there is none.
    evaluated, converged : array of bool
        Models with a likelihood, and those whose best nuisances were found.
    first : array of bool
        Models of the first half of the campaign.
    """

    number: IntArray
    relative: FloatArray
    evaluated: BoolArray
    converged: BoolArray
    first: BoolArray


@dataclass(frozen=True, eq=False)
class Cells:
    """What the models in each cell of some parameters say; arrays of one shape.

    Attributes
    ----------
    names : tuple of str
        The parameters; none for all models together.
    edges : tuple of array
        Of the cells along each; a value on an edge belongs to the cell above, the last to the last.
    n, n_evaluated, n_unconverged : array of int
        All models there, those with a likelihood, and those whose best nuisances were not found.
    best : array
        The largest ln L less the reference; NaN where none was evaluated.
    best_number : array of int
        The model that has it, the first of several; -1 where there is none.
    best_halves : array, shape (2, ...)
        The same of the first and of the second half of the campaign.
    log_mean, log_mean_error : array
        ln of the mean of L over the models there, less the reference; its standard error.
    effective : array
        How many models carry that mean, (sum L)^2 / sum L^2.
    """

    names: tuple[str, ...]
    edges: tuple[FloatArray, ...]
    n: IntArray
    n_evaluated: IntArray
    n_unconverged: IntArray
    best: FloatArray
    best_number: IntArray
    best_halves: FloatArray
    log_mean: FloatArray
    log_mean_error: FloatArray
    effective: FloatArray


def unfit(values: FloatArray, n_bin: int) -> str:
    """Say why a parameter cannot be cut into cells; empty where it can.

    Parameters
    ----------
    values : array, shape (n,)
        NaN where it is not known.
    n_bin : int
    """
    known = np.unique(values[np.isfinite(values)])
    if len(known) >= 2 * n_bin:
        return ""
    return f"{len(known)} values are known of it, and {n_bin} cells need {2 * n_bin}"


def together(draws: Draws, chosen: BoolArray) -> Cells:
    """Take some models as one cell; arrays of shape ()."""
    return _filled(draws, np.where(chosen, 0, -1), (), ())


def cut(draws: Draws, placed: Mapping[str, FloatArray], n_bin: int) -> Cells:
    """Cut parameters into cells that hold the same prior mass along each.

    Parameters
    ----------
    draws : Draws
    placed : mapping of str to array, shape (n,)
        The parameters; a model of which one is not known is in no cell.
    n_bin : int
        Cells along each.
    """
    cell = np.zeros(len(draws.number), np.int64)
    known = np.ones(len(draws.number), np.bool_)
    edges = []
    for values in placed.values():
        finite = np.isfinite(values)
        ends = np.quantile(values[finite], np.linspace(0.0, 1.0, n_bin + 1))
        where = np.searchsorted(ends[1:-1], np.where(finite, values, ends[0]), side="right")
        cell, known = cell * n_bin + where, known & finite
        edges.append(ends)
    return _filled(draws, np.where(known, cell, -1), tuple(placed), tuple(edges))


def _filled(
    draws: Draws, cell: IntArray, names: tuple[str, ...], edges: tuple[FloatArray, ...]
) -> Cells:
    """Sum up the models of each cell; those of cell -1 belong to none."""
    shape = tuple(len(ends) - 1 for ends in edges)
    n_cell = int(np.prod(shape, dtype=np.int64))
    placed = cell >= 0
    counted = draws.evaluated & placed

    def count(chosen: BoolArray) -> IntArray:
        return np.bincount(cell[chosen], minlength=n_cell).astype(np.int64)

    def largest(chosen: BoolArray) -> FloatArray:
        top = np.full(n_cell, -np.inf)
        np.maximum.at(top, cell[chosen], draws.relative[chosen])
        return np.where(np.isfinite(top), top, np.nan)

    best = largest(counted)
    where, here = cell[counted], draws.relative[counted]
    weight = np.exp(here - best[where])
    total = np.bincount(where, weight, n_cell)
    squares = np.bincount(where, weight**2, n_cell)
    number = np.full(n_cell, np.iinfo(np.int64).max)
    top = here == best[where]
    np.minimum.at(number, where[top], draws.number[counted][top])
    n = count(placed)
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.where(total > 0.0, total**2 / squares, 0.0)
        log_mean = best + np.log(total / n)
        # The mean of n draws has the relative variance (n sum w^2 / (sum w)^2 - 1) / n.
        error = np.sqrt(np.maximum(1.0 / effective - 1.0 / n, 0.0))
    known = np.isfinite(best)
    halves = np.stack([largest(counted & draws.first), largest(counted & ~draws.first)])
    return Cells(
        names,
        edges,
        n.reshape(shape),
        count(counted).reshape(shape),
        count(counted & ~draws.converged).reshape(shape),
        best.reshape(shape),
        np.where(known, number, -1).reshape(shape),
        halves.reshape(2, *shape),
        np.where(known, log_mean, np.nan).reshape(shape),
        np.where(known, error, np.nan).reshape(shape),
        effective.reshape(shape),
    )
