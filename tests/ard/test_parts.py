"""Do the listed parts of a file hold the bytes that other readers find there?

Oracles: the file positions that astropy reports, and the members that zipfile reads.
"""

import hashlib
import zipfile

import pytest
from astropy.io import fits
from builders import make_cube
from handmade import write_zip

import ard
from ard.errors import IntegrityError
from ard.parts import file_parts


def test_hdus_lie_where_astropy_finds_them(tmp_path):
    path = tmp_path / "cube.fits"
    ard.write(path, make_cube(1))
    data = path.read_bytes()
    parts = file_parts(path)
    with fits.open(path) as hdus:
        infos = [hdu.fileinfo() for hdu in hdus]
        names = [hdu.name for hdu in hdus]
    assert [part.name for part in parts] == names
    assert [part.offset for part in parts] == [info["hdrLoc"] for info in infos]
    ends = [part.offset + part.size for part in parts]
    assert ends == [info["datLoc"] + info["datSpan"] for info in infos]
    for part in parts:
        own = data[part.offset : part.offset + part.size]
        assert hashlib.sha256(own).hexdigest() == part.sha256


def test_hdus_of_one_name_are_numbered(tmp_path):
    path = tmp_path / "twice.fits"
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(name="SCI") for _ in range(2))]).writeto(path)
    assert [part.name for part in file_parts(path)] == ["PRIMARY", "SCI", "SCI,2"]


def test_members_lie_where_zipfile_reads_them(tmp_path):
    path, members = tmp_path / "a.zip", {"a.png": b"one", "b-longer-name.json": b"{}" * 40}
    write_zip(path, members)
    data, parts = path.read_bytes(), {part.name: part for part in file_parts(path)}
    assert set(parts) == {*members, "sha256sums.txt"}
    for name, content in members.items():
        part = parts[name]
        assert data[part.offset : part.offset + part.size] == content
        assert part.sha256 == hashlib.sha256(content).hexdigest()


def test_a_compressed_member_has_no_place_of_its_own(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"a" * 100)
    with pytest.raises(IntegrityError, match="cannot be located"):
        file_parts(path)


def test_other_files_have_no_parts(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    assert file_parts(path) == ()
