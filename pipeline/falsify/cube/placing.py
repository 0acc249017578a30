"""How does a galaxy of a campaign lie in a cube, and what of its observation is not known?

The centre is told by its distance from the host along the line of light, and off it; all else by
the tables of `Curve`. What telescope, pointing and redshift add is the same for all galaxies.
"""

from collections.abc import Mapping
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from ard.cube import FloatArray
from ard.errors import ArdError
from manifests import Target
from pipeline.falsify.tasks import Curve, Model
from pipeline.infer import bow
from pipeline.infer.cutout import Cutout
from pipeline.infer.families import Normal
from pipeline.infer.frame import GAIN, TURN, Frame
from pipeline.infer.prior import Parameter, Prior
from pipeline.infer.scenes import scene
from pipeline.scene.disc import Disc

# What is read of a model's parameters; `spin` by its sign alone: the half towards the tip recedes
# where it is 0 or more.
PLACE: Final = ("centre_kpc", "offset_kpc", "inclination_deg", "h_z_kpc", "spin")
_POINTING: Final = Normal(0.0, 0.1, -0.3, 0.3)
_POINTED: Final = "of the pointing: 0.1 arcsec"


def nuisances(frame: Frame) -> Prior:
    """Give what is believed of the nuisances before the data.

    Parameters
    ----------
    frame : Frame
        Where it says how the aperture lies, the point-spread function may be an ellipse.

    Returns
    -------
    Prior
        Systemic velocity as of the scene `disc`, point-spread function as of the scene `bow`.
    """
    disc, others = _rows(scene("disc").prior), _rows(bow.prior())
    rows = [
        disc["v_sys_kms"],
        Parameter("along_arcsec", "arcsec", _POINTING, _POINTED),
        Parameter("across_arcsec", "arcsec", _POINTING, _POINTED),
        Parameter(*TURN),
        others["psf_scale"],
    ]
    if frame.aperture_deg is not None:
        rows.append(others["psf_ratio"])
    return Prior((*rows, Parameter(*GAIN)))


def _rows(prior: Prior) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in prior.parameters}


def host_arcsec(target: Target) -> float:
    """How far is the tip from the host on the sky, arcsec?

    Raises
    ------
    ArdError
        If the target declares no tip.
    """
    if target.tip is None:
        raise ArdError(
            f"the target {target.name} has no tip",
            expected="a host and a tip, between which the galaxies are placed",
            found="no tip",
            action="declare it in the target's file",
        )
    host, tip = (
        SkyCoord(place.ra_deg, place.dec_deg, unit="deg") for place in (target.host, target.tip)
    )
    return float(host.separation(tip).to_value(u.arcsec))


def field_kpc(seen: Cutout, away_arcsec: float) -> tuple[float, float]:
    """Where does the line of light enter a cut-out, and where does it leave it?

    Parameters
    ----------
    seen : Cutout
        With the tip in it.
    away_arcsec : float
        From host to tip.

    Returns
    -------
    tuple of float
        From the host along the line, projected, kpc: as `centre_kpc` of a galaxy.
    """
    frame, sky = seen.frame, seen.observed.model.sky
    angle = np.deg2rad(frame.angle_deg)
    ends = []
    for tip, step, count in (
        (frame.x_arcsec, -np.sin(angle), sky.nx),
        (frame.y_arcsec, np.cos(angle), sky.ny),
    ):
        with np.errstate(divide="ignore"):  # along an axis it never leaves by the sides
            ends.append(np.sort((sky.edges(count)[[0, -1]] - tip) / step))
    low, high = max(one[0] for one in ends), min(one[1] for one in ends)
    scale = frame.kpc_per_arcsec
    return float((away_arcsec + low) * scale), float((away_arcsec + high) * scale)


def place_of(model: Model) -> FloatArray:
    """Give what is read of a model's parameters, shape (5,), in the order of `PLACE`.

    Raises
    ------
    ArdError
        If one is missing or no finite number.
    """
    values = np.array([model.parameters.get(name, np.nan) for name in PLACE], np.float64)
    if not np.isfinite(values).all():
        bad = [name for name, good in zip(PLACE, np.isfinite(values), strict=True) if not good]
        raise ArdError(
            f"galaxy {model.number} has no place",
            expected=f"a number for each of {', '.join(PLACE)}",
            found=f"none for {', '.join(bad)}",
            action="propose it again: rbh1 campaign create",
        )
    values[-1] = 1.0 if values[-1] >= 0.0 else -1.0
    return values


def tables_of(curve: Curve) -> FloatArray:
    """Give the tables of a curve as one array, shape (4, 64), in the order of its attributes."""
    return np.array(
        [curve.radius_kpc, curve.rotation_kms, curve.dispersion_kms, curve.brightness], np.float64
    )


def disc_of(place: Any, tables: Any, turn_deg: Any, frame: Frame, away_arcsec: float) -> Disc:
    """Give the disc of a galaxy, at rest as a whole, in a cube that points where it says.

    Parameters
    ----------
    place : array, shape (5,)
        See `PLACE`; of the spin 1 or -1, or any factor of the rotation.
    tables : array, shape (4, n)
        See `tables_of`.
    turn_deg : scalar
        By how much the line is turned about the tip, from +y to -x.
    frame : Frame
    away_arcsec : float
        From host to tip.
    """
    radius, rotation, dispersion, brightness = tables
    centre, offset, inclination, height, side = place
    scale = frame.kpc_per_arcsec
    along, across = centre / scale - away_arcsec, offset / scale
    turn = jnp.deg2rad(turn_deg)
    sin, cos = jnp.sin(turn), jnp.cos(turn)
    x, y = frame.place(along * cos - across * sin, along * sin + across * cos)
    # Half of the mean radius of the light: the scale length of an exponential disc.
    mean = jnp.sum(brightness * radius**2) / jnp.sum(brightness * radius)
    return Disc(
        x,
        y,
        frame.angle_deg + turn_deg,
        inclination,
        0.5 * mean / scale,
        height / scale,
        0.0,
        side * rotation,
        dispersion,
        (radius[1] - radius[0]) / scale,
        brightness,
    )


def require_seen(values: Mapping[str, Any], prior: Prior) -> None:
    """Make sure that all nuisances have a value.

    Raises
    ------
    ArdError
        Naming those that have none.
    """
    missing = [name for name in prior.names if name not in values]
    if missing:
        raise ArdError(
            "an evaluation is one of another likelihood",
            expected=f"nuisances {', '.join(prior.names)}",
            found=f"none called {', '.join(missing)}",
            action="evaluate the galaxy again",
        )
