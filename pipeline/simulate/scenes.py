"""What could the line of light be, and what would each hypothesis emit, where and how fast?

A scene is a tuple of components, each a cloud of emission samples: positions along and across
the wake, line-of-sight velocity, H alpha flux. Equations and their numbers: van Dokkum et al.
2025/26 and Sanchez Almeida et al. 2023 as collected in science.md sections 2.3, 2.4 and 3.

Axes: `along` is positive ahead of the tip (host to tip, PA 147.4), `across` at PA 237.4; both
arcsec from the tip. Velocity is positive receding, relative to the redshift of the target.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ard.errors import ArdError
from pipeline.simulate.lines import HII, SHOCK, WAKE

FloatArray = NDArray[np.float64]

KPC_PER_ARCSEC: Final = 7.937  # z = 0.964, H0 = 70, Om = 0.3: 7.8 arcsec are 62 kpc
WAKE_PA_DEG: Final = 147.4  # host to tip, on the GO-16912 ACS images
TIP_DEG: Final = (40.44046, -8.35056)
HOST_DEG: Final = (40.439292, -8.348722)

V_STAR: Final = 954.0  # km/s, published
INCLINATION_DEG: Final = 29.0  # out of the plane of the sky, toward us, published
CHI: Final = 3.0  # compression, published
THETA_DEG: Final = 55.0  # angle of the shock, defaults of the published figure's code
CURVATURE_KPC: Final = 1.8  # R_c of the bow, published
RING_KPC: Final = (1.35, 1.5)
SHELL_DEPTH_KPC: Final = 6.0
WAKE_KPC: Final = 62.0
WAKE_V0: Final = -301.0  # Eq. 19 of the JWST paper: speed, delay, mixing length
WAKE_DELAY_KPC: Final = 16.0
WAKE_MIXING_KPC: Final = 26.0
WAKE_HALF_WIDTH_KPC: Final = 0.7  # half of the FWHM, published
KNOT_OIII: Final = 3.98e-17  # erg/s/cm2, the tip's [O III] knot: L = 1.9e41 erg/s

# Chosen, not measured: no line-flux table of the wake is public. Bright enough that a few
# hundred spaxels of the two cubes reach S/N 8 in H alpha, faint enough that the wake fades.
WAKE_HALPHA_PER_ARCSEC: Final = 1.4e-16  # erg/s/cm2 just behind the tip
WAKE_FADING_ARCSEC: Final = 1.6
WAKE_ONSET_KPC: Final = (0.8, 3.0)  # gas in the wake starts to glow here, fully after that
ENVELOPE_FRACTION: Final = 0.35
ENVELOPE_SIGMA_KPC: Final = 2.0
# Chosen so wide that a third of the wake's light lies 1.06 arcsec beside it: there the ghost of a
# subtraction of the other pointing lies on the wake.
BROAD_SIGMA_KPC: Final = 6.0
SIGMA_TIP_KMS: Final = 31.0  # LRIS, corrected
SIGMA_WAKE_KMS: Final = 40.0
SIGMA_ENVELOPE_KMS: Final = 70.0

# Continuum: the strip along the wake has F814W 23.13, and the tip is its bluest part, on the
# ACS images; magnitude of the tip and colours in these filters are chosen.
WAKE_AB: Final = 23.13
WAKE_COLOUR: Final = 0.1
TIP_AB: Final = 26.0
TIP_COLOUR: Final = -0.05

# The edge-on galaxy: like IC 5249 and the published rotation curve (science.md section 3).
DISC_VMAX: Final = 110.0
DISC_V0: Final = -200.0
DISC_SCALE_KPC: Final = 7.0
DISC_RMAX_KPC: Final = 22.5
DISC_Z0_KPC: Final = 1.2
DISC_HALPHA: Final = 4.0e-16
SIGMA_DISC_KMS: Final = 20.0
KNOT_SIGMA_KPC: Final = 0.5

# A compact rotator that mimics the published +50 to -600 km/s.
ROTATOR_V0: Final = -275.0
ROTATOR_VMAX: Final = 325.0
ROTATOR_RMAX_KPC: Final = 1.0
ROTATOR_Z0_KPC: Final = 0.3


@dataclass(frozen=True)
class Component:
    """A cloud of emission samples with one intrinsic line width and one set of line ratios.

    Attributes
    ----------
    name : str
    along, across : ndarray, shape (n,)
        Position relative to the tip, arcsec.
    velocity : ndarray, shape (n,)
        Line-of-sight velocity, km/s.
    halpha : ndarray, shape (n,)
        H alpha flux of each sample, erg/s/cm2.
    continuum : ndarray, shape (n,)
        Share of each sample in the continuum; sums to 1.
    sigma_kms : float
        Intrinsic velocity dispersion of every sample.
    ratios : Mapping
        Line name to flux over H alpha.
    ab_mag, colour : float
        Total F350LP magnitude and F200LP - F350LP of its continuum, AB.
    """

    name: str
    along: FloatArray
    across: FloatArray
    velocity: FloatArray
    halpha: FloatArray
    continuum: FloatArray
    sigma_kms: float
    ratios: Mapping[str, float]
    ab_mag: float
    colour: float


Scene = tuple[Component, ...]


def _midpoints(start: float, stop: float, n: int) -> FloatArray:
    return start + (stop - start) * (np.arange(n) + 0.5) / n


def _product(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give every pair of the two as flat arrays."""
    return np.repeat(a, b.size), np.tile(b, a.size)


