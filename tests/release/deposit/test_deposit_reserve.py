"""Are DOIs reserved once, whatever happens to requests and answers?

Oracle: the contract server's drafts, with faults before and after the effect of each request.
"""

import json

import pytest
from depositors import Depositor, Killed

from release.deposit.clean import discard, is_doubtful, leftovers, strays
from release.deposit.errors import (
    DepositError,
    NotReachedError,
    RefusedByArchiveError,
    UnexpectedAnswerError,
    UnknownOutcomeError,
)
from release.deposit.journal import read_history
from release.deposit.lineage import concept_doi_of, record_id_of
from release.deposit.records import Archive, Record
from release.deposit.reserve import MARK, reserve
from release.deposit.status import status
from release.deposit.token import Token
from release.deposit.transport import Transport
from release.model import RefusedError
from release.reservation import read_reservation
from release.testing import ContractServer, Fault, audit


def drafts(depositor: Depositor) -> list[str]:
    return depositor.server.world.drafts()


def test_what_is_reserved(depositor, server):
    found = depositor.reserve()
    (record_id,) = drafts(depositor)
    assert found.record_id == record_id
    assert found.doi == f"10.5072/zenodo.{record_id}" == server.world.doi(record_id)
    assert found.concept_doi == f"10.5072/zenodo.{server.world.concept_id(record_id)}"
    assert (found.previous_id, found.previous_doi) == (None, None)
    assert read_reservation(depositor.release) == found
    assert [(row.method, row.status) for row in server.log] == [("POST", 201)] * 2
    assert server.world.metadata(record_id)["title"].startswith(MARK)


def test_the_mark_is_in_the_journal_before_the_draft_is_asked_for(depositor, server):
    depositor.kill_at = 1
    with pytest.raises(Killed):
        depositor.reserve()
    (write,) = read_history(depositor.journal).writes("create")
    assert server.log == []
    depositor.kill_at, depositor.dead = 0, False
    depositor.reserve()
    assert server.world.metadata(drafts(depositor)[0])["title"] == write.detail["mark"]


LOST = [(kind, when) for kind in (500, 502, 503, 504, "reset") for when in ("before", "after")]


@pytest.mark.parametrize(("kind", "when"), [(429, "before"), *LOST])
@pytest.mark.parametrize("path", [r"records$", "pids/doi"])
def test_a_lost_answer_makes_no_second_draft(depositor, server, path, kind, when):
    side = {"side": "response"} if kind == "reset" else {}
    server.inject(Fault(kind, method="POST", path=path, when=when, **side))
    depositor.reserve()
    assert len(drafts(depositor)) == 1
    assert len([row for row in server.log if row.method == "POST" and row.applied]) == 2
    audit.check(server, drafts(depositor))


def test_a_draft_is_found_though_the_list_lags_behind(depositor, server, clock):
    server.hold_index(60)
    server.inject(Fault(504, method="POST", path="records$", when="after"))
    start = clock.time()
    depositor.reserve()
    assert len(drafts(depositor)) == 1
    assert 60 <= clock.time() - start < 120


@pytest.mark.parametrize(("waits", "seconds"), [(3, 60), (1, 130)])
def test_a_request_that_left_long_after_its_intent_is_waited_for(clock, tmp_path, waits, seconds):
    """The rate limit is waited for between the two, and the list lags behind the request."""
    with ContractServer(tmp_path / "slow", clock=clock.time, index_delay_s=60) as server:
        server.inject(Fault(429, "POST", "/records$", count=waits, retry_after=seconds))
        server.inject(Fault(504, "POST", "/records$", when="after"))
        depositor = Depositor(server, clock, tmp_path, undated=True)
        depositor.reserve()
        depositor.close()
        assert len(server.world.drafts()) == 1


def lose_a_create(depositor) -> None:
    """A request is lost, and nobody is there to look for what it made."""
    depositor.server.inject(Fault(504, method="POST", path="records$"))
    depositor.kill_at = depositor.sent + 2
    with pytest.raises(Killed):
        depositor.reserve()
    depositor.kill_at, depositor.dead = 0, False


