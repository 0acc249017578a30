"""Are the HDUs, cards, pixels and cells named in which two FITS files differ, and no others?

Oracles: `astropy.io.fits.FITSDiff`, which reads both files whole, on random and on planted
differences; and the planted differences themselves.
"""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from versions import EVERYTHING, mirrored

import ard
from ard.bundle import BundleFile
from ard.fitsio import write_hdus
from ard.manifest import Entry
from ard.parts import file_parts
from ard.source import LocalSource
from release.diff.fitsfile import hdu_changes
from release.diff.model import Bounds, Card, CardChange, _plain

NO_SUMS = ["CHECKSUM", "DATASUM"]


def as_file(path: Path, parts: bool = True) -> BundleFile:
    """A file of a bundle, as its manifest would list it."""
    listed = file_parts(path) if parts else ()
    entry = Entry(
        name=path.name,
        layer="likelihood",
        product="x",
        kind="cube",
        media_type="application/fits",
        schema=None,
        size=path.stat().st_size,
        sha256=ard.io.sha256_file(path),
        md5="0" * 32,
        parts=listed,
    )
    return BundleFile(entry, LocalSource(path.parent))


def compare(folder: Path, old, new, bounds: Bounds = EVERYTHING, *, checksum: bool = True):
    for name, hdus in (("old.fits", old), ("new.fits", new)):
        write_hdus(folder / name, hdus, overwrite=True, checksum=checksum)
    return hdu_changes(as_file(folder / "old.fits"), as_file(folder / "new.fits"), bounds)


def the_only(changes):
    (change,) = changes
    return change


# ---- against FITSDiff


NUMBERS = {"E": np.float32, "D": np.float64, "I": np.int16, "J": np.int32, "K": np.int64}
KEYWORDS = st.sampled_from(["ALPHA", "BETA", "GAMMA", "HISTORY", "COMMENT", "BUNIT"])
VALUES = st.sampled_from([1, 2, True, 1.5, "text", "other", None])
FLOATS = st.sampled_from([0.0, 1.0, -2.5, 1e30, math.nan])


@st.composite
def headers(draw):
    cards = draw(st.lists(st.tuples(KEYWORDS, VALUES, st.sampled_from(["", "note"])), max_size=5))
    header = fits.Header()
    for keyword, value, comment in cards:
        if keyword in ("HISTORY", "COMMENT"):
            header[keyword] = str(value)
        else:
            header[keyword] = (value, comment)
    return header


@st.composite
def images(draw):
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int16, np.uint16, np.uint8]))
    shape = draw(st.sampled_from([(4,), (2, 3), (2, 3, 2)]))
    if np.issubdtype(dtype, np.floating):
        values = draw(st.lists(FLOATS, min_size=12, max_size=12))
    else:
        values = draw(st.lists(st.integers(0, 200), min_size=12, max_size=12))
    return fits.ImageHDU(np.resize(values, shape).astype(dtype), draw(headers()))


@st.composite
def tables(draw):
    n = draw(st.integers(1, 4))
    columns = []
    for name in draw(st.sets(st.sampled_from(["FLUX", "WAVE", "COUNT"]), min_size=1)):
        form = draw(st.sampled_from(["E", "D", "J", "2E"]))
        size = (n, 2) if form == "2E" else (n,)
        values = np.resize(draw(st.lists(st.integers(0, 3), min_size=8, max_size=8)), size)
        columns.append(fits.Column(name, form, unit="Jy", array=values))
    return fits.BinTableHDU.from_columns(sorted(columns, key=lambda c: c.name), draw(headers()))


@st.composite
def files(draw):
    extensions = draw(st.lists(images() | tables(), min_size=1, max_size=3))
    for number, hdu in enumerate(extensions):
        hdu.name = f"EXT{number}"
    return [fits.PrimaryHDU(header=draw(headers())), *extensions]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files(), st.data())
