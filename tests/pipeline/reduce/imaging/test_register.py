"""A planted shift between a cube and an image comes back, with the error it says.

Oracle: the same analytic sources, rendered on both grids with another offset.
"""

import numpy as np
import pytest
from skyimages import HOST, correlated, gaussian, grid, image

import ard
from manifests import load_target
from pipeline.reduce.imaging import footprint, noise, register
from pipeline.reduce.imaging.sphere import Axis
from pipeline.reduce.imaging.strip import Seen

SIZE, SPAXELS = 301, 41
IFU = grid(28.0, pixel=0.1, size=SPAXELS)
HST = grid(0.0, pixel=0.05, size=SIZE)
AXIS = Axis(*HOST, 0.0)
# To the north and east, arcsec; flux; FWHM. Seen at 0.08 and 0.18 arcsec.
SOURCES = (((0.0, 0.0), 5.0, 0.1), ((0.9, -0.6), 3.0, 0.3), ((-0.8, 0.8), 2.0, 0.0))
FINE, COARSE = 0.08, 0.18


def sky(wcs, size, psf, shift=(0.0, 0.0)):
    return sum(
        gaussian(
            wcs, size, AXIS.place(n + shift[1], e + shift[0]), flux, float(np.hypot(fwhm, psf))
        )
        for (n, e), flux, fwhm in SOURCES
    )


def seen() -> Seen:
    data = sky(HST, SIZE, FINE)
    known = noise.Noise(0.0, np.full(data.shape, 1e-4), np.ones((1, 1)), data == 0, 1e-4, np.nan)
    return Seen(image(data, HST), known, np.zeros(data.shape, bool))


def plane(shift=(0.0, 0.0), sigma=1e-3, seed=1, lag=0.4) -> register.Plane:
    """Another unit, another level, correlated noise."""
    data = 0.3 * sky(IFU, SPAXELS, COARSE, shift) + 0.7
    data = data + correlated(np.random.default_rng(seed), SPAXELS, sigma, lag)
    nowhere = np.zeros(data.shape, bool)
    return register.Plane(data, np.full(data.shape, sigma), nowhere, IFU, COARSE)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.05, -0.03), (-0.12, 0.17), (0.02, 0.011)])
def test_a_planted_shift_comes_back(shift):
    found = register.register(plane(shift), seen(), FINE, 0.3)
    assert (found.east_arcsec, found.north_arcsec) == pytest.approx(shift, abs=0.004)
    assert found.snr > 50
    assert found.spaxels > 1000


def test_the_error_is_the_scatter():
    """40 noises: the width of the pulls is known to 1/sqrt(160) = 8 % over both axes."""
    there = seen()
    pulls = []
    for seed in range(40):
        found = register.register(plane((0.05, -0.03), 0.02, seed), there, FINE, 0.3)
        err = np.sqrt(np.diag(found.covariance))
        off = np.array([found.east_arcsec - 0.05, found.north_arcsec + 0.03])
        pulls.append(off / err)
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.55
    assert np.std(pulls) == pytest.approx(1.0, abs=0.25)


def test_a_shift_out_of_range_is_not_measured():
    assert register.register(plane((0.5, 0.0)), seen(), FINE, 0.2) is None


def test_a_plane_with_hardly_a_spaxel_is_not_measured():
    little = plane()
    mask = np.ones((SPAXELS, SPAXELS), bool)
    mask[:3, :3] = False
    bare = register.Plane(little.flux, little.err, mask, IFU, COARSE)
    assert register.register(bare, seen(), FINE, 0.2) is None


def cube(line_flux=0.0) -> ard.Cube:
    """A continuum that is the sky, and H alpha on top of it."""
    wave = 1.26 + 0.000636 * np.arange(100)
    level = sky(IFU, SPAXELS, COARSE)
    line = np.exp(-0.5 * ((wave - 0.6564632 * 1.964) / 0.0006) ** 2)
    flux = level[None] * (1.0 + line_flux * line[:, None, None])
    mask = np.zeros(flux.shape, bool)
    mask[:, :4, :] = True
    mask[10, 20, 20] = True
    return ard.Cube(
        np.where(mask, np.nan, flux), np.full(flux.shape, 0.01), mask, wave, IFU,
        psf=ard.Psf([0.9, 1.9], [0.18, 0.18], "a test"),
    )  # fmt: skip


