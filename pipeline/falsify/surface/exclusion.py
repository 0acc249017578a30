"""Is the galaxy excluded, or has it only not been found?

T is the smallest chi-square of a galaxy less that of the saturated scene, which has every freedom
that light may have. What T is where a galaxy is the truth is calibrated by injecting galaxies; the
statement under judgement is that no galaxy makes this cube. It is CONFIRMED only where the search
can be trusted: where more models, or searches that did not converge, cannot change the answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ard.cube import BoolArray, FloatArray
from ard.errors import ArdError
from manifests.acceptance import Acceptance
from pipeline.falsify.surface.survey import DISC, Evaluations, Surface
from pipeline.shocks.verdict import Gate


@dataclass(frozen=True)
class Saturated:
    """The scene with all freedom, fitted to the same voxels.

    Attributes
    ----------
    chi2 : float
        Squares of the whitened residuals.
    dof : float
        Voxels less the effective number of free amplitudes.
    """

    chi2: float
    dof: float


@dataclass(frozen=True)
class Calibration:
    """What T was where the truth was known.

    Attributes
    ----------
    quantile : float
        Of T where a galaxy is the truth: an upper bound, from those that were injected
        (`pipeline.falsify.cube.calibrate.bound_of`).
    quantile_low : float
        The same, if those whose best disc was not found had the smallest T of all: theirs is too
        large, and may be the quantile.
    level : float
        Which quantile it is, such as 0.95.
    n_disc : int
        How many galaxies were injected.
    n_bow, n_bow_rejected : int
        How many bow shocks were, and how many have a T above the quantile.
    source : str
        Where the numbers come from.
    """

    quantile: float
    quantile_low: float
    level: float
    n_disc: int
    n_bow: int
    n_bow_rejected: int
    source: str

    def __post_init__(self) -> None:
        known = -np.inf < self.quantile_low <= self.quantile < np.inf and 0.0 < self.level < 1.0
        if known and self.n_disc > 0 and 0 <= self.n_bow_rejected <= self.n_bow:
            return
        raise ArdError(
            "this calibration cannot be",
            expected="a finite quantile, a level between 0 and 1, and counts that fit",
            found=str(self),
            action="calibrate again by injections",
        )

    @property
    def power(self) -> float:
        """Share of injected bow shocks that are rejected as galaxies; NaN without any."""
        return self.n_bow_rejected / self.n_bow if self.n_bow else float("nan")


@dataclass(frozen=True)
class Refined:
    """The best disc, its own parameters optimised as well, from several starts.

    Attributes
    ----------
    parameters : mapping of str to float
    log_likelihood, chi2 : float
        As of an evaluation.
    converged : bool
        Whether the search that found it ended at a maximum.
    ends : tuple of float
        ln of prior times likelihood where the search from each start ended, the best first.
    """

    parameters: Mapping[str, float]
    log_likelihood: float
    chi2: float
    converged: bool
    ends: tuple[float, ...]


@dataclass(frozen=True)
class Field:
    """Which part of the line of light the cut-out shows.

    Attributes
    ----------
    low_kpc, high_kpc : float
        From the host along the line, projected, as `centre_kpc` of a galaxy.
    """

    low_kpc: float
    high_kpc: float

    def shows(self, evaluations: Evaluations) -> BoolArray:
        """Say which models have light there, shape (n,); none of which it is not known."""
        centre, reach = evaluations.values("centre_kpc"), evaluations.values("r_max_kpc")
        return np.asarray((centre + reach > self.low_kpc) & (centre - reach < self.high_kpc))


@dataclass(frozen=True)
class Exclusion:
    """The verdict on "no galaxy makes this cube".

    Attributes
    ----------
    gate : Gate
    sentence : str
        Why.
    literal : bool or None
        Whether no galaxy is within the highest level of the reference, whatever that is worth;
        None where there is no other reference than the galaxies.
    measured : mapping of str to float
        The numbers on which it rests; NaN where unknown.
    """

    gate: Gate
    sentence: str
    literal: bool | None
    measured: Mapping[str, float]


def judge(
    surface: Surface,
    evaluations: Evaluations,
    acceptance: Acceptance,
    *,
    saturated: Saturated | None = None,
    calibration: Calibration | None = None,
    refined: Refined | None = None,
    field: Field | None = None,
) -> Exclusion:
    """Say whether the galaxy is excluded.

    Parameters
    ----------
    surface : Surface
    evaluations : Evaluations
        Of the same campaign.
    acceptance : Acceptance
        With the rows "campaign.*".
    saturated : Saturated, optional
    calibration : Calibration, optional
    refined : Refined, optional
        How far apart its best two searches ended, or by how much a galaxy of the campaign beats it,
        says how far they may be from the best of all; no draw of the prior is near enough to the
        best galaxy to say that.
    field : Field, optional
        A galaxy without light there is no trial: all such leave the background alone.
    """
    found = _measured(surface, evaluations, saturated, calibration, refined)
    shown = field.shows(evaluations) & evaluations.evaluated if field else None
    found["seen"] = float("nan") if shown is None else float(np.count_nonzero(shown))
    gate, words = _gate(found, acceptance, drawn=surface.drawn)
    return Exclusion(gate, words, _literal(surface, found), found)


def _literal(surface: Surface, found: Mapping[str, float]) -> bool | None:
    if surface.reference.kind == DISC or not np.isfinite(found["delta_chi2"]):
        return None
    return found["delta_chi2"] > max(surface.settings.delta_chi2)


def _measured(
    surface: Surface,
    evaluations: Evaluations,
    saturated: Saturated | None,
    calibration: Calibration | None,
    refined: Refined | None,
) -> dict[str, float]:
    nothing = float("nan")
    evaluated = evaluations.evaluated
    own = refined.chi2 if refined else nothing
    levels = np.append(evaluations.log_likelihood[evaluated],
                       refined.log_likelihood if refined else nothing)  # fmt: skip
    # Not that of the best ln L alone: there fluxes are averaged over, and another may be nearer.
    chi2 = _finite(np.min, np.append(evaluations.chi2[evaluated], own))
    ends = refined.ends if refined and refined.converged else ()
    still = max(2.0 * (ends[0] - ends[1]), own - chi2) if len(ends) > 1 else nothing
    n_evaluated = int(surface.whole.n_evaluated)
    level = calibration.quantile if calibration else nothing
    base = saturated.chi2 if saturated else nothing
    share = len(surface.unconverged) / n_evaluated if n_evaluated else nothing
    return {
        "missing": float(len(surface.missing)),
        "evaluated": float(n_evaluated),
        "delta_chi2": -2.0 * (_finite(np.max, levels) - surface.reference.log_likelihood),
        "chi2_best": chi2,
        "chi2_saturated": base,
        "chi2_saturated_reduced": saturated.chi2 / saturated.dof if saturated else nothing,
        "t": chi2 - base,
        "quantile": level,
        "quantile_low": calibration.quantile_low if calibration else nothing,
        "injections": float(calibration.n_disc) if calibration else nothing,
        "power": calibration.power if calibration else nothing,
        "surviving": float(np.count_nonzero(evaluations.chi2 - base <= level)),
        "improvement": still,
        "unconverged": share,
    }


def _finite(choose: Callable[[FloatArray], Any], values: FloatArray) -> float:
    good = values[np.isfinite(values)]
    return float(choose(good)) if good.size else float("nan")


def _gate(found: Mapping[str, float], acceptance: Acceptance, *, drawn: bool) -> tuple[Gate, str]:
    """Ask in order: is all there, can T be read, does a galaxy survive, could one have?"""
    names = ("missing", "injections", "saturated_chi2", "power", "unconverged", "evaluated")
    missing, enough, fits, power, open_, tried = (acceptance.limit(f"campaign.{n}") for n in names)
    if not missing.accepts(found["missing"]):
        return Gate.NOT_EVALUATED, f"{found['missing']:.0f} models of the campaign are missing"
    if not found["evaluated"]:
        return Gate.NOT_EVALUATED, "the dynamics reject every model, and the cube was never asked"
    if not np.isfinite(found["t"]):
        return Gate.NOT_EVALUATED, "there is no saturated scene to compare with"
    if not enough.accepts(found["injections"]):
        words = "what T is where a galaxy is the truth is not calibrated"
        return Gate.NOT_EVALUATED, f"{words}: that takes {enough.bound} injections"
    reduced = found["chi2_saturated_reduced"]
    if not fits.accepts(reduced):
        words = (
            "even a scene with all freedom does not describe the cube"
            if reduced > 1.0
            else "the noise is less than its product says"
        )
        return Gate.MODEL_INADEQUATE, f"{words}: reduced chi-square {reduced:.2f}, not {fits}"
    t, quantile = found["t"], found["quantile"]
    if t <= quantile:
        words = f"T = {t:.1f}, and injected galaxies have up to {quantile:.1f}"
        if not found["surviving"]:
            # It may turn faster than any galaxy of the prior, or as no gravity lets it.
            alone = f"a disc survives, and none of the galaxies that were tried: {words}"
            return Gate.UNINFORMATIVE, f"{alone}; of the disc no dynamics were asked"
        words = f"a galaxy survives: {words}"
        if not t <= found["quantile_low"]:
            return Gate.UNINFORMATIVE, f"{words}; but only those whose search did not converge"
        if power.accepts(found["power"]):
            return Gate.IN_TENSION, words
        seen = f"{found['power']:.0%}" if np.isfinite(found["power"]) else "an unknown share"
        return Gate.UNINFORMATIVE, f"{words}; but the test rejects {seen} of bow shocks"
    words = f"T = {t:.1f}, above the {quantile:.1f} of injected galaxies"
    if not drawn:
        chosen = "the galaxies are rows of a table, which say nothing of any other"
        return Gate.UNINFORMATIVE, f"{words}; but {chosen}"
    if not open_.accepts(found["unconverged"]):
        share = found["unconverged"]
        return Gate.UNINFORMATIVE, f"{words}; but {share:.1%} of the searches did not converge"
    if not tried.accepts(found["seen"]):
        some = f"{found['seen']:.0f}" if np.isfinite(found["seen"]) else "an unknown number of"
        few = f"{words}; but {some} galaxies with light in the cut-out were held against it"
        return Gate.UNINFORMATIVE, f"{few}, not {tried.bound}"
    still = found["improvement"]
    if not np.isfinite(still):
        return Gate.UNINFORMATIVE, (f"{words}; but no two searches of the best disc have ended")
    if not still < t - quantile:
        return Gate.UNINFORMATIVE, (
            f"{words}; but the search of the best disc is {still:.1f} behind another, or a galaxy: "
            "a better one may be left to find"
        )
    return Gate.CONFIRMED, f"no galaxy survives: {words}"
