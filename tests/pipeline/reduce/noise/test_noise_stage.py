"""The noise stage: what it finds in simulated and real cubes, and what it refuses.

Oracles: the noise that the simulator injected, measured by itself; the numbers that were measured
on a real cube (reference/archive_and_formats.md 2.2).
"""

import dataclasses

import noises
import numpy as np
import pytest

import ard
import schemas
from ard import io
from ard.errors import ArdError
from ard.likelihood import noise_from_model, read_noise
from manifests import load_acceptance, load_target
from pipeline.reduce import ingest
from pipeline.reduce.noise import stage
from pipeline.reduce.noise.correlation import measure
from pipeline.simulate import geometry

AXES = ("wave", "y", "x")


def run(cube, target=noises.RBH1, **settings):
    return stage.run(
        item="t001",
        cube=cube,
        target=target,
        exposures=None,
        roles=None,
        config=stage.Config(**settings),
    )


def truth(size: str):
    values = noises.injected_noise(size, 0)
    return measure(values, np.arange(values.shape[0]), (2, 6, 6))


# ---- the simulated observation


def test_the_document_follows_its_schema(tiny):
    model = tiny.result["model"]
    assert schemas.validate({**model, "provenance": None}, "noise-model") == ()
    assert model["simulated"]
    assert model["method"]["blue_kms"] == 1200.0


def test_scale_and_correlation_are_the_injected_ones_within_the_errors(tiny):
    model, true = tiny.result["model"], truth("tiny")
    scale, error = (np.array(model["scale"][name]) for name in ("value", "error"))
    assert np.median(scale) == pytest.approx(np.sqrt(true.variance), rel=0.05)
    assert (np.abs(scale - np.sqrt(true.variance)) < 4 * error).all()
    for axis, name in enumerate(AXES):
        value, spread = (np.array(model["correlation"][name][key]) for key in ("value", "error"))
        expected = true.along(axis)[0]
        assert (np.abs(value - expected)[1:] < 4 * spread[1:]).all()
        assert np.abs(value - expected)[1] < 0.05


def test_both_forms_whiten_and_apertures_are_as_predicted(tiny):
    model = tiny.result["model"]
    for form in ("kronecker", "fir"):
        white = model["whitened"][form]
        assert white["variance"] == pytest.approx(1.0, abs=4 * white["variance_error"])
        assert white["chi2_drawn"] > 1.02  # masked voxels are treated approximately
        assert 0.8 < white["chi2"] < 1.2
        left, error = (np.array(white[key]) for key in ("left", "left_error"))
        assert left.shape == (5, 7, 7)
        assert (np.abs(left) <= 4 * error).all()
    assert [row["side"] for row in model["apertures"]] == list(range(1, 8))
    for row in model["apertures"]:
        assert row["ratio"] == pytest.approx(1.0, abs=max(0.1, 3 * row["error"]))


def test_voxels_without_an_error_are_counted_and_not_used(tiny):
    assert tiny.result["model"]["counts"]["flux_without_error"] == 6
    noise = tiny.result["noise"].noise
    lost = np.isfinite(tiny.cube.flux) & ~np.isfinite(tiny.cube.var)
    assert lost.sum() == 6
    assert noise.mask[lost].all()


def test_the_noise_masks_what_the_cube_masks_and_outliers(tiny):
    noise = tiny.result["noise"].noise
    assert not (tiny.cube.mask & ~noise.mask).any()
    counts = tiny.result["model"]["counts"]
    assert counts["spaxels_odd"] == 0
    assert (noise.mask & ~tiny.cube.mask).sum() == counts["outliers"]
    assert noise.masks == "approximate"
    np.testing.assert_allclose(noise.scale, tiny.result["model"]["scale"]["value"])


def test_the_file_gives_the_noise_back(tiny, tmp_path):
    path = tmp_path / "t001_noise.fits"
    ard.write(path, tiny.result["noise"])
    again, noise = read_noise(path), tiny.result["noise"].noise
    assert again.logdet == noise.logdet
    facts = ard.describe(path)
    assert schemas.validate(facts, "noise") == ()
    assert (facts["kind"], facts["unit"], facts["simulated"]) == ("noise", "MJy/sr", True)
    assert facts["factors"] == ["FACTOR_WAVE", "FACTOR_Y", "FACTOR_X"]


