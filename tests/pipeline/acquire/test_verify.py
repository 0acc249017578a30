"""Damage is found by the rung that can find it, and by no other (oracle: planted damage).

The planted damages are those of table 4.1 of the format study, where the tools at hand were run
on them; here is which of them our ladder finds, and, as plainly, which it does not.
"""

import gzip
import hashlib
import subprocess
import sys
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from builders import make_cube
from hypothesis import given, settings
from hypothesis import strategies as st

import ard
from ard import s3d
from ard.fitsio import BLOCK, to_bytes, walk, write_hdus
from manifests.lock import ARCHIVE, SIZE
from manifests.selection import Extension, ProductGroup, load_selection
from pipeline.acquire.verify import Expectation, examine, read_checksum

NAME = "jw03149001001_02101_00001_nrs1_s3d.fits"
CUBE = load_selection().group("jwst_s3d")
SHAPE = (60, 20, 20)  # 96 000 bytes an image: room for 64 KiB


def group(*extensions: tuple[str, int, int]) -> ProductGroup:
    return replace(CUBE, name="other", extensions=tuple(Extension(*e) for e in extensions))


def known(data: bytes | None = None, **changes) -> Expectation:
    """What is known: nothing, or everything about these bytes."""
    size, sha, md5 = None, None, None
    if data is not None:
        size, sha = len(data), hashlib.sha256(data).hexdigest()
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return replace(Expectation(NAME, CUBE, size, sha, md5), **changes)


def failed(path, expectation) -> list[str]:
    return [rung.name for rung in examine(path, expectation).rungs if rung.status == "failed"]


def status(path, expectation, rung: str) -> str:
    return next(r.status for r in examine(path, expectation).rungs if r.name == rung)


def cube_hdus(**changes) -> fits.HDUList:
    hdus = s3d.cube_hdus(make_cube(shape=SHAPE, **changes))
    hdus[0].header["FILENAME"] = NAME
    return hdus


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """A cube as we write it, with sums, and as the archive writes it, without."""
    folder = tmp_path_factory.mktemp("files")
    write_hdus(folder / "summed", cube_hdus())
    write_hdus(folder / "plain", cube_hdus(), checksum=False)
    return {name: (folder / name).read_bytes() for name in ("summed", "plain")}


class Layout:
    """Where things lie in a file."""

    def __init__(self, path, data: bytes) -> None:
        path.write_bytes(data)
        self.spans = walk(path)

    def __getitem__(self, name: str):
        return next(span for span in self.spans if span.name == name)


def put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def flip(data: bytes, at: int, bit: int = 1) -> bytes:
    return put(data, at, bytes([data[at] ^ bit]))


def card(data: bytes, keyword: str, text: str, start: int = 0) -> bytes:
    at = data.index(f"{keyword:8s}=".encode(), start)
    return put(data, at, f"{keyword:8s}= {text}".ljust(80)[:80].encode())


def words(data: bytes, at: int, *, plus: int) -> bytes:
    (value,) = np.frombuffer(data[at : at + 4], ">u4")
    return put(data, at, np.array([int(value) + plus], ">u4").tobytes())


def damages(data: bytes, spans: Layout) -> dict[str, bytes]:
    sci, asdf = spans["SCI"], spans["ASDF"]
    head, at, middle = sci.header_start, sci.data_start, sci.data_start + 10 * BLOCK
    one, other = data[middle : middle + BLOCK], data[middle + BLOCK : middle + 2 * BLOCK]
    values = np.frombuffer(data[at : at + 4000], ">f4")
    pair = at + 4 * int(np.flatnonzero(np.isfinite(values[:-1] + values[1:]))[0])
    lost = spans["PROVENANCE"]
    return {
        "a bit of a value": flip(data, middle + 2),
        "64 KiB of zeros": put(data, at + BLOCK, bytes(1 << 16)),
        "a bit of padding": flip(data, sci.end - 3),
        "a bit of a comment": flip(data, data.index(b"physical units", head)),
        "CDELT3": card(data, "CDELT3", "              0.000637", head),
        "SPECSYS": card(data, "SPECSYS", "'TOPOCENT'", head),
        "NaN in a header": card(data, "CDELT3", "                   NaN", head),
        "a control character": put(data, data.index(b"physical units", head), b"\x07"),
        "cut by 100 kB": data[:-100_000],
        "cut in the last padding": data[:-100],
        "cut between extensions": data[: asdf.header_start],
        "an optional extension lost": data[: lost.header_start] + data[lost.end :],
        "1000 bytes more": data + bytes(1000),
        "NAXIS3": card(data, "NAXIS3", "                  59", head),
        "BITPIX of the same size": card(data, "BITPIX", "                  32", head),
        "BITPIX of another size": card(data, "BITPIX", "                 -64", head),
        "two blocks swapped": put(data, middle, other + one),
        "two words swapped": put(data, pair, data[pair + 4 : pair + 8] + data[pair : pair + 4]),
        "one more here, one less there": words(words(data, middle, plus=1), middle + 40, plus=-1),
        "END lost": put(data, data.index(b"END" + b" " * 77, head), b"END_"),
        "a web page": b"<!DOCTYPE html><html>502 Bad Gateway</html>",
        "nothing": b"",
        "gzipped": gzip.compress(data, 1, mtime=0),
    }  # fmt: skip


