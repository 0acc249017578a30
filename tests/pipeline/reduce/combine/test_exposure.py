"""Is an exposure that is read a few channels at a time the one that is read whole?

Oracle: `ard.read_cube` of the same file.
"""

import gzip
import os

import numpy as np
import pytest
from astropy.io import fits
from builders import make_cube

import ard
from ard import s3d
from ard.fitsio import write_hdus
from pipeline.reduce.combine import exposure
from pipeline.reduce.combine.exposure import in_memory, open_exposure


def same(one: exposure.Section, other: exposure.Section) -> None:
    for name in ("flux", "err", "weight", "good"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)
    assert one.errorless == other.errorless


@pytest.fixture
def file(tmp_path):
    ard.write(tmp_path / "a_s3d.fits", make_cube(5, (9, 6, 4)))
    return tmp_path / "a_s3d.fits"


def test_a_mapped_file_is_the_file(file):
    whole, lazy = ard.read_cube(file), open_exposure(file)
    assert lazy.shape == whole.shape
    np.testing.assert_array_equal(lazy.wave, whole.wave)
    np.testing.assert_allclose(lazy.wcs.wcs.crpix, whole.wcs.wcs.crpix)
    assert lazy.meta["TARGNAME"] == "TEST"
    assert lazy.simulated
    found = lazy.channels(2, 7)
    np.testing.assert_array_equal(found.good, ~whole.mask[2:7])
    np.testing.assert_array_equal(found.flux, np.where(whole.mask, 0, whole.flux)[2:7])
    same(found, in_memory(whole, file.name).channels(2, 7))


@pytest.mark.parametrize("how", ["gzip", "tiles", "unit", "tabular"])
def test_other_forms_are_read_as_well(how, file, tmp_path):
    path, scale = tmp_path / "b_s3d.fits", 1.0
    if how == "gzip":
        path = tmp_path / "b_s3d.fits.gz"
        path.write_bytes(gzip.compress(file.read_bytes()))
    elif how == "tiles":
        s3d.write_cube(path, ard.read_cube(file), compress=True)
    elif how == "tabular":
        ard.write(path, make_cube(5, (9, 6, 4), tabular=True))
    else:
        with fits.open(file) as hdus:
            for name in ("SCI", "ERR"):
                hdus[name].header["BUNIT"] = "Jy/sr"
            write_hdus(path, hdus)
        scale = 1e-6
    found, expected = open_exposure(path), ard.read_cube(path)
    np.testing.assert_array_equal(found.wave, expected.wave)
    flux = np.where(expected.mask, 0.0, expected.flux)[3:6]
    np.testing.assert_array_equal(found.channels(3, 6).flux, flux)
    np.testing.assert_allclose(flux, scale * open_exposure(file).channels(3, 6).flux)


def test_a_flux_without_error_is_counted_and_not_used(file, tmp_path):
    with fits.open(file) as hdus:
        good = np.argwhere(np.isfinite(hdus["SCI"].data))
        hdus["ERR"].data[tuple(good[0])], hdus["ERR"].data[tuple(good[1])] = np.nan, 0.0
        write_hdus(tmp_path / "c_s3d.fits", hdus)
    found = open_exposure(tmp_path / "c_s3d.fits").channels(0, 9)
    assert found.errorless == 2
    assert not found.good[tuple(good[0])]
    same(found, in_memory(ard.read_cube(tmp_path / "c_s3d.fits"), "c").channels(0, 9))


def test_no_more_is_read_than_is_asked_for(file, monkeypatch):
    """The data of eighteen full cubes are a gigabyte."""
    counts = []

    def counted(*given, count, **more):
        counts.append(count)
        return fromfile(*given, count=count, **more)

    fromfile = np.fromfile
    monkeypatch.setattr(exposure.np, "fromfile", counted)
    lazy = open_exposure(file)
    assert counts == []
    assert lazy.channels(7, 12).flux.shape == (2, 6, 4)  # nine channels, as slices are
    assert counts == [2 * 6 * 4] * 4


def test_wavelengths_that_move_with_the_earth_are_refused(file, tmp_path):
    moving = ard.read_cube(file).replace(specsys="TOPOCENT")
    ard.write(tmp_path / "f_s3d.fits", moving)
    with pytest.raises(ard.FormatError, match="another frame") as caught:
        open_exposure(tmp_path / "f_s3d.fits")
    assert "f_s3d.fits" in caught.value.file
    with pytest.raises(ard.FormatError, match="another frame"):
        in_memory(moving, "f_s3d.fits")


def test_a_file_without_errors_or_of_two_shapes_is_refused(file, tmp_path):
    with fits.open(file) as hdus:
        del hdus["ERR"]
        write_hdus(tmp_path / "d_s3d.fits", hdus)
    with pytest.raises(ard.FormatError, match="without data or errors") as caught:
        open_exposure(tmp_path / "d_s3d.fits")
    assert "d_s3d.fits" in caught.value.file
    with fits.open(file) as hdus:
        hdus["WMAP"].data = hdus["WMAP"].data[1:]
        write_hdus(tmp_path / "e_s3d.fits", hdus)
    with pytest.raises(ard.FormatError, match="WMAP has another shape"):
        open_exposure(tmp_path / "e_s3d.fits")
    os.truncate(file, 2880 * 3)
    with pytest.raises(ard.IntegrityError):
        open_exposure(file)
