"""Does `rbh1 acquire` make a store equal to a lock, and say what it did?

Oracles: the bytes of the archive's own folder, the requests that the server counted, jsonschema.
"""

import _thread
import json
import os
import re
import threading
import time
from dataclasses import replace

import pytest
from archives import FILES, HST, JWST, downloads, reprocessed, run_cli

import schemas
from ard.fileio import sha256_file
from pipeline.acquire.testing import ArchiveServer, Stall


def test_a_run_makes_the_store_equal_the_lock(acquire, server, mini, place):
    result = acquire("run")
    assert result.code == 0
    assert {row["status"] for row in result.files.values()} == {"OK"}
    assert {row["verified"] for row in result.files.values()} == {"lock"}
    for name in FILES:
        assert place(name).read_bytes() == mini.truth(name)
        assert place(name).is_symlink()
    assert len(downloads(server)) == 4


def test_a_second_run_fetches_nothing_and_offline_asks_nothing(acquire, server):
    acquire("run")
    server.reset_log()
    assert acquire("run").code == 0
    assert downloads(server) == []
    server.reset_log()
    result = acquire("run", "--offline")
    assert result.code == 0
    assert {row["done"] for row in result.files.values()} == {"kept"}
    assert acquire("status", "--offline").code == 0
    assert acquire("plan", "--offline").code == 0
    assert server.requests == []


def test_the_record_of_a_run_follows_its_schema(acquire, tmp_path):
    result = acquire("run", lock="unknown")
    (record,) = (tmp_path / "store" / "runs").iterdir()
    document = json.loads(record.read_text())
    assert schemas.validate(document, "acquisition-run") == ()
    assert document["files"] == result.document["files"]
    row = result.files[JWST]
    assert row["url"].endswith(f"?uri=mast:JWST/product/{JWST}")
    assert [rung["name"] for rung in row["rungs"]] == [
        "size", "checksum", "sha256", "structure", "content",
    ]  # fmt: skip
    assert len(document["queries"]) >= 4


def test_the_first_use_says_what_it_trusts(acquire):
    result = acquire("run", lock="unknown")
    assert result.code == 0
    assert {n: (row["verified"], row["first_use"]) for n, row in result.files.items()} == {
        name: ("archive", False) if name.startswith("jw") else ("size", True) for name in FILES
    }


def test_fetching_twice_is_better_than_trust(acquire, server):
    result = acquire("run", "--confirm", lock="unknown")
    assert {row["verified"] for row in result.files.values()} == {"archive", "twice"}
    assert not any(row["first_use"] for row in result.files.values())
    assert len(downloads(server)) == 6


def test_what_was_trusted_once_is_held_to(acquire, server, mini, tmp_path, place):
    """After the first use the store is the witness: other bytes do not pass any more."""
    acquire("run", lock="unknown")
    place(HST).resolve().unlink()
    server.replace(reprocessed(mini, tmp_path, HST))
    result = acquire("run", lock="unknown")
    assert (result.code, result.status(HST)) == (3, "CHANGED")
    assert not place(HST).exists()
    # It was fetched twice to be sure; it is not fetched again and again.
    server.reset_log()
    assert acquire("run", lock="unknown").status(HST) == "CHANGED"
    assert downloads(server) == []


def test_damage_in_the_store_is_mended(acquire, server, mini, place, tmp_path):
    acquire("run")
    victim = place(HST).resolve()
    victim.chmod(0o644)
    victim.write_bytes(b"\0" + mini.truth(HST)[1:])
    server.reset_log()
    result = acquire("run")
    assert result.code == 0
    assert result.files[HST]["done"] == "fetched"
    assert place(HST).read_bytes() == mini.truth(HST)
    assert len(downloads(server)) == 1
    assert (tmp_path / "store" / "quarantine" / HST).read_bytes()[:1] == b"\0"


def test_silent_rot_is_found_by_a_deep_run(acquire, mini, place):
    acquire("run")
    victim = place(HST).resolve()
    before = victim.stat()
    victim.chmod(0o644)
    victim.write_bytes(b"\0" + mini.truth(HST)[1:])
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert acquire("run", "--offline").code == 0
    result = acquire("run", "--offline", "--deep")
    assert (result.code, result.status(HST)) == (3, "MISSING")
    assert "damaged" in result.files[HST]["problem"]["problem"]


def test_a_lost_name_is_given_again(acquire, server, place):
    acquire("run")
    place(HST).unlink()
    server.reset_log()
    assert acquire("run", "--offline").code == 0
    assert place(HST).exists()


