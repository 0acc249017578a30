"""Does the cache keep each content once, whole, and whoever else uses it?

Oracles: the bytes that were put in, inode numbers, and processes that want the same file at once.
"""

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from publishing import CUBE, downloads, larger_cube, publish
from stranger import ROOT

import ard
from ard.remote import Cache, cache, cache_folder
from ard.remote.cache import save
from release.testing import Fault

DATA = b"content" * 1000
SHA = hashlib.sha256(DATA).hexdigest()


def deliver(part: Path) -> None:
    part.write_bytes(DATA)


def never(part: Path) -> None:
    raise AssertionError("it was brought again")


@pytest.fixture
def kept(tmp_path):
    return Cache(tmp_path / "cache")


def test_what_was_brought_stays(kept):
    path = kept.obtain(SHA, len(DATA), deliver)
    assert path == kept.root / "content" / SHA[:2] / SHA
    assert path.read_bytes() == DATA
    assert kept.obtain(SHA, len(DATA), never) == path
    assert Cache(kept.root).obtain(SHA, len(DATA), never) == path
    assert sorted(one.name for one in path.parent.iterdir()) == [".lock", SHA]


def test_bytes_that_are_here_can_be_kept(kept):
    assert kept.insert(DATA).read_bytes() == DATA
    assert kept.insert(DATA) == kept.content(SHA)


def test_what_cannot_be_brought_leaves_its_beginning_and_no_content(kept):
    def fail(part: Path) -> None:
        part.write_bytes(DATA[:10])
        raise ard.RemoteError("the archive cannot be reached")

    with pytest.raises(ard.RemoteError, match="cannot be reached"):
        kept.obtain(SHA, len(DATA), fail)
    assert not kept.has(SHA, len(DATA))

    def go_on(part: Path) -> None:
        assert part.read_bytes() == DATA[:10]
        deliver(part)

    assert kept.obtain(SHA, len(DATA), go_on).read_bytes() == DATA


def test_nobody_writes_into_a_content_by_accident(kept):
    path = kept.obtain(SHA, len(DATA), deliver)
    assert path.stat().st_mode & 0o222 == 0


def test_names_are_links(kept, tmp_path):
    content = kept.insert(DATA)
    kept.place(content, tmp_path / "a" / "name")
    kept.place(content, tmp_path / "a" / "name")  # again, over itself
    assert (tmp_path / "a" / "name").samefile(content)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["name"]
    assert sorted(path.name for path in content.parent.iterdir()) == [".lock", SHA]


def no_links(self: Path, target: Path) -> None:
    raise OSError("no links here")


def test_names_are_copies_where_there_are_no_links(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "hardlink_to", no_links)
    content = kept.insert(DATA)
    kept.place(content, tmp_path / "name")
    assert (tmp_path / "name").read_bytes() == DATA
    assert not (tmp_path / "name").samefile(content)
    save(content, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA
    with pytest.raises(ard.ArdError, match="exists already"):
        save(content, tmp_path / "out")


def test_a_name_is_replaced_and_a_saved_file_is_not(kept, tmp_path):
    (tmp_path / "name").write_bytes(b"old")
    content = kept.insert(DATA)
    with pytest.raises(ard.ArdError, match="exists already"):
        save(content, tmp_path / "name")
    assert (tmp_path / "name").read_bytes() == b"old"
    kept.place(content, tmp_path / "name")
    assert (tmp_path / "name").read_bytes() == DATA


def test_a_link_in_the_place_of_a_content_is_not_followed(kept, tmp_path):
    (tmp_path / "elsewhere").write_bytes(DATA)
    content = kept.content(SHA)
    content.parent.mkdir(parents=True)
    content.symlink_to(tmp_path / "elsewhere")
    assert kept.obtain(SHA, len(DATA), deliver) == content
    assert not content.is_symlink()


def test_a_cache_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ard.ArdError, match=r"cannot be written[\s\S]*set RBH1_CACHE_DIR"):
        Cache(tmp_path / "file").insert(DATA)


