"""Which part of the sky, and of the feature, does a cube see?"""

from typing import Any, Final

import numpy as np
from scipy.spatial import ConvexHull

from ard.cube import Cube, FloatArray
from ard.errors import FormatError
from pipeline.reduce.imaging.sphere import Axis

_CORNERS: Final = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
_SAMPLES: Final = 1000


def outline(cube: Cube, item: str) -> FloatArray:
    """Give the corners of the field: the convex hull of the spaxels with usable channels.

    Returns
    -------
    ndarray, shape (n, 2)
        Right ascension and declination in deg, in order around the field.

    Raises
    ------
    FormatError
        If no spaxel is usable.
    """
    rows, columns = np.nonzero(~cube.mask.all(axis=0))
    if rows.size == 0:
        raise FormatError(
            "the cube has no usable spaxel, so it has no field",
            file=cube.meta.get("FILENAME", item),
            expected="spaxels with usable channels",
            found="none",
            action="look at the masks of the ingested cube",
        )
    corners = np.concatenate([np.stack([columns + dx, rows + dy], 1) for dx, dy in _CORNERS])
    around = corners[ConvexHull(corners).vertices]
    return np.stack(cube.wcs.all_pix2world(around[:, 0], around[:, 1], 0), axis=1)


def seen_part(corners: FloatArray, axis: Axis, length: float) -> dict[str, Any]:
    """Give which part of the axis, from its origin to a length, lies inside of a field.

    Parameters
    ----------
    corners : ndarray, shape (n, 2)
        As `outline` gives them.
    axis : Axis
    length : float
        Arcsec.

    Returns
    -------
    dict
        ``from_arcsec`` and ``to_arcsec`` along the axis (None where nothing is inside), and
        ``holds_tip``.
    """
    s, c = axis.offsets(corners[:, 0], corners[:, 1])
    along = np.linspace(0.0, length, _SAMPLES)
    inside = _inside(np.stack([s, c], axis=1), along)
    if not inside.any():
        return {"from_arcsec": None, "to_arcsec": None, "holds_tip": False}
    part = along[inside]
    return {
        "from_arcsec": float(part.min()),
        "to_arcsec": float(part.max()),
        "holds_tip": bool(inside[-1]),
    }


def _inside(polygon: FloatArray, along: FloatArray) -> FloatArray:
    """Say which points (along, 0) lie in a convex polygon, by the side of each edge."""
    start, stop = polygon, np.roll(polygon, -1, axis=0)
    edge = stop - start
    turn = edge[:, 0] * (0.0 - start[:, 1])[None] - edge[:, 1] * (along[:, None] - start[:, 0])
    return np.asarray((turn >= 0).all(axis=1) | (turn <= 0).all(axis=1))
