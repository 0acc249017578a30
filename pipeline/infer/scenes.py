"""Which scenes can be fitted to the tip by name, with which priors, and what follows from them?

A scene says what shines and how it moves as a function of a dozen parameters or so; fluxes and
backgrounds are linear, and integrated out (`pipeline.infer.posterior`). Places are relative to the
declared tip and axis of the target, so that one prior serves every cube. Velocities and widths are
those of the gas: what the optics do to them is in the model, not in the parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jax.numpy as jnp
import numpy as np

from pipeline.infer import bow
from pipeline.infer.cutout import Cut
from pipeline.infer.families import HalfNormal, LogNormal, LogUniform, Normal, Uniform
from pipeline.infer.frame import ACROSS, ALONG, DISPERSION, TURN, Frame, Values, prior_of
from pipeline.infer.prior import Prior
from pipeline.scene.cube import Component, Emission, Optics, count_disc
from pipeline.scene.disc import Disc, Sampler
from pipeline.scene.model import LineModel
from pipeline.scene.points import Points
from pipeline.scene.psf import Gaussian, Psf
from pipeline.values import unknown_name

# The part of the wake behind the jump that is computed; the cut-out ends before it does.
_BEHIND_ARCSEC: Final = 1.6
# Along, nodes are 0.11 arcsec apart at most; the point-spread function of 0.18 has a standard
# deviation of 0.076, so that the sum is the integral to 1e-4. Across, 9 do for widths to 0.15.
_ALONG, _ACROSS = 22, 9
# The disc's tables: dense enough for the edge, and for a turnover of 0.05 arcsec.
_RADII, _FARTHEST_ARCSEC, _EDGE_ARCSEC = 161, 8.0, 0.1
_DEPTHS: Final = 24


def _declared(_values: Values, frame: Frame) -> tuple[Psf, ...]:
    return tuple(Gaussian.round(fwhm) for fwhm in frame.fwhm_arcsec)


@dataclass(frozen=True)
class Scene:
    """A model that can be fitted by name.

    Attributes
    ----------
    name, summary : str
    prior : Prior
    parts : callable
        From parameters, frame and model to what shines, each part with fluxes of its own, and of
        unit flux: of a disc, most of which is elsewhere, what is on the grid has it.
    derived : callable
        From parameters, each of any one shape, and the frame to derived quantities of that shape.
    units : mapping of str to str
        Units of the derived quantities.
    groups : tuple of str
        Groups of lines that are fitted, where the cube covers them: bright ones, so that a fit
        takes minutes.
    n_part : int
        How many parts there are.
    psfs : callable
        From parameters and frame to a point-spread function for each group of lines.
    widest_arcsec : float
        FWHM of the point-spread function above which nothing of the scene can be told.
    cut : Cut
        How much of a cube is fitted, if nothing else is asked for.
    acceptance : float
        Which acceptance the step of a sampler is to have, likewise.
    """

    name: str
    summary: str
    prior: Prior
    parts: Callable[[Values, Frame, LineModel], tuple[Emission, ...]]
    derived: Callable[[Values, Frame], dict[str, Any]]
    units: Mapping[str, str]
    groups: tuple[str, ...] = ("oiii", "halpha")
    n_part: int = 1
    psfs: Callable[[Values, Frame], tuple[Psf, ...]] = _declared
    widest_arcsec: float = np.inf
    cut: Cut = field(default_factory=Cut)
    acceptance: float = 0.8

    def build(
        self, frame: Frame, model: LineModel
    ) -> Callable[[Values], tuple[Optics, tuple[Component, ...]]]:
        """Give the function from parameters to optics and components."""

        def build(values: Values) -> tuple[Optics, tuple[Component, ...]]:
            optics = Optics(self.psfs(values, frame), values["lsf_gain"])
            shining = self.parts(values, frame, model)
            return optics, tuple(Component((part,)) for part in shining)

        return build


def scene(name: str) -> Scene:
    """Give a scene by name.

    Raises
    ------
    ArdError
        If there is none of that name.
    """
    if name not in SCENES:
        raise unknown_name("model", name, SCENES)
    return SCENES[name]


def _jump_prior() -> Prior:
    wide = Normal(-200.0, 250.0, -700.0, 400.0)
    return prior_of(
        ALONG,
        ACROSS,
        TURN,
        (
            "jump_arcsec",
            "arcsec",
            LogUniform(0.02, 0.5),
            "how far behind the end of the light the velocity jumps: 0.1 published (van "
            "Dokkum+2025), to the reach of a bow of 4 kpc",
        ),
        (
            "tip_share",
            "1",
            Uniform(0.01, 0.95),
            "share of the light that is ahead of the jump: nothing is known",
        ),
        (
            "fade_arcsec",
            "arcsec",
            LogNormal(1.0, 0.8),
            "behind the jump, the light falls by e in about 8 kpc, within a factor of five",
        ),
        (
            "width_arcsec",
            "arcsec",
            HalfNormal(0.1),
            "across, standard deviation: 0.21 to 0.28 FWHM measured on HST images with their PSF",
        ),
        (
            "v_tip_kms",
            "km/s",
            wide,
            "ahead of the jump: -600 to +50 published, and as far beyond",
        ),
        ("v_wake_kms", "km/s", wide, "behind it: -301 published, a disc about -200"),
        DISPERSION,
    )


def _jump(values: Values, frame: Frame, _model: LineModel) -> tuple[Emission, ...]:
    """Give two pieces of a line of light, each of one velocity: no place is cut by the jump."""
    dtype = jnp.result_type(float)
    steps, shares = np.polynomial.legendre.leggauss(_ALONG)
    unit = jnp.asarray(0.5 * (steps + 1.0), dtype)
    share = jnp.asarray(0.5 * shares, dtype)
    places, weights = np.polynomial.hermite_e.hermegauss(_ACROSS)
    ahead = values["jump_arcsec"] * unit
    behind = values["jump_arcsec"] + _BEHIND_ARCSEC * unit
    faded = share * jnp.exp(-_BEHIND_ARCSEC * unit / values["fade_arcsec"])
    part = values["tip_share"]
    light = jnp.stack([part * share, (1.0 - part) * faded / faded.sum()])
    back = jnp.stack([ahead, behind])[:, :, None]
    side = values["width_arcsec"] * jnp.asarray(places, dtype)
    light = light[:, :, None] * jnp.asarray(weights / weights.sum(), dtype)
    turn = jnp.deg2rad(values["turn_deg"])
    # About the end of the light, which is where along and across say.
    along = values["along_arcsec"] - back * jnp.cos(turn) - side * jnp.sin(turn)
    across = values["across_arcsec"] - back * jnp.sin(turn) + side * jnp.cos(turn)
    x, y = frame.place(along, across)
    speed = jnp.stack([values["v_tip_kms"], values["v_wake_kms"]])
    width = jnp.broadcast_to(values["dispersion_kms"], (2,))
    flat = (2, _ALONG * _ACROSS)
    return (Points(x.reshape(flat), y.reshape(flat), speed, width, light.reshape(flat)),)


def _jump_derived(values: Values, frame: Frame) -> dict[str, Any]:
    return {
        "delta_v_tip_kms": values["v_tip_kms"] - values["v_wake_kms"],
        "jump_kpc": values["jump_arcsec"] * frame.kpc_per_arcsec,
        "width_kpc": values["width_arcsec"] * frame.kpc_per_arcsec,
    }


def _disc_prior() -> Prior:
    return prior_of(
        ALONG,
        ACROSS,
        TURN,
        (
            "radius_arcsec",
            "arcsec",
            Uniform(1.5, 4.5),
            "from the centre to the end of the light: half of 40 to 62 kpc (Sanchez Almeida+2023)",
        ),
        ("scale_arcsec", "arcsec", LogNormal(0.9, 0.5), "scale length: 3 to 12 kpc"),
        (
            "height_arcsec",
            "arcsec",
            LogNormal(0.1, 0.4),
            "scale height: 0.2 to 1.2 kpc (Sanchez Almeida+2023: 1.2)",
        ),
        ("v_sys_kms", "km/s", Normal(-200.0, 100.0, -500.0, 200.0), "of a disc: about -200"),
        (
            "v_max_kms",
            "km/s",
            Normal(0.0, 120.0, -300.0, 300.0),
            "110 published; positive where the tip recedes from the centre",
        ),
        ("turnover_arcsec", "arcsec", LogNormal(0.3, 0.7), "the curve rises as tanh(R / this)"),
        DISPERSION,
    )


def _disc(values: Values, frame: Frame, model: LineModel) -> tuple[Emission, ...]:
    """Give a disc that is seen edge-on, and whose light ends at the tip."""
    dtype = jnp.result_type(float)
    radii = jnp.asarray(np.linspace(0.0, _FARTHEST_ARCSEC, _RADII), dtype)
    turn = jnp.deg2rad(values["turn_deg"])
    radius = values["radius_arcsec"]
    x, y = frame.place(
        values["along_arcsec"] - radius * jnp.cos(turn),
        values["across_arcsec"] - radius * jnp.sin(turn),
    )
    fading = jnp.exp(-radii / values["scale_arcsec"])
    edge = 0.5 * (1.0 - jnp.tanh((radii - radius) / _EDGE_ARCSEC))
    disc = Disc(
        x,
        y,
        frame.angle_deg + values["turn_deg"],
        90.0,
        values["scale_arcsec"],
        values["height_arcsec"],
        values["v_sys_kms"],
        values["v_max_kms"] * jnp.tanh(radii / values["turnover_arcsec"]),
        jnp.broadcast_to(values["dispersion_kms"], radii.shape),
        _FARTHEST_ARCSEC / (_RADII - 1),
        fading * edge,
    )
    return (count_disc(model, Sampler(model.sky, _DEPTHS), disc).of_field(),)


def _disc_derived(values: Values, frame: Frame) -> dict[str, Any]:
    # At the places of numpy and of JAX alike: draws come as numpy arrays.
    radius, turnover = values["radius_arcsec"], values["turnover_arcsec"]
    return {
        "v_at_radius_kms": values["v_max_kms"] * np.tanh(radius / turnover),
        "v_at_1arcsec_kms": values["v_max_kms"] * np.tanh(1.0 / turnover),
        "radius_kpc": radius * frame.kpc_per_arcsec,
        "height_kpc": values["height_arcsec"] * frame.kpc_per_arcsec,
    }


SCENES: Final[dict[str, Scene]] = {
    one.name: one
    for one in (
        Scene(
            "jump",
            "a line of light whose velocity jumps near its tip",
            _jump_prior(),
            _jump,
            _jump_derived,
            {"delta_v_tip_kms": "km/s", "jump_kpc": "kpc", "width_kpc": "kpc"},
        ),
        Scene(
            "disc",
            "a rotating disc, seen edge-on, that ends at the tip",
            _disc_prior(),
            _disc,
            _disc_derived,
            {
                "v_at_radius_kms": "km/s",
                "v_at_1arcsec_kms": "km/s",
                "radius_kpc": "kpc",
                "height_kpc": "kpc",
            },
        ),
        Scene(
            "bow",
            "the ring of light of a bow shock, and the wake behind it",
            bow.prior(),
            bow.parts,
            bow.derived,
            bow.UNITS,
            n_part=bow.N_PART,
            psfs=bow.psfs,
            widest_arcsec=bow.WIDEST_ARCSEC,
            cut=bow.CUT,
            acceptance=bow.ACCEPTANCE,
        ),
    )
}
