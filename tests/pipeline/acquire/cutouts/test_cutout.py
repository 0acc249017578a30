"""A cut-out is the same section of the whole file (oracles: astropy on the whole, brute force)."""

import gzip
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from cutting import (
    CUBE,
    CX,
    CY,
    CZ,
    NX,
    NY,
    SKY_DEG,
    Client,
    archive_in,
    opened,
    placed,
    serving,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ard import read_cube, spectral
from ard.errors import ArdError, FormatError, IntegrityError, NotFoundError
from ard.fitsio import walk
from ard.headers import celestial_wcs
from pipeline.acquire.cutouts.boxes import PixelBox, SkyBox, find_box, section_text
from pipeline.acquire.cutouts.cutout import Cutout
from pipeline.acquire.cutouts.plan import NOT_VERIFIED, CutoutRequest


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    return archive_in(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def shared(paths) -> Iterator[Client]:
    yield from serving(paths)


@pytest.fixture
def client(paths) -> Iterator[Client]:
    yield from serving(paths)


def raw(source, name: str, section: tuple[slice, ...]) -> bytes:
    """The stored bytes of a section, unscaled."""
    with fits.open(source, memmap=False, do_not_scale_image_data=True) as hdus:
        return hdus[name].data[section].tobytes()


def spans_of(size: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).map(
        lambda ends: (min(ends), max(ends) + 1)
    )


# ---- the same pixels at the same places


@settings(max_examples=40)
@given(x=spans_of(NX), y=spans_of(NY))
def test_an_image_is_the_section_of_the_whole(shared, x, y):
    cutout = shared.cut("drc.fits", PixelBox(*x, *y), ("SCI", "WHT", "CTX", "INT"))
    section = (slice(*y), slice(*x))
    with opened(cutout) as part, fits.open(shared.files["drc.fits"]) as whole:
        assert [hdu.name for hdu in part] == ["PRIMARY", "SCI", "WHT", "CTX", "INT"]
        for name in ("SCI", "WHT", "CTX", "INT"):
            expected = whole[name].data[section]
            np.testing.assert_array_equal(part[name].data, expected)
            assert part[name].data.dtype == expected.dtype
            assert part[name].header["CUT_BOX"] == section_text((x, y))
            assert raw(io.BytesIO(cutout.content), name, ()) == raw(
                shared.files["drc.fits"], name, section
            )
        same_places(whole["SCI"].header, part["SCI"].header, x[0], y[0])
        assert part["SCI"].header["LTV1"] == 3.0 - x[0]
        assert part["SCI"].header["LTV2"] == -2.0 - y[0]
    assert cutout.sections[0] == ("SCI", section_text((x, y)))


def same_places(whole: fits.Header, part: fits.Header, x0: int, y0: int) -> None:
    """Every WCS of the part gives its pixels the places that they have in the whole."""
    nx, ny = part["NAXIS1"], part["NAXIS2"]
    xs, ys = np.array([0, nx - 1, nx / 2, -3.5]), np.array([0, ny - 1, ny / 3, 2.25])
    for key in (" ", "A", "B"):
        before = WCS(whole, key=key).wcs_pix2world(xs + x0, ys + y0, 0)
        after = WCS(part, key=key).wcs_pix2world(xs, ys, 0)
        np.testing.assert_allclose(after, before, rtol=0, atol=SKY_DEG)


@settings(max_examples=40)
@given(x=spans_of(CX), y=spans_of(CY), z=spans_of(CZ), name=st.sampled_from(["s3d", "tab"]))
def test_a_cube_is_the_section_of_the_whole(shared, x, y, z, name):
    path = shared.files[f"{name}.fits"]
    with fits.open(path) as whole:
        wave = spectral.read_wave(whole, whole["SCI"].header, name)
        chosen = (float(wave[z[0]]), float(wave[z[1] - 1]))
        cutout = shared.cut(path.name, PixelBox(*x, *y), CUBE, wave_um=chosen, tables=("HDRTAB",))
        with opened(cutout) as part:
            tables = ["WCS-TABLE", "HDRTAB"] if name == "tab" else ["HDRTAB"]
            assert [hdu.name for hdu in part] == ["PRIMARY", *CUBE, *tables]
            for key in CUBE:
                expected = whole[key].data[slice(*z), slice(*y), slice(*x)]
                np.testing.assert_array_equal(part[key].data, expected)
                assert part[key].data.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
            assert part["DQ"].data.dtype.kind == "u"
            assert part["HDRTAB"].data.tobytes() == whole["HDRTAB"].data.tobytes()
            np.testing.assert_array_equal(  # to the last bit
                spectral.read_wave(part, part["SCI"].header, name), wave[slice(*z)]
            )
            before, after = (celestial_wcs(h["SCI"].header, name) for h in (whole, part))
            places = before.wcs_pix2world([[x[0] + 1.5, y[0]]], 0)
            np.testing.assert_allclose(after.wcs_pix2world([[1.5, 0]], 0), places, atol=SKY_DEG)


def test_a_cube_reads_as_a_cube(shared, tmp_path):
    cutout = shared.cut("s3d.fits", PixelBox(2, 11, 3, 9), CUBE, wave_um=(0.972, 0.98))
    path = cutout.write(tmp_path / "cut.fits")
    part, whole = read_cube(path), read_cube(shared.files["s3d.fits"])
    inside = (whole.wave >= 0.972) & (whole.wave <= 0.98)
    np.testing.assert_array_equal(part.flux, whole.flux[inside, 3:9, 2:11])
    np.testing.assert_array_equal(part.wave, whole.wave[inside])


def test_without_a_wavelength_range_all_channels_come(shared):
    with opened(shared.cut("tab.fits", PixelBox(2, 5, 3, 4), ("DQ",))) as part:
        assert part["DQ"].shape == (CZ, 1, 3)
        assert "WCS-TABLE" not in part, "nothing in this cut-out refers to it"


def test_distortion_in_the_header_is_kept(tmp_path):
    """Inverse construction: SIP polynomials are about CRPIX, and move with it."""
    header = fits.Header()
    placed(header)
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_1_1": -2e-4, "A_0_2": 3e-5})
    path = tmp_path / "sip.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((40, 50), ">f4"), header, name="SCI")]
                 ).writeto(path)  # fmt: skip
    centre = WCS(header).pixel_to_world(12.0, 30.0)
    for client in serving([path]):
        cutout = client.cut("sip.fits", SkyBox(centre.ra.deg, centre.dec.deg, 0.22))
    with opened(cutout) as part:
        (x0, _), (y0, _) = boxes(cutout)[0]
        assert (x0, y0) == (9, 27), "12 and 30, less 2.75 and a half"
        places = WCS(header).all_pix2world([[12.0, 30.0], [14.0, 28.0]], 0)
        found = WCS(part["SCI"].header).all_pix2world(
            [[12.0 - x0, 30.0 - y0], [14.0 - x0, 28.0 - y0]], 0
        )
        np.testing.assert_allclose(found, places, rtol=0, atol=SKY_DEG)


def test_an_image_in_the_primary_hdu(tmp_path):
    header = fits.Header()
    placed(header)
    path = tmp_path / "bare.fits"
    data = np.arange(600, dtype=np.int16).reshape(20, 30)
    fits.PrimaryHDU(data, header).writeto(path)
    for client in serving([path]):
        cutout = client.cut("bare.fits", PixelBox(3, 8, 4, 6), ("PRIMARY",))
    with opened(cutout) as part:
        np.testing.assert_array_equal(part[0].data, data[4:6, 3:8])
        assert len(part) == 1
        assert part[0].header["CUT_VRFY"] == "range"


def boxes(cutout: Cutout) -> list[list[tuple[int, int]]]:
    """Read sections back: from 0, ends excluded."""
    return [
        [(int(a) - 1, int(b)) for a, b in re.findall(r"(-?\d+):(-?\d+)", text)]
        for _, text in cutout.sections
    ]


# ---- the place on the sky


@given(x=st.floats(-3, NX + 2), y=st.floats(-3, NY + 2), size=st.floats(0.005, 3.0))
def test_a_box_on_the_sky_has_the_pixels_that_the_square_touches(shared, x, y, size):
    """Brute force over all pixels; a pixel is as large as the separation of two neighbours."""
    with fits.open(shared.files["drc.fits"]) as whole:
        header = whole["SCI"].header
        wcs = WCS(header)
    sky = wcs.pixel_to_world(x, y)
    pixel = [wcs.pixel_to_world(19, 30).separation(wcs.pixel_to_world(*at)).arcsec
             for at in ((20, 30), (19, 31))]  # fmt: skip
    reach = [size / 2 / scale + 0.5 for scale in pixel]
    near = [
        np.abs(np.arange(n) - at) - by for n, at, by in zip((NX, NY), (x, y), reach, strict=True)
    ]
    if any(np.abs(distance).min() < 1e-6 for distance in near):
        return  # rounding decides
    touched = [np.flatnonzero(distance < 0) for distance in near]
    place = SkyBox(sky.ra.deg, sky.dec.deg, size)
    if any(pixels.size == 0 for pixels in touched):
        with pytest.raises(ArdError, match="outside the image"):
            find_box(place, header, wcs, "x")
        return
    found = find_box(place, header, wcs, "x")
    inside = [(max(0, a), min(n, b)) for (a, b), n in zip(found, (NX, NY), strict=True)]
    assert inside == [(int(pixels[0]), int(pixels[-1]) + 1) for pixels in touched]


def test_extensions_without_a_wcs_take_that_of_their_sister(shared):
    with fits.open(shared.files["s3d.fits"]) as whole:
        centre = celestial_wcs(whole["SCI"].header, "x").pixel_to_world(8.0, 6.0)
        cutout = shared.cut("s3d.fits", SkyBox(centre.ra.deg - 360, centre.dec.deg, 0.22), ("DQ",))
        (x, y, z) = boxes(cutout)[0]
        assert (x, y, z) == ((5, 12), (3, 10), (0, CZ)), "8 and 6, 2.75 and a half to each side"
        with opened(cutout) as part:
            np.testing.assert_array_equal(
                part["DQ"].data, whole["DQ"].data[:, slice(*y), slice(*x)]
            )


def test_places_are_icrs_whatever_the_frame_of_the_image(tmp_path):
    header = fits.Header()
    placed(header)
    header["RADESYS"], header["EQUINOX"] = "FK5", 1975.0
    wcs = WCS(header)
    place = SkyCoord(40.4399 * u.deg, -8.3497 * u.deg, frame="fk5", equinox="J1975").icrs
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, NX, NY
    found = find_box(SkyBox(place.ra.deg, place.dec.deg, 0.01), header, wcs, "x")
    assert found == ((19, 20), (30, 32)), "about the reference pixel, 19.25 and 30.5 from 0"


def test_the_outline_becomes_that_of_the_cut_out(shared):
    from pipeline.acquire.footprint import contains, parse_region

    with fits.open(shared.files["drc.fits"]) as whole:
        wcs = WCS(whole["SCI"].header)
    cutout = shared.cut("drc.fits", PixelBox(10, 20, 30, 40))
    region = parse_region(opened(cutout)["SCI"].header["S_REGION"])
    for x, y, inside in ((10, 30, True), (19, 39, True), (9, 30, False), (19, 40, False)):
        sky = wcs.pixel_to_world(x, y)
        assert contains(region, sky.ra.deg, sky.dec.deg) is inside


def test_a_box_partly_outside_is_trimmed_and_said(shared):
    cutout = shared.cut("drc.fits", PixelBox(-5, 4, 40, 90))
    assert cutout.sections == (("SCI", "[1:4,41:47]"),)
    note = "SCI: [-4:4,41:90] reaches beyond the image, and was trimmed to [1:4,41:47]"
    assert note in cutout.notes
    with opened(cutout) as part:
        # A card ends after 72 characters, wherever that is.
        assert note in "".join(part[0].header["HISTORY"])
    cutout = shared.cut("s3d.fits", PixelBox(1, 2, 1, 2), wave_um=(0.5, 0.972))
    assert any("0.5 to 0.972 um was asked for" in note for note in cutout.notes)


@pytest.mark.parametrize("place", [SkyBox(40.5, -8.3497, 3.0), SkyBox(220.4399, 8.3497, 3.0),
                                   PixelBox(NX, NX + 5, 0, 5)])  # fmt: skip
def test_a_box_wholly_outside_is_an_error_with_the_footprint(client, place):
    with pytest.raises(ArdError, match=r"corners at \(40\.4") as caught:
        client.cut("drc.fits", place)
    assert caught.value.file == "drc.fits"


# ---- files that have no such part


def served(path: Path, *words, **options) -> Cutout:
    for client in serving([path]):
        return client.cut(path.name, *words, **options)
    raise AssertionError


ONE = PixelBox(0, 1, 0, 1)


def test_compressed_files_are_refused(tmp_path, paths):
    zipped = tmp_path / "a.fits.gz"
    zipped.write_bytes(gzip.compress(paths[0].read_bytes()))
    with pytest.raises(FormatError, match="compressed as a whole"):
        served(zipped, ONE)
    tiled = tmp_path / "tiled.fits"
    image = fits.CompImageHDU(np.ones((30, 30), np.float32), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(tiled)
    with pytest.raises(FormatError, match="compressed in tiles"):
        served(tiled, ONE)


def test_tables_of_distortion_are_refused(tmp_path):
    header = fits.Header({"CPDIS1": "LOOKUP"})
    path = tmp_path / "flc.fits"
    image = fits.ImageHDU(np.ones((4, 5)), header, name="SCI")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    with pytest.raises(FormatError, match="look-up tables"):
        served(path, ONE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"extensions": ("SCI,2",)}, "no extension SCI,2"),
        ({"extensions": ("NONE",)}, "no extension NONE"),
        ({"extensions": ("HDRTAB",)}, "no image"),
        ({"extensions": ("PRIMARY",)}, "no image"),
        ({"tables": ("DQ",)}, "no table"),
        ({"wave_um": (2.0, 3.0)}, "no channel lies in"),
    ],
)
def test_what_the_file_does_not_have(client, options, said):
    with pytest.raises(ArdError, match=said) as caught:
        client.cut("s3d.fits", ONE, **options)
    assert caught.value.file == "s3d.fits"


