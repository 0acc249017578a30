"""What if something goes wrong that is no fault of a transfer: locks, disks, names, displays?

Oracle: the bytes of the archive's own folder, and those that lay on disk before.
"""

import http.server
import json
import threading
from dataclasses import replace

import pytest
from archives import FILES, HST, JWST, downloads, reprocessed, run_cli

from ard.fileio import sha256_file
from pipeline.acquire.testing import ArchiveServer, BitFlip, RetryAfter, Status, ZeroRows


def test_an_hst_file_processed_again_can_be_taken(acquire, server, mini, tmp_path, place):
    """Nothing that the archive lists tells its versions apart; only the bytes do."""
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.known.read_bytes())
    new = reprocessed(mini, tmp_path, HST)
    server.replace(new)
    result = acquire("run", lock=lock)
    assert (result.code, result.status(HST)) == (3, "CHANGED")
    assert acquire("run", lock=lock).code == 3
    assert f"lock --update --take {HST}" in acquire("plan", lock=lock).text
    assert acquire("lock", "--update", "--take", HST, lock=lock).code == 0
    rows = {row["name"]: row for row in json.loads(lock.read_text())["files"]}
    assert rows[HST]["sha256"] == sha256_file(new.path)
    server.reset_log()
    assert acquire("run", lock=lock).code == 0
    assert downloads(server) == []
    assert place(HST).read_bytes() == new.path.read_bytes()


def test_taking_a_version_that_was_not_served_says_so(acquire, mini, tmp_path):
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.known.read_bytes())
    acquire("run", lock=lock)
    result = acquire("lock", "--update", "--take", HST, lock=lock)
    assert result.code == 3
    assert "has served no other version" in result.text
    assert lock.read_bytes() == mini.known.read_bytes()


