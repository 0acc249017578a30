"""Does the stamp say what is known, and change nothing else?

Oracles: astropy, fitscheck and fitsverify read what was written; the checksum text is compared with
astropy's own; bytes are compared with the source's.
"""

import hashlib
import shutil
import subprocess
import sys
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from builders import make_cube, make_map
from hypothesis import given
from hypothesis import strategies as st
from small_run import OBSERVATION

import ard
from ard.fitsio import ALL_ONES, CHECKSUM_TEXT, DATASUM_TEXT, ones_sum, to_bytes, walk
from manifests.dataset import load_dataset
from release import stamp as stamp_module
from release.hlsp import collection_of
from release.stamp import checksum_text, stamp, stamp_cards

RBH1 = {"name": "RBH-1", "item": "rbh1"}
LOOKED = {"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP"}
ABOUT = collection_of(
    load_dataset(), RBH1, "1.4.2", simulated=False, concept_doi="10.5072/zenodo.143"
)
DECLARED = {
    "DOI": "10.5072/zenodo.143",
    "HLSPID": "rbh1-ard",
    "HLSPLEAD": "The rbh1-ard authors",
    "HLSPNAME": "Analysis-ready dataset of RBH-1 (rbh1-ard)",
    "HLSPTARG": "RBH-1",
    "HLSPVER": "v1",
    "LICENSE": "CC BY 4.0",
    "LICENURL": "https://creativecommons.org/licenses/by/4.0/",
}


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    path = tmp_path / "cube.fits"
    ard.write(path, make_cube(3, tabular=True).replace(meta={**LOOKED, **OBSERVATION}))
    return path


def stamped(source: Path, about=ABOUT) -> Path:
    target = source.with_name(f"stamped-{source.name}")
    target.unlink(missing_ok=True)
    assert stamp(source, target, about) == hashlib.sha256(source.read_bytes()).hexdigest()
    return target


def tail(path: Path) -> bytes:
    return path.read_bytes()[walk(path)[0].data_start :]


def bare(path: Path, without: set[str]) -> list[str]:
    """The cards of the first header as they lie there, without some."""
    raw = path.read_bytes()[: walk(path)[0].data_start].decode("ascii")
    cards = [raw[at : at + 80] for at in range(0, len(raw), 80)]
    return [card for card in cards if card[:8].rstrip() not in {*without, "END", ""}]


# ---- what is said


def test_a_cube_says_what_it_belongs_to(cube):
    header = fits.getheader(stamped(cube))
    assert {key: header[key] for key in DECLARED} == DECLARED
    assert header["OBSERVAT"] == "JWST"
    assert header["PROPOSID"] == "03149"
    assert header["XPOSURE"] == 14005.336
    assert header["RADESYS"] == "ICRS"
    for key in ("TELESCOP", "INSTRUME", "TIMESYS", "DATE-BEG", "DATE-END"):
        assert header[key] == {**LOOKED, **OBSERVATION}[key]


def test_nothing_is_invented(tmp_path):
    path = tmp_path / "map.fits"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2)))])
    path.write_bytes(to_bytes(hdus))
    about = collection_of(load_dataset(), {"name": "NGC 1"}, "0.1.0", simulated=True)
    header = fits.getheader(stamped(path, about))
    assert set(DECLARED) <= set(header)
    assert not {"REFERENC", "FILENAME"} & set(header)
    assert header["DOI"] == "not yet reserved"
    assert header["HLSPNAME"].startswith("[SIMULATED] ")
    unknown = ("OBSERVAT", "TELESCOP", "INSTRUME", "PROPOSID", "XPOSURE", "RADESYS", "TIMESYS")
    assert not {*unknown, "DATE-BEG", "DATE-END", "EQUINOX"} & set(header)


def test_a_product_does_not_bear_the_name_of_the_file_it_came_from(tmp_path):
    path = tmp_path / "cube.fits"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2)))])
    hdus[0].header["FILENAME"] = "jw03149-o001_t001_nirspec_g140m-f100lp_s3d.fits"
    path.write_bytes(to_bytes(hdus))
    out = stamped(path)
    assert fits.getheader(out)["FILENAME"] == out.name


