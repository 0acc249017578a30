"""Which disc explains the cube best, whatever galaxy it belongs to?

A campaign proposes galaxies and can miss the best one. Here the disc itself is searched, by slope
and curvature, from several starts: where it ends, short of the tip, at it or beyond, how it lies,
and a curve of rotation that rises as it likes and goes on rising or falls. No dynamics are asked of
it: it is a galaxy of the hypothesis by chance alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError
from pipeline.falsify.cube import placing
from pipeline.falsify.cube.climb import Top, climb
from pipeline.falsify.cube.held import Held
from pipeline.falsify.cube.likelihood import DiscLikelihood, evaluation_of
from pipeline.falsify.tasks import N_RADIUS, Curve, Evaluation, Model
from pipeline.infer.families import Family, Normal, Uniform
from pipeline.infer.frame import ACROSS, Values
from pipeline.infer.prior import Parameter, Prior
from pipeline.scene.disc import Disc

REFINED: Final = -1  # in place of the number of a galaxy of a campaign
_SA: Final = "Sanchez Almeida+2023"
_FAMILY: Final[tuple[tuple[str, str, Family, str], ...]] = (
    ("r_max_kpc", "kpc", Uniform(6.0, 36.0), f"half of 40 to 62 kpc ({_SA}), and shorter"),
    # 77 kpc from the host is the farthest that the prior of campaigns lets a galaxy end, 15 beyond
    # the tip of RBH-1; one that ends farther short of the tip has no light in the cut-out.
    ("end_kpc", "kpc", Uniform(-9.0, 16.0), "of the light, ahead of the declared tip"),
    ("ln_r_d", "ln kpc", Normal(1.95, 0.5, 0.0, 4.1), "scale length of the light: 3 to 12 kpc"),
    ("ln_h_z", "ln kpc", Normal(-0.5, 0.6, -2.0, 1.0), f"0.2 to 1.2 kpc ({_SA}: 1.2)"),
    # A disc is as its mirror image is: at 90 deg nothing has a slope along the inclination, and a
    # search that came there would stay. Along the square of its cosine it has one.
    ("cos2_inclination", "1", Uniform(1e-4, 0.18), "65 to 89.4 deg: nothing rounder is a line"),
    ("v_max_kms", "km/s", Normal(0.0, 120.0, -250.0, 250.0), "110 published; positive where the "
     "tip recedes"),
    ("ln_turn", "ln kpc", Normal(0.9, 0.8, -2.3, 3.2), "the curve rises as tanh(R / this)"),
    ("rise", "1", Normal(0.0, 0.3, -0.5, 0.5), "of the speed, from the middle to the end"),
    ("dispersion_kms", "km/s", Uniform(5.0, 100.0), "of the gas: 31 at the tip (LRIS)"),
)  # fmt: skip
_DEEP: Final = (*(row[0] for row in _FAMILY), "turn_deg")
_MIDDLES: Final = {
    **{"ln_r_d": 1.95, "ln_h_z": -0.5, "cos2_inclination": 0.01, "ln_turn": 0.9},
    **{"dispersion_kms": 30.0, "v_sys_kms": -200.0, "psf_scale": 1.0, "psf_ratio": 0.86},
    "lsf_gain": 1.1,
}
_SPEEDS_KMS: Final = (-100.0, 100.0)
# Radius and end; those that end elsewhere than at the tip come last, where the others do not fit.
_EXTENTS_KPC: Final = ((15.0, 0.0), (24.0, 0.0), (24.0, 7.0), (24.0, -4.0))


@dataclass(frozen=True, eq=False)
class Refined:
    """The best disc of the family.

    Attributes
    ----------
    model : Model
    curve : Curve
    evaluation : Evaluation
        As of a galaxy of a campaign, but that `across_arcsec` may be larger.
    parameters : mapping of str to float
        Those of the family.
    log_density : float
        ln of prior times likelihood, at the best amplitudes, over a constant.
    ends : tuple of float
        The same of each start, the best first.
    """

    model: Model
    curve: Curve
    evaluation: Evaluation
    parameters: Mapping[str, float]
    log_density: float
    ends: tuple[float, ...]


def family(likelihood: DiscLikelihood) -> Prior:
    """Give the prior of the parameters of the family, nuisances included."""
    own = {p.name: p for p in likelihood.prior.parameters}
    own[ACROSS[0]] = Parameter(*ACROSS)
    return Prior((*(Parameter(*row) for row in _FAMILY), *own.values()))


def starts(prior: Prior, more: Sequence[Mapping[str, float]] = ()) -> FloatArray:
    """Give places to begin at, shape (n, n_parameter): all extents, in both senses of rotation.

    Parameters
    ----------
    prior : Prior
    more : sequence of mapping
        Parameters to begin at first, where they differ from the middle.
    """
    asked = list(more)
    for (radius, end), speed in product(_EXTENTS_KPC, _SPEEDS_KMS):
        asked.append({"r_max_kpc": radius, "end_kpc": end, "v_max_kms": speed})
    return np.array([[{**_MIDDLES, **one}.get(name, 0.0) for name in prior.names] for one in asked])


class Refinement:
    """Searches the best disc of the family; compiled once for all data.

    Parameters
    ----------
    likelihood : DiscLikelihood
    n_step : int
        Evaluations of a search, at most.

    Raises
    ------
    ArdError
        If the velocities that the likelihood counts do not hold the fastest disc of the family.
    """

    def __init__(self, likelihood: DiscLikelihood, n_step: int = 120) -> None:
        self.likelihood, self.prior, self._n_step = likelihood, family(likelihood), n_step
        likelihood.view.model.require_counted(*_extremes(self.prior))
        self._held = Held(likelihood.view, likelihood.data, self.prior, _DEEP, self._disc)
        self._one: Any = jax.jit(self._climbed)

    def best(
        self,
        likelihood: DiscLikelihood | None = None,
        places: FloatArray | None = None,
        enough: float = -np.inf,
    ) -> Refined:
        """Give the best disc.

        Parameters
        ----------
        likelihood : DiscLikelihood, optional
            Of other data on the same voxels (`DiscLikelihood.with_data`).
        places : array, shape (n_start, n_parameter), optional
            Where to begin; see `starts`.
        enough : float
            No further start is tried once chi2 is at most this.

        Raises
        ------
        ArdError
            If no start leads to a finite likelihood.
        """
        asked = likelihood or self.likelihood
        begin = starts(self.prior) if places is None else places
        tops: list[Top] = []
        for place in begin:
            top = self._one(asked.white, jnp.asarray(place))
            if np.isfinite(float(top.height.value)):
                tops.append(top)
                if float(top.height.more.chi2) <= enough:
                    break
        if not tops:
            raise ArdError(
                "no disc has a likelihood",
                expected="a finite ln L at one start or more",
                found=f"none at {len(begin)}",
                action="look at data and noise of the cut-out",
            )
        tops = sorted(tops, key=lambda top: -float(top.height.value))
        return self._refined(tops[0], tuple(float(top.height.value) for top in tops))

    def _climbed(self, white: Any, start: Any) -> Top:
        return climb(
            lambda values: self._held.height(values, white, ()),
            start,
            *self._held.bounds,
            self._n_step,
        )

    def _disc(self, values: Values, _extra: Any) -> Disc:
        frame, away = self.likelihood.seen.frame, self.likelihood.away_arcsec
        place = self._place(values)
        return placing.disc_of(place, _tables(values), values["turn_deg"], frame, away)

    def _place(self, values: Values) -> tuple[Any, ...]:
        """Give the place of a disc by where its light ends; see `placing.PLACE`."""
        tip = self.likelihood.away_arcsec * self.likelihood.seen.frame.kpc_per_arcsec
        height = jnp.exp(values["ln_h_z"])
        inclination = jnp.rad2deg(jnp.arccos(jnp.sqrt(values["cos2_inclination"])))
        centre = tip + values["end_kpc"] - values["r_max_kpc"]
        return centre, 0.0, inclination, height, 1.0

    def _refined(self, top: Top, ends: tuple[float, ...]) -> Refined:
        seen, names = self.likelihood.seen, self.prior.names
        whole = evaluation_of(REFINED, top, names, seen.noise.reference)
        values = whole.nuisances
        own = {name: values[name] for name in self.likelihood.prior.names}
        evaluation = Evaluation(REFINED, whole.log_likelihood, whole.chi2, own, whole.converged)
        side = 1.0 if values["v_max_kms"] >= 0.0 else -1.0
        centre, offset, inclination, height, _ = (float(one) for one in self._place(values))
        place = dict(zip(placing.PLACE, (centre, offset, inclination, height, side), strict=True))
        model = Model(REFINED, {**place, "r_max_kpc": values["r_max_kpc"]})
        radius, rotation, dispersion, light = (np.asarray(one) for one in _tables(values))
        curve = Curve(radius, side * rotation, dispersion, light)
        rest = {name: values[name] for name in names}
        return Refined(model, curve, evaluation, rest, float(top.height.value), ends)


def _extremes(prior: Prior) -> tuple[float, float, float]:
    """Give the fastest rotation, and the smallest and largest dispersion, km/s."""
    ends = {p.name: p.family.support for p in prior.parameters}
    fastest = ends["v_max_kms"][1] * (1.0 + ends["rise"][1])
    return fastest, *ends["dispersion_kms"]


def _tables(values: Values) -> tuple[Any, Any, Any, Any]:
    """Give radius, rotation, dispersion and brightness, shape (64,) each."""
    part = jnp.linspace(0.0, 1.0, N_RADIUS, dtype=jnp.result_type(values["r_max_kpc"]))
    radius = part * values["r_max_kpc"]
    rotation = values["v_max_kms"] * jnp.tanh(radius / jnp.exp(values["ln_turn"]))
    rotation = rotation * (1.0 + values["rise"] * (2.0 * part - 1.0))
    dispersion = jnp.broadcast_to(values["dispersion_kms"], radius.shape)
    return radius, rotation, dispersion, jnp.exp(-radius / jnp.exp(values["ln_r_d"]))
