"""Windows beside lines, and a continuum that no clip takes lines away from."""

from pathlib import Path

import numpy as np
import pytest
from loading import load

from pipeline.reduce.apertures.continuum import (
    WindowRule,
    clip,
    continuum,
    levels,
    line_zones,
    plan_windows,
    residual_scale,
)
from pipeline.reduce.apertures.covariance import noise_of
from pipeline.reduce.apertures.wild import WildRule, strange_voxels, wild_voxels

cases = load(Path(__file__).with_name("aperture_cases.py"))
RBH1, WAVE = cases.RBH1, cases.WAVE
EDGES = cases.edges_of(WAVE)
RULE = WindowRule(zone_kms=1200.0, channels=20, reach=40)


def plan(group, edges=EDGES, rule=RULE):
    return plan_windows(edges, cases.lines_of(group, edges), RBH1, rule)


def test_the_window_of_4959_leans_to_the_red():
    """Oracle: the table of science.md 5 - 4959 in channel 6, so that its zone begins at 0."""
    found = plan("oiii")
    channels = found.windows.channels
    assert len(found.windows.blocks) == 1
    assert found.windows.line_block == (0, 0)
    assert channels[0] == 0
    free = channels[found.line_free]
    assert free.size == RULE.channels
    assert (free < 6).sum() == 0
    assert (free > 21).sum() > (free < 21).sum()
    assert found.use.all()


def test_a_line_in_the_middle_of_the_band_has_both_sides():
    found = plan("oi")
    free = found.windows.channels[found.line_free]
    assert (free < 420).sum() == (free > 420).sum() == RULE.channels // 2


def test_every_line_of_the_target_is_masked_in_every_window():
    """Oracle: velocities of all lines, computed anew."""
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    for group in RBH1.groups:
        found = plan(group.name)
        free = centre[found.windows.channels[found.line_free]]
        for line in RBH1.lines:
            speed = 299792.458 * (free / (line.wave_vac_um * (1 + RBH1.redshift)) - 1)
            assert np.abs(speed).min() >= RULE.zone_kms


def test_channels_of_a_line_of_another_group_take_no_part():
    """A window that would reach [S II] from H alpha steps over it."""
    rule = WindowRule(zone_kms=1200.0, channels=120, reach=120)
    found = plan("halpha", rule=rule)
    zone = line_zones(EDGES, RBH1, rule.zone_kms)
    left_out = found.windows.channels[~found.use]
    assert left_out.size
    assert zone[left_out].all()
    waves = [line.wave_obs_um(RBH1.redshift) for line in RBH1.group_lines("sii")]
    near = np.searchsorted(EDGES, waves) - 1
    assert set(near) <= set(left_out)


def test_a_band_that_ends_in_a_line_has_what_is_left():
    found = plan("halpha", edges=EDGES[495:520])
    assert found.windows.channels[0] == 0
    assert found.windows.channels[-1] == 23


def spectrum(bright=50.0, seed=4):
    """A sloping continuum with noise of 1, lines of RBH-1, and three wild continuum channels."""
    rng = np.random.default_rng(seed)
    wave = WAVE[:600]
    flux = 10.0 + 3.0 * (wave - 1.1) + rng.normal(size=600)
    for line in RBH1.lines:
        flux += bright * np.exp(-0.5 * ((wave - line.wave_obs_um(RBH1.redshift)) / 6e-4) ** 2)
    free = ~line_zones(cases.edges_of(wave), RBH1, 1200.0)
    wild = np.flatnonzero(free)[[50, 120, 300]]
    flux[wild] += [-60.0, 80.0, -40.0]
    return flux, free, wild


def test_bright_lines_survive_the_clip_that_has_taken_them_from_others():
    """Oracle: a blind clip at 6 MAD of the same spectrum removes the lines (as in public work)."""
    flux, free, wild = spectrum()
    blind = np.abs(flux - np.median(flux)) > 6 * np.median(np.abs(flux - np.median(flux)))
    peaks = [int(np.argmin(np.abs(WAVE[:600] - line.wave_obs_um(RBH1.redshift))))
             for line in RBH1.lines if line.wave_obs_um(RBH1.redshift) < WAVE[599]]  # fmt: skip
    assert blind[peaks].all()
    found = clip(flux, free, 6.0, 25)
    assert not found[~free].any()
    assert found[wild].all()
    assert found.sum() <= wild.size + 3


def test_wild_voxels_are_found_and_lines_are_not_among_them():
    """Oracle: hits of two adjacent channels are planted; a bright line in every spaxel stays."""
    rng = np.random.default_rng(8)
    shape = (600, 5, 5)
    flux, free, _ = spectrum(bright=40.0)
    clean = np.broadcast_to(flux[:, None, None], shape) + rng.normal(size=shape)
    oi = int(np.argmin(np.abs(WAVE[:600] - RBH1.line("OI6300").wave_obs_um(RBH1.redshift))))
    hits = [(100, 1, 1, -500.0), (101, 1, 1, -300.0), (oi, 2, 2, -900.0), (oi + 1, 2, 2, -700.0)]
    data = np.array(clean)
    for k, y, x, value in hits:
        data[k, y, x] += value
    cube = cases.cube(shape, wave=WAVE[:600], sigma=1.0).replace(flux=data)
    noise = noise_of(cube, None)
    rule = WildRule(free, 6.0, 25, 2.5)
    found = wild_voxels(cube, noise.sigma, noise.mask, np.arange(25), rule)
    assert all(found[k, y, x] for k, y, x, _ in hits)
    assert not (found & ~free[:, None, None] & (data > 0)).any()
    subtracted = cube.replace(meta=dict(cube.meta) | {"S_BKDSUB": "COMPLETE"})
    kept = wild_voxels(subtracted, noise.sigma, noise.mask, np.arange(25), rule)
    # Ghosts of lines stay, but not what is 20 times deeper than the lines are bright.
    assert set(map(tuple, np.argwhere(kept & ~free[:, None, None]))) == {
        (k, 2, 2) for k in (oi, oi + 1)
    }
    assert kept[100, 1, 1]
    ghost = np.array(clean)
    ghost[:, 2, 2] -= 2.0 * (flux - 10.0)
    image = subtracted.replace(flux=ghost)
    still = wild_voxels(image, noise.sigma, noise.mask, np.arange(25), rule)
    assert not still[~free].any()
    few = wild_voxels(cube, noise.sigma, noise.mask, np.arange(6), rule)
    assert not few.reshape(600, 25)[:, 6:].any()


