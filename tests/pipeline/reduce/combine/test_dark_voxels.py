"""Are hot pixels found where few dithers look, and is light left alone there?

Two dithers 1.3 spaxels apart, as those of GO-3149 that alone see parts of the edge: a hot pixel of
the detector, taken off too often with the imprint, is a hit of like size and error in both. Oracle:
the same sky and noise without it.
"""

import numpy as np
import pytest

from pipeline.reduce.combine.grid import common_grid
from pipeline.reduce.combine.stack import Config, combine

WAVE = 0.97 + 0.000636 * np.arange(30)
SHAPE = (30, 12, 11)
OFFSETS = ((0.0, 0.0), (1.303, -0.322))
# A pixel of the detector lands on two spaxels a side.
FOOTPRINT = np.array([[1.0, 0.5], [0.5, 0.25]])
LEVEL, NOISE = 1.0, 0.1
MIDDLE = 15  # channel of the line


def line(x: np.ndarray, y: np.ndarray, peak: float) -> np.ndarray:
    """A point on the edge of the field, as sharp as the telescope shows one, and a narrow line."""
    profile = np.exp(-0.5 * ((np.arange(WAVE.size) - MIDDLE) / 0.9) ** 2)
    point = np.exp(-0.5 * ((x - 0.4) ** 2 + (y - 5.2) ** 2) / 0.75**2)
    return peak * profile[:, None, None] * point


def exposures(expose, moved, peak=0.0, hot=0.0, offsets=OFFSETS, **more):
    rng = np.random.default_rng(8)
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    bad = np.zeros(SHAPE)
    for k, j, i in np.argwhere(rng.random(SHAPE) < 0.02):
        part = bad[k, j : j + 2, i : i + 2]
        part -= hot * rng.uniform(0.5, 2.0) * FOOTPRINT[: part.shape[0], : part.shape[1]]
    made = []
    for k, (dx, dy) in enumerate(offsets):
        light = line(x + dx, y + dy, peak)
        # Errors grow with light by what is left of its photons, and with hits, too little.
        err = np.sqrt(NOISE**2 + 0.05 * np.abs(light) + (bad / 33.0) ** 2)
        flux = LEVEL + light + bad + NOISE * rng.normal(size=SHAPE)
        made.append(expose(f"e{k}", flux, moved(dx, dy), err=err, wave=WAVE, **more))
    return made


@pytest.mark.parametrize("hot", [60.0, 3000.0])
def test_a_hot_pixel_that_both_dithers_see_is_found(hot, expose, moved):
    made, clean = (exposures(expose, moved, hot=size) for size in (hot, 0.0))
    grid = common_grid(made)
    found, raw, true = (
        combine(some, grid, config=Config(reject_sigma=sigma))
        for some, sigma in ((made, 6.0), (made, 0.0), (clean, 0.0))
    )
    left, before = (np.abs(one.flux - true.flux) for one in (found, raw))
    assert np.nanmean(before > 1.0) > 0.05
    assert np.nanmax(left) < 1.0
    # What is lost is not much more than what was hit.
    assert np.isnan(left).sum() < np.isnan(before).sum() + 1.2 * (before > 0.1).sum()


@pytest.mark.parametrize("peak", [3.0, 50.0, 2000.0])
@pytest.mark.parametrize("offsets", [OFFSETS, ((0, 0), (1, 0))])
def test_a_bright_line_at_the_edge_is_kept(peak, offsets, expose, moved):
    """Its errors are up to a hundred times the usual ones, and it stands alone in one channel."""
    made = exposures(expose, moved, peak=peak, offsets=offsets)
    found = combine(made, common_grid(made))
    assert [part.rejected for part in found.parts] == [0, 0]


@pytest.mark.parametrize(("step", "kept"), [("COMPLETE", True), ("SKIPPED", False)])
def test_light_may_be_negative_where_a_pointing_was_taken_off(step, kept, expose, moved):
    """The ghost of a bright line looks like the hot pixel that it is not."""
    made = exposures(expose, moved, peak=-50.0, meta={"S_BKDSUB": step})
    found = combine(made, common_grid(made))
    assert (sum(part.rejected for part in found.parts) == 0) is kept


def test_noise_below_zero_is_no_hit(expose, moved):
    """A sky of nothing, of which some spaxels have three times the error of the others."""
    rng = np.random.default_rng(2)
    err = np.where(np.arange(SHAPE[2]) < 3, 3 * NOISE, NOISE) * np.ones(SHAPE)
    made = [
        expose(f"e{k}", err * rng.normal(size=SHAPE), moved(*offset), err=err, wave=WAVE)
        for k, offset in enumerate(OFFSETS)
    ]
    found = combine(made, common_grid(made))
    assert [part.rejected for part in found.parts] == [0, 0]
