"""Does a new version send only what changed, from the right version before?

Oracle: the bytes that the contract server received, and the files that it shows.
"""

import contextlib
import json

import pytest
from consignments import RECORD
from depositors import Depositor, Killed, bundled, held
from proxies import PAGES, behind

from release.deposit import lineage
from release.deposit.apply import apply
from release.deposit.errors import DepositError, UnexpectedAnswerError, UnknownOutcomeError
from release.deposit.journal import REFUSED, open_journal, read_history
from release.deposit.transport import Answer
from release.model import RefusedError
from release.testing import Fault, audit


@pytest.fixture
def first(depositor: Depositor) -> Depositor:
    """A first version is public."""
    depositor.files["cube.fits.txt"] = b"x" * 100_000
    depositor.deposit()
    return depositor


def record_id(doi: str) -> str:
    return doi.rpartition(".")[2]


def sent(server) -> dict[str, int]:
    return {
        row.key: row.received_bytes
        for row in server.log
        if row.method == "PUT" and row.path.endswith("/content")
    }


def second(first: Depositor) -> Depositor:
    """Somebody changed one small file, dropped one, and added one."""
    next_one = first.next_version("second")
    next_one.files["f0.txt"] = b"corrected"
    next_one.files["new.txt"] = b"more"
    del next_one.files["f1.txt"]
    return next_one


def test_only_what_changed_is_sent(first, server):
    (doi,) = server.world.published()
    depositor = second(first)
    server.clear_log()
    reservation = depositor.reserve(new_version_of=doi)
    assert reservation.previous_id == doi
    assert reservation.previous_doi == f"10.5072/zenodo.{doi}"
    assert reservation.concept_doi == f"10.5072/zenodo.{server.world.concept_id(doi)}"
    depositor.build(reservation)
    plan = depositor.plan()
    assert {row.name: (row.action, row.why) for row in plan.decisions} == {
        "README.md": ("replace", "carries the version DOI"),
        "cube.fits.txt": ("link", "unchanged since the version before"),
        "f0.txt": ("replace", "changed"),
        "f1.txt": ("delete", "not in the bundle"),
        "manifest.json": ("replace", "carries the version DOI"),
        "new.txt": ("upload", "new"),
        "sha256sums.txt": ("replace", "lists the sums of the other files"),
        "zenodo.json": ("link", "unchanged since the version before"),
    }
    depositor.apply(plan)
    depositor.publish(plan.doi)
    sizes = {path.name: path.stat().st_size for path in depositor.bundle.iterdir()}
    changed = ("README.md", "f0.txt", "manifest.json", "new.txt", "sha256sums.txt")
    assert sent(server) == {name: sizes[name] for name in changed}
    assert len(server.log) == 3 + 3 + len(plan.steps) + 3
    assert held(server, plan.record_id) == bundled(depositor.bundle)
    assert held(server, doi) == bundled(first.bundle), "the first version is as it was"
    cube = [server.world.files(one)["cube.fits.txt"][2] for one in (doi, plan.record_id)]
    assert cube[0] == cube[1], "linked, not copied"


@pytest.mark.parametrize("form", ["10.5072/zenodo.{}", "{}"])
@pytest.mark.parametrize("concept", [True, False])
def test_the_version_before_may_be_named_in_four_ways(first, server, form, concept):
    (latest,) = server.world.published()
    name = form.format(server.world.concept_id(latest) if concept else latest)
    reservation = first.next_version("second").reserve(new_version_of=name)
    assert reservation.previous_id == latest


@pytest.mark.parametrize("number", [3, 5])
def test_one_version_before_may_be_named_in_two_ways_one_after_the_other(first, server, number):
    """Killed before its DOI is reserved; and not at all."""
    (latest,) = server.world.published()
    names = [latest, f"10.5072/zenodo.{latest}", server.world.concept_id(latest)]
    depositor = first.next_version("second")
    depositor.kill_at = number
    for name in (*names, *reversed(names)):
        with contextlib.suppress(Killed):
            found = depositor.reserve(new_version_of=name)
        depositor.kill_at, depositor.dead = 0, False
    assert (found.previous_id, len(server.world.drafts())) == (latest, 1)
    with pytest.raises(RefusedError, match="this release was begun with"):
        depositor.reserve()
    with pytest.raises(RefusedError, match="this release was begun with"):
        depositor.reserve(new_version_of="999")


