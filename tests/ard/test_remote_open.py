"""Does `ard.open` show a published record as the bundle that was deposited, and fetch no more than
it is asked for?

Oracles: the folder that was deposited, byte for byte, and the log of the contract server, which
says what travelled.
"""

import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from builders import make_cube
from caller import Caller
from handmade import write_bundle, write_sums
from publishing import CUBE, FIGURES, LISTS, downloads, larger_cube, manifest_of, publish
from stranger import ROOT, run_python

import ard
from ard.remote import Cache, Patience
from ard.source import Progress
from release.testing import ContractServer, Fault


@pytest.fixture
def published(server, cache, tmp_path):
    return publish(server, tmp_path / "bundle", edit=larger_cube)


@pytest.mark.parametrize(
    "spelling", ["{doi}", "doi:{doi}", "https://doi.org/{doi}", "{url}/records/{id}", "DOI: {doi}"]
)
def test_every_spelling_opens_the_record(server, published, spelling):
    text = spelling.format(doi=published.doi, url=server.url, id=published.id)
    bundle = ard.open(text)
    assert (bundle.doi, bundle.concept_doi) == (published.doi, published.concept_doi)
    assert list(bundle) == list(ard.open(published.folder))


def test_opening_fetches_the_record_and_its_two_lists_alone(server, published):
    ard.open(published.doi)
    asked = [row.path.removeprefix(f"/api/records/{published.id}") for row in server.log]
    assert asked == ["", *[f"/files/{name}/content" for name in LISTS]]
    assert {row.status for row in server.log} == {200}


def test_opening_again_asks_for_the_record_alone(server, published):
    ard.open(published.doi)
    server.clear_log()
    ard.open(published.doi)
    assert [row.path for row in server.log] == [f"/api/records/{published.id}"]


def test_nobody_is_told_who_we_are_but_by_our_own_name(server, published, monkeypatch):
    monkeypatch.setenv("ZENODO_TOKEN", server.token)
    ard.open(published.doi).download()
    assert not any(row.authorized or server.token in row.path for row in server.log)
    agents = {row.user_agent for row in server.log}
    assert len(agents) == 1
    assert agents.pop().startswith(f"rbh1-ard/{ard.__version__} (")


def test_a_file_comes_when_it_is_asked_for_and_once(server, published):
    bundle = ard.open(published.doi)
    assert not bundle["t001_cube"].is_here
    cube = bundle.cube()
    assert np.array_equal(cube.flux, make_cube(5, (60, 50, 40)).flux, equal_nan=True)
    assert bundle["t001_cube"].is_here
    assert bundle["t001_cube"].path.read_bytes() == published.bytes(CUBE)
    assert ard.open(published.doi).cube().shape == cube.shape
    assert [(row.key, row.sent_bytes) for row in downloads(server)] == [
        (CUBE, published.size(CUBE))
    ]


def test_every_file_is_what_was_deposited(server, published):
    bundle = ard.open(published.doi)
    paths = bundle.download()
    assert {path.name for path in paths} == {
        row["name"] for row in manifest_of(published.folder)["files"]
    }
    for path in paths:
        assert path.read_bytes() == published.bytes(path.name)
    assert bundle["figures"].member("a.png") == b"picture"
    assert bundle["figures"].members == ("a.ecsv", "a.png")
    assert bundle.documents["README.md"].load() == "# Read me: ω\n"
    # The folder of the record is a bundle like any other.
    assert ard.verify(bundle.folder) == ()


def test_some_files_can_be_named(server, published):
    bundle = ard.open(published.doi)
    paths = bundle.download(["table", "README.md", "validation/t001_quality"])
    assert [path.name for path in paths] == [
        "likelihood_lines.ecsv",
        "README.md",
        "validation_t001_quality.json",
    ]
    assert sorted(row.key for row in downloads(server)) == sorted(path.name for path in paths)


def test_progress_counts_bytes(server, published):
    events: list[Progress] = []
    ard.open(published.doi, progress=events.append).cube()
    mine = [event for event in events if event.name == CUBE]
    assert mine[0] == Progress(CUBE, 0, published.size(CUBE))
    assert mine[-1] == Progress(CUBE, published.size(CUBE), published.size(CUBE))
    assert [event.done for event in mine] == sorted(event.done for event in mine)


def test_verify_fetches_everything_or_nothing(server, published):
    bundle = ard.open(published.doi, verify="none")
    assert bundle.verify("fast") == ()
    assert downloads(server) == []
    assert bundle.verify() == ()
    assert len(downloads(server)) == len(manifest_of(published.folder)["files"])
    digest = ard.integrity.bundle_digest(published.folder)
    assert bundle.verify("fast", digest=digest) == ()
    (finding,) = bundle.verify("full", digest="0" * 64)
    assert finding.problem == "not the published bundle"


