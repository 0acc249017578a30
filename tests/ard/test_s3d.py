"""Cubes through FITS: round trips (oracle: the cube itself, astropy, specutils) and bad files."""

import gzip
import io
import os
import tracemalloc
import warnings
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning, Sip
from builders import make_cube
from hypothesis import given, settings
from hypothesis import strategies as st

import ard
from ard import fitsio, s3d
from ard.headers import celestial_cards, celestial_wcs
from ard.spectral import require_barycentric


def assert_same(a: ard.Cube, b: ard.Cube) -> None:
    np.testing.assert_array_equal(a.flux, b.flux)
    np.testing.assert_array_equal(a.mask, b.mask)
    np.testing.assert_array_equal(a.err[~a.mask], b.err[~b.mask])
    np.testing.assert_array_equal(a.dq, b.dq)
    np.testing.assert_allclose(a.wave, b.wave, rtol=1e-14)
    y, x = np.mgrid[: a.shape[1], : a.shape[2]]
    for one, other in zip(a.wcs.all_pix2world(x, y, 0), b.wcs.all_pix2world(x, y, 0), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11)
    assert a.provenance == b.provenance


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(2, 6), st.integers(1, 4), st.integers(1, 4)),
    tabular=st.booleans(),
    angle=st.floats(0, 2 * np.pi),
    compress=st.booleans(),
)
def test_a_cube_survives_its_file(tmp_path_factory, seed, shape, tabular, angle, compress):
    path = tmp_path_factory.mktemp("cube") / "a_cube.fits"
    cube = make_cube(seed, shape, tabular=tabular, angle=angle)
    ard.write_cube(path, cube, compress=compress)
    back = ard.read_cube(path)
    assert_same(cube, back)
    assert back.meta["TARGNAME"] == "TEST"
    assert back.simulated
    np.testing.assert_array_equal(back.lsf.fwhm_um, cube.lsf.fwhm_um)
    assert back.psf.source == "a test"


def test_equal_cubes_give_equal_bytes(tmp_path):
    for name in ("one.fits", "two.fits"):
        ard.write_cube(tmp_path / name, make_cube(1))
    assert (tmp_path / "one.fits").read_bytes() == (tmp_path / "two.fits").read_bytes()
    # and what was read is written as it was
    ard.write_cube(tmp_path / "three.fits", ard.read_cube(tmp_path / "one.fits"))
    ard.write_cube(tmp_path / "four.fits", ard.read_cube(tmp_path / "three.fits"))
    assert (tmp_path / "three.fits").read_bytes() == (tmp_path / "four.fits").read_bytes()


@pytest.mark.parametrize("compress", [False, True])
def test_astropy_alone_verifies_the_file(tmp_path, compress):
    """Oracle: astropy's own checksum verification, warnings being errors."""
    ard.write_cube(tmp_path / "a.fits", make_cube(), compress=compress)
    with fits.open(tmp_path / "a.fits", checksum=True, disable_image_compression=True) as hdus:
        assert all("CHECKSUM" in hdu.header for hdu in hdus)
    with fits.open(tmp_path / "a.fits", checksum=True) as hdus:
        assert [hdu.name for hdu in hdus][:5] == ["PRIMARY", "SCI", "ERR", "DQ", "WMAP"]
        assert "SIMULATED" in str(hdus[0].header["HISTORY"])
        np.testing.assert_array_equal(hdus["DQ"].data == 513, make_cube().mask)


