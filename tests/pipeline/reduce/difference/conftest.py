"""Two pointings at one wake, made by hand: everything about them is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from astropy.wcs import WCS

import ard
from manifests import Target, load_target
from pipeline.reduce.difference.apertures import moved_wcs, offset_arcsec
from pipeline.reduce.instruments import lsf_for, psf_for

WAVE = 0.9703180286 + 0.000636 * np.arange(600)
META = {
    "TELESCOP": "JWST",
    "INSTRUME": "NIRSPEC",
    "GRATING": "G140M",
    "FILTER": "F100LP",
    "TARGNAME": "RBH-1",
    "SIMULATD": True,
}
PLACES = {"t001": (40.44051, -8.350361111), "t002": (40.440262, -8.350525)}
SHAPE = (41, 41)
LINES = {"OIII5007": 40.0, "Halpha": 30.0, "SII6716": 12.0}  # MJy/sr in the brightest channel


@dataclass(frozen=True)
class Observation:
    combined: dict[str, ard.Cube]
    standard: dict[str, ard.Cube]
    truth: dict[str, dict[str, np.ndarray]]


def grid(item: str) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [21.0, 21.0]
    wcs.wcs.crval = PLACES[item]
    wcs.wcs.cdelt = [-0.1 / 3600, 0.1 / 3600]
    wcs.wcs.set()
    return wcs


def wake(wcs: WCS, target: Target, width_arcsec: float) -> np.ndarray:
    """A ridge along the wake that ends at the tip, as wide as is asked for."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ra, dec = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    tip = target.tip
    east = (ra - tip.ra_deg) * np.cos(np.deg2rad(tip.dec_deg)) * 3600
    north = (dec - tip.dec_deg) * 3600
    angle = np.deg2rad(target.position_angle_deg)
    along = east * np.sin(angle) + north * np.cos(angle)
    across = east * np.cos(angle) - north * np.sin(angle)
    shape = np.exp(-0.5 * (across / width_arcsec) ** 2) / (1.0 + np.exp(along / 0.08))
    return shape.reshape(SHAPE)


def spectrum(target: Target) -> np.ndarray:
    total = np.zeros(WAVE.size)
    for name, peak in LINES.items():
        centre = target.line(name).wave_obs_um(target.redshift) * (1 - 250 / 299792.458)
        total += peak * np.exp(-0.5 * ((WAVE - centre) / 6.5e-4) ** 2)
    return total


@pytest.fixture(scope="session")
def target() -> Target:
    return load_target("rbh1")


@pytest.fixture(scope="session")
def observe(target) -> Callable[..., Observation]:
    def make(
        width: float = 0.12,
        noise: float = 0.3,
        seed: int = 3,
        items=("t001", "t002"),
        ghost=0.0,
        bright=1.0,
    ) -> Observation:
        rng, line = np.random.default_rng(seed), bright * spectrum(target)
        combined, standard, truth = {}, {}, {}
        for item in items:
            wcs, image = grid(item), wake(grid(item), target, width)
            other = next(i for i in PLACES if i != item)
            flux = 1.0 + line[:, None, None] * image + noise * rng.normal(size=(600, *SHAPE))
            meta = META | dict(zip(("TARG_RA", "TARG_DEC"), PLACES[item], strict=True))
            cube = ard.Cube(
                flux, np.full(flux.shape, 0.15**2), np.zeros(flux.shape, bool), WAVE, wcs,
                meta=meta, lsf=lsf_for(meta, WAVE), psf=psf_for(meta, WAVE),
            )  # fmt: skip
            combined[item] = cube
            # The detector is the same: the other pointing's wake on this pointing's spaxels.
            copy = wake(grid(other), target, width)
            standard[item] = cube.replace(flux=flux - ghost * line[:, None, None] * copy)
            truth[item] = {f"flux_{name.lower()}": peak * image for name, peak in LINES.items()}
        return Observation(combined, standard, truth)

    return make


@pytest.fixture(scope="session")
def offset() -> tuple[float, float]:
    keys = ("TARG_RA", "TARG_DEC")
    own, other = (dict(zip(keys, PLACES[item], strict=True)) for item in PLACES)
    return offset_arcsec(own, other)


@pytest.fixture(scope="session")
def moved_grid(offset) -> WCS:
    return moved_wcs(grid("t002"), *offset)