def test_two_frames_are_no_frame(tmp_path):
    images = [fits.ImageHDU(np.zeros((2, 2)), name=name) for name in ("A", "B")]
    for image, frame in zip(images, ("ICRS", "FK5"), strict=True):
        image.header["RADESYS"] = frame
    path = tmp_path / "two.fits"
    path.write_bytes(to_bytes(fits.HDUList([fits.PrimaryHDU(), *images])))
    assert "RADESYS" not in fits.getheader(stamped(path))


def test_icrs_has_no_equinox(tmp_path):
    frames = {}
    for frame in ("ICRS", "FK5"):
        primary, image = fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2)))
        primary.header["EQUINOX"] = 2000.0
        image.header["RADESYS"] = frame
        path = tmp_path / f"{frame}.fits"
        path.write_bytes(to_bytes(fits.HDUList([primary, image])))
        frames[frame] = fits.getheader(stamped(path))
    assert "EQUINOX" not in frames["ICRS"]
    assert frames["FK5"]["EQUINOX"] == 2000.0
    assert frames["FK5"]["RADESYS"] == "FK5"


def test_what_another_collection_said_is_replaced(tmp_path):
    # The cube of a user may itself be a contributed product.
    path = tmp_path / "cube.fits"
    other = {"DOI": "10.17909/other", "HLSPID": "other", "LICENSE": "none", "HLSPNAME": "x" * 100}
    ard.write(path, make_cube(1).replace(meta={**LOOKED, **other}))
    header = fits.getheader(stamped(path))
    assert {key: header[key] for key in DECLARED} == DECLARED
    assert all(header.count(key) == 1 for key in DECLARED)


def test_long_texts_are_continued_and_accents_are_spelled_out(cube):
    name = "Ünïcödé " * 12
    about = replace(ABOUT, title=name, lead="Sánchez Almeida")
    header = fits.getheader(stamped(cube, about))
    assert header["HLSPNAME"] == ("Unicode " * 12).strip()
    assert header["HLSPLEAD"] == "Sanchez Almeida"
    assert header["LICENSE"] == "CC BY 4.0"


@pytest.mark.parametrize("text", ["η Carinae", "two\nlines"])
def test_a_text_that_fits_cannot_hold_is_refused(cube, text):
    with pytest.raises(ard.FormatError, match="cannot be written into a FITS header"):
        stamped(cube, replace(ABOUT, target=text))


# ---- what is not touched


def test_everything_else_stays_as_it_is(cube):
    path = stamped(cube)
    new = {card.keyword for card in stamp_cards(walk(cube), ABOUT, path.name)}
    assert tail(path) == tail(cube)
    assert bare(path, {*new, "CHECKSUM", "DATASUM"}) == bare(cube, {*new, "CHECKSUM", "DATASUM"})
    before, after = ard.read_cube(cube), ard.read_cube(path)
    assert np.array_equal(before.flux, after.flux, equal_nan=True)
    assert before.provenance == after.provenance
    assert before.meta.items() <= after.meta.items()


def test_continued_cards_of_the_product_stay_together(tmp_path):
    path = tmp_path / "map.fits"
    note = "a long sentence about where the numbers come from, " * 4
    ard.write(path, make_map(1).replace(meta={**LOOKED, "NOTE": note.strip()}))
    header = fits.getheader(stamped(path))
    assert header["NOTE"] == note.strip()
    assert bare(stamped(path), set())[: len(bare(path, set())) - 2] == bare(
        path, {"CHECKSUM", "DATASUM"}
    )


def test_a_second_stamp_changes_nothing(cube):
    once = stamped(cube)
    assert stamped(once).read_bytes() == once.read_bytes()
    assert stamped(cube).read_bytes() == once.read_bytes()


def test_a_new_version_does_not_change_the_file(cube):
    # Only the dataset's DOI and the major version are in it.
    newer = collection_of(
        load_dataset(), RBH1, "1.5.0", simulated=False, concept_doi="10.5072/zenodo.143"
    )
    assert stamped(cube).read_bytes() == stamped(cube, newer).read_bytes()
    assert stamped(cube).read_bytes() != stamped(cube, replace(newer, version="v2")).read_bytes()


