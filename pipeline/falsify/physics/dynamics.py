"""Which of the proposed galaxies can exist, and how does their gas move?

A galaxy is rejected here by what no cube could change, or because it is none of the hypothesis: its
speed. Each filter says which question it asks, and every one that a galaxy fails is named. The
settings say where the limits are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import BoolArray, FloatArray
from ard.errors import ArdError
from pipeline.falsify.physics import stability
from pipeline.falsify.physics.galaxy import HALF_MASS, G, Galaxy, galaxy_from
from pipeline.falsify.physics.potentials import (
    DISC_KINDS,
    HALO_KINDS,
    Gravity,
    critical_density,
    gravity,
)
from pipeline.falsify.tasks import N_RADIUS, Curve, Model, Motion

NOT_FINITE: Final = "not-finite"


@dataclass(frozen=True)
class DynamicsSettings:
    """How a campaign computes dynamics, and where its filters stand.

    Attributes
    ----------
    disc_kind : {"mn3", "double-exponential", "razor"}
    halo_kind : {"nfw", "compact"}
    redshift, h0, om0 : float
        Where the halo's mass is that within 200 critical densities; h0 in km/s/Mpc.
    q_least : float
        Smallest Q of stars and gas, thickness included, of a disc that holds together.
    vmax_low_kms, vmax_high_kms : float
        Between these the circular speed has its maximum (reference/science.md section 4).
    height_factor : float
        The height and that of vertical balance of the stars differ by less than this factor; of
        the gas, whose light is as high, no balance is asked (docs/galaxy.md).
    flattening : float
        sigma_z / sigma_R of the stars; 0.6 as in discs nearby (van der Kruit & Freeman 2011).
    lost_most : float
        Largest part of the light, and of the stars, at radii where pressure leaves no rotation.
    light_power : float
        Line light per area goes as this power of the gas' surface density (Kennicutt 1998: 1.4).

    Raises
    ------
    ArdError
        If a kind is unknown, or a number is outside of where it means something.
    """

    disc_kind: str = "mn3"
    halo_kind: str = "nfw"
    redshift: float = 0.964
    h0: float = 70.0
    om0: float = 0.3
    q_least: float = 1.0
    vmax_low_kms: float = 60.0
    vmax_high_kms: float = 200.0
    height_factor: float = 3.0
    flattening: float = 0.6
    lost_most: float = 0.1
    light_power: float = 1.4

    def __post_init__(self) -> None:
        low, high = stability.THICKNESS
        for name, expected, proper in (
            ("disc_kind", ", ".join(DISC_KINDS), self.disc_kind in DISC_KINDS),
            ("halo_kind", ", ".join(HALO_KINDS), self.halo_kind in HALO_KINDS),
            ("redshift", "0 or more", 0.0 <= self.redshift < np.inf),
            ("h0", "above 0", 0.0 < self.h0 < np.inf),
            ("om0", "0 to 1", 0.0 <= self.om0 <= 1.0),
            ("q_least", "0 or more", 0.0 <= self.q_least < np.inf),
            ("vmax_low_kms", "0 or more", 0.0 <= self.vmax_low_kms < np.inf),
            ("vmax_high_kms", "above vmax_low_kms", self.vmax_low_kms < self.vmax_high_kms),
            ("height_factor", "above 1", self.height_factor > 1.0),
            ("flattening", f"{low} to {high}", low <= self.flattening <= high),
            ("lost_most", "0 to 1", 0.0 <= self.lost_most <= 1.0),
            ("light_power", "0 or more", 0.0 <= self.light_power < np.inf),
        ):
            if not proper:
                raise ArdError(
                    f"'{name}' of the dynamics is outside of its range",
                    expected=expected,
                    found=getattr(self, name),
                    action="correct the settings of the campaign",
                )


@dataclass(frozen=True, eq=False)
class _State:
    """A galaxy with what follows from its gravity at the radii of its light, 0 left out."""

    galaxy: Galaxy
    parameters: Mapping[str, float]
    settings: DynamicsSettings
    plane: Gravity  # at those radii
    height_kpc: float  # of vertical balance of the stars, where half of them are within
    q_star: FloatArray
    q_gas: FloatArray
    q: FloatArray  # of both, thickness included
    gas2: FloatArray  # square of the mean speed
    star2: FloatArray
    gas_lost: float  # part of the light where the gas does not rotate
    star_lost: float  # part of the stars that do not rotate


def _too_slow(state: _State) -> bool:
    return max(state.gas_lost, state.star_lost) > state.settings.lost_most


def _unstable(state: _State) -> bool:
    return bool(state.q.min() < state.settings.q_least)


def _unbalanced(state: _State) -> bool:
    ratio = state.parameters["h_z_kpc"] / state.height_kpc
    return not 1.0 / state.settings.height_factor < ratio < state.settings.height_factor


def _off_speed(state: _State) -> bool:
    low, high = state.settings.vmax_low_kms, state.settings.vmax_high_kms
    return not low**2 <= state.plane.circular2.max() <= high**2


# Whether a galaxy fails, by the name under which the ledger counts it.
FILTERS: Final[dict[str, Callable[[_State], bool]]] = {
    "drift": _too_slow,
    "toomre": _unstable,
    "vertical": _unbalanced,
    "vmax": _off_speed,
}


def motion(model: Model, settings: DynamicsSettings) -> Motion:
    """Compute a galaxy's rotation and stability, and pass it through the filters.

    Parameters
    ----------
    model : Model
        Of `pipeline.falsify.physics.hypothesis`.
    settings : DynamicsSettings

    Returns
    -------
    Motion
        A function of both alone, to the last bit. Reasons are names of `FILTERS`, or "not-finite"
        where nothing could be computed; facts then are absent.

    Raises
    ------
    ExtraMissingError
        Without galpy.
    """
    with np.errstate(all="ignore"):  # what is not finite is found below, by name
        # Numbers of numpy: those of Python raise where they overflow.
        own = {name: np.float64(value) for name, value in model.parameters.items()}
        state = _state(own, settings)
        facts = _facts(state)
    tables = (state.q, state.gas2, state.star2, np.array(list(facts.values())))
    if not all(np.all(np.isfinite(table)) for table in tables):
        return Motion(model.number, (NOT_FINITE,), {}, None)
    reasons = tuple(name for name in sorted(FILTERS) if FILTERS[name](state))
    return Motion(model.number, reasons, facts, None if reasons else _curve(state))


def _state(own: Mapping[str, np.float64], settings: DynamicsSettings) -> _State:
    galaxy = galaxy_from(own)
    radius = np.linspace(0.0, own["r_max_kpc"], N_RADIUS)[1:]
    half = HALF_MASS * galaxy.stars.scale_kpc
    everywhere = gravity(
        galaxy,
        np.append(radius, half),
        disc_kind=settings.disc_kind,
        halo_kind=settings.halo_kind,
        critical=critical_density(settings.redshift, settings.h0, settings.om0),
    )
    plane = Gravity(
        radius, everywhere.circular2[:-1], everywhere.epicyclic2[:-1], everywhere.sphere2[:-1]
    )
    stars, gas = galaxy.stars, galaxy.gas
    q_star, q_gas, q = _toomre(galaxy, own, plane, settings)
    gas2 = stability.gas_speed2(plane.circular2, radius, own["sigma_gas_kms"], gas.scale_kpc)
    star2 = stability.star_speed2(
        plane.circular2, plane.epicyclic2, radius, own["sigma_star_kms"], stars.scale_kpc
    )
    return _State(
        galaxy=galaxy,
        parameters=own,
        settings=settings,
        plane=plane,
        height_kpc=stability.balanced_height(
            settings.flattening * own["sigma_star_kms"],
            float(stars.surface(half) + gas.surface(half)),
            float(everywhere.sphere2[-1]) / half**2,
        ),
        q_star=q_star,
        q_gas=q_gas,
        q=q,
        gas2=gas2,
        star2=star2,
        gas_lost=_part(gas2 <= 0.0, _brightness(galaxy, settings, radius) * radius),
        star_lost=_part(star2 <= 0.0, stars.surface(radius) * radius),
    )


def _toomre(
    galaxy: Galaxy, own: Mapping[str, np.float64], plane: Gravity, settings: DynamicsSettings
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Q of the stars, of the gas, and of both with their thickness; the gas is isotropic."""
    # Where orbits are unstable kappa^2 is below 0; Q is then 0.
    kappa = np.sqrt(np.maximum(plane.epicyclic2, 0.0))
    sigma_star, sigma_gas = own["sigma_star_kms"], own["sigma_gas_kms"]
    stars, gas = galaxy.stars.surface(plane.radius_kpc), galaxy.gas.surface(plane.radius_kpc)
    q_star = stability.toomre(kappa, sigma_star, stars, constant=stability.STARS)
    q_gas = stability.toomre(kappa, sigma_gas, gas)
    thick_star = stability.thickness(settings.flattening) * q_star
    thick_gas = stability.thickness(1.0) * q_gas
    return q_star, q_gas, stability.combined(thick_star, thick_gas, sigma_star, sigma_gas)