def test_the_document_gives_the_noise_too(tiny, tmp_path):
    io.write_json(tmp_path / "model.json", tiny.result["model"])
    model, cube = io.read_json(tmp_path / "model.json"), tiny.cube
    sigma = np.where(cube.mask, 1.0, np.sqrt(cube.var))
    noise = tiny.result["noise"].noise
    again = noise_from_model(model, sigma, noise.mask, masks="approximate")
    assert again.logdet == pytest.approx(noise.logdet, rel=1e-12)
    part = np.s_[30:36, 8:16, 6:12]
    for form in ("kronecker", "fir"):
        small = noise_from_model(
            model, sigma[part], cube.mask[part], form=form, channels=slice(30, 36)
        )
        assert not small.approximate
        assert np.isfinite(small.logdet)


def test_two_runs_give_the_same_bytes(tiny, tmp_path):
    again = stage.run(
        item="t001",
        cube=tiny.cube,
        target=noises.RBH1,
        exposures=tiny.exposures,
        roles=tiny.roles,
        config=stage.Config(),
    )
    for number, result in enumerate((tiny.result, again)):
        ard.write(tmp_path / f"{number}.fits", result["noise"])
        io.write_json(tmp_path / f"{number}.json", result["model"])
    for suffix in ("fits", "json"):
        one, other = (tmp_path / f"{number}.{suffix}" for number in (0, 1))
        assert one.read_bytes() == other.read_bytes()


def test_a_lone_cube_says_that_there_were_no_exposures(tiny):
    model = run(tiny.cube)["model"]
    assert model["dithers"]["reason"] == "no exposures were given"
    assert model["dithers"]["given"] == 0
    assert model["dithers"]["scale"] is None
    assert {k: v for k, v in model.items() if k != "dithers"} == {
        k: v for k, v in tiny.result["model"].items() if k != "dithers"
    }


@pytest.mark.long
def test_the_full_cube_gives_the_noise_that_was_put_in(observed):
    found, true = observed("full").result["model"], truth("full")
    scale = np.array(found["scale"]["value"])
    assert scale == pytest.approx(1.9, rel=0.05)
    assert np.median(scale) == pytest.approx(np.sqrt(true.variance), rel=0.01)
    for axis, name in enumerate(AXES):
        value = np.array(found["correlation"][name]["value"])
        np.testing.assert_allclose(value, true.along(axis)[0], atol=0.005)
    # What one exposure has; the cube averages several, whose errors differ from voxel to voxel.
    exposures_show_what_was_put_in(found["dithers"])
    assert np.array(found["dithers"]["scale"]["value"]) == pytest.approx(1.9, rel=0.05)
    for row in found["apertures"]:
        assert row["ratio"] == pytest.approx(1.0, abs=0.1)
        assert row["ratio_fir"] == pytest.approx(1.0, abs=0.1)
    for form in ("kronecker", "fir"):
        assert found["whitened"][form]["variance"] == pytest.approx(1.0, abs=0.05)
        assert found["whitened"][form]["left_max"] < 0.03
    for row in found["dithers"]["left_out"]:
        assert row["ratio"] == pytest.approx(1.0, abs=0.02)
        assert row["aperture_ratio"] == pytest.approx(1.0, abs=4 * row["aperture_error"])
        assert row["aperture_error"] < 0.03


def exposures_show_what_was_put_in(found: dict) -> None:
    """Hold scale, correlation and left-out exposures against the simulator's numbers."""
    assert found["reason"] == ""
    assert len(found["files"]) == len(found["left_out"]) == 4
    scale, error = (np.array(found["scale"][name]) for name in ("value", "error"))
    assert np.median(scale) == pytest.approx(1.9, rel=0.05)
    assert (np.abs(scale - 1.9) < 4 * error).all()
    assert found["lag1"]["wave"] == pytest.approx(0.2, abs=0.03)
    assert found["lag1"]["y"] == pytest.approx(0.5, abs=0.03)
    assert found["lag1"]["x"] == pytest.approx(0.5, abs=0.03)
    for row in found["left_out"]:
        white = row["whitened"]
        assert row["ratio"] == pytest.approx(1.0, abs=4 * row["error"])
        assert row["aperture_ratio"] == pytest.approx(1.0, abs=4 * row["aperture_error"])
        assert white["variance"] == pytest.approx(1.0, abs=4 * white["variance_error"])
        assert white["left_sigma"] < 4.5  # of 123 lags, chance takes one there in 1,200


@pytest.mark.parametrize("dithers", ["tiny", "divided"])
def test_exposures_give_the_noise_that_was_put_in(dithers, request):
    model = request.getfixturevalue(dithers).result["model"]
    assert schemas.validate({**model, "provenance": None}, "noise-model") == ()
    exposures_show_what_was_put_in(model["dithers"])
    # The cube of this pointing is an average of the same noise.
    ratio = np.divide(model["dithers"]["scale"]["value"], model["scale"]["value"])
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)


