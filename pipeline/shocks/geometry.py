"""Which velocity has the shock of a bow, by the light and the motion of its ring?

Chains of the scene `bow` know two speeds along the line of sight, the ring's own and its swing, its
radii, and the inclination, which is hardly more than its prior. Those of the body v*, of the radius
of curvature R_c and of the compression chi follow by Rankine and Hugoniot on a paraboloid
(reference/science.md section 2.3): with t = R / R_c the tangent of the angle between motion and the
shock's normal at the ring's mean radius R, and inclination i,

    v_bow = v_rest - v* (1 - 1/chi) sin i,    swing = v* (1 - 1/chi) cos i  t / (1 + t^2),

or without the factor 1 - 1/chi in the second, as published; v_rest is the speed of the gas ahead,
for that of the bow is measured from the target's redshift. Two numbers do not tell four, nor which
of two angles gives a swing, nor which form holds: all that is drawn from what is believed
before, and each draw of the chains weighted with the prior of (v*, R_c) over that of
(v_bow, swing), so that what is believed of these has no part. The velocity is then Eq 13, weighted
with the light of the ring.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError
from manifests.shocks import ShockAssumptions
from pipeline.infer.families import LogUniform, Uniform
from pipeline.infer.prior import Prior
from pipeline.shocks.verdict import weighted_velocity

SCENE: Final = "bow"
APERTURES: Final = ("tip",)  # of the target: what is behind it is no bow
NEEDED: Final = ("v_bow_kms", "swing_kms", "inclination_deg", "radius_kpc", "inner_share")
_REPEATS: Final = 8  # of each draw of the chains, with other compressions
_N_PRIOR: Final = 200_000  # of which those are kept that the chains could have met
_N_RADIUS: Final = 8
_LEAST_DRAWS: Final = 100
_CONSERVING: Final = 0.5  # before the data, that the transverse speed has the factor


@dataclass(frozen=True, eq=False)
class BowDraws:
    """Draws of a bow, before and after the data; arrays of shape (n,).

    Attributes
    ----------
    v_shock_kms : ndarray
        Emissivity-weighted normal speed.
    v_star_kms, curvature_kpc, compression : ndarray
    conserving : ndarray of bool
        Whether the transverse speed has the factor 1 - 1/chi.
    prior_kms : ndarray
        Of `v_shock_kms`, before the data.
    n_effective : float
        Draws of the chains that count, however often each is used.
    share_possible : float
        Part of the chains' draws that can be such a bow at all.
    """

    v_shock_kms: FloatArray
    v_star_kms: FloatArray
    curvature_kpc: FloatArray
    compression: FloatArray
    conserving: Any
    prior_kms: FloatArray
    n_effective: float
    share_possible: float


@dataclass(frozen=True, eq=False)
class _Bows:
    """Bows, arrays of shape (n,)."""

    v_star: FloatArray
    curvature: FloatArray
    slip: FloatArray
    conserving: Any
    radius: FloatArray
    share: FloatArray
    sine: FloatArray
    rest: FloatArray

    def take(self, rows: Any) -> "_Bows":
        return _Bows(**{name: value[rows] for name, value in vars(self).items()})

    def speeds(self) -> tuple[FloatArray, FloatArray]:
        """Give v_bow and swing."""
        t = self.radius / self.curvature
        across = self.v_star * t / (1.0 + t**2) * np.sqrt(1.0 - self.sine**2)
        swing = across * np.where(self.conserving, self.slip, 1.0)
        return self.rest - self.v_star * self.slip * self.sine, swing

    def shock(self) -> FloatArray:
        """Give the normal speed, averaged over the uniform light of the ring."""
        outer = self.radius * np.sqrt(2.0 / (1.0 + self.share**2))
        along, weight = np.polynomial.legendre.leggauss(_N_RADIUS)
        part = 0.5 * (along + 1.0)
        radius = outer[:, None] * (self.share[:, None] + (1.0 - self.share[:, None]) * part)
        behind = radius**2 / (2.0 * self.curvature[:, None])
        return weighted_velocity(self.v_star, self.curvature, behind, radius * weight)


def draws_of(
    chains: Mapping[str, FloatArray],
    prior: Prior,
    assumed: ShockAssumptions,
    count: int,
    rng: np.random.Generator,
) -> BowDraws:
    """Give draws of the shock's velocity.

    Parameters
    ----------
    chains : mapping of str to ndarray, shape (n_draw,)
        Draws of the scene `bow`: `NEEDED`.
    prior : Prior
        That the chains had.
    assumed : ShockAssumptions
        What is believed of v*, R_c, chi and v_rest.
    count : int
        How many draws are wanted.
    rng : Generator

    Raises
    ------
    ArdError
        If a parameter is missing, or next to no draw of the chains can be such a bow.
    """
    missing = [name for name in NEEDED if name not in chains or name not in prior.names]
    if missing:
        raise ArdError(
            "these are no chains of a bow",
            expected=", ".join(NEEDED),
            found=f"no {', '.join(missing)}",
            action=f"fit the scene '{SCENE}': rbh1 fit RUN --item ITEM --model {SCENE}",
        )
    bows, log_weight, whose = _met(chains, prior, assumed, rng)
    top = log_weight.max(initial=-np.inf)
    weight = np.exp(log_weight - top) if np.isfinite(top) else np.zeros(log_weight.size)
    total = float(weight.sum())
    # A draw is used several times, and is one draw.
    own = np.bincount(whose, weight, minlength=np.size(chains[NEEDED[0]]))
    effective = total**2 / float((own**2).sum()) if total > 0 else 0.0
    if not effective >= _LEAST_DRAWS:
        raise ArdError(
            "the chains hold next to no bow that Rankine and Hugoniot allow",
            expected=f"{_LEAST_DRAWS} effective draws: an approaching ring whose leading edge "
            "recedes, v* and R_c within what is believed",
            found=f"{effective:.0f}",
            action="sample longer (rbh1 fit), or take it that the tip is no such bow",
        )
    # Systematic: each draw as often as its weight says, to one.
    places = (np.arange(count) + rng.random()) / count * total
    rows = np.minimum(np.searchsorted(np.cumsum(weight), places), len(weight) - 1)
    chosen = bows.take(rng.permutation(rows))
    before = _believed(prior, assumed, rng).shock()
    return BowDraws(
        v_shock_kms=chosen.shock(),
        v_star_kms=chosen.v_star,
        curvature_kpc=chosen.curvature,
        compression=1.0 / (1.0 - chosen.slip),
        conserving=chosen.conserving,
        prior_kms=rng.choice(before, count),
        n_effective=effective,
        share_possible=float(np.mean(own > 0)),
    )


def _families(assumed: ShockAssumptions) -> tuple[LogUniform, LogUniform, Uniform, Uniform]:
    """Give the priors of v*, R_c, 1 - 1/chi and v_rest."""
    bow = assumed.bow
    slip = Uniform(1.0 - 1.0 / bow.compression_min, 1.0)
    rest = Uniform(-bow.rest_kms, bow.rest_kms)
    return LogUniform(*bow.v_star_kms), LogUniform(*bow.curvature_kpc), slip, rest


def _met(
    chains: Mapping[str, FloatArray],
    prior: Prior,
    assumed: ShockAssumptions,
    rng: np.random.Generator,
) -> tuple[_Bows, FloatArray, Any]:
    """Give every bow that has the speeds of a draw, ln of its weight, and which draw that is."""
    of_star, of_curvature, of_slip, of_rest = _families(assumed)
    own = {name: np.tile(np.ravel(chains[name]), _REPEATS) for name in NEEDED}
    tilt = np.deg2rad(own["inclination_deg"])
    sine, cosine = np.sin(tilt), np.cos(tilt)
    slip, rest = of_slip.sample(rng, tilt.size), of_rest.sample(rng, tilt.size)
    conserving = rng.random(tilt.size) < _CONSERVING
    star = (rest - own["v_bow_kms"]) / (slip * sine)
    across = star * cosine * np.where(conserving, slip, 1.0)  # of which the swing is a part
    with np.errstate(divide="ignore", invalid="ignore"):
        twice = 2.0 * own["swing_kms"] / across
        possible = np.flatnonzero((star > 0) & (twice > 0) & (twice < 1))
    families = {p.name: p.family for p in prior.parameters}
    given = sum(families[name].log_prior(own[name]) for name in NEEDED[:2])
    found, weights = [], []
    root = np.sqrt(1.0 - twice[possible] ** 2)
    small = twice[possible] / (1.0 + root)  # 1 - root would lose its digits
    for t in (small, 1.0 / small):
        one = _Bows(star[possible], own["radius_kpc"][possible] / t, slip[possible],
                    conserving[possible], own["radius_kpc"][possible],
                    own["inner_share"][possible], sine[possible], rest[possible])  # fmt: skip
        # |d (v_bow, swing) / d (v*, R_c)|; 0 at 45 degrees, where both angles meet.
        bend = np.abs(1.0 - t**2) / (1.0 + t**2) ** 2 * t / one.curvature
        moved = one.slip * one.sine * across[possible] * bend
        believed = of_star.log_prior(one.v_star) + of_curvature.log_prior(one.curvature)
        found.append(one)
        weights.append(believed - np.log(moved) - given[possible])
    both = {name: np.concatenate([vars(one)[name] for one in found]) for name in vars(found[0])}
    whose = np.tile(possible % np.size(chains[NEEDED[0]]), 2)
    return _Bows(**both), np.concatenate(weights), whose


def _believed(prior: Prior, assumed: ShockAssumptions, rng: np.random.Generator) -> _Bows:
    """Draw bows before the data, of those whose speeds the chains may have."""
    own = {p.name: p.family.sample(rng, _N_PRIOR) for p in prior.parameters if p.name in NEEDED[2:]}
    star, curvature, slip, rest = (family.sample(rng, _N_PRIOR) for family in _families(assumed))
    bows = _Bows(star, curvature, slip, rng.random(_N_PRIOR) < _CONSERVING, own["radius_kpc"],
                 own["inner_share"], np.sin(np.deg2rad(own["inclination_deg"])), rest)  # fmt: skip
    families = {p.name: p.family for p in prior.parameters}
    inside = np.ones(_N_PRIOR, dtype=bool)
    for name, speed in zip(NEEDED[:2], bows.speeds(), strict=True):
        low, high = families[name].support
        inside &= (speed >= low) & (speed <= high)
    return bows.take(inside)
