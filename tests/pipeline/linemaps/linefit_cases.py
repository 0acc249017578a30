"""Line sets and channels of the real instruments, and a slow model that shares no code."""

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from scipy import stats

from pipeline.lineset import LineSet

C_KMS = 299792.458
REDSHIFT = 0.964
# The wavelength axis of the two real Level-3 cubes of GO-3149 (reference/science.md section 5).
G140M_EDGES = 0.9703180286 + 0.000636 * (np.arange(1448) - 0.5)
G140M_EDGES.flags.writeable = False

OIII = LineSet(
    ("OIII4959", "OIII5007"),
    np.array([0.4960295, 0.5008240]),
    np.array([[1.0], [2.984]]),
    np.array([183.0, 182.0]),
)
HALPHA = LineSet(
    ("NII6548", "Halpha", "NII6583"),
    np.array([0.654986, 0.6564632, 0.658527]),
    np.array([[1.0, 0.0], [0.0, 1.0], [2.942, 0.0]]),
    np.array([139.0, 138.0, 138.0]),
)
EVERY = LineSet(
    (
        *("OIII4959", "OIII5007", "OI6300", "NII6548"),
        *("Halpha", "NII6583", "SII6716", "SII6731"),
    ),
    np.array(
        [0.4960295, 0.5008240, 0.6302046, 0.654986, 0.6564632, 0.658527, 0.6718294, 0.6732674]
    ),
    np.array(
        [
            [1.0, 0, 0, 0, 0, 0],
            [2.984, 0, 0, 0, 0, 0],
            [0, 1.0, 0, 0, 0, 0],
            [0, 0, 1.0, 0, 0, 0],
            [0, 0, 0, 1.0, 0, 0],
            [0, 0, 2.942, 0, 0, 0],
            [0, 0, 0, 0, 1.0, 0],
            [0, 0, 0, 0, 0, 1.0],
        ]
    ),
    np.array([183.0, 182.0, 144.0, 139.0, 138.0, 138.0, 135.0, 135.0]),
)


def slow_lines(edges, lines, velocity, sigma, amplitudes, redshift=REDSHIFT):
    """Flux density per um of one spectrum: wavelength by wavelength, line by line.

    A Gaussian in wavelength, integrated over each channel with scipy.stats. Shape (n_wave,).
    """
    total = np.zeros(edges.size - 1)
    for k, rest in enumerate(lines.wave_rest_um):
        zero = rest * (1 + redshift)
        width = zero / C_KMS * np.sqrt(sigma**2 + lines.sigma_lsf_kms[k] ** 2)
        law = stats.norm(loc=zero * (1 + velocity / C_KMS), scale=width)
        flux = float(lines.ratio[k] @ amplitudes)
        total += flux * np.diff(law.cdf(edges)) / np.diff(edges)
    return total


@dataclass(frozen=True)
class Truth:
    velocity: np.ndarray
    sigma: np.ndarray
    amplitudes: np.ndarray


def spectra(lines, truth, edges=G140M_EDGES, continuum=(0.0, 0.0)):
    """Noise-free spectra, shape (n, n_wave), with a straight continuum (level, slope per um)."""
    centre = 0.5 * (edges[1:] + edges[:-1])
    line = continuum[0] + continuum[1] * (centre - centre.mean())
    rows = [
        slow_lines(edges, lines, v, s, a) + line
        for v, s, a in zip(truth.velocity, truth.sigma, truth.amplitudes, strict=True)
    ]
    return np.array(rows)


def tan_wcs(nx, ny, ra, dec, arcsec=0.1):
    """North up, the position in the middle of the field."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.cdelt = [-arcsec / 3600, arcsec / 3600]
    wcs.wcs.set()
    return wcs
