"""Do the mosaics show the sky, with the noise and the covariance that they state?

Oracles: hand-made pointings with and without noise, the closed form of the difference, Monte
Carlo, and plain astropy for what is on disk.
"""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

import ard
from ard.describe import unit_text
from ard.s3d import DO_NOT_USE
from pipeline.reduce.combine.grid import GridMismatchError
from pipeline.reduce.difference.apertures import sky_spaxels
from pipeline.reduce.difference.functional import line_channels
from pipeline.reduce.difference.mosaic import (
    Config,
    continuum_rows,
    pairs_of,
    run,
    strength_facts,
)
from pipeline.reduce.difference.pointing import differenced
from schemas import tables

CUBES = ("mosaic", "differenced", "deghosted")
# As in the hand-made pointings: the true scatter is twice the stated error.
SCATTER = 2.0
REACH = Config(clear_arcsec=1.6)


def strengths(value=1.0, err=0.002, status="measured"):
    facts = {"method": "pointings", "item": "all", "line": "all", "status": status}
    row = facts | {"strength": value, "strength_err": err}
    return ard.Table(QTable({name: [entry] for name, entry in row.items()}), {})


@pytest.fixture(scope="module")
def noisy(observe, target):
    made = observe(width=0.4, seed=5)
    found = run(combined=made.combined, strengths=strengths(), target=target, config=REACH)
    return made, found


@pytest.fixture(scope="module")
def quiet(observe, target):
    made = observe(width=0.4, noise=0.0)
    return run(combined=made.combined, strengths=strengths(err=0.0), target=target, config=REACH)


@pytest.mark.parametrize("name", CUBES)
def test_errors_are_those_of_the_noise(name, noisy, quiet):
    """The same scene without noise; 600,000 voxels know a scatter to a thousandth.

    The continuum under a line is known from eighteen channels: its noise is shared by them all.
    """
    cube, clean = noisy[1][name], quiet[name]
    used = ~cube.mask
    assert used.mean() > 0.9
    pulls = (cube.flux - clean.flux) / cube.err / SCATTER
    assert np.sqrt(np.mean(pulls[used] ** 2)) == pytest.approx(1.0, abs=0.01)


def test_errors_of_deghosted_lines_are_those_of_the_noise(noisy, quiet, target):
    """Where light was put back alone: a twentieth of the voxels, independent but for the fit."""
    cube, clean = noisy[1]["deghosted"], quiet["deghosted"]
    blocked = line_channels(cube.wave, target.lines, target.redshift, (-1200.0, 600.0))
    near = ~sky_spaxels(target, cube.wcs, cube.shape[1:], 1.0)
    used = ~cube.mask & blocked[:, None, None] & near
    pulls = ((cube.flux - clean.flux) / cube.err / SCATTER)[used]
    assert pulls.size > 10_000
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=0.05)
    # The noise of the other pointing is not added there.
    assert np.median(cube.err[used]) < 0.85 * np.median(noisy[1]["differenced"].err[used])


def test_noise_is_shared_at_the_offset_as_the_table_says(noisy, quiet):
    """Monte Carlo over channels, where both pointings look: each voxel counts twice in there."""
    shares = {
        (str(p), int(x), int(y)): float(c)
        for p, x, y, c in zip(
            *(noisy[1]["sharing"].data[n] for n in ("product", "dx", "dy", "correlation")),
            strict=True,
        )
    }
    largest = min(shares, key=lambda key: shares[key])
    assert largest == ("differenced", -9, 6)
    assert shares[largest] == pytest.approx(-0.47, abs=0.02)  # half, less what resampling spreads
    assert sum(c for (p, _, y), c in shares.items() if p == "differenced" and y > 3) < -0.5
    assert all(c > 0 for (p, _, _), c in shares.items() if p == "mosaic")
    noise = noisy[1]["differenced"].flux - quiet["differenced"].flux
    one, other = noise[:, 12:28, 21:33], noise[:, 18:34, 12:24]
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] == pytest.approx(shares[largest], abs=0.02)
    plain = noisy[1]["mosaic"].flux - quiet["mosaic"].flux
    one, other = plain[:, 12:28, 21:33], plain[:, 18:34, 12:24]
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02


def test_the_mosaics_hold_wake_and_ghosts_on_one_grid(quiet, observe, target):
    """Closed form: W, W - [W(x - d) + W(x + d)] / 2 where both look, and W again."""
    shape, wcs = quiet["mosaic"].shape, quiet["mosaic"].wcs
    assert shape[1:] > (41, 41)
    for name in CUBES:
        assert quiet[name].shape == shape
        assert quiet[name].wcs.wcs.compare(wcs.wcs)
    image, less, back = (np.nan_to_num(quiet[name].flux[501]) for name in CUBES)
    wake = image - 1.0
    assert less.min() < -0.35 * wake.max()
    ny, nx = wake.shape
    y, x = np.mgrid[14 : ny - 14, 16 : nx - 16]  # both look, at the ghosts as well
    ghost = 0.5 * (wake[y - 6, x + 9] + wake[y + 6, x - 9])  # to a quarter of a spaxel
    assert np.abs(less[y, x] - (wake[y, x] - ghost)).max() < 0.2 * wake.max()
    # Light that is put back: all but that farther than 1.6 arcsec, where exp(-8) is left.
    assert np.abs(back[y, x] - wake[y, x]).max() < 4e-4 * wake.max()
    assert np.abs(less[y, x] - wake[y, x]).max() > 0.3 * wake.max()


