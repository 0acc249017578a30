"""Files of HST become images in electrons per second, or are refused with their name.

Oracles: astropy's own conversion of flux densities, closed forms, planted flags.
"""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from skyimages import HOST, PHOTFLAM, PHOTPLAM, correlated, drizzled, grid, written

from ard.errors import FormatError, UnitError
from manifests import Position, load_target
from pipeline.reduce.imaging.images import Known, ab_zero_point, read_image, read_images
from pipeline.reduce.imaging.parts import middle, solid_angles

SIZE = 120
WCS = grid(30.0, size=SIZE)


def sky(sigma=0.01, seed=1):
    return 0.15 + correlated(np.random.default_rng(seed), SIZE, sigma, 0.2)


def test_zero_point_is_the_one_of_astropy():
    flam = PHOTFLAM * u.erg / u.s / u.cm**2 / u.AA
    expected = flam.to(u.ABmag, u.spectral_density(PHOTPLAM * u.AA)).value
    assert ab_zero_point(PHOTFLAM, PHOTPLAM) == pytest.approx(expected, abs=1e-9)
    short = -2.5 * np.log10(PHOTFLAM) - 5.0 * np.log10(PHOTPLAM) - 2.408
    assert ab_zero_point(PHOTFLAM, PHOTPLAM) == pytest.approx(short, abs=2e-4)


@pytest.mark.parametrize(
    ("cards", "factor"),
    [
        ({}, 1.0),
        ({"BUNIT": "ELECTRONS"}, 1 / 2000.0),
        ({"BUNIT": "COUNTS", "CCDGAIN": 1.5}, 1.5 / 2000.0),
        ({"BUNIT": "COUNTS/S", "CCDGAIN": 2.0}, 2.0),
    ],
)
def test_units_become_electrons_per_second(cards, factor, tmp_path):
    data = sky()
    path = written(drizzled(data / factor, WCS, **cards), tmp_path)
    image = read_image(path)
    np.testing.assert_allclose(image.flux, data, rtol=1e-6)
    assert (image.band, image.exposures, image.weight_kind) == ("F350LP", 3, "exposure")
    assert image.magnitude(1.0) == image.zero_point_ab
    assert np.isnan(image.magnitude(-1.0))


@pytest.mark.parametrize(
    ("cards", "error", "says"),
    [
        ({"PHOTFLAM": None}, FormatError, "no zero point"),
        ({"PHOTPLAM": 0.0}, FormatError, "no zero point"),
        ({"BUNIT": None}, UnitError, "unit of the image is not known"),
        ({"BUNIT": "ELECTRONS", "EXPTIME": 0.0}, UnitError, "cannot be turned into a rate"),
        ({"BUNIT": "COUNTS"}, UnitError, "counts cannot be turned"),
        ({"FILTER": None}, FormatError, "filter of the image cannot be told"),
        ({"FILTER": "CLEAR1L", "FILTER2": "CLEAR"}, FormatError, "filter of the image"),
        ({"EXPTIME": None}, FormatError, "cannot be decided"),
        ({"FILTER": "F606W"}, FormatError, "F606W is declared for another camera"),
    ],
)
def test_what_an_image_needs_and_lacks_is_said_with_its_file(cards, error, says, tmp_path):
    path = written(drizzled(sky(), WCS, **cards), tmp_path)
    with pytest.raises(error, match=says) as raised:
        read_image(path)
    assert raised.value.file == str(path)
    assert raised.value.action


def test_what_the_reader_knows_stands_in_for_the_header(tmp_path):
    """The layout of the ACS cut-out: two filters in one file, no unit, no PHOTFLAM."""
    one = drizzled(
        sky(), WCS, PHOTFLAM=None, BUNIT=None, EXPTIME=None, INSTRUME=None, DETECTOR=None
    )
    one["SCI"].name, one["WHT"].name = "F606W_SCI", "F606W_WHT"
    del one["CTX"]
    path = written(one, tmp_path)
    known = Known("F606W", 26.4847, weight_kind="exposure", unit="ELECTRONS/S")
    image = read_image(path, known)
    assert (image.band, image.zero_point_ab, image.exposures) == ("F606W", 26.4847, 0)
    with pytest.raises(FormatError, match="holds no image"):
        read_image(path)
    with pytest.raises(FormatError, match="a weight cannot mean this"):
        read_image(path, Known("F606W", 26.4847, weight_kind="seconds", unit="ELECTRONS/S"))


