"""Does a process that dies at any byte, or a disk that is full, leave nothing wrong behind?

Oracles: the bytes of the archive's folder, and the requests that the server counted. The process
that is killed is a real one, and runs the code of the public command.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from archives import FILES, HST, JWST, run_cli

from ard.fileio import sha256_file
from pipeline.acquire.store import Store
from pipeline.acquire.testing import ArchiveServer, make_archive

ROOT = Path(__file__).resolve().parents[3]
SEED = 3149


def start(mini, store, server, *, before: str = "") -> subprocess.Popen[str]:
    """Fetch in a process of its own; `before` is run in it first."""
    program = (
        "import sys\nfrom pipeline.acquire.testing.worker import main\nsys.exit(main(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", before + program, mini.selection, mini.known, store, server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finish(mini, store, server) -> int:
    process = start(mini, store, server)
    said, _ = process.communicate(timeout=60)
    assert process.returncode in (0, 1, 3), said
    return process.returncode


def sent(server) -> int:
    return sum(request.sent for request in list(server.requests))


def assert_nothing_wrong(mini, store) -> None:
    """Whatever has a final name is whole and right, and every object is what its name says."""
    for name in FILES:
        place = store / "files" / ("jwst" if name.startswith("jw") else "hst") / name
        if place.exists():
            assert place.read_bytes() == mini.truth(name)
    for content in (store / "objects").rglob("*"):
        if content.is_file():
            assert sha256_file(content) == content.name


@pytest.mark.slow
def test_a_kill_at_any_byte_leaves_nothing_wrong(mini, tmp_path):
    """Killed again and again at random moments, it still arrives, and does not begin anew."""
    store, rng = tmp_path / "store", random.Random(SEED)
    total = sum(file.size for file in mini.files.values())
    kills = 0
    with ArchiveServer(mini.files.values(), rate=400_000) as server:
        for _ in range(40):
            process = start(mini, store, server)
            before, wanted = sent(server), rng.randrange(20_000, 400_000)
            while process.poll() is None and sent(server) - before < wanted:
                time.sleep(0.002)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.communicate()
            assert_nothing_wrong(mini, store)
            if process.returncode == 0:
                break
        assert process.returncode == 0
        assert kills >= 3
        assert_nothing_wrong(mini, store)
        # What was lost is what had not reached a checkpoint, for two workers and each kill.
        assert sent(server) < total + kills * 2 * 200_000
        assert any(request.range for request in server.requests)
    assert list((store / "partial").iterdir()) == []
    assert not [path for path in store.rglob(".*") if path.is_file()]


def test_a_full_disk_ends_with_the_name_of_the_file(mini, tmp_path):
    """The kernel refuses to let any file grow beyond a limit, as a full disk would."""
    store = tmp_path / "store"
    limit = min(mini.files[name].size for name in FILES) // 2
    before = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    )
    with ArchiveServer(mini.files.values()) as server:
        process = start(mini, store, server, before=before)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 3
        for row in json.loads(said)["files"].values():
            assert row["status"] == "FAILED"
            assert row["problem"]["problem"] == "the disk is full"
            assert row["problem"]["file"] == row["name"]
            assert row["problem"]["action"] == "make room; the same command continues"
        assert not any((store / "files").rglob("*.fits"))
        assert len([r for r in server.requests if "Download" in r.path]) == 4, "it is final"
        before_bytes = sent(server)
        assert finish(mini, store, server) == 0
        assert_nothing_wrong(mini, store)
        # The part that had fitted was not fetched again.
        resumed = [r for r in server.requests if r.range]
        assert len(resumed) == 4
        assert sent(server) - before_bytes < sum(f.size for f in mini.files.values())


def test_a_partial_file_of_an_older_version_is_not_continued(mini, tmp_path):
    """The archive does not confirm its ETag; astroquery 0.4.12 would splice the two versions."""
    store = tmp_path / "store"
    with ArchiveServer(mini.files.values()) as server:
        assert finish(mini, store, server) == 0
        for path in (store / "files").rglob("*.fits"):
            path.resolve().unlink()
        for name, tag in ((HST, '"of-an-older-version"'), (JWST, '"of-an-older-version"')):
            (entry,) = [p for p in (store / "records").iterdir() if p.name.startswith(name)]
            uri = json.loads(entry.read_text())["uri"]
            part = Store(store).part_path(uri, name)
            part.write_bytes(b"SIMPLE  =" + b"\0" * 99_991)
            note = {"uri": uri, "etag": tag, "last_modified": None,
                    "total": mini.files[name].size, "have": 100_000}  # fmt: skip
            part.with_name(part.name + ".json").write_text(json.dumps(note))
        assert finish(mini, store, server) == 0
        assert_nothing_wrong(mini, store)


@pytest.mark.slow
def test_the_whole_selection_cold_resumed_and_complete(tmp_path, monkeypatch):
    """194 products at a ten-thousandth of their sizes, by the public command."""
    from manifests import load_lock, load_selection, lock_path

    selection = load_selection()
    lock = load_lock(lock_path(), selection)
    # The committed lock knows sizes of the real files; here they are others.
    blank = tmp_path / "lock.json"
    document = json.loads(lock_path().read_text())
    for row in document["files"]:
        row["size"] = None
    blank.write_text(json.dumps(document))
    files = make_archive(tmp_path / "archive", selection, lock, scale=1e-4)
    total = sum(file.size for file in files)
    monkeypatch.delenv("MAST_API_TOKEN", raising=False)
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "acquire",
        "run",
        "--lock",
        blank,
        "--workers",
        "4",
    ]
    with ArchiveServer(files, rate=2_000_000) as server:
        words = [*command, "--server", server.url, "--store"]

        cold = run([*words, tmp_path / "cold"])
        assert "194 OK" in cold
        assert "142 files were taken on trust" in cold

        server.reset_log()
        process = subprocess.Popen(
            [*words, tmp_path / "killed"], cwd=ROOT, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while sent(server) < total / 2 and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        process.wait()
        run([*words, tmp_path / "killed"])
        downloaded = sum(r.sent for r in server.requests if "Download" in r.path)
        assert downloaded < 1.2 * total

        server.reset_log()
        assert "194 OK; 0 B received" in run([*words, tmp_path / "killed", "--offline"])
        assert server.requests == []
    for file in files:
        (place,) = (tmp_path / "killed" / "files").glob(f"*/{file.name}")
        assert place.read_bytes() == file.path.read_bytes()


def run(command) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_commands_do_not_collide(mini, tmp_path, monkeypatch, waits):
    store = Store(tmp_path / "store")
    store.create()
    with ArchiveServer(mini.files.values()) as server, store.locked():
        result = run_cli("run", "--json", "--selection", mini.selection, "--lock", mini.known,
                         "--store", store.root, "--server", server.url)  # fmt: skip
        assert result.code == 3
        assert "another process is working in this store" in result.text
        assert server.requests == []