def test_images_have_no_wavelengths(client):
    with pytest.raises(FormatError, match="no wavelength axis"):
        client.cut("drc.fits", ONE, wave_um=(1.0, 2.0))


def test_an_image_without_a_place_on_the_sky(tmp_path):
    path = tmp_path / "plain.fits"
    image = fits.ImageHDU(np.ones((4, 5)), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    with pytest.raises(FormatError, match="where the pixels lie"):
        served(path, SkyBox(1.0, 2.0, 3.0))


def test_sizes_that_do_not_sum_to_the_size_of_the_file(tmp_path, paths):
    """Cut anywhere, or lengthened, the file is refused before any pixel is read."""
    whole = paths[1].read_bytes()
    last = walk(paths[1])[-1]
    for data, error in (
        (whole[:-2880], IntegrityError),
        (whole + bytes(2880), IntegrityError),
        (whole[: last.header_start + 2000], IntegrityError),
        (whole.replace(b"NAXIS1  ", b"NAXIS9  ", 1), IntegrityError),
        (b"", ArdError),
        (b"SIMPLE  =" + bytes(5000), IntegrityError),
        (b"<html>" + bytes(5000), FormatError),
    ):
        path = tmp_path / "bad.fits"
        path.write_bytes(data)
        with pytest.raises(error) as caught:
            served(path, ONE)
        assert caught.value.file == "bad.fits"
    path.write_bytes(whole + bytes(2880))
    with pytest.raises(IntegrityError, match=f"XTENSION at byte {len(whole)}"):
        served(path, ONE)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SkyBox(float("nan"), 0.0, 1.0),
        lambda: SkyBox(0.0, 91.0, 1.0),
        lambda: SkyBox(0.0, 0.0, 0.0),
        lambda: SkyBox(0.0, 0.0, float("inf")),
        lambda: PixelBox(3, 3, 0, 1),
        lambda: CutoutRequest(ONE, ()),
        lambda: CutoutRequest(ONE, ("SCI", "sci,1")),
        lambda: CutoutRequest(ONE, ("SCI,x",)),
        lambda: CutoutRequest(ONE, wave_um=(2.0, 1.0)),
    ],
)
def test_requests_that_make_no_sense(make):
    with pytest.raises(ArdError, match=r"no box|cannot be cut out"):
        make()