def test_acs_names_its_filter_beside_a_clear_one(tmp_path):
    camera = {"INSTRUME": "ACS", "DETECTOR": "WFC"}
    cards = {"FILTER": None, "FILTER1": "CLEAR1L", "FILTER2": "F814W"} | camera
    assert read_image(written(drizzled(sky(), WCS, **cards), tmp_path)).band == "F814W"


def test_pixels_without_weight_or_exposure_are_masked(tmp_path):
    hdus = drizzled(sky(), WCS)
    hdus["WHT"].data[3, 4] = 0.0
    hdus["CTX"].data[5, 6] = 0
    hdus["SCI"].data[7, 8] = np.nan
    image = read_image(written(hdus, tmp_path))
    assert sorted(map(tuple, np.argwhere(image.mask))) == [(3, 4), (5, 6), (7, 8)]
    assert np.isnan(image.flux[image.mask]).all()
    assert (image.weight[image.mask] == 0).all()


def test_more_than_32_exposures_have_several_planes_of_context(tmp_path):
    hdus = drizzled(sky(), WCS)
    planes = np.zeros((2, SIZE, SIZE), np.int32)
    planes[0], planes[1, :60] = -1, 3
    hdus["CTX"].data = planes
    assert read_image(written(hdus, tmp_path)).exposures == 34


def test_a_weight_of_zero_everywhere_is_refused(tmp_path):
    hdus = drizzled(sky(), WCS)
    hdus["WHT"].data[:] = 0.0
    path = written(hdus, tmp_path)
    with pytest.raises(FormatError, match="has no weight") as raised:
        read_image(path)
    assert raised.value.file == str(path)


def test_inverse_variance_is_told_from_time(tmp_path):
    hdus = drizzled(sky(0.01), WCS)
    # A block of 4 x 4 pixels of this noise has 1.9 times the variance of independent ones.
    hdus["WHT"].data[:] = 1.0 / (1.9 * 0.01**2)
    image = read_image(written(hdus, tmp_path))
    assert image.weight_kind == "inverse variance"


def test_a_weight_that_is_both_or_neither_is_refused(tmp_path):
    both = drizzled(sky(np.sqrt(1 / 2000.0 / 1.9)), WCS)
    with pytest.raises(FormatError, match="cannot be decided"):
        read_image(written(both, tmp_path, "both_drc.fits"))
    neither = drizzled(sky(), WCS)
    neither["WHT"].data[:] = 40.0
    path = written(neither, tmp_path, "neither_drc.fits")
    with pytest.raises(FormatError, match="cannot be decided"):
        read_image(path)
    assert read_image(path, Known(weight_kind="exposure")).weight_kind == "exposure"


def exposure(pixel=0.04, **cards) -> fits.HDUList:
    """An FLC file: two chips in electrons, with errors and flags; the first has longer pixels."""
    head = fits.PrimaryHDU()
    for key, value in ({"FILTER": "F350LP", "EXPTIME": 500.0} | cards).items():
        head.header[key] = value
    hdus = [head]
    for chip in (1, 2):
        wcs = grid(10.0, size=SIZE, pixel=pixel)
        if chip == 1:
            wcs.wcs.cd = wcs.wcs.cd * [[1.1], [1.1]]
            wcs.wcs.set()
        header = wcs.to_header()
        header["EXTVER"] = chip
        science = header.copy()
        science["BUNIT"], science["PHOTFLAM"], science["PHOTPLAM"] = "ELECTRONS", PHOTFLAM, PHOTPLAM
        science["IDCSCALE"] = pixel
        hdus.append(
            fits.ImageHDU(np.full((SIZE, SIZE), 100.0 * chip, np.float32), science, name="SCI")
        )
        hdus.append(fits.ImageHDU(np.full((SIZE, SIZE), 5.0, np.float32), header, name="ERR"))
        flags = np.zeros((SIZE, SIZE), np.int16)
        flags[chip, chip], flags[50, 50] = 4096, 64
        hdus.append(fits.ImageHDU(flags, header, name="DQ"))
    return fits.HDUList(hdus)


