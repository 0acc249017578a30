"""What does a bow shock at the tip look like, with its wake, and how large is its jump of velocity?

The bow is the published one: a flat ring about the direction of motion, whose gas runs away from
the axis (`pipeline.scene.bow`, reference/science.md section 2.3). What a cube can tell of it are
two speeds along the line of sight: that of the ring as a whole, v_bow, and the swing about it,
v_bow - swing cos(phi). The velocity of the body, the compression and the angle of the shock give
the same two, and cannot be told apart. How bright the wake is from place to place is left to the
data: its pieces have fluxes of their own.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from ard.cube import FloatArray
from pipeline.infer.cutout import Cut
from pipeline.infer.families import HalfNormal, LogUniform, Normal, Uniform
from pipeline.infer.frame import DISPERSION, TURN, Frame, Values, prior_of
from pipeline.infer.prior import Prior
from pipeline.scene.bow import Bow, ring
from pipeline.scene.cube import Emission
from pipeline.scene.model import LineModel
from pipeline.scene.optics import FWHM_PER_SIGMA
from pipeline.scene.points import Points
from pipeline.scene.psf import Gaussian, Psf

UNITS: Final[Mapping[str, str]] = {
    "span_kms": "km/s",
    "span_seen_kms": "km/s",
    "step_seen_kms": "km/s",
    "extent_arcsec": "arcsec",
}
# A ring of 1.5 kpc is 0.38 arcsec wide: under a wider point-spread function it is a point.
WIDEST_ARCSEC: Final = 0.4
# Smaller than other scenes' cut-outs: what is farther behind says nothing of the bow, and the time
# of a fit goes as the square of the number of spaxels.
CUT: Final = Cut(half_arcsec=0.4, behind_arcsec=0.1)
# With steps of the usual 0.8, 2 of 5,600 trajectories diverged on the demonstration's tip.
ACCEPTANCE: Final = 0.95
# Where pieces of the wake begin and end, behind the middle of the ring: each rises linearly from
# the place before to its own and falls to the next; the last, which has no next, ends where it is
# brightest, outside of the cut-out.
_KNOTS_ARCSEC: Final = (0.0, 0.15, 0.45, 1.1)
N_PART: Final = len(_KNOTS_ARCSEC)  # the ring, and a piece of the wake for each knot but the first
# Nodes between two knots are 0.11 arcsec apart at most, the others as in `pipeline.scene.psf`.
_ALONG: Final = (3, 5, 8)
_ACROSS: Final = 9
_RING_NODES: Final = (4, 32)
_ELLIPSE_NODES: Final = 5
# How an instrument of this point-spread function and these spaxels sees the ring: columns of the
# table in science.md section 2.4, which meet at the middle of the ring, within the 0.2 arcsec that
# it recommends. The floor that its spans have is 2 % of the brightest column.
_SEEN_FWHM_ARCSEC, _SEEN_STEP_ARCSEC, _SEEN_HALF_ARCSEC = 0.125, 0.1, 0.15
_FLOOR: Final = 0.02
_SEEN_NODES: Final = (4, 48)
_N_COLUMN: Final = 4
_PIECE: Final = 1024  # draws worked on at a time


def prior() -> Prior:
    """Give what is believed of a bow shock before the data."""
    return prior_of(
        (
            "along_arcsec",
            "arcsec",
            Normal(0.0, 0.15, -0.5, 0.5),
            "of the middle of the ring ahead of the target's tip: pointing, 0.1 arcsec, and the "
            "standoff",
        ),
        (
            "across_arcsec",
            "arcsec",
            Normal(0.0, 0.15, -0.5, 0.5),
            "of the same, to the left of the axis: pointing",
        ),
        TURN,
        (
            "radius_kpc",
            "kpc",
            LogUniform(0.3, 4.0),
            "root mean square of the ring's radii, which the data tell whatever its inner one: "
            "1.43 published (1.35 to 1.5, van Dokkum+2025), 0.3 to 4 a bow at all",
        ),
        (
            "inner_share",
            "1",
            Uniform(0.0, 0.98),
            "inner radius over outer: 0 a filled disc, 0.9 published; both fit what is published",
        ),
        (
            "inclination_deg",
            "deg",
            Normal(29.0, 15.0, 3.0, 80.0),
            "of the motion out of the sky: 29 +6 -3 published, three times as wide",
        ),
        (
            "v_bow_kms",
            "km/s",
            Normal(-250.0, 150.0, -650.0, 250.0),
            "of the ring as a whole: -308 published, a disc about -200",
        ),
        (
            "swing_kms",
            "km/s",
            Normal(0.0, 250.0, -550.0, 550.0),
            "of the ring about that, positive where the leading edge recedes: 392 or 261 published "
            "(with the factor 1 - 1/chi); half of v*, 954 + 110, at most",
        ),
        (
            "v_wake_kms",
            "km/s",
            Normal(-200.0, 250.0, -700.0, 400.0),
            "behind the bow: -301 published",
        ),
        (
            "width_arcsec",
            "arcsec",
            HalfNormal(0.1),
            "of the wake, across, standard deviation: 0.21 to 0.28 FWHM measured on HST images "
            "with their PSF",
        ),
        DISPERSION,
        (
            "psf_scale",
            "1",
            Uniform(0.67, 1.23),
            "FWHM over the declared one: 0.12 to 0.22 over 0.179 arcsec (science.md section 5)",
        ),
        (
            "psf_ratio",
            "1",
            Uniform(0.7, 1.0),
            "minor over major axis, the major along the aperture: 0.75, and 0.86 where drizzled to "
            "0.1 arcsec (science.md section 5); unused where the aperture's place is unknown",
        ),
    )


def parts(values: Values, frame: Frame, _model: LineModel) -> tuple[Emission, ...]:
    """Give the ring, and the pieces of the wake."""
    tilt = jnp.deg2rad(values["inclination_deg"])
    x, y = frame.place(values["along_arcsec"], values["across_arcsec"])
    # A shock of 45 degrees that compresses nothing: all speed is across, half of v*.
    moving = Bow(
        x,
        y,
        frame.angle_deg + values["turn_deg"],
        values["inclination_deg"],
        2.0 * values["swing_kms"] / jnp.cos(tilt),
        1.0,
        values["v_bow_kms"],
        values["dispersion_kms"],
        frame.kpc_per_arcsec,
    )
    outer = values["radius_kpc"] * _outer(values["inner_share"])
    bow = ring(moving, values["inner_share"] * outer, outer, 45.0, nodes=_RING_NODES)
    return (bow, *_wake(values, frame))


def psfs(values: Values, frame: Frame) -> tuple[Psf, ...]:
    """Give the point-spread functions: ellipses along the aperture, circles where it is unknown."""
    scaled = [values["psf_scale"] * fwhm for fwhm in frame.fwhm_arcsec]
    if frame.aperture_deg is None:
        return tuple(Gaussian.round(fwhm) for fwhm in scaled)
    root = jnp.sqrt(values["psf_ratio"])
    return tuple(
        Gaussian(fwhm / root, fwhm * root, frame.aperture_deg, _ELLIPSE_NODES) for fwhm in scaled
    )


def derived(values: Values, frame: Frame) -> dict[str, Any]:
    """Give the spans of velocity, and how far the ring reaches along the axis.

    `span_kms` is the largest minus the smallest mean velocity along the axis, before point- and
    line-spread functions: places there are as narrow as one likes, the outermost hold gas with
    cos(phi) = 1 and -1 alone, and the span is twice the swing, whatever the inner radius.
    `span_seen_kms` is the same through a point-spread function of 0.125 arcsec, over columns of 0.1
    arcsec that are brighter than 2 % of the brightest, within 0.2 of the ring's middle and 0.15 of
    its axis: comparable with science.md section 2.4 and with published position-velocity diagrams.
    `step_seen_kms` is its largest step from one such column to the next.
    """
    swing = np.abs(np.asarray(values["swing_kms"], np.float64))
    share = np.asarray(values["inner_share"], np.float64)
    outer = np.asarray(values["radius_kpc"], np.float64) * _outer(share) / frame.kpc_per_arcsec
    sine = np.sin(np.deg2rad(np.asarray(values["inclination_deg"], np.float64)))
    flat = [np.ravel(one) for one in np.broadcast_arrays(outer, sine, share)]
    pieces = range(0, flat[0].size, _PIECE)
    found = [_seen(*(one[first : first + _PIECE] for one in flat)) for first in pieces]
    span, step = (np.concatenate(one).reshape(outer.shape) for one in zip(*found, strict=True))
    return {
        "span_kms": 2.0 * swing,
        "span_seen_kms": swing * span,
        "step_seen_kms": swing * step,
        "extent_arcsec": 2.0 * outer * sine,
    }


def _outer(share: Any) -> Any:
    """Give the outer radius of a ring over the root mean square of its radii."""
    return (2.0 / (1.0 + share**2)) ** 0.5


def _seen(outer: FloatArray, sine: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give span and largest step of the mean of cos(phi) over columns, shape (n,) each."""
    along, weight = np.polynomial.legendre.leggauss(_SEEN_NODES[0])
    phi = (np.arange(_SEEN_NODES[1]) + 0.5) * np.pi / _SEEN_NODES[1]
    radius = outer[:, None] * (share[:, None] + (1.0 - share[:, None]) * 0.5 * (along + 1.0))
    light = (radius * weight)[:, :, None]
    sigma = _SEEN_FWHM_ARCSEC / FWHM_PER_SIGMA
    across = radius[:, :, None] * np.sin(phi)
    inside = ndtr((_SEEN_HALF_ARCSEC - across) / sigma) - ndtr(
        (-_SEEN_HALF_ARCSEC - across) / sigma
    )
    light = light * inside
    behind = radius[:, :, None] * np.cos(phi) * sine[:, None, None]
    columns = []
    edges = _SEEN_STEP_ARCSEC * (np.arange(_N_COLUMN + 1) - _N_COLUMN / 2)
    for low, high in pairwise(edges):
        caught = light * (ndtr((high - behind) / sigma) - ndtr((low - behind) / sigma))
        columns.append((caught.sum(axis=(1, 2)), (caught * np.cos(phi)).sum(axis=(1, 2))))
    bright, moment = (np.stack(one) for one in zip(*columns, strict=True))
    seen = bright > _FLOOR * bright.max(axis=0)
    mean = np.where(seen, moment / np.where(seen, bright, 1.0), np.nan)
    steps = np.where(seen[1:] & seen[:-1], np.abs(np.diff(mean, axis=0)), 0.0)
    return np.nanmax(mean, axis=0) - np.nanmin(mean, axis=0), steps.max(axis=0)