def test_a_journal_that_has_the_name_as_it_was_typed_is_understood(first, server):
    (latest,) = server.world.published()
    depositor = first.next_version("second")
    with open_journal(depositor.journal, "reserve", clock=first.clock) as journal:
        concept = f"10.5072/zenodo.{server.world.concept_id(latest)}"
        journal.note("begin", target=server.url, new_version_of=concept)
        with contextlib.suppress(Killed):
            journal.attempt("new-version", killed, previous_id=latest)
    with pytest.raises(RefusedError, match="this release was begun with"):
        depositor.reserve()
    assert depositor.reserve(new_version_of=latest).previous_id == latest


def killed():
    raise Killed


def test_a_draft_that_somebody_opened_is_left_to_him(first, server, clock):
    """The archive gives the draft of the next version that there is, whoever made it."""
    (latest,) = server.world.published()
    archive = first.archive()
    draft = archive.new_version(latest).id
    archive.init(draft, ["work.dat"])
    clock.now += 3600
    depositor = first.next_version("second")
    server.clear_log()
    for _ in range(2):
        with pytest.raises(RefusedError, match="a draft of its next version already"):
            depositor.reserve(new_version_of=latest)
    assert [row.method for row in server.log] == ["GET", "GET"]
    assert server.world.pending(draft) == ["work.dat"]
    archive.discard(draft)
    assert depositor.reserve(new_version_of=latest).record_id != draft


def lose(depositor, latest) -> None:
    """A request for the next version is lost before it has any effect, and so is its process."""
    depositor.server.inject(Fault(504, method="POST", path="/versions$"))
    depositor.kill_at = depositor.sent + 3
    with pytest.raises(Killed):
        depositor.reserve(new_version_of=latest)
    depositor.kill_at, depositor.dead = 0, False


def test_so_is_one_that_was_opened_after_a_request_was_lost(first, server, clock):
    """What holds files once is somebody's, also when he has taken them away."""
    (latest,) = server.world.published()
    depositor = first.next_version("second")
    lose(depositor, latest)
    archive = first.archive()
    draft = archive.new_version(latest).id
    archive.init(draft, ["work.dat"])
    for _ in range(2):
        with pytest.raises(RefusedError, match=f"draft {draft} holds files"):
            depositor.reserve(new_version_of=latest)
    assert not depositor.release.exists()
    archive.delete_file(draft, "work.dat")
    with pytest.raises(RefusedError, match=f"draft {draft} was somebody's before"):
        depositor.reserve(new_version_of=latest)
    archive.discard(draft)
    assert depositor.reserve(new_version_of=latest).record_id != draft


def test_our_own_refusal_binds_nobody(first, server, monkeypatch):
    """Between the look and the request somebody opens the version; nothing of ours was made."""
    (latest,) = server.world.published()
    depositor, archive = first.next_version("second"), first.archive()
    before = lineage.previous_version(archive, latest)
    draft = archive.new_version(latest).id
    archive.init(draft, ["work.dat"])
    with monkeypatch.context() as patch:
        patch.setattr("release.deposit.reserve.previous_version", lambda *_: before)
        with pytest.raises(RefusedError, match=f"draft {draft} holds files"):
            depositor.reserve(new_version_of=latest)
    (write,) = read_history(depositor.journal).writes("new-version")
    assert write.result == REFUSED
    archive.delete_file(draft, "work.dat")
    with pytest.raises(RefusedError, match="a draft of its next version already"):
        depositor.reserve(new_version_of=latest)
    assert depositor.reserve().previous_id is None, "the release is bound to nothing"


EDITS = {
    "title": "A careful text",
    "version": "2.0.0",
    "additional_titles": [{"title": "More", "type": {"id": "other"}}],
}


@pytest.mark.parametrize("edited", [None, "doi", *EDITS])
@pytest.mark.parametrize("hours", [0, 24])
def test_a_draft_without_files_is_somebodys_too(first, server, clock, edited, hours):
    """A request was lost; later somebody opens the version, and may have worked on it.

    One that was opened at the same time, and on which nobody worked, cannot be told from ours.
    """
    (latest,) = server.world.published()
    depositor = first.next_version("second")
    lose(depositor, latest)
    clock.now += 3600 * hours
    archive = first.archive()
    draft = archive.new_version(latest)
    if edited == "doi":
        archive.reserve_doi(draft.id)
    elif edited:
        metadata = RECORD["metadata"] | {edited: EDITS[edited]}
        archive.put_draft(draft.id, RECORD | {"metadata": metadata}, draft.revision)
    if hours or edited:
        for reason in ("(was made|has a DOI|is no copy)", "was somebody's before"):
            with pytest.raises(RefusedError, match=f"draft {draft.id} {reason}"):
                depositor.reserve(new_version_of=latest)
        assert server.world.drafts() == [draft.id]
        archive.discard(draft.id)
        assert depositor.reserve(new_version_of=latest).record_id != draft.id
    else:
        assert depositor.reserve(new_version_of=latest).record_id == draft.id


