"""What do chains say, in numbers, and which of them miss which limit?

Everything is measured before anything is judged, so that sampler, judge and summary hold the same
numbers against the same limits. What cannot be measured is NaN, which no limit accepts.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ard.cube import FloatArray
from ard.errors import ArdError
from checks.convergence.statistics import (
    ARRAYS,
    TOGETHER,
    Diagnostics,
    bfmi,
    diagnose,
    joined,
)
from checks.registry import Limits
from manifests import Limit
from manifests.headlines import is_headline

# Names of sampler statistics, as ArviZ has them.
LP: Final = "lp"
ENERGY: Final = "energy"
DIVERGING: Final = "diverging"
DEPTH: Final = "reached_max_treedepth"

CHAINS: Final = "convergence.chains"
BFMI: Final = "convergence.bfmi"
DIVERGENCES: Final = "convergence.divergences"
DEPTH_HITS: Final = "convergence.depth_hits"
HEADLINE_ESS: Final = "convergence.headline_ess"
BAD_DRAWS: Final = "convergence.bad_draws"
_AXES: Final = ("chain", "draw")
_QUANTILE_NAMES: Final = ("p025", "p16", "p50", "p84", "p975")


@dataclass(frozen=True)
class Criterion:
    """What is asked of every scalar: a limit, the number that has to keep it, and words for a miss.

    Attributes
    ----------
    limit : str
        The row of acceptance.toml.
    value : callable
        Gives the number of each scalar.
    words : str
        What to say where the limit is missed, with ``{name}`` and ``{value}``.
    unknown : str
        What to say where there is no such number.
    headline : bool
        Whether it is asked of quantities that are quoted only (manifests/headlines.toml).
    """

    limit: str
    value: Callable[[Diagnostics], NDArray[Any]]
    words: str
    unknown: str
    headline: bool = False

    def meant(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Say of which scalars it is asked."""
        return np.array([not self.headline or is_headline(name) for name in names], bool)


CRITERIA: Final = (
    Criterion(
        BAD_DRAWS,
        lambda d: d.bad_draws,
        "{name}: {value:g} draws are not finite",
        "{name}: nobody knows how many draws are finite",
    ),
    Criterion(
        "convergence.distinct",
        lambda d: d.distinct,
        "{name}: a chain is stuck, only {value:.2g} of its draws are distinct",
        "{name}: nobody knows how many draws are distinct",
    ),
    Criterion(
        "convergence.rhat",
        lambda d: d.rhat,
        "{name}: the chains do not agree, R-hat is {value:.4f}",
        "{name}: there is no R-hat",
    ),
    Criterion(
        "convergence.ess_bulk",
        lambda d: d.ess_bulk,
        "{name}: the bulk has {value:.0f} effective draws",
        "{name}: there is no effective number of draws in the bulk",
    ),
    Criterion(
        "convergence.ess_tail",
        lambda d: d.ess_tail,
        "{name}: the tails have {value:.0f} effective draws",
        "{name}: there is no effective number of draws in the tails",
    ),
    Criterion(
        "convergence.mcse",
        lambda d: d.mcse_sd,
        "{name}: the mean is known to {value:.3f} standard deviations only",
        "{name}: there is no error of the mean",
    ),
    Criterion(
        "convergence.tail_shape",
        lambda d: d.tail_shape,
        "{name}: a tail is so heavy (k = {value:.2f}) that the mean, and its error, mean nothing",
        "{name}: its tails cannot be measured",
    ),
    Criterion(
        HEADLINE_ESS,
        lambda d: np.minimum(d.ess_bulk, d.ess_tail),
        "{name} is quoted, and its bulk or tails have {value:.0f} effective draws only",
        "{name} is quoted, and has no effective number of draws",
        headline=True,
    ),
)


