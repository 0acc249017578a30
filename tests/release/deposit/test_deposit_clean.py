"""Is a draft thrown away only if it is ours, and is it known afterwards that it is gone?

Oracle: the contract server's drafts, and what the journal says.
"""

import dataclasses

import pytest
from depositors import Depositor, Killed
from proxies import PAGES, behind

from release.deposit.clean import discard, leftovers
from release.deposit.errors import NotReachedError, UnknownOutcomeError
from release.deposit.journal import DONE, REFUSED, UNKNOWN, read_history
from release.deposit.reserve import MARK
from release.deposit.status import status
from release.model import RefusedError
from release.reservation import write_reservation
from release.testing import Fault


def results(depositor: Depositor) -> list[str]:
    return [write.result for write in read_history(depositor.journal).writes("discard")]


# Ours


def make(depositor: Depositor, title: str) -> str:
    """Make a draft in the browser."""
    document = {"metadata": {"title": title}}
    answer = depositor.archive().transport.write("POST", "/api/records", document=document)
    return str(answer.document["id"])


def assert_kept(depositor, record_id, reason, release=None):
    archive = depositor.archive()
    assert record_id in depositor.server.world.drafts()
    with pytest.raises(RefusedError, match=reason):
        discard(archive, record_id, release)
    assert record_id in depositor.server.world.drafts()


@pytest.mark.parametrize(
    "title",
    [
        f"{MARK} notes of our meeting",
        f"{MARK} 0123456789abcdef and more",
        f"{MARK} 0123456789ABCDEF",
        f"{MARK} 0123456789abcde",
        f"On {MARK} 0123456789abcdef",
        MARK,
        "My thesis",
    ],
)
def test_a_title_that_only_looks_like_a_mark_is_none(depositor, title):
    record_id = make(depositor, title)
    assert leftovers(depositor.archive()) == ()
    assert_kept(depositor, record_id, "bears no mark of ours")


def test_a_release_that_names_a_draft_has_not_made_it(depositor, server):
    """Anybody can write a release.json, and any draft can stand in it."""
    reservation = depositor.reserve()
    depositor.archive().reserve_doi(foreign := make(depositor, "My thesis"))
    family = server.world.concept_id(foreign)
    foreign_one = dataclasses.replace(
        reservation,
        record_id=foreign,
        parent_id=family,
        doi=f"10.5072/zenodo.{foreign}",
        concept_doi=f"10.5072/zenodo.{family}",
    )
    for place in (depositor.root / "other.json", depositor.release):
        place.unlink(missing_ok=True)
        write_reservation(place, foreign_one)
        assert foreign not in [row.record_id for row in leftovers(depositor.archive(), place)]
        assert_kept(depositor, foreign, "the journal does not say that", place)


def test_a_draft_that_is_not_the_reserved_one_any_more_is_kept(depositor, server):
    plan = depositor.prepare()
    depositor.apply(plan)
    path = f"/api/records/{plan.record_id}/draft/pids/doi"
    depositor.archive().transport.write("DELETE", path)
    assert leftovers(depositor.archive(), depositor.release) == ()
    assert_kept(depositor, plan.record_id, r"DOI: reserved .*, found None", depositor.release)


def test_a_draft_that_was_found_again_is_ours(depositor, server):
    server.inject(Fault(504, method="POST", path="records$", when="after"))
    plan = depositor.prepare()
    depositor.apply(plan)
    (row,) = leftovers(depositor.archive(), depositor.release)
    assert row.why == "the draft of this release"
    discard(depositor.archive(), plan.record_id, depositor.release)
    assert server.world.drafts() == []


def test_the_reservation_of_another_release_is_kept(depositor, server):
    """It is listed, and goes with its own release and journal only."""
    found = depositor.reserve()
    other = depositor.next_version("other")
    other.reserve()
    for release in (None, other.release):
        assert found.record_id in [row.record_id for row in leftovers(other.archive(), release)]
        assert_kept(depositor, found.record_id, "belongs to a release.json", release)
    assert depositor.reserve() == found
    depositor.journal.unlink()
    discard(depositor.archive(), found.record_id, depositor.release)
    assert server.world.drafts() == [other.reserve().record_id], "the mark is as good as a journal"


INTERRUPTED = "bears the mark of a reservation; may belong to a reserve that was interrupted"


def test_a_reservation_under_way_is_kept(depositor, server, clock):
    """Between the draft and its DOI nothing shows that somebody goes on with it in a moment."""
    depositor.kill_at = 2
    with pytest.raises(Killed):
        depositor.reserve()
    depositor.kill_at, depositor.dead = 0, False
    (row,) = leftovers(depositor.archive())
    assert row.why == INTERRUPTED
    clock.now += 600
    other = depositor.next_version("other")
    reserved = other.reserve()
    for release in (None, other.release):
        assert_kept(depositor, row.record_id, "was made 10 min ago", release)
    found = depositor.reserve()
    assert (found.record_id, reserved.doi is None) == (row.record_id, False)


