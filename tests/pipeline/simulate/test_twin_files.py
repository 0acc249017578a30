"""Is what the simulator hands out what the archive would deliver, with its truth beside it?"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from scipy.ndimage import map_coordinates
from scipy.special import ndtr

from ard import ArdError
from ard.fitsio import write_hdus
from ard.s3d import read_cube
from pipeline.simulate import TwinConfig, geometry, optics, run, scenes

Observation = dict[str, Any]
Observe = Callable[..., Observation]
LEVEL3 = "archive/jw03149-o001_{}_nirspec_g140m-f100lp_s3d.fits"
T001, T002 = LEVEL3.format("t001"), LEVEL3.format("t002")
MAD = 1.482602218505602


def _cubes(observation: Observation) -> list[str]:
    return [name for name in observation if name.endswith("_s3d.fits")]


def _exposures(observation: Observation) -> list[str]:
    return [name for name in _cubes(observation) if "_nrs1_" in name]


def _truth(observation: Observation, layer: str, item: str) -> np.ndarray:
    return np.asarray(observation["truth/truth.fits"][f"{item}_{layer}".upper()].data, float)


def test_names_and_kinds_are_complete(tiny: Observation) -> None:
    assert len(_cubes(tiny)) == 18
    assert sorted(name for name in tiny if "hst_" in name) == [
        "archive/hst_17301_01_wfc3_uvis_f200lp_if3x01_drc.fits",
        "archive/hst_17301_01_wfc3_uvis_f350lp_if3x01_drc.fits",
    ]
    assert {name for name in tiny if name.startswith("truth/")} == {
        "truth/noiseless.fits",
        "truth/truth.fits",
        "truth/truth.json",
    }


def test_layout_is_that_of_the_archive(tiny: Observation) -> None:
    """Oracle: extensions, types and cards of the real s3d files."""
    for name in _cubes(tiny):
        hdus = tiny[name]
        table = ["HDRTAB"] if "_nrs1_" not in name else []
        images = ["SCI", "ERR", "DQ", "WMAP"]
        assert [h.name for h in hdus] == ["PRIMARY", *images, *table, "ASDF"]
        assert [hdus[k].data.dtype.itemsize for k in images] == [4, 4, 4, 4]
        head, sci = hdus[0].header, hdus["SCI"].header
        assert head["FILENAME"] == name.removeprefix("archive/")
        assert (head["TELESCOP"], head["INSTRUME"]) == ("JWST", "NIRSPEC")
        assert (head["EXP_TYPE"], head["PROGRAM"]) == ("NRS_IFU", "03149")
        assert head["SIMULATD"] is True
        assert "SIMULATED" in str(head["HISTORY"])
        assert sci["BUNIT"] == "MJy/sr"
        assert sci["CRVAL3"] == 0.97031802861602
        assert sci["CDELT3"] == 0.000636000011581927
        assert sci["CRPIX3"] == 1 - 488
        assert not any("CHECKSUM" in h.header for h in hdus)


def test_s_region_is_the_grid_of_the_file(tiny: Observation) -> None:
    """Oracle: the footprint that astropy gives for the WCS in the same header."""
    for name in _cubes(tiny):
        header = tiny[name]["SCI"].header
        corners = SkyCoord(WCS(header).celestial.calc_footprint(center=False), unit="deg")
        words = header["S_REGION"].split()[2:]
        found = SkyCoord(np.array(words, float).reshape(4, 2), unit="deg")
        # Nine decimals of a degree are 4e-6 arcsec; both begin at the lower left.
        assert found.separation(corners).arcsec.max() < 1e-5


def test_unseen_voxels_are_flagged_alike(tiny: Observation) -> None:
    """Oracle: the invariant of the real cubes: NaN <=> DQ 513 <=> WMAP 0."""
    for name in _cubes(tiny):
        sci, err, dq, wmap = (tiny[name][k].data for k in ("SCI", "ERR", "DQ", "WMAP"))
        unseen = np.isnan(sci)
        assert unseen.any()
        assert not unseen.all()
        np.testing.assert_array_equal(dq, np.where(unseen, 513, 0))
        np.testing.assert_array_equal(wmap == 0, unseen)
        assert np.isnan(err[unseen]).all()
        errorless = np.argwhere(np.isnan(err) & ~unseen)
        item = tiny["truth/truth.json"]["pointings"].get(name.split("_")[1], {})
        assert errorless.tolist() == item.get("errorless_voxels", [])
        assert (err[np.isfinite(err)] > 0).all()


def test_the_noiseless_cube_is_the_combined_one_without_noise(observe: Observe) -> None:
    """Oracle: the Level-3 cube of the same observation, made without noise and hot pixels."""
    quiet = observe(scatter_ratio=0.0, outliers=False)
    for item in ("t001", "t002"):
        seen = quiet[LEVEL3.format(item)]["SCI"].data
        sky = quiet["truth/noiseless.fits"][f"{item}_NOISELESS".upper()]
        assert sky.header["ITEM"] == item
        inside = np.isfinite(seen)
        np.testing.assert_allclose(sky.data[inside], seen[inside], rtol=1e-5)


def test_some_level3_voxels_have_no_error(tiny: Observation) -> None:
    """Oracle: the one real cube with 98 of them."""
    for item in ("t001", "t002"):
        assert len(tiny["truth/truth.json"]["pointings"][item]["errorless_voxels"]) > 0


def test_imprints_can_be_recognised(tiny: Observation) -> None:
    """Oracle: science.md error (d) and the real 08101_00004: short, noisy, without the target."""
    imprints = [n for n in _exposures(tiny) if tiny[n][0].header["IS_IMPRT"]]
    assert len(imprints) == 8
    assert all("_06101_" in n or "_08101_" in n for n in imprints)
    listed = tiny["truth/truth.json"]["pointings"]
    assert sorted(n.removeprefix("archive/") for n in imprints) == sorted(
        name for item in listed.values() for name in item["imprint"]
    )
    for name in _exposures(tiny):
        head, err = tiny[name][0].header, tiny[name]["ERR"].data
        imprint = name in imprints
        assert (head["EFFEXPTM"] == 3501.334) is not imprint
        assert (head["EFFEXPTM"] < 500) is imprint
        assert bool(np.nanmedian(err) > 1.0) is imprint
        assert head["S_IMPRNT"] == ("SKIPPED" if imprint else "COMPLETE")
        assert head["S_BKDSUB"] == "SKIPPED"


def test_header_table_lists_the_science_exposures(tiny: Observation) -> None:
    for item, sequence in (("t001", "02101"), ("t002", "04101")):
        table = tiny[LEVEL3.format(item)]["HDRTAB"].data
        assert list(table["FILENAME"]) == [
            f"jw03149001001_{sequence}_0000{k}_nrs1_cal.fits" for k in (1, 2, 3, 4)
        ]
        assert list(table["PATT_NUM"]) == [1, 2, 3, 4]
        assert not table["IS_IMPRT"].any()
        assert table["EFFEXPTM"].sum() == pytest.approx(14005.336)
        assert set(table["S_BKDSUB"]) == {"SKIPPED"}
    assert tiny[T001]["HDRTAB"].data["TARG_RA"][0] == 40.44051


def _shifted(hdus: fits.HDUList, onto: fits.HDUList, layer: str) -> np.ndarray:
    """Put an exposure on the grid of a combined cube, by the two celestial WCS."""
    here, there = (WCS(h["SCI"].header).celestial for h in (hdus, onto))
    x, y = there.wcs_world2pix(*here.wcs_pix2world(0, 0, 0), 0)
    assert abs(x - np.round(x)) < 1e-6
    assert abs(y - np.round(y)) < 1e-6
    out = np.full(onto["SCI"].shape, np.nan)
    data = hdus[layer].data
    at = (round(float(y)), round(float(x)))
    out[:, at[0] : at[0] + data.shape[1], at[1] : at[1] + data.shape[2]] = data
    return out


def test_level3_is_the_average_of_its_exposures(observe: Observe) -> None:
    """Oracle: shift by the headers, average, error by quadrature; no hot pixels in this run."""
    observation = observe(outliers=False)
    for item in ("t001", "t002"):
        level3 = observation[LEVEL3.format(item)]
        names = observation["truth/truth.json"]["pointings"][item]["science"]
        parts = [observation[f"archive/{name}"] for name in names]
        sci = np.stack([_shifted(part, level3, "SCI") for part in parts])
        err = np.stack([_shifted(part, level3, "ERR") for part in parts])
        count = np.isfinite(sci).sum(axis=0)
        assert count.max() == 4
        seen = count > 0
        np.testing.assert_array_equal(seen, np.isfinite(level3["SCI"].data))
        mean = np.nansum(sci, axis=0)[seen] / count[seen]
        np.testing.assert_allclose(level3["SCI"].data[seen], mean, rtol=2e-6, atol=2e-6)
        spread = np.sqrt(np.nansum(err**2, axis=0)[seen]) / count[seen]
        known = np.isfinite(level3["ERR"].data[seen])
        np.testing.assert_allclose(level3["ERR"].data[seen][known], spread[known], rtol=2e-6)


def test_exposures_between_spaxels_see_the_same_sky(observe: Observe) -> None:
    """Oracle: the noiseless Level-3 cube, interpolated by cubic splines at the sky of the file."""
    observation = observe(dithers="real", outliers=False, scatter_ratio=0.0)
    level3 = observation[T001]
    there = WCS(level3["SCI"].header).celestial
    cube = np.nan_to_num(level3["SCI"].data)
    channel = int(cube.max(axis=(1, 2)).argmax())  # of H alpha
    image = cube[channel]
    for name in observation["truth/truth.json"]["pointings"]["t001"]["science"]:
        hdus = observation[f"archive/{name}"]
        data = hdus["SCI"].data[channel]
        y, x = np.indices(data.shape)
        sky = WCS(hdus["SCI"].header).celestial.wcs_pix2world(x, y, 0)
        place = np.array(there.wcs_world2pix(*sky, 0))[::-1]
        inside = np.isfinite(data) & (place > 2).all(axis=0)
        inside &= (place[0] < image.shape[0] - 3) & (place[1] < image.shape[1] - 3)
        peak = data[inside].max() - np.median(data[inside])
        off = [
            np.abs(map_coordinates(image, at) - data)[inside].max() / peak
            for at in (place, np.rint(place))
        ]
        assert off[0] < 0.1
        assert off[1] > 2.0 * off[0]


def test_hot_pixels_are_negative_in_science_and_left_out_of_level3(tiny: Observation) -> None:
    """Oracle: the difference of an imprint and a science exposure at the same place."""
    imprint = tiny["archive/jw03149001001_06101_00001_nrs1_s3d.fits"]["SCI"].data
    hot = np.nan_to_num(imprint) > 300
    assert hot.sum() > 10
    science = tiny["archive/jw03149001001_02101_00001_nrs1_s3d.fits"]["SCI"].data
    np.testing.assert_allclose(science[hot], -imprint[hot], rtol=0.5, atol=60)
    assert (tiny[T001]["SCI"].data[np.isfinite(tiny[T001]["SCI"].data)] < -300).mean() < 0.02


def test_level3_noise_is_that_of_the_real_cubes(observe: Observe) -> None:
    """Oracle: scatter of about 1.9 ERR, robustly; medians 1.22 and 0.61; heavy tails."""
    blank = observe(truth="blank")
    for name, median in ((T001, 1.22), (T002, 0.61)):
        sci, err = blank[name]["SCI"].data, blank[name]["ERR"].data
        good = np.isfinite(sci) & np.isfinite(err)
        assert np.median(sci[good]) == pytest.approx(median, rel=0.06)
        middle = np.nanmedian(sci, axis=(1, 2), keepdims=True)
        ratio = MAD * np.median(np.abs(((sci - middle) / err)[good]))
        assert 1.7 < ratio < 2.1  # as measured on real cubes; outliers lift it a little
        assert np.median(err[good]) == pytest.approx(0.05, abs=0.015)
        low, high = np.percentile(sci[good], [1, 99])
        assert -500 < low < -80  # -241 in the real cubes
        assert 3 < high < 30  # 10.3 in the real cubes
        assert sci[good].min() < -2000


def test_same_seed_same_bytes_other_seed_other_noise(observe: Observe, tmp_path: Path) -> None:
    """Oracle: invariance. Compared bit by bit; the truth does not know the seed."""
    first, again, other = observe(), dict(run(TwinConfig(size="tiny"))), observe(seed=12)
    assert list(first) == list(again) == list(other)
    for name in _cubes(first):
        for k in ("SCI", "ERR", "WMAP"):
            assert first[name][k].data.tobytes() == again[name][k].data.tobytes()
        assert first[name]["SCI"].data.tobytes() != other[name]["SCI"].data.tobytes()
        assert first[name][0].header == again[name][0].header
    for a, b in zip(first["truth/truth.fits"][1:], other["truth/truth.fits"][1:], strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert first["truth/truth.json"] == again["truth/truth.json"]
    for name in (T001, "truth/truth.fits"):
        for observation, file in ((first, "a.fits"), (again, "b.fits")):
            write_hdus(tmp_path / file, observation[name], overwrite=True)
        assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()


def _halpha(observation: Observation, name: str) -> np.ndarray:
    """Sum H alpha over channels, with the background of its neighbourhood taken off."""
    data = np.asarray(observation[name]["SCI"].data, float)
    wave = geometry.window("tiny").wave
    centre = 0.6564632 * 1.964
    line = np.abs(wave - centre * (1 - 270 / 299792.458)) < 0.0105
    free = (wave > 1.304) & (wave < 1.311)
    return np.asarray((data[line] - np.median(data[free], axis=0)).sum(axis=0))


def test_difference_of_pointings_holds_a_ghost(observe: Observe) -> None:
    """Oracle: geometry by astropy, and the truth's maps: own minus other, strength -1."""
    quiet = observe(subtraction="pointings", scatter_ratio=0.0, outliers=False)
    wcs = WCS(quiet[T001]["SCI"].header).celestial
    image = np.nan_to_num(_halpha(quiet, T001))
    places = []
    for sign in (1, -1):
        part = np.clip(sign * image, 0, None)
        y, x = np.unravel_index(np.argmax(part), part.shape)
        box = np.s_[y - 2 : y + 3, x - 2 : x + 3]
        rows, columns = np.mgrid[box]
        weight = part[box] / part[box].sum()
        places.append(
            SkyCoord(
                *wcs.wcs_pix2world((columns * weight).sum(), (rows * weight).sum(), 0), unit="deg"
            )
        )
    assert places[0].separation(places[1]).arcsec == pytest.approx(1.063, abs=0.05)
    assert places[0].position_angle(places[1]).deg == pytest.approx(56.3, abs=3)
    ghost = quiet["truth/truth.json"]["pointings"]["t001"]["ghost"]
    east, north = ghost["offset_arcsec"]
    assert np.hypot(east, north) == pytest.approx(1.063, abs=0.003)
    assert np.rad2deg(np.arctan2(east, north)) == pytest.approx(56.3, abs=0.3)
    own, other = (_truth(quiet, "flux_Halpha", item) for item in ("t001", "t002"))
    seen = np.isfinite(_halpha(quiet, T001))
    fit, *_ = np.linalg.lstsq(np.stack([own[seen], other[seen]], axis=1), image[seen], rcond=None)
    assert fit[1] / fit[0] == pytest.approx(ghost["strength"], abs=0.02)
    assert ghost["present"]