@dataclass(frozen=True)
class Finding:
    """One reason why chains have not converged.

    Attributes
    ----------
    limit : str
        The row of acceptance.toml that is missed.
    scalar : str
        The scalar that misses it; empty for the run as a whole.
    measured : float
        The number; NaN where there is none.
    text : str
        The reason in words.
    """

    limit: str
    scalar: str
    measured: float
    text: str


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything that is measured of a set of chains, before it is held against limits.

    Attributes
    ----------
    names : tuple of str
        Names of the scalars: parameters, derived quantities and ``lp``.
    diagnostics : Diagnostics
        Of each scalar, arrays of shape (n_scalar,).
    hamiltonian : bool
        Whether the sampler has energy, divergences and trees to be judged by.
    bfmi : array, shape (n_chain,), or None
        E-BFMI of each chain; None where there is no energy.
    divergences, depth_hits : int or None
        Draws after a divergent trajectory, and after a tree that was not allowed to grow on; None
        where the sampler says nothing of it.
    """

    names: tuple[str, ...]
    diagnostics: Diagnostics
    hamiltonian: bool
    bfmi: FloatArray | None
    divergences: int | None
    depth_hits: int | None

    def findings(self, limits: Limits) -> tuple[Finding, ...]:
        """Give every reason not to trust the chains, of those that the given limits know.

        Parameters
        ----------
        limits : mapping of str to Limit
            Rows of acceptance.toml; the findings are those about these rows.
        """
        return (*self._of_run(limits), *self._of_scalars(limits))

    def _of_run(self, limits: Limits) -> Iterator[Finding]:
        n_chain, few = self.diagnostics.n_chain, "chains are not enough to see that they disagree"
        yield from _of_run(limits, CHAINS, n_chain, f"{n_chain} {few}", "")
        if not self.names and CHAINS in limits:
            yield Finding(CHAINS, "", 0.0, "there is no parameter")
        if not self.hamiltonian:
            return
        lowest = math.nan if self.bfmi is None else float(self.bfmi.min(initial=math.inf))
        words = f"energy explores slowly, E-BFMI is {lowest:.2f} in a chain"
        yield from _of_run(limits, BFMI, lowest, words, "there is no E-BFMI")
        count, what = self.divergences, "trajectories diverged"
        known = math.nan if count is None else float(count)
        yield from _of_run(limits, DIVERGENCES, known, f"{count} {what}", f"unknown if {what}")
        count, what = self.depth_hits, "trees were cut off at the largest depth"
        known = math.nan if count is None else float(count)
        yield from _of_run(limits, DEPTH_HITS, known, f"{count} {what}", f"unknown if {what}")

    def _of_scalars(self, limits: Limits) -> Iterator[Finding]:
        for criterion in CRITERIA:
            if criterion.limit in limits:
                values = criterion.value(self.diagnostics)
                missed = criterion.meant(self.names) & ~kept(limits[criterion.limit], values)
                for index in np.flatnonzero(missed):
                    name, value = self.names[index], float(values[index])
                    words = criterion.unknown if math.isnan(value) else criterion.words
                    text = words.format(name=name, value=value)
                    yield Finding(criterion.limit, name, value, text)

    def to_dict(self, units: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Give the plain JSON form, as in a summary of chains: null where there is no number.

        Parameters
        ----------
        units : mapping of str to str, optional
            Unit of each parameter; what is not named has none.
        """
        d, units = self.diagnostics, units or {}
        columns = {
            **{name: getattr(d, name) for name in ("bad_draws", "distinct", "rhat")},
            **{name: getattr(d, name) for name in ("ess_bulk", "ess_tail", "tail_shape")},
            **{name: getattr(d, name) for name in ("mcse", "mean", "sd")},
            **dict(zip(_QUANTILE_NAMES, d.quantiles.T, strict=True)),
        }
        rows = [
            {
                "name": name,
                "unit": units.get(name.partition("[")[0], ""),
                **{key: _plain(values[i]) for key, values in columns.items()},
            }
            for i, name in enumerate(self.names)
        ]
        return {
            "n_chain": d.n_chain,
            "n_draw": d.n_draw,
            "hamiltonian": self.hamiltonian,
            "bfmi": None if self.bfmi is None else [_plain(value) for value in self.bfmi],
            "divergences": self.divergences,
            "depth_hits": self.depth_hits,
            "scalars": rows,
        }


def measure(
    draws: Mapping[str, FloatArray],
    stats: Mapping[str, NDArray[Any]],
    *,
    hamiltonian: bool = True,
) -> Measured:
    """Measure chains without judging them; parameters as in `checks.convergence.gate`.

    Draws are asked for one name after the other, so they need not all be in memory.
    """
    names: list[str] = []
    parts: list[Diagnostics] = []
    waiting: list[FloatArray] = []
    shape = _common_shape(stats)
    for name, array in _with_lp(draws, stats):
        scalars, labels = _scalars(name, array)
        shape = shape or scalars.shape[1:]
        if scalars.shape[1:] != shape:
            raise _misfit(name, shape, scalars.shape[1:])
        names += labels
        waiting.append(scalars)
        if sum(each.size for each in waiting) > TOGETHER:
            parts.append(diagnose(np.concatenate(waiting)))
            waiting.clear()
    if waiting or not parts:
        parts.append(diagnose(np.concatenate([*waiting, np.empty((0, *(shape or (0, 0))))])))
    return Measured(
        names=tuple(names),
        diagnostics=joined(parts),
        hamiltonian=hamiltonian,
        bfmi=bfmi(stats[ENERGY]) if ENERGY in stats else None,
        divergences=_count(stats, DIVERGING),
        depth_hits=_count(stats, DEPTH),
    )