# What is found where neither size nor any hash is known: with sums in the file, and without.
# "-" is damage that passes as good; "noted" is told, and refused by nobody.
FOUND = {
    "a bit of a value": ("structure", "-"),
    "64 KiB of zeros": ("structure", "noted"),
    "a bit of padding": ("structure", "-"),
    "a bit of a comment": ("structure", "-"),
    "CDELT3": ("structure", "-"),
    "SPECSYS": ("structure", "-"),
    "NaN in a header": ("structure", "content"),
    "a control character": ("structure", "-"),
    "cut by 100 kB": ("structure", "structure"),
    "cut in the last padding": ("structure", "structure"),
    "cut between extensions": ("structure", "structure"),
    "an optional extension lost": ("-", "-"),
    "1000 bytes more": ("structure", "structure"),
    "NAXIS3": ("structure", "structure"),
    "BITPIX of the same size": ("structure", "structure"),
    "BITPIX of another size": ("structure", "structure"),
    "two blocks swapped": ("noted", "noted"),
    "two words swapped": ("-", "-"),
    "one more here, one less there": ("-", "-"),
    "END lost": ("structure", "structure"),
    "a web page": ("structure", "structure"),
    "nothing": ("structure", "structure"),
    "gzipped": ("structure", "structure"),
}


@pytest.mark.parametrize("damage", FOUND)
@pytest.mark.parametrize("kind", ["summed", "plain"])
def test_which_rung_finds_what(tmp_path, files, kind, damage):
    whole, path = files[kind], tmp_path / "part"
    damaged = damages(whole, Layout(path, whole))[damage]
    assert damaged != whole
    path.write_bytes(damaged)
    found = FOUND[damage][kind == "plain"]
    blind = examine(path, known())
    assert [r.name for r in blind.rungs if r.status == "failed"] == [found] * (
        found not in ("-", "noted")
    )
    if found == "noted":
        assert status(path, known(), "content") == "noted"
    # One hash finds everything; the size finds what changes it.
    seen = failed(path, known(whole))
    assert {"checksum", "sha256"} <= set(seen)
    assert ("size" in seen) == (len(damaged) != len(whole))
    assert failed(path, known(sha256=known(whole).sha256))[:1] == ["sha256"]
    assert failed(path, known(checksum=known(whole).checksum))[:1] == ["checksum"]


def test_edited_and_summed_again_passes_all_but_a_hash(tmp_path, files):
    """The sums in a file say nothing against whoever can write them."""
    hdus = cube_hdus()
    hdus["SCI"].header["CDELT3"] = 0.000637
    path = tmp_path / "part"
    path.write_bytes(to_bytes(hdus))
    assert failed(path, known()) == []
    assert failed(path, known(files["summed"])) == ["checksum", "sha256"]