def test_fitsdiff_agrees(tmp_path, hdus, data):
    other = [hdu.copy() for hdu in hdus]
    place = data.draw(st.integers(0, len(hdus)))
    if place < len(hdus):
        drawn = data.draw(images() | tables()) if place else fits.PrimaryHDU()
        if place:
            drawn.name = hdus[place].name
        else:
            drawn.header.extend(data.draw(headers()), strip=True)
        other[place] = drawn
    bounds = Bounds(10**6, data.draw(st.sampled_from([1, 16, 10**6])))
    found = {
        change.name: change
        for change in compare(tmp_path, fits.HDUList(hdus), fits.HDUList(other), bounds)
    }
    oracle = fits.FITSDiff(
        tmp_path / "old.fits", tmp_path / "new.fits", ignore_keywords=NO_SUMS, numdiffs=-1
    )
    differing = {hdus[number].name: diff for number, diff, *_ in oracle.diff_hdus}
    assert differing.keys() <= found.keys()
    for name, change in found.items():
        if name in differing:
            agree(change, differing[name])
        else:
            # Other bytes that hold the same: the order of cards is nothing to FITSDiff.
            assert not change.cards
            assert change.image is None
            assert change.table is None


def agree(change, oracle: fits.HDUDiff) -> None:
    """Hold one HDU against what FITSDiff says about it."""
    said = oracle.diff_headers
    expected = {*said.diff_keyword_values, *said.diff_keyword_comments}
    expected |= set(said.diff_duplicate_keywords)
    expected |= {keyword for side in said.diff_keywords or ((), ()) for keyword in side}
    # FITSDiff compares commentary cards line by line; here a line more is only one difference.
    loose = {"HISTORY", "COMMENT", ""}
    assert {card.keyword for card in change.cards.rows} - loose == expected - loose
    if oracle.diff_extension_types:
        assert {change.before.kind, change.after.kind} == {"image", "table"}
        return
    data = oracle.diff_data
    if isinstance(data, fits.ImageDataDiff):
        if data.diff_dimensions:
            assert (change.image.before.shape, change.image.after.shape) == data.diff_dimensions
        elif data.diff_total:
            assert change.image.spread.differing == data.diff_total
        else:
            assert change.image is None or change.image.spread.differing == 0
    elif isinstance(data, fits.TableDataDiff) and not data.diff_rows and not data.diff_columns:
        assert (change.table.cells.total if change.table else 0) == data.diff_total


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files(), files())
def test_backwards_is_the_mirror_image(tmp_path, old, new):
    there = compare(tmp_path, fits.HDUList(old), fits.HDUList(new))
    back = hdu_changes(as_file(tmp_path / "new.fits"), as_file(tmp_path / "old.fits"), EVERYTHING)
    assert mirrored(_plain(there)) == mirrored(mirrored(_plain(back)))


def test_a_file_does_not_differ_from_itself(tmp_path):
    cube = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((2, 2)), name="SCI")])
    assert compare(tmp_path, cube, cube) == ()


# ---- planted


def sci(data, **cards) -> fits.HDUList:
    hdu = fits.ImageHDU(data, name="SCI")
    hdu.header.update(cards)
    return fits.HDUList([fits.PrimaryHDU(), hdu])


def test_pixels_and_cards_are_named_and_measured(tmp_path):
    old = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    new = old.copy()
    new[0, 0, 1], new[1, 2, 3], old[1, 0, 0] = 5.0, np.nan, np.nan
    change = the_only(compare(tmp_path, sci(old, BUNIT="Jy"), sci(new, BUNIT="mJy", EXTRA=1)))
    assert (change.name, change.state, change.table) == ("SCI", "changed", None)
    assert change.image.before.unit, change.image.after.unit == ("Jy", "mJy")
    assert change.image.after.dtype == "float32"
    spread = change.image.spread
    assert (spread.compared, spread.differing) == (24, 3)
    assert (spread.max_abs, spread.max_rel) == (4.0, 0.8)
    assert (spread.nan_added, spread.nan_removed) == (1, 1)
    assert change.cards.rows == (
        CardChange("BUNIT", "changed", Card("Jy", ""), Card("mJy", "")),
        CardChange("EXTRA", "added", None, Card(1, "")),
    )


def test_comments_and_repeated_cards_are_compared(tmp_path):
    data = np.zeros(2)
    old, new = sci(data, WHY=1), sci(data, WHY=1)
    new[1].header.comments["WHY"] = "because"
    old[1].header["HISTORY"] = "first"
    new[1].header["HISTORY"] = "second"
    new[1].header["HISTORY"] = "first"
    change = the_only(compare(tmp_path, old, new))
    assert change.cards.rows == (
        CardChange("HISTORY", "added", None, Card("second", "")),
        CardChange("WHY", "changed", Card(1, ""), Card(1, "because")),
    )
    assert not change.reordered


