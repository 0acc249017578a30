"""What would the HST image pair of GO-17301 show of the same truth?

Two small drizzled images, F200LP and F350LP, in the layout of the archive's DRC files: the
host, and the continuum of every component of the scene.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from pipeline.simulate import optics, scenes
from pipeline.simulate.headers import HISTORY

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """A filter: its name, AB zero point (e-/s), pivot wavelength (A), and which scene colour.

    Zero points are nominal, rounded to 0.05 mag; the image is consistent with its own PHOTFLAM.
    """

    name: str
    zero_point: float
    pivot: float
    colour: float


BANDS: Final = (Band("F200LP", 27.35, 4971.9, 1.0), Band("F350LP", 26.95, 5873.9, 0.0))
NAME: Final = "hst_17301_01_wfc3_uvis_{band}_if3x01_drc.fits"
SIZE: Final = 300  # pixels: 12 arcsec hold the host and the 7.8 arcsec of the wake
PIXEL_ARCSEC: Final = 0.04
CENTRE_DEG: Final = (40.439876, -8.349641)  # half-way from the host to the tip
PSF_FWHM_ARCSEC: Final = 0.075
EXPOSURE_SECONDS: Final = 2450.0
# Medians and scatter of the real DRC images, e-/s.
_SKY: Final = 0.155
_SKY_SIGMA: Final = 0.010
_DRIZZLE_LAG: Final = 0.2
# The host: magnitude and colour measured on the ACS images; half-light radius from recall.
_HOST_AB: Final = 21.85
_HOST_COLOUR: Final = 0.4
_HOST_SCALE_ARCSEC: Final = 1.2 / 1.678 / scenes.KPC_PER_ARCSEC


def wcs() -> WCS:
    """Where do the pixels of the images lie on the sky?"""
    world = WCS(naxis=2)
    world.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    world.wcs.cunit = ["deg", "deg"]
    world.wcs.crpix = [(SIZE + 1) / 2, (SIZE + 1) / 2]
    world.wcs.crval = list(CENTRE_DEG)
    world.wcs.cdelt = [-PIXEL_ARCSEC / 3600.0, PIXEL_ARCSEC / 3600.0]
    world.wcs.set()
    return world


def image(scene: scenes.Scene, band: Band, rng: np.random.Generator) -> FloatArray:
    """What does one filter record, e-/s, shape (300, 300)?"""
    from scipy.signal import lfilter  # see `noise`

    world = wcs()
    fwhm = (PSF_FWHM_ARCSEC / PIXEL_ARCSEC,) * 2
    total = _host(world, band, fwhm)
    for component in scene:
        x, y = optics.pixels(world, component)
        rate = _rate(component.ab_mag, component.colour, band)
        total = total + optics.collect(x, y, rate * component.continuum, (SIZE, SIZE), fwhm)[0]
    noise = rng.standard_normal((SIZE, SIZE))
    for axis in (0, 1):
        noise = lfilter([np.sqrt(1 - _DRIZZLE_LAG**2)], [1.0, -_DRIZZLE_LAG], noise, axis=axis)
    sigma = np.sqrt(_SKY_SIGMA**2 + total / EXPOSURE_SECONDS)
    return np.asarray(_SKY + total + sigma * noise)


def _rate(ab_mag: float, colour: float, band: Band) -> float:
    return float(10 ** (-0.4 * (ab_mag + colour * band.colour - band.zero_point)))


def _host(world: WCS, band: Band, fwhm: tuple[float, float]) -> FloatArray:
    x0, y0 = world.wcs_world2pix(*scenes.HOST_DEG, 0)
    side = np.linspace(-5, 5, 121) * _HOST_SCALE_ARCSEC / PIXEL_ARCSEC
    x, y = (a.ravel() for a in np.meshgrid(side, side))
    weight = np.exp(-np.hypot(x, y) * PIXEL_ARCSEC / _HOST_SCALE_ARCSEC)
    weight *= _rate(_HOST_AB, _HOST_COLOUR, band) / weight.sum()
    return np.asarray(optics.collect(x0 + x, y0 + y, weight, (SIZE, SIZE), fwhm)[0])


def hdus(band: Band, data: FloatArray) -> fits.HDUList:
    """How does the archive deliver such an image: PRIMARY, SCI, WHT, CTX?"""
    name = NAME.format(band=band.name.lower())
    head = fits.PrimaryHDU()
    for key, value in (
        ("FILENAME", name),
        ("TELESCOP", "HST"),
        ("INSTRUME", "WFC3"),
        ("DETECTOR", "UVIS"),
        ("FILTER", band.name),
        ("TARGNAME", "RBH-1"),
        ("PROPOSID", 17301),
        ("EXPTIME", EXPOSURE_SECONDS),
        ("TEXPTIME", EXPOSURE_SECONDS),
        ("SIMULATD", True),
    ):
        head.header[key] = value
    for text in HISTORY[:1]:
        head.header["HISTORY"] = text
    science = wcs().to_header()
    science["BUNIT"] = "ELECTRONS/S"
    # f_lambda = f_nu c / pivot^2, in erg/s/cm2/A per e-/s.
    f_nu = 10 ** (-0.4 * (band.zero_point + 48.6))
    science["PHOTFLAM"] = f_nu * optics.C_KMS * 1e13 / band.pivot**2
    science["PHOTPLAM"] = band.pivot
    science["PHOTZPT"] = -21.1
    weight = np.full(data.shape, EXPOSURE_SECONDS, np.float32)
    return fits.HDUList(
        [
            head,
            fits.ImageHDU(data.astype(np.float32), header=science, name="SCI"),
            fits.ImageHDU(weight, header=wcs().to_header(), name="WHT"),
            fits.ImageHDU(np.full(data.shape, 7, np.int32), header=wcs().to_header(), name="CTX"),
        ]
    )
