"""Is one HDU, or one member, fetched by its bytes alone, and is it what the whole file holds?

Oracles: astropy and zipfile on the deposited files, and the log of the contract server.
"""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from handmade import write_lists, write_sums
from odd_archive import CONCEPT, DOI, content, reply
from publishing import (
    CUBE,
    FIGURES,
    Published,
    downloads,
    larger_cube,
    list_parts,
    manifest_of,
    parts_of,
    publish,
)

import ard
from ard.fitsio import walk
from ard.source import Progress
from release.testing import Fault

HDUS = ("SCI", "ERR", "DQ", "WMAP")


@pytest.fixture
def published(server, cache, tmp_path):
    return publish(server, tmp_path / "bundle", edit=larger_cube)


@pytest.mark.parametrize("name", HDUS)
def test_an_hdu_costs_its_bytes(server, published, tmp_path, name):
    out = ard.fetch_hdu(published.doi, "cube", name, tmp_path)
    part = published.part(CUBE, name)
    (row,) = downloads(server)
    assert (row.key, row.status, row.sent_bytes) == (CUBE, 206, part["size"])
    assert out == tmp_path / f"likelihood_t001_cube_{name.lower()}.fits"
    with fits.open(out, checksum=True) as cut, fits.open(published.folder / CUBE) as whole:
        assert [hdu.name for hdu in cut] == ["PRIMARY", name]
        assert np.array_equal(cut[name].data, whole[name].data, equal_nan=True)
        assert cut[name].header.tostring() == whole[name].header.tostring()
    # The bytes themselves, not only what a reader makes of them.
    start, end = part["offset"], part["offset"] + part["size"]
    assert out.read_bytes()[-part["size"] :] == published.bytes(CUBE)[start:end]


def test_the_header_says_where_it_comes_from(published, tmp_path):
    out = ard.fetch_hdu(published.doi, "t001_cube", "SCI", tmp_path)
    header = fits.getheader(out, 0)
    assert header["DOI"] == published.doi
    assert header["SIMULATD"] is True
    assert header["PRODUCT"] == "likelihood/t001_cube"
    assert header["PARTNAME"] == "SCI"
    assert header["FILENAME"] == CUBE
    history = " ".join(header["HISTORY"])
    part = published.part(CUBE, "SCI")
    assert "SIMULATED data" in history
    assert f"HDU SCI of {CUBE} of {published.doi} (version 1.2.3)" in history.replace("\n", "")
    assert f"bytes {part['offset']} to {part['offset'] + part['size'] - 1}" in history
    assert "CHECKSUM" in header


def test_one_hdu_of_a_cube_is_told_from_a_damaged_cube(published, tmp_path):
    out = ard.fetch_hdu(published.doi, "t001_cube", "SCI", tmp_path)
    with pytest.raises(ard.FormatError, match=f"holds one HDU of {CUBE}: fetch the whole product"):
        ard.read(out)
    assert ard.read_cube(out, noise="scatter").meta["ERRFROM"] == "scatter"


