"""Do the lines and the geometry agree on the velocity of the shock, and could they have disagreed?

The study's criterion asks whether the 95 % interval from line ratios overlaps the velocity from the
spatial gradient. A posterior as wide as its prior overlaps anything, and the shock of a bow is
slower than the body that drives it: so the gate asks first whether any model makes these lines,
then whether they say anything, and compares with the emissivity-weighted velocity of the geometry
(reference/science.md Eq 13 and section 8). The criterion's own words are answered beside it.
"""

from dataclasses import dataclass
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
    low, high = float(summary.v_kms[row, 0]), float(summary.v_kms[row, -1])
    measured = {
        "v_low_kms": low,
        "v_high_kms": high,
        "p_predictive": float(summary.p_predictive[row]),
        "chi2_min": float(summary.chi2_min[row]),
        "information_nat": float(summary.information_nat[row]),
        "interval_width_dex": float(summary.width_dex[row]),
        "edge_low": float(summary.edge_low[row]),
        "edge_high": float(summary.edge_high[row]),
    }
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

    Parameters
    ----------
    summary : Summary
        Which names the convention of the Sun.
    row : int
    acceptance : Acceptance
    """
    share, fit = float(summary.p_metal_poor[row]), float(summary.p_predictive[row])
    measured = {"p_metal_poor": share, "p_predictive": fit}
    if not np.isfinite(share):
        words = "H alpha is too weak to divide by, so there is no posterior"
        if np.isfinite(fit):
            words = "the O/H of an abundance set of the grid is not known"
        return Verdict(Gate.NOT_EVALUATED, words, None, measured)
    enough, fits = (acceptance.limit(f"shock.{n}") for n in ("p_metal_poor", "p_predictive"))
    literal = not enough.accepts(1.0 - share)  # consistent with: not excluded
    words = f"probability {share:.3f} of less than half solar (Sun: {summary.solar})"
    if not fits.accepts(fit):
        return Verdict(Gate.MODEL_INADEQUATE, f"{words}, but no model fits", literal, measured)
    if enough.accepts(share):
        return Verdict(Gate.CONFIRMED, words, literal, measured)
    if enough.accepts(1.0 - share):
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
    measured = {
        "v_low_kms": spans[0][0],
        "v_high_kms": spans[0][1],
        "v_low_fixed_kms": spans[1][0],
        "v_high_fixed_kms": spans[1][1],
        "p_predictive": float(marginal.p_predictive[row]),
    }
    if v_virial_kms is None or not np.isfinite(spans[0][0]):
        words = "no virial velocity is declared" if v_virial_kms is None else "no posterior"
        return Verdict(Gate.NOT_EVALUATED, words, None, measured)
    measured["v_virial_kms"] = v_virial_kms
    within = [low <= v_virial_kms <= high for low, high in spans]
    words = f"{v_virial_kms:.0f} km/s lie {'inside' if within[0] else 'outside'} of "
    words += f"{spans[0][0]:.0f} to {spans[0][1]:.0f} km/s with the field marginalised, and "
    words += f"{'inside' if within[1] else 'outside'} of {spans[1][0]:.0f} to {spans[1][1]:.0f} "
    words += "km/s with it fixed"
    if not acceptance.limit("shock.p_predictive").accepts(measured["p_predictive"]):
        return Verdict(Gate.MODEL_INADEQUATE, f"{words}, but no model fits", within[0], measured)
    if within[1]:
        return Verdict(Gate.UNINFORMATIVE, words, within[0], measured)
    gate = Gate.CONFIRMED if within[0] else Gate.IN_TENSION
    return Verdict(gate, words, within[0], measured)