def _scaled(weight: FloatArray, total: float) -> FloatArray:
    return weight * (total / weight.sum())


def bow_ring() -> Component:
    """Which samples does the ring of the published bow-shock model emit?

    Transverse flow v* sin(th) cos(th) away from the axis on an annulus about it, on top of the
    bulk flow v_w = v* (1 - 1/chi) sin i toward us (Eqs. 1, 3 and 8 as quoted): the leading edge
    is red, the edge about 1 kpc behind it is blue.
    """
    i, theta = np.deg2rad(INCLINATION_DEG), np.deg2rad(THETA_DEG)
    r, phi = _product(_midpoints(*RING_KPC, 4), _midpoints(0, 2 * np.pi, 720))
    bulk = V_STAR * (1 - 1 / CHI) * np.sin(i)
    transverse = V_STAR * np.sin(theta) * np.cos(theta) * np.cos(i)
    return Component(
        name="bow",
        along=-r * np.cos(phi) * np.sin(i) / KPC_PER_ARCSEC,
        across=r * np.sin(phi) / KPC_PER_ARCSEC,
        velocity=-(bulk + transverse * np.cos(phi)),
        halpha=_scaled(r, KNOT_OIII / SHOCK["OIII5007"]),
        continuum=_scaled(r, 1.0),
        sigma_kms=SIGMA_TIP_KMS,
        ratios=SHOCK,
        ab_mag=TIP_AB,
        colour=TIP_COLOUR,
    )


def thin_shell() -> Component:
    """Which samples does a smooth paraboloid shell emit?

    R = sqrt(2 R_c z) to a depth of 6 kpc; the normal speed is v* (1 + 2 z / R_c)^-1/2
    (Eq. 13), the gas moves along the normal with (1 - 1/chi) of it (Rankine-Hugoniot in the
    laboratory frame), and the emission per area goes as the normal speed squared.
    """
    i = np.deg2rad(INCLINATION_DEG)
    deepest = float(np.sqrt(SHELL_DEPTH_KPC))
    root, phi = _product(_midpoints(0, deepest, 240), _midpoints(0, 2 * np.pi, 720))
    depth = root**2  # even steps in the root resolve the apex
    stretch = 1 + 2 * depth / CURVATURE_KPC
    cos_n, sin_n = stretch**-0.5, np.sqrt(1 - 1 / stretch)
    radius = np.sqrt(2 * CURVATURE_KPC * depth)
    along = -depth * np.cos(i) - radius * np.cos(phi) * np.sin(i)
    flow = (1 - 1 / CHI) * V_STAR * cos_n
    toward = cos_n * np.sin(i) + sin_n * np.cos(phi) * np.cos(i)
    # Area R ds dphi = R_c sqrt(stretch) dz dphi, emission 1/stretch, dz = 2 root droot.
    return Component(
        name="bow",
        along=along / KPC_PER_ARCSEC,
        across=radius * np.sin(phi) / KPC_PER_ARCSEC,
        velocity=-flow * toward,
        halpha=_scaled(root * stretch**-0.5, KNOT_OIII / SHOCK["OIII5007"]),
        continuum=_scaled(root * stretch**-0.5, 1.0),
        sigma_kms=SIGMA_TIP_KMS,
        ratios=SHOCK,
        ab_mag=TIP_AB,
        colour=TIP_COLOUR,
    )