def test_an_image_in_the_first_hdu_keeps_its_sum(tmp_path):
    path = tmp_path / "lone.fits"
    image = np.random.default_rng(4).normal(size=(300, 301)).astype(np.float32)
    path.write_bytes(to_bytes(fits.HDUList([fits.PrimaryHDU(image)])))
    found = stamped(path)
    assert fits.getheader(found)["DATASUM"] == fits.getheader(path)["DATASUM"] != "0"
    assert tail(found) == tail(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(found, checksum=True, memmap=False) as hdus:
            assert np.array_equal(hdus[0].data, image)


@pytest.mark.parametrize("where", ["header", "data"])
def test_a_copy_that_went_wrong_is_found(cube, tmp_path, monkeypatch, where):
    """A disk that changes what is written: the file is read again, and compared."""
    target = tmp_path / "out.fits"
    place = 80 * 5 + 20 if where == "header" else walk(cube)[-1].data_start + 5

    def spoil(path):
        with target.open("r+b") as stream:
            stream.seek(place)
            stream.write(b"7")
        return walk(path)

    monkeypatch.setattr(stamp_module, "walk", lambda p: spoil(p) if p == target else walk(p))
    with pytest.raises(ard.IntegrityError, match="not copied as it was"):
        stamp(cube, target, ABOUT)


def test_a_damaged_source_is_refused(cube, tmp_path):
    cube.write_bytes(cube.read_bytes()[:-1])
    with pytest.raises(ard.IntegrityError, match="truncated"):
        stamp(cube, tmp_path / "out.fits", ABOUT)
    assert not (tmp_path / "out.fits").exists()


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "large.fits"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((8, 1024, 1024), np.float32))])
    hdus.writeto(path)
    size = path.stat().st_size
    del hdus
    tracemalloc.start()
    stamp(path, tmp_path / "out.fits", ABOUT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 30e6
    assert peak < 6e6


# ---- other readers


def test_astropy_and_fitscheck_find_nothing_wrong(cube):
    path = stamped(cube)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True, memmap=False) as hdus:
            hdus.verify("exception")
    check = [sys.executable, "-m", "astropy.io.fits.scripts.fitscheck", str(path)]
    shown = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stdout


@pytest.mark.skipif(shutil.which("fitsverify") is None, reason="fitsverify is not installed")
def test_fitsverify_finds_no_error(cube):
    command = ["fitsverify", "-e", str(stamped(cube))]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout


def test_specutils_still_reads_the_coordinates(cube):
    """Oracle: the JWST loader of specutils, which takes its axes from the gwcs in ASDF."""
    specutils = pytest.importorskip("specutils")
    spectra = [specutils.Spectrum.read(path, format="JWST s3d") for path in (cube, stamped(cube))]
    axes = [spectrum.spectral_axis.value for spectrum in spectra]
    assert np.array_equal(*axes)


# ---- the checksum


@given(total=st.integers(0, ALL_ONES))
def test_a_checksum_is_sixteen_letters_and_digits_that_complete_the_sum(total):
    text = checksum_text(total)
    assert len(text) == 16
    assert text.isascii()
    assert text.isalnum()
    # As in a card: the value begins at byte 11, so 11 bytes stand before it.
    before = b"CHECKSUM= '"
    zero, filled = (before + value.encode() + b"' " * 26 + b" " for value in ("0" * 16, text))
    added = (ones_sum([filled]) - ones_sum([zero])) % ALL_ONES
    assert (total + added) % ALL_ONES == 0


def test_the_checksum_is_astropys(cube):
    with fits.open(stamped(cube), memmap=False) as hdus:
        ours = hdus[0].header["CHECKSUM"]
        hdus[0].add_datasum(when=DATASUM_TEXT)
        hdus[0].add_checksum(when=CHECKSUM_TEXT, override_datasum=True)
        assert hdus[0].header["CHECKSUM"] == ours