@pytest.mark.parametrize("name", [JWST, HST])
def test_a_changed_file_is_never_replaced(acquire, server, mini, tmp_path, place, name):
    acquire("run")
    server.replace(reprocessed(mini, tmp_path, name))
    result = acquire("run")
    if name == HST:
        # The archive says nothing about versions of HST files, so nothing can be noticed
        # while the store is whole.
        assert result.code == 0
        return
    assert (result.code, result.status(name)) == (1, "CHANGED")
    assert any(
        "cal_ver" in change or "checksum" in change for change in result.files[name]["changes"]
    )
    assert place(name).read_bytes() == mini.truth(name)


def test_old_and_new_live_side_by_side_until_the_lock_is_updated(
    acquire, server, mini, tmp_path, place
):
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.unknown.read_bytes())
    assert acquire("run", lock=lock).code == 0
    assert acquire("lock", "--update", lock=lock).code == 0
    new = reprocessed(mini, tmp_path, JWST)
    server.replace(new)

    result = acquire("run", "--take-changed", lock=lock)
    assert (result.code, result.status(JWST)) == (1, "CHANGED")
    assert place(JWST).read_bytes() == mini.truth(JWST)
    (aside,) = (tmp_path / "store" / "versions" / JWST).rglob("*.fits")
    assert aside.read_bytes() == new.path.read_bytes()
    server.reset_log()
    acquire("run", "--take-changed", lock=lock)
    assert downloads(server) == []

    shown = acquire("lock", lock=lock)
    assert shown.code == 1
    assert not shown.document["written"]
    (row,) = shown.document["files"]
    assert row["name"] == JWST
    assert row["fields"]["sha256"] == [
        sha256_file(mini.files[JWST].path), sha256_file(new.path),
    ]  # fmt: skip
    assert row["fields"]["cal_ver"] == ["1.17.1", "1.18.0"]

    assert acquire("lock", "--update", lock=lock).code == 0
    server.reset_log()
    assert acquire("run", lock=lock).code == 0
    assert downloads(server) == []
    assert place(JWST).read_bytes() == new.path.read_bytes()
    assert acquire("lock", lock=lock).code == 0


def test_a_lock_made_from_nothing_names_everything(acquire, mini, tmp_path):
    lock = tmp_path / "lock.json"
    assert acquire("run", lock=mini.unknown).code == 0
    made = acquire("lock", "--update", lock=lock)
    assert made.code == 0
    assert {row["kind"] for row in made.document["files"]} == {"added"}
    document = json.loads(lock.read_text())
    assert schemas.validate(document, "archive-lock") == ()
    rows = {row["name"]: row for row in document["files"]}
    for name in FILES:
        assert rows[name]["sha256"] == sha256_file(mini.files[name].path)
        assert rows[name]["role"] == "science"
    assert (rows[JWST]["verified"], rows[HST]["verified"]) == ("archive", "size")
    assert acquire("lock", "--offline", lock=lock).code == 0


def test_the_lock_is_not_changed_by_looking_at_it(acquire, mini, tmp_path):
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.unknown.read_bytes())
    acquire("run", lock=lock)
    assert acquire("lock", lock=lock).code == 1
    assert lock.read_bytes() == mini.unknown.read_bytes()


def test_files_on_disk_are_adopted(acquire, server, mini, tmp_path, place):
    folder = tmp_path / "downloads" / "deep" / "er"
    folder.mkdir(parents=True)
    for name in FILES[:3]:
        (folder / name).write_bytes(mini.truth(name))
    (folder / "thesis.txt").write_text("mine")
    bad = folder / FILES[2]
    bad.write_bytes(mini.truth(FILES[2])[:-2880])
    result = acquire("adopt", tmp_path / "downloads", "--offline")
    assert server.requests == []
    assert result.code == 3
    assert [result.status(name) for name in FILES] == ["OK", "OK", "FAILED", "MISSING"]
    assert result.document["other_files"] == 1
    assert place(FILES[0]).read_bytes() == mini.truth(FILES[0])
    assert not place(FILES[2]).exists()
    assert bad.exists(), "a file that does not pass stays where it is"
    assert (folder / FILES[0]).exists()
    assert acquire("run").code == 0
    assert len(downloads(server)) == 2


def test_adopted_files_can_be_moved(acquire, mini, tmp_path, place):
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / JWST).write_bytes(mini.truth(JWST))
    (folder / HST).write_bytes(mini.truth(HST)[:-2880])
    acquire("adopt", folder, "--move", "--offline")
    assert place(JWST).read_bytes() == mini.truth(JWST)
    assert not (folder / JWST).exists()
    assert (folder / HST).exists()


def test_adopting_takes_the_copy_that_is_sound(acquire, mini, tmp_path, place):
    for part, content in (("a", b"junk"), ("b", mini.truth(JWST))):
        (tmp_path / "d" / part).mkdir(parents=True)
        (tmp_path / "d" / part / JWST).write_bytes(content)
    assert acquire("adopt", tmp_path / "d", "--offline").status(JWST) == "OK"
    assert place(JWST).read_bytes() == mini.truth(JWST)