def wake_velocity(behind_kpc: FloatArray) -> FloatArray:
    """How fast does the wake move along the line of sight, km/s, at a distance behind the tip?

    Eq. 19: a constant -301 km/s for 16 kpc, then an exponential decay over 26 kpc.
    """
    late = np.maximum(0.0, behind_kpc - WAKE_DELAY_KPC)
    return WAKE_V0 * np.exp(-late / WAKE_MIXING_KPC)


def _stream(name: str, sigma_kpc: float, sigma_kms: float, fraction: float) -> Component:
    start, full = WAKE_ONSET_KPC
    behind, across = _product(
        _midpoints(start, WAKE_KPC, 780), _midpoints(-3.5 * sigma_kpc, 3.5 * sigma_kpc, 25)
    )
    onset = np.clip((behind - start) / (full - start), 0.0, 1.0)
    fading = np.exp(-behind / (WAKE_FADING_ARCSEC * KPC_PER_ARCSEC))
    profile = np.exp(-0.5 * (across / sigma_kpc) ** 2)
    # Normalised as if it glowed from the tip on, so that the onset removes flux.
    whole = (fading * profile).sum()
    start_loss = np.exp(-start / (WAKE_FADING_ARCSEC * KPC_PER_ARCSEC))
    total = fraction * WAKE_HALPHA_PER_ARCSEC * WAKE_FADING_ARCSEC * start_loss
    return Component(
        name=name,
        along=-behind / KPC_PER_ARCSEC,
        across=across / KPC_PER_ARCSEC,
        velocity=wake_velocity(behind),
        halpha=onset * fading * profile * (total / whole),
        continuum=_scaled(profile, 1.0),  # starlight to the host: it does not fade in the images
        sigma_kms=sigma_kms,
        ratios=WAKE,
        ab_mag=WAKE_AB - 2.5 * np.log10(fraction),
        colour=WAKE_COLOUR,
    )


def _wake() -> Scene:
    core = WAKE_HALF_WIDTH_KPC / np.sqrt(2 * np.log(2.0))
    return (
        _stream("wake", core, SIGMA_WAKE_KMS, 1 - ENVELOPE_FRACTION),
        _stream("envelope", ENVELOPE_SIGMA_KPC, SIGMA_ENVELOPE_KMS, ENVELOPE_FRACTION),
    )


def broad_wake() -> Component:
    """Which samples does a wake emit that is as wide as the pointings are apart?

    No hypothesis about the target: a scene in which a ghost takes off tens of per cent.
    """
    return _stream("wake", BROAD_SIGMA_KPC, SIGMA_ENVELOPE_KMS, 1.0)