@pytest.mark.parametrize("scale", [0.8, 1.25])
def test_all_light_is_put_back_whatever_the_strength(observe, target, quiet, scale):
    """Two views of other flux scales: what was taken off is scale times the wake, and known.

    Closed form: the mean of both scales times the wake remains, and no ghost.
    """
    made = observe(width=0.4, noise=0.0).combined
    other = made["t002"]
    made["t002"] = other.replace(flux=scale * other.flux)
    found = run(combined=made, strengths=strengths(0.5, 0.1), target=target, config=REACH)
    cube = found["deghosted"]
    assert (cube.meta["GHOSTSTR"], cube.meta["GHOSTERR"]) == (0.5, 0.1)
    again = run(combined=made, strengths=strengths(), target=target, config=REACH)["deghosted"]
    np.testing.assert_array_equal(cube.flux, again.flux)
    np.testing.assert_array_equal(cube.var, again.var)
    wake = np.nan_to_num(quiet["mosaic"].flux[501]) - 1.0
    back = np.nan_to_num(cube.flux[501])
    y, x = np.mgrid[14 : wake.shape[0] - 14, 16 : wake.shape[1] - 16]  # both look
    expected = 0.5 * (1.0 + scale) * wake
    assert np.abs(back - expected)[y, x].max() < 1e-2 * wake.max()


def test_a_strength_that_was_not_measured_is_not_told():
    assert strength_facts(strengths(0.3, 0.1)) == {"GHOSTSTR": 0.3, "GHOSTERR": 0.1}
    assert strength_facts(strengths(np.nan, np.nan, "undetected")) == {}


def test_what_the_other_pointing_lacks_is_masked(observe, target):
    made = observe(noise=0.0).combined
    other = made["t002"]
    mask = other.mask.copy()
    mask[200, 10:13, 10:13] = True
    made["t002"] = other.replace(mask=mask, flux=np.where(mask, np.nan, other.flux))
    cube = differenced(made["t001"], made["t002"])
    np.testing.assert_array_equal(cube.mask, mask)
    found = run(combined=made, strengths=strengths(), target=target, config=REACH)["differenced"]
    assert np.array_equal(found.mask, (found.dq & DO_NOT_USE) != 0)


def test_the_continuum_under_a_line_is_a_straight_line():
    """Closed form: a straight spectrum is its own continuum, whatever lies in the line."""
    blocked = np.zeros(60, bool)
    blocked[[*range(4), *range(20, 31), *range(33, 40)]] = True
    live = np.ones(60, bool)
    live[19] = False
    rows = continuum_rows(blocked, live, 6)
    assert rows.shape == (int(blocked.sum()), 60)
    assert (rows[:, blocked | ~live] == 0).all()
    np.testing.assert_allclose(rows.sum(axis=1), 1.0)
    spectrum = 3.0 - 0.1 * np.arange(60)
    np.testing.assert_allclose((rows @ spectrum)[4:], spectrum[blocked][4:], atol=1e-12)
    np.testing.assert_allclose((rows @ spectrum)[:4], spectrum[4:10].mean())  # one side


def test_a_stranger_opens_them_with_astropy(noisy, tmp_path):
    """Plain astropy: extensions, units, coordinates, masks and keywords."""
    found = noisy[1]
    for name in CUBES:
        ard.write(tmp_path / f"{name}.fits", found[name])
        with fits.open(tmp_path / f"{name}.fits", checksum=True) as hdus:
            flux, err, dq, wmap = (hdus[key].data for key in ("SCI", "ERR", "DQ", "WMAP"))
            assert hdus["SCI"].header["BUNIT"] == "MJy/sr"
            good = (dq & DO_NOT_USE) == 0
            np.testing.assert_array_equal(good, ~found[name].mask)
            assert np.isfinite(flux[good]).all()
            assert (err[good] > 0).all()
            assert (wmap[good] > 0).all()
            sky = WCS(hdus["SCI"].header).celestial
            place = sky.pixel_to_world(25, 25)
            expected = found[name].wcs.pixel_to_world(25, 25)
            assert place.separation(expected).arcsec < 1e-6
            head = hdus[0].header
            assert head["S_BKDSUB"] == ("SKIPPED" if name == "mosaic" else "COMPLETE")
            assert head["NPOINTS"] == 2
            assert "TARG_RA" not in head
            assert ("GHOSTSTR" in head) == (name == "deghosted")


def test_the_table_of_what_is_shared_follows_its_model(noisy):
    data = noisy[1]["sharing"].data
    columns = {name: np.asarray(data[name]).tolist() for name in data.colnames}
    units = {name: unit_text(data[name].unit) for name in data.colnames}
    assert tables.validate(columns, units, "sharing") == ()


def test_pointings_that_do_not_fit_are_refused(observe, target):
    made = observe(noise=0.0).combined
    with pytest.raises(ard.FormatError, match="needs two pointings"):
        pairs_of({"t001": made["t001"]})
    cube = made["t002"]
    turned = cube.replace(meta=dict(cube.meta) | {"PA_APER": 40.0})
    first = made["t001"].replace(meta=dict(made["t001"].meta) | {"PA_APER": 37.0})
    with pytest.raises(GridMismatchError, match="rolls"):
        pairs_of({"t001": first, "t002": turned})


@pytest.mark.parametrize("wrong", [{"clear_arcsec": 0.0}, {"continuum": 0}, {"line_low_kms": 900}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"above 0|below"):
        Config(**wrong)