def test_another_order_of_cards_is_told_as_such(tmp_path):
    data = np.zeros(2)
    change = the_only(compare(tmp_path, sci(data, A=1, B=2), sci(data, B=2, A=1)))
    assert change.reordered
    assert (change.cards.total, change.image) == (0, None)


def test_another_shape_and_type_are_told(tmp_path):
    change = the_only(compare(tmp_path, sci(np.zeros((2, 3))), sci(np.zeros((3, 3)))))
    assert (change.image.before.shape, change.image.after.shape) == ((2, 3), (3, 3))
    assert change.image.spread is None
    old, new = np.array([0, 40000], np.uint16), np.array([0, 40001], np.int32)
    change = the_only(compare(tmp_path, sci(old), sci(new)))
    assert (change.image.before.dtype, change.image.after.dtype) == ("uint16", "int32")
    assert change.image.spread.differing == 1


def test_hdus_come_go_and_change_their_kind(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("A", "E", array=[1.0])], name="X")
    old = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones(3), name="X")])
    new = fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(np.ones(2), name="Y")])
    changes = {change.name: change for change in compare(tmp_path, old, new)}
    assert (changes["X"].before.kind, changes["X"].after.kind) == ("image", "table")
    assert (changes["X"].image, changes["X"].table) == (None, None)
    assert (changes["Y"].state, changes["Y"].before) == ("added", None)


def test_the_second_of_a_name_is_told_from_the_first(tmp_path):
    def three(value):
        images = [fits.ImageHDU(np.full(2, v), name="SCI") for v in (1.0, value)]
        return fits.HDUList([fits.PrimaryHDU(), *images])

    assert the_only(compare(tmp_path, three(2.0), three(3.0))).name == "SCI,2"


def test_compressed_images_are_compared_by_their_pixels(tmp_path):
    rng = np.random.default_rng(3)
    old = rng.integers(0, 9, (4, 5, 6)).astype(np.int32)
    new = old.copy()
    new[2, 3, 4] += 7

    def packed(data):
        hdu = fits.CompImageHDU(data, name="SCI", compression_type="GZIP_2", tile_shape=(1, 5, 6))
        return fits.HDUList([fits.PrimaryHDU(), hdu])

    change = the_only(compare(tmp_path, packed(old), packed(new), Bounds(20, 64)))
    assert (change.image.spread.differing, change.image.spread.max_abs) == (1, 7.0)


def test_tables_are_read_as_astropy_reads_them(tmp_path):
    def table(**changes):
        values = {
            "KEY": ["a", "b ", "c"],
            "FLAG": [True, False, True],
            "BIG": np.array([1, 2**31 + 5, 3], dtype=np.uint32),
            "SERIES": np.array([[1.0], [1.0, 2.0], [3.0]], dtype=object),
            "PAIR": np.arange(6.0).reshape(3, 2),
            **changes,
        }
        forms = {"KEY": "4A", "FLAG": "L", "BIG": "J", "SERIES": "PD()", "PAIR": "2D"}
        columns = [
            fits.Column(name, forms[name], bzero=2**31 if name == "BIG" else None, array=value)
            for name, value in values.items()
        ]
        hdu = fits.BinTableHDU.from_columns(columns, name="T")
        return fits.HDUList([fits.PrimaryHDU(), hdu])

    old = table()
    new = table(
        KEY=["c", "b", "a"],
        FLAG=[True, True, True],
        BIG=np.array([3, 2**31 + 6, 1], dtype=np.uint32),
        SERIES=np.array([[3.0], [1.0, 2.5], [1.0]], dtype=object),
        PAIR=np.arange(6.0).reshape(3, 2)[::-1],
    )
    for bounds in (EVERYTHING, Bounds(100, 1)):
        # astropy sums columns of arrays with lengths of their own otherwise than it writes them.
        change = the_only(compare(tmp_path, old, new, bounds, checksum=False)).table
        assert (change.key, change.reordered, change.rows_changed) == ("KEY", True, 1)
        assert [(cell.row, cell.column, cell.before, cell.after) for cell in change.cells.rows] == [
            ("b", "FLAG", False, True),
            ("b", "BIG", 2**31 + 5, 2**31 + 6),
            ("b", "SERIES", [1.0, 2.0], [1.0, 2.5]),
        ]
        types = {column.name: column.before.dtype for column in change.columns}
        assert types == {"FLAG": "bool", "BIG": "uint32", "SERIES": "object"}


