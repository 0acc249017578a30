"""Which part of which spaxel lies in an aperture?

An aperture is a box along the axis of the target or a circle, in arcsec on the sky. A spaxel is
the parallelogram between its corners. The share of the spaxel inside is the area of their
intersection over that of the spaxel, exactly: polygons are clipped against the box, and against
the circle each edge contributes its triangles and sectors.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from astropy.wcs import WCS

from ard.cube import FloatArray
from manifests import Aperture, Target
from manifests.aperture import BOX
from pipeline.lineprofile import IntArray

_ARCSEC: Final = 3600.0
_LEAST: Final = 1e-9  # of a spaxel: a smaller share is rounding
_WHOLE: Final = 1.0 - 1e-9  # of an aperture


def _none() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class Beyond:
    """Spaxels that an aperture would touch if the grid went on: share and place, shape (k,)."""

    share: FloatArray = field(default_factory=_none)
    along: FloatArray = field(default_factory=_none)
    across: FloatArray = field(default_factory=_none)


@dataclass(frozen=True, eq=False)
class Placed:
    """An aperture on the grid of one cube.

    Attributes
    ----------
    aperture : Aperture
        The declaration.
    spaxels : ndarray of int, shape (m,)
        Flat numbers (y * nx + x) of the spaxels that it touches, increasing.
    share : ndarray, shape (m,)
        Which part of each spaxel lies inside, above 0, 1 at most.
    along, across : ndarray, shape (m,)
        Centres of the spaxels from the centre of the aperture, arcsec.
    off_axis : ndarray, shape (m,)
        Centres of the spaxels from the axis of the target, arcsec.
    inside : float
        Which part of the area of the aperture lies on the grid.
    beyond : Beyond
        What of it lies beyond the edge of the grid; nothing for an aperture without spaxels.
    """

    aperture: Aperture
    spaxels: IntArray
    share: FloatArray
    along: FloatArray
    across: FloatArray
    off_axis: FloatArray
    inside: float
    beyond: Beyond = field(default_factory=Beyond)


def place(aperture: Aperture, target: Target, wcs: WCS, shape: tuple[int, int]) -> Placed:
    """Find the spaxels of an aperture and their shares.

    Parameters
    ----------
    aperture : Aperture
    target : Target
        Its tip and position angle are the origin and the direction of the axis.
    wcs : astropy.wcs.WCS
        Celestial, two axes, 0-based pixels.
    shape : (int, int)
        Rows and columns of the grid.

    Returns
    -------
    Placed
        With no spaxel where the aperture lies beside the grid.
    """
    ny, nx = shape
    cells = _cells(aperture, target, wcs, (0, ny), (0, nx))
    inside = float(min(cells.area.sum() / declared_area(aperture), 1.0))
    offset = aperture.across_arcsec
    return Placed(
        aperture,
        cells.row * nx + cells.column,
        cells.share,
        cells.along,
        cells.across,
        cells.across + (0.0 if offset is None else offset),
        inside,
        _beyond(cells, aperture, target, wcs, shape) if 0.0 < inside < _WHOLE else Beyond(),
    )


@dataclass(frozen=True, eq=False)
class _Cells:
    """The spaxels of a window that an aperture touches, and their area inside, arcsec^2."""

    row: IntArray
    column: IntArray
    share: FloatArray
    along: FloatArray
    across: FloatArray
    area: FloatArray


def _cells(
    aperture: Aperture,
    target: Target,
    wcs: WCS,
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> _Cells:
    """Find what an aperture holds of the spaxels in some rows and columns (first, last + 1)."""
    ny, nx = rows[1] - rows[0], columns[1] - columns[0]
    y, x = np.mgrid[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] - 0.5
    along, across = axis_offsets(aperture, target, *wcs.all_pix2world(x, y, 0))
    corners = np.stack([along, across], axis=-1)
    loops = np.stack(
        [corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=2
    ).reshape(ny * nx, 4, 2)
    middle = loops.mean(axis=1)
    reach = _reach(aperture) + np.hypot(*(loops[:, 2] - loops[:, 0]).T)
    near = np.flatnonzero(np.hypot(middle[:, 0], middle[:, 1]) <= reach)
    area = np.array([_area_inside(aperture, loops[k]) for k in near])
    share = area / np.abs([polygon_area(loops[k]) for k in near]) if near.size else area
    kept = share > _LEAST
    row, column = np.divmod(near[kept], nx)
    return _Cells(
        row + rows[0],
        column + columns[0],
        np.minimum(share[kept], 1.0),
        middle[near[kept], 0],
        middle[near[kept], 1],
        area[kept],
    )


def _beyond(
    cells: _Cells, aperture: Aperture, target: Target, wcs: WCS, shape: tuple[int, int]
) -> Beyond:
    """Go on with the grid until it holds the whole aperture."""
    side = float(np.sqrt((cells.area / cells.share).mean()))
    more = int(np.ceil(2.0 * _reach(aperture) / side)) + 1
    rows = (int(cells.row.min()) - more, int(cells.row.max()) + more + 1)
    columns = (int(cells.column.min()) - more, int(cells.column.max()) + more + 1)
    every = _cells(aperture, target, wcs, rows, columns)
    ny, nx = shape
    on_grid = (every.row >= 0) & (every.row < ny) & (every.column >= 0) & (every.column < nx)
    return Beyond(every.share[~on_grid], every.along[~on_grid], every.across[~on_grid])


def axis_offsets(
    aperture: Aperture, target: Target, ra_deg: FloatArray, dec_deg: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Give places as offsets from the centre of an aperture, along and across the axis, arcsec.

    Along is positive from host to tip and ahead, across toward the position angle plus 90 deg; for
    a target without a position angle they are north and east. Flat: over 5 arcsec the sphere
    differs by 1e-5 arcsec.
    """
    angle = np.deg2rad(target.position_angle_deg or 0.0)
    if aperture.ra_deg is not None and aperture.dec_deg is not None:
        ra, dec, along, across = aperture.ra_deg, aperture.dec_deg, 0.0, 0.0
    else:
        ra, dec = target.anchor.ra_deg, target.anchor.dec_deg
        along, across = aperture.along_arcsec or 0.0, aperture.across_arcsec or 0.0
    turn = (np.asarray(ra_deg) - ra + 180.0) % 360.0 - 180.0
    east = turn * np.cos(np.deg2rad(dec)) * _ARCSEC
    north = (np.asarray(dec_deg) - dec) * _ARCSEC
    return (
        east * np.sin(angle) + north * np.cos(angle) - along,
        east * np.cos(angle) - north * np.sin(angle) - across,
    )


