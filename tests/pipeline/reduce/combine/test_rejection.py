"""Are hits found among few dithers, and are lines left alone?

Oracles: what was planted, and a scene that is the same in all dithers.
"""

import numpy as np
import pytest

import ard
from pipeline.reduce.combine.grid import common_grid, grid_of
from pipeline.reduce.combine.stack import Config, combine
from pipeline.simulate import TwinConfig, geometry, noise
from pipeline.simulate.twin import _HOT

WAVE = 0.97 + 0.000636 * np.arange(40)


def scene(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A knot of 86 MJy/sr and the sharpness of the telescope, in a line of two channels."""
    line = np.exp(-0.5 * ((np.arange(WAVE.size) - 20) / 0.9) ** 2)
    knot = np.exp(-0.5 * ((x - 9.3) ** 2 + (y - 8.6) ** 2) / 0.75**2)
    return 86.0 * line[:, None, None] * knot + 0.5


def exposures(expose, moved, offsets, noise_level=0.2, seed=2, planted=()):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:18, :17]
    made = []
    for k, (dx, dy) in enumerate(offsets):
        flux = scene(x + dx, y + dy) + noise_level * rng.normal(size=(WAVE.size, 18, 17))
        for number, place, value in planted:
            if number == k:
                flux[place] += value
        made.append(expose(f"e{k}", flux, moved(dx, dy), err=0.1, wave=WAVE))
    return made


WHOLE = ((0, 0), (2, 1), (1, 3), (3, 0))
PARTS = ((0, 0), (0.5, 0.5), (1.3, 0.8), (0.7, 1.5))


@pytest.mark.parametrize("offsets", [WHOLE, WHOLE[:3], PARTS, PARTS[:3]])
def test_a_bright_line_is_never_rejected(offsets, expose, moved):
    """The scatter is twice what ERR says, as in real cubes, and the line 400 of it high."""
    made = exposures(expose, moved, offsets)
    found = combine(made, common_grid(made))
    kept = combine(made, common_grid(made), config=Config(reject_sigma=0))
    rejected = sum(part.rejected for part in found.parts)
    assert rejected <= 1  # of 40 000 at 6 sigma: 1e-4 are expected
    if rejected == 0:
        np.testing.assert_array_equal(found.flux, kept.flux)
    assert np.nanmedian(found.scale) == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("offsets", [WHOLE, WHOLE[:3], PARTS])
@pytest.mark.parametrize("value", [-2000.0, 30.0, -4.0])
@pytest.mark.parametrize("channel", [5, 20])
def test_a_hit_of_one_exposure_is_rejected_wherever_it_is(offsets, value, channel, expose, moved):
    place = (channel, 4, 4)
    made = exposures(expose, moved, offsets, planted=[(1, place, value)])
    found = combine(made, common_grid(made))
    clean = exposures(expose, moved, offsets)
    without = combine(clean, common_grid(made), config=Config(reject_sigma=0, min_exposures=1))
    assert found.parts[1].rejected >= 1
    assert sum(part.rejected for part in found.parts) <= 3
    # What is left differs from a sky without hits by the noise of one exposure, not by the hit.
    assert np.nanmax(np.abs(found.flux - without.flux)) < 1.0
    assert (found.dq & 16 != 0).sum() <= 27


def test_two_hits_of_four_leave_the_two_that_agree(expose, moved):
    """A median would be the mean of a hit and a good sample, and all four would be rejected."""
    still = ((0, 0),) * 4
    place = (20, 9, 9)  # on the line's peak
    hits = [(1, place, -900.0), (3, place, -400.0)]
    found, clean = (
        combine(made, grid_of(made[0]))
        for made in (
            exposures(expose, moved, still, planted=hits),
            exposures(expose, moved, (still[0], still[2])),
        )
    )
    assert [part.rejected for part in found.parts] == [0, 1, 0, 1]
    assert found.flux[place] == pytest.approx(clean.flux[place], abs=0.8)


@pytest.mark.parametrize(("least", "kept"), [(2, 0), (3, 2)])
def test_of_two_that_disagree_nobody_knows_which_is_right(least, kept, expose, moved):
    place = (6, 3, 3)
    made = exposures(expose, moved, ((0, 0),) * 2, planted=[(0, place, -50.0)])
    found = combine(made, grid_of(made[0]), config=Config(reject_samples=least))
    assert [part.rejected for part in found.parts] == ([1, 1] if least == 2 else [0, 0])
    assert bool(found.mask[place]) is (kept == 0)
    if kept == 0:
        assert found.dq[place] == 1 | 16


def test_three_that_all_disagree_are_all_rejected(expose, moved):
    place = (6, 3, 3)
    hits = [(0, place, -50.0), (1, place, 90.0)]
    made = exposures(expose, moved, ((0, 0),) * 3, planted=hits)
    found = combine(made, grid_of(made[0]))
    assert found.mask[place]
    assert [part.rejected for part in found.parts] == [1, 1, 1]


def test_an_error_that_knows_of_its_hit_protects_nobody(expose, moved):
    """ERR of real hits grows with them: the errors of the other samples are what counts."""
    y, x = np.mgrid[:18, :17]
    flux = np.stack([scene(x, y)] * 4) + 0.1 * np.random.default_rng(1).normal(size=(4, 40, 18, 17))
    err = np.full(flux.shape, 0.1)
    flux[2, 7, 5, 5], err[2, 7, 5, 5] = -600.0, 400.0
    made = [expose(f"e{k}", flux[k], moved(), err=err[k], wave=WAVE) for k in range(4)]
    found = combine(made, grid_of(made[0]))
    assert [part.rejected for part in found.parts] == [0, 0, 1, 0]


def test_hits_and_hot_pixels_of_the_simulated_detector_are_found(twin, clean_twin, science, level3):
    """Oracle: the same observation without them, and the simulator's map of hot pixels."""
    exposures, grid = science(twin, "t001"), grid_of(level3(twin, "t001"))
    clean = combine(
        science(clean_twin, "t001"), grid, config=Config(reject_sigma=0, min_exposures=1)
    )
    found, raw = (combine(exposures, grid, config=Config(reject_sigma=s)) for s in (6.0, 0.0))
    seen = sum((o.matrix.sum(axis=1) > 0).astype(int) for o in clean.operators)
    several = np.broadcast_to((seen >= 3).reshape(grid.shape), clean.flux.shape)
    several = several & ~clean.mask
    err = np.sqrt(clean.var[several])
    raw_off, off = (np.abs(c.flux - clean.flux)[several] / err for c in (raw, found))
    assert (raw_off > 30).mean() > 0.1
    # What is left: an exposure less, faint skirts of hits, and a place with three hits, two alike.
    assert (off > 15).sum() <= 2
    assert np.nanpercentile(off, 99.9) < 15
    assert np.isnan(off).mean() < 5e-3
    hot = noise.hot_pixels(geometry.window("tiny").exposure_shape, TwinConfig().rng(_HOT))
    # A sky place that is hot in one dither is not in the others: nearly all of them are found.
    inner = np.s_[:, 10:16, 6:12]
    strong = hot[inner] > 5
    lost = exposures[0].channels(0, 80).good[inner] & strong
    assert lost.sum() > 50
    assert found.parts[0].rejected > lost.sum()


def test_hits_are_found_as_well_between_spaxels(expose, moved):
    """As many hits as in the simulated exposures, on dithers of parts of spaxels.

    Oracle: the same sky and noise without hits. One voxel in 16 is a hit, so that a fifth of the
    samples, which are made of four, hold one; their errors grow with them.
    """
    rng = np.random.default_rng(11)
    clean = exposures(expose, moved, PARTS)
    made = []
    for one in clean:
        section = one.channels(0, WAVE.size)
        size = rng.choice([-1, 1], section.flux.shape) * 10 ** rng.uniform(
            0.5, 3.5, section.flux.shape
        )
        size = np.where(rng.random(size.shape) < 1 / 16, size, 0.0)
        err = np.hypot(0.1, size / 5.0)
        made.append(expose(one.filename, section.flux + size, one.wcs, err=err, wave=WAVE))
    grid = common_grid(clean)
    found, raw = (combine(made, grid, config=Config(reject_sigma=n)) for n in (6.0, 0.0))
    true = combine(clean, grid, config=Config(reject_sigma=0))
    # Where the scene is smooth, what is left out moves the mean by noise alone.
    smooth = ~true.mask & (np.abs(np.arange(WAVE.size) - 20) > 4)[:, None, None]
    off, before = (np.abs(one.flux - true.flux)[smooth] for one in (found, raw))
    assert np.nanmean(before > 2.0) > 0.1
    assert np.nanmean(off > 2.0) < 1e-3
    assert np.isnan(off).mean() < 0.05


def test_two_hits_that_happen_to_agree_are_told_by_their_errors(expose, moved):
    y, x = np.mgrid[:18, :17]
    for n in (3, 4):
        flux = np.stack([scene(x, y)] * n)
        flux += 0.1 * np.random.default_rng(1).normal(size=flux.shape)
        err = np.full(flux.shape, 0.1)
        place = (7, 5, 5)
        for k, value in ((0, 44.2), (2, 44.0)):
            flux[k][place], err[k][place] = value, 1.4
        made = [expose(f"e{k}", flux[k], moved(), err=err[k], wave=WAVE) for k in range(n)]
        found = combine(made, grid_of(made[0]))
        assert [part.rejected for part in found.parts] == ([1, 0, 1, 0] if n == 4 else [1, 1, 1])
        assert bool(found.mask[place]) is (n == 3)  # one alone is not enough


@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize("offsets", [WHOLE, PARTS])
@pytest.mark.parametrize("small", [1e-6, 1e-3, 0.03])
def test_one_error_that_is_too_small_rejects_nobody(small, offsets, number, expose, moved):
    """Oracle: the same exposures without it, of which none is rejected."""
    made = exposures(expose, moved, offsets[:number], noise_level=0.1)
    err = np.full((WAVE.size, 18, 17), 0.1)
    err[5, 4:7, 4] = small
    flux = made[1].channels(0, WAVE.size).flux
    wrong = expose("e1", flux, moved(*offsets[1]), err=err, wave=WAVE)
    found = combine([made[0], wrong, *made[2:]], common_grid(made))
    assert sum(part.rejected for part in combine(made, common_grid(made)).parts) == 0
    assert [part.rejected for part in found.parts] == [0] * number


def test_where_all_errors_are_small_hits_are_found(expose, moved):
    """A corner of the field that is ten times better: its errors are not taken for mistakes."""
    y, x = np.mgrid[:18, :17]
    err = np.full((WAVE.size, 18, 17), 0.1)
    err[:, :5, :5] = 0.01
    rng = np.random.default_rng(4)
    flux = scene(x, y) + err * rng.normal(size=(4, *err.shape))
    flux[2, 7, 3, 3] += 0.3
    made = [expose(f"e{k}", flux[k], moved(), err=err, wave=WAVE) for k in range(4)]
    found = combine(made, grid_of(made[0]))
    assert [part.rejected for part in found.parts] == [0, 0, 1, 0]


@pytest.mark.parametrize("values", [(-54.4, -31.5, -57.4, -109.1), (-87.6, -86.0)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_where_all_samples_are_hits_none_is_kept_though_two_agree(sign, values, expose, moved):
    """Values of the simulated detector; errors are 3 % of a hit. Beside it nothing is lost.

    Below zero each is told for itself.
    """
    y, x = np.mgrid[:18, :17]
    rng, n, place = np.random.default_rng(1), len(values), (7, 5, 5)
    flux = np.stack([scene(x, y)] * n) + 0.1 * rng.normal(size=(n, WAVE.size, 18, 17))
    err = np.full(flux.shape, 0.1)
    for k, value in enumerate(values):
        flux[k][place], err[k][place] = sign * value, 0.03 * abs(value)
    made = [expose(f"e{k}", flux[k], moved(), err=err[k], wave=WAVE) for k in range(n)]
    found = combine(made, grid_of(made[0]))
    assert found.mask[place]
    assert found.dq[place] == 1 | 16
    assert [part.rejected for part in found.parts] == [1] * n
    assert found.mask.sum() == 1


def test_a_bright_knot_has_large_errors_and_is_kept(expose, moved):
    """Three exposures or more that agree are believed, whatever their errors."""
    y, x = np.mgrid[:18, :17]
    rng = np.random.default_rng(1)
    err = np.full((WAVE.size, 18, 17), 0.1)
    err[20, 9, 9] = 2.0
    flux = scene(x, y) + err * rng.normal(size=(3, *err.shape))
    made = [expose(f"e{k}", flux[k], moved(), err=err, wave=WAVE) for k in range(3)]
    found = combine(made, grid_of(made[0]))
    assert [part.rejected for part in found.parts] == [0, 0, 0]


def test_rejection_says_nothing_of_a_lone_exposure(expose, moved):
    made = exposures(expose, moved, ((0, 0),), planted=[(0, (3, 3, 3), -500.0)])
    found = combine(made, grid_of(made[0]))
    assert found.parts[0].rejected == 0
    assert np.isnan(found.scale).all()
    assert isinstance(found.cube(), ard.Cube)
