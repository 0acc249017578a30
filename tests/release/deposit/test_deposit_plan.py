"""Is every file decided for the right reason, and is what must not be deposited refused?

Oracles: decisions written out by hand; the contract server.
"""

import json

import pytest
from consignments import RECORD

from ard.errors import FormatError, IntegrityError
from release.deposit.cargo import LocalFile, limit_reasons, mark_reasons, read_cargo
from release.deposit.decide import decide, steps_of
from release.deposit.plan import read_plan, write_plan
from release.deposit.records import Archive, RemoteFile
from release.model import RefusedError


def local(name, content="1"):
    return LocalFile(name, 10, content * 32)


def remote(name, content="1", status="completed"):
    return (
        RemoteFile(name, status, 10, content * 32)
        if status == "completed"
        else RemoteFile(name, status)
    )


def decided(files, live, previous=()):
    rows = decide(
        {file.name: file for file in files},
        {file.key: file for file in live},
        {file.key: file for file in previous},
        lambda name: f"why {name}",
    )
    return {row.name: (row.action, row.why) for row in rows}


def test_decisions_for_a_first_version():
    files = [local("a"), local("b"), local("c"), local("d")]
    live = [remote("b"), remote("c", "2"), remote("d", status="pending"), remote("e")]
    assert decided(files, []) == dict.fromkeys("abcd", ("upload", "new"))
    assert decided(files, live) == {
        "a": ("upload", "new"),
        "b": ("keep", "in the draft"),
        "c": ("replace", "why c"),
        "d": ("replace", "only half uploaded"),
        "e": ("delete", "not in the bundle"),
    }


def test_decisions_for_a_new_version():
    files = [local("a"), local("b"), local("c")]
    previous = [remote("b"), remote("c", "2"), remote("e")]
    assert decided(files, [], previous) == {
        "a": ("upload", "new"),
        "b": ("link", "unchanged since the version before"),
        "c": ("replace", "why c"),
        "e": ("delete", "not in the bundle"),
    }
    # Nothing to link: then nothing is linked that would have to be deleted again.
    assert decided([local("c"), local("d")], [], previous) == {
        "c": ("upload", "why c"),
        "d": ("upload", "new"),
    }
    # Files cannot be linked into a draft that holds some.
    assert decided(files, [remote("a")], previous) == {
        "a": ("keep", "in the draft"),
        "b": ("upload", "why b"),
        "c": ("upload", "why c"),
    }


def test_the_size_alone_is_a_difference():
    assert decided([LocalFile("a", 11, "1" * 32)], [remote("a")]) == {"a": ("replace", "why a")}


def test_requests_come_in_the_order_that_the_archive_needs():
    files = {name: local(name) for name in "abc"}
    previous = {"b": remote("b"), "c": remote("c", "2"), "e f": remote("e f")}
    steps = steps_of("7", decide(files, {}, previous, lambda _: "changed"), [])
    assert [(step.method, step.path.removeprefix("/api/records/7/draft")) for step in steps] == [
        ("PUT", ""),
        ("POST", "/actions/files-import"),
        ("DELETE", "/files/c"),
        ("DELETE", "/files/e%20f"),
        ("POST", "/files"),
        ("PUT", "/files/a/content"),
        ("POST", "/files/a/commit"),
        ("PUT", "/files/c/content"),
        ("POST", "/files/c/commit"),
        ("GET", ""),
    ]
    assert sum(step.size for step in steps) == 20


def test_limits():
    fine = {f"f{number}": 500_000_000 for number in range(100)}
    assert limit_reasons(fine) == []
    assert limit_reasons(fine | {"more": 1}) == [
        "101 files, at most 100 are taken; pack small ones",
        "50000000001 bytes, at most 50000000000 are taken; ask the archive for more",
    ]
    assert limit_reasons({"a": 0}) == ["a: is empty, which the archive refuses"]
    (reason,) = limit_reasons({"x" * 256: 1})
    assert "256 characters" in reason


