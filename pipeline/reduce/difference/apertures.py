"""Which spaxels show the tip, which the wake, which neither?

An aperture is a polygon on the sky; what it holds of a spaxel is the area of their overlap. The
same polygon, moved by the offset of the pointings, is where a subtraction leaves a ghost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.wcs import WCS

from ard.cube import BoolArray, FloatArray
from manifests import Target
from pipeline.reduce.combine.overlap import polygon_areas

_ARCSEC: Final = 3600.0
_CIRCLE: Final = 48  # corners: the area of the polygon is 0.3 % short, the same in every ratio
TIP: Final = "tip"
WAKE: Final = "wake"


@dataclass(frozen=True)
class Shapes:
    """How large are the apertures? Lengths in arcsec; along is from the tip, away from the host.

    Attributes
    ----------
    tip_radius_arcsec : float
        Of the circle around the tip.
    wake_from_arcsec, wake_to_arcsec : float
        Ends of the strip along the wake.
    wake_half_width_arcsec : float
        Of the strip.
    clear_arcsec : float
        Spaxels farther from the wake than this count as sky.
    """

    tip_radius_arcsec: float = 0.25
    wake_from_arcsec: float = -2.5
    wake_to_arcsec: float = 0.3
    wake_half_width_arcsec: float = 0.3
    clear_arcsec: float = 0.6


@dataclass(frozen=True, eq=False)
class Aperture:
    """A polygon on the sky: offsets of its corners east and north of the anchor, arcsec."""

    name: str
    east: FloatArray
    north: FloatArray

    def moved(self, east: float, north: float) -> "Aperture":
        """Give the same polygon at another place."""
        return Aperture(self.name, self.east + east, self.north + north)


def apertures(target: Target, shapes: Shapes) -> tuple[Aperture, ...]:
    """Give the apertures that a target has: the tip, and the strip where it has a direction."""
    turn = np.linspace(0.0, 2.0 * np.pi, _CIRCLE, endpoint=False)
    radius = shapes.tip_radius_arcsec
    found = [Aperture(TIP, radius * np.sin(turn), radius * np.cos(turn))]
    if target.tip is not None and target.position_angle_deg is not None:
        ends = np.array([shapes.wake_from_arcsec, shapes.wake_to_arcsec])
        along, width = ends[[0, 1, 1, 0]], shapes.wake_half_width_arcsec
        across = width * np.array([-1.0, -1.0, 1.0, 1.0])
        found.append(Aperture(WAKE, *_to_sky(along, across, target.position_angle_deg)))
    return tuple(found)


def _to_sky(along: FloatArray, across: FloatArray, angle_deg: float) -> tuple[FloatArray, ...]:
    sine, cosine = np.sin(np.deg2rad(angle_deg)), np.cos(np.deg2rad(angle_deg))
    return along * sine + across * cosine, along * cosine - across * sine


def weights(aperture: Aperture, target: Target, wcs: WCS, shape: tuple[int, int]) -> FloatArray:
    """Give the share of each spaxel that lies in an aperture, shape (ny, nx)."""
    place = target.anchor
    ra = place.ra_deg + aperture.east / _ARCSEC / np.cos(np.deg2rad(place.dec_deg))
    x, y = wcs.all_world2pix(ra, place.dec_deg + aperture.north / _ARCSEC, 0)
    return polygon_areas(x, y, shape)


def sky_spaxels(target: Target, wcs: WCS, shape: tuple[int, int], clear_arcsec: float) -> BoolArray:
    """Say which spaxels are far from the wake, a half line that ends at the tip.

    Where the target has no direction, those far from its anchor.
    """
    ny, nx = shape
    y, x = np.mgrid[0:ny, 0:nx]
    ra, dec = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    place = target.anchor
    turned = (ra - place.ra_deg + 180.0) % 360.0 - 180.0
    east = turned * np.cos(np.deg2rad(place.dec_deg)) * _ARCSEC
    north = (dec - place.dec_deg) * _ARCSEC
    distance = np.hypot(east, north)
    if target.position_angle_deg is not None and target.tip is not None:
        angle = np.deg2rad(target.position_angle_deg)
        along = east * np.sin(angle) + north * np.cos(angle)
        across = east * np.cos(angle) - north * np.sin(angle)
        distance = np.where(along < 0, np.abs(across), distance)
    return np.asarray(distance > clear_arcsec).reshape(shape)


def offset_arcsec(own: Mapping[str, object], other: Mapping[str, object]) -> tuple[float, float]:
    """Give own minus other target position, east and north: from the wake to its ghost.

    Parameters
    ----------
    own, other : mapping
        Keywords TARG_RA and TARG_DEC of the two cubes.
    """
    ra, dec = (
        tuple(float(str(meta[key])) for meta in (own, other)) for key in ("TARG_RA", "TARG_DEC")
    )
    turned = (ra[0] - ra[1] + 180.0) % 360.0 - 180.0
    return turned * float(np.cos(np.deg2rad(dec[0]))) * _ARCSEC, (dec[0] - dec[1]) * _ARCSEC


def moved_wcs(wcs: WCS, east: float, north: float) -> WCS:
    """Give a WCS whose spaxels lie elsewhere on the sky, by an offset in arcsec."""
    found = wcs.deepcopy()
    ra, dec = wcs.wcs.crval
    dec = dec + north / _ARCSEC
    found.wcs.crval = [ra + east / _ARCSEC / np.cos(np.deg2rad(dec)), dec]
    found.wcs.set()
    return found
