"""Facts are read from headers (oracles: planted cards, the look of real files)."""

import gzip
import json

import numpy as np
import pytest
from astropy.io import fits
from builders import make_cube

import ard
from ard import s3d
from ard.fitsio import write_hdus
from pipeline.acquire.headers import FileFacts, Member, read_facts

EXPOSURE = "jw03149001001_02101_00003_nrs1_s3d.fits"
CARDS = {
    "TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "FILTER": "F100LP",
    "GRATING": "G140M", "IS_IMPRT": "F", "BKGDTARG": False, "EFFEXPTM": 3501.334, "PATT_NUM": 3,
    "TARG_RA": 40.44051, "TARG_DEC": -8.350361, "DATE": "2024-07-25T01:02:03.456",
    "CAL_VER": "1.20.2", "CRDS_CTX": "jwst_1464.pmap", "SDP_VER": "2025_4", "SIMULATD": True,
    "GWA_XTIL": 0.3271445, "GWA_YTIL": 0.1243473,
}  # fmt: skip
SQUARE = "POLYGON ICRS  10.0 -1.0 10.0 1.0 8.0 1.0 8.0 -1.0"


def write(folder, cards=CARDS, name: str = EXPOSURE, cube=None, more=(), extensions=True):
    hdus = s3d.cube_hdus(make_cube() if cube is None else cube)
    hdus = hdus if extensions else fits.HDUList(hdus[:1])
    for key in list(hdus[0].header):
        if key in CARDS:
            del hdus[0].header[key]
    hdus[0].header.update(cards)
    hdus.extend(more)
    path = folder / name
    write_hdus(path, hdus, checksum=False, overwrite=True)
    return path


def members(names, form=None, flags=None) -> fits.BinTableHDU:
    columns = [fits.Column("FILENAME", "40A", array=names)]
    if form is not None:
        columns.append(fits.Column("IS_IMPRT", form, array=flags))
    return fits.BinTableHDU.from_columns(columns, name="HDRTAB")


def test_facts_of_an_exposure(tmp_path):
    cube = make_cube()
    path = write(tmp_path, cube=cube)
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].header["S_REGION"] = SQUARE
    found = read_facts(path)
    assert found == FileFacts(
        name=EXPOSURE, telescope="JWST", instrument="NIRSPEC", level="2b", is_imprint=False,
        is_background=False, image_type=None, exptime_s=3501.334, dither=3, ra_deg=40.44051,
        dec_deg=-8.350361, detector="NRS1", filter="F100LP", grating="G140M",
        date="2024-07-25T01:02:03.456", cal_ver="1.20.2", crds_ctx="jwst_1464.pmap",
        sdp_ver="2025_4", opus_ver=None, gwa_xtil_deg=0.3271445, gwa_ytil_deg=0.1243473,
        members=(), regions=(" ".join(SQUARE.split()),), wave_sha256=found.wave_sha256,
        simulated=True,
    )  # fmt: skip
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


def test_what_is_missing_undefined_or_unreadable_is_none(tmp_path):
    """Cards of the real kind: no value, NaN, text for a number, garbage."""
    cards = CARDS | {"PATT_NUM": 1.5, "TARG_DEC": "unknown", "CAL_VER": " ", "SDP_VER": None}
    cards = {k: v for k, v in cards.items() if k not in ("IS_IMPRT", "GRATING", "TELESCOP")}
    path = write(tmp_path, cards)
    data = path.read_bytes()
    for key, value in {"GWA_XTIL": b"NaN", "DETECTOR": b"'open", "BKGDTARG": b"?"}.items():
        at = data.index(f"{key:8s}=".encode())
        data = data[: at + 10] + value.ljust(70) + data[at + 80 :]
    path.write_bytes(data)
    found = read_facts(path)
    for key in ("dither", "dec_deg", "cal_ver", "sdp_ver", "is_imprint", "grating", "telescope",
                "gwa_xtil_deg", "detector", "is_background", "opus_ver"):  # fmt: skip
        assert getattr(found, key) is None, key
    assert (found.exptime_s, found.level) == (3501.334, "2")
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("telescope", "name", "level"),
    [
        ("JWST", EXPOSURE, "2b"),
        ("JWST", "jw03149001001_02101_00003_nrs1_cal.fits", "2b"),
        # Spectra of Level 3 have no HDRTAB.
        ("JWST", "jw03149-o001_t001_nirspec_g140m-f100lp_x1d.fits", "3"),
        ("HST", "if3x01izq_flc.fits", "2"),
        ("HST", "hst_17301_01_wfc3_uvis_f200lp_if3x01iz_flc.fits", "2"),
        ("HST", "if3x01010_drc.fits", "3"),
        ("HST", "hst_skycell-p1064x11y18_wfc3_uvis_f200lp_all_drc.fits", "3"),
    ],
)
def test_levels_by_name(tmp_path, telescope, name, level):
    path = write(tmp_path, CARDS | {"TELESCOP": telescope}, name, extensions=False)
    assert read_facts(path).level == level
    assert read_facts(path.rename(tmp_path / "part"), name).level == level


