"""Profiles of light: measured on maps whose light is known."""

from pathlib import Path

import numpy as np
import pytest
from loading import load

import ard
from pipeline.reduce.apertures.light import (
    Gaussian,
    describe,
    light_of,
    measure,
    mismatch,
    psf_sigma,
)
from pipeline.reduce.apertures.place import place

cases = load(Path(__file__).with_name("aperture_cases.py"))
RBH1 = cases.RBH1
SHAPE = (5, 31, 31)
WAVES = {"flux_halpha": 1.289, "flux_oiii5007": 0.984}


@pytest.fixture(scope="module")
def cube():
    return cases.cube(SHAPE, wave=1.28 + 0.0006 * np.arange(5))


def linemap(cube, light, error, seed=1):
    """A map of one line with noise; light is a function of arcsec along and across the axis."""
    whole = place(cases.circle(9.0), RBH1, cube.wcs, SHAPE[1:])
    rng = np.random.default_rng(seed)
    flux = light(whole.along, whole.across) + rng.normal(0, error, whole.along.size)
    layers = {"flux_halpha": flux.reshape(31, 31), "flux_halpha_err": np.full((31, 31), error)}
    return ard.Map(layers, dict.fromkeys(layers, "erg s-1 cm-2 arcsec-2"),
                   np.zeros((31, 31), bool), cube.wcs)  # fmt: skip


def wakes():
    names = ("a", "b")
    return [cases.aperture(name=n, along_arcsec=-0.3 - 0.5 * k, profile="wake")
            for k, n in enumerate(names)]  # fmt: skip


def placed(cube, *apertures):
    return [place(a, RBH1, cube.wcs, SHAPE[1:]) for a in apertures]


def test_the_wake_has_one_cross_section_and_a_slope_for_each(cube):
    """Oracle: centre, width and slope that were put in, within the noise (S/N of hundreds)."""
    light = linemap(cube, lambda x, y: 50 * np.exp(-0.5 * ((y - 0.04) / 0.17) ** 2 + 0.8 * x), 1.0)
    found = measure(cube, placed(cube, *wakes()), {"halpha": light}, WAVES, 20.0)
    for profile in found.values():
        assert profile.across_arcsec == pytest.approx(0.04, abs=0.01)
        assert profile.sigma_across_arcsec == pytest.approx(0.17, abs=0.01)
        assert profile.slope_per_arcsec == pytest.approx(0.8, abs=0.25)
        assert np.isinf(profile.sigma_along_arcsec)
        assert profile.source == "flux_halpha"
    assert "0.17" in describe(found["a"])


def test_a_spot_has_its_own_centre_and_widths(cube):
    light = linemap(
        cube,
        lambda x, y: 80 * np.exp(-0.5 * ((x + 0.05) / 0.2) ** 2 - 0.5 * ((y - 0.1) / 0.14) ** 2),
        1.0,
    )
    spot = cases.aperture(name="spot", profile="compact", length_arcsec=0.8, width_arcsec=0.8)
    found = measure(cube, placed(cube, spot), {"halpha": light}, WAVES, 20.0)["spot"]
    assert found.along_arcsec == pytest.approx(-0.05, abs=0.01)
    assert found.across_arcsec == pytest.approx(0.1, abs=0.01)
    assert found.sigma_along_arcsec == pytest.approx(0.2, abs=0.01)
    assert found.sigma_across_arcsec == pytest.approx(0.14, abs=0.01)


def test_a_map_of_noise_gives_no_profile(cube):
    noise = linemap(cube, lambda x, y: 0.0 * x, 1.0)
    spot = cases.aperture(name="spot", profile="compact")
    found = measure(cube, placed(cube, *wakes(), spot), {"halpha": noise}, WAVES, 20.0)
    width = psf_sigma(cube, np.array([np.median(cube.wave)]))[0]
    assert found["a"].sigma_across_arcsec == found["spot"].sigma_along_arcsec == width
    assert "no map is bright enough" in found["a"].source
    assert "no map is bright enough" in found["spot"].source


def test_a_profile_is_never_narrower_than_the_psf(cube):
    sharp = linemap(cube, lambda x, y: 500.0 * (np.abs(y) < 0.05), 1.0)
    found = measure(cube, placed(cube, *wakes()), {"halpha": sharp}, WAVES, 20.0)["a"]
    assert found.sigma_across_arcsec >= psf_sigma(cube, np.array([1.289]))[0] * (1 - 1e-9)