def test_equal_questions_give_equal_bytes(published, tmp_path):
    first = ard.fetch_hdu(published.doi, "cube", "SCI", tmp_path / "a")
    second = ard.fetch_hdu(published.folder, "cube", "SCI", tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_the_primary_hdu_stands_alone(published, tmp_path):
    out = ard.fetch_hdu(published.doi, "cube", "PRIMARY", tmp_path)
    assert published.bytes(CUBE).startswith(out.read_bytes())
    assert [span.name for span in walk(out)] == ["PRIMARY"]


@pytest.mark.parametrize("hdu", ["sci", "Sci", 1, "1"])
def test_an_hdu_has_several_names(published, tmp_path, hdu):
    out = ard.fetch_hdu(published.doi, "likelihood/t001_cube", hdu, tmp_path)
    assert out.name == "likelihood_t001_cube_sci.fits"


def test_an_hdu_is_fetched_once(server, published, tmp_path):
    bundle = ard.open(published.doi)
    ard.fetch_hdu(bundle, "cube", "SCI", tmp_path / "a")
    ard.fetch_hdu(published.doi, "cube", "SCI", tmp_path / "b")
    assert len(downloads(server)) == 1


def test_an_hdu_of_a_file_that_is_here_costs_nothing(server, published, tmp_path):
    bundle = ard.open(published.doi)
    bundle.download(["cube"])
    server.clear_log()
    ard.fetch_hdu(bundle, "cube", "ERR", tmp_path)
    assert server.log == []


def test_a_broken_transfer_goes_on_inside_of_the_hdu(server, published, tmp_path, waits):
    size = published.part(CUBE, "SCI")["size"]
    server.inject(Fault("truncate_download", path=CUBE, after_bytes=size // 2))
    out = ard.fetch_hdu(published.doi, "cube", "SCI", tmp_path)
    assert np.array_equal(
        fits.getdata(out, "SCI"), fits.getdata(published.folder / CUBE, "SCI"), equal_nan=True
    )
    rows = [(row.status, row.sent_bytes) for row in downloads(server)]
    assert rows == [(206, size // 2), (206, size - size // 2)]


def fetch_told(published: Published, folder: Path) -> tuple[Path, list[str]]:
    events: list[Progress] = []
    out = ard.fetch_hdu(published.doi, "cube", "SCI", folder, progress=events.append)
    return out, [event.note for event in events if event.note]


def test_without_ranges_the_whole_file_is_fetched_and_said_to_be(server, published, tmp_path):
    server.inject(Fault("ignore_range", path=CUBE))
    out, notes = fetch_told(published, tmp_path / "a")
    assert notes == [
        f"the archive does not give parts of files; the whole of {CUBE} is fetched instead"
    ]
    assert fits.getdata(out, "SCI").shape == (60, 50, 40)
    assert [row.status for row in downloads(server)] == [200, 200]
    # From now on everything is cut from the copy.
    server.clear_log()
    ard.fetch_hdu(published.doi, "cube", "ERR", tmp_path)
    assert downloads(server) == []


def test_a_wrong_range_is_noticed_and_the_whole_file_fetched(server, published, tmp_path):
    server.inject(Fault("corrupt", path=CUBE, at=4000))
    out, notes = fetch_told(published, tmp_path)
    assert notes == [
        f"the archive delivers other bytes than were listed; the whole of {CUBE} is fetched instead"
    ]
    assert fits.getdata(out, "SCI").shape == (60, 50, 40)


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"", 416, Content_Range="bytes */10"),
        reply(b"x" * 10, 206),
        reply(b"x" * 10, 206, Content_Range="bytes 0-9/10"),
        reply(b"--x", 206, Content_Type="multipart/byteranges; boundary=x"),
    ],
)
def test_odd_answers_to_a_range_lead_to_the_whole_file(odd, tmp_path, answer):
    folder = odd.offer(tmp_path / "bundle")
    odd.queues[content(CUBE)] = [answer]
    out = ard.fetch_hdu(DOI, "cube", "SCI", tmp_path)
    assert np.array_equal(
        fits.getdata(out, "SCI"), fits.getdata(folder / CUBE, "SCI"), equal_nan=True
    )
    part, whole = odd.asked(content(CUBE))
    assert part["Range"].startswith("bytes=")
    assert "Range" not in whole


def test_a_member_costs_its_bytes(server, published, tmp_path):
    out = ard.fetch_member(published.doi, "figures", "a.png", tmp_path)
    assert (out.name, out.read_bytes()) == ("a.png", b"picture")
    (row,) = downloads(server)
    assert (row.key, row.status, row.sent_bytes) == (FIGURES, 206, len(b"picture"))


def test_nothing_is_overwritten_and_nothing_fetched_for_it(server, published, tmp_path):
    out = tmp_path / "likelihood_t001_cube_sci.fits"
    out.write_bytes(b"mine")
    with pytest.raises(ard.ArdError, match="exists already"):
        ard.fetch_hdu(published.doi, "cube", "SCI", tmp_path)
    assert out.read_bytes() == b"mine"
    assert downloads(server) == []


def test_what_is_not_there_is_named(published, tmp_path):
    with pytest.raises(ard.NotFoundError, match=r"no such part[\s\S]*PRIMARY, SCI, ERR"):
        ard.fetch_hdu(published.doi, "cube", "OTHER", tmp_path)
    with pytest.raises(ard.NotFoundError, match="no such part"):
        ard.fetch_hdu(published.doi, "cube", 99, tmp_path)
    with pytest.raises(ard.FormatError, match=r"no parts[\s\S]*a table"):
        ard.fetch_hdu(published.doi, "lines", "SCI", tmp_path)
    with pytest.raises(ard.NotFoundError, match="no product 'nothing'"):
        ard.fetch_hdu(published.doi, "nothing", "SCI", tmp_path)


def test_a_part_that_is_not_what_the_manifest_says_is_refused(published, tmp_path):
    folder = Path(shutil.copytree(published.folder, tmp_path / "copy"))
    document = manifest_of(folder)
    for row in document["files"]:
        for part in row["parts"]:
            part["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(document))
    write_sums(folder)
    with pytest.raises(ard.IntegrityError, match="other bytes than the manifest lists"):
        ard.fetch_hdu(folder, "cube", "SCI", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_member_cannot_lead_out_of_the_folder(published, tmp_path):
    folder = Path(shutil.copytree(published.folder, tmp_path / "copy"))
    document = manifest_of(folder)
    for row in document["files"]:
        if row["name"] == FIGURES:
            row["parts"][0]["name"] = "../evil"
    (folder / "manifest.json").write_text(json.dumps(document))
    write_sums(folder)
    with pytest.raises(ard.FormatError, match="not safe"):
        ard.fetch_member(folder, "figures", "../evil", tmp_path / "out")
    assert not list(tmp_path.rglob("evil"))


def test_an_empty_member_asks_nobody(odd, tmp_path):
    folder = odd.offer(tmp_path / "bundle")
    with zipfile.ZipFile(folder / FIGURES, "w") as archive:
        archive.writestr("empty.txt", b"")
    write_lists(folder, doi=DOI, concept_doi=CONCEPT)
    list_parts(folder)
    odd.offer_folder(folder)
    out = ard.fetch_member(DOI, "figures", "empty.txt", tmp_path)
    assert out.read_bytes() == b""
    assert odd.asked(content(FIGURES)) == []


def test_the_oracle_agrees_with_the_library_on_where_parts_are(published):
    found = [
        (part.name, part.offset, part.size)
        for part in ard.parts.file_parts(published.folder / CUBE)
    ]
    assert found == list(parts_of(published.folder / CUBE))