@pytest.mark.parametrize("tabular", [False, True])
def test_specutils_reads_what_we_write(tmp_path, tabular):
    """Oracle: the JWST s3d loader of specutils, which takes its axes from the gwcs."""
    specutils = pytest.importorskip("specutils")
    pytest.importorskip("stdatamodels")
    cube = make_cube(tabular=tabular)
    ard.write_cube(tmp_path / "a_s3d.fits", cube)
    spectrum = specutils.Spectrum.read(tmp_path / "a_s3d.fits", format="JWST s3d")
    np.testing.assert_allclose(spectrum.spectral_axis.to_value("um"), cube.wave, rtol=1e-12)
    assert str(spectrum.unit) == "MJy / sr"
    np.testing.assert_array_equal(np.asarray(spectrum.flux.value), cube.flux.astype(np.float32))
    ra, dec = cube.wcs.all_pix2world(2.0, 1.0, 0)
    sky, _ = spectrum.wcs.pixel_to_world(2, 1, 0)
    assert sky.ra.deg == pytest.approx(float(ra), abs=1e-10)
    assert sky.dec.deg == pytest.approx(float(dec), abs=1e-10)


def test_a_lone_image_gets_its_noise_from_its_scatter(tmp_path):
    """Oracle: the standard deviation that the noise was drawn with."""
    rng = np.random.default_rng(5)
    sigma = 0.25
    flux = rng.normal(0, sigma, (40, 30, 30)) + np.linspace(0, 5, 40)[:, None, None]
    header = s3d._image(
        make_cube(0, (40, 4, 3)), np.zeros((40, 4, 3)), "X", "MJy/sr", compress=False
    ).header
    header.remove("EXTNAME")
    fits.PrimaryHDU(flux.astype(np.float32), header).writeto(tmp_path / "lone.fits")
    cube = ard.read_cube(tmp_path / "lone.fits")
    assert cube.meta["ERRFROM"] == "scatter"
    # 900 spaxels: the median absolute deviation is good to about 4 % a channel
    assert np.median(cube.err) == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("MJy/sr", 1.0), ("Jy/sr", 1e-6), ("mJy/arcsec^2", 42.5451703), ("uJy/arcsec2", 0.0425451703)],
)
def test_units_are_converted(tmp_path, unit, factor):
    """Oracle: 1 arcsec^2 = 2.3504431e-11 sr."""
    hdus = s3d.cube_hdus(make_cube())
    for name in ("SCI", "ERR"):
        hdus[name].header["BUNIT"] = unit
    hdus.writeto(tmp_path / "a.fits")
    cube = ard.read_cube(tmp_path / "a.fits")
    good = ~cube.mask
    np.testing.assert_allclose(cube.flux[good], factor * make_cube().flux[good], rtol=1e-7)
    np.testing.assert_allclose(cube.err[good], factor * make_cube().err[good], rtol=1e-6)


def test_errors_are_read_in_their_own_unit(tmp_path):
    hdus = s3d.cube_hdus(make_cube())
    hdus["ERR"].header["BUNIT"] = "Jy/sr"
    hdus.writeto(tmp_path / "a.fits")
    cube = ard.read_cube(tmp_path / "a.fits")
    np.testing.assert_allclose(cube.err[~cube.mask], 1e-6 * make_cube().err[~cube.mask], rtol=1e-6)


def spoil(change):
    def write(path: Path) -> None:
        hdus = s3d.cube_hdus(make_cube())
        hdus = change(hdus) or hdus
        hdus.writeto(path)

    return write


def _set(extension, keyword, value):
    return spoil(lambda hdus: hdus[extension].header.__setitem__(keyword, value))


def _truncated(path: Path) -> None:
    ard.write_cube(path, make_cube())
    path.write_bytes(path.read_bytes()[:-3000])


def _flipped(path: Path) -> None:
    ard.write_cube(path, make_cube())
    data = bytearray(path.read_bytes())
    span = fitsio.walk(path)[1]
    data[span.data_start + 5] ^= 1
    path.write_bytes(bytes(data))


def _appended(path: Path) -> None:
    ard.write_cube(path, make_cube())
    path.write_bytes(path.read_bytes() + b"\0" * 1000)


def _short_gzip(path: Path) -> None:
    ard.write_cube(path.with_name("x.fits"), make_cube())
    path.write_bytes(gzip.compress(path.with_name("x.fits").read_bytes())[:-40])


def _falling(hdus):
    for hdu in hdus[1:5]:
        hdu.header["CDELT3"] = -0.000636


