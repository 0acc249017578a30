"""Who makes these lines: a shock, young stars, or both?

Where no shock does, models of H II regions are held against the same lines, with the same errors,
and mixtures, in which stars make a part f of H alpha: fluxes add, so that a ratio to H alpha is
(1 - f) of the shock's and f of the stars'. Shocks alone and stars alone are summed over all models;
of the mixture f is a grid, flat before the data, and pairs of models are drawn from both priors,
the same for every f. At its ends the mean over pairs has to give the sums, which is tested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from scipy import special

from ard.cube import FloatArray
from ard.errors import ArdError
from manifests.acceptance import Acceptance, Limit
from manifests.shocks import ShockAssumptions, StarsAssumptions
from pipeline.shocks.hii import HiiGrid
from pipeline.shocks.interpolate import refine_hii
from pipeline.shocks.lattice import Lattice
from pipeline.shocks.likelihood import (
    Datum,
    Errors,
    LineFluxes,
    errors_for,
    log_likelihood,
    prepare,
)
from pipeline.shocks.nodes import on_nodes, priors_for
from pipeline.shocks.posterior import Quadrature

SHOCK, STARS, BOTH = "shock", "stars", "both"
_FRACTIONS: Final = np.linspace(0.0, 1.0, 21)
_N_PAIR: Final = 200_000
_BLOCK: Final = 2048  # pairs at a time, with every fraction
_LEVELS: Final = (0.025, 0.5, 0.975)


class Maker(StrEnum):
    """How the question ends."""

    SHOCK = "SHOCK"
    STARS = "STARS"
    BOTH = "BOTH"
    UNDECIDED = "UNDECIDED"
    NONE = "NONE"


@dataclass(frozen=True)
class Alternatives:
    """What each hypothesis has for it, in one spectrum.

    Attributes
    ----------
    maker : Maker
    sentence : str
    log_evidence, p_predictive : mapping of str to float
        By hypothesis: "shock", "stars", "both".
    fraction : tuple of float
        Quantiles 2.5, 50 and 97.5 % of the stars' part of H alpha, if both make the lines.
    n_effective : float
        Pairs of models that count for that.
    lines : tuple of str
        That were compared.
    """

    maker: Maker
    sentence: str
    log_evidence: Mapping[str, float]
    p_predictive: Mapping[str, float]
    fraction: tuple[float, ...]
    n_effective: float
    lines: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Mixed:
    """The mixture over all pairs of models.

    Attributes
    ----------
    log_mean : ndarray, shape (n_fraction,)
        ln of the mean likelihood for each fraction of `fractions`.
    fractions : ndarray
    p_predictive : float
    n_effective : float
    """

    log_mean: FloatArray
    fractions: FloatArray
    p_predictive: float
    n_effective: float

    @property
    def log_evidence(self) -> float:
        """Ln of the mean over a flat fraction (trapezoids)."""
        return float(special.logsumexp(self.log_mean, b=_hats(self.fractions)))

    def quantiles(self, levels: Sequence[float]) -> tuple[float, ...]:
        """Give quantiles of the fraction; its density is linear between those of the grid."""
        density = np.exp(self.log_mean - self.log_mean.max())
        fine = np.linspace(0.0, 1.0, 4001)
        below = np.cumsum(np.interp(fine, self.fractions, density))
        return tuple(float(np.interp(level, below / below[-1], fine)) for level in levels)


class Rivals:
    """Models of shocks and of stars of the same lines.

    Parameters
    ----------
    shock : Lattice
    stars : HiiGrid
        Lines that one of them lacks are left out.
    assumed : ShockAssumptions
    seed : int
        Of the pairs.

    Raises
    ------
    ArdError
        If they have no line in common.
    """

    def __init__(
        self, shock: Lattice, stars: HiiGrid, assumed: ShockAssumptions, seed: int
    ) -> None:
        known = {line.name for line in stars.lines}
        self.lines = tuple(name for name in shock.line_names if name in known)
        if not self.lines:
            raise ArdError(
                "the models of stars have none of the lines that are compared",
                expected=", ".join(shock.line_names),
                found=", ".join(sorted(known)),
                action="give other lines",
            )
        both = shock.select(self.lines), refine_hii(stars, self.lines)
        self.errors: Errors = errors_for(both[0].lines, assumed, rounding=shock.source.rounding)
        choices = [priors_for(lattice, assumed)[0] for lattice in both]
        self.sums = [
            Quadrature(lattice, self.errors, [choice])
            for lattice, choice in zip(both, choices, strict=True)
        ]
        self._assumed = assumed.stars
        rng = np.random.default_rng(seed)
        self._pairs = []
        for lattice, choice in zip(both, choices, strict=True):
            weight = on_nodes(lattice, choice).weight.ravel()
            rows = rng.choice(weight.size, _N_PAIR, p=weight)
            self._pairs.append(10.0 ** lattice.log_ratio.reshape(-1, len(self.lines))[rows])

    def mixed(self, datum: Datum) -> Mixed:
        """Hold all mixtures against one spectrum."""
        value = np.empty((_N_PAIR, _FRACTIONS.size), np.float64)
        tail = np.empty_like(value)
        f = _FRACTIONS[:, None]
        for first in range(0, _N_PAIR, _BLOCK):
            shock, stars = (pairs[first : first + _BLOCK, None] for pairs in self._pairs)
            found, chi2 = log_likelihood(datum, np.log10((1.0 - f) * shock + f * stars))
            value[first : first + _BLOCK] = found
            tail[first : first + _BLOCK] = special.gammaincc(0.5 * datum.n_line, 0.5 * chi2)
        top = value.max()
        mass = np.exp(value - top)
        weighted = mass * _hats(_FRACTIONS)
        each = weighted.sum(axis=1)
        with np.errstate(divide="ignore"):
            log_mean = np.log(mass.mean(axis=0)) + top
        return Mixed(
            log_mean,
            _FRACTIONS,
            float((weighted * tail).sum() / weighted.sum()),
            float(each.sum() ** 2 / (each**2).sum()),
        )

    def judge(self, fluxes: LineFluxes, acceptance: Acceptance) -> Alternatives | None:
        """Say who makes the lines of one spectrum; None where it has no posterior.

        Parameters
        ----------
        fluxes : LineFluxes
            Of one spectrum.
        acceptance : Acceptance
            With the row "shock.p_predictive".
        """
        (datum,) = prepare(fluxes, self.errors)
        if datum is None:
            return None
        alone = [found for quadrature in self.sums for found in quadrature.fit(fluxes)]
        mixed = self.mixed(datum)
        names = (SHOCK, STARS)
        evidence = {n: float(one.log_evidence[0]) for n, one in zip(names, alone, strict=True)}
        fits = {n: float(one.p_predictive[0]) for n, one in zip(names, alone, strict=True)}
        evidence[BOTH], fits[BOTH] = mixed.log_evidence, mixed.p_predictive
        enough = acceptance.limit("shock.p_predictive")
        maker, words = _decided(evidence, fits, enough, self._assumed, mixed.n_effective)
        return Alternatives(
            maker, words, evidence, fits, mixed.quantiles(_LEVELS), mixed.n_effective, self.lines
        )


def document_of(found: Mapping[str, Alternatives]) -> list[dict[str, Any]]:
    """Give answers by spectrum as JSON has them."""
    return [
        {
            "spectrum": name,
            "maker": str(one.maker),
            "sentence": one.sentence,
            "log_evidence": dict(one.log_evidence),
            "p_predictive": dict(one.p_predictive),
            "fraction_stars": list(one.fraction),
            "n_effective": one.n_effective,
            "lines": list(one.lines),
        }
        for name, one in found.items()
    ]


def _decided(
    evidence: Mapping[str, float],
    fits: Mapping[str, float],
    enough: Limit,
    assumed: StarsAssumptions,
    n_effective: float,
) -> tuple[Maker, str]:
    """Ask which hypotheses have a model that fits, then whether one is far more probable."""
    order = sorted(evidence, key=lambda name: -evidence[name])
    shown = ", ".join(f"{name} {evidence[name]:.1f} (fit {fits[name]:.2g})" for name in order)
    good = [name for name in order if enough.accepts(fits[name])]
    if not good:
        return Maker.NONE, f"neither makes these lines; ln of evidence: {shown}"
    least = assumed.pairs_min
    if BOTH in good and not n_effective >= least:
        words = f"{n_effective:.0f} pairs of models count, not {least:g}: of both little is known"
        return Maker.UNDECIDED, f"{words}; ln of evidence: {shown}"
    # What does not fit may still be more probable than what does; then neither is the answer.
    if order[0] == good[0] and len(good) == 1:
        return Maker[good[0].upper()], f"nothing else makes these lines; ln of evidence: {shown}"
    ahead = evidence[order[0]] - evidence[order[1]]
    if order[0] == good[0] and ahead > assumed.log_bayes_min:
        return Maker[good[0].upper()], f"more probable by {ahead:.1f}; ln of evidence: {shown}"
    return Maker.UNDECIDED, f"none is far more probable; ln of evidence: {shown}"


def _hats(fractions: FloatArray) -> FloatArray:
    """Give the share of a flat prior that belongs to each fraction."""
    step = np.diff(fractions)
    return np.asarray(0.5 * (np.append(step, 0.0) + np.append(0.0, step)))
