"""Does the status say what is to be typed next, whatever came after a plan that was applied?

Oracle: what the verb that it names does with the draft then.
"""

import shutil

import pytest
from depositors import Killed

from ard.errors import IntegrityError
from release.deposit.errors import RefusedByArchiveError
from release.deposit.status import status, unreserved
from release.model import RefusedError
from release.reservation import read_reservation
from release.testing import Fault


def look(depositor):
    return status(depositor.release, depositor.archive())


def rebuild(depositor, content):
    """Build the bundle anew with another file."""
    depositor.files["f0.txt"] = content
    shutil.rmtree(depositor.bundle)
    depositor.build(read_reservation(depositor.release))
    return depositor.plan()


def test_a_later_plan_that_is_half_applied_is_not_ready(depositor):
    """The first one was applied to its end, and its bundle is not there any more."""
    depositor.apply(depositor.prepare())
    assert look(depositor).stage == "ready"
    later = rebuild(depositor, b"changed")
    assert look(depositor).stage == "ready", "nothing was sent yet"
    depositor.kill_at = depositor.sent + 4
    with pytest.raises(Killed):
        depositor.apply(later)
    depositor.kill_at, depositor.dead = 0, False
    found = look(depositor)
    assert (found.stage, found.facts[-1]) == ("applying", "a plan was begun, and is not finished")
    assert found.next.startswith("rbh1-release apply PLAN BUNDLE")
    depositor.apply(later)
    found = look(depositor)
    assert found.stage == "ready"
    assert found.next == (
        f"rbh1-release publish BUNDLE --release {depositor.release} --yes {later.doi}"
    )
    assert not depositor.publish(later.doi).already


def test_a_draft_that_was_changed_since_is_not_ready(depositor):
    plan = depositor.prepare()
    depositor.apply(plan)
    archive = depositor.archive()
    document = {"metadata": {"title": "other"}}
    archive.put_draft(plan.record_id, document, archive.draft(plan.record_id).revision)
    found = look(depositor)
    assert (found.stage, found.facts[-1]) == (
        "applying",
        "a plan was applied, and the draft was changed since; apply compares them",
    )
    with pytest.raises(IntegrityError, match="make a new plan"):
        depositor.apply(plan)
    depositor.apply(depositor.plan())
    assert look(depositor).stage == "ready"


def test_a_draft_with_a_pending_file_is_not_ready(depositor):
    plan = depositor.prepare()
    depositor.apply(plan)
    depositor.archive().init(plan.record_id, ["surplus.txt"])
    assert look(depositor).stage == "applying"
    with pytest.raises(IntegrityError, match=r"surplus\.txt.*is surplus"):
        depositor.apply(plan)
    depositor.archive().delete_file(plan.record_id, "surplus.txt")
    assert look(depositor).stage == "applying", "the archive counts the deletion"
    assert depositor.apply(plan).already
    assert look(depositor).stage == "ready"


def test_a_draft_with_a_finished_file_more_is_not_ready(depositor, server):
    """Somebody adds it in the browser, and the archive does not count it as a change."""
    plan = depositor.prepare()
    depositor.apply(plan)
    archive = depositor.archive()
    revision = archive.draft(plan.record_id).revision
    archive.init(plan.record_id, ["surplus.txt"])
    archive.upload(plan.record_id, "surplus.txt", b"x")
    archive.commit(plan.record_id, "surplus.txt")
    assert archive.draft(plan.record_id).revision == revision
    with pytest.raises(RefusedError, match=r"surplus\.txt.*is surplus"):
        depositor.publish(plan.doi)
    assert look(depositor).stage == "applying"


def test_what_was_refused_was_not_interrupted(depositor, server):
    server.expire_token()
    with pytest.raises(RefusedByArchiveError, match="403"):
        depositor.reserve()
    found = unreserved(depositor.release)
    assert (found.stage, found.facts) == ("reserving", ("nothing is reserved: it was refused",))
    server.restore_tokens()
    depositor.kill_at = depositor.sent + 1
    with pytest.raises(Killed):
        depositor.reserve()
    assert unreserved(depositor.release).facts == ("reserving was interrupted",)


def test_a_stray_that_was_discarded_is_not_offered_again(depositor, server, clock):
    """The list shows it for some time still."""
    server.hold_index(300)
    server.inject(Fault(504, method="POST", path="/records$", when="after"))
    depositor.reserve()
    stray = server.world.drafts()[0]
    clock.now += 300
    assert f"--yes {stray}" in look(depositor).facts[-1]
    server.hold_index(300)
    depositor.archive().discard(stray)
    assert [row.id for row in depositor.archive().drafts()].count(stray) == 1
    assert not any(stray in fact for fact in look(depositor).facts[1:])