@pytest.mark.parametrize("kind", ["summed", "plain"])
def test_what_is_whole_passes_every_rung(tmp_path, files, kind):
    path = tmp_path / "part"
    path.write_bytes(files[kind])
    found = examine(path, known(files[kind]))
    assert [(r.name, r.status) for r in found.rungs] == [
        (name, "passed") for name in ("size", "checksum", "sha256", "structure", "content")
    ]
    assert found.ok
    assert found.failure is None
    assert (found.verified, found.size) == (ARCHIVE, len(files[kind]))
    assert found.sha256 == known(files[kind]).sha256
    assert found.to_dict()["rungs"][0] == {
        "name": "size", "status": "passed",
        "expected": f"{len(files[kind])} bytes", "found": f"{len(files[kind])} bytes",
    }  # fmt: skip
    blind = examine(path, known())
    assert [r.status for r in blind.rungs[:3]] == ["skipped"] * 3
    assert (blind.ok, blind.verified) == (True, SIZE)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{md5}", "passed"),
        ("MD5:{MD5}", "passed"),
        (" md5={md5}\n", "passed"),
        ("{sha1}", "passed"),
        ("sha-256: {SHA256}", "passed"),
        ("{sha256}", "passed"),
        ("{md5}0", "noted"),
        ("crc32c:0a1b2c3d", "noted"),
        ("sha3-256:{sha256}", "noted"),
        ("d41d8cd98f00b204-12", "noted"),
        ("nonsense", "noted"),
        ("00000000000000000000000000000000", "failed"),
        ("", "skipped"),
    ],
)
def test_kinds_of_checksum(tmp_path, files, text, kind):
    """Only a checksum that was compared counts as the archive's word."""
    data = files["plain"]
    (tmp_path / "part").write_bytes(data)
    digests = {
        name: hashlib.new(name, data, usedforsecurity=False).hexdigest()
        for name in ("md5", "sha1", "sha256")
    }
    text = text.format(**digests, **{k.upper(): v.upper() for k, v in digests.items()})
    found = examine(tmp_path / "part", known(checksum=text))
    assert found.rungs[1].status == kind
    assert found.checksum_matched == (kind == "passed")
    assert found.verified == (ARCHIVE if kind == "passed" else SIZE)


def test_a_missing_checksum_has_no_kind():
    assert read_checksum(None) == (None, "")


def edited(tmp_path, change, name: str = "part"):
    hdus = cube_hdus()
    change(hdus)
    write_hdus(tmp_path / name, hdus, checksum=False)
    return examine(tmp_path / name, known()).rungs[-1]


def _wmap_of_other_shape(hdus):
    hdus["WMAP"].data = np.ones((59, 20, 20), np.float32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_wmap_of_other_shape, "WMAP has shape (59, 20, 20)"),
        (lambda h: h["SCI"].header.update(BUNIT="mJy/arcsec^2"), "BUNIT is mJy/arcsec^2"),
        (lambda h: h["SCI"].header.remove("BUNIT"), "BUNIT is missing"),
        (lambda h: h["SCI"].header.update(CTYPE1="LINEAR"), "not celestial"),
        (lambda h: h["SCI"].header.remove("CRVAL2"), "no CRVAL2"),
        (lambda h: h["SCI"].header.remove("CTYPE3"), "no CTYPE3"),
        (lambda h: h["SCI"].header.update(CTYPE3="AWAV"), "not a vacuum wavelength"),
        (lambda h: h["SCI"].header.update(CTYPE3="WAVE-TAB"), "its table is missing"),
        (lambda h: h["SCI"].header.update(CDELT3=1e308), "wavelength"),
        (lambda h: h["SCI"].data.fill(np.nan), "NaN or zero in every voxel"),
        (lambda h: h["SCI"].data.fill(0), "NaN or zero in every voxel"),
    ],
)
def test_what_makes_a_cube_useless_fails(tmp_path, change, words):
    rung = edited(tmp_path, change)
    assert (rung.name, rung.status) == ("content", "failed")
    assert words in rung.found


def _spoil(hdus):
    """Break every invariant in a known number of voxels, away from each other."""
    good = np.argwhere(np.isfinite(hdus["SCI"].data))
    empty = np.argwhere(np.isnan(hdus["SCI"].data))
    for extension, voxels, value in (
        ("ERR", good[:98], np.nan),
        ("ERR", good[98:100], 0.0),
        ("DQ", good[100:103], 513),
        ("DQ", good[103:107], 1),  # a flag that leaves the datum is no breach
        ("WMAP", good[107:112], 0.0),
        ("DQ", empty[:6], 512),
        ("WMAP", empty[6:13], 2.0),
    ):
        hdus[extension].data[tuple(voxels.T)] = value


def test_breaches_are_counted_and_never_refused(tmp_path):
    """98 voxels of a real cube have finite flux and no error."""
    rung = edited(tmp_path, _spoil)
    assert rung.status == "noted"
    assert rung.found.split("; ") == [
        "6 voxels nan not flagged",
        "3 voxels flagged not nan",
        "7 voxels nan with weight",
        "5 voxels weightless not nan",
        "100 voxels finite without error",
    ]


def test_a_file_under_another_name_is_noted(tmp_path):
    rung = edited(tmp_path, lambda h: h[0].header.update(FILENAME="other.fits"))
    assert (rung.status, rung.found) == ("noted", "FILENAME says other.fits")
    assert edited(tmp_path, lambda h: h[0].header.remove("FILENAME"), "b").status == "passed"


