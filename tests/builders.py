"""Small products for tests, drawn from a seed."""

import numpy as np
from astropy.wcs import WCS

import ard


def make_wcs(angle: float = 0.0, ra: float = 40.44, dec: float = -8.35) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [2.5, 3.0]
    wcs.wcs.crval = [ra, dec]
    scale = 0.1 / 3600
    wcs.wcs.cdelt = [scale, scale]
    c, s = np.cos(angle), np.sin(angle)
    wcs.wcs.pc = [[-c, s], [s, c]]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def make_cube(seed: int = 0, shape=(7, 4, 3), *, tabular: bool = False, angle: float = 0.3):
    rng = np.random.default_rng(seed)
    flux = rng.normal(0, 1, shape).astype(np.float32).astype(float)
    err = rng.uniform(0.1, 1, shape).astype(np.float32).astype(float)
    mask = rng.random(shape) < 0.3
    flux[mask] = np.nan
    wave = 0.9703 + 0.000636 * np.arange(shape[0])
    if tabular:
        wave = wave + 1e-5 * np.sin(np.arange(shape[0]))
    return ard.Cube(
        flux,
        err**2,
        mask,
        wave,
        make_wcs(angle),
        dq=np.where(mask, 513, 0).astype(np.uint32),
        weight=np.where(mask, 0.0, 4.0),
        lsf=ard.Lsf([0.9, 1.3], [1.3e-3, 1.4e-3], "a test"),
        psf=ard.Psf([0.9, 1.3], [0.12, 0.14], "a test"),
        meta={"TELESCOP": "JWST", "TARGNAME": "TEST", "SIMULATD": True},
        provenance=ard.Provenance("test", "0", "ab", "cd", 3, True, {"raw": "ef"}, {"numpy": "2"}),
    )


def make_map(seed: int = 0) -> ard.Map:
    rng = np.random.default_rng(seed)
    mask = rng.random((4, 3)) < 0.3
    layer = rng.normal(0, 100, (4, 3)).astype(np.float32).astype(float)
    layer[mask] = np.nan
    return ard.Map(
        {"velocity": layer, "snr": np.abs(layer)},
        {"velocity": "km/s", "snr": ""},
        mask,
        make_wcs(0.2),
        {"TARGNAME": "TEST"},
        ard.Provenance("linemaps", "0", "ab", "cd"),
    )