def test_subtraction_is_declared_and_adds_noise(observe: Observe) -> None:
    """Oracle: the difference of the two cubes that are delivered without subtraction."""
    plain, difference = observe(), observe(subtraction="pointings")
    a, b = (plain[name]["SCI"].data for name in (T001, T002))
    np.testing.assert_allclose(difference[T001]["SCI"].data, a - b, rtol=1e-6)
    np.testing.assert_allclose(difference[T002]["SCI"].data, b - a, rtol=1e-6)
    assert difference[T001][0].header["S_BKDSUB"] == "COMPLETE"
    assert set(difference[T001]["HDRTAB"].data["S_BKDSUB"]) == {"COMPLETE"}
    assert plain[T001][0].header["S_BKDSUB"] == "SKIPPED"
    assert not plain["truth/truth.json"]["pointings"]["t001"]["ghost"]["present"]


def test_ghost_fraction_is_the_share_of_the_wake_removed(observe: Observe) -> None:
    """Oracle: the wake is thinner than the offset, so that the ghost of this geometry misses it;
    a blank field has no fraction."""
    for truth, expected in (("bow_ring", True), ("blank", False)):
        fraction = observe(truth=truth)["truth/truth.json"]["pointings"]["t002"]["ghost"][
            "wake_fraction"
        ]
        assert (fraction is not None) is expected
        assert fraction is None or 0 < fraction < 0.05