@pytest.mark.parametrize(
    ("write", "kind", "match"),
    [
        (lambda p: p.write_text("<html>maintenance</html>"), ard.FormatError, "not a FITS file"),
        (lambda p: p.write_bytes(b""), ard.FormatError, "not a FITS file"),
        (_truncated, ard.IntegrityError, "truncated inside HDU"),
        (_flipped, ard.IntegrityError, "checksum in the file does not fit"),
        (_appended, ard.IntegrityError, "after the last HDU"),
        (_short_gzip, ard.IntegrityError, "cannot be read to its end"),
        (spoil(lambda h: h.pop(2) and None), ard.FormatError, "extension ERR is missing"),
        (_set("SCI", "BUNIT", "K"), ard.UnitError, "found: K"),
        (_set("SCI", "BUNIT", ""), ard.UnitError, "no BUNIT"),
        (_set("SCI", "BUNIT", "furlong/s"), ard.UnitError, "surface brightness"),
        (_set("SCI", "CUNIT3", "Hz"), ard.UnitError, "not a length"),
        (_set("SCI", "CTYPE3", "AWAV"), ard.FormatError, "not a vacuum wavelength"),
        (_set("SCI", "CTYPE1", "GLON-TAN"), ard.FormatError, "not celestial"),
        (_set("SCI", "PC1_1", float(0)), None, ""),
        (spoil(_falling), ard.FormatError, "not monotonic"),
    ],
)
def test_bad_files_are_refused_in_words(tmp_path, write, kind, match):
    path = tmp_path / "bad_s3d.fits"
    write(path)
    if kind is None:  # a changed but valid matrix is read, and not as it was
        assert not np.allclose(ard.read_cube(path).wcs.wcs.pc, make_cube().wcs.wcs.pc)
        return
    with pytest.raises(kind, match=match) as caught:
        ard.read_cube(path)
    message = str(caught.value)
    assert "bad_s3d.fits" in message
    assert "expected:" in message
    assert "found:" in message
    assert "what to do:" in message


def test_a_missing_file_and_a_missing_table(tmp_path):
    with pytest.raises(ard.NotFoundError, match="does not exist"):
        ard.read_cube(tmp_path / "none.fits")
    hdus = s3d.cube_hdus(make_cube(tabular=True))
    del hdus["WCS-TABLE"]
    hdus.writeto(tmp_path / "a.fits")
    with pytest.raises(ard.FormatError, match="table is missing"):
        ard.read_cube(tmp_path / "a.fits")


def test_masks_come_from_every_sign_that_a_voxel_is_bad(tmp_path):
    hdus = s3d.cube_hdus(
        make_cube(shape=(4, 3, 3)).replace(
            flux=np.ones((4, 3, 3)),
            mask=np.zeros((4, 3, 3), bool),
            dq=np.zeros((4, 3, 3), np.uint32),
            weight=np.ones((4, 3, 3)),
        )
    )
    hdus["SCI"].data[0, 0, 0] = np.nan
    hdus["ERR"].data[0, 0, 1] = np.nan
    hdus["ERR"].data[0, 0, 2] = -0.5
    hdus["DQ"].data[0, 1, 0] = 1
    hdus["DQ"].data[0, 1, 1] = 512
    hdus["WMAP"].data[0, 1, 2] = 0
    hdus["DQ"].data[0, 2, 0] = 4  # a jump that was corrected: usable
    hdus["ERR"].data[0, 2, 1] = 5.6e27  # absurd, but finite: ingest judges it
    hdus.writeto(tmp_path / "a.fits")
    cube = ard.read_cube(tmp_path / "a.fits")
    assert np.argwhere(cube.mask).tolist() == [[0, 0, i] for i in range(3)] + [
        [0, 1, i] for i in range(3)
    ]
    assert np.isfinite(cube.var[0, 2, 1])
    assert (cube.ivar[cube.mask] == 0).all()


