"""By how much are apertures moved on a cube, so that they lie on the light they are declared for?

Apertures are declared on the sky of the images. Where the images show how far the coordinates of a
cube are off (the document of the geometry stage), that is taken off them; how large it has to be,
and in which light it was seen, is told beside the spectra.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from astropy.wcs import WCS

from ard.cube import FloatArray

MEASURED: Final = "measured"
NONE: Final = "none"
REGISTRATIONS: Final = (MEASURED, NONE)
WHITE: Final = "white"  # what the geometry stage calls light without lines
_ARCSEC: Final = 3600.0


@dataclass(frozen=True)
class Rule:
    """When is an offset applied: the settings of these names of the extract stage."""

    registration: str
    shift_sigma: float
    shift_line_arcsec: float


@dataclass(frozen=True)
class Offset:
    """How far a cube lies off the images, and whether the apertures were moved by it.

    Attributes
    ----------
    applied : bool
        Whether they were; if not, they lie where the cube's own coordinates say.
    reason : str
        Why.
    light, image : str or None
        In which light it was measured, and against which image; None where it was not.
    east_arcsec, north_arcsec : float or None
        By how much a source lies further east and north in the cube than in the image.
    east_err, north_err : float or None
        Errors, widened where the light of cube and image is not spread alike.
    significance : float or None
        The offset in units of its errors (Mahalanobis distance, two dimensions).
    """

    applied: bool
    reason: str
    light: str | None = None
    image: str | None = None
    east_arcsec: float | None = None
    north_arcsec: float | None = None
    east_err: float | None = None
    north_err: float | None = None
    significance: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the plain form, for the header of a table."""
        return asdict(self)


def offset_of(geometry: Mapping[str, Any] | None, item: str, rule: Rule) -> Offset:
    """Say by how much the apertures of a cube are moved.

    White light counts before that of a line: it is the light of the image.

    Parameters
    ----------
    geometry : mapping, or None
        The geometry document; None where there are no images.
    item : str
        The item's name.
    rule : Rule

    Returns
    -------
    Offset
        Not applied where it is not wanted, not known, or may be chance.
    """
    if geometry is None:
        return Offset(applied=False, reason="there are no images to register the cube to")
    own = [row for row in geometry["registration"] if row["item"] == item]
    row = _best(own)
    if row is None:
        said = "; ".join(f"{r['light']}: {r['reason']}" for r in own)
        return Offset(applied=False, reason=said or "the cube was not compared with the images")
    shift = np.array([row["east_arcsec"], row["north_arcsec"]])
    covariance = _covariance(row, rule)
    significance = float(np.sqrt(shift @ np.linalg.solve(covariance, shift)))
    wanted, clear = rule.registration == MEASURED, significance >= rule.shift_sigma
    size = f"{significance:.1f} of its errors, {rule.shift_sigma:g} needed"
    east_err, north_err = (round(float(v), 6) for v in np.sqrt(np.diag(covariance)))
    return Offset(
        applied=wanted and clear,
        reason=size if wanted else "registration = none",
        light=row["light"],
        image=row["image"],
        east_arcsec=round(float(shift[0]), 6),
        north_arcsec=round(float(shift[1]), 6),
        east_err=east_err,
        north_err=north_err,
        significance=round(significance, 4),
    )


def _best(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    measured = [row for row in rows if row["status"] == "measured"]
    white = [row for row in measured if row["light"] == WHITE]
    return next(iter(white or measured), None)


def _covariance(row: Mapping[str, Any], rule: Rule) -> FloatArray:
    """Give the covariance of an offset, arcsec^2, with what its errors do not hold."""
    east, north = row["east_err"], row["north_err"]
    cross = row["correlation"] * east * north
    noise = np.array([[east**2, cross], [cross, north**2]]) * max(row["chi2_dof"], 1.0)
    other = 0.0 if row["light"] == WHITE else rule.shift_line_arcsec
    return np.asarray(noise + other**2 * np.eye(2))


def registered(wcs: WCS, offset: Offset) -> WCS:
    """Give the coordinates of a cube on the sky of the images.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial, two axes.
    offset : Offset

    Returns
    -------
    astropy.wcs.WCS
        The same where no offset is applied. A shift of a second of arc turns the grid by less
        than 1e-6 deg.
    """
    if not offset.applied or offset.east_arcsec is None or offset.north_arcsec is None:
        return wcs
    moved = wcs.deepcopy()
    ra, dec = moved.wcs.crval
    moved.wcs.crval = [
        ra - offset.east_arcsec / _ARCSEC / np.cos(np.deg2rad(dec)),
        dec - offset.north_arcsec / _ARCSEC,
    ]
    moved.wcs.set()
    return moved