# ---- the file that is written


def test_it_says_where_it_comes_from_and_what_is_not_verified(shared):
    cutout = shared.cut("drc.fits", PixelBox(3, 9, 2, 8), ("WHT", "SCI"))
    path = shared.files["drc.fits"]
    with opened(cutout) as part, fits.open(path) as whole:
        header = part[0].header
        kept = {card.keyword: card.value for card in header.cards}
        for card in whole[0].header.cards:
            if card.keyword != "NEXTEND":
                assert kept[card.keyword] == card.value
        assert header["NEXTEND"] == 2
        assert header["CUT_URI"] == cutout.uri == "mast:HST/product/drc.fits"
        assert header["CUT_ETAG"] == cutout.etag
        assert header["CUT_SIZE"] == cutout.source_bytes == path.stat().st_size
        assert header["CUT_VRFY"] == cutout.verified == "range"
        history = list(header["HISTORY"])
        assert NOT_VERIFIED in history
        assert "SCI: [4:9,3:8] of the source, from 1, ends included." in history
        assert shared.server.url not in repr(header), "products hold no hosts"
    assert cutout.to_dict()["sections"] == [["SCI", "[4:9,3:8]"], ["WHT", "[4:9,3:8]"]]
    assert "content" not in cutout.to_dict()


def test_equal_requests_give_equal_bytes_and_nothing_is_overwritten(shared, tmp_path):
    cutout, again = (shared.cut("drc.fits", PixelBox(3, 9, 2, 8)) for _ in range(2))
    assert cutout.content == again.content
    path = cutout.write(tmp_path / "folder" / "cut.fits")
    with pytest.raises(ArdError, match="exists already"):
        again.write(path)
    again.write(path, overwrite=True)
    assert [p.name for p in path.parent.iterdir()] == ["cut.fits"]
    assert len(walk(path)) == 2
    np.testing.assert_array_equal(cutout.hdus()["SCI"].data, again.hdus()["SCI"].data)


