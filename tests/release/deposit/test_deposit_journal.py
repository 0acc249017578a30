"""Does the journal say what was sent and what came of it, whatever happened to it?

Oracle: the lines themselves, cut at every byte.
"""

import errno
import json
import os
import subprocess
import sys

import pytest
from depositors import FakeClock

from release.deposit.errors import (
    JournalError,
    NotReachedError,
    RefusedByArchiveError,
    SpoiledUploadError,
    UnknownOutcomeError,
    WaitTooLongError,
)
from release.deposit.journal import (
    REFUSED,
    SPOILED,
    UNKNOWN,
    journal_path,
    open_journal,
    read_history,
)


@pytest.fixture
def path(tmp_path):
    return journal_path(tmp_path / "new" / "release.json")


def raising(error):
    def action():
        raise error

    return action


def write_some(path):
    with open_journal(path, "apply", clock=FakeClock()) as journal:
        journal.note("begin", target="here")
        answer = journal.attempt("put", lambda: 7, lambda found: {"revision": found}, key="a")
        assert answer == 7
        with pytest.raises(UnknownOutcomeError, match="POST /x"):
            journal.attempt("post", raising(UnknownOutcomeError.of("POST /x", "504", 504)))


def test_it_lies_beside_the_reservation(path):
    assert path.name == "release.journal.jsonl"
    write_some(path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["event"] for row in rows] == ["note", "intent", "outcome", "intent", "outcome"]
    assert [row["n"] for row in rows] == list(range(5))
    assert {row["v"] for row in rows} == {1}
    assert rows[2] | {"of": 1, "result": "done", "detail": {"revision": 7}} == rows[2]
    assert rows[4]["detail"]["found"] == "504"


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (RefusedByArchiveError.of(400, "POST /x", "no"), REFUSED),
        (NotReachedError("nobody there"), REFUSED),
        (WaitTooLongError("tomorrow"), REFUSED),
        (SpoiledUploadError("gone"), SPOILED),
        (UnknownOutcomeError.of("POST /x", "504"), UNKNOWN),
        (JournalError("anything else"), UNKNOWN),
    ],
)
def test_what_became_of_a_request(path, error, result):
    with open_journal(path, "apply") as journal:
        with pytest.raises(type(error)):
            journal.attempt("post", raising(error), key="a", plan="p")
        (write,) = journal.writes("post", key="a")
        assert write.result == result
        assert journal.writes("post", key="b") == []
        assert journal.writes("other") == []
        assert journal.done("post") is None
    (write,) = read_history(path).writes(plan="p")
    assert (write.verb, write.op, write.result) == ("apply", "post", result)


def test_the_intent_is_on_the_disk_before_the_request(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_bytes()))
    with open_journal(path, "apply") as journal:
        journal.attempt("put", lambda: synced.append(b"SENT"))
    place = synced.index(b"SENT")
    assert synced[place - 1].endswith(b"\n")
    assert b'"intent"' in synced[place - 1].splitlines()[-1]
    assert b'"outcome"' in synced[place + 1].splitlines()[-1]


def test_what_was_killed_has_an_unknown_outcome(path):
    with pytest.raises(KeyboardInterrupt), open_journal(path, "apply") as journal:
        journal.attempt("put", raising(KeyboardInterrupt()))
    assert [write.result for write in read_history(path).writes("put")] == [UNKNOWN]