def test_a_broad_wake_loses_tens_of_per_cent_to_its_ghost(observe: Observe) -> None:
    """Closed form: shares of a Gaussian of 6 kpc, and of the same 1.063 arcsec aside, in 0.6."""
    width = float(np.hypot(6.0 / 7.937, 0.08))  # with the point-spread function
    shares = [float(np.diff(ndtr((np.array([-0.3, 0.3]) - d) / width))[0]) for d in (0, 1.063)]
    items = observe(truth="broad_wake")["truth/truth.json"]["pointings"]
    for item in items.values():
        fraction = item["ghost"]["wake_fraction"]
        assert fraction == pytest.approx(shares[1] / shares[0], abs=0.03)  # edges of spaxels
        assert 0.3 < fraction < 0.5


def test_truth_maps_agree_with_the_noiseless_cube(observe: Observe) -> None:
    """Oracle: sums and centroids over the channels of the noiseless cube, minus a blank one."""
    quiet, blank = (
        observe(scatter_ratio=0.0, outliers=False, truth=truth) for truth in ("disc", "blank")
    )
    wave = geometry.window("tiny").wave
    cube = np.asarray(quiet[T001]["SCI"].data, float) - blank[T001]["SCI"].data
    cube -= _truth(quiet, "continuum", "t001")
    line = wave < 1.305
    flux = (cube * optics.flux_per_mjy_sr(wave)[:, None, None])[line]
    halpha = _truth(quiet, "flux_Halpha", "t001")
    strong = (halpha > 3e-17) & np.isfinite(cube[0])
    assert strong.sum() > 20
    # H II ratios: log [N II]6583/Ha = -1.7, and a 2.942th of that in 6548.
    nii = 10**-1.7 * np.array([1, 1 / 2.942])
    total = flux.sum(axis=0)[strong] / 0.01
    np.testing.assert_allclose(total, (1 + nii.sum()) * halpha[strong], rtol=3e-3)
    mean = (flux * wave[line][:, None, None]).sum(axis=0)[strong] / flux.sum(axis=0)[strong]
    rest = np.average([0.6564632, 0.658527, 0.654986], weights=[1, *nii])
    velocity = (mean / (rest * 1.964) - 1) * 299792.458
    np.testing.assert_allclose(velocity, _truth(quiet, "velocity_Halpha", "t001")[strong], atol=3)


