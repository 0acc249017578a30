"""Damaged FITS files end in words, never in another library's exception."""

import pytest
from astropy.io import fits
from builders import make_cube
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import ard
from ard.fitsio import open_hdus, walk


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "a.fits"
    ard.write_cube(path, make_cube())
    return path.read_bytes()


def test_the_walk_finds_what_astropy_finds(tmp_path, whole):
    """Oracle: the offsets that astropy gives for the same file."""
    (tmp_path / "a.fits").write_bytes(whole)
    with fits.open(tmp_path / "a.fits") as hdus:
        theirs = [(h.name, h.fileinfo()["hdrLoc"], h.fileinfo()["datLoc"]) for h in hdus]
        ends = [h.fileinfo()["datLoc"] + h.fileinfo()["datSpan"] for h in hdus]
    spans = walk(tmp_path / "a.fits")
    assert [(s.name, s.header_start, s.data_start) for s in spans] == theirs
    assert [s.end for s in spans] == ends


_KEPT: dict[str, bytes] = {}


@pytest.fixture(scope="module", autouse=True)
def _kept(whole):
    # Not a parameter of the test below: hypothesis would print all of it.
    _KEPT["whole"] = whole


@settings(max_examples=150, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), what=st.binary(min_size=1, max_size=8))
@example(where=0.03, what=b"NAXIS   =")
@example(where=0.02, what=b"hidden")
def test_damage_anywhere_is_named(tmp_path_factory, where, what):
    """Every byte lies under a checksum, so a change is refused, by an error of ours."""
    whole = _KEPT["whole"]
    path = tmp_path_factory.mktemp("damaged") / "a.fits"
    start = int(where * (len(whole) - len(what)))
    damaged = whole[:start] + what + whole[start + len(what) :]
    # In ones' complement a word of ones counts like a word of zeros.
    assume(damaged != whole and b"\xff" not in what)
    # Without its keyword a sum is not known; only the list of sha256 finds that.
    assume(damaged.count(b"CHECKSUM=") == whole.count(b"CHECKSUM="))
    path.write_bytes(damaged)
    with pytest.raises(ard.ArdError) as caught:
        ard.read_cube(path)
    assert "a.fits" in str(caught.value)


@pytest.mark.parametrize("card", ["NAXIS", "NAXIS1", "BITPIX", "PCOUNT"])
@pytest.mark.parametrize("value", ["'text'", "-3", "1E300", "T", "/ gone"])
def test_impossible_sizes_are_refused(tmp_path, whole, card, value):
    at = whole.index(f"{card:8s}=".encode(), 2880)
    text = f"{card:8s}= {value:>20s}".ljust(80).encode()
    path = tmp_path / "a.fits"
    path.write_bytes(whole[:at] + text + whole[at + 80 :])
    with pytest.raises(ard.ArdError), open_hdus(path):
        pass


def test_a_compressed_image_is_under_its_checksum(tmp_path):
    path = tmp_path / "a.fits"
    ard.write_cube(path, make_cube(shape=(20, 12, 12)), compress=True)
    data = bytearray(path.read_bytes())
    science = walk(path)[1]
    data[(science.data_start + science.end) // 2] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(ard.IntegrityError, match="checksum"):
        ard.read_cube(path)