def test_the_lock_never_pairs_a_checksum_with_other_bytes(acquire, mini, tmp_path, server, place):
    """An altered cube of the right size, adopted without asking: the archive's checksum tells."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    altered = reprocessed(mini, tmp_path, JWST).path
    (folder / JWST).write_bytes(altered.read_bytes())
    assert acquire("adopt", folder, "--offline", lock="unknown").code == 0
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.unknown.read_bytes())
    result = acquire("run", lock=lock)
    assert (result.code, result.status(JWST)) == (1, "CHANGED")
    acquire("lock", "--update", lock=lock)
    rows = {row["name"]: row for row in json.loads(lock.read_text())["files"]}
    assert rows[JWST]["sha256"] is None
    assert acquire("run", "--take-changed", lock=lock).code in (0, 1)
    acquire("lock", "--update", lock=lock)
    assert acquire("run", lock=lock).code == 0
    assert place(JWST).read_bytes() == mini.truth(JWST)


def test_locked_bytes_are_adopted_though_the_archive_has_moved_on(
    acquire, mini, tmp_path, server, place
):
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / JWST).write_bytes(mini.truth(JWST))
    server.replace(reprocessed(mini, tmp_path, JWST))
    adopted = acquire("adopt", folder)
    assert adopted.code == 0
    assert place(JWST).read_bytes() == mini.truth(JWST)
    # The archive's words are about other bytes, so they are not put down for these.
    record = json.loads((tmp_path / "store" / "records" / f"{JWST}.json").read_text())
    assert record["held"]["checksum"] is None
    assert record["held"]["cal_ver"] == "1.17.1"
    # A record that is lost is made again, and the lock's bytes are not put aside for it.
    (tmp_path / "store" / "records" / f"{JWST}.json").unlink()
    again = acquire("run")
    assert again.files[JWST]["in_store"]
    assert place(JWST).read_bytes() == mini.truth(JWST)


@pytest.mark.parametrize("trouble", [PermissionError(1, "no"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["put", "name", "save"])
def test_moving_never_loses_the_only_copy(acquire, mini, tmp_path, monkeypatch, trouble, where):
    """Whatever happens before the store has the bytes under their name."""
    from pipeline.acquire.store import Store

    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / JWST).write_bytes(mini.truth(JWST))
    reached = []

    def refuse(*_, **__):
        reached.append(where)
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(Store, where, refuse)
        result = acquire("adopt", folder, "--move", "--offline")
    assert reached
    assert result.code == 3
    assert (folder / JWST).read_bytes() == mini.truth(JWST)
    assert acquire("adopt", folder, "--move", "--offline").code == 0
    assert not (folder / JWST).exists()


def test_moving_copies_where_no_second_name_can_be_given(
    acquire, mini, tmp_path, monkeypatch, place
):
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / JWST).write_bytes(mini.truth(JWST))

    def refuse(*_, **__):
        raise PermissionError(1, "protected_hardlinks")

    monkeypatch.setattr("pipeline.acquire.adopt.os.link", refuse)
    assert acquire("adopt", folder, "--move", "--offline").code == 0
    assert place(JWST).read_bytes() == mini.truth(JWST)
    assert not (folder / JWST).exists()


def test_moving_removes_what_the_store_has_already_and_nothing_else(acquire, mini, tmp_path):
    acquire("run")
    folder = tmp_path / "downloads"
    (folder / "a").mkdir(parents=True)
    (folder / JWST).write_bytes(mini.truth(JWST))
    (folder / "a" / JWST).write_bytes(b"of the same name, and mine")
    assert acquire("adopt", folder, "--move", "--offline").code == 0
    assert not (folder / JWST).exists()
    assert (folder / "a" / JWST).exists()


def test_links_are_copied_and_left(acquire, mini, tmp_path, place):
    """A tree of links (git-annex, another store) stays as it is."""
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    real = tmp_path / "real" / "content"
    real.write_bytes(mini.truth(JWST))
    (tmp_path / "links" / JWST).symlink_to(real)
    assert acquire("adopt", tmp_path / "links", "--move", "--offline").code == 0
    assert (tmp_path / "links" / JWST).is_symlink()
    assert real.stat().st_mode & 0o200
    real.unlink()
    assert place(JWST).read_bytes() == mini.truth(JWST)
    assert not place(JWST).resolve().is_symlink()


def locked_with_checksums(acquire, mini, tmp_path):
    """A lock with every sha256 and every checksum of the archive, and a store that equals it."""
    lock = tmp_path / "full.json"
    lock.write_bytes(mini.unknown.read_bytes())
    acquire("run", lock=lock)
    acquire("lock", "--update", lock=lock)
    return lock


def row_of(lock, name):
    return next(row for row in json.loads(lock.read_text())["files"] if row["name"] == name)


def test_a_file_adopted_after_it_was_processed_again_is_still_changed(
    acquire, mini, tmp_path, server
):
    lock = locked_with_checksums(acquire, mini, tmp_path)
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / JWST).write_bytes(mini.truth(JWST))
    (tmp_path / "store").rename(tmp_path / "old-store")
    new = reprocessed(mini, tmp_path, JWST)
    server.replace(new)
    acquire("adopt", tmp_path / "downloads", lock=lock)
    status = acquire("status", lock=lock)
    assert status.status(JWST) == "CHANGED"
    acquire("lock", "--update", lock=lock)
    row = row_of(lock, JWST)
    assert (row["sha256"], row["checksum"]) in [(None, new.checksum), (row["sha256"], None)]


def test_the_new_version_is_not_adopted_under_the_name_of_the_old(
    acquire, mini, tmp_path, server, place
):
    """The lock knows the archive's checksum and no sha256; the folder has both versions."""
    document = json.loads(mini.unknown.read_text())
    for row in document["files"]:
        row["checksum"] = mini.files[row["name"]].checksum
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(document))
    new = reprocessed(mini, tmp_path, JWST)
    server.replace(new)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / JWST).write_bytes(new.path.read_bytes())
    assert acquire("adopt", tmp_path / "a", lock=lock).code == 3
    assert not place(JWST).exists()
    (tmp_path / "a" / JWST).write_bytes(mini.truth(JWST))
    assert acquire("adopt", tmp_path / "a", lock=lock).code == 0
    assert place(JWST).read_bytes() == mini.truth(JWST)