def _facts(state: _State) -> dict[str, float]:
    plane, q = state.plane, state.q
    fastest, weakest = int(plane.circular2.argmax()), int(q.argmin())
    end = float(plane.radius_kpc[-1])
    # Halo and central mass are spheres: the pull at the end says what is within.
    sphere = float(plane.sphere2[-1]) * end / G
    facts = {
        "vmax_kms": np.sqrt(plane.circular2[fastest]),
        "r_vmax_kpc": plane.radius_kpc[fastest],
        "v_gas_max_kms": np.sqrt(max(float(state.gas2.max()), 0.0)),
        "q_min": q[weakest],
        "r_q_min_kpc": plane.radius_kpc[weakest],
        "q_star_min": state.q_star.min(),
        "q_gas_min": state.q_gas.min(),
        "height_kpc": state.height_kpc,
        "gas_lost": state.gas_lost,
        "star_lost": state.star_lost,
        "mass_msun": sphere + state.galaxy.stars.within(end) + state.galaxy.gas.within(end),
    }
    return {name: float(value) for name, value in facts.items()}


def _curve(state: _State) -> Curve:
    radius = np.append(0.0, state.plane.radius_kpc)
    return Curve(
        radius_kpc=radius,
        rotation_kms=np.append(0.0, np.sqrt(np.maximum(state.gas2, 0.0))),
        dispersion_kms=np.full(N_RADIUS, state.parameters["sigma_gas_kms"]),
        brightness=_brightness(state.galaxy, state.settings, radius),
    )


def _brightness(galaxy: Galaxy, settings: DynamicsSettings, radius: FloatArray) -> FloatArray:
    """Line light per area, 1 in the middle."""
    return np.asarray(np.exp(-settings.light_power * radius / galaxy.gas.scale_kpc))


def _part(where: BoolArray, weight: FloatArray) -> float:
    return float(weight[where].sum() / weight.sum())