def edge_on(r_max: float, scale: float, z0: float, n: int = 450) -> tuple[FloatArray, ...]:
    """Which samples does a flat-rotating exponential disc seen exactly edge-on give?

    Parameters
    ----------
    r_max, scale, z0 : float
        Edge, exponential scale and sech^2 height, kpc.
    n : int
        Samples along the disc.

    Returns
    -------
    x, height, share, weight : ndarray, shape (n * 48 * 13,)
        Position along the disc and above it, kpc; line-of-sight share x/R of the rotation;
        weight proportional to the emission.
    """
    x = _midpoints(-r_max, r_max, n)[:, None, None]
    depth = np.sqrt(r_max**2 - x**2)
    z = depth * _midpoints(0, 1, 48)[None, :, None]
    radius = np.hypot(x, z)
    height = (z0 * _midpoints(-3, 3, 13))[None, None, :]
    weight = depth * np.exp(-radius / scale) / np.cosh(height / z0) ** 2
    parts = np.broadcast_arrays(x, height, x / radius, weight)
    return tuple(np.ascontiguousarray(p).ravel() for p in parts)


def edge_on_disc() -> Component:
    """Which samples does the rival hypothesis emit: a bulgeless galaxy seen edge-on?

    The tip is the end of the disc; its rotation makes that end the approaching one.
    """
    x, height, share, weight = edge_on(DISC_RMAX_KPC, DISC_SCALE_KPC, DISC_Z0_KPC)
    return Component(
        name="disc",
        along=(x - DISC_RMAX_KPC) / KPC_PER_ARCSEC,
        across=height / KPC_PER_ARCSEC,
        velocity=DISC_V0 - DISC_VMAX * share,
        halpha=_scaled(weight, DISC_HALPHA),
        continuum=_scaled(weight, 1.0),
        sigma_kms=SIGMA_DISC_KMS,
        ratios=HII,
        ab_mag=WAKE_AB,
        colour=WAKE_COLOUR,
    )


def _knot() -> Component:
    y, x = _product(_midpoints(-3, 3, 25), _midpoints(-3, 3, 25))
    return Component(
        name="knot",
        along=KNOT_SIGMA_KPC * (x - 1.5) / KPC_PER_ARCSEC,
        across=KNOT_SIGMA_KPC * y / KPC_PER_ARCSEC,
        velocity=np.full(x.size, DISC_V0 - DISC_VMAX),
        halpha=_scaled(np.exp(-0.5 * (x**2 + y**2)), KNOT_OIII / HII["OIII5007"]),
        continuum=_scaled(np.exp(-0.5 * (x**2 + y**2)), 1.0),
        sigma_kms=SIGMA_TIP_KMS,
        ratios=HII,
        ab_mag=TIP_AB,
        colour=TIP_COLOUR,
    )


def compact_rotator() -> Component:
    """Which samples does a small, fast, edge-on disc at the tip emit?"""
    x, height, share, weight = edge_on(ROTATOR_RMAX_KPC, ROTATOR_RMAX_KPC, ROTATOR_Z0_KPC, n=60)
    return Component(
        name="rotator",
        along=x / KPC_PER_ARCSEC,
        across=height / KPC_PER_ARCSEC,
        velocity=ROTATOR_V0 + ROTATOR_VMAX * share,
        halpha=_scaled(weight, KNOT_OIII / SHOCK["OIII5007"]),
        continuum=_scaled(weight, 1.0),
        sigma_kms=SIGMA_TIP_KMS,
        ratios=SHOCK,
        ab_mag=TIP_AB,
        colour=TIP_COLOUR,
    )


TRUTHS: Final[Mapping[str, Callable[[], Scene]]] = {
    "bow_ring": lambda: (bow_ring(), *_wake()),
    "thin_shell": lambda: (thin_shell(), *_wake()),
    "disc": lambda: (edge_on_disc(), _knot()),
    "rotator": lambda: (compact_rotator(), *_wake()),
    "broad_wake": lambda: (broad_wake(),),
    "blank": lambda: (),
}


def scene(truth: str) -> Scene:
    """Which components make up a truth?

    Raises
    ------
    ArdError
        If there is no such truth.
    """
    if truth not in TRUTHS:
        raise ArdError(
            "there is no such truth to simulate",
            expected=", ".join(TRUTHS),
            found=truth,
            action="name one of the truths",
        )
    return TRUTHS[truth]()