def test_adopting_from_nowhere_says_so(acquire, tmp_path):
    result = acquire("adopt", tmp_path / "none", "--offline")
    assert result.code == 3
    assert "folder to adopt from does not exist" in result.text


def test_too_little_space_ends_before_the_first_byte(acquire, server):
    result = acquire("run", "--reserve", "1e9")
    assert result.code == 3
    assert "not enough space" in result.text
    assert downloads(server) == []


def test_a_plan_says_what_would_come_and_changes_nothing(acquire, mini, tmp_path):
    result = acquire("plan")
    assert result.code == 0
    assert result.document["need_bytes"] == sum(file.size for file in mini.files.values())
    assert not result.document["estimated"]
    assert {row["action"] for row in result.files.values()} == {"fetch"}
    assert not (tmp_path / "store").exists()


def test_the_headers_say_what_the_files_are(acquire):
    result = acquire("run")
    parts = {part["name"]: part for part in result.document["parts"]}
    assert {part["role"] for part in parts.values()} == {"science"}
    assert parts[JWST]["covers_target"] is True
    assert parts[JWST]["pointing"] == "t001"


def test_proprietary_files_need_a_token_which_is_never_shown(mini, tmp_path, monkeypatch, waits):
    secret = "0123456789abcdef0123456789abcdef"
    files = [replace(file, rights="EXCLUSIVE_ACCESS") for file in mini.files.values()]
    words = ("run", "--json", "--selection", mini.selection, "--lock", mini.known, "--store",
             tmp_path / "store")  # fmt: skip
    with ArchiveServer(files, token=secret) as server:
        monkeypatch.delenv("MAST_API_TOKEN", raising=False)
        without = run_cli(*words, "--server", server.url)
        assert without.code == 3
        assert "set MAST_API_TOKEN" in without.text
        assert downloads(server) == []

        monkeypatch.setenv("MAST_API_TOKEN", "wrong-" + secret[:8])
        wrong = run_cli(*words, "--server", server.url)
        assert wrong.code == 3
        assert "does not accept the token" in wrong.text
        assert downloads(server) == []

        monkeypatch.setenv("MAST_API_TOKEN", secret)
        good = run_cli(*words, "--server", server.url)
        assert good.code == 0
    said = without.text + wrong.text + good.text
    written = b"".join(p.read_bytes() for p in (tmp_path / "store").rglob("*.json"))
    for token in (secret, "wrong-" + secret[:8]):
        assert token not in said
        assert token.encode() not in written


def test_a_password_in_netrc_is_not_used(mini, tmp_path, monkeypatch, waits):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.delenv("MAST_API_TOKEN", raising=False)
    with ArchiveServer(mini.files.values()) as server:
        run_cli("run", "--json", "--selection", mini.selection, "--lock", mini.known, "--store",
                tmp_path / "store", "--server", server.url)  # fmt: skip
        assert not any(request.authorization_present for request in server.requests)


def test_an_archive_that_is_not_there_is_explained(acquire):
    result = acquire("run", url="http://127.0.0.1:9")
    assert result.code == 3
    assert "the connection to the archive broke off" in result.text
    assert "what to do" in result.text


def interrupt_when(store, count):
    """Interrupt the main thread when a partial file has so many bytes."""
    for _ in range(1000):
        if any(part.stat().st_size >= count for part in store.glob(f"partial/{HST}*.part")):
            _thread.interrupt_main()
            return
        time.sleep(0.02)


def test_stopping_keeps_what_came(mini, tmp_path, waits):
    """Ctrl-C during a stall: the partial file stays, and the next run takes it up."""
    words = ("run", "--json", "--selection", mini.selection, "--lock", mini.known, "--store",
             tmp_path / "store", "--workers", "1")  # fmt: skip
    with ArchiveServer(mini.files.values()) as server:
        server.fault(HST, Stall(200_000, 30))
        watch = threading.Thread(target=interrupt_when, args=(tmp_path / "store", 200_000))
        watch.start()
        began = time.monotonic()
        stopped = run_cli(*words, "--server", server.url, "--timeout", "60")
        watch.join()
        assert time.monotonic() - began < 20.0, "the stop had to wait for the time-out"
        assert stopped.code == 3
        assert "the same command continues" in stopped.text
        assert stopped.document["interrupted"]
        assert stopped.status(HST) == "MISSING"
        again = run_cli(*words, "--server", server.url)
        assert again.code == 0
        assert again.files[HST]["resumed_bytes"] == 200_000
        ranges = [r.range for r in downloads(server) if HST in r.path and r.range]
        assert re.fullmatch(r"bytes=\d+-", ranges[-1])