def test_nothing_is_overwritten_or_left_half_written(tmp_path, monkeypatch):
    path = tmp_path / "a.fits"
    ard.write_cube(path, make_cube(1))
    before = path.read_bytes()
    with pytest.raises(ard.ArdError, match="exists already"):
        ard.write_cube(path, make_cube(2))

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        ard.write_cube(path, make_cube(2), overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.fits"]


@pytest.mark.real_data
def test_ngc7469_reads_as_its_headers_say(shared_data):
    """Oracle: the numbers of the archive file read with astropy alone."""
    path = shared_data / "jwst" / "ngc7469_Level3_ch4-short_s3d.fits.gz"
    cube = ard.read_cube(path)
    with fits.open(path) as hdus:
        science, header = hdus["SCI"].data, hdus["SCI"].header
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)  # dates that WCS adds from MJD cards
            full = WCS(header)
        assert cube.shape == science.shape == (542, 27, 25)
        np.testing.assert_array_equal(cube.mask, (hdus["DQ"].data & 513) != 0)
        assert cube.pixel_area_sr == pytest.approx(header["PIXAR_SR"], rel=1e-4)
    ra, dec, wave = full.all_pix2world(7.0, 19.0, 300.0, 0)
    ours = cube.wcs.all_pix2world(7.0, 19.0, 0)
    assert float(ours[0]) == pytest.approx(float(ra) % 360, abs=1e-9)
    assert float(ours[1]) == pytest.approx(float(dec), abs=1e-9)
    assert cube.wave[300] == pytest.approx(float(wave) * 1e6, rel=1e-12)
    assert cube.flux.dtype == np.float64
    assert cube.flux.dtype.isnative


@pytest.mark.real_data
def test_a_tabular_axis_and_a_flat_product(shared_data):
    cube = ard.read_cube(
        shared_data / "jwst" / "cubeviz_det_image_seq1_MIRIFUSHORT_12SHORTexp1_s3d.fits"
    )
    assert cube.wave[0] == pytest.approx(4.89, abs=1e-3)
    assert (np.diff(cube.wave) > 0).all()
    with pytest.raises(ard.FormatError, match="not a cube"):
        ard.read_cube(
            shared_data / "jwst" / "jw01345062001_03101_00001_nrs2_phot.138.1345_933.fits"
        )


def _with_sky(path: Path, drop=(), **cards) -> fits.Header:
    """Write a cube whose sky has other cards, and give the header of its image."""
    hdus = s3d.cube_hdus(make_cube())
    for hdu in hdus[1:5]:
        for key in drop:
            del hdu.header[key]
        hdu.header.update(cards)
    hdus.writeto(path)
    return hdus["SCI"].header