def test_two_threads_bring_a_content_once(kept):
    brought, together = [], threading.Barrier(2)

    def slowly(part: Path) -> None:
        brought.append(part)
        deliver(part)

    def want() -> None:
        together.wait()
        Cache(kept.root).obtain(SHA, len(DATA), slowly)

    threads = [threading.Thread(target=want) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(brought) == 1
    assert kept.content(SHA).read_bytes() == DATA


def test_without_locks_each_has_a_part_of_its_own(kept, monkeypatch):
    monkeypatch.setattr(cache, "_lock", lambda number: False)
    parts = []

    def nested(part: Path) -> None:
        parts.append(part)
        # Another process begins, and ends, while this one has not.
        Cache(kept.root).obtain(SHA, len(DATA), lambda other: (parts.append(other), deliver(other)))
        deliver(part)

    assert kept.obtain(SHA, len(DATA), nested).read_bytes() == DATA
    assert parts[0] != parts[1]
    assert sorted(one.name for one in kept.content(SHA).parent.iterdir()) == [".lock", SHA]


PROCESS = "import sys, ard; print(ard.open(sys.argv[1]).cube().shape)"


def test_processes_share_one_download(server, cache, tmp_path):
    published = publish(server, tmp_path / "bundle", edit=larger_cube)
    server.inject(Fault("slow", path=CUBE, seconds=1.0))
    command = [sys.executable, "-c", PROCESS, published.doi]
    running = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        for _ in range(3)
    ]
    shown = [process.communicate(timeout=60)[0] for process in running]
    assert shown == [b"(60, 50, 40)\n"] * 3
    assert [row.sent_bytes for row in downloads(server)] == [published.size(CUBE)]
    assert ard.verify(ard.open(published.doi).folder, "none") == ()
    assert not list(cache.rglob("*.part"))


def test_a_killed_download_goes_on(server, cache, tmp_path):
    published = publish(server, tmp_path / "bundle", edit=larger_cube)
    server.inject(Fault("slow", path=CUBE, seconds=20.0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", PROCESS, published.doi], env=environment)
    try:
        while not any(part.stat().st_size > 100_000 for part in cache.rglob("*.part")):
            assert process.poll() is None
            threading.Event().wait(0.02)
    finally:
        process.kill()
        process.wait()
    server.clear_log()
    assert ard.open(published.doi)["t001_cube"].read_bytes() == published.bytes(CUBE)
    (row,) = downloads(server)
    assert row.status == 206
    assert row.sent_bytes < published.size(CUBE)


# Where it is


def test_the_environment_says_where():
    chosen = {"RBH1_CACHE_DIR": "/scratch/me", "XDG_CACHE_HOME": "/x", "LOCALAPPDATA": "/l"}
    for platform in ("linux", "darwin", "win32"):
        assert cache_folder(chosen, platform) == Path("/scratch/me")
    assert cache_folder({"RBH1_CACHE_DIR": "~/mine"}, "linux") == Path.home() / "mine"


@pytest.mark.parametrize(
    ("platform", "environment", "place"),
    [
        ("linux", {}, ".cache/rbh1-ard"),
        ("linux", {"XDG_CACHE_HOME": "not/absolute"}, ".cache/rbh1-ard"),
        ("linux", {"RBH1_CACHE_DIR": ""}, ".cache/rbh1-ard"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "Library/Caches/rbh1-ard"),
        ("win32", {}, "AppData/Local/rbh1-ard/cache"),
    ],
)
def test_each_platform_has_a_place(platform, environment, place):
    assert cache_folder(environment, platform) == Path.home() / place


def test_a_place_of_the_platform_may_be_moved():
    assert cache_folder({"XDG_CACHE_HOME": "/x"}, "linux") == Path("/x/rbh1-ard")
    assert cache_folder({"LOCALAPPDATA": "/l"}, "win32") == Path("/l/rbh1-ard/cache")


def test_without_a_home_the_error_says_what_to_set(monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ard.ArdError, match="set RBH1_CACHE_DIR"):
        cache_folder({}, "linux")
