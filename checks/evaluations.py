"""What does the judge count and sum of the table of a campaign?

Written apart from the stage that it judges: one cell after the other, in sums that lose nothing.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ard import layout
from checks.folder import Product
from checks.load import FloatArray, number, table_columns
from manifests import Limit

type Row = Mapping[str, Any]
type Bools = NDArray[np.bool_]

_OF_PAIR: Final = (
    *("n", "n_evaluated", "n_unconverged", "best", "log_mean", "log_mean_error", "effective"),
    *("profile_flagged", "marginal_flagged"),
)
_OF_ONE: Final = (*_OF_PAIR, "best_number", "best_first", "best_second")


@dataclass(frozen=True, eq=False)
class Models:
    """The table, in any order of its rows; arrays of shape (n,)."""

    columns: Mapping[str, Any]

    @cached_property
    def number(self) -> NDArray[np.int64]:
        """Number of each model."""
        return np.asarray(self.columns["number"], np.int64)

    @cached_property
    def reasons(self) -> list[tuple[str, ...]]:
        """The filters that reject each."""
        texts = [str(text) for text in self.columns["rejected_by"]]
        read = {text: tuple(filter(None, text.split(","))) for text in set(texts)}
        return [read[text] for text in texts]

    @cached_property
    def log_likelihood(self) -> FloatArray:
        """ln L of each, NaN where it is not known."""
        return self.column("log_likelihood")

    @cached_property
    def rejected(self) -> Bools:
        """Which the dynamics reject."""
        return np.array([bool(row) for row in self.reasons], np.bool_)

    @cached_property
    def evaluated(self) -> Bools:
        """Which have one."""
        return np.asarray(~self.rejected & np.isfinite(self.log_likelihood))

    @cached_property
    def converged(self) -> Bools:
        """Which searches ended at a maximum."""
        return np.asarray(self.columns["converged"], np.bool_)

    def column(self, name: str) -> FloatArray:
        """Give a column of numbers."""
        return np.asarray(self.columns[name], np.float64)

    def relative(self, reference: float) -> FloatArray:
        """Give ln L less that of the reference, minus infinity where there is none."""
        return np.where(self.evaluated, self.log_likelihood - reference, -np.inf)

    @property
    def open(self) -> Bools:
        """Which searches did not end at a maximum."""
        return np.asarray(self.evaluated & ~self.converged)

    @property
    def unsettled(self) -> Bools:
        """Which may be better than is known: open, or allowed and not evaluated yet."""
        return np.asarray(~self.rejected & ~(self.evaluated & self.converged))


def models_of(product: Product) -> Models | None:
    """Give the table of a campaign: the product itself, or the one beside its surface."""
    own = product.product == layout.EVALUATIONS
    found = product if own else beside(product, layout.EVALUATIONS)
    if found is None or found.facts is None:
        return None
    return Models(table_columns(found)[0])


def delta_chi2(log_ratio: Any) -> Any:
    """Give the difference of chi2 that is one of ln of the likelihood."""
    return -2.0 * log_ratio


def each_tail(confidence: float) -> float:
    """Give the probability beyond either end of an interval."""
    return 0.5 * (1.0 - confidence)


def beside(product: Product, name: str) -> Product | None:
    """Give another product of the same campaign."""
    label = product.stem.partition("-")[2]
    mine = product.folder.siblings(product.item, name)
    return next((one for one in mine if one.stem.partition("-")[2] == label), None)


def part(facts: Row, *names: str) -> dict[str, Any]:
    """Give an object inside of a document; empty where there is none."""
    node: Any = facts
    for name in names:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def rows_of(facts: Row, *names: str) -> list[dict[str, Any]]:
    """Give a list of objects inside of a document; empty where there is none."""
    node: Any = part(facts, *names[:-1]).get(names[-1])
    return [row for row in node if isinstance(row, dict)] if isinstance(node, list) else []


def same(one: Any, other: Any, slack: float) -> bool:
    """Say whether numbers, or lists of numbers, are equal; null and NaN are equal."""
    try:
        left, right = (np.array(v, np.float64) for v in (one, other))
    except (TypeError, ValueError):
        return False
    return left.shape == right.shape and np.allclose(
        left, right, rtol=slack, atol=slack, equal_nan=True
    )


def drawn(facts: Row) -> bool:
    """Say whether the models are draws of a prior; those of a table somebody chose."""
    return part(facts, "campaign", "settings").get("kind") != "table"


class Again:
    """Sums the models of cells up once more."""

    def __init__(self, models: Models, facts: Row) -> None:
        self._models, self._drawn = models, drawn(facts)
        self._relative = models.relative(number(part(facts, "reference"), "log_likelihood"))
        self._evaluated = models.evaluated
        self._open = models.open
        self._first = models.number < 0.5 * number(part(facts, "campaign"), "n_model")

    def agrees(
        self, row: Row, names: Sequence[str], edges: Sequence[Any], few: Limit, slack: float
    ) -> bool:
        """Say whether the numbers of some cells are those of the table."""
        cut = [np.array(e if isinstance(e, list) else [], np.float64) for e in edges]
        known = all(name in self._models.columns for name in names)
        if not known or any(e.size < 2 or np.any(np.diff(e) < 0) for e in cut):
            return False
        where = [self._placed(name, e) for name, e in zip(names, cut, strict=True)]
        for name, place in zip(names, where, strict=True):
            if np.count_nonzero(np.isfinite(self._models.column(name))) != (place >= 0).sum():
                return False
        shape = tuple(e.size - 1 for e in cut)
        found = []
        for index in np.ndindex(*shape):
            here = np.logical_and.reduce([w == i for w, i in zip(where, index, strict=True)])
            found.append(self.summed(here, few))
        return all(
            same(row.get(key), np.reshape([float(one[key]) for one in found], shape), slack)
            for key in (_OF_ONE if len(names) == 1 else _OF_PAIR)
        )

    def _placed(self, name: str, edges: FloatArray) -> NDArray[np.int64]:
        """Give the cell of each model; -1 outside of all."""
        values = self._models.column(name)
        inside = np.isfinite(values) & (values >= edges[0]) & (values <= edges[-1])
        # On an edge, the cell above; on the last, the last.
        above = (values[:, None] >= edges[None, 1:-1]).sum(axis=1)
        return np.where(inside, above, -1)

    def summed(self, here: Bools, few: Limit) -> dict[str, float]:
        """Sum some models up."""
        some = here & self._evaluated
        relative = self._relative[some]
        n, best = int(here.sum()), self._best(some)
        known = math.isfinite(best)
        weight = np.exp(relative - best) if known else np.zeros(0)
        total, squares = math.fsum(weight), math.fsum(weight**2)
        # Of models that nobody drew there is no mean over a prior, and none carries it.
        mean = known and self._drawn
        effective = total**2 / squares if mean else 0.0
        spread = max(1.0 / effective - 1.0 / n, 0.0) if mean else math.nan
        at = self._models.number[some][relative == best]
        return {
            "n": n,
            "n_evaluated": relative.size,
            "n_unconverged": int((here & self._open).sum()),
            "best": best,
            "best_number": float(at.min()) if known else math.nan,
            "best_first": self._best(some & self._first),
            "best_second": self._best(some & ~self._first),
            "log_mean": best + math.log(total / n) if mean else math.nan,
            "log_mean_error": math.sqrt(spread),
            "effective": effective,
            "profile_flagged": not few.accepts(relative.size),
            "marginal_flagged": not few.accepts(effective),
        }

    def _best(self, some: Bools) -> float:
        return float(self._relative[some].max()) if some.any() else math.nan

    def half(self, *, first: bool) -> Bools:
        """Give the models of one half of the campaign."""
        return self._first if first else ~self._first


def uncovered(facts: Row) -> Iterator[str]:
    """Name parameters of the surface that have neither cells nor a reason, and pairs without."""
    every = [str(row.get("name")) for row in rows_of(facts, "unplaced")]
    cut = [str(row.get("name")) for row in rows_of(facts, "profiles")]
    left = [str(row.get("name")) for row in rows_of(facts, "skipped")]
    if not every:
        yield "that no parameter is looked at"
    if sorted([*cut, *left]) != sorted(every):
        yield "the list of parameters"
    pairs = [(row.get("first"), row.get("second")) for row in rows_of(facts, "pairs")]
    if pairs != list(combinations(cut, 2)):
        yield "the list of pairs"


def misplaced(facts: Row, models: Models) -> Iterator[str]:
    """Name parameters of which it is not known for other models than the surface says."""
    for row in rows_of(facts, "unplaced"):
        name = str(row.get("name"))
        known = name in models.columns
        every = models.number.size
        lost = np.count_nonzero(~np.isfinite(models.column(name))) if known else every
        if row.get("n") != lost:
            yield f"models without {name}"


def is_bound(low: float, n: int, n_all: int, rest: float, slack: float) -> bool:
    """Say whether n or more of n_all have the probability `rest`, each having `low`.

    That is what makes it an end of the interval of Clopper and Pearson (1934, Biometrika 26, 404).
    """
    if n == 0:
        return low == 0.0
    if not 0.0 < low < 1.0:
        return False
    k = np.arange(n, n_all + 1)
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, n_all + 1.0)))])
    ways = factorial[n_all] - factorial[k] - factorial[n_all - k]
    found = float(np.exp(ways + k * math.log(low) + (n_all - k) * math.log1p(-low)).sum())
    # An end of 1 - 1e-12 is known to four digits, and so is the probability beyond it.
    return math.isclose(found, rest, rel_tol=math.sqrt(slack))
