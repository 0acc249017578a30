"""Does a bundle get its name whole or not at all, and does nothing else go with the old one?

Oracle: what lies in the folders before and after, also where the process is ended in between.
"""

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from small_run import FakeJudge

import ard
from release import place
from release.build import Options, build
from release.pack import write_archive
from release.place import beside, give_name, leftovers

OVERWRITE = Options(version="2.0.0", overwrite=True)


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def put_file(bundle: Path, _run: Path) -> str:
    (bundle / "release.journal.jsonl").write_text("what was sent\n")
    return "release.journal.jsonl"


def put_run(bundle: Path, run: Path) -> str:
    shutil.copytree(run, bundle / "run")
    return "run"


def put_link(bundle: Path, run: Path) -> str:
    (bundle / "link").symlink_to(run)
    return "link"


def make_link(bundle: Path, run: Path) -> str:
    (bundle / "README.md").rename(run / "README.md")
    (bundle / "README.md").symlink_to(run / "README.md")
    return "README.md"


@pytest.mark.parametrize("put", [put_file, put_run, put_link, make_link])
def test_what_is_no_part_of_a_bundle_is_not_deleted_with_it(run_folder, bundle_folder, put):
    name, before = put(bundle_folder, run_folder), everything(bundle_folder)
    with pytest.raises(ard.ArdError, match="holds more than a bundle") as caught:
        build(run_folder, bundle_folder, OVERWRITE, judge=FakeJudge())
    assert caught.value.found == f"'{name}'"
    assert everything(bundle_folder) == before


def test_what_was_put_there_during_the_build_is_not_deleted(run_folder, bundle_folder):
    def put(text: str) -> None:
        if text == "judging the bundle":
            put_file(bundle_folder, run_folder)

    with pytest.raises(ard.ArdError, match="holds more than a bundle"):
        build(run_folder, bundle_folder, OVERWRITE, judge=FakeJudge(), progress=put)
    assert ard.open(bundle_folder, verify="none").version == "0.1.0"
    assert (bundle_folder / "release.journal.jsonl").is_file()


def test_a_run_that_looks_like_a_bundles_file_is_not_deleted(run_folder, bundle_folder):
    """Even where no name tells: the run of a bundle never lies in its place."""
    with pytest.raises(ard.ArdError, match="neither holds the run"):
        place.require_place(bundle_folder / "README.md", bundle_folder, overwrite=True)


@pytest.fixture(params=["at once", "in two steps"])
def swap(request, monkeypatch):
    """Both ways in which two folders change places."""
    if request.param == "in two steps":
        monkeypatch.setattr(place, "_exchange", lambda *_: False)
    return request.param


def test_the_new_bundle_takes_the_place_of_the_old_one(run_folder, bundle_folder, swap):
    build(run_folder, bundle_folder, OVERWRITE, judge=FakeJudge())
    assert ard.open(bundle_folder, verify="full").version == "2.0.0"
    assert sorted(path.name for path in bundle_folder.parent.iterdir()) == ["bundle", "run"]


def test_folders_change_places_in_one_step(run_folder, bundle_folder, monkeypatch):
    def never(*_: object) -> None:
        pytest.fail("there is a moment without a bundle")

    if not place._exchange(run_folder, bundle_folder):
        pytest.skip("neither this system nor this disk can do it")
    assert (bundle_folder / "products").is_dir()
    place._exchange(run_folder, bundle_folder)
    monkeypatch.setattr(Path, "rename", never)
    build(run_folder, bundle_folder, OVERWRITE, judge=FakeJudge())


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_leaves_a_whole_bundle(run_folder, bundle_folder, monkeypatch, number, when):
    monkeypatch.setattr(place, "_exchange", lambda *_: False)
    rename, seen = Path.rename, []

    def interrupted(path: Path, target: Path) -> Path:
        seen.append(path)
        if len(seen) == number and when == "before":
            raise KeyboardInterrupt
        rename(path, target)
        if len(seen) == number:
            raise KeyboardInterrupt
        return target

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(run_folder, bundle_folder, OVERWRITE, judge=FakeJudge())
    new = (number, when) == (2, "after")
    bundle = ard.open(bundle_folder, verify="full")
    assert bundle.version == ("2.0.0" if new else "0.1.0")
    left = [path.suffix for path in leftovers(bundle_folder)]
    assert left == ([".old"] if new else [])


def test_what_a_killed_build_left_is_found(tmp_path):
    names = [".b.0123abcd.part", ".b.89abcdef.old"]
    others = [".b.part", ".b.0123abcg.part", ".b.0123abcd.txt", ".c.0123abcd.part", "b"]
    for name in names + others:
        (tmp_path / name).mkdir()
    assert leftovers(tmp_path / "b") == tuple(tmp_path / name for name in names)
    with beside(tmp_path / "b") as folder:
        assert folder in leftovers(tmp_path / "b")
    assert leftovers(tmp_path / "nowhere/b") == ()


# The disk


@pytest.fixture
def synced(monkeypatch) -> list[Path]:
    """What was brought to the disk, in order; its own name for what was moved."""
    paths, fsync = [], os.fsync

    def note(descriptor: int) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not tell which file is open")
    monkeypatch.setattr(os, "fsync", note)
    return paths


def test_an_archive_is_on_the_disk_when_it_is_written(tmp_path, synced):
    (tmp_path / "a").write_bytes(b"a")
    write_archive(tmp_path / "b.zip", {"a": tmp_path / "a"})
    assert synced == [tmp_path / "b.zip"]
    assert zipfile.ZipFile(tmp_path / "b.zip").testzip() is None


@pytest.mark.parametrize("there", [False, True])
def test_the_names_are_on_the_disk_before_and_after(bundle_folder, tmp_path, synced, there):
    out = bundle_folder if there else tmp_path / "new"
    with beside(out) as folder:
        give_name(folder, out)
        assert synced == [folder, tmp_path]
    assert list(out.iterdir()) == []
