"""The archive's spectra: read whatever their columns, compared on the same spaxels."""

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from loading import load

from ard.errors import FormatError
from pipeline.reduce.apertures.covariance import noise_of
from pipeline.reduce.apertures.x1d import compare, read_x1d

cases = load(Path(__file__).with_name("aperture_cases.py"))
RBH1 = cases.RBH1
REAL = "jwst/hlsp_ceers_jwst_nirspec_nirspec10-001027_comb-mgrat_v0.7_x1d-masked.fits"
SHAPE = (50, 9, 9)


def write(path, columns, header=None, name="EXTRACT1D"):
    table = fits.BinTableHDU.from_columns(
        [fits.Column(n, "D", unit=unit, array=values) for n, unit, values in columns], name=name
    )
    table.header.update(header or {})
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


def jansky(cube, spaxels):
    """The flux of a uniform cube over a number of spaxels, by astropy's units."""
    area = (cube.pixel_area_arcsec2 * u.arcsec**2).to(u.sr)
    return (np.nanmean(cube.flux, axis=(1, 2)) * u.MJy / u.sr * area * spaxels).to_value(u.Jy)


def flat_cube(level=3.0):
    return cases.cube(SHAPE, sigma=1e-6, flux=np.full(SHAPE, level))


@pytest.mark.real_data
def test_the_real_18_columns_are_read(shared_data):
    """Oracle: the columns of the file, by astropy; 207 of its rows are NaN."""
    found = read_x1d(shared_data / REAL)
    with fits.open(shared_data / REAL) as hdus:
        table = hdus[1].data
        assert len(hdus[1].columns) == 18
        np.testing.assert_array_equal(found.wave, table["WAVELENGTH"])
        np.testing.assert_array_equal(np.isnan(found.flux), np.isnan(table["FLUX"]))
        assert found.n_spaxels == np.median(table["NPIXELS"][table["NPIXELS"] > 0])
    assert found.mask[np.isnan(found.flux)].all()
    assert 207 <= found.mask.sum() < 400


def test_older_names_and_other_units_are_read(tmp_path):
    wave = np.linspace(1.0, 1.1, 5)
    columns = [
        ("WAVELENGTH", "nm", 1000 * wave),
        ("FLUX", "mJy", np.arange(5.0)),
        ("ERROR", "mJy", np.ones(5)),
        ("DQ", None, np.array([0.0, 1, 0, 513, 4])),
    ]
    found = read_x1d(write(tmp_path / "old_x1d.fits", columns))
    np.testing.assert_allclose(found.wave, wave)
    np.testing.assert_allclose(found.flux, 1e-3 * np.arange(5))
    assert found.mask.tolist() == [False, True, False, True, False]
    assert not found.point
    assert np.isnan(found.n_spaxels)


def test_a_file_without_a_spectrum_is_refused(tmp_path):
    with pytest.raises(FormatError, match="holds no spectrum"):
        read_x1d(write(tmp_path / "a.fits", [("FLUX", "Jy", np.ones(3))]))
    wave = ("WAVELENGTH", "um", np.ones(3))
    with pytest.raises(FormatError, match="lacks a column"):
        read_x1d(write(tmp_path / "b.fits", [wave, ("FLUX", "Jy", np.ones(3))]))
    columns = [wave, ("FLUX", "K", np.ones(3)), ("FLUX_ERROR", "Jy", np.ones(3))]
    with pytest.raises(FormatError, match="another unit"):
        read_x1d(write(tmp_path / "c.fits", columns))


@pytest.mark.parametrize("point", [True, False], ids=["point", "extended"])
def test_a_spectrum_of_the_same_spaxels_agrees(tmp_path, point):
    """Oracle: the flux of a uniform field by astropy's units; a factor of 2 is found."""
    cube = flat_cube()
    spaxels = 20.0 if point else 81.0
    flux = jansky(cube, spaxels)
    columns = [
        ("WAVELENGTH", "um", cube.wave),
        ("FLUX", "Jy", flux),
        ("FLUX_ERROR", "Jy", 0.1 * flux),
        ("NPIXELS", None, np.full(50, spaxels)),
    ]
    header = {"SRCTYPE": "POINT" if point else "EXTENDED", "EXTR_X": 4.0, "EXTR_Y": 4.0}
    found = read_x1d(write(tmp_path / "x1d.fits", columns, header))
    facts = compare(found, cube, noise_of(cube, None), RBH1, 0.5)
    assert facts["ratio"] == pytest.approx(1.0, abs=1e-4)
    assert facts["channels"] == 50
    assert facts["spaxels"] == pytest.approx(spaxels, abs=1e-3)
    assert facts["region"] == ("circle" if point else "whole field")
    double = cube.replace(flux=2.0 * cube.flux)
    facts = compare(found, double, noise_of(double, None), RBH1, 0.5)
    assert facts["ratio"] == pytest.approx(2.0, abs=1e-3)


def test_a_spectrum_of_another_band_has_no_channel_in_common(tmp_path):
    cube = flat_cube()
    columns = [("WAVELENGTH", "um", cube.wave + 3.0), ("FLUX", "Jy", np.ones(50)),
               ("FLUX_ERROR", "Jy", np.ones(50))]  # fmt: skip
    found = read_x1d(write(tmp_path / "far.fits", columns))
    assert compare(found, cube, noise_of(cube, None), RBH1, 0.5)["channels"] == 0