def _wake(values: Values, frame: Frame) -> tuple[Points, ...]:
    """Give pieces of a straight line of light that moves as one."""
    dtype = jnp.result_type(float)
    places, shares = np.polynomial.hermite_e.hermegauss(_ACROSS)
    side = values["width_arcsec"] * jnp.asarray(places, dtype)
    turn = jnp.deg2rad(values["turn_deg"])
    speed, width = (
        jnp.asarray(values[name], dtype).reshape(1) for name in ("v_wake_kms", "dispersion_kms")
    )
    pieces = []
    for back, light in _pieces():
        behind = jnp.asarray(back, dtype)[:, None]
        along = values["along_arcsec"] - behind * jnp.cos(turn) - side * jnp.sin(turn)
        across = values["across_arcsec"] - behind * jnp.sin(turn) + side * jnp.cos(turn)
        x, y = (place.reshape(1, -1) for place in frame.place(along, across))
        flux = jnp.asarray(np.outer(light, shares / shares.sum()).reshape(1, -1), dtype)
        pieces.append(Points(x, y, speed, width, flux))
    return tuple(pieces)


def _pieces() -> list[tuple[FloatArray, FloatArray]]:
    """Give, for each piece of the wake, nodes behind the ring, arcsec, and their light."""
    knots = np.asarray(_KNOTS_ARCSEC)
    sections = []
    for start, stop, count in zip(knots[:-1], knots[1:], _ALONG, strict=True):
        steps, shares = np.polynomial.legendre.leggauss(count)
        half = 0.5 * (stop - start)
        sections.append((start + half * (steps + 1.0), half * shares))
    found = []
    for number, height in enumerate(np.eye(knots.size)[1:]):
        both = sections[number : number + 2]
        back, length = (np.concatenate(one) for one in zip(*both, strict=True))
        light = length * np.interp(back, knots, height)
        found.append((back, light / light.sum()))
    return found