def test_a_plan_says_everything(depositor, server):
    plan = depositor.prepare()
    assert [row.action for row in plan.decisions] == ["upload"] * 6
    document = plan.to_dict()
    size = sum(path.stat().st_size for path in depositor.bundle.iterdir())
    assert document["totals"] == {
        "requests": 15,
        "sent_bytes": size,
        "sent_files": 6,
        "linked_bytes": 0,
        "linked_files": 0,
        "kept_bytes": 0,
        "kept_files": 0,
        "deleted_files": 0,
    }
    assert document["requests"][0]["op"] == "put-metadata"
    assert len([row for row in server.log if row.method != "GET"]) == 2, "a plan changes nothing"
    assert len(server.log) == 4


def test_a_plan_is_read_as_it_was_written(depositor, tmp_path):
    plan, path = depositor.prepare(), tmp_path / "plan.json"
    write_plan(path, plan)
    assert read_plan(path) == plan
    assert read_plan(path).digest == plan.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["requests"].pop(),
        lambda document: document["files"][0].update(action="keep"),
        lambda document: document["totals"].update(requests=1),
        lambda document: document["requests"][0].update(path="/api/records/1/draft"),
        lambda document: document.update(record_id="../1"),
        lambda document: document.update(invented=1),
    ],
)
def test_a_plan_that_was_changed_by_hand_is_none(depositor, tmp_path, change):
    path = tmp_path / "plan.json"
    write_plan(path, depositor.prepare())
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(FormatError, match="no plan of a deposit"):
        read_plan(path)


# What must not be deposited


def test_metadata_that_are_no_json_are_refused(depositor):
    depositor.files["zenodo.json"] = b"{"
    depositor.build(depositor.reserve(), record=None)
    with pytest.raises(FormatError, match="are not valid JSON"):
        depositor.plan()


def test_a_bundle_without_doi_is_refused(depositor):
    depositor.reserve()
    depositor.build(None)
    with pytest.raises(RefusedError, match="DOI: not yet reserved"):
        depositor.plan()


@pytest.mark.parametrize("field", ["doi", "concept_doi", "previous_doi"])
def test_a_bundle_with_other_dois_is_refused(depositor, field):
    depositor.build(depositor.reserve(), **{field: "10.5072/zenodo.999"})
    with pytest.raises(RefusedError, match=r"bears 10\.5072/zenodo\.999, reserved is"):
        depositor.plan()


def test_a_damaged_bundle_is_refused(depositor):
    depositor.build(depositor.reserve())
    (depositor.bundle / "f0.txt").write_bytes(b"content X")
    with pytest.raises(IntegrityError, match=r"f0\.txt: sha256 differs"):
        depositor.plan()


def test_empty_files_are_refused(depositor):
    depositor.files["empty.txt"] = b""
    depositor.build(depositor.reserve())
    with pytest.raises(IntegrityError, match=r"empty\.txt: size is wrong"):
        depositor.plan()


def test_too_many_files_are_refused(depositor):
    depositor.files.update({f"g{number}.txt": b"x" for number in range(95)})
    depositor.build(depositor.reserve())
    with pytest.raises(RefusedError, match="101 files, at most 100"):
        depositor.plan()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, r"zenodo\.json is missing"),
        (RECORD | {"pids": {}}, "holds pids"),
        ({}, "no metadata with a title"),
        (RECORD | {"metadata": {"title": 1}}, "no metadata with a title"),
        (RECORD | {"files": {"enabled": False}}, "does not leave files enabled"),
        (RECORD | {"access": {"record": "public", "files": "restricted"}}, "nobody could verify"),
        (RECORD | {"access": "open"}, "nobody could verify"),
        (RECORD | {"access": {"embargo": {"active": True}}}, "nobody could verify"),
        ([RECORD], "it holds no object"),
    ],
)
def test_metadata_that_cannot_be_sent_are_refused(depositor, record, reason):
    depositor.build(depositor.reserve(), record=record)
    with pytest.raises(RefusedError, match=reason):
        depositor.plan()