def test_light_of_the_whole_aperture_is_one_and_widens_with_the_psf(cube):
    """Oracle: the sum over shares; second moments of the light, with wavelength."""
    wide = cube.replace(psf=ard.Psf([1.27, 1.29], [0.1, 0.4], "a test"))
    spot = cases.aperture(name="spot", profile="point", length_arcsec=2.0, width_arcsec=2.0)
    (there,) = placed(wide, spot)
    profile = measure(wide, [there], {}, WAVES, 20.0)["spot"]
    light = light_of(there, wide, profile)
    np.testing.assert_allclose(light @ there.share, 1.0)
    moment = (light * there.across**2) @ there.share
    np.testing.assert_allclose(moment, psf_sigma(wide, wide.wave) ** 2, rtol=0.03)
    flat = light_of(there, wide, None)
    assert np.ptp(flat) < 1e-12
    assert describe(None) == "flat"


@pytest.mark.parametrize("cut", [-1.45, 1.5, 1.6], ids=str)
def test_of_a_cut_aperture_the_light_on_the_grid_counts_not_its_area(cube, cut):
    """Oracle: the same aperture on a grid that goes on; its light where the small grid ends.

    A wake whose light rises along the axis and lies beside the middle of the box.
    """
    profile = Gaussian(0.05, 0.12, np.inf, 0.17, 2.5, 1.289, "a test")
    box = cases.aperture(along_arcsec=cut, across_arcsec=0.1, profile="wake",
                         length_arcsec=0.8, width_arcsec=1.0)  # fmt: skip
    (small,) = placed(cube, box)
    more = 20
    wcs = cube.wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix + more
    wcs.wcs.set()
    large = place(box, RBH1, wcs, tuple(n + 2 * more for n in SHAPE[1:]))
    assert 0.2 < small.inside < 0.95
    assert large.inside == pytest.approx(1.0, abs=1e-9)
    whole = light_of(large, cube, profile)
    np.testing.assert_allclose(whole @ large.share, 1.0)
    row, column = (k - more for k in np.divmod(large.spaxels, SHAPE[2] + 2 * more))
    there = (row >= 0) & (row < SHAPE[1]) & (column >= 0) & (column < SHAPE[2])
    expected = (whole * there) @ large.share
    found = light_of(small, cube, profile) @ small.share
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.abs(found - small.inside).min() > 0.03  # of the area it is another part
    np.testing.assert_allclose(light_of(small, cube, None) @ small.share, small.inside, rtol=1e-4)


def test_without_a_psf_light_is_flat(cube):
    blurred = cube.replace(psf=None)
    assert measure(blurred, placed(blurred, *wakes()), {}, WAVES, 20.0) == {}


def test_what_the_profile_misses_is_known_from_the_map(cube):
    """Oracle: sums of known light with the weights of a profile that is narrower, in closed form.

    A box whose spaxels are all used has none of it, and of noise alone nothing is left.
    """
    narrow = Gaussian(0.0, 0.0, np.inf, 0.10, 0.0, 1.289, "a test")
    own = placed(cube, cases.aperture(profile="wake"))[0]
    light = light_of(own, cube, narrow)
    weights = light / (light**2).sum(axis=1, keepdims=True)

    def shape(x, y):
        return 50 * np.exp(-0.5 * (y / 0.2) ** 2)

    def off(maps, by):
        return mismatch(own, by, light, maps, {"flux_halpha": 1.2812}, cube.wave, min_snr=20.0)

    true = shape(own.along, own.across)
    expected = abs(float(weights[2] @ true) / float(own.share @ true) - 1.0)
    assert expected > 0.05
    known = {"halpha": linemap(cube, shape, 0.05)}
    assert off(known, weights) == pytest.approx(expected, rel=0.02)
    box = np.broadcast_to(own.share, light.shape)
    assert off(known, box) == 0.0
    right = light_of(own, cube, Gaussian(0.0, 0.0, np.inf, 0.2, 0.0, 1.289, "a test"))
    best = right / (right**2).sum(axis=1, keepdims=True)
    noisy = {"halpha": linemap(cube, shape, 3.0, seed=4)}
    found = mismatch(own, best, right, noisy, {"flux_halpha": 1.2812}, cube.wave, min_snr=20.0)
    assert found < 0.03
    assert off({"halpha": linemap(cube, lambda x, y: 0.0 * x, 1.0)}, weights) is None
    assert off({}, weights) is None