def declared_area(aperture: Aperture) -> float:
    """Give the area of an aperture, arcsec^2."""
    if aperture.shape == BOX:
        return (aperture.length_arcsec or 0.0) * (aperture.width_arcsec or 0.0)
    return float(np.pi * (aperture.radius_arcsec or 0.0) ** 2)


def polygon_area(loop: FloatArray) -> float:
    """Give the signed area of a polygon, shape (n, 2): positive counterclockwise."""
    x, y = loop.T
    return float(0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


def _reach(aperture: Aperture) -> float:
    if aperture.shape == BOX:
        return float(0.5 * np.hypot(aperture.length_arcsec or 0.0, aperture.width_arcsec or 0.0))
    return aperture.radius_arcsec or 0.0


def _area_inside(aperture: Aperture, loop: FloatArray) -> float:
    if aperture.shape == BOX:
        half = 0.5 * np.array([aperture.length_arcsec, aperture.width_arcsec], dtype=float)
        return abs(polygon_area(clip_to_box(loop, half)))
    return area_in_circle(loop, aperture.radius_arcsec or 0.0)


def clip_to_box(loop: FloatArray, half: FloatArray) -> FloatArray:
    """Cut a convex polygon down to what lies within +-half[k] of the origin (Sutherland-Hodgman).

    Parameters
    ----------
    loop : ndarray, shape (n, 2)
        Corners in order.
    half : ndarray, shape (2,)
        Half the sides of the box.

    Returns
    -------
    ndarray, shape (m, 2)
        Possibly with no area.
    """
    for axis in (0, 1):
        for sign in (-1.0, 1.0):
            depth = half[axis] - sign * loop[:, axis]
            corners: list[FloatArray] = []
            for k in range(len(loop)):
                after = (k + 1) % len(loop)
                if depth[k] >= 0.0:
                    corners.append(loop[k])
                if (depth[k] < 0.0) != (depth[after] < 0.0):
                    part = depth[k] / (depth[k] - depth[after])
                    corners.append(loop[k] + part * (loop[after] - loop[k]))
            if not corners:
                return np.zeros((1, 2))
            loop = np.array(corners)
    return loop


def area_in_circle(loop: FloatArray, radius: float) -> float:
    """Give the area that a polygon, shape (n, 2), shares with a circle about the origin."""
    total = 0.0
    for a, b in zip(loop, np.roll(loop, -1, axis=0), strict=True):
        cuts = [0.0, *_crossings(a, b, radius), 1.0]
        for start, end in pairwise(cuts):
            p, q, middle = (a + t * (b - a) for t in (start, end, 0.5 * (start + end)))
            cross = p[0] * q[1] - p[1] * q[0]
            if np.hypot(*middle) <= radius:
                total += 0.5 * cross
            else:
                total += 0.5 * radius**2 * np.arctan2(cross, p @ q)
    return float(abs(total))


def _crossings(a: FloatArray, b: FloatArray, radius: float) -> list[float]:
    """Give where between a (0) and b (1) a segment crosses a circle about the origin."""
    step = b - a
    square, half = step @ step, a @ step
    root = half**2 - square * (a @ a - radius**2)
    if root <= 0.0:
        return []
    ends = (-half + np.array([-1.0, 1.0]) * np.sqrt(root)) / square
    return [float(t) for t in ends if 0.0 < t < 1.0]