def test_a_torn_last_line_is_taken_off_wherever_it_is_torn(path):
    write_some(path)
    whole = path.read_bytes()
    start = whole.rfind(b"\n", 0, -1) + 1
    for end in range(start + 1, len(whole)):
        path.write_bytes(whole[:end])
        assert len(read_history(path).rows) == 4
        assert path.read_bytes() == whole[:end], "reading changes nothing"
        with open_journal(path, "apply") as journal:
            (note,) = journal.notes("torn")
            assert note == {"bytes": end - start}
            assert journal.writes("post")[0].result == UNKNOWN
            assert journal.done("put").answer == {"revision": 7}
    path.write_bytes(b'{"v": 1')
    with open_journal(path, "apply") as journal:
        assert [row["op"] for row in journal.rows] == ["torn"]


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda lines: [lines[0], lines[2], *lines[3:]], "line 2: number 2"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "line 2: number 0"),
        (lambda lines: [lines[0][:20], *lines[1:]], "line 1"),
        (lambda lines: [lines[0].replace(b'"v": 1', b'"v": 2'), *lines[1:]], "version 2"),
        (lambda lines: [b"[]", *lines[1:]], "no object"),
        (lambda lines: [lines[0].replace(b'"note"', b'"sung"'), *lines[1:]], "not of the form"),
        (lambda lines: [lines[0].replace(b'"verb": "apply", ', b""), *lines[1:]], "not of the"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"of": 1', b'"of": "1"'), *lines[3:]], "not"),
    ],
)
def test_other_damage_is_refused(path, damage, found):
    write_some(path)
    damaged = b"".join(line + b"\n" for line in damage(path.read_bytes().splitlines()))
    path.write_bytes(damaged)
    for reader in (lambda: read_history(path), lambda: open_journal(path, "x").__enter__()):
        with pytest.raises(JournalError, match="damaged") as caught:
            reader()
        assert found in caught.value.found
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("name", ["release", "release-1.0", "release.JSON", ".json", ".", "..", ""])
def test_what_is_no_json_file_has_no_journal(tmp_path, name):
    """Of release-1.0 and release-1.1 the journals would be one."""
    with pytest.raises(JournalError, match=r"a reservation is kept in a \.json file") as caught:
        journal_path(tmp_path / name)
    assert "release-1.0.json" in caught.value.action


def test_two_releases_have_two_journals(tmp_path):
    names = ["release.json", "release-1.0.json", "release-1.1.json", "a.b.json", "a.json"]
    assert len({journal_path(tmp_path / name) for name in names}) == len(names)


def test_one_release_has_one_journal_however_it_is_named(path, tmp_path, monkeypatch):
    path.parent.mkdir()
    release = path.parent / "release.json"
    (tmp_path / "link.json").symlink_to(release)
    (tmp_path / "folder").symlink_to(path.parent)
    monkeypatch.chdir(path.parent)
    for name in ("release.json", "../link.json", tmp_path / "folder/release.json", release):
        assert journal_path(name) == path


def test_no_journal_is_an_empty_one(path):
    assert read_history(path).rows == []
    assert not path.exists()


def test_secrets_do_not_enter(path):
    with open_journal(path, "apply", scrub=lambda text: text.replace("secret", "***")) as journal:
        journal.note("begin", found="a secret", secret=1)
        assert journal.notes("begin") == [{"found": "a ***", "***": 1}]
    assert "secret" not in path.read_text()


def test_only_one_command_at_a_time(path):
    with open_journal(path, "apply"):
        with (
            pytest.raises(JournalError, match="another rbh1-release is at work"),
            open_journal(path, "publish"),
        ):
            pass
        assert read_history(path).rows == [], "status may look"
    with open_journal(path, "publish"):
        pass


def test_nor_from_two_processes(path):
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from release.deposit.journal import open_journal\n"
        "with open_journal(Path(sys.argv[1]), 'apply'):\n"
        "    print('in', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, path]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(JournalError, match="at work"), open_journal(path, "apply"):
            pass
        other.kill()
        other.wait()
    with open_journal(path, "apply"):
        pass  # the dead hold no locks


def test_a_full_disk_leaves_whole_lines(path, monkeypatch):
    write_some(path)
    before = path.read_bytes()
    with open_journal(path, "apply") as journal:
        monkeypatch.setattr(os, "fsync", raising_oserror)
        with pytest.raises(OSError, match="No space"):
            journal.note("more")
        monkeypatch.undo()
        assert path.read_bytes() == before
        journal.note("more")
    assert len(read_history(path).rows) == 6


def raising_oserror(_):
    raise OSError(errno.ENOSPC, "No space left on device")