@pytest.mark.parametrize("hours", [-6, 0])
def test_a_clock_that_was_set_back_makes_nobody_wait_longer(depositor, clock, hours):
    lose_a_create(depositor)
    clock.now += 3600 * hours
    start = clock.monotonic()
    depositor.reserve()
    assert len(drafts(depositor)) == 1
    longest = depositor.policy.settle_s + 1.5 * depositor.policy.backoff_limit_s
    assert clock.monotonic() - start < longest


def test_an_old_loss_is_looked_for_once(depositor, server, clock):
    lose_a_create(depositor)
    clock.now += 3600
    start = clock.monotonic()
    depositor.reserve()
    assert clock.monotonic() == start
    assert len([row for row in server.log if "user/records" in row.path]) == 1


@pytest.mark.parametrize("hours", [-6, 6])
def test_a_clock_that_is_set_during_the_search_changes_nothing(clock, tmp_path, hours):
    """Six hours back would be six hours of waiting; six on, a second draft."""
    with ContractServer(tmp_path / "of-its-own-time") as server:
        server.inject(Fault(504, method="POST", path="records$", when="after"))
        depositor = Depositor(server, clock, tmp_path)
        archive = depositor.archive()
        listed, looks = archive.drafts, []

        def look():
            looks.append(clock.monotonic())
            if len(looks) == 2:
                clock.now += 3600 * hours
            return listed() if looks[-1] - looks[0] > 60 else ()

        archive.drafts, depositor.archive = look, lambda: archive
        depositor.reserve()
        depositor.close()
        assert len(server.world.drafts()) == 1
        assert clock.monotonic() < 120


def test_a_run_that_gave_up_is_gone_on_with(depositor, server):
    server.inject(Fault(504, method="POST", path="records$", when="after"))
    server.inject(Fault(502, method="GET", path="user/records", count=depositor.policy.attempts))
    with pytest.raises(NotReachedError, match="does not answer GET /api/user/records"):
        depositor.reserve()
    assert not depositor.release.exists()
    depositor.reserve()
    assert len(drafts(depositor)) == 1


def test_many_drafts_are_looked_through(depositor, server):
    transport = depositor.archive().transport
    for _ in range(103):
        transport.write("POST", "/api/records", document={"metadata": {"title": "another"}})
    server.inject(Fault("reset", method="POST", path="records$", when="after", side="response"))
    depositor.reserve()
    assert len(drafts(depositor)) == 104
    pages = [row.path for row in server.log if "user/records" in row.path]
    assert [page.rpartition("=")[2] for page in pages] == ["1", "2"]
    assert all("size=100" in page for page in pages)


def test_an_odd_draft_of_the_same_user_is_in_nobodys_way(depositor, server):
    """As the contract server shows a DOI of somebody else's that was left empty in the browser."""
    odd = {"doi": {"provider": "external", "identifier": ""}}
    transport = depositor.archive().transport
    transport.write("POST", "/api/records", document={"metadata": {"title": "odd"}, "pids": odd})
    server.inject(Fault(504, method="POST", path="records$", when="after"))
    found = depositor.reserve()
    assert drafts(depositor) == ["2", found.record_id]
    (row,) = leftovers(depositor.archive())
    assert (row.record_id, row.doi) == (found.record_id, found.doi)


def test_every_attempt_lost_is_said(depositor, server):
    count = depositor.policy.attempts
    server.inject(Fault(504, method="POST", path="pids/doi", count=count))
    with pytest.raises(UnknownOutcomeError, match="pids/doi had its effect"):
        depositor.reserve()
    depositor.reserve()
    assert len(drafts(depositor)) == 1


def test_an_answer_without_form_is_an_unknown_outcome(depositor, server, monkeypatch):
    archive = depositor.archive()
    original, seen = archive.transport.write, []

    def write(method, path, **more):
        answer = original(method, path, **more)
        seen.append(path)
        return type(answer)(answer.status, {"id": 7}) if len(seen) == 1 else answer

    monkeypatch.setattr(archive.transport, "write", write)
    monkeypatch.setattr(depositor, "archive", lambda: archive)
    depositor.reserve()
    assert len(drafts(depositor)) == 1
    assert seen == ["/api/records", f"/api/records/{drafts(depositor)[0]}/draft/pids/doi"]


