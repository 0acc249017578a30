"""Does `rbh1 acquire cutout` bring a part of a file, and nothing where it cannot?

Oracle: the same section of the whole file, read by astropy. (What a cut-out is, and how it fails,
is in test_cutout.py.)
"""

import numpy as np
import pytest
from archives import HST, JWST
from astropy.io import fits

from pipeline.acquire.testing import NoRanges


def test_a_box_of_an_image(acquire, mini, tmp_path, server):
    out = tmp_path / "part.fits"
    words = ("cutout", HST, "--box", "3,20,5,9", "--extension", "SCI", "--extension", "WHT")
    result = acquire(*words, "--out", out)
    assert result.code == 0, result.text
    assert result.document["path"] == str(out)
    with fits.open(out) as part, fits.open(mini.files[HST].path) as whole:
        assert [hdu.name for hdu in part] == ["PRIMARY", "SCI", "WHT"]
        for name in ("SCI", "WHT"):
            np.testing.assert_array_equal(part[name].data, whole[name].data[5:9, 3:20])
    assert all(request.range for request in server.requests if "Download" in request.path)


def test_wavelengths_of_a_cube_around_the_target(acquire, mini, tmp_path):
    out = tmp_path / "part.fits"
    with fits.open(mini.files[JWST].path) as whole:
        start, step = whole["SCI"].header["CRVAL3"], whole["SCI"].header["CDELT3"]
        words = ("--wave", f"{start + 1.9 * step}:{start + 3.1 * step}", "--size", "0.25")
        result = acquire("cutout", JWST, *words, "--out", out)
        assert result.code == 0, result.text
        with fits.open(out) as part:
            wave = part["SCI"].header["CRVAL3"] + step * (1 - part["SCI"].header["CRPIX3"])
            channel = round((wave - start) / step)
            assert channel in (1, 2)
            depth = part["SCI"].data.shape[0]
            assert depth in (2, 3)
            rows = whole["SCI"].data[channel : channel + depth]
            ny, nx = part["SCI"].data.shape[1:]
            sections = [
                rows[:, y : y + ny, x : x + nx]
                for y in range(rows.shape[1] - ny + 1)
                for x in range(rows.shape[2] - nx + 1)
            ]
            assert any(np.array_equal(part["SCI"].data, s, equal_nan=True) for s in sections)


def test_a_dry_run_says_what_it_takes_and_writes_nothing(acquire, mini, tmp_path):
    result = acquire("cutout", HST, "--box", "0,4,0,4", "--out", tmp_path / "x.fits", "--dry-run")
    assert result.code == 0
    assert result.document["source_bytes"] == mini.files[HST].size
    assert not (tmp_path / "x.fits").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("no_such_drc.fits",), 3, "the lock names no such file"),
        ((HST, "--offline"), 2, "cannot be had --offline"),
        ((HST, "--box", "1,2,3"), 2, "is not like X0,X1,Y0,Y1"),
        ((HST, "--box", "0,4,0,4", "--centre", "1,2"), 2, "--box goes without --centre"),
        ((HST, "--box", "0,40,0,40", "--limit", "0.001"), 3, HST),
        ((HST, "--box", "9000,9001,0,4"), 3, HST),
        ((HST, "--box", "0,4,0,4", "--extension", "ERR"), 3, HST),
    ],
)
def test_what_cannot_be_had_is_said(acquire, tmp_path, words, code, message):
    result = acquire("cutout", *words, "--out", tmp_path / "x.fits")
    assert (result.code, message in result.text) == (code, True), result.text
    assert not (tmp_path / "x.fits").exists()


def test_an_archive_without_ranges_does_not_send_the_whole(acquire, server, tmp_path):
    server.fault(HST, NoRanges(), times=None)
    result = acquire("cutout", HST, "--box", "0,4,0,4", "--out", tmp_path / "x.fits")
    assert result.code == 3
    assert HST in result.text
    assert not (tmp_path / "x.fits").exists()


def test_a_file_is_not_overwritten(acquire, tmp_path):
    out = tmp_path / "x.fits"
    out.write_text("mine")
    words = ("cutout", HST, "--box", "0,4,0,4", "--out", out)
    assert acquire(*words).code == 2
    assert out.read_text() == "mine"
    assert acquire(*words, "--overwrite").code == 0
    assert out.read_bytes().startswith(b"SIMPLE")