def test_ascii_tables_and_empty_tables_are_compared(tmp_path):
    def ascii_table(value):
        columns = [fits.Column("A", "F8.2", array=[1.0, value])]
        hdu = fits.TableHDU.from_columns(columns, name="T")
        return fits.HDUList([fits.PrimaryHDU(), hdu])

    # astropy pads such tables with other bytes than it sums.
    changes = compare(tmp_path, ascii_table(2.0), ascii_table(2.5), checksum=False)
    change = the_only(changes).table
    assert (change.cells.total, change.columns[0].spread.max_abs) == (1, 0.5)

    def rows(n):
        columns = [fits.Column("A", "E", array=np.ones(n))]
        hdu = fits.BinTableHDU.from_columns(columns, name="T", nrows=n)
        return fits.HDUList([fits.PrimaryHDU(), hdu])

    change = the_only(compare(tmp_path, rows(0), rows(2))).table
    assert (change.before, change.after, change.rows_added.rows) == (0, 2, (0, 1))
    assert change.cells.total == 0


def test_parts_are_found_where_the_manifest_lists_none(tmp_path):
    compare(tmp_path, sci(np.zeros(2)), sci(np.ones(2)))
    old, new = (as_file(tmp_path / name, parts=False) for name in ("old.fits", "new.fits"))
    assert the_only(hdu_changes(old, new, EVERYTHING)).image.spread.differing == 2


def test_a_damaged_file_is_an_error_and_no_difference(tmp_path):
    compare(tmp_path, sci(np.zeros(2)), sci(np.ones(2)))
    old, new = (as_file(tmp_path / name) for name in ("old.fits", "new.fits"))
    data = bytearray(new.path.read_bytes())
    data[-2880] ^= 1
    new.path.write_bytes(data)
    with pytest.raises(ard.IntegrityError, match="checksum"):
        hdu_changes(old, new, EVERYTHING)
    new.path.write_bytes(data[:-2880])
    with pytest.raises(ard.IntegrityError, match="truncated"):
        hdu_changes(old, new, EVERYTHING)


def test_a_manifest_that_lists_other_hdus_is_told(tmp_path):
    compare(tmp_path, sci(np.zeros(2)), sci(np.ones(2)))
    old = as_file(tmp_path / "old.fits")
    write_hdus(tmp_path / "old.fits", fits.HDUList([fits.PrimaryHDU()]), overwrite=True)
    with pytest.raises(ard.IntegrityError, match="other HDUs than the manifest lists"):
        hdu_changes(old, as_file(tmp_path / "new.fits"), EVERYTHING)


def write_large(path: Path, value: float, rows: int) -> None:
    """Write an image and a table of many megabytes without ever holding them."""
    names = ("A", "B")
    columns = [fits.Column(name, "D") for name in names]
    table = fits.BinTableHDU.from_columns(columns, name="TABLE").header
    table["NAXIS2"] = rows
    image = fits.ImageHDU(np.zeros((1, 1, 1), np.float32), name="SCI").header
    image["NAXIS1"], image["NAXIS2"], image["NAXIS3"] = 512, 512, rows * 16 // (4 * 512 * 512)
    with path.open("wb") as stream:
        for header in (fits.PrimaryHDU().header, image, table):
            stream.write(header.tostring().encode())
            if header["NAXIS"]:
                size = rows * 16
                stream.write(bytes(size // 2))
                stream.write(np.array([value], ">f4").tobytes())
                stream.write(bytes(size // 2 - 4))
                stream.write(bytes(-size % 2880))


def test_memory_does_not_grow_with_the_file(tmp_path):
    rows = 2**21  # 32 MiB each of pixels and rows
    for name, value in (("old.fits", 0.0), ("new.fits", 1.0)):
        write_large(tmp_path / name, value, rows)
    files = [as_file(tmp_path / name) for name in ("old.fits", "new.fits")]
    tracemalloc.start()
    try:
        image, table = hdu_changes(*files, Bounds(20, 1 << 20))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.image.spread.differing == 1
    assert (table.table.before, table.table.cells.total) == (rows, 1)
    # A few copies of a block of 1 MiB from each file.
    assert peak < 12e6
