"""Is a made archive like the real one: names, structure, headers, invariants of the cubes?

Oracles: the committed selection and lock, astropy's verification, the facts of the reference.
"""

import hashlib
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from ard import s3d
from ard.errors import NotFoundError
from manifests import load_lock, load_selection, lock_path
from manifests.lock import Lock
from pipeline.acquire.testing import ArchiveServer, archive_of, make_archive
from pipeline.simulate import geometry, twin

ROOT = Path(__file__).resolve().parents[3]
SELECTION = load_selection()
LOCK = load_lock(lock_path(), SELECTION)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All 194 products, and their folder."""
    folder = tmp_path_factory.mktemp("archive")
    return folder, make_archive(folder, SELECTION, LOCK, scale=1e-4, seed=5)


def some(count: int) -> Lock:
    """A few files of each group."""
    groups = [group.name for group in SELECTION.groups]
    return Lock("rbh1", tuple(f for g in groups for f in LOCK.only([g]).files[:count]))


def cubes(made):
    return [file for file in made[1] if file.subgroup == "S3D"]


def test_every_file_of_the_lock_is_made(made):
    folder, files = made
    assert [(file.uri, file.name) for file in files] == [(f.uri, f.name) for f in LOCK.files]
    assert {path.name for path in folder.iterdir()} == {file.name for file in files}
    assert sum(file.size for file in files) < 10e6


def test_every_file_has_the_extensions_of_its_group(made):
    _, files = made
    for file, locked in zip(files, LOCK.files, strict=True):
        wanted = SELECTION.group(locked.group).extensions
        with fits.open(file.path, memmap=False) as hdus:
            hdus.verify("exception")
            found = [(h.name, h.header["NAXIS"], h.header["BITPIX"]) for h in hdus[1:]]
            assert hdus[0].header["FILENAME"] == file.name
        kept = [item for item in found if item[0] != "HDRTAB"]
        assert kept == [(e.name, e.naxis, e.bitpix) for e in wanted]


def test_sizes_follow_the_scale(tmp_path):
    files = make_archive(tmp_path, SELECTION, some(1), scale=1e-2)
    for file, locked in zip(files, some(1).files, strict=True):
        real = locked.size or SELECTION.group(locked.group).typical_bytes
        assert file.size == pytest.approx(1e-2 * real, rel=0.2, abs=60_000)


def test_cubes_keep_the_invariants_of_real_ones(made):
    assert len(cubes(made)) == 18
    for file in cubes(made):
        with fits.open(file.path, memmap=False) as hdus:
            sci, err, dq, wmap = (hdus[name].data for name in ("SCI", "ERR", "DQ", "WMAP"))
            nan = np.isnan(sci)
            assert 0.3 < nan.mean() < 0.6
            assert np.array_equal(nan, dq == 513)
            assert np.array_equal(nan, wmap == 0)
            assert np.array_equal(nan, np.isnan(err))
            assert (err[~nan] > 0).all()
            assert dq.dtype == np.uint32
            header = hdus["SCI"].header
            assert (header["BUNIT"], header["CTYPE3"], header["CUNIT3"]) == ("MJy/sr", "WAVE", "um")
            assert (header["CRVAL3"], header["CDELT3"]) == (geometry.CRVAL3, geometry.CDELT3)
            ny, nx = sci.shape[1:]
            place = WCS(header).celestial.wcs_world2pix(40.44046, -8.35056, 0)
            assert (np.array(place) > 0).all()
            assert (np.array(place) < (nx - 1, ny - 1)).all(), "the wake's tip is in the field"


def test_a_made_cube_can_be_read(made):
    cube = s3d.read_cube(cubes(made)[0].path)
    assert cube.wave[0] == pytest.approx(geometry.CRVAL3)


def test_headers_say_what_the_exposures_are(made):
    for file in made[1]:
        if file.collection != "JWST":
            continue
        header = fits.getheader(file.path)
        sequence = "combined" if "-o001" in file.name else file.name.split("_")[1]
        item = {"02101": 0, "06101": 0, "04101": 1, "08101": 1}.get(sequence, "_t002_" in file.name)
        assert header["IS_IMPRT"] is (sequence in ("06101", "08101"))
        assert header["IS_IMPRT"] is file.is_imprint
        assert header["TARG_RA"] == geometry.POINTINGS[item].ra_deg
        assert (header["CAL_VER"], header["CRDS_CTX"]) == ("1.17.1", "jwst_1322.pmap")
        assert (header["SDP_VER"], header["BKGDTARG"]) == ("2025_1", False)
        assert header["EFFEXPTM"] == pytest.approx(
            {"06101": 145.889, "08101": 145.889, "combined": 14005.336}.get(sequence, 3501.334)
        )
        assert {"GWA_XTIL", "GWA_YTIL", "PATT_NUM", "DETECTOR", "EXP_TYPE", "DATE"} <= set(header)
        assert (file.cal_ver, file.crds_ctx, file.sdp_ver) == ("1.17.1", "jwst_1322.pmap", "2025_1")


def test_combined_cubes_name_their_members(made):
    for file in cubes(made):
        with fits.open(file.path, memmap=False) as hdus:
            assert ("HDRTAB" in hdus) == (file.calib_level == 3)
            if file.calib_level == 3:
                table = hdus["HDRTAB"].data
                sequence = "02101" if "t001" in file.name else "04101"
                assert [row["FILENAME"] for row in table] == [
                    f"jw03149001001_{sequence}_{k:05d}_nrs1_cal.fits" for k in (1, 2, 3, 4)
                ]
                assert not table["IS_IMPRT"].any()


def test_hst_headers(made):
    for file in made[1]:
        if file.collection == "HST":
            header = fits.getheader(file.path)
            assert (header["TELESCOP"], header["INSTRUME"]) == ("HST", "WFC3")
            assert (header["IMAGETYP"], header["PROPOSID"]) == ("EXT", 17301)
            assert (
                header["FILTER"].lower() in file.name
                or file.name.startswith("if3x")
                or ("total" in file.name)
            )
            assert file.checksum is file.cal_ver is None


def test_only_jwst_files_have_checksums(made, tmp_path):
    for file in made[1]:
        if file.collection == "JWST":
            assert file.checksum == hashlib.md5(file.path.read_bytes()).hexdigest()
    sha1 = make_archive(tmp_path / "a", SELECTION, some(1), scale=1e-5, algorithm="sha1")
    jwst = [file for file in sha1 if file.collection == "JWST"]
    assert [f.checksum for f in jwst] == [
        hashlib.sha1(f.path.read_bytes()).hexdigest() for f in jwst
    ]
    bare = make_archive(tmp_path / "b", SELECTION, some(1), scale=1e-5, checksums=False)
    assert {file.checksum for file in bare} == {None}


def test_equal_seeds_give_equal_bytes(tmp_path):
    one, two, other = (
        [f.path.read_bytes() for f in make_archive(tmp_path / n, SELECTION, some(1), seed=seed)]
        for n, seed in (("one", 3), ("two", 3), ("other", 4))
    )
    assert one == two
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_nothing_is_replaced(tmp_path):
    make_archive(tmp_path, SELECTION, some(1), scale=1e-5)
    with pytest.raises(OSError, match="already exists"):
        make_archive(tmp_path, SELECTION, some(1), scale=1e-5)


def test_a_folder_is_an_archive(made, tmp_path):
    folder, files = made
    assert sorted(archive_of(folder, SELECTION), key=lambda f: f.uri) == sorted(
        files, key=lambda f: f.uri
    )
    (tmp_path / "truth.fits").write_bytes(b"")
    with pytest.raises(NotFoundError, match="no file here"):
        archive_of(tmp_path, SELECTION)


def test_the_simulator_makes_an_archive(tmp_path):
    """The files of the simulated observation have the archive's names."""
    for name, content in twin.run(twin.TwinConfig(size="tiny")):
        if name.startswith("archive/"):
            content.writeto(tmp_path / Path(name).name)
    files = archive_of(tmp_path, SELECTION)
    assert len(files) == 20
    assert sum(file.is_imprint for file in files) == 8
    with ArchiveServer(files) as server:
        rows = {row["filename"]: row for row in server.catalogue.files}
    for file in files:
        if file.collection == "JWST":
            assert rows[file.name]["checksum"] == hashlib.md5(file.path.read_bytes()).hexdigest()


def test_it_is_started_by_hand(tmp_path):
    command = [sys.executable, "-m", "pipeline.acquire.testing", "--folder", tmp_path / "new"]
    name = "jw03149-o001_t001_nirspec_g140m-f100lp_x1d.fits"
    with subprocess.Popen(
        [*command, "--scale", "1e-5"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            url = process.stdout.readline().strip()
            address = f"{url}/api/v0.1/Download/file?uri=mast:JWST/product/{name}"
            with urllib.request.urlopen(address, timeout=10) as reply:
                assert reply.read() == (tmp_path / "new" / name).read_bytes()
        finally:
            process.terminate()
        assert process.wait(10) == 0
    assert len(list((tmp_path / "new").iterdir())) == 194


def test_a_folder_without_archive_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    command = [sys.executable, "-m", "pipeline.acquire.testing", "--folder", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no file here is one of the selection" in done.stderr
