"""Differences of exposures: which enter, where they lie, and what they show.

Oracle: what the simulator put in.
"""

import dataclasses

import numpy as np
import pytest
from astropy.table import QTable

import ard
from ard.errors import FormatError
from pipeline.reduce.noise import dithers
from pipeline.simulate import geometry

SETTINGS = {"n_sigma": 5.0, "n_sigma_lag": 2.0, "spacing": 100.0}


@pytest.fixture(scope="module")
def stacked(tiny) -> dithers.Stack:
    found = dithers.stack(tiny.cube, tiny.exposures, tiny.roles)
    assert isinstance(found, dithers.Stack)
    return found


def test_science_exposures_of_the_pointing_enter_and_no_others(tiny, stacked):
    names = {e.name for e in geometry.EXPOSURES if e.pointing == 0 and not e.imprint}
    assert {name.removesuffix("_s3d.fits") for name in stacked.names} == names


def test_an_imprint_is_not_even_read(tiny):
    imprints = {f"{e.name}_s3d.fits" for e in geometry.EXPOSURES if e.imprint}
    assert len(imprints) == 8
    for name, one in tiny.exposures.items():
        assert (one.flux is None) == (name in imprints)


def test_the_table_of_exposures_decides(tiny):
    rows = QTable(tiny.roles.data, copy=True)
    rows["role"] = ["imprint" if "00002" in n else r for n, r in rows["filename", "role"]]
    found = dithers.stack(tiny.cube, tiny.exposures, ard.Table(rows, {}))
    assert isinstance(found, dithers.Stack)
    assert len(found.names) == 3
    assert not any("00002" in name for name in found.names)


def test_exposures_lie_where_they_looked(tiny, stacked):
    """Oracle: their mean is the cube; but for hot pixels, which the cube leaves out."""
    mean = stacked.flux.mean(axis=0)
    good = np.isfinite(mean) & ~tiny.cube.mask
    assert good.sum() > 15000
    assert np.isclose(mean[good], tiny.cube.flux[good], atol=1e-5).mean() > 0.999


def test_scale_and_correlation_are_those_that_were_put_in(stacked):
    found = dithers.from_dithers(stacked, **SETTINGS)
    pull = (found.curve.value - 1.9) / found.curve.error
    assert np.abs(pull).max() < 4
    assert found.curve.value == pytest.approx(1.9, rel=0.05)
    assert found.correlation.along(0)[0][1] == pytest.approx(0.2, abs=0.03)
    for axis in (1, 2):
        assert found.correlation.along(axis)[0][1] == pytest.approx(0.5, abs=0.03)


def test_each_exposure_is_predicted_by_the_others(stacked):
    found = dithers.from_dithers(stacked, **SETTINGS)
    assert [row["file"] for row in found.left_out] == list(stacked.names)
    for row in found.left_out:
        assert row["ratio"] == pytest.approx(1.0, abs=4 * row["error"])
        assert row["aperture_ratio"] == pytest.approx(1.0, abs=4 * row["aperture_error"])


def test_an_exposure_that_is_noisier_than_it_says_is_not_predicted(stacked):
    rng = np.random.default_rng(2)
    flux = stacked.flux.copy()
    flux[1] += 3.0 * stacked.err[1] * rng.standard_normal(flux[1].shape).astype(np.float32)
    worse = dataclasses.replace(stacked, flux=flux)
    rows = dithers.from_dithers(worse, **SETTINGS).left_out
    assert rows[1]["ratio"] > 1.5
    assert max(row["ratio"] for row in (rows[0], *rows[2:])) < 1.0


def test_two_exposures_give_a_scale_and_none_to_leave_out(stacked):
    two = dithers.Stack(stacked.names[:2], stacked.flux[:2], stacked.err[:2])
    found = dithers.from_dithers(two, **SETTINGS)
    assert found.left_out == ()
    assert found.curve.value == pytest.approx(1.9, rel=0.06)


def test_one_exposure_is_too_few(tiny):
    first = dict(list(tiny.exposures.items())[:1])
    assert dithers.stack(tiny.cube, first, tiny.roles) == "1 science exposures of this pointing"


def test_a_cube_that_does_not_say_where_it_looked_has_none(tiny):
    cube = tiny.cube.replace(meta={"TELESCOP": "JWST"})
    found = dithers.stack(cube, tiny.exposures, tiny.roles)
    assert found == "0 science exposures of this pointing"


def shifted(one: dithers.Dither) -> dithers.Dither:
    wcs = one.wcs.deepcopy()
    wcs.wcs.crpix = np.add(wcs.wcs.crpix, [0.4, 0.0])
    return dataclasses.replace(one, wcs=wcs)


@pytest.mark.parametrize(
    "change",
    [
        shifted,
        lambda one: dataclasses.replace(one, wave=one.wave + 0.0003),
        lambda one: dataclasses.replace(one, unit="mJy/arcsec2"),
        lambda one: dataclasses.replace(one, wave=one.wave + 0.01),
    ],
    ids=["spaxels", "channels", "unit", "range"],
)
def test_an_exposure_on_another_grid_is_named(tiny, change):
    name = next(n for n, one in tiny.exposures.items() if one.flux is not None)
    found = dithers.stack(
        tiny.cube, {**tiny.exposures, name: change(tiny.exposures[name])}, tiny.roles
    )
    assert isinstance(found, str)
    assert name in found


def test_a_file_without_errors_is_no_exposure(tmp_path):
    path = tmp_path / "map.fits"
    image = np.ones((3, 4))
    ard.write(path, ard.Map({"a": image}, {"a": ""}, image > 2, geometry.sky(
        geometry.window("tiny"), 0), {}))  # fmt: skip
    with pytest.raises(FormatError, match="the file is no exposure"):
        dithers.read_dither(path)


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_work_grows_as_the_number_of_exposures(monkeypatch, count):
    """Oracle: n - 1 neighbours, and n - 2 pairs that are neighbours with the one between left out;
    none is measured twice."""
    measured = []
    original = dithers._difference

    def counted(stacked, n_sigma, one, other):
        measured.append((one, other))
        return original(stacked, n_sigma, one, other)

    monkeypatch.setattr(dithers, "_difference", counted)
    rng = np.random.default_rng(count)
    flux = rng.standard_normal((count, 110, 14, 14)).astype(np.float32)
    names = tuple(f"{k}" for k in range(count))
    dithers.from_dithers(dithers.Stack(names, flux, np.ones_like(flux)), **SETTINGS)
    assert len(measured) == len(set(measured)) == (1 if count == 2 else 2 * count - 3)