# ---- files of the archive itself


REAL = [
    ("hst/ibde04010_drc_F502N.fits", ("SCI", "WHT", "CTX"), (30, 90, 501, 540), None),
    ("jwst/ngc7469_Level3_ch4-short_s3d.fits.gz", CUBE, (3, 20, 5, 27), (18.5, 18.9)),
    (
        "jwst/cubeviz_det_image_seq1_MIRIFUSHORT_12SHORTexp1_s3d.fits",
        CUBE,
        (2, 7, 1, 9),
        (4.891, 5),
    ),
]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "extensions", "box", "wave_um"), REAL)
def test_real_files(shared_data, tmp_path, name, extensions, box, wave_um):
    data = (shared_data / name).read_bytes()
    path = tmp_path / Path(name).name.removesuffix(".gz")
    path.write_bytes(gzip.decompress(data) if name.endswith(".gz") else data)
    cutout = served(path, PixelBox(*box), extensions, wave_um=wave_um, tables=())
    x0, x1, y0, y1 = box
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)  # cards of real archive files
        with fits.open(path) as whole, fits.open(io.BytesIO(cutout.content)) as part:
            channels: tuple[slice, ...] = ()
            if wave_um:
                wave = spectral.read_wave(whole, whole["SCI"].header, name)
                inside = np.flatnonzero((wave >= wave_um[0]) & (wave <= wave_um[1]))
                channels = (slice(inside[0], inside[-1] + 1),)
                cut = spectral.read_wave(part, part["SCI"].header, name)
                np.testing.assert_array_equal(cut, wave[inside])
            for key in extensions:
                section = (*channels, slice(y0, y1), slice(x0, x1))
                np.testing.assert_array_equal(part[key].data, whole[key].data[section])
            before, after = (celestial_wcs(hdus["SCI"].header, name) for hdus in (whole, part))
            np.testing.assert_allclose(
                after.wcs_pix2world([[1.0, 2.0]], 0),
                before.wcs_pix2world([[1.0 + x0, 2.0 + y0]], 0),
                rtol=0, atol=SKY_DEG,
            )  # fmt: skip


def test_what_is_not_found_is_named_so(client):
    with pytest.raises(NotFoundError, match="the file has no extension"):
        client.cut("s3d.fits", ONE, ("FLUX",))