def test_the_continuum_of_a_straight_line_is_that_line_up_to_the_ends():
    """Oracle: the line; its channels of lines hold other values."""
    flux, free, _wild = spectrum()
    truth = 10.0 + 3.0 * (WAVE[:600] - 1.1)
    exact = np.where(free, truth, 1e6)
    np.testing.assert_allclose(continuum(exact, free, 25), truth, rtol=1e-9)
    good = free & ~clip(flux, free, 6.0, 25)
    assert np.abs(continuum(flux, good, 25) - truth).max() < 1.6
    assert np.isnan(continuum(flux, free & (np.arange(600) < 2), 25)).all()


def test_the_scale_of_the_errors_is_that_of_the_residuals():
    """Oracle: noise of 3 that is said to be 1, in 4,000 channels of which half are masked."""
    rng = np.random.default_rng(6)
    n = 4000
    free = rng.random(n) < 0.5
    flux = np.where(free, 5.0 + rng.normal(0, 3, n), 1e9)
    assert residual_scale(flux, np.eye(n), free, 1) == pytest.approx(3.0, rel=0.05)
    assert residual_scale(flux, 100 * np.eye(n), free, 1) == 1.0
    assert residual_scale(flux, np.eye(n), free & (np.arange(n) < 4), 1) == 1.0
    right = np.where(free, 500.0 + rng.normal(0, 1, n), 0.0)
    assert residual_scale(right, np.eye(n), free, 1) == pytest.approx(1.0, abs=0.05)


def test_the_level_of_a_spaxel_is_that_of_its_own_good_channels():
    """Oracle: the mean of the channels around, computed one by one; lines hold other values."""
    _, free, _ = spectrum()
    rng = np.random.default_rng(9)
    flux = 3.0 + rng.normal(0, 0.1, (600, 3))
    good = np.broadcast_to(free[:, None], flux.shape) & (rng.random(flux.shape) < 0.9)
    good[:, 2] = False
    found = levels(np.where(good, flux, 1e6), good, 25)
    places = np.flatnonzero(good[:, 1])
    for start in (0, 40, places.size - 25):
        own = places[start : start + 25]
        at = own.mean()
        expected = flux[own, 1].mean()
        assert np.interp(at, np.arange(600), found[:, 1]) == pytest.approx(expected, abs=0.02)
    assert np.abs(found[:, :2] - 3.0).max() < 0.1
    assert (found[:, 2] == 0.0).all()


def test_a_hit_raises_err_and_a_bright_line_raises_that_of_its_neighbours_too():
    """Oracle: photon noise of a PSF of 1.8 spaxels, and hits of one and of two spaxels."""
    shape = (600, 9, 9)
    _, free, _ = spectrum()
    y, x = np.mgrid[:9, :9] - 4.0
    star = np.exp(-4 * np.log(2) * (x**2 + y**2) / 1.8**2)
    at = int(np.flatnonzero(~free)[4])
    light = np.zeros(shape)
    light[at - 1 : at + 2] = 400.0 * star
    var = 1.0 + light
    hits = [(at, 1, 1), (at, 1, 2), (at + 1, 7, 7)]
    for k, row, column in hits:
        var[k, row, column] = 5.0**2
        light[k, row, column] += 30.0
    cube = cases.cube(shape, wave=WAVE[:600], sigma=1.0)
    cube = cube.replace(flux=cube.flux + light, var=var)
    noise = noise_of(cube, None)
    rule = WildRule(free, 50.0, 25, 2.5)
    found = wild_voxels(cube, noise.sigma, noise.mask, np.arange(81), rule)
    assert set(map(tuple, np.argwhere(found))) == set(hits)


def test_a_voxel_that_the_profile_does_not_allow_is_strange():
    """Oracle: planted hits; gas at another velocity, half as wide and shifted, stays."""
    rng = np.random.default_rng(10)
    offset = np.linspace(-0.4, 0.4, 30)
    light = np.tile(np.exp(-0.5 * (offset / 0.15) ** 2), (40, 1))
    free = np.ones(40, bool)
    free[10:30] = False
    lines = rng.normal(0.0, 1.0, light.shape)
    height = 60.0 * np.exp(-0.5 * ((np.arange(40) - 20) / 1.5) ** 2)
    lines += height[:, None] * light
    lines[16] += 40.0 * np.exp(-0.5 * ((offset - 0.15) / 0.07) ** 2)
    used = rng.random(light.shape) < 0.9
    hits = [(12, 3), (20, 14), (25, 28)]
    for k, s in hits:
        used[k, s] = True
        lines[k, s] += 100.0
    lines[3, 5] += 100.0  # no channel of a line: looked for elsewhere
    found = strange_voxels(lines, np.ones(light.shape), used, light, free, n_sigma=8.0, part=1.0)
    assert set(map(tuple, np.argwhere(found))) == set(hits)