@pytest.mark.parametrize("tabular", [False, True])
def test_a_compressed_cube_counts_as_what_it_was(tmp_path, tabular):
    cube = make_cube(shape=SHAPE, tabular=tabular)
    ard.write_cube(tmp_path / "part", cube, compress=True)
    found = examine(tmp_path / "part", known())
    assert [r.status for r in found.rungs[3:]] == ["passed", "passed"]


def test_extensions_have_an_order(tmp_path):
    """HST: two chips have extensions of the same names; others may stand among them."""
    chip = [("SCI", -32), ("ERR", -32), ("D2IMARR", -32), ("DQ", 16)]
    types = {-32: np.float32, 16: np.int16}
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus.extend(fits.ImageHDU(np.ones((2, 3), types[b]), name=n) for n, b in chip * 2)
    write_hdus(tmp_path / "part", hdus, checksum=False)
    wanted = [(n, 2, b) for n, b in chip if n != "D2IMARR"]
    for needed, good in (
        (wanted * 2, True),
        (wanted, True),
        (wanted * 3, False),
        ([*wanted[1:], wanted[0], wanted[0]], False),
        ([("SCI", 3, -32)], False),
        ([("SCI", 2, 16)], False),
    ):
        found = examine(tmp_path / "part", known(group=group(*needed)))
        assert found.ok == good, needed
        assert found.rungs[-1].status == "skipped"  # no cube, no FILENAME: nothing to look at
    assert found.failure.found.startswith("no SCI (NAXIS 2, BITPIX 16) in its place")


def test_a_sum_of_data_alone_counts(tmp_path):
    hdus = cube_hdus()
    hdus["SCI"].add_datasum()
    write_hdus(tmp_path / "part", hdus, checksum=False)
    data = (tmp_path / "part").read_bytes()
    assert failed(tmp_path / "part", known()) == []
    (tmp_path / "part").write_bytes(flip(data, walk(tmp_path / "part")[1].data_start + 7))
    assert "DATASUM does not fit" in examine(tmp_path / "part", known()).failure.found
    (tmp_path / "part").write_bytes(card(data, "DATASUM", "'no number'"))
    assert failed(tmp_path / "part", known()) == ["structure"]


_WHOLE: dict[str, bytes] = {}


@pytest.fixture(scope="module", autouse=True)
def _whole(tmp_path_factory):
    # Not a parameter of the test below: hypothesis would print all of it.
    path = tmp_path_factory.mktemp("small") / "part"
    write_hdus(path, s3d.cube_hdus(make_cube()), checksum=False)
    _WHOLE["small"] = path.read_bytes()


@settings(max_examples=60)
@given(
    where=st.floats(0, 1, exclude_max=True),
    what=st.one_of(
        st.binary(min_size=1, max_size=100), st.sampled_from([b"NAXIS1  = 1E99 /", b"'"])
    ),
    cut=st.floats(0, 1),
)
def test_no_damage_raises(tmp_path_factory, where, what, cut):
    """Whatever the bytes are, the answer is a finding; a hash that is known finds all of it."""
    whole = _WHOLE["small"]
    damaged = put(whole, int(where * len(whole)), what)
    damaged = damaged if cut > 0.3 else damaged[: int(cut * 3 * len(damaged))]
    path = tmp_path_factory.mktemp("damaged") / "part"
    path.write_bytes(damaged)
    examine(path, known())
    assert examine(path, known(sha256=known(whole).sha256)).ok == (damaged == whole)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ard.NotFoundError, match="does not exist"):
        examine(tmp_path / "part", known())


def test_it_stops_when_asked(tmp_path):
    """Within a MiB or a slab, wherever it is."""
    path = tmp_path / "part"
    hdus = s3d.cube_hdus(make_cube(shape=(300, 60, 60)))  # 22 MB
    path.write_bytes(to_bytes(hdus))
    asked = []
    examine(path, known(), should_stop=lambda: bool(asked.append(1)))
    assert len(asked) > 2 * path.stat().st_size / 2**20
    for n in (1, 10, len(asked) // 2, len(asked)):
        left = iter(range(n - 1))
        with pytest.raises(KeyboardInterrupt):
            examine(path, known(), should_stop=lambda left=left: next(left, None) is None)


def test_threads_leave_the_filters_of_warnings_alone(tmp_path):
    hdus = cube_hdus()
    write_hdus(tmp_path / "part", hdus, checksum=False)
    data = (tmp_path / "part").read_bytes()
    at = data.index(b"physical units")
    (tmp_path / "part").write_bytes(put(data, at, b"\xff"))  # astropy warns of it
    before = list(warnings.filters)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(examine(tmp_path / "part", known()).ok))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
    assert warnings.filters == before


