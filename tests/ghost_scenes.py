"""Two pointings at a simulated scene, without files: exact truth, noise as it is simulated."""

from dataclasses import dataclass
from functools import cache

import numpy as np

import ard
from pipeline.reduce.instruments import lsf_for, psf_for
from pipeline.simulate import geometry, noise, optics, scenes, truth

WINDOW = geometry.Window((0, 600), (10, 42), (8, 40))
SCATTER = 1.9  # over ERR
ITEMS = tuple(p.item for p in geometry.POINTINGS)
META = {
    "TELESCOP": "JWST",
    "INSTRUME": "NIRSPEC",
    "GRATING": "G140M",
    "FILTER": "F100LP",
    "TARGNAME": "RBH-1",
    "SIMULATD": True,
}


@dataclass(frozen=True)
class Scene:
    """What both pointings see without noise, and the true maps."""

    sky: dict[str, np.ndarray]
    truth: dict[str, dict[str, np.ndarray]]


@cache
def scene(name: str) -> Scene:
    components = scenes.scene(name)
    seen = range(len(ITEMS))
    return Scene(
        {ITEMS[p]: 1.0 + optics.render(components, WINDOW, p, 1.1) for p in seen},
        {
            ITEMS[p]: {k.lower(): v for k, v in truth.maps(components, WINDOW, p).items()}
            for p in seen
        },
    )


def true_fraction(name: str, item: str) -> float:
    """What the simulator writes into the truth of an observation."""
    index = ITEMS.index(item)
    maps = [scene(name).truth[i]["flux_halpha"] for i in (item, ITEMS[1 - index])]
    return truth.ghost_fraction((maps[0], maps[1]), WINDOW, index)


def observe(name: str, seed: int, *, blind: str | None = None) -> dict[str, ard.Cube]:
    """Combined cubes of both pointings; one of them may look at a field without light."""
    rng, made = np.random.default_rng(seed), {}
    for index, item in enumerate(ITEMS):
        sky = np.ones(WINDOW.shape) if item == blind else scene(name).sky[item]
        err = noise.error_cube(WINDOW.wave, WINDOW.shape, rng).astype(float) / 2.0  # four dithers
        flux = sky + SCATTER * err * noise.correlated(WINDOW.shape, rng)
        place = geometry.POINTINGS[index]
        meta = META | {"TARG_RA": place.ra_deg, "TARG_DEC": place.dec_deg}
        made[item] = ard.Cube(
            flux, err**2, np.zeros(flux.shape, bool), WINDOW.wave, geometry.sky(WINDOW, index),
            meta=meta, lsf=lsf_for(meta, WINDOW.wave), psf=psf_for(meta, WINDOW.wave),
        )  # fmt: skip
    return made
