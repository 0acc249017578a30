"""Does the store keep exactly the bytes it was given, under names that lead to them?

Oracles: the bytes themselves, `os.stat`, and a second process for the lock.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from ard.errors import ArdError
from ard.fileio import sha256_file
from manifests.lock import LockedFile
from pipeline.acquire.entry import Entry, Held, with_held, with_served
from pipeline.acquire.partial import note_of
from pipeline.acquire.store import MARKER, Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.create()
    return store


def put(store: Store, content: bytes, name: str = "a_s3d.fits") -> Held:
    part = store.part_path(f"mast:{name}", name)
    part.write_bytes(content)
    note_of(part).write_text("{}")
    sha = sha256_file(part)
    store.put(part, sha)
    return Held(sha, len(content), "size", store.mtime_ns(sha))


def test_content_is_read_only_and_under_its_sum(store):
    held = put(store, b"one")
    place = store.object_path(held.sha256)
    assert place.read_bytes() == b"one"
    assert place.stat().st_mode & 0o222 == 0
    assert list((store.root / "partial").iterdir()) == []
    assert store.state(held) == "intact"


def test_a_name_leads_to_content_and_can_be_led_elsewhere(store):
    one, two = put(store, b"one"), put(store, b"two")
    link = store.link_path("jwst_s3d", "a_s3d.fits")
    store.name(link, one.sha256)
    assert link.read_bytes() == b"one"
    assert store.leads_to(link, one.sha256)
    store.name(link, two.sha256)
    assert link.read_bytes() == b"two"
    assert not store.leads_to(link, one.sha256)
    assert store.object_path(one.sha256).read_bytes() == b"one"


def test_the_store_can_be_moved(store, tmp_path):
    held = put(store, b"one")
    store.name(store.link_path("g", "a_s3d.fits"), held.sha256)
    store.root.rename(tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/files/g/a_s3d.fits").read_bytes() == b"one"


def test_names_are_hard_links_where_there_are_no_symbolic_ones(store, monkeypatch):
    def refuse(*_, **__):
        raise OSError("not on this file system")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    held = put(store, b"one")
    link = store.link_path("g", "a_s3d.fits")
    store.name(link, held.sha256)
    assert not link.is_symlink()
    assert link.read_bytes() == b"one"


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (lambda path: None, "intact"),
        (lambda path: path.unlink(), "missing"),
        (lambda path: rewrite(path, b"ones"), "damaged"),
        (lambda path: rewrite(path, b"oen"), "damaged"),
        (lambda path: os.utime(path), "intact"),
    ],
)
def test_touched_content_is_looked_at_again(store, damage, state):
    held = put(store, b"one")
    damage(store.object_path(held.sha256))
    assert store.state(held) == state


def rewrite(path, content):
    path.chmod(0o644)
    path.write_bytes(content)


def test_rot_that_leaves_no_trace_is_found_by_looking_deep(store):
    held = put(store, b"one")
    path = store.object_path(held.sha256)
    before = path.stat()
    rewrite(path, b"oen")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.state(held) == "intact"
    assert store.state(held, deep=True) == "damaged"


def test_an_entry_comes_back_as_it_was(store):
    one, two = put(store, b"one"), put(store, b"two")
    entry = Entry("a_s3d.fits", "mast:a_s3d.fits", "g", last={"status": "OK"})
    entry = with_served(with_held(entry, replace(one, facts={"level": "3"})), two)
    store.save(entry)
    assert store.entry("a_s3d.fits") == entry
    row = LockedFile("mast:a_s3d.fits", "a_s3d.fits", "g")
    assert entry.version(replace(row, sha256=two.sha256)) == two
    assert entry.version(replace(row, sha256="00" * 32)) is None
    assert entry.version(row) == entry.held
    assert entry.version(replace(row, size=4)) is None


def test_other_content_under_a_name_makes_the_former_a_version():
    one, two = Held("aa" * 32, 1), Held("bb" * 32, 2)
    entry = with_held(Entry("a.fits", "mast:a.fits", "g", held=one), two)
    assert entry.held == two
    assert entry.versions == {one.sha256: one}
    assert with_held(entry, one).versions == {two.sha256: two}


def test_a_torn_record_is_named(store):
    (store.root / "records" / "a.fits.json").write_text('{"name": "a.fits"}')
    with pytest.raises(ArdError, match="record of a file in the store is damaged") as error:
        store.entry("a.fits")
    assert str(error.value.file).endswith("a.fits.json")


def test_damaged_bytes_are_put_aside_with_the_reason(store):
    held = put(store, b"one")
    place = store.quarantine(store.object_path(held.sha256), "a.fits", {"ok": False})
    assert place.read_bytes() == b"one"
    assert json.loads(note_of(place).read_text()) == {"ok": False}
    assert store.state(held) == "missing"


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ArdError, match="something else than a store") as error:
        Store(tmp_path).create()
    assert "rbh1 acquire adopt" in (error.value.action or "")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_version_of_the_store_is_refused(store):
    (store.root / MARKER).write_text('{"schema": "archive-store", "version": 99}')
    with pytest.raises(ArdError, match="another version of rbh1") as error:
        store.create()
    assert error.value.found == "schema archive-store, version 99"


def test_a_store_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArdError, match="the store cannot be used"):
        Store(tmp_path / "file" / "store").create()


def test_two_processes_do_not_work_in_one_store(store):
    program = (
        "import sys; from pathlib import Path; from pipeline.acquire.store import Store\n"
        "with Store(Path(sys.argv[1])).locked(): print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "in\n"
        with (
            pytest.raises(ArdError, match="another process is working in this store"),
            store.locked(),
        ):
            pass
        other.stdin.close()
        other.wait(10)
    with store.locked():
        pass