@pytest.mark.parametrize("hours", [-6, 6])
def test_a_clock_that_is_wrong_keeps_no_draft_for_ever(depositor, server, clock, hours):
    depositor.kill_at = 2
    with pytest.raises(Killed):
        depositor.reserve()
    depositor.kill_at, depositor.dead = 0, False
    clock.now += 3600 * hours
    (record_id,) = server.world.drafts()
    if hours < 0:
        assert_kept(depositor, record_id, "was made 0 min ago")
        clock.now += 3600 * (1 - hours) + 1
    discard(depositor.archive(), record_id)
    assert server.world.drafts() == []


def test_what_a_reservation_that_was_broken_off_left_is_ours(depositor, server, clock):
    depositor.kill_at = 2
    with pytest.raises(Killed):
        depositor.reserve()
    depositor.kill_at, depositor.dead = 0, False
    (row,) = leftovers(depositor.archive())
    assert (row.why, row.doi) == (INTERRUPTED, None)
    clock.now += 3601
    depositor.archive().init(row.record_id, ["work.dat"])
    assert_kept(depositor, row.record_id, "holds files")
    depositor.archive().delete_file(row.record_id, "work.dat")
    discard(depositor.archive(), row.record_id)
    assert server.world.drafts() == []


# Gone


def test_what_is_discarded_is_in_the_journal(depositor, server):
    plan = depositor.prepare()
    assert discard(depositor.archive(), plan.record_id, depositor.release).record_id == "2"
    assert (server.world.drafts(), results(depositor)) == ([], [DONE])
    assert status(depositor.release, depositor.archive()).stage == "discarded"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_says_404_discards_nothing(depositor, server, page):
    plan = depositor.prepare()
    archive = behind(depositor, "DELETE", "/draft", page=page)
    with pytest.raises(UnknownOutcomeError, match="404, and not from the archive"):
        discard(archive, plan.record_id, depositor.release)
    lost = [UNKNOWN] * depositor.policy.attempts
    assert (server.world.drafts(), results(depositor)) == ([plan.record_id], lost)
    depositor.apply(plan)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_says_404_takes_nothing_away(depositor, page):
    plan = depositor.prepare()
    for path, ask in (
        ("/draft", lambda archive: archive.draft(plan.record_id)),
        (f"/{plan.record_id}", lambda archive: archive.record(plan.record_id)),
        (f"/{plan.record_id}", lambda archive: archive.latest(plan.record_id)),
        ("/f0.txt", lambda archive: archive.file(plan.record_id, "f0.txt")),
    ):
        assert ask(depositor.archive()) is None or path == "/draft"
        with pytest.raises(NotReachedError, match="404, and not from the archive"):
            ask(behind(depositor, "GET", path, page=page))


def test_a_draft_that_went_at_the_same_moment_is_noted_as_gone(depositor, server):
    plan = depositor.prepare()
    other = depositor.archive()

    def fault(record):
        if record.method == "DELETE":
            server.fault_for = None
            other.discard(plan.record_id)
        return None

    server.fault_for = fault
    discard(depositor.archive(), plan.record_id, depositor.release)
    assert (server.world.drafts(), results(depositor)) == ([], [REFUSED])
    assert status(depositor.release, depositor.archive()).stage == "discarded"
    with pytest.raises(RefusedError, match="was discarded"):
        depositor.plan()


def test_a_draft_that_went_by_itself_is_gone(depositor, server):
    plan = depositor.prepare()
    depositor.archive().discard(plan.record_id)
    assert status(depositor.release, depositor.archive()).stage == "gone"
    with pytest.raises(RefusedError, match="there is no draft"):
        discard(depositor.archive(), plan.record_id, depositor.release)


def test_a_lost_answer_is_cleared_up_and_noted(depositor, server):
    plan = depositor.prepare()
    server.inject(Fault(504, "DELETE", "/draft$", when="after"))
    discard(depositor.archive(), plan.record_id, depositor.release)
    assert (server.world.drafts(), results(depositor)) == ([], [UNKNOWN])
    assert status(depositor.release, depositor.archive()).stage == "discarded"
    with pytest.raises(RefusedError, match="was discarded"):
        depositor.reserve()


def test_a_lost_answer_that_nobody_clears_up_is_no_refusal(depositor, server):
    plan = depositor.prepare()
    server.inject(Fault(504, "DELETE", "/draft$", when="after"))
    server.inject(Fault(503, "GET", "/draft$", nth=2, count=30))
    with pytest.raises(NotReachedError, match="does not answer"):
        discard(depositor.archive(), plan.record_id, depositor.release)
    assert (server.world.drafts(), results(depositor)) == ([], [UNKNOWN])
    server.clear_faults()
    with pytest.raises(RefusedError, match="there is no draft"):
        discard(depositor.archive(), plan.record_id, depositor.release)
    found = status(depositor.release, depositor.archive())
    assert (found.stage, found.next) == ("discarded", "rbh1-release reserve --out ANOTHER")