@pytest.mark.long
def test_full_exposures_between_spaxels_give_the_noise_that_was_put_in(observed):
    found = observed("full", geometry.REAL).result["model"]
    exposures_show_what_was_put_in(found["dithers"])
    scale = np.array(found["dithers"]["scale"]["value"])
    assert scale == pytest.approx(1.9, rel=0.05)
    assert np.median(scale) == pytest.approx(1.9, rel=0.01)
    for row in found["dithers"]["left_out"]:
        assert row["whitened"]["variance_error"] < 0.01
        assert row["whitened"]["left_max"] < 0.05
        assert row["error"] < 0.005


def test_an_exposure_whose_err_is_too_small_is_found(divided):
    """Oracle: n of variance 1 where 0.49 is predicted; smoothing the others makes it 1.6 to 1.7."""
    name = divided.result["model"]["dithers"]["files"][1]
    one = divided.exposures[name]
    wrong = {**divided.exposures, name: dataclasses.replace(one, err=one.err * np.float32(0.7))}
    given = {"exposures": wrong, "roles": divided.roles, "config": stage.Config()}
    model = stage.run(item="t001", cube=divided.cube, target=noises.RBH1, **given)["model"]
    rows = model["dithers"]["left_out"]
    variance = [row["whitened"]["variance"] for row in rows]
    assert rows[1]["file"] == name
    assert variance[1] == pytest.approx(1.7, abs=0.15)
    assert rows[1]["ratio"] == pytest.approx(1.7, abs=0.15)
    assert rows[1]["aperture_ratio"] > 1.4
    # The model of the others is too loud with it.
    assert max(variance[0], *variance[2:]) < 0.85
    limit = load_acceptance().limit("noise.left_out_white").value
    errors = load_acceptance().limit("noise.errors").value
    off = [
        abs(row["whitened"]["variance"] - 1.0) - errors * row["whitened"]["variance_error"]
        for row in rows
    ]
    assert min(off) > limit


def in_another_unit(exposures: dict) -> dict:
    return {n: dataclasses.replace(one, unit="mJy/arcsec2") for n, one in exposures.items()}


def one_elsewhere(exposures: dict) -> dict:
    name = next(n for n, one in exposures.items() if one.flux is not None)
    wcs = exposures[name].wcs.deepcopy()
    wcs.wcs.crpix = np.add(wcs.wcs.crpix, [200.0, 0.0])
    return {**exposures, name: dataclasses.replace(exposures[name], wcs=wcs)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [(in_another_unit, "is in mJy/arcsec2"), (one_elsewhere, "does not fall on the grid")],
)
def test_exposures_that_could_not_be_used_are_counted_with_the_reason(tiny, change, reason):
    given = {"exposures": change(tiny.exposures), "roles": tiny.roles, "config": stage.Config()}
    model = stage.run(item="t001", cube=tiny.cube, target=noises.RBH1, **given)["model"]
    assert schemas.validate({**model, "provenance": None}, "noise-model") == ()
    assert model["dithers"]["given"] == len(tiny.exposures)
    assert reason in model["dithers"]["reason"]
    assert model["dithers"]["scale"] is None
    assert model["dithers"]["left_out"] == []
    assert tiny.result["model"]["dithers"]["given"] == len(tiny.exposures)


# ---- noise that is not the same everywhere

SHAPE = (200, 16, 15)
RHOS = (0.2, 0.5, 0.5)


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_a_spike_of_noise_raises_the_scale_of_its_channels(factor):
    """Oracle: the factor that was put in. The scale of the other channels stays as it was."""
    values = noises.draw(SHAPE, RHOS, 3)
    values[100:104] *= factor
    result = run(noises.make_cube(values))
    model, noise = result["model"], result["noise"].noise
    assert set(range(100, 104)) <= set(model["busy"])
    scale, error = (np.array(model["scale"][name]) for name in ("value", "error"))
    np.testing.assert_allclose(scale[100:104], 1.5 * factor, rtol=0.15)
    assert (np.abs(scale[100:104] - 1.5 * factor) < 4 * error[100:104]).all()
    others = np.delete(scale, model["busy"])
    np.testing.assert_allclose(others, 1.5, rtol=0.06)
    np.testing.assert_allclose(noise.scale, scale)


def test_an_undeclared_line_of_a_few_spaxels_does_not_raise_the_scale():
    values = noises.draw(SHAPE, RHOS, 3)
    values[100:103, 5:7, 5:7] += 40.0
    model = run(noises.make_cube(values), outlier_sigma=60.0)["model"]
    assert set(range(100, 103)) <= set(model["busy"])
    np.testing.assert_allclose(np.array(model["scale"]["value"])[100:103], 1.5, rtol=0.15)