@pytest.mark.parametrize(
    ("cards", "drop"),
    [
        ({"LONPOLE": 150.0}, ()),
        ({"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "LATPOLE": 80.0, "CRVAL2": 0.0}, ()),
        ({"CROTA2": 30.0}, ("PC1_1", "PC1_2", "PC2_1", "PC2_2", "PC3_3")),
        ({"CROTA2": 30.0}, ()),  # void beside a matrix
        (
            {"CUNIT1": "arcsec", "CDELT1": -0.1, "CRVAL1": 40 * 3600.0}
            | {"CUNIT2": "arcmin", "CDELT2": 0.1 / 60, "CRVAL2": -8 * 60.0},
            (),
        ),
        ({"RADESYS": "FK4", "EQUINOX": 1950.0}, ()),
        ({"RADESYS": "FK5", "EQUINOX": 1975.0}, ()),
        ({"EQUINOX": 1975.0}, ("RADESYS",)),
        (
            {"CTYPE1": "RA---SIN", "CDELT1": 0.1, "PV2_1": 0.0}
            | {"CTYPE2": "DEC--SIN", "CDELT2": 0.1, "PV2_2": 0.0},
            (),
        ),
    ],
)
def test_the_sky_of_a_header_is_that_of_wcslib(tmp_path, cards, drop):
    """Oracle: astropy on the whole header; and again after the cube has been written."""
    header = _with_sky(tmp_path / "a.fits", drop, **cards)
    expected = WCS(header).celestial.pixel_to_world([0, 2, 9], [0, 3, -4])
    cube = ard.read_cube(tmp_path / "a.fits")
    assert cube.wcs.pixel_to_world([0, 2, 9], [0, 3, -4]).separation(expected).arcsec.max() < 1e-6
    if "CAR" in str(header["CTYPE1"]):
        with pytest.raises(ard.FormatError, match="cannot be written as a gwcs"):
            ard.write_cube(tmp_path / "b.fits", cube)
        back = celestial_wcs(celestial_cards(cube.wcs), "b")
    else:
        ard.write_cube(tmp_path / "b.fits", cube)
        back = ard.read_cube(tmp_path / "b.fits").wcs
        with fits.open(tmp_path / "b.fits") as hdus:
            alone = WCS(hdus["SCI"].header).celestial.pixel_to_world([0, 2, 9], [0, 3, -4])
            blob = hdus["ASDF"].data["ASDF_METADATA"][0].tobytes()
        assert alone.separation(expected).arcsec.max() < 1e-6
        with asdf.open(io.BytesIO(blob)) as tree:
            sky, _ = tree["meta"]["wcs"].pixel_to_world([0, 2, 9], [0, 3, -4], [0, 0, 0])
        assert sky.separation(expected).arcsec.max() < 1e-6
    assert back.pixel_to_world([0, 2, 9], [0, 3, -4]).separation(expected).arcsec.max() < 1e-6


@pytest.mark.parametrize(
    ("cards", "match"),
    [
        ({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}, "more to it"),
        ({"A_ORDER": 2, "A_2_0": 0.01}, "A_ORDER = 2"),
        ({"CPDIS1": "LOOKUP"}, "CPDIS1 = LOOKUP"),
        ({"PV2_1": 0.1}, "PV2_1 = 0.1"),
        ({"PC3_1": 0.5}, "PC3_1 = 0.5"),
        ({"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, "projection that wcslib knows"),
        ({"CUNIT1": "m"}, "not an angle"),
    ],
)
def test_a_sky_that_is_not_read_is_refused(tmp_path, cards, match):
    _with_sky(tmp_path / "a.fits", **cards)
    with pytest.raises(ard.ArdError, match=match):
        ard.read_cube(tmp_path / "a.fits")


def test_a_sky_that_would_not_be_read_is_not_written(tmp_path):
    wcs = make_cube().wcs.deepcopy()
    bend = np.zeros((3, 3))
    bend[2, 0] = 0.05
    wcs.sip = Sip(bend, bend.T, None, None, [3, 2])
    with pytest.raises(ard.FormatError, match="more to it than is written"):
        ard.write_cube(tmp_path / "a.fits", make_cube().replace(wcs=wcs))
    slant = make_cube().wcs.deepcopy()
    slant.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    slant.wcs.set_pv([(2, 1, 0.3)])
    with pytest.raises(ard.FormatError, match="more to it than is written"):
        ard.write_cube(tmp_path / "a.fits", make_cube().replace(wcs=slant))
    assert not (tmp_path / "a.fits").exists()


def test_a_wcs_in_other_units_and_with_a_cd_matrix_is_written_as_it_is(tmp_path):
    """Oracle: astropy on the same WCS."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["arcsec", "arcsec"]
    wcs.wcs.crval, wcs.wcs.crpix = [40 * 3600.0, -8 * 3600.0], [3, 2]
    wcs.wcs.cd = [[-0.08, 0.03], [0.03, 0.08]]
    expected = wcs.deepcopy().pixel_to_world(4, 3)
    ard.write_cube(tmp_path / "a.fits", make_cube().replace(wcs=wcs))
    found = ard.read_cube(tmp_path / "a.fits").wcs.pixel_to_world(4, 3)
    assert found.separation(expected).arcsec < 1e-6


@pytest.mark.parametrize("frame", ["TOPOCENT", "BARYCENT", ""])
def test_the_frame_of_the_wavelengths_is_kept(tmp_path, frame):
    hdus = s3d.cube_hdus(make_cube())
    for hdu in hdus[1:5]:
        hdu.header["SPECSYS"] = frame
        if not frame:
            del hdu.header["SPECSYS"]
    hdus.writeto(tmp_path / "a.fits")
    cube = ard.read_cube(tmp_path / "a.fits")
    assert cube.specsys == frame
    ard.write_cube(tmp_path / "b.fits", cube.replace(meta={}))
    assert fits.getheader(tmp_path / "b.fits", "SCI").get("SPECSYS", "") == frame
    if frame == "TOPOCENT":
        with pytest.raises(ard.FormatError, match="another frame"):
            require_barycentric(cube.specsys, "a.fits")
    else:
        require_barycentric(cube.specsys, "a.fits")


def test_errors_from_scatter_stay_such(tmp_path):
    ard.write_cube(tmp_path / "a.fits", make_cube())
    cube = ard.read_cube(tmp_path / "a.fits", noise="scatter")
    ard.write_cube(tmp_path / "b.fits", cube)
    assert ard.read_cube(tmp_path / "b.fits").meta["ERRFROM"] == "scatter"
    assert ard.read_cube(tmp_path / "a.fits").meta["ERRFROM"] == "file"


def test_one_bit_marks_every_masked_voxel(tmp_path):
    """A reader that knows bit 0 alone finds what this one finds."""
    cube = make_cube()
    ard.write_cube(tmp_path / "a.fits", cube.replace(dq=np.where(cube.mask, 512, 4)))
    with fits.open(tmp_path / "a.fits") as hdus:
        np.testing.assert_array_equal((hdus["DQ"].data & 1) != 0, cube.mask)


def test_a_long_tabular_axis(tmp_path):
    """More channels than 16 bits count. Oracle: the axis itself."""
    wave = np.linspace(1, 2, 33_000) ** 1.1
    one = np.ones((wave.size, 1, 1))
    ard.write_cube(tmp_path / "a.fits", ard.Cube(one, one, one < 0, wave, make_cube().wcs))
    np.testing.assert_array_equal(ard.read_cube(tmp_path / "a.fits").wave, wave)
    with fits.open(tmp_path / "a.fits") as hdus:
        assert hdus["WCS-TABLE"].data["nelem"][0] == wave.size


@pytest.mark.parametrize(("key", "value"), [("X", np.nan), ("NOTE", "ü"), ("LIST", [1])])
def test_a_keyword_that_fits_cannot_hold_is_named(tmp_path, key, value):
    with pytest.raises(ard.FormatError, match=f"keyword {key} cannot stand"):
        ard.write_cube(tmp_path / "a.fits", make_cube().replace(meta={key: value}))


def test_numbers_beyond_float32_are_refused_where_they_are_used(tmp_path):
    cube = make_cube()
    with pytest.raises(ard.FormatError, match="a flux that float32 cannot hold"):
        ard.write_cube(tmp_path / "a.fits", cube.replace(flux=np.full(cube.shape, 1e39)))
    with pytest.raises(ard.FormatError, match="an error that float32 cannot hold"):
        ard.write_cube(tmp_path / "a.fits", cube.replace(var=np.full(cube.shape, 1e-92)))
    huge = cube.replace(flux=np.where(cube.mask, 1e39, cube.flux))
    ard.write_cube(tmp_path / "a.fits", huge)
    np.testing.assert_array_equal(ard.read_cube(tmp_path / "a.fits").mask, cube.mask)


def test_reading_copies_no_more_than_it_converts(tmp_path):
    """The arrays of a cube that is read are made once, though nobody can change them."""
    ard.write_cube(tmp_path / "a.fits", make_cube(shape=(60, 60, 60)))
    ard.read_cube(tmp_path / "a.fits")
    tracemalloc.start()
    cube = ard.read_cube(tmp_path / "a.fits")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # float64 flux, errors, their squares, weights (4), the file's own arrays (2), mask, dq, steps
    assert peak < 8 * cube.flux.nbytes
    assert cube.replace(meta={}).flux is cube.flux