_MEMORY = """
import resource, sys
import numpy as np
from astropy.io import fits
from dataclasses import replace
from manifests.selection import Extension, load_selection
from pipeline.acquire.headers import read_facts
from pipeline.acquire.verify import Expectation, examine
kind, path = sys.argv[1:]
group = load_selection().group("jwst_s3d")
shape, names = (75, 500, 500), ["SCI", "ERR", "DQ", "WMAP"]
if kind == "image":
    shape, names = (7500, 10000), ["SCI"]
    group = replace(group, extensions=(Extension("SCI", 2, -32),))
with open(path, "wb") as stream:
    stream.write(fits.PrimaryHDU().header.tostring().encode())
    for name in names:
        header = fits.Header({"XTENSION": "IMAGE", "BITPIX": 32 if name == "DQ" else -32})
        header["NAXIS"] = len(shape)
        for k, n in enumerate(reversed(shape), start=1):
            header[f"NAXIS{k}"] = n
        header["PCOUNT"], header["GCOUNT"], header["EXTNAME"] = 0, 1, name
        header["DATASUM"] = "0"
        if kind != "image":
            header["BUNIT"] = "MJy/sr"
            for k, ctype in enumerate(["RA---TAN", "DEC--TAN", "WAVE"], start=1):
                header[f"CTYPE{k}"], header[f"CRPIX{k}"] = ctype, 1.0
                header[f"CRVAL{k}"], header[f"CDELT{k}"] = 1.0, 0.001
            header["CUNIT3"] = "um"
        stream.write(header.tostring().encode())
        stream.truncate(stream.tell() + -(-np.prod(shape) * 4 // 2880) * 2880)
        stream.seek(0, 2)
    if kind != "image":
        blob = fits.BinTableHDU(np.zeros(1, [("ASDF_METADATA", "u1", (8,))]), name="ASDF")
        stream.write(blob.header.tostring().encode() + bytes(2880))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = examine(path, Expectation("a.fits", group, None, None, None))
read_facts(path)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024, found.size, found.rungs[3].status, found.rungs[4].found)
"""


@pytest.mark.parametrize(
    ("kind", "says"),
    [("image", ""), ("cube", "SCI is NaN or zero in every voxel; 18750000 voxels weightless")],
)
def test_memory_is_bounded(tmp_path, kind, says):
    """300 MB are examined in a few slabs of memory (the peak is that of a process of its own)."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, kind, str(tmp_path / "big.fits")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    grown, size, structure, found = done.stdout.strip("\n").split(" ", 3)
    assert int(size) > 300 * 10**6
    assert structure == "passed"
    assert found.startswith(says)
    assert int(grown) < 60  # MiB


@pytest.mark.real_data
def test_a_real_cube_passes(shared_data, tmp_path):
    """MIRI, Level 3; measured before: not one voxel of it breaks an invariant."""
    name = "Level3_ch4-short_s3d.fits"
    source = shared_data / "jwst" / "ngc7469_Level3_ch4-short_s3d.fits.gz"
    (tmp_path / "part").write_bytes(gzip.decompress(source.read_bytes()))
    found = examine(tmp_path / "part", known(name=name))
    assert [r.status for r in found.rungs] == ["skipped"] * 3 + ["passed"] * 2
    renamed = examine(tmp_path / "part", known(name=source.name)).rungs[-1]
    assert (renamed.status, renamed.found) == ("noted", f"FILENAME says {name}")


@pytest.mark.real_data
def test_a_real_hubble_image_passes(shared_data):
    path = shared_data / "hst" / "ibde04010_drc_F502N.fits"
    listed = dict(
        reversed(line.split()) for line in (shared_data / "SHA256SUMS").read_text().splitlines()
    )
    sha256 = next(sha for name, sha in listed.items() if name.endswith(path.name))
    drc = group(("SCI", 2, -32), ("WHT", 2, -32), ("CTX", 2, 32))
    found = examine(path, known(name="ibde04010_drc.fits", group=drc, sha256=sha256))
    assert [r.status for r in found.rungs] == ["skipped", "skipped", "passed", "passed", "passed"]
    assert failed(path, known(group=CUBE)) == ["structure"]


@pytest.mark.real_data
def test_a_real_cube_in_another_unit_fails(shared_data):
    """An early MIRI cube: its wavelengths are tabulated, its unit is not that of today."""
    path = next((shared_data / "jwst").glob("cubeviz_*_s3d.fits"))
    rung = examine(path, known()).rungs[-1]
    assert (rung.status, rung.found.split("; ")[0]) == ("failed", "BUNIT is mJy/arcsec^2")
