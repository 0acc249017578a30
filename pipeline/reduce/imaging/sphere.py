"""Where is a place on the sky relative to an axis, without the assumption that the sky is flat?

Offsets are measured along a great circle through an origin and across it, so that neither the
pixels of an image nor its projection have a say in them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ard.cube import FloatArray

ARCSEC: Final = 3600.0
_RADIAN_ARCSEC: Final = float(np.rad2deg(1.0) * ARCSEC)


def unit_vector(ra_deg: FloatArray | float, dec_deg: FloatArray | float) -> FloatArray:
    """Give the direction of places on the sky, shape (..., 3)."""
    ra, dec = np.deg2rad(ra_deg), np.deg2rad(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def separation_arcsec(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Give the angle between two places (right ascension, declination in deg), arcsec.

    By the arc tangent of cross and scalar product, which loses no digits at small angles.
    """
    a, b = unit_vector(*one), unit_vector(*other)
    return float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b) * _RADIAN_ARCSEC)


def position_angle_deg(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Give the direction from one place to another, degrees east of north, 0 to 360."""
    east, north, _ = _frame(*one)
    to = unit_vector(*other)
    return float(np.rad2deg(np.arctan2(to @ east, to @ north)) % 360.0)


def _frame(ra_deg: float, dec_deg: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the unit vectors to the east, to the north and outward at a place."""
    outward = unit_vector(ra_deg, dec_deg)
    ra = np.deg2rad(ra_deg)
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    return east, np.cross(outward, east), outward


@dataclass(frozen=True)
class Axis:
    """A great circle through an origin.

    Attributes
    ----------
    ra_deg, dec_deg : float
        The origin, ICRS.
    pa_deg : float
        Direction of the circle there, degrees east of north. `across` grows toward PA + 90.
    """

    ra_deg: float
    dec_deg: float
    pa_deg: float

    def offsets(
        self, ra_deg: FloatArray | float, dec_deg: FloatArray | float
    ) -> tuple[FloatArray, FloatArray]:
        """Give the offsets along the circle and across it, arcsec, shape as given."""
        along, across, outward = self._frame()
        place = unit_vector(ra_deg, dec_deg)
        return (
            np.arctan2(place @ along, place @ outward) * _RADIAN_ARCSEC,
            np.arcsin(place @ across) * _RADIAN_ARCSEC,
        )

    def place(self, along_arcsec: float, across_arcsec: float = 0.0) -> tuple[float, float]:
        """Give the place at some offsets: right ascension and declination, deg."""
        along, across, outward = self._frame()
        s, c = along_arcsec / _RADIAN_ARCSEC, across_arcsec / _RADIAN_ARCSEC
        x, y, z = np.cos(c) * (np.cos(s) * outward + np.sin(s) * along) + np.sin(c) * across
        return float(np.rad2deg(np.arctan2(y, x)) % 360.0), float(
            np.rad2deg(np.arctan2(z, np.hypot(x, y)))
        )

    def turned(self, by_deg: float) -> "Axis":
        """Give the circle through the same origin in another direction."""
        return Axis(self.ra_deg, self.dec_deg, (self.pa_deg + by_deg) % 360.0)

    def _frame(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        east, north, outward = _frame(self.ra_deg, self.dec_deg)
        pa = np.deg2rad(self.pa_deg)
        along = np.sin(pa) * east + np.cos(pa) * north
        return along, np.cos(pa) * east - np.sin(pa) * north, outward