def test_a_reserved_release_is_not_reserved_again(depositor, server):
    first = depositor.reserve()
    server.clear_log()
    assert depositor.reserve() == first
    assert [row.method for row in server.log] == ["GET"]


def test_a_draft_that_is_gone_is_not_believed_in(depositor, server):
    found = depositor.reserve()
    depositor.archive().discard(found.record_id)
    with pytest.raises(RefusedError, match=r"no longer has 10\.5072"):
        depositor.reserve()
    depositor.release.unlink()
    with pytest.raises(RefusedError, match="no longer has draft"):
        depositor.reserve()
    assert drafts(depositor) == []


def test_a_release_is_of_one_archive_and_one_version(depositor):
    depositor.reserve()
    with pytest.raises(RefusedError, match="this release was begun with"):
        depositor.reserve(new_version_of="7")
    depositor.journal.unlink()
    document = json.loads(depositor.release.read_text())
    document["target"] = "https://sandbox.zenodo.org"
    depositor.release.write_text(json.dumps(document))
    with pytest.raises(RefusedError, match=r"is reserved on https://sandbox\.zenodo\.org"):
        depositor.reserve()


def elsewhere(depositor) -> Archive:
    """The same archive under another name, which is another one for who does not know it."""
    target = depositor.server.url.replace("127.0.0.1", "localhost")
    return Archive(Transport(target, Token(depositor.server.token), clock=depositor.clock))


def test_a_word_that_was_wrong_binds_nobody(depositor, server):
    """A number that is none, a token of another archive: nothing was made, so nothing was begun."""
    with pytest.raises(RefusedError, match="no published record 99999"):
        depositor.reserve(new_version_of="10.5072/zenodo.99999")
    server.expire_token()
    with elsewhere(depositor) as other, pytest.raises(RefusedByArchiveError, match="403"):
        reserve(depositor.release, other)
    server.restore_tokens()
    found = depositor.reserve()
    assert (drafts(depositor), found.target) == ([found.record_id], server.url)
    assert read_history(depositor.journal).notes("begin")[-1]["target"] == server.url


def test_a_request_that_may_have_had_its_effect_binds(depositor, server):
    server.inject(Fault(504, method="POST", path="records$", when="after"))
    depositor.kill_at = 2
    with pytest.raises(Killed):
        depositor.reserve()
    depositor.kill_at, depositor.dead = 0, False
    server.clear_log()
    with elsewhere(depositor) as other, pytest.raises(RefusedError, match="was begun with"):
        reserve(depositor.release, other)
    assert server.log == []
    depositor.reserve()
    assert len(drafts(depositor)) == 1


def test_the_release_is_asked_before_anything_is_noted(depositor):
    """The journal is lost, and a wrong --target typed once."""
    found = depositor.reserve()
    depositor.journal.unlink()
    with elsewhere(depositor) as other, pytest.raises(RefusedError, match="is reserved on"):
        reserve(depositor.release, other)
    with pytest.raises(RefusedError, match="was begun with"):
        depositor.reserve(new_version_of="7")
    assert depositor.reserve() == found


def test_two_drafts_of_one_mark_are_refused(depositor, server):
    """An archive may make a draft long after it was believed lost."""
    depositor.kill_at = 1
    with pytest.raises(Killed):
        depositor.reserve()
    depositor.kill_at, depositor.dead = 0, False
    mark = read_history(depositor.journal).writes("create")[0].detail["mark"]
    for _ in range(2):
        document = {"metadata": {"title": mark}}
        depositor.archive().transport.write("POST", "/api/records", document=document)
    with pytest.raises(RefusedError, match="bears the mark"):
        depositor.reserve()