def test_blank_truth_is_blank(observe: Observe) -> None:
    blank = observe(truth="blank")
    assert (_truth(blank, "flux_Halpha", "t001") == 0).all()
    assert np.isnan(_truth(blank, "velocity_Halpha", "t001")).all()
    assert blank["truth/truth.json"]["components"] == []


@pytest.mark.parametrize("truth", ["thin_shell", "disc", "rotator"])
def test_other_truths_shine_in_both_pointings(observe: Observe, truth: str) -> None:
    observation = observe(truth=truth)
    for item in ("t001", "t002"):
        flux = _truth(observation, "flux_Halpha", item)
        assert flux.max() > 1e-17
        velocity = _truth(observation, "velocity_Halpha", item)
        assert -750 < np.nanmin(velocity) < np.nanmax(velocity) < 150


def test_truth_is_plain_json_with_the_config(tiny: Observation) -> None:
    document = json.loads(json.dumps(tiny["truth/truth.json"], allow_nan=False))
    assert document["schema"] == "truth"
    assert document["simulated"] is True
    assert document["config"]["truth"] == "bow_ring"
    assert [c["name"] for c in document["components"]] == ["bow", "wake", "envelope"]
    assert len(document["lines"]) == 10


def test_hst_images_show_host_and_wake(tiny: Observation) -> None:
    """Oracle: position and magnitude of the host that were put in, measured on the image."""
    hdus = tiny["archive/hst_17301_01_wfc3_uvis_f350lp_if3x01_drc.fits"]
    assert [h.name for h in hdus] == ["PRIMARY", "SCI", "WHT", "CTX"]
    assert hdus["SCI"].header["BUNIT"] == "ELECTRONS/S"
    image = hdus["SCI"].data - np.median(hdus["SCI"].data)
    wcs = WCS(hdus["SCI"].header)
    x, y = (float(v) for v in wcs.wcs_world2pix(*scenes.HOST_DEG, 0))
    rows, columns = np.mgrid[0:300, 0:300]
    near = np.hypot(columns - x, rows - y) < 20
    # PHOTFLAM -> AB: f_nu = PHOTFLAM pivot^2 / c.
    head = hdus["SCI"].header
    f_nu = image[near].sum() * head["PHOTFLAM"] * head["PHOTPLAM"] ** 2 / 2.99792458e18
    assert -2.5 * np.log10(f_nu) - 48.6 == pytest.approx(21.85, abs=0.05)
    assert columns[near][np.argmax(image[near])] == pytest.approx(x, abs=2)
    # Half-way along the wake there is light, beside it there is none.
    tip = np.array(wcs.wcs_world2pix(*scenes.TIP_DEG, 0))
    middle = (np.array([x, y]) + tip) / 2
    on = np.hypot(columns - middle[0], rows - middle[1]) < 4
    off = np.hypot(columns - middle[0] - 60, rows - middle[1] - 60) < 4
    assert image[on].mean() > image[off].mean() + 5 * 0.01 / np.sqrt(on.sum())