@pytest.mark.parametrize(
    ("form", "flags", "expected"),
    [
        (None, None, (None, None)),
        ("L", [False, True, True], (False, True)),
        ("D", [np.nan] * 3, (None, None)),
        ("1A", ["F", "T", "T"], (False, True)),
    ],
)
def test_members_and_their_flags(tmp_path, form, flags, expected):
    """HST lists a member for each chip; where none can be an imprint, the column holds NaN."""
    names = ["a_cal.fits", "b_cal.fits", "b_cal.fits"]
    found = read_facts(write(tmp_path, more=[members(names, form, flags)]))
    assert found.level == "3"
    assert found.members == tuple(map(Member, names[:2], expected))


def test_a_list_without_names_has_no_members(tmp_path):
    other = fits.BinTableHDU.from_columns([fits.Column("N", "J", array=[1])], name="HDRTAB")
    assert read_facts(write(tmp_path, more=[other])).members == ()


def test_regions_of_all_chips_each_once(tmp_path):
    chips = [fits.ImageHDU(name="SCI", ver=k) for k in (1, 2, 3)]
    for chip, region in zip(chips, (SQUARE, "CIRCLE ICRS 1 2 3", SQUARE), strict=True):
        chip.header["S_REGION"] = region
    path = write(tmp_path, more=chips, extensions=False)
    assert read_facts(path).regions == (" ".join(SQUARE.split()), "CIRCLE ICRS 1 2 3")


def test_equal_grids_have_equal_hashes(tmp_path):
    """Whatever the flux, the unit or the storage; another grid has another hash."""
    one = read_facts(write(tmp_path, cube=make_cube(1))).wave_sha256
    assert one == read_facts(write(tmp_path, cube=make_cube(2))).wave_sha256
    packed = tmp_path / "packed.fits"
    ard.write_cube(packed, make_cube(1), compress=True)
    assert read_facts(packed).wave_sha256 == one
    tabular = read_facts(write(tmp_path, cube=make_cube(1, tabular=True))).wave_sha256
    assert len({one, tabular, read_facts(write(tmp_path, extensions=False)).wave_sha256}) == 3


def test_a_grid_that_cannot_be_read_is_none(tmp_path):
    path = write(tmp_path)
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].header["CTYPE3"] = "AWAV"
    assert read_facts(path).wave_sha256 is None


def test_damaged_files_end_in_words(tmp_path):
    path = write(tmp_path)
    data = path.read_bytes()
    for damaged in (b"", b"<html>", data[:5000], data + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(ard.ArdError) as caught:
            read_facts(path)
        assert EXPOSURE in str(caught.value)
    with pytest.raises(ard.NotFoundError, match="does not exist"):
        read_facts(tmp_path / "other.fits")


def test_a_damaged_table_ends_in_words(tmp_path):
    table = members(["a_cal.fits"])
    path = write(tmp_path, more=[table])
    path.write_bytes(path.read_bytes().replace(b"TFORM1  = '40A     '", b"TFORM1  = '99Z     '"))
    with pytest.raises(ard.FormatError, match="headers cannot be read"):
        read_facts(path)


@pytest.mark.real_data
def test_a_real_cube(shared_data, tmp_path):
    source = shared_data / "jwst" / "ngc7469_Level3_ch4-short_s3d.fits.gz"
    (tmp_path / "a_s3d.fits").write_bytes(gzip.decompress(source.read_bytes()))
    found = read_facts(tmp_path / "a_s3d.fits")
    assert (found.telescope, found.instrument, found.level) == ("JWST", "MIRI", "3")
    assert (found.cal_ver, found.crds_ctx) == ("1.13.4", "jwst_1290.pmap")
    assert found.exptime_s == 444.008
    assert [m.is_imprint for m in found.members] == [None] * 4
    assert found.members[0].name == "jw01328015001_02101_00001_mirifulong_a3001_crf.fits"
    assert len(found.regions) == 1
    assert found.wave_sha256 is not None
    assert not found.simulated


@pytest.mark.real_data
def test_a_real_hubble_image(shared_data):
    found = read_facts(shared_data / "hst" / "ibde04010_drc_F502N.fits", "ibde04010_drc.fits")
    assert (found.telescope, found.level, found.image_type) == ("HST", "3", "EXT")
    assert (found.exptime_s, found.filter, found.detector) == (2600.0, "F502N", "UVIS")
    assert found.opus_ver == "HSTDP 2021_3"
    assert found.ra_deg == 210.83175
    assert [member.name for member in found.members] == [
        f"ibde04m{letter}q_flc.fits" for letter in "stuv"
    ]
    assert found.wave_sha256 is None
    json.dumps(found.to_dict(), allow_nan=False)
