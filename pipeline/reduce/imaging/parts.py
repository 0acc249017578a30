"""Which extensions of a file belong together, and which part of a large image is needed?"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.ndimage import map_coordinates

from ard.cube import BoolArray, FloatArray
from manifests import Target
from pipeline.reduce.imaging.sphere import ARCSEC, unit_vector

Box = tuple[slice, slice]
# Of larger images, a square around the position that was asked for is kept: a mosaic of all visits
# has 3 GB.
_LARGE: Final = 4_000_000
_HALF_BOX_ARCSEC: Final = 30.0
# The area of a pixel changes by 1e-5 over so many.
_COARSE: Final = 32


class Part:
    """The extensions that belong to one SCI, inside of a box; only the box is read."""

    def __init__(self, hdus: fits.HDUList, science: Any, prefix: str, box: Box) -> None:
        self._hdus, self._science, self._prefix, self.box = hdus, science, prefix, box

    def of_science(self) -> FloatArray:
        """Give SCI as float64."""
        return np.asarray(self._science.section[self.box], dtype=np.float64)

    def named(self, name: str) -> FloatArray | None:
        """Give another extension of the same chip; None where there is none of the same size."""
        found: FloatArray | None = self._array(name, np.float64)
        return found

    def flagged(self, header: fits.Header) -> BoolArray:
        """Say where DQ has a serious flag (SDQFLAGS; any where unsaid), or CTX no exposure."""
        bad = np.zeros([k.stop - k.start for k in self.box], dtype=bool)
        dq = self._array("DQ", np.int64)
        if dq is not None:
            serious = int(header.get("SDQFLAGS", -1))
            bad |= (dq & serious) != 0
        context = self._context()
        return bad if context is None else bad | ~(context != 0).any(axis=0)

    def contributors(self) -> int:
        """Count the exposures in the best covered pixel: CTX has a bit for each."""
        context = self._context()
        if context is None:
            return 0
        bits = np.bitwise_count(context.astype(np.uint32)).sum(axis=0)
        return int(bits.max())

    def _context(self) -> Any:
        """Give CTX with its planes of 32 exposures, shape (n, ny, nx); None where there is none."""
        found = self._find("CTX")
        if found is None or not found.shape or found.shape[-2:] != self._science.shape:
            return None
        planes = np.asarray(found.section[(..., *self.box)])
        return planes[None] if planes.ndim == 2 else planes

    def _array(self, name: str, dtype: Any) -> Any:
        found = self._find(name)
        if found is None or found.shape != self._science.shape:
            return None
        return np.asarray(found.section[self.box]).astype(dtype)

    def _find(self, name: str) -> Any:
        wanted = f"{self._prefix}{name}"
        version = self._science.header.get("EXTVER", 1)
        same = [hdu for hdu in self._hdus if hdu.name == wanted]
        return next((h for h in same if h.header.get("EXTVER", 1) == version), None)


def pointing(header: fits.Header) -> tuple[float, float] | None:
    """Give RA_TARG and DEC_TARG; None where the header lacks them."""
    ra, dec = header.get("RA_TARG"), header.get("DEC_TARG")
    if isinstance(ra, int | float) and isinstance(dec, int | float):
        return float(ra), float(dec)
    return None


def middle(target: Target) -> tuple[float, float]:
    """Give the place between host and tip, deg; the host's where the target has no tip."""
    ra, dec = target.host.ra_deg, target.host.dec_deg
    if target.tip is None:
        return ra, dec
    turn = (target.tip.ra_deg - ra + 180.0) % 360.0 - 180.0
    return (ra + 0.5 * turn) % 360.0, 0.5 * (dec + target.tip.dec_deg)


def box_around(
    places: Iterable[tuple[float, float] | None], wcs: WCS, shape: tuple[int, int]
) -> Box:
    """Give the pixels to keep: all, or in a large image those around a place.

    Parameters
    ----------
    places : iterable of (float, float) or None
        Right ascension and declination, deg: the first that is known and on the image counts.
    wcs : astropy.wcs.WCS
    shape : (int, int)
        Rows and columns.
    """
    whole = (slice(0, shape[0]), slice(0, shape[1]))
    if shape[0] * shape[1] <= _LARGE:
        return whole
    scale = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * ARCSEC
    half = round(_HALF_BOX_ARCSEC / scale)
    for place in places:
        if place is None:
            continue
        x, y = (float(v) for v in wcs.all_world2pix(*place, 0, quiet=True))
        if 0 <= x < shape[1] and 0 <= y < shape[0]:
            return box_at(x, y, half, shape)
    return whole


def box_at(x: float, y: float, half: int, shape: tuple[int, int]) -> Box:
    """Give the pixels within so many rows and columns of a pixel."""
    return (
        slice(max(round(y) - half, 0), min(round(y) + half + 1, shape[0])),
        slice(max(round(x) - half, 0), min(round(x) + half + 1, shape[1])),
    )


def shifted(wcs: WCS, box: Box) -> WCS:
    """Give the WCS of a cut-out."""
    if box[0].start == 0 and box[1].start == 0:
        return wcs
    # Distortion is a function of the pixel of the whole image, which a slice keeps.
    return wcs.slice(box)


def pixel_areas(part: Part, header: fits.Header, wcs: WCS) -> FloatArray | float:
    """Give the area of each pixel over the nominal one, by which exposures have to be multiplied.

    The flat field makes an evenly bright sky even, although the pixels of a distorted image differ
    in area (WFC3 and ACS data handbooks, "pixel area map"). Drizzled images are even in both.
    """
    nominal = header.get("IDCSCALE")
    if part.named("WHT") is not None or not isinstance(nominal, int | float):
        return 1.0
    rows, columns = part.box
    y = np.arange(rows.start, rows.stop + _COARSE, _COARSE, dtype=float)
    x = np.arange(columns.start, columns.stop + _COARSE, _COARSE, dtype=float)
    coarse = solid_angles(wcs, *np.meshgrid(x, y)) / nominal**2
    fine = np.mgrid[0 : rows.stop - rows.start, 0 : columns.stop - columns.start] / _COARSE
    return np.asarray(map_coordinates(coarse, fine, order=1, mode="nearest"))


def solid_angles(wcs: WCS, x: FloatArray, y: FloatArray) -> FloatArray:
    """Give the area of pixels around places of an image, arcsec^2, shape as given."""

    def at(dx: float, dy: float) -> FloatArray:
        return unit_vector(*wcs.all_pix2world(x + dx, y + dy, 0))

    along_x, along_y = at(0.5, 0.0) - at(-0.5, 0.0), at(0.0, 0.5) - at(0.0, -0.5)
    area = np.linalg.norm(np.cross(along_x, along_y), axis=-1)
    return np.asarray(area * (np.rad2deg(1.0) * ARCSEC) ** 2)
