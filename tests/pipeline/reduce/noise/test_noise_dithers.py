"""Which exposures are compared, and what of them?

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


@pytest.fixture(params=["tiny", "divided"])
def seen(request):
    """Exposures on whole spaxels of the cube, and between them."""
    return request.getfixturevalue(request.param)


def test_science_exposures_of_the_pointing_enter_and_no_others(seen):
    names = {e.name for e in geometry.EXPOSURES if e.pointing == 0 and not e.imprint}
    found = dithers.usable(seen.cube, seen.exposures, seen.roles)
    assert {one.filename.removesuffix("_s3d.fits") for one in found} == names


def test_an_imprint_is_not_even_read(tiny):
    imprints = {f"{e.name}_s3d.fits" for e in geometry.EXPOSURES if e.imprint}
    assert len(imprints) == 8
    for name, one in tiny.exposures.items():
        assert (one.flux is None) == (name in imprints)


def test_the_table_of_exposures_decides(tiny):
    rows = QTable(tiny.roles.data, copy=True)
    rows["role"] = ["imprint" if "00002" in n else r for n, r in rows["filename", "role"]]
    found = dithers.usable(tiny.cube, tiny.exposures, ard.Table(rows, {}))
    assert len(found) == 3
    assert not any("00002" in one.filename for one in found)


def test_what_hits_have_spoiled_is_not_used(tiny):
    """Oracle: the files; an error that is three times the usual one of its channel."""
    for one in dithers.usable(tiny.cube, tiny.exposures, tiny.roles):
        given = tiny.exposures[one.filename]
        usual = np.nanmedian(given.err, axis=(1, 2), keepdims=True)
        with np.errstate(invalid="ignore"):
            large = given.err > 3.0 * usual
        assert 0.003 < large.mean() < 0.1
        np.testing.assert_array_equal(one.good, np.isfinite(given.flux) & ~large)
        np.testing.assert_array_equal(one.flux[one.good], given.flux[one.good])
        assert not one.err[~one.good].any()


def test_an_exposure_of_fewer_channels_is_put_where_they_are(tiny):
    name = next(n for n, one in tiny.exposures.items() if one.flux is not None)
    one = tiny.exposures[name]
    part = dataclasses.replace(one, flux=one.flux[7:30], err=one.err[7:30], wave=one.wave[7:30])
    found = dithers.usable(tiny.cube, {**tiny.exposures, name: part}, tiny.roles)
    first = next(e for e in found if e.filename == name)
    assert first.good.shape[0] == tiny.cube.wave.size
    assert not first.good[:7].any()
    assert not first.good[30:].any()
    whole = next(
        e for e in dithers.usable(tiny.cube, tiny.exposures, tiny.roles) if e.filename == name
    )
    np.testing.assert_array_equal(first.flux[7:30], whole.flux[7:30])


def test_one_exposure_is_too_few(tiny):
    first = dict(list(tiny.exposures.items())[:1])
    assert dithers.usable(tiny.cube, first, tiny.roles) == "1 science exposures of this pointing"


def test_a_cube_that_does_not_say_where_it_looked_has_none(tiny):
    cube = tiny.cube.replace(meta={"TELESCOP": "JWST"})
    found = dithers.usable(cube, tiny.exposures, tiny.roles)
    assert found == "0 science exposures of this pointing"


@pytest.mark.parametrize(
    "change",
    [
        lambda one: dataclasses.replace(one, wave=one.wave + 0.0003),
        lambda one: dataclasses.replace(one, unit="mJy/arcsec2"),
        lambda one: dataclasses.replace(one, wave=one.wave + 0.01),
    ],
    ids=["channels", "unit", "range"],
)
def test_an_exposure_that_cannot_be_compared_is_named(tiny, change):
    name = next(n for n, one in tiny.exposures.items() if one.flux is not None)
    found = dithers.usable(
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
