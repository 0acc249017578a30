"""How bright is the host, without the feature that leaves it?

Light is added up in circles whose pixels are shared by area. Where the feature, or a neighbour,
covers a pixel, the pixel on the other side of the centre stands in for it: a galaxy is nearly
symmetric about its centre, and a sum stays a sum, so its error stays exact.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_matrix

from ard.cube import BoolArray, FloatArray
from pipeline.reduce.imaging.sphere import Axis
from pipeline.reduce.imaging.strip import Measured, Sums
from pipeline.reduce.imaging.view import View

_PARTS: Final = 10  # of a pixel edge: a circle of 5 pixels is then good to 1e-3
_MAX_LOST: Final = 0.1  # of the area, before an aperture says nothing


@dataclass(frozen=True)
class Circles:
    """The apertures of a host.

    Attributes
    ----------
    radii_arcsec : tuple of float
        Of the curve of growth, increasing.
    sky_arcsec : (float, float)
        Radii of the ring that gives the sky.
    mirror_from_arcsec, mirror_half_arcsec : float
        The feature is mirrored away from this distance on, within this distance of its axis.
    """

    radii_arcsec: tuple[float, ...]
    sky_arcsec: tuple[float, float]
    mirror_from_arcsec: float
    mirror_half_arcsec: float


@dataclass(frozen=True, eq=False)
class Growth:
    """The curve of growth of one image.

    Attributes
    ----------
    radii_arcsec : ndarray, shape (n,)
    rate : Measured, shape (n,)
        Electrons/s within each radius, the sky of the ring taken off.
    mirrored : ndarray, shape (n,)
        Part of the area that the other side stands in for.
    lost : ndarray, shape (n,)
        Part of the area that neither side could give.
    """

    radii_arcsec: FloatArray
    rate: Measured
    mirrored: FloatArray
    lost: FloatArray

    def usable(self) -> BoolArray:
        """Say in which circles nearly all light was seen."""
        return np.asarray(self.lost <= _MAX_LOST)


def grow(view: View, axis: Axis, circles: Circles) -> Growth:
    """Add up the light of the host in circles around its centre in this image.

    Parameters
    ----------
    view : View
    axis : Axis
        Direction of the feature; its origin is the host.
    circles : Circles
    """
    view = view.part(view.host.x, view.host.y, circles.sky_arcsec[1])
    image, excluded = view.image, view.seen.excluded
    around = Axis(view.host_place.ra_deg, view.host_place.dec_deg, axis.pa_deg)
    rows, columns = np.indices(image.shape)
    along, across = around.offsets(*image.wcs.all_pix2world(columns, rows, 0))
    feature = (along > circles.mirror_from_arcsec) & (np.abs(across) < circles.mirror_half_arcsec)
    shares = _shares(along, across, circles.radii_arcsec)
    use, mirrored, lost = _mirrored(shares, excluded | feature, excluded, view)
    radius = np.hypot(along, across)
    low, high = circles.sky_arcsec
    ring = (radius > low) & (radius < high) & ~excluded & ~_beside(along, across, circles)
    area = view.pixel_arcsec**2
    whole = shares.sum(axis=1)
    sums = Sums(csr_matrix(use), np.asarray(use.sum(axis=1)) * area)
    background = Sums(csr_matrix(ring.ravel()[None].astype(float)), np.array([ring.sum() * area]))
    both = sums.joined(background)
    joint = Measured(both.rates(view.seen), both.covariance(view.seen))
    # A pixel that neither side can give counts as sky; `lost` says how many there are.
    matrix = np.hstack([np.eye(whole.size), -(sums.area / background.area[0])[:, None]])
    return Growth(
        radii_arcsec=np.array(circles.radii_arcsec),
        rate=joint.combined(matrix),
        mirrored=mirrored / whole,
        lost=lost / whole,
    )


def _beside(along: FloatArray, across: FloatArray, circles: Circles) -> BoolArray:
    """Say where the feature runs through the ring, on either side: it may have a counterpart."""
    return np.asarray((np.abs(across) < circles.mirror_half_arcsec) & (np.abs(along) > 0))


def _shares(along: FloatArray, across: FloatArray, radii: tuple[float, ...]) -> FloatArray:
    """Give the part of each pixel inside of each circle, shape (n, ny * nx)."""
    ds, dc = np.gradient(along), np.gradient(across)
    steps = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
    inside = np.zeros((len(radii), along.size))
    reach = max(radii) + float(np.abs(ds).max() + np.abs(dc).max())
    near = np.flatnonzero(np.hypot(along, across).ravel() < reach)
    s, c = along.ravel()[near], across.ravel()[near]
    slopes = [g.ravel()[near] for g in (*ds, *dc)]
    for dy in steps:
        for dx in steps:
            r = np.hypot(s + dy * slopes[0] + dx * slopes[1], c + dy * slopes[2] + dx * slopes[3])
            for k, radius in enumerate(radii):
                inside[k, near] += (r < radius) / _PARTS**2
    return inside


def _mirrored(
    shares: FloatArray, replaced: BoolArray, excluded: BoolArray, view: View
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Move the shares of replaced pixels to the other side of the host's centre.

    Returns
    -------
    use : ndarray, shape (n, ny * nx)
    mirrored, lost : ndarray, shape (n,)
        Pixels that were moved, and pixels that have no usable other side.
    """
    ny, nx = view.image.shape
    use = np.where(replaced.ravel(), 0.0, shares)
    from_here = np.flatnonzero(replaced.ravel() & (shares[-1] > 0))
    y, x = np.divmod(from_here, nx)
    # The opposite place lies between pixels: its light is interpolated from the four around it.
    ox, oy = 2.0 * view.host.x - x, 2.0 * view.host.y - y
    x0, y0 = np.floor(ox).astype(int), np.floor(oy).astype(int)
    fx, fy = ox - x0, oy - y0
    corners = [
        (x0 + i, y0 + j, (fx if i else 1 - fx) * (fy if j else 1 - fy))
        for i in (0, 1)
        for j in (0, 1)
    ]
    good = np.ones(from_here.size, dtype=bool)
    for cx, cy, _ in corners:
        inside = (cx >= 0) & (cx < nx) & (cy >= 0) & (cy < ny)
        place = np.where(inside, cy * nx + cx, 0)
        good &= inside & ~excluded.ravel()[place]
    for cx, cy, part in corners:
        place = (cy * nx + cx)[good]
        for k in range(len(shares)):
            np.add.at(use[k], place, shares[k, from_here[good]] * part[good])
    moved = shares[:, from_here[good]].sum(axis=1)
    return use, moved, shares[:, from_here[~good]].sum(axis=1)
