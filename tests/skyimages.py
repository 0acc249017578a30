"""Images of HST with known content: analytic sources, exact over pixels, on any grid."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.special import ndtr

from pipeline.reduce.imaging.images import Image

HOST = (40.439292, -8.348722)
PHOTFLAM, PHOTPLAM = 1.3e-19, 5000.0


def grid(
    pa_deg: float = 0.0,
    *,
    pixel: float = 0.05,
    size: int = 301,
    flipped: bool = False,
    centre: tuple[float, float] = HOST,
) -> WCS:
    """A tangent projection whose y axis points to a position angle; flipped: east to the right."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = [(size + 1) / 2, (size + 1) / 2]
    wcs.wcs.crval = list(centre)
    t = np.deg2rad(pa_deg)
    hand = 1.0 if flipped else -1.0
    step = pixel / 3600.0
    wcs.wcs.cd = [
        [hand * np.cos(t) * step, np.sin(t) * step],
        [-hand * np.sin(t) * step, np.cos(t) * step],
    ]
    wcs.wcs.set()
    return wcs


def gaussian(wcs: WCS, size: int, place: tuple[float, float], flux: float, fwhm: float):
    """A round Gaussian source, integrated over every pixel."""
    x, y = (float(v) for v in wcs.all_world2pix(*place, 0))
    scale = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600.0
    sigma = fwhm / 2.3548200450309493 / scale
    edges = np.arange(size + 1) - 0.5
    return flux * np.outer(np.diff(ndtr((edges - y) / sigma)), np.diff(ndtr((edges - x) / sigma)))


def correlated(rng: np.random.Generator, size: int, sigma: float, lag: float):
    """Noise of unit correlation lag^(|dx| + |dy|): an autoregression along both axes."""
    from scipy.signal import lfilter

    burn = 50
    noise = rng.standard_normal((size + burn, size + burn))
    for axis in (0, 1):
        noise = lfilter([np.sqrt(1 - lag**2)], [1.0, -lag], noise, axis=axis)
    return sigma * noise[burn:, burn:]


@dataclass(frozen=True)
class Grid:
    """A WCS with the size of its square image."""

    wcs: WCS
    size: int


def image(data, wcs: WCS, *, seconds: float = 2000.0, zero_point: float = 26.5) -> Image:
    """An image in memory, exposed evenly."""
    mask = ~np.isfinite(data)
    return Image(
        file="a_drc.fits",
        band="F350LP",
        flux=np.where(mask, np.nan, data),
        weight=np.where(mask, 0.0, seconds),
        weight_kind="exposure",
        mask=mask,
        wcs=wcs,
        zero_point_ab=zero_point,
        pivot_angstrom=5873.9,
        exptime_s=seconds,
        exposures=3,
        meta={"TELESCOP": "HST"},
    )


def drizzled(data, wcs: WCS, *, seconds: float = 2000.0, **cards) -> fits.HDUList:
    """A DRC file in memory: SCI, WHT, CTX. A card of None is left out."""
    head = fits.PrimaryHDU()
    given = {"FILTER": "F350LP", "EXPTIME": seconds, "INSTRUME": "WFC3", "DETECTOR": "UVIS"}
    given |= {"BUNIT": "ELECTRONS/S", "PHOTFLAM": PHOTFLAM, "PHOTPLAM": PHOTPLAM} | cards
    science = wcs.to_header()
    for key, value in given.items():
        if value is not None:
            (science if key in ("BUNIT", "PHOTFLAM", "PHOTPLAM") else head.header)[key] = value
    return fits.HDUList(
        [
            head,
            fits.ImageHDU(np.asarray(data, np.float32), science, name="SCI"),
            fits.ImageHDU(np.full(np.shape(data), seconds, np.float32), name="WHT"),
            fits.ImageHDU(np.full(np.shape(data), 7, np.int32), name="CTX"),
        ]
    )


def written(hdus: fits.HDUList, folder: Path, name: str = "a_drc.fits") -> Path:
    """The file of an HDU list."""
    path = folder / name
    hdus.writeto(path)
    return path
