"""Do the lines and the geometry agree on the velocity of the shock, and could they have disagreed?

The study's criterion asks whether the 95 % interval from line ratios overlaps the velocity from the
spatial gradient. A posterior as wide as its prior overlaps anything, and the shock of a bow is
slower than the body that drives it: so the gate asks first whether any model makes these lines,
then whether they say anything, and compares with the emissivity-weighted velocity of the geometry
(reference/science.md Eq 13 and section 8). The criterion's own words are answered beside it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError
from manifests.acceptance import Acceptance
from manifests.shocks import ShockAssumptions
from pipeline.shocks.summary import Summary

_LEVELS: Final = (0.025, 0.975)
_TOLD: Final = "geometry_information_nat"
_RIVAL: Final = ("geometry_low_kms", "geometry_high_kms", _TOLD)


class Gate(StrEnum):
    """How a criterion ends."""

    CONFIRMED = "CONFIRMED"
    IN_TENSION = "IN TENSION"
    UNINFORMATIVE = "UNINFORMATIVE"
    MODEL_INADEQUATE = "MODEL-INADEQUATE"
    NOT_EVALUATED = "NOT EVALUATED"


@dataclass(frozen=True)
class Verdict:
    """The answer to one criterion.

    Attributes
    ----------
    gate : Gate
    sentence : str
        Why.
    literal : bool or None
        What the criterion's own words say; None where they cannot be applied.
    measured : mapping of str to float
        The numbers on which it rests.
    """

    gate: Gate
    sentence: str
    literal: bool | None
    measured: dict[str, float]


def bow_velocity(v_star_kms: Any, r_c: Any, dr: Any) -> FloatArray:
    """Give the normal speed of a parabolic bow a distance dr behind its tip (science.md Eq 13).

    Parameters
    ----------
    v_star_kms : array
        Speed of the body.
    r_c, dr : array
        Radius of curvature at the tip, and distance behind it, in one unit.
    """
    return np.asarray(v_star_kms / np.sqrt(1.0 + 2.0 * np.asarray(dr) / r_c))


def weighted_velocity(
    v_star_kms: FloatArray, r_c: FloatArray, dr: FloatArray, emissivity: FloatArray
) -> FloatArray:
    """Average the speed of the bow over what shines in the aperture, for each draw.

    Parameters
    ----------
    v_star_kms, r_c : ndarray, shape (n_draw,)
        Draws of the geometry's posterior.
    dr : ndarray, shape (n_point,) or (n_draw, n_point)
        Places along the bow, in the unit of `r_c`.
    emissivity : ndarray, shape (n_point,) or (n_draw, n_point)
        Light from each of them.
    """
    speed = bow_velocity(v_star_kms[:, None], r_c[:, None], dr)
    weight = np.broadcast_to(emissivity, speed.shape)
    return np.asarray((speed * weight).sum(axis=1) / weight.sum(axis=1))


def shock_velocity(
    summary: Summary,
    row: int,
    acceptance: Acceptance,
    assumed: ShockAssumptions,
    geometry_kms: FloatArray | None = None,
    geometry_nat: float | None = None,
) -> Verdict:
    """Hold the velocity from the lines against that of the geometry (criterion C1).

    Parameters
    ----------
    summary : Summary
    row : int
        Which spaxel or aperture.
    acceptance : Acceptance
        With the rows "shock.*".
    assumed : ShockAssumptions
        With the velocity from the gradient, for the criterion's own words.
    geometry_kms : ndarray, shape (n_draw,), optional
        Draws of the emissivity-weighted velocity of the geometry.
    geometry_nat : float, optional
        KL divergence of these draws from their prior, where that is known.

    Raises
    ------
    ArdError
        If a draw of the geometry is no velocity: nothing would exclude it.
    """
    measured = _speeds(summary, row)
    low, high = measured["v_low_kms"], measured["v_high_kms"]
    if not np.isfinite(low):
        words = "H alpha is too weak to divide by, so there is no posterior"
        return Verdict(Gate.NOT_EVALUATED, words, None, measured)
    _, *gradient = assumed.gradient_kms
    literal = low <= gradient[1] and high >= gradient[0]
    if geometry_kms is None:
        words = "there is no posterior of the geometry to compare with"
        if not acceptance.limit("shock.p_predictive").accepts(measured["p_predictive"]):
            words += ", and no model of the grid makes these lines"
        return Verdict(Gate.NOT_EVALUATED, words, literal, measured)
    if not geometry_kms.size or not bool(np.all(np.isfinite(geometry_kms) & (geometry_kms > 0))):
        raise ArdError(
            "there is no posterior of the geometry's velocity in its draws",
            expected="positive numbers, km/s",
            found=f"{geometry_kms.size} draws, {int((geometry_kms > 0).sum())} of them positive",
            action="give draws of the emissivity-weighted velocity, or none",
        )
    ends = np.quantile(geometry_kms, _LEVELS)
    measured |= {"geometry_low_kms": float(ends[0]), "geometry_high_kms": float(ends[1])}
    if geometry_nat is not None:
        measured[_TOLD] = geometry_nat
    gate, words = _judge(measured, acceptance)
    return Verdict(gate, words, literal, measured)


def velocity_gate(
    summary: Summary, row: int, acceptance: Acceptance, compared: Mapping[str, float]
) -> Gate:
    """Give the gate of criterion C1 alone, against a geometry that was compared already.

    Parameters
    ----------
    summary : Summary
    row : int
    acceptance : Acceptance
    compared : mapping of str to float
        What `shock_velocity` measured with the same geometry.
    """
    found = _speeds(summary, row)
    rival = {name: compared[name] for name in _RIVAL if name in compared}
    if not np.isfinite(found["v_low_kms"]) or not rival:
        return Gate.NOT_EVALUATED
    return _judge(found | rival, acceptance)[0]


def otherwise(verdict: Verdict, others: Sequence[Gate]) -> Verdict:
    """Say of a verdict how many other priors and floors end the criterion otherwise, and how.

    Parameters
    ----------
    verdict : Verdict
    others : sequence of Gate
        Under every other pair of prior and floor.
    """
    off = Counter(gate for gate in others if gate != verdict.gate)
    words = verdict.sentence
    if off:
        each = ", ".join(f"{off[gate]} {gate}" for gate in Gate if gate in off)
        words += f"; otherwise under {off.total()} of {len(others)} other priors and floors: {each}"
    count = {"rows_otherwise": float(off.total())}
    return replace(verdict, sentence=words, measured=verdict.measured | count)


def _speeds(summary: Summary, row: int) -> dict[str, float]:
    """Give what the lines say of the velocity, and how far that can be trusted."""
    return {
        "v_low_kms": float(summary.v_kms[row, 0]),
        "v_high_kms": float(summary.v_kms[row, -1]),
        "p_predictive": float(summary.p_predictive[row]),
        "chi2_min": float(summary.chi2_min[row]),
        "information_nat": float(summary.information_nat[row]),
        "interval_width_dex": float(summary.width_dex[row]),
        "edge_low": float(summary.edge_low[row]),
        "edge_high": float(summary.edge_high[row]),
    }


def _judge(found: dict[str, float], acceptance: Acceptance) -> tuple[Gate, str]:
    """Ask in order: is there a model, does it say anything, does it agree?"""
    fits = acceptance.limit("shock.p_predictive")
    if not fits.accepts(found["p_predictive"]):
        return Gate.MODEL_INADEQUATE, (
            f"no model of the grid makes these lines: posterior predictive probability "
            f"{found['p_predictive']:.2g}, not {fits} (least chi-square {found['chi2_min']:.1f})"
        )
    told, nat = acceptance.limit("shock.geometry_information"), found.get(_TOLD)
    if nat is not None and not told.accepts(nat):
        words = f"the geometry says too little of the velocity: {nat:.2f} nat, not {told}"
        return Gate.UNINFORMATIVE, words
    edge = acceptance.limit("shock.edge_mass")
    # Beyond an edge with much of the probability there are no models to say no.
    low = found["v_low_kms"] if edge.accepts(found["edge_low"]) else 0.0
    high = found["v_high_kms"] if edge.accepts(found["edge_high"]) else np.inf
    span = f"{low:.0f} to {high:.0f} km/s from lines (95 %)"
    rival = f"{found['geometry_low_kms']:.0f} to {found['geometry_high_kms']:.0f} km/s"
    if found["geometry_low_kms"] > high or found["geometry_high_kms"] < low:
        return Gate.IN_TENSION, f"{span} exclude the geometry's {rival}"
    if not np.isfinite(high) or low == 0.0:
        return Gate.UNINFORMATIVE, f"{span}: a limit only, at the edge of the grid"
    known, narrow = (acceptance.limit(f"shock.{n}") for n in ("information", "interval_width"))
    tells = known.accepts(found["information_nat"])
    if not (tells or narrow.accepts(found["interval_width_dex"])):
        return Gate.UNINFORMATIVE, (
            f"the lines say too little of the velocity: {found['information_nat']:.2f} nat, not "
            f"{known}, and an interval of {found['interval_width_dex']:.2f} dex, not {narrow}"
        )
    return Gate.CONFIRMED, f"{span} overlap the geometry's {rival}"


def metal_poor(summary: Summary, row: int, acceptance: Acceptance) -> Verdict:
    """Say whether the gas has less than half of the Sun's oxygen (criterion C3).

    Where the abundance sets of the grid give the answer before any line is seen, as where all of
    them are on one side, lines cannot confirm it, and the criterion's own words cannot be applied.

    Parameters
    ----------
    summary : Summary
        Which names the convention of the Sun.
    row : int
    acceptance : Acceptance
    """
    share, before = float(summary.p_metal_poor[row]), float(summary.p_metal_poor_prior[row])
    fit = float(summary.p_predictive[row])
    measured = {"p_metal_poor": share, "p_metal_poor_prior": before, "p_predictive": fit}
    if not np.isfinite(share):
        words = "H alpha is too weak to divide by, so there is no posterior"
        if np.isfinite(fit):
            words = "the O/H of an abundance set of the grid is not known"
        return Verdict(Gate.NOT_EVALUATED, words, None, measured)
    enough, fits = (acceptance.limit(f"shock.{n}") for n in ("p_metal_poor", "p_predictive"))
    above = enough.accepts(1.0 - share)
    words = f"probability {share:.3f} of less than half solar (Sun: {summary.solar})"
    known = any(enough.accepts(a) and enough.accepts(b)
                for a, b in ((share, before), (1.0 - share, 1.0 - before)))  # fmt: skip
    literal = None if known else not above  # consistent with: not excluded
    if not fits.accepts(fit):
        return Verdict(Gate.MODEL_INADEQUATE, f"{words}, but no model fits", literal, measured)
    if known:
        words += f", and {before:.3f} before any line: the grid's abundance sets decide it"
        return Verdict(Gate.UNINFORMATIVE, words, literal, measured)
    if enough.accepts(share):
        return Verdict(Gate.CONFIRMED, words, literal, measured)
    if above:
        return Verdict(Gate.IN_TENSION, words, literal, measured)
    return Verdict(Gate.UNINFORMATIVE, words, literal, measured)


def virial(
    marginal: Summary,
    fixed: Summary,
    row: int,
    acceptance: Acceptance,
    v_virial_kms: float | None = None,
) -> Verdict:
    """Say whether an unknown field broadens the velocity down to virial ones (criterion T1).

    Parameters
    ----------
    marginal, fixed : Summary
        With the field inferred, and with a field that is assumed.
    row : int
    acceptance : Acceptance
    v_virial_kms : float, optional
        No published number is known: it has to be declared.
    """
    spans = [(float(one.v_kms[row, 0]), float(one.v_kms[row, -1])) for one in (marginal, fixed)]
    allowed = marginal.v_allowed_kms
    measured = {
        "v_low_kms": spans[0][0],
        "v_high_kms": spans[0][1],
        "v_low_fixed_kms": spans[1][0],
        "v_high_fixed_kms": spans[1][1],
        "edge_low": float(marginal.edge_low[row]),
        "edge_high": float(marginal.edge_high[row]),
        "edge_low_fixed": float(fixed.edge_low[row]),
        "edge_high_fixed": float(fixed.edge_high[row]),
        "v_allowed_low_kms": allowed[0],
        "v_allowed_high_kms": allowed[1],
        "p_predictive": float(marginal.p_predictive[row]),
    }
    if v_virial_kms is None:
        return Verdict(Gate.NOT_EVALUATED, "no virial velocity is declared", None, measured)
    measured["v_virial_kms"] = v_virial_kms
    shares = [float(one.p_virial[row]) for one in (marginal, fixed)]
    measured |= dict(zip(("p_virial", "p_virial_fixed"), shares, strict=True))
    if not np.isfinite(spans[0][0]):
        return Verdict(Gate.NOT_EVALUATED, "no posterior", None, measured)
    if not allowed[0] <= v_virial_kms <= allowed[1]:
        words = f"no model that the prior allows has {v_virial_kms:.0f} km/s: they have "
        words += f"{allowed[0]:.0f} to {allowed[1]:.0f} km/s"
        return Verdict(Gate.NOT_EVALUATED, words, None, measured)
    parts = zip(spans, shares, ("marginalised", "fixed"), strict=True)
    words = f"{v_virial_kms:.0f} km/s: " + ", ".join(
        f"with the field {kind} {low:.0f} to {high:.0f} km/s, and {share:.3f} up to it"
        for (low, high), share, kind in parts
    )
    within = spans[0][0] <= v_virial_kms <= spans[0][1]
    gate, more = _field_gate(measured, acceptance, within=within)
    return Verdict(gate, words + more, within, measured)


def _field_gate(
    found: dict[str, float], acceptance: Acceptance, *, within: bool
) -> tuple[Gate, str]:
    """Ask in order: is there a model, was it possible before, is it possible now?"""
    if not acceptance.limit("shock.p_predictive").accepts(found["p_predictive"]):
        return Gate.MODEL_INADEQUATE, ", but no model fits"
    edge, v = acceptance.limit("shock.edge_mass"), found["v_virial_kms"]

    def possible(which: str) -> bool:
        """Say whether it is in the interval, which is open where much is at the edge."""
        above = found[f"v_low{which}_kms"] <= v or not edge.accepts(found[f"edge_low{which}"])
        below = v <= found[f"v_high{which}_kms"] or not edge.accepts(found[f"edge_high{which}"])
        return above and below

    if possible("_fixed"):
        return Gate.UNINFORMATIVE, ": the field that is assumed allows it too"
    if within:
        return Gate.CONFIRMED, ""
    if possible(""):
        return Gate.UNINFORMATIVE, ": a limit only, at the edge of the grid"
    return Gate.IN_TENSION, ""