def test_an_unknown_level_is_refused(server, published):
    with pytest.raises(ard.ArdError, match="no such level"):
        ard.open(published.doi, verify="slow")


def test_a_concept_doi_opens_the_latest_version(server, published, tmp_path):
    ard.open(published.concept_doi).download()
    newer = publish(
        server, tmp_path / "second", after=published.id, edit=larger_cube, version="1.3.0"
    )
    bundle = ard.open(published.concept_doi)
    assert (bundle.version, bundle.doi) == ("1.3.0", newer.doi)
    assert ard.open(published.doi).version == "1.2.3"
    assert ard.open(f"{server.url}/records/{published.concept_id}").doi == newer.doi


def test_a_new_version_brings_only_what_changed(server, published, tmp_path):
    ard.open(published.doi).download()

    def edit(folder: Path) -> None:
        larger_cube(folder)
        (folder / "README.md").write_text("# Another one\n")

    newer = publish(server, tmp_path / "second", after=published.id, edit=edit)
    bundle = ard.open(newer.doi)
    bundle.download()
    assert [row.key for row in downloads(server)] == ["README.md"]
    assert bundle.verify() == ()
    # Both versions share the bytes of the cube, where the file system can.
    old = ard.open(published.doi)["t001_cube"].path
    assert old.samefile(bundle["t001_cube"].path)