def test_another_archive_is_refused(depositor):
    depositor.build(depositor.reserve())
    document = json.loads(depositor.release.read_text())
    document["target"] = "https://sandbox.zenodo.org"
    depositor.release.write_text(json.dumps(document))
    with pytest.raises(RefusedError, match=r"is reserved on https://sandbox\.zenodo\.org"):
        depositor.plan()


@pytest.mark.parametrize("field", ["simulated", "toy_grid"])
def test_what_was_not_observed_goes_to_places_of_practice_only(depositor, field):
    marks = {"simulated": False, "toy_grid": False, field: True}
    depositor.build(depositor.reserve(), **marks)
    manifest = read_cargo(depositor.bundle, "fast").manifest
    assert depositor.plan().decisions
    for target in ("https://sandbox.zenodo.org", "http://127.0.0.1:1"):
        assert mark_reasons(manifest, target) == []
    for target in ("https://zenodo.org", "https://zenodo.org:443", "https://www.zenodo.org"):
        for allowed in (False, True):
            (reason,) = mark_reasons(manifest, target, allow_simulated=allowed)
            assert "never deposited" in reason
    (reason,) = mark_reasons(manifest, "https://archive.example")
    assert "--allow-simulated" in reason
    assert mark_reasons(manifest, "https://archive.example", allow_simulated=True) == []


def test_observed_data_may_go_anywhere(depositor):
    depositor.build(depositor.reserve(), simulated=False)
    manifest = read_cargo(depositor.bundle, "fast").manifest
    assert mark_reasons(manifest, "https://zenodo.org") == []


def test_a_draft_that_is_gone_is_said(depositor):
    reservation = depositor.reserve()
    depositor.build(reservation)
    depositor.archive().discard(reservation.record_id)
    with pytest.raises(RefusedError, match=f"has no draft {reservation.record_id}"):
        depositor.plan()


def test_a_draft_of_another_doi_is_refused(depositor, monkeypatch):
    reservation = depositor.reserve()
    depositor.build(reservation)
    archive = depositor.archive()
    archive.transport.write("DELETE", f"/api/records/{reservation.record_id}/draft/pids/doi")
    with pytest.raises(RefusedError, match=r"DOI: reserved .*, found None"):
        depositor.plan()


@pytest.mark.parametrize("key", ["", ".", ".."])
def test_a_file_that_no_request_can_name_is_refused(depositor, key):
    """The path of '..' would be that of the draft itself."""
    reservation = depositor.reserve()
    depositor.build(reservation)
    depositor.archive().init(reservation.record_id, [key])
    with pytest.raises(RefusedError, match="which no request can take away"):
        depositor.plan()
    with pytest.raises(ValueError, match="no request can name"):
        depositor.archive().delete_file(reservation.record_id, key)


def test_half_a_character_in_a_name_is_refused(depositor, monkeypatch):
    """JSON can write it, and no address."""
    odd = RemoteFile("half \ud800", "pending")
    depositor.build(depositor.reserve())
    monkeypatch.setattr(Archive, "files", lambda archive, record_id: {odd.key: odd})
    with pytest.raises(RefusedError, match=r"'half \\ud800', which no request can take away"):
        depositor.plan()


@pytest.mark.parametrize("key", ["a b/ü?.txt", "a%20b", "../x", ".hidden", "a\\b", "x" * 200])
def test_other_strange_names_are_taken_away(depositor, server, key):
    reservation = depositor.reserve()
    depositor.build(reservation)
    depositor.archive().init(reservation.record_id, [key])
    plan = depositor.plan()
    assert [row.name for row in plan.decisions if row.action == "delete"] == [key]
    depositor.apply(plan)
    assert key not in server.world.pending(reservation.record_id)
    assert len(server.world.files(reservation.record_id)) == 6


def test_what_lies_in_the_draft_is_kept(depositor, server):
    plan = depositor.prepare()
    depositor.apply(plan)
    again = depositor.plan()
    assert {row.action for row in again.decisions} == {"keep"}
    assert again.to_dict()["totals"]["sent_bytes"] == 0
    server.clear_log()
    depositor.apply(again)
    assert [row.method for row in server.log] == ["GET", "PUT", "GET"]