def test_a_second_draft_that_turns_up_late_is_found(depositor, server, clock):
    """The list lags behind for longer than it is waited for; nobody can know better then."""
    server.hold_index(300)
    server.inject(Fault(504, method="POST", path="/records$", when="after"))
    found = depositor.reserve()
    first, second = drafts(depositor)
    assert found.record_id == second
    history = read_history(depositor.journal)
    assert is_doubtful(history)
    assert strays(depositor.archive(), history, second) == ()
    clock.now += 300
    assert strays(depositor.archive(), history, second) == (first,)
    assert depositor.reserve() == found, "it is not the one of the release"
    told = f"draft {first} was made by a request of this release that was lost"
    assert [told in fact for fact in how_far(depositor).facts] == [False, True]
    depositor.build(found)
    plan = depositor.plan()
    depositor.apply(plan)
    depositor.publish(plan.doi)
    assert any(told in fact for fact in how_far(depositor).facts)
    with pytest.raises(RefusedError, match=r"was made \d+ min ago"):
        discard(depositor.archive(), first)
    discard(depositor.archive(), first, depositor.release)
    assert not any(told in fact for fact in how_far(depositor).facts)
    assert server.world.published() == [second]


def test_where_nothing_is_in_doubt_nothing_is_looked_for(depositor, server):
    """Neither after a good start, nor where the lost draft was found."""
    for path, count in (("/records$", 0), ("/records$", 1)):
        somebody = depositor.next_version(f"v{count}")
        if count:
            server.inject(Fault(504, method="POST", path=path, when="after"))
        somebody.reserve()
        history = read_history(somebody.journal)
        assert not is_doubtful(history)
        server.clear_log()
        how_far(somebody)
        assert not [row for row in server.log if "user/records" in row.path]


def how_far(depositor):
    return status(depositor.release, depositor.archive())


def test_a_refused_token_reserves_nothing(depositor, server):
    server.expire_token()
    with pytest.raises(RefusedByArchiveError, match=r"403 Permission denied\."):
        depositor.reserve()
    server.restore_tokens()
    depositor.reserve()
    assert len(drafts(depositor)) == 1
    assert not [row for row in server.log if "user/records" in row.path], "nothing to look for"


def test_a_placeholder_that_is_not_accepted_is_said(depositor, server):
    server.inject(Fault("errors", method="POST", path="records$"))
    with pytest.raises(UnexpectedAnswerError, match="does not accept the placeholder") as caught:
        depositor.reserve()
    assert "metadata.title: Shorter" in caught.value.found
    assert not depositor.release.exists()


def test_an_existing_doi_is_read(depositor, server):
    depositor.kill_at = 2
    with pytest.raises(Killed):
        depositor.reserve()
    depositor.kill_at, depositor.dead = 0, False
    (record_id,) = drafts(depositor)
    depositor.archive().reserve_doi(record_id)
    archive = depositor.archive()
    with pytest.raises(RefusedByArchiveError, match="A PID already exists"):
        archive.reserve_doi(record_id)
    assert depositor.reserve().doi == f"10.5072/zenodo.{record_id}"


def test_another_refusal_of_a_doi_is_passed_on(depositor, server, monkeypatch):
    archive = depositor.archive()

    def refuse(record_id):
        raise RefusedByArchiveError.of(400, "POST pids", "no DOIs today")

    monkeypatch.setattr(archive, "reserve_doi", refuse)
    monkeypatch.setattr(depositor, "archive", lambda: archive)
    with pytest.raises(RefusedByArchiveError, match="no DOIs today"):
        depositor.reserve()


def test_names_of_records():
    assert record_id_of("10.5281/zenodo.123") == "123"
    assert record_id_of("123") == "123"
    assert record_id_of("10.1234/abcde-fghij") == "abcde-fghij"
    for text in ("https://doi.org/10.5281/zenodo.1", "", "10.5281/zenodo.", "a b", "10.1/../x"):
        with pytest.raises(DepositError, match="this names no record"):
            record_id_of(text)


def test_concept_dois():
    def record(concept=None):
        return Record("144", "143", 5, False, False, None, concept, "", {}, {})

    assert concept_doi_of(record(), "10.5072/zenodo.144") == "10.5072/zenodo.143"
    assert concept_doi_of(record(), "10.1234/144") == "10.1234/143"
    for doi in ("10.5072/zenodo.145", "10.5072/zenodo.9144", "10.5072/144x", "144", ""):
        with pytest.raises(UnexpectedAnswerError, match="not made from the record's identifier"):
            concept_doi_of(record(), doi)
    with pytest.raises(UnexpectedAnswerError, match="not the one that was to be expected"):
        concept_doi_of(record("10.5072/zenodo.1"), "10.5072/zenodo.144")