def test_an_interrupted_download_goes_on_from_the_middle(server, published, waits):
    size = published.size(CUBE)
    server.inject(Fault("truncate_download", path=CUBE, after_bytes=size // 2))
    assert ard.open(published.doi)["t001_cube"].read_bytes() == published.bytes(CUBE)
    rows = [(row.status, row.sent_bytes) for row in downloads(server)]
    assert rows == [(200, size // 2), (206, size - size // 2)]


def test_a_line_that_breaks_often_is_good_enough_if_it_brings_something(server, published, waits):
    fault = Fault("truncate_download", path=CUBE, count=10, after_bytes=100_000)
    server.inject(fault)
    assert ard.open(published.doi)["t001_cube"].read_bytes() == published.bytes(CUBE)
    rows = downloads(server)
    assert len(rows) == 11 > Patience().attempts
    assert sum(row.sent_bytes for row in rows) == published.size(CUBE)
    assert max(waits) < 2  # each break is the first of a new row


def test_another_process_goes_on_where_the_first_was_stopped(server, published, monkeypatch):
    size = published.size(CUBE)

    def stop(event: Progress) -> None:
        if event.done > size // 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ard.open(published.doi, progress=stop).cube()
    server.clear_log()
    ard.open(published.doi).cube()
    (row,) = downloads(server)
    assert row.status == 206
    assert row.sent_bytes < size - size // 3


def test_an_archive_that_knows_no_ranges_is_asked_anew(server, published, waits):
    size = published.size(CUBE)
    server.inject(Fault("truncate_download", path=CUBE, after_bytes=size // 2))
    server.inject(Fault("ignore_range", path=CUBE))
    assert ard.open(published.doi)["t001_cube"].read_bytes() == published.bytes(CUBE)
    rows = [(row.status, row.sent_bytes) for row in downloads(server)]
    assert rows == [(200, size // 2), (200, size)]


@pytest.mark.parametrize("fault", [502, 503, 504, 429])
def test_a_fault_that_passes_is_sat_out(server, published, waits, fault):
    server.inject(Fault(fault, path=CUBE, count=2))
    assert ard.open(published.doi)["t001_cube"].read_bytes() == published.bytes(CUBE)
    assert len(waits) >= 2


def test_a_reset_is_sat_out(server, published, waits):
    server.inject(Fault("reset", path=CUBE, side="response", after_bytes=5000, when="after"))
    assert ard.open(published.doi)["t001_cube"].read_bytes() == published.bytes(CUBE)


def test_a_byte_that_flips_on_the_way_is_noticed(server, published):
    server.inject(Fault("corrupt", path=CUBE, at=4000))
    bundle = ard.open(published.doi)
    with pytest.raises(ard.IntegrityError, match="delivers other bytes"):
        bundle.cube()
    assert not bundle["t001_cube"].is_here
    assert bundle.cube().shape == (60, 50, 40)


def test_a_stored_byte_that_flipped_is_a_finding(server, published):
    _, _, stored = server.world.files(published.id)[CUBE]
    data = bytearray(stored.read_bytes())
    data[9000] ^= 1
    stored.write_bytes(bytes(data))
    findings = ard.open(published.doi).verify("full")
    problems = {finding.problem for finding in findings if finding.file == CUBE}
    assert "the archive delivers other bytes than were listed" in problems


def test_damage_in_the_cache_is_found_and_mended(server, published):
    bundle = ard.open(published.doi)
    bundle.download()
    path = bundle["t001_cube"].path
    damage(path)
    # In the same process, since the file was written to, and in another, which trusts nothing.
    assert bundle["t001_cube"].path.read_bytes() == published.bytes(CUBE)
    damage(path)
    assert ard.open(published.doi)["t001_cube"].read_bytes() == published.bytes(CUBE)
    assert len(downloads(server, CUBE)) == 3


def test_verify_finds_and_mends_damage_that_no_date_shows(server, published):
    bundle = ard.open(published.doi)
    bundle.download()
    path = bundle["t001_cube"].path
    before = path.stat()
    damage(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert bundle.verify("full") == ()
    assert path.read_bytes() == published.bytes(CUBE)
    assert len(downloads(server, CUBE)) == 2


def damage(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[3000] ^= 0xFF
    path.write_bytes(bytes(data))


def test_offline_opens_what_was_fetched(server, published):
    ard.open(published.doi).cube()
    server.clear_log()
    for text in (published.doi, published.concept_doi):
        bundle = ard.open(text, offline=True)
        assert bundle.doi == published.doi
        assert bundle.cube().shape == (60, 50, 40)
        with pytest.raises(ard.NotFoundError, match="not in the cache"):
            bundle.load("lines")
    assert server.log == []


def test_offline_the_latest_known_version_is_the_latest(server, published, tmp_path):
    ard.open(published.doi)
    newer = publish(server, tmp_path / "second", after=published.id)
    assert ard.open(published.concept_doi, offline=True).doi == published.doi
    ard.open(newer.doi)
    assert ard.open(published.concept_doi, offline=True).doi == newer.doi


def test_offline_an_unknown_record_is_an_error(server, cache):
    with pytest.raises(ard.NotFoundError, match="does not know this record"):
        ard.open("10.5072/zenodo.77", offline=True)


def test_without_a_network_the_error_names_the_way_out(server, published, waits):
    ard.open(published.doi).cube()
    server.close()
    with pytest.raises(ard.RemoteError, match="offline=True"):
        ard.open(published.doi)
    assert ard.open(published.doi, offline=True).cube().shape == (60, 50, 40)


def test_offline_nothing_is_written(server, published, cache):
    # So that a cache may be shared by people who cannot write to it.
    ard.open(published.doi).download()
    before = {path: path.stat() for path in [cache, *cache.rglob("*")]}
    assert ard.open(published.doi, offline=True).verify("full") == ()
    after = {path: path.stat() for path in [cache, *cache.rglob("*")]}
    assert list(before) == list(after)
    for path, status in before.items():
        assert (status.st_ino, status.st_mtime_ns) == (after[path].st_ino, after[path].st_mtime_ns)


def test_the_cache_can_be_named(server, published, cache, tmp_path):
    ard.open(published.doi, cache=tmp_path / "mine").cube()
    assert Cache(tmp_path / "mine").root.is_dir()
    assert not cache.exists()


# What is not the bundle of this DOI


def test_a_folder_of_that_name_wins(server, cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "10.5281" / "zenodo.7")
    assert ard.open("10.5281/zenodo.7").version == "1.2.3"
    assert server.log == []


def test_a_path_is_no_doi(server, cache, tmp_path):
    with pytest.raises(ard.NotFoundError, match="no such bundle"):
        ard.open(tmp_path / "10.5281" / "zenodo.7")
    with pytest.raises(ard.NotFoundError, match="no such bundle"):
        ard.open("data/10.5281/zenodo.7")
    assert server.log == []


@pytest.mark.parametrize(
    ("lists", "problem"),
    [
        ({"doi": "10.5072/zenodo.99"}, "DOI of the bundle is not that of the record"),
        ({"doi": None}, "DOI of the bundle is not that of the record"),
        ({"concept_doi": "10.5072/zenodo.99"}, "concept DOI is not that of the record"),
    ],
)
def test_a_bundle_with_another_doi_is_refused(server, cache, tmp_path, lists, problem):
    wrong = publish(server, tmp_path / "bundle", **lists)
    with pytest.raises(ard.IntegrityError, match=problem):
        ard.open(wrong.doi)
    assert downloads(server) == []


def test_a_record_with_another_doi_than_asked_for_is_refused(server, published):
    other = published.doi.replace("10.5072", "10.5281")
    with pytest.raises(ard.IntegrityError, match="not bear the DOI that was asked for"):
        ard.open(other)


def other_list(folder: Path) -> None:
    """Make manifest and record differ in a size, an md5 and the set of files; lists agree."""
    document = manifest_of(folder)
    rows = {row["name"]: row for row in document["files"]}
    rows["README.md"]["size"] += 1
    rows[FIGURES]["md5"] = "0" * 32
    (folder / "manifest.json").write_text(json.dumps(document))
    write_sums(folder)
    (folder / "surplus.txt").write_text("more")


def test_a_record_that_differs_from_its_manifest_is_refused(server, cache, tmp_path):
    wrong = publish(server, tmp_path / "bundle", finish=other_list)
    with pytest.raises(ard.IntegrityError, match="not intact") as caught:
        ard.open(wrong.doi)
    text = str(caught.value)
    assert "README.md: size differs" in text
    assert f"{FIGURES}: md5 differs in the record" in text
    assert "surplus.txt: unlisted file" in text
    bundle = ard.open(wrong.doi, verify="none")
    assert len(bundle.verify("full")) == len(bundle.verify("fast")) == 3
    assert downloads(server) == []


def lose_a_file(folder: Path) -> None:
    (folder / "README.md").unlink()


def test_a_record_that_lacks_a_file_is_refused(server, cache, tmp_path):
    wrong = publish(server, tmp_path / "bundle", finish=lose_a_file)
    with pytest.raises(ard.IntegrityError, match=r"README\.md: missing file"):
        ard.open(wrong.doi)


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def test_a_record_of_something_else_is_refused(server, cache, tmp_path):
    other = publish(server, tmp_path / "bundle", finish=no_manifest)
    with pytest.raises(
        ard.FormatError, match=r"no bundle of rbh1-ard[\s\S]*without manifest\.json"
    ):
        ard.open(other.doi)


def broken_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("<html>")
    write_sums(folder)


def test_a_broken_manifest_is_refused_at_every_level(server, cache, tmp_path):
    broken = publish(server, tmp_path / "bundle", finish=broken_manifest)
    for level in ("none", "fast", "full"):
        with pytest.raises(ard.IntegrityError, match=r"manifest\.json: cannot be read"):
            ard.open(broken.doi, verify=level)


def test_an_unpublished_record_is_not_found(server, cache):
    with closing(Caller(server.url, server.token)) as owner:
        ident = owner.draft({"a": b"b"})
    with pytest.raises(ard.NotFoundError, match="no published record"):
        ard.open(f"10.5072/zenodo.{ident}")
    with pytest.raises(ard.NotFoundError, match="no published record"):
        ard.open("10.5072/zenodo.999")


def test_a_withdrawn_record_says_why(server, published):
    ard.open(published.doi).download()
    path, reason = f"/records/{published.id}/request-deletion", {"reason": "test-record"}
    with closing(Caller(server.url, server.token)) as owner:
        assert owner("POST", path, reason).status == 200
    with pytest.raises(ard.NotFoundError, match=r"withdrawn[\s\S]*reason test-record"):
        ard.open(published.doi)
    assert ard.open(published.doi, offline=True).verify() == ()


def test_another_host_of_the_same_number_is_another_record(
    server, published, tmp_path, monkeypatch
):
    ard.open(published.doi)
    with ContractServer(tmp_path / "other") as other:
        monkeypatch.setenv("RBH1_ZENODO_URL", other.url)
        again = publish(other, tmp_path / "again", version="9.9.9")
        assert again.doi == published.doi
        assert ard.open(again.doi).version == "9.9.9"


def test_a_stranger_opens_it_with_numpy_and_astropy_alone(
    server, published, cache, tmp_path, base_environment
):
    shutil.copytree(ROOT / "ard", tmp_path / "alone" / "ard")
    code = (
        "import os, sys, ard\n"
        "os.environ.update(RBH1_ZENODO_URL=sys.argv[2], RBH1_CACHE_DIR=sys.argv[3])\n"
        "bundle = ard.open(sys.argv[1])\n"
        "print(bundle)\n"
        "print(bundle.cube().shape, ard.fetch_hdu(bundle, 'cube', 'SCI'))\n"
    )
    arguments = (published.doi, server.url, str(cache))
    result = run_python(code, tmp_path / "alone", base_environment, args=arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"<Bundle {published.doi}: Test object, version 1.2.3")
    assert "(60, 50, 40) likelihood_t001_cube_sci.fits" in result.stdout
