"""Does a draft hold the bundle after a plan was applied, through every trap of the archive?

Oracle: the contract server's own account; the traps are those that were recorded from the real one.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import random
import re
import threading
import time

import pytest
from consignments import RECORD
from depositors import Carrier, Depositor, Killed, bundled, held

from ard.errors import IntegrityError
from release.deposit import ops
from release.deposit.apply import WORKERS, apply, rehearse
from release.deposit.cargo import LocalFile
from release.deposit.clean import discard
from release.deposit.decide import Decision
from release.deposit.errors import (
    NotReachedError,
    RefusedByArchiveError,
    SpoiledUploadError,
    UnexpectedAnswerError,
    UnknownOutcomeError,
)
from release.deposit.journal import read_history
from release.deposit.plan import read_plan, write_plan
from release.deposit.records import RemoteFile
from release.deposit.upload import FileBody
from release.model import RefusedError
from release.reservation import read_reservation
from release.testing import ContractServer, Fault, audit


def contents(server, key=None) -> list:
    """The uploads, in the order in which they came."""
    return [
        row
        for row in server.log
        if row.method == "PUT" and row.path.endswith("/content") and key in (None, row.key)
    ]


def assert_held(depositor: Depositor, record_id: str) -> None:
    assert held(depositor.server, record_id) == bundled(depositor.bundle)
    assert depositor.server.world.pending(record_id) == []


def test_it_holds_the_bundle(depositor, server):
    depositor.workers = WORKERS
    seen = collections.defaultdict(int)
    plan = depositor.prepare()
    server.clear_log()

    def progress(name, position):
        seen[name] = max(seen[name], position)

    done = apply(plan, depositor.bundle, depositor.release, depositor.archive(), progress=progress)
    assert_held(depositor, plan.record_id)
    assert (done.sent_files, done.sent_bytes) == (6, plan.size("upload"))
    assert seen == {name: size for name, (_, size) in bundled(depositor.bundle).items()}
    ours = sorted((step.method, step.path) for step in plan.steps)
    assert sorted((row.method, row.path) for row in server.log) == ours, "exactly the plan"


def test_applied_again_it_only_compares(depositor, server):
    plan = depositor.prepare()
    depositor.apply(plan)
    server.clear_log()
    assert depositor.apply(plan).already
    assert [row.method for row in server.log] == ["GET"]
    depositor.archive().delete_file(plan.record_id, "f0.txt")
    with pytest.raises(IntegrityError, match=r"f0\.txt: is missing"):
        depositor.apply(plan)


LOST = [(kind, when) for kind in (500, 502, 503, 504, "reset") for when in ("before", "after")]
WRITES = {
    "metadata": ("PUT", r"/draft$"),
    "announce": ("POST", r"/files$"),
    "content": ("PUT", r"f0\.txt/content"),
    "commit": ("POST", r"f0\.txt/commit"),
}


@pytest.mark.parametrize(("kind", "when"), [(429, "before"), *LOST])
@pytest.mark.parametrize("name", WRITES)
def test_a_lost_answer_is_cleared_up(depositor, server, name, kind, when):
    plan = depositor.prepare()
    method, path = WRITES[name]
    side = {"side": "response"} if kind == "reset" else {}
    server.inject(Fault(kind, method=method, path=path, when=when, **side))
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)
    stored = [row for row in contents(server, "f0.txt") if row.applied]
    assert len(stored) == 1, "bytes that were stored are not sent again"
    audit.check(server, [plan.record_id])


def test_answers_may_be_lost_again_and_again(depositor, server):
    plan = depositor.prepare()
    choices = [None, None, *(Fault(kind, when=when) for kind, when in LOST)]
    seen = collections.Counter()
    lock = threading.Lock()

    def fault(record):
        # The same for the nth request of a kind, in whatever order the threads send theirs.
        what = (record.method, record.path)
        with lock:
            seen[what] += 1
            return random.Random(f"{what} {seen[what]}").choice(choices)

    server.fault_for = fault
    depositor.workers = WORKERS
    for _ in range(50):
        with contextlib.suppress(
            NotReachedError, UnknownOutcomeError, SpoiledUploadError, IntegrityError
        ):
            depositor.apply(plan)
            break
    else:
        pytest.fail("it did not converge")
    server.fault_for = None
    assert_held(depositor, plan.record_id)
    assert audit.repeated_writes(server) == []


def test_a_truncated_upload_is_announced_anew(depositor, server):
    """Success, with errors in it; the entry is gone."""
    plan = depositor.prepare()
    server.inject(Fault("errors", method="PUT", path=r"f0\.txt/content"))
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)
    assert [
        write.result for write in read_history(depositor.journal).writes(ops.CONTENT, key="f0.txt")
    ] == [
        "spoiled",
        "done",
    ]


def test_a_connection_that_breaks_amid_a_file(depositor, server):
    depositor.files["big.bin"] = random.Random(1).randbytes(3_000_000)
    plan = depositor.prepare()
    server.inject(Fault("reset", method="PUT", path=r"big\.bin/content", after_bytes=1_500_000))
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)
    first, second = contents(server, "big.bin")
    assert first.received_bytes < second.received_bytes == 3_000_000


def test_a_wrong_stored_byte_is_found_and_replaced(depositor, server):
    """The archive verifies nothing."""
    plan = depositor.prepare()
    server.inject(Fault("corrupt", method="PUT", path=r"f0\.txt/content"))
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)
    assert len(contents(server, "f0.txt")) == 2
    deletes = [row for row in server.log if row.method == "DELETE"]
    assert [row.key for row in deletes] == ["f0.txt"], "never sent over a finished file"


def test_a_byte_that_is_always_wrong_ends_it(depositor, server):
    plan = depositor.prepare()
    server.inject(Fault("corrupt", method="PUT", path=r"f0\.txt/content", count=100))
    with pytest.raises(UnexpectedAnswerError, match="keeps storing other bytes"):
        depositor.apply(plan)
    server.clear_faults()
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)


def test_a_file_that_vanished_is_sent_again(depositor, server):
    plan = depositor.prepare()
    archive = depositor.archive()

    def fault(record):
        if record.method == "POST" and record.path.endswith("f0.txt/commit"):
            server.fault_for = None
            archive.transport.write("DELETE", record.path.removesuffix("/commit"))
        return None

    server.fault_for = fault
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)


@pytest.mark.parametrize("last", [("POST", "f0.txt/commit"), ("PUT", "f0.txt/content")])
def test_bytes_in_place_of_a_half_upload_are_not_sent_twice(depositor, server, monkeypatch, last):
    """One pending entry looks like the other; which one it is, the journal tells.

    The answer to the deletion is lost, and the process dies before the request named.
    """
    reservation = depositor.reserve()
    depositor.build(reservation)
    depositor.archive().init(reservation.record_id, ["f0.txt"])
    plan = depositor.plan()
    server.inject(Fault(504, method="DELETE", path=r"f0\.txt", when="after"))
    send = Carrier.send

    def die(carrier, request, **kwargs):
        if (request.method, request.url.rpartition("/files/")[2]) == last:
            raise Killed
        return send(carrier, request, **kwargs)

    monkeypatch.setattr(Carrier, "send", die)
    with pytest.raises(Killed):
        depositor.apply(plan)
    monkeypatch.setattr(Carrier, "send", send)
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)
    assert len([row for row in server.log if row.method == "DELETE"]) == 1
    assert len(contents(server, "f0.txt")) == 1


def test_a_page_that_says_too_large_ends_it(depositor, server):
    plan = depositor.prepare()
    server.inject(Fault("html413", method="PUT", path=r"f0\.txt/content"))
    with pytest.raises(RefusedByArchiveError, match=r"413 .*Too Large"):
        depositor.apply(plan)
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)


def test_a_full_quota_ends_it(depositor, tmp_path, clock):
    with ContractServer(tmp_path / "small", clock=clock.time, quota=100) as small:
        poor = dataclasses.replace(depositor, server=small)
        plan = poor.prepare()
        with pytest.raises(RefusedByArchiveError, match="Bucket quota exceeded"):
            poor.apply(plan)


def test_an_expired_token_ends_it_and_a_new_one_goes_on(depositor, server):
    plan = depositor.prepare()
    server.inject(Fault("expire_token", method="PUT", path=r"f1\.txt/content"))
    with pytest.raises(RefusedByArchiveError, match=r"403 Permission denied\."):
        depositor.apply(plan)
    server.restore_tokens()
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)


def test_a_silent_archive_is_not_waited_for_for_ever(depositor, server):
    plan = depositor.prepare()
    depositor.policy = dataclasses.replace(depositor.policy, slow_s=0.3)
    server.inject(Fault("slow", method="PUT", path=r"f0\.txt/content", seconds=8.0))
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)
    assert read_history(depositor.journal).writes(ops.CONTENT, key="f0.txt")[0].result == "unknown"


def test_the_limit_of_requests_is_kept(depositor, tmp_path, clock):
    """No request is refused: they wait for the next minute before."""
    with ContractServer(tmp_path / "slow", clock=clock.time, rate_limit=7) as slow:
        patient = dataclasses.replace(depositor, server=slow, undated=True)
        start = clock.time()
        patient.deposit()
        assert {row.status for row in slow.log} <= {200, 201, 202}
        assert clock.time() - start >= 120


# What is not as planned


def test_a_draft_that_was_changed_is_refused(depositor, server):
    plan = depositor.prepare()
    draft = depositor.archive().draft(plan.record_id)
    depositor.archive().put_draft(plan.record_id, {"metadata": {"title": "other"}}, draft.revision)
    with pytest.raises(RefusedError, match="not the one that was planned with"):
        depositor.apply(plan)
    assert contents(server) == []
    depositor.apply(depositor.plan())
    assert_held(depositor, plan.record_id)


def test_somebody_who_writes_at_the_same_moment_is_noticed(depositor, server):
    plan = depositor.prepare()
    server.inject(Fault("bump_revision", method="PUT", path="/draft$"))
    with pytest.raises(RefusedError, match="doesn't match record's one"):
        depositor.apply(plan)


def test_a_request_of_our_own_that_comes_late_is_no_change_of_others(depositor, server):
    """The first was believed to be lost, and takes effect just before it is sent again."""
    plan = depositor.prepare()
    server.inject(Fault(504, method="PUT", path="/draft$"))
    late = depositor.archive()
    seen = []

    def fault(record):
        if record.method == "PUT" and record.path.endswith("/draft"):
            seen.append(record)
            if len(seen) == 2:
                server.fault_for = None
                document = json.loads((depositor.bundle / "zenodo.json").read_bytes())
                late.put_draft(plan.record_id, document, plan.revision)
        return None

    server.fault_for = fault
    depositor.apply(plan)
    assert [row.status for row in seen] == [504, 412]
    assert_held(depositor, plan.record_id)
    assert not depositor.publish(plan.doi).already


@pytest.mark.parametrize("key", ["f0.txt", "surplus.txt"])
def test_a_file_that_nobody_planned_is_refused(depositor, server, key):
    plan = depositor.prepare()
    depositor.archive().init(plan.record_id, [key])
    with pytest.raises((RefusedError, RefusedByArchiveError), match=r"planned|already exists"):
        depositor.apply(plan)
    assert contents(server) == []


MOMENTS = {
    "before": ("PUT", r"/draft$"),
    "announcing": ("POST", r"/files$"),
    "sending": ("PUT", r"f1\.txt/content$"),
    "finishing": ("POST", r"f1\.txt/commit$"),
    "comparing": ("GET", r"/draft$"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_draft_that_is_thrown_away_meanwhile_is_said(depositor, server, moment):
    plan, other = depositor.prepare(), depositor.archive()
    method, path = MOMENTS[moment]

    def fault(record):
        if record.method == method and re.search(path, record.path):
            server.fault_for = None
            other.discard(plan.record_id)
        return None

    server.fault_for = fault
    server.clear_log()
    with pytest.raises(RefusedError, match="there is no draft to work on"):
        depositor.apply(plan)
    assert len(server.log) < 25, "nobody insists"
    with pytest.raises(RefusedError, match="there is no draft to work on"):
        depositor.apply(plan)


def test_a_plan_that_was_applied_to_what_is_public_now_is_refused(depositor):
    plan = depositor.prepare()
    depositor.apply(plan)
    depositor.publish(plan.doi)
    with pytest.raises(RefusedError, match="there is no draft to work on"):
        depositor.apply(plan)


def test_a_kept_file_that_is_gone_is_refused(depositor):
    depositor.apply(depositor.prepare())
    plan = depositor.plan()
    depositor.archive().delete_file(plan.record_id, "f0.txt")
    with pytest.raises(RefusedError, match=r"f0\.txt.*: planned .* found nothing"):
        depositor.apply(plan)


def test_what_is_done_by_others_during_an_interruption_is_refused(depositor):
    plan = depositor.prepare()
    depositor.kill_at = depositor.sent + 5
    with pytest.raises(Killed):
        depositor.apply(plan)
    depositor.kill_at, depositor.dead = 0, False
    archive = depositor.archive()
    archive.init(plan.record_id, ["surplus.txt"])
    with pytest.raises(RefusedError, match=r"surplus\.txt.*nobody planned"):
        depositor.apply(plan)
    archive.delete_file(plan.record_id, "surplus.txt")
    archive.put_draft(
        plan.record_id,
        {"metadata": {"title": "other"}},
        archive.draft(plan.record_id).revision,
    )
    with pytest.raises(RefusedError, match=r"metadata.*sent"):
        depositor.apply(plan)


def test_another_bundle_is_refused(depositor, tmp_path):
    plan = depositor.prepare()
    other = dataclasses.replace(depositor, root=tmp_path / "other", files={"x.txt": b"x"})
    other.build(read_reservation(depositor.release))
    other.bundle.rename(depositor.bundle.with_name("kept"))
    depositor.bundle.rename(depositor.bundle.with_name("old"))
    depositor.bundle.with_name("kept").rename(depositor.bundle)
    with pytest.raises(RefusedError, match="digest of the bundle: planned"):
        depositor.apply(plan)
    with pytest.raises(RefusedError, match="digest of the bundle: planned"):
        rehearse(plan, depositor.bundle, depositor.release, depositor.archive())


EDITS = {
    "one more": lambda rows: [*rows, Decision("zz.txt", "upload", "new", 5, "0" * 32)],
    "one less": lambda rows: rows[1:],
    "one twice": lambda rows: [rows[0], *rows],
    "another size": lambda rows: [dataclasses.replace(rows[0], size=1), *rows[1:]],
    "another md5": lambda rows: [dataclasses.replace(rows[0], md5="0" * 32), *rows[1:]],
    "another order": lambda rows: rows[::-1],
    "one to be deleted": lambda rows: [
        Decision("a", "delete", "other", 0, "", RemoteFile("a", "pending")),
        *rows,
    ],
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_plan_that_was_edited_is_refused(depositor, server, tmp_path, edit):
    """Its requests and totals follow from its decisions, but these not from the bundle."""
    plan = depositor.prepare()
    write_plan(tmp_path / "p", dataclasses.replace(plan, decisions=tuple(edit(plan.decisions))))
    server.clear_log()
    with pytest.raises(RefusedError, match="does not follow from the bundle"):
        depositor.apply(read_plan(tmp_path / "p"))
    assert server.log == []


def test_a_plan_that_replaces_what_is_there_is_refused(depositor, server, tmp_path):
    depositor.apply(depositor.prepare())
    plan = depositor.plan()
    rows = [
        dataclasses.replace(row, action="replace") if row.name == "f0.txt" else row
        for row in plan.decisions
    ]
    write_plan(tmp_path / "p", dataclasses.replace(plan, decisions=tuple(rows)))
    with pytest.raises(RefusedError, match=r"f0\.txt.*does not follow"):
        depositor.apply(read_plan(tmp_path / "p"))


def test_a_plan_for_a_file_that_no_request_can_name_is_refused(depositor, tmp_path):
    """The path of '..' would be that of the draft itself."""
    plan, odd = depositor.prepare(), RemoteFile("..", "pending")
    depositor.archive().init(plan.record_id, [odd.key])
    rows = (Decision("..", "delete", "not in the bundle", 0, "", odd), *plan.decisions)
    write_plan(tmp_path / "p", dataclasses.replace(plan, live=(odd,), decisions=rows))
    with pytest.raises(RefusedError, match="which no request can take away"):
        depositor.apply(read_plan(tmp_path / "p"))


def test_metadata_that_were_altered_since_are_not_sent(depositor, server):
    """Of the same size, and so of the bundle as far as a look at the sizes tells."""
    plan = depositor.prepare()
    path = depositor.bundle / "zenodo.json"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"A dataset", b"B dataset"))
    assert path.stat().st_size == len(data)
    with pytest.raises(IntegrityError, match=r"zenodo\.json: sha256 differs"):
        depositor.apply(plan)
    with pytest.raises(IntegrityError, match=r"zenodo\.json: sha256 differs"):
        depositor.publish(plan.doi)
    assert {row.method for row in server.log[2:]} == {"GET"}, "only the plan's two looks"
    path.write_bytes(data)
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)


def test_a_file_that_changes_while_it_is_sent_is_not_finished(depositor, server):
    plan = depositor.prepare()
    (depositor.bundle / "f0.txt").write_bytes(b"content X")
    with pytest.raises(IntegrityError, match="changed after the bundle was verified"):
        depositor.apply(plan)
    assert "f0.txt" not in server.world.files(plan.record_id)
    (depositor.bundle / "f0.txt").write_bytes(b"content 0")
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)


def test_a_file_that_vanishes_while_it_is_sent_is_named(depositor, server):
    """And is not taken for a fault of the network, after which it would be sent again."""
    plan, path = depositor.prepare(), depositor.bundle / "f1.txt"

    def fault(record):
        if record.method == "POST" and record.path.endswith("/draft/files"):
            path.rename(depositor.root / "elsewhere")
        return None

    server.fault_for = fault
    with pytest.raises(IntegrityError, match="cannot be read any more") as caught:
        depositor.apply(plan)
    assert (caught.value.file, caught.value.found) == (str(path), "No such file or directory")
    assert len(contents(server, "f1.txt")) <= 1
    server.fault_for = None
    (depositor.root / "elsewhere").rename(path)
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)


@pytest.mark.parametrize("content", [b"content 00", b"content", b""])
def test_the_last_block_goes_out_only_if_all_are_right(tmp_path, content):
    path = tmp_path / "f"
    path.write_bytes(content)
    body = FileBody(path, LocalFile("f", 9, "0" * 32), lambda _: None)
    assert len(body) == 9
    with pytest.raises(IntegrityError, match="changed"):
        list(body)


def test_metadata_that_the_archive_alters_end_it(depositor, server):
    """It answers with success, and drops what it does not like."""
    record = RECORD | {"metadata": RECORD["metadata"] | {"publication_date": "some day"}}
    depositor.build(depositor.reserve(), record=record)
    plan = depositor.plan()
    with pytest.raises(UnexpectedAnswerError, match="does not accept the metadata") as caught:
        depositor.apply(plan)
    assert "publication_date" in caught.value.found
    assert contents(server) == []
    with pytest.raises(RefusedError, match="publication_date"):
        depositor.apply(plan)


def test_unknown_vocabulary_is_refused_by_the_archive(depositor):
    record = RECORD | {"metadata": RECORD["metadata"] | {"rights": [{"id": "no-such"}]}}
    depositor.build(depositor.reserve(), record=record)
    with pytest.raises(RefusedByArchiveError, match=r"Invalid value no-such\."):
        depositor.apply(depositor.plan())


def test_a_rehearsal_changes_nothing(depositor, server):
    plan = depositor.prepare()
    server.clear_log()
    rehearse(plan, depositor.bundle, depositor.release, depositor.archive())
    assert {row.method for row in server.log} == {"GET"}
    depositor.archive().init(plan.record_id, ["surplus.txt"])
    with pytest.raises(RefusedError, match=r"surplus\.txt.*planned nothing"):
        rehearse(plan, depositor.bundle, depositor.release, depositor.archive())
    draft = depositor.archive().draft(plan.record_id)
    depositor.archive().put_draft(plan.record_id, {"metadata": {"title": "other"}}, draft.revision)
    with pytest.raises(RefusedError, match="its revision is"):
        rehearse(plan, depositor.bundle, depositor.release, depositor.archive())


@pytest.mark.parametrize("number", range(1, 16))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rehearsal_refuses_no_more_than_apply(depositor, server, number, when):
    """A plan that was begun can be rehearsed at any moment."""
    plan = depositor.prepare()
    depositor.kill_at, depositor.kill_when = depositor.sent + number, when
    with pytest.raises(Killed):
        depositor.apply(plan)
    depositor.kill_at, depositor.dead = 0, False
    rehearse(plan, depositor.bundle, depositor.release, depositor.archive())
    depositor.apply(plan)
    rehearse(plan, depositor.bundle, depositor.release, depositor.archive())


def test_a_rehearsal_refuses_no_less_than_apply(depositor):
    plan = depositor.prepare()
    depositor.kill_at = depositor.sent + 5
    with pytest.raises(Killed):
        depositor.apply(plan)
    depositor.kill_at, depositor.dead = 0, False
    archive = depositor.archive()

    def refused(match):
        for verb in (rehearse, apply):
            with pytest.raises((RefusedError, IntegrityError), match=match):
                verb(plan, depositor.bundle, depositor.release, archive)

    archive.init(plan.record_id, ["surplus.txt"])
    refused(r"surplus\.txt.*nobody planned")
    archive.delete_file(plan.record_id, "surplus.txt")
    apply(plan, depositor.bundle, depositor.release, archive)
    archive.delete_file(plan.record_id, "f0.txt")
    refused(r"f0\.txt: is missing")
    document = {"metadata": {"title": "other"}}
    archive.put_draft(plan.record_id, document, archive.draft(plan.record_id).revision)
    refused(r"metadata\.title: sent")
    discard(archive, plan.record_id, depositor.release)
    refused(r"was discarded")


def test_an_interrupt_stops_all_uploads(depositor, server):
    depositor.files = {f"f{n}.bin": random.Random(n).randbytes(2_000_000) for n in range(6)}
    plan = depositor.prepare()

    def progress(name, position):
        if position:
            raise KeyboardInterrupt

    # Nobody is done with one file, and takes another, before the interrupt is seen.
    slow = Fault("slow", "PUT", r"/content$", count=99, seconds=1.0, side="response")
    server.inject(slow)
    with pytest.raises(KeyboardInterrupt):
        apply(plan, depositor.bundle, depositor.release, depositor.archive(), progress=progress)
    server.clear_faults()
    assert len(contents(server)) <= 2 * WORKERS
    assert sum(row.received_bytes for row in contents(server)) < 6 * 2_000_000
    depositor.apply(plan)
    assert_held(depositor, plan.record_id)


@pytest.mark.parametrize("side", ["request", "response"])
def test_an_interrupt_does_not_wait_for_what_is_under_way(depositor, server, side):
    """One upload hangs, and somebody stops the work while another one goes on."""
    depositor.files = {f"f{n}.bin": random.Random(n).randbytes(2_000_000) for n in range(2)}
    plan = depositor.prepare()
    server.inject(Fault("slow", method="PUT", path=r"f0\.bin/content", seconds=20.0, side=side))
    began = threading.Event()

    def progress(name, position):
        if name == "f0.bin":
            began.set()
        elif name == "f1.bin":
            assert began.wait(10)
            time.sleep(0.3)
            raise KeyboardInterrupt

    # Longer than the test may take.
    depositor.policy = dataclasses.replace(depositor.policy, slow_s=60.0)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        apply(plan, depositor.bundle, depositor.release, depositor.archive(), progress=progress)
    assert time.monotonic() - start < 5.0
    (write,) = read_history(depositor.journal).writes(ops.CONTENT, key="f0.bin")
    assert write.result == "unknown"


@pytest.mark.parametrize("first", ["interrupt", "413"])
def test_a_second_interrupt_does_not_wait_either(depositor, server, monkeypatch, first):
    """Ctrl-C is pressed again while uploads are being cut, or while those of a failure may end."""
    depositor.files = {f"f{n}.bin": random.Random(n).randbytes(2_000_000) for n in range(2)}
    plan = depositor.prepare()
    server.inject(Fault("slow", method="PUT", path=r"f0\.bin/content", seconds=20.0))
    if first == "413":
        server.inject(Fault("html413", method="PUT", path=r"f1\.bin/content"))
    began, pressed = threading.Event(), []
    waited = concurrent.futures.wait

    def progress(name, position):
        if name == "f0.bin":
            began.set()
        elif name == "f1.bin" and first == "interrupt":
            assert began.wait(10)
            raise KeyboardInterrupt

    def wait(*arguments, **more):
        if len(pressed) < 3:
            pressed.append(True)
            raise KeyboardInterrupt
        return waited(*arguments, **more)

    monkeypatch.setattr("release.deposit.apply.wait", wait)
    depositor.policy = dataclasses.replace(depositor.policy, slow_s=60.0)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        apply(plan, depositor.bundle, depositor.release, depositor.archive(), progress=progress)
    assert (time.monotonic() - start < 5.0, len(pressed)) == (True, 3)
    (write,) = read_history(depositor.journal).writes(ops.CONTENT, key="f0.bin")
    assert (write.result, write.ended is not None) == ("unknown", True), "noted before the end"


def test_what_fails_does_not_cut_what_goes_well(depositor, server):
    """A refusal stops the work, but an upload that is nearly there may end."""
    plan = depositor.prepare()
    depositor.workers = 2
    server.inject(Fault("slow", method="PUT", path=r"README\.md/content", seconds=0.5))
    server.inject(Fault("html413", method="PUT", path=r"f0\.txt/content"))
    with pytest.raises(RefusedByArchiveError, match="413"):
        depositor.apply(plan)
    (write,) = read_history(depositor.journal).writes(ops.CONTENT, key="README.md")
    assert write.result == "done"