def test_both_chips_of_an_exposure_are_read_with_their_flags(tmp_path):
    path = written(exposure(SDQFLAGS=31743 & ~64), tmp_path, "a_flc.fits")
    first, second = read_images(path)
    with pytest.raises(FormatError, match="several chips"):
        read_image(path)
    for chip, image in ((1, first), (2, second)):
        # 64 (a warm pixel that is stable) is not serious here, 4096 (a cosmic ray) is.
        assert [tuple(p) for p in np.argwhere(image.mask)] == [(chip, chip)]
        area = 1.1**2 if chip == 1 else 1.0
        good = ~image.mask
        np.testing.assert_allclose(image.flux[good], 100.0 * chip / 500.0 * area, rtol=1e-6)
        np.testing.assert_allclose(image.weight[good] ** -0.5, 5.0 / 500.0 * area, rtol=1e-6)
        assert image.weight_kind == "total inverse variance"


def test_without_sdqflags_every_flag_counts(tmp_path):
    first, _ = read_images(written(exposure(), tmp_path, "a_flc.fits"))
    assert first.mask[50, 50]


def test_of_a_large_image_the_part_around_its_target_is_kept(tmp_path):
    size = 2100
    wcs = grid(75.0, size=size)
    data = np.zeros((size, size), np.float32)
    x, y = 1400, 700
    data[y, x] = 9.0
    ra, dec = (float(v) for v in wcs.all_pix2world(x, y, 0))
    hdus = drizzled(data, wcs, RA_TARG=ra, DEC_TARG=dec)
    image = read_image(written(hdus, tmp_path), Known(weight_kind="exposure"))
    assert image.shape == (1201, 1201)
    row, column = np.unravel_index(np.argmax(image.flux), image.shape)
    assert [float(v) for v in image.wcs.all_pix2world(column, row, 0)] == pytest.approx([ra, dec])


@pytest.mark.parametrize("pointed", [False, True], ids=["no RA_TARG", "RA_TARG elsewhere"])
def test_of_a_mosaic_the_part_around_the_target_of_the_manifest_is_read(tmp_path, pointed):
    """Planted: a pixel at the host, near a corner of a mosaic that was pointed at nothing of it."""
    size = 2300
    wcs = grid(75.0, size=size, centre=HOST)
    wcs.wcs.crpix = [1650.0, 650.0]
    wcs.wcs.set()
    data = np.zeros((size, size), np.float32)
    data[649, 1649] = 9.0
    away = [float(v) for v in wcs.all_pix2world(300, 2000, 0)]
    cards = dict(zip(("RA_TARG", "DEC_TARG"), away, strict=True)) if pointed else {}
    path = written(drizzled(data, wcs, **cards), tmp_path)
    target = load_target("rbh1")
    known = Known(weight_kind="exposure")
    image = read_image(path, known, target=target)
    assert image.shape == (1201, 1201)
    row, column = np.unravel_index(np.argmax(image.flux), image.shape)
    place = [float(v) for v in image.wcs.all_pix2world(column, row, 0)]
    assert place == pytest.approx(HOST, abs=1e-9)
    x, y = image.wcs.all_world2pix(target.tip.ra_deg, target.tip.dec_deg, 0)
    # Host and tip lie on both sides of the middle, as far from it.
    assert (column + x) / 2 == pytest.approx(600, abs=1)
    assert (row + y) / 2 == pytest.approx(600, abs=1)
    shape = read_image(path, known).shape
    assert shape == ((900, 901) if pointed else (size, size))
    elsewhere = replace(target, host=Position(10.0, 10.0), tip=None)
    assert read_image(path, known, target=elsewhere).shape == shape


def test_the_middle_of_a_target_across_the_meridian():
    target = replace(load_target("rbh1"), host=Position(359.999, 1.0), tip=Position(0.003, 1.002))
    assert middle(target) == pytest.approx((0.001, 1.001))


def test_solid_angles_are_those_of_the_scale():
    """Near the tangent point the area of a pixel is the product of its sides."""
    found = solid_angles(grid(20.0, pixel=0.04), np.array([150.0]), np.array([150.0]))
    assert found == pytest.approx(0.04**2, rel=1e-7)