@pytest.mark.parametrize("hours", [0, 24])
def test_our_own_draft_is_found_whenever_it_is_looked_for(first, server, clock, hours):
    (latest,) = server.world.published()
    depositor = first.next_version("second")
    depositor.kill_at, depositor.kill_when = depositor.sent + 2, "after"
    with pytest.raises(Killed):
        depositor.reserve(new_version_of=latest)
    depositor.kill_at, depositor.dead = 0, False
    clock.now += 3600 * hours
    (draft,) = server.world.drafts()
    assert depositor.reserve(new_version_of=latest).record_id == draft


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_clock_that_is_wrong_refuses_nothing_for_ever(first, server, clock, hours):
    """The archive's clock is another one: discarded, the draft is made anew."""
    (latest,) = server.world.published()
    depositor = first.next_version("second")
    server.inject(Fault(504, method="POST", path="/versions$", when="after"))
    depositor.kill_at = depositor.sent + 3
    with pytest.raises(Killed):
        depositor.reserve(new_version_of=latest)
    depositor.kill_at, depositor.dead = 0, False
    rows = [json.loads(line) for line in depositor.journal.read_text().splitlines()]
    lines = [json.dumps(row | {"at": row["at"] + 3600 * hours}) for row in rows]
    depositor.journal.write_text("\n".join(lines) + "\n")
    (draft,) = server.world.drafts()
    with pytest.raises(RefusedError, match=f"draft {draft} was made at"):
        depositor.reserve(new_version_of=latest)
    first.archive().discard(draft)
    assert depositor.reserve(new_version_of=latest).record_id != draft


def test_an_older_version_is_refused_and_the_latest_named(first, server):
    (old,) = server.world.published()
    depositor = second(first)
    depositor.build(depositor.reserve(new_version_of=old))
    plan = depositor.plan()
    depositor.apply(plan)
    depositor.publish(plan.doi)
    with pytest.raises(RefusedError, match=f"not the latest version: that is {plan.doi}"):
        first.next_version("third").reserve(new_version_of=old)
    assert server.world.drafts() == []


def test_after_a_version_that_was_deleted_the_one_before_is_the_latest(first, server):
    (old,) = server.world.published()
    depositor = second(first)
    depositor.build(depositor.reserve(new_version_of=old))
    plan = depositor.plan()
    depositor.apply(plan)
    depositor.publish(plan.doi)
    path = f"/api/records/{plan.record_id}/request-deletion"
    first.archive().transport.write("POST", path, document={"reason": "test-record"})
    found = first.next_version("third").reserve(new_version_of=old)
    assert (found.previous_id, server.world.drafts()) == (old, [found.record_id])


def test_a_number_of_another_archive_is_refused(first, server):
    (latest,) = server.world.published()
    with pytest.raises(RefusedError, match=r"has the DOI 10\.5072/zenodo"):
        first.next_version("second").reserve(new_version_of=f"10.5281/zenodo.{latest}")
    with pytest.raises(RefusedError, match="has no published record 999"):
        first.next_version("third").reserve(new_version_of="999")
    with pytest.raises(DepositError, match="names no record"):
        first.next_version("fourth").reserve(new_version_of="https://doi.org/10.5072/zenodo.1")
    assert server.world.drafts() == []


@pytest.mark.parametrize(
    "location", ["https://evil.example/api/records/7", "/api/records/../x", ""]
)
def test_a_redirect_is_believed_for_its_number_only(depositor, monkeypatch, location):
    archive, asked = depositor.archive(), []

    def read(path, **_):
        asked.append(path)
        return Answer(302, location=location) if path.endswith("/1") else Answer(404)

    monkeypatch.setattr(archive.transport, "read", read)
    if location.endswith("/7"):
        assert archive.latest("1") is None
        assert asked == ["/api/records/1", "/api/records/7"], "asked of the same archive"
    else:
        with pytest.raises(UnexpectedAnswerError, match="something that is no record"):
            archive.latest("1")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("path", ["/versions$", "files-import", "/draft/files/f0.txt$"])