def test_white_light_leaves_lines_out():
    target = load_target("rbh1")
    without = register.white_light(cube(), target, 1500.0)
    with_line = register.white_light(cube(30.0), target, 1500.0)
    good = ~without.mask
    np.testing.assert_allclose(with_line.flux[good], without.flux[good], rtol=1e-12)
    np.testing.assert_allclose(without.flux[good], sky(IFU, SPAXELS, COARSE)[good], rtol=1e-12)
    assert without.mask[:4].all()
    assert without.fwhm_arcsec == pytest.approx(0.18)
    wave, lines = cube().wave, [line.wave_obs_um(0.964) for line in target.lines]
    speed = np.abs(wave[:, None] / lines - 1.0) * 299792.458
    used = int((speed > 1500.0).all(axis=1).sum())
    assert without.err[30, 30] == pytest.approx(0.1 / np.sqrt(used))


def test_line_light_is_the_line_without_the_continuum():
    wave = 0.6564632 * 1.964
    found = register.line_light(cube(30.0), wave, 400.0)
    shape = sky(IFU, SPAXELS, COARSE)
    good = ~found.mask & (shape > 1e-3)
    ratio = found.flux[good] / shape[good]
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-6)
    assert ratio.mean() > 5.0
    flat = register.line_light(cube(), wave, 400.0)
    np.testing.assert_allclose(flat.flux[good], 0.0, atol=1e-12)


def test_hits_are_clipped_and_lines_are_not():
    """Planted: hits three channels wide, and a line of 30 times the continuum."""
    target, wave = load_target("rbh1"), 0.6564632 * 1.964
    rng = np.random.default_rng(8)
    noisy = cube(30.0)
    flux = noisy.flux + rng.normal(0.0, 0.01, noisy.shape)
    clean = noisy.replace(flux=flux)
    hit = flux.copy()
    hit[20:23, 25, 10:30] += 500.0
    hit[60:62, 12, 10:30] -= 500.0
    spoiled = noisy.replace(flux=hit)
    for light in (
        lambda one: register.white_light(one, target, 1500.0),
        lambda one: register.line_light(one, wave, 400.0),
    ):
        good = ~light(clean).mask
        # Five channels less of the mean: the noise of a channel over their number.
        np.testing.assert_allclose(light(spoiled).flux[good], light(clean).flux[good], atol=0.01)
    shape = sky(IFU, SPAXELS, COARSE)
    bright = ~clean.mask.any(axis=0) & (shape > 0.05)
    assert (register.line_light(clean, wave, 400.0).flux[bright] > 5.0 * shape[bright]).all()


def test_the_outline_of_a_field_holds_its_spaxels():
    """Oracle: the corners of the usable rectangle, by the WCS."""
    corners = footprint.outline(cube(), "t001")
    expected = IFU.all_pix2world([-0.5, 40.5, 40.5, -0.5], [3.5, 3.5, 40.5, 40.5], 0)
    found = {tuple(np.round(c, 9)) for c in corners}
    assert found == {tuple(np.round(c, 9)) for c in np.transpose(expected)}


def test_the_part_of_the_axis_in_a_field():
    """A square of 4.1 arcsec around the host, its lowest 0.4 arcsec masked."""
    corners = footprint.outline(cube(), "t001")
    upward = Axis(*HOST, 28.0)
    part = footprint.seen_part(corners, upward, 1.5)
    assert part == {"from_arcsec": 0.0, "to_arcsec": pytest.approx(1.5), "holds_tip": True}
    part = footprint.seen_part(corners, upward, 10.0)
    assert (part["to_arcsec"], part["holds_tip"]) == (pytest.approx(2.05, abs=0.02), False)
    away = Axis(*AXIS.place(100.0), 0.0)
    assert footprint.seen_part(corners, away, 5.0) == {
        "from_arcsec": None, "to_arcsec": None, "holds_tip": False,
    }  # fmt: skip


def test_a_cube_without_spaxels_has_no_field():
    dark = cube()
    dark = dark.replace(mask=np.ones(dark.shape, bool))
    with pytest.raises(ard.ArdError, match="no usable spaxel"):
        footprint.outline(dark, "t001")
