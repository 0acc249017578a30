"""Which galaxies does a campaign exclude, and on how many models does that rest?

The models of a campaign are draws of the prior, so each weighs the same; one that the dynamics
reject has a likelihood of zero, and counts. The profile of a cell is the best model in it: more
models can only raise it. The marginal is their mean likelihood, and says nothing where it is that
of a few. Both are relative to a reference, which is named. Models that somebody chose have no
weights: they are counted, and the best is named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any, Final

import numpy as np
from scipy.stats import beta

from ard.cube import BoolArray, FloatArray, frozen
from ard.errors import ArdError, misfit
from manifests.acceptance import Acceptance
from pipeline.falsify.surface.cells import Cells, Draws, IntArray, cut, together, unfit

# What the hypothesis is told apart by: physical parameters, and a fact of the dynamics.
AXES: Final = (
    *("vmax_kms", "log_m_halo", "r_d_kpc", "h_z_kpc"),
    *("inclination_deg", "gas_fraction", "offset_kpc"),
)
BOW: Final = "bow shock"
SATURATED: Final = "saturated scene"
DISC: Final = "best disc"
REFERENCES: Final = (BOW, SATURATED, DISC)


@dataclass(frozen=True, eq=False)
class Evaluations:
    """All that a campaign found, one row a model, in the order of numbers.

    Attributes
    ----------
    number : array of int, shape (n,)
        Place of the model in the campaign, increasing.
    parameters : mapping of str to array, shape (n,)
        As `pipeline.falsify.physics.hypothesis` names them.
    reasons : tuple of tuple of str, length n
        Filters that rejected each; none if it was evaluated.
    facts : mapping of str to array, shape (n,)
        What the dynamics say; NaN where absent.
    log_likelihood, chi2 : array, shape (n,)
        At the best nuisances; NaN where the dynamics reject the model, or it still waits.
    nuisances : mapping of str to array, shape (n,)
        Their best values; NaN likewise.
    converged : array of bool, shape (n,)
        Whether the search for the best nuisances ended at a maximum.

    Raises
    ------
    FormatError
        If an array has another length, or the numbers do not increase.
    """

    number: IntArray
    parameters: Mapping[str, FloatArray]
    reasons: tuple[tuple[str, ...], ...]
    facts: Mapping[str, FloatArray]
    log_likelihood: FloatArray
    chi2: FloatArray
    nuisances: Mapping[str, FloatArray]
    converged: BoolArray

    def __post_init__(self) -> None:
        types: dict[str, Any] = {"number": np.int64, "converged": np.bool_}
        for field in fields(self):
            found = getattr(self, field.name)
            if field.name == "reasons":
                value: Any = tuple(tuple(row) for row in found)
            elif isinstance(found, Mapping):
                value = {name: frozen(column, np.float64) for name, column in found.items()}
            else:
                value = frozen(found, types.get(field.name, np.float64))
            object.__setattr__(self, field.name, value)
            for name, column in value.items() if isinstance(value, Mapping) else [("", value)]:
                if len(column) != len(self.number):
                    where = ".".join(filter(None, (field.name, name)))
                    problem = f"{where} of a campaign has another length"
                    raise misfit(problem, f"({len(self.number)},)", (len(column),))
        if np.any(np.diff(self.number) <= 0):
            raise misfit("models of a campaign are out of order", "increasing numbers", "others")

    def __len__(self) -> int:
        return len(self.number)

    @property
    def possible(self) -> BoolArray:
        """Which models the dynamics allow, shape (n,)."""
        return np.array([not row for row in self.reasons], np.bool_)

    @property
    def evaluated(self) -> BoolArray:
        """Which models have a likelihood, shape (n,)."""
        return np.asarray(self.possible & np.isfinite(self.log_likelihood))

    @property
    def unsettled(self) -> BoolArray:
        """Which models may be better than is known, shape (n,).

        The dynamics allow them, and their search did not converge, or they were not evaluated yet.
        """
        return np.asarray(self.possible & ~(self.evaluated & self.converged))

    def values(self, name: str) -> FloatArray:
        """Give a parameter or a fact by its name, shape (n,); NaN if there is none of it."""
        for found in (self.parameters, self.facts):
            if name in found:
                return found[name]
        return np.full(len(self), np.nan)


@dataclass(frozen=True)
class Reference:
    """What the likelihood of a galaxy is held against.

    Attributes
    ----------
    kind : str
        One of `REFERENCES`.
    name : str
        Of the scene.
    log_likelihood : float
        At its maximum, fluxes and backgrounds integrated out as for the galaxies.
    source : str
        Where the number comes from.
    """

    kind: str
    name: str
    log_likelihood: float
    source: str

    def __post_init__(self) -> None:
        if self.kind in REFERENCES and np.isfinite(self.log_likelihood):
            return
        raise ArdError(
            "galaxies cannot be held against this",
            expected=f"a finite ln L of one of: {', '.join(REFERENCES)}",
            found=f"{self.log_likelihood} of '{self.kind}'",
            action="give the maximum of a fit of the same voxels, or none",
        )


@dataclass(frozen=True)
class Settings:
    """How a surface is drawn up.

    Attributes
    ----------
    delta_chi2 : tuple of float
        Levels of -2 (ln L - ln L of the reference), increasing.
    n_bin, n_bin_pair : int
        Cells of a parameter, and of each of two; all hold the same prior mass.
    axes : tuple of str
        Parameters or facts.
    """

    delta_chi2: tuple[float, ...] = (4.0, 9.0, 25.0)
    n_bin: int = 10
    n_bin_pair: int = 6
    axes: tuple[str, ...] = AXES


@dataclass(frozen=True)
class Share:
    """A part of the models, with the binomial interval of what it is a draw of; else NaN."""

    n: int
    n_all: int
    low: float
    high: float

    @property
    def fraction(self) -> float:
        """The part itself; NaN of models that are no draws."""
        return self.n / self.n_all if np.isfinite(self.low) else float("nan")


@dataclass(frozen=True, eq=False)
class Surface:
    """What a campaign says of its hypothesis.

    Attributes
    ----------
    reference : Reference
    settings : Settings
    n_model : int
        How many the campaign was to have.
    drawn : bool
        Whether models are draws of the prior. Where somebody chose them, no part of them is one of
        the prior mass, and no mean is one over the prior: ends of shares and marginals are NaN.
    missing : tuple of int
        Numbers that are neither rejected nor evaluated.
    unconverged : tuple of int
        Numbers whose best nuisances were not found: their ln L is a lower bound.
    best : int
        Number of the best model; -1 where none was evaluated.
    within : mapping of float to Share
        By level: models that are within it of the reference. The interval counts a model that has
        not converged, or still waits for its likelihood, as within at its upper end.
    rejected : Share
        Models that the dynamics reject.
    filters : mapping of str to (Share, int)
        By filter: those that it rejects, and how many it alone rejects.
    several : Share
        Those that more than one filter rejects.
    whole : Cells
        All models as one.
    halves : tuple of Cells
        The first and the second half of the numbers as one each.
    profiles, pairs : tuple of Cells
        Of each parameter, and of each two.
    unplaced : mapping of str to int
        By parameter: models of which it is not known.
    skipped : mapping of str to str
        Parameters that have no cells, with the reason.
    """

    reference: Reference
    settings: Settings
    n_model: int
    drawn: bool
    missing: tuple[int, ...]
    unconverged: tuple[int, ...]
    best: int
    within: Mapping[float, Share]
    rejected: Share
    filters: Mapping[str, tuple[Share, int]]
    several: Share
    whole: Cells
    halves: tuple[Cells, Cells]
    profiles: tuple[Cells, ...]
    pairs: tuple[Cells, ...]
    unplaced: Mapping[str, int]
    skipped: Mapping[str, str]

    @property
    def halves_sigma(self) -> float:
        """How far apart ln of the mean L of the halves is, in their errors; NaN if unknown."""
        one, two = self.halves
        error = float(np.hypot(one.log_mean_error, two.log_mean_error))
        apart = abs(float(one.log_mean - two.log_mean))
        return apart / error if error > 0.0 else (0.0 if apart == 0.0 else float("nan"))

    def problems(self, acceptance: Acceptance) -> tuple[str, ...]:
        """Say why the marginal likelihood of the campaign is not known; empty if it is."""
        effective, apart = (acceptance.limit(f"campaign.{n}") for n in ("effective", "halves"))
        if not self.drawn:
            return ("its models are rows of a table, and no draws of a prior",)
        found = []
        if self.missing:
            found.append(f"{len(self.missing)} of {self.n_model} models are missing")
        carried = min(float(cells.effective) for cells in (self.whole, *self.halves))
        if not effective.accepts(carried):
            found.append(
                f"it rests on {carried:.1f} models in all or in one half, not {effective.bound}"
            )
        if not apart.accepts(self.halves_sigma):
            found.append(f"its halves are {self.halves_sigma:.1f} errors apart, not {apart.bound}")
        return tuple(found)


def survey(
    evaluations: Evaluations,
    n_model: int,
    reference: Reference | None,
    acceptance: Acceptance,
    settings: Settings | None = None,
    *,
    drawn: bool = True,
) -> Surface:
    """Draw up the surface of a campaign.

    Parameters
    ----------
    evaluations : Evaluations
    n_model : int
        How many models it was to have; numbers are 0 to n_model - 1.
    reference : Reference, optional
        Without it, the best model of the campaign is the reference.
    acceptance : Acceptance
        With the row "campaign.confidence".
    settings : Settings, optional
    drawn : bool
        Whether the models are draws of the prior.

    Raises
    ------
    ArdError
        If there is no model at all, or a number that the campaign does not have.
    """
    chosen = settings or Settings()
    require_models(evaluations, n_model)
    numbers, evaluated = evaluations.number, evaluations.evaluated
    against = reference or _own(evaluations)
    relative = np.where(evaluated, evaluations.log_likelihood - against.log_likelihood, -np.inf)
    first = numbers < 0.5 * n_model
    draws = Draws(numbers, relative, evaluated, evaluations.converged, first)
    placed = {name: evaluations.values(name) for name in chosen.axes}
    skipped = {n: words for n, v in placed.items() if (words := unfit(v, chosen.n_bin))}
    named = [name for name in chosen.axes if name not in skipped]
    whole = together(draws, np.ones_like(first))
    open_ = evaluated & ~evaluations.converged
    level = confidence_of(acceptance) if drawn else float("nan")
    weighed = _weighed if drawn else _unweighed
    return Surface(
        against,
        chosen,
        n_model,
        drawn,
        _missing(evaluations, n_model),
        tuple(int(n) for n in numbers[open_]),
        int(whole.best_number),
        within_of(relative, evaluations.unsettled, chosen.delta_chi2, level),
        *_rejected(evaluations.reasons, level),
        weighed(whole),
        (weighed(together(draws, first)), weighed(together(draws, ~first))),
        tuple(weighed(cut(draws, {n: placed[n]}, chosen.n_bin)) for n in named),
        tuple(
            weighed(cut(draws, {n: placed[n] for n in pair}, chosen.n_bin_pair))
            for pair in combinations(named, 2)
        ),
        {name: int(np.count_nonzero(~np.isfinite(values))) for name, values in placed.items()},
        skipped,
    )


def _weighed(cells: Cells) -> Cells:
    return cells


def _unweighed(cells: Cells) -> Cells:
    """Take the marginals off cells: nobody drew the models, and none carries a mean."""
    nothing = np.full(cells.n.shape, np.nan)
    return replace(cells, log_mean=nothing, log_mean_error=nothing,
                   effective=np.zeros(cells.n.shape))  # fmt: skip


def require_models(evaluations: Evaluations, n_model: int) -> None:
    """Make sure that there is a model, and none that the campaign does not have.

    Raises
    ------
    ArdError
        If that is not so.
    """
    numbers = evaluations.number
    if len(evaluations) and numbers[0] >= 0 and numbers[-1] < n_model:
        return
    raise ArdError(
        "these are not the models of the campaign",
        expected=f"numbers from 0 to {n_model - 1}",
        found=f"{numbers[0]} to {numbers[-1]}" if len(evaluations) else "no model",
        action="let workers run first: rbh1 campaign work",
    )


def _missing(evaluations: Evaluations, n_model: int) -> tuple[int, ...]:
    absent = np.setdiff1d(np.arange(n_model), evaluations.number)
    lost = evaluations.number[evaluations.possible & ~evaluations.evaluated]
    return tuple(int(n) for n in np.union1d(absent, lost))


def _own(evaluations: Evaluations) -> Reference:
    evaluated = evaluations.evaluated
    if not evaluated.any():
        # Nothing is compared then: any number will do, and no share is within any level of it.
        return Reference(DISC, "none", 0.0, "no model of the campaign was evaluated")
    best = float(evaluations.log_likelihood[evaluated].max())
    return Reference(DISC, "galaxy", best, "the best model of the campaign itself")


def confidence_of(acceptance: Acceptance) -> float:
    """Give the level of binomial intervals."""
    value = acceptance.limit("campaign.confidence").value
    return value[-1] if isinstance(value, tuple) else value


def share_of(n: int, n_all: int, level: float, more: int = 0) -> Share:
    """Give a part with its interval of Clopper and Pearson (1934, Biometrika 26, 404).

    Parameters
    ----------
    n, n_all : int
    level : float
        Of the interval, such as 0.95; NaN where there is none, for the models are no draws.
    more : int
        How many may belong to it besides, for its upper end.
    """
    rest, most = 0.5 * (1.0 - level), n + more
    if np.isnan(level):
        return Share(n, n_all, level, level)
    low = float(beta.ppf(rest, n, n_all - n + 1)) if n else 0.0
    high = float(beta.isf(rest, most + 1, n_all - most)) if most < n_all else 1.0
    return Share(n, n_all, low, high)


def within_of(
    relative: FloatArray, open_: BoolArray, levels: Sequence[float], confidence: float
) -> dict[float, Share]:
    """Give the share of models within each level of the reference.

    Parameters
    ----------
    relative : array, shape (n,)
        ln L less that of the reference; minus infinity where there is none.
    open_ : array of bool, shape (n,)
        Models that may be better than that.
    levels : sequence of float
        Of -2 `relative`.
    confidence : float
        Of the intervals.
    """
    found = {}
    for level in levels:
        inside = -2.0 * relative <= level
        more = int(np.count_nonzero(open_ & ~inside))
        found[level] = share_of(int(np.count_nonzero(inside)), len(relative), confidence, more)
    return found


def _rejected(
    reasons: Sequence[tuple[str, ...]], level: float
) -> tuple[Share, dict[str, tuple[Share, int]], Share]:
    n = len(reasons)
    names = sorted({name for row in reasons for name in row})
    filters = {
        name: (
            share_of(sum(name in row for row in reasons), n, level),
            sum(row == (name,) for row in reasons),
        )
        for name in names
    }
    several = sum(len(row) > 1 for row in reasons)
    total = share_of(sum(bool(row) for row in reasons), n, level)
    return total, filters, share_of(several, n, level)
