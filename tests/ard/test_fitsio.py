"""Damaged FITS files end in words, never in another library's exception."""

import gzip
import tracemalloc

import pytest
from astropy.io import fits
from builders import make_cube, make_map
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import ard
from ard.fitsio import BLOCK, open_hdus, walk


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


def test_a_gzipped_file_is_walked_like_its_content(tmp_path, whole):
    (tmp_path / "a.fits").write_bytes(whole)
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(whole, mtime=0))
    plain, zipped = walk(tmp_path / "a.fits"), walk(tmp_path / "a.fits.gz")
    assert [(s.name, s.data_start, s.end) for s in plain] == [
        (s.name, s.data_start, s.end) for s in zipped
    ]


@pytest.mark.parametrize("ends", [True, False])
def test_data_are_not_read_to_find_headers(tmp_path, ends):
    """Not even where END is damaged, and the data look like more cards (576 MB of them, sparse)."""
    size = 200_000 * BLOCK
    header = fits.Header({"SIMPLE": True, "BITPIX": 8, "NAXIS": 1, "NAXIS1": size}).tostring()
    with (tmp_path / "a.fits").open("wb") as stream:
        stream.write((header if ends else header.replace("END", "EMD")).encode())
        stream.truncate(BLOCK + size)
    tracemalloc.start()
    try:
        if ends:
            assert walk(tmp_path / "a.fits")[0].end == BLOCK + size
        else:
            with pytest.raises(ard.IntegrityError, match="a header does not end"):
                walk(tmp_path / "a.fits")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30e6


_KEPT: dict[str, bytes] = {}


@pytest.fixture(scope="module", autouse=True)
def _kept(whole):
    # Not a parameter of the test below: hypothesis would print all of it.
    _KEPT["whole"] = whole


@settings(max_examples=150, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), what=st.binary(min_size=1, max_size=8))
@example(where=0.03, what=b"NAXIS   =")
@example(where=0.02, what=b"hidden")
@example(where=0.669921875, what=b"\x00")  # in the card of a name
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


@pytest.mark.parametrize("card", ["EXTEND", "EXTNAME", "CHECKSUM", "LAYER"])
def test_a_card_that_cannot_be_parsed_is_damage(tmp_path, card):
    """What decides how a file is read is asked for before its checksums are."""
    path = tmp_path / "a.fits"
    ard.write(path, make_map())
    data = path.read_bytes()
    at = data.index(f"{card:8s}=".encode())
    # A map has no ARDKIND, which says that a file is a noise product.
    name = "ARDKIND" if card == "EXTEND" else card
    path.write_bytes(data[:at] + f"{name:8s}= '\0'".ljust(30).encode() + data[at + 30 :])
    with pytest.raises(ard.IntegrityError, match=r"a\.fits"):
        ard.read(path)


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