def test_the_library_reads_what_was_simulated(tiny: Observation, tmp_path: Path) -> None:
    """Oracle: the window that was simulated, read back by ard."""
    write_hdus(tmp_path / "t001.fits", tiny[T001])
    cube = read_cube(tmp_path / "t001.fits")
    np.testing.assert_allclose(cube.wave, geometry.window("tiny").wave, rtol=1e-12)
    assert cube.simulated
    lost = np.isnan(tiny[T001]["SCI"].data) | np.isnan(tiny[T001]["ERR"].data)
    np.testing.assert_array_equal(cube.mask, lost)
    x, y = cube.wcs.wcs_world2pix(*scenes.TIP_DEG, 0)
    assert 0 < x < cube.shape[2]
    assert 0 < y < cube.shape[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
def test_specutils_reads_a_level3_cube(tiny: Observation, tmp_path: Path) -> None:
    """Oracle: another package's loader of JWST s3d files."""
    specutils = pytest.importorskip("specutils")
    path = tmp_path / Path(T001).name
    write_hdus(path, tiny[T001])
    spectrum = getattr(specutils, "Spectrum", None) or specutils.Spectrum1D
    cube = spectrum.read(str(path), format="JWST s3d")
    wave = np.sort(cube.spectral_axis.to_value("um"))
    np.testing.assert_allclose(wave, geometry.window("tiny").wave, rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"truth": "comet"}, "no such truth"),
        ({"size": "huge"}, "no such size"),
        ({"subtraction": "sky"}, "no such subtraction"),
        ({"dithers": "half"}, "no such dithers"),
        ({"lsf_gain": 0.0}, "impossible"),
        ({"scatter_ratio": -1.0}, "impossible"),
    ],
)
def test_impossible_configurations_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ArdError, match=words):
        TwinConfig(**settings)