def measured_from(document: Mapping[str, Any]) -> Measured:
    """Give what a summary of chains says as it was measured: the inverse of `Measured.to_dict`.

    Whatever is missing is not a number, which no limit accepts.
    """
    listed = document.get("scalars")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    columns: dict[str, Any] = {name: _column(rows, name) for name in ARRAYS}
    rhat, mcse, sd = (_column(rows, name) for name in ("rhat", "mcse", "sd"))
    with np.errstate(all="ignore"):
        columns |= {"rhat_bulk": rhat, "rhat_folded": rhat, "ess_mean": np.square(sd / mcse)}
    columns["quantiles"] = np.stack([_column(rows, name) for name in _QUANTILE_NAMES], axis=-1)
    energies = document.get("bfmi")
    known = [{"bfmi": value} for value in energies] if isinstance(energies, list) else None
    return Measured(
        names=tuple(str(row.get("name")) for row in rows),
        diagnostics=Diagnostics(
            _whole(document, "n_chain") or 0, _whole(document, "n_draw") or 0, **columns
        ),
        hamiltonian=document.get("hamiltonian") is not False,
        bfmi=None if not known else _column(known, "bfmi"),
        divergences=_whole(document, "divergences"),
        depth_hits=_whole(document, "depth_hits"),
    )


# ---- pieces


def _of_run(
    limits: Limits, name: str, measured: float, words: str, unknown: str
) -> Iterator[Finding]:
    if name in limits and not limits[name].accepts(measured):
        yield Finding(name, "", measured, unknown if math.isnan(measured) else words)


def kept(limit: Limit, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say of each number whether it keeps a limit."""
    each = np.fromiter((limit.accepts(float(v)) for v in values.flat), bool, values.size)
    return each.reshape(values.shape)


def _with_lp(
    draws: Mapping[str, FloatArray], stats: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[str, FloatArray]]:
    shape: tuple[int, ...] = ()
    for name in draws:
        if name != LP:  # the sampler's own counts
            array = np.asarray(draws[name], np.float64)
            shape = array.shape[: len(_AXES)]
            yield name, array
    if LP in stats:
        yield LP, np.asarray(stats[LP], np.float64)
    elif shape:
        yield LP, np.full(shape, math.nan)  # chains without a log posterior are not finite


def _scalars(name: str, array: FloatArray) -> tuple[FloatArray, list[str]]:
    """Give scalars of an array as (n_scalar, n_chain, n_draw), and a name for each."""
    outer, inner = array.shape[: len(_AXES)], array.shape[len(_AXES) :]
    if len(outer) < len(_AXES):
        raise _misfit(name, "(n_chain, n_draw, ...)", array.shape)
    scalars = np.moveaxis(array.reshape(*outer, math.prod(inner)), -1, 0)
    labels = [f"{name}[{','.join(map(str, place))}]" for place in np.ndindex(inner)]
    return scalars, labels if inner else [name]


def _common_shape(stats: Mapping[str, NDArray[Any]]) -> tuple[int, ...]:
    shape: tuple[int, ...] = ()
    for name in (LP, ENERGY, DIVERGING, DEPTH):
        if name in stats:
            shape = shape or np.shape(stats[name])
            if np.shape(stats[name]) != shape:
                raise _misfit(name, shape, np.shape(stats[name]))
    return shape


def _count(stats: Mapping[str, NDArray[Any]], name: str) -> int | None:
    return int(np.count_nonzero(stats[name])) if name in stats else None


def _misfit(name: str, expected: object, found: object) -> ArdError:
    return ArdError(
        f"'{name}' does not belong to these chains",
        expected=expected,
        found=found,
        action="give draws and statistics of the same chains, chain by chain",
    )


def _plain(value: Any) -> float | int | None:
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(value) if isinstance(value, np.integer) else number


def _column(rows: list[dict[str, Any]], name: str) -> FloatArray:
    found = (row.get(name) for row in rows)
    values = [
        float(v) if isinstance(v, int | float) and not isinstance(v, bool) else math.nan
        for v in found
    ]
    return np.array(values, np.float64)


def _whole(document: Mapping[str, Any], name: str) -> int | None:
    value = document.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
