"""How is a simulated cube laid out as the archive would deliver it?"""

from typing import Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from ard import s3d
from pipeline.simulate import combine, geometry, headers
from pipeline.simulate.combine import Combined
from pipeline.simulate.geometry import BoolArray, Exposure, Window
from pipeline.simulate.noise import Float32Array, Noisy

UNSEEN: Final = 513  # DO_NOT_USE + NON_SCIENCE


def exposure_hdus(
    exposure: Exposure,
    data: Noisy,
    seen: BoolArray,
    cut: Window,
    dithers: str = geometry.WHOLE,
) -> fits.HDUList:
    """How does a per-exposure s3d file look?

    Parameters
    ----------
    exposure : geometry.Exposure
    data : noise.Noisy
        Shape (n_wave, ny, nx), MJy/sr.
    seen : ndarray of bool, shape (ny, nx)
    cut : geometry.Window
    dithers : str
        Which of `geometry.SHIFTS`.
    """
    nan = np.float32(np.nan)
    counts = combine.pixel_counts(seen.shape) * seen
    cube = Combined(
        np.where(seen, data.sci, nan),
        np.where(seen, data.err, nan),
        np.broadcast_to(counts, data.sci.shape).copy(),
    )
    wcs = geometry.sky(cut, exposure.pointing, exposure.placed(dithers))
    head = headers.primary(headers.exposure_values(exposure), f"{exposure.name}_s3d.fits")
    return fits.HDUList([head, *_images(cube, cut, wcs), s3d.asdf_hdu(wcs, cut.wave)])


def level3_hdus(pointing: int, cube: Combined, cut: Window, *, subtracted: bool) -> fits.HDUList:
    """How does a Level-3 s3d file look?

    Parameters
    ----------
    pointing : int
    cube : combine.Combined
        Shape (n_wave, ny, nx), MJy/sr.
    cut : geometry.Window
    subtracted : bool
        Whether the other pointing has been taken off.
    """
    members = [e for e in geometry.EXPOSURES if e.pointing == pointing and not e.imprint]
    values = headers.exposure_values(members[0], subtracted=subtracted)
    total = len(members) * headers.EXPOSURE_SECONDS
    item = geometry.POINTINGS[pointing].item
    head = headers.primary(
        values | {"EFFEXPTM": total, "XPOSURE": total}, headers.ITEM_STEM.format(item=item)
    )
    wcs = geometry.sky(cut, pointing)
    table = headers.header_table(members, subtracted=subtracted)
    return fits.HDUList([head, *_images(cube, cut, wcs), table, s3d.asdf_hdu(wcs, cut.wave)])


def _images(cube: Combined, cut: Window, wcs: WCS) -> list[fits.ImageHDU]:
    unseen: NDArray[np.bool_] = ~np.isfinite(cube.sci)
    dq = np.where(unseen, np.uint32(UNSEEN), np.uint32(0))
    science = headers.science(cut, wcs, cube.sci.shape)
    weight: Float32Array = np.where(unseen, np.float32(0), cube.wmap)
    return [
        fits.ImageHDU(cube.sci, header=science, name="SCI"),
        fits.ImageHDU(cube.err, header=_unit(), name="ERR"),
        fits.ImageHDU(dq, name="DQ"),
        fits.ImageHDU(weight, name="WMAP"),
    ]


def _unit() -> fits.Header:
    header = fits.Header()
    header["BUNIT"] = ("MJy/sr", "physical units of the array values")
    return header