def test_a_flipped_bit_is_no_version_where_the_archive_has_a_checksum(
    acquire, mini, tmp_path, server, place
):
    """The lock knows the sha256, and no checksum: two equal bad transfers prove nothing."""
    server.fault(JWST, BitFlip(100_000), times=None)
    result = acquire("run")
    assert (result.code, result.status(JWST)) == (3, "FAILED")
    assert not place(JWST).exists()
    assert not list((tmp_path / "store" / "versions").rglob("*.fits"))


def test_a_lock_with_a_refuted_sha256_can_be_mended(acquire, mini, tmp_path, server, place):
    """An altered file was adopted and locked without asking the archive."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / JWST).write_bytes(reprocessed(mini, tmp_path, JWST).path.read_bytes())
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.unknown.read_bytes())
    acquire("adopt", tmp_path / "a", "--offline", lock=lock)
    acquire("lock", "--update", "--offline", lock=lock)
    assert row_of(lock, JWST)["sha256"] is not None
    assert acquire("run", lock=lock).status(JWST) == "CHANGED"
    acquire("run", "--take-changed", lock=lock)
    acquire("lock", "--update", lock=lock)
    assert row_of(lock, JWST)["sha256"] == sha256_file(mini.files[JWST].path)
    assert acquire("run", lock=lock).code == 0
    assert place(JWST).read_bytes() == mini.truth(JWST)


def test_taking_a_version_twice_is_taking_it_once(acquire, server, mini, tmp_path):
    lock = tmp_path / "lock.json"
    lock.write_bytes(mini.known.read_bytes())
    acquire("run", lock=lock)
    new = reprocessed(mini, tmp_path, HST)
    server.replace(new)
    (tmp_path / "store").rename(tmp_path / "old-store")
    acquire("run", lock=lock)
    for _ in range(3):
        assert acquire("lock", "--update", "--take", HST, lock=lock).code == 0
        assert row_of(lock, HST)["sha256"] == sha256_file(new.path)
        assert acquire("run", lock=lock).code == 0


def test_the_archives_version_is_fetched_once(acquire, server, mini, tmp_path):
    lock = locked_with_checksums(acquire, mini, tmp_path)
    server.replace(reprocessed(mini, tmp_path, JWST))
    acquire("run", "--take-changed", lock=lock)
    for _ in range(2):
        server.reset_log()
        assert acquire("run", "--take-changed", lock=lock).status(JWST) == "CHANGED"
        assert downloads(server) == []


@pytest.mark.parametrize("broken", ["absent", "elsewhere"])
def test_confirming_leaves_the_name_where_it_belongs(acquire, mini, place, broken):
    acquire("run", lock="unknown")
    place(HST).unlink()
    if broken == "elsewhere":
        place(HST).write_bytes(b"junk")
    assert acquire("run", "--confirm", lock="unknown").code == 0
    assert place(HST).read_bytes() == mini.truth(HST)


def test_one_damaged_transfer_does_not_shake_what_is_confirmed(acquire, server, mini, place):
    acquire("run", lock="unknown")
    server.fault(HST, BitFlip(100_000))
    result = acquire("run", "--confirm", lock="unknown")
    assert result.code == 0
    assert result.files[HST]["verified"] == "twice"


def test_a_lock_keeps_what_it_knows_better(acquire, mini, tmp_path):
    document = json.loads(mini.known.read_text())
    for row in document["files"]:
        row["verified"] = "twice" if row["name"] == HST else row["verified"]
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(document))
    acquire("run", lock=mini.unknown)
    acquire("lock", "--update", lock=lock)
    assert row_of(lock, HST)["verified"] == "twice"


def test_a_row_that_no_longer_fits_its_group_is_removed(acquire, mini, tmp_path):
    document = json.loads(mini.unknown.read_text())
    row = dict(document["files"][0], name="other_flt.fits", uri="mast:HST/product/other_flt.fits")
    document["files"].append(row)
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(document))
    assert acquire("plan", "--offline", lock=lock).code == 2
    assert acquire("lock", "--update", lock=lock).code == 0
    assert acquire("plan", "--offline", lock=lock).code == 0


def test_a_run_that_does_nothing_forgets_nothing(acquire, server, mini, tmp_path):
    server.fault(HST, Status(403), times=None)
    acquire("run")
    acquire("run", "--offline")
    server.clear_faults()
    server.reset_log()
    assert acquire("run", "--retry-failed").code == 0
    assert len(downloads(server)) == 1


def test_a_replaced_name_is_noticed_and_mended(acquire, mini, place):
    acquire("run")
    place(JWST).unlink()
    place(JWST).write_bytes(b"junk")
    status = acquire("status", "--offline")
    assert (status.code, status.status(JWST)) == (3, "MISSING")
    assert acquire("run", "--offline").code == 0
    assert place(JWST).read_bytes() == mini.truth(JWST)


def test_another_file_under_this_name_is_refused_on_first_use(mini, tmp_path, waits):
    other = "if3x01020_drc.fits"
    files = [replace(mini.files[HST], path=mini.files[other].path), *mini.files.values()]
    with ArchiveServer(files[:1] + [f for f in files[1:] if f.name != HST]) as server:
        result = run_cli("run", "--json", "--selection", mini.selection, "--lock", mini.unknown,
                         "--store", tmp_path / "store", "--server", server.url)  # fmt: skip
    assert result.status(HST) == "FAILED"
    assert f"FILENAME says {other}" in result.files[HST]["problem"]["found"]


def test_a_damaged_file_that_cannot_be_had_again_loses_its_name(
    acquire, server, mini, tmp_path, place
):
    acquire("run")
    victim = place(JWST).resolve()
    victim.chmod(0o644)
    victim.write_bytes(b"junk")
    server.replace(reprocessed(mini, tmp_path, JWST))
    result = acquire("run")
    assert result.code == 3
    assert not place(JWST).exists()
    assert (tmp_path / "store" / "quarantine" / JWST).read_bytes() == b"junk"


def test_the_service_of_single_files_must_know_some(mini, server, acquire):
    server.query_fault("Mast.Jwst.Filtered.Nirspec", ZeroRows(), times=None)
    result = acquire("run")
    assert result.code == 3
    assert "service of single files knows none of JWST 3149" in result.text


def test_a_display_that_breaks_stops_no_transfer(acquire, mini, place, monkeypatch):
    from pipeline.acquire.display import Display

    def broken(*_):
        raise SystemExit(1)

    for name in ("started", "have", "ended"):
        monkeypatch.setattr(Display, name, broken)
    result = acquire("run")
    assert result.code == 0
    assert all(place(name).exists() for name in FILES)


def test_a_report_that_cannot_be_written_is_still_said(acquire, tmp_path, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.acquire.runner.write_json", full)
    result = acquire("run")
    assert result.code == 0
    assert len(result.files) == 4
    assert "the report of this run could not be written" in caplog.text


def test_a_store_half_made_is_made_whole(acquire, tmp_path):
    for name in ("objects", "files"):
        (tmp_path / "store" / name).mkdir(parents=True)
    assert acquire("run").code == 0


def test_trust_can_be_confirmed_later(acquire, server):
    acquire("run", lock="unknown")
    server.reset_log()
    result = acquire("run", "--confirm", lock="unknown")
    assert result.code == 0
    assert {row["verified"] for row in result.files.values()} == {"archive", "twice"}
    assert {row["done"] for row in result.files.values()} == {"kept", "confirmed"}
    assert len(downloads(server)) == 2
    server.reset_log()
    acquire("run", "--confirm", lock="unknown")
    assert downloads(server) == []


def test_trust_that_is_not_confirmed_is_said(acquire, server, mini, tmp_path, place):
    acquire("run", lock="unknown")
    server.replace(reprocessed(mini, tmp_path, HST))
    result = acquire("run", "--confirm", lock="unknown")
    assert (result.code, result.status(HST)) == (1, "CHANGED")
    assert place(HST).read_bytes() == mini.truth(HST)


def test_a_damaged_lock_is_made_anew_and_kept(acquire, tmp_path, mini):
    lock = tmp_path / "lock.json"
    lock.write_text("{")
    assert acquire("plan", "--offline", lock=lock).code == 2
    assert acquire("lock", "--update", lock=lock).code == 0
    assert (tmp_path / "lock.json.damaged").read_text() == "{"
    assert acquire("run", lock=lock).code == 0


def test_a_lock_of_another_selection_is_not_replaced(acquire, tmp_path):
    from manifests import lock_path

    lock = tmp_path / "lock.json"
    lock.write_bytes(lock_path().read_bytes())
    assert acquire("lock", "--update", lock=lock).code == 2
    assert lock.read_bytes() == lock_path().read_bytes()


def test_an_empty_lock_is_not_made(acquire, tmp_path):
    result = acquire("lock", "--update", "--offline", lock=tmp_path / "none.json")
    assert result.code == 3
    assert "nothing to make a lock of" in result.text
    assert not (tmp_path / "none.json").exists()


def test_status_needs_no_archive(acquire):
    acquire("run")
    result = acquire("status", url="http://127.0.0.1:9")
    assert result.code == 0
    assert "what follows is what lock and store say" in result.text


@pytest.mark.parametrize(
    ("words", "url"), [(("--group", "none"), None), ((), "ftp://x"), ((), "http://me:mine@x")]
)
def test_wrong_words_are_wrong_usage(acquire, words, url):
    result = acquire("plan", *words, url=url)
    assert result.code == 2
    assert "mine" not in result.text


def test_a_redirect_takes_no_password_along(mini, tmp_path, monkeypatch):
    """To the same host under another name: no token, and nothing out of .netrc."""
    from pipeline.acquire.http import ArchiveSession
    from pipeline.acquire.settings import Network

    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine localhost login me password mine\n")
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            self.send_response(302 if self.path == "/a" else 204)
            if self.path == "/a":
                self.send_header("Location", f"http://localhost:{self.server.server_port}/b")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with ArchiveSession(Network(token="sesame")) as session:
            session.get(f"http://127.0.0.1:{server.server_port}/a")
        server.shutdown()
    assert seen == ["token sesame", None]


def test_an_archive_that_is_away_is_not_waited_for_file_by_file(mini, tmp_path, waits):
    """194 files with five attempts each would take an hour to fail."""
    from manifests import load_lock, load_selection
    from pipeline.acquire.archive import Catalogue, Listing
    from pipeline.acquire.fetcher import Fetcher
    from pipeline.acquire.http import Waiter
    from pipeline.acquire.plan import make_plan
    from pipeline.acquire.runner import execute
    from pipeline.acquire.settings import Network, Policy
    from pipeline.acquire.store import Store
    from pipeline.acquire.testing.worker import Silent

    selection = load_selection(mini.selection)
    lock = load_lock(mini.known, selection)
    rows = [replace(lock.files[0], name=f"if3x010{n}0_drc.fits", sha256=None, verified="none",
                    uri=f"mast:HST/product/if3x010{n}0_drc.fits") for n in range(10)]  # fmt: skip
    lock = replace(lock, files=tuple(rows))
    listings = {row.name: Listing(row.uri, row.name, row.group) for row in rows}
    store = Store(tmp_path / "store")
    store.create()
    network, policy = Network("http://127.0.0.1:9"), Policy(workers=1)
    with store.locked():
        plan = make_plan(selection, lock, store, Catalogue(network.server, listings, ()),
                         network=network, policy=policy)  # fmt: skip
        report = execute(plan, Fetcher(selection, store, network, policy, Waiter(), Silent()))
    assert report.exit_code == 3
    assert {record.status for record in report.records} == {"FAILED"}
    assert len(waits) == 4 * (network.attempts - 1)


def test_an_archive_that_asks_for_patience_gets_it_from_every_worker(mini, acquire, waits):
    """A wait that one file was told holds for all that come after it."""
    with ArchiveServer(mini.files.values()) as server:
        server.fault(HST, RetryAfter(429, 7))
        result = acquire("run", "--workers", "1", url=server.url)
    assert result.code == 0
    # The first wait is the one that was asked for; the clock is not moved by it in this test, so
    # that each later request is held until the same moment.
    assert waits[0] == 7
    assert all(0 < wait <= 7 for wait in waits)
    assert len(waits) >= 4