def test_a_channel_that_the_cube_lacks_altogether_is_no_obstacle():
    """Nor is one that ten spaxels have. Oracle: the same cube with it."""
    whole = noises.make_cube(noises.draw(SHAPE, RHOS, 3))
    mask = whole.mask.copy()
    mask[[0, 60, 120]] = True
    mask[60, 0, 1:11] = False
    models = [run(cube)["model"] for cube in (whole, whole.replace(mask=mask))]
    scale, without = (np.array(model["scale"]["value"]) for model in models)
    # A channel of 200, even the first, is worth less than the error of the curve.
    assert (np.abs(without - scale) < np.array(models[0]["scale"]["error"])).all()
    measured = models[1]["scale"]["measured"]
    assert [k for k, value in enumerate(measured) if value is None] == [0, 120]
    for form in ("kronecker", "fir"):
        variance = [model["whitened"][form]["variance"] for model in models]
        assert variance[1] == pytest.approx(variance[0], abs=0.01)


def test_spaxels_of_other_noise_are_not_used_with_the_scale_of_the_others():
    values = noises.draw(SHAPE, RHOS, 3)
    values[:, :2] *= 2.5
    result = run(noises.make_cube(values))
    assert result["model"]["counts"]["spaxels_odd"] == 30
    assert result["noise"].noise.mask[:, :2].all()
    assert result["noise"].noise.mask[:, 2:].mean() < 1e-3


# ---- a real cube


@pytest.fixture(scope="module")
def ngc7469(shared_data):
    raw = ard.read_cube(shared_data / "jwst/ngc7469_Level3_ch4-short_s3d.fits.gz")
    target = load_target("ngc7469")
    return ingest.run(cube=raw, target=target, config=ingest.Config())["cube"], target


@pytest.mark.real_data
def test_a_real_cube_has_the_noise_that_was_measured_before(ngc7469):
    """The numbers to compare with know of no line, declared or not, and of no correction."""
    cube, target = ngc7469
    model = run(cube, target, busy_sigma=1e9)["model"]
    assert 1.7 < model["scatter_over_err"] < 2.1
    observed = model["correlation"]["observed_lag1"]
    assert 0.17 < observed["wave"] < 0.24
    assert 0.40 < observed["y"] < 0.60
    assert 0.40 < observed["x"] < 0.60
    three = next(row for row in model["apertures"] if row["side"] == 3)
    assert 1.76 < three["beyond_err"] < 1.98


@pytest.mark.real_data
def test_a_real_cube_is_described_well(ngc7469):
    cube, target = ngc7469
    model = run(cube, target)["model"]
    # [P III] 17.885 and [Fe II] 17.936 um, which the target does not declare, and the wing of
    # the line that it does.
    waves = cube.wave[model["busy"]] / (1 + target.redshift)
    assert any(abs(waves - 17.885) < 0.02)
    assert any(abs(waves - 17.936) < 0.02)
    assert 0 < len(model["busy"]) < 30
    assert 1.7 < model["scatter_over_err"] < 2.1
    assert model["whitened"]["fir"]["variance"] == pytest.approx(1.0, abs=0.03)
    assert model["whitened"]["kronecker"]["variance"] == pytest.approx(1.0, abs=0.15)
    for row in model["apertures"]:
        assert abs(row["ratio"] - 1.0) < 0.1 + 3 * row["error"]
    assert model["counts"]["spaxels_odd"] < 0.1 * model["counts"]["spaxels_measured"]


# ---- bad input


def test_a_cube_of_nothing_but_lines_is_refused(tiny):
    with pytest.raises(ArdError, match="too few channels of the cube are free of lines"):
        run(tiny.cube, blue_kms=6000.0, red_kms=6000.0)


def test_constant_flux_is_refused(tiny):
    flat = tiny.cube.replace(flux=np.where(np.isfinite(tiny.cube.flux), 1.0, np.nan))
    with pytest.raises(ArdError, match="do not scatter at all"):
        run(flat)


def test_too_few_spaxels_are_refused(tiny):
    mask = tiny.cube.mask.copy()
    mask[:, 4:] = True
    with pytest.raises(ArdError, match="too few spaxels"):
        run(tiny.cube.replace(mask=mask), min_spaxels=100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"blue_kms": 0.0},
        {"min_channels": 4},
        {"min_used": 1.5},
        {"continuum_channels": 2.0},
        {"outlier_sigma": 2.0},
        {"busy_sigma": 1.0},
        {"odd_factor": 1.0},
        {"lag_sigma": -1.0},
        {"tap_wave": 5},
        {"lag_sky": 0},
        {"largest_aperture": 0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).partition("_")[0]):
        dataclasses.replace(stage.Config(), **wrong)
