"""What if something goes wrong that is no fault of a transfer: locks, disks, names, displays?

Oracle: the bytes of the archive's own folder, and those that lay on disk before.
"""

import http.server
import threading
from dataclasses import replace

import pytest
from archives import FILES, HST, JWST, downloads, reprocessed, run_cli

from pipeline.acquire.testing import ArchiveServer, RetryAfter, Status, ZeroRows


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