@pytest.mark.parametrize("kind", [500, 504, "reset"])
def test_a_lost_answer_is_cleared_up(first, server, path, when, kind):
    (old,) = server.world.published()
    depositor = second(first)
    side = {"side": "response"} if kind == "reset" else {}
    method = "DELETE" if path.startswith("/draft") else "POST"
    server.inject(Fault(kind, method=method, path=path, when=when, **side))
    depositor.build(depositor.reserve(new_version_of=old))
    plan = depositor.plan()
    depositor.apply(plan)
    depositor.publish(plan.doi)
    assert held(server, plan.record_id) == bundled(depositor.bundle)
    assert server.world.drafts() == []
    assert "cube.fits.txt" not in {row.key for row in server.log[30:] if row.method == "PUT"}
    audit.check(server)


def test_files_that_somebody_linked_already_are_kept(first, server):
    (old,) = server.world.published()
    depositor = second(first)
    reservation = depositor.reserve(new_version_of=old)
    depositor.archive().import_files(reservation.record_id)
    depositor.build(reservation)
    plan = depositor.plan()
    assert {row.action for row in plan.decisions} == {"keep", "replace", "upload", "delete"}
    assert ops_of(plan).count("import") == 0
    depositor.apply(plan)
    assert held(server, plan.record_id) == bundled(depositor.bundle)


def test_a_linked_file_that_is_gone_is_refused(first, server):
    (old,) = server.world.published()
    depositor = second(first)
    depositor.build(depositor.reserve(new_version_of=old))
    plan = depositor.plan()
    depositor.kill_at, depositor.kill_when = depositor.sent + 2, "after"
    with pytest.raises(Killed):
        depositor.apply(plan)
    depositor.kill_at, depositor.dead = 0, False
    depositor.archive().delete_file(plan.record_id, "cube.fits.txt")
    with pytest.raises(RefusedError, match=r"cube\.fits\.txt: was there .* and is gone"):
        depositor.apply(plan)


def test_what_was_linked_meanwhile_is_refused(first, server):
    (old,) = server.world.published()
    depositor = second(first)
    depositor.build(depositor.reserve(new_version_of=old))
    plan = depositor.plan()
    depositor.archive().init(plan.record_id, ["surplus.txt"])
    with pytest.raises(RefusedError, match=r"surplus\.txt.*nobody planned"):
        depositor.apply(plan)


def test_what_somebody_else_took_away_at_the_same_moment_is_gone(first, server):
    (old,) = server.world.published()
    depositor = second(first)
    depositor.build(depositor.reserve(new_version_of=old))
    plan, archive = depositor.plan(), depositor.archive()

    def fault(record):
        if record.method == "DELETE" and record.key == "f1.txt":
            server.fault_for = None
            archive.delete_file(plan.record_id, "f1.txt")
        return None

    server.fault_for = fault
    depositor.apply(plan)
    assert [row.status for row in server.log if row.path.endswith("f1.txt")] == [404, 204]
    assert held(server, plan.record_id) == bundled(depositor.bundle)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("count", [1, 100])
def test_a_page_that_says_404_takes_no_file_away(first, server, page, count):
    (old,) = server.world.published()
    depositor = second(first)
    depositor.build(depositor.reserve(new_version_of=old))
    plan = depositor.plan()
    archive = behind(depositor, "DELETE", "f1.txt", page=page, count=count)
    if count > 1:
        with pytest.raises(UnknownOutcomeError, match="404, and not from the archive"):
            apply(plan, depositor.bundle, depositor.release, archive)
        assert read_history(depositor.journal).notes("gone") == []
        archive = depositor.archive()
    apply(plan, depositor.bundle, depositor.release, archive)
    assert held(server, plan.record_id) == bundled(depositor.bundle)


def ops_of(plan) -> list[str]:
    return [step.op for step in plan.steps]


# reserve 3, plan 3, apply 3 + 5 deletes and 11 for the files, publish 3
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 29))
def test_killed_at_any_request(first, server, number, when):
    (old,) = server.world.published()
    depositor = second(first)
    server.clear_log()
    depositor.kill_at, depositor.kill_when = number, when

    def again(verb):
        try:
            return verb()
        except Killed:
            depositor.kill_at, depositor.dead = 0, False
            return verb()

    depositor.build(again(lambda: depositor.reserve(new_version_of=old)))
    plan = again(depositor.plan)
    again(lambda: depositor.apply(plan))
    again(lambda: depositor.publish(plan.doi))
    assert depositor.kill_at == 0, "the kill took place"
    assert sorted(server.world.published()) == sorted([old, plan.record_id])
    assert server.world.drafts() == []
    assert held(server, plan.record_id) == bundled(depositor.bundle)
    stored = [row.key for row in server.log if row.path.endswith("/content") and row.applied]
    assert len(stored) == len(set(stored)) == 5, "no bytes twice"
    assert len([row for row in server.log if row.path.endswith("actions/publish")]) == 1
    audit.check(server)
